-- SPDX-License-Identifier: Apache-2.0
--
-- Sources (the addresses mail leaves from) and pools of them, out of TOML or JSON files:
--
--   [source."ip-1"]
--   source_address = "10.0.0.1"
--
--   [pool."best"."ip-1"]
--   weight = 2               # 1 when it is not given
--
-- In a policy:
--
--   local sources = require 'policy-extras.sources'
--   sources:setup { '/etc/gatepost/sources.toml' }

local kumo = require 'kumo'
local check = require 'gatepost.check'
local data_files = require 'gatepost.data_files'
local utils = require 'policy-extras.policy_utils'

local mod = {}

local function add_source(file, name, params, sources)
  local path = { 'source', name }
  check.is(file, path, params, 'table')
  for key, value in pairs(params) do
    check.parameter(file, path, kumo.make_egress_source, key, value, { name = name })
  end
  sources[name] = sources[name] or { name = name }
  utils.merge_into(params, sources[name])
end

-- Entries add up over the files: the same source twice has the weight of both.
local function add_pool(file, name, entries, pools)
  local path = { 'pool', name }
  check.is(file, path, entries, 'table')
  for source, params in pairs(entries) do
    local entry_path = check.below(path, source)
    check.is(file, entry_path, params, 'table')
    for key, value in pairs(params) do
      if key ~= 'weight' then
        check.fail(file, check.below(entry_path, key), 'no such key: a source in a pool has only a weight')
      end
      check.is(file, check.below(entry_path, key), value, 'number')
    end
    pools[name] = pools[name] or { name = name, entries = {} }
    table.insert(pools[name].entries, { name = source, weight = params.weight })
  end
end

local function add_file(name, target)
  local file = check.label(name)
  local data = utils.load_json_or_toml_file(name)
  check.is(file, {}, data, 'table')
  for key, value in pairs(data) do
    if key ~= 'source' and key ~= 'pool' then
      check.fail(file, { key }, "no such key: expected 'source' or 'pool'")
    end
    check.is(file, { key }, value, 'table')
  end
  for source, params in pairs(data.source or {}) do
    add_source(file, source, params, target.sources)
  end
  for pool, entries in pairs(data.pool or {}) do
    add_pool(file, pool, entries, target.pools)
  end
end

local function load_data(files)
  local target = { sources = {}, pools = {} }
  for _, name in ipairs(files) do
    add_file(name, target)
  end
  return target
end

local function validate(data)
  for _, params in pairs(data.sources) do
    kumo.make_egress_source(params)
  end
  for pool, params in pairs(data.pools) do
    kumo.make_egress_pool(params)
    for _, entry in ipairs(params.entries) do
      if not data.sources[entry.name] then
        error(("pool '%s' references source '%s' which is not defined"):format(pool, entry.name), 0)
      end
    end
  end
end

function mod:setup(files)
  if mod.CONFIGURED then
    error('sources module has already been configured', 2)
  end
  local get_data = data_files.keep('sources_data', files, '5 minutes', load_data)
  mod.CONFIGURED = { data_files = files, get_data = get_data }

  kumo.on('get_egress_source', function(name)
    local params = get_data().sources[name]
    return params and kumo.make_egress_source(params)
  end)

  kumo.on('get_egress_pool', function(name)
    local params = get_data().pools[name]
    return params and kumo.make_egress_pool(params)
  end)
end

kumo.on('validate_config', function()
  if mod.CONFIGURED then
    check.report('sources', mod.CONFIGURED.data_files, function()
      validate(load_data(mod.CONFIGURED.data_files))
    end)
  end
end)

return mod
