--- lua-http: GETs of one URL, K connections side by side.
-- in_flight_lua_http.lua URL COUNT K BYTES
local cqueues = require "cqueues"
local lap = require "spec.bench.lib.lap"
local new_client = require "spec.bench.peers.clients.lua_http"

local url, count, k, size = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local clients = {}
for i = 1, k do clients[i] = new_client() end

local function get_all(n)
  local left, loop = n, cqueues.new()
  for _, get in ipairs(clients) do
    loop:wrap(function()
      while left > 0 do
        left = left - 1
        assert(#get(url) == size, "not the answer that was expected")
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
