-- The CSV files behind BlendVision's event reports. Their columns are nowhere documented;
-- these follow the console's exports. Rows depend on the event and the condition alone.
local clock = require "sim.clock"
local seed = require "sim.seed"

local M = {}

local GROUP_COLUMNS = {
  GROUP_BY_FIELD_WATCH_TIMESTAMP = "watch_timestamp",
  GROUP_BY_FIELD_CUSTOMER_ID = "customer_id",
  GROUP_BY_FIELD_DEVICE_ID = "device_id",
  GROUP_BY_FIELD_DEVICE_OS = "device_os",
  GROUP_BY_FIELD_GEO_REGION = "geo_region",
}

local SYSTEMS = { "iOS", "Android", "Windows", "macOS", "Linux", "tvOS" }
local REGIONS = { "TW", "JP", "US", "DE", "台北, 信義", "São Paulo" }
local MESSAGES = { "hello", "so \"good\", again", "好看！", "first line\nsecond line", "👏👏",
  "when does part 2 start?" }

local function quote(value)
  value = tostring(value)
  if value:find('[",\r\n]') then return '"' .. value:gsub('"', '""') .. '"' end
  return value
end

local function line(cells)
  local out = {}
  for i, cell in ipairs(cells) do out[i] = quote(cell) end
  return table.concat(out, ",") .. "\n"
end

local function pick(list, s, n)
  return list[seed.number(s, n) % #list + 1]
end

local dimensions = {
  REPORT_DIMENSION_WATCH_TIME = {
    columns = { "content_title", "content_id", "streaming_type", "viewer",
      "watch_time_seconds" },
    rows = 240,
    make = function(s, i, event)
      return { "Launch, \"day one\"", event.id, event.type:match("_(%u+)$"):lower(),
        ("viewer-%03d"):format(i), seed.number(s, i) % 7200 }
    end,
  },
  REPORT_DIMENSION_CHAT_HISTORIES = {
    columns = { "time", "user", "message" },
    rows = 150,
    make = function(s, i, _, first)
      return { clock.format_instant(first + i * 37),
        ("viewer-%03d"):format(seed.number(s, i) % 240), pick(MESSAGES, s, i + 1000) }
    end,
  },
  REPORT_DIMENSION_POLL_SUMMARIES = {
    columns = { "poll_id", "question", "option", "votes" },
    rows = 12,
    make = function(s, i)
      return { ("poll-%d"):format(math.floor((i - 1) / 4) + 1), "A or B, or \"C\"?",
        ("option-%d"):format((i - 1) % 4 + 1), seed.number(s, i) % 500 }
    end,
  },
  REPORT_DIMENSION_POLL_VOTES = {
    columns = { "time", "poll_id", "user", "option" },
    rows = 300,
    make = function(s, i, _, first)
      return { clock.format_instant(first + i * 11), ("poll-%d"):format(i % 3 + 1),
        ("viewer-%03d"):format(seed.number(s, i) % 240), ("option-%d"):format(i % 4 + 1) }
    end,
  },
}

local group_cells = {
  GROUP_BY_FIELD_WATCH_TIMESTAMP = function(_, i, first)
    return clock.format_instant(first + i * 60)
  end,
  GROUP_BY_FIELD_CUSTOMER_ID = function(s, i)
    return ("customer-%d"):format(seed.number(s, i) % 90)
  end,
  GROUP_BY_FIELD_DEVICE_ID = function(s, i)
    return ("device-%d"):format(seed.number(s, i + 7) % 120)
  end,
  GROUP_BY_FIELD_DEVICE_OS = function(s, i) return pick(SYSTEMS, s, i + 13) end,
  GROUP_BY_FIELD_GEO_REGION = function(s, i) return pick(REGIONS, s, i + 17) end,
}

---The whole CSV text of one report.
---@param event_id string
---@param event_type string
---@param condition table the report's dimension_with_condition
function M.make(event_id, event_type, condition)
  local kind = dimensions[condition.dimension]
  local event = { id = event_id, type = event_type }
  local s = seed.from(event_id .. condition.dimension)
  local first = condition.filter and math.floor(clock.parse_instant(condition.filter.start_time)) or
    (clock.today() - 1) * 86400
  local head = {}
  for _, name in ipairs(kind.columns) do head[#head + 1] = name end
  for _, field in ipairs(condition.group_by_fields) do head[#head + 1] = GROUP_COLUMNS[field] end
  local out = { line(head) }
  for i = 1, kind.rows do
    local cells = kind.make(s, i, event, first)
    for _, field in ipairs(condition.group_by_fields) do
      cells[#cells + 1] = group_cells[field](s, i, first)
    end
    out[#out + 1] = line(cells)
  end
  return table.concat(out)
end

return M
