-- Owns: which driver (the way this host waits) is in use, and waiting from inside a
-- task of the scheduler. Must not: know libcurl or requests.

local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"

local M = {}

local runs = core.runs

--- How a host waits. A host of one's own gives the first four; its engine then has a thread.
--- `mailbox` is what somebody waits for:
---   `pending()`: how many events it has; `is_closed()`: nothing comes any more;
---   `id()`: a number unique in its engine;
---   `descriptor()`: the engine's one descriptor, readable from an event for any mailbox until
---     `acknowledge()`; then `ready()` gives the ids of those that got something, nil at the end;
---   `doorbell()`: path and key of the engine's Unix socket, for hosts that wait on sockets only;
---   `subscribe()`: the same as the line with its id, on the connection that sent "=" and the id
---     last: true: wait for the answer; false: it has something; nil: there is no such connection.
--- A driver looks at `pending` and `is_closed` before it waits, and keeps a mailbox alive as long
--- as its loop polls the descriptor.
---@class garner.Driver
---@field wait fun(mailbox: any, deadline: number|nil) returns when the mailbox has something or is
--- closed, at latest at the deadline (on its own clock); may return early. Raises where waiting is
--- impossible
---@field sleep fun(seconds: number) raises where waiting is impossible
---@field now fun(): number seconds, monotonic
---@field yieldable fun(): boolean whether waiting here yields the coroutine
---@field check nil|fun() raises where waiting is impossible, before anything is sent
---@field run nil|fun(fn: function): any, any runs fn as a coroutine of the host's loop until it
--- has ended, gives its results or raises its error: what garner.main does in this host
---@field log nil|fun(level: string, text: string) the host's own log
---@field closed nil|fun() the engine was closed: what is polled of it can go
---@field outside nil|fun(go_on: fun(...), ...) a function that garner.all or a pull runs has
--- yielded these values, which are not garner's but the loop's: has the loop do it, and calls go_on
--- with what it gives. May leave that to whoever resumes the coroutine itself. Without it the
--- function just goes on when others have had their turn
---@field server nil|boolean the process serves others, too: garner.main ends neither it nor the
--- engine

--- The host's own driver, once it is known.
M.known = nil
local inside = setmetatable({}, { __mode = "kv" }) -- coroutine -> its task

-- What a task yields; anything else that a task yields is its own affair.
M.WAIT = {}

-- The task that a scheduler has resumed last and that has not come back: mostly the one that runs.
M.resumed = nil

compat.set_adopt(function(inner)
  inside[inner] = inside[compat.running()]
end)

local function load_driver(name)
  local ok, found = pcall(compat.load, "garner.driver." .. name)
  if ok then
    return found
  end
  local lacks = tostring(found):match "^module '([^']+)' not found" or ""
  if lacks == "garner.driver." .. name then
    errors.misuse('garner.use: there is no driver "' .. name
      .. '"; drivers: block, copas, cqueues, luv, nginx')
  elseif lacks == name then
    errors.misuse('garner.use "' .. name .. '": this Lua finds no module ' .. name)
  end
  error(found, 0)
end

local function complete(driver)
  for _, name in ipairs { "wait", "sleep", "now", "yieldable" } do
    if not compat.callable(driver[name]) then
      errors.misuse("garner.use: a driver needs the function " .. name)
    end
  end
  return driver
end

--- Chooses the driver: how this host waits. Before the first request; nginx is recognised by
--- itself.
---@param driver string|garner.Driver "block" (plain scripts, the default), "luv", "cqueues",
--- "copas", "nginx", or a table with wait, sleep, now, yieldable
---@return garner.Driver
function M.use(driver)
  if type(driver) == "string" and driver:find("^[%w_]+$") then
    M.known = complete(load_driver(driver))
  elseif type(driver) == "table" then
    M.known = complete(driver)
  else
    errors.misuse("garner.use: give the name of a driver or a table")
  end
  return M.known
end

-- nginx's own driver, inside nginx.
local function nginx()
  local ngx = compat.global "ngx"
  return type(ngx) == "table" and ngx.get_phase and compat.load "garner.driver.nginx"
end

--- The host's own driver, whoever asks.
---@return garner.Driver
function M.host()
  M.known = M.known or nginx() or compat.load "garner.driver.block"
  return M.known
end

--- Raises where the running code cannot wait.
function M.check()
  local check = M.host().check
  if check then
    check()
  end
end

--- Where this host keeps its log, nil if that is stderr.
---@return nil|fun(level: string, text: string)
function M.log()
  return M.host().log or (nginx() or {}).log
end

--- The task that the running coroutine is, if it is one and may yield here.
---@return table|nil
function M.task()
  local task = M.resumed
  if task and runs(task.co) then
    return task
  end
  local co = compat.running()
  task = co and inside[co]
  if task and compat.yieldable() then
    return task
  end
  return nil
end

--- Tells when the running task is over: a table whose `over` is true then; nil outside of tasks.
---@return table|nil
function M.life()
  local task = M.task()
  if not task then
    return nil
  end
  task.life = task.life or { over = false }
  return task.life
end

--- Its function has ended, or is dropped.
---@param task table
function M.end_life(task)
  if task.life then
    task.life.over, task.life = true, nil
  end
end

--- Makes a coroutine known as a task.
---@param co thread
---@param task table|nil
function M.set_task(co, task)
  inside[co] = task
end

local NOTHING = { silent = true }

--- Hands a task over to its scheduler until it has something to look at. The task itself says
--- what it waits for: it may have been resumed by somebody else.
---@param task table
---@param waitable table|nil `ready()`; `wakes`: it wakes its task itself when it is, `silent`: no
--- engine has anything to do with it
---@param deadline number|nil
function M.await(task, waitable, deadline)
  task.waits, task.deadline = waitable or NOTHING, deadline
  coroutine.yield(M.WAIT)
end

--- Has a task look at what it waits for.
---@param task table|nil
function M.wake(task)
  if task then
    task.scheduler:wake(task)
  end
end

-- Inside a task: hand the waiting over to the scheduler.
local in_task = {
  wait = function(mailbox, deadline)
    M.await(M.task(), {
      ready = function()
        return mailbox:pending() > 0 or mailbox:is_closed()
      end,
    }, deadline)
  end,
  sleep = function(seconds)
    M.await(M.task(), nil, M.host().now() + seconds)
  end,
  now = function()
    return M.host().now()
  end,
  yieldable = function()
    return true
  end,
}

--- The driver for the running code: the host's, or inside a task of `garner.all` the
--- scheduler's.
---@return garner.Driver
function M.current()
  return M.task() and in_task or M.host()
end

--- Whether the `for` form of an iterator cannot work here (PUC 5.1, where waiting
--- yields: inside `garner.all`, or in a host with a loop).
---@return boolean
function M.no_for()
  return not compat.yields_in_for and M.current().yieldable()
end

return M
