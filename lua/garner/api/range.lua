-- Owns how a described verb's range of time becomes windows, and how a window
-- is written into a request. It must not send anything and knows no API.

local errors = require "garner.errors"
local time = require "garner.time"
local window = require "garner.window"

local M = {}

-- The windows of an API without a range: one, of everything there is.
local function everything()
  local now = time.now()
  return { from_text = "everything", to_text = "everything", zone_name = "none", edges = "none",
    windows = { { index = 1, from = 0, to = now, send_from = 0, send_to = now,
      from_text = "everything", to_text = "everything" } } }
end

-- Days count as epochs as if the account lived in UTC: for retention and lag.
local function day_starts(date)
  return time.range({ date = date }, { kind = "naive" })
end

local function of_dates(range, rules, max)
  local step = rules.date and 1 or math.max(1, math.floor((max or 86400) / 86400))
  if not max and not rules.date then step = #range.dates end
  local windows = {}
  for first = 1, #range.dates, step do
    local from = range.dates[first]
    local to = range.dates[math.min(first + step - 1, #range.dates)]
    local starts, ends = day_starts(from).from, day_starts(to).to
    windows[#windows + 1] = { index = #windows + 1, date = from, from_date = from, to_date = to,
      from_text = from, to_text = to, from = starts, to = ends, send_from = starts,
      send_to = ends }
  end
  return { from = windows[1].from, to = windows[#windows].to, from_text = range.from_text,
    to_text = range.to_text, zone_name = rules.zone_name or "the account's own days",
    edges = rules.date and "whole dates" or rules.edges, windows = windows }
end

local function of_instants(range, rules, max, edges, grid)
  local windows, message = window.plan(range, { max = max, edges = edges,
    granularity = rules.granularity, align = grid and grid.align, settled = grid and grid.settled })
  if not windows then return nil, message end
  for _, each in ipairs(windows) do
    each.from_text = time.format(each.from, range.zone)
    each.to_text = time.format(each.to, range.zone)
  end
  local zone_name = range.zone.name
  if rules.kind == "naive" then
    zone_name = range.local_zone and range.local_zone.name or rules.zone_name or zone_name
  end
  return { from = range.from, to = range.to, from_text = range.from_text, to_text = range.to_text,
    local_zone = range.local_zone, zone_name = zone_name, edges = edges, windows = windows }
end

-- A grid that is finer than the longest window, on the API's own steps; none where there is no
-- such.
local function fitting(grid, rules, max)
  if not grid or grid.align == 0 then return nil end
  local align, step = grid.align, time.duration(rules.granularity or 1)
  local longest = max and time.duration(max)
  if longest and align > longest - 2 * step then align = math.floor(longest / 2) end
  align = align - align % step
  if align < step then return nil end
  return { align = align, settled = grid.settled }
end

---What a caller asked for.
---@param self table vendor object
---@param rules table|nil the verb's window
---@param given table from, to, date, zone, edges
---@param what string for messages
---@return garner.Range
function M.resolve(self, rules, given, what)
  local asked = given
  if rules.default and given.date == nil then
    asked = { from = given.from or rules.default.from, to = given.to or rules.default.to,
      zone = given.zone }
  end
  local range, message = time.range(asked, { kind = rules.kind, zone = self.settings.zone })
  if not range then errors.misuse(("%s: %s"):format(what, message)) end
  return range
end

---The windows of a call, and what a plan says of them.
---@param self table vendor object
---@param verb table
---@param given table checked arguments
---@param grid? { align: number, settled: number } cuts windows of instants
---@return table from, to, from_text, to_text, zone_name, edges, windows
function M.windows(self, verb, given, grid)
  local rules = verb.window
  if not rules then return everything() end
  local range = M.resolve(self, rules, given, verb.name)
  local max = rules.max
  if type(max) == "function" then max = max(given) end
  local planned, message
  if rules.kind == "date" then
    planned = of_dates(range, rules, max)
  else
    planned, message = of_instants(range, rules, max, given.edges or rules.edges,
      rules.kind ~= "naive" and fitting(grid, rules, max) or nil)
  end
  if not planned then errors.misuse(("%s: %s"):format(verb.name, message)) end
  return planned
end

---One window of exactly the range given, for a single request.
---@param self table vendor object
---@param verb table
---@param given table
---@return table window
function M.whole(self, verb, given)
  local what = verb.raw
  if verb.window.date and given.date == nil then errors.misuse(what .. ": date is required") end
  local range = M.resolve(self, verb.window, given, what)
  if range.dates then
    local last = range.dates[#range.dates]
    return { index = 1, date = range.dates[1], from_date = range.dates[1], to_date = last,
      from_text = range.from_text, to_text = range.to_text }
  end
  return { index = 1, from = range.from, to = range.to, send_from = range.from,
    send_to = range.to, from_text = range.from_text, to_text = range.to_text }
end

local FORMATS = {
  epoch = function(at) return math.floor(at) end,
  epoch_ms = function(at) return math.floor(at * 1000 + 0.5) end,
}

local function written(rules, at)
  local format = rules.format
  if type(format) == "function" then return format(at) end
  if FORMATS[format] then return FORMATS[format](at) end
  local text = time.format(at, rules.zone)
  return rules.kind == "naive" and text:gsub("Z$", "") or text
end

---Writes a window into a request.
---@param rules table the verb's window
---@param each table a window
---@param fields table params, query, json: filled
function M.put(rules, each, fields)
  local values = { date = each.date, from = each.from_date, to = each.to_date }
  if rules.kind ~= "date" then
    values.from, values.to = written(rules, each.send_from), written(rules, each.send_to)
  elseif rules.edges == "[)" and values.to then
    values.to = time.date_add(values.to, 1)
  end
  for name, value in pairs(values) do
    if rules[name] then
      local place = rules.in_path and rules.in_path[name] and "params"
        or rules.place == "body" and "json" or "query"
      fields[place][rules[name]] = value
    end
  end
end

return M
