--- The rows of one huge body, one by one while it is still arriving.
-- rows.lua URL COUNT
local garner = require "garner"
local lap = require "spec.bench.lib.lap"
local memory = require "spec.bench.lib.memory"

local url, count = arg[1], tonumber(arg[2])
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base }

local seen, last = 0, nil
local begin = lap.begin()
for row in client:rows(path, { items = "data.items" }) do
  seen, last = seen + 1, row
end
assert(seen == count and tonumber(last.id) == count, "not the rows that were expected")
lap.finish(begin, count, { memory = memory.most() })
