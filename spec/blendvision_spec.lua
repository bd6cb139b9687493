-- BlendVision against the simulator: live metrics over any range, reports of
-- one and many events.
local garner = require "garner"
local json = require "garner.json"
local simulator = require "spec.support.simulator"

local FAST = { first = 0.02, factor = 1.2, cap = 0.1 }

local function with(more)
  local out = {}
  for _, fields in ipairs { FAST, more or {} } do
    for name, value in pairs(fields) do out[name] = value end
  end
  return out
end

local function yesterday()
  return garner.time.date_add(garner.time.today(), -1)
end

describe("BlendVision", function()
  local sim, scope, bv, logged

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope, logged = sim:scope(), {}
    bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url,
      log = function(level, event)
        if level == "warn" then logged[#logged + 1] = event end
      end }
  end)

  after_each(function() bv:close() end)

  local function paths()
    local out = {}
    for index, request in ipairs(scope:requests()) do
      out[index] = request.method .. " " .. request.path
    end
    return out
  end

  describe("live_metrics", function()
    it("covers a range of several windows, each point once", function()
      local pull = bv:live_metrics { live_id = "live-1", date = yesterday() }
      assert.equal(3, pull:plan().requests)
      local rows = assert(pull:collect())
      assert.equal(3, scope:count "/metrics")
      local seen, last = {}, 0
      for _, row in ipairs(rows) do
        local key = ("%s %s %s"):format(row.type, tostring(row.dimension), row.time)
        assert.is_nil(seen[key], key)
        seen[key] = true
        assert.is_true(row.epoch >= last)
        last = row.epoch
      end
      local first = garner.time.parse(yesterday() .. "T00:00:00Z").epoch
      assert.equal(first, rows[1].epoch)
      assert.is_true(last < first + 86400)
      -- A point a minute of each of the simulator's series.
      assert.equal(0, #rows % 1440)
      for _, window in ipairs(pull:coverage()) do assert.equal("fetched", window.state) end
    end)

    it("asks for at most 8 hours at a time, with the documented names", function()
      assert(bv:live_metrics { id = "live-1", date = yesterday(), types = { "network_in",
        "LIVE_METRIC_TYPE_FRAME_RATE" } }:collect())
      for _, request in ipairs(scope:requests()) do
        local query = request.query
        assert.truthy(query:find("types=LIVE_METRIC_TYPE_NETWORK_IN&"
          .. "types=LIVE_METRIC_TYPE_FRAME_RATE", 1, true), query)
        assert.truthy(query:find("start_time=" .. yesterday() .. "T", 1, true)
          or query:find("end_time=", 1, true))
        assert.equal("sim-org", request.headers["x-bv-org-id"])
        assert.equal("Bearer " .. scope.token, request.headers.authorization)
      end
    end)

    it("gives rows with exact text, number, unit and friendly names", function()
      local rows = assert(bv:live_metrics { live_id = "live-1", date = yesterday(),
        types = "network_in" }:collect())
      local row = rows[1]
      assert.equal("network_in", row.type)
      assert.equal("Mbps", row.unit)
      assert.equal("string", type(row.value))
      assert.equal(tonumber(row.value), row.number)
      assert.equal(row.value, row.raw.value.value)
      assert.equal(row.time, row.raw.time)
    end)

    it("tells a dimension that is absent from an empty one", function()
      local function dimension(live)
        local rows = assert(bv:live_metrics { live_id = live, date = yesterday(),
          types = "concurrent_user" }:collect())
        return rows[1].dimension
      end
      assert.is_nil(dimension "live-1")
      assert.equal("", dimension "live-emptydim")
      assert.is_nil(dimension "live-nulldim")
    end)

    it("lists asked-for series that the answer lacks", function()
      scope:fault { path = "/metrics$", times = 0, status = 200, body = { metrics = {
        { type = "LIVE_METRIC_TYPE_NETWORK_IN", datapoints = {
          { time = yesterday() .. "T01:00:00Z", value = { value = "1" } } } } } } }
      local pull = bv:live_metrics { live_id = "live-1", from = yesterday() .. "T00:00:00Z",
        to = yesterday() .. "T02:00:00Z" }
      assert.equal(1, #assert(pull:collect()))
      assert.same({ "concurrent_user", "frame_rate" }, pull:absent())
      assert.same({ "frame_rate", "concurrent_user" }, pull:coverage()[1].absent)
      pull = bv:live_metrics { live_id = "live-1", from = yesterday() .. "T00:00:00Z",
        to = yesterday() .. "T02:00:00Z", types = "network_in" }
      assert(pull:collect())
      assert.same({}, pull:absent())
    end)

    it("keeps what it does not know", function()
      scope:fault { path = "/metrics$", status = 200, body = { metrics = { {
        type = "LIVE_METRIC_TYPE_NEW", dimension = "x", datapoints = {
          { time = yesterday() .. "T01:00:00.123456789Z", value = { value = "1.50e400" } },
          { time = yesterday() .. "T01:00:01Z" } } } } } }
      local rows = assert(bv:live_metrics { live_id = "live-1", types = "frame_rate",
        from = yesterday() .. "T00:00:00Z", to = yesterday() .. "T02:00:00Z" }:collect())
      assert.equal("LIVE_METRIC_TYPE_NEW", rows[1].type)
      assert.equal("1.50e400", rows[1].value)
      assert.is_nil(rows[1].number)
      assert.is_nil(rows[2].value)
    end)

    it("leaves out the instant at the end, as every range does", function()
      local day = yesterday()
      local rows = assert(bv:live_metrics { live_id = "live-1", types = "concurrent_user",
        from = day .. "T00:00:00Z", to = day .. "T00:03:00Z" }:collect())
      assert.equal(3, #rows)
      assert.equal(day .. "T00:02:00Z", rows[3].time)
      local raw = assert(bv:get_live_metrics { live_id = "live-1", types = "concurrent_user",
        from = day .. "T00:00:00Z", to = day .. "T00:03:00Z" })
      assert.equal(4, #raw.rows)
    end)

    it("plans in the zone that is asked for", function()
      local plan = bv:live_metrics { live_id = "live-1", from = "2026-03-08", to = "2026-03-08",
        zone = "America/New_York" }:plan()
      assert.equal("2026-03-08T00:00:00-05:00", plan.from)
      assert.equal("2026-03-09T00:00:00-04:00", plan.to)
      assert.equal(3, #plan.windows)
      assert.truthy(tostring(plan):find("America/New_York", 1, true))
      assert.equal(0, scope:count())
    end)

    it("makes series and files", function()
      local day = yesterday()
      local range = { live_id = "live-1", from = day .. "T00:00:00Z", to = day .. "T00:05:00Z" }
      local series = assert(bv:live_metrics(range):series())
      for _, each in ipairs(series) do
        assert.equal(5, #each.times)
        assert.equal(5, #each.values)
      end
      local path = os.tmpname()
      os.remove(path)
      path = path .. ".csv"
      local count = assert(bv:live_metrics(range):save(path))
      local rows = assert(garner.csv.collect { file = path })
      os.remove(path)
      assert.equal(count, #rows)
      assert.equal("Mbps", rows[1].unit)
    end)

    it("takes no answer without its list of metrics for an empty one", function()
      for body, said in pairs { ['{"metrics":"x"}'] = "no list",
          ['{"metrics":{"a":1}}'] = "no list", ['[]'] = "no object",
          ['{"code":5,"message":"no such live"}'] = "no such live" } do
        scope:reset()
        scope:fault { path = "/metrics$", status = 200, body = body,
          content_type = "application/json" }
        local rows, err = bv:get_live_metrics { live_id = "live-1", from = "-1h", to = "now" }
        assert.is_nil(rows, body)
        assert.equal("protocol", err.kind)
        assert.equal("shape", err.code)
        assert.truthy(err.message:find(said, 1, true), err.message)
      end
      for _, body in ipairs { "{}", '{"metrics":null}', '{"metrics":[]}' } do
        scope:reset()
        scope:fault { path = "/metrics$", status = 200, body = body,
          content_type = "application/json" }
        assert.same({}, assert(bv:get_live_metrics { live_id = "live-1", from = "-1h",
          to = "now" }).rows)
      end
    end)

    it("gives the series of what did come beside the error for what did not", function()
      local day = yesterday()
      scope:fault { path = "/metrics$", query = "start_time=[%d-]+T08", times = 0,
        status = 501, body = "no" }
      local none, err, partial = bv:live_metrics { live_id = "live-1", types = "concurrent_user",
        from = day .. "T00:00:00Z", to = day .. "T16:00:00Z" }:series()
      assert.is_nil(none)
      assert.equal("hole", err.kind)
      assert.equal("server", err.cause.kind)
      assert.equal(481, #partial[1].times)
    end)

    it("names the live that is not there", function()
      local rows, err = bv:live_metrics { live_id = "unknown-live", date = yesterday() }:collect()
      assert.is_nil(rows)
      assert.equal("not_found", err.kind)
      assert.truthy(err.message:find("unknown-live", 1, true))
    end)

    it("overrides the organization for one call", function()
      assert(bv:get_live_metrics { live_id = "live-1", from = "-1h", to = "now",
        org_id = "sim-org-2" })
      assert.equal("sim-org-2", scope:requests()[1].headers["x-bv-org-id"])
    end)
  end)

  describe("create_report", function()
    it("sends one request with every dimension, in the API's words", function()
      local job = assert(bv:create_report { event_id = "event-1", type = "live", dimensions = {
        "poll_votes",
        { "watch_time", group_by = { "device_os", "GROUP_BY_FIELD_GEO_REGION" },
          from = "2026-11-19", to = "2026-11-20", zone = "Asia/Taipei" },
        { dimension = "chat_histories", group_by_fields = "customer_id" } } })
      assert.same({ "POST /bv/analytics/v1/events/reports" }, paths())
      local body = assert(json.decode(scope:requests()[1].body))
      assert.same({ id = "event-1", type = "EVENT_TYPE_LIVE", dimension_with_conditions = {
        { dimension = "REPORT_DIMENSION_POLL_VOTES", group_by_fields = {} },
        { dimension = "REPORT_DIMENSION_WATCH_TIME",
          group_by_fields = { "GROUP_BY_FIELD_DEVICE_OS", "GROUP_BY_FIELD_GEO_REGION" },
          filter = { start_time = "2026-11-18T16:00:00Z", end_time = "2026-11-20T16:00:00Z" } },
        { dimension = "REPORT_DIMENSION_CHAT_HISTORIES",
          group_by_fields = { "GROUP_BY_FIELD_CUSTOMER_ID" } } } }, body)
      assert.truthy(scope:requests()[1].body:find('"group_by_fields":[]', 1, true))
      local names = {}
      for index, report in ipairs(job.reports) do
        names[index] = report.dimension .. " " .. report.status .. " " .. report.event_id
      end
      assert.same({ "poll_votes running event-1", "watch_time running event-1",
        "chat_histories running event-1" }, names)
      assert.same({ "device_os", "geo_region" }, job.reports[2].group_by)
    end)

    it("is waited for and downloaded, in request order", function()
      local job = assert(bv:create_report { event_id = "event-1", type = "vod",
        dimensions = { "watch_time", "poll_summaries" } })
      local reports = assert(job:wait(FAST))
      assert.equal(2, #reports)
      assert.equal("watch_time", reports[1].dimension)
      assert.equal("succeeded", reports[1].status)
      assert.equal("EVENT_REPORT_STATUS_SUCCEEDED", reports[1].raw.status)
      local path = os.tmpname()
      local file = assert(reports[1]:download(path))
      local rows = assert(garner.csv.collect { file = path })
      os.remove(path)
      assert.equal(path, file.path)
      assert.is_true(#rows > 0)
      assert.same({}, scope:leaks())
      -- Batch-get was told ids and conditions, nothing that is output only.
      local asked = assert(json.decode(scope:requests()[2].body))
      for _, entry in ipairs(asked.reports) do
        assert.equal("string", type(entry.id))
        assert.truthy(entry.dimension_with_condition.dimension)
        entry.id, entry.dimension_with_condition = nil, nil
        assert.is_nil(next(entry))
      end
    end)

    it("sends the deprecated fields only if told to", function()
      assert(bv:create_report { event_id = "event-1", type = "live", dimensions = "watch_time" })
      assert.is_nil(json.decode(scope:requests()[1].body).dimensions)
      local job = assert(bv:create_report { event_id = "event-1", type = "live",
        dimensions = { "watch_time", "poll_votes" }, deprecated_fields = true })
      assert.same({ "REPORT_DIMENSION_WATCH_TIME", "REPORT_DIMENSION_POLL_VOTES" },
        json.decode(scope:requests()[2].body).dimensions)
      assert(job:status())
      local asked = json.decode(scope:requests()[3].body).reports
      assert.equal("REPORT_DIMENSION_WATCH_TIME", asked[1].dimension)
    end)

    it("takes the names that the reference lost from options", function()
      local other = garner.blendvision { token = scope.token, org_id = "sim-org",
        base_url = sim.url, event_id_field = "event_id", type_field = "event_type" }
      scope:fault { path = "/reports$", status = 200, body = { reports = {} } }
      other:create_report { event_id = "event-1", type = "live", dimensions = "watch_time" }
      other:close()
      local body = json.decode(scope:requests()[1].body)
      assert.equal("event-1", body.event_id)
      assert.equal("EVENT_TYPE_LIVE", body.event_type)
    end)

    it("matches an answer in another order, and tells what is missing", function()
      scope:fault { path = "/reports$", status = 200, body = { reports = {
        { id = "r-3", dimension_with_condition = { dimension = "REPORT_DIMENSION_WATCH_TIME",
          group_by_fields = { "GROUP_BY_FIELD_DEVICE_ID", "GROUP_BY_FIELD_DEVICE_OS" } } },
        { id = "r-2", dimension_with_condition = { dimension = "REPORT_DIMENSION_WATCH_TIME" } },
        { id = "r-9", dimension = "REPORT_DIMENSION_NEW", status = "EVENT_REPORT_STATUS_PAUSED" },
      } } }
      local job = assert(bv:create_report { event_id = "e", type = "live", dimensions = {
        "poll_votes", "watch_time", { "watch_time", group_by = { "device_os", "device_id" } } } })
      local ids = {}
      for index, report in ipairs(job.reports) do ids[index] = report.id or "none" end
      assert.same({ "none", "r-2", "r-3", "r-9" }, ids)
      assert.equal("missing", job.reports[1].status)
      assert.equal("protocol", job.reports[1].err.kind)
      assert.equal("REPORT_DIMENSION_NEW", job.reports[4].dimension)
      assert.equal("EVENT_REPORT_STATUS_PAUSED", job.reports[4].status)
    end)

    it("in doubt is never sent twice", function()
      for _, fault in ipairs { { drop = "after" }, { status = 500, body = { code = 13 } },
          { status = 502, body = "bad gateway" }, { status = 200, body = "<html>" },
          { status = 200, body = { nothing = true } } } do
        scope:reset()
        fault.path = "/reports$"
        scope:fault(fault)
        local job, err = bv:create_report { event_id = "e", type = "live",
          dimensions = "watch_time" }
        assert.is_nil(job)
        assert.equal("in_doubt", err.kind, tostring(err))
        assert.equal(1, scope:count "/reports$")
      end
    end)

    it("names the event that is not there", function()
      local job, err = bv:create_report { event_id = "unknown-1", type = "live",
        dimensions = "watch_time" }
      assert.is_nil(job)
      assert.equal("not_found", err.kind)
      assert.truthy(err.message:find("unknown-1", 1, true))
    end)
  end)

  describe("a job", function()
    local function job_of(event, dimensions)
      return assert(bv:create_report { event_id = event, type = "live",
        dimensions = dimensions or { "watch_time" } })
    end

    it("that failed says why, and is created once", function()
      local job = job_of "event-fail"
      local reports, err = job:wait(FAST)
      assert.is_nil(reports)
      assert.equal("job_failed", err.kind)
      assert.equal("REPORT_GENERATION_FAILED", err.reason)
      assert.truthy(err.domain)
      assert.equal("event-fail", err.metadata.eventId)
      assert.equal("failed", err.reports[1].status)
      assert.equal(1, scope:count "/reports$")
      local file, why = err.reports[1]:download "nowhere"
      assert.is_nil(file)
      assert.equal("job_failed", why.kind)
    end)

    it("that failed in part gives the rest if asked to", function()
      local job = job_of("event-somefail", { "watch_time", "poll_votes" })
      local reports = assert(job:wait(with { partial = true }))
      assert.equal("failed", reports[1].status)
      assert.equal("job_failed", reports[1].err.kind)
      assert.equal("succeeded", reports[2].status)
      assert.is_nil(reports[2].err)
      local again, err = job:wait(FAST)
      assert.is_nil(again)
      assert.equal(2, #err.reports)
    end)

    it("that never ends times out and shows its status", function()
      local reports, err = job_of("event-stuck"):wait(with { timeout = 0.3 })
      assert.is_nil(reports)
      assert.equal("timeout", err.kind)
      assert.truthy(err.message:find("running", 1, true))
      assert.equal(1, scope:count "/reports$")
    end)

    it("whose status nobody documented is polled on and shown", function()
      local job = job_of "event-1"
      scope:fault { path = "batch%-get$", times = 0, status = 200, body = { reports = {
        { id = job.reports[1].id, status = "EVENT_REPORT_STATUS_PAUSED" } } } }
      local reports, err = job:wait(with { timeout = 0.3 })
      assert.is_nil(reports)
      assert.equal("timeout", err.kind)
      assert.truthy(err.message:find("EVENT_REPORT_STATUS_PAUSED", 1, true))
      assert.equal("EVENT_REPORT_STATUS_PAUSED", err.reports[1].status)
      assert.is_true(scope:count "batch%-get" < 12, "polled too often")
      assert.same({ "unknown_status" }, logged)
    end)

    it("is not done before it has a link", function()
      local reports = assert(job_of("event-lateuri"):wait(FAST))
      assert.truthy(reports[1].uri)
      local job = job_of "event-1"
      scope:fault { path = "batch%-get$", times = 0, status = 200, body = { reports = {
        { id = job.reports[1].id, status = "EVENT_REPORT_STATUS_SUCCEEDED", uri = "" } } } }
      local none, err = job:wait(with { timeout = 0.3 })
      assert.is_nil(none)
      assert.equal("protocol", err.kind)
      assert.equal("no_uri", err.code)
      assert.truthy(err.message:find("no link", 1, true))
      assert.equal(1, job.counts.no_uri)
    end)

    it("passes through an odd status to its end", function()
      assert.equal("succeeded", assert(job_of("event-oddstatus"):wait(FAST))[1].status)
    end)

    it("survives a poll that fails once", function()
      local job = job_of "event-1"
      scope:fault { path = "batch%-get$", times = 1, status = 503, body = "try later" }
      assert.equal("succeeded", assert(job:wait(FAST))[1].status)
    end)

    it("tells its status with one request", function()
      local job = job_of("event-1", { "watch_time", "poll_votes" })
      local reports = assert(job:status())
      assert.equal("running", reports[1].status)
      assert.equal(2, scope:count())
      assert.truthy(tostring(job):find("2 running", 1, true))
    end)

    it("is cancelled here only", function()
      local job = job_of "event-stuck"
      local results = garner.all {
        function() return job:wait(FAST) end,
        function() return garner.wait(function() return job:cancel() end, { first = 0.02 }) end,
      }
      assert.equal("cancelled", results[1].err.kind)
      assert.truthy(results[1].err.message:find("vendor", 1, true))
      assert.is_false(job:cancel())
    end)

    it("refuses file names that collide or lead elsewhere", function()
      local job = job_of("event-1", { "watch_time", "poll_votes" })
      assert(job:wait(FAST))
      for _, template in ipairs { "same.csv", "{event_id}.csv", "{nope}.csv" } do
        local ok, message = pcall(function() return job:download(template) end)
        assert.is_false(ok)
        assert.truthy(tostring(message):find("blendvision_spec.lua", 1, true), tostring(message))
      end
      local folder = os.tmpname()
      os.remove(folder)
      os.execute("mkdir " .. folder)
      job.reports[1].event_id = "../../evil"
      local files = assert(job:download(folder .. "/{event_id}-{dimension}.csv"))
      assert.equal(folder .. "/.._.._evil-watch_time.csv", files[1])
      os.execute("rm -r " .. folder)
    end)

    it("with an expired link says so", function()
      scope:settings { url_ttl = 0 }
      local reports = assert(job_of("event-1"):wait(FAST))
      local file, err = reports[1]:download(os.tmpname())
      assert.is_nil(file)
      assert.equal(403, err.status)
      assert.truthy(err.message:find("AccessDenied: Request has expired.", 1, true), err.message)
      assert.equal("download", err.operation)
      assert.truthy(err.request_id)
    end)

    it("asks for a new link where the old one has expired", function()
      local path = os.tmpname()
      for _, verb in ipairs { "status", "wait" } do
        local job = job_of "event-1"
        scope:settings { url_ttl = 0 }
        local reports = assert(job:wait(FAST))
        local old, polls = reports[1].uri, scope:count "batch%-get$"
        assert.equal(reports, job:status()) -- nobody knows yet that it has
        assert.equal(polls, scope:count "batch%-get$")
        assert.is_nil(reports[1]:download(path)) -- asked once by itself
        scope:settings { url_ttl = 900 }
        assert(job[verb](job, verb == "wait" and FAST or nil))
        assert.equal(polls + 2, scope:count "batch%-get$")
        assert.not_equal(old, reports[1].uri)
        assert(reports[1]:download(path))
      end
      os.remove(path)
    end)
  end)

  describe("create_reports", function()
    it("makes one job of many events with shared polls", function()
      local ids = {}
      for index = 1, 12 do ids[index] = "event-" .. index end
      local set = assert(bv:create_reports { event_ids = ids, type = "vod",
        dimensions = { "watch_time", "poll_votes" } })
      assert.equal(24, #set.reports)
      assert.equal("event-3", set.reports[5].event_id)
      local reports = assert(set:wait(FAST))
      assert.equal(24, #reports)
      assert.equal(12, scope:count "/reports$")
      assert.is_true(scope:count "batch%-get" <= 8, "one poll should serve all")
      for _, report in ipairs(reports) do assert.equal("succeeded", report.status) end
    end)

    it("keeps what an event that failed has to say", function()
      local set = assert(bv:create_reports { event_ids = { "event-1", "unknown-2" }, type = "vod",
        dimensions = "watch_time" })
      assert.equal("not_created", set.reports[2].status)
      local reports, err = set:wait(FAST)
      assert.is_nil(reports)
      assert.equal("not_found", err.kind)
      reports = assert(set:wait { partial = true })
      assert.equal("succeeded", reports[1].status)
      assert.equal("not_found", reports[2].err.kind)
    end)

    it("is an error where nothing was created", function()
      local set, err = bv:create_reports { event_ids = { "unknown-1", "unknown-2" }, type = "vod",
        dimensions = "watch_time" }
      assert.is_nil(set)
      assert.equal("not_found", err.kind)
      assert.equal(2, #err.reports)
    end)
  end)

  it("does not show the organization where a server repeats it", function()
    local other = garner.blendvision { token = scope.token, org_id = "sim-org-73514",
      base_url = sim.url, log = false }
    scope:fault { path = "/metrics$", status = 403,
      body = { code = 7, message = "org sim-org-73514 may not read this" } }
    local none, err = other:get_live_metrics { id = "live-1", from = "-1h", to = "now" }
    other:close()
    assert.is_nil(none)
    assert.equal("forbidden", err.kind)
    for _, text in ipairs { tostring(err), err.message, err.body } do
      assert.is_nil(text:find("73514", 1, true), text)
    end
  end)

  describe("batch_get", function()
    it("asks about known reports in one request, matched by id", function()
      local job = assert(bv:create_report { event_id = "event-1", type = "live",
        dimensions = { "watch_time", "poll_votes", "chat_histories" } })
      local list = assert(bv:batch_get(job.reports))
      for index, report in ipairs(list) do
        assert.equal(job.reports[index].id, report.id)
        assert.equal("event-1", report.event_id)
        assert.equal("running", report.status)
      end
      assert.equal(2, scope:count())
      list = assert(bv:batch_get { { id = job.reports[2].id, dimension = "poll_votes" } })
      assert.equal("poll_votes", list[1].dimension)
      local dated = assert(bv:create_report { event_id = "event-1", type = "live", dimensions = {
        { "watch_time", date = yesterday(), zone = "Asia/Taipei" } } })
      assert(bv:batch_get { { id = dated.reports[1].id, dimension = "watch_time",
        date = yesterday(), zone = "Asia/Taipei" } })
      local none, err = bv:batch_get { { id = "no-such-report", dimension = "poll_votes" } }
      assert.is_nil(none)
      assert.equal("not_found", err.kind)
    end)
  end)
end)
