-- For specs: a small event loop, as a host would have one. Coroutines that wait are resumed
-- when their mailbox has something or ended, or their deadline is there; whoever is still
-- waiting when the loop is left stays in the middle of it.
-- Must not: block where there is no engine.
local compat = require "garner.compat"
local core = require "garner.core"
local engine = require "garner.engine"

local M = {}

--- A loop: `driver` for garner.use, `spawn(fn)` gives a task { co, done, ok, results },
--- `step(seconds)`, `run(seconds)` until every task is done, `waiting` = { [co] = task }.
---@param options table|nil strict = true: what a task raises is raised
function M.new(options)
  local loop = { waiting = {} }
  loop.driver = {
    wait = function(mailbox, deadline)
      coroutine.yield(mailbox, deadline)
      if loop.raises then error(loop.raises, 0) end
    end,
    sleep = function(seconds) coroutine.yield(nil, core.now() + seconds) end,
    now = core.now,
    yieldable = function() return compat.running() ~= nil end,
  }

  local function resume(task)
    loop.waiting[task.co] = nil
    local got = compat.pack(coroutine.resume(task.co))
    if coroutine.status(task.co) == "dead" then
      task.done, task.ok, task.results = true, got[1], got
      assert(got[1] or not (options and options.strict), got[2])
    else
      task.mailbox, task.deadline = got[2], got[3]
      loop.waiting[task.co] = task
    end
  end

  local function is_ready(task, now)
    local mailbox = task.mailbox
    return mailbox and (mailbox:pending() > 0 or mailbox:is_closed())
      or task.deadline and task.deadline <= now
  end

  function loop.spawn(fn)
    local task = { co = coroutine.create(fn) }
    resume(task)
    return task
  end

  function loop.step(seconds)
    local ready, now = {}, core.now()
    for _, task in pairs(loop.waiting) do
      if is_ready(task, now) then ready[#ready + 1] = task end
    end
    for _, task in ipairs(ready) do
      resume(task)
    end
    local e = engine.current()
    if #ready == 0 and e then
      e:wait(e:sequence(), seconds or 0.01)
    end
  end

  --- Resumes whoever waits, whether there is something or not, with an error if given.
  function loop.resume_all(raises)
    loop.raises = raises
    local all = {}
    for _, task in pairs(loop.waiting) do all[#all + 1] = task end
    for _, task in ipairs(all) do resume(task) end
    loop.raises = nil
  end

  function loop.run(seconds)
    local deadline = core.now() + (seconds or 20)
    while next(loop.waiting) and core.now() < deadline do
      loop.step()
    end
    assert(not next(loop.waiting), "the loop's tasks did not end")
  end

  return loop
end

return M
