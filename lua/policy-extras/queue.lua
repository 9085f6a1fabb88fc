-- SPDX-License-Identifier: Apache-2.0
--
-- Tenants, campaigns and the queues of destinations, out of TOML or JSON files:
--
--   scheduling_header = "X-Schedule"
--   tenant_header = "X-Tenant"
--   remove_tenant_header = true
--   campaign_header = "X-Campaign"
--   remove_campaign_header = true
--   default_tenant = "small-fry"
--   tenant_from_authz = true              # Gatepost: who logged in decides, not the header
--
--   [tenant.'customer']
--   egress_pool = 'pool-1'
--   require_authz = ["scott"]             # who may send as this tenant
--   allowed_domains = ["customer.example", "*.customer.example"]   # Gatepost: MAIL FROM and From
--   overall_max_message_rate = '100/s'    # over all its queues
--
--   [tenant.'customer'.campaigns.'welcome']
--   overall_max_message_rate = '10/s'
--
--   [queue.default]
--   max_age = '24 hours'
--
--   [queue.'example.com']                 # or '*.example.com'
--   retry_interval = '17 minutes'
--
--   [queue.'example.com'.'customer'.'welcome']
--   max_age = '1 hour'
--
-- In a policy:
--
--   local queue_module = require 'policy-extras.queue'
--   local queue_helper = queue_module:setup { '/etc/gatepost/queues.toml' }
--
--   kumo.on('smtp_server_message_received', function(msg, conn_meta)
--     queue_helper:apply(msg, conn_meta)
--   end)
--
-- What applies to a queue is merged key by key: queue.default, then the domain, then the
-- tenant, then the tenant of the domain, then the campaign of that tenant.

local kumo = require 'kumo'
local check = require 'gatepost.check'
local data_files = require 'gatepost.data_files'
local guard = require 'gatepost.tenant'
local utils = require 'policy-extras.policy_utils'

local mod = {}

local OPTIONS = {
  scheduling_header = 'string',
  tenant_header = 'string',
  remove_tenant_header = 'boolean',
  tenant_from_authz = 'boolean',
  campaign_header = 'string',
  remove_campaign_header = 'boolean',
  default_tenant = 'string',
}

-- Keys that are ours and no parameter of kumo.make_queue_config.
local OURS = {
  require_authz = true,
  allowed_domains = true,
  overall_max_message_rate = true,
  routing_domain = true,
  campaigns = true,
}

-- A table below a domain is a tenant or a campaign, except for this parameter.
local function is_parameter(key, value)
  return key == 'protocol' or type(value) ~= 'table'
end

---- reading and checking files ----

local function check_parameter(file, path, key, value)
  if key == 'overall_max_message_rate' then
    check.rate(file, check.below(path, key), value)
  elseif key == 'routing_domain' then
    check.is(file, check.below(path, key), value, 'string')
  else
    check.parameter(file, path, kumo.make_queue_config, key, value)
  end
end

-- Each level below a domain: `depth` more tables may stand inside (tenant, then campaign).
local function check_queue(file, path, config, depth)
  check.is(file, path, config, 'table')
  for key, value in pairs(config) do
    if is_parameter(key, value) then
      check_parameter(file, path, key, value)
    elseif depth == 0 then
      check.fail(file, check.below(path, key), 'no table is expected here: below a campaign there are only parameters')
    else
      check_queue(file, check.below(path, key), value, depth - 1)
    end
  end
end

local function check_campaigns(file, path, campaigns)
  check.is(file, path, campaigns, 'table')
  for name, config in pairs(campaigns) do
    local below = check.below(path, name)
    check.is(file, below, config, 'table')
    for key, value in pairs(config) do
      check_parameter(file, below, key, value)
    end
  end
end

local function check_tenant(file, path, config)
  check.is(file, path, config, 'table')
  for key, value in pairs(config) do
    if key == 'require_authz' or key == 'allowed_domains' then
      check.list_of_strings(file, check.below(path, key), value)
    elseif key == 'campaigns' then
      check_campaigns(file, check.below(path, key), value)
    else
      check_parameter(file, path, key, value)
    end
  end
end

local function check_file(file, data)
  check.is(file, {}, data, 'table')
  for key, value in pairs(data) do
    if key ~= 'tenant' and key ~= 'queue' then
      if not OPTIONS[key] then
        check.fail(file, { key }, 'no such key')
      end
      check.is(file, { key }, value, OPTIONS[key])
    else
      check.is(file, { key }, value, 'table')
      for name, config in pairs(value) do
        if key == 'tenant' then
          check_tenant(file, { key, name }, config)
        else
          check_queue(file, { key, name }, config, 2)
        end
      end
    end
  end
end

local function is_list(value)
  return type(value) == 'table' and value[1] ~= nil
end

-- Later files win key by key. A list is replaced as a whole: were it merged by position, an
-- identity of the earlier file could stay in a shorter list of the later one.
local function merge(src, dest)
  for key, value in pairs(src) do
    if type(value) == 'table' and not is_list(value) and type(dest[key]) == 'table' and not is_list(dest[key]) then
      merge(value, dest[key])
    elseif type(value) == 'table' then
      dest[key] = {}
      merge(value, dest[key])
    else
      dest[key] = value
    end
  end
end

local function load_merged(files)
  local data = { options = {}, tenants = {}, queues = {} }
  for _, name in ipairs(files) do
    local loaded = utils.load_json_or_toml_file(name)
    check_file(check.label(name), loaded)
    for key, value in pairs(loaded) do
      if key == 'tenant' then
        merge(value, data.tenants)
      elseif key == 'queue' then
        merge(value, data.queues)
      else
        data.options[key] = value
      end
    end
  end
  return data
end

