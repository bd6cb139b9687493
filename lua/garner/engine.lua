-- Owns: the one engine of this Lua state (made on first use, ended with the last
-- client), and operations: one exchange, walk or poll with the queue of its events.
-- Must not: know what the events mean.

local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local open_clients = require "garner.open_clients"
local stats = require "garner.stats"
local task_call = require "garner.task_call"

local M = {}

local exchange_of, runs = task_call.exchange, core.runs

--- What the value false of a "done" event means, as a plain record.
M.cancelled = task_call.cancelled

local engine -- closed also in a process that was forked from the one that made it
-- Waiters whose only operation has ended: the next take them, the one at hand first.
local at_hand, spares, spare_count = nil, {}, 0
local wanted -- garner.engine's choice: threaded or not

local blocking -- garner.driver.block, which needs this module

local function block()
  blocking = blocking or compat.load "garner.driver.block"
  return blocking
end

local function threaded()
  local env = os.getenv "GARNER_ENGINE"
  if env == "threaded" or env == "inline" then
    return env == "threaded"
  end
  if wanted ~= nil then
    return wanted
  end
  return driver.host() ~= block()
end

local function alive()
  return engine ~= nil and not engine:is_closed()
end

--- Chooses how the engine is driven, before its first use.
---@param opts table `thread`: true for an engine with a thread of its own, false for inline
function M.configure(opts)
  opts = require("garner.options").check(opts, { thread = require("garner.options").boolean },
    "garner.engine")
  if alive() and opts.thread ~= nil and engine:is_threaded() ~= opts.thread then
    errors.misuse("garner.engine: the engine is already running; "
      .. "choose before the first request, or after garner.close()")
  end
  wanted = opts.thread
end

--- Loads what requests and their errors need: those may come for want of descriptors, when no file
--- is opened any more.
function M.prepare()
  blocking = block()
  for name in ("error_object failure json request response send traffic"):gmatch "%S+" do
    compat.load("garner." .. name)
  end
end

--- The engine, made now if there is none.
---@return userdata|nil
---@return garner.Error|nil
function M.get()
  if alive() then
    return engine
  end
  driver.host() -- is known from now on
  M.prepare()
  local made, raw = core.engine_new { thread = threaded(), counters = stats.counters() }
  if not made then
    return nil, errors.from_raw(raw, { operation = "start the engine" })
  end
  engine = made
  return engine
end

--- The running engine, or nil.
function M.current()
  return alive() and engine or nil
end

local function close()
  local old = engine
  engine, at_hand, spares, spare_count = nil, nil, {}, 0
  if old then
    old:close()
  end
end
open_clients.set_at_end(close)

--- Ends the engine: everything in flight ends as "cancelled". The next use makes a
--- new one.
function M.close()
  close()
  local closed = driver.host().closed
  if closed then
    closed()
  end
end

--- An engine to wait with, and what to call after: one that was made only for this
--- is ended again.
---@return userdata|nil
---@return function release
function M.borrow()
  local had = alive()
  local e = M.get()
  return e, function()
    if not had and not open_clients.any() then
      M.close()
    end
  end
end

-- Who waits for which operation: "main", a coroutine; and as which task. Weak both ways: what
-- an abandoned coroutine has on its stack is often what leads to the operation, and 5.1 and
-- LuaJIT do not collect such circles.
local busy = setmetatable({}, { __mode = "kv" })
local sleeping = setmetatable({}, { __mode = "kv" })

-- Waiters --------------------------------------------------------------------

-- A waiter is a mailbox and the operations whose events come to it, or the one exchange of the
-- coroutine that waits. Operations are held weakly: one that nobody holds any more is cancelled
-- by its finalizer.
local Waiter = {}
Waiter.__index = Waiter

--- Ends the exchange that is being waited for; nothing more comes of it.
function Waiter:cancel()
  self.cancelled = true
  if not self.engine:is_closed() then
    self.engine:cancel(self.id)
  end
end

