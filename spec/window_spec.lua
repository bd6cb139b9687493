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

  it("lies on a grid, where one is wanted", function()
    local options = { max = "8h", align = "1h", settled = 20 * 3600 + 59 }
    local windows = window.plan(range_of(2 * 3600 + 100, 21 * 3600 + 5), options)
    local hours = {}
    for i, w in ipairs(windows) do
      hours[i] = ("%g-%g"):format(w.send_from / 3600, w.send_to / 3600)
      assert.equal(i < #windows, w.whole)
    end
    assert.equal("2-3 3-4 4-5 5-6 6-7 7-8 8-16 16-17 17-18 18-19 19-20 20-21.0014",
      table.concat(hours, " "))
    assert.equal(2 * 3600 + 100, windows[1].from)
    assert.equal(21 * 3600 + 5, windows[#windows].to)
    -- The tail is one window from the grid on, however short the range is.
    windows = window.plan(range_of(20 * 3600 + 1800, 20 * 3600 + 1900), options)
    assert.equal("1 73800 73900 72000 73900", serialize(windows))
    -- Past data is asked for whole.
    windows = window.plan(range_of(3600 + 5, 3600 + 6), { max = "8h", align = "1h",
      settled = 86400 })
    assert.equal("1 3605 3606 3600 7200", serialize(windows))
    -- Days before months, so that a month that is not over takes few.
    windows = window.plan(range_of(0, 86400 * 62 + 7200), { max = "30d", align = "1h" })
    assert.equal(2 + 2 + 2, #windows)
    for message, given in pairs { ["longer than"] = { max = 60, align = 3600 },
      ["multiple"] = { align = 90, granularity = 60 }, ["align:"] = { align = "x" },
      ["at most"] = { align = 1, max = 1 } } do
      local none, why = window.plan(range_of(0, 2 * 86400), given)
      assert.is_nil(none)
      assert.truthy(why:find(message, 1, true), why)
    end
  end)

  it("on a grid asks for every event, by windows that all ranges share", function()
    seed = 20261122
    for _ = 1, 150 do
      local grain, edges = pick { 1, 1, 60, 0.25 }, pick { "[)", "[]", "(]", "()" }
      local align = grain * (2 + random(30))
      local options = { edges = edges, granularity = grain, align = align,
        max = pick { align * (2 + random(40)), align + 2 * grain } }
      local base = 1763510400 + random(86400)
      options.settled = base + random(math.floor(options.max * 20))
      local known, cells = {}, 0
      for _ = 1, 4 do
        local from = base + random(math.floor(options.max * 12) + 1)
        local range = range_of(from, from + 1 + random(math.floor(options.max * 9)))
        local windows = window.plan(range, options)
        if windows then
          check_plan(range, options, windows)
          for i = 1, 40 do
            local at = range.from + (range.to - range.from) * (i - 1) / 40
            at = math.floor(at / grain) * grain
            if at >= range.from then
              local seen = 0
              for _, w in ipairs(windows) do
                seen = seen + #serve({ at }, edges, w.send_from, w.send_to)
              end
              demand(seen >= 1 and (seen == 1 or edges == "[]"), edges, "at", at, "seen", seen)
            end
          end
          for _, w in ipairs(windows) do
            local key = w.send_from .. " " .. w.send_to
            cells = cells + (w.whole and 1 or 0)
            known[key] = w.whole and (known[key] or 0) + 1 or known[key]
            demand(not w.whole or (w.send_to - w.send_from) <= options.max, key)
          end
        end
      end
      local kinds = 0
      for _ in pairs(known) do kinds = kinds + 1 end
      demand(cells == 0 or kinds <= cells, "cells")
    end
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
