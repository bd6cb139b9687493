-- Owns BlendVision One as scripts use it: live metrics over any range, event
-- reports for one or many events. Facts come from BlendVision's API reference:
-- "Get live metrics", "Generate event report", "Get multiple events reports".
-- It must not retry, poll or decode by itself.

local arguments = require "garner.arguments"
local auth = require "garner.auth"
local compat = require "garner.compat"
local doubt = require "garner.doubt"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local job = require "garner.job"
local metrics = require "garner.blendvision.metrics"
local new_api = require("garner.api").new
local options = require "garner.options"
local pull = require "garner.pull"
local reports = require "garner.blendvision.reports"
local tasks = require "garner.tasks"
local vendor = require "garner.vendor"

local M = {}

M.BASE_URL = "https://api.one.blendvision.com"
M.LOGIN_PATH = "/bv/account/v1/accounts/login"

-- How many reports one batch-get may ask for is not documented.
M.BATCH = 100

---@class garner.blendvision: garner.Client
---@field live_metrics fun(self, given: table): garner.pull
---@field get_live_metrics fun(self, given: table): table|nil, garner.Error|nil
local BlendVision = {}

local CALL = vendor.rules(endpoint.CALL_OPTIONS, { org_id = options.text })

local FAILED = job.failed_rule(reports.STATES)

-- A login instead of an API token. Its answer has a refresh token too, but how that is used is not
-- documented: a token that ends is replaced by logging in again.
local credentials = {
  options = { email = options.any, password = options.any, login_token = options.any,
    login_url = options.text },
  help = "email and password (of a login), or login_token",
}

function credentials.make(given, opts)
  if given.login_token ~= nil then
    if given.email ~= nil or given.password ~= nil then
      errors.misuse "garner.blendvision: give login_token, or email and password, not both"
    end
    return auth.bearer(given.login_token)
  elseif given.email == nil or given.password == nil then
    return nil
  end
  return auth.login {
    token_url = given.login_url or opts.base_url:gsub("/+$", "") .. M.LOGIN_PATH,
    json = { email = given.email, password = given.password },
  }
end

local function logs_in(given)
  return given.login_token ~= nil or given.email ~= nil
end

-- The one header of an organization that is not the client's own.
local function org_headers(given)
  return given.org_id and { ["x-bv-org-id"] = given.org_id } or nil
end

-- Live metrics ----------------------------------------------------------------

---Live metrics of one live over any range, asked for in windows of at most 8
---hours ("the time range cannot be over 8 hours"), each point once: rows, each,
---collect, series, save, plan, coverage, absent, ... of a pull.
---Rows: time (the server's text), epoch, type (network_in, frame_rate,
---concurrent_user), dimension (nil is not ""), value (the server's exact
---text), number, unit (Mbps, fps, users), raw.
---Options: live_id (or id), from and to, or date; zone; types (default: all);
---org_id, timeout (of a request), headers; and those of every pull.
---get_live_metrics is one request of exactly the range given, of which both
---ends belong to it: the server refuses one of more than 8 hours. It gives
---{ rows, absent, raw }.
BlendVision.live_metrics = {
  get = "/bv/cms/v1/lives/{live_id}/metrics",
  title = function(given) return ("live metrics of %q"):format(given.live_id) end,
  what = function(given) return ("live %q"):format(given.live_id) end,
  arguments = {
    live_id = { "id", alias = "id" }, types = { enum = metrics.TYPES, list = true },
    org_id = { "text", header = "x-bv-org-id" },
  },
  window = { from = "start_time", to = "end_time", max = metrics.MAX_WINDOW,
    edges = metrics.EDGES },
  items = "metrics",
  rows = { all = metrics.rows, time = "epoch", key = metrics.key, identity = metrics.identity,
    columns = metrics.COLUMNS, record = metrics.record, points = true },
}

-- Reports ---------------------------------------------------------------------

-- One batch-get for at most `BATCH` reports.
local function batch_get(self, list, call, deprecated)
  local entries = {}
  for index, each in ipairs(list) do entries[index] = reports.batch_entry(each, deprecated) end
  return endpoint.json(self, reports.BATCH_GET, {
    json = { reports = entries }, headers = org_headers(call), what = "a report of the batch",
  }, call)
end

local create -- one create call; below

