-- BlendVision live metrics: GET /bv/cms/v1/lives/{id}/metrics. One point per 60 s (or as
-- the live's id says) in [start_time, end_time], made from the live's id and the time alone,
-- so windows that overlap agree. Points of the future do not exist yet.
local clock = require "sim.clock"
local http = require "sim.http"
local json = require "sim.json"
local rpc = require "sim.rpc"
local seed = require "sim.seed"

local M = {}

local MAX_RANGE = 8 * 3600
local STEP = 60

local TYPES = { "LIVE_METRIC_TYPE_NETWORK_IN", "LIVE_METRIC_TYPE_FRAME_RATE",
  "LIVE_METRIC_TYPE_CONCURRENT_USER" }

local number = function(value) return ("%.17g"):format(value) end

-- A day's shape: busy evenings.
local function wave(epoch)
  return 0.5 - 0.5 * math.cos((epoch % 86400) / 86400 * 2 * math.pi)
end

-- A fraction that changes slowly: from one value to the next within a period.
local function drift(s, t, period)
  local n = math.floor(t / period)
  local part = 0.5 - 0.5 * math.cos((t / period - n) * math.pi)
  return seed.fraction(s, n) * (1 - part) + seed.fraction(s, n + 1) * part
end

-- What a chart of an event looks like: each live has a size of its own, people come and
-- go over the day and within minutes, an encoder is now and then short of frames.
local series = {
  { TYPES[1], "main", function(s, t)
    return number(2.2 + 2 * seed.fraction(s, -1) + 0.7 * drift(s, t, 1700)
      + 0.3 * drift(s + 1, t, 180) + 0.08 * seed.fraction(s, t))
  end },
  { TYPES[2], "main", function(s, t)
    local short = math.max(0, drift(s + 2, t, 240) - 0.93)
    return number(29.5 + 0.5 * seed.fraction(s, t + 1) - 60 * short)
  end },
  { TYPES[1], "backup", function(s, t)
    local v = seed.fraction(s, t + 2)
    if v < 0.02 then return ("%.15ge-7"):format(1 + v) end
    return number(v / 1000)
  end },
  { TYPES[2], "backup", function() return "0" end },
  { TYPES[3], nil, function(s, t)
    local crowd = 0.35 + 0.45 * wave(t) + 0.5 * drift(s + 3, t, 5400) + 0.12 * drift(s + 4, t, 420)
    return ("%d"):format(math.floor((250 + 700 * seed.fraction(s, -2)) * crowd
      + 9 * seed.fraction(s, t + 3)))
  end },
}

-- Seconds between two points: "...-15s" has one every 15.
local function step_of(id)
  local seconds = tonumber(id:match("%-(%d%d?)s$"))
  return seconds and seconds > 0 and seconds or STEP
end

-- "outage" in an id: nothing came from minute 20 to 24 of each hour.
local function is_out(id, t)
  return id:find("outage", 1, true) and t % 3600 >= 1200 and t % 3600 < 1500
end

local function points(id, make, from, to)
  local out, step, live_seed = {}, step_of(id), seed.from(id)
  for t = math.ceil(from / step) * step, to, step do
    if not is_out(id, t) then
      out[#out + 1] = ('{"time":"%s","value":{"value":"%s"}}'):format(clock.format_instant(t),
        make(live_seed, t))
    end
  end
  return table.concat(out, ",")
end

-- The parts of an answer in the order of the documented example; `dimension` of the user
-- count is absent, empty or null, as the live's id says.
local function metric(live, entry, text)
  local dimension = entry[2] and json.quote(entry[2])
  if not dimension and live:find("emptydim", 1, true) then dimension = '""' end
  if not dimension and live:find("nulldim", 1, true) then dimension = "null" end
  local part = dimension and (',"dimension":%s'):format(dimension) or ""
  return ('{"datapoints":[%s]%s,"type":"%s"}'):format(text, part, entry[1])
end

local function wanted_types(req)
  local wanted, any = {}, false
  for _, text in ipairs(req:all("types")) do
    local name = text
    -- Enums may also be written as their number.
    if text:find("^[123]$") then name = TYPES[tonumber(text)] end
    local known = false
    for _, kind in ipairs(TYPES) do known = known or kind == name end
    if not known then return nil, text end
    wanted[name], any = true, true
  end
  if not any then
    for _, kind in ipairs(TYPES) do wanted[kind] = true end
  end
  return wanted
end

local function time_of(req, name)
  local text = req:arg(name)
  if not text or text == "" then return nil, rpc.invalid(name, "value is required") end
  local epoch = clock.parse_instant(text)
  if not epoch then return nil, rpc.invalid(name, "not an RFC 3339 timestamp: " .. text) end
  return epoch
end

function M.handle(req, scope)
  local refused = rpc.refuse(req, scope)
  if refused then return refused end
  if req.method ~= "GET" then return rpc.error(12, "Method Not Allowed") end
  local id = http.unescape(req.path:match("/lives/([^/]*)/metrics$"))
  if id == "" then return rpc.invalid("id", "value is required") end
  if id:find("unknown", 1, true) then return rpc.error(5, "live not found: " .. id) end
  local from, bad_from = time_of(req, "start_time")
  local to, bad_to = time_of(req, "end_time")
  if not from or not to then return bad_from or bad_to end
  if from > to then return rpc.invalid("end_time", "must not be before start_time") end
  if to - from > MAX_RANGE then
    return rpc.invalid("end_time", "the time range cannot be over 8 hours")
  end
  local wanted, unknown = wanted_types(req)
  if not wanted then return rpc.invalid("types", "unknown LiveMetricType: " .. unknown) end
  local last = math.min(to, clock.now())
  local out = {}
  for _, entry in ipairs(series) do
    local gap = id:find("gap", 1, true) and entry[1] == TYPES[2] and entry[2] == "backup"
    if wanted[entry[1]] and not gap then
      out[#out + 1] = metric(id, entry, points(id, entry[3], from, last))
    end
  end
  return http.json(200, '{"metrics":[' .. table.concat(out, ",") .. "]}")
end

return M
