-- Creates whose fate is unknown, and the ways out of that: the server of these specs takes
-- the request and resets the connection, or resets it before it does anything.
local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local FAST = { first = 0.02, factor = 1.2, cap = 0.1 }

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("A create in doubt", function()
  local sim, scope, bv, shop, logged

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope, logged = sim:scope(), {}
    local function log(level, event, fields)
      logged[#logged + 1] = level .. " " .. event
      logged[event] = fields
    end
    bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url,
      log = log }
    shop = garner.shoplazza { shop = "sim", token = scope.token, base_url = sim.url, rate = 1000,
      burst = 1000, log = log }
  end)

  after_each(function()
    bv:close()
    shop:close()
  end)

  local function query(in_doubt, more)
    local given = { event = "add_to_cart", begin_time = day(1) .. "T00:00:00",
      end_time = day(1) .. "T01:00:00", in_doubt = in_doubt }
    for name, value in pairs(more or {}) do given[name] = value end
    return shop:create_query(given)
  end

  local function report(in_doubt)
    return bv:create_report { event_id = "event-1", type = "live", dimensions = { "watch_time" },
      in_doubt = in_doubt }
  end

  local function lose(drop, times)
    scope:fault { path = "/data/query", drop = drop or "after", times = times }
    scope:fault { path = "/events/reports$", drop = drop or "after", times = times }
  end

  local function sent()
    return scope:count "/data/query" + scope:count "/events/reports$"
  end

  it("stays so unless something else is said, and is one request", function()
    lose()
    local job, err = query()
    assert.is_nil(job)
    assert.equal("in_doubt", err.kind)
    assert.equal(1, sent())
    assert.truthy(logged.in_doubt)
    job, err = report()
    assert.is_nil(job)
    assert.equal("in_doubt", err.kind)
    assert.equal(2, sent())
    assert.is_nil(err.candidates)
  end)

  it("is created once more by the caller's retry", function()
    lose()
    local _, err = query()
    local job = assert(err:retry())
    assert.equal(2, job.creates)
    assert.truthy(assert(job:wait(FAST))[1].uri)
    _, err = report()
    job = assert(err:retry())
    assert.equal("succeeded", assert(job:wait(FAST))[1].status)
    assert.equal(4, sent())
    assert.truthy(logged["in_doubt.created_again"])
  end)

  it("can be in doubt again, and be tried again", function()
    lose("after", 2)
    local _, err = report()
    local none, why = err:retry()
    assert.is_nil(none)
    assert.equal("in_doubt", why.kind)
    assert.equal(3, assert(why:retry()).creates)
  end)

  it("is created once more where the caller said so beforehand", function()
    lose()
    local job = assert(query "recreate")
    assert.equal(2, job.creates)
    assert.equal(2, job.reports[1].creates)
    job = assert(report "recreate")
    assert.equal(2, job.creates)
    lose("after", 2)
    local none, err = report "recreate"
    assert.is_nil(none)
    assert.equal("in_doubt", err.kind)
    assert.equal(6, sent())
  end)

  it("is decided by the caller's function", function()
    lose("after", 0)
    local seen
    local job, err = query(function(given) seen = given end)
    assert.is_nil(job)
    assert.equal(seen, err)
    assert.has_error(function() query(function() return "yes" end) end)
    local ok, why = pcall(query, function() error("mine", 0) end)
    assert.is_false(ok)
    assert.equal("mine", why)
    scope:reset()
    lose()
    job = assert(query(function(given) return given:retry() end))
    assert.equal("complete", assert(job:wait(FAST))[1].status)
  end)

  it("is found in the list where the server had taken it", function()
    assert(query()) -- of this client
    local other = garner.shoplazza { shop = "sim", token = scope.token, base_url = sim.url }
    assert(other:create_query { begin_time = day(1) .. "T00:00:00",
      end_time = day(1) .. "T01:00:00" })
    other:close()
    lose()
    local job = assert(query "list")
    assert.equal(3, sent())
    assert.equal(2, scope:count "/data/tasks")
    assert.equal(1, job.creates)
    assert.truthy(assert(job:wait(FAST))[1].uri)
    assert.equal(3, assert(shop:count()))
    assert.truthy(logged["in_doubt.adopted"])
  end)

  it("is created once more where the list shows none", function()
    lose(true)
    local job = assert(query "list")
    assert.equal(2, job.creates)
    assert.equal(1, assert(shop:count()))
    assert.equal(3, scope:count "/data/tasks")
  end)

  it("stays so where the list shows several", function()
    local first = assert(query())
    shop.made_ids = {} -- as if other programs had made it
    scope:fault { path = "/data/tasks", status = 200, body = { tasks = garner.json.array {} } }
    lose()
    local job, err = query "list"
    assert.is_nil(job)
    assert.equal("in_doubt", err.kind)
    assert.equal(2, #err.found)
    assert.truthy(err.message:find("2 that were not there before", 1, true), err.message)
    assert.equal(2, sent())
    local fine, message = pcall(err.adopt, err)
    assert.is_false(fine)
    assert.truthy(message:find("doubt_spec.lua:%d+: adopt: an id expected"), message)
    local adopted = assert(err:adopt(first.query_id))
    assert.equal(first.query_id, adopted.query_id)
    assert.equal("complete", assert(adopted:wait(FAST))[1].status)
  end)

  it("says where the list cannot be had", function()
    scope:fault { path = "/data/tasks", status = 403, skip = 1, times = 0 }
    lose()
    local job, err = query "list"
    assert.is_nil(job)
    assert.equal("in_doubt", err.kind)
    assert.truthy(err.message:find("could not be had", 1, true), err.message)
    assert.equal(1, sent())
  end)

  it("has candidates, sharper with a list from before", function()
    assert(shop:create_query { begin_time = day(1) .. "T00:00:00",
      end_time = day(1) .. "T01:00:00" })
    shop.made_ids = nil -- another program's
    lose("after", 2)
    local _, err = query()
    assert.equal(2, #err:candidates())
    _, err = query(nil, { track = true })
    assert.equal(1, #err:candidates())
  end)

  it("in a pull is a hole with its reason, unless something else is said", function()
    lose()
    local hour = { event = "add_to_cart", from = day(1) .. "T00:00:00",
      to = day(1) .. "T01:00:00", wait = FAST }
    local pull = shop:events(hour)
    local rows, err = pull:collect()
    assert.is_nil(rows)
    assert.equal("in_doubt", pull:coverage()[1].state)
    assert.truthy(pull:coverage()[1].reason)
    assert.equal("in_doubt", err.cause.kind)
    assert.equal(1, sent())
    assert.truthy(err.windows[1].err:retry())
    for index, policy in ipairs { "recreate", "list" } do
      scope:reset()
      lose()
      hour.in_doubt = policy
      rows = assert(shop:events(hour):collect())
      assert.is_true(#rows > 0)
      assert.equal(index == 1 and 2 or 1, sent())
    end
  end)

  it("is one of several at a time where the list decides", function()
    lose("after", 1)
    local rows = assert(shop:events { event = { "add_to_cart", "refund_order", "place_order" },
      from = day(1) .. "T00:00:00", to = day(1) .. "T08:00:00", wait = FAST,
      in_doubt = "list", concurrency = 3 }:collect())
    local names = {}
    for _, row in ipairs(rows) do
      assert.equal(row.query_event, row.event)
      names[row.event] = true
    end
    assert.truthy(names.add_to_cart and names.refund_order and names.place_order)
    assert.equal(3, sent())
  end)

  it("refuses what it does not know", function()
    for _, bad in ipairs { "maybe", 1, true, {} } do
      assert.has_error(function() query(bad) end)
      assert.has_error(function() report(bad) end)
    end
    assert.has_error(function() report "list" end)
  end)

  describe("of many events", function()
    local function set_of(in_doubt)
      return bv:create_reports { event_ids = { "event-1", "event-2", "event-3" }, type = "live",
        dimensions = { "watch_time" }, concurrency = 1, in_doubt = in_doubt }
    end

    it("leaves the others alone, and is created again on demand", function()
      scope:fault { path = "/events/reports$", drop = "after", skip = 1 }
      local set = assert(set_of())
      assert.equal("in_doubt", set.reports[2].status)
      local text = set:checkpoint()
      local reports = assert(set:wait { partial = true, first = 0.02, cap = 0.1 })
      assert.equal("in_doubt", reports[2].err.kind)
      assert.equal(3, sent())
      set = assert(bv:resume(text))
      assert.equal("in_doubt", set.reports[2].err.kind)
      assert.equal(1, assert(set:recreate()))
      assert(set:wait(FAST))
      assert.equal(4, sent())
      assert.equal(4, set.creates)
    end)

    it("keeps what was created where a function raises", function()
      scope:fault { path = "/events/reports$", drop = "after", skip = 1 }
      local ok, why = pcall(set_of, function() error("mine", 0) end)
      assert.is_false(ok)
      assert.equal("mine", why)
      local text = logged["create_reports.interrupted"].checkpoint
      assert.equal("garner error x checkpoint=" .. text,
        require("garner.log").line("error", "x", { checkpoint = text }))
      local set = assert(bv:resume(text))
      local reports = set:wait { partial = true, first = 0.02, cap = 0.1 }
      assert.equal("succeeded", reports[1].status)
      assert.equal("in_doubt", reports[2].status)
      assert.equal("succeeded", reports[3].status)
      scope:fault { path = "/events/reports$", drop = "after", skip = 1 }
      ok, why = pcall(set_of, function(err) error(err, 0) end)
      assert.is_false(ok)
      assert.equal(3, #why.reports)
      assert.truthy(bv:resume(why.checkpoint))
    end)
  end)
end)

describe("Ctrl-C", function()
  it("prints the checkpoints of jobs that are still running", function()
    local sim = simulator.get()
    local scope = sim:scope()
    local code, output = clients.run(([==[
      local garner = require "garner"
      garner.main(function()
        local bv = garner.blendvision { token = %q, org_id = "sim-org", base_url = %q }
        local function create(event)
          return garner.check(bv:create_report { event_id = event, type = "live",
            dimensions = { "watch_time" } })
        end
        garner.check(create "event-done":wait { first = 0.01, cap = 0.05 })
        local one, two = create "event-stuck-1", create "event-stuck-2"
        os.execute("(sleep 0.3; kill -INT " .. require "garner.core".pid() .. ") >/dev/null 2>&1 &")
        garner.all { function() return one:wait() end, function() return two:wait() end }
      end)
    ]==]):format(scope.token, sim.url), "timeout 60")
    assert.equal(130, code, output)
    assert.truthy(output:find("2 jobs are still running", 1, true), output)
    local texts = {}
    for line in output:gmatch "[^\n]+" do
      if line:find('{"garner":1', 1, true) == 1 then texts[#texts + 1] = line end
    end
    assert.equal(2, #texts, output)
    assert.truthy(texts[1]:find("event-stuck-1", 1, true))
    assert.is_nil(output:find(scope.token, 1, true))
    local bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url }
    assert.equal("running", assert(assert(bv:resume(texts[2])):status())[1].status)
    bv:close()
  end)
end)
