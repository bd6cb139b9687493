-- Owns what BlendVision's live metrics mean: the rows made of an
-- answer. Facts: "Get live metrics" (BlendVision One API
-- reference) and its schema of google.type.Decimal. It must not plan windows
-- or wait.

local decimal = require "garner.decimal"
local enums = require "garner.enums"
local json = require "garner.json"
local time = require "garner.time"

local M = {}

M.TYPES = enums.new("metric type", "LIVE_METRIC_TYPE_",
  { "network_in", "frame_rate", "concurrent_user" })

-- Units as the reference states them for each type.
M.UNITS = { network_in = "Mbps", frame_rate = "fps", concurrent_user = "users" }

-- "The time range cannot be over 8 hours." Both ends are described as data to
-- be returned ("earliest", "latest").
M.MAX_WINDOW = 8 * 3600
M.EDGES = "[]"

local function present(value)
  if value ~= json.null then return value end
end

local function list(value)
  return type(value) == "table" and value or {}
end

-- Text, or what would be text in an API that keeps its word.
local function text(value)
  value = present(value)
  if value == nil or type(value) == "string" then return value end
  return json.encode(value)
end

-- The server's text of a value. The schema nests a google.type.Decimal, whose
-- text is kept as it is; an empty one means zero.
local function value_of(point)
  local value = present(point.value)
  if type(value) == "table" then value = present(value.value) end
  if value == nil then return nil, nil end
  if type(value) ~= "string" then value = json.encode(value) end
  return value, decimal.tonumber(value)
end

-- What a time's text means: its epoch, and text that is equal for equal times
-- however they are written and however fine they are.
local function instant_of(at)
  local parsed = at and time.parse(at)
  if not parsed or not parsed.epoch then return {} end
  return { epoch = parsed.epoch, key = ("%.0f.%s"):format(math.floor(parsed.epoch),
    (parsed.fraction or ""):gsub("0+$", "")) }
end

-- Row -> key, made while the row's time is at hand.
local keys = setmetatable({}, { __mode = "k" })

-- `instants`: times already taken apart, which is most of the work of a row and
-- the same for every series of an answer.
local function row_of(instants, kind, dimension, point)
  local at = text(point.time)
  local instant = at ~= nil and instants[at] or instant_of(at)
  if at ~= nil then instants[at] = instant end
  local value, number = value_of(point)
  local row = {
    time = at, epoch = instant.epoch, type = kind, dimension = dimension, value = value,
    number = number, unit = M.UNITS[kind], raw = point,
  }
  if instant.key then
    keys[row] = kind .. "\0" .. (dimension and "=" .. dimension or "") .. "\0"
      .. instant.key
  end
  return row
end

-- Rows in time order; what has no readable time stays behind the others.
local function sort(rows, place)
  table.sort(rows, function(a, b)
    local one, other = a.epoch or math.huge, b.epoch or math.huge
    if one ~= other then return one < other end
    return place[a] < place[b]
  end)
  return rows
end

---The rows of one answer, in time order, and the asked-for types that it
---lacks altogether.
---@param body table
---@param ctx { given: { types: string[]|nil } } what was asked for, in the API's spelling
---@return table[] rows
---@return string[] absent friendly names
function M.rows(body, ctx)
  local types = ctx.given.types or {}
  local rows, place, seen, instants = {}, {}, {}, {}
  for _, metric in ipairs(list(body.metrics)) do
    if type(metric) == "table" then
      local kind = M.TYPES:friendly(text(metric.type)) or "unknown"
      seen[kind] = true
      for _, point in ipairs(list(metric.datapoints)) do
        if type(point) == "table" then
          local row = row_of(instants, kind, text(metric.dimension), point)
          rows[#rows + 1] = row
          place[row] = #rows
        end
      end
    end
  end
  local absent = {}
  for _, name in ipairs(M.TYPES.names) do
    local asked = not types[1]
    for _, api in ipairs(types) do asked = asked or api == M.TYPES:api(name) end
    if asked and not seen[name] then absent[#absent + 1] = name end
  end
  return sort(rows, place), absent
end

---What identifies a point: type, dimension, time. A dimension that is nil is
---not the empty one; times are equal however they are written.
---@param row table
---@return string|nil
function M.key(row)
  return keys[row]
end

---Text that is equal for points of one key that have the same value.
---@param row table
---@return string
function M.identity(row)
  return tostring(row.value)
end

M.COLUMNS = { "time", "type", "dimension", "value", "unit" }

---What `save` writes of a row.
---@param row table
---@return table
---@return string[]
function M.record(row)
  return { time = row.time, type = row.type, dimension = row.dimension, value = row.value,
    unit = row.unit }, M.COLUMNS
end

return M
