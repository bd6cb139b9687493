-- Owns: waiting in a program on libuv (luv): a coroutine that waits is resumed by the loop. One
-- poll handle for each engine, which holds the loop up only while somebody waits.
-- Must not: run the loop, but for garner.main.

local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local shared = require "garner.driver.waiters"
local uv = require "luv"

local M = { name = "luv" }

local LONGEST = 86400 -- seconds that one timer takes; whoever waits longer is early, and waits on

local waiters -- at the engine that was waited for last
local sigint -- the loop's handle for Ctrl-C, once garner.main has run something
local waits = {} -- coroutine -> what it waits in

--- Raises where nothing can wait, and says what to do instead.
function M.check()
  if not compat.running() then
    errors.misuse("garner: this is no coroutine, so nothing can wait here in libuv's loop; put it "
      .. "into one, coroutine.wrap(function() ... end)(), or into garner.main(function() ... end)")
  elseif not compat.yieldable() then
    errors.misuse("garner: nothing can wait inside require, string.gsub, table.sort or another C "
      .. "function; call it outside")
  end
end

-- Handles are closed in the loop's own callbacks only: a program that ends while one is closing
-- crashes old versions of luv. So timers are stopped and used again.
local idle = {} -- timers

local function close(handle)
  if not handle:is_closing() then
    handle:close()
  end
end

local function stop(timer)
  if timer and not timer:is_closing() then
    timer:stop()
    idle[#idle + 1] = timer
  end
end

local function take_timer()
  local timer = table.remove(idle)
  while timer and timer:is_closing() do
    timer = table.remove(idle)
  end
  return timer or assert(uv.new_timer())
end

-- The end of a wait, whoever ends it.
local function finish(waiter)
  if waiter.over then
    return
  end
  waiter.over = true
  if waits[waiter.co] == waiter then
    waits[waiter.co] = nil
  end
  stop(waiter.timer)
  local at = waiter.at
  if at then
    at:leave(waiter)
    if at.count == 0 and at.handle and not at.handle:is_closing() and not at:is_over() then
      at.handle:unref()
    end
  end
end

-- One that could not yield (see shared.is_in) is still there. `where` is what it is to yield in.
local function new_waiter(fields, where)
  local co = compat.outermost()
  local before = waits[co]
  if before then
    finish(before)
  end
  fields.co, fields.inner, fields.where, waits[co] = co, compat.running(), where, fields
  return fields
end

-- What a coroutine raises is the loop's to tell, when all of them have had their turn.
local function resume(list)
  local failure
  for _, waiter in ipairs(list) do
    local co = waiter.co
    if not waiter.over then
      finish(waiter)
      if coroutine.status(co) == "suspended" and shared.is_in(waiter.inner, waiter.where) then
        local ok, err = coroutine.resume(co)
        if not ok then
          local text = debug.traceback(co, tostring(err))
          failure = failure and failure .. "\n" .. text or text
        end
      end
    end
  end
  if failure then
    error(failure, 0)
  end
end

local function new_timer(seconds, waiter)
  local timer = take_timer()
  uv.update_time() -- a timer counts from when the loop last looked at the clock
  timer:start(math.ceil(math.max(0, math.min(seconds, LONGEST)) * 1000), 0, function()
    resume { waiter }
  end)
  return timer
end

-- The loop's handle on an engine's descriptor. One that was closed with all others of the loop
-- is made again.
local function handle_of(at)
  local handle = at.handle
  if handle and not handle:is_closing() then
    return handle
  end
  handle = assert(uv.new_poll(at.descriptor))
  handle:unref()
  handle:start("r", function(failed)
    local list = at:woken()
    if failed or at:is_over() then
      close(handle)
    end
    resume(list)
  end)
  at.handle = handle
  return handle
end

-- What belongs to an engine that is closed: its descriptor is readable, which tells who still
-- waits there, and the handle closes itself in the loop's next round. In a child of fork the
-- descriptor is the parent's and must not be touched.
local function let_go(at)
  local handle = at.handle
  if not at:is_own() then
    for _, waiter in ipairs(at:woken()) do
      stop(waiter.timer)
      waiter.timer = new_timer(0, waiter)
    end
  elseif handle and not handle:is_closing() then
    handle:ref()
  end
end

local function current()
  local before = waiters
  waiters = shared.at(before, true)
  if before and before ~= waiters then
    let_go(before)
  end
  return waiters
end

--- Waits until the mailbox has something, or for the deadline; may return early.
---@param mailbox userdata
---@param deadline number|nil on `now`'s clock
function M.wait(mailbox, deadline)
  if mailbox:pending() > 0 or mailbox:is_closed() then
    return
  end
  M.check()
  local at = current()
  local waiter = new_waiter({ mailbox = mailbox, at = at }, M.wait)
  local handle = handle_of(at)
  if deadline then
    waiter.timer = new_timer(deadline - core.now(), waiter)
  end
  at:enter(waiter, mailbox)
  handle:ref()
  coroutine.yield()
  finish(waiter)
end

--- Sleeps; the loop goes on.
---@param seconds number
function M.sleep(seconds)
  M.check()
  local deadline = core.now() + seconds
  repeat
    local waiter = new_waiter({}, M.sleep)
    waiter.timer = new_timer(deadline - core.now(), waiter)
    coroutine.yield()
    finish(waiter)
  until core.now() >= deadline
end

M.now = core.now

--- Whether waiting is possible here: it always yields.
---@return boolean
function M.yieldable()
  return compat.running() ~= nil and compat.yieldable()
end

--- What a task yields that is not garner's: whoever resumes it knows.
function M.outside()
end

--- The engine was closed: in the loop's next round its handle will be too, so that
--- `uv.loop_close` finds none.
function M.closed()
  local timers = idle
  idle = {}
  for _, timer in ipairs(timers) do
    if not timer:is_closing() then
      timer:start(0, 0, function() close(timer) end)
    end
  end
  if waiters and waiters:is_over() then
    let_go(waiters)
    waiters = nil
  end
end

--- Runs a function as a coroutine of the loop, and the loop until it has ended. Ctrl-C ends it at
--- once where the loop comes to look: not while Lua computes.
---@param fn function
---@return any ... what it gives; what it raises is raised
function M.run(fn)
  if uv.loop_mode and uv.loop_mode() then
    errors.misuse("garner: libuv's loop runs already; call it in a coroutine, "
      .. "coroutine.wrap(function() ... end)()")
  end
  local ended, interrupted
  if not sigint or sigint:is_closing() then
    sigint = uv.new_signal()
    sigint:unref()
  end
  sigint:start("sigint", function()
    interrupted = true
    uv.stop()
  end)
  local co = coroutine.create(function()
    ended = compat.pack(compat.guard(fn))
  end)
  local ok, err = coroutine.resume(co)
  while ok and not ended and not interrupted do
    if not uv.run("once") and not ended and not interrupted then
      ok, err = false, "garner: the loop has nothing left that could end this wait"
    end
  end
  sigint:stop()
  if interrupted and not ended then
    error("interrupted!", 0)
  elseif not ok or not ended[1] then
    error(ok and ended[2] or err, 0)
  end
  return compat.unpack(ended, 2, ended.n)
end

return M
