-- Owns: the small scheduler that runs functions which wait side by side, in every
-- host. One scheduler waits for all of its tasks with one mailbox. Must not: know
-- requests, or what the functions are for.

local compat = require "garner.compat"
local driver = require "garner.driver"
local engine = require "garner.engine"
local errors = require "garner.errors"

local M = {}

local resume = coroutine.resume

-- Tasks that wait for something which is not on the scheduler's own mailbox are
-- looked at this often, in seconds.
local FOREIGN = 0.02

local Scheduler = {}
Scheduler.__index = Scheduler

-- `tasks`: all of them, each in a place of its own, which the mailbox's events name; false where
-- one has ended. `ready` is a queue from `first` to `last`.
local function new_scheduler()
  return setmetatable({ ready = {}, first = 1, last = 0, tasks = {}, free = {}, free_count = 0,
    spares = {}, watched = {}, away = {}, served = 0, waited = false }, Scheduler)
end

local function enlist(self, task)
  local place = #self.tasks + 1
  if self.free_count > 0 then
    place = self.free[self.free_count]
    self.free_count = self.free_count - 1
  end
  self.tasks[place], task.place = task, place
end

local function delist(self, task)
  if self.tasks[task.place] == task then
    self.tasks[task.place] = false
    self.free_count = self.free_count + 1
    self.free[self.free_count] = task.place
  end
end

--- A scheduler for the running code. A task that starts tasks lets its own run them: one level,
--- one mailbox.
---@return table
function M.current()
  driver.check()
  local task = driver.task()
  return task and task.scheduler or new_scheduler()
end

function Scheduler:push(task)
  if self.first > self.last then -- from the start again, so that the list stays short
    self.first, self.last, self.served = 1, 0, 0
  end
  local last = self.last + 1
  self.last = last
  self.ready[last] = task
end

--- Makes a waiting task run again.
function Scheduler:wake(task)
  if task.parked then
    task.parked = false
    if task.watched then
      task.watched, task.deadline, self.watched[task] = false, nil, nil
    end
    local last = self.last + 1
    if self.first == last then -- from the start again, so that the list stays short
      self.first, self.served, last = 1, 0, 1
    end
    self.last = last
    self.ready[last] = task
  end
end

local function entry_of(...)
  local first, second = ...
  local count, err = select("#", ...), nil
  local failed = not first and count >= 2 and second ~= nil
  if failed then
    err = second
  end
  return { ok = not failed, n = count, err = err, ... }
end

local function raised(co, err)
  return { ok = false, n = 0, err = err, raised = true, traceback = debug.traceback(co) }
end

local DONE = {} -- what a coroutine yields that may run another function

local function take_function(task)
  local fn = task.fn
  task.fn = nil
  return fn
end

-- Where something of the host's, or of the function's own, was yielded, somebody may keep the
-- coroutine to resume it: it ends with its function.
local function body(task)
  repeat
    task.entry = entry_of(take_function(task)()) -- not kept by the stack of one that is spare
    task.waits = false
    if not task.foreign then
      coroutine.yield(DONE)
    end
  until not task.fn
end

local function new_task(self)
  local task = { scheduler = self, fn = nil, group = nil, index = nil, entry = nil, waits = false,
    parked = false, co = coroutine.create(body), place = nil, call = nil, given = nil }
  task.given = compat.pack(task) -- what the coroutine begins with
  driver.set_task(task.co, task)
  enlist(self, task)
  return task
end

