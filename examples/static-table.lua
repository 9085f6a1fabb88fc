-- The smallest relay that knows its users: a table of names and passwords.
--
--   gatepostd --policy examples/static-table.lua
--
-- AUTH is offered after STARTTLS only. The certificate is self-signed until you name one.

local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.define_spool { name = 'meta', path = '/var/spool/gatepost/meta' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost' }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:587',
    hostname = 'relay.example.com',
    -- by default programs on this machine may relay without a login; not here
    relay_hosts = {},
    -- tls_certificate = '/etc/gatepost/relay.pem',
    -- tls_private_key = '/etc/gatepost/relay.key',
  }
end)

local users = {
  ['scott'] = 'tiger',
}

kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if password == '' then
    return false
  end
  return users[authc] == password
end)

-- Authentication alone grants nothing: this is what lets a user relay.
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)
