-- Dates, instants, durations, and what people mean by a range.

local time = require "garner.time"
local zone = require "garner.zone"

-- 2026-11-22T10:20:30.5Z, a Sunday.
local NOW = 1795342830.5

local function range(spec, options)
  options = options or {}
  options.now = options.now or NOW
  return time.range(spec, options)
end

local function refused(spec, options, ...)
  local r, message = range(spec, options)
  assert.is_nil(r)
  for _, part in ipairs { ... } do
    assert.truthy(message:find(part, 1, true), ("%q lacks %q"):format(message, part))
  end
end

-- Numbers that are whole must print so: text for requests is made from them.
local function plain(n) return tostring(n):find("^%-?%d+$") ~= nil end

describe("durations", function()
  it("are seconds or text", function()
    local good = { { 0, 0 }, { 1.5, 1.5 }, { "90s", 90 }, { "15m", 900 }, { "8h", 28800 },
      { "3d", 259200 }, { "250ms", 0.25 }, { "1.5h", 5400 }, { "1h30m", 5400 }, { "0s", 0 },
      { 10.0, 10 } }
    for _, g in ipairs(good) do
      local seconds = assert(time.duration(g[1]))
      assert.equal(g[2], seconds)
      assert.is_true(plain(seconds) or seconds ~= math.floor(seconds), tostring(seconds))
    end
  end)

  it("refuse anything else", function()
    for _, bad in ipairs { -1, 0 / 0, math.huge, -math.huge, 1e300, "", "5", "h", "-5s", "5 s",
      "5S", "5w", "1e3s", "5s ", ".5s", "99999999999d", true, {} } do
      local seconds, message = time.duration(bad)
      assert.is_nil(seconds, tostring(bad))
      assert.equal("string", type(message))
    end
    assert.is_nil((time.duration(nil)))
    local _, message = time.duration("5")
    assert.truthy(message:find('"5"', 1, true))
  end)
end)

describe("the clock", function()
  it("is the system's until it is set", function()
    assert.is_true(math.abs(time.now() - os.time()) <= 2)
    time.set_clock(function() return 1000 end)
    local set, today = time.now(), time.today()
    time.set_clock(nil)
    assert.equal(1000, set)
    assert.equal("1970-01-01", today)
    assert.is_true(time.now() > 1000)
    assert.has_error(function() time.set_clock(5) end)
  end)

  it("gives today in a zone", function()
    time.set_clock(function() return NOW end)
    local utc, kiritimati, bad = time.today(), time.today("+14:00"), time.today("Nowhere/Else")
    time.set_clock(nil)
    assert.equal("2026-11-22", utc)
    assert.equal("2026-11-23", kiritimati)
    assert.is_nil(bad)
  end)
end)

