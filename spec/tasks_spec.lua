local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local garner = require "garner"
local simulator = require "spec.support.simulator"
local tasks = require "garner.tasks"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local function sleep(seconds)
  driver.current().sleep(seconds)
end

describe("garner.all", function()
  after_each(clients.close_all)

  it("ends at once what one of its functions waits for and another one closes", function()
    local scope = sim:scope()
    local api, start = clients.client({}, scope), driver.current().now()
    local walk
    local results = garner.all {
      function() return api:get "/_http/delay/60000" end,
      function()
        walk = api:pages("/_http/delay/60000", { next = { from = "next", query = "token" } })
        return walk:next()
      end,
      function() sleep(0.05) walk:close() api:close() return true end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.is_not_true(results[2].ok and results[2][1])
    assert.is_true(driver.current().now() - start < 30)
  end)

  it("gives the outcomes in the order of the list", function()
    local results = garner.all {
      function() sleep(0.05) return "slow", nil, 3 end,
      function() return end,
      function() error("raised", 0) end,
      function() return nil, "an error" end,
      function() return false end,
      function() error({ kind = "mine" }) end,
    }
    assert.equal(6, #results)
    assert.same({ "slow", nil, 3, n = 3, ok = true }, results[1])
    assert.same({ n = 0, ok = true }, results[2])
    assert.is_false(results[3].ok)
    assert.equal("raised", results[3].err)
    assert.truthy(results[3].traceback:find("tasks_spec", 1, true))
    assert.is_false(results[4].ok)
    assert.equal("an error", results[4].err)
    assert.is_true(results[5].ok)
    assert.equal("mine", results[6].err.kind)
    assert.equal(3, results.failed)
  end)

  it("runs what waits side by side", function()
    local api = clients.client()
    local fns = {}
    for i = 1, 16 do
      fns[i] = function() return api:get("/_http/delay/100", { query = { i = i } }) end
    end
    local started = core.now()
    local results = garner.all(fns)
    local took = core.now() - started
    assert.equal(0, results.failed)
    assert.is_true(took < 0.8, "16 times 100 ms took " .. took)
    for i = 1, 16 do
      assert.equal(200, results[i][1].status)
      assert.truthy(results[i][1].url:find("i=" .. i, 1, true))
    end
  end)

  it("gives each its own outcome, where many run at a time, and come and go", function()
    local api = clients.client()
    local fns = {}
    for i = 1, 300 do
      fns[i] = function() return api:get("/_http/echo?n=" .. i):json().query end
    end
    local results = garner.all(fns, { concurrency = 128 })
    for i = 1, 300 do
      assert.equal("n=" .. i, results[i][1])
    end
    assert.equal(0, garner.stats().in_flight)
  end)

  it("runs no more than it may at a time", function()
    local running, most = 0, 0
    local fns = {}
    for i = 1, 20 do
      fns[i] = function()
        running = running + 1
        most = math.max(most, running)
        sleep(0.005)
        running = running - 1
        return i
      end
    end
    local results = garner.all(fns, { concurrency = 3 })
    assert.equal(3, most)
    for i = 1, 20 do
      assert.equal(i, results[i][1])
    end
  end)

  it("takes an empty list", function()
    assert.same({ failed = 0 }, garner.all {})
  end)

  it("works inside itself", function()
    local api = clients.client()
    local function get() return api:get("/_http/delay/50") end
    local started = core.now()
    local results = garner.all {
      function() return garner.all { get, get } end,
      function() return garner.all { get, function() return garner.all { get, get } end } end,
    }
    assert.is_true(core.now() - started < 0.6)
    assert.equal(0, results.failed)
    assert.equal(200, results[2][1][2][1][1][1].status)
  end)

  it("lets a coroutine of the function's own wait, blocking", function()
    local api = clients.client()
    local results = garner.all {
      function()
        local inner = coroutine.wrap(function() return api:get("/_http/delay/20").status end)
        return inner()
      end,
      function() return api:get("/_http/delay/20").status end,
    }
    assert.equal(200, results[1][1])
    assert.equal(200, results[2][1])
  end)

  it("takes a yield of the function's own for a turn of the others", function()
    local order = {}
    garner.all {
      function()
        order[#order + 1] = "a1"
        coroutine.yield("whatever")
        order[#order + 1] = "a2"
      end,
      function() order[#order + 1] = "b" end,
    }
    assert.same({ "a1", "b", "a2" }, order)
  end)

  it("lets the host's loop go on while a task does nothing but yield", function()
    local done, yields = false, 0
    garner.use { now = core.now, yieldable = function() return true end,
      wait = function() end, sleep = function() done = true end }
    local results = garner.all { function()
      while not done and yields < 1000 do
        yields = yields + 1
        coroutine.yield()
      end
    end }
    garner.use "block"
    assert.equal(0, results.failed)
    assert.equal(1, yields)
  end)

  it("lets others go on while a task does nothing but yield", function()
    local api = clients.client()
    local status
    local deadline = core.now() + 3
    local results = garner.all {
      function()
        while not status and core.now() < deadline do coroutine.yield() end
      end,
      function()
        sleep(0.01)
        status = api:get("/_http/delay/20").status
      end,
    }
    assert.is_true(core.now() < deadline, "starved")
    assert.equal(0, results.failed)
    assert.equal(200, status)
  end)

  it("works in a coroutine of the user's", function()
    local api = clients.client()
    local co = coroutine.wrap(function()
      local results = garner.all {
        function() return api:get("/_http/echo").status end,
        function() return api:get("/_http/echo").status end,
      }
      return results[1][1] + results[2][1]
    end)
    assert.equal(400, co())
  end)

  it("lets functions wait below compat.guard in every Lua", function()
    local api = clients.client()
    local results = garner.all {
      function()
        return select(2, compat.guard(function()
          local ok, inner = compat.guard(function() return api:get("/_http/delay/20").status end)
          assert(ok)
          sleep(0.01)
          return inner
        end))
      end,
      function() return compat.guard(function() sleep(0.01) error("x", 0) end) end,
    }
    assert.equal(200, results[1][1])
    assert.is_false(results[2][1])
    assert.equal("x", results[2][2])
  end)

  it("gives its functions no arguments, and each its own outcome", function()
    local results = garner.all({
      function(...) return select("#", ...) end,
      function(...) sleep(0.001) return select("#", ...), nil, nil end,
      function() error("x", 0) end,
      function(...) sleep(0.001) return ... end,
      setmetatable({}, { __call = function(_, ...) return "called", select("#", ...) end }),
      function() return nil, false end,
    }, { concurrency = 1 })
    assert.same({ 0, n = 1, ok = true }, results[1])
    assert.same({ 0, nil, nil, n = 3, ok = true }, results[2])
    assert.equal("x", results[3].err)
    assert.same({ n = 0, ok = true }, results[4])
    assert.same({ "called", 0, n = 2, ok = true }, results[5])
    assert.is_false(results[6].ok)
    assert.is_false(results[6].err)
  end)

  it("is not troubled by who resumes the coroutine of a function that has ended", function()
    local first, last
    local results = garner.all({
      function() first = coroutine.running() return 1 end,
      function()
        sleep(0.001)
        last = coroutine.running()
        return 2
      end,
      function() return (coroutine.resume(first, "a")), coroutine.status(last) end,
      function() sleep(0.001) return coroutine.resume(last) end,
      function() sleep(0.001) return 5 end,
    }, { concurrency = 2 })
    for i = 1, 5 do assert.is_true(results[i].ok or i == 3 or i == 4, i) end
    assert.equal(1, results[1][1])
    assert.equal(2, results[2][1])
    assert.equal(5, results[5][1])
  end)

  it("lets the coroutine of a function that yielded by itself end with it", function()
    local kept, woken
    local results = garner.all({
      function() kept = coroutine.running() coroutine.yield() return 1 end,
      function()
        woken = true
        sleep(0.001)
        woken = false
        return coroutine.running() ~= kept, coroutine.status(kept), coroutine.resume(kept)
      end,
    }, { concurrency = 1 })
    assert.equal(1, results[1][1])
    assert.is_false(woken)
    assert.same({ true, "dead", false }, { results[2][1], results[2][2], results[2][3] })
  end)

  it("tells when a task is over, whatever way it ended", function()
    local lives = {}
    assert.is_nil(driver.life())
    local pool = tasks.ordered { count = 4, concurrency = 4, run = function(i)
      lives[i] = driver.life()
      assert(lives[i] == driver.life() and not lives[i].over)
      if i == 2 then error("x", 0) end
      if i > 2 then sleep(60) end
    end }
    assert.equal(1, (pool:next()))
    assert.is_false(pcall(pool.next, pool))
    for i = 1, 4 do assert.is_true(lives[i].over, i) end
    local results = garner.all({
      function() lives[5] = driver.life() end,
      function() return driver.life() ~= lives[5] and not driver.life().over and lives[5].over end,
    }, { concurrency = 1 })
    assert.is_true(results[2][1])
  end)

  it("runs on where a function has closed the pool that it is of", function()
    local api = clients.client(nil, sim:scope())
    local results = garner.all { function()
      local pool
      pool = tasks.ordered { count = 3, concurrency = 1, run = function()
        assert(api:get "/_http/echo")
        pool:close()
      end }
      assert.is_nil(pool:next())
      local inner = garner.all {
        function() return 1 end, function() return api:get("/_http/echo").status end,
      }
      return inner[1][1], inner[2][1]
    end }
    assert.same({ 1, 200 }, { results[1][1], results[1][2] })
  end)

  it("keeps no function that has ended", function()
    local kept = setmetatable({}, { __mode = "k" })
    local function holder()
      local mine = {}
      kept[mine] = true
      return function() return mine ~= nil end
    end
    local results = garner.all { function()
      assert.equal(0, garner.all({ holder(), holder(), holder() }, { concurrency = 2 }).failed)
      collectgarbage()
      collectgarbage()
      return next(kept) == nil
    end }
    assert.is_true(results[1][1])
  end)

  it("raises for wrong arguments at the caller's line", function()
    local line
    local function nothing() end
    for _, call in ipairs {
      function() line = here(); garner.all() end,
      function() line = here(); garner.all(nothing) end,
      function() line = here(); garner.all { 1 } end,
      function() line = here(); garner.all { nothing, a = nothing } end,
      function() line = here(); garner.all { nothing, nil, nothing } end,
      function() line = here(); garner.all({ nothing }, { concurrency = 0 }) end,
      function() line = here(); garner.all({ nothing }, { n = 1 }) end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
    end
  end)

  it("names the caller's line inside a task too", function()
    local api, line = clients.client(), nil
    local results = garner.all { function() line = here(); api:get("/x", { foo = 1 }) end }
    assert.equal(1, (results[1].err:find(line, 1, true)))
  end)

  it("leaves nothing in flight when an error flies through it", function()
    local host = driver.host()
    local api = clients.client()
    local count = 0
    local interrupted = { now = host.now, sleep = host.sleep, yieldable = host.yieldable,
      wait = function(mailbox)
        count = count + 1
        if count > 2 then error("interrupted!", 0) end
        host.wait(mailbox, host.now() + 0.05)
      end }
    garner.engine { thread = os.getenv "GARNER_ENGINE" == "threaded" }
    require("garner.engine").get()
    garner.use(interrupted)
    local ok, why = pcall(garner.all, {
      function() return api:get("/_http/delay/3000") end,
      function() return api:get("/_http/delay/3000") end,
    })
    garner.use(host)
    garner.engine {}
    assert.is_false(ok)
    assert.equal("interrupted!", why)
    for _ = 1, 3 do collectgarbage() end
    assert(api:get("/_http/echo"))
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)
end)

describe("tasks.ordered", function()
  after_each(clients.close_all)

  local function drain(pool)
    local out = {}
    while true do
      local i, value = pool:next()
      if not i then
        return out
      end
      out[#out + 1] = i .. "=" .. tostring(value)
    end
  end

  it("gives outcomes in order, whatever comes first", function()
    local pool = tasks.ordered { count = 5, concurrency = 5, run = function(i)
      sleep(0.05 - i * 0.01)
      return i * i
    end }
    assert.same({ "1=1", "2=4", "3=9", "4=16", "5=25" }, drain(pool))
    assert.is_nil(pool:next())
  end)

  it("starts no more than it may ahead of what was handed out", function()
    local started = 0
    local pool = tasks.ordered { count = 50, concurrency = 4, run = function(i)
      started = math.max(started, i)
      return i
    end }
    for i = 1, 50 do
      assert.equal(i, (pool:next()))
      assert.is_true(started <= i + 4, started .. " started at " .. i)
    end
    assert.is_nil(pool:next())
  end)

  it("hands nil and err on, and raises what run raised", function()
    local pool = tasks.ordered { count = 3, concurrency = 2, run = function(i)
      if i == 2 then error({ two = true }) end
      return nil, "err " .. i
    end }
    local i, value, err = pool:next()
    assert.same({ 1, nil, "err 1" }, { i, value, err })
    local ok, why = pcall(pool.next, pool)
    assert.is_false(ok)
    assert.is_true(why.two)
    assert.is_nil(pool:next())
  end)

  it("has requests out while the caller works", function()
    local scope = sim:scope()
    local api = clients.client({}, scope)
    local pool = tasks.ordered { count = 3, concurrency = 2, run = function(i)
      return api:get("/_http/delay/" .. i).status
    end }
    assert.equal(1, (pool:next()))
    sleep(0.1)
    assert.equal(1, scope:count("/_http/delay/3"))
    pool:close()
  end)

  it("works inside tasks, and from one to another", function()
    local api = clients.client()
    local function squares()
      return tasks.ordered { count = 4, concurrency = 2, run = function(i)
        assert(api:get("/_http/delay/10"))
        return i * i
      end }
    end
    local outside = squares()
    local results = garner.all {
      function() return drain(squares()) end,
      function() return drain(squares()) end,
      function() return drain(outside) end,
    }
    for i = 1, 3 do
      assert.is_true(results[i].ok, tostring(results[i].err))
      assert.same({ "1=1", "2=4", "3=9", "4=16" }, results[i][1])
    end
    local made_inside = garner.all { squares }[1][1]
    assert.same({ "1=1", "2=4", "3=9", "4=16" }, drain(made_inside))
  end)

  it("can be closed, twice, and by another task", function()
    local api = clients.client()
    local pool = tasks.ordered { count = 9, concurrency = 3, run = function()
      return api:get("/_http/delay/3000")
    end }
    local results = garner.all {
      function() return pool:next() == nil end,
      function() sleep(0.05) pool:close() pool:close() end,
    }
    assert.is_true(results[1][1])
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("ends what its functions wait for in turn", function()
    local api = clients.client()
    local function slow() return api:get("/_http/delay/3000") end
    local pool = tasks.ordered { count = 3, concurrency = 3, run = function(i)
      if i == 1 then return sleep(0.05) end
      if i == 2 then return garner.all { slow, slow } end
      return tasks.ordered({ count = 2, concurrency = 2, run = slow }):next()
    end }
    assert.equal(1, (pool:next()))
    assert.equal(4, garner.stats().in_flight)
    pool:close()
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("cancels what is in flight when it is collected", function()
    local api = clients.client()
    do
      local pool = tasks.ordered { count = 9, concurrency = 3, run = function(i)
        return i == 1 or api:get("/_http/delay/3000")
      end }
      assert.equal(1, (pool:next()))
    end
    for _ = 1, 3 do collectgarbage() end
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)
end)
