-- Google's Reports API against the simulator: entity usage over dates.
local garner = require "garner"
local json = require "garner.json"
local simulator = require "spec.support.simulator"
local rules = require "garner.google_reports.arguments"

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("Google entity usage", function()
  local sim, scope, google

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope = sim:scope()
    google = garner.google_reports { token = scope.token, base_url = sim.url, log = false }
  end)

  after_each(function() google:close() end)

  local function answer(reports, more)
    local body = { kind = "admin#reports#usageReports", usageReports = reports }
    for name, value in pairs(more or {}) do body[name] = value end
    scope:fault { path = "/dates/", times = 0, status = 200, body = body }
  end

  it("walks all pages of a date", function()
    local pull = google:entity_usage { date = day(2), page_size = 1000 }
    local rows = assert(pull:collect())
    assert.equal(2600, #rows)
    assert.equal(3, scope:count "/dates/")
    local seen = {}
    for _, row in ipairs(rows) do
      assert.is_nil(seen[row.entity.id])
      seen[row.entity.id] = true
      assert.equal(day(2), row.date)
    end
    local request = scope:requests()[1]
    assert.equal("/admin/reports/v1/usage/gplus_communities/all/dates/" .. day(2), request.path)
    assert.equal("maxResults=1000", request.query)
    assert.equal("Bearer " .. scope.token, request.headers.authorization)
  end)

  it("asks once for each date of a range, in order", function()
    local pull = google:entity_usage { from = day(4), to = "yesterday", entity = "1000",
      page_size = 10, concurrency = 2 }
    assert.equal(4, pull:plan().requests)
    local dates = {}
    assert.equal(4, pull:each(function(row) dates[#dates + 1] = row.date end))
    assert.same({ day(4), day(3), day(2), day(1) }, dates)
    local state = {}
    for index, window in ipairs(pull:coverage()) do state[index] = window.state end
    -- Usage data takes 1 to 3 days to settle.
    assert.same({ "fetched", "provisional", "provisional", "provisional" }, state)
  end)

  it("sends parameters and filters as lists or text", function()
    for _, given in ipairs {
      { parameters = { "gplus:community_name", "gplus:num_total_members" },
        filters = { "gplus:num_total_members>100", "gplus:num_total_members<=5000" } },
      { parameters = "gplus:community_name, gplus:num_total_members",
        filters = " gplus:num_total_members > 100, gplus:num_total_members <=5000 " },
    } do
      scope:reset()
      given.date, given.customer_id = day(2), "my_customer"
      local rows = assert(google:entity_usage(given):collect())
      assert.is_true(#rows > 0 and #rows < 2600)
      for _, row in ipairs(rows) do
        local members = row.parameters["gplus:num_total_members"]
        assert.is_true(tonumber(members) > 100 and tonumber(members) <= 5000)
        assert.is_nil(row.parameters["gplus:creation_time_usec"])
      end
      local query = scope:requests()[1].query
      assert.truthy(query:find("customerId=my_customer", 1, true))
      assert.truthy(query:find("filters=gplus%3Anum_total_members%3E100%2C"
        .. "gplus%3Anum_total_members%3C%3D5000", 1, true), query)
    end
  end)

  it("keeps kinds, exact integers and what has no value", function()
    answer { { date = day(2), entity = { type = "OBJECT", customerId = "C1",
      objectType = "GPLUS_COMMUNITY", objectId = "1234" }, parameters = {
        { name = "gplus:a", intValue = "37" }, { name = "gplus:b", intValue = 12 },
        { name = "gplus:c", intValue = "9223372036854775808" },
        { name = "gplus:d", intValue = "9007199254740993" },
        { name = "gplus:e", stringValue = "" }, { name = "gplus:f", boolValue = false },
        { name = "gplus:g", datetimeValue = "2026-11-19T00:00:00.000Z" },
        { name = "gplus:h", msgValue = { { x = 1 } } }, { name = "gplus:i" },
        { name = "gplus:j", otherValue = "new" } } } }
    local row = assert(google:entity_usage { date = day(5) }:collect())[1]
    local p = row.parameters
    assert.equal(37, p["gplus:a"])
    assert.equal("37", ("%d"):format(p["gplus:a"]))
    assert.equal(12, p["gplus:b"])
    assert.equal("9223372036854775808", p["gplus:c"])
    assert.equal("9007199254740993", (tostring(p["gplus:d"])))
    assert.equal("", p["gplus:e"])
    assert.is_false(p["gplus:f"])
    assert.equal("2026-11-19T00:00:00.000Z", p["gplus:g"])
    assert.equal(1, p["gplus:h"][1].x)
    assert.equal(json.null, p["gplus:i"])
    assert.equal("new", p["gplus:j"])
    assert.same({ ["gplus:a"] = "int", ["gplus:b"] = "int", ["gplus:c"] = "int",
      ["gplus:d"] = "int", ["gplus:e"] = "string", ["gplus:f"] = "bool",
      ["gplus:g"] = "datetime", ["gplus:h"] = "msg", ["gplus:i"] = "none",
      ["gplus:j"] = "otherValue" }, row.kinds)
    assert.equal("1234", row.entity.id)
    assert.equal("GPLUS_COMMUNITY", row.entity.object_type)
    assert.equal("C1", row.entity.customer_id)
    assert.equal("37", row.raw.parameters[1].intValue)
  end)

  it("reads both spellings of an entity", function()
    answer { { entity = { type = "OBJECT", entityId = "77", customerId = "C1" } } }
    local row = assert(google:entity_usage { date = day(5) }:collect())[1]
    assert.equal("77", row.entity.id)
    assert.equal(day(5), row.date)
  end)

  describe("a warning", function()
    local function state_of(warning, count)
      local list = {}
      for index = 1, count do list[index] = { entity = { entityId = tostring(index) } } end
      answer(list, { warnings = { warning } })
      local pull = google:entity_usage { date = day(6) }
      local rows, err, partial = pull:collect()
      return pull:coverage()[1].state, rows, err, partial, pull:warnings()[1]
    end

    it("on a later page is not lost", function()
      local pull = google:entity_usage { date = day(5) }
      local rows, err = pull:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      local warning = pull:warnings()[1]
      assert.equal(2, warning.page)
      assert.equal("PARTIAL_DATA_AVAILABLE", warning.code)
      assert.equal(day(5), warning.data.date)
      assert.equal("not_ready", err.windows[1].state)
      assert.equal(2600, err.windows[1].withheld)
      rows = assert(google:entity_usage { date = day(5), on_not_ready = "provisional" }:collect())
      assert.equal(2600, #rows)
    end)

    it("and an empty list are never empty", function()
      for code, state in pairs { PARTIAL_DATA_AVAILABLE = "not_ready",
          DATA_NOT_AVAILABLE = "failed", SOMETHING_NEW = "not_ready" } do
        scope:reset()
        local got, rows, err, _, warning = state_of({ code = code, message = "m",
          data = { { key = "application", value = "gplus" } } }, 0)
        assert.equal(state, got)
        assert.is_nil(rows)
        assert.equal("hole", err.kind)
        assert.equal(code, warning.code)
        assert.equal("gplus", warning.data.application)
      end
    end)

    it("with the code 200 is told apart by its message", function()
      assert.equal("not_ready", (state_of({ code = "200", message = "Data for date x for "
        .. "application gplus is not available right now, please try again after a few hours." },
        3)))
      scope:reset()
      assert.equal("failed", (state_of({ code = 200, message = "Sorry, data for date x for "
        .. "application gplus is not available." }, 0)))
      scope:reset()
      local state, rows = state_of({ code = 200, message = "Sorry, data for date x for "
        .. "application gplus is not available." }, 2)
      assert.equal("fetched", state)
      assert.equal(2, #rows)
    end)
  end)

  it("not ready yet tells the latest date", function()
    local rows, err = google:entity_usage { date = "today" }:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal(day(1), err.latest)
    assert.equal("not_ready", err.windows[1].state)
    assert.equal(400, err.status)
    local page, why = google:get_entity_usage { date = garner.time.today() }
    assert.is_nil(page)
    assert.equal("not_ready", why.kind)
    assert.equal(day(1), why.latest)
    assert.is_true(why.retryable)
    -- Days that are there come all the same.
    local got = {}
    local n, hole = google:entity_usage { from = day(1), to = "today", entity = "1000" }
      :each(function(row) got[#got + 1] = row.date end)
    assert.is_nil(n)
    assert.equal("hole", hole.kind)
    assert.same({ day(1) }, got)
    assert.equal(1, google:entity_usage { from = day(1), to = "today", entity = "1000",
      on_not_ready = "skip" }:each(function() end))
  end)

  it("other wordings of too recent are not ready too", function()
    for text, latest in pairs {
        ["Start date can not be later than 2026-11-01"] = "2026-11-01",
        ["End date greater than LastReportedDate."] = false } do
      scope:reset()
      scope:fault { path = "/dates/", status = 400,
        body = { error = { code = 400, message = text, errors = { { message = text,
          domain = "global", reason = "invalid" } } } } }
      local page, err = google:get_entity_usage { date = day(2) }
      assert.is_nil(page)
      assert.equal("not_ready", err.kind)
      assert.equal(latest or nil, err.latest)
    end
  end)

  it("past retention warns, and empty is no confirmed empty", function()
    local pull = google:entity_usage { date = day(40) }
    assert.same({ 1 }, pull:plan().past_retention)
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("past_retention", err.windows[1].state)
    assert.has_error(function() google:entity_usage { date = day(40), retention = "refuse" } end)
    scope:reset()
    assert.same({}, google:entity_usage { date = day(40), retention = "skip" }:collect())
    assert.equal(0, scope:count())
  end)

  it("gives one page at a time by get_entity_usage", function()
    local ask = { date = day(2), page_size = 1000 }
    local sizes = {}
    repeat
      local page = assert(google:get_entity_usage(ask))
      sizes[#sizes + 1] = #page.rows
      ask.page_token = page.next_page_token
    until not ask.page_token
    assert.same({ 1000, 1000, 600 }, sizes)
    assert.equal(3, scope:count())
  end)

  it("saves parameters as columns", function()
    local path = os.tmpname()
    local count = assert(google:entity_usage { date = day(2),
      parameters = "gplus:num_total_members", filters = "gplus:num_total_members<50" }
      :save(path .. ".csv"))
    local rows = assert(garner.csv.collect { file = path .. ".csv" })
    os.remove(path)
    os.remove(path .. ".csv")
    assert.equal(count, #rows)
    assert.truthy(tonumber(rows[1]["gplus:num_total_members"]))
    assert.truthy(rows[1].entity_id)
  end)

  it("hides nothing behind a mask of fields", function()
    local usage_mask = rules.fields { "nextPageToken", "warnings", "usageReports" }
    for mask, fine in pairs {
        ["nextPageToken,warnings,usageReports(date,entity,parameters(name,intValue))"] = true,
        ["*"] = true, ["usageReports,warnings"] = false, ["usageReports,nextPageToken"] = false,
        ["usageReports(nextPageToken,warnings)"] = false, ["nextPageToken,warnings"] = false,
        ["usageReports/entity,nextPageToken,warnings"] = true, ["a)("] = false } do
      assert.equal(fine, usage_mask(mask) ~= nil, mask)
    end
    local rows = assert(google:entity_usage { date = day(2), entity = "1000",
      fields = "nextPageToken,warnings,usageReports(date,entity)" }:collect())
    assert.equal(1, #rows)
    local _, message = usage_mask "usageReports"
    assert.truthy(message:find("nextPageToken, warnings", 1, true), message)
  end)

  it("takes no answer for an empty list that has none", function()
    answer "none"
    local rows, err = google:entity_usage { date = day(2) }:collect()
    assert.is_nil(rows)
    assert.equal("protocol", err.cause.kind)
    assert.truthy(tostring(err):find("google_reports entity_usage", 1, true), tostring(err))
    local page, why = google:get_entity_usage { date = day(2) }
    assert.is_nil(page)
    assert.equal("shape", why.code)
  end)
end)
