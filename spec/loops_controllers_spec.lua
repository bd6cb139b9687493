-- What only one of the event loops has: cqueues' many controllers, luv's handles.
-- Must not: repeat what spec/loops_spec.lua tries with all of them.

local clients = require "spec.support.clients"
local core = require "garner.core"
local driver = require "garner.driver"
local engine = require "garner.engine"
local garner = require "garner"
local loops = require "spec.support.loops"

describe("garner in several controllers of cqueues", function()
  local missing = loops.missing "cqueues"
  if missing then
    return pending(missing)
  end

  local cqueues = require "cqueues"
  local api

  before_each(function()
    garner.use "cqueues"
    api = clients.client()
  end)

  after_each(function()
    garner.close()
    garner.use "block"
    clients.close_all()
    api = nil
  end)

  local function wrap(controller, count, path, state)
    for _ = 1, count do
      controller:wrap(function()
        assert.equal(200, assert(api:get(path)).status)
        state.done = state.done + 1
      end)
    end
  end

  local function step(controller, seconds)
    local ok, why = controller:step(seconds)
    assert(ok, why)
  end

  it("wakes who waits in each, though one of them takes note for all", function()
    local first, second, state = cqueues.new(), cqueues.new(), { done = 0 }
    wrap(first, 50, "/_http/delay/20", state)
    wrap(second, 50, "/_http/delay/20", state)
    local deadline = core.now() + 20
    while state.done < 100 and core.now() < deadline do
      step(first, 0.01)
      step(second, 0.01)
    end
    assert.equal(100, state.done)
    assert.is_true(first:empty() and second:empty())
  end)

  it("works in one that runs inside of another", function()
    local outer, state = cqueues.new(), { done = 0 }
    wrap(outer, 20, "/_http/delay/30", state)
    outer:wrap(function()
      local inner = cqueues.new()
      wrap(inner, 20, "/_http/delay/20", state)
      assert(inner:loop())
    end)
    assert(outer:loop(20))
    assert.equal(40, state.done)
  end)

  it("does not depend on one that nobody steps any more", function()
    local left, state = cqueues.new(), { done = 0 }
    wrap(left, 2, "/_http/delay/50", state)
    step(left, 0)
    step(left, 0)
    local other = cqueues.new()
    wrap(other, 5, "/_http/delay/20", state)
    assert(other:loop(20))
    assert.equal(5, state.done)
    left:close()
    wrap(other, 5, "/_http/echo", state)
    assert(other:loop(20))
    assert.equal(10, state.done)
  end)

  it("wakes all when the engine is closed from outside", function()
    local first, second, kinds = cqueues.new(), cqueues.new(), {}
    for _, controller in ipairs { first, second } do
      for _ = 1, 3 do
        controller:wrap(function()
          local _, err = api:get "/_http/delay/5000"
          kinds[#kinds + 1] = err.kind
        end)
      end
      step(controller, 0)
    end
    garner.close()
    assert(first:loop(10))
    assert(second:loop(10))
    assert.same({ "cancelled", "cancelled", "cancelled", "cancelled", "cancelled", "cancelled" },
      kinds)
  end)

  it("survives cqueues' own time limits and cancellation", function()
    local controller, state = cqueues.new(), { done = 0 }
    wrap(controller, 3, "/_http/delay/100", state)
    for _ = 1, 5 do
      step(controller, 0.001)
      local mailbox = assert(engine.get()):mailbox_new()
      cqueues.cancel((assert(mailbox:descriptor())))
    end
    assert(controller:loop(20))
    assert.equal(3, state.done)
  end)

  it("a deadline comes also for who does not poll the descriptor", function()
    local controller, state = cqueues.new(), { done = 0 }
    wrap(controller, 1, "/_http/delay/300", state)
    local mailbox = assert(engine.get()):mailbox_new()
    for _ = 1, 3 do
      controller:wrap(function()
        local deadline = core.now() + 0.05
        while core.now() < deadline do
          driver.host().wait(mailbox, deadline)
        end
        state.late = core.now() - deadline
      end)
    end
    assert(controller:loop(20))
    assert.equal(1, state.done)
    assert.is_true(state.late < 0.25)
  end)

  it("lets an abandoned controller be collected with who waits in it", function()
    local weak = setmetatable({}, { __mode = "k" })
    local state = { done = 0 }
    do
      local controller = cqueues.new()
      weak[controller] = true
      wrap(controller, 2, "/_http/delay/5000", state)
      step(controller, 0)
    end
    for _ = 1, 4 do collectgarbage() end
    assert.is_nil((next(weak)))
  end)
end)

describe("garner's handles in luv", function()
  local missing = loops.missing "luv"
  if missing then
    return pending(missing)
  end

  local uv = require "luv"
  local host, api

  before_each(function()
    host = loops.start "luv"
    api = clients.client()
  end)

  after_each(function()
    garner.close()
    host.stop()
    garner.use "block"
    clients.close_all()
  end)

  local function handles()
    local count = 0
    uv.walk(function(handle)
      if not handle:is_closing() then count = count + 1 end
    end)
    return count
  end

  it("are one while the engine is there, and none when it is closed", function()
    uv.run "nowait"
    local before = handles()
    for _ = 1, 20 do
      host.spawn(function() assert(api:get "/_http/echo") end)
    end
    host.run() -- ends by itself: the one that is left does not hold the loop up
    assert.equal(before + 1, handles())
    assert.is_false(uv.loop_alive())
    garner.close()
    uv.run "nowait"
    assert.equal(before, handles())
  end)

  it("are made again where a program has closed all of the loop's", function()
    host.spawn(function() assert(api:get "/_http/echo") end)
    host.run()
    uv.walk(function(handle)
      if not handle:is_closing() then handle:close() end
    end)
    uv.run()
    host.spawn(function() assert(api:get "/_http/echo") end)
    host.run()
  end)

  it("go with a coroutine that dies while it waits", function()
    local close = rawget(coroutine, "close")
    if not close then
      return -- before 5.4 a coroutine that waits cannot be ended from outside
    end
    local co = coroutine.create(function() api:get "/_http/delay/50" end)
    assert(coroutine.resume(co))
    assert(close(co))
    local sleeper = coroutine.create(function() driver.current().sleep(0.05) end)
    assert(coroutine.resume(sleeper))
    assert(close(sleeper))
    uv.run()
    host.spawn(function() assert(api:get "/_http/echo") end)
    host.run()
    assert.is_false(uv.loop_alive())
  end)

  it("refuses garner.main in a callback of the loop that runs", function()
    local code, text = nil, {}
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      garner.main(function() end, { exit = function(n) code = n end,
        stderr = { write = function(_, ...) text[#text + 1] = table.concat { ... } end } })
    end)
    uv.run()
    assert.equal(2, code)
    assert.truthy(table.concat(text):find("loop runs already", 1, true))
  end)
end)
