local clients = require "spec.support.clients"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local garner = require "garner"

local here, raised = clients.here, clients.raised

describe("garner.wait", function()
  after_each(clients.close_all)

  it("gives what the function gives, once it gives something", function()
    local calls = 0
    local a, b = garner.wait(function()
      calls = calls + 1
      if calls == 3 then
        return "ready", "more"
      end
      return calls == 1 and nil or false
    end, { first = 0.01 })
    assert.equal("ready", a)
    assert.equal("more", b)
    assert.equal(3, calls)
  end)

  it("looks at once and does not sleep for what is there", function()
    local started = core.now()
    assert.equal(0, garner.wait(function() return 0 end, { first = 10 }))
    assert.is_true(core.now() - started < 1)
  end)

  it("ends with the function's own error", function()
    local mine = errors.new { kind = "not_found", message = "gone" }
    local value, err = garner.wait(function() return nil, mine end)
    assert.is_nil(value)
    assert.equal(mine, err)
    value, err = garner.wait(function() return false, "text" end)
    assert.is_nil(value)
    assert.equal("text", err)
  end)

  it("lets an error pass", function()
    assert.has_error(function() garner.wait(function() error("boom", 0) end) end, "boom")
  end)

  it("ends at its timeout, after a last look", function()
    local started, looks = core.now(), 0
    local value, err = garner.wait(function() looks = looks + 1 end,
      { timeout = 0.25, first = 0.1, factor = 1, jitter = false })
    local took = core.now() - started
    assert.is_nil(value)
    assert.equal("timeout", err.kind)
    assert.equal("wait", err.code)
    assert.equal(looks, err.looks)
    assert.is_true(took >= 0.25 and took < 1, took)
    assert.is_true(looks >= 3 and looks <= 5, looks)
  end)

  it("waits longer and longer, up to the cap, and less with jitter", function()
    local host, slept = driver.host(), {}
    local now = 0
    garner.use { wait = host.wait, yieldable = host.yieldable, now = function() return now end,
      sleep = function(seconds)
        slept[#slept + 1] = seconds
        now = now + seconds
      end }
    local function run(opts)
      slept = {}
      garner.wait(function() end, opts)
      return slept
    end
    local ok, why = pcall(function()
      assert.same({ 1, 2, 4, 5, 5, 3 },
        run { timeout = 20, first = 1, factor = 2, cap = 5, jitter = false })
      local plain = run { timeout = "1m", jitter = false }
      assert.same({ 1, 1.5, 2.25 }, { plain[1], plain[2], plain[3] })
      for _, seconds in ipairs(run { timeout = 100, first = 4, factor = 1, jitter = 0.5 }) do
        assert.is_true(seconds <= 4)
      end
      local jittered = run { timeout = 1000, first = 4, factor = 1 }
      local least, most = 4, 0
      for i = 1, #jittered - 1 do
        least, most = math.min(least, jittered[i]), math.max(most, jittered[i])
      end
      assert.is_true(least >= 3 and most <= 4 and most - least > 0.2)
    end)
    garner.use(host)
    assert(ok, why)
  end)

  it("waits side by side with others", function()
    local order = {}
    local function waiter(name, seconds)
      return function()
        local due = core.now() + seconds
        garner.wait(function() return core.now() >= due end, { first = 0.01, factor = 1 })
        order[#order + 1] = name
      end
    end
    garner.all { waiter("slow", 0.2), waiter("quick", 0.05) }
    assert.same({ "quick", "slow" }, order)
  end)

  it("raises for wrong arguments at the caller's line", function()
    local line
    local function nothing() end
    for _, call in ipairs {
      function() line = here(); garner.wait() end,
      function() line = here(); garner.wait({}) end,
      function() line = here(); garner.wait(nothing, 5) end,
      function() line = here(); garner.wait(nothing, { timeout = 0 }) end,
      function() line = here(); garner.wait(nothing, { timeout = "5" }) end,
      function() line = here(); garner.wait(nothing, { first = -1 }) end,
      function() line = here(); garner.wait(nothing, { factor = 0.5 }) end,
      function() line = here(); garner.wait(nothing, { jitter = 2 }) end,
      function() line = here(); garner.wait(nothing, { interval = 1 }) end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
    end
  end)

  it("leaves no engine behind", function()
    garner.wait(function() end, { timeout = 0.05, first = 0.01 })
    assert.equal(0, core.running())
  end)
end)
