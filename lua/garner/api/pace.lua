-- Owns a rate of its own for some calls of an API, beside the client's: who
-- would come too early waits. In memory, one clock for each client. It must
-- not send anything.

local driver = require "garner.driver"

local M = {}

local clocks = setmetatable({}, { __mode = "k" })

---Waits until a call may be made.
---@param owner table whose calls they are: the client
---@param rate { per_second: number, burst: number|nil } one table for each rate
function M.wait(owner, rate)
  clocks[owner] = clocks[owner] or {}
  local clock, now = clocks[owner], driver.current().now()
  local step = 1 / rate.per_second
  local due = math.max(clock[rate] or 0, now)
  clock[rate] = due + step
  local early = due - ((rate.burst or 1) - 1) * step - now
  if early > 0 then driver.current().sleep(early) end
end

return M
