-- As sqlite.lua, with the answers remembered for five minutes and shared by all threads.
--
-- The arguments are kept as a keyed hash, never as text, and a stream of wrong passwords cannot
-- push good entries out. Within `ttl` a changed password still works and a new one may still be
-- refused: choose it with that in mind.

local kumo = require 'kumo'
local sqlite = require 'sqlite'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost' }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:587',
    hostname = 'relay.example.com',
    relay_hosts = {}, -- programs on this machine must log in too
  }
end)

local check = kumo.memoize(function(user, password)
  local db = sqlite.open '/etc/gatepost/auth.db'
  local found = db:execute('select user from auth where user = ? and pass = ?', user, password)
  return found[1] == user
end, {
  name = 'auth',
  ttl = '5 minutes',
  capacity = 10000,
})

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return check(authc, password)
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)
