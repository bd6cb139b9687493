-- Owns one wait for reports: shared polls until each has ended, one of each kind of
-- question beside the other, and creating again what failed, where that is allowed and
-- when it is due. It must not know any vendor, nor decide what is allowed.

local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local report = require "garner.report"
local tasks = require "garner.tasks"

local M = {}

-- Nobody waits longer than this to see that a wait was cancelled.
local SLICE = 0.1

-- How long a new job may be unknown to some of the server's machines.
local GRACE = 10

---@class garner.watch.how
---@field deadline number of all of it, on the core's clock
---@field timeout number the same, as it was asked for
---@field first number
---@field factor number
---@field cap number
---@field recreate? { max: number, pause: number }|false instead of what the jobs say
---@field meter garner.Progress
---@field budget? table `spend`
---@field control table `cancel` ends the wait; `cancelled` says so

local function text_of(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local function failed(each)
  local info = type(each.error_info) == "table" and each.error_info or {}
  local metadata = type(info.metadata) == "table" and info.metadata or {}
  local parts = {}
  for name, value in pairs(metadata) do
    parts[#parts + 1] = ("%s=%s"):format(tostring(name), tostring(value))
  end
  table.sort(parts)
  local why = text_of(info.reason) or ("no reason given, status %s"):format(tostring(each.status))
  if text_of(info.domain) then why = why .. ", " .. info.domain end
  if parts[1] then why = why .. ", " .. table.concat(parts, ", ") end
  local tries = each.creates and each.creates > 1 and (" after %d creates"):format(each.creates)
    or ""
  return errors.new { kind = "job_failed", code = text_of(info.reason),
    reason = text_of(info.reason), domain = text_of(info.domain),
    metadata = parts[1] and metadata or nil,
    message = ("report %s failed%s (%s)"):format(report.name(each), tries, why) }
end

---What a report's state means for its error.
---@param each garner.report
function M.judge(each)
  if each.state == "failed" then
    each.err = failed(each)
  elseif each:ready() then
    each.err = nil
  end
end

---Takes in one answer about one report.
---@param each garner.report
---@param element any
function M.apply(each, element)
  if type(element) ~= "table" then return end
  each.raw, each.expired, each.err = element, nil, nil
  each.api.apply(each, element)
  M.judge(each)
end

---@param each garner.report
---@return string
function M.still(each)
  if each.state == "done" then
    return ("report %s is %s but has no link to download it"):format(report.name(each),
      tostring(each.status))
  end
  return ("report %s is still %s"):format(report.name(each), tostring(each.status))
end

local function count(each, what)
  local counts = each.job.counts
  counts[what] = (counts[what] or 0) + 1
end

local function forget(each)
  count(each, "not_found")
  each.state, each.status, each.uri = "lost", "not_found", nil
  each.err = errors.new { kind = "not_found", code = "job", job_id = each.id,
    message = ("the server does not know report %s (id %s) any more"):format(report.name(each),
      tostring(each.id)) }
end

-- Creating again ----------------------------------------------------------------

local function rule_of(each, how)
  if how.recreate ~= nil then return how.recreate end
  return each.job.again
end

---May a report that ended badly be created again? Only what the server gave up or does not know
---any more: what is in doubt is never created again by itself.
---@param each garner.report
---@param how table recreate, if it is not the job's
---@return { max: number, pause: number }|nil
function M.again(each, how)
  local rule = rule_of(each, how)
  if not rule or not (each.state == "failed" or each.status == "not_found") then return nil end
  if not each.api.create or not each.api.can_create(each) then return nil end
  return (each.creates or 1) < rule.max and rule or nil
end

-- When a report that failed is created again, if it is.
local function schedule(each, how)
  local rule = M.again(each, how)
  if not rule then return end
  local now = core.now()
  local due = math.max(now, (each.created_at or now) + rule.pause)
  if due >= how.deadline then
    each.err.message = each.err.message
      .. "; it is not created again, since that would be after the timeout"
    return
  end
  each.due = due
  each.api.client.log("warn", "job.create_again", { report = report.name(each), id = each.id,
    why = each.err.message, creates = each.creates, of = rule.max, pause = due - now })
end

---Creates a report again: its place in the job stays, its id is another.
---@param each garner.report
---@return boolean
function M.create(each)
  each.due = nil
  local list, err, creates = each.api.create(each)
  each.creates = (each.creates or 1) + (creates or 1)
  each.job.creates = each.job.creates + (creates or 1)
  each.created, each.created_at = os.time(), core.now()
  local made = list and list[1]
  if not made then
    each.state, each.err = "lost", err
    each.status = err.kind == "in_doubt" and "in_doubt" or "not_created"
    return false
  end
  for _, name in ipairs { "id", "raw", "state", "status", "uri", "error_info", "err", "query_id",
      "query_status" } do
    each[name] = made[name]
  end
  each.expired = nil
  M.judge(each)
  return true
end

-- One kind of question ----------------------------------------------------------

local function open_of(list)
  local out = {}
  for _, each in ipairs(list) do
    if not each:ended() then out[#out + 1] = each end
  end
  return out
end

local function earliest(list)
  local due
  for _, each in ipairs(list) do
    if each.due and (not due or each.due < due) then due = each.due end
  end
  return due
end

local function by_id(list)
  local out = {}
  for _, each in ipairs(list) do
    -- A server may name one report for several of what was asked for.
    out[each.id] = out[each.id] or {}
    table.insert(out[each.id], each)
  end
  return out
end

local function youngest(list)
  local now, age = core.now(), math.huge
  for _, each in ipairs(list) do age = math.min(age, now - (each.created_at or now)) end
  return age
end

local function on_report(how, reports, state, element)
  for _, each in ipairs(reports or {}) do
    if state == "not_found" then
      forget(each)
    else
      M.apply(each, element)
      each.lacks_uri = state == "no_uri" or nil
    end
    if state == "failed" then count(each, "failed") end
    if state == "failed" or state == "not_found" then schedule(each, how) end
  end
end

local function on_notice(reports, state, element)
  for _, each in ipairs(reports or {}) do
    M.apply(each, element)
    if state == "no_uri" then count(each, "no_uri") end
  end
end

-- What a round of looks costs is spent before it. Gives a function that is called after each
-- round, with the requests it took and how many jobs the next one asks about.
local function rounds_spend(how, spec)
  local per_request = spec.body_key and (spec.batch or 100) or 1
  local charged = 0
  return function(took, left)
    local next_round = math.ceil(left / per_request)
    local due = math.max(0, took - charged) + next_round
    charged = next_round
    if due == 0 or not how.budget then return true end
    return how.budget:spend(due)
  end
end

-- Looks until all of `open` have ended, or until something else is due. Gives true, or nil and
-- an error; third, whether that was all.
local function leg(group, open, how)
  local ids, stopped, asked = by_id(open), nil, 0
  local due = earliest(group.list)
  local ends = math.min(how.deadline, due or how.deadline)
  local spec = group.api.poll(open)
  spec.first, spec.factor, spec.cap = group.pause, how.factor, how.cap
  spec.timeout = math.max(0.001, ends - core.now())
  spec.grace = math.max(0, GRACE - youngest(open))
  spec.handle = {}
  local spend = rounds_spend(how, spec)
  local function stop(why)
    stopped = why
    if spec.handle.cancel then spec.handle.cancel() end
  end
  group.stop = stop
  spec.on_notice = function(id, state, element) on_notice(ids[id], state, element) end
  spec.on_progress = function(at)
    how.polls[group] = at.pending
    local took = at.polls - asked
    how.requests, asked = how.requests + took, at.polls
    group.pause = math.min(how.cap, math.max(group.pause, 0.01) * how.factor)
    how.show()
    local soon = earliest(group.list)
    local good, err = spend(took, at.pending)
    if not good then
      stop(err)
    elseif soon and soon < ends then
      stop "due" -- nothing is in flight between two rounds
    end
  end
  local good, short = spend(0, #spec.ids)
  if not good then return nil, short end
  local ok, err = group.api.client:poll(spec, function(id, state, element)
    on_report(how, ids[id], state, element)
  end)
  group.stop = nil
  if stopped == "due" then return true end
  if ok then return true, nil, not earliest(group.list) end
  if errors.is(stopped) then return nil, stopped end
  if due and err.kind == "timeout" and err.code == "job" and core.now() < how.deadline then
    return true
  end
  return nil, err
end

local function cancelled()
  return errors.new { kind = "cancelled", code = "cancelled", message = "cancelled" }
end

local function pause_until(when, how)
  while core.now() < when and not how.control.cancelled do
    driver.current().sleep(math.min(SLICE, when - core.now()))
  end
end

local function create_due(group, how)
  for _, each in ipairs(group.list) do
    if each.due and each.due <= core.now() then
      if how.budget then
        local ok, err = how.budget:spend(1)
        if not ok then return nil, err end
      end
      how.requests = how.requests + 1
      M.create(each)
      group.pause = how.first
    end
  end
  return true
end

local function watch_group(group, how)
  while true do
    if how.control.cancelled then return nil, cancelled() end
    local ok, err = create_due(group, how)
    local open, due = open_of(group.list), earliest(group.list)
    local done = ok and not open[1] and not due
    if ok and open[1] then
      ok, err, done = leg(group, open, how)
    elseif ok and due then
      pause_until(due, how)
    end
    if done or not ok then return ok, err end
  end
end

-- The polls ended early: every report that is still open says why.
local function mark_open(list, err, timeout)
  -- The core's own words on why it does not know better.
  local failure = err.message:match "; the last look failed: .*$" or ""
  for _, each in ipairs(list) do
    each.due = nil
    if not each:ended() then
      if err.kind == "timeout" and err.code == "job" then
        local lacks = each.lacks_uri
        each.err = errors.new { kind = lacks and "protocol" or "timeout",
          code = lacks and "no_uri" or "job", attempts = err.attempts, status = err.status,
          job_status = each.status, retryable = true,
          message = ("%s after %g s%s"):format(M.still(each), timeout, failure) }
      else
        each.err = err
      end
    end
  end
end

local function groups_of(list, first)
  local groups, of = {}, {}
  for _, each in ipairs(list) do
    local group = of[each.api]
    if not group then
      group = { api = each.api, list = {}, pause = first }
      of[each.api], groups[#groups + 1] = group, group
    end
    table.insert(group.list, each)
  end
  return groups
end

local function watch_all(groups, how)
  if not groups[2] then
    groups[1].ok, groups[1].err = watch_group(groups[1], how)
    return
  end
  local calls = {}
  for index, group in ipairs(groups) do
    calls[index] = function()
      group.ok, group.err = watch_group(group, how)
      return true
    end
  end
  for _, result in ipairs(tasks.all(calls)) do
    if result.raised then error(result.err, 0) end
  end
end

---Watches reports until each has ended. What became of them is in them.
---@param list garner.report[] those that have not ended
---@param how garner.watch.how
function M.run(list, how)
  local groups = groups_of(list, how.first)
  for _, each in ipairs(list) do schedule(each, how) end
  how.polls, how.requests = {}, 0
  function how.show()
    local pending = 0
    for _, n in pairs(how.polls) do pending = pending + n end
    how.meter:update { jobs = pending, requests = how.requests }
  end
  function how.control.cancel()
    how.control.cancelled = true
    for _, group in ipairs(groups) do
      if group.stop then group.stop(cancelled()) end
    end
  end
  local unbroken, why = compat.guard(watch_all, groups, how)
  how.control.cancel = nil
  if not unbroken then error(why, 0) end
  for _, group in ipairs(groups) do
    if not group.ok then
      if group.err.kind == "cancelled" then
        group.err.message = "the wait was cancelled; the reports are still being made at the vendor"
      end
      mark_open(group.list, group.err, how.timeout)
    end
  end
end

---One look, now, at reports that have not ended.
---@param list garner.report[]
---@return true|nil
---@return garner.Error|nil
function M.look(list)
  for _, group in ipairs(groups_of(list, 0)) do
    local ids = by_id(group.list)
    local spec = group.api.poll(group.list)
    spec.once, spec.grace = true, math.max(0, GRACE - youngest(group.list))
    local ok, err = group.api.client:poll(spec, function(id, state, element)
      for _, each in ipairs(ids[id] or {}) do
        if state == "not_found" then forget(each) else M.apply(each, element) end
      end
    end)
    if not ok then return nil, err end
  end
  return true
end

return M
