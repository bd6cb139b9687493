-- Owns one run over a time range: it fetches the planned windows side by
-- side, gives their rows in plan order, and says what became of each window.
-- A window without its data is a hole and never silent. What a window is and
-- how it is fetched comes as a `source`; this file must not know any vendor.

local arguments = require "garner.arguments"
local compat = require "garner.compat"
local coverage = require "garner.coverage"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"
local plan = require "garner.plan"
local progress = require "garner.progress"
local rows = require "garner.rows"
local save = require "garner.save"
local series = require "garner.series"
local tasks = require "garner.tasks"
local time = require "garner.time"

local M = {}

-- Options that every pull takes; a vendor adds its own.
M.RULES = {
  from = options.any, to = options.any, date = options.any, zone = options.text,
  concurrency = options.integer(1),
  on_not_ready = options.one_of { "error", "skip", "provisional" },
  retention = options.one_of { "warn", "refuse", "skip" }, lag = arguments.lag,
  progress = options.boolean, on_progress = options.callable,
}

-- Windows in flight.
M.CONCURRENCY = 4

-- Errors that the next window would only repeat. The second list counts only
-- until a first window has answered: after that it is about the window.
local FATAL = { unauthenticated = true, forbidden = true, cancelled = true, memory = true,
  truncated = true, file = true }
local FATAL_AT_FIRST = { invalid = true, not_found = true }

---@class garner.pull.source
---@field client garner.Client
---@field name string what is pulled, for texts
---@field windows table[] index, from, to (logical, epoch), send_from, send_to, from_text, to_text
---@field from number epoch
---@field to number epoch, exclusive
---@field from_text string
---@field to_text string
---@field zone_name string
---@field edges string
---@field fetch fun(window: table): table|nil, garner.Error|nil one window's answer: rows (list or
---       iterator), warnings, absent, state and reason where the vendor says it is not simply there
---@field download? fun(window: table, folder: string): string|nil, garner.Error|nil
---@field time? fun(row: table): number|nil
---@field key? fun(row: table): string|nil
---@field identity? fun(row: table): string
---@field columns? string[] the columns of a saved row, where they are known beforehand
---@field record? fun(row: table): table, string[]|nil what `save` writes of a row, and its columns
---@field records? fun(row: table): table[] instead of `record`, where a row is several lines of a
---       file: a list of { record, columns }
---@field points? boolean rows are metric points, so that `series` makes sense
---@field lag? number seconds until the vendor's data has settled
---@field retention? number seconds that the vendor keeps data
---@field on_retention? string
---@field on_not_ready? string
---@field concurrency? number
---@field rate? { per_second: number, burst: number }
---@field requests_per_window? number
---@field notes? string[]

---@class garner.pull
local Pull = {}
Pull.__index = Pull

local function rules_of(self)
  local source = self.source
  return {
    from = source.from, to = source.to, time = source.time, key = source.key,
    identity = source.identity,
    on_conflict = function(older, newer)
      self.conflicts = self.conflicts + 1
      source.client.log("warn", "pull.conflict", {
        pull = source.name, time = older.time, count = self.conflicts,
        older = older.value, newer = newer.value,
      })
    end,
    on_outside = function(row)
      self.outside = self.outside + 1
      source.client.log("warn", "pull.outside", {
        pull = source.name, time = row.time, count = self.outside,
      })
    end,
  }
end

---A pull that has not run. Gives nil and a message where the options make it
---a misuse (retention = "refuse").
---@param source garner.pull.source
---@return garner.pull|nil
---@return string|nil message
function M.new(source)
  source.now = source.now or time.now()
  local planned = plan.new(source)
  if source.on_retention == "refuse" and planned.past_retention[1] then
    local first = planned.windows[planned.past_retention[1]]
    return nil, ("%s: %s is older than the data is kept, and retention is \"refuse\""):format(
      source.name, first.from)
  end
  return setmetatable({
    source = source, planned = planned, record = coverage.new(source.windows), state = "new",
    given = 0, conflicts = 0, outside = 0, seen_windows = {}, fetched = 0,
  }, Pull)
