--- Dates, instants, durations and ranges of time as people write them.
-- Owns the one wall clock that tests can set, RFC 3339 text both ways, and what
-- a range means: a date names its whole day, an instant itself; an end is never
-- part of its range. Must not plan windows (garner.window) or read zone files
-- (garner.zone). Everything is seconds; instants keep microseconds.

local zone = require "garner.zone"

local M = {}

local floor = math.floor

-- 0000-01-01T00:00:00 and 10000-01-01T00:00:00: RFC 3339 writes nothing outside.
local FIRST, BEYOND = -62167219200, 253402300800
local MAX_DURATION = BEYOND - FIRST
local MAX_DATES = 100000
local UNITS = { ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }
local MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August",
  "September", "October", "November", "December" }

-- Integral values become integers where the Lua has them, so that they print
-- without ".0".
local function whole(value)
  local below = floor(value)
  return value == below and below or value
end

-- The nearest microsecond, which is what ranges are kept in.
local function to_micros(epoch)
  return epoch == floor(epoch) and whole(epoch) or whole(floor(epoch * 1e6 + 0.5) / 1e6)
end

-- Text for a message: short, quoted, without control characters.
local function show(value)
  if type(value) ~= "string" then return tostring(value) end
  if #value > 60 then value = value:sub(1, 57) .. "..." end
  return '"' .. value:gsub("%c", "?") .. '"'
end

local function misuse(message)
  require("garner.errors").misuse(message)
end

-- Clock ---------------------------------------------------------------------

local clock, system

local function default_clock()
  if not system then
    local found, core = pcall(require, "garner.core")
    if not found then require("garner.errors").pass(core) end
    system = found and type(core) == "table" and core.time or os.time
  end
  return system()
end

--- The wall clock: seconds since 1970-01-01T00:00:00Z, with a fraction where
--- the system gives one. For dates only; waiting goes by the monotonic clock.
---@return number epoch
function M.now()
  return whole((clock or default_clock)())
end

--- Set the clock that words such as "now" and "yesterday" are resolved against.
---@param fn (fun(): number)|nil nil puts the system's clock back
function M.set_clock(fn)
  if fn ~= nil and type(fn) ~= "function" then
    misuse("time.set_clock: expected a function or nil, got " .. type(fn))
  end
  clock = fn
end

-- Durations -----------------------------------------------------------------

--- A length of time in seconds: a number, or text such as "90s", "15m", "8h",
--- "3d", "250ms", "1.5h" or "1h30m". A day is 24 hours here.
---@param value number|string
---@return number|nil seconds not negative
---@return string|nil message
function M.duration(value)
  local total
  if type(value) == "number" then
    total = value
    if value ~= value then return nil, "a duration must be a number, got NaN" end
    if value < 0 then return nil, "a duration cannot be negative" end
  elseif type(value) ~= "string" then
    return nil, "a duration must be seconds or text such as \"15m\", got " .. type(value)
  else
    local at = 1
    repeat
      local number, unit, after = value:match("^([0-9]+%.?[0-9]*)([a-z]+)()", at)
      if not number or not UNITS[unit] then
        return nil, show(value) .. ' is not a duration: write "90s", "15m", "8h", "3d" or seconds '
          .. "as a number"
      end
      local part = tonumber(number)
      total = (total or 0) + (unit == "ms" and part / 1000 or part * UNITS[unit])
      at = after
    until at > #value
  end
  if total > MAX_DURATION then return nil, show(value) .. " is too long a duration" end
  return whole(total)
end

-- Parsing -------------------------------------------------------------------

local function check_date(year, month, day)
  if month < 1 or month > 12 then return ("there is no month %02d"):format(month) end
  local length = zone.days(year, month + 1, 1) - zone.days(year, month, 1)
  if day < 1 or day > length then
    return ("%s %04d has days 1 to %d"):format(MONTHS[month], year, length)
  end
end

-- Leap seconds end a month in UTC. Without an offset any quarter of an hour
-- may be the one, since zones differ by quarters.
local function leap_second_ok(wall, offset)
  if not offset then return wall % 900 == 0 end
  local utc = wall - offset
  local _, _, day = zone.civil(floor(utc / 86400))
  return utc % 86400 == 0 and day == 1