local function load_data(files)
  local data = load_merged(files)
  data.queues = kumo.domain_map.new(data.queues)
  return data
end

---- what applies to a queue ----

-- config[name] where that is a table: a tenant's or a campaign's. Clients choose campaigns, so
-- a name may well be that of a parameter.
local function inner(config, name)
  local value = config and name and config[name]
  return value and not is_parameter(name, value) and value or nil
end

-- Every level that applies, the weakest first; empty where there is none.
local function levels(data, domain, tenant, campaign)
  local of_domain = domain and data.queues[domain]
  local of_tenant = inner(of_domain, tenant)
  return {
    data.queues.default or {},
    of_domain or {},
    tenant and data.tenants[tenant] or {},
    of_tenant or {},
    inner(of_tenant, campaign) or {},
  }
end

local function merged(data, domain, tenant, campaign)
  local params = {}
  for _, level in ipairs(levels(data, domain, tenant, campaign)) do
    for key, value in pairs(level) do
      if is_parameter(key, value) then
        params[key] = value
      end
    end
  end
  return params
end

local function resolve_config(data, domain, tenant, campaign)
  local params = merged(data, domain, tenant, campaign)
  for key in pairs(OURS) do
    params[key] = nil
  end
  return not utils.table_is_empty(params) and params or nil
end

---- rates over several queues ----

-- Each as { name, spec }. A campaign has its own rate, besides its tenant's.
local function overall_rates(data, tenant, campaign)
  local config = tenant and data.tenants[tenant]
  local of_campaign = config and campaign and config.campaigns and config.campaigns[campaign]
  local rates = {}
  if config and config.overall_max_message_rate then
    table.insert(rates, {
      'queue-helper-tenant-overall_max_message_rate-' .. tenant,
      config.overall_max_message_rate,
    })
  end
  if of_campaign and of_campaign.overall_max_message_rate then
    table.insert(rates, {
      ('queue-helper-tenant-campaign-overall_max_message_rate-%d:%s-%s'):format(#tenant, tenant, campaign),
      of_campaign.overall_max_message_rate,
    })
  end
  return rates
end

local function throttle(msg, data)
  for _, rate in ipairs(overall_rates(data, msg:get_meta 'tenant', msg:get_meta 'campaign')) do
    if kumo.make_throttle(rate[1], rate[2]):delay_message_if_throttled(msg) then
      return
    end
  end
end

---- a message that comes in ----

-- A campaign becomes part of the queue's name, "campaign:tenant@domain!routing": it must not
-- be able to say more than its own part.
local function set_campaign(msg, options)
  local campaign = guard.take_header(msg, options.campaign_header, options.remove_campaign_header)
  if not campaign then
    return
  end
  if campaign:find '[:@!%c]' then
    kumo.reject(550, ("5.7.1 campaign '%s' holds a character that a campaign may not have"):format(campaign))
  end
  msg:set_meta('campaign', campaign)
end

local function apply(msg, data, conn_meta)
  local options = data.options
  if options.scheduling_header then
    msg:import_scheduling_header(options.scheduling_header, true)
  end
  set_campaign(msg, options)
  local tenant = guard.of(msg, data, conn_meta)
  if tenant then
    msg:set_meta('tenant', tenant)
  end
  local recipient = msg:recipient()
  if recipient then
    local params = merged(data, recipient.domain, msg:get_meta 'tenant', msg:get_meta 'campaign')
    if params.routing_domain then
      msg:set_meta('routing_domain', params.routing_domain)
    end
  end
end

---- setup ----

function mod:setup(file_names)
  return self:setup_with_options { file_names = file_names, skip_queue_config_hook = false }
end

function mod:setup_with_options(options)
  if mod.CONFIGURED then
    error('queues module has already been configured', 2)
  end
  local files = options.file_names
  local get_data = data_files.keep('queue_helper_data', files, '1 minute', load_data)
  local helper = { file_names = files }

  function helper:resolve_config(domain, tenant, campaign)
    return resolve_config(get_data(), domain, tenant, campaign)
  end

  -- conn_meta may be left out: what it says is in the message's metadata too.
  function helper:apply(msg, conn_meta)
    apply(msg, get_data(), conn_meta)
  end

  mod.CONFIGURED = { options = options }

  if not options.skip_queue_config_hook then
    kumo.on('get_queue_config', function(domain, tenant, campaign, _routing_domain)
      local params = helper:resolve_config(domain, tenant, campaign)
      return params and kumo.make_queue_config(params)
    end)
  end

  kumo.on('throttle_insert_ready_queue', function(msg)
    throttle(msg, get_data())
  end)

  return helper
end

---- validation ----

-- Pools are known only when the sources helper is in use.
local function check_pools(data)
  local sources = require 'policy-extras.sources'
  local pools = sources.CONFIGURED and sources.CONFIGURED.get_data().pools
  if not pools then
    return
  end
  for what, list in pairs { tenant = data.tenants, domain = data.queues } do
    for name, config in pairs(list) do
      if config.egress_pool and not pools[config.egress_pool] then
        error(
          ("%s '%s' uses pool '%s' which is not present in your sources helper data"):format(
            what,
            name,
            config.egress_pool
          ),
          0
        )
      end
    end
  end
end

local function check_default_tenant(data)
  local default = data.options.default_tenant
  if default and not data.tenants[default] then
    error(("default_tenant '%s' is not defined in your queue config"):format(default), 0)
  end
end

kumo.on('validate_config', function()
  if not mod.CONFIGURED then
    return
  end
  local files = mod.CONFIGURED.options.file_names
  check.report('queue', files, function()
    local data = load_merged(files)
    check_default_tenant(data)
    check_pools(data)
  end)
end)

return mod
