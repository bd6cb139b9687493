--- lua-http: GETs of one URL, K connections side by side.
-- in_flight_lua_http.lua URL COUNT K BYTES
local cqueues = require "cqueues"
local http = require "spec.bench.peers.http_connection"
local lap = require "spec.bench.lib.lap"

local url, count, k, size = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local path = url:match "^%w+://[^/]+(/.*)$"
local connections = {}

local function get_all(n)
  local left, loop = n, cqueues.new()
  for i = 1, k do
    loop:wrap(function()
      while left > 0 do
        left = left - 1
        local c = connections[i]
        if not c then
          c = { http.connect(url) }
          connections[i] = c
        end
        assert(#http.get(c[1], c[2], path) == size, "not the answer that was expected")
      end
    end)
  end
  assert(loop:loop())
end

get_all(k)
get_all(100)
local begin = lap.begin()
get_all(count)
lap.finish(begin, count)
