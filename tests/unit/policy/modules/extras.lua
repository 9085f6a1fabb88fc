-- SPDX-License-Identifier: Apache-2.0
--
-- The policy-extras helpers against real TOML and JSON files, with messages and connections
-- that are Lua tables. FOLDER and write_file come from test_extras.c.

local kumo = require 'kumo'
local cases = {}
local handlers
local validation_failed
local said

---- what the helpers find around them ----

function kumo.memoize(fn)
  return fn
end

function kumo.on(event, fn)
  handlers[event] = handlers[event] or {}
  table.insert(handlers[event], fn)
end

function kumo.validation_failed()
  validation_failed = true
end

function kumo.log_error(text)
  table.insert(said, text)
end

local function maker(known)
  return function(params)
    for key, value in pairs(params) do
      if not known[key] then
        error(("unknown field '%s'"):format(key))
      end
      if type(value) ~= known[key] then
        error(("invalid type for '%s'"):format(key))
      end
    end
    return params
  end
end

kumo.make_queue_config = maker {
  max_age = 'string', retry_interval = 'string', egress_pool = 'string', protocol = 'table',
}
kumo.make_listener_domain = maker { relay_to = 'boolean', relay_from = 'table', log_oob = 'boolean' }
kumo.make_egress_source = maker { name = 'string', source_address = 'string', remote_port = 'number' }
kumo.make_egress_pool = maker { name = 'string', entries = 'table' }

local function fresh(name)
  handlers = {}
  validation_failed = false
  said = {}
  for _, each in ipairs { 'queue', 'sources', 'listener_domains' } do
    package.loaded['policy-extras.' .. each] = nil
  end
  return require('policy-extras.' .. name)
end

local function path(name, text)
  write_file(name, text)
  return FOLDER .. '/' .. name
end

local function address(text)
  return setmetatable({ domain = text:match '@(.*)$' or '', email = text }, {
    __tostring = function()
      return text
    end,
  })
end

-- headers: a list of { name, value }. Names are compared as the message room does it.
local function message(fields)
  local msg = { headers = fields.headers or {}, meta = fields.meta or {} }
  local function is(header, name)
    return header[1]:lower() == name:lower()
  end
  function msg:get_all_named_header_values(name)
    local values = {}
    for _, header in ipairs(self.headers) do
      if is(header, name) then
        table.insert(values, header[2])
      end
    end
    return values
  end
  function msg:remove_all_named_headers(name)
    for i = #self.headers, 1, -1 do
      if is(self.headers[i], name) then
        table.remove(self.headers, i)
      end
    end
  end
  function msg:get_meta(key)
    return self.meta[key]
  end
  function msg:set_meta(key, value)
    self.meta[key] = value
  end
  function msg:sender()
    return address(fields.sender or 'a@example.org')
  end
  function msg:recipient()
    return address(fields.recipient or 'b@gmail.com')
  end
  function msg:from_header()
    local list = {}
    for _, value in ipairs(self:get_all_named_header_values 'From') do
      for each in value:gmatch '[^, ]+' do
        table.insert(list, address(each))
      end
    end
    return { list = list }
  end
  function msg:import_scheduling_header(name, remove)
    self.scheduled = { name, remove }
  end
  return msg
end

local function connection(meta)
  return {
    get_meta = function(_, key)
      return meta[key]
    end,
  }
end

local function eq(got, wanted)
  if got ~= wanted then
    error(('got %s, wanted %s'):format(tostring(got), tostring(wanted)), 2)
  end
end

local function fails(wanted, fn, ...)
  local ok, err = pcall(fn, ...)
  err = tostring(err)
  if ok or not err:find(wanted, 1, true) then
    error(('got %s, wanted %s'):format(err, wanted), 2)
  end
end

---- queue: what applies ----

