-- As relay.lua, for a spool that was filled: every domain has a host of its own, or all have the same; what comes in
-- by SMTP waits for an hour.

local kumo = require 'kumo'

local dir = os.getenv 'GATEPOST_BENCH_DIR'
local port = os.getenv 'GATEPOST_BENCH_SINK_PORT'
local each_its_own = os.getenv 'GATEPOST_BENCH_SITES' == 'many'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool', min_free_space = 0 }
  kumo.configure_local_logs { log_dir = dir .. '/logs', min_free_space = 0 }
  kumo.start_http_listener { listen = '127.0.0.1:0' }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:0',
    hostname = 'bench.example',
    max_connections = 100000,
    client_timeout = '1 hour',
  }
end)

local users = { ['scott'] = 'tiger' }

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  if password == '' then
    return false
  end
  return users[authc] == password
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

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

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    protocol = { smtp = { mx_list = { '[' .. host_of(domain) .. ']:' .. port } } },
  }
end)

kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {
    enable_tls = 'Disabled',
    -- the sink is on this machine, where a real relay refuses to deliver
    prohibited_hosts = {},
    connection_limit = each_its_own and 1 or 20,
  }
end)