local function new_waiter(e)
  return setmetatable({ engine = e, mailbox = e:mailbox_new(), id = 0, cancelled = false,
    tasks = nil, operations = setmetatable({}, { __mode = "v" }) }, Waiter)
end

local SPARES_MAX = 1024 -- as many as connections to an engine are kept for them

local function spare(waiter)
  if not at_hand then
    at_hand = waiter
  elseif spare_count < SPARES_MAX then
    spares[spare_count + 1] = waiter -- may raise: memory
    spare_count = spare_count + 1
  end
end

-- One request after the other does not make a mailbox each, nor do coroutines that come and go.
local function own_waiter(e)
  local waiter = at_hand
  at_hand = nil
  if waiter and waiter.engine == e then
    return waiter
  end
  while spare_count > 0 do
    waiter = spares[spare_count]
    spares[spare_count], spare_count = nil, spare_count - 1
    if waiter.engine == e then
      return waiter
    end
  end
  return new_waiter(e)
end

--- Puts an event into its operation's queue, if that is still wanted.
function M.deliver(waiter, id, event, value, dropped, place)
  local call = place and task_call.of(waiter, place, id)
  if call then
    return call:put(event, value, dropped)
  end
  local op = waiter.operations[id]
  if op then
    op.lost = dropped and (op.lost or 0) + dropped or op.lost
    op.last = op.last + 1
    op.events[op.last], op.values[op.last] = event, value
    driver.wake(sleeping[op])
  end
end

--- Sorts the events of a waiter into its operations' queues.
---@param waiter table
function M.drain(waiter)
  local mailbox = waiter.mailbox
  repeat
    local event, dropped, place = "done", nil, nil
    local id, value = task_call.drain(waiter, mailbox)
    if not id then
      id, event, value, dropped, place = mailbox:take()
    end
    if id then
      M.deliver(waiter, id, event, value, dropped, place)
    end
  until not id
end

-- An abandoned task has on its stack what leads to its waiter, which must not lead back to it.
local WEAK = { __mode = "v" }

--- The waiter of a scheduler, on the engine of now.
---@param scheduler table
---@return table
function M.waiter_of(scheduler)
  local waiter = scheduler.waiter
  if not waiter or waiter.engine ~= engine then
    if waiter then -- another engine's work has the same numbers
      M.drain(waiter)
      waiter.tasks = {}
    end
    waiter = new_waiter(assert(M.get()))
    waiter.tasks = setmetatable({ scheduler.tasks }, WEAK)
    scheduler.waiter = waiter
  end
  return waiter
end

-- Operations -----------------------------------------------------------------

local Operation = {}
Operation.__index = Operation

-- The queue of an operation whose mailbox is its own: the mailbox is the queue.
local NONE = {}

--- Whether `take` would give something now.
function Operation:ready()
  local waiter = self.waiter
  if not self.shared then
    return waiter.mailbox:pending() > 0 or self.finished or waiter.engine:is_closed()
  elseif self.first > self.last then
    M.drain(waiter)
  end
  return self.first <= self.last or self.finished or waiter.engine:is_closed()
end

local function ended(op, value)
  op.finished, op.cell.id = true, nil
  if op.shared then
    op.waiter.operations[op.key] = nil
  else
    spare(op.waiter)
  end
  return "done", value
end

-- An event that came while nobody looked.
local function from_queue(op)
  local first = op.first
  local event, value = op.events[first], op.values[first]
  op.events[first], op.values[first], op.first = nil, nil, first + 1
  if event == "done" then
    return ended(op, value)
  end
  return event, value
end

--- The next event that is there: "page", "report", "progress" or "done", and its
--- value, or one that the client has a handler for; nothing where there is none yet.
---@return string|nil event
---@return any value
function Operation:take()
  if self.first <= self.last then
    return from_queue(self)
  end
  local waiter = self.waiter
  local id, event, value, dropped, place = waiter.mailbox:take()
  if not id then
    if waiter.engine:is_closed() and not self.finished then
      self.finished = true
      return "done", false
    end
    return nil
  elseif id ~= self.key then
    M.deliver(waiter, id, event, value, dropped, place)
    return self:take()
  end
  self.lost = dropped and (self.lost or 0) + dropped or self.lost
  if event == "done" then
    return ended(self, value)
  end
  return event, value
