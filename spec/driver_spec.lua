local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local engine = require "garner.engine"
local garner = require "garner"
local loops = require "spec.support.loop"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local function new_loop() return loops.new { strict = true } end

describe("garner.use", function()
  after_each(function()
    garner.use "block"
    clients.close_all()
  end)

  it("has block by default", function()
    assert.equal(require "garner.driver.block", driver.host())
    assert.equal(driver.host(), driver.current())
    assert.is_false(driver.current().yieldable())
  end)

  it("raises for what is no driver at the caller's line", function()
    local line
    local function nothing() end
    for _, call in ipairs {
      function() line = here(); garner.use() end,
      function() line = here(); garner.use "no_such_driver" end,
      function() line = here(); garner.use "../etc/x" end,
      function() line = here(); garner.use {} end,
      function() line = here(); garner.use { wait = nothing, sleep = nothing, now = nothing } end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
    end
  end)

  it("takes a host's own loop", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client()
    local done, order = 0, {}
    local started = core.now()
    for i = 1, 8 do
      loop.spawn(function()
        assert.is_true(driver.current().yieldable())
        local res = assert(api:get("/_http/delay/100"))
        assert.equal(200, res.status)
        order[#order + 1] = i
        done = done + 1
      end)
    end
    loop.spawn(function()
      driver.current().sleep(0.02)
      order[#order + 1] = "slept"
    end)
    loop.run()
    assert.equal(8, done)
    assert.equal("slept", order[1])
    assert.is_true(core.now() - started < 0.7)
  end)

  it("runs garner.all, walks, polls and waits in such a loop", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client()
    local results, items, ticks
    loop.spawn(function()
      results = garner.all({
        function() return api:get("/_http/delay/50") end,
        function() return api:get("/_http/delay/50") end,
        function() driver.current().sleep(0.02) return "slept" end,
        function() return garner.all { function() return api:get("/_http/echo") end } end,
      }, { concurrency = 3 })
    end)
    loop.spawn(function()
      items = assert((api:pages("/_http/pages", { items = "things", query = { n = 3, size = 2 },
        next = { from = "nextPageToken", query = "pageToken" } })):collect())
    end)
    loop.spawn(function()
      local n = 0
      ticks = garner.wait(function()
        n = n + 1
        return n == 3 and n or nil
      end, { first = 0.01 })
    end)
    loop.run()
    assert.equal(0, results.failed)
    assert.equal("slept", results[3][1])
    assert.equal(200, results[4][1][1][1].status)
    assert.equal(6, #items)
    assert.equal(3, ticks)
  end)

  it("has a threaded engine for such a host unless told otherwise", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client()
    loop.spawn(function() assert(api:get("/_http/echo")) end)
    loop.run()
    assert.equal(os.getenv "GARNER_ENGINE" ~= "inline", engine.current():is_threaded())
  end)

  it("gives a closed engine's answer to a waiting coroutine", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client()
    local err
    loop.spawn(function() err = select(2, api:get("/_http/delay/5000")) end)
    loop.spawn(function()
      driver.current().sleep(0.05)
      garner.close()
    end)
    loop.run()
    assert.equal("cancelled", err.kind)
  end)

  it("refuses two coroutines on one walk", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client({}, sim:scope())
    local walk = api:pages("/_http/delay/200", { next = { link = "next" } })
    local message
    loop.spawn(function() walk:next() end)
    loop.spawn(function() message = raised(walk.next, walk) end)
    loop.run()
    assert.truthy(message:find("two coroutines", 1, true))
  end)

  it("says to use each where a for cannot wait", function()
    local loop = new_loop()
    garner.use(loop.driver)
    local api = clients.client()
    local message, count = nil, 0
    loop.spawn(function()
      local ok, why = compat.guard(function()
        for _ in api:pages("/_http/pages", { items = "things", query = { n = 3 },
          next = { from = "nextPageToken", query = "pageToken" } }) do
          count = count + 1
        end
      end)
      message = not ok and why
    end)
    loop.run()
    if compat.yields_in_for then
      assert.equal(3, count)
      assert.is_false(message)
    else
      assert.truthy(message:find("use each", 1, true))
    end
  end)
end)

describe("the block driver", function()
  after_each(clients.close_all)

  it("waits in slices of at most 100 ms, so that Ctrl-C works", function()
    local api = clients.client()
    local calls, most = 0, 0
    local e = assert(engine.get())
    local wrapped = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        if name == "wait" then
          calls = calls + 1
          most = math.max(most, (select(2, ...)))
        end
        return e[name](e, ...)
      end
    end })
    local real = engine.current
    engine.current = function() return wrapped end
    local res = api:get("/_http/delay/450") -- the first slice is waited in engine.exchange
    engine.current = real
    assert.equal(200, res.status)
    assert.is_true(calls >= 2, calls) -- 4, if the machine has nothing else to do
    assert.is_true(most <= 0.1)
  end)

  it("goes on with transfers while it sleeps", function()
    local scope = sim:scope()
    local api = clients.client({}, scope)
    local co = coroutine.create(function() return api:get("/_http/echo") end)
    assert(coroutine.resume(co))
    driver.current().sleep(0.05)
    assert.equal(1, scope:count())
  end)

  it("sleeps as long as it is told, with or without an engine", function()
    for _ = 1, 2 do
      local started = core.now()
      driver.current().sleep(0.15)
      local took = core.now() - started
      assert.is_true(took >= 0.15 and took < 5, took)
      assert(clients.client():get("/_http/echo"))
    end
  end)
end)
