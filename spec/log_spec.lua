local clients = require "spec.support.clients"
local core = require "garner.core"
local errors = require "garner.errors"
local garner = require "garner"
local log = require "garner.log"
local progress = require "garner.progress"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

describe("the log", function()
  after_each(clients.close_all)

  it("writes one line per event, keys sorted, values safe", function()
    assert.equal('garner warn throttled a="x y" b=1 c="" d="say \\"hi\\"" e="a b"',
      log.line("warn", "throttled", { b = 1, a = "x y", c = "", d = 'say "hi"', e = "a\nb" }))
    assert.equal("garner info started", log.line("info", "started"))
  end)

  it("gives a function every event, with secrets hidden", function()
    local events = {}
    local write = log.new(function(level, event, fields)
      events[#events + 1] = { level, event, fields }
    end, function() return { "s3cr3t-token" } end)
    write("debug", "request", { url = "https://h/?t=s3cr3t-token", n = 5 })
    write("error", "failed", { err = errors.new { kind = "server", message = "s3cr3t-token" } })
    assert.same({ "debug", "request", { url = "https://h/?t=***", n = 5 } }, events[1])
    assert.falsy(events[2][3].err:find("s3cr3t", 1, true))
  end)

  it("shows warnings to stderr by default, and what is asked for", function()
    local script = [[
      local api = require "garner".client { base_url = %q, log = %s, retry = { backoff = 0.01 } }
      api:get "/_http/echo"
      api.log("error", "one") api.log("warn", "two") api.log("info", "three")
      api.log("debug", "four")
      api:close()]]
    local function shown(option, env)
      local code, output = clients.run(script:format(sim.url, option), env)
      assert.equal(0, code, output)
      local events = {}
      for event in output:gmatch("garner %a+ (%S+)") do
        events[#events + 1] = event
      end
      return table.concat(events, " ")
    end
    assert.equal("one two", shown "nil")
    assert.equal("one", shown '"error"')
    assert.equal("one two three", shown '"info"')
    assert.equal("request one two three four", shown '"debug"')
    assert.equal("", shown "false")
    assert.equal("request one two three four", shown("nil", "GARNER_LOG=debug"))
    assert.equal("request one two three four", shown("false", "GARNER_LOG=debug"))
    assert.equal("", shown('"debug"', "GARNER_LOG=off"))
    assert.equal("one two", shown("nil", "GARNER_LOG=nonsense"))
  end)

  it("goes to the host's own log where its driver has one", function()
    local lines = {}
    local function nothing() end
    garner.use { wait = nothing, sleep = nothing, now = nothing, yieldable = nothing,
      log = function(level, text) lines[#lines + 1] = level .. ": " .. text end }
    local ok, err = pcall(function() log.new(nil)("warn", "event", { a = 1 }) end)
    garner.use "block"
    assert(ok, err)
    assert.same({ "warn: garner warn event a=1" }, lines)
  end)

  it("tells of every retry", function()
    local scope, events = sim:scope(), {}
    local api = clients.client({ retry = { backoff = 0.01 }, log = function(level, event, fields)
      events[#events + 1] = level .. " " .. event .. " " .. tostring(fields.status)
    end }, scope)
    scope:fault { path = "/_http/echo", status = 503, times = 2 }
    assert(api:get("/_http/echo"))
    assert.same({ "info retry 503", "info retry 503", "debug request 200" }, events)
  end)

  it("tells of retries while they happen, in walks and polls too", function()
    local scope, events, seen = sim:scope(), {}, nil
    local api = clients.client({ retry = { backoff = 0.01 }, log = function(level, event, fields)
      events[#events + 1] = level .. " " .. event .. " " .. tostring(fields.code)
      seen = seen or fields.waited and scope:count "."
    end }, scope)
    scope:fault { path = "/_http/pages", status = 503, times = 1 }
    local pages = api:pages("/_http/pages?n=2", { items = "things",
      next = { from = "nextPageToken", query = "pageToken" } })
    assert(pages:collect())
    assert.same({ "info retry 503" }, events)
    assert.is_number(seen)
  end)

  it("shows heads at the level trace, and what waits for the rate", function()
    local code, output = clients.run(([[
      local api = require "garner".client { base_url = %q, log = "trace", rate = 2,
        token = "s3cr3t-token" }
      api:get "/_http/echo"
      api:get "/_http/status/404"
      api:close()]]):format(sim.url))
    assert.equal(0, code, output)
    assert.truthy(output:find("garner trace attempt .-Authorization: %*%*%*"), output)
    assert.truthy(output:find("response_headers=.-Content%-Type: application/json"), output)
    assert.truthy(output:find("garner info rate_wait .-waited=0%.%d"), output)
    assert.truthy(output:find("curl 'http", 1, true), output)
    assert.falsy(output:find("s3cr3t", 1, true), output)
  end)

  it("counts what it could not keep up with", function()
    local lost, retries = 0, 0
    local api = clients.client { retry = { backoff = 0.0001, attempts = 2 },
      transport = function() return { status = 503 } end,
      log = function(_, event, fields)
        lost = lost + (event == "events_dropped" and fields.count or 0)
        retries = retries + (event == "retry" and 1 or 0)
      end }
    for _ = 1, 10 do
      api:get "/"
    end
    assert.equal(10, retries + lost)
  end)

  it("names every event in one table", function()
    local found = {}
    local pipe = assert(io.popen "find lua -name '*.lua'")
    for path in pipe:lines() do
      local file = assert(io.open(path))
      local text = file:read("*a")
      file:close()
      for level, event in text:gmatch '"(%l+)",%s*"([%l_%.]+)"' do
        if path ~= "lua/garner/log.lua" and (level == "error" or level == "warn" or level == "info"
          or level == "debug") and text:find("log%(%s*\"" .. level .. '",%s*"'
          .. event:gsub("%p", "%%%0")) then
          found[event] = level
        end
      end
    end
    pipe:close()
    for event, level in pairs(found) do
      assert.is_table(log.events[event], event .. " is not in log.events")
      assert.equal(level, log.events[event][1], event)
    end
  end)

  it("never shows a token", function()
    local events = {}
    local api = clients.client { token = "s3cr3t-token", log = function(_, event, fields)
      for name, value in pairs(fields) do
        events[#events + 1] = event .. name .. tostring(value)
      end
    end }
    api:get("/_http/status/500", { query = { token = "s3cr3t-token", body = "s3cr3t-token" },
      attempts = 1 })
    api.log("warn", "mine", { text = "s3cr3t-token" })
    assert.is_true(#events > 3)
    assert.falsy(table.concat(events, "\n"):find("s3cr3t", 1, true))
  end)

  it("lets an error of the user's function reach the caller", function()
    local api = clients.client { log = function() error("log broke", 0) end }
    assert.has_error(function() api:get("/_http/echo") end, "log broke")
  end)
end)

describe("progress", function()
  local function out()
    local text = {}
    return { write = function(_, ...)
      for i = 1, select("#", ...) do
        text[#text + 1] = (select(i, ...))
      end
    end, flush = function() end, text = function() return table.concat(text) end }
  end

  it("is readable", function()
    local p = progress.new()
    assert.equal("nothing yet", tostring(p))
    p:update { windows_done = 3, windows_total = 10, rows = 1200, bytes = 1234567, requests = 1,
      eta = 75, waiting_for = "2 jobs" }
    assert.equal("3/10 windows, 1200 rows, 1 request, 1.2 MB, about 1 min 15 s left, "
      .. "waiting for 2 jobs", tostring(p))
    p:add { rows = 5 }
    assert.equal(1205, p.rows)
    p:update { eta = 7300 }
    assert.truthy(tostring(p):find("2 h 01 min", 1, true))
    p:finish()
    p:finish()
  end)

  it("calls at most four times a second, and shows the last state", function()
    local calls, last = 0, nil
    local p = progress.new { on_progress = function(given)
      calls = calls + 1
      last = given.rows
    end }
    local started = core.now()
    local rows = 0
    while core.now() - started < 0.6 do
      rows = rows + 1
      p:update { rows = rows }
    end
    assert.is_true(calls >= 2 and calls <= 3, calls)
    p:update { rows = rows + 1 }
    p:finish()
    assert.equal(rows + 1, last)
    assert.is_true(calls <= 4)
  end)

  it("draws one terminal line, and none where there is no terminal", function()
    local screen = out()
    local p = progress.new { progress = true, out = screen, tty = true }
    p:update { waiting_for = "a long thing" }
    p:update { rows = 1 }
    p:finish()
    local text = screen.text()
    assert.equal("\rwaiting for a long thing", text:sub(1, 25))
    assert.equal("\n", text:sub(-1))
    assert.truthy(text:find("\r1 row +\n"))
    screen = out()
    p = progress.new { progress = true, out = screen, tty = false }
    p:update { rows = 1 }
    p:finish()
    assert.equal("", screen.text())
  end)

  it("takes a function for progress", function()
    local seen
    progress.new({ progress = function(p) seen = p.rows end }):update { rows = 7 }
    assert.equal(7, seen)
  end)
end)

describe("the log option", function()
  it("raises at the caller's line when it is wrong", function()
    local message = raised(function()
      require("garner").client { base_url = sim.url, log = "verbose" }
    end)
    assert.equal(1, (message:find(here(-2), 1, true)), message)
    assert.truthy(message:find('"warn"', 1, true))
  end)
end)
