--- What the caller of the chain does of its own, alone.
-- work.lua PAGES WORK_MS
local lap = require "spec.bench.lib.lap"

local pages = tonumber(arg[1])
local work = lap.work(tonumber(arg[2]) / 1000)
local begin = lap.begin()
for _ = 1, pages do work() end
lap.finish(begin, pages)
