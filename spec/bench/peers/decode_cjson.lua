--- lua-cjson: one document, decoded again and again.
-- decode_cjson.lua FILE TIMES
local cjson = require "cjson"
local lap = require "spec.bench.lib.lap"

local file = assert(io.open(arg[1], "rb"))
local text, times = file:read "*a", tonumber(arg[2])
file:close()

local decode = cjson.decode
assert(decode(text))
collectgarbage()
local begin = lap.begin()
for _ = 1, times do assert(decode(text)) end
collectgarbage() -- what was left for later is paid now
lap.finish(begin, times)
