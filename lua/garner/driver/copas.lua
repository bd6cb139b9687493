-- Owns: waiting in a program on copas. Whoever waits is an object that copas selects like a
-- socket: its `getfd` is the engine's descriptor, its `dirty` says that the wait is over.
-- Must not: run the loop, but for garner.main.

local compat = require "garner.compat"
local copas = require "copas"
local core = require "garner.core"
local errors = require "garner.errors"
local shared = require "garner.driver.waiters"

local M = { name = "copas" }

local SLICE = 0.1 -- seconds, so that Ctrl-C works

local waiters -- at the engine that was waited for last
local timed = setmetatable({}, { __mode = "k" }) -- who has a deadline

--- Raises where nothing can wait, and says what to do instead.
function M.check()
  if not compat.running() then
    errors.misuse("garner: copas does not run this, so nothing can wait here; use "
      .. "copas.addthread(function() ... end), or garner.main(function() ... end)")
  elseif not compat.yieldable() then
    errors.misuse("garner: nothing can wait inside require, string.gsub, table.sort or another C "
      .. "function; call it outside")
  end
end

-- What LuaSocket's `select` asks of an object, and copas of a socket that it reads from.
local Waiter = {}
Waiter.__index = Waiter

function Waiter:dirty()
  return self.rung or (self.deadline ~= nil and self.deadline <= core.now())
end

-- Any number will do for one that is dirty; -1: not to be waited for.
function Waiter:getfd()
  return self.at and self.at.descriptor or self:dirty() and 0 or -1
end

-- `select` tells but one of the objects that have the same descriptor: that one tells the others.
function Waiter:receive()
  if not self.begun then
    self.begun = true
    return nil, "timeout"
  elseif self.at and not self.rung then
    for _, other in ipairs(self.at:woken()) do
      other.rung = true
    end
  end
  if self:dirty() then
    return true
  end
  return nil, "timeout"
end

-- Old versions close what a thread waited for last when it ends.
function Waiter.close()
end

local function new_waiter(deadline)
  local waiter = setmetatable({ deadline = deadline }, Waiter)
  if deadline then
    timed[waiter] = true
  end
  return waiter
end

-- Copas knows timers in its later versions only, so the time that a step may take is bounded here.
local step = copas.step
function copas.step(timeout)
  local first
  for waiter in pairs(timed) do
    first = math.min(first or waiter.deadline, waiter.deadline)
  end
  if first then
    local left = math.max(0, first - core.now())
    timeout = timeout and timeout >= 0 and math.min(timeout, left) or left
  end
  return step(timeout)
end

local function read(waiter)
  copas.receive(waiter)
  timed[waiter] = nil
end

-- Copas remembers what it selected last, and who could not yield (see shared.is_in).
local function let_go(waiter)
  waiter.at, waiter.mailbox = nil, nil
end

-- Who still waits at an engine that is closed: in a child of fork no descriptor tells them.
local function tell_all(at)
  for _, waiter in ipairs(at:woken()) do
    waiter.rung = true
    let_go(waiter)
  end
end

--- Waits until the mailbox has something, or for the deadline; may return early.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  if mailbox:pending() > 0 or mailbox:is_closed() then
    return
  end
  M.check()
  local before = waiters
  waiters = shared.at(before, false)
  if before and before ~= waiters then
    tell_all(before)
  end
  local waiter, at = new_waiter(deadline), waiters
  waiter.at, waiter.mailbox = at, mailbox
  at:enter(waiter, mailbox)
  read(waiter)
  at:leave(waiter)
  let_go(waiter)
end

--- Sleeps; the loop goes on.
---@param seconds number
function M.sleep(seconds)
  M.check()
  read(new_waiter(core.now() + seconds))
end

M.now = core.now

--- Whether waiting is possible here: it always yields.
---@return boolean
function M.yieldable()
  return compat.running() ~= nil and compat.yieldable()
end

--- What a task yields that is not garner's: a thread of copas yields it instead.
---@param go_on fun(...)
function M.outside(go_on, ...)
  local asked = compat.pack(...)
  copas.addthread(function()
    go_on(coroutine.yield(compat.unpack(asked, 1, asked.n)))
    read(new_waiter(core.now())) -- old versions close what a thread waited for last
  end)
end

--- The engine was closed.
function M.closed()
  if waiters and waiters:is_over() then
    tell_all(waiters)
    waiters = nil
  end
end

--- Runs a function as a thread of copas, and its loop until that has ended.
---@param fn function
---@return any ... what it gives; what it raises is raised
function M.run(fn)
  local ended
  copas.addthread(function()
    ended = compat.pack(compat.guard(fn))
  end)
  local known = copas.running ~= nil
  if known then
    copas.running = true
  end
  while not ended do
    local ok, err = copas.step(SLICE)
    if ok == nil and err then
      error(err, 0)
    elseif not ended and copas.finished and copas.finished() then
      error("garner: the loop has nothing left that could end this wait", 0)
    end
  end
  if known then
    copas.running = false
  end
  if not ended[1] then
    error(ended[2], 0)
  end
  return compat.unpack(ended, 2, ended.n)
end

return M
