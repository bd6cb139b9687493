--- Another client's, after a request each: KiB of the process.
-- memory.lua CLIENT URL CLIENTS
local memory = require "spec.bench.lib.memory"

local new_client = require("spec.bench.peers.clients." .. arg[1])

memory.per_client(function()
  local get = new_client()
  get(arg[2])
  return get
end, tonumber(arg[3]))
