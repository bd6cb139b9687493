--- Time zones: how far local time is from UTC at an instant, and back.
-- Owns the calendar arithmetic, the reading of TZif files (RFC 8536) and the
-- POSIX rules in their footers. Must not read a clock, know a date's text or
-- decide what a range means: that is garner.time.
--
-- Local times that occur twice or never are resolved like this, everywhere:
--   * twice (clocks go back): the first of the two instants;
--   * never (clocks go forward): later by the length of the gap, so that
--     02:30 in a gap from 02:00 to 03:00 is 03:30;
--   * a day begins at the first instant of it; where its midnight is in a gap
--     that is the instant of the change.

local M = {}

local floor = math.floor

-- Fifty times the largest file of the tz database.
local MAX_FILE = 256 * 1024
local FOLDERS = { "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo",
  "/etc/zoneinfo" }

--- Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
---@param year integer any year, 0 included
---@param month integer 1 to 12, or 13 for the next January
---@param day integer may lie outside the month
---@return integer days
function M.days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = floor(year / 400)
  local year_of_era = year - era * 400
  -- The year is counted from March, which puts the leap day at its end.
  local shifted = month > 2 and month - 3 or month + 9
  local day_of_year = floor((153 * shifted + 2) / 5) + day - 1
  local day_of_era = year_of_era * 365 + floor(year_of_era / 4) - floor(year_of_era / 100)
    + day_of_year
  return era * 146097 + day_of_era - 719468
end

