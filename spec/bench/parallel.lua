--- Requests to a location that answers late, many in flight at once.
-- parallel.lua URL COUNT CONCURRENCY inline|threaded -> prints "<wall seconds>".
local garner = require "garner"
local core = require "garner.core"

local url, count, concurrency, mode = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4]
garner.engine { thread = mode == "threaded" }
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base }

local function get()
  return garner.check(client:get(path)).status
end

local fns = {}
for i = 1, count do fns[i] = get end
get()
local wall = core.now()
local results = garner.all(fns, { concurrency = concurrency })
local took = core.now() - wall
for i = 1, count do assert(results[i].ok, tostring(results[i].err)) end
print(("%.6f"):format(took))