end

local TIME = "^[Tt ]([0-9][0-9]):([0-9][0-9]):([0-9][0-9])()"

-- The part after the date: fills `value`, returns a message if it is wrong.
local function read_time(value, rest)
  local hour, min, sec, at = rest:match(TIME)
  if not hour then return 'the time must look like "T08:30:00"' end
  local fraction, after = rest:match("^%.([0-9]+)()", at)
  at = after or at
  value.hour, value.min, value.sec = tonumber(hour), tonumber(min), tonumber(sec)
  value.fraction = fraction
  if value.hour > 23 then return "hours go from 00 to 23" end
  if value.min > 59 then return "minutes go from 00 to 59" end
  if value.sec > 60 then return "seconds go from 00 to 59" end
  local tail = rest:sub(at)
  if tail == "" then
    value.kind = "naive"
  elseif tail == "Z" or tail == "z" then
    value.kind, value.offset = "instant", 0
  else
    local sign, off_hour, off_min = tail:match("^([+-])([0-9][0-9]):([0-9][0-9])$")
    if not sign then return 'an offset must look like "Z" or "+08:00"' end
    if tonumber(off_hour) > 23 or tonumber(off_min) > 59 then
      return "an offset is below 24:00, with minutes from 00 to 59"
    end
    local seconds = tonumber(off_hour) * 3600 + tonumber(off_min) * 60
    value.kind, value.offset = "instant", sign == "-" and -seconds or seconds
  end
  local wall = zone.days(value.year, value.month, value.day) * 86400
    + value.hour * 3600 + value.min * 60 + value.sec
  if value.sec == 60 and not leap_second_ok(wall, value.offset) then
    return "a second 60 occurs only at the end of a month in UTC"
  end
  if value.offset then
    value.epoch = wall - value.offset
    if fraction and fraction:find("[1-9]") then
      -- Cut, not rounded: a time never moves into a later window.
      value.epoch = whole(value.epoch + tonumber((fraction .. "00000"):sub(1, 6)) / 1e6)
    end
  end
end

---@class garner.TimeValue
---@field kind "date"|"instant"|"naive" naive: a date and time without an offset
---@field year integer
---@field month integer
---@field day integer
---@field hour integer|nil
---@field min integer|nil
---@field sec integer|nil 60 in a leap second
---@field fraction string|nil the digits after the point, as many as there were
---@field offset integer|nil seconds east of UTC (instants)
---@field epoch number|nil seconds, cut to microseconds (instants); a leap second
--- counts as the first second after it, as POSIX has it

--- Read "2026-11-19" or an RFC 3339 date-time, with or without its offset
--- ("T", "t" or a space; "Z" or "z"; any number of fraction digits).
---@param text string
---@return garner.TimeValue|nil value
---@return string|nil message
function M.parse(text)
  if type(text) ~= "string" then
    return nil, "a date or time must be text, got " .. type(text)
  end
  local year, month, day, rest = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$")
  if not year then
    return nil, show(text) .. ' is not a date or time: write "2026-11-19", "2026-11-19T08:30:00" '
      .. 'or "2026-11-19T08:30:00Z"'
  end
  local value = { kind = "date", year = tonumber(year), month = tonumber(month),
    day = tonumber(day) }
  local problem = check_date(value.year, value.month, value.day)
  if not problem and rest ~= "" then problem = read_time(value, rest) end
  if problem then return nil, show(text) .. " is not a date or time: " .. problem end
  return value
end

-- Formatting ----------------------------------------------------------------

local naive = zone.fixed(0, "no zone")

