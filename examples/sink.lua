-- Takes every message from loopback and forgets it: the other end of a test, and no reason to keep a part of the disk free.

local kumo = require 'kumo'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/sink', flush = false, min_free_space = 0 }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost/sink', headers = { 'Subject', 'From' }, min_free_space = 0 }
  kumo.start_esmtp_listener {
    listen = '127.0.0.1:2526',
    hostname = 'sink.example.com',
    relay_hosts = { '127.0.0.0/8' },
  }
end)

-- The null queue: logged as received, then discarded.
kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('queue', 'null')
end)
