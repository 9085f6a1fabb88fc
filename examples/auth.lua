-- Users from auth.toml, beside this file: no handler of ours has to know a password.
local kumo = require 'kumo'
local auth = require 'gatepost.auth'

auth:setup { 'auth.toml' }

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost' }
  kumo.start_esmtp_listener { listen = '0.0.0.0:587', hostname = 'mail.example.com', relay_hosts = {} }
end)

-- Whoever has logged in may relay.
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

-- The last word about somebody whose password was right; nil lets in.
kumo.on('smtp_server_authenticated', function(info, conn_meta)
  for _, group in ipairs(info.groups) do
    if group == 'bulk' then
      kumo.log_info('a bulk sender has logged in')
    end
  end
end)
