-- Pulls through a cache: windows on a grid, closed ones asked for once, the open tail every few
-- seconds, nothing that is not whole, nothing of another tenant.

local driver = require "garner.driver"
local garner = require "garner"
local memory = require "garner.cache.memory"
local simulator = require "spec.support.simulator"
local stats = require "garner.stats"
local time = require "garner.time"

-- 2026-11-19T10:30:00Z
local NOW = 1795084200

describe("a pull through a cache", function()
  local now, asked, server, made

  before_each(function()
    now, asked, made = NOW, {}, {}
    time.set_clock(function() return now end)
    -- A point a minute, as exact text; `server.fail` or `server.answer` say otherwise.
    server = { transport = function(request)
      local from = time.parse((request.url:match "start_time=([^&]+)":gsub("%%3A", ":"))).epoch
      local to = time.parse((request.url:match "end_time=([^&]+)":gsub("%%3A", ":"))).epoch
      asked[#asked + 1] = { from = from, to = to, at = now, headers = request.headers }
      if server.pause then driver.current().sleep(server.pause) end
      if server.fail then return server.fail end
      local points = {}
      for at = math.ceil(from / 60) * 60, math.min(to, now), 60 do
        points[#points + 1] = ('{"time":"%s","value":{"value":"%d.000000000000000000%d"}}'):format(
          time.format(at), at, at % 7)
      end
      return { body = ('{"metrics":[{"type":"LIVE_METRIC_TYPE_NETWORK_IN","dimension":null,'
        .. '"datapoints":[%s]}]}'):format(table.concat(points, ",")) }
    end }
  end)

  after_each(function()
    for _, client in ipairs(made) do client:close() end
    time.set_clock(nil)
    garner.close()
  end)

  local function client(cache, more)
    local options = { token = "secret-token", org_id = "org-1", transport = server.transport,
      cache = cache, retry = false, log = false, base_url = "http://127.0.0.1:9" }
    for name, value in pairs(more or {}) do options[name] = value end
    made[#made + 1] = garner.blendvision(options)
    return made[#made]
  end

  local function pull(bv, from, to, more)
    local given = { live_id = "live-1", from = from, to = to }
    for name, value in pairs(more or {}) do given[name] = value end
    return bv:live_metrics(given)
  end

  local function instants(rows)
    local out = {}
    for index, row in ipairs(rows) do out[index] = row.epoch end
    return out
  end

  -- Every minute of [from, to), once and in order, with the server's text.
  local function check_rows(rows, from, to)
    local want = {}
    for at = math.ceil(from / 60) * 60, to - 1, 60 do want[#want + 1] = at end
    assert.are.same(want, instants(rows))
    for _, row in ipairs(rows) do
      assert.equal(("%d.000000000000000000%d"):format(row.epoch, row.epoch % 7), row.value)
    end
  end

  local function ranges(first)
    local out = {}
    for index = first or 1, #asked do
      out[#out + 1] = os.date("!%d %H:%M:%S-", asked[index].from)
        .. os.date("!%H:%M:%S", asked[index].to)
    end
    table.sort(out)
    return out
  end

  it("asks for closed windows once, and for the open tail after its time", function()
    local bv = client(garner.cache())
    check_rows(assert(pull(bv, "-2h", "now"):collect()), NOW - 7200, NOW)
    assert.are.same({ "19 08:00:00-09:00:00", "19 09:00:00-10:00:00", "19 10:00:00-10:30:00" },
      ranges())
    for step = 1, 3 do
      now = NOW + 5 * step
      check_rows(assert(pull(bv, "-2h", "now"):collect()), now - 7200, NOW + 1)
    end
    -- The third look is 15 s after the first: the tail is 10 s old at most.
    assert.are.same({ "19 10:00:00-10:30:10" }, ranges(4))
    now = NOW + 3600
    check_rows(assert(pull(bv, "-2h", "now"):collect()), now - 7200, now)
    assert.are.same({ "19 10:00:00-11:00:00", "19 11:00:00-11:30:00" }, ranges(5))
  end)

  it("looks twice, past the cache, where rows must have settled", function()
    local bv = client(garner.cache())
    local function settled()
      local given = pull(bv, "2026-11-19T09:00:00Z", "2026-11-19T10:29:00Z", {
        on_not_ready = "wait", settle_after = "10m", wait_first = 0.01 })
      assert.is_truthy(tostring(given:plan()):find("what the cache has is not asked for", 1, true))
      assert(given:collect())
      return given:coverage()
    end
    assert.equal("fetched", settled()[2].state)
    assert.are.same({ "19 09:00:00-10:00:00", "19 10:00:00-10:29:00", "19 10:00:00-10:29:00" },
      ranges())
    assert.equal(2, settled()[2].requests)
    assert.equal(5, #asked)
  end)

  it("tells of a tail that lacks a few seconds, and of ages", function()
    local cache = garner.cache()
    local bv = client(cache)
    local before = stats.read().cache
    assert(pull(bv, "-1h", "now"):collect())
    now = NOW + 7
    local again = pull(bv, "-1h", "now")
    assert(again:collect())
    local coverage = again:coverage()
    assert.equal(2, #coverage)
    assert.equal("fetched", coverage[1].state)
    assert.equal(7, coverage[1].age)
    assert.is_nil(coverage[1].reason)
    assert.equal("provisional", coverage[2].state)
    assert.is_truthy(coverage[2].reason:find("as of 7 s ago", 1, true))
    assert.equal(0, coverage[2].requests)
    assert.are.same({}, again:warnings())
    assert.equal(before.hit + 2, stats.read().cache.hit)
    assert.equal(before.miss + 2, stats.read().cache.miss)
    -- A shorter one takes its part of the tail; a longer one that nobody has asks.
    check_rows(assert(pull(bv, "2026-11-19T10:05:30Z", "2026-11-19T10:20:00Z"):collect()),
      NOW - 1470, NOW - 600)
    assert.equal(2, #asked)
    assert(pull(bv, "2026-11-19T10:05:30Z", "2026-11-19T10:20:00Z", { cache = false }):collect())
    assert.are.same({ "19 10:05:30-10:20:00" }, ranges(3))
  end)

  it("joins whole cells to the longest window, the same ones whoever asks", function()
    local bv = client(garner.cache())
    check_rows(assert(pull(bv, "2026-11-18T02:10:00Z", "2026-11-19T02:00:00Z"):collect()),
      NOW - 116400, NOW - 30600)
    assert.are.same({ "18 02:00:00-03:00:00", "18 03:00:00-04:00:00", "18 04:00:00-05:00:00",
      "18 05:00:00-06:00:00", "18 06:00:00-07:00:00", "18 07:00:00-08:00:00",
      "18 08:00:00-16:00:00", "18 16:00:00-00:00:00", "19 00:00:00-01:00:00",
      "19 01:00:00-02:00:00" }, ranges())
    check_rows(assert(pull(bv, "2026-11-18T06:00:01Z", "2026-11-19T01:30:00Z"):collect()),
      NOW - 102599, NOW - 32400)
    assert.equal(10, #asked)
  end)

  it("gives the same rows as without a cache, for any range", function()
    local bv, plain = client(garner.cache { align = "20m", settle = "1h" }), client(nil)
    local seed = 7
    local function random(n)
      seed = seed * 16807 % 2147483647
      return seed % n
    end
    for _ = 1, 30 do
      local from = NOW - 1 - random(40000)
      local to = math.min(NOW, from + 1 + random(30000))
      local texts = { time.format(from), time.format(to) }
      local want = assert(pull(plain, texts[1], texts[2]):collect())
      local got = pull(bv, texts[1], texts[2])
      assert.are.same(instants(want), instants(assert(got:collect())))
      assert.equal(0, got.outside)
      assert.equal(0, got.conflicts)
    end
  end)

  it("lets the last rows stand in where a request fails, and says so", function()
    local bv = client(garner.cache { stale_if_error = "2m" })
    assert(pull(bv, "-1h", "now"):collect())
    now = NOW + 60
    server.fail = { status = 503 }
    local again = pull(bv, "-1h", "now")
    check_rows(assert(again:collect()), now - 3600, NOW + 1)
    local window = again:coverage()[2]
    assert.equal("provisional", window.state)
    assert.is_true(window.stale)
    assert.equal(60, window.age)
    local warnings = again:warnings()
    assert.equal(1, #warnings)
    assert.equal("stale", warnings[1].code)
    assert.equal("server", warnings[1].data.kind)
    local first = #asked
    assert(pull(bv, "-1h", "now"):collect())
    assert.equal(first, #asked) -- it was just known to fail
    now = NOW + 131
    local rows, err = pull(bv, "-1h", "now"):collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal(503, err.status)
    server.fail = { status = 403 } -- that is no passing trouble
    now = NOW + 50
    rows, err = pull(bv, "-1h", "now"):collect()
    assert.is_nil(rows)
    assert.equal("forbidden", err.kind)
    server.fail = nil
    now = NOW + 200
    assert.equal("fetched", (function()
      local good = pull(bv, "-1h", "now")
      assert(good:collect())
      return good:coverage()[2].state
    end)())
  end)

  it("sends one request for all who ask for a window", function()
    time.set_clock(nil)
    now = math.floor(time.now())
    server.pause = 0.03
    local bv, fns = client(garner.cache()), {}
    for i = 1, 20 do
      fns[i] = function() return pull(bv, "-90m", "now"):collect() end
    end
    for _, result in ipairs(garner.all(fns)) do assert.is_true(result.ok, result.err) end
    local count = #asked
    assert.is_true(count <= 3, count)
    asked, server.fail = {}, { status = 500 }
    for i = 1, 20 do
      fns[i] = function() return pull(bv, "-90m", "now", { live_id = "another" }):collect() end
    end
    for _, result in ipairs(garner.all(fns)) do assert.equal("hole", result.err.kind) end
    assert.is_true(#asked <= 3, #asked)
  end)

  it("keeps tenants, credentials, servers and questions apart", function()
    local dict = memory.new()
    local cache = garner.cache { dict = dict }
    local function count(bv, more)
      local before = #asked
      assert(pull(bv, "2026-11-19T08:00:00Z", "2026-11-19T09:00:00Z", more):collect())
      return #asked - before
    end
    local bv = client(cache)
    assert.equal(1, count(bv))
    assert.equal(0, count(bv))
    assert.equal(0, count(client(cache)))
    assert.equal(1, count(client(cache, { token = "another" })))
    assert.equal(1, count(client(cache, { org_id = "org-2" })))
    assert.equal(1, count(client(cache, { base_url = "http://127.0.0.1:10" })))
    assert.equal(1, count(bv, { live_id = "live-2" }))
    assert.equal(1, count(bv, { org_id = "org-2" }))
    assert.equal(1, count(bv, { types = { "network_in" } }))
    assert.equal(1, count(bv, { headers = { ["x-view"] = "2" } }))
    assert.equal(0, count(bv, { concurrency = 1, max_rows = 100 }))
    assert.equal(1, count(client(cache, { cache_key = "a" })))
    assert.equal(0, count(client(cache, { cache_key = "a", token = "rotated" })))
    assert.equal(1, count(client(cache, { cache_key = "a", org_id = "org-2" })))
    assert.equal(0, count(client(cache, { cache_key = "a", token = function() return "t" end })))
    local ok, message = pcall(client, cache, { token = function() return "t" end })
    assert.is_false(ok)
    assert.is_truthy(message:find("cache_key", 1, true), message)
    for key, item in pairs(dict.items) do
      for _, secret in ipairs { "secret-token", "org-1", "rotated", "another" } do
        assert.is_nil(key:find(secret, 1, true))
        assert.is_nil(tostring(item.value):find(secret, 1, true))
      end
    end
  end)

  it("keeps nothing for a client that cannot be named", function()
    local bv = client(garner.cache(), { headers = { ["x-name"] = "caf\233" } })
    for _ = 1, 2 do
      check_rows(assert(pull(bv, NOW - 7200, NOW - 3600):collect()), NOW - 7200, NOW - 3600)
    end
    assert.equal("caf\233", asked[1].headers["x-name"])
    assert.is_true(#asked % 2 == 0 and #asked > 0)
    assert.equal(asked[1].from, asked[#asked / 2 + 1].from)
  end)

  it("does not trust what it finds", function()
    local dict = memory.new()
    local bv = client(garner.cache { dict = dict })
    local function ask()
      return pull(bv, "2026-11-19T08:00:00Z", "2026-11-19T09:00:00Z"):collect()
    end
    assert(ask())
    local key, item = next(dict.items)
    local good = item.value
    for _, bad in ipairs { "", "garner1", good:sub(1, -2), good .. "x",
      (good:gsub("\n%d+", "\n9")), (good:gsub('"metrics"', '"matrics"')), (good:gsub("{", "[")),
      (good:gsub("^garner1 %d+", "garner1 9999999999")) } do
      dict:set(key, bad, 1000)
      local before = #asked
      check_rows(assert(ask()), NOW - 9000, NOW - 5400)
      assert.is_true(#asked == before + 1 or bad:find("matrics", 1, true) ~= nil)
      assert(dict:get(key))
    end
  end)

  it("keeps nothing that is not ready, partial or in doubt", function()
    time.set_clock(nil)
    local sim = simulator.get()
    local scope = sim:scope()
    local google = garner.google_reports { token = scope.token, base_url = sim.url,
      cache = garner.cache(), log = false }
    made[#made + 1] = google
    local day = time.date_add(time.today(), -10)
    local function usage(more)
      local given = { date = day }
      for name, value in pairs(more or {}) do given[name] = value end
      return google:entity_usage(given)
    end
    scope:fault { path = "/dates/", times = 1, status = 200, body = { warnings = {
      { code = "PARTIAL_DATA_AVAILABLE", message = "try again" } }, usageReports = {} } }
    local _, err = usage():collect()
    assert.equal("hole", err.kind)
    local rows = assert(usage():collect())
    local pages = scope:count "/dates/" - 1
    assert.is_true(pages >= 1 and #rows > 0)
    assert.are.same(rows, assert(usage():collect()))
    assert.equal(pages + 1, scope:count "/dates/")
    local asks = usage { max_requests = 1, cache = false }
    assert.is_true(asks:plan().requests >= 1)
    -- A date that is too recent is not kept either.
    for _ = 1, 2 do
      assert.equal("hole", select(2, google:entity_usage { date = "today" }:collect()).kind)
    end
    assert.equal(pages + 3, scope:count "/dates/")
  end)
end)
