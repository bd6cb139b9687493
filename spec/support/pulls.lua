-- Owns: made-up sources for the specs of pulls, and a clock that stands still
-- until somebody waits. No server, no vendor.

local driver = require "garner.driver"
local errors = require "garner.errors"
local pull = require "garner.pull"
local time = require "garner.time"
local window = require "garner.window"

local M = {}

-- A wall clock far after all data, unless a test says otherwise.
M.NOW = 2000000000

function M.windows(from, to, max, edges, granularity)
  local range = { kind = "instant", from = from, to = to, zone = time.zone "UTC" }
  local windows = assert(window.plan(range,
    { max = max, edges = edges, granularity = granularity or 1 }))
  for _, each in ipairs(windows) do
    each.from_text, each.to_text = time.format(each.from), time.format(each.to)
  end
  return windows
end

-- A source of four windows of 100 s, one row each, and what it logs.
function M.source(fields)
  local logged = {}
  local source = {
    client = { log = function(level, event, about)
      logged[#logged + 1] = { level = level, event = event, fields = about }
    end },
    name = "made-up rows", from = 0, to = 400, edges = "[)", zone_name = "UTC", now = M.NOW,
    fetch = function(each) return { rows = { { n = each.index } } } end,
  }
  for name, value in pairs(fields or {}) do source[name] = value end
  source.windows = source.windows or M.windows(source.from, source.to, source.max or 100,
    source.edges)
  source.from_text, source.to_text = time.format(source.from), time.format(source.to)
  return source, logged
end

function M.new(fields)
  local source, logged = M.source(fields)
  return assert(pull.new(source)), logged
end

function M.numbers(rows)
  local out = {}
  for index, row in ipairs(rows) do out[index] = row.n end
  return out
end

function M.states(made)
  local out = {}
  for index, each in ipairs(made:coverage()) do out[index] = each.state end
  return out
end

-- A fetch that fails for some windows, and gives a row for the others.
function M.failing(kind, which)
  return function(each)
    if which[each.index] then
      return nil, errors.new { kind = kind, message = "window " .. each.index .. " broke",
        status = 500, request_id = "r-" .. each.index }
    end
    return { rows = { { n = each.index } } }
  end
end

-- A driver whose clock moves by what is slept.
---@return table driver with `slept`, the list of waits
function M.clock()
  local fake = { at = 5000, slept = {} }
  function fake.now() return fake.at end
  function fake.sleep(seconds)
    fake.slept[#fake.slept + 1] = seconds
    fake.at = fake.at + seconds
  end
  function fake.wait(_, deadline) fake.at = deadline or fake.at end
  function fake.yieldable() return false end
  return driver.use(fake)
end

return M
