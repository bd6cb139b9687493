--- lua-curl: handles that did one request each and keep their connection.
-- memory_lua_curl.lua URL CLIENTS
local curl = require "curl"
local lap = require "spec.bench.lib.lap"
local memory = require "spec.bench.lib.memory"

local url, count = arg[1], tonumber(arg[2])

local function make()
  local easy = curl.easy_init()
  easy:setopt(curl.OPT_URL, url)
  easy:setopt(curl.OPT_WRITEFUNCTION, function(data) return #data end)
  assert(easy:perform())
  return easy
end

local clients = { make() }
collectgarbage()
collectgarbage()
local before, begin = memory.now(), lap.begin()
for i = 1, count do clients[i + 1] = make() end
collectgarbage()
collectgarbage()
lap.finish(begin, count, { kib = (memory.now() - before) * 1024 / count })
assert(#clients == count + 1)
