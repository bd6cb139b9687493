--- Sequential GETs through garner on one connection, for comparison with bare.c.
-- sequential.lua URL COUNT inline|threaded -> prints "<CPU seconds> <wall seconds>".
local garner = require "garner"
local core = require "garner.core"

local url, count, mode = arg[1], tonumber(arg[2]), arg[3]
garner.engine { thread = mode == "threaded" }
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base }

local function get()
  local res = garner.check(client:get(path))
  assert(res.status == 200 and #res.body > 0)
end

get()
local cpu, wall = os.clock(), core.now()
for _ = 1, count do get() end
print(("%.6f %.6f"):format(os.clock() - cpu, core.now() - wall))
