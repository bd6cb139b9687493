--- One document, decoded again and again.
-- decode.lua FILE TIMES
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local file = assert(io.open(arg[1], "rb"))
local text, times = file:read "*a", tonumber(arg[2])
file:close()

local decode = garner.json.decode
assert(decode(text))
collectgarbage()
local begin = lap.begin()
for _ = 1, times do assert(decode(text)) end
collectgarbage() -- what was left for later is paid now
lap.finish(begin, times)