-- What a job needs to know about BlendVision: the same table for calls that may share polls.
local function job_api(self, call, deprecated)
  local key = job.key { call.headers, org_id = call.org_id, timeout = call.timeout,
    failed = call.failed_status, deprecated = deprecated, doubt = call.in_doubt }
  self.job_apis = self.job_apis or setmetatable({}, { __mode = "v" })
  local api = self.job_apis[key]
  if api then return api end
  local states = vendor.rules(reports.STATES, self.settings.failed_status or {},
    call.failed_status or {})
  api = { client = self, states = states, freeze = reports.freeze }
  self.job_apis[key] = api
  function api.apply(each, element) reports.apply(each, element, states) end
  function api.poll(list)
    local ids = {}
    for index, each in ipairs(list) do
      ids[index] = { id = each.id, json = reports.batch_entry(each, deprecated) }
    end
    return {
      method = "POST", path = reports.BATCH_GET.path, headers = endpoint.headers(call.headers,
        org_headers(call)), ids = ids,
      batch = M.BATCH, body_key = "reports", items = "reports", id = "id", status = "status",
      uri = "uri", states = states, operation = "wait", request_timeout = call.timeout,
    }
  end
  function api.can_create(each) return each.event_id ~= nil and each.event_type ~= nil end
  function api.create(each)
    return create(self, each.event_id, { type = each.event_type,
      conditions = { each.dimension_with_condition }, deprecated_fields = deprecated,
    }, call, api)
  end
  return api
end

local JOB = vendor.rules(CALL, {
  deprecated_fields = options.boolean, recreate = job.recreate_rule, in_doubt = doubt.rule(false),
  failed_status = FAILED,
})

local CREATE = vendor.rules(JOB, {
  event_id = arguments.id, type = options.any, dimensions = options.any, zone = options.text,
})

local function deprecated_of(self, given)
  if given.deprecated_fields ~= nil then return given.deprecated_fields end
  return self.settings.deprecated_fields
end

-- Checks what create_report and create_reports have in common.
local function ask_of(self, given, what)
  local zone = given.zone or self.settings.zone
  if given.type == nil then
    errors.misuse(("%s: type is required; the event type is one of: %s"):format(what,
      table.concat(reports.EVENT_TYPES.names, ", ")))
  end
  local kind, message = reports.EVENT_TYPES:api(given.type)
  if not kind then errors.misuse(what .. ": " .. message) end
  if given.dimensions == nil then
    errors.misuse(("%s: dimensions is required; one or more of: %s"):format(what,
      table.concat(reports.DIMENSIONS.names, ", ")))
  end
  local conditions
  conditions, message = reports.dimensions_rule(zone)(given.dimensions)
  if not conditions then errors.misuse(("%s: dimensions %s"):format(what, message)) end
  return { type = kind, conditions = conditions, deprecated_fields = deprecated_of(self, given) }
end

-- One create request; a 200 that does not say what it made is in doubt.
local function create_once(self, event_id, ask, call, api)
  local body, err, response = endpoint.json(self, reports.CREATE, {
    json = reports.create_body(event_id, ask, {
      event_id = self.settings.event_id_field or "id", type = self.settings.type_field or "type",
      dimensions = self.settings.dimensions_field or "dimensions",
    }),
    headers = org_headers(call), what = ("event %q"):format(event_id),
  }, call)
  local list, message
  if body then
    list, message = reports.created(event_id, ask, body, api.states)
    if list then return list end
  elseif not response then
    return nil, err
  else
    message = err.message
  end
  return nil, errors.from_response(response, { kind = "in_doubt", code = "answer",
    message = "the create was accepted, but what it made is unknown: " .. message })
end

local function new_job(self, api, list, given, fields)
  fields.again = given.recreate
  return job.new(self, api, list, fields)
end

-- One create call, and what the caller wants where its fate is unknown.
create = function(self, event_id, ask, call, api)
  local spec
  spec = {
    policy = call.in_doubt, log = self.log, what = ("the reports of event %s"):format(event_id),
    create = function() return create_once(self, event_id, ask, call, api) end,
    job = function(list)
      return new_job(self, api, list, call, { event_id = event_id, creates = spec.creates })
    end,
  }
  return doubt.create(spec)
end

