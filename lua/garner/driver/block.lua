-- Owns: waiting in a plain script: the caller's thread runs the inline engine, in
-- slices short enough that Ctrl-C works. Must not: yield.

local core = require "garner.core"

local M = { name = "block" }

local SLICE = 0.1 -- seconds

--- Blocks until the mailbox has something or the deadline is there.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  local engine = require("garner.engine").current()
  while engine and not engine:is_closed() do
    local seen = engine:sequence()
    if mailbox:pending() > 0 then
      return
    end
    local slice = SLICE
    if deadline then
      slice = math.min(slice, deadline - core.now())
      if slice <= 0 then
        return
      end
    end
    engine:wait(seen, slice)
  end
end

--- Blocks for some seconds; transfers in flight go on.
---@param seconds number
function M.sleep(seconds)
  local deadline = core.now() + seconds
  local engine, release = require("garner.engine").borrow()
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
