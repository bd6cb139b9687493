-- What the vendors' own "not yet" makes of a pull: errors by default, waiting
-- where it was asked for, and never an empty day. Against the simulator.
local garner = require "garner"
local simulator = require "spec.support.simulator"

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

local function states(made)
  local out = {}
  for index, each in ipairs(made:coverage()) do out[index] = each.state end
  return out
end

describe("Google's not yet", function()
  local sim, scope, google

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope = sim:scope()
    google = garner.google_reports { token = scope.token, base_url = sim.url, log = false }
  end)

  after_each(function() google:close() end)

  local function usage(more)
    local given = { date = day(20), entity = "1000", on_not_ready = "wait", wait_first = 0.01 }
    if more and more.on_not_ready then given.wait_first = nil end
    for name, value in pairs(more or {}) do given[name] = value end
    return google:entity_usage(given)
  end

  local function warn(code, message, times)
    scope:fault { path = "/dates/", times = times, status = 200, body = {
      kind = "admin#reports#usageReports",
      warnings = { { code = code, message = message, data = {} } } } }
  end

  local PARTIAL = "Data for date 2026-11-02 for application gplus is not available right now, "
    .. "please try again after a few hours."
  local NEVER = "Sorry, data for date 2026-11-02 for application gplus is not available."

  it("of a 400 is waited for, and says from when on", function()
    local function refuse(times)
      scope:fault { path = "/dates/", times = times, status = 400, body = { error = { code = 400,
        message = "Data for dates later than 2026-11-01 is not yet available. "
          .. "Please check back later" } } }
    end
    refuse(2)
    local made = usage()
    assert.equal(1, #assert(made:collect()))
    assert.equal(3, made:coverage()[1].requests)
    refuse(0)
    local rows, err = usage { on_not_ready = "error" }:collect()
    assert.is_nil(rows)
    assert.equal("2026-11-01", err.latest)
    assert.equal("not_ready", err.windows[1].state)
  end)

  for _, code in ipairs { "PARTIAL_DATA_AVAILABLE", "200" } do
    it("of a warning with code " .. code .. " is waited for", function()
      warn(code, PARTIAL, 2)
      assert.equal(1, #assert(usage():collect()))
      warn(code, PARTIAL, 1)
      local made = usage { on_not_ready = "error" }
      local rows, err = made:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.same({ "not_ready" }, states(made))
    end)
  end

  for _, code in ipairs { "DATA_NOT_AVAILABLE", "200" } do
    it("is never, with code " .. code .. ": nothing to wait for, and not empty", function()
      warn(code, NEVER, 0)
      local made = usage { wait_first = 60 }
      local rows, err = made:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.same({ "failed" }, states(made))
      assert.equal(1, made:coverage()[1].requests)
    end)
  end

  it("of a young date ends when two answers agree", function()
    local made = usage { date = day(2), settle_after = "3d" }
    assert.equal(1, #assert(made:collect()))
    assert.equal(2, made:coverage()[1].requests)
    assert.same({ "provisional" }, states(made))
  end)

  it("costs no more than max_requests", function()
    local made = google:entity_usage { from = day(20), to = day(17), entity = "1000",
      max_requests = 3, concurrency = 1 }
    local _, err, partial = made:collect()
    assert.equal("truncated", err.kind)
    assert.equal("requests", err.code)
    assert.equal(3, #partial)
    assert.equal(3, scope:count "/dates/")
  end)
end)

describe("BlendVision's live metrics", function()
  it("cost no more than max_requests", function()
    local sim = simulator.get()
    local scope = sim:scope()
    local bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url,
      log = false }
    local last
    local made = bv:live_metrics { live_id = "live-1", date = day(10), max_requests = 2,
      on_progress = function(at) last = at end }
    local _, err = made:collect()
    assert.equal("requests", err.code)
    assert.equal(2, scope:count "/metrics")
    assert.same({ "fetched", "fetched", "planned" }, states(made))
    assert.is_true(last.bytes > 100)
    assert.equal(2, last.requests)
    bv:close()
  end)
end)

describe("Shoplazza's task without a URL", function()
  local sim, scope, shop

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope = sim:scope()
    shop = garner.shoplazza { shop = "sim", token = scope.token, base_url = sim.url, log = false }
  end)

  after_each(function() shop:close() end)

  local WAIT = { first = 0.05, factor = 1, cap = 0.05, timeout = 0.12 }

  it("is waited for beyond its own time, without a second task", function()
    scope:settings { polls_until_ready = 4 }
    local made = shop:events { event = "add_to_cart", date = day(3), on_not_ready = "wait",
      wait_first = 0.05, wait = WAIT }
    assert.is_true(#assert(made:collect()) > 0)
    assert.equal(1, scope:count "/data/query")
    assert.same({ "fetched" }, states(made))
  end)

  it("is made anew where a young window has to settle", function()
    local made = shop:events { event = "add_to_cart", date = day(3), on_not_ready = "wait",
      wait_first = 0.05, settle_after = "30d", wait = { first = 0.05 } }
    assert.is_true(#assert(made:collect()) > 0)
    assert.equal(2, scope:count "/data/query")
  end)

  it("tells the bytes of its files", function()
    local last
    local given = { event = "add_to_cart", date = day(3), wait = { first = 0.05 },
      on_progress = function(at) last = at end }
    assert(shop:events(given):collect())
    local bytes = last.bytes
    assert.is_true(bytes > 100)
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    local files = assert(shop:events(given):download(folder))
    local file = assert(io.open(files[1].path, "rb"))
    assert.equal(file:seek "end", bytes)
    assert.equal(bytes, last.bytes)
    file:close()
    os.execute("rm -rf " .. folder)
  end)

  it("costs no more than max_requests", function()
    local made = shop:events { event = "add_to_cart", from = day(9), to = day(3),
      max_requests = 5, concurrency = 1, wait = { first = 0.05 } }
    local _, err = made:collect()
    assert.equal("truncated", err.kind)
    assert.equal("requests", err.code)
    assert.is_true(scope:count "." <= 5)
  end)

  it("is a hole, and one task", function()
    scope:settings { polls_until_ready = 1000 }
    local made = shop:events { event = "add_to_cart", date = day(3), wait = WAIT }
    local rows, err = made:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.same({ "timed_out" }, states(made))
    assert.equal(1, scope:count "/data/query")
  end)
end)