end

function Pull:__tostring()
  return ("garner pull (%s): %s"):format(self.state, self.source.name)
end

---What the pull is going to do; makes no request. `tostring` of it is a
---readable page, the same for the same input.
---@return garner.plan
function Pull:plan()
  return self.planned
end

---Every window with its state and the reason.
---@return garner.coverage.window[]
function Pull:coverage()
  return self.record
end

---The vendor's warnings so far, of any page of any window.
---@return { window: number, code: string, message: string, data: table }[]
function Pull:warnings()
  local out = {}
  for _, window in ipairs(self.record) do
    for _, warning in ipairs(window.warnings) do out[#out + 1] = warning end
  end
  return out
end

---Asked-for series that no window's answer had, by friendly name. Which
---window lacked which is in `coverage()`.
---@return string[]
function Pull:absent()
  local missing, answered = {}, 0
  for _, window in ipairs(self.record) do
    if window.absent then
      answered = answered + 1
      for _, name in ipairs(window.absent) do missing[name] = (missing[name] or 0) + 1 end
    end
  end
  local out = {}
  for name, count in pairs(missing) do
    if count == answered then out[#out + 1] = name end
  end
  table.sort(out)
  return out
end

local function fetch_window(self, index, how)
  local source, window = self.source, self.source.windows[index]
  local record = self.record[index]
  if source.on_retention == "skip" and plan.is_past(window, source.retention, source.now) then
    return { skipped = true }
  end
  record.state = "pending"
  return how(window)
end

local function check_new(self, verb)
  if self.state ~= "new" then
    errors.misuse(("%s: a pull runs once, and this one has; make a new one"):format(verb))
  end
end

local function begin(self, verb, how)
  check_new(self, verb)
  local source = self.source
  if self.planned.past_retention[1] and source.on_retention ~= "skip" then
    source.client.log("warn", "pull.past_retention", {
      pull = source.name, windows = #self.planned.past_retention,
      first = self.planned.windows[self.planned.past_retention[1]].from,
    })
  end
  self.state, self.begun, self.requests = "running", driver.current().now(), 0
  self.merger = rows.merger(rules_of(self))
  self.meter = progress.new { progress = source.progress, on_progress = source.on_progress }
  self.meter:update { windows_done = 0, windows_total = #source.windows, rows = 0 }
  self.stream = tasks.ordered {
    count = #source.windows, concurrency = source.concurrency or M.CONCURRENCY,
    run = function(index) return fetch_window(self, index, how) end,
  }
end

local function shut(self, state)
  self.state = state
  local stream = self.stream
  self.stream, self.feed = nil, nil
  if stream then stream:close() end
  if self.meter then self.meter:finish() end
end

local function open_windows(self)
  local out = {}
  for _, window in ipairs(self.record) do
    if coverage.HOLES[window.state] or window.state == "planned" or window.state == "pending" then
      out[#out + 1] = window
    end
  end
  return out
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

-- An error ends its window, or the whole pull where going on is pointless.
local function window_failed(self, index, err)
  local record = self.record[index]
  record.state, record.err, record.reason = coverage.state_of(err), err, err.message
  self.feed, self.feeding = self.merger:release(), index
  -- What a file host says is no verdict on the client's credential.
  local own = not (err.download and err.status)
  if own and (FATAL[err.kind] or FATAL_AT_FIRST[err.kind] and self.fetched == 0) then
    self.fatal = err
  elseif record.state == "not_ready" and self.source.on_not_ready == "skip" then
    record.skipped = true
  end
end

-- Where the vendor said that a window is not simply there, its rows are not
-- ready: they are withheld unless the caller wants provisional ones.
local function accept(self, index, answer)
  local record, source = self.record[index], self.source
  self.fetched = self.fetched + 1
  record.warnings, record.absent = answer.warnings or {}, answer.absent
  record.query_id, record.requests = answer.query_id, answer.requests
  self.verdict = answer.state
  record.reason = answer.reason
  if answer.state and coverage.HOLES[answer.state] then
    local skip = answer.state == "not_ready" and source.on_not_ready == "skip"
    if answer.state == "not_ready" and source.on_not_ready == "provisional" then
      self.verdict = "provisional"
    else
      record.skipped = skip or nil
      record.state, record.err = answer.state, answer.err
      record.withheld = type(answer.rows) == "table" and #answer.rows or nil
      self.feed, self.feeding = self.merger:release(), index
      return
    end
  end
  self.feed = self.merger:feed(source.windows[index], source.windows[index + 1], answer.rows or {})
  self.feeding = index
end

-- All rows of a window are given: what is it now?
local function settle(self, index)
  local record, source = self.record[index], self.source
  if record.state ~= "pending" then return end
  local window = source.windows[index]
  if self.verdict then
    record.state = self.verdict
  elseif window.to + (source.lag or 0) > source.now then
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

-- What is left takes as long as what is done took.
local function show_progress(self, done)
  local spent, total = driver.current().now() - self.begun, #self.record
  self.meter:update { windows_done = done, rows = self.given, requests = self.requests,
    eta = done < total and spent / done * (total - done) or 0 }
end

local function take_window(self)
  local index, answer, err = self.stream:next()
  if self.state ~= "running" then return end
  if not index then
    self.feed, self.feeding, self.drained = self.merger:release(), #self.record, true
    return
  end
  local record = self.record[index]
  if not answer then
    window_failed(self, index, err)
  elseif answer.skipped then
    record.state, record.skipped = "past_retention", true
    record.reason = "older than the data is kept; not asked for"
    self.feed, self.feeding = self.merger:release(), index
  else
    accept(self, index, answer)
  end
  self.requests = self.requests + (answer and answer.requests or 1)
  show_progress(self, index)
end

local function finish(self)
  local fatal = self.fatal
  shut(self, "done")
  if fatal then
    fatal.windows = open_windows(self)
    return nil, fatal
  end
  local holes = coverage.holes(self.record)
  if holes[1] then return nil, hole_error(self.source, holes) end
  return nil
end

-- The next row; nil at the end; nil and an error instead of a silent end.
local function next_row(self)
  while self.state == "running" do
    if self.feed then
      local row, err = self.feed()
      if self.state ~= "running" then break end
      local index = self.feeding
      if row then
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
    elseif self.drained or self.fatal then
      return finish(self)
    else
      take_window(self)
    end
  end
  if self.stopped then return nil, self.stopped end
  return nil
end

local function stop(self, err)
  err.windows = open_windows(self)
  self.stopped = err
  shut(self, "closed")
end

-- What compat.guard gives. What was raised ends the pull and is raised again.
local function passed_on(self, ok, ...)
  if ok then return ... end
  self:close()
  error((...), 0)
end

---An iterator over the rows, in order. Raises where the data is not whole:
---an error of kind "hole" (with `windows`) comes after all rows that are
---ready. Leaving the loop early closes the pull on Lua 5.4; elsewhere the
---collector does, or `close`.
---@return fun(): table|nil
---@return nil
---@return nil
---@return garner.pull closing value of `for`
function Pull:rows()
  if driver.no_for() then
    errors.misuse "rows: this Lua cannot wait inside a `for` iterator; use each(fn)"
  end
  begin(self, "rows", self.source.fetch)
  return function()
    local row, err = next_row(self)
    if err then errors.raise(err, self.source.client.log) end
    return row
  end, nil, nil, self
end

local function give_each(self, fn)
  while true do
    local row, err = next_row(self)
    if err then return nil, err end
    if row == nil then return self.given end
    fn(row)
  end
end

---Calls fn with each row, in order. What fn raises ends the pull and is raised
---again.
---@param fn fun(row: table)
---@return number|nil count
---@return garner.Error|nil err kind "hole" where windows are missing
function Pull:each(fn)
  if not compat.callable(fn) then errors.misuse "each: a function expected" end
  begin(self, "each", self.source.fetch)
  return passed_on(self, compat.guard(give_each, self, fn))
end

local function collect_rows(self, limit)
  local out = {}
  while true do
    local row, err = next_row(self)
    if err then return nil, err, out end
    if row == nil then return out end
    if limit and #out == limit then
      stop(self, errors.new { kind = "truncated", code = "rows",
        message = ("%s has more than max_rows = %d rows"):format(self.source.name, limit) })
      return nil, self.stopped, out
    end
    out[#out + 1] = row
  end
end

---All rows as a list.
---@param given? { max_rows: number }
---@return table[]|nil
---@return garner.Error|nil kind "truncated" where there are more than max_rows
---@return table[]|nil partial the rows that did come, with an error
function Pull:collect(given)
  local limit = options.check(given, { max_rows = options.integer(1) }, "collect").max_rows
  begin(self, "collect", self.source.fetch)
  return passed_on(self, compat.guard(collect_rows, self, limit))
end

---The points as series, one for each type and dimension.
---@return { type: string, dimension: string|nil, unit: string|nil, times: string[],
---  epochs: number[], values: string[], numbers: number[] }[]|nil
---@return garner.Error|nil
function Pull:series()
  if not self.source.points then
    errors.misuse "series: the rows of this pull are no metric points"
  end
  begin(self, "series", self.source.fetch)
  return passed_on(self, compat.guard(series.collect, function() return next_row(self) end))
end

---Writes all rows to a file: CSV (RFC 4180) or JSON Lines, by the suffix. The
---file appears under its name only when it is whole.
---@param path string ends in .csv, .jsonl or .ndjson
---@param given? { force: boolean } replace an existing file
---@return number|nil rows written
---@return garner.Error|nil
function Pull:save(path, given)
  local writer, message = save.new(path, given, self.source)
  if not writer then errors.misuse("save: " .. message) end
  check_new(self, "save")
  local err = writer:open()
  if err then return nil, err end
  local ok, count
  ok, count, err = compat.guard(function()
    begin(self, "save", self.source.fetch)
    return writer:write_all(function() return next_row(self) end)
  end)
  if not ok then writer:abort() end
  if self.state == "running" then shut(self, "closed") end
  return passed_on(self, ok, count, err)
end

---Keeps the raw files of a pull whose windows are jobs, one file a window.
---@param folder string an existing folder
---@return { path: string, window: table }[]|nil
---@return garner.Error|nil kind "hole" where windows are missing; the other files are there
---@return table[]|nil partial
function Pull:download(folder)
  local source = self.source
  if not source.download then errors.misuse "download: this API has no files, use save(path)" end
  if type(folder) ~= "string" or folder == "" then errors.misuse "download: a folder expected" end
  check_new(self, "download")
  -- Before anything is created at the vendor for files that have no place.
  local probe, message, number = io.open(folder .. "/.", "rb")
  if not probe then
    return nil, errors.new { kind = "file", code = compat.errno(number),
      message = "download: no such folder to write to: " .. tostring(message) }
  end
  probe:close()
  local files = {}
  begin(self, "download", function(window)
    local path, err = source.download(window, folder)
    if not path then return nil, err end
    files[#files + 1] = { path = path, window = self.record[window.index] }
    return { state = "fetched" }
  end)
  local _, err = passed_on(self, compat.guard(next_row, self))
  table.sort(files, function(a, b) return a.window.index < b.window.index end)
  if err then return nil, err, files end
  return files
end

---Stops the pull from elsewhere: who waits for its rows gets an error of kind
---"cancelled". Local only; jobs already created go on at the vendor.
function Pull:cancel()
  if self.state == "done" or self.state == "closed" then return end
  stop(self, errors.new { kind = "cancelled",
    message = self.source.name .. ": the pull was cancelled" })
end

---Ends the pull and what it has in flight; further rows are nil. Any number
---of times, in any state.
function Pull:close()
  if self.state ~= "done" and self.state ~= "closed" then shut(self, "closed") end
end

Pull.__close = Pull.close

return M
