-- Owns the wait for asynchronous reports: one job is what one or several
-- create calls made, watched by shared polls and given back in request order.
-- How a vendor is asked comes as an `api` table; this file must not know any
-- vendor, and never creates anything.

local compat = require "garner.compat"
local errors = require "garner.errors"
local options = require "garner.options"
local progress = require "garner.progress"
local report = require "garner.report"

local M = {}

-- Polling, where neither the caller nor the vendor says otherwise (seconds).
M.FIRST, M.FACTOR, M.CAP, M.TIMEOUT = 1, 1.5, 20, 1800

---@class garner.job.api
---@field poll fun(job: garner.job, reports: garner.report[]): table what client:poll takes
---@field look fun(job: garner.job, reports: garner.report[], apply: function): true|nil,
---  garner.Error|nil asks once, now, and calls apply(report, element)
---@field apply fun(report: garner.report, element: table) takes in one answer: status, state, uri

---@class garner.job
---@field reports garner.report[] in request order
local Job = {}
Job.__index = Job

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

-- What a report's state means for its error.
local function judge(each)
  if each.state == "failed" then
    local info = type(each.error_info) == "table" and each.error_info or {}
    local function text(value) return type(value) == "string" and value ~= "" and value or nil end
    local parts = {}
    for name, value in pairs(type(info.metadata) == "table" and info.metadata or {}) do
      parts[#parts + 1] = ("%s=%s"):format(tostring(name), tostring(value))
    end
    table.sort(parts)
    local why = text(info.reason) or "no reason given"
    if text(info.domain) then why = why .. ", " .. info.domain end
    if parts[1] then why = why .. ", " .. table.concat(parts, ", ") end
    each.err = errors.new { kind = "job_failed", code = text(info.reason),
      reason = text(info.reason), domain = text(info.domain),
      metadata = parts[1] and info.metadata or nil,
      message = ("report %s failed (%s)"):format(report.name(each), why) }
  elseif each:ready() then
    each.err = nil
  end
end

---@param client garner.Client
---@param api garner.job.api
---@param reports garner.report[]
---@param fields? table further fields of the job
---@return garner.job
function M.new(client, api, reports, fields)
  local self = fields or {}
  self.client, self.api, self.reports = client, api, reports
  for _, each in ipairs(reports) do
    each.client = client
    judge(each)
  end
  return setmetatable(self, Job)
end

local function open_reports(self)
  local out = {}
  for _, each in ipairs(self.reports) do
    if not each:ended() then out[#out + 1] = each end
  end
  return out
end

-- Takes in one answer about one report.
local function apply(self, each, element)
  if type(element) ~= "table" then return end
  each.raw, each.expired = element, nil
  self.api.apply(each, element)
  judge(each)
end

---Asks the vendor once, now, for all reports that have not ended, or whose link has expired.
---@return garner.report[]|nil all reports, in request order
---@return garner.Error|nil
function Job:status()
  local open = open_reports(self)
  if open[1] then
    local ok, err = self.api.look(self, open, function(each, element)
      apply(self, each, element)
    end)
    if not ok then return nil, err end
  end
  return self.reports
end

local function still_text(each)
  if each.state == "done" then
    return ("report %s is %s but has no link to download it"):format(report.name(each),
      tostring(each.status))
  end
  return ("report %s is still %s"):format(report.name(each), tostring(each.status))
end

-- The polls ended early: every report that is still open says why.
local function mark_open(self, err, timeout)
  -- The core's own words on why it does not know better.
  local failure = err.message:match "; the last look failed: .*$" or ""
  for _, each in ipairs(open_reports(self)) do
    if err.kind == "timeout" and err.code == "job" then
      each.err = errors.new { kind = "timeout", code = "job", attempts = err.attempts,
        status = err.status, message = ("%s after %g s%s"):format(still_text(each), timeout,
          failure) }
    else
      each.err = err
    end
  end
end

-- All reports, or the first error in request order with the list beside it.
local function conclude(self, partial)
  if partial then return self.reports end
  local first, count = nil, 0
  for _, each in ipairs(self.reports) do
    if not each:ready() then
      count = count + 1
      first = first or each.err or errors.new { kind = "not_ready", message = still_text(each) }
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
  cap = options.duration,
}

---Waits until every report has ended.
---@param given? table timeout (seconds or "15m"; 30 min), partial, progress, on_progress; first,
---  factor and cap of the pauses between looks (1 s, 1.5, 20 s)
---@return garner.report[]|nil all reports in request order, each with status and err
---@return garner.Error|nil with `reports`; kind "job_failed", "timeout", "cancelled", or why
---  polling ended. Not with partial = true: then the list is always given
function Job:wait(given)
  given = options.check(given, M.WAIT, "wait")
  local open = open_reports(self)
  if not open[1] then return conclude(self, given.partial) end
  local timeout = given.timeout or M.TIMEOUT
  local by_id = {}
  for _, each in ipairs(open) do
    -- A server may name one report for several of what was asked for.
    by_id[each.id] = by_id[each.id] or {}
    table.insert(by_id[each.id], each)
  end
  local spec = self.api.poll(self, open)
  spec.first, spec.factor = given.first or M.FIRST, given.factor or M.FACTOR
  spec.cap, spec.timeout = given.cap or M.CAP, timeout
  local meter = progress.new { progress = given.progress, on_progress = given.on_progress }
  meter:update { jobs = #open, waiting_for = "reports" }
  spec.on_progress = function(at) meter:update { jobs = at.pending, requests = at.polls } end
  self.handle = {}
  spec.handle = self.handle
  local function on_report(id, _, element)
    for _, each in ipairs(by_id[id] or {}) do apply(self, each, element) end
  end
  local unbroken, ok, err = compat.guard(self.client.poll, self.client, spec, on_report)
  self.handle = nil
  meter:finish()
  if not unbroken then error(ok, 0) end
  if not ok then
    if err.kind == "cancelled" then
      err.message = "the wait was cancelled; the reports are still being made at the vendor"
    end
    mark_open(self, err, timeout)
  end
  return conclude(self, given.partial)
end

---Ends the wait that runs in another task: it gives an error of kind
---"cancelled". Local only: the vendor goes on making the reports, and a later
---`wait` can go on watching them.
---@return boolean waiting whether a wait was ended
function Job:cancel()
  local handle = self.handle
  if not handle or not handle.cancel then return false end
  handle.cancel()
  return true
end

-- Ids come from servers and callers: they must not lead out of the folder.
local function file_part(value)
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
    return file_part(value == nil and "none" or value)
  end))
end

---Downloads every report to a file named by a template such as
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
  local files, first = {}, nil
  for index, each in ipairs(self.reports) do
    local file, err = each:download(paths[index], given)
    if file then
      files[#files + 1] = paths[index]
    else
      first = first or err
    end
  end
  if not first then return files end
  first.reports, first.files = self.reports, files
  return nil, first
end

return M
