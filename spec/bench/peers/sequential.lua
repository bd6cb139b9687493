--- Sequential GETs on one connection, by another client.
-- sequential.lua CLIENT URL COUNT BYTES
local lap = require "spec.bench.lib.lap"

local get = require("spec.bench.peers.clients." .. arg[1])()
local url, count, size = arg[2], tonumber(arg[3]), tonumber(arg[4])

local function once()
  assert(#get(url) == size, "not the answer that was expected")
end

for _ = 1, 100 do once() end
local begin = lap.begin()
for _ = 1, count do once() end
lap.finish(begin, count)
