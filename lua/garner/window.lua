--- Cuts a range of time into windows that one request each may ask for.
-- Owns the arithmetic of edges, granularity and the longest span an API takes.
-- Must not read a clock, know an API or send anything: the same range always
-- gives the same windows. What a range means is garner.time's.

local time = require "garner.time"

local M = {}

local floor = math.floor

local EDGES = { ["[]"] = true, ["[)"] = true, ["(]"] = true, ["()"] = true }
local MAX_WINDOWS = 100000

local function misuse(message)
  require("garner.errors").misuse(message)
end

local function show(value)
  return type(value) == "string" and '"' .. value .. '"' or tostring(value)
end

local function positive(name, value)
  local seconds, message = time.duration(value)
  if not seconds then return nil, name .. ": " .. message end
  if seconds == 0 then return nil, name .. ": must be more than 0" end
  return seconds
end

-- All sums are done in whole ticks, a second each or else a microsecond, since
-- sums of fractions drift.
local function ticks_per_second(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if value ~= floor(value) then return 1000000 end
  end
  return 1
end

local function to_ticks(seconds, per_second)
  return floor(seconds * per_second + 0.5)
end

local function to_seconds(ticks, per_second)
  if per_second == 1 then return ticks end
  local seconds = floor(ticks / per_second)
  return ticks % per_second == 0 and seconds or ticks / per_second
end

local function round_up(ticks, step)
  return ticks + (step - ticks % step) % step
end

local DAY = 86400

-- The sizes of windows on a grid, in ticks, each a multiple of the one before.
local function levels_of(p, align, span)
  local levels = { align }
  local most = floor(span / align) * align
  local day = floor(DAY * p.per_second / align) * align
  if day > align and day < most then levels[2] = day end
  local size = levels[#levels]
  most = floor(most / size) * size
  if most > size then levels[#levels + 1] = most end
  return levels
end

-- Everything that the windows of a range have in common, or nil, message.
local function prepare(range, options)
  local edges = options.edges or "[)"
  if not EDGES[edges] then
    return nil, ('edges: must be "[]", "[)", "(]" or "()", got %s'):format(show(edges))
  end
  local grain, message = positive("granularity", options.granularity or 1)
  if not grain then return nil, message end
  local max = options.max
  if max ~= nil then
    max, message = positive("max", max)
    if not max then return nil, message end
  end
  local align
  if options.align then
    align, message = positive("align", options.align)
    if not align then return nil, message end
  end
  local per_second = ticks_per_second(range.from, range.to, grain, max or 0, align or 0)
  local step = to_ticks(grain, per_second)
  if step < 1 then return nil, "granularity: must be at least a microsecond" end
  local first, last = to_ticks(range.from, per_second), to_ticks(range.to, per_second)
  local open_start = edges:sub(1, 1) == "("
  if open_start then
    -- Where a start is excluded, "a step earlier" must be an instant at which
    -- the API can have nothing between it and the start: both on the grid.
    first, last = round_up(first, step), round_up(last, step)
    if first >= last then
      return nil, ("the range lies between two steps of the API (%s s)"):format(tostring(grain))
    end
  end
  local span = last - first
  if max then
    span = to_ticks(max, per_second)
    if edges == "()" then span = span - step end
    if open_start then span = floor(span / step) * step end
    if span < 1 then
      return nil, ("max: %s leaves no room for a step of the API (%s s)"):format(
        show(options.max), tostring(grain))
    end
  end
  -- One constructor, no field written twice: LuaJIT of 2023 compiles a read
  -- after two writes of a new table's field into the first one's value.
  return { range = range, per_second = per_second, edges = edges, grain = step, first = first,
    last = last, open_start = open_start, moved_end = edges == "(]", span = span, max = max,
    align = align and to_ticks(align, per_second),
    count = floor((last - first + span - 1) / span) }
end

-- What is asked for is the window from `from` to `to`; `first` and `last` are how much of it lies
-- in the range.
local function made(p, index, from, to, first, last)
  local per_second = p.per_second
  return {
    index = index,
    from = first == p.first and p.range.from or to_seconds(first, per_second),
    to = last == p.last and p.range.to or to_seconds(last, per_second),
    send_from = to_seconds(p.open_start and from - p.grain or from, per_second),
    send_to = to_seconds(p.moved_end and to - p.grain or to, per_second),
  }
end

local function window(p, index)
  local from = p.first + (index - 1) * p.span
  local to = index == p.count and p.last or from + p.span
  return made(p, index, from, to, from, to)
end

-- The largest cell that begins here, has all its data, and is not mostly unasked for.
local function cell_at(p, levels, at, settled)
  for i = #levels, 2, -1 do
    local size = levels[i]
    if at % size == 0 and at >= p.first and at + size <= math.min(p.last, settled) then
      return size
    end
  end
  return levels[1]
end

local function too_many(count)
  return ("the range would take %d windows, at most %d are planned"):format(count, MAX_WINDOWS)
end

-- Windows that are the same whatever range asks for them: whole cells of the grid, as long as
-- they lie before `settled`; what comes after is one window, from a point of the grid on.
local function on_grid(p, settled)
  local align, windows = p.align, {}
  -- Without a longest window cells are joined to days at most.
  local span = p.max and p.span or math.max(DAY * p.per_second, align)
  if align % p.grain ~= 0 then return nil, "align: must be a multiple of the granularity" end
  if span < align then return nil, "align: is longer than the longest window" end
  local levels = levels_of(p, align, span)
  settled = floor(to_ticks(settled, p.per_second) / align) * align
  local at = floor(p.first / align) * align
  while at < p.last do
    local to
    if at < settled then
      to = at + cell_at(p, levels, at, settled)
    else
      to = math.min(p.last, at + (p.max and floor(span / align) * align or p.last - at))
    end
    local each = made(p, #windows + 1, at, to, math.max(at, p.first), math.min(to, p.last))
    each.whole = at < settled
    windows[#windows + 1] = each
    if #windows > MAX_WINDOWS then return nil, too_many(#windows) end
    at = to
  end
  return windows
end

-- What is planned decides what is asked for, so it is counted once more that no
-- instant of the range is left out: a wrong plan must never look like a whole one.
local function check(windows, range)
  local at = range.from
  for _, each in ipairs(windows) do
    if each.from ~= at or each.to <= each.from then break end
    at = each.to
  end
  if at ~= range.to then
    error("garner: the planned windows are not the range that was asked for", 0)
  end
end

---@class garner.Window
---@field index integer from 1
---@field from number epoch; this window's rows have from <= time < to
---@field to number epoch, the next window's `from`
---@field send_from number epoch to ask for, as the API's edges demand
---@field send_to number epoch to ask for
---@field whole? boolean of a plan on a grid: it is a cell of it, not what comes after the last

--- Plan the windows of an instant or naive range.
---
--- `[from, to)` of all windows together is exactly the range, without overlap,
--- and `send_to - send_from` is never more than `max`. What is sent depends on
--- which ends the API takes as its own:
---   * `"[)"`: from and to as they are;
---   * `"[]"`: the same, so neighbours share their edge instant, and the last
---     window also asks for the instant at the range's end;
---   * `"(]"`: both ends one granularity step earlier;
---   * `"()"`: the start one step earlier, the span shorter by a step.
--- For the last two, windows begin on multiples of the granularity; a range that
--- does not is sent widened to the next step where that loses nothing.
---@param range garner.Range
---
--- With `align` windows are cut on a grid and asked for whole, so that overlapping ranges ask for
--- the same ones: `send_from` and `send_to` may then lie outside the range (rows there are not
--- the caller's).
---@param options? { max?: number|string, edges?: string, granularity?: number|string,
--- align?: number|string, settled?: number } max: longest span of a request (none if left out);
--- edges: default "[)"; granularity: the API's smallest step, default 1 s; align: a multiple of
--- that, such as "1h"; settled: the epoch before which whole cells of the grid are asked for,
--- joined to larger ones where the range has them all (default: the range's end)
---@return garner.Window[]|nil windows
---@return string|nil message
function M.plan(range, options)
  if type(range) ~= "table" or not range.from or not range.to then
    misuse("window.plan: expected a range of instants")
  end
  local p, message = prepare(range, options or {})
  if not p then return nil, message end
  if p.count > MAX_WINDOWS then return nil, too_many(p.count) end
  local windows = {}
  if p.align then
    windows, message = on_grid(p, options.settled or range.to)
    if not windows then return nil, message end
  else
    for index = 1, p.count do windows[index] = window(p, index) end
  end
  check(windows, range)
  return windows
end

local KNOWN = { from = true, to = true, date = true, zone = true, max = true, edges = true,
  granularity = true, kind = true }

local function check_options(spec)
  if type(spec) ~= "table" then return "expected a table of options, got " .. type(spec) end
  local unknown = {}
  for name in pairs(spec) do
    if not KNOWN[name] then unknown[#unknown + 1] = tostring(name) end
  end
  if #unknown > 0 then
    table.sort(unknown)
    return "unknown option " .. table.concat(unknown, ", ") .. " (date, edges, from, granularity, "
      .. "kind, max, to, zone)"
  end
  if spec.kind ~= nil and spec.kind ~= "instant" and spec.kind ~= "naive" then
    return 'kind: must be "instant" or "naive", got ' .. show(spec.kind)
  end
end

--- Split a range for your own requests:
---
---     for w in garner.window.split { from = "2026-11-01", to = "2026-11-03", max = "8h" } do
---       print(w.from, w.to)
---     end
---
--- `from`, `to`, `date` and `zone` are those of every pull; `max`, `edges` and
--- `granularity` those of `plan`; `kind = "naive"` gives local times without an
--- offset. A wrong option raises at the caller's line. Each `w` has `from` and
--- `to` (RFC 3339 text in the zone: what to send), `index`, `count`, and the
--- epochs `starts` and `ends`: rows with starts <= time < ends are this window's.
---@param spec table
---@return fun(): table|nil
function M.split(spec)
  local problem = check_options(spec)
  local range, p
  if not problem then
    range, problem = time.range(spec, { kind = spec.kind })
  end
  if range then p, problem = prepare(range, spec) end
  if p then
    local first = window(p, 1)
    -- A start moved back across the first of all years cannot be written.
    local fine, why = pcall(time.format, first.send_from, range.zone)
    if not fine then
      require("garner.errors").pass(why)
      p, problem = nil, "the range is outside the years 0000 to 9999"
    end
  end
  if not p then misuse("window.split: " .. problem) end
  local index = 0
  return function()
    if index >= p.count then return nil end
    index = index + 1
    local w = window(p, index)
    return { index = index, count = p.count, starts = w.from, ends = w.to,
      from = time.format(w.send_from, range.zone), to = time.format(w.send_to, range.zone) }
  end
end

return M
