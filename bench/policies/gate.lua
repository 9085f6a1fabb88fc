-- As static.lua, with the users of auth.toml, which the benchmark writes.

local kumo = require 'kumo'
local auth = require 'gatepost.auth'
local common = require 'common'

auth:setup { common.dir .. '/auth.toml' }

kumo.on('init', function()
  common.start {
    relay_hosts = {},
    auth_failure_delay = os.getenv 'GATEPOST_BENCH_FAILURE_DELAY',
    auth_mechanisms = os.getenv 'GATEPOST_BENCH_MECHANISM' and { os.getenv 'GATEPOST_BENCH_MECHANISM' },
    tls_required_client_ca = os.getenv 'GATEPOST_BENCH_CLIENT_CA',
  }
end)
common.relay_who_logged_in()
common.discard()
