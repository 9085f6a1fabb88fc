-- SPDX-License-Identifier: Apache-2.0
--
-- Checks of what operators write into data files. Every complaint names the file and the key,
-- so that a wrong line is found without reading a policy. Used by the policy-extras helpers.

local kumo = require 'kumo'

local check = {}

-- A path of keys as it would be written in TOML: tenant.'my.tenant'.require_authz
local function path_text(path)
  local parts = {}
  for _, key in ipairs(path) do
    key = tostring(key)
    table.insert(parts, key:find '^[%w_-]+$' and key or ("'%s'"):format(key))
  end
  return table.concat(parts, '.')
end

-- `path` with `key` behind it, as a new list.
function check.below(path, key)
  local longer = { table.unpack(path) }
  table.insert(longer, key)
  return longer
end

function check.fail(file, path, why)
  if #path == 0 then
    error(('%s: %s'):format(file, why), 0)
  end
  error(('%s: %s: %s'):format(file, path_text(path), why), 0)
end

-- What messages call a file: its name, or what else was given in its place.
function check.label(file)
  return type(file) == 'table' and '(inline table)' or tostring(file)
end

function check.labels(files)
  local names = {}
  for _, file in ipairs(files) do
    table.insert(names, check.label(file))
  end
  return table.concat(names, ', ')
end

function check.is(file, path, value, wanted)
  if type(value) ~= wanted then
    check.fail(file, path, ('expected a %s, not a %s'):format(wanted, type(value)))
  end
end

function check.list_of_strings(file, path, value)
  check.is(file, path, value, 'table')
  local count = 0
  for _ in pairs(value) do
    count = count + 1
  end
  for i = 1, count do
    if type(value[i]) ~= 'string' or value[i] == '' then
      check.fail(file, path, 'expected a list of strings that are not empty')
    end
  end
end

-- The reason out of an error of a kumo.make_* function, without the place in this file.
local function reason_of(err)
  return (tostring(err):gsub('^[^\n]-%.lua:%d+: ', ''))
end

-- Asks make_function (kumo.make_queue_config, say) about one parameter; `extra` holds what
-- it insists on besides.
function check.parameter(file, path, make_function, key, value, extra)
  local params = {}
  for name, other in pairs(extra or {}) do
    params[name] = other
  end
  params[key] = value
  local ok, err = pcall(make_function, params)
  if not ok then
    check.fail(file, check.below(path, key), reason_of(err))
  end
end

function check.rate(file, path, value)
  check.is(file, path, value, 'string')
  local ok, err = pcall(kumo.make_throttle, 'gatepost.check', value)
  if not ok then
    check.fail(file, path, reason_of(err))
  end
end

-- For validate_config: runs `load`, and tells what is wrong with which set of files.
function check.report(what, files, load)
  local ok, err = pcall(load)
  if ok then
    return
  end
  kumo.log_error(('%s files (%s): %s'):format(what, check.labels(files), tostring(err)))
  kumo.validation_failed()
end

return check
