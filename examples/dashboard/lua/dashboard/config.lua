-- Owns: what the dashboard was told when it was started, read once from the
-- environment: examples/dashboard/start sets it. Must not: hold a credential.

local M = {}

-- Seconds; what the page offers as ranges.
M.RANGES = {
  { id = "30m", seconds = 1800 }, { id = "1h", seconds = 3600 }, { id = "2h", seconds = 7200 },
  { id = "6h", seconds = 21600 }, { id = "12h", seconds = 43200 }, { id = "24h", seconds = 86400 },
}
M.RANGE = "2h"

local function text(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function number(name, default)
  local value = tonumber(text(name) or default)
  if not value or value < 0 or value > 3600 then
    error(name .. " must be a number of seconds from 0 to 3600", 0)
  end
  return value
end

-- A line for each live: "id", or "id=what the page calls it".
local function lives(lines)
  local list, names = {}, {}
  for line in (lines or ""):gmatch "[^\n]+" do
    local id, name = line:match "^([^=]+)=(.+)$"
    id = id or line
    if not names[id] then list[#list + 1] = id end
    names[id] = name or id
  end
  if not list[1] then error("DASHBOARD_LIVES names no live", 0) end
  return list, names
end

---@return { lives: string[], names: table<string, string>, base_url: string|nil, source: string,
---  refresh: number, settle: number } seconds: refresh: between two looks at the vendor; settle:
---  how young a point may still change
function M.read()
  local list, names = lives(text "DASHBOARD_LIVES")
  local base_url = text "DASHBOARD_BASE_URL"
  return {
    lives = list, names = names, base_url = base_url,
    source = base_url and "simulator" or "BlendVision",
    refresh = math.max(0.2, number("DASHBOARD_REFRESH", 5)),
    settle = number("DASHBOARD_SETTLE", 120),
  }
end

---@param id string
---@return number|nil seconds
function M.seconds(id)
  for _, range in ipairs(M.RANGES) do
    if range.id == id then return range.seconds end
  end
end

return M
