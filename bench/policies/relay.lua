-- As static.lua, but every message goes on to the sink, over plain TCP.

local kumo = require 'kumo'

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

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    protocol = { smtp = { mx_list = { '[127.0.0.1]:' .. os.getenv 'GATEPOST_BENCH_SINK_PORT' } } },
  }
end)

kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {
    enable_tls = 'Disabled',
    -- the sink is on this machine, where a real relay refuses to deliver
    prohibited_hosts = {},
    -- as many as the other side of the comparison opens to one server
    connection_limit = 20,
  }
end)
