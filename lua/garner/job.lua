-- Owns asynchronous jobs: what one or several create calls made, watched by shared polls,
-- given back in request order, and kept as text for another process. How a vendor is asked
-- comes as an `api` table; this file must not know any vendor.

local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local methods = require "garner.methods"
local options = require "garner.options"
local progress = require "garner.progress"
local report = require "garner.report"
local tasks = require "garner.tasks"
local watch = require "garner.watch"

local M = {}

-- Polling, where neither the caller nor the vendor says otherwise (seconds).
M.FIRST, M.FACTOR, M.CAP, M.TIMEOUT = 1, 1.5, 20, 1800

-- Files on their way at a time.
M.DOWNLOADS = 4

-- Creating again, where the caller says only how often.
M.PAUSE = 60

---@class garner.job.api one for all jobs that may share their polls
---@field client garner.Client
---@field poll fun(reports: garner.report[]): table what client:poll takes
---@field apply fun(report: garner.report, element: table) takes in one answer: status, state, uri
---@field create? fun(report: garner.report): garner.report[]|nil, garner.Error|nil, number|nil
---  the same once more; and how many requests that took, where it was not one
---@field can_create? fun(report: garner.report): boolean is enough known of it?
---@field freeze? fun(report: garner.report): table what a checkpoint keeps of it

---@class garner.job
---@field reports garner.report[] in request order
---@field creates number create requests so far
---@field counts table<string, number> what went wrong on the way: failed, not_found (the server
---  did not know its id), no_uri (done without a link), expired (links), in_doubt
local Job = {}
Job.__index = Job
Job.__name = "garner.job"

-- Jobs that may still be running on a server. Held weakly, except below garner.main, which
-- prints them where it is interrupted.
local running = setmetatable({}, { __mode = "k" })

---Holds running jobs from now on, or no more.
---@param on boolean
function M.hold(on)
  local held = setmetatable({}, not on and { __mode = "k" } or nil)
  for each in pairs(running) do held[each] = true end
  running = held
end

