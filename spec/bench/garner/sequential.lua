--- Sequential GETs on one connection.
-- sequential.lua URL COUNT BYTES
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local url, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3])
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base }

local function get()
  local res = garner.check(client:get(path))
  assert(res.status == 200 and #res.body == size, "not the answer that was expected")
end

for _ = 1, 100 do get() end
local begin = lap.begin()
for _ = 1, count do get() end
lap.finish(begin, count)
