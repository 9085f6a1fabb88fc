-- What the policies of the benchmark share; each says with these what it is about.

local kumo = require 'kumo'

local common = { dir = os.getenv 'GATEPOST_BENCH_DIR' }

-- One spool, one log, one listener; `more` of its parameters.
function common.start(more)
  local listener = {
    listen = '127.0.0.1:0',
    hostname = 'bench.example',
    -- what a refusal costs is measured, not how long it is held back
    auth_failure_delay = '0s',
  }
  for name, value in pairs(more or {}) do
    listener[name] = value
  end
  kumo.define_spool { name = 'data', path = common.dir .. '/spool', min_free_space = 0 }
  kumo.configure_local_logs { log_dir = common.dir .. '/logs', min_free_space = 0 }
  kumo.start_esmtp_listener(listener)
end

function common.users_in_a_table()
  local users = { ['scott'] = 'tiger' }

  kumo.on('smtp_server_auth_plain', function(authz, authc, password)
    if password == '' then
      return false
    end
    return users[authc] == password
  end)
end

function common.relay_who_logged_in()
  kumo.on('get_listener_domain', function(domain, listener, conn_meta)
    if conn_meta:get_meta 'authz_id' then
      return kumo.make_listener_domain { relay_to = true }
    end
  end)
end

function common.discard()
  kumo.on('smtp_server_message_received', function(msg)
    msg:set_meta('queue', 'null')
  end)
end

-- To the sink at the address that `host_of` has for a domain, over at most so many connections.
function common.deliver_to(host_of, connection_limit)
  local port = os.getenv 'GATEPOST_BENCH_SINK_PORT'

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
      connection_limit = connection_limit,
    }
  end)
end

return common
