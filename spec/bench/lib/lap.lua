-- The clock of the benchmarks' Lua programs, garner's and the peers' alike: CPU of the process,
-- user and system, all threads (os.clock is clock(3)), and wall time.
local socket = require "socket"

local M = {}

function M.begin()
  return { cpu = os.clock(), wall = socket.gettime() }
end

--- Prints the line that the runner reads.
---@param lap table what begin gave
---@param n integer how many requests, pages or documents that was
---@param more table|nil further figures by name
function M.finish(lap, n, more)
  local cpu, wall = os.clock() - lap.cpu, socket.gettime() - lap.wall
  local line = { ("n=%d cpu=%.6f wall=%.6f"):format(n, cpu, wall) }
  for name, value in pairs(more or {}) do
    line[#line + 1] = ("%s=%.6f"):format(name, value)
  end
  print(table.concat(line, " "))
end

--- Computes until `seconds` of this thread's own time have gone by, as a caller does per page.
--- The count of turns is measured once, so that other threads' time is not taken for its own.
function M.work(seconds)
  local turns = 20000
  local function turn(n)
    local x = 0
    for i = 1, n do x = (x * 31 + i) % 65521 end
    return x
  end
  turn(turns)
  local best
  for _ = 1, 5 do
    local begin = os.clock()
    turn(turns)
    local took = os.clock() - begin
    best = best and math.min(best, took) or took
  end
  local n = math.floor(turns * seconds / best)
  return function() return turn(n) end
end

return M
