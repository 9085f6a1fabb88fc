-- SPDX-License-Identifier: Apache-2.0
--
-- Small functions that policies and the other helpers share: comparing and merging tables,
-- reading data files, taking texts apart.

local kumo = require 'kumo'

local utils = {}

-- Deep equality of tables; anything else by ==. With ignore_mt, an __eq is not asked.
function utils.equals(a, b, ignore_mt)
  if rawequal(a, b) then
    return true
  end
  if type(a) ~= type(b) then
    return false
  end
  if type(a) ~= 'table' then
    return a == b
  end
  local mt = getmetatable(a)
  if not ignore_mt and type(mt) == 'table' and mt.__eq then
    return a == b
  end
  for key, value in pairs(a) do
    if not utils.equals(value, b[key], ignore_mt) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

-- Keys in an order that does not change from run to run.
local function sorted_keys(t)
  local keys = utils.table_keys(t)
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == 'number' or type(a) == 'string') then
      return a < b
    end
    return type(a) .. tostring(a) < type(b) .. tostring(b)
  end)
  return keys
end

local function dump_into(out, value, indent, above)
  local mt = getmetatable(value)
  if type(value) == 'string' then
    table.insert(out, ('%q'):format(value))
  elseif type(value) ~= 'table' or (type(mt) == 'table' and mt.__tostring) then
    table.insert(out, tostring(value))
  elseif above[value] then
    table.insert(out, '[recursive node]')
  else
    above[value] = true
    table.insert(out, '{\n')
    for _, key in ipairs(sorted_keys(value)) do
      table.insert(out, (' '):rep(indent + 2) .. '[')
      dump_into(out, key, indent + 2, above)
      table.insert(out, '] = ')
      dump_into(out, value[key], indent + 2, above)
      table.insert(out, ',\n')
    end
    table.insert(out, (' '):rep(indent) .. '}')
    above[value] = nil
  end
end

-- A text for people that shows the whole value; nil for nil.
function utils.dumps(value)
  if value == nil then
    return nil
  end
  local out = {}
  dump_into(out, value, 0, {})
  return table.concat(out)
end

local function complain(message, a, relation, b)
  local prefix = message and (message .. '. ') or ''
  error(
    ('%sexpected\n%s\n %s \n%s'):format(prefix, utils.dumps(a) or 'nil', relation, utils.dumps(b) or 'nil'),
    3
  )
end

function utils.assert_eq(a, b, message)
  if not utils.equals(a, b) then
    complain(message, a, '==', b)
  end
end

function utils.assert_ne(a, b, message)
  if utils.equals(a, b) then
    complain(message, a, '!=', b)
  end
end

function utils.assert_matches(text, pattern, message)
  if not kumo.regex.compile(pattern):is_match(text) then
    local prefix = message and (message .. '. ') or ''
    error(('%sexpected\n "%s"\n to match\n "%s"'):format(prefix, text, pattern), 2)
  end
end

-- Copies the keys of src over those of dest. A src of nil has none.
function utils.merge_into(src, dest)
  for key, value in pairs(src or {}) do
    dest[key] = value
  end
end

-- The same, but where both have a table it is merged in its turn.
function utils.recursive_merge_into(src, dest)
  for key, value in pairs(src or {}) do
    if type(value) == 'table' and type(dest[key]) == 'table' then
      utils.recursive_merge_into(value, dest[key])
    else
      dest[key] = value
    end
  end
end

function utils.table_contains(t, wanted)
  if wanted == nil then
    return false
  end
  for _, value in pairs(t) do
    if value == wanted then
      return true
    end
  end
  return false
end

function utils.table_keys(t)
  local keys = {}
  for key in pairs(t) do
    table.insert(keys, key)
  end
  return keys
end

function utils.table_is_empty(t)
  return next(t) == nil
end

-- A table is taken as data that was read already. The name decides: TOML for "*.toml",
-- JSON (comments allowed) for everything else.
function utils.load_json_or_toml_file(file)
  if type(file) == 'table' then
    return file
  end
  if utils.ends_with(file, '.toml') then
    return kumo.serde.toml_load(file)
  end
  return kumo.serde.json_load(file)
end

function utils.starts_with(text, prefix)
  return text:sub(1, #prefix) == prefix
end

function utils.ends_with(text, suffix)
  return suffix == '' or text:sub(-#suffix) == suffix
end

-- "10.0.0.1:25" and "[::1]:25" into address and port, both texts.
function utils.split_ip_port(text)
  local ip, port = text:match '^%[([^%]]+)%]:(%d+)$'
  if not ip then
    ip, port = text:match '^(.*):(%d+)$'
  end
  if not ip then
    error(("'%s' is not an address with a port"):format(text), 2)
  end
  return ip, port
end

return utils