local QUEUES = [[
scheduling_header = "X-Schedule"
tenant_header = "X-Tenant"
remove_tenant_header = true
campaign_header = "X-Campaign"
remove_campaign_header = true
default_tenant = "free"
[tenant.'free']
egress_pool = 'pool-0'
[tenant.'mytenant']
egress_pool = 'pool-1'
max_age = '10 hours'
require_authz = ["scott"]
allowed_domains = ["example.org", "*.example.net"]
overall_max_message_rate = '100/s'
[tenant.'mytenant'.campaigns.'welcome']
overall_max_message_rate = '10/s'
[tenant.'other']
require_authz = ["scott", "daniel"]
[queue.default]
max_age = '24 hours'
[queue.'gmail.com']
max_age = '22 hours'
retry_interval = '17 mins'
routing_domain = 'smart.example'
[queue.'gmail.com'.'mytenant']
retry_interval = '5 mins'
[queue.'gmail.com'.'mytenant'.'welcome']
max_age = '1 hour'
protocol = { custom = "x" }
[queue.'*.example.com']
max_age = '3 hours'
]]

local function setup(text, more)
  return fresh('queue'):setup { path('queues.toml', text .. (more or '')) }
end

function cases.merging_follows_the_order_of_the_manual()
  local helper = setup(QUEUES)
  eq(helper:resolve_config('foo.com').max_age, '24 hours')
  eq(helper:resolve_config('gmail.com').max_age, '22 hours')
  eq(helper:resolve_config('a.example.com').max_age, '3 hours')
  eq(helper:resolve_config('gmail.com', 'mytenant').max_age, '10 hours')
  eq(helper:resolve_config('gmail.com', 'mytenant').retry_interval, '5 mins')
  local params = helper:resolve_config('gmail.com', 'mytenant', 'welcome')
  eq(params.max_age, '1 hour')
  eq(params.protocol.custom, 'x')
  eq(params.egress_pool, 'pool-1')
  eq(params.require_authz, nil)
  eq(params.overall_max_message_rate, nil)
  eq(params.routing_domain, nil)
  eq(helper:resolve_config('gmail.com', 'mytenant', 'protocol').max_age, '10 hours')
  eq(helper:resolve_config('gmail.com', 'max_age', 'max_age').max_age, '22 hours')
  eq(handlers.get_queue_config[1]('gmail.com', 'free').egress_pool, 'pool-0')
end

function cases.nothing_applies_where_nothing_is_written()
  local helper = fresh('queue'):setup { path('e.json', '{ // nothing\n}') }
  eq(helper:resolve_config('x', 'y', 'z'), nil)
  eq(handlers.get_queue_config[1]('x'), nil)
end

function cases.later_files_win_and_replace_lists()
  local helper = fresh('queue'):setup {
    path('1.toml', '[tenant.t]\nrequire_authz = ["a", "b"]\nmax_age="1h"\n[queue.d]\nmax_age = "1h"\n'),
    path('2.json', '{"tenant": {"t": {"require_authz": ["c"]}}, "queue": {"d": {"retry_interval": "2h"}}, "default_tenant": "t"}'),
  }
  eq(helper:resolve_config('d').max_age, '1h')
  eq(helper:resolve_config('d').retry_interval, '2h')
  fails("authz_id 'b' is not authorized", helper.apply, helper, message { meta = { authz_id = 'b' } })
  helper:apply(message { meta = { authz_id = 'c' } })
end

function cases.setting_up_twice_is_an_error()
  local queue = fresh 'queue'
  queue:setup_with_options { file_names = {}, skip_queue_config_hook = true }
  eq(handlers.get_queue_config, nil)
  fails('already been configured', queue.setup, queue, {})
end

function cases.faults_name_file_and_key()
  local function check(text, wanted)
    fails(wanted, setup, text)
  end
  check('tenent_header = "x"', 'queues.toml: tenent_header: no such key')
  check('tenant_header = 5', 'queues.toml: tenant_header: expected a string, not a number')
  check('[tenant.t]\nrequire_auth = ["x"]', "queues.toml: tenant.t.require_auth: ")
  check('[tenant.t]\nrequire_authz = "x"', 'tenant.t.require_authz: expected a table, not a string')
  check('[tenant.t]\nrequire_authz = [5]', 'tenant.t.require_authz: expected a list of strings')
  check('[tenant.t]\nmax_age = 5', "tenant.t.max_age: invalid type")
  check("[tenant.'a.b']\nmax_aga = '5'", "tenant.'a.b'.max_aga: unknown field")
  check('[tenant.t]\noverall_max_message_rate = "many"', 'tenant.t.overall_max_message_rate: ')
  check("[queue.'x.y'.t.c]\nmax_ago = '5'", "queue.'x.y'.t.c.max_ago: unknown field")
  check("[queue.'x.y'.t.c.d]\nmax_age = '5'", "queue.'x.y'.t.c.d: no table")
  check('[queue]\nx = 5', 'queue.x: expected a table')
  check('a = ', 'queues.toml:1:')
  local queue = fresh 'queue'
  fails('absent.toml', queue.setup, queue, { FOLDER .. '/absent.toml' })
