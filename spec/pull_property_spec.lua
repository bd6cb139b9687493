-- Properties of whole pulls: whatever range, zone, edges, granularity and
-- longest window, the planned windows are the range, and every event of a vendor
-- that keeps its word comes out exactly as often as it happened. A failure
-- prints its seed: GARNER_SEED=n runs that case alone.
local driver = require "garner.driver"
local pull = require "garner.pull"
local pulls = require "spec.support.pulls"
local time = require "garner.time"
local window = require "garner.window"

local EDGES = { "[)", "[]", "(]", "()" }

local seed

-- The same numbers in every Lua, unlike math.random.
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

local function pick(list) return list[1 + random(#list)] end

local function micros(epoch) return math.floor(epoch * 1e6 + 0.5) end

-- What a user may have written -----------------------------------------------------

local ZONES = { "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia",
  "Asia/Kathmandu", "+08:00", "-03:30" }

-- Leap days, ends of months and years, days of 23, 25, 23.5 and 24.5 hours, and the day that
-- Samoa never had.
local DAYS = { "2024-02-28", "2024-02-29", "2023-02-28", "2026-03-08", "2026-11-01", "2026-03-29",
  "2026-10-25", "2026-10-04", "2026-04-05", "2011-12-29", "2011-12-31", "2025-12-31", "2026-01-31",
  "2000-02-29", "2100-02-28", "2026-11-19" }

local function clock_text()
  local text = ("T%02d:%02d:%02d"):format(random(24), random(60), random(60))
  local kind = random(6)
  if kind == 0 then return "T00:00:00" end
  if kind == 1 then return text .. (".%03d"):format(random(1000)) end
  if kind == 2 then return text .. (".%06d"):format(random(1000000)) end
  return text
end

local function asked()
  local day = pick(DAYS)
  local shape = random(4)
  if shape == 0 then return { date = day } end
  local later = assert(time.date_add(day, random(3)))
  if shape == 1 then return { from = day, to = later } end
  if shape == 2 then return { from = day .. clock_text(), to = later } end
  return { from = day .. clock_text(), to = assert(time.date_add(later, 1)) .. clock_text() }
end

-- A vendor -------------------------------------------------------------------------

-- The epoch of a text as a vendor reads it.
local function read(text, naive)
  return assert(time.parse(naive and text .. "Z" or text)).epoch
end

-- Which events lie between two texts, by the vendor's edges; in an order of its own.
local function answer(case, from_text, to_text)
  local from, to = micros(read(from_text, case.naive)), micros(read(to_text, case.naive))
  if case.max and to - from > micros(case.max) then error "a window is too long" end
  local rows = {}
  for _, event in ipairs(case.events) do
    local after = event.at > from or event.at == from and case.edges:sub(1, 1) == "["
    local before = event.at < to or event.at == to and case.edges:sub(2, 2) == "]"
    if after and before then
      local row = { kind = event.kind, value = event.value, time = event.time }
      table.insert(rows, case.newest_first and 1 or #rows + 1, row)
    end
  end
  return rows
end

local function new_pull(case)
  local range, windows = case.range, case.windows
  for _, each in ipairs(windows) do
    each.from_text, each.to_text = time.format(each.from, range.zone),
      time.format(each.to, range.zone)
  end
  local identity = function(row) return row.kind .. "@" .. row.time end
  return assert(pull.new {
    client = { log = function() end }, name = "events", windows = windows, from = range.from,
    to = range.to, from_text = range.from_text, to_text = range.to_text, zone_name = "",
    edges = case.edges, now = pulls.NOW * 3, concurrency = 1 + random(5),
    time = function(row) return read(row.time, case.naive) end,
    key = case.keyed and identity or nil,
    identity = case.keyed and function(row) return tostring(row.value) end or identity,
    fetch = function(each)
      driver.current().sleep(random(100) / 10)
      return { rows = answer(case, time.format(each.send_from, range.zone),
        time.format(each.send_to, range.zone)) }
    end,
  })
end

-- Events on all edges, beside them, and anywhere; few kinds, so that some are equal.
local function make_events(case)
  local range, grain = case.range, micros(case.grain)
  local first, last = micros(range.from), micros(range.to)
  local seen, events = {}, {}
  local function add(at)
    if case.on_grid then at = math.floor(at / grain) * grain end
    local kind = "k" .. random(2)
    local key = kind .. "@" .. ("%.0f"):format(at)
    if case.keyed and seen[key] then return end
    seen[key] = true
    events[#events + 1] = { at = at, kind = kind, value = random(1000),
      time = time.format(at / 1e6, range.zone) }
  end
  local function around(epoch)
    local at = micros(epoch)
    for step = -1, 1 do add(at + step * grain) end
    add(at)
    if random(2) == 0 then add(at + random(grain)) end
  end
  around(range.from)
  around(range.to)
  for _ = 1, math.min(#case.windows, 8) do
    local each = pick(case.windows)
    around(each.from)
    around(each.to)
    around(each.send_to)
  end
  for _ = 1, 30 do add(first + math.floor((last - first) * (random(1000) / 1000))) end
  return events
end

local function counts(rows, of)
  local out = {}
  for _, row in ipairs(rows) do
    local key = of(row)
    out[key] = (out[key] or 0) + 1
  end
  return out
end

local function compare(case, rows)
  local wanted = {}
  for _, event in ipairs(case.events) do
    if event.at >= micros(case.range.from) and event.at < micros(case.range.to) then
      wanted[#wanted + 1] = event
    end
  end
  local function of(row) return row.kind .. " " .. row.time .. " " .. row.value end
  local function of_keyless(row) return row.kind .. " " .. row.time end
  local by = case.keyed and of or of_keyless
  local want, got = counts(wanted, by), counts(rows, by)
  for key, count in pairs(want) do
    if got[key] ~= count then
      error(("%s happened %d times and came %s times"):format(key, count, tostring(got[key])), 0)
    end
  end
  for key in pairs(got) do
    if not want[key] then error(key .. " was not asked for", 0) end
  end
end

local function check_windows(case)
  local at, last = case.range.from, 0
  for index, each in ipairs(case.windows) do
    if each.from ~= at or each.to <= each.from then
      error(("window %d: %.6f .. %.6f after %.6f"):format(index, each.from, each.to, at), 0)
    end
    at, last = each.to, index
  end
  if at ~= case.range.to then error(("window %d ends at %.6f"):format(last, at), 0) end
end

-- One case; false where a range like this cannot be asked for.
local function run(case)
  local spec = asked()
  spec.zone = pick(ZONES)
  case.spec = spec
  local naive = random(4) == 0
  case.naive = naive
  if naive then spec.zone = nil end
  local range = time.range(spec, { kind = naive and "naive" or "instant" })
  if not range then return false end
  case.range, case.edges = range, pick(EDGES)
  case.grain = pick { 1, 1, 1, 60, 900, 0.25, 0.001, 0.000001 }
  -- A start that is left out needs a step in which nothing happens.
  case.on_grid = case.edges:sub(1, 1) == "("
  local span = range.to - range.from
  case.max = pick { 8 * 3600, 24 * 3600, 3600, 86399, math.max(1, math.floor(span / 7)),
    case.grain * (2 + random(30)) }
  if span / case.max > 60 then case.max = math.ceil(span / 60) end
  case.keyed, case.newest_first = random(3) == 0, random(2) == 0
  local windows = window.plan(range, { max = case.max, edges = case.edges,
    granularity = case.grain })
  if not windows then return false end
  case.windows = windows
  check_windows(case)
  case.events = make_events(case)
  local rows, err = new_pull(case):collect()
  if not rows then error(err, 0) end
  compare(case, rows)
  return true
end

local function describe_case(case, why)
  local spec = case.spec
  local parts = { ("seed %d: %s\n "):format(case.seed, tostring(why)),
    spec.date or spec.from .. " .. " .. spec.to }
  for _, name in ipairs { "naive", "edges", "grain", "max", "keyed" } do
    parts[#parts + 1] = ("%s %s"):format(name, tostring(case[name]))
  end
  return table.concat(parts, " ") .. " zone " .. tostring(spec.zone)
end

describe("a pull over any range", function()
  before_each(pulls.clock)
  after_each(function() driver.use "block" end)

  it("gives every event exactly as often as it happened", function()
    local only = tonumber(os.getenv "GARNER_SEED" or "")
    local cases, ran, by_edges = 300, 0, {}
    for number = only or 1, only or cases do
      local case = { seed = number }
      seed = number * 48271 % 2147483647
      for _ = 1, 5 do random(2) end
      local ok, did = pcall(run, case)
      if not ok then error(describe_case(case, did), 0) end
      if did then
        ran = ran + 1
        by_edges[case.edges] = (by_edges[case.edges] or 0) + 1
      end
    end
    if not only then
      assert.is_true(ran > cases * 0.8, ran .. " cases ran")
      for _, edges in ipairs(EDGES) do assert.is_true(by_edges[edges] > 30, edges) end
    end
  end)

  -- The plain ones by name, beside the random ones.
  for _, edges in ipairs(EDGES) do
    for _, keyed in ipairs { false, true } do
      it(("gives an event on an edge once, two equal ones twice: %s%s"):format(edges,
        keyed and ", with a key" or ""), function()
        local range = assert(time.range { date = "2026-11-01", zone = "America/New_York" })
        local case = { naive = false, range = range, edges = edges, grain = 1, max = 8 * 3600,
          keyed = keyed, seed = 0, spec = { date = "2026-11-01" }, events = {} }
        case.windows = assert(window.plan(range, { max = case.max, edges = edges }))
        seed = 1
        local function add(epoch, kind)
          table.insert(case.events, { at = micros(epoch), kind = kind, value = 1,
            time = time.format(epoch, range.zone) })
        end
        for _, each in ipairs(case.windows) do
          for _, epoch in ipairs { each.from, each.to - 1 } do
            add(epoch, "once")
            if not keyed then
              add(epoch, "twice")
              add(epoch, "twice")
            end
          end
        end
        add(range.to, "beyond")
        add(range.from - 1, "before")
        local rows = assert(new_pull(case):collect())
        compare(case, rows)
        assert.equal(#case.events - 2, #rows)
      end)
    end
  end
end)
