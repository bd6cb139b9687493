-- A fourth API by a table: the example's description against the simulator's made-up weather
-- service, in windows, pages and jobs; and the example itself, as it stands.

local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised

-- The description of examples/weather.lua: the code up to what it does with it.
local function example()
  local file = assert(io.open "examples/weather.lua")
  local text = file:read "*a"
  file:close()
  return text
end

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("a fourth API, described by a table", function()
  local scope, weather

  setup(function()
    local code = example():match "^(.-)\ngarner%.main" .. "\nreturn weather"
    local chunk = assert((rawget(_G, "loadstring") or load)(code, "=weather"))
    weather = chunk()
  end)

  local client

  before_each(function()
    scope = simulator.get():scope()
    scope:settings { polls_until_ready = 1 }
    client = weather { base_url = simulator.get().url, token = scope.token, log = false }
  end)

  after_each(function()
    client:close()
    garner.close()
  end)

  local QUICK = { first = 0.02, cap = 0.05, timeout = 10 }

  it("takes less than forty lines, and the example runs", function()
    local lines = 0
    for _ in example():match "(local weather = .-\n}\n)":gmatch "\n" do lines = lines + 1 end
    assert.is_true(lines < 40, lines)
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local root = io.popen "pwd"
    local base = root:read "*l"
    root:close()
    local code, output = clients.run(("arg = { %q }; dofile %q"):format(simulator.get().url,
      base .. "/examples/weather.lua"), ("cd %s; WEATHER_KEY=%s LUA_PATH='%s/lua/?.lua;%s/lua/?/"
      .. "init.lua;;'"):format(folder, scope.token, base, base))
    local rows = garner.csv.collect { file = folder .. "/weather.csv" }
    os.execute("rm -rf " .. folder)
    assert.equal(0, code, output)
    assert.truthy(output:find("144 readings, the strongest wind was", 1, true), output)
    assert.truthy(#rows > 900)
  end)

  it("pulls any range in windows, page by page, each row once", function()
    local pull = client:readings { station = "kew/1", from = day(3), to = day(1),
      metric = { "wind", "humidity" } }
    assert.equal(3, #pull:plan().windows)
    local rows = assert(pull:collect())
    assert.equal(3 * 144 * 2, #rows)
    local seen = {}
    for _, row in ipairs(rows) do
      assert.is_nil(seen[row.at .. row.metric])
      seen[row.at .. row.metric] = true
    end
    assert.equal(9, scope:count "/weather/v1/stations/kew%%2F1/readings")
    local query = scope:requests()[1].query
    assert.truthy(query:find("metric=METRIC_WIND&metric=METRIC_HUMIDITY", 1, true), query)
    local page = assert(client:get_readings { station = "kew", date = day(2) })
    assert.equal(100, #page.rows)
    assert.equal("c100", page.next_page_token)
  end)

  it("tells what is not ready yet from what is empty", function()
    local pull = client:readings { station = "kew", from = "-3h", to = "now" }
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal("not_ready", pull:coverage()[1].state)
    assert.equal("still being measured", pull:coverage()[1].reason)
    rows = assert(client:readings { station = "kew", from = "-3h", to = "now",
      on_not_ready = "provisional" }:collect())
    assert.is_true(#rows > 40)
  end)

  it("says which station is unknown, in the server's words, and hides the key", function()
    local rows, err = client:readings { station = "unknown", date = day(2) }:collect()
    assert.is_nil(rows)
    assert.equal("not_found", err.kind)
    assert.truthy(tostring(err):find("weather readings", 1, true), tostring(err))
    assert.truthy(err.message:find("station unknown: no such station", 1, true), err.message)
    assert.is_nil(tostring(err):find(scope.token, 1, true))
  end)

  it("keeps within a budget, in pages too", function()
    local rows, err, partial = client:readings { station = "kew", from = day(4), to = day(1),
      max_requests = 7, concurrency = 1 }:collect()
    assert.is_nil(rows)
    assert.equal("truncated", err.kind)
    assert.equal(144 * 3, #partial)
    assert.equal(7, scope:count())
  end)

  it("makes a job for each window, and reads its file", function()
    local pull = client:export { station = "kew", from = day(4), to = day(1), wait = QUICK }
    assert.equal(2, #pull:plan().windows)
    local rows = assert(pull:collect())
    assert.equal(4 * 144 * 3, #rows)
    assert.equal(day(4) .. "T00:00:00Z", rows[1].at)
    local creates = 0
    for _, request in ipairs(scope:requests()) do
      if request.method == "POST" then creates = creates + 1 end
    end
    assert.equal(2, creates)
    assert.same({}, scope:leaks())
  end)

  it("creates a job that failed again, as often as the description says", function()
    scope:settings { fail = 1 }
    assert(client:export { station = "kew", date = day(1), wait = QUICK,
      recreate = { max = 2, pause = 0 } }:collect())
    scope:settings { fail = true }
    local rows, err = client:export { station = "kew", date = day(1), wait = QUICK,
      recreate = false }:collect()
    assert.is_nil(rows)
    assert.equal("job_failed", err.cause.kind)
    assert.equal("DISK_FULL", err.cause.reason)
  end)

  it("gives the job itself, which another process can go on with", function()
    local job = assert(client:create_export { station = "kew", date = day(1) })
    local text = job:checkpoint()
    assert.is_nil(text:find(scope.token, 1, true))
    local again = assert(client:resume(text))
    local reports = assert(again:wait(QUICK))
    assert.equal(job.id, reports[1].id)
    local path = os.tmpname()
    assert(reports[1]:download(path))
    assert.equal(144 * 3, #assert(garner.csv.collect { file = path }))
    os.remove(path)
    -- A create whose fate is unknown is never sent again by itself.
    scope:fault { path = "/exports$", drop = "after" }
    local made, err = client:create_export { station = "kew", date = day(1) }
    assert.is_nil(made)
    assert.equal("in_doubt", err.kind)
    assert(assert(err.retry()):wait(QUICK))
  end)

  it("knows a job again by an id that is a number, with all its digits", function()
    local looked = {}
    local made = garner.api {
      name = "numbers", base_url = "https://api.example.com", auth = false,
      verbs = { list = {
        post = "/jobs", arguments = { name = "text" },
        job = { id = "id", status = "state", uri = "uri", states = { ["7"] = "done" },
          poll = { get = "/jobs/{id}" } },
      } },
    } { log = false, transport = function(request)
      if request.method == "POST" then return { body = '{"id":9007199254740991}' } end
      looked[#looked + 1] = request.url
      return { body = '{"id":9007199254740991,"state":7,"uri":"https://files.example.com/1"}' }
    end }
    local job = assert(made:create_list { name = "n" })
    assert.equal("9007199254740991", job.id)
    assert.equal("7", assert(job:wait(QUICK))[1].status)
    assert.same({ "https://api.example.com/jobs/9007199254740991" }, looked)
    made:close()
  end)

  it("goes on with jobs of several verbs, kept as one text", function()
    local function verb(name, done)
      return { post = "/" .. name, job = { id = "id", status = "state", uri = "uri",
        states = { [done] = "done" }, poll = { get = "/" .. name .. "/{id}" } } }
    end
    local looked = {}
    local made = garner.api {
      name = "two", base_url = "https://api.example.com", auth = false,
      verbs = { one = verb("ones", "ready"), other = verb("others", "there") },
    } { log = false, transport = function(request)
      local kind = request.url:match "com/(%w+)"
      if request.method == "POST" then return { json = { id = kind .. "-1" } } end
      looked[#looked + 1] = request.url:match "com(.*)"
      return { json = { id = kind .. "-1", state = kind == "ones" and "ready" or "there",
        uri = "https://files.example.com/1" } }
    end }
    local text = garner.jobs { assert(made:create_one()), assert(made:create_other()) }
      :checkpoint()
    local reports = assert(assert(made:resume(text)):wait(QUICK))
    assert.equal("others-1", reports[2].id)
    table.sort(looked)
    assert.same({ "/ones/ones-1", "/others/others-1" }, looked)
    -- A text with something else in it is no job with fewer reports.
    local job, err = made:resume((text:gsub('"verb":"other"', '"verb":"none"')))
    assert.is_nil(job)
    assert.equal("checkpoint", err.code)
    job, err = made:resume((text:gsub("}%]", "},5]")))
    assert.is_nil(job)
    assert.equal("checkpoint", err.code)
    made:close()
  end)

  it("asks for many jobs at once where the API can", function()
    local condition = { dimension = "REPORT_DIMENSION_WATCH_TIME",
      group_by_fields = garner.json.array {} }
    local reports = garner.api {
      name = "reports", base_url = simulator.get().url, headers = { ["x-bv-org-id"] = "sim-org" },
      verbs = { report = {
        post = "/bv/analytics/v1/events/reports", arguments = { id = "id" },
        body = { type = "EVENT_TYPE_LIVE",
          dimension_with_conditions = garner.json.array { condition } },
        job = {
          wait = QUICK, id = "reports.0.id", status = "status", uri = "uri", error = "error_info",
          poll = { post = "/bv/analytics/v1/events/reports:batch-get", body = "reports",
            items = "reports", entry = function(each)
              return { id = each.id, dimension_with_condition = condition }
            end },
          states = { EVENT_REPORT_STATUS_RUNNING = "running",
            EVENT_REPORT_STATUS_SUCCEEDED = "done", EVENT_REPORT_STATUS_FAILED = "failed" },
        },
      } },
    }
    local many = reports { token = scope.token, log = false }
    local jobs = {}
    for index = 1, 5 do jobs[index] = assert(many:create_report { id = "event-" .. index }) end
    assert(garner.jobs(jobs):wait(QUICK))
    assert.equal(2, scope:count "batch%-get")
    -- A verb without a window asks for all there is: one job.
    local rows = assert(many:report { id = "event-9" }:collect())
    assert.is_true(#rows > 0)
    local none, err = many:report { id = "event-fail" }:collect()
    assert.is_nil(none)
    assert.equal("job_failed", err.cause.kind)
    assert.truthy(err.cause.reason)
    many:close()
  end)

  it("has jobs whose description is checked as well", function()
    local function refused(job, text)
      local line = here(1)
      local message = raised(function() return (garner.api { name = "x", base_url = "http://x",
        verbs = { export = { post = "/x", job = job } } }) end)
      assert.equal(line, message:sub(1, #line))
      assert.truthy(message:find("verbs.export: " .. text, 1, true), message)
    end
    local states = { ok = "done" }
    refused({}, "job: the field id is missing")
    refused({ id = "id", poll = {}, status = "s", states = states, uri = "u" },
      "job.poll: the field get is missing")
    refused({ id = "id", poll = { get = "/x" }, status = "s", states = states, uri = "u" },
      "job.poll: give query, the name of the id there, or a path with {id}")
    refused({ id = "id", poll = { post = "/x", body = "ids" }, status = "s", states = states,
      uri = "u" }, "job.poll: the field items is missing")
    refused({ id = "id", poll = { get = "/x/{id}" }, status = "s", states = { ok = "good" },
      uri = "u" }, 'job: states.ok must be "done", "failed" or "running", got "good"')
    refused({ id = "id", poll = { get = "/x/{id}" }, status = "s", states = states, uri = "u",
      recreate = 0 }, "job: recreate (max) must be a whole number")
  end)
end)