-- One that has ended, with its coroutine, which may have been tampered with.
local function spare_task(self)
  local spares = self.spares
  local task = spares[#spares]
  spares[#spares] = nil
  if task and coroutine.status(task.co) ~= "suspended" then
    self:forget(task)
    return nil
  end
  return task
end

--- Starts a function as a task.
---@param fn function
---@param group table whose method `ended` gets the index and the entry
---@param index integer
function Scheduler:spawn(fn, group, index)
  local task = spare_task(self) or new_task(self)
  task.fn, task.group, task.index = fn, group, index
  self:push(task)
end

-- Where some task is always ready nobody waits, and only waiting drives an inline
-- engine. An event that has not been yet is waited for in vain, and not for long.
local function drive()
  local running = engine.current()
  if running and not running:is_threaded() then
    running:wait(running:sequence() + 1, 0)
  end
end

-- What a task yields that is not garner's is the host's, whose loop does not know tasks: it goes
-- on when the host has done that, or when somebody resumes it.
function Scheduler:send_out(task, outside, ...)
  self.away[task] = true
  outside(function(...)
    if self.away[task] then
      self.away[task], task.given = nil, compat.pack(...)
      self:push(task)
    end
  end, ...)
end

-- The user's own yield, where nobody else would know what it means: run on when the others had
-- their turn, those of the host's loop too: what it waits for may be theirs to do.
function Scheduler:yielded(task)
  self:push(task)
  if self.first > self.served then
    self.served = self.last
    self:look()
    drive()
    local host = driver.host()
    if host.yieldable() then
      host.sleep(0)
    end
  end
end

--- Lets go of a task that runs no more.
function Scheduler:forget(task)
  driver.set_task(task.co, nil)
  delist(self, task)
  task.dropped = true
end

local function finish(self, task, err)
  local entry, group, index, dropped = task.entry, task.group, task.index, task.dropped
  driver.end_life(task)
  if entry and not dropped and coroutine.status(task.co) == "suspended" then
    task.entry, task.group = nil, nil
    self.spares[#self.spares + 1] = task
  else
    self:forget(task)
  end
  if not entry and errors.is_interrupt(err) then
    error(err, 0) -- Ctrl-C is for the whole script
  end
  if not dropped then -- else by its own function: nobody waits for it any more
    group:ended(index, entry or raised(task.co, err))
  end
end

-- What comes by this scheduler's own mailbox, and gates, wake their task; for anything else one
-- has to look.
function Scheduler:await(task, waitable)
  if task.deadline or waitable.waiter == nil or waitable.waiter ~= self.waiter then
    task.watched, self.watched[task] = true, true
  elseif waitable:ready() then -- it came before the task was known to wait
    self:wake(task)
  end
end

-- Sorts a task that does not run now by what it has come to.
function Scheduler:settle(task, err)
  if task.entry or coroutine.status(task.co) == "dead" then
    finish(self, task, err)
  elseif task.waits then
    task.parked = true
    if not task.waits.wakes then
      self:await(task, task.waits)
    end
  else
    return false
  end
  return true
end

local function resumed(self, task, before, ok, ...)
  local waits = task.waits
  driver.resumed = before
  if ok and waits then
    task.parked = true
    return waits.wakes or self:await(task, waits)
  elseif self:settle(task, (...)) then
    return
  end
  task.foreign = true
  local outside = driver.host().outside
  if outside then
    self:send_out(task, outside, ...)
  else
    self:yielded(task)
  end
end

--- Runs the next task that is ready.
function Scheduler:step()
  local first = self.first
  local task = self.ready[first]
  self.ready[first], self.first = nil, first + 1
  if task.dropped then
    return
  end
  local given, before = task.given, driver.resumed
  local state = before and coroutine.status(before.co)
  if state == "dead" or state == "suspended" then -- it is another request's of nginx, or ended
    before = nil
  end
  task.waits, driver.resumed = false, task
  if given then
    task.given = nil
    return resumed(self, task, before, resume(task.co, compat.unpack(given, 1, given.n)))
  end
  return resumed(self, task, before, resume(task.co))
end

--- Forgets a task and cancels what it waits for.
function Scheduler:drop(task)
  if task.dropped then
    return
  end
  task.parked = false
  if driver.resumed == task then
    driver.resumed = nil
  end
  self.watched[task], self.away[task] = nil, nil
  self:forget(task)
  driver.end_life(task)
  if task.waits and task.waits.cancel then
    task.waits:cancel()
  end
  compat.close_coroutine(task.co)
end

--- Forgets all tasks of a group.
function Scheduler:drop_all(group)
  for _, task in ipairs(self.tasks) do
    if task and task.group == group then
      self:drop(task)
    end
  end
end

-- Tasks that the host's own code resumed may have come to something of garner's. Gives whether
-- one has.
function Scheduler:look_outside()
  local back = {}
  for task in pairs(self.away) do
    if task.waits or coroutine.status(task.co) == "dead" then
      back[#back + 1] = task
    end
  end
  for _, task in ipairs(back) do
    self.away[task] = nil
    self:settle(task, "garner: the task broke where the host's own code had resumed it")
  end
  return #back > 0
end

-- Whether a task's wait is over, and when to look again.
local function look_at(self, task, now, over)
  local waitable, deadline = task.waits, task.deadline
  local due = deadline and deadline <= now
  if not waitable.silent then
    due = due or over or waitable:ready() -- its own too: another one may have cancelled it
    if waitable.waiter == nil or waitable.waiter ~= self.waiter then
      deadline = math.min(deadline or now + FOREIGN, now + FOREIGN)
    end
  end
  return due, deadline
end

-- Those that one has to look at.
local function suspects(self, over)
  local list = {}
  if over or self.looked ~= self.waiter then
    for _, task in ipairs(self.tasks) do
      if task and task.parked then
        list[#list + 1] = task
      end
    end
  else
    for task in pairs(self.watched) do
      list[#list + 1] = task
    end
  end
  self.looked = self.waiter
  return list
end

-- Makes ready whose wait is over: by the mailbox, by the clock, by a stranger's.
-- Gives when to look again, and the time it is.
function Scheduler:look()
  local waiter = self.waiter
  if waiter then
    engine.drain(waiter)
  end
  local over = waiter ~= nil and waiter.engine:is_closed()
  if not over and self.looked == waiter and not next(self.watched) and not next(self.away) then
    return nil
  end
  local now = driver.host().now()
  local earliest
  for _, task in ipairs(suspects(self, over)) do
    local due, deadline = look_at(self, task, now, over)
    if due then
      self:wake(task)
    elseif deadline then
      earliest = math.min(earliest or deadline, deadline)
    end
  end
  if next(self.away) then
    local again = self:look_outside() and now or now + FOREIGN
    earliest = math.min(earliest or again, again)
  end
  return earliest, now
end

-- Nothing is ready: look, else wait.
function Scheduler:idle()
  local earliest, now = self:look()
  local waited = self.waited
  self.waited = self.first > self.last
  if self.waited then
    self:wait(earliest, now)
  elseif not waited then -- else the engine has just been driven
    drive()
  end
end

function Scheduler:wait(deadline, now)
  local waiter = self.waiter
  if waiter and not waiter.engine:is_closed() then
    driver.current().wait(waiter.mailbox, deadline)
  elseif deadline then
    driver.current().sleep(deadline - now)
  else
    error("garner: nothing is running that could end this wait", 0)
  end
end

--- Runs what is ready now, without waiting.
function Scheduler:kick()
  for _ = self.first, self.last do
    if self.first <= self.last then
      self:step()
    end
  end
end

--- Runs tasks until `gate.open`. In a task of this very scheduler that means to let
--- the others run.
---@param gate table { open = bool }; `M.open` opens it
function Scheduler:pass(gate)
  local task = driver.task()
  local own = task and task.scheduler == self
  while not gate.open do
    if own then
      gate.task = task
      driver.await(task, gate)
      gate.task = nil
    elseif self.first <= self.last then
      self:step()
    else
      self:idle()
    end
  end
end

--- A gate is waited for in memory: no mailbox has to be looked at.
---@param cancel nil|fun() ends what was to open it, where the task that waits for it is dropped
---@return table
function M.new_gate(cancel)
  return { open = false, silent = true, wakes = true, cancel = cancel }
end

--- Lets the task go on that waits at a gate.
---@param gate table
---@param scheduler table
function M.open(gate, scheduler)
  gate.open = true
  if gate.task then
    scheduler:wake(gate.task)
  end
end

return M
