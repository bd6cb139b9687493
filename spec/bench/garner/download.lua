--- One download to a file, and what memory it took above an idle client.
-- download.lua URL FILE BYTES [sha256]
local garner = require "garner"
local lap = require "spec.bench.lib.lap"
local memory = require "spec.bench.lib.memory"

local url, file, size = arg[1], arg[2], tonumber(arg[3])
local base = url:match "^%w+://[^/]+"
local client = garner.client { base_url = base }

os.remove(file)
garner.check(client:get "/1k")
collectgarbage()
memory.forget()
local idle = memory.now()
local begin = lap.begin()
local got = garner.check(client:download(url, file, { sha256 = arg[4] == "sha256" or nil }))
local most = memory.most()
assert(got.size == size, "not the size that was expected")
lap.finish(begin, 1, { memory = most - idle })
os.remove(file)
