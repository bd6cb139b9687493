-- Owns a pull while it runs: windows fetched side by side and taken in plan
-- order, what each answer makes of its window, and the rows of all, one after
-- the other. It must not know how rows are given away or files are written.

local coverage = require "garner.coverage"
local driver = require "garner.driver"
local errors = require "garner.errors"
local patience = require "garner.pull.patience"
local plan = require "garner.plan"
local progress = require "garner.progress"
local rows = require "garner.rows"
local tasks = require "garner.tasks"

local M = {}

-- Windows in flight.
M.CONCURRENCY = 4

-- Errors that the next window would only repeat. The second list counts only
-- until a first window has answered: after that it is about the window.
local FATAL = { unauthenticated = true, forbidden = true, cancelled = true, memory = true,
  truncated = true, file = true }
local FATAL_AT_FIRST = { invalid = true, not_found = true }

local OUT_OF_REQUESTS = "requests" -- code of kind "truncated"

---@class garner.pull.run
---@field state string running, done or closed
---@field given number rows given
local Run = {}
Run.__index = Run

local function rules_of(self, pull)
  local source = self.source
  return {
    from = source.from, to = source.to, time = source.time, key = source.key,
    identity = source.identity or rows.identity,
    on_conflict = function(older, newer)
      pull.conflicts = pull.conflicts + 1
      source.client.log("warn", "pull.conflict", {
        pull = source.name, time = older.time, count = pull.conflicts,
        older = older.value, newer = newer.value,
      })
    end,
    on_outside = function(row)
      pull.outside = pull.outside + 1
      source.client.log("warn", "pull.outside", {
        pull = source.name, time = row.time, count = pull.outside,
      })
    end,
  }
end

-- Progress --------------------------------------------------------------------

