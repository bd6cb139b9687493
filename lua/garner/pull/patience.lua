-- Owns what `on_not_ready = "wait"` means for one window: it is asked for again,
-- with growing pauses, until the vendor has it and, where it is young, until
-- two answers agree; or until its time is up. It must not know how a window is
-- fetched, nor give any row before that.

local driver = require "garner.driver"
local errors = require "garner.errors"
local rows = require "garner.rows"

local M = {}

-- Seconds a window is waited for, and the pauses between two looks at it.
M.BUDGET, M.FIRST, M.FACTOR, M.CAP = 3600, 60, 1.5, 600

-- What may be over at the next look, where the window is waited for anyway.
local PASSING = { transport = true, timeout = true, server = true, throttled = true,
  protocol = true }

local UNSETTLED = "its rows may still change"
local CHANGED = "its rows changed since the look before"

-- All rows of an answer as a list: two answers cannot be compared while they
-- are read.
local function drain(answer)
  local list = answer.rows or {}
  if type(list) == "function" then
    local next_row = list
    list = {}
    while true do
      local row, err = next_row()
      if row == nil then
        if err then return nil, err end
        break
      end
      list[#list + 1] = row
    end
    answer.rows = list
  end
  return list
end

---@class garner.pull.watch
---@field source garner.pull.source
---@field window table
---@field ask fun(): table|nil, garner.Error|nil one look at the window
---@field pause fun(seconds: number, why: string)
---@field age fun(): number seconds since the window's end

-- Why the window must be looked at again; nil: the answer stands.
local function open_reason(watch, young, answer, err)
  local window = watch.window
  if err then
    if err.retryable == false then return nil end
    local job = err.kind == "timeout" and err.code == "job" and window.job ~= nil
    if err.kind == "not_ready" or job or PASSING[err.kind] and (young or watch.looks > 1) then
      return err.message
    end
    return nil
  end
  if answer.state == "not_ready" then
    if answer.err and answer.err.retryable == false then return nil end
    return answer.reason or answer.err and answer.err.message or "not ready yet"
  end
  if answer.state or not young then return nil end
  local list, broken = drain(answer)
  if not list then return open_reason(watch, young, nil, broken), broken end
  local before = watch.seen
  watch.seen = rows.fingerprint(list, watch.source)
  if before == watch.seen then return nil end
  -- The next look is to be at new data, not at what the same job made.
  window.job = nil
  return before and CHANGED or UNSETTLED
end

local function duration(seconds)
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  return seconds < 7200 and ("%.0f min"):format(seconds / 60)
    or ("%.1f h"):format(seconds / 3600)
end

-- The time is up: what is known says so, and rows that are not settled stay back.
local function give_up(watch, why, spent, answer, err)
  local text = ("%s; still so after waiting %s (asked %d times)"):format(
    why:gsub("[%s.]+$", ""), duration(spent), watch.looks)
  if err then
    err.message = text
    return nil, err
  end
  if answer.state ~= "not_ready" then
    answer.err = errors.new { kind = "not_ready", code = "unsettled", message = text }
  end
  answer.state, answer.reason = "not_ready", text
  return answer
end

-- One look. True and the answer, or false, why it does not stand, and how long
-- the window may still be waited for.
local function look(watch, clock)
  local source = watch.source
  local young = watch.age() < (source.settle_after or source.lag or 0)
  local answer, err = watch.ask()
  watch.looks = watch.looks + 1
  local why, broken = open_reason(watch, young, answer, err)
  if broken then answer, err = nil, broken end
  if not why then return true, answer, err end
  local now = clock()
  watch.begun = watch.begun or now
  local left = watch.begun + (source.wait_budget or M.BUDGET) - now
  if left <= 0 then return true, give_up(watch, why, now - watch.begun, answer, err) end
  return false, why, left
end

---The window's last answer, once it stands or its time is up.
---@param watch garner.pull.watch
---@return table|nil answer
---@return garner.Error|nil
function M.fetch(watch)
  local source = watch.source
  local clock = driver.current().now
  local span, cap = source.wait_first or M.FIRST, source.wait_cap or M.CAP
  watch.looks = 0
  while true do
    -- Rows of an answer that does not stand are not kept over the pause.
    local done, one, other = look(watch, clock)
    if done then return one, other end
    span = math.min(span, cap)
    watch.pause(math.min(span, other), one)
    span = span * (source.wait_factor or M.FACTOR)
  end
end

return M
