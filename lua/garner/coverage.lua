-- Owns the record of what became of each window of a pull: its state, the
-- reason, how many rows it gave. The states are design words and API:
-- planned, pending, fetched, empty, provisional, not_ready, failed,
-- timed_out, past_retention, in_doubt. It must not fetch or decide.

local M = {}

-- States of a window that leave a hole in the data.
M.HOLES = {
  not_ready = true, failed = true, timed_out = true, in_doubt = true, past_retention = true,
}

local BY_KIND = {
  timeout = "timed_out", in_doubt = "in_doubt", not_ready = "not_ready",
}

---@class garner.coverage.window
---@field index number
---@field from string
---@field to string exclusive end, or the date itself where windows are dates
---@field state string
---@field reason? string why the state is what it is
---@field rows number rows given to the caller
---@field err? garner.Error
---@field requests? number made for it so far
---@field withheld? number rows that came but are not ready, so not given
---@field skipped? boolean a hole that the caller chose to have
---@field warnings table[]
---@field age? number seconds since its rows came, where a cache had them
---@field stale? boolean they stand in for those of a request that failed
---@field absent? string[] asked-for series that the answer lacks

---How many windows are in which state, in one line.
---@param coverage garner.coverage.window[]
---@return string
function M.summary(coverage)
  local counts, order, rows = {}, {}, 0
  for _, window in ipairs(coverage) do
    if not counts[window.state] then order[#order + 1] = window.state end
    counts[window.state], rows = (counts[window.state] or 0) + 1, rows + window.rows
  end
  for index, state in ipairs(order) do order[index] = counts[state] .. " " .. state end
  return ("%d window%s: %s; %d rows"):format(#coverage, #coverage == 1 and "" or "s",
    table.concat(order, ", "), rows)
end

local Coverage = {}
Coverage.__index = Coverage

function Coverage:__tostring()
  local lines = {}
  for _, window in ipairs(self) do
    local span = window.from == window.to and window.from or window.from .. " .. " .. window.to
    local line = ("%3d  %s  %-14s %d rows"):format(window.index, span, window.state, window.rows)
    if window.event then line = line .. "  " .. window.event end
    if window.absent and window.absent[1] then
      line = line .. "  absent: " .. table.concat(window.absent, ", ")
    end
    if window.reason then line = line .. "  (" .. window.reason .. ")" end
    lines[#lines + 1] = line
  end
  lines[#lines + 1] = M.summary(self)
  return table.concat(lines, "\n")
end

---@param windows table[] the plan
---@return garner.coverage.window[]
function M.new(windows)
  local self = {}
  for index, window in ipairs(windows) do
    self[index] = {
      index = index, from = window.from_text, to = window.to_text, event = window.event,
      state = "planned", rows = 0, warnings = {},
    }
  end
  return setmetatable(self, Coverage)
end

---The state that an error leaves its window in.
---@param err garner.Error
---@return string
function M.state_of(err)
  return BY_KIND[err.kind] or "failed"
end

---Windows in a state that is a hole.
---@param coverage garner.coverage.window[]
---@return garner.coverage.window[]
function M.holes(coverage)
  local out = {}
  for _, window in ipairs(coverage) do
    if M.HOLES[window.state] and not window.skipped then out[#out + 1] = window end
  end
  return out
end

---Windows that did not end well: holes, and those that were not asked for or
---not finished.
---@param coverage garner.coverage.window[]
---@return garner.coverage.window[]
function M.open(coverage)
  local out = {}
  for _, window in ipairs(coverage) do
    local unfinished = window.state == "planned" or window.state == "pending"
    if unfinished or M.HOLES[window.state] and not window.skipped then out[#out + 1] = window end
  end
  return out
end

return M
