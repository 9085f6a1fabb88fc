-- Users in a Lua table; every message is spooled, answered after the sync, and then discarded.

local kumo = require 'kumo'
local common = require 'common'

kumo.on('init', common.start)
common.users_in_a_table()
common.relay_who_logged_in()
common.discard()
