-- As static.lua, but every message goes on to the sink, over plain TCP.

local kumo = require 'kumo'
local common = require 'common'

kumo.on('init', common.start)
common.users_in_a_table()
common.relay_who_logged_in()
-- as many connections as the other side of the comparison opens to one server
common.deliver_to(function() return '127.0.0.1' end, 20)
