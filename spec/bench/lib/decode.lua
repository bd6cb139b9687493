-- One document decoded again and again, by garner's decoder or another: arguments FILE TIMES.
local lap = require "spec.bench.lib.lap"

---@param decode fun(text: string): any
return function(decode)
  local file = assert(io.open(arg[1], "rb"))
  local text, times = file:read "*a", tonumber(arg[2])
  file:close()

  assert(decode(text))
  collectgarbage()
  local begin = lap.begin()
  for _ = 1, times do assert(decode(text)) end
  collectgarbage() -- what was left for later is paid now
  lap.finish(begin, times)
end
