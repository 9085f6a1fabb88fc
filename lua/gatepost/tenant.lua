-- SPDX-License-Identifier: Apache-2.0
--
-- The tenant guard: whose mail a message is, and whether whoever sends it may say so. The
-- queue helper asks it for every message that comes in. What a client writes into headers is
-- a wish; what counts is who logged in, which the server alone notes down. Where the user's record
-- or groups name tenants (gatepost.auth), it is one of those; else require_authz of the file decides.

local kumo = require 'kumo'
local utils = require 'policy-extras.policy_utils'

local tenant = {}

-- Ends the message. The texts are the ones KumoMTA's helper has; the code says that the
-- sender's rights are at fault (RFC 3463), where a bare 500 says nothing.
local function refuse(format, ...)
  kumo.reject(550, '5.7.1 ' .. format:format(...))
end

-- White space at the ends and folds inside are not part of a name.
local function plain(value)
  return (value:gsub('%s+', ' '):match '^ ?(.-) ?$')
end

-- The one value of the headers of this name, however often and in whatever spelling they
-- occur. Two that differ are an attempt to show one tenant to us and another to somebody else.
local function one_value(msg, header)
  local found
  for _, value in ipairs(msg:get_all_named_header_values(header)) do
    value = plain(value)
    if found and found ~= value then
      refuse("more than one '%s' header, with different values", header)
    end
    found = value
  end
  return found
end

-- Takes the value of a header; all headers of the name go, if the file says so.
function tenant.take_header(msg, header, remove)
  local value = header and one_value(msg, header)
  if header and remove then -- also where none can be read: others may read more into a name that is written oddly
    msg:remove_all_named_headers(header)
  end
  return value ~= '' and value or nil
end

local function named(label, name)
  return type(name) == 'string' and name ~= '' and { name = name, shown = ("%s '%s'"):format(label, name) } or nil
end

-- Whose tenants count, as the server noted it: on the connection if that is at hand, or in what of
-- it was copied to the message. Who acts as another by a record's may_act_as goes by the name of the
-- other, but has none of the other's tenants.
local function identity(msg, conn_meta)
  return named('authn_id', msg:get_meta 'authz_actor') or named('authz_id', (conn_meta or msg):get_meta 'authz_id')
end

-- The tenants that have this identity in require_authz, as a sorted list of names.
local function tenants_of(data, who)
  local names = {}
  for name, config in pairs(data.tenants) do
    if config.require_authz and utils.table_contains(config.require_authz, who.name) then
      table.insert(names, name)
    end
  end
  table.sort(names)
  return names
end

-- For tenant_from_authz: the tenant that the identity alone decides on.
local function derive(data, who)
  local names = who and tenants_of(data, who) or {}
  local default = data.options.default_tenant
  if #names > 1 and not utils.table_contains(names, default) then
    refuse(
      "%s may send as several tenants (%s): say which%s",
      who.shown,
      table.concat(names, ', '),
      data.options.tenant_header and (" in a '%s' header"):format(data.options.tenant_header) or ''
    )
  end
  if #names == 1 then
    return names[1]
  end
end

-- The tenants of who logged in (the record's, the groups', the AuthInfo's), as the server's guard found them and
-- noted them down at the end of data; nil where it knows of none.
local function granted(msg)
  local list = msg:get_meta 'authz_tenants'
  return type(list) == 'table' and list[1] and list or nil
end

-- Which of them this message is of: what the gate settled on, else the first.
local function settled(msg, list)
  local name = msg:get_meta 'tenant'
  return utils.table_contains(list, name) and name or list[1]
end

-- The name asked for and where it came from; nothing when there is none.
local function asked_for(msg, data, who, list)
  local options = data.options
  local name = tenant.take_header(msg, options.tenant_header, options.remove_tenant_header)
  if name then
    return name, ("'%s' header"):format(options.tenant_header)
  end
  if list then
    return settled(msg, list), who and who.shown or 'login'
  end
  name = options.tenant_from_authz and derive(data, who)
  if name then
    return name, 'tenant_from_authz option'
  end
  return options.default_tenant, 'default_tenant option'
end

-- A tenant of the identity's own needs no naming; where the file names identities, it has to name this one too.
local function check_identity(name, config, who, list, must_be_named)
  if list and not utils.table_contains(list, name) then
    refuse("%s is not authorized to send as tenant '%s'", who and who.shown or 'login', name)
  end
  if not config.require_authz and not must_be_named then
    return
  end
  if not who then
    refuse("tenant '%s' requires SMTP AUTH", name)
  end
  if not utils.table_contains(config.require_authz or {}, who.name) then
    refuse("%s is not authorized to send as tenant '%s'", who.shown, name)
  end
end

-- `*.example.com` stands for the names below it, as everywhere.
local function is_allowed(domains, domain)
  domain = domain:lower()
  for _, allowed in ipairs(domains) do
    allowed = allowed:lower()
    if allowed == domain then
      return true
    end
    if allowed:sub(1, 2) == '*.' and utils.ends_with(domain, allowed:sub(2)) and #domain >= #allowed then
      return true
    end
  end
  return false
end

local function check_domain(name, config, domain, where)
  if not is_allowed(config.allowed_domains, domain) then
    refuse("domain '%s' in %s is not allowed for tenant '%s'", domain, where, name)
  end
end

-- From: exactly one header, and every author in it from an allowed domain.
local function check_from(msg, name, config)
  local count = #msg:get_all_named_header_values 'From'
  local ok, list = pcall(function()
    return msg:from_header().list
  end)
  if count ~= 1 or not ok or #list == 0 then
    refuse("tenant '%s' must have exactly one From header with an address", name)
  end
  for _, author in ipairs(list) do
    check_domain(name, config, author.domain or '', 'From')
  end
end

-- A bounce has no sender to check; its From is checked all the same.
local function check_domains(msg, name, config)
  if not config.allowed_domains then
    return
  end
  local sender = msg:sender()
  if sender and tostring(sender) ~= '' then
    check_domain(name, config, sender.domain or '', 'MAIL FROM')
  end
  check_from(msg, name, config)
end

-- The tenant of a message, or nil where none is configured; refuses the message otherwise.
function tenant.of(msg, data, conn_meta)
  local who = identity(msg, conn_meta)
  local list = granted(msg)
  local name, origin = asked_for(msg, data, who, list)
  if not name then
    return nil
  end
  local config = data.tenants[name]
  if not config then
    refuse("tenant '%s' specified by %s is not defined in your queue config", name, origin)
  end
  -- with tenant_from_authz a header may only choose among the tenants of the identity
  local chosen = data.options.tenant_from_authz and not list and origin ~= 'default_tenant option'
  check_identity(name, config, who, list, chosen)
  check_domains(msg, name, config)
  return name
end

return tenant
