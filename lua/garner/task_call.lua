-- Owns: the one exchange that a task of the scheduler waits for, without an operation: each task
-- has one call, for all of its requests. Its scheduler's mailbox goes with the last task, so there
-- is nothing to be done where nobody holds it. Must not: know what an event means, but for the end.

local driver = require "garner.driver"

local M = {}

local WAIT, yield = driver.WAIT, coroutine.yield

--- What an exchange that was cancelled came to, as a plain record.
M.cancelled = { kind = "cancelled", code = "closed", message = "cancelled: it was closed" }

local Call = { wakes = true }
Call.__index = Call

local function new_call(task)
  return setmetatable({ task = task, waiter = nil, id = false, result = false, status = false,
    cancelled = false, events = false, values = nil, lost = nil, operations = nil }, Call)
end

function Call:ready()
  return self.result or self.cancelled or self.events or self.waiter.engine:is_closed()
end

--- Ends what is in flight; nothing more comes of it.
function Call:cancel()
  local id, e = self.id, self.waiter.engine
  if id then
    self.id, self.cancelled = false, true
    if not e:is_closed() then
      e:cancel(id)
    end
    driver.wake(self.task)
  end
end

--- An event that is more than just the end, or comes after such a one: for an operation.
function Call:put(event, value, dropped)
  if not self.events then
    self.events, self.values, self.lost = {}, {}, nil
  end
  local last = #self.events + 1
  self.events[last], self.values[last] = event, value
  self.lost = dropped and (self.lost or 0) + dropped or self.lost
  driver.wake(self.task)
end

--- Lets go of what it waited for, for an operation.
---@return string[] events
---@return any[] values
---@return integer|nil lost log events
function Call:hand_over()
  local events, values, lost = self.events, self.values, self.lost
  self.id, self.events, self.values, self.lost = false, false, nil, nil
  return events, values, lost
end

--- The call that an event is for, if it is still wanted.
---@param waiter table
---@param place integer the event's tag
---@param id integer
---@return table|nil
function M.of(waiter, place, id)
  local tasks = waiter.tasks[1]
  local task = tasks and tasks[place]
  local call = task and task.call
  return call and call.id == id and call or nil
end

--- Gives the ends that come first in a mailbox to the calls that wait for them.
---@param waiter table
---@param mailbox userdata the waiter's
---@return integer|nil id of the first one whose call has let go of it
---@return userdata|nil result
function M.drain(waiter, mailbox)
  local tasks = waiter.tasks and waiter.tasks[1]
  local place, id, result, status = mailbox:take_end()
  while place do
    local task = tasks and tasks[place]
    local call = task and task.call
    if not call or call.id ~= id then
      return id, result
    elseif call.events then
      call:put("done", result)
    else
      call.id, call.result, call.status = false, result, status
      task.scheduler:wake(task)
    end
    place, id, result, status = mailbox:take_end()
  end
end

-- What is to be done for another client or engine than the last time, or where something was
-- raised into the task as it waited, and it went on.
local function begin(task, waiter, operations)
  local call = task.call or new_call(task)
  task.call = call
  if call.operations and call.operations ~= operations then
    call.operations[call], call.operations = nil, nil
  end
  operations[call] = true -- its client cancels it when it is closed
  call.operations = operations
  if call.id then
    call:cancel()
  end
  call.waiter, call.cancelled, call.events = waiter, false, false
  return call
end

--- Sends one request and waits in its task for the end.
---@param waiter table of the task's scheduler
---@param task table the running one
---@param client userdata the core's client
---@param request userdata
---@param operations table where the call's entry is, with a method `cancel`
---@param handlers table|nil for the operation
---@param become fun(call: table, handlers: table|nil): table makes an operation of what the call's
--- `events` and `values` have to be dealt with by
---@return userdata|nil result
---@return integer|false|nil status false where the result is an error
---@return table|nil operation
---@return table|nil raw a plain record of what went wrong; nil where the engine is closed
function M.exchange(waiter, task, client, request, operations, handlers, become)
  local call = task.call
  if not call or call.operations ~= operations or call.waiter ~= waiter or call.id then
    call = begin(task, waiter, operations)
  end
  local id, raw = waiter.engine:submit(waiter.mailbox, client, request, task.place)
  if not id then
    return nil, nil, nil, not waiter.engine:is_closed() and raw or nil
  end
  call.id, call.result = id, false
  local result
  repeat
    task.waits = call
    yield(WAIT)
    result = call.result
  until result or call:ready()
  if result then
    call.result = false
    return result, call.status
  elseif call.events and not call.cancelled then
    return nil, nil, become(call, handlers)
  end
  call.id, call.cancelled, call.events = false, false, false
  return nil, nil, nil, M.cancelled
end

return M