---Jobs that have reports which have not ended, as far as is known here.
---@return garner.job[]
function M.running()
  local out = {}
  for each in pairs(running) do out[#out + 1] = each end
  table.sort(out, function(a, b) return a.number < b.number end)
  return out
end

function Job:__tostring()
  local counts, order = {}, {}
  for _, each in ipairs(self.reports) do
    local status = tostring(each.status)
    if not counts[status] then order[#order + 1] = status end
    counts[status] = (counts[status] or 0) + 1
  end
  for index, status in ipairs(order) do order[index] = ("%d %s"):format(counts[status], status) end
  return ("garner job: %s"):format(table.concat(order, ", "))
end

local function register(self)
  if self.quiet then return end -- it only was asked about
  for _, each in ipairs(self.parts or { self }) do
    local open = false
    for _, inner in ipairs(each.reports) do
      open = open or inner.due ~= nil or not inner:ended()
    end
    running[each] = open or nil
  end
end

local made = 0

---@param client garner.Client
---@param api garner.job.api
---@param reports garner.report[]
---@param fields? table further fields of the job: creates (1), again (what `recreate` allows)
---@return garner.job
function M.new(client, api, reports, fields)
  local self = fields or {}
  made = made + 1
  self.client, self.api, self.reports, self.number = client, api, reports, made
  self.creates, self.counts = self.creates or 1, self.counts or {}
  for _, each in ipairs(reports) do
    each.client, each.api, each.job = client, each.api or api, self
    each.creates, each.created = each.creates or 1, each.created or os.time()
    each.created_at = each.created_at or core.now()
    watch.judge(each)
  end
  setmetatable(self, Job)
  register(self)
  return self
end

---Text that is equal for equal options, so that their jobs can share an `api`.
---@param value any
---@return string
function M.key(value)
  if type(value) ~= "table" then return ("%s %s"):format(type(value), tostring(value)) end
  local parts = {}
  for name, inner in pairs(value) do
    parts[#parts + 1] = ("%s %q=%s"):format(type(name), tostring(name), M.key(inner))
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

---Rule for `recreate`: false, how many creates in all, or { max, pause }.
---@param value any
---@return table|false|nil
---@return string|nil message
function M.recreate_rule(value)
  if value == false then return false end
  if type(value) == "number" then value = { max = value } end
  if type(value) ~= "table" then
    return nil, "must be false, a number of creates in all, or { max =, pause = }, got "
      .. options.show(value)
  end
  for name in pairs(value) do
    if name ~= "max" and name ~= "pause" then
      return nil, ("has no field %q; it has max and pause"):format(tostring(name))
    end
  end
  local max, message = options.integer(1, 100)(value.max)
  if not max then return nil, "(max) " .. message end
  local pause = value.pause
  if pause ~= nil and pause ~= 0 then
    pause, message = options.duration(pause)
    if not pause then return nil, "(pause) " .. message end
  end
  return { max = max, pause = pause or M.PAUSE }
end

---Rule for `failed_status`: one of the server's words or numbers, or several, which mean that a
---job failed. One whose meaning is documented stays what it is.
---@param states table<string, string> the documented ones
---@return fun(value: any): table<string, string>|nil, string|nil
function M.failed_rule(states)
  return function(value)
    local out = {}
    for _, status in ipairs(type(value) == "table" and value or { value }) do
      if compat.whole(status) then status = compat.number_text(status) end
      if type(status) ~= "string" or status == "" then
        return nil, "must be the server's statuses (numbers or texts), got " .. options.show(status)
      elseif states[status] and states[status] ~= "failed" then
        return nil, ("names %s, which means \"%s\""):format(options.show(status), states[status])
      end
      out[status] = "failed"
    end
    if next(out) == nil then return nil, "must name at least one status" end
    return out
  end
end

---Looks at all reports that have not ended, or whose link has expired: once, now.
---@return garner.report[]|nil all reports, in request order
---@return garner.Error|nil
function Job:status()
  local open = {}
  for _, each in ipairs(self.reports) do
    if not each:ended() then open[#open + 1] = each end
  end
  local ok, err = watch.look(open)
  register(self)
  if not ok then return nil, err end
  return self.reports
end

-- All reports, or the first error in request order with the list beside it.
local function conclude(self, partial)
  if partial then return self.reports end
  local first, count = nil, 0
  for _, each in ipairs(self.reports) do
    if not each:ready() then
      count = count + 1
      first = first or each.err
        or errors.new { kind = "not_ready", message = watch.still(each) }
    end
  end
  if count == 0 then return self.reports end
  local fields = {}
  for name, value in pairs(first) do fields[name] = value end
  fields.reports = self.reports
  if count > 1 then
    fields.message = ("%s; %d of %d reports are not there, see err.reports"):format(first.message,
      count, #self.reports)
  end
  return nil, errors.new(fields)
end

-- Options of `wait`.
M.WAIT = {
  timeout = options.duration, partial = options.boolean, progress = options.boolean,
  on_progress = options.callable, first = options.duration, factor = options.factor,
  cap = options.duration, recreate = M.recreate_rule,
}

-- Of these, what makes sense for all jobs of a pull.
M.CADENCE = { timeout = M.WAIT.timeout, first = M.WAIT.first, factor = M.WAIT.factor,
  cap = M.WAIT.cap }

local function watch_list(self, list, given, budget)
  local timeout = given.timeout or M.TIMEOUT
  local meter = progress.new { progress = given.progress, on_progress = given.on_progress }
  meter:update { jobs = #list, waiting_for = "reports" }
  local control = {}
  local how = {
    deadline = core.now() + timeout, timeout = timeout, first = given.first or M.FIRST,
    factor = given.factor or M.FACTOR, cap = given.cap or M.CAP, recreate = given.recreate,
    meter = meter, budget = budget, control = control,
  }
  self.control = control
  local unbroken, why = compat.guard(watch.run, list, how)
  self.control, self.requests = nil, (self.requests or 0) + (how.requests or 0)
  meter:finish()
  if self.parts then M.tally(self) end
  if not unbroken then error(why, 0) end
  register(self)
end

---Waits until every report has ended; what failed or is not known to the server any more is
---created again where that is allowed (`recreate`).
---@param given? table timeout (seconds or "15m"; 30 min), partial, progress, on_progress; first,
---  factor and cap of the pauses between looks (1 s, 1.5, 20 s); recreate (false, how many creates
---  in all, or { max =, pause = 60 }; else what the job was made with)
---@param budget? table of a pull; internal
---@return garner.report[]|nil all reports in request order, each with status and err
---@return garner.Error|nil with `reports`; kind "job_failed", "timeout" (`job_status`: what the
---  server said last), "protocol" with code "no_uri" (done, but never with a link), "not_found"
---  (not known to the server), "cancelled", or why polling ended. Not with partial = true: then the
---  list is always given
function Job:wait(given, budget)
  given = options.check(given, M.WAIT, "wait")
  self.cadence = given
  local list = {}
  for _, each in ipairs(self.reports) do
    if not each:ended() or watch.again(each, given) then list[#list + 1] = each end
  end
  if list[1] then watch_list(self, list, given, budget) end
  return conclude(self, given.partial)
end

---Ends the wait that runs in another task: it gives an error of kind
---"cancelled". Local only: the vendor goes on making the reports, and a later
---`wait` can go on watching them.
---@return boolean waiting whether a wait was ended
function Job:cancel()
  local control = self.control
  if not control or not control.cancel then return false end
  control.cancel()
  return true
end

---A report whose link has expired gets a new one, by looking again; nothing is created for it
---unless the job may. Internal: reports do this by themselves.
---@param each garner.report
---@return boolean
function M.renew(each)
  local self = each.job
  self.counts.expired = (self.counts.expired or 0) + 1
  each.expired = true
  self.client.log("info", "job.link_expired", { report = report.name(each), id = each.id })
  local last = self.cadence or {}
  watch_list(self, { each }, { first = 0, factor = last.factor, cap = last.cap,
    timeout = last.timeout, recreate = last.recreate })
  return each:ready() and not each.expired
end

---Creates again, now and whatever the defaults say, every report that failed, is not known to the
---server, or whose creation is in doubt or failed. The others are left alone. The caller answers
---for what this makes twice.
---@return number|nil count how many were created
---@return garner.Error|nil of the first that could not be, with `reports`
function Job:recreate()
  local count, first = 0, nil
  for _, each in ipairs(self.reports) do
    if each.state == "failed" or each.state == "lost" then
      if not each.api.create or not each.api.can_create(each) then
        first = first or errors.new { kind = "invalid", code = "recreate",
          message = ("too little is known of report %s to create it again"):format(
            report.name(each)) }
      elseif watch.create(each) then
        count = count + 1
      else
        first = first or each.err
      end
    end
  end
  register(self)
  if not first then return count end
  first.reports = self.reports
  return nil, first
end

-- Another process ---------------------------------------------------------------

---What another process needs to go on, as one line of text: `client:resume(text)`. No secret and no
---download link is in it (links are asked for again).
---@return string
function Job:checkpoint()
  local list = {}
  for index, each in ipairs(self.reports) do
    if not each.api.freeze then errors.misuse "checkpoint: this API's jobs cannot be kept" end
    if each.client ~= self.reports[1].client then
      errors.misuse "checkpoint: these jobs are of several clients; keep one for each job"
    end
    local frozen = each.api.freeze(each)
    frozen.id, frozen.creates, frozen.created = each.id, each.creates, each.created
    if each.state == "lost" then
      frozen.lost, frozen.why = each.status, each.err and each.err.message
    end
    list[index] = frozen
  end
  local rule = self.again
  return self.client:checkpoint("job", {
    vendor = self.client.name, reports = list, creates = self.creates,
    recreate = rule and { max = rule.max, pause = rule.pause } or rule,
  })
end

local LOST_KINDS = { in_doubt = "in_doubt", not_found = "not_found" }

-- The reports of a checkpoint get their age, and what was known of those that were lost.
local function thaw_report(each, frozen)
  each.creates, each.created = tonumber(frozen.creates) or 1, tonumber(frozen.created) or 0
  each.created_at = core.now() - math.max(0, os.time() - each.created)
  if frozen.lost or each.id == nil then
    each.state, each.status = "lost", frozen.lost or "missing"
    each.err = errors.new { kind = LOST_KINDS[each.status] or "protocol", code = each.status,
      message = frozen.why or ("report %s has no id"):format(report.name(each)) }
  end
  return each
end

---The error for a checkpoint that makes no sense.
---@param why string
---@return garner.Error
function M.unreadable(why)
  return errors.new { kind = "invalid", code = "checkpoint", operation = "resume",
    message = "the checkpoint cannot be read: " .. why }
end

---A job out of a checkpoint.
---@param client garner.Client
---@param api garner.job.api of reports that have none yet
---@param fields table of the checkpoint
---@param thaw fun(frozen: table): garner.report|nil nil where it is none
---@param given table recreate, if it is not the job's own
---@return garner.job|nil
---@return garner.Error|nil
function M.thaw(client, api, fields, thaw, given)
  local list = {}
  for index, frozen in ipairs(type(fields.reports) == "table" and fields.reports or {}) do
    local each = type(frozen) == "table" and thaw(frozen)
    -- A job without one of its reports would look whole.
    if not each then return nil, M.unreadable(("its report %d is none"):format(index)) end
    list[index] = thaw_report(each, frozen)
  end
  if not list[1] then return nil, M.unreadable "it has no reports" end
  local recreate = given.recreate
  if recreate == nil and fields.recreate ~= nil then
    recreate = M.recreate_rule(fields.recreate) or nil
  end
  return M.new(client, api, list, { creates = tonumber(fields.creates), again = recreate })
end

-- Together ----------------------------------------------------------------------

---Counts of a set are those of its jobs.
---@param self garner.job
function M.tally(self)
  self.creates, self.counts = 0, {}
  for _, part in ipairs(self.parts) do
    self.creates = self.creates + part.creates
    for name, n in pairs(part.counts) do self.counts[name] = (self.counts[name] or 0) + n end
  end
end

---Several jobs as one: `wait`, `status`, `download` and the other verbs of a job, over the reports
---of all of them, in order. Jobs of one client share their polls; those of others are watched
---beside them.
---@param list garner.job[]
---@return garner.job
function M.together(list)
  local parts, reports, seen = {}, {}, {}
  for index, each in ipairs(type(list) == "table" and list or {}) do
    if getmetatable(each) ~= Job or each.parts then
      errors.misuse(("garner.jobs: entry %d is no job"):format(index))
    end
    if seen[each] then errors.misuse(("garner.jobs: entry %d is there twice"):format(index)) end
    seen[each], parts[index] = true, each
    for _, inner in ipairs(each.reports) do reports[#reports + 1] = inner end
  end
  if not parts[1] then errors.misuse "garner.jobs: give a list of jobs" end
  local set = setmetatable({ parts = parts, reports = reports, client = parts[1].client,
    again = parts[1].again }, Job)
  M.tally(set)
  return set
end

-- Files -------------------------------------------------------------------------

---A part of a file's name. Ids come from servers and callers: they must not lead out of the
---folder.
---@param value any
---@return string
function M.file_part(value)
  local text = tostring(value):gsub("[^%w%-_.]", "_")
  if text:find "^%.*$" then text = "_" .. text end
  return text
end

local FIELDS = { event_id = true, dimension = true, id = true, index = true, group_by = true,
  event = true, query_id = true }

local function path_of(template, each, index)
  return (template:gsub("{([%w_]+)}", function(name)
    if not FIELDS[name] then
      local names = {}
      for known in pairs(FIELDS) do names[#names + 1] = known end
      table.sort(names)
      errors.misuse(("download: unknown name {%s}; there are: %s"):format(name,
        table.concat(names, ", ")))
    end
    local value = name == "index" and index or each[name]
    if type(value) == "table" then value = table.concat(value, "-") end
    return M.file_part(value == nil and "none" or value)
  end))
end

---Downloads every report, four at a time, to a file named by a template such as
---"out/{event_id}-{dimension}.csv" ({index}, {id} and {group_by} are there
---too). The folder must exist; characters that are not letters, digits, "-",
---"_" or "." become "_" in what is filled in.
---@param template string
---@param given? table options of a report's download
---@return string[]|nil paths in request order
---@return garner.Error|nil with `reports` and `files`
function Job:download(template, given)
  if type(template) ~= "string" or template == "" then
    errors.misuse "download: a file name expected, such as \"{event_id}-{dimension}.csv\""
  end
  local paths, used = {}, {}
  for index, each in ipairs(self.reports) do
    local path = path_of(template, each, index)
    if used[path] then
      errors.misuse(("download: reports %d and %d would both be written to %s; use {index} or {id}")
        :format(used[path], index, path))
    end
    used[path], paths[index] = index, path
  end
  given = require("garner.download").check(given)
  local calls, files, first = {}, {}, nil
  for index, each in ipairs(self.reports) do
    calls[index] = function() return each:download(paths[index], given) end
  end
  -- What shows progress shows it of one file at a time.
  local shown = given.progress or given.on_progress
  for index, result in ipairs(tasks.all(calls, { concurrency = shown and 1 or M.DOWNLOADS })) do
    if result.raised then error(result.err, 0) end
    if result.ok then
      files[#files + 1] = paths[index]
    else
      first = first or result.err
    end
  end
  if not first then return files end
  first.reports, first.files = self.reports, files
  return nil, first
end

methods.guard(Job, "job")

return M
