-- Owns: waiting in a program on cqueues. In each controller one of those who wait polls the
-- engine's descriptor for all; whoever sees it first tells everybody, in every controller.
-- Must not: step a controller, but for garner.main.

local compat = require "garner.compat"
local condition = require "cqueues.condition"
local core = require "garner.core"
local cqueues = require "cqueues"
local errors = require "garner.errors"
local shared = require "garner.driver.waiters"

local M = { name = "cqueues" }

local SLICE = 0.1 -- seconds, so that Ctrl-C works

local waiters -- at the engine that was waited for last

--- Raises where nothing can wait, and says what to do instead.
---@return userdata controller
function M.check()
  local controller = cqueues.running()
  if not controller then
    errors.misuse("garner: no cqueues controller runs this, so nothing can wait here; use "
      .. "controller:wrap(function() ... end), or garner.main(function() ... end)")
  elseif not compat.yieldable() then
    errors.misuse("garner: nothing can wait inside require, string.gsub, table.sort or another C "
      .. "function; call it outside")
  end
  return controller
end

-- Who waits in one controller: a list, and the one of it that polls the descriptor.
local function group_of(at, controller)
  at.groups = at.groups or setmetatable({}, { __mode = "k" })
  local group = at.groups[controller]
  if not group then
    group = { bell = { pollfd = at.descriptor, events = "r" } }
    at.groups[controller] = group
  end
  return group
end

local threads = setmetatable({}, { __mode = "kv" }) -- who waits -> the coroutine

-- Whether the one that polls for others does so: see shared.is_in.
local function is_there(waiter)
  return waiter ~= nil and shared.is_in(threads[waiter], M.wait)
end

local function join(group, waiter)
  group[#group + 1] = waiter
  waiter.place = #group
  threads[waiter] = compat.running()
  if not is_there(group.leader) then
    group.leader = waiter
  end
end

local function lead(group)
  group.leader = nil
  for _, waiter in ipairs(group) do
    if is_there(waiter) then
      group.leader = waiter
      waiter.changed:signal()
      return
    end
  end
end

local function part(group, waiter)
  local last = group[#group]
  group[waiter.place], last.place = last, waiter.place
  group[#group] = nil
  if group.leader == waiter then
    lead(group)
  end
end

local function poll(at, group, waiter, deadline)
  local left = deadline and math.max(0, deadline - core.now())
  if group.leader ~= waiter then
    if left then
      cqueues.poll(waiter.changed, left)
    else
      cqueues.poll(waiter.changed)
    end
    return
  end
  local first, second
  if left then
    first, second = cqueues.poll(group.bell, waiter.changed, left)
  else
    first, second = cqueues.poll(group.bell, waiter.changed)
  end
  if first == group.bell or second == group.bell then
    for _, other in ipairs(at:woken()) do
      if other ~= waiter then
        other.changed:signal()
      end
    end
  end
end

-- Who still waits at an engine that is closed: in a child of fork no descriptor tells them.
local function tell_all(at)
  for _, waiter in ipairs(at:woken()) do
    waiter.changed:signal()
  end
end

--- Waits until the mailbox has something, or for the deadline; may return early.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  if mailbox:pending() > 0 or mailbox:is_closed() then
    return
  end
  local controller = M.check()
  local before = waiters
  waiters = shared.at(before, false)
  if before and before ~= waiters then
    tell_all(before)
  end
  local at = waiters
  local group = group_of(at, controller)
  local waiter = { changed = condition.new(), mailbox = mailbox }
  at:enter(waiter, mailbox)
  join(group, waiter)
  poll(at, group, waiter, deadline)
  part(group, waiter)
  at:leave(waiter)
end

--- Sleeps; the controller goes on.
---@param seconds number
function M.sleep(seconds)
  M.check()
  local deadline = core.now() + seconds
  repeat
    cqueues.poll(math.max(0, deadline - core.now()))
  until core.now() >= deadline
end

M.now = core.now

--- Whether waiting is possible here: it always yields.
---@return boolean
function M.yieldable()
  return cqueues.running() ~= nil and compat.yieldable()
end

--- What a task yields that is not garner's: a coroutine of the controller yields it instead.
---@param go_on fun(...)
function M.outside(go_on, ...)
  cqueues.running():wrap(function(...)
    go_on(coroutine.yield(...))
  end, ...)
end

--- The engine was closed.
function M.closed()
  if waiters and waiters:is_over() then
    tell_all(waiters)
    waiters = nil
  end
end

--- Runs a function in a controller of its own, until it has ended.
---@param fn function
---@return any ... what it gives; what it raises is raised
function M.run(fn)
  local controller = cqueues.new()
  local ended
  controller:wrap(function()
    ended = compat.pack(compat.guard(fn))
  end)
  while not ended do
    local ok, err = controller:step(SLICE)
    if not ok then
      error(err, 0)
    elseif not ended and controller:empty() then
      error("garner: the controller has nothing left that could end this wait", 0)
    end
  end
  if not ended[1] then
    error(ended[2], 0)
  end
  return compat.unpack(ended, 2, ended.n)
end

return M
