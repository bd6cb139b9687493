-- Owns: waiting in a plain script: the caller's thread runs the inline engine, in
-- slices short enough that Ctrl-C works. Must not: yield.

local core = require "garner.core"

local M = { name = "block" }

local SLICE = 0.1 -- seconds

local engines -- garner.engine, which needs the driver before it is there itself

local function engine_module()
  engines = engines or require "garner.engine"
  return engines
end

--- Blocks until the mailbox has something or the deadline is there; returns after a
--- slice in any case, as the caller looks again.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  local engine = engine_module().current()
  if not engine then
    return
  end
  local seen = engine:sequence()
  if mailbox:pending() == 0 then
    engine:wait(seen, deadline and math.min(SLICE, deadline - core.now()) or SLICE)
  end
end

--- Blocks for some seconds; transfers in flight go on.
---@param seconds number
function M.sleep(seconds)
  local deadline = core.now() + seconds
  local engine, release = engine_module().borrow()
  while true do
    local left = deadline - core.now()
    if left <= 0 or not engine or engine:is_closed() then
      break
    end
    engine:wait(engine:sequence(), math.min(SLICE, left))
  end
  release()
end

M.now = core.now

--- Waiting blocks: there is no loop to yield to.
---@return boolean
function M.yieldable()
  return false
end

return M
