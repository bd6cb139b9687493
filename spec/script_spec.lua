local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

describe("garner.check", function()
  it("gives its arguments back", function()
    assert.same({ 1, nil, 3 }, { garner.check(1, nil, 3) })
    assert.equal("x", (garner.check "x"))
    assert.same({}, garner.check {})
  end)

  it("raises the error itself", function()
    local mine = errors.new { kind = "cancelled", message = "m" }
    local quiet = errors.quiet_raise
    errors.quiet_raise = true
    local ok, err = pcall(garner.check, nil, mine)
    errors.quiet_raise = quiet
    assert.is_false(ok)
    assert.equal(mine, err)
  end)

  it("raises a text with the caller's line, and says when there was no error", function()
    local message = raised(function() garner.check(nil, "some text") end)
    assert.equal(here(-1) .. " some text", message)
    message = raised(function() garner.check(false) end)
    assert.equal(1, (message:find(here(-1), 1, true)), message)
    assert.truthy(message:find("no error with it", 1, true))
  end)
end)

describe("an error that nobody catches", function()
  it("shows its text in every Lua", function()
    local code, output = clients.run [[
      local garner = require "garner"
      garner.check(nil, garner.errors.new { kind = "hole", message = "two windows are missing" })
    ]]
    assert.equal(1, code)
    assert.truthy(output:find("two windows are missing", 1, true), output)
  end)
end)

describe("garner.main", function()
  after_each(clients.close_all)

  local function main(fn, args)
    local text, code = {}, nil
    local stderr = { write = function(_, ...)
      for i = 1, select("#", ...) do
        text[#text + 1] = tostring((select(i, ...)))
      end
    end }
    garner.main(fn, { exit = function(n) code = n end, stderr = stderr, args = args })
    return code, table.concat(text)
  end

  local function failing(kind, more)
    return function()
      local fields = { kind = kind, message = "the message" }
      for name, value in pairs(more or {}) do
        fields[name] = value
      end
      return nil, errors.new(fields)
    end
  end

  it("ends with 0 when all is well, and prints nothing", function()
    local code, text = main(function() return true end)
    assert.equal(0, code)
    assert.equal("", text)
    assert.equal(0, (main(function() end)))
    assert.equal(7, (main(function() return 7 end)))
  end)

  it("gives the script's arguments", function()
    local got
    main(function(...) got = { ... } end, { "a", "b" })
    assert.same({ "a", "b" }, got)
  end)

  it("ends with 1 for an error that is returned or raised", function()
    local code, text = main(failing "forbidden")
    assert.equal(1, code)
    assert.equal("error: the message (forbidden)\n", text)
    code, text = main(function() errors.raise(errors.new { kind = "invalid", message = "m" }) end)
    assert.equal(1, code)
    assert.equal("error: m (invalid)\n", text)
    assert.equal(1, (main(failing "in_doubt")))
    assert.equal(1, (main(function() return false end)))
  end)

  it("shows where the script itself is broken", function()
    local code, text = main(function()
      local t = nil
      return t.x
    end)
    assert.equal(1, code)
    assert.truthy(text:find("script_spec.lua", 1, true))
    assert.truthy(text:find("stack traceback", 1, true))
  end)

  it("ends with 2 for wrong use", function()
    local code, text = main(function() garner.client {} end)
    assert.equal(2, code)
    assert.truthy(text:find("base_url is missing", 1, true))
    assert.falsy(text:find("traceback", 1, true))
    code, text = main(function() error("usage: report.lua DATE", 0) end)
    assert.equal(2, code)
    assert.equal("usage: report.lua DATE\n", text)
    code, text = main(function() error("usage: report.lua DATE") end)
    assert.equal(2, code)
    assert.equal("usage: report.lua DATE\n", text)
  end)

  it("ends with 3 for holes, and lists them", function()
    local code, text = main(failing("hole", { windows = {
      { from = "2026-11-19T00:00:00Z", to = "2026-11-19T08:00:00Z", state = "failed" } } }))
    assert.equal(3, code)
    assert.truthy(text:find("2026-11-19T00:00:00Z to 2026-11-19T08:00:00Z: failed", 1, true), text)
  end)

  it("ends with 75 where trying later may help", function()
    for _, kind in ipairs { "throttled", "timeout", "transport", "not_ready", "server" } do
      assert.equal(75, (main(failing(kind))), kind)
    end
    assert.equal(1, (main(failing("server", { retryable = false }))))
    assert.equal(1, (main(failing("transport", { retryable = false }))))
  end)

  it("closes everything", function()
    main(function()
      assert(clients.client():get("/_http/echo"))
      assert.equal(1, core.running())
    end)
    assert.equal(0, core.running())
  end)

  it("raises for wrong arguments at the caller's line", function()
    local message = raised(function() garner.main() end)
    assert.equal(1, (message:find(here(-1), 1, true)), message)
  end)

  it("ends the process", function()
    local script = [[
      local garner = require "garner"
      garner.main(function(name)
        local api = garner.client { base_url = %q }
        io.write("got ", garner.check(api:get "/_http/echo").status, " ", tostring(name), "\n")
        garner.check(api:get("/_http/status/403?body=not+for+you"))
      end)
      print "never here"]]
    local code, output = clients.run(script:format(sim.url))
    assert.equal(1, code)
    assert.truthy(output:find("got 200", 1, true), output)
    assert.truthy(output:find("error: GET " .. sim.url .. "/_http/status/403: not for you", 1,
      true), output)
    assert.falsy(output:find("never here", 1, true))
    local _, count = output:gsub("not for you", "")
    assert.equal(1, count)
  end)

  it("ends with 130, at once, when it is interrupted", function()
    local script = [[
      local garner = require "garner"
      garner.main(function()
        local api = garner.client { base_url = %q }
        %s
      end)]]
    for _, what in ipairs { 'api:get "/_http/delay/20000"',
      'garner.all { function() return api:get "/_http/delay/20000" end }',
      'garner.wait(function() end)' } do
      local started = core.now()
      local code, output = clients.run(script:format(sim.url, what),
        "timeout --foreground --preserve-status -s INT 1") -- one signal, not two
      assert.equal(130, code, output)
      assert.truthy(output:find("interrupted", 1, true), output)
      assert.is_true(core.now() - started < 5)
    end
  end)
end)

describe("compat", function()
  it("knows what this Lua can do", function()
    assert.equal(3, compat.pack(nil, nil, nil).n)
    assert.is_nil(compat.running())
    assert.is_false(coroutine.wrap(function() return compat.running() == nil end)())
    assert.is_true(compat.whole(5))
    assert.is_false(compat.whole(5.5))
    assert.is_false(compat.whole(0 / 0))
    assert.is_false(compat.whole("5"))
    assert.is_true(compat.callable(setmetatable({}, { __call = function() end })))
    assert.is_false(compat.callable {})
  end)

  it("guards code that yields", function()
    local co = coroutine.wrap(function()
      return compat.guard(function(a)
        local b = coroutine.yield(a + 1)
        return compat.guard(function() error("x" .. coroutine.yield(b + 1), 0) end)
      end, 1)
    end)
    assert.equal(2, co())
    assert.equal(11, co(10))
    assert.same({ true, false, "x!" }, { co("!") })
    assert.same({ false, "boom" }, { compat.guard(error, "boom", 0) })
  end)

  it("calls finalizers once the holder is gone", function()
    local called = 0
    do
      local holder = { compat.finalizer(function() called = called + 1 end) }
      assert.is_table(holder)
    end
    for _ = 1, 3 do collectgarbage() end
    assert.equal(1, called)
  end)
end)