end

-- What has to be done before an event is taken; if that raises, the event stays.
local function settle(op)
  local ok, why = compat.guard(op.settle)
  if not ok then
    busy[op] = nil
    error(why, 0)
  end
end

-- An event that is the client's own affair: its handler runs in the coroutine that waits,
-- and may itself wait. What it raises ends the operation.
local function handle(op, handler, value)
  local ok, why = compat.guard(handler, value, op.engine)
  if not ok then
    busy[op] = nil
    op:cancel()
    error(why, 0)
  end
end

local function tell_lost(op)
  local lost, tell = op.lost, op.handlers.lost
  op.lost = nil
  if tell then
    handle(op, tell, lost)
  end
end

--- Waits for the next event. After "done" nothing comes.
---@return string event
---@return any value false where it was cancelled or the engine closed
function Operation:next()
  local co = compat.running()
  local me = co or "main"
  if busy[self] and busy[self] ~= me then
    errors.misuse("garner: two coroutines wait for the same walk or request")
  end
  busy[self] = me
  while not self.finished do
    local task = co and driver.task()
    if not task and self.first > self.last then
      driver.host().wait(self.waiter.mailbox, nil) -- looks first, too
    end
    if self.settle and self:ready() then
      settle(self)
    end
    local event, value = self:take()
    local handler = self.handlers[event]
    if self.lost then
      tell_lost(self)
    end
    if handler then
      handle(self, handler, value)
    elseif event then
      busy[self] = nil
      return event, value
    elseif task then
      sleeping[self] = task
      driver.await(task, self)
      sleeping[self] = nil
    end
  end
  busy[self] = nil
  if self.cancelled then
    return "done", false
  end
  return "done", nil
end

--- Lets a walk fetch one more page.
function Operation:advance()
  if self.cell.id and not self.waiter.engine:is_closed() then
    self.waiter.engine:advance(self.cell.id)
  end
end

local function cancel(cell)
  local id = cell.id
  cell.id = nil
  if id and not cell.engine:is_closed() then
    cell.engine:cancel(id)
  end
end

-- Pages and rows that came ahead of who takes them: the collector does not see how big they are.
local function drop_pages(op)
  if not op.engine:is_closed() then
    op.waiter.mailbox:drop_pages(op.key)
  end
  for i = op.first, op.last do
    if op.events[i] == "page" or op.events[i] == "rows" then
      op.values[i]:close()
    end
  end
  op.first = op.last + 1
end

--- Ends the operation; nothing more comes of it.
function Operation:cancel()
  if not self.finished then
    self.finished, self.cancelled = true, true
    cancel(self.cell)
    drop_pages(self)
    driver.wake(sleeping[self])
  end
end

local function new_operation(e, waiter, id, handlers, task)
  local op = setmetatable({
    handlers = handlers or NONE,
    waiter = waiter, engine = e, id = id, key = id, first = 1, last = 0, events = NONE,
    values = NONE, shared = task ~= nil,
  }, Operation)
  if not task then -- its mailbox is collected with it, and cancels by itself
    op.cell = op
    return op
  end
  local cell = { engine = e, id = id }
  op.events, op.values = {}, {}
  op.cell, op.guard = cell, compat.finalizer(function()
    cancel(cell)
  end)
  waiter.operations[id] = op
  return op
end

-- Waits until an exchange has ended; something else that Lua has to deal with makes it an
-- operation.
local function wait_for_end(waiter, id, handlers, operations)
  local e, mailbox, host = waiter.engine, waiter.mailbox, driver.known
  local wait = host.wait_alone or host.wait
  local result, status
  waiter.id = id
  operations[waiter] = true
  repeat
    wait(mailbox, nil)
    result, status = mailbox:finish(id)
  until result or status or waiter.cancelled or e:is_closed()
  operations[waiter] = nil
  if waiter.cancelled or not (result or status) then
    return nil, nil, nil, M.cancelled
  elseif result then
    spare(waiter)
    return result, status
  end
  return nil, nil, new_operation(e, waiter, id, handlers)
