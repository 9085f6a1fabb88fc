-- Passwords in HashiCorp Vault (KV version 2), one secret per user:
--
--   vault kv put -mount=secret smtp-auth/scott key=tiger
--   VAULT_ADDR=https://vault.example.com:8200 VAULT_TOKEN=... gatepostd --policy examples/vault.lua
--
-- A user name is one encoded path segment: '..' and the like never reach Vault. A Vault that is
-- sealed, away or denies us is answered 454, a user it does not know 535.

local kumo = require 'kumo'

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
  return password == kumo.secrets.load {
    vault_mount = 'secret',
    vault_path = 'smtp-auth/' .. user,
  }
end

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return check(authc, password)
end)

kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if conn_meta:get_meta 'authz_id' then
    return kumo.make_listener_domain { relay_to = true }
  end
end)
