-- Users in a SQLite table, looked up at each login:
--
--   sqlite3 /etc/gatepost/auth.db "create table auth (user text primary key, pass text)"
--   sqlite3 /etc/gatepost/auth.db "insert into auth values ('scott', 'tiger')"
--
-- The query runs on a thread of its own kind: a slow disk holds up this login and nobody else.
-- A database that cannot be read is answered 454, so that clients keep their password.

local kumo = require 'kumo'
local sqlite = require 'sqlite'

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/gatepost/data' }
  kumo.configure_local_logs { log_dir = '/var/log/gatepost' }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:587',
    hostname = 'relay.example.com',
    relay_hosts = {}, -- programs on this machine must log in too
  }
end)

local function check(user, password)
  local db = sqlite.open '/etc/gatepost/auth.db'
  local found = db:execute('select user from auth where user = ? and pass = ?', user, password)
  return found[1] == user
end

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return check(authc, password)
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)
