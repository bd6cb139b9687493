-- Owns: the progress object of design's "Progress", how often it is shown, and the
-- one terminal line of `progress = true`.
-- Must not: know what is being done; whoever works fills in the fields.

local compat = require "garner.compat"
local core = require "garner.core"

local M = {}

local INTERVAL = 0.25 -- seconds: at most four a second

---@class garner.Progress
---@field windows_done integer|nil
---@field windows_total integer|nil
---@field jobs integer|nil jobs that are still being waited for
---@field rows integer|nil
---@field bytes integer|nil
---@field bytes_total integer|nil of a download
---@field requests integer|nil
---@field eta number|nil seconds
---@field waiting_for string|nil what the work is waiting for
local Progress = {}
Progress.__index = Progress

local UNITS = { "kB", "MB", "GB", "TB" }

local function show_bytes(n)
  local unit = "B"
  for _, bigger in ipairs(UNITS) do
    if n < 1000 then
      break
    end
    n, unit = n / 1000, bigger
  end
  return string.format(unit == "B" and "%d %s" or "%.1f %s", n, unit)
end

local function show_time(seconds)
  if seconds >= 3600 then
    return string.format("%d h %02d min", math.floor(seconds / 3600),
      math.floor(seconds % 3600 / 60))
  elseif seconds >= 60 then
    return string.format("%d min %02d s", math.floor(seconds / 60), math.floor(seconds % 60))
  end
  return string.format("%d s", math.floor(seconds + 0.5))
end

local function count(parts, n, one, many)
  if n then
    parts[#parts + 1] = string.format("%d %s", n, n == 1 and one or many)
  end
end

function Progress:__tostring()
  local parts = {}
  if self.windows_total then
    parts[1] = string.format("%d/%d windows", self.windows_done or 0, self.windows_total)
  else
    count(parts, self.windows_done, "window", "windows")
  end
  count(parts, self.jobs, "job", "jobs")
  count(parts, self.rows, "row", "rows")
  count(parts, self.requests, "request", "requests")
  if self.bytes then
    parts[#parts + 1] = show_bytes(self.bytes)
      .. (self.bytes_total and " of " .. show_bytes(self.bytes_total) or "")
  end
  if self.eta then
    parts[#parts + 1] = "about " .. show_time(self.eta) .. " left"
  end
  if self.waiting_for then
    parts[#parts + 1] = "waiting for " .. tostring(self.waiting_for)
  end
  return #parts > 0 and table.concat(parts, ", ") or "nothing yet"
end

local hidden = setmetatable({}, { __mode = "k" })

local function draw(progress, state)
  local line = tostring(progress):gsub("%c", " "):sub(1, 150)
  local rest = state.width - #line
  state.width = #line
  state.out:write("\r", line, rest > 0 and (" "):rep(rest) or "")
  state.out:flush()
end

local function show(progress, state)
  state.shown, state.dirty = core.now(), false
  if state.line then
    draw(progress, state)
  end
  if state.fn then
    state.fn(progress)
  end
end

--- Sets fields and shows the progress if the last time is 250 ms ago.
---@param fields table|nil
function Progress:update(fields)
  local state = hidden[self]
  for name, value in pairs(fields or {}) do
    self[name] = value
  end
  state.dirty = true
  if state.shown == nil or core.now() - state.shown >= INTERVAL then
    show(self, state)
  end
end

--- Adds to number fields, then like `update`.
---@param fields table
function Progress:add(fields)
  for name, value in pairs(fields) do
    self[name] = (self[name] or 0) + value
  end
  self:update()
end

--- Shows the last state if it was not shown, and ends the terminal line.
---@param fields table|nil set first
function Progress:finish(fields)
  local state = hidden[self]
  if state.finished then
    return
  end
  state.finished = true
  for name, value in pairs(fields or {}) do
    state.dirty = state.dirty or self[name] ~= value
    self[name] = value
  end
  self.waiting_for, self.eta = nil, nil
  if state.dirty then
    show(self, state)
  end
  if state.line and state.shown then
    state.out:write("\n")
    state.out:flush()
  end
end

--- Makes a progress object.
---@param opts table|nil `progress`: true draws one terminal line on stderr (nothing where there
--- is no terminal), a function gets the object; `on_progress`: the same; `out`, `tty`: for tests
---@return garner.Progress
function M.new(opts)
  opts = opts or {}
  local fn = opts.on_progress
  if compat.callable(opts.progress) then
    fn = opts.progress
  end
  local line = opts.progress == true
  if line then
    line = opts.tty
    if line == nil then
      line = core.isatty(2)
    end
  end
  local progress = setmetatable({}, Progress)
  hidden[progress] = { fn = fn, line = line, out = opts.out or io.stderr, width = 0, dirty = false }
  return progress
end

return M
