-- Owns: `garner.wait`, asking a function again and again until it has a value.
-- Must not: run without a deadline.

local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"

local function fraction(value)
  if value == false then
    return 0
  elseif value == true then
    return 0.25
  elseif type(value) == "number" and value >= 0 and value <= 1 then
    return value
  end
  return nil, "must be a number from 0 to 1, or false, got " .. options.show(value)
end

local SCHEMA = {
  timeout = options.duration, first = options.duration, factor = options.factor,
  cap = options.duration, jitter = fraction,
}

--- Calls a function until it returns something: waits in between, longer and longer.
--- nil or false means "not yet"; nil and an error is final.
---@param fn fun(): any, any may itself wait
---@param opts table|nil durations in seconds or text: `timeout` (default 30 min), `first` wait
--- (1 s), `factor` (1.5), `cap` (20 s), `jitter` (0.25: a wait is up to a quarter shorter)
---@return any|nil value, and what else fn returned
---@return any err fn's own, or kind "timeout", code "wait"
return function(fn, opts)
  if not compat.callable(fn) then
    errors.misuse("garner.wait: give a function, got " .. options.show(fn))
  end
  opts = options.check(opts, SCHEMA, "garner.wait")
  local timeout, cap = opts.timeout or 1800, opts.cap or 20
  local pause, jitter = opts.first or 1, opts.jitter or 0.25
  local clock = driver.current().now
  local deadline = clock() + timeout
  local looks = 0
  while true do
    local result = compat.pack(fn())
    looks = looks + 1
    if result[1] then
      return compat.unpack(result, 1, result.n)
    elseif result[2] ~= nil then
      return nil, result[2]
    end
    local left = deadline - clock()
    if left <= 0 then
      return nil, errors.new {
        kind = "timeout", code = "wait", looks = looks,
        message = string.format("still not there after %g s (asked %d times)", timeout, looks),
      }
    end
    local span = math.min(pause, cap) * (1 - jitter * core.random())
    driver.current().sleep(math.min(span, left))
    pause = math.min(pause * (opts.factor or 1.5), cap)
  end
end
