-- SPDX-License-Identifier: Apache-2.0
--
-- Which domains mail is taken for and from, out of TOML or JSON files:
--
--   ["example.com"]            # mail to example.com, from anybody
--   relay_to = true
--
--   ["*.send.example.com"]     # mail from these senders, when sent from these networks
--   relay_from = ["10.0.0.0/24"]
--
--   ["customer.example"]       # mail from this sender, by whoever logged in as one of these
--   relay_from_authz = ["scott"]
--
--   [listener."192.0.2.1:587"."example.com"]   # on one listener only
--   relay_to = false
--
-- In a policy:
--
--   local listener_domains = require 'policy-extras.listener_domains'
--   kumo.on('get_listener_domain', listener_domains:setup { '/etc/gatepost/domains.toml' })
--
-- Who logged in is what the server put into the connection's metadata as `authz_id`; nothing
-- that a client sends is looked at.

local kumo = require 'kumo'
local check = require 'gatepost.check'
local data_files = require 'gatepost.data_files'
local utils = require 'policy-extras.policy_utils'

local mod = {}

local function check_domain(file, path, params)
  check.is(file, path, params, 'table')
  for key, value in pairs(params) do
    if key == 'relay_from_authz' then
      check.list_of_strings(file, check.below(path, key), value)
    else
      check.parameter(file, path, kumo.make_listener_domain, key, value)
    end
  end
end

-- Adds the domains of one table to by_listener[listener]; later files win key by key.
local function add_domains(file, path, domains, by_listener, listener)
  check.is(file, path, domains, 'table')
  for domain, params in pairs(domains) do
    check_domain(file, check.below(path, domain), params)
    local known = by_listener[listener] or {}
    by_listener[listener] = known
    known[domain] = known[domain] or {}
    utils.merge_into(params, known[domain])
  end
end

local function add_file(name, by_listener)
  local file = check.label(name)
  local everywhere = {}
  local data = utils.load_json_or_toml_file(name)
  check.is(file, {}, data, 'table')
  for key, value in pairs(data) do
    if key == 'listener' then
      check.is(file, { 'listener' }, value, 'table')
      for listener, domains in pairs(value) do
        add_domains(file, { 'listener', listener }, domains, by_listener, listener)
      end
    else
      everywhere[key] = value
    end
  end
  add_domains(file, {}, everywhere, by_listener, '*')
end

local function read_files(files)
  local by_listener = {}
  for _, name in ipairs(files) do
    add_file(name, by_listener)
  end
  return by_listener
end

local function load_data(files)
  local by_listener = read_files(files)
  for listener, domains in pairs(by_listener) do
    by_listener[listener] = kumo.domain_map.new(domains)
  end
  return by_listener
end

-- Why anybody may send anywhere by what is written for this domain; nil: he may not.
local function open_by(listener, domain, params)
  if params.relay_from and kumo.make_listener_domain({ relay_from = params.relay_from }):relays_from_everybody() then
    return 'relay_from is everybody: whoever claims a sender there'
  end
  if listener == '*' and domain == '*' and params.relay_to then
    return 'relay_to for all domains: anybody'
  end
end

local function warn_of_open_relays(files)
  for listener, domains in pairs(read_files(files)) do
    for domain, params in pairs(domains) do
      local why = open_by(listener, domain, params)
      if why then
        kumo.log_warn(
          ("%s: '%s' is an open relay: %s may send anywhere, without a login"):format(check.labels(files), domain, why)
        )
      end
    end
  end
end

-- The first hit wins as a whole: this listener, any listener, the domain '*' of any listener.
local function find_params(by_listener, domain, listener)
  local here = by_listener[listener]
  local everywhere = by_listener['*']
  return (here and here[domain]) or (everywhere and (everywhere[domain] or everywhere['*']))
end

local function is_authorized(list, conn_meta)
  local authz_id = conn_meta and conn_meta:get_meta 'authz_id'
  return type(authz_id) == 'string' and authz_id ~= '' and utils.table_contains(list, authz_id)
end

local function make_domain(params, conn_meta)
  local result = {}
  utils.merge_into(params, result)
  result.relay_from_authz = nil
  if params.relay_from_authz and is_authorized(params.relay_from_authz, conn_meta) then
    -- the permission is this session's: its own address, and no network, may relay
    result.relay_from = { (utils.split_ip_port(conn_meta:get_meta 'received_from')) }
  end
  return kumo.make_listener_domain(result)
end

function mod:setup(data_files)
  return self:setup_with_options { file_names = data_files }
end

function mod:setup_with_options(options)
  if mod.CONFIGURED then
    error('listener_domains module has already been configured', 2)
  end
  local files = options.file_names
  local get_data = data_files.keep('listener_domains_data', files, '5 minutes', load_data)
  mod.CONFIGURED = { data_files = files }

  return function(domain, listener, conn_meta)
    local params = find_params(get_data(), domain, listener)
    return params and make_domain(params, conn_meta)
  end
end

-- Once at each start, not in each thread. What cannot be read has stopped the start already.
kumo.on('pre_init', function()
  if mod.CONFIGURED then
    pcall(warn_of_open_relays, mod.CONFIGURED.data_files)
  end
end)

kumo.on('validate_config', function()
  if mod.CONFIGURED then
    check.report('listener_domain', mod.CONFIGURED.data_files, function()
      load_data(mod.CONFIGURED.data_files)
    end)
  end
end)

return mod