---Creates the reports of one event with one request, however many dimensions
---it names; the range of a filter is never split. It is never sent twice by
---accident: what may have reached the server ends as an error of kind
---"in_doubt", whose `retry()` creates them once more and gives the job.
---@param given table event_id (or id), type ("live", "vod", "aod"), dimensions: a list whose
---  entries are text or { "watch_time", group_by = { "device_os" }, from =, to = } (both times or
---  neither); zone, deprecated_fields, org_id, timeout, headers; recreate (false: how many creates
---  a report that failed may take in all, or { max =, pause = 60 }), in_doubt ("fail", "recreate",
---  or a function(err) that gives a job or nil), failed_status (more statuses that mean "failed")
---@return garner.job|nil job reports, wait, status, download, cancel, checkpoint, recreate
---@return garner.Error|nil
function BlendVision:create_report(given)
  given = options.alias(given, "id", "event_id", "create_report")
  given = options.check(given, CREATE, "create_report")
  if not given.event_id then errors.misuse "create_report: event_id is required" end
  local ask = ask_of(self, given, "create_report")
  local api = job_api(self, given, ask.deprecated_fields)
  local list, err, creates = create(self, given.event_id, ask, given, api)
  if not list then return nil, err end
  return new_job(self, api, list, given, { event_id = given.event_id, creates = creates })
end

local function ids_rule(value)
  if type(value) ~= "table" then return nil, "must be a list, got " .. options.show(value) end
  local out, seen, count = {}, {}, 0
  for _ in pairs(value) do count = count + 1 end
  for index, entry in ipairs(value) do
    local id, message = arguments.id(entry)
    if not id then return nil, ("(entry %d) %s"):format(index, message) end
    if seen[id] then return nil, ("names %q twice"):format(id) end
    seen[id], out[index] = true, id
  end
  if #out == 0 then return nil, "must name at least one event" end
  if count ~= #out then return nil, "must be a plain list" end
  return out
end

local CREATE_MANY = vendor.rules(JOB, {
  event_ids = ids_rule, type = options.any, dimensions = options.any, zone = options.text,
  concurrency = options.integer(1),
})

local function unknown_fate(event_id)
  return errors.new { kind = "in_doubt", code = "interrupted",
    message = ("the create for event %q was on its way when it was interrupted"):format(event_id) }
end

