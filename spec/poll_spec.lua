local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local STATES = {
  EVENT_REPORT_STATUS_SUCCEEDED = "done", EVENT_REPORT_STATUS_FAILED = "failed",
  EVENT_REPORT_STATUS_RUNNING = "running",
}
local CONDITION = { dimension = "REPORT_DIMENSION_WATCH_TIME",
  group_by_fields = garner.json.array {} }

describe("client:poll", function()
  local scope, api

  before_each(function()
    scope = sim:scope()
    api = clients.client { token = scope.token, headers = { ["x-bv-org-id"] = "sim-org" } }
  end)
  after_each(clients.close_all)

  local function create(event, count)
    local conditions = {}
    for i = 1, count or 1 do
      conditions[i] = CONDITION
    end
    local res = assert(api:post("/bv/analytics/v1/events/reports", { creates = true, json = {
      id = event, type = "EVENT_TYPE_LIVE", dimension_with_conditions = conditions } }))
    local ids = {}
    for i, report in ipairs(res:json().reports) do
      ids[i] = { id = report.id, json = { id = report.id, dimension_with_condition = CONDITION } }
    end
    return ids
  end

  local function spec(ids, more)
    local out = {
      method = "POST", path = "/bv/analytics/v1/events/reports:batch-get", ids = ids,
      items = "reports", id = "id", status = "status", uri = "uri", states = STATES,
      body_key = "reports", first = 0.02, cap = 0.05, timeout = 10,
    }
    for name, value in pairs(more or {}) do
      out[name] = value
    end
    return out
  end

  it("reports each job once when it has ended, many in one request", function()
    local ids = create("event-1", 5)
    local before = scope:count("batch%-get")
    local got = {}
    assert(api:poll(spec(ids), function(id, state, element, status)
      assert.is_nil(got[id])
      got[id] = state
      assert.equal("EVENT_REPORT_STATUS_SUCCEEDED", status)
      assert.equal(id, element.id)
      assert.truthy(element.uri:find("^http"))
    end))
    for _, entry in ipairs(ids) do
      assert.equal("done", got[entry.id])
    end
    assert.equal(3, scope:count("batch%-get") - before) -- two say running
  end)

  it("splits by batch", function()
    scope:settings { polls_until_ready = 0, batch_max = 2 }
    local count = 0
    assert(api:poll(spec(create("event-1", 5), { batch = 2 }), function() count = count + 1 end))
    assert.equal(5, count)
    assert.equal(3, scope:count("batch%-get"))
  end)

  it("gives failed jobs with their element", function()
    local got = {}
    assert(api:poll(spec(create("fail-1", 2)), function(_, state, element)
      got[#got + 1] = state
      assert.is_table(element.error_info)
    end))
    assert.same({ "failed", "failed" }, got)
  end)

  it("polls one id per request, with statuses that are numbers", function()
    local shop = clients.client { auth = garner.auth.header("access-token", scope.token) }
    local query_id = assert(shop:get("/openapi/2022-01/data/query", { creates = true, query = {
      event = "add_to_cart", beginTime = "2026-01-01T00:00:00", endTime = "2026-01-01T10:00:00",
    } })):json().query_id
    local state, status, uri
    assert(shop:poll({
      path = "/openapi/2022-01/data/task", query_key = "id", ids = { { id = query_id } },
      id = "query_id", status = "query_status", uri = "query.url",
      states = { ["0"] = "running", ["2"] = "done" }, first = 0.02, timeout = 10,
    }, function(_, a, element, b)
      state, status, uri = a, b, element.query.url
    end))
    assert.equal("done", state)
    assert.equal("2", status)
    assert.is_string(uri)
  end)

  it("ends at the timeout, with every job that did not end", function()
    local events = {}
    local log = function(level, event) events[#events + 1] = level .. " " .. event end
    local logged = clients.client { token = scope.token, log = log,
      headers = { ["x-bv-org-id"] = "sim-org" } }
    local got = {}
    local ok, err = logged:poll(spec(create("stuck-1", 2), { timeout = 1 }),
      function(id, state) got[id] = state end)
    assert.is_nil(ok)
    assert.equal("timeout", err.kind)
    assert.equal("job", err.code)
    local states = {}
    for _, state in pairs(got) do
      states[#states + 1] = state
    end
    assert.same({ "running", "running" }, states)
  end)

  it("says at the timeout how the last look failed", function()
    local ids = create("event-1", 1)
    scope:fault { path = "batch%-get", times = 0, status = 503, body = { message = "down" } }
    local _, err = api:poll(spec(ids, { timeout = 1, attempts = 1 }), function() end)
    assert.equal("timeout", err.kind)
    assert.equal("job", err.code)
    assert.truthy(err.message:find("the last look failed: HTTP status 503", 1, true), err.message)
    assert.equal(503, err.status)
    assert.is_true(#err.attempts > 0)
  end)

  it("polls on through a status that nobody knows", function()
    local got
    assert(api:poll(spec(create("oddstatus-1")), function(_, state) got = state end))
    assert.equal("done", got)
  end)

  it("waits for a uri that comes late", function()
    local uri
    assert(api:poll(spec(create("lateuri-1")), function(_, _, element) uri = element.uri end))
    assert.truthy(uri ~= "" and uri)
  end)

  it("says once what state nobody described, and goes on", function()
    local logged, noticed = {}, {}
    local other = clients.client { token = scope.token, headers = { ["x-bv-org-id"] = "sim-org" },
      log = function(_, event) logged[#logged + 1] = event end }
    local function notice(_, state, element, status)
      noticed[#noticed + 1] = state .. " " .. element.status .. " " .. status
    end
    assert(other:poll(spec(create("oddstatus-1", 3), { on_notice = notice }), function() end))
    assert.same({ "unknown_status" }, logged)
    assert.equal(3, #noticed)
    assert.equal("unknown EVENT_REPORT_STATUS_ARCHIVING EVENT_REPORT_STATUS_ARCHIVING", noticed[1])
    assert(other:poll(spec(create("lateuri-1"), { on_notice = notice }), function() end))
    assert.same({ "unknown_status", "no_uri" }, logged)
    assert.truthy(noticed[4]:find("no_uri", 1, true))
  end)

  it("looks once, whatever each is, if asked to", function()
    local ids = create("event-1", 2)
    ids[3] = { id = "nobody", json = { id = "nobody", dimension_with_condition = CONDITION } }
    local got = {}
    local function look(more)
      more.once = true
      return api:poll(spec(ids, more), function(id, state) got[id] = state end)
    end
    assert(look {})
    assert.same({ [ids[1].id] = "running", [ids[2].id] = "running", nobody = "unknown" }, got)
    scope:settings { polls_until_ready = 0 }
    assert(look { grace = 0 })
    assert.same({ [ids[1].id] = "done", [ids[2].id] = "done", nobody = "not_found" }, got)
    scope:fault { path = "batch%-get", status = 503, body = { message = "down" } }
    local ok, err = look { attempts = 1 }
    assert.is_nil(ok)
    assert.equal("server", err.kind)
  end)

  it("tells how far it is", function()
    local seen = {}
    assert(api:poll(spec(create("event-1", 2), {
      on_progress = function(p) seen[#seen + 1] = p end }), function() end))
    assert.is_true(#seen >= 1)
    local last = seen[#seen]
    assert.equal(2, last.pending + last.done)
    assert.is_number(last.polls)
  end)

  it("is ended by an error of the caller's functions, which reaches the caller", function()
    for _, broken in ipairs { "report", "progress" } do
      local ok, err = pcall(api.poll, api, spec(create("event-1"), {
        on_progress = function() if broken == "progress" then error("mine progress", 0) end end,
      }), function() if broken == "report" then error("mine report", 0) end end)
      assert.is_false(ok)
      assert.equal("mine " .. broken, err)
    end
    assert(api:get("/_http/echo"))
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("lets the functions wait", function()
    local echoed
    assert(api:poll(spec(create("event-1")), function()
      echoed = assert(api:get("/_http/echo")):json().path
    end))
    assert.equal("/_http/echo", echoed)
    local results = garner.all {
      function()
        local here_too
        assert(api:poll(spec(create("event-1")), function()
          here_too = assert(api:get("/_http/echo")).status
        end))
        return here_too
      end,
      function() return api:get("/_http/delay/50") end,
    }
    assert.equal(200, results[1][1])
  end)

  it("can be cancelled from elsewhere", function()
    local ids, handle = create("stuck-1"), {}
    local results = garner.all {
      function() return api:poll(spec(ids, { handle = handle }), function() end) end,
      function()
        require("garner.driver").current().sleep(0.1)
        handle.cancel()
        handle.cancel()
      end,
    }
    assert.is_false(results[1].ok)
    assert.equal("cancelled", results[1].err.kind)
  end)

  it("goes on with a new token for what is left", function()
    local calls, got = 0, {}
    local renewing = clients.client({ headers = { ["x-bv-org-id"] = "sim-org" }, token = function()
      calls = calls + 1
      return scope.token
    end })
    -- The token function must give another text to be worth a second try.
    local alternating = clients.client { headers = { ["x-bv-org-id"] = "sim-org" },
      token = function()
        calls = calls + 1
        return calls == 1 and "an-expired-token" or scope.token
      end }
    local ids = create("event-1", 3)
    assert(alternating:poll(spec(ids), function(id, state) got[id] = state end))
    assert.equal(2, calls)
    for _, entry in ipairs(ids) do
      assert.equal("done", got[entry.id])
    end
    scope:fault { path = "batch%-get", status = 401, times = 0 }
    local _, err = renewing:poll(spec(ids), function() end)
    assert.equal("unauthenticated", err.kind)
  end)

  it("gives up a request at its own timeout, and asks again", function()
    local ids = create("event-1")
    scope:fault { path = "batch%-get", delay_ms = 5000 }
    local started = os.time()
    assert(api:poll(spec(ids, { request_timeout = 0.2, attempts = 1 }), function() end))
    assert.is_true(os.time() - started <= 3)
  end)

  it("gives the error of a request", function()
    local ids = create("event-1")
    scope:fault { path = "batch%-get", status = 403, times = 0,
      body = { code = 7, message = "no" } }
    local ok, err = api:poll(spec(ids), function() end)
    assert.is_nil(ok)
    assert.equal("forbidden", err.kind)
    assert.equal("no", err.message)
  end)

  it("asks once for an id that is given twice", function()
    scope:settings { polls_until_ready = 0 }
    local ids, count = create("event-1"), 0
    ids[2] = ids[1]
    assert(api:poll(spec(ids), function() count = count + 1 end))
    assert.equal(1, count)
  end)

  it("asks for each id at a path of its own", function()
    scope:settings { polls_until_ready = 1 }
    local weather = clients.client { auth = garner.auth.header("x-api-key", scope.token) }
    local ids = {}
    for index = 1, 3 do
      local res = assert(weather:post("/weather/v1/exports", { creates = true, json = {
        station = "s" .. index, start = "2026-11-01T00:00:00Z",
        ["end"] = "2026-11-01T01:00:00Z" } }))
      ids[index] = { id = res:json().export.id }
    end
    local got = {}
    assert(weather:poll({ path = "/weather/v1/exports/{export}", path_key = "export", ids = ids,
      id = "id", status = "state", uri = "file", first = 0.02, cap = 0.05,
      states = { queued = "running", running = "running", finished = "done" } },
      function(id, state, element)
        got[#got + 1] = state
        assert.equal(id, element.id)
        assert.truthy(element.file:find "^http")
      end))
    assert.same({ "done", "done", "done" }, got)
    assert.equal(6, scope:count "/weather/v1/exports/")
    local line = here(1)
    local message = raised(function() weather:poll({ path = "/exports", path_key = "id", ids = ids,
      status = "state", states = { a = "done" } }, print) end)
    assert.equal(line, message:sub(1, #line))
    assert.truthy(message:find("the path has no {id}", 1, true), message)
  end)

  it("raises for wrong arguments at the caller's line", function()
    local line
    local ids = { { id = "a", json = {} } }
    local function nothing() end
    for _, call in ipairs {
      function() line = here(); api:poll() end,
      function() line = here(); api:poll(spec(ids)) end,
      function() line = here(); api:poll(spec({}), nothing) end,
      function() line = here(); api:poll(spec({ {} }), nothing) end,
      function() line = here(); api:poll(spec(ids, { query_key = "id" }), nothing) end,
      function() line = here(); api:poll(spec(ids, { timeout = 0 }), nothing) end,
      function() line = here(); api:poll(spec(ids, { batch = 0 }), nothing) end,
      function() line = here(); api:poll(spec(ids, { factor = 0.5 }), nothing) end,
      function() line = here(); api:poll(spec(ids, { states = { a = 1 } }), nothing) end,
      function() line = here(); api:poll(spec(ids, { foo = 1 }), nothing) end,
      function() line = here(); api:poll(spec(ids, { json = {} }), nothing) end,
      function() line = here(); api:poll(spec(ids, { file = "x" }), nothing) end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
    end
  end)
end)
