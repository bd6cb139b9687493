-- Owns what a pull is going to do, said before any request: the resolved
-- range, zone, edges, windows, the least number of requests, the time they
-- take at the documented rate, and what lies past the vendor's retention.
-- It must not ask anything of a server.

local time = require "garner.time"
local zone = require "garner.zone"

local M = {}

---@class garner.plan
---@field name string what is pulled
---@field from string
---@field to string exclusive
---@field zone string
---@field edges string which ends of a window the API includes
---@field windows { index: number, from: string, to: string, event: string|nil }[]
---@field requests number the least number of requests
---@field seconds number|nil worst-case time for them at the documented rate; nil without one
---@field past_retention number[] indexes of windows older than the vendor keeps data
---@field young number[] indexes of windows whose data may not have settled
---@field lag number|nil seconds that the vendor's data takes to settle
---@field max_requests number|nil
---@field max_rows number|nil
---@field notes string[]
local Plan = {}
Plan.__index = Plan

local function duration(seconds)
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  if seconds < 7200 then return ("%.0f min"):format(seconds / 60) end
  if seconds < 172800 then return ("%.1f h"):format(seconds / 3600) end
  return ("%.0f days"):format(seconds / 86400)
end

function Plan:__tostring()
  local lines = {
    ("%s: %s .. %s"):format(self.name, self.from, self.to),
    ("  zone %s, edges %s"):format(self.zone, self.edges),
    ("  %d window%s, at least %d request%s"):format(#self.windows,
      #self.windows == 1 and "" or "s", self.requests, self.requests == 1 and "" or "s"),
    self.seconds
      and ("  at most %s for these at the documented rate"):format(duration(self.seconds))
      or "  the API documents no rate limit",
  }
  if self.past_retention[1] then
    lines[#lines + 1] = ("  %d window%s older than the %s that the data is kept (retention = %q)")
      :format(#self.past_retention, #self.past_retention == 1 and " is" or "s are",
        duration(self.retention), self.on_retention)
  end
  if self.young[1] then
    lines[#lines + 1] = ("  %d window%s younger than the %s in which the data settles"):format(
      #self.young, #self.young == 1 and " is" or "s are", duration(self.lag))
  end
  if self.max_requests then
    lines[#lines + 1] = ("  ends at max_requests = %d%s"):format(self.max_requests,
      self.max_requests < self.requests and ", which is too few" or "")
  end
  if self.max_rows then
    lines[#lines + 1] = ("  ends at max_rows = %d"):format(self.max_rows)
  end
  for _, note in ipairs(self.notes) do lines[#lines + 1] = "  " .. note end
  for _, window in ipairs(self.windows) do
    local span = window.from == window.to and window.from or window.from .. " .. " .. window.to
    lines[#lines + 1] = ("  %3d  %s%s"):format(window.index, span,
      window.event and "  " .. window.event or "")
  end
  return table.concat(lines, "\n")
end

---When a window ends on the clock. Naive times count as if in UTC: what their
---zone makes of them is known only where there is one.
---@param window table
---@param local_zone garner.Zone|nil
---@return number epoch
function M.ends(window, local_zone)
  if not local_zone then return window.to end
  local days = math.floor(window.to / 86400)
  local year, month, day = zone.civil(days)
  local rest = math.floor(window.to - days * 86400)
  return local_zone:epoch(year, month, day, math.floor(rest / 3600), math.floor(rest % 3600 / 60),
    rest % 60)
end

---Is the window wholly older than what the vendor keeps?
---@param window table
---@param retention number|nil seconds
---@param now number epoch
---@return boolean
function M.is_past(window, retention, now)
  return retention ~= nil and (window.ends or window.to) <= now - retention
end

---May the data of the window still change?
---@param window table
---@param lag number|nil seconds
---@param now number epoch
---@return boolean
function M.is_young(window, lag, now)
  return (window.ends or window.to) + (lag or 0) > now
end

---@param source garner.pull.source
---@return garner.plan
function M.new(source)
  local windows, past, young = {}, {}, {}
  local now = source.now or time.now()
  for index, window in ipairs(source.windows) do
    windows[index] = {
      index = index, from = window.from_text, to = window.to_text, event = window.event,
    }
    if M.is_past(window, source.retention, now) then past[#past + 1] = index end
    if source.lag and M.is_young(window, source.lag, now) then young[#young + 1] = index end
  end
  local requests = #windows * (source.requests_per_window or 1)
  local seconds
  if source.rate then
    seconds = math.max(0, requests - (source.rate.burst or 1)) / source.rate.per_second
  end
  return setmetatable({
    name = source.name, from = source.from_text, to = source.to_text, zone = source.zone_name,
    edges = source.edges, windows = windows, requests = requests, seconds = seconds,
    young = young, lag = source.lag, max_requests = source.max_requests,
    max_rows = source.max_rows, past_retention = past, retention = source.retention,
    on_retention = source.on_retention or "warn", notes = source.notes or {},
  }, Plan)
end

return M