-- RFC 3339 text, or nil where the year has no four digits.
local function format(epoch, in_zone)
  local second = floor(epoch)
  local micros = floor((epoch - second) * 1e6 + 0.5)
  if micros == 1000000 then second, micros = second + 1, 0 end
  local offset = in_zone:offset(second)
  -- RFC 3339 knows minutes only; old local mean times have seconds.
  offset = offset < 0 and -(floor(-offset / 60) * 60) or floor(offset / 60) * 60
  local wall = second + offset
  if not (wall >= FIRST and wall < BEYOND) then return nil end
  local year, month, day = zone.civil(floor(wall / 86400))
  local rest = wall % 86400
  local text = ("%04d-%02d-%02dT%02d:%02d:%02d"):format(year, month, day, floor(rest / 3600),
    floor(rest % 3600 / 60), rest % 60)
  if micros > 0 then
    text = text .. (micros % 1000 == 0 and (".%03d"):format(micros / 1000)
      or (".%06d"):format(micros))
  end
  if in_zone == naive then return text end
  if offset == 0 then return text .. "Z" end
  local distance = offset < 0 and -offset or offset
  return ("%s%s%02d:%02d"):format(text, offset < 0 and "-" or "+", floor(distance / 3600),
    floor(distance % 3600 / 60))
end

--- A zone by name: "UTC", "local", "+08:00", or an IANA name from the system's
--- TZif files (`TZDIR` is honoured). A zone has `name`, `offset(epoch)` ->
--- seconds, `epoch(y, m, d, h, mi, s)` -> epoch and `day(y, m, d)` -> epoch of
--- the day's first instant.
---@param name string|garner.Zone
---@return garner.Zone|nil zone
---@return string|nil message
function M.zone(name)
  local found, message = zone.get(name)
  if found then return found end
  if type(name) ~= "string" then return nil, message end
  return nil, show(name) .. ": " .. message
end

--- RFC 3339 text of an instant: "Z" in UTC, "+08:00" elsewhere, none for the
--- zone of a naive range. Three or six fraction digits if there is a fraction.
---@param epoch number
---@param in_zone? string|garner.Zone UTC if left out
---@return string
function M.format(epoch, in_zone)
  if type(epoch) ~= "number" then
    misuse("time.format: expected seconds as a number, got " .. type(epoch))
  end
  local found, message = zone.utc, nil
  if in_zone ~= nil then found, message = M.zone(in_zone) end
  if not found then misuse("time.format: " .. message) end
  local text = format(epoch, found)
  if not text then misuse("time.format: the time is outside the years 0000 to 9999") end
  return text
end

-- Dates ---------------------------------------------------------------------

local function date_text(days)
  if days * 86400 < FIRST or days * 86400 >= BEYOND then return nil end
  return ("%04d-%02d-%02d"):format(zone.civil(days))
end

-- Days since 1970-01-01 of the local day that an instant falls in.
local function day_of(epoch, in_zone)
  return floor((floor(epoch) + in_zone:offset(epoch)) / 86400)
end

--- A date some days later (or earlier, if negative).
---@param text string "2026-11-19"
---@param days integer
---@return string|nil date
---@return string|nil message
function M.date_add(text, days)
  local value, message = M.parse(text)
  if not value then return nil, message end
  if value.kind ~= "date" then return nil, show(text) .. " is a time, not a date" end
  if type(days) ~= "number" or days ~= floor(days) or days - days ~= 0 then
    return nil, "the number of days must be whole, got " .. show(days)
  end
  local moved = date_text(zone.days(value.year, value.month, value.day) + days)
  if not moved then return nil, "the date is outside the years 0000 to 9999" end
  return moved
end

--- Today's date, by the clock of `now`.
---@param in_zone? string|garner.Zone UTC if left out
---@return string|nil date
---@return string|nil message
function M.today(in_zone)
  local found, message = M.zone(in_zone or zone.utc)
  if not found then return nil, message end
  return date_text(day_of(M.now(), found))
end

-- Ranges --------------------------------------------------------------------

-- What one end of a range names. Days count from 1970-01-01; `start` and `stop`
-- are epochs (as if UTC for naive ranges), equal for an instant.
local function named_day(days, ctx)
  if ctx.kind == "date" then return { day = days } end
  if ctx.kind == "naive" then
    return { day = days, start = days * 86400, stop = (days + 1) * 86400 }
  end
  local year, month, day = zone.civil(days)
  return { day = days, start = ctx.zone:day(year, month, day),
    stop = ctx.zone:day(year, month, day + 1) }
end

local function named_instant(epoch, ctx)
  if ctx.kind == "date" then return { day = day_of(epoch, ctx.zone) } end
  if ctx.kind == "naive" then epoch = epoch + ctx.zone:offset(epoch) end
  return { start = epoch, stop = epoch }
