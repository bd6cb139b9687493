-- Google's Reports API against the simulator: activities over any range.
local garner = require "garner"
local clients = require "spec.support.clients"
local rules = require "garner.google_reports.arguments"
local simulator = require "spec.support.simulator"

local raised = clients.raised

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("Google activities", function()
  local scope, google

  before_each(function()
    local sim = simulator.get()
    scope = sim:scope()
    google = garner.google_reports { token = scope.token, base_url = sim.url, log = false }
  end)

  after_each(function() google:close() end)

  it("come from a window a day, oldest first, each once", function()
    local pull = google:activities { application = "drive", from = day(4), to = day(2),
      page_size = 40 }
    local plan = pull:plan()
    assert.equal(3, #plan.windows)
    assert.truthy(tostring(plan):find("activities of drive, user all", 1, true))
    local rows, last, seen, midnights = assert(pull:collect()), "", {}, 0
    assert.equal(3 * 96, #rows)
    for _, row in ipairs(rows) do
      assert.is_true(row.time >= last)
      last = row.time
      assert.is_nil(seen[row.unique_qualifier])
      seen[row.unique_qualifier] = true
      if row.time:find "T00:00:00.000Z" then midnights = midnights + 1 end
    end
    assert.equal(3, midnights)
    assert.equal(rows[2].time, rows[3].time)
    assert.equal(9, scope:count "/activity/users/all/applications/drive")
    local oldest = 0 -- windows are asked for side by side, in any order
    for _, request in ipairs(scope:requests()) do
      if request.query:find("startTime=" .. day(4) .. "T00%3A00%3A00Z", 1, true)
        and request.query:find("endTime=" .. day(3) .. "T00%3A00%3A00Z", 1, true) then
        oldest = oldest + 1
      end
    end
    assert.equal(3, oldest)
  end)

  it("on an edge come once, whichever ends the server counts in", function()
    for server, ours in pairs { ["[]"] = "[]", ["[)"] = "[)", ["(]"] = "(]", ["()"] = "()" } do
      scope:reset()
      scope:settings { activity_edges = server }
      local rows = assert(google:activities { application = "drive", from = day(3), to = day(2),
        edges = ours }:collect())
      assert.equal(2 * 96, #rows, server)
    end
    -- The default holds for a server that counts neither or only one end out, too.
    scope:reset()
    scope:settings { activity_edges = "[)" }
    assert.equal(2 * 96, #assert(google:activities { application = "drive", from = day(3),
      to = day(2) }:collect()))
  end)

  it("are told apart by numbers of 19 digits", function()
    local each = require("garner.google_reports.activities").each
    for _, digits in ipairs { "-5183214123456789012", "9007199254740993", "12" } do
      local row = each(garner.json.decode('{"id":{"uniqueQualifier":' .. digits .. "}}"))
      assert.equal(digits, row.unique_qualifier)
    end
  end)

  it("have events with parameters of every kind", function()
    local row = assert(google:activities { application = "drive", date = day(3) }:collect())[1]
    assert.equal("drive", row.application)
    assert.equal("C03az79cb", row.customer_id)
    assert.truthy(row.actor.email:find "^user%d+@example.com$")
    assert.equal(21, #row.actor.profile_id)
    assert.truthy(row.ip_address:find "^198%.51%.100%.")
    assert.truthy(row.unique_qualifier:find "^%-?%d+$")
    assert.equal(row.events[1].name, row.name)
    assert.equal(garner.time.parse(row.time).epoch, row.epoch)
    local p, kinds = row.parameters, row.events[1].kinds
    assert.truthy(p.doc_id:find "^doc%-%d$")
    assert.truthy(tostring(p.size):find "^90071992547%d+$")
    assert.equal("boolean", type(p.owner_is_team_drive))
    assert.equal("a", p.labels[1])
    assert.equal("9007199254740993", tostring(p.sizes[2]))
    assert.equal("file", p.target.kind)
    assert.equal(3, p.target.depth)
    assert.equal(garner.json.null, p.nothing)
    assert.same({ "string", "int", "bool", "strings", "ints", "message", "none" },
      { kinds.doc_id, kinds.size, kinds.owner_is_team_drive, kinds.labels, kinds.sizes,
        kinds.target, kinds.nothing })
  end)

  it("can be filtered, at the slower rate and in longer windows", function()
    local pull = google:activities { application = "drive", from = day(40), to = day(2),
      event_name = "view", filters = { "doc_id==doc-3" } }
    assert.equal(2, #pull:plan().windows)
    local rows = assert(pull:collect())
    assert.is_true(#rows > 50)
    for _, row in ipairs(rows) do
      assert.equal("view", row.name)
      assert.equal("doc-3", row.parameters.doc_id)
    end
    assert.truthy(tostring(google:activities { application = "drive", from = day(40), to = day(2),
      event = "view", window = "1d" }:plan()):find("at most 7 s for these at the documented rate",
      1, true))
    for given, part in pairs {
        [{ user = "user5@example.com" }] = "/activity/users/user5%40example.com/",
        [{ actor_ip = "198.51.100.7" }] = "actorIpAddress=198.51.100.7",
        [{ org_unit_id = "id:ou1" }] = "orgUnitID=id%3Aou1",
        [{ group_id_filter = "id:group1" }] = "groupIdFilter=id%3Agroup1",
        [{ resource_details_filter = "id=x" }] = "resourceDetailsFilter=id%3Dx",
        [{ customer_id = "my_customer" }] = "customerId=my_customer" } do
      given.application, given.date = "drive", day(3)
      scope:reset()
      assert(google:get_activities(given))
      assert.truthy(scope:requests()[1].uri:find(part, 1, true), scope:requests()[1].uri)
    end
  end)

  it("of Gmail are asked for by 30 days at most", function()
    local pull = google:activities { application = "gmail", from = day(62), to = day(2),
      user = "user5@example.com", window = "60d" }
    assert.equal(3, #pull:plan().windows)
    assert(pull:collect())
    local message = raised(function()
      google:get_activities { application = "gmail", from = day(40), to = day(2) }
    end)
    assert.truthy(message:find("gmail takes at most 30 days in one request", 1, true), message)
    -- Were it asked, the server would refuse it.
    local res, err = google:get("/admin/reports/v1/activity/users/all/applications/gmail")
    assert.is_nil(res)
    assert.truthy(err.message:find("required for gmail", 1, true), err.message)
  end)

  it("without a range are the last 180 days, without an end until now", function()
    local pull = google:activities { application = "login" }
    assert.equal(180, #pull:plan().windows)
    pull = google:activities { application = "login", from = day(2) }
    assert.equal(3, #pull:plan().windows)
    local rows = assert(pull:collect())
    assert.is_true(#rows >= 2 * 96)
    assert.equal("provisional", pull:coverage()[3].state)
    assert.equal("fetched", pull:coverage()[1].state)
    assert.same({ 1 }, google:activities { application = "login", date = day(181) }
      :plan().past_retention)
  end)

  it("take applications that are new and refuse what is none", function()
    assert.equal(34, #rules.APPLICATIONS)
    local page, err = google:get_activities { application = "quantum_pad", date = day(3) }
    assert.is_nil(page)
    assert.equal("invalid", err.kind)
    for text, given in pairs {
      ["activities: application is required"] = {},
      ["activities: application must be a name in lower case"] = { application = "Drive" },
      ["activities: filters needs one of the operators"] = { application = "drive",
        filters = "doc_id" },
      ["activities: actor_ip must be an IP address"] = { application = "drive",
        actor_ip = "localhost" },
      ["would hide nextPageToken, items/id"] = { application = "drive",
        fields = "items(actor)" },
    } do
      given.date = day(3)
      local message = raised(function() google:activities(given) end)
      assert.truthy(message:find(text, 1, true), message)
    end
    assert(google:get_activities { application = "drive", date = day(3),
      fields = "nextPageToken,items(id,actor(email))" })
  end)

  it("name their own scope where it is missing", function()
    scope:settings { forbidden = true }
    local page, err = google:get_activities { application = "login", date = day(3) }
    assert.is_nil(page)
    assert.truthy(err.scope:find("admin.reports.audit.readonly", 1, true), err.scope)
  end)

  it("are saved as a line for each event", function()
    local path = os.tmpname()
    local pull = google:activities { application = "drive", date = day(3) }
    assert.equal(96, pull:save(path .. ".csv"))
    local lines = assert(garner.csv.collect { file = path .. ".csv" })
    os.remove(path)
    os.remove(path .. ".csv")
    assert.is_true(#lines > 96)
    local changes = 0
    for _, line in ipairs(lines) do
      assert.truthy(line.unique_qualifier)
      if line.event == "change_acl" then changes = changes + 1 end
    end
    assert.equal(#lines - 96, changes)
    assert.truthy(lines[1]["parameters.doc_id"])
  end)

  -- The newest of the range is at the midnight that ends it.
  it("appear late at the simulator when told to, newest last", function()
    scope:settings { late = 3, late_after = 1 }
    local function newest()
      return assert(google:get_activities { application = "drive", date = day(2),
        page_size = 1 }).rows[1].time
    end
    local seen = {}
    for index = 1, 4 do seen[index] = newest():match "T(%d%d:%d%d)" end
    assert.same({ "23:15", "23:30", "23:45", "00:00" }, seen)
  end)

  it("that appear late, newest first, with a failure on page 3, are all there once settled",
    function()
      local given = { application = "drive", from = day(3), to = day(2), page_size = 20 }
      local function qualifiers(rows)
        local out = {}
        for index, row in ipairs(rows) do out[index] = row.unique_qualifier end
        return out
      end
      local all = qualifiers(assert(google:activities(given):collect()))
      assert.equal(2 * 96, #all)
      google:close()
      scope = simulator.get():scope()
      google = garner.google_reports { token = scope.token, base_url = simulator.get().url,
        log = false, retry = { backoff = 0.01 } }
      scope:settings { late = 12, late_after = 3 }
      scope:fault { path = "/drive$", query = "pageToken", skip = 1, times = 4, status = 500 }
      given.on_not_ready, given.settle_after, given.wait_first = "wait", "30d", 0.02
      given.concurrency = 1
      local pull = google:activities(given)
      assert.same(all, qualifiers(assert(pull:collect())))
      local failed = 0
      for _, request in ipairs(scope:requests()) do
        if request.status == 500 then failed = failed + 1 end
      end
      assert.equal(4, failed)
      -- A look is five pages; rows went on to appear while there were several.
      assert.is_true(scope:count "/drive" > 2 * 2 * 5 + 5)
      for _, each in ipairs(pull:coverage()) do assert.equal("fetched", each.state) end
    end)
end)