--- The date of a number of days since 1970-01-01; undoes `days`.
---@param days integer
---@return integer year
---@return integer month
---@return integer day
function M.civil(days)
  local z = days + 719468
  local era = floor(z / 146097)
  local day_of_era = z - era * 146097
  local year_of_era = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
    - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era
    - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local shifted = floor((5 * day_of_year + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local year = year_of_era + era * 400
  if month <= 2 then year = year + 1 end
  return year, month, day_of_year - floor((153 * shifted + 2) / 5) + 1
end

---@class garner.Zone
---@field name string what `get` was asked for, in its usual spelling
---@field fixed integer|nil seconds east of UTC where that never changes
local Zone = {}
Zone.__index = Zone
Zone.__tostring = function(self) return self.name end

--- Seconds that local time is ahead of UTC at an instant.
---@param epoch number seconds since 1970-01-01T00:00:00Z
---@return integer seconds
function Zone:offset(epoch)
  return self.fixed or self.lookup(floor(epoch))
end

-- Offsets in force around a local time. One that holds for less than half a
-- day would be missed; the tz database has none.
local STEPS = { -86400, -43200, 0, 43200, 86400 }

-- The first instant with local time `wall` (seconds as if it were UTC), or nil
-- and the offsets before and after the gap that swallows it.
local function resolve(zone, wall)
  local offsets, first = {}, nil
  for i = 1, #STEPS do
    local offset = zone:offset(wall + STEPS[i])
    offsets[i] = offset
    local epoch = wall - offset
    if zone:offset(epoch) == offset and (not first or epoch < first) then first = epoch end
  end
  if first then return first end
  for i = 2, #STEPS do
    local before, after = offsets[i - 1], offsets[i]
    if after > before and zone:offset(wall - after) == before
      and zone:offset(wall - before) == after then
      return nil, before, after
    end
  end
  return wall - offsets[3]
end

--- The instant of a local time. A time that occurs twice gives its first
--- instant, one that is skipped the instant later by the length of the gap.
---@param year integer
---@param month integer
---@param day integer
---@param hour? integer
---@param min? integer
---@param sec? number
---@return number epoch
function Zone:epoch(year, month, day, hour, min, sec)
  sec = sec or 0
  local whole = floor(sec)
  local wall = M.days(year, month, day) * 86400 + (hour or 0) * 3600 + (min or 0) * 60 + whole
  local epoch, before
  if self.fixed then
    epoch = wall - self.fixed
  else
    epoch, before = resolve(self, wall)
    epoch = epoch or wall - before
  end
  if sec ~= whole then return epoch + (sec - whole) end
  return epoch
end

--- The first instant of a local day. A day that a zone skipped altogether
--- begins where the next one does.
---@param year integer
---@param month integer
---@param day integer may lie outside the month
---@return integer epoch
function Zone:day(year, month, day)
  local wall = M.days(year, month, day) * 86400
  if self.fixed then return wall - self.fixed end
  local epoch, before, after = resolve(self, wall)
  if epoch then return epoch end
  local low, high = wall - after, wall - before
  while high - low > 1 do
    local middle = floor((low + high) / 2)
    if self:offset(middle) == after then high = middle else low = middle end
  end
  return high
end

local function make(name, fixed, lookup)
  return setmetatable({ name = name, fixed = fixed, lookup = lookup }, Zone)
end

--- UTC itself.
M.utc = make("UTC", 0)

--- Is this value a zone of this module?
---@param value any
---@return boolean
function M.is(value)
  return type(value) == "table" and getmetatable(value) == Zone
end

--- A zone that is always the same distance from UTC.
---@param seconds integer east of UTC
---@param name string
---@return garner.Zone
function M.fixed(seconds, name)
  return make(name, seconds)
end

-- POSIX rules ---------------------------------------------------------------

-- "hh[:mm[:ss]]" with an optional sign; nil if there is none at `at`.
local function read_hms(text, at)
  local sign, hour, after = text:match("^([+-]?)(%d%d?%d?)()", at)
  if not hour then return nil end
  local total = hour * 3600
  local unit = 60
  while unit >= 1 do
    local part, following = text:match("^:(%d%d)()", after)
    if not part then break end
    total, after, unit = total + part * unit, following, unit / 60
  end
  return floor(sign == "-" and -total or total), after
end

local function read_name(text, at)
  return text:match("^<[%w+-]+>()", at) or text:match("^%a%a%a+()", at)
end

-- One end of the summer time: a day rule and a local time of that day.
local function read_rule(text, at)
  local rule
  local month, week, weekday, after = text:match("^,M(%d%d?)%.(%d)%.(%d)()", at)
  if month then
    rule = { month = tonumber(month), week = tonumber(week), weekday = tonumber(weekday) }
    if rule.month < 1 or rule.month > 12 or rule.week < 1 or rule.week > 5
      or rule.weekday > 6 then
      return nil
    end
  else
    local julian, day, following = text:match("^,(J?)(%d%d?%d?)()", at)
    if not day then return nil end
    rule, after = { julian = julian == "J", day = tonumber(day) }, following
    if rule.day > 365 or (rule.julian and rule.day < 1) then return nil end
  end
  rule.time = 7200
  if text:sub(after, after) == "/" then
    rule.time, after = read_hms(text, after + 1)
    if not rule.time then return nil end
  end
  return rule, after
end

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

-- The local second (as if UTC) at which a rule applies in a year.
local function rule_at(rule, year)
  local day
  if rule.month then
    local first = M.days(year, rule.month, 1)
    -- 1970-01-01 was a Thursday.
    day = first + (rule.weekday - (first + 4)) % 7 + (rule.week - 1) * 7
    -- The fifth week means the last.
    if day >= M.days(year, rule.month + 1, 1) then day = day - 7 end
  else
    day = M.days(year, 1, 1) + rule.day
    if rule.julian then
      -- Julian days leave 29 February uncounted.
      day = (is_leap(year) and rule.day >= 60) and day or day - 1
    end
  end
  return day * 86400 + rule.time
end

local function posix_lookup(standard, summer, start, finish)
  return function(epoch)
    local year = M.civil(floor((epoch + standard) / 86400))
    local best, offset
    for y = year - 1, year + 1 do
      -- Ends before starts: where both fall together summer time never stops.
      local stop = rule_at(finish, y) - summer
      if stop <= epoch and (not best or stop >= best) then best, offset = stop, standard end
      local go = rule_at(start, y) - standard
      if go <= epoch and (not best or go >= best) then best, offset = go, summer end
    end
    return offset
  end
end

--- A zone from a POSIX TZ rule such as "CET-1CEST,M3.5.0,M10.5.0/3".
---@param text string
---@param name? string
---@return garner.Zone|nil zone
---@return string|nil message
function M.posix(text, name)
  local bad = "not a POSIX time zone rule"
  local at = read_name(text, 1)
  if not at then return nil, bad end
  local west, after = read_hms(text, at)
  if not west then return nil, bad end
  if after > #text then return make(name or text, -west) end
  at = read_name(text, after)
  if not at then return nil, bad end
  local summer = 3600 - west
  local explicit, following = read_hms(text, at)
  if explicit then summer, at = -explicit, following end
  -- Without rules the C library takes those of the United States.
  local rules = at > #text and ",M3.2.0,M11.1.0" or text:sub(at)
  local start, second = read_rule(rules, 1)
  if not start then return nil, bad end
  local finish, last = read_rule(rules, second)
  if not finish or last <= #rules then return nil, bad end
  return make(name or text, nil, posix_lookup(-west, summer, start, finish))
end

-- TZif ----------------------------------------------------------------------

local function read_uint32(data, at)
  local a, b, c, d = data:byte(at, at + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function read_int32(data, at)
  local n = read_uint32(data, at)
  return n >= 2147483648 and n - 4294967296 or n
end

local function read_int64(data, at)
  return read_int32(data, at) * 4294967296 + read_uint32(data, at + 4)
end

-- The counts of a header at `at`, the bytes its block takes and where it ends.
local function read_header(data, at, time_size)
  if #data < at + 43 or data:sub(at, at + 3) ~= "TZif" then return nil end
  local h = {
    isut = read_uint32(data, at + 20), isstd = read_uint32(data, at + 24),
    leaps = read_uint32(data, at + 28), times = read_uint32(data, at + 32),
    types = read_uint32(data, at + 36), chars = read_uint32(data, at + 40),
    body = at + 44,
  }
  h.finish = h.body + h.times * (time_size + 1) + h.types * 6 + h.chars
    + h.leaps * (time_size + 4) + h.isstd + h.isut
  if h.finish > #data + 1 or h.types < 1 or h.types > 256 then return nil end
  return h
end

-- Transition times, the offset each one begins, and the offset before them all.
local function read_block(data, h, time_size)
  local read_time = time_size == 8 and read_int64 or read_int32
  local types_at = h.body + h.times * (time_size + 1)
  local function offset_of(index)
    if index >= h.types then return nil end
    local offset = read_int32(data, types_at + index * 6)
    if offset < -93600 or offset > 93600 then return nil end
    return offset
  end
  local times, offsets = {}, {}
  for i = 1, h.times do
    times[i] = read_time(data, h.body + (i - 1) * time_size)
    offsets[i] = offset_of(data:byte(h.body + h.times * time_size + i - 1))
    if not offsets[i] or (i > 1 and times[i] <= times[i - 1]) then return nil end
  end
  return times, offsets, offset_of(0)
end

local function table_lookup(times, offsets, before, rule)
  local count = #times
  return function(epoch)
    if count == 0 then return rule and rule:offset(epoch) or before end
    if epoch < times[1] then return before end
    if rule and epoch >= times[count] then return rule:offset(epoch) end
    local low, high = 1, count
    while low < high do
      local middle = floor((low + high + 1) / 2)
      if times[middle] <= epoch then low = middle else high = middle - 1 end
    end
    return offsets[low]
  end
end

--- A zone from the bytes of a TZif file, version 1 or later. Beyond the table
--- the footer's rule applies, or else the last offset. Files that count leap
--- seconds (the "right" ones) are refused: epochs do not count them.
---@param data string
---@param name string
---@return garner.Zone|nil zone
---@return string|nil message
function M.read(data, name)
  if data:sub(1, 4) ~= "TZif" then return nil, "not a time zone file" end
  local broken = "the time zone file is damaged"
  local size = 4
  local h = read_header(data, 1, size)
  if not h then return nil, broken end
  local rule, message
  if data:byte(5) >= 50 then
    size = 8
    h = read_header(data, h.finish, size)
    if not h then return nil, broken end
    local footer = data:match("^\n([^\n]*)\n", h.finish)
    if not footer then return nil, broken end
    if footer ~= "" then
      rule, message = M.posix(footer)
      if not rule then return nil, broken .. ": its footer is " .. message end
    end
  end
  if h.leaps > 0 then return nil, "it counts leap seconds, which epochs do not" end
  local times, offsets, before = read_block(data, h, size)
  if not before then return nil, broken end
  return make(name, nil, table_lookup(times, offsets, before, rule))
end

-- Names ---------------------------------------------------------------------

local function local_lookup(epoch)
  local t = os.date("*t", epoch)
  return M.days(t.year, t.month, t.day) * 86400 + t.hour * 3600 + t.min * 60 + t.sec - epoch
end

local function fixed_from(text)
  local sign, hour, min = text:match("^([+-])(%d%d):?(%d%d)$")
  if not sign then
    sign, hour = text:match("^([+-])(%d%d)$")
    min = "00"
  end
  if not sign or tonumber(hour) > 23 or tonumber(min) > 59 then return nil end
  local seconds = tonumber(hour) * 3600 + tonumber(min) * 60
  if seconds == 0 then return M.utc end
  return make(sign .. hour .. ":" .. min, sign == "-" and -seconds or seconds)
end

local loaded = {}

local function load(name)
  local from_environment = os.getenv("TZDIR")
  local folders = FOLDERS
  if from_environment and from_environment ~= "" then folders = { from_environment } end
  for i = 1, #folders do
    local path = folders[i] .. "/" .. name
    if loaded[path] then return loaded[path] end
    local file = io.open(path, "rb")
    -- A folder opens too, but cannot be read.
    local data = file and file:read(MAX_FILE + 1)
    if file then file:close() end
    if data then
      if #data > MAX_FILE then return nil, "the time zone file is too large" end
      local zone, message = M.read(data, name)
      if zone then loaded[path] = zone end
      return zone, message
    end
  end
  return nil, "no such time zone in " .. table.concat(folders, ", ")
    .. ' (names look like "Asia/Taipei"; they need the system\'s tzdata, or TZDIR)'
end

--- A zone by its name: "UTC", "Z", "local" (what the C library takes for local
--- time), an offset such as "+08:00", or an IANA name read from $TZDIR or the
--- system's zoneinfo folder.
---@param name string|garner.Zone
---@return garner.Zone|nil zone
---@return string|nil message
function M.get(name)
  if M.is(name) then return name end
  if type(name) ~= "string" then return nil, "a zone must be text, got " .. type(name) end
  local upper = name:upper()
  if upper == "UTC" or upper == "Z" or upper == "GMT" then return M.utc end
  if name == "local" then return make("local", nil, local_lookup) end
  if name:find("^[+-]") then
    local zone = fixed_from(name)
    if not zone then return nil, 'an offset looks like "+08:00" and is below 24 hours' end
    return zone
  end
  -- No dot can occur, hence no "..", and every part has at least one letter.
  if #name > 100 or not name:find("^[A-Za-z0-9_+/-]+$") or not name:find("^[A-Za-z]")
    or name:find("//", 1, true) or name:find("/$") then
    return nil, 'not a time zone name (use "UTC", "local", "+08:00" or one like "Asia/Taipei")'
  end
  return load(name)
end

return M