describe("RFC 3339 text", function()
  it("is read", function()
    local good = {
      { "1985-04-12T23:20:50.52Z", 482196050.52 }, { "1996-12-19T16:39:57-08:00", 851042397 },
      { "1990-12-31T23:59:60Z", 662688000 }, { "1990-12-31T15:59:60-08:00", 662688000 },
      { "2017-01-01T05:29:60+05:30", 1483228800 },
      { "1937-01-01T12:00:27.87+00:20", -1041337172.13 },
      { "2026-11-19t08:30:00z", 1795077000 }, { "2026-11-19 08:30:00Z", 1795077000 },
      { "2026-11-19T08:30:00+14:00", 1795077000 - 50400 },
      { "2026-11-19T08:30:00-00:00", 1795077000 },
      { "2026-11-19T08:30:00+23:59", 1795077000 - 86340 },
      { "2026-11-19T08:30:00.123456789123Z", 1795077000.123456 },
      { "2026-11-19T08:30:00.000000999Z", 1795077000 },
      { "0000-01-01T00:00:00Z", -62167219200 }, { "9999-12-31T23:59:59Z", 253402300799 },
      { "2024-02-29T00:00:00Z", 1709164800 }, { "2000-02-29T00:00:00Z", 951782400 },
    }
    for _, g in ipairs(good) do
      local value = assert(time.parse(g[1]))
      assert.equal("instant", value.kind)
      assert.equal(g[2], value.epoch, g[1])
      assert.is_true(plain(value.epoch) or value.epoch ~= math.floor(value.epoch))
    end
    assert.equal("123456789123", time.parse("2026-11-19T08:30:00.123456789123Z").fraction)
    assert.equal(28800, time.parse("2026-11-19T08:30:00+08:00").offset)
  end)

  it("knows dates and times without an offset", function()
    assert.same({ kind = "date", year = 2024, month = 2, day = 29 }, time.parse("2024-02-29"))
    assert.same({ kind = "naive", year = 2020, month = 12, day = 30, hour = 15, min = 4, sec = 5 },
      time.parse("2020-12-30T15:04:05"))
    assert.equal("25", time.parse("2020-12-30T15:04:05.25").fraction)
    assert.truthy(time.parse("2016-12-31T23:59:60"))
  end)

  it("is refused where it is wrong", function()
    for _, bad in ipairs { "", "now", "2026", "2026-11", "2026-1-1", "26-11-19", "2026-02-30",
      "2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-11-00", "2026-11-31",
      "10000-01-01", "10000-01-01T00:00:00Z", "-001-01-01", "2026-11-19T", "2026-11-19T08",
      "2026-11-19T08:30", "2026-11-19T08:30Z", "2026-11-19T24:00:00Z", "2026-11-19T08:60:00Z",
      "2026-11-19T08:30:61Z", "2026-11-19T08:30:60Z", "2026-11-19T23:59:60Z",
      "2016-12-31T23:59:60+01:00", "2016-12-31T23:50:60", "2026-11-19T08:30:00.Z",
      "2026-11-19T08:30:00,5Z", "2026-11-19T08:30:00+08", "2026-11-19T08:30:00+0800",
      "2026-11-19T08:30:00+24:00", "2026-11-19T08:30:00+08:60", "2026-11-19T08:30:00 Z",
      " 2026-11-19", "2026-11-19 ", "2026-11-19\n", "2026-11-19\0", "2026-11-19_08:30:00Z",
      "2026/11/19", "20261119", "2026-11-19T08:30:00ZZ", "2026-11-19T08:30:00Z\n",
      "2026-W47-4", "２０２６-11-19" } do
      local value, message = time.parse(bad)
      assert.is_nil(value, bad)
      assert.equal("string", type(message), bad)
      assert.is_nil(message:find("%c"), bad)
    end
    local _, message = time.parse("2026-02-30")
    assert.truthy(message:find('"2026-02-30"', 1, true))
    assert.truthy(message:find("February 2026 has days 1 to 28", 1, true))
    assert.is_nil((time.parse(20261119)))
    assert.is_nil((time.parse(nil)))
    _, message = time.parse(("x"):rep(100000))
    assert.is_true(#message < 250)
  end)

  it("is written", function()
    assert.equal("1970-01-01T00:00:00Z", time.format(0))
    assert.equal("1969-12-31T23:59:59.500Z", time.format(-0.5))
    assert.equal("1970-01-01T08:00:00+08:00", time.format(0, "+08:00"))
    assert.equal("1969-12-31T20:30:00-03:30", time.format(0, zone.get("-03:30")))
    assert.equal("2026-11-19T08:30:00.123Z", time.format(1795077000.123))
    assert.equal("2026-11-19T08:30:00.123456Z", time.format(1795077000.123456))
    assert.equal("2026-11-19T08:30:00.000001Z", time.format(1795077000.000001))
    assert.equal("2026-11-19T08:30:00Z", time.format(1795077000.0000001))
    assert.equal("2026-11-19T08:30:01Z", time.format(1795077000.9999999))
    assert.equal("1970-01-01T00:00:01Z", time.format(0.9999999))
    assert.equal("0000-01-01T00:00:00Z", time.format(-62167219200))
    assert.equal("9999-12-31T23:59:59Z", time.format(253402300799))
    -- Paris kept 9 minutes and 21 seconds until 1911; the text stays the same instant.
    local old = time.format(-2000000000, "Europe/Paris")
    assert.equal(-2000000000, time.parse(old).epoch)
    assert.equal("+00:09", old:sub(-6))
  end)

  it("goes round", function()
    local seed = 7
    local function random(n) seed = seed * 16807 % 2147483647 return seed % n end
    local zones = { "UTC", "+08:00", "-09:30", "America/New_York", "Asia/Kathmandu" }
    for _ = 1, 500 do
      local epoch = random(4000000) * 1000 + random(1000) - 1000000000
      local micros = random(2) == 0 and 0 or random(1000000)
      local value = micros == 0 and epoch or epoch + micros / 1e6
      local text = time.format(value, zones[1 + random(#zones)])
      assert.equal(value, time.parse(text).epoch, text)
    end
  end)

  it("raises at the caller's line for what no text can say", function()
    for _, bad in ipairs { 253402300800, -62167219201, 1e300, 0 / 0, "0", math.huge } do
      local ok, message = pcall(function() time.format(bad) end)
      assert.is_false(ok, tostring(bad))
      assert.truthy(tostring(message):find("time_spec.lua:%d+: time.format: "), tostring(message))
    end
    assert.is_false(pcall(time.format, 0, "Nowhere/Else"))
  end)
end)

describe("date arithmetic", function()
  it("knows months and leap years", function()
    assert.equal("2024-02-29", time.date_add("2024-02-28", 1))
    assert.equal("2026-03-01", time.date_add("2026-02-28", 1))
    assert.equal("2025-12-31", time.date_add("2026-01-01", -1))
    assert.equal("2027-11-19", time.date_add("2026-11-19", 365))
    assert.equal("0000-01-01", time.date_add("0000-01-02", -1))
    assert.is_nil((time.date_add("9999-12-31", 1)))
    assert.is_nil((time.date_add("0000-01-01", -1)))
    assert.is_nil((time.date_add("2026-02-30", 1)))
    assert.is_nil((time.date_add("2026-02-03T00:00:00Z", 1)))
    assert.is_nil((time.date_add("2026-02-03", 0.5)))
    assert.is_nil((time.date_add("2026-02-03", 0 / 0)))
    assert.is_nil((time.date_add("2026-02-03", math.huge)))
  end)
end)

describe("a range of instants", function()
  it("ends after the day that to names, and at the instant that it names", function()
    local r = assert(range { from = "2026-11-19", to = "2026-11-20" })
    assert.equal("2026-11-19T00:00:00Z", r.from_text)
    assert.equal("2026-11-21T00:00:00Z", r.to_text)
    assert.equal(2 * 86400, r.to - r.from)
    assert.equal("instant", r.kind)
    assert.equal("UTC", r.zone.name)
    assert.is_true(plain(r.from) and plain(r.to))
    r = assert(range { from = "2026-11-19T10:00:00Z", to = "2026-11-19T10:00:01+00:00" })
    assert.equal(1, r.to - r.from)
    r = assert(range { date = "2026-11-19" })
    assert.equal(86400, r.to - r.from)
  end)

  it("is in the zone of the call, or of the client, or in UTC", function()
    local r = assert(range({ date = "2026-11-19", zone = "Asia/Taipei" }, { zone = "+01:00" }))
    assert.equal("2026-11-19T00:00:00+08:00", r.from_text)
    r = assert(range({ date = "2026-11-19" }, { zone = "+01:00" }))
    assert.equal("2026-11-19T00:00:00+01:00", r.from_text)
    r = assert(range { from = "2026-11-19T10:00:00", to = "2026-11-19T20:00:00+08:00",
      zone = "+01:00" })
    assert.equal(3 * 3600, r.to - r.from)
    assert.equal("2026-11-19T13:00:00+01:00", r.to_text)
    r = assert(range { date = "2026-11-19", zone = "local" })
    assert.equal("local", r.zone.name)
  end)

  it("has days of 23 and 25 hours", function()
    local r = assert(range { date = "2026-03-08", zone = "America/New_York" })
    assert.equal(23 * 3600, r.to - r.from)
    assert.equal("2026-03-08T00:00:00-05:00", r.from_text)
    assert.equal("2026-03-09T00:00:00-04:00", r.to_text)
    r = assert(range { date = "2026-11-01", zone = "America/New_York" })
    assert.equal(25 * 3600, r.to - r.from)
    refused({ date = "2011-12-30", zone = "Pacific/Apia" }, nil, "2011-12-30", "no such day",
      "Pacific/Apia")
  end)

  it("resolves words against one clock", function()
    local r = assert(range { from = "-24h", to = "now" })
    assert.equal("2026-11-21T10:20:30Z", r.from_text)
    assert.equal("2026-11-22T10:20:30Z", r.to_text)
    r = assert(range { from = "yesterday", to = "today" })
    assert.equal("2026-11-21T00:00:00Z", r.from_text)
    assert.equal("2026-11-23T00:00:00Z", r.to_text)
    r = assert(range { from = "-7d", to = "-15m" })
    assert.equal("2026-11-15T10:20:30Z", r.from_text)
    assert.equal("2026-11-22T10:05:30Z", r.to_text)
    r = assert(range { date = "today", zone = "+14:00" })
    assert.equal("2026-11-23T00:00:00+14:00", r.from_text)
    r = assert(range { date = "-2d" })
    assert.equal("2026-11-20T00:00:00Z", r.from_text)
    local reads = 0
    time.set_clock(function() reads = reads + 1 return NOW + reads end)
    r = time.range { from = "-1h", to = "now" }
    time.set_clock(nil)
    assert.equal(3600, r.to - r.from)
    assert.equal(1, reads)
  end)

  it("takes epochs, and keeps microseconds", function()
    local r = assert(range { from = 1795077000.0, to = 1795077000.25 })
    assert.is_true(plain(r.from))
    assert.equal("2026-11-19T08:30:00.250Z", r.to_text)
    r = assert(range { from = "2026-11-19T08:30:00.000001Z", to = "2026-11-19T08:30:00.999999Z" })
    assert.equal("2026-11-19T08:30:00.000001Z", r.from_text)
    assert.equal("2026-11-19T08:30:00.999999Z", r.to_text)
    -- Finer than that widens the range.
    r = assert(range { from = "2026-11-19T08:30:00.0000019Z", to = "2026-11-19T08:30:00.0000021Z" })
    assert.equal("2026-11-19T08:30:00.000001Z", r.from_text)
    assert.equal("2026-11-19T08:30:00.000003Z", r.to_text)
    r = assert(range { from = "2026-11-19T08:30:00Z", to = "2026-11-19T08:30:00.9999999Z" })
    assert.equal("2026-11-19T08:30:01Z", r.to_text)
    refused({ from = 1795077000000, to = "now" }, nil, "from", "milliseconds")
    refused({ from = 0 / 0, to = "now" }, nil, "from")
  end)

  it("is refused with the option and its text", function()
    refused({}, nil, "from: missing")
    refused({ from = "today" }, nil, "to: missing")
    refused({ from = "2026-02-30", to = "today" }, nil, "from:", '"2026-02-30"')
    refused({ from = "today", to = "2026-13-01" }, nil, "to:", '"2026-13-01"', "no month 13")
    refused({ from = "tomorrow", to = "today" }, nil, "from:", '"tomorrow"', '"yesterday"')
    refused({ from = "-24x", to = "today" }, nil, "from:", '"-24x"')
    refused({ from = "-", to = "today" }, nil, "from:", '"-"')
    refused({ from = true, to = "today" }, nil, "from:", "boolean")
    refused({ from = "2026-11-20", to = "2026-11-19" }, nil, "2026-11-20", "2026-11-19",
      "from is after to")
    refused({ from = "now", to = "now" }, nil, "empty")
    refused({ from = "2026-11-19T00:00:00Z", to = "2026-11-19T08:00:00+08:00" }, nil, "empty")
    refused({ date = "today", from = "today" }, nil, "date:", "not both")
    refused({ date = "now" }, nil, "date:", "not a day")
    refused({ date = "2026-11-19T00:00:00Z" }, nil, "date:", "not a day")
    refused({ date = "-24h30m" }, nil, "date:", "number of days")
    refused({ date = "9999-12-31" }, nil, "date", "years 0000 to 9999")
    refused({ date = "today", zone = "Mars/Olympus" }, nil, "zone:", "Mars/Olympus")
    refused({ date = "today", zone = false }, nil, "zone:")
    refused({ date = "today" }, { zone = 5 }, "zone:")
    refused({ from = "2026-11-19", to = "2026-11-19T00:00:00Z" }, nil, "empty")
    assert.has_error(function() time.range("today") end)
    assert.has_error(function() time.range({ date = "today" }, { kind = "dates" }) end)
  end)
end)

describe("a naive range", function()
  local naive = { kind = "naive" }

  it("is never shifted", function()
    local r = assert(range({ from = "2026-11-19", to = "2026-11-19T23:30:00" }, naive))
    assert.equal("naive", r.kind)
    assert.equal("2026-11-19T00:00:00", r.from_text)
    assert.equal("2026-11-19T23:30:00", r.to_text)
    assert.equal(zone.days(2026, 11, 19) * 86400, r.from)
    assert.equal("2026-11-19T00:00:00", time.format(r.from, r.zone))
    assert.is_nil(r.local_zone)
    -- Days have 24 hours here, whatever a zone does to them.
    r = assert(range({ date = "2026-03-08", zone = "America/New_York" }, { kind = "naive" }))
    assert.equal(86400, r.to - r.from)
    assert.equal("America/New_York", r.local_zone.name)
  end)

  it("refuses an offset unless a zone says where to", function()
    refused({ from = "2026-11-19T00:00:00Z", to = "2026-11-20" }, { kind = "naive" }, "from:",
      "2026-11-19T00:00:00Z", "zone")
    refused({ from = 1795077000, to = "2026-11-20" }, { kind = "naive" }, "from:", "zone")
    local r = assert(range({ from = "2026-11-19T00:00:00Z", to = 1795077000, zone = "Asia/Taipei" },
      { kind = "naive" }))
    assert.equal("2026-11-19T08:00:00", r.from_text)
    assert.equal("2026-11-19T16:30:00", r.to_text)
    r = assert(range({ from = "2026-11-19T00:00:00Z", to = "2026-11-19" },
      { kind = "naive", zone = "+08:00" }))
    assert.equal("2026-11-19T08:00:00", r.from_text)
    assert.equal("2026-11-20T00:00:00", r.to_text)
  end)

  it("takes words from the zone", function()
    local r = assert(range({ from = "yesterday", to = "now" }, { kind = "naive" }))
    assert.equal("2026-11-21T00:00:00", r.from_text)
    assert.equal("2026-11-22T10:20:30", r.to_text)
    r = assert(range({ from = "today", to = "now", zone = "+14:00" }, { kind = "naive" }))
    assert.equal("2026-11-23T00:00:00", r.from_text)
    assert.equal("2026-11-23T00:20:30", r.to_text)
  end)
end)

describe("a range of dates", function()
  local function dates(spec, options)
    options = options or {}
    options.kind = "date"
    local r, message = range(spec, options)
    assert(r, message)
    return table.concat(r.dates, " "), r
  end

  it("lists them, leap days and month ends included", function()
    local list, r = dates { from = "2024-02-27", to = "2024-03-01" }
    assert.equal("2024-02-27 2024-02-28 2024-02-29 2024-03-01", list)
    assert.equal("2024-02-27", r.from_text)
    assert.equal("2024-03-01", r.to_text)
    assert.equal("2025-12-31 2026-01-01", (dates { from = "2025-12-31", to = "2026-01-01" }))
    assert.equal("2026-11-19", (dates { date = "2026-11-19" }))
    assert.equal("9999-12-31", (dates { date = "9999-12-31" }))
  end)

  it("is never shifted by a zone, but words are days there", function()
    assert.equal("2026-11-19", (dates { date = "2026-11-19", zone = "-08:00" }))
    assert.equal("2026-11-19 2026-11-20 2026-11-21", (dates { from = "-3d", to = "yesterday" }))
    assert.equal("2026-11-22 2026-11-23", (dates { from = "-1d", to = "today", zone = "+14:00" }))
    assert.equal("2026-11-22", (dates { date = "now" }))
  end)

  it("refuses instants, and more days than anybody means", function()
    refused({ from = "2026-11-19T00:00:00Z", to = "today" }, { kind = "date" }, "from:", "dates")
    refused({ from = "-36h", to = "today" }, { kind = "date" }, "from:", '"-36h"', "days")
    refused({ from = 1795077000, to = "today" }, { kind = "date" }, "from:")
    refused({ from = "2026-11-20", to = "2026-11-19" }, { kind = "date" }, "after")
    refused({ from = "0001-01-01", to = "9999-12-31" }, { kind = "date" }, "days")
  end)
end)
