-- Owns a pull as its caller holds it: one run over a time range, its options
-- and its verbs. A window without its data is a hole and never silent. What a
-- window is and how it is fetched comes as a `source`; this file must not know
-- any vendor.

local arguments = require "garner.arguments"
local budget = require "garner.pull.budget"
local compat = require "garner.compat"
local coverage = require "garner.coverage"
local driver = require "garner.driver"
local errors = require "garner.errors"
local methods = require "garner.methods"
local options = require "garner.options"
local plan = require "garner.plan"
local run = require "garner.pull.run"
local save = require "garner.save"
local series = require "garner.series"
local time = require "garner.time"

local M = {}

-- Windows in flight.
M.CONCURRENCY = run.CONCURRENCY

-- What a source takes from the caller's options as it is.
local COPIED = {
  lag = arguments.lag, on_not_ready = options.one_of { "error", "wait", "provisional", "skip" },
  settle_after = arguments.lag, wait_budget = options.duration, wait_first = options.duration,
  wait_factor = options.factor, wait_cap = options.duration,
  max_requests = options.integer(1), max_rows = options.integer(1),
  progress = options.boolean, on_progress = options.callable,
}

-- Options that every pull takes; a vendor adds its own.
M.RULES = {
  from = options.any, to = options.any, date = options.any, zone = options.text,
  cache = options.boolean,
  concurrency = options.integer(1), retention = options.one_of { "warn", "refuse", "skip" },
}
for name, rule in pairs(COPIED) do M.RULES[name] = rule end

-- Of no use unless windows are waited for.
local WITH_WAIT = { "settle_after", "wait_budget", "wait_first", "wait_factor", "wait_cap" }

---@class garner.pull.options
---@field concurrency? number windows in flight (4)
---@field cache? boolean false: this pull goes past the client's cache
---@field on_not_ready? string what is not ready: "error" (default) is a hole, told after all rows;
---       "wait" asks again; "provisional" takes what rows an answer that says so has (of an
---       error it stays a hole); "skip" leaves it out, which `coverage()` alone tells
---@field lag? number|string how late the vendor's data settles; its own default
---@field settle_after? number|string with "wait": windows younger than this are asked for again
---       until two answers agree (default: the lag)
---@field wait_budget? number|string with "wait": how long a window is waited for (1 h)
---@field wait_first? number|string with "wait": the first pause between two looks (60 s)
---@field wait_factor? number with "wait": what a pause is multiplied by for the next one (1.5)
---@field wait_cap? number|string with "wait": the longest pause (10 min)
---@field retention? string "warn" (default), "refuse", "skip": windows older than the vendor keeps
---@field max_requests? number the pull ends in kind "truncated", code "requests", beyond it
---@field max_rows? number the pull ends in kind "truncated", code "rows", beyond it
---@field progress? boolean one line on the terminal
---@field on_progress? fun(at: garner.Progress)

---@class garner.pull.source: garner.pull.options
---@field client garner.Client
---@field name string what is pulled, for texts
---@field windows table[] index, from, to (logical, epoch), send_from, send_to, from_text, to_text
---@field from number epoch
---@field to number epoch, exclusive
---@field from_text string
---@field to_text string
---@field zone_name string
---@field local_zone? garner.Zone of naive windows, where it is known: for their age
---@field edges string
---@field fetch fun(window: table, budget: garner.pull.budget): table|nil, garner.Error|nil one
---       window's answer: rows (list or iterator), warnings, absent, requests, bytes, query_id;
---       state, reason and err where the vendor says it is not simply there. Calls budget:spend
---       before each request. May be called again for the same window: a job that it made stays in
---       `window.job`, and is not made again
---@field download? fun(window: table, folder: string, budget: garner.pull.budget): string|nil,
---       garner.Error|nil, number|nil path, error, bytes
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
---@field rate? { per_second: number, burst: number }
---@field requests_per_window? number
---@field notes? string[]

