--- luasocket: sequential GETs on one connection.
-- sequential_luasocket.lua URL COUNT BYTES
local lap = require "spec.bench.lib.lap"
local luasocket = require "spec.bench.peers.luasocket_connection"

local url, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3])
local create = luasocket.keeper()

local function get()
  assert(#luasocket.get(url, create) == size, "not the answer that was expected")
end

for _ = 1, 100 do get() end
local begin = lap.begin()
for _ = 1, count do get() end
lap.finish(begin, count)
