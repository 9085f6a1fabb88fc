-- What tools/demo runs: users in SQLite, one tenant that only scott may use, everything delivered
-- to the sink beside it. Ports and paths come from the environment.

local kumo = require 'kumo'
local sqlite = require 'sqlite'
local queue_module = require 'policy-extras.queue'

local dir = os.getenv 'GATEPOST_DEMO_DIR'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = dir .. '/spool', min_free_space = 0 }
  kumo.configure_local_logs {
    log_dir = dir .. '/logs',
    min_free_space = 0,
    max_segment_duration = '10 minutes',
    headers = { 'Subject' },
    meta = { 'tenant', 'authz_id' },
  }
  kumo.start_http_listener { listen = '127.0.0.1:' .. os.getenv 'GATEPOST_DEMO_HTTP_PORT' }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:' .. os.getenv 'GATEPOST_DEMO_SMTP_PORT',
    hostname = 'localhost',
    -- without this, programs on this machine may relay without a login
    relay_hosts = {},
  }
end)

-- Who is it? Asked of SQLite, on a thread of its own.
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  local db = sqlite.open(dir .. '/auth.db')
  local found = db:execute('select user from auth where user = ? and pass = ?', authc, password)
  return found[1] == authc
end)

-- Whoever has logged in may relay ...
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)

-- ... as the tenants that are theirs.
local queue_helper = queue_module:setup { dir .. '/tenants.toml' }

kumo.on('smtp_server_message_received', function(msg, conn_meta)
  queue_helper:apply(msg)
end)

kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {
    enable_tls = 'OpportunisticInsecure',
    -- the sink is on this machine, where a real relay refuses to deliver
    prohibited_hosts = {},
  }
end)