---Puts what a caller's options say about every pull into a source.
---@param source garner.pull.source
---@param given table checked by RULES
---@param what string the verb, for messages
function M.configure(source, given, what)
  for _, name in ipairs(WITH_WAIT) do
    if given[name] ~= nil and given.on_not_ready ~= "wait" then
      errors.misuse(("%s: %s needs on_not_ready = \"wait\""):format(what, name))
    end
  end
  for name in pairs(COPIED) do
    if given[name] ~= nil then source[name] = given[name] end
  end
  source.on_retention = given.retention
end

---@class garner.pull
---@field conflicts number rows of one key whose values differed, so far
---@field outside number rows that their window did not ask for, so far
local Pull = {}
Pull.__index = Pull

---A pull that has not run. Gives nil and a message where the options make it
---a misuse (retention = "refuse").
---@param source garner.pull.source
---@return garner.pull|nil
---@return string|nil message
function M.new(source)
  source.now = source.now or time.now()
  for _, window in ipairs(source.windows) do window.ends = plan.ends(window, source.local_zone) end
  local planned = plan.new(source)
  if source.on_retention == "refuse" and planned.past_retention[1] then
    local first = planned.windows[planned.past_retention[1]]
    return nil, ("%s: %s is older than the data is kept, and retention is \"refuse\""):format(
      source.name, first.from)
  end
  return setmetatable({
    source = source, planned = planned, record = coverage.new(source.windows),
    budget = budget.new(source.name, source.max_requests), conflicts = 0, outside = 0,
  }, Pull)
end

-- new, running, done, closed
local function state_of(self)
  return self.run and self.run.state or self.shut and "closed" or "new"
end

function Pull:__tostring()
  return ("garner pull (%s): %s"):format(state_of(self), self.source.name)
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

local Warnings = {}

function Warnings:__tostring()
  local lines = {}
  for index, each in ipairs(self) do
    lines[index] = ("%3d  %s  %s  %s"):format(each.window, each.from, each.code or "",
      each.message or "")
  end
  return lines[1] and table.concat(lines, "\n") or "no warnings"
end

---The vendor's warnings so far, of any page of any window. `tostring` of the
---list is a line for each.
---@return { window: number, from: string, code: string, message: string, data: table }[]
function Pull:warnings()
  local out = setmetatable({}, Warnings)
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

local function check_new(self, verb)
  if state_of(self) ~= "new" then
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
  self.run = run.new(source, self, how)
  self.run.limit = source.max_rows
  -- Its first progress may have ended it.
  if self.shut then self[self.shut](self) end
  return self.run
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
  local running = begin(self, "rows", self.source.fetch)
  return function()
    local row, err = running:next()
    if err then errors.raise(err, self.source.client.log) end
    return row
  end, nil, nil, self
end

local function give_each(running, fn)
  while true do
    local row, err = running:next()
    if err then return nil, err end
    if row == nil then return running.given end
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
  return passed_on(self, compat.guard(give_each, begin(self, "each", self.source.fetch), fn))
end

-- The next row for what must be whole: a pull that was closed meanwhile is not, and does not
-- look so.
local function next_of(running)
  local row, err = running:next()
  if row == nil and not err then err = running:closed() end
  return row, err
end

