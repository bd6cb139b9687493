-- garner.limiter: one rate for several clients, and for the processes of a machine, measured by
-- when requests reach a server. What becomes of the file is in spec/core/test_limiter_file.c.

local clients = require "spec.support.clients"
local core = require "garner.core"
local garner = require "garner"
local lfs = require "lfs"
local simulator = require "spec.support.simulator"

local raised = clients.raised

describe("garner.limiter", function()
  local sim, folder, file

  setup(function()
    sim = simulator.get()
  end)

  before_each(function()
    local pipe = assert(io.popen "mktemp -d")
    folder = pipe:read "*l"
    pipe:close()
    file = folder .. "/rate"
  end)

  after_each(function()
    clients.close_all()
    os.execute("rm -rf '" .. folder .. "'")
  end)

  local function client(scope, limiter, more)
    local options = { rate = limiter, headers = { authorization = "Bearer " .. scope.token } }
    for name, value in pairs(more or {}) do options[name] = value end
    return clients.client(options, scope)
  end

  -- No span of time has more requests than burst and rate allow, a busy machine's delay aside.
  local function check_arrivals(requests, rate, burst, late)
    local at = {}
    for index, request in ipairs(requests) do at[index] = request.time end
    table.sort(at)
    for first = 1, #at do
      for last = first, #at do
        local allowed = burst + (at[last] - at[first] + late) * rate + 1
        assert.is_true(last - first + 1 <= allowed, ("%d requests within %.3f s"):format(
          last - first + 1, at[last] - at[first]))
      end
    end
    return at
  end

  local function rate_waits(response)
    local waited = 0
    for _, attempt in ipairs(response.attempts) do
      if attempt.why == "rate" then waited = waited + attempt.waited end
    end
    return waited
  end

  describe("in one Lua state", function()
    it("is kept by all clients that are given it", function()
      local scope = sim:scope()
      scope:fault { path = ".", times = 0, status = 200, body = {} }
      local limiter = garner.limiter { rate = 5, burst = 2 }
      local a, b = client(scope, limiter), client(scope, limiter)
      assert.equal(0, rate_waits(assert(a:get "/x")))
      assert.equal(0, rate_waits(assert(b:get "/x")))
      local waited = rate_waits(assert(a:get "/x"))
      assert.is_true(waited > 0.05 and waited < 0.21)
      assert.equal(5, a.options.rate)
      assert.equal(2, a.options.burst)
      a:close()
      assert.is_true(rate_waits(assert(b:get "/x")) > 0.05)
    end)

    it("passes on what one of them was told to wait", function()
      local scope = sim:scope()
      scope:fault { path = "/busy", times = 1, status = 429, headers = { ["Retry-After"] = "1" } }
      scope:fault { path = ".", times = 0, status = 200, body = {} }
      local limiter = garner.limiter { rate = 100, burst = 10 }
      local a, b = client(scope, limiter, { retry = false }), client(scope, limiter)
      local begun = core.now()
      local res, err = a:get "/busy"
      assert.is_nil(res)
      assert.equal("throttled", err.kind)
      assert.is_true(rate_waits(assert(b:get "/x")) > 0.5)
      assert.is_true(core.now() - begun >= 0.99)
    end)

    it("takes the place of a vendor's own rate", function()
      local limiter = garner.limiter { rate = 0.5, burst = 1 }
      local shop = garner.shoplazza { shop = "demo", token = "shop-token", rate = limiter }
      local plan = shop:events { event = "add_to_cart", from = "2026-11-01", to = "2026-11-05" }
        :plan()
      assert.equal((10 - 1) / 0.5, plan.seconds)
      shop:close()
    end)

    it("serves requests of one's own", function()
      local limiter = garner.limiter { rate = 20, burst = 2 }
      assert.is_true(assert(limiter:wait()) < 0.04)
      assert.is_true(assert(limiter:wait()) < 0.04)
      local begun = core.now()
      assert.is_true(assert(limiter:wait "5s") > 0.01)
      assert.is_true(core.now() - begun > 0.01)
      limiter:pause(60)
      local waited, err = limiter:wait(0.5)
      assert.is_nil(waited)
      assert.equal("timeout", err.kind)
      assert.equal("rate", err.code)
    end)

    it("says what it is", function()
      assert.equal("garner limiter (2 a second, burst 1)", tostring(garner.limiter { rate = 2 }))
      assert.equal("garner limiter (0.5 a second, burst 40, " .. file .. ")",
        tostring(garner.limiter { rate = 0.5, burst = 40, shared = file }))
    end)

    it("refuses wrong options at the caller's line", function()
      for _, case in ipairs {
        { {}, "rate is missing" }, { { rate = 0 }, "rate must be" },
        { { rate = 1, burst = "2" }, "burst must be" }, { { rate = 1, path = "x" }, "unknown" },
        { { rate = 1, shared = "" }, "shared must be" }, { { rate = 1, mode = "0600" }, "shared" },
        { { rate = 1, shared = file, mode = "0444" }, "mode must be" },
        { { rate = 1, shared = "a\0b" }, "NUL" },
      } do
        local message = raised(garner.limiter, case[1])
        assert.is_truthy(message:find(case[2], 1, true), message)
      end
      local message = raised(function() garner.limiter { rate = 1, shared = "/proc/none/x" } end)
      assert.equal(1, message:find(clients.here(-1), 1, true), message)
      assert.is_truthy(message:find("/proc/none/x", 1, true))
      message = raised(function()
        clients.client { rate = garner.limiter { rate = 1 }, burst = 3 }
      end)
      assert.is_truthy(message:find("its own burst", 1, true), message)
      message = raised(function() clients.client { rate = {} } end)
      assert.is_truthy(message:find("garner.limiter", 1, true), message)
      message = raised(function() garner.limiter { rate = 1 }.wait() end)
      assert.is_truthy(message:find("with a colon", 1, true), message)
    end)
  end)

  describe("shared by processes", function()
    local CHILD = [[
      local url, token, file, count = ...
      local garner = require "garner"
      local client = garner.client { base_url = url, timeout = 60,
        headers = { authorization = "Bearer " .. token },
        rate = garner.limiter { rate = 20, burst = 5, shared = file } }
      local calls = {}
      for i = 1, tonumber(count) do calls[i] = function() return client:get "/x" end end
      local results = garner.all(calls, { concurrency = 6 })
      assert(results.failed == 0, tostring(results[1].err))
    ]]

    it("holds at the server, and while one is killed and one stands still", function()
      local scope = sim:scope()
      scope:fault { path = ".", times = 0, status = 200, body = {} }
      local script = folder .. "/child.lua"
      local out = assert(io.open(script, "w"))
      out:write(CHILD)
      out:close()
      local child = ("%s '%s' '%s' %s '%s' 12"):format(clients.interpreter(), script, scope.url,
        scope.token, file)
      local code, output = clients.run(([[
        local shell = assert(io.popen([==[
          %s & killed=$!
          %s & stopped=$!
          %s & other=$!
          sleep 0.5; kill -STOP $stopped; kill -KILL $killed
          sleep 0.3; kill -CONT $stopped
          wait $stopped; echo stopped $?; wait $other; echo other $?
        ]==]))
        io.write(shell:read "*a")
      ]]):format(child, child, child))
      assert.equal(0, code)
      assert.is_truthy(output:find("stopped 0", 1, true), output)
      assert.is_truthy(output:find("other 0", 1, true), output)
      local requests = scope:requests()
      assert.is_true(#requests >= 24 and #requests <= 36)
      local at = check_arrivals(requests, 20, 5, 0.25)
      assert.is_true(at[#at] - at[1] > (#requests - 5) / 20 - 0.3)
      assert.equal("rw-------", lfs.attributes(file, "permissions"))
    end)

    it("tells the other processes what a server said", function()
      local limiter = garner.limiter { rate = 100, burst = 10, shared = file }
      assert(limiter:wait())
      local code, output = clients.run(([[
        local limiter = require("garner").limiter { rate = 100, burst = 10, shared = %q }
        limiter:pause(30)
      ]]):format(file))
      assert.equal(0, code, output)
      assert.is_nil(limiter:wait(0.2))
    end)

    it("makes a file of the mode that was asked for, and finds it again", function()
      local limiter = garner.limiter { rate = 2, burst = 3, shared = file, mode = "0660" }
      assert.equal("rw-rw----", lfs.attributes(file, "permissions"))
      for _ = 1, 3 do assert.is_true(assert(limiter:wait()) < 0.3) end
      os.remove(file)
      assert.is_nil(limiter:wait(0.2))
      assert.equal("rw-rw----", lfs.attributes(file, "permissions"))
      assert.is_nil(garner.limiter { rate = 2, burst = 3, shared = file }:wait(0.2))
    end)

    it("says where processes do not agree, and goes on", function()
      local limiter = garner.limiter { rate = 100, burst = 10, shared = file }
      local code, output = clients.run(([[
        local limiter = require("garner").limiter { rate = 5, shared = %q }
        assert(limiter:wait())
      ]]):format(file))
      assert.equal(0, code, output)
      assert.is_truthy(output:find("garner warn limiter.settings burst=1 file=" .. file
        .. " others_burst=10 others_rate=100 rate=5", 1, true), output)
      assert(limiter:wait())
    end)

    it("holds for an engine with a thread", function()
      local scope = sim:scope()
      scope:fault { path = ".", times = 0, status = 200, body = {} }
      local code, output = clients.run("require('garner').engine { thread = true }\nlocal function "
        .. "child(...)" .. CHILD .. (" end child(%q, %q, %q, 10)"):format(scope.url, scope.token,
        file))
      assert.equal(0, code, output)
      local at = check_arrivals(scope:requests(), 20, 5, 0.25)
      assert.is_true(at[#at] - at[1] > 0.2)
    end)
  end)
end)
