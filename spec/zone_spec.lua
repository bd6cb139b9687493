-- Time zones: TZif files written here byte by byte, POSIX rules, the system's
-- own database, and local times that occur twice or never.

local zone = require "garner.zone"

local function int32(n)
  if n < 0 then n = n + 4294967296 end
  return string.char(math.floor(n / 16777216) % 256, math.floor(n / 65536) % 256,
    math.floor(n / 256) % 256, n % 256)
end

local function int64(n)
  local high = math.floor(n / 4294967296)
  return int32(high) .. int32(n - high * 4294967296 >= 2147483648
    and n - high * 4294967296 - 4294967296 or n - high * 4294967296)
end

-- `spec`: types = { offsets }, times = { { epoch, type } }, footer, leaps.
local function block(version, size, spec)
  local times, kinds, types = {}, {}, {}
  for i, t in ipairs(spec.times) do
    times[i], kinds[i] = (size == 8 and int64 or int32)(t[1]), string.char(t[2])
  end
  for i, offset in ipairs(spec.types) do types[i] = int32(offset) .. "\0\0" end
  local leaps = spec.leaps and ((size == 8 and int64 or int32)(78796800) .. int32(1)) or ""
  return "TZif" .. version .. ("\0"):rep(15) .. int32(0) .. int32(0) .. int32(spec.leaps and 1 or 0)
    .. int32(#times) .. int32(#types) .. int32(4) .. table.concat(times) .. table.concat(kinds)
    .. table.concat(types) .. "LMT\0" .. leaps
end

local function version2(spec, version)
  return block(version or "2", 4, { times = {}, types = { 0 } }) .. block(version or "2", 8, spec)
    .. "\n" .. (spec.footer or "") .. "\n"
end

local SPRING, AUTUMN = 1774746000, 1792890000 -- Berlin 2026-03-29 and 2026-10-25, both 01:00 UTC
local BERLIN = { types = { 3208, 3600, 7200 },
  times = { { -2422054408, 1 }, { SPRING, 2 }, { AUTUMN, 1 } },
  footer = "CET-1CEST,M3.5.0,M10.5.0/3" }

describe("the calendar", function()
  it("goes both ways over four hundred years and around year 0", function()
    for _, first in ipairs { -719600, -719528, 0, 146097 } do
      for days = first, first + 1500 do
        local y, m, d = zone.civil(days)
        assert.equal(days, zone.days(y, m, d))
      end
    end
    assert.equal(0, zone.days(1970, 1, 1))
    assert.equal(-719528, zone.days(0, 1, 1))
    assert.equal(2932896, zone.days(9999, 12, 31))
    assert.equal(zone.days(2024, 2, 29) + 1, zone.days(2024, 3, 1))
    assert.equal(zone.days(1900, 2, 28) + 1, zone.days(1900, 3, 1))
  end)
end)

describe("names of zones", function()
  it("knows UTC and offsets", function()
    assert.equal(zone.utc, zone.get("UTC"))
    assert.equal(zone.utc, zone.get("z"))
    assert.equal(zone.utc, zone.get("-00:00"))
    assert.equal(28800, zone.get("+08:00"):offset(0))
    assert.equal("+08:00", zone.get("+0800").name)
    assert.equal(-12600, zone.get("-03:30"):offset(0))
    assert.equal(50400, zone.get("+14"):offset(0))
    assert.equal("+08:00", tostring(zone.get("+08:00")))
  end)

  it("refuses what is no name before it touches a file", function()
    local open = io.open
    local opened = 0
    io.open = function(...) opened = opened + 1 return open(...) end -- luacheck: ignore 122
    local bad = { "", "../etc/passwd", "Asia/../../etc/passwd", "/etc/passwd", "Asia//Taipei",
      "Asia/", "a\0b", "Asia/Tai pei", "+25:00", "+08:60", "+8", "8", ("a"):rep(101), 5, {} }
    local messages = {}
    for i, name in ipairs(bad) do
      local found, message = zone.get(name)
      messages[i] = found == nil and type(message) == "string"
    end
    io.open = open -- luacheck: ignore 122
    for i = 1, #bad do assert.is_true(messages[i], tostring(bad[i])) end
    assert.equal(0, opened)
  end)

  it("says where it looked for an unknown one", function()
    local found, message = zone.get("Asia/Nowhere")
    assert.is_nil(found)
    assert.truthy(message:find("no such time zone", 1, true))
    assert.truthy(message:find("TZDIR", 1, true))
    -- A folder is no zone.
    assert.is_nil((zone.get("Asia")))
  end)

  it("takes the C library's word for local time", function()
    local here = zone.get("local")
    for _, epoch in ipairs { 0, 1000000000, 1774746000, 1792890000 } do
      local t = os.date("*t", epoch)
      assert.equal(epoch + here:offset(epoch),
        zone.days(t.year, t.month, t.day) * 86400 + t.hour * 3600 + t.min * 60 + t.sec)
    end
  end)
end)

describe("TZif", function()
  it("reads version 2 with its footer", function()
    local berlin = assert(zone.read(version2(BERLIN), "Test/Berlin"))
    assert.equal("Test/Berlin", berlin.name)
    assert.equal(3208, berlin:offset(-3000000000))
    assert.equal(3600, berlin:offset(SPRING - 1))
    assert.equal(7200, berlin:offset(SPRING))
    assert.equal(7200, berlin:offset(AUTUMN - 0.001))
    assert.equal(3600, berlin:offset(AUTUMN))
    -- 2050-07-01 and 2050-12-01 are beyond the table.
    assert.equal(7200, berlin:offset(2540246400))
    assert.equal(3600, berlin:offset(2553465600))
  end)

  it("reads version 1, which ends with its table", function()
    local v1 = block("\0", 4, { types = { 0, 3600 }, times = { { -100, 1 }, { 100, 0 } } })
    local z = assert(zone.read(v1, "v1"))
    assert.equal(0, z:offset(-101))
    assert.equal(3600, z:offset(-100))
    assert.equal(3600, z:offset(99))
    assert.equal(0, z:offset(4000000000))
  end)

  it("reads files without transitions or without a footer", function()
    assert.equal(3600, zone.read(version2 { types = { 0 }, times = {}, footer = "XXX-1" },
      "a"):offset(5))
    assert.equal(28800, zone.read(version2 { types = { 28800 }, times = {} }, "b"):offset(5))
    assert.equal(60, zone.read(version2 { types = { 0, 60 }, times = { { 0, 1 } } },
      "c"):offset(9e9))
  end)

  it("refuses damage and leap seconds", function()
    local good = version2(BERLIN)
    for length = 0, #good - 1 do
      assert.is_nil((zone.read(good:sub(1, length), "cut")), "cut at " .. length)
    end
    local bad = {
      version2 { types = { 0 }, times = { { 0, 7 } } },
      version2 { types = { 0 }, times = { { 9, 0 }, { 9, 0 } } },
      version2 { types = { 100000 }, times = {} },
      version2 { types = {}, times = {} },
      version2 { types = { 0 }, times = {}, footer = "nonsense" },
      "TZif2" .. ("\0"):rep(15) .. ("\255"):rep(24),
    }
    for i, data in ipairs(bad) do
      local found, message = zone.read(data, "bad")
      assert.is_nil(found, "number " .. i)
      assert.truthy(message:find("damaged", 1, true))
    end
    local _, message = zone.read(version2 { types = { 0 }, times = {}, leaps = true }, "right/UTC")
    assert.truthy(message:find("leap seconds", 1, true))
  end)

  it("is read from TZDIR", function()
    local folder = os.tmpname()
    os.remove(folder)
    local name = folder:match("([^/]*)$")
    local prefix = folder:sub(1, -#name - 2)
    name = name:gsub("[^%w_]", "")
    local path = prefix .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(version2(BERLIN))
    file:close()
    local getenv = os.getenv
    os.getenv = function(key) -- luacheck: ignore 122
      if key == "TZDIR" then return prefix end
      return getenv(key)
    end
    local found, message = zone.get(name)
    local missing = zone.get("Europe/Berlin")
    os.getenv = getenv -- luacheck: ignore 122
    os.remove(path)
    assert.is_nil(message)
    assert.equal(7200, found:offset(SPRING))
    assert.is_nil(missing)
  end)

  it("agrees with what is known of the system's zones", function()
    local known = {
      { "Asia/Taipei", 1763510400, 28800 }, { "America/New_York", 1772953199, -18000 },
      { "America/New_York", 1772953200, -14400 }, { "America/New_York", 1793512800, -18000 },
      { "Europe/Berlin", SPRING, 7200 }, { "Asia/Kolkata", 0, 19800 },
      { "Australia/Lord_Howe", 1767225600, 39600 }, { "Europe/Dublin", 1767225600, 0 },
      { "America/New_York", 4118061600, -14400 }, { "Pacific/Kiritimati", 1767225600, 50400 },
    }
    for _, k in ipairs(known) do
      local z = assert(zone.get(k[1]))
      assert.equal(k[3], z:offset(k[2]), k[1] .. " " .. k[2])
    end
    assert.equal(zone.get("Asia/Taipei"), zone.get("Asia/Taipei"))
  end)
end)

describe("POSIX rules", function()
  it("have months, Julian days, plain days and odd times", function()
    local function at(rule, y, m, d, h)
      return assert(zone.posix(rule)):offset(zone.days(y, m, d) * 86400 + (h or 0) * 3600)
    end
    assert.equal(-18000, at("EST5", 2026, 7, 1))
    assert.equal(-14400, at("EST5EDT", 2026, 7, 1))
    assert.equal(-12600, at("<-0330>3:30", 2026, 7, 1))
    assert.equal(-18000, at("EST5EDT,M3.2.0,M11.1.0", 2026, 3, 8, 6))
    assert.equal(-14400, at("EST5EDT,M3.2.0,M11.1.0", 2026, 3, 8, 7))
    -- The southern summer goes over the new year.
    assert.equal(39600, at("AEST-10AEDT,M10.1.0,M4.1.0/3", 2026, 1, 1))
    assert.equal(36000, at("AEST-10AEDT,M10.1.0,M4.1.0/3", 2026, 7, 1))
    -- J60 is 1 March in every year, day 59 is 29 February in a leap year.
    assert.equal(0, at("AAA0BBB,J60/0,J300/0", 2024, 2, 29, 23))
    assert.equal(3600, at("AAA0BBB,J60/0,J300/0", 2024, 3, 1, 0))
    assert.equal(3600, at("AAA0BBB,J60/0,J300/0", 2023, 3, 1, 0))
    assert.equal(3600, at("AAA0BBB,59/0,300/0", 2024, 2, 29, 0))
    assert.equal(0, at("AAA0BBB,59/0,300/0", 2023, 2, 28, 23))
    -- Negative and large times (version 3), negative and endless summer time.
    assert.equal(-7200, at("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2026, 3, 29, 0))
    assert.equal(-3600, at("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 2026, 3, 29, 1))
    assert.equal(0, at("IST-1GMT0,M10.5.0,M3.5.0/1", 2026, 1, 1))
    assert.equal(3600, at("IST-1GMT0,M10.5.0,M3.5.0/1", 2026, 7, 1))
    for day = 1, 365, 7 do
      assert.equal(-10800, at("XXX3EDT4,0/0,J365/23", 2026, 1, day) + 3600)
    end
  end)

  it("are refused when malformed", function()
    for _, text in ipairs { "", "E5", "EST", "EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0",
      "EST5EDT,M3.2.7,M11.1.0", "EST5EDT,J0,J365", "EST5EDT,366,1", "EST5EDT,M3.2.0,M11.1.0x",
      "EST5EDT,M3.2.0/,M11.1.0", "<EST5" } do
      assert.is_nil((zone.posix(text)), text)
    end
  end)
end)

describe("local times", function()
  local berlin = assert(zone.read(version2(BERLIN), "Test/Berlin"))

  it("that are skipped move on by the gap", function()
    assert.equal(SPRING - 1, berlin:epoch(2026, 3, 29, 1, 59, 59))
    assert.equal(SPRING, berlin:epoch(2026, 3, 29, 2, 0, 0))
    assert.equal(SPRING + 1800, berlin:epoch(2026, 3, 29, 2, 30, 0))
    assert.equal(SPRING, berlin:epoch(2026, 3, 29, 3, 0, 0))
  end)

  it("that occur twice are the first of both", function()
    assert.equal(AUTUMN - 3600, berlin:epoch(2026, 10, 25, 2, 0, 0))
    assert.equal(AUTUMN - 1, berlin:epoch(2026, 10, 25, 2, 59, 59))
    assert.equal(AUTUMN + 3600, berlin:epoch(2026, 10, 25, 3, 0, 0))
    assert.equal(AUTUMN - 3599.75, berlin:epoch(2026, 10, 25, 2, 0, 0.25))
  end)

  it("make days of 23 and 25 hours", function()
    assert.equal(23 * 3600, berlin:day(2026, 3, 30) - berlin:day(2026, 3, 29))
    assert.equal(25 * 3600, berlin:day(2026, 10, 26) - berlin:day(2026, 10, 25))
    assert.equal(24 * 3600, berlin:day(2027, 1, 1) - berlin:day(2026, 12, 31))
  end)

  it("begin a day whose midnight is skipped at the change", function()
    -- Sao Paulo 2018-11-04: 00:00 became 01:00. Toronto 1919-03-30: 23:30 became 00:30.
    local paulo = assert(zone.get("America/Sao_Paulo"))
    assert.equal(1541300400, paulo:day(2018, 11, 4))
    assert.equal(23 * 3600, paulo:day(2018, 11, 5) - paulo:day(2018, 11, 4))
    local toronto = assert(zone.get("America/Toronto"))
    local midnight = zone.days(1919, 3, 31) * 86400
    assert.equal(midnight - 1800 + 5 * 3600, toronto:day(1919, 3, 31))
    assert.equal(midnight + 5 * 3600, toronto:epoch(1919, 3, 31))
  end)

  it("have no 30 December 2011 in Samoa", function()
    local apia = assert(zone.get("Pacific/Apia"))
    assert.equal(apia:day(2011, 12, 30), apia:day(2011, 12, 31))
    assert.equal(86400, apia:day(2011, 12, 30) - apia:day(2011, 12, 29))
  end)

  it("make days that follow each other without gap or overlap, in any zone", function()
    for _, name in ipairs { "America/St_Johns", "Africa/Casablanca", "Asia/Gaza", "Pacific/Apia",
      "Australia/Lord_Howe", "Antarctica/Troll", "America/Caracas", "+14:00", "local" } do
      local z = assert(zone.get(name))
      for days = zone.days(2006, 1, 1), zone.days(2016, 1, 1), 3 do
        local y, m, d = zone.civil(days)
        local length = z:day(y, m, d + 1) - z:day(y, m, d)
        assert.is_true(length >= 0 and length <= 86400 * 2, name)
        -- The first instant is of that day (or of the next, if it was skipped).
        local start = z:day(y, m, d)
        local own = math.floor((start + z:offset(start)) / 86400)
        assert.is_true(own == days or (length == 0 and own == days + 1), name .. " " .. days)
      end
    end
  end)
end)
