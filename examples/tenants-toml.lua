-- Tenants as data: who may send as which, and how each one's queues behave.
-- The tenant comes from a header that only its own users may set; see tenants.toml.

local kumo = require 'kumo'
local queue_module = require 'policy-extras.queue'
local sources = require 'policy-extras.sources'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost', meta = { 'tenant', 'authz_id' } }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:587',
    hostname = 'relay.example.com',
    relay_hosts = {}, -- programs on this machine must log in too
  }
end)

local queue_helper = queue_module:setup { '/etc/gatepost/tenants.toml' }
sources:setup { '/etc/gatepost/sources.toml' }

local users = {
  ['scott'] = 'tiger',
  ['mia'] = 'lion',
}

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return password ~= '' and users[authc] == password
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

-- Refuses what is not the sender's to use, and names the queue of what is.
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  queue_helper:apply(msg)
end)