end

-- What a call could not deal with goes on as an operation.
local function operation_of(call, handlers)
  local op = new_operation(call.waiter.engine, call.waiter, call.id, handlers, call.task)
  op.events, op.values, op.lost = call:hand_over()
  op.last = #op.events
  return op
end

local function exchange_in_task(task, client, request, handlers, operations)
  local waiter = task.scheduler.waiter
  if not waiter or waiter.engine ~= engine then
    if not M.get() then
      return nil -- `start` says why
    end
    waiter = M.waiter_of(task.scheduler)
  end
  return exchange_of(waiter, task, client, request, operations, handlers, operation_of)
end

local function exchange_by_driver(waiter, client, request, handlers, operations)
  local task = operations and driver.task() -- as which a coroutine of `guard` or the host runs
  if task or not operations then
    spare(waiter)
    if not task then
      return nil
    end
    driver.check()
    return exchange_in_task(task, client, request, handlers, operations)
  end
  driver.check()
  local id, raw = waiter.engine:submit(waiter.mailbox, client, request)
  if id then
    return wait_for_end(waiter, id, handlers, operations)
  end
  spare(waiter)
  return nil, nil, nil, not waiter.engine:is_closed() and raw or nil
end

local FIRST_SLICE = 0.1 -- seconds, so that Ctrl-C works

--- Sends one request and waits for its end, as far as that needs no operation. Outside
--- coroutines, in a host that blocks, the core itself waits the first slice, in which most
--- requests end. Gives nothing at all where `start` must be used.
---@param client userdata the core's client
---@param request userdata what its request_new gave
---@param handlers table|nil as for `start`
---@param operations table|nil where a waiting coroutine's entry is, with a method `cancel`; nil:
--- something has to be done before the end is taken
---@return userdata|nil result
---@return integer|false|nil status false where the result is an error
---@return table|nil operation for what has not ended yet
---@return table|nil raw a plain record of what went wrong
function M.exchange(client, request, handlers, operations)
  local task = driver.resumed
  if task and operations and runs(task.co) then
    return exchange_in_task(task, client, request, handlers, operations)
  end
  local e, waiter = engine, at_hand
  if waiter and waiter.engine == e then
    at_hand = nil
  elseif not alive() then
    return nil
  else
    waiter = own_waiter(e)
  end
  if driver.known == blocking then
    local result, status, raw = e:exchange(waiter.mailbox, client, request, FIRST_SLICE)
    if result then
      at_hand = waiter
      return result, status
    elseif status then
      return nil, nil, new_operation(e, waiter, status, handlers)
    elseif raw then
      return nil, nil, nil, raw
    end
  end
  return exchange_by_driver(waiter, client, request, handlers, operations)
end

--- Starts an exchange, a walk or a poll.
---@param verb string "submit", "walk" or "poll"
---@param client userdata the core's client
---@param request table|userdata
---@param rules table|nil
---@param handlers table|nil functions by event: what does not reach who waits, but is handled
--- while it waits
---@return table|nil operation
---@return garner.Error|nil err a plain record that the caller turns into an error
function M.start(verb, client, request, rules, handlers)
  driver.check()
  local e, err = M.get()
  if not e then
    return nil, err
  end
  local task = driver.task()
  local waiter = task and M.waiter_of(task.scheduler) or own_waiter(e)
  local ok, id, raw = pcall(e[verb], e, waiter.mailbox, client, request, rules)
  if not ok then
    errors.pass(id)
    errors.misuse("garner: " .. tostring(id))
  elseif not id then
    return nil, errors.from_raw(raw)
  elseif not task then
    return new_operation(e, waiter, id, handlers)
  end
  local made, op = pcall(new_operation, e, waiter, id, handlers, task)
  if not made then -- the mailbox, which others use, stays: it would run on, and nobody know it
    e:cancel(id)
    error(op, 0)
  end
  return op
end

return M
