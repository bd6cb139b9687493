-- Owns: the small scheduler that runs functions which wait side by side, in every
-- host: `garner.all`, and windows in flight for pulls. One scheduler waits for all of
-- its tasks with one mailbox. Must not: know requests.

local compat = require "garner.compat"
local driver = require "garner.driver"
local engine = require "garner.engine"
local errors = require "garner.errors"
local options = require "garner.options"

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
    watched = {}, away = {}, served = 0, waited = false }, Scheduler)
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

-- A task that starts tasks lets its own scheduler run them: one level, one mailbox.
local function current_scheduler()
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
    self:push(task)
  end
end

local function entry_of(entry)
  local failed = not entry[1] and entry.n >= 2 and entry[2] ~= nil
  entry.ok = not failed
  if failed then
    entry.err = entry[2]
  end
  return entry
end

local function raised(co, err)
  return { ok = false, n = 0, err = err, raised = true, traceback = debug.traceback(co) }
end

--- Starts a function as a task; on_end gets its entry.
---@param fn function
---@param on_end fun(entry: table)
---@return table task
function Scheduler:spawn(fn, on_end)
  local task = { scheduler = self, on_end = on_end, waits = false, parked = false }
  task.co = coroutine.create(function()
    task.entry = entry_of(compat.pack(fn()))
  end)
  driver.set_task(task.co, task)
  enlist(self, task)
  self:push(task)
  return task
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

local function finish(task, err)
  driver.set_task(task.co, nil)
  delist(task.scheduler, task)
  task.dropped = true
  if not task.entry and errors.is_interrupt(err) then
    error(err, 0) -- Ctrl-C is for the whole script
  end
  task.on_end(task.entry or raised(task.co, err))
end

-- What comes by this scheduler's own mailbox, and gates, wake their task; for anything else one
-- has to look.
function Scheduler:await(task, waitable)
  task.parked = true
  if waitable.wakes then
    return
  elseif task.deadline or waitable.waiter == nil or waitable.waiter ~= self.waiter then
    task.watched, self.watched[task] = true, true
  elseif waitable:ready() then -- it came before the task was known to wait
    self:wake(task)
  end
end

-- Sorts a task that does not run now by what it has come to.
function Scheduler:settle(task, err)
  if coroutine.status(task.co) == "dead" then
    finish(task, err)
  elseif task.waits then
    self:await(task, task.waits)
  else
    return false
  end
  return true
end

local function resumed(self, task, before, ok, ...)
  local waits = task.waits
  driver.resumed = before
  if ok and waits and not task.entry then
    return self:await(task, waits)
  elseif self:settle(task, (...)) then
    return
  end
  local outside = driver.host().outside
  if outside then
    self:send_out(task, outside, ...)
  else
    self:yielded(task)
  end
end

function Scheduler:resume(task)
  if task.dropped then
    return
  end
  local given, before = task.given, driver.resumed
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
  task.dropped, task.parked = true, false
  if driver.resumed == task then
    driver.resumed = nil
  end
  self.watched[task], self.away[task] = nil, nil
  driver.set_task(task.co, nil)
  delist(self, task)
  if task.waits and task.waits.cancel then
    task.waits:cancel()
  end
  compat.close_coroutine(task.co)
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

function Scheduler:step()
  local task = self.ready[self.first]
  self.ready[self.first] = nil
  self.first = self.first + 1
  self:resume(task)
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
---@param gate table { open = bool }; `signal` opens it
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

-- A gate is waited for in memory: no mailbox has to be looked at. `cancel` ends what
-- was to open it, where the task that waits for it is dropped.
local function new_gate(cancel)
  return { open = false, silent = true, wakes = true, cancel = cancel }
end

local function open(gate, scheduler)
  gate.open = true
  if gate.task then
    scheduler:wake(gate.task)
  end
end

-- Streams --------------------------------------------------------------------

---@class garner.Stream
local Stream = {}
Stream.__index = Stream

local function start_one(stream)
  stream.started = stream.started + 1
  local i = stream.started
  stream.tasks[i] = stream.scheduler:spawn(function()
    return stream.fn(i)
  end, function(entry)
    stream.tasks[i] = nil
    stream.entries[i] = entry
    if stream.gate and stream.awaited == i then
      open(stream.gate, stream.scheduler)
    end
  end)
end

-- What runs or waits to be handed out, without what is away in a pause.
local function full(stream)
  return stream.started - stream.delivered - stream.away >= stream.concurrency
end

-- Lets one come back whose pause is over: always, if somebody waits for just that.
local function admit(stream)
  local first
  for i in pairs(stream.returning) do
    first = math.min(first or i, i)
  end
  if not first or first ~= stream.awaited and full(stream) then
    return false
  end
  local gate = stream.returning[first]
  stream.returning[first], stream.away = nil, stream.away - 1
  open(gate, stream.scheduler)
  return true
