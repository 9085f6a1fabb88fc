-- As static.lua, with the users in SQLite and the answers remembered: each login but the first is
-- answered from memory.

local kumo = require 'kumo'
local sqlite = require 'sqlite'

local dir = os.getenv 'GATEPOST_BENCH_DIR'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool', min_free_space = 0 }
  kumo.configure_local_logs { log_dir = dir .. '/logs', min_free_space = 0 }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:0',
    hostname = 'bench.example',
    -- what a refusal costs is measured, not how long it is held back
    auth_failure_delay = '0s',
  }
end)

local check = kumo.memoize(function(user, password)
  local db = sqlite.open(dir .. '/auth.db')
  local found = db:execute('select user from auth where user = ? and pass = ?', user, password)
  return found[1] == user
end, { name = 'auth', ttl = '5 minutes', capacity = 1000 })

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return check(authc, password)
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('queue', 'null')
end)
