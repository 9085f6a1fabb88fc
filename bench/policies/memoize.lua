-- As static.lua, with the users in SQLite and the answers remembered: each login but the first is
-- answered from memory.

local kumo = require 'kumo'
local sqlite = require 'sqlite'
local common = require 'common'

local check = kumo.memoize(function(user, password)
  local db = sqlite.open(common.dir .. '/auth.db')
  local found = db:execute('select user from auth where user = ? and pass = ?', user, password)
  return found[1] == user
end, { name = 'auth', ttl = '5 minutes', capacity = 1000 })

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return check(authc, password)
end)

kumo.on('init', common.start)
common.relay_who_logged_in()
common.discard()
