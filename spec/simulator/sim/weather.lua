-- A made-up fourth API, for describing one with a table: readings of weather stations,
-- page by page over at most 24 hours, and exports of any range as a file that takes a while.
-- It is nobody's real API; what it checks is what such a server would.
local clock = require "sim.clock"
local credential = require "sim.credential"
local files = require "sim.files"
local http = require "sim.http"
local json = require "sim.json"
local seed = require "sim.seed"
local state = require "sim.state"

local M = {}

local DAY, STEP = 86400, 600
local MAX_LIMIT = 100
local SETTLED = 3600
local METRICS = { "temperature", "humidity", "wind" }

local function refuse(status, code, message)
  return http.json(status, { error = { code = code, message = message } })
end

local function value_of(station, metric, at)
  return ("%.1f"):format(seed.fraction(seed.from(station .. metric), at / STEP) * 30)
end

-- Readings with from <= time < to, a value of every metric each ten minutes.
local function readings(station, metrics, from, to)
  local out = {}
  for at = math.ceil(from / STEP) * STEP, math.min(to, clock.now()) - 1, STEP do
    for _, metric in ipairs(metrics) do
      out[#out + 1] = { station = station, at = clock.format_instant(at), metric = metric,
        value = value_of(station, metric, at) }
    end
  end
  return out
end

local function range_of(start, stop, most)
  local from, to = start and clock.parse_instant(start), stop and clock.parse_instant(stop)
  if not from or not to then return nil, "start and end must be RFC 3339 times" end
  if from >= to then return nil, "start must be before end" end
  if most and to - from > most then return nil, "at most 24 hours a request" end
  return from, to
end

local function metrics_of(req)
  local out = {}
  for _, pair in ipairs(req.args) do
    if pair[1] == "metric" then
      local known = false
      for _, name in ipairs(METRICS) do known = known or pair[2] == "METRIC_" .. name:upper() end
      if not known then return nil, "unknown metric " .. pair[2] end
      out[#out + 1] = pair[2]:sub(8):lower()
    end
  end
  return out[1] and out or METRICS
end

local function list(req, _, station)
  local from, to = range_of(req:arg("start"), req:arg("end"), DAY)
  if not from then return refuse(400, "bad_range", to) end
  local metrics, why = metrics_of(req)
  if not metrics then return refuse(400, "bad_metric", why) end
  local limit = req:integer("limit", MAX_LIMIT)
  if limit < 1 or limit > MAX_LIMIT then return refuse(400, "bad_limit", "limit: 1 to 100") end
  local all, page = readings(station, metrics, from, to), json.array()
  local first = tonumber((req:arg("cursor") or "c0"):match("^c(%d+)$"))
  if not first then return refuse(400, "bad_cursor", "unknown cursor") end
  for position = first + 1, math.min(first + limit, #all) do page[#page + 1] = all[position] end
  return http.json(200, { data = { readings = page }, complete = to <= clock.now() - SETTLED,
    cursor = first + limit < #all and "c" .. first + limit or json.null })
end

local function csv_of(export)
  local lines = { "at,station,metric,value" }
  for _, each in ipairs(readings(export.station, METRICS, export.from, export.to)) do
    lines[#lines + 1] = ("%s,%s,%s,%s"):format(each.at, each.station, each.metric, each.value)
  end
  return table.concat(lines, "\n") .. "\n"
end

local function create(req, scope)
  local body = json.decode(req.body)
  if not json.is_object(body) then return refuse(400, "bad_body", "a JSON object expected") end
  local from, to = range_of(body.start, body["end"])
  if not from then return refuse(400, "bad_range", to) end
  scope.exports = scope.exports or {}
  local number = #scope.exports + 1
  local id = seed.uuid(("%s export %d"):format(scope.name, number))
  local export = { id = id, station = tostring(body.station), from = from, to = to, polls = 0,
    failed = state.take_failure(scope), file = "export-" .. number .. ".csv" }
  scope.exports[number], scope.exports[id] = export, export
  files.register(scope, export.file, function() return csv_of(export) end)
  return http.json(201, { export = { id = id, state = "queued" } })
end

local function detail(req, scope, id)
  local export = scope.exports and scope.exports[id]
  if not export then return refuse(404, "no_export", "no such export") end
  export.polls = export.polls + 1
  local out = { id = id, state = "running" }
  if export.polls > scope.settings.polls_until_ready then
    out.state = export.failed and "broken" or "finished"
    if export.failed then out.problem = { reason = "DISK_FULL" } end
    if not export.failed then out.file = files.url(req, scope, export.file) end
  end
  return http.json(200, out)
end

local routes = {
  { "GET", "^/weather/v1/stations/([^/]+)/readings$", list },
  { "POST", "^/weather/v1/exports$", create },
  { "GET", "^/weather/v1/exports/([^/]+)$", detail },
}

function M.handle(req, scope)
  if not credential.has_header(req, "x-api-key") then
    return refuse(401, "no_key", "a key is needed")
  end
  for _, route in ipairs(routes) do
    local part = req.path:match(route[2])
    if part and req.method == route[1] then
      if part:find("unknown", 1, true) then return refuse(404, "not_found", "no such station") end
      return route[3](req, scope, http.unescape(part))
    end
  end
  return refuse(404, "not_found", "no such endpoint")
end

return M