end

-- "-7d" and friends: an instant, or a day where days are asked for.
local function ago(text, ctx, as_day)
  local length, message = M.duration(text:sub(2))
  if not length then return nil, (message:gsub('"', '"-', 1)) end
  if not as_day then return named_instant(to_micros(ctx.now - length), ctx) end
  if length % 86400 ~= 0 then
    return nil, show(text) .. ' is not a number of days: write "-1d", "-2d", ...'
  end
  return named_day(day_of(ctx.now, ctx.zone) - floor(length / 86400), ctx)
end

local function from_number(value, ctx)
  if ctx.kind == "date" then return nil, "a date must be text such as \"2026-11-19\"" end
  if ctx.kind == "naive" and not ctx.given then
    return nil, "this API takes local times without an offset; set zone to give an instant"
  end
  if not (value >= FIRST and value < BEYOND) then
    return nil, show(value) .. " is not an instant in seconds (divide milliseconds by 1000)"
  end
  return named_instant(to_micros(value), ctx)
end

-- Microseconds are kept; what is finer widens the range rather than cutting it.
local function fraction_of(value, upwards)
  if not value.fraction then return 0 end
  local micros = tonumber((value.fraction .. "00000"):sub(1, 6))
  if upwards and value.fraction:find("[1-9]", 7) then micros = micros + 1 end
  return micros / 1e6
end

local function from_value(text, value, ctx, upwards)
  local days = zone.days(value.year, value.month, value.day)
  if value.kind == "date" then return named_day(days, ctx) end
  if ctx.kind == "date" then
    return nil, show(text) .. " is a time, and this API takes dates such as \"2026-11-19\""
  end
  local fraction = fraction_of(value, upwards)
  local wall = days * 86400 + value.hour * 3600 + value.min * 60 + value.sec
  if value.kind == "instant" then
    if ctx.kind == "naive" and not ctx.given then
      return nil, show(text) .. " has an offset, and this API takes local times without one: "
        .. "leave it out, or set zone to have it converted"
    end
    return named_instant(whole(wall - value.offset + fraction), ctx)
  end
  if ctx.kind == "naive" then
    local epoch = whole(wall + fraction)
    return { start = epoch, stop = epoch }
  end
  local epoch = ctx.zone:epoch(value.year, value.month, value.day, value.hour, value.min, value.sec)
  epoch = whole(epoch + fraction)
  return { start = epoch, stop = epoch }
end

local WORDS = {
  now = function(ctx) return named_instant(ctx.now, ctx) end,
  today = function(ctx) return named_day(day_of(ctx.now, ctx.zone), ctx) end,
  yesterday = function(ctx) return named_day(day_of(ctx.now, ctx.zone) - 1, ctx) end,
}

-- What the option `name` names: { day =, start =, stop = } or nil, message.
local function resolve(name, value, ctx)
  local point, message
  if type(value) == "number" then
    point, message = from_number(value, ctx)
  elseif type(value) ~= "string" then
    message = "must be text, got " .. type(value)
  elseif WORDS[value] then
    point = WORDS[value](ctx)
  elseif value:find("^%-") then
    point, message = ago(value, ctx, ctx.kind == "date" or name == "date")
  else
    local parsed
    parsed, message = M.parse(value)
    if parsed then
      point, message = from_value(value, parsed, ctx, name == "to")
    elseif not value:find("^%d") then
      message = show(value) .. ' is not a date, a time, "now", "today", "yesterday" or one like '
        .. '"-24h" or "-7d"'
    end
  end
  if not point then return nil, name .. ": " .. message end
  if name == "date" and not point.day then
    return nil, "date: " .. show(value) .. " is an instant, not a day"
  end
  return point
end

-- Both ends of `spec`, or nil, message.
local function resolve_ends(spec, ctx)
  if spec.date ~= nil then
    if spec.from ~= nil or spec.to ~= nil then
      return nil, "date: give either date or from and to, not both"
    end
    local day, message = resolve("date", spec.date, ctx)
    if not day then return nil, message end
    return day, day
  end
  for _, name in ipairs { "from", "to" } do
    if spec[name] == nil then
      return nil, name .. ': missing; give from and to (or date): a date such as "2026-11-19", '
        .. 'a time, "now", "today", "yesterday", "-24h" or "-7d"'
    end
  end
  local from, to, message
  from, message = resolve("from", spec.from, ctx)
  if not from then return nil, message end
  to, message = resolve("to", spec.to, ctx)
  if not to then return nil, message end
  return from, to
