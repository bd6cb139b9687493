-- garner in programs with an event loop: luv, cqueues and copas, each where it is installed.
-- Must not: test what does not wait.

local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local engine = require "garner.engine"
local garner = require "garner"
local loops = require "spec.support.loops"
local simulator = require "spec.support.simulator"

local raised = clients.raised
local sim = simulator.get()

local WALK = { items = "things", query = { n = 3, size = 2 },
  next = { from = "nextPageToken", query = "pageToken" } }

local folder

setup(function()
  local pipe = assert(io.popen "mktemp -d")
  folder = pipe:read "*l"
  pipe:close()
end)

teardown(function()
  os.execute("rm -rf '" .. folder .. "'")
end)

for _, name in ipairs(loops.names) do
  describe("garner in " .. name, function()
    local missing = loops.missing(name)
    if missing then
      return pending(missing)
    end

    local host, api

    before_each(function()
      host = loops.start(name)
      api = clients.client()
    end)

    after_each(function()
      garner.close()
      host.stop() -- what was waiting is told, and ends
      host = nil
      garner.use "block"
      clients.close_all()
    end)

    -- What a function gives in a coroutine of the loop.
    local function within(fn)
      local result
      host.spawn(function() result = compat.pack(fn()) end)
      host.run()
      return compat.unpack(result, 1, result.n)
    end

    it("200 requests of 20 ms side by side take about one round", function()
      within(function() return api:get "/_http/echo" end)
      local done, started = 0, core.now()
      for _ = 1, 200 do
        host.spawn(function()
          assert.equal(200, assert(api:get "/_http/delay/20").status)
          done = done + 1
        end)
      end
      host.run()
      assert.equal(200, done)
      assert.is_true(core.now() - started < 2) -- one after the other: more than 4 s
      assert.is_true(engine.current():is_threaded())
    end)

    it("lets the loop's other coroutines go on", function()
      local order = {}
      host.spawn(function()
        assert(api:get "/_http/delay/200")
        order[#order + 1] = "answer"
      end)
      host.spawn(function()
        driver.current().sleep(0.02)
        order[#order + 1] = "slept"
      end)
      if host.sleep then
        host.spawn(function()
          host.sleep(0.05)
          order[#order + 1] = "the loop's own sleep"
        end)
      end
      host.run()
      assert.same(host.sleep and { "slept", "the loop's own sleep", "answer" }
        or { "slept", "answer" }, order)
    end)

    it("gives errors as everywhere", function()
      local res, err = within(function() return api:get "/_http/status/404?body=no+such+thing" end)
      assert.is_nil(res)
      assert.equal("not_found", err.kind)
      res, err = within(function() return api:get("/_http/delay/5000", { timeout = 0.1 }) end)
      assert.is_nil(res)
      assert.equal("timeout", err.kind)
    end)

    it("raises at the caller's line inside a coroutine", function()
      local message, line = within(function()
        local line = clients.here(1)
        return raised(function() api:get() end), line
      end)
      assert.equal(1, (message:find(line:match "^(.-:)%d", 1, true)), message)
    end)

    it("walks pages, by collect, each and where it can by for", function()
      local counts = within(function()
        local each, looped = 0, 0
        assert(api:pages("/_http/pages", WALK):each(function() each = each + 1 end))
        local ok, why = compat.guard(function()
          for page in api:pages("/_http/pages", WALK) do
            looped = looped + #page.items
          end
        end)
        if compat.yields_in_for then
          assert(ok, why)
        else
          assert.truthy(why:find("use each", 1, true), why)
          looped = 6
        end
        return { #assert(api:pages("/_http/pages", WALK):collect()), each, looped }
      end)
      assert.same({ 6, 3, 6 }, counts)
    end)

    it("waits for jobs and downloads their files", function()
      local scope = sim:scope()
      local bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url }
      local path = folder .. "/" .. name .. ".csv"
      local size, told = within(function()
        local told = 0
        local job = assert(bv:create_report { event_id = "event-1", type = "live",
          dimensions = { "poll_votes", "watch_time" } })
        local reports = assert(job:wait { first = 0.02, timeout = 20,
          on_progress = function() told = told + 1 end })
        return assert(reports[2]:download(path)).size, told
      end)
      local file = assert(io.open(path))
      assert.equal(size, #file:read "*a")
      file:close()
      assert.is_true(told > 0)
      bv:close()
    end)

    it("pulls windows side by side", function()
      local scope = sim:scope()
      local bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url }
      local rows = within(function()
        return #assert(bv:live_metrics { live_id = "live-1", from = "-3d", to = "-2d" }:collect())
      end)
      local seen = within(function()
        return assert(bv:live_metrics { live_id = "live-1", from = "-3d", to = "-2d" }
          :each(function() end))
      end)
      assert.is_true(rows > 100)
      assert.equal(rows, seen)
      bv:close()
    end)

    it("runs garner.all and garner.wait", function()
      local results, ticks = within(function()
        local results = garner.all({
          function() return api:get "/_http/delay/50" end,
          function() return garner.all { function() return api:get "/_http/echo" end } end,
          function() driver.current().sleep(0.02) return "slept" end,
          function() error "broken" end,
        }, { concurrency = 3 })
        local n = 0
        return results, garner.wait(function()
          n = n + 1
          return n == 3 and api:get "/_http/echo" and n or nil
        end, { first = 0.01 })
      end)
      assert.equal(1, results.failed)
      assert.equal(200, results[1][1].status)
      assert.equal(200, results[2][1][1][1].status)
      assert.equal("slept", results[3][1])
      assert.equal(3, ticks)
    end)

    it("sleeps as long as it is told", function()
      local started = core.now()
      within(function() driver.current().sleep(0.05) end)
      assert.is_true(core.now() - started >= 0.05)
      within(function() driver.current().sleep(0) end)
    end)

    it("gives kind cancelled where the engine is closed, and goes on with a new one", function()
      local kinds, status = {}, nil
      for i = 1, 3 do
        host.spawn(function()
          local _, err = api:get "/_http/delay/5000"
          kinds[i] = err.kind
          status = assert(api:get "/_http/echo").status
        end)
      end
      host.spawn(function()
        driver.current().sleep(0.03)
        garner.close()
      end)
      host.run()
      assert.same({ "cancelled", "cancelled", "cancelled" }, kinds)
      assert.equal(200, status)
    end)

    it("a walk that its loop's coroutine gives up is cancelled", function()
      local scope = sim:scope()
      local walk = clients.client({}, scope)
        :pages("/_http/delay/5000", { next = { link = "next" } })
      local err
      host.spawn(function() err = select(2, walk:next()) end)
      host.spawn(function()
        driver.current().sleep(0.05)
        walk:close()
        garner.close()
      end)
      host.run()
      assert.equal("cancelled", err.kind)
    end)

    it("wakes two coroutines that wait at one mailbox", function()
      local e = assert(engine.get())
      local mailbox, core_client = e:mailbox_new(), core.client_new { base_url = sim.url }
      local woken = 0
      for _ = 1, 3 do
        host.spawn(function()
          local deadline = core.now() + 10
          while mailbox:pending() == 0 and core.now() < deadline do
            driver.host().wait(mailbox, deadline)
          end
          woken = woken + mailbox:pending()
        end)
      end
      assert(e:submit(mailbox, core_client, { url = sim.url .. "/_http/echo" }))
      local started = core.now()
      host.run()
      assert.equal(3, woken)
      assert.is_true(core.now() - started < 5)
    end)

    it("looks before it waits", function()
      within(function()
        local e = assert(engine.get())
        local mailbox, core_client = e:mailbox_new(), core.client_new { base_url = sim.url }
        assert(e:submit(mailbox, core_client, { url = sim.url .. "/_http/echo" }))
        while mailbox:pending() == 0 do
          e:wait(e:sequence(), 0.05)
        end
        assert(api:get "/_http/echo") -- this one takes note of the other's event
        driver.host().wait(mailbox, nil)
        e:close()
        driver.host().wait(mailbox, nil)
      end)
    end)

    it("raises outside of a coroutine, and sends nothing", function()
      local scope = sim:scope()
      local outside = clients.client({}, scope)
      for _, fn in ipairs {
        function() outside:get "/_http/echo" end,
        function() outside:pages("/_http/echo", { next = { link = "n" } }):next() end,
        function() garner.wait(function() end) end,
        function() garner.all { function() return outside:get "/_http/echo" end } end,
      } do
        local message = raised(fn)
        assert.truthy(message:find("spec/loops_spec.lua:%d+: garner: "), message)
        assert.truthy(message:find("garner.main", 1, true), message)
      end
      assert.equal(0, scope:count())
    end)

    it("raises inside a C function that cannot yield, where Lua can tell", function()
      if core.yieldable() == nil then
        return -- 5.1 and 5.2 raise too, but only when it is tried
      end
      local message = within(function()
        local ok, why = pcall(string.gsub, "x", "x", function() api:get "/_http/echo" end)
        return not ok and tostring(why)
      end)
      assert.truthy(message:find("C function", 1, true), message)
    end)

    it("a wait that could not yield disturbs nobody, not even its own coroutine", function()
      local slept, status
      local sleep = host.sleep or driver.host().sleep
      host.spawn(function()
        assert.is_false(pcall(string.gsub, "a", "a", function()
          api:get "/_http/delay/20"
        end))
        local begun = core.now()
        sleep(0.2)
        slept = core.now() - begun
      end)
      host.spawn(function()
        sleep(0.05)
        status = assert(api:get("/_http/delay/20")).status
      end)
      host.run()
      assert.is_true(slept >= 0.19, slept)
      assert.equal(200, status)
    end)

    it("a token function waits in the loop, too", function()
      local scope = sim:scope()
      local client = clients.client({ token = function()
        driver.current().sleep(0.01)
        return assert(api:get "/_http/echo"):json().method .. scope.token
      end }, scope)
      local results = within(function()
        return garner.all {
          function() return client:get "/_http/echo" end,
          function() return client:get "/_http/echo" end,
        }
      end)
      assert.equal(0, results.failed)
    end)

    it("lets a function of garner.all wait by the loop's own means", function()
      local waits = host.sleep or function() host.fetch(sim.url .. "/_http/delay/50") end
      local function works()
        waits(0.05)
        local status = assert(api:get "/_http/delay/20").status
        waits(0.02)
        return status
      end
      local started
      local results = within(function()
        started = core.now()
        return garner.all { works, works, function() return api:get "/_http/delay/30" end, works,
          function()
            waits(0.01)
            error "broken"
          end,
          function()
            waits(0.01)
            return nil, "failed"
          end }
      end)
      assert.is_true(core.now() - started < 3)
      assert.same({ 200, 200, 200 }, { results[1][1], results[2][1], results[4][1] })
      assert.equal(200, results[3][1].status)
      assert.equal(2, results.failed)
      assert.equal("failed", results[6].err)
      if name ~= "luv" then -- there the error belongs to whoever resumed it
        assert.truthy(tostring(results[5].err):find("broken", 1, true))
      end
    end)

    it("lets a pull's token function wait by the loop's own means", function()
      local scope = sim:scope()
      local bv = garner.blendvision { org_id = "sim-org", base_url = sim.url, token = function()
        if host.sleep then
          host.sleep(0.02)
        else
          host.fetch(sim.url .. "/_http/echo")
        end
        return scope.token
      end }
      assert.is_true(within(function()
        return #assert(bv:live_metrics { live_id = "live-1", from = "-3d", to = "-2d",
          types = { "frame_rate" } }:collect())
      end) > 100)
      bv:close()
    end)

    it("goes on when a coroutine that waits is resumed by somebody else", function()
      if name ~= "luv" then
        return -- in the others nobody but the loop resumes a coroutine
      end
      local co, status
      host.spawn(function()
        co = coroutine.running()
        status = assert(api:get "/_http/delay/100").status
      end)
      host.spawn(function()
        assert(coroutine.resume(co, "early"))
        for _ = 1, 2 do
          host.sleep(0.01)
          if coroutine.status(co) == "suspended" then -- a slow machine may have its answer
            assert(coroutine.resume(co, "early"))
          end
        end
      end)
      host.run()
      assert.equal(200, status)
    end)

    it("is what garner.main runs a script in", function()
      local waits, code, args = nil, nil, nil
      garner.main(function(...)
        args = { ... }
        waits = driver.current().yieldable()
        local res = assert(api:get "/_http/echo")
        assert.equal(0, garner.all({ function() return api:get "/_http/echo" end }).failed)
        return res.status == 200 and 7
      end, { args = { "a", "b" }, exit = function(n) code = n end })
      assert.is_true(waits)
      assert.same({ "a", "b" }, args)
      assert.equal(7, code)
    end)
  end)
end
