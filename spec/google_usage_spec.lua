-- Google's Reports API against the simulator: usage of users and of the customer.
local garner = require "garner"
local clients = require "spec.support.clients"
local json = require "garner.json"
local simulator = require "spec.support.simulator"

local raised, here = clients.raised, clients.here

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("Google user usage", function()
  local scope, google

  before_each(function()
    local sim = simulator.get()
    scope = sim:scope()
    google = garner.google_reports { token = scope.token, base_url = sim.url, log = false }
  end)

  after_each(function() google:close() end)

  it("walks all pages of each date", function()
    local pull = google:user_usage { from = day(7), to = day(6) }
    local plan = tostring(pull:plan())
    assert.truthy(plan:find('usage of user "all"', 1, true), plan)
    local seen, count = {}, 0
    assert(pull:each(function(row)
      count = count + 1
      local name = row.date .. row.entity.user_email
      assert.is_nil(seen[name])
      seen[name] = true
    end))
    assert.equal(2400, count)
    assert.equal(4, scope:count "/usage/users/all/dates/")
  end)

  it("has exact numbers, times and users", function()
    local row = assert(google:user_usage { date = day(6), user = "user7@example.com" }:collect())[1]
    assert.equal("user7@example.com", row.entity.user_email)
    assert.equal("100000000000000000007", row.entity.profile_id)
    assert.equal("USER", row.entity.type)
    assert.equal("9007199254741000", (tostring(row.parameters["accounts:total_quota_in_bytes"])))
    assert.equal("datetime", row.kinds["accounts:last_login_time"])
    assert.equal(json.null, row.parameters["chat:last_interaction_time"])
    assert.is_true(row.parameters["accounts:is_2sv_enrolled"])
    local same = assert(google:get_user_usage { date = day(6), user_key = "100000000000000000007",
      parameters = { "gmail:num_emails_sent", "docs:num_docs" } })
    assert.equal(1, #same.rows)
    assert.same({ "gmail:num_emails_sent", "docs:num_docs" }, same.rows[1].names)
  end)

  it("sends filters with times, units and groups", function()
    local rows = assert(google:user_usage { date = day(6), org_unit_id = "id:ou1",
      group_id_filter = { "id:group1", "id:group4" }, page_size = 50,
      filters = { "accounts:last_login_time<>1970-01-01T00:00:00.000Z", "docs:num_docs>=100" },
      parameters = "accounts:last_login_time,docs:num_docs" }:collect())
    assert.is_true(#rows > 20 and #rows < 100, #rows)
    for _, row in ipairs(rows) do
      assert.is_true(tonumber(row.parameters["docs:num_docs"]) >= 100)
      assert.is_true(row.parameters["accounts:last_login_time"] > "2000")
    end
    local query = scope:requests()[1].query
    for _, part in ipairs { "orgUnitID=id%3Aou1", "groupIdFilter=id%3Agroup1%2Cid%3Agroup4",
      "filters=accounts%3Alast_login_time%3C%3E1970-01-01T00%3A00%3A00.000Z%2C" } do
      assert.truthy(query:find(part, 1, true), query)
    end
  end)

  it("refuses what the API would refuse, before any request", function()
    for text, given in pairs {
      ["user must be \"all\", a profile id (digits) or a primary email address"] = { user = "bob" },
      ["org_unit_id must look like"] = { org_unit_id = "ou1" },
      ["group_id_filter must be ids such as"] = { group_id_filter = { "group1" } },
      ["parameters must begin with one of accounts:, calendar:"] =
        { parameters = "meet:num_calls" },
      ["filters must begin with one of accounts:"] = { filters = "app_maker:num_apps>1" },
      ["filters needs one of the operators"] = { filters = "docs:num_docs" },
      ["page_size must be a whole number from 1 to 1000"] = { page_size = 1001 },
    } do
      given.date = day(6)
      local line = here(1)
      local message = raised(function() return (google:user_usage(given)) end)
      assert.equal(line, message:sub(1, #line))
      assert.truthy(message:find("user_usage: " .. text, 1, true), message)
    end
    assert.equal(0, scope:count())
  end)

  it("says what is not ready, and what never comes", function()
    local rows, err = google:user_usage { date = "today" }:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal(day(1), err.latest)
    scope:settings { warning = "DATA_NOT_AVAILABLE", warning_page = 1, users = 0 }
    local pull = google:user_usage { date = day(6) }
    rows = pull:collect()
    assert.is_nil(rows)
    assert.equal("failed", pull:coverage()[1].state)
    assert.equal("accounts", pull:warnings()[1].data.application)
  end)

  it("knows how long each method's data is kept", function()
    assert.same({ 1 }, google:entity_usage { date = day(31) }:plan().past_retention)
    assert.same({}, google:user_usage { date = day(449) }:plan().past_retention)
    assert.same({ 1 }, google:user_usage { date = day(451) }:plan().past_retention)
    assert.same({ 1 }, google:customer_usage { date = day(451) }:plan().past_retention)
  end)

  it("names the user that is not there and the scope that is needed", function()
    local page, err = google:get_user_usage { date = day(6), user = "unknown@example.com" }
    assert.is_nil(page)
    assert.equal("not_found", err.kind)
    assert.truthy(err.message:find('user "unknown@example.com"', 1, true), err.message)
    scope:settings { forbidden = true }
    for verb, name in pairs { get_user_usage = "admin.reports.usage.readonly",
        get_customer_usage = "admin.reports.usage.readonly" } do
      page, err = google[verb](google, { date = day(6) })
      assert.is_nil(page)
      assert.truthy(err.scope:find(name, 1, true), err.scope)
    end
  end)

  it("gives the customer's own numbers, without filters or a page size", function()
    local rows = assert(google:customer_usage { from = day(8), to = day(6),
      parameters = { "accounts:num_users", "meet:num_calls" } }:collect())
    assert.equal(3, #rows)
    assert.equal(day(8), rows[1].date)
    assert.equal("CUSTOMER", rows[1].entity.type)
    assert.same({ "accounts:num_users", "meet:num_calls" }, rows[1].names)
    assert.equal(1, scope:count("/usage/dates/" .. day(8):gsub("%-", "%%-")))
    local message = raised(function() google:customer_usage { date = day(6), page_size = 5 } end)
    assert.truthy(message:find('customer_usage: unknown option "page_size"', 1, true), message)
    -- Were they sent, the server would refuse them by name.
    local res, err = google:get("/admin/reports/v1/usage/dates/" .. day(6),
      { query = { maxResults = 5 } })
    assert.is_nil(res)
    assert.truthy(err.message:find('Unknown name "maxResults"', 1, true), err.message)
  end)

  it("saves users as rows of a file", function()
    local path = os.tmpname()
    assert.equal(1, google:user_usage { date = day(6), user = "user3@example.com",
      parameters = "docs:num_docs" }:save(path .. ".csv"))
    local row = assert(garner.csv.collect { file = path .. ".csv" })[1]
    os.remove(path)
    os.remove(path .. ".csv")
    assert.equal("user3@example.com", row.user_email)
    assert.truthy(tonumber(row["docs:num_docs"]))
  end)
end)