end

local function date_range(from, to, ctx, asked)
  if from.day > to.day then return nil, asked .. ": from is after to" end
  if to.day - from.day >= MAX_DATES then
    return nil, ("%s: the range has more than %d days"):format(asked, MAX_DATES)
  end
  local dates = {}
  for day = from.day, to.day do dates[#dates + 1] = date_text(day) end
  if not date_text(from.day) or not date_text(to.day) then
    return nil, asked .. ": the range is outside the years 0000 to 9999"
  end
  return { kind = "date", dates = dates, zone = ctx.zone, from_text = dates[1],
    to_text = dates[#dates] }
end

---@class garner.Range
---@field kind "instant"|"naive"|"date"
---@field from number|nil epoch of the start (as if UTC for a naive range)
---@field to number|nil epoch of the end, not part of the range
---@field zone garner.Zone what `format` needs to write its ends
---@field local_zone garner.Zone|nil naive: the zone that instants were converted to
---@field from_text string
---@field to_text string exclusive; for dates the last one
---@field dates string[]|nil every date, for kind "date"

--- Resolve what a user wrote into a range.
--- `spec`: `from` and `to`, or `date`; `zone`. A date names its whole day, so
--- `to` as a date ends after that day; as an instant it is not part of the
--- range. Words and "-24h" count from `options.now`, cut to the second; "-7d"
--- is an instant too, except for dates. Numbers are epoch seconds.
--- `options.kind`: "instant" (a time without an offset is in the zone), "naive"
--- (an API that takes local time: nothing is shifted, an offset needs a zone) or
--- "date" (an API that takes dates: never shifted). `options.zone` is the zone
--- if `spec` has none (UTC otherwise), `options.now` the clock's reading.
---@param spec table
---@param options? { kind?: string, zone?: string|garner.Zone, now?: number }
---@return garner.Range|nil range
---@return string|nil message names the option and its text
function M.range(spec, options)
  if type(spec) ~= "table" then misuse("time.range: expected a table, got " .. type(spec)) end
  options = options or {}
  local ctx = { kind = options.kind or "instant", now = floor(options.now or M.now()) }
  if ctx.kind ~= "instant" and ctx.kind ~= "naive" and ctx.kind ~= "date" then
    misuse("time.range: unknown kind " .. show(ctx.kind))
  end
  local wanted = spec.zone
  if wanted == nil then wanted = options.zone end
  ctx.given = wanted ~= nil
  local message
  ctx.zone, message = M.zone(wanted == nil and zone.utc or wanted)
  if not ctx.zone then return nil, "zone: " .. message end
  local from, to
  from, to = resolve_ends(spec, ctx)
  if not from then return nil, to end
  local asked = spec.date ~= nil and "date " .. show(spec.date)
    or "from " .. show(spec.from) .. " to " .. show(spec.to)
  if ctx.kind == "date" then return date_range(from, to, ctx, asked) end
  local range = { kind = ctx.kind, from = from.start, to = to.stop, zone = ctx.zone }
  if ctx.kind == "naive" then
    range.zone, range.local_zone = naive, ctx.given and ctx.zone or nil
  end
  range.from_text, range.to_text = format(range.from, range.zone), format(range.to, range.zone)
  if not range.from_text or not range.to_text then
    return nil, asked .. ": the range is outside the years 0000 to 9999"
  end
  if range.from > range.to or (from.day and to.day and from.day > to.day) then
    return nil, asked .. ": from is after to"
  end
  if range.from == range.to then
    -- Zones have skipped whole days when they crossed the date line.
    if from.day and to.day then
      return nil, ("%s: there is no such day in %s"):format(asked, ctx.zone.name)
    end
    return nil, asked .. ": the range is empty (a time given as to is not part of it)"
  end
  return range
end

return M
