--- What a client holds that does nothing any more, after a request of its own: KiB of the process.
-- memory.lua URL CLIENTS
local garner = require "garner"
local memory = require "spec.bench.lib.memory"

local base, path = arg[1]:match("^(%w+://[^/]+)(/.*)$")

memory.per_client(function()
  local client = garner.client { base_url = base, token = "t" }
  garner.check(client:get(path))
  return client
end, tonumber(arg[2]))
