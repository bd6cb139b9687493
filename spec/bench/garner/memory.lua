--- What a client holds that does nothing any more, after a request of its own: KiB of the process.
-- memory.lua URL CLIENTS
local garner = require "garner"
local lap = require "spec.bench.lib.lap"
local memory = require "spec.bench.lib.memory"

local count = tonumber(arg[2])
local base, path = arg[1]:match("^(%w+://[^/]+)(/.*)$")

local function make()
  local client = garner.client { base_url = base, token = "t" }
  garner.check(client:get(path))
  return client
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
