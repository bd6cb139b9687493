-- Owns: which clients of this Lua state are open: its engine ends with the last of them.
-- Must not: load or know the engine, which there need not be yet.

local M = {}

-- Weak, as memory may end where the finalizer of one is called: then nobody counts it out.
local open = setmetatable({}, { __mode = "k" })
local at_end = function() end

--- Has a function called whenever the last one was counted out.
---@param fn function
function M.set_at_end(fn)
  at_end = fn
end

--- Whether there is one.
---@return boolean
function M.any()
  return next(open) ~= nil
end

--- Counts a client in.
---@param client any what it is counted out by
function M.acquire(client)
  open[client] = true
end

--- Counts a client out.
---@param client any
function M.release(client)
  open[client] = nil
  if next(open) == nil then
    at_end() -- maybe by a finalizer, where the host's own handles may be gone
  end
end

return M
