-- Windows: their union is the range, nothing twice, no request too long, and a
-- server with any edges is asked for every event once.

local time = require "garner.time"
local window = require "garner.window"
local zone = require "garner.zone"

local seed

local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

local function pick(list) return list[1 + random(#list)] end

local function range_of(from, to)
  return { from = from, to = to, zone = zone.utc, kind = "instant" }
end

local function serialize(windows)
  local parts = {}
  for i, w in ipairs(windows) do
    parts[i] = ("%s %s %s %s %s"):format(w.index, w.from, w.to, w.send_from, w.send_to)
  end
  return table.concat(parts, "\n")
end

-- What a server with these edges gives for a request.
local function serve(events, edges, from, to)
  local found = {}
  for _, t in ipairs(events) do
    local after = t > from or (t == from and edges:sub(1, 1) == "[")
    local before = t < to or (t == to and edges:sub(2, 2) == "]")
    if after and before then found[#found + 1] = t end
  end
  return found
end

-- luassert is slow; these run a hundred thousand times.
local function demand(condition, ...)
  if not condition then error(table.concat({ ... }, " "), 2) end
end

local function check_plan(range, options, windows)
  local at = range.from
  for i, w in ipairs(windows) do
    demand(w.index == i and w.from == at and w.to > w.from, "from, to", i)
    demand(w.send_to > w.send_from, "nothing is sent", i)
    if options.max then
      -- In microseconds: a difference of fractions is not exact itself.
      local span = math.floor((w.send_to - w.send_from) * 1e6 + 0.5)
      demand(span <= math.floor(options.max * 1e6 + 0.5), serialize { w }, "is too long")
    end
    at = w.to
  end
  demand(at == range.to, "ends at", at)
end

local function check_server(range, options, windows, events)
  local parts, sent = {}, {}
  for _, w in ipairs(windows) do
    for _, t in ipairs(serve(events, options.edges, w.send_from, w.send_to)) do
      sent[t] = (sent[t] or 0) + 1
      if t >= w.from and t < w.to then parts[t] = (parts[t] or 0) + 1 end
    end
  end
  for _, t in ipairs(events) do
    local want = t >= range.from and t < range.to and 1 or nil
    demand(parts[t] == want, options.edges, "at", t)
    -- Only closed edges make a server send anything twice, or anything beside the range.
    demand(options.edges == "[]" or sent[t] == want, options.edges, "sent", t)
  end
end

describe("a plan", function()
  it("cuts a day into windows of eight hours", function()
    local range = assert(time.range { date = "2026-11-19" })
    local windows = assert(window.plan(range, { max = "8h", edges = "[)" }))
    assert.equal(3, #windows)
    local from = range.from
    assert.same({ index = 2, from = from + 28800, to = from + 57600, send_from = from + 28800,
      send_to = from + 57600 }, windows[2])
    assert.same(windows, window.plan(range, { max = 28800 }))
    assert.equal("1763510400", tostring(window.plan(range_of(1763510400, 1763510401))[1].send_from))
  end)

  it("moves both ends of (] back by a step, so that a day stays 24 hours", function()
    local range = assert(time.range({ date = "2026-11-19" }, { kind = "naive" }))
    local windows = assert(window.plan(range, { max = "24h", edges = "(]", granularity = 1 }))
    assert.equal(1, #windows)
    assert.equal("2026-11-18T23:59:59", time.format(windows[1].send_from, range.zone))
    assert.equal("2026-11-19T23:59:59", time.format(windows[1].send_to, range.zone))
    assert.equal(range.from, windows[1].from)
    assert.equal(range.to, windows[1].to)
  end)

  it("shares edge instants for [] and shortens () by a step", function()
    local range = range_of(0, 20)
    local closed = window.plan(range, { max = 10, edges = "[]" })
    assert.equal("1 0 10 0 10\n2 10 20 10 20", serialize(closed))
    local open = window.plan(range, { max = 10, edges = "()" })
    assert.equal("1 0 9 -1 9\n2 9 18 8 18\n3 18 20 17 20", serialize(open))
  end)

  it("covers days of 23 and 25 hours", function()
    local short = assert(time.range { date = "2026-03-08", zone = "America/New_York" })
    local long = assert(time.range { date = "2026-11-01", zone = "America/New_York" })
    assert.equal(1, #window.plan(short, { max = "24h" }))
    local windows = window.plan(long, { max = "24h" })
    assert.equal(2, #windows)
    assert.equal(3600, windows[2].to - windows[2].from)
    assert.equal(4, #window.plan(long, { max = "8h" }))
    check_plan(long, { max = 28800 }, window.plan(long, { max = "8h" }))
  end)

  it("is one window without a longest span", function()
    assert.equal(1, #window.plan(range_of(0, 1e9), { edges = "(]" }))
  end)

  it("widens (] to whole steps where the range is not on them", function()
    -- An event of 10 s lies before 10.5; the one of 20 s lies in [10.5, 20.5).
    local windows = window.plan(range_of(10.5, 20.5), { max = 5, edges = "(]" })
    assert.equal("1 10.5 16 10 15\n2 16 20.5 15 20", serialize(windows))
    local none, message = window.plan(range_of(10.2, 10.7), { edges = "(]" })
    assert.is_nil(none)
    assert.truthy(message:find("between two steps", 1, true))
  end)

  it("keeps microseconds over many windows", function()
    local range = range_of(1763510400.000001, 1763510410.000001)
    local windows = window.plan(range, { max = 0.1 })
    assert.equal(100, #windows)
    check_plan(range, { max = 0.1 }, windows)
    assert.equal("2025-11-19T00:00:00.100001Z", time.format(windows[2].send_from))
    assert.equal("2025-11-19T00:00:09.900001Z", time.format(windows[100].send_from))
  end)

  it("refuses what cannot be planned", function()
    local range = range_of(0, 86400)
    local cases = { { { edges = "[[" }, "edges" }, { { edges = 5 }, "edges" },
      { { max = 0 }, "max" }, { { max = "8" }, "max" }, { { max = -1 }, "max" },
      { { max = 0 / 0 }, "max" },
      { { granularity = 0 }, "granularity" }, { { granularity = 1e-9 }, "granularity" },
      { { max = 1, edges = "()" }, "max" }, { { max = 0.5, edges = "(]" }, "max" },
      { { max = 0.001 }, "at most" } }
    for _, case in ipairs(cases) do
      local windows, message = window.plan(range, case[1])
      assert.is_nil(windows, case[2])
      assert.truthy(message:find(case[2], 1, true), message)
    end
    assert.has_error(function() window.plan({ dates = { "2026-11-19" }, kind = "date" }) end)
  end)

  it("of any range, edges, step and zone asks for every event once", function()
    seed = 20261119
    local zones = { "UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Berlin", "+05:45",
      "Pacific/Apia" }
    local edges = { "[)", "[]", "(]", "()" }
    for _ = 1, 250 do
      local grain = pick { 1, 1, 60, 0.001, 0.000001, 900, 0.25 }
      local z = assert(zone.get(pick(zones)))
      local y, m = 2009 + random(18), 1 + random(12)
      local from = z:day(y, m, 1 + random(31))
      local to
      if random(2) == 0 then
        to = z:day(y, m + (m < 12 and random(2) or 0), 1 + random(31))
      else
        from = from + random(86400) + (random(3) == 0 and random(1000000) / 1e6 or 0)
        to = from + 1 + random(200000)
      end
      local steps = 2 + random(40)
      local max = grain * steps
      if to - from > max * 60 then to = from + max * 60 end
      if to ~= math.floor(to) then to = math.floor(to * 1e6 + 0.5) / 1e6 end
      if grain * 2 < to - from then
        local range, options = range_of(from, to), { max = max, edges = pick(edges),
          granularity = grain }
        local windows, message = window.plan(range, options)
        assert(windows, message)
        check_plan(range, options, windows)
        assert.equal(serialize(windows), serialize(assert(window.plan(range, options))))
        local events, seen = {}, {}
        local function event(ticks)
          -- Whole steps of the API, computed as a server would: from integers.
          local t = grain < 1 and ticks / math.floor(1 / grain + 0.5) or ticks * grain
          if not seen[t] then seen[t], events[#events + 1] = true, t end
        end
        local function around(t)
          local ticks = math.floor(grain < 1 and t * math.floor(1 / grain + 0.5) + 0.5 or t / grain)
          for d = -2, 2 do event(ticks + d) end
        end
        around(from)
        around(to)
        for _ = 1, 12 do around(pick(windows).from) end
        for _ = 1, 20 do around(from + random(math.max(1, math.floor(to - from)))) end
        check_server(range, options, windows, events)
      end
    end
  end)
end)

describe("split", function()
  it("gives text in the zone", function()
    local lines = {}
    for w in window.split { from = "2026-11-01", to = "2026-11-01", max = "8h", edges = "[)",
      zone = "America/New_York" } do
      lines[#lines + 1] = ("%d/%d %s %s"):format(w.index, w.count, w.from, w.to)
      assert.is_true(w.ends > w.starts)
    end
    assert.same({ "1/4 2026-11-01T00:00:00-04:00 2026-11-01T07:00:00-05:00",
      "2/4 2026-11-01T07:00:00-05:00 2026-11-01T15:00:00-05:00",
      "3/4 2026-11-01T15:00:00-05:00 2026-11-01T23:00:00-05:00",
      "4/4 2026-11-01T23:00:00-05:00 2026-11-02T00:00:00-05:00" }, lines)
  end)

  it("covers a range of any number of windows without a list", function()
    local count, last = 0, nil
    for w in window.split { from = "2026-11-01", to = "2026-11-02", max = 5 } do
      count, last = count + 1, w
    end
    assert.equal(34560, count)
    assert.equal("2026-11-03T00:00:00Z", last.to)
  end)

  it("knows naive times", function()
    local w = window.split { date = "2026-11-19", max = "24h", edges = "(]", kind = "naive" } ()
    assert.equal("2026-11-18T23:59:59", w.from)
    assert.equal("2026-11-19T23:59:59", w.to)
  end)

  it("raises at the caller's line", function()
    local bad = { { {}, "from: missing" }, { { date = "2026-02-30" }, "2026-02-30" },
      { { date = "today", frm = 1, too = 2 }, "unknown option frm, too" },
      { { date = "today", zone = "Mars" }, "Mars" }, { { date = "today", max = "8" }, "max" },
      { { date = "today", edges = "x" }, "edges" }, { { date = "today", kind = "date" }, "kind" },
      { { date = "0000-01-01", edges = "(]" }, "years" }, { "today", "expected a table" },
      { { from = "today", to = "yesterday" }, "from is after to" } }
    for _, case in ipairs(bad) do
      local ok, message = pcall(function()
        window.split(case[1])
      end)
      assert.is_false(ok)
      assert.truthy(message:find("window_spec.lua:%d+: window.split: "), message)
      assert.truthy(message:find(case[2], 1, true), message)
    end
  end)
end)
