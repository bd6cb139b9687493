-- Owns: one exchange that a task of the scheduler waits for, without an operation. Its
-- scheduler's mailbox goes with the last task, so there is nothing to be done where nobody
-- holds it. Must not: know what an event means, but for the end.

local driver = require "garner.driver"

local M = {}

--- What an exchange that was cancelled came to, as a plain record.
M.cancelled = { kind = "cancelled", code = "closed", message = "cancelled: it was closed" }

local Call = { alone = true }
Call.__index = Call

function Call:ready()
  return self.ended or self.cancelled or self.events ~= nil
end

function Call:cancel()
  self.cancelled = true
  if self.id and not self.waiter.engine:is_closed() then
    self.waiter.engine:cancel(self.id)
  end
  driver.wake(self.task)
end

function Call:put(event, value, dropped)
  if event == "done" and not self.events and not dropped then
    self.value, self.ended = value, true
    self.waiter.operations[self.id] = nil
  else -- something that an operation has to deal with
    local events, values = self.events or {}, self.values or {}
    events[#events + 1], values[#events + 1] = event, value
    self.events, self.values = events, values
    self.lost = dropped and (self.lost or 0) + dropped or self.lost
  end
  driver.wake(self.task)
end

--- Sends one request and waits in its task for the end.
---@param waiter table of the task's scheduler
---@param task table the running one
---@param client userdata the core's client
---@param request userdata
---@param operations table where the call's entry is meanwhile, with a method `cancel`
---@return userdata|nil result
---@return table|nil call whose `events` and `values` an operation has to deal with
---@return table|nil raw a plain record of what went wrong; nil where the engine is closed
function M.exchange(waiter, task, client, request, operations)
  local e = waiter.engine
  local call = setmetatable({ waiter = waiter, id = false, task = task, ended = false,
    cancelled = false, value = false, events = nil, values = nil }, Call)
  operations[call] = true
  local id, raw = e:submit(waiter.mailbox, client, request)
  if not id then
    operations[call] = nil
    return nil, nil, not e:is_closed() and raw or nil
  end
  call.id = id
  local kept, why = pcall(rawset, waiter.operations, id, call)
  if not kept then -- the mailbox, which others use, stays: it would run on, and nobody know it
    e:cancel(id)
    error(why, 0)
  end
  repeat
    driver.await(task, call)
  until call:ready() or e:is_closed()
  operations[call], call.task = nil, nil
  if call.events and not call.cancelled then
    return nil, call
  elseif call.cancelled or not call.value then
    return nil, nil, M.cancelled
  end
  return call.value
end

return M
