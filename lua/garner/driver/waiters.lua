-- Owns: what the drivers of event loops have in common: the one descriptor of the running engine,
-- and who waits for which of its mailboxes.
-- Must not: wait, or know a loop.

local core = require "garner.core"
local errors = require "garner.errors"

local M = {}

---@class garner.Waiters
---@field descriptor integer readable as long as somebody has something to look at
local Waiters = {}
Waiters.__index = Waiters

--- Who waits at the running engine.
---@param known garner.Waiters|nil those of the wait before, given again if the engine is the same
---@param anchored boolean whether a waiter is kept alive until it is told; else its loop does that
---@return garner.Waiters
function M.at(known, anchored)
  local engine = require("garner.engine").current()
  if known and known.engine == engine then
    return known
  end
  local anchor = engine:mailbox_new() -- keeps the descriptor's number open
  local descriptor, raw = anchor:descriptor()
  if not descriptor and raw.kind == "invalid" then
    errors.misuse("garner: a host with a loop needs an engine with a thread, and this one has "
      .. "none: it was made before garner.use (call garner.close() between), or garner.engine or "
      .. "GARNER_ENGINE said so")
  elseif not descriptor then
    errors.raise(errors.from_raw(raw, { operation = "wait" }))
  end
  local mode = anchored and {} or { __mode = "v" }
  return setmetatable({
    engine = engine, anchor = anchor, descriptor = descriptor, process = core.pid(), count = 0,
    by_id = setmetatable({}, mode), more = setmetatable({}, anchored and {} or { __mode = "k" }),
  }, Waiters)
end

-- In Lua 5.1 and 5.2 nobody can tell before whether a yield is possible; one that was not has
-- raised, and left its waiter behind.
local blind = core.yieldable() == nil

local DEPTH = 10 -- levels of a loop's own between `wait` and the yield, at most

--- Whether a coroutine is still suspended in a driver's `wait` (or whatever function).
---@param co thread|nil
---@param wait function
---@return boolean
function M.is_in(co, wait)
  if not co or coroutine.status(co) ~= "suspended" then
    return false
  end
  local level, info = 0, blind and debug.getinfo(co, 0, "f")
  while info and info.func ~= wait and level < DEPTH do
    level = level + 1
    info = debug.getinfo(co, level, "f")
  end
  return not blind or info ~= nil and info.func == wait
end

--- Whether nothing comes any more: the engine is closed, or another process's.
---@return boolean
function Waiters:is_over()
  return self.anchor:is_closed()
end

--- Whether this process made the engine.
---@return boolean
function Waiters:is_own()
  return self.process == core.pid()
end

--- Counts a waiter in.
---@param waiter table
---@param mailbox userdata
function Waiters:enter(waiter, mailbox)
  local id = mailbox:id()
  waiter.id = id
  if self.by_id[id] then
    self.more[waiter] = true -- a second one at the same mailbox: it looks whenever somebody does
  else
    self.by_id[id] = waiter
  end
  self.count = self.count + 1
end

--- Counts it out.
---@param waiter table
function Waiters:leave(waiter)
  if self.by_id[waiter.id] == waiter then
    self.by_id[waiter.id] = nil
  end
  self.more[waiter] = nil
  self.count = self.count - 1
end

--- Takes note of what the descriptor is readable for.
---@return table[] waiters who should look again
function Waiters:woken()
  local list, anchor, by_id = {}, self.anchor, self.by_id
  if anchor:is_closed() then
    for _, waiter in pairs(by_id) do
      list[#list + 1] = waiter
    end
  else
    anchor:acknowledge()
    local id = anchor:ready()
    while id do
      list[#list + 1] = by_id[id]
      id = anchor:ready()
    end
  end
  for waiter in pairs(self.more) do
    list[#list + 1] = waiter
  end
  return list
end

return M