-- What is slow: the windows that the vendor does not have yet, else the one
-- whose rows come next.
local function waiting_for(self)
  local first, count = nil, 0
  for index in pairs(self.paused) do
    first, count = math.min(first or index, index), count + 1
  end
  local at = first or math.min(self.taken + 1, #self.record)
  local record = self.record[at]
  if not record then return nil end
  local text = record.from
  if record.event then text = record.event .. " " .. text end
  if not first then return text end
  return ("%s%s (%s)"):format(text, count > 1 and (" and %d more"):format(count - 1) or "",
    self.paused[first])
end

-- What is left takes as long as what is done took.
local function show_progress(self)
  local done, total, jobs = self.taken, #self.record, 0
  for index in pairs(self.asking) do
    if self.source.windows[index].job then jobs = jobs + 1 end
  end
  local spent = driver.current().now() - self.begun
  self.meter:update { windows_done = done, windows_total = total, rows = self.given,
    jobs = (jobs > 0 or self.meter.jobs) and jobs or nil, requests = self.budget.spent,
    bytes = self.bytes, waiting_for = waiting_for(self),
    eta = done > 0 and (done < total and spent / done * (total - done) or 0) or nil }
end

-- Fetching --------------------------------------------------------------------

-- One look at a window. A source that does not count its requests says how
-- many there were in its answer.
local function ask(self, index, how, part)
  local window, before = self.source.windows[index], part.spent
  self.asking[index] = true
  local answer, err = how(window, part)
  self.asking[index] = nil
  if part.spent == before and not errors.is(err, "truncated") then
    part:spend(answer and answer.requests or 1)
  end
  self.record[index].requests = part.spent
  if answer and answer.bytes then self.bytes = (self.bytes or 0) + answer.bytes end
  return answer, err
end

-- Runs beside the fetches of other windows.
local function fetch_window(self, index, how)
  local source, window, record = self.source, self.source.windows[index], self.record[index]
  if source.on_retention == "skip" and plan.is_past(window, source.retention, source.now) then
    return { skipped = true }
  end
  if self.budget.exhausted then return { unasked = true } end
  record.state = "pending"
  local part = self.budget:part()
  local function look() return ask(self, index, how, part) end
  if source.on_not_ready ~= "wait" then return look() end
  return patience.fetch {
    source = source, window = window, ask = look,
    age = function()
      return source.now + (driver.current().now() - self.begun) - (window.ends or window.to)
    end,
    pause = function(seconds, why)
      record.reason = why
      self.paused[index] = ("%s; asked again in %.0f s"):format(why, seconds)
      show_progress(self)
      -- The caller's function ended the pull: nobody takes what this window gives.
      if not self.stream then error("the pull has ended", 0) end
      self.stream:pause(index, seconds)
      self.paused[index], record.reason = nil, nil
    end,
  }
end

---Begins to run a pull's plan.
---@param source garner.pull.source
---@param pull garner.pull its record, budget and counts are kept up to date
---@param how fun(window: table, budget: garner.pull.budget): table|nil, garner.Error|nil
---@return garner.pull.run
function M.new(source, pull, how)
  local self = setmetatable({
    source = source, record = pull.record, budget = pull.budget, state = "running",
    begun = driver.current().now(), given = 0, fetched = 0, taken = 0, asking = {}, paused = {},
  }, Run)
  self.merger = rows.merger(rules_of(self, pull))
  self.meter = progress.new { progress = source.progress, on_progress = source.on_progress }
  self.stream = tasks.ordered {
    count = #source.windows, concurrency = source.concurrency or M.CONCURRENCY,
    run = function(index) return fetch_window(self, index, how) end,
  }
  show_progress(self)
  return self
end

-- Ending ----------------------------------------------------------------------

-- A window that nobody will ask for any more says why.
local function explain_open(self, why)
  for _, window in ipairs(self.record) do
    if window.state == "planned" then
      window.reason = window.reason or "not asked for: " .. why
    elseif window.state == "pending" then
      window.reason = "not finished: " .. why
        .. (window.reason and " (" .. window.reason .. ")" or "")
    end
  end
end

local function shut(self, state, why)
  self.state = state
  local stream = self.stream
  self.stream, self.feed = nil, nil
  if stream then stream:close() end
  if why then explain_open(self, why) end
  self.meter:finish { rows = self.given, requests = self.budget.spent, bytes = self.bytes }
end

---Why there are no more rows, where the pull was closed before its end.
---@return garner.Error|nil kind "cancelled"
function Run:closed()
  if self.state ~= "closed" or self.stopped then return nil end
  return errors.new { kind = "cancelled", windows = coverage.open(self.record),
    message = self.source.name .. ": the pull was closed before its end" }
end

---Ends what is in flight; further rows are nil.
function Run:close()
  if self.state == "running" then shut(self, "closed", "the pull was closed") end
end

---Ends it with an error for who waits for rows.
---@param err garner.Error
function Run:stop(err)
  if self.state ~= "running" then return end
  shut(self, "closed", err.message)
  err.windows = coverage.open(self.record)
  self.stopped = err
end

local OF_CAUSE = { "method", "status", "code", "rpc_code", "request_id", "messages", "retryable",
  "retry_after", "attempts", "url", "body", "headers", "reason", "domain", "metadata", "details",
  "latest" }

local function hole_error(source, holes)
  local first = holes[1]
  local cause = first.err
  local more = #holes > 1 and (", and %d more window%s"):format(#holes - 1,
    #holes > 2 and "s" or "") or ""
  local fields = {
    kind = "hole", windows = holes, cause = cause,
    service = source.service, operation = source.operation,
    message = ("no complete data for %s%s: %s%s; see err.windows"):format(first.from,
      first.from ~= first.to and " .. " .. first.to or "",
      ((first.reason or first.state):gsub("[%s.]+$", "")), more),
  }
  if cause then
    for _, name in ipairs(OF_CAUSE) do fields[name] = cause[name] end
  end
  return errors.new(fields)
end

local function finish(self)
  local ended = self.fatal or self.ended
  shut(self, "done", ended and ended.message)
  if ended then
    ended.windows = coverage.open(self.record)
    return nil, ended
  end
  local holes = coverage.holes(self.record)
  if holes[1] then return nil, hole_error(self.source, holes) end
  return nil
end

-- Outcomes of windows -----------------------------------------------------------

-- No rows of this window: what the one before it held back is next.
local function give_none(self, index)
  self.feed, self.feeding = self.merger:release(), index
end

-- Windows that were fetched before the requests ran out still give their rows.
local function out_of_requests(self, index, err)
  local record = self.record[index]
  self.ended = self.ended or err
  record.state, record.err, record.reason = "failed", err, err.message
  if (record.requests or 0) == 0 then
    record.state, record.reason = "planned", "not asked for: " .. self.ended.message
  end
  give_none(self, index)
end

-- An error ends its window, or the whole pull where going on is pointless.
local function window_failed(self, index, err)
  local record = self.record[index]
  if err.kind == "truncated" and err.code == OUT_OF_REQUESTS then
    return out_of_requests(self, index, err)
  end
  record.state, record.err, record.reason = coverage.state_of(err), err, err.message
  give_none(self, index)
  -- What a file host says is no verdict on the client's credential.
  local own = not (err.download and err.status)
  if own and (FATAL[err.kind] or FATAL_AT_FIRST[err.kind] and self.fetched == 0) then
    self.fatal = err
  elseif record.state == "not_ready" and self.source.on_not_ready == "skip" then
    record.skipped = true
  end
end

-- A warning and no data is never "empty", whatever the source makes of it.
local function warned_empty(record, state)
  local warning = record.warnings[1]
  if state or not warning then return state end
  record.reason = record.reason or warning.message or "the server warns, and sent no data"
  return "not_ready"
end

-- The window's data is not simply there. Its rows, if it has any, are withheld.
local function withhold(self, index, answer, state)
  local record, source = self.record[index], self.source
  record.skipped = state == "not_ready" and source.on_not_ready == "skip" or nil
  record.state, record.err = state, answer.err
  record.withheld = type(answer.rows) == "table" and #answer.rows or nil
  give_none(self, index)
end

local function accept(self, index, answer)
  local record, source = self.record[index], self.source
  self.fetched = self.fetched + 1
  record.warnings, record.absent = answer.warnings or {}, answer.absent
  for _, warning in ipairs(record.warnings) do warning.window, warning.from = index, record.from end
  record.query_id, record.reason = answer.query_id, answer.reason
  record.age, record.stale = answer.age, answer.stale
  local list, state = answer.rows or {}, answer.state
  self.streamed = type(list) == "function"
  if not self.streamed and #list == 0 then state = warned_empty(record, state) end
  if state == "not_ready" and source.on_not_ready == "provisional" then
    state = "provisional"
  elseif state and coverage.HOLES[state] then
    return withhold(self, index, answer, state)
  end
  self.verdict = state
  self.feed = self.merger:feed(source.windows[index], source.windows[index + 1], list)
  self.feeding = index
end

-- All rows of a window are given: what is it now?
local function settle(self, index)
  local record, source = self.record[index], self.source
  if record.state ~= "pending" then return end
  local window = source.windows[index]
  local warned = self.streamed and record.rows == 0 and warned_empty(record, self.verdict)
  if warned then
    record.state = warned == "not_ready" and source.on_not_ready == "provisional"
      and "provisional" or warned
    record.skipped = warned == "not_ready" and source.on_not_ready == "skip" or nil
  elseif self.verdict then
    record.state = self.verdict
  elseif plan.is_young(window, source.lag, source.now) then
    record.state = "provisional"
    record.reason = record.reason or "younger than the vendor's data takes to settle"
  elseif record.rows > 0 then
    record.state = "fetched"
  elseif plan.is_past(window, source.retention, source.now) then
    record.state, record.reason = "past_retention", "older than the data is kept, and empty"
  else
    record.state = "empty"
  end
end

local function take_window(self)
  local index, answer, err = self.stream:next()
  if self.state ~= "running" then return end
  if not index then
    give_none(self, #self.record)
    self.drained = true
    return
  end
  local record = self.record[index]
  if not answer then
    window_failed(self, index, err)
  elseif answer.skipped then
    record.state, record.skipped = "past_retention", true
    record.reason = "older than the data is kept; not asked for"
    give_none(self, index)
  elseif answer.unasked then
    give_none(self, index)
  else
    accept(self, index, answer)
  end
  self.taken = index
  show_progress(self)
end

-- Rows --------------------------------------------------------------------------

local function too_many_rows(self)
  local limit = self.limit
  self:stop(errors.new { kind = "truncated", code = "rows",
    message = ("%s has more than max_rows = %d rows"):format(self.source.name, limit) })
  return nil, self.stopped
end

-- One step of what is being given. true: there is more to do.
local function feed_row(self)
  local row, err = self.feed()
  if self.state ~= "running" then return true end
  local index = self.feeding
  if row then
    if self.given == self.limit then return too_many_rows(self) end
    self.given = self.given + 1
    self.record[index].rows = self.record[index].rows + 1
    return row
  end
  self.feed = nil
  if err then
    window_failed(self, index, err)
  else
    settle(self, index)
  end
  return true
end

---The next row; nil at the end; nil and an error instead of a silent end.
---@return table|nil
---@return garner.Error|nil
function Run:next()
  while self.state == "running" do
    if self.feed then
      local row, err = feed_row(self)
      if row ~= true then return row, err end
    elseif self.drained or self.fatal then
      return finish(self)
    else
      take_window(self)
    end
  end
  if self.stopped then return nil, self.stopped end
  return nil
end

return M