end

local function fill(stream)
  while not stream.closed and admit(stream) do end -- luacheck: ignore 542
  while not stream.closed and stream.started < stream.n and not full(stream) do
    start_one(stream)
  end
end

--- Called by what runs as `i`: sleeps without counting as in flight, so that others go
--- on, and comes back when there is room.
---@param i integer
---@param seconds number
function Stream:pause(i, seconds)
  self.away = self.away + 1
  fill(self)
  driver.current().sleep(seconds)
  local gate = new_gate()
  self.returning[i] = gate
  fill(self)
  self.scheduler:pass(gate)
end

--- The next in order, waiting for it. What `run` raised is raised here.
---@return integer|nil index nil at the end
---@return any ... what run returned for it
function Stream:next()
  if self.closed or self.delivered == self.n then
    return nil
  end
  fill(self)
  local i = self.delivered + 1
  if not self.entries[i] then
    self.gate, self.awaited = new_gate(function()
      self:close()
    end), i
    fill(self)
    self.scheduler:pass(self.gate)
    self.gate, self.awaited = nil, nil
  end
  local entry = self.entries[i]
  if self.closed then
    return nil
  end
  self.entries[i], self.delivered = nil, i
  if entry.raised then
    self:close()
    error(entry.err, 0)
  end
  fill(self)
  local task = driver.task()
  if not (task and task.scheduler == self.scheduler) then
    self.scheduler:kick() -- so that the next requests are out while the caller works
  end
  return i, compat.unpack(entry, 1, entry.n)
end

--- Ends the stream: what is in flight is cancelled.
function Stream:close()
  if self.closed then
    return
  end
  self.closed = true
  local tasks = self.tasks
  self.tasks, self.entries = {}, {}
  for _, task in pairs(tasks) do
    self.scheduler:drop(task)
  end
  if self.gate then
    open(self.gate, self.scheduler)
  end
end

--- Runs run(1) to run(count) side by side and gives the outcomes in order. Never more
--- than `concurrency` are started ahead of the one handed out last.
---@param spec table `count`, `concurrency`, `run` = function(index) that may wait
---@return garner.Stream
function M.ordered(spec)
  local stream = setmetatable({
    n = spec.count, concurrency = spec.concurrency, fn = spec.run,
    scheduler = current_scheduler(), started = 0, delivered = 0, tasks = {}, entries = {},
    away = 0, returning = {},
  }, Stream)
  return stream
end

-- garner.all -----------------------------------------------------------------

local function check_functions(fns)
  if type(fns) ~= "table" then
    errors.misuse("garner.all: give a list of functions, got " .. options.show(fns))
  end
  local count = 0
  for key, fn in pairs(fns) do
    if not compat.whole(key) or not compat.callable(fn) then
      errors.misuse("garner.all: entry " .. tostring(key) .. " is not a function in a list")
    end
    count = count + 1
  end
  for i = 1, count do
    if fns[i] == nil then
      errors.misuse("garner.all: the list has a hole at " .. i)
    end
  end
  return count
end

--- Runs functions that wait side by side, in every host, and gives their outcomes in
--- the order of the list. One that fails or raises does not touch the others.
---@param fns function[]
---@param opts table|nil `concurrency`: how many run at a time (default: all of them)
---@return table results `results[i]` = { ok = boolean, n = count, [1..n] = returned values,
--- err = what it raised, or returned after nil or false, traceback = text if it raised };
--- `results.failed`: how many are not ok
function M.all(fns, opts)
  local n = check_functions(fns)
  opts = options.check(opts, { concurrency = options.integer(1) }, "garner.all")
  local results = { failed = 0 }
  if n == 0 then
    return results
  end
  local limit = math.min(opts.concurrency or n, n)
  local scheduler = current_scheduler()
  local started, ended, running = 0, 0, {}
  local function drop_all()
    for _, task in pairs(running) do
      scheduler:drop(task)
    end
  end
  local gate = new_gate(drop_all)
  local function start()
    started = started + 1
    local i = started
    running[i] = scheduler:spawn(function()
      return fns[i]()
    end, function(entry)
      running[i], results[i] = nil, entry
      results.failed = results.failed + (entry.ok and 0 or 1)
      ended = ended + 1
      if started < n then
        start()
      elseif ended == n then
        open(gate, scheduler)
      end
    end)
  end
  for _ = 1, limit do
    start()
  end
  local ok, why = compat.guard(scheduler.pass, scheduler, gate)
  if not ok then -- Ctrl-C, or the host's own error: nobody will take what is in flight
    drop_all()
    error(why, 0)
  end
  return results
end

return M
