-- As static.lua, with the users of auth.toml, which the benchmark writes.

local kumo = require 'kumo'
local auth = require 'gatepost.auth'

local dir = os.getenv 'GATEPOST_BENCH_DIR'

auth:setup { dir .. '/auth.toml' }

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool', min_free_space = 0 }
  kumo.configure_local_logs { log_dir = dir .. '/logs', min_free_space = 0 }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:0',
    hostname = 'bench.example',
    relay_hosts = {},
    -- what a refusal costs is measured, not how long it is held back
    auth_failure_delay = os.getenv 'GATEPOST_BENCH_FAILURE_DELAY' or '0s',
    tls_required_client_ca = os.getenv 'GATEPOST_BENCH_CLIENT_CA',
  }
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('queue', 'null')
end)