-- What is known of every event's create so far, in order.
local function reports_so_far(given, ask, outcomes)
  local all, created, creates, first = {}, 0, 0, nil
  for index, event_id in ipairs(given.event_ids) do
    local outcome = outcomes[index] or {}
    local list, err = outcome.list, outcome.err
    creates = creates + (outcome.creates or outcome.begun and 1 or 0)
    if list then
      created = created + 1
    else
      err = err or outcome.begun and unknown_fate(event_id)
        or errors.new { kind = "cancelled", code = "not_sent",
          message = ("event %q: the create was not sent"):format(event_id) }
      first = first or err
      list = reports.not_created(event_id, ask, err)
    end
    for _, each in ipairs(list) do all[#all + 1] = each end
  end
  return all, created, creates, first
end

-- What was created must not be lost with what a function of the caller raised, or Ctrl-C.
local function rescue(self, made, raised)
  local ok, text = pcall(made.checkpoint, made)
  if errors.is(raised) then
    raised.reports, raised.checkpoint = made.reports, ok and text or nil
  end
  self.log("error", "create_reports.interrupted", { checkpoint = text })
end

---Creates the same reports for many events, a request each, and gives one
---job that watches them all with shared polls. An event whose create failed
---has its error in its reports, and `wait` tells it.
---@param given table event_ids, and everything of create_report; concurrency (4)
---@return garner.job|nil set nil only if nothing at all was created
---@return garner.Error|nil with `reports`. What a function of the caller raises is raised again;
---  what was created by then is logged as a checkpoint (and in `reports` and `checkpoint` of an
---  error object)
function BlendVision:create_reports(given)
  given = options.alias(given, "ids", "event_ids", "create_reports")
  given = options.check(given, CREATE_MANY, "create_reports")
  if not given.event_ids then errors.misuse "create_reports: event_ids is required" end
  local ask = ask_of(self, given, "create_reports")
  local api = job_api(self, given, ask.deprecated_fields)
  local calls, outcomes = {}, {}
  for index, event_id in ipairs(given.event_ids) do
    calls[index] = function()
      local outcome = { begun = true }
      outcomes[index] = outcome
      outcome.list, outcome.err, outcome.creates = create(self, event_id, ask, given, api)
      return true
    end
  end
  local unbroken, results = compat.guard(tasks.all, calls,
    { concurrency = given.concurrency or self.settings.concurrency or pull.CONCURRENCY })
  local raised = not unbroken and { err = results } or nil
  for _, result in ipairs(unbroken and results or {}) do
    if result.raised then raised = raised or result end
  end
  local all, created, creates, first = reports_so_far(given, ask, outcomes)
  if created == 0 and not raised then
    first.reports = all
    return nil, first
  end
  local made = new_job(self, api, all, given, { event_ids = given.event_ids, creates = creates })
  if not raised then return made end
  if created > 0 then rescue(self, made, raised.err) end
  error(raised.err, 0)
end

local RESUME = vendor.rules(JOB, {})

---Goes on with a job out of a checkpoint; see the client's `resume`.
---@param fields table
---@param given? table org_id, timeout, headers, deprecated_fields, recreate (else as the job was
---  made), in_doubt, failed_status
---@return garner.job
function BlendVision:resume_job(fields, given)
  given = options.check(given, RESUME, "resume")
  return job.thaw(self, job_api(self, given, deprecated_of(self, given)), fields, reports.thaw,
    given)
end

local BATCH = vendor.rules(CALL, { deprecated_fields = options.boolean, zone = options.text,
  failed_status = FAILED })

-- What a caller of batch_get may give for one report.
local function known_report(entry, zone)
  if type(entry) ~= "table" then return nil, "must be a table with id and dimension" end
  local id, message = arguments.id(entry.id)
  if not id then return nil, "id " .. message end
  local condition = entry.dimension_with_condition
  if condition == nil then
    local list
    list, message = reports.dimensions_rule(zone)({ {
      dimension = entry.dimension, group_by = entry.group_by,
      group_by_fields = entry.group_by_fields, from = entry.from, to = entry.to,
      date = entry.date, zone = entry.zone, filter = entry.filter,
    } })
    if not list then return nil, (message:gsub("^%(entry 1%): ", "")) end
    condition = list[1]
  elseif type(condition) ~= "table" then
    return nil, "dimension_with_condition must be a table"
  end
  return { id = id, event_id = entry.event_id, dimension_with_condition = condition }
end

---One batch-get request for reports that were created earlier.
---@param list table[] garner.report objects, or tables with id and either
---  dimension_with_condition (as create returned it) or dimension, group_by, from, to
---@param given? table deprecated_fields, zone, org_id, timeout, headers
---@return garner.report[]|nil in the order of `list`, matched by id
---@return garner.Error|nil
function BlendVision:batch_get(list, given)
  given = options.check(given, BATCH, "batch_get")
  if type(list) ~= "table" or list[1] == nil then
    errors.misuse "batch_get: a list of at least one report expected"
  end
  local asked = {}
  for index, entry in ipairs(list) do
    local each, message = known_report(entry, given.zone or self.settings.zone)
    if not each then errors.misuse(("batch_get: report %d: %s"):format(index, message)) end
    asked[index] = each
  end
  local deprecated = deprecated_of(self, given)
  local body, err = batch_get(self, asked, given, deprecated)
  if not body then return nil, err end
  local answers, api = reports.by_id(body), job_api(self, given, deprecated)
  local out = {}
  for index, each in ipairs(asked) do
    out[index] = reports.new_report(each.event_id, each.dimension_with_condition,
      answers[each.id], api.states)
    if not answers[each.id] then
      out[index].id, out[index].status = each.id, "missing"
      out[index].err = errors.new { kind = "protocol", code = "missing",
        message = ("the answer has no report %s"):format(each.id) }
    end
  end
  -- The job gives the reports what they need to be downloaded.
  return job.new(self, api, out, { creates = 0, quiet = true }).reports
end

---A client of BlendVision One. Without arguments the credential comes from
---BLENDVISION_TOKEN and BLENDVISION_ORG_ID.
---Options: token (API token of the console), or email and password (it logs in, and
---  again when that token has ended), or login_token (a token from a login: text, function, { file
---  = }, { env = }); org_id (required with an API token: sent as x-bv-org-id), base_url, zone (for
---  times that carry none, default UTC), concurrency, deprecated_fields (also send the fields that
---  the reference calls deprecated; off), and event_id_field ("id"), type_field ("type"),
---  dimensions_field ("dimensions"): names that the reference's text lost; failed_status (more of
---  the server's statuses that mean "failed"); and every option of garner.client
---@type fun(given: table|nil): garner.blendvision
M.new = new_api {
  name = "blendvision", base_url = M.BASE_URL, auth = auth.bearer,
  token_env = { "BLENDVISION_TOKEN" },
  headers = { ["x-bv-org-id"] = { option = "org_id", env = "BLENDVISION_ORG_ID",
    what = "the organization id, which BlendVision requires with an API token",
    optional = logs_in } },
  credentials = credentials,
  options = {
    zone = options.text, deprecated_fields = options.boolean,
    event_id_field = options.text, type_field = options.text, dimensions_field = options.text,
    failed_status = FAILED,
  },
  verbs = BlendVision,
}

return M
