-- SPDX-License-Identifier: Apache-2.0
--
-- The data files of the helpers. They are read when the policy is loaded, so that a mistake in
-- them stops a start, and a reload as well: the policy before it goes on. They are read
-- again when they have changed; should that fail, what was read last goes on serving.

local kumo = require 'kumo'
local check = require 'gatepost.check'

local data_files = {}

-- Returns a function that returns what load(files) makes of the files now. `name` is that of
-- the cache which the program's threads share, `ttl` how long nobody looks at the files.
function data_files.keep(name, files, ttl, load)
  local cached_load = kumo.memoize(load, {
    name = name,
    ttl = ttl,
    capacity = 10,
    invalidate_with_epoch = true,
  })
  local last = cached_load(files)
  local complaint

  return function()
    local ok, result = pcall(cached_load, files)
    if ok then
      last, complaint = result, nil
    elseif complaint ~= tostring(result) then
      complaint = tostring(result)
      kumo.log_error(('%s: not read, what was read before goes on serving: %s'):format(check.labels(files), complaint))
    end
    return last
  end
end

return data_files
