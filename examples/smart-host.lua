-- Everything goes to one next server, over verified TLS, logging in there.

local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost' }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:25',
    hostname = 'relay.example.com',
    -- local programs may send without a login
    relay_hosts = { '127.0.0.1' },
  }
end)

kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  return kumo.make_queue_config {
    protocol = { smtp = { mx_list = { 'smtp.provider.example' } } },
    max_age = '3 days',
  }
end)

kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {
    smtp_port = 587,
    enable_tls = 'Required',
    smtp_auth_plain_username = 'our-account',
    smtp_auth_plain_password = { key_data = 'our-password' },
    connection_limit = 4,
  }
end)