local function collect_rows(running)
  local out = {}
  while true do
    local row, err = next_of(running)
    if err then return nil, err, out end
    if row == nil then return out end
    out[#out + 1] = row
  end
end

---All rows as a list.
---@param given? table max_rows: the pull's own if left out
---@return table[]|nil
---@return garner.Error|nil kind "truncated" where there are more than max_rows; "cancelled" where
---       the pull was closed meanwhile, as in every verb that gives something whole
---@return table[]|nil partial the rows that did come, with an error
function Pull:collect(given)
  local limit = options.check(given, { max_rows = options.integer(1) }, "collect").max_rows
  local running = begin(self, "collect", self.source.fetch)
  running.limit = limit or running.limit
  return passed_on(self, compat.guard(collect_rows, running))
end

---The points as series, one for each type and dimension. `tostring` of the
---list is a line for each.
---@return { type: string, dimension: string|nil, unit: string|nil, times: string[],
---  epochs: number[], values: string[], numbers: number[] }[]|nil
---@return garner.Error|nil
---@return table[]|nil partial the series of the points that did come, with an error
function Pull:series()
  if not self.source.points then
    errors.misuse "series: the rows of this pull are no metric points"
  end
  local running = begin(self, "series", self.source.fetch)
  return passed_on(self, compat.guard(series.collect, function() return next_of(running) end))
end

---Writes all rows to a file: CSV (RFC 4180) or JSON Lines, by the suffix. The
---file appears under its name only when it is whole.
---@param path string ends in .csv, .jsonl or .ndjson
---@param given? { force: boolean } replace an existing file
---@return number|nil rows written
---@return garner.Error|nil kind "file", code "locked", where another run is saving this file:
---       nothing was asked for
function Pull:save(path, given)
  local writer, message = save.new(path, given, self.source)
  if not writer then errors.misuse("save: " .. message) end
  check_new(self, "save")
  local err = writer:open()
  if err then return nil, err end
  local ok, count
  ok, count, err = compat.guard(function()
    local running = begin(self, "save", self.source.fetch)
    return writer:write_all(function() return next_of(running) end)
  end)
  if not ok then writer:abort() end
  if self.run then self.run:close() end
  return passed_on(self, ok, count, err)
end

-- What no other run of the same download gets while this one has it: the same
-- pull of the same range into the same folder.
local function hold(self, folder)
  local planned, sum = self.planned, 0
  local parts = { planned.name, planned.from, planned.to }
  for _, window in ipairs(planned.windows) do parts[#parts + 1] = window.event end
  local about = table.concat(parts, "\n")
  for index = 1, #about do sum = (sum * 31 + about:byte(index)) % 4294967291 end
  local name = ("/.garner-%s-%.0f"):format(self.source.name:gsub("%W+", "-"):sub(1, 40), sum)
  local lock, err = save.lock(folder .. name)
  if lock then return lock end
  if err.code == "locked" then
    err.message = ("another run is downloading %s into %s just now"):format(self.source.name,
      folder)
  end
  return nil, err
end

---Keeps the raw files of a pull whose windows are jobs, one file a window.
---@param folder string an existing folder
---@return { path: string, window: table }[]|nil
---@return garner.Error|nil kind "hole" where windows are missing; the other files are there; kind
---       "file", code "locked", where another run of the same is at it: nothing was asked for
---@return table[]|nil partial
function Pull:download(folder)
  local source = self.source
  if not source.download then errors.misuse "download: this API has no files, use save(path)" end
  if type(folder) ~= "string" or folder == "" or folder:find("\0", 1, true) then
    errors.misuse "download: a folder expected"
  end
  check_new(self, "download")
  -- Before anything is created at the vendor for files that have no place.
  local lock, locked = hold(self, folder:gsub("(.)/+$", "%1"))
  if not lock then return nil, locked end
  local files = {}
  local ok, _, err = compat.guard(function()
    return next_of(begin(self, "download", function(window, part)
      local path, why, bytes = source.download(window, folder, part)
      if not path then return nil, why end
      files[#files + 1] = { path = path, window = self.record[window.index] }
      return { state = "fetched", bytes = bytes }
    end))
  end)
  lock:abort()
  _, err = passed_on(self, ok, _, err)
  table.sort(files, function(a, b) return a.window.index < b.window.index end)
  if err then return nil, err, files end
  return files
end

---Stops the pull from elsewhere: who waits for its rows gets an error of kind
---"cancelled". Local only; jobs already created go on at the vendor.
function Pull:cancel()
  if not self.run then
    self.shut = "cancel"
  else
    self.run:stop(errors.new { kind = "cancelled",
      message = self.source.name .. ": the pull was cancelled" })
  end
end

---Ends the pull and what it has in flight; further rows are nil, and a
---collect, series, save or download that is under way gives an error. Any
---number of times, in any state.
function Pull:close()
  if self.run then self.run:close() else self.shut = "close" end
end

Pull.__close = Pull.close

methods.guard(Pull, "pull")

return M
