-- As relay.lua, for a spool that was filled: every domain has a host of its own, or all have the same; what comes in
-- by SMTP waits for an hour.

local kumo = require 'kumo'
local common = require 'common'

local each_its_own = os.getenv 'GATEPOST_BENCH_SITES' == 'many'

kumo.on('init', function()
  common.start { max_connections = 100000, client_timeout = '1 hour' }
  kumo.start_http_listener { listen = '127.0.0.1:0' }
end)
common.users_in_a_table()
common.relay_who_logged_in()

kumo.on('smtp_server_message_received', function(msg)
  msg:set_scheduling { first_attempt = os.date('!%Y-%m-%dT%H:%M:%SZ', os.time() + 3600) }
end)

-- d4711.example lives at 127.18.103.1
local function host_of(domain)
  local number = tonumber(domain:match '^d(%d+)%.example$')
  if not each_its_own or not number then
    return '127.0.0.1'
  end
  return string.format('127.%d.%d.1', 1 + number // 256, number % 256)
end

common.deliver_to(host_of, each_its_own and 1 or 20)
