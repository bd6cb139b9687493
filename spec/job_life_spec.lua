-- What jobs live through, against the simulator: created again only where that is allowed,
-- kept as text and gone on with, links that come late or expire, ids that nobody knows.
local clients = require "spec.support.clients"
local core = require "garner.core"
local garner = require "garner"
local simulator = require "spec.support.simulator"
local socket = require "socket"

local FAST = { first = 0.02, factor = 1.2, cap = 0.1 }

local function with(more)
  local out = {}
  for _, fields in ipairs { FAST, more or {} } do
    for name, value in pairs(fields) do out[name] = value end
  end
  return out
end

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

-- An hour of a shop's events.
local function hour(more)
  local given = { event = "add_to_cart", from = day(1) .. "T00:00:00",
    to = day(1) .. "T01:00:00", wait = FAST }
  for name, value in pairs(more or {}) do given[name] = value end
  return given
end

local sim = simulator.get()

-- Takes seconds off the age that a checkpoint tells, so that a 404 is believed at once.
local function aged(text)
  return (text:gsub('"created":(%d+)', function(at)
    return ('"created":%d'):format(tonumber(at) - 100)
  end))
end

describe("The life of a job", function()
  local scope, bv, shop, logged, made

  local function log(_, event, fields)
    logged[#logged + 1] = event
    logged[event] = fields
  end

  local function shoplazza(more)
    local given = { shop = "sim", token = scope.token, base_url = sim.url, rate = 1000,
      burst = 1000, log = log, failed_status = 3 }
    for name, value in pairs(more or {}) do given[name] = value end
    made[#made + 1] = garner.shoplazza(given)
    return made[#made]
  end

  local function blendvision(more)
    local given = { token = scope.token, org_id = "sim-org", base_url = sim.url, log = log }
    for name, value in pairs(more or {}) do given[name] = value end
    made[#made + 1] = garner.blendvision(given)
    return made[#made]
  end

  before_each(function()
    scope, logged, made = sim:scope(), {}, {}
    bv, shop = blendvision(), shoplazza()
  end)

  after_each(function()
    for _, each in ipairs(made) do each:close() end
  end)

  local function query(more)
    local given = { event = "add_to_cart", begin_time = day(1) .. "T00:00:00",
      end_time = day(1) .. "T01:00:00" }
    for name, value in pairs(more or {}) do given[name] = value end
    return shop:create_query(given)
  end

  local function report(event, more)
    local given = { event_id = event, type = "live", dimensions = { "watch_time" } }
    for name, value in pairs(more or {}) do given[name] = value end
    return bv:create_report(given)
  end

  local function creates()
    return scope:count "/data/query" + scope:count "events/reports$"
  end

  describe("that failed", function()
    it("is created 3 times in all by Shoplazza's table, 60 s apart", function()
      local job = assert(query())
      assert.same({ max = 3, pause = 60 }, job.again)
      scope:settings { fail = true }
      job = assert(query { recreate = { max = 3, pause = 0.05 } })
      local reports, err = job:wait(FAST)
      assert.is_nil(reports)
      assert.equal("job_failed", err.kind)
      assert.truthy(err.message:find("after 3 creates", 1, true), err.message)
      assert.equal(4, scope:count "/data/query")
      assert.equal(3, job.creates)
      assert.equal(3, job.reports[1].creates)
      assert.equal(3, job.counts.failed)
      assert.truthy(logged["job.create_again"])
    end)

    it("is another task with the same place the second time", function()
      scope:settings { fail = 1 }
      local job = assert(query { recreate = { max = 3, pause = 0.05 } })
      local first = job.reports[1].id
      local reports = assert(job:wait(FAST))
      assert.not_equal(first, reports[1].id)
      assert.equal(reports[1].id, reports[1].query_id)
      assert.equal(2, job.creates)
      local asked = {}
      for _, request in ipairs(scope:requests()) do
        if request.path:find("data/query", 1, true) then asked[#asked + 1] = request.query end
      end
      assert.equal(asked[1], asked[2])
    end)

    it("is not created again where that is refused, or would be too late", function()
      scope:settings { fail = true }
      local _, err = assert(query { recreate = false }):wait(FAST)
      assert.equal("job_failed", err.kind)
      assert.equal(1, creates())
      _, err = assert(query()):wait(with { timeout = 5 })
      assert.equal("job_failed", err.kind)
      assert.truthy(err.message:find("after the timeout", 1, true), err.message)
      assert.equal(2, creates())
    end)

    it("is never created again by BlendVision unless that is said", function()
      scope:settings { fail = 1 }
      local job = assert(report "event-1")
      local _, err = job:wait(FAST)
      assert.equal("job_failed", err.kind)
      assert.equal(1, creates())
      assert(job:wait(with { recreate = { max = 2, pause = 0 } }))
      assert.equal(2, creates())
      assert.equal(2, job.creates)
      assert.equal("succeeded", job.reports[1].status)
    end)

    it("is created again without the others, which go on", function()
      local job = assert(report("event-somefail", { dimensions = { "watch_time", "poll_votes" },
        recreate = { max = 2, pause = 0.05 } }))
      local second = job.reports[2].id
      local reports = assert(job:wait(with { partial = true }))
      assert.equal("job_failed", reports[1].err.kind)
      assert.equal(2, reports[1].creates)
      assert.equal(1, reports[2].creates)
      assert.equal(second, reports[2].id)
      assert.equal("succeeded", reports[2].status)
      assert.equal(2, creates())
    end)

    it("is created again in time while others are still running", function()
      scope:settings { fail = 1, ready_after = 0.1, polls_until_ready = 0 }
      local set = garner.jobs { assert(query { recreate = { max = 2, pause = 0.1 } }),
        assert(query()) }
      scope:settings { ready_after = 0.4 }
      assert(set:wait(FAST))
      assert.equal(3, creates())
      assert.equal(3, set.creates)
    end)

    it("can be cancelled while it waits to be created again", function()
      scope:settings { fail = true, polls_until_ready = 0 }
      local job = assert(query { recreate = { max = 3, pause = 30 } })
      local started = os.time()
      local results = garner.all {
        function() return job:wait(with { timeout = 60 }) end,
        function()
          return garner.wait(function() return job.reports[1].due and job:cancel() end,
            { first = 0.05, cap = 0.1 })
        end,
      }
      assert.equal("job_failed", results[1].err.kind)
      assert.is_true(os.time() - started < 10)
      assert.equal(1, creates())
    end)

    it("is not created again because it never ends", function()
      local job = assert(report("event-stuck", { recreate = { max = 3, pause = 0 } }))
      local _, err = job:wait(with { timeout = 0.3 })
      assert.equal("timeout", err.kind)
      assert.equal("running", err.job_status)
      assert.equal(1, creates())
    end)

    it("is told by its raw number where nobody knows what it means", function()
      scope:settings { fail = true, fail_status = -7 }
      local job = assert(query())
      local _, err = job:wait(with { timeout = 0.3 })
      assert.equal("timeout", err.kind)
      assert.equal("-7", err.job_status)
      assert.truthy(err.message:find("still -7", 1, true), err.message)
      assert.equal(1, creates())
      job = assert(query { failed_status = { -7, "gone" }, recreate = false })
      _, err = job:wait(FAST)
      assert.equal("job_failed", err.kind)
      assert.truthy(err.message:find("status -7", 1, true), err.message)
      for _, bad in ipairs { 2, "0", {}, { true }, false } do
        assert.has_error(function() query { failed_status = bad } end)
      end
      for _, bad in ipairs { 0, 1.5, true, "3", { 3 }, { max = 0 }, { max = 3, pause = -1 },
          { max = 3, wait = 1 } } do
        assert.has_error(function() query { recreate = bad } end)
      end
    end)

    it("of BlendVision by a status that the caller names", function()
      local job = assert(report("event-1", { failed_status = "EVENT_REPORT_STATUS_BROKEN" }))
      scope:fault { path = "batch%-get$", times = 1, status = 200, body = { reports = {
        { id = job.reports[1].id, status = "EVENT_REPORT_STATUS_BROKEN" } } } }
      local _, err = job:wait(FAST)
      assert.equal("job_failed", err.kind)
      assert.equal(1, creates())
    end)
  end)

  describe("kept as text", function()
    it("goes on in another process, with another token", function()
      local job = assert(report("event-1", { dimensions = { "poll_votes",
        { "watch_time", group_by = { "device_os" }, from = day(2), to = day(1) } } }))
      local text = job:checkpoint()
      assert.is_nil(text:find("[\r\n]"))
      assert.equal('{"garner":1,"kind":"job",', text:sub(1, 25))
      assert.is_nil(text:find(scope.token, 1, true))
      assert.is_nil(text:find("sim-org", 1, true))
      local path = os.tmpname()
      local code, output = clients.run(([==[
        local garner = require "garner"
        local bv = garner.blendvision { token = "sim-token", org_id = "sim-org", base_url = %q }
        local job = garner.check(bv:resume(%q))
        local reports = garner.check(job:wait { first = 0.02, cap = 0.1 })
        garner.check(reports[2]:download(%q))
        print(reports[1].dimension, reports[2].group_by[1], reports[2].event_id, job.creates)
      ]==]):format(scope.url, text, path))
      assert.equal(0, code, output)
      assert.truthy(output:find("poll_votes\tdevice_os\tevent%-1\t1"), output)
      assert.is_true(#assert(garner.csv.collect { file = path }) > 0)
      os.remove(path)
      assert.equal(1, creates())
    end)

    it("keeps no link, and asks again about what had ended", function()
      local job = assert(query())
      assert(job:wait(FAST))
      local text = job:checkpoint()
      assert.is_nil(text:find("http://[^\"]*download"))
      local again = assert(shop:resume(text))
      assert.same(job.again, again.again)
      local reports = assert(again:wait(FAST))
      assert.equal(job.query_id, reports[1].query_id)
      assert.truthy(reports[1].uri)
      assert.equal(1, creates())
    end)

    it("is not known to the server any more: said, counted, not created again", function()
      local text = aged(assert(report "event-1"):checkpoint())
      scope:reset()
      local job = assert(bv:resume(text))
      local reports, err = job:wait(FAST)
      assert.is_nil(reports)
      assert.equal("not_found", err.kind)
      assert.truthy(err.message:find("does not know report watch_time of event event-1", 1, true),
        err.message)
      assert.equal("not_found", job.reports[1].status)
      assert.equal(1, job.counts.not_found)
      assert.equal(0, creates())
      assert.equal("not_found", assert(bv:resume(job:checkpoint())).reports[1].status)
    end)

    it("is created again where that is allowed", function()
      local bv_text = aged(assert(report "event-1"):checkpoint())
      local shop_text = aged(assert(query()):checkpoint())
      scope:reset()
      local job = assert(bv:resume(bv_text, { recreate = 2 }))
      assert.equal("succeeded", assert(job:wait(FAST))[1].status)
      assert.equal(2, job.creates)
      job = assert(shop:resume(shop_text))
      assert.equal("complete", assert(job:wait(FAST))[1].status)
      assert.equal(2, creates())
      assert.equal(1, job.counts.not_found)
      job = assert(shop:resume(shop_text, { recreate = false }))
      scope:reset()
      local _, err = job:wait(FAST)
      assert.equal("not_found", err.kind)
    end)

    it("finds the one of many that is unknown", function()
      scope:settings { polls_until_ready = 0 }
      local set = assert(bv:create_reports { type = "live", dimensions = { "watch_time" },
        event_ids = { "event-1", "event-2", "event-vanish", "event-4", "event-5" } })
      set = assert(bv:resume(aged(set:checkpoint())))
      local reports = assert(set:wait(with { partial = true }))
      for index, each in ipairs(reports) do
        assert.equal(index == 3 and "not_found" or "succeeded", each.status)
      end
      assert.is_true(scope:count "batch%-get" <= 7)
    end)

    it("is refused where it is none, newer, or of somebody else", function()
      local text = assert(report "event-1"):checkpoint()
      for _, bad in ipairs { "", "{}", "[]", "null", '{"garner":1}', text:sub(1, 40),
          (text:gsub('"garner":1', '"garner":2')),
          (text:gsub('"reports":.*', '"reports":[],"vendor":"blendvision"}')) } do
        local job, err = bv:resume(bad)
        assert.is_nil(job)
        assert.equal("invalid", err.kind)
        assert.equal("checkpoint", err.code)
      end
      local other = blendvision { base_url = "http://127.0.0.1:1" }
      local api = clients.client { token = scope.token }
      for _, call in ipairs { function() other:resume(text) end, function() shop:resume(text) end,
          function() api:resume(text) end, function() bv:resume(text, { nonsense = 1 }) end } do
        local message = clients.raised(call)
        assert.truthy(message:find("job_life_spec.lua", 1, true), message)
      end
      clients.close_all()
    end)

    it("never holds a secret", function()
      local job = assert(report "event-1")
      job.reports[1].event_id = "the " .. scope.token
      local ok, why = pcall(job.checkpoint, job)
      assert.is_false(ok)
      assert.is_nil(why:find(scope.token, 1, true))
      local checkpoint = require "garner.checkpoint"
      assert.has_error(function() checkpoint.encode("job", { a = { access_token = "x" } }) end)
      assert.truthy(checkpoint.encode("pages", { token = "next", page = 1 }))
    end)
  end)

  describe("with links", function()
    it("that come late is polled on, and counted", function()
      scope:settings { no_uri = 3 }
      local job = assert(query())
      assert(job:wait(FAST))
      assert.equal(1, job.counts.no_uri)
      assert.is_nil(job.reports[1].err)
      assert.truthy(logged.no_uri)
      scope:settings { no_uri = 10000 }
      local _, err = assert(query()):wait(with { timeout = 0.3 })
      assert.equal("protocol", err.kind)
      assert.equal("no_uri", err.code)
      assert.equal(2, creates())
    end)

    it("that expired asks for a new one by itself, and creates nothing", function()
      local path = os.tmpname()
      scope:settings { polls_until_ready = 0 }
      local expired = '<Error><Code>ExpiredToken</Code><Message>The provided token has expired.'
        .. "</Message></Error>"
      for index, fault in ipairs { { status = 403 }, { status = 404 }, { status = 410 },
          { status = 400, body = expired } } do
        local job = assert(report "event-1")
        local reports = assert(job:wait(FAST))
        fault.origin, fault.path = "files", "/download/"
        scope:fault(fault)
        assert(reports[1]:download(path))
        assert.equal(1, job.counts.expired)
        assert.equal(1, reports[1].renewed)
        assert.equal(index, creates())
      end
      local reports = assert(assert(report "event-1"):wait(FAST))
      scope:fault { origin = "files", path = "/download/", status = 400, body = "no" }
      assert.is_nil(reports[1]:download(path))
      assert.is_nil(reports[1].renewed)
      os.remove(path)
    end)

    it("that expired and is gone is created again only where that is allowed", function()
      local path = os.tmpname()
      scope:settings { polls_until_ready = 0 }
      for index, rule in ipairs { false, { max = 2, pause = 0 } } do
        scope:settings { url_ttl = 0 }
        local job = assert(query { recreate = rule })
        local reports = assert(job:wait(FAST))
        job.reports[1].created_at = job.reports[1].created_at - 100
        local id = job.reports[1].id
        scope:fault { path = "data/task$", query = id:gsub("%-", "%%-"), times = 0, status = 404,
          body = { errors = { "no result" } } }
        scope:settings { url_ttl = 900 }
        -- (The file host itself still says 403: the first link is too old.)
        local file, err = reports[1]:download(path)
        if rule then
          assert(file, tostring(err))
          assert.equal(3, creates())
        else
          assert.equal("not_found", err.kind)
          assert.equal(index, creates())
        end
      end
      os.remove(path)
    end)

    it("that expired in a pull: new link, no new create", function()
      scope:fault { origin = "files", path = "/download/", status = 403, times = 1 }
      local rows = assert(shop:events(hour()):collect())
      assert.is_true(#rows > 0)
      assert.equal(1, creates())
    end)
  end)

  it("RUNNING for ever in a pull: one create, the window timed out, loudly", function()
    scope:settings { polls_until_ready = 100000 }
    local pull = shop:events(hour { wait = with { timeout = 0.3 } })
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal("timed_out", pull:coverage()[1].state)
    assert.equal(1, creates())
  end)

  it("a failed task in a pull is created at most 3 times, then a hole", function()
    scope:settings { fail = true }
    local pull = shop:events(hour { recreate = { max = 3, pause = 0.02 } })
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal("failed", pull:coverage()[1].state)
    assert.equal(3, creates())
  end)

  describe("in a pull that waits", function()
    it("is gone on with, and created once", function()
      scope:settings { polls_until_ready = 12 }
      local pull = shop:events(hour { wait = with { timeout = 0.1 }, on_not_ready = "wait",
        wait_first = 0.02, wait_budget = 20 })
      assert.is_true(#assert(pull:collect()) > 0)
      assert.equal(1, creates())
    end)

    it("spends its requests from the pull's budget", function()
      scope:settings { polls_until_ready = 1 }
      local pull = shop:events(hour { max_requests = 4 }) -- create, 2 looks, download
      assert(pull:collect())
      assert.equal(4, scope:count())
      pull = shop:events(hour { max_requests = 3 })
      local rows, err = pull:collect()
      assert.is_nil(rows)
      assert.equal("truncated", err.kind)
      assert.equal("requests", err.code)
      assert.equal(7, scope:count())
      scope:settings { polls_until_ready = 100000 }
      rows, err = shop:events(hour { max_requests = 5 }):collect()
      assert.is_nil(rows)
      assert.equal("truncated", err.kind)
      assert.equal(12, scope:count())
    end)
  end)

  describe("together with others", function()
    it("shares polls, in order, whatever client the others have", function()
      scope:settings { polls_until_ready = 3 }
      local one, two = assert(report "event-1"), assert(report "event-2")
      local set = garner.jobs { one, two }
      local reports = assert(set:wait(FAST))
      assert.equal("event-1", reports[1].event_id)
      assert.equal("event-2", reports[2].event_id)
      assert.equal(4, scope:count "batch%-get")
      assert.equal(2, set.creates)
      assert.equal(one.reports[1], reports[1])
      set = garner.jobs { assert(query()), assert(report "event-3") }
      assert.truthy(set:wait(FAST))
      assert.has_error(function() set:checkpoint() end)
      for _, bad in ipairs { {}, { 1 }, { one, one }, "x", { set } } do
        assert.has_error(function() garner.jobs(bad) end)
      end
    end)

    it("can be cancelled", function()
      local set = garner.jobs { assert(report "event-stuck"), assert(query()) }
      scope:settings { polls_until_ready = 100000 }
      local results = garner.all {
        function() return set:wait(FAST) end,
        function() return garner.wait(function() return set:cancel() end, { first = 0.05 }) end,
      }
      assert.equal("cancelled", results[1].err.kind)
    end)

    it("holds its client's rate, polls and creates alike", function()
      local slow = shoplazza { rate = 20, burst = 1 }
      local pull = slow:events { event = "refund_order", from = day(3), to = day(1), wait = FAST }
      assert(pull:collect())
      local list, first, last = scope:requests(), nil, nil
      local count = 0
      for _, request in ipairs(list) do
        if request.origin == "api" then
          count = count + 1
          first, last = first or request.time, request.time
        end
      end
      assert.is_true(count >= 9)
      assert.is_true(last - first >= (count - 1) / 20 * 0.9, ("%d in %g s"):format(count,
        last - first))
    end)

    it("500 reports cost at most one poll call per batch and step", function()
      local dimensions = {}
      for _, name in ipairs { "watch_time", "poll_votes", "poll_summaries", "chat_histories" } do
        for _, by in ipairs { "watch_timestamp", "customer_id", "device_id", "device_os",
            "geo_region" } do
          dimensions[#dimensions + 1] = { name, group_by = { by } }
        end
      end
      scope:settings { ready_after = 0.6, polls_until_ready = 0 }
      local function create(events)
        local ids = {}
        for index = 1, events do ids[index] = "event-" .. index end
        return assert(bv:create_reports { event_ids = ids, type = "live", concurrency = 8,
          dimensions = dimensions })
      end
      local early = create(15)
      socket.sleep(0.6)
      local set = garner.jobs { early, create(10) }
      assert.equal(500, #set.reports)
      local begun = core.now()
      local reports = assert(set:wait { first = 0.2, factor = 1, cap = 0.2 })
      local waited = core.now() - begun
      assert.equal(500, #reports)
      -- A step ends where an id is asked about once more.
      local steps, seen, created = {}, nil, nil
      for _, request in ipairs(scope:requests()) do
        if request.path:find("batch%-get") then
          local asked = {}
          for id in request.body:gmatch '"id":"(.-)"' do asked[#asked + 1] = id end
          if not seen or seen[asked[1]] then
            seen = {}
            steps[#steps + 1] = { time = request.time, calls = 0, ids = 0 }
          end
          for _, id in ipairs(asked) do seen[id] = true end
          local step = steps[#steps]
          step.calls, step.ids = step.calls + 1, step.ids + #asked
        else
          created = request.time
        end
      end
      assert.equal(500, steps[1].ids)
      local late = 0
      for index, step in ipairs(steps) do
        assert.equal(math.ceil(step.ids / 100), step.calls, index)
        assert.is_true(index == 1 or step.ids <= 200, step.ids) -- the early ones had ended
        if step.time > created + 0.6 then late = late + 1 end
      end
      assert.is_true(late <= 1, late)
      assert.is_true(#steps <= 1 + waited / 0.16, #steps .. " steps in " .. waited .. " s")
    end)
  end)
end)