end

function cases.what_was_read_before_outlives_a_mistake()
  local helper = setup "[queue.default]\nmax_age = '1h'"
  path('queues.toml', "[queue.default]\nmax_aga = '2h'")
  for _ = 1, 2 do
    eq(helper:resolve_config('x').max_age, '1h')
  end
  eq(#said, 1)
  assert(said[1]:find('queues.toml', 1, true) and said[1]:find('queue.default.max_aga', 1, true), said[1])
  path('queues.toml', "[queue.default]\nmax_age = '3h'")
  eq(helper:resolve_config('x').max_age, '3h')
  path('queues.toml', "[queue.default]\nmax_aga = '2h'")
  eq(helper:resolve_config('x').max_age, '3h')
  eq(#said, 2)
end

function cases.pools_and_the_default_tenant_must_exist()
  local queue = fresh 'queue'
  require('policy-extras.sources'):setup { path('s.toml', '[source.a]\n[pool.p.a]\n') }
  queue:setup { path('queues.toml', "[tenant.t]\negress_pool = 'q'") }
  for _, handler in ipairs(handlers.validate_config) do
    handler()
  end
  eq(validation_failed, true)
  assert(table.concat(said, '\n'):find("tenant 't' uses pool 'q'", 1, true))
  setup "default_tenant = 'x'"
  handlers.validate_config[1]()
  assert(table.concat(said, '\n'):find("default_tenant 'x'", 1, true))
end

---- queue: the guard ----

local function with_tenant(value, authz_id, more)
  local headers = { { 'From', 'me@example.org' } }
  if value then
    table.insert(headers, { 'X-Tenant', value })
  end
  for _, header in ipairs(more or {}) do
    table.insert(headers, header)
  end
  return message { headers = headers, meta = { authz_id = authz_id } }
end

function cases.tenants_of_the_identity_itself()
  local helper = setup(QUEUES)
  local function granted(value, authz_id, list, tenant)
    local msg = with_tenant(value, authz_id)
    msg.meta.authz_tenants, msg.meta.tenant = list, tenant
    return msg
  end
  local msg = granted(nil, 'scott', { 'other' })
  helper:apply(msg)
  eq(msg.meta.tenant, 'other')
  msg = granted(nil, 'scott', { 'other', 'mytenant' }, 'mytenant')
  helper:apply(msg)
  eq(msg.meta.tenant, 'mytenant')
  msg = granted('mytenant', 'scott', { 'other', 'mytenant' }, 'other')
  helper:apply(msg)
  eq(msg.meta.tenant, 'mytenant')
  fails("550 5.7.1 authz_id 'scott' is not authorized to send as tenant 'mytenant'", helper.apply, helper,
    granted('mytenant', 'scott', { 'other' }))
  fails("550 5.7.1 authz_id 'ann' is not authorized to send as tenant 'other'", helper.apply, helper,
    granted(nil, 'ann', { 'other' }))
  fails("tenant 'elsewhere' specified by authz_id 'scott' is not defined", helper.apply, helper,
    granted(nil, 'scott', { 'elsewhere' }))
  msg = granted(nil, 'nobody', { 'free' }, 'free')
  helper:apply(msg)
  eq(msg.meta.tenant, 'free')
end

-- By may_act_as of a record the gate lets scott be daniel; what a handler lets somebody be is a login without that mark.
function cases.who_acts_as_another_has_tenants_of_his_own()
  local helper = setup(QUEUES)
  local function acting(value, actor, as)
    local msg = with_tenant(value, as)
    msg.meta.authz_actor = actor
    return msg
  end
  local msg = acting('mytenant', 'scott', 'daniel')
  helper:apply(msg)
  eq(msg.meta.tenant, 'mytenant')
  fails("550 5.7.1 authn_id 'daniel' is not authorized to send as tenant 'mytenant'", helper.apply, helper,
    acting('mytenant', 'daniel', 'scott'))
end

function cases.a_named_tenant_needs_its_identity()
  local helper = setup(QUEUES)
  local msg = with_tenant('mytenant', 'scott')
  helper:apply(msg)
  eq(msg.meta.tenant, 'mytenant')
  eq(msg.meta.routing_domain, 'smart.example')
  eq(#msg.headers, 1)
  eq(msg.scheduled[2], true)
  fails("550 5.7.1 tenant 'mytenant' requires SMTP AUTH", helper.apply, helper, with_tenant 'mytenant')
  fails("550 5.7.1 tenant 'mytenant' requires SMTP AUTH", helper.apply, helper, with_tenant('mytenant', ''))
  fails(
    "550 5.7.1 authz_id 'daniel' is not authorized to send as tenant 'mytenant'",
    helper.apply, helper, with_tenant('mytenant', 'daniel')
  )
  fails(
    "550 5.7.1 tenant 'nosuch' specified by 'X-Tenant' header is not defined in your queue config",
    helper.apply, helper, with_tenant('nosuch', 'scott')
  )
  msg = with_tenant(nil, nil)
  helper:apply(msg)
  eq(msg.meta.tenant, 'free')
end

function cases.the_connection_says_who_it_is()
  local helper = setup(QUEUES)
  -- what the message says of itself does not count where the connection is at hand
  fails('requires SMTP AUTH', helper.apply, helper, with_tenant('mytenant', 'scott'), connection {})
  local msg = with_tenant('mytenant', 'daniel')
  helper:apply(msg, connection { authz_id = 'scott' })
  eq(msg.meta.tenant, 'mytenant')
end

function cases.headers_in_every_spelling_are_one()
  local helper = setup(QUEUES)
  local msg = with_tenant(' mytenant ', 'scott', { { 'x-tenant', 'mytenant' }, { 'X-TENANT', '\tmytenant\r\n ' } })
  helper:apply(msg)
  eq(msg.meta.tenant, 'mytenant')
  eq(#msg.headers, 1)
  fails(
    "550 5.7.1 more than one 'X-Tenant' header, with different values",
    helper.apply, helper, with_tenant('mytenant', 'scott', { { 'x-tEnant', 'free' } })
  )
  -- an empty header is no tenant, and hides none
  fails('more than one', helper.apply, helper, with_tenant('', 'scott', { { 'X-Tenant', 'free' } }))
  msg = with_tenant(' ', 'scott')
  helper:apply(msg)
  eq(msg.meta.tenant, 'free')
end

function cases.a_campaign_cannot_pretend_to_be_more()
  local helper = setup(QUEUES)
  local msg = with_tenant('mytenant', 'scott', { { 'X-Campaign', 'welcome' } })
  helper:apply(msg)
  eq(msg.meta.campaign, 'welcome')
  eq(#msg.headers, 1)
  for _, bad in ipairs { 'a:other', 'a@gmail.com', 'a!b', 'a\1b' } do
    fails('550 5.7.1 campaign', helper.apply, helper, with_tenant('mytenant', 'scott', { { 'X-Campaign', bad } }))
  end
end

function cases.domains_of_a_tenant()
  local helper = setup(QUEUES)
  local function try(sender, ...)
    local headers = { { 'X-Tenant', 'mytenant' } }
    for _, from in ipairs { ... } do
      table.insert(headers, { 'From', from })
    end
    helper:apply(message { sender = sender, headers = headers, meta = { authz_id = 'scott' } })
  end
  try('a@example.org', 'b@EXAMPLE.org')
  try('a@x.example.net', 'b@y.z.example.net')
  try('', 'b@example.org')
  fails("550 5.7.1 domain 'gmail.com' in MAIL FROM is not allowed for tenant 'mytenant'", try, 'a@gmail.com', 'b@example.org')
  fails("domain 'example.net' in From", try, 'a@example.org', 'b@example.net')
  fails("domain 'evil.com' in From", try, 'a@example.org', 'b@example.org,c@evil.com')
  fails("domain 'xexample.net'", try, 'a@example.org', 'b@xexample.net')
  fails('exactly one From', try, 'a@example.org', 'b@example.org', 'c@example.org')
  fails('exactly one From', try, 'a@example.org')
end

function cases.the_identity_decides_on_the_tenant()
  local helper = setup('tenant_from_authz = true\n', QUEUES:gsub('default_tenant[^\n]*\n', ''))
  local msg = with_tenant(nil, 'daniel')
  helper:apply(msg)
  eq(msg.meta.tenant, 'other')
  fails("authz_id 'scott' may send as several tenants (mytenant, other)", helper.apply, helper, with_tenant(nil, 'scott'))
  msg = with_tenant('other', 'scott')
  helper:apply(msg)
  eq(msg.meta.tenant, 'other')
  -- the header only narrows: a tenant open to all is not among those of the identity
  fails("authz_id 'scott' is not authorized", helper.apply, helper, with_tenant('free', 'scott'))
  fails("tenant 'free' requires SMTP AUTH", helper.apply, helper, with_tenant 'free')
  msg = with_tenant(nil, 'stranger')
  helper:apply(msg)
  eq(msg.meta.tenant, nil)
end

function cases.rates_of_tenant_and_campaign()
  setup(QUEUES)
  local asked = {}
  local make_throttle = kumo.make_throttle
  function kumo.make_throttle(name, spec)
    make_throttle(name, spec)
    return {
      delay_message_if_throttled = function()
        table.insert(asked, spec)
        return false
      end,
    }
  end
  handlers.throttle_insert_ready_queue[1](message { meta = { tenant = 'mytenant', campaign = 'welcome' } })
  eq(table.concat(asked, ' '), '100/s 10/s')
  handlers.throttle_insert_ready_queue[1](message { meta = { tenant = 'mytenant', campaign = 'other' } })
  handlers.throttle_insert_ready_queue[1](message {})
  eq(table.concat(asked, ' '), '100/s 10/s 100/s')
  kumo.make_throttle = make_throttle
end

---- listener_domains ----

local DOMAINS = [[
["example.com"]
relay_to = true
["*.example.com"]
log_oob = true
["auth.example"]
relay_to = false
relay_from_authz = ["john"]
[listener."127.0.0.1:25"."example.com"]
relay_to = false
]]

function cases.listener_domains()
  local lookup = fresh('listener_domains'):setup { path('domains.toml', DOMAINS) }
  local john = connection { authz_id = 'john', received_from = '10.0.0.1:4711' }
  eq(lookup('example.com', '0.0.0.0:25', connection {}).relay_to, true)
  eq(lookup('EXAMPLE.com', '127.0.0.1:25', connection {}).relay_to, false)
  eq(lookup('a.b.example.com', '0.0.0.0:25', connection {}).log_oob, true)
  eq(lookup('unknown', '0.0.0.0:25', connection {}), nil)
  eq(lookup('auth.example', 'x', john).relay_from[1], '10.0.0.1')
  eq(#lookup('auth.example', 'x', john).relay_from, 1)
  eq(lookup('auth.example', 'x', john).relay_from_authz, nil)
  eq(lookup('auth.example', 'x', connection { authz_id = 'jane', received_from = '10.0.0.1:1' }).relay_from, nil)
  eq(lookup('auth.example', 'x', connection { received_from = '10.0.0.1:1' }).relay_from, nil)
  eq(lookup('auth.example', 'x', connection { authz_id = '', received_from = '10.0.0.1:1' }).relay_from, nil)
  eq(lookup('auth.example', 'x', nil).relay_from, nil)
  local six = connection { authz_id = 'john', received_from = '[::1]:25' }
  eq(lookup('auth.example', 'x', six).relay_from[1], '::1')
end

function cases.listener_domains_fall_back_to_the_star()
  local lookup = fresh('listener_domains'):setup { path('domains.json', '{"*": {"relay_to": true}, // all\n "no.example": {"relay_to": false}}') }
  eq(lookup('any.example', 'x', connection {}).relay_to, true)
  eq(lookup('no.example', 'x', connection {}).relay_to, false)
end

function cases.listener_domains_faults()
  local function check(text, wanted)
    local domains = fresh 'listener_domains'
    fails(wanted, domains.setup, domains, { path('domains.toml', text) })
  end
  check("['a.b']\nrelay_too = true", "domains.toml: 'a.b'.relay_too: unknown field")
  check("['a.b']\nrelay_to = 'yes'", "domains.toml: 'a.b'.relay_to: invalid type")
  check("['a.b']\nrelay_from_authz = 'x'", "'a.b'.relay_from_authz: expected a table")
  check("[listener.'1:2'.'a.b']\nlog = 1", "listener.'1:2'.'a.b'.log: ")
  check('relay_to = true', 'domains.toml: relay_to: expected a table, not a boolean')
end

---- sources ----

function cases.sources()
  local sources = fresh 'sources'
  sources:setup {
    path('s1.toml', '[source.a]\nsource_address = "10.0.0.1"\n[source.b]\n[pool.p.a]\nweight = 2\n'),
    path('s2.json', '{"source": {"a": {"remote_port": 26}}, "pool": {"p": {"b": {}}}}'),
  }
  local a = handlers.get_egress_source[1] 'a'
  eq(a.name, 'a')
  eq(a.source_address, '10.0.0.1')
  eq(a.remote_port, 26)
  local p = handlers.get_egress_pool[1] 'p'
  eq(#p.entries, 2)
  eq(p.entries[1].weight, 2)
  eq(p.entries[2].name, 'b')
  eq(handlers.get_egress_pool[1] 'none', nil)
  fails('already been configured', sources.setup, sources, {})
  handlers.validate_config[1]()
  eq(validation_failed, false)
end

function cases.sources_faults()
  local function check(text, wanted)
    local sources = fresh 'sources'
    fails(wanted, sources.setup, sources, { path('s.toml', text) })
  end
  check('[sauce.a]', 's.toml: sauce: no such key')
  check('[source.a]\nsource_adress = "x"', 's.toml: source.a.source_adress: unknown field')
  check('[source.a]\n[pool.p.a]\nwaight = 1', 's.toml: pool.p.a.waight: no such key')
  check('[source.a]\n[pool.p.a]\nweight = "x"', 's.toml: pool.p.a.weight: expected a number')
  fresh('sources'):setup { path('s.toml', '[pool.p.a]') }
  handlers.validate_config[1]()
  eq(validation_failed, true)
  assert(said[1]:find("pool 'p' references source 'a' which is not defined", 1, true), said[1])
end

---- policy_utils ----

function cases.policy_utils()
  local utils = require 'policy-extras.policy_utils'
  local ip, port = utils.split_ip_port '[::1]:25'
  eq(ip .. ' ' .. port, '::1 25')
  fails('not an address', utils.split_ip_port, 'nonsense')
  utils.assert_eq({ a = { 1, 2 } }, { a = { 1, 2 } })
  utils.assert_ne({ a = 1 }, { a = 1, b = 2 })
  fails('expected', utils.assert_eq, { a = 1 }, { a = 2 })
  local dest = { a = { x = 1 }, b = 1 }
  utils.recursive_merge_into({ a = { y = 2 }, c = 3 }, dest)
  utils.assert_eq(dest, { a = { x = 1, y = 2 }, b = 1, c = 3 })
  eq(utils.dumps { b = 'x', a = { 1 } }, '{\n  ["a"] = {\n    [1] = 1,\n  },\n  ["b"] = "x",\n}')
  eq(utils.starts_with('abc', 'ab'), true)
  eq(utils.ends_with('abc', ''), true)
  eq(utils.ends_with('abc', 'bc'), true)
  eq(utils.table_contains({ 'a' }, nil), false)
end

local names = {}
for name in pairs(cases) do
  table.insert(names, name)
end
table.sort(names)
for _, name in ipairs(names) do
  local ok, err = pcall(cases[name])
  if not ok then
    error(name .. ': ' .. tostring(err), 0)
  end
end
if #names < 18 then error "cases are missing" end
