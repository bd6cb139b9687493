--- lua-http: sequential GETs on one connection.
-- sequential_lua_http.lua URL COUNT BYTES
local http = require "spec.bench.peers.http_connection"
local lap = require "spec.bench.lib.lap"

local url, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3])
local path = url:match "^%w+://[^/]+(/.*)$"
local connection, authority = http.connect(url)

local function get()
  assert(#http.get(connection, authority, path) == size, "not the answer that was expected")
end

for _ = 1, 100 do get() end
local begin = lap.begin()
for _ = 1, count do get() end
lap.finish(begin, count)
