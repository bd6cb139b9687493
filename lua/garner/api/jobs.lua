-- Owns the verbs of a description whose data is made by jobs: a request that
-- creates one, shared polls until it has ended, the file that it leaves. It
-- must not know any API, nor create a second job for a window that has one.

local compat = require "garner.compat"
local doubt = require "garner.doubt"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local job = require "garner.job"
local options = require "garner.options"
local ranges = require "garner.api.range"
local report = require "garner.report"
local requests = require "garner.api.request"
local response = require "garner.response"
local vendor = require "garner.vendor"

local M = {}

local function text_of(value)
  if type(value) == "number" then return compat.number_text(value) end
  return type(value) == "string" and value ~= "" and value or nil
end

-- Reports ----------------------------------------------------------------------

-- What the server says about a job, taken into its report.
local function apply(rules, states, each, element)
  local status = text_of(response.pick(element, rules.status))
  each.state, each.status = states[status] or "unknown", status or "unknown"
  each.uri = rules.uri and text_of(response.pick(element, rules.uri))
  local problem = rules.error and response.pick(element, rules.error)
  if type(problem) == "string" and problem ~= "" then problem = { reason = problem } end
  each.error_info = type(problem) == "table" and next(problem) ~= nil and problem or nil
end

local function new_report(verb, id, ask)
  return report.new { id = id, event = verb.name, ask = ask, raw = {}, state = "running",
    status = "created" }
end

-- One create request; an answer that does not say what was made is in doubt.
local function create_once(self, verb, ask, call)
  requests.keep_pace(self, verb, call)
  local res, err = self:request(endpoint.request(verb, ask, call))
  if not res then return nil, requests.explained(verb, err, { client = self, given = call }) end
  local body, why = res:json()
  local id = body ~= nil and not why and text_of(response.pick(body, verb.job.id)) or nil
  if id then return { new_report(verb, id, ask) } end
  return nil, errors.from_response(res, { kind = "in_doubt", code = "answer",
    message = "the create was accepted, but its answer has no " .. verb.job.id
      .. (why and ": " .. why.message or "") })
end

local function create(self, verb, ask, call, api)
  local spec
  spec = {
    policy = call.in_doubt, log = self.log, what = verb.name,
    create = function() return create_once(self, verb, ask, call) end,
    job = function(list) return M.made(self, verb, api, list, call, spec.creates) end,
  }
  return doubt.create(spec)
end

-- How jobs of a verb are asked about: the same table for calls that may share polls. `headers`
-- are those of the create: what names a tenant there names it here.
local function api_of(self, verb, call, headers)
  local rules = verb.job
  local key = job.key { verb.name, call.headers, headers, timeout = call.timeout,
    failed = call.failed_status, doubt = call.in_doubt }
  self.job_apis = self.job_apis or setmetatable({}, { __mode = "v" })
  local api = self.job_apis[key]
  if api then return api end
  local states = vendor.rules(rules.states, call.failed_status or {})
  api = { client = self, states = states }
  self.job_apis[key] = api
  function api.apply(each, element) apply(rules, states, each, element) end
  function api.poll(reports)
    local poll, ids = rules.poll, {}
    for index, each in ipairs(reports) do
      ids[index] = { id = each.id, json = poll.entry and poll.entry(each) or nil }
    end
    return { method = poll.method, path = poll.path, headers = endpoint.headers(call.headers,
      headers), ids = ids, query_key = poll.query, path_key = poll.path_key,
      body_key = poll.body, items = poll.items, batch = poll.batch, id = poll.id,
      status = rules.status, uri = rules.uri, states = states, operation = "wait",
      scope = verb.scope, request_timeout = call.timeout }
  end
  function api.can_create(each) return each.ask ~= nil end
  function api.create(each) return create(self, verb, each.ask, call, api) end
  -- Headers may hold what must not be written down.
  function api.freeze(each)
    local ask = each.ask or {}
    return { verb = verb.name, params = ask.params, query = ask.query, json = ask.json }
  end
  return api
end

---The job of reports that were created.
---@param self table vendor object
---@param verb table
---@param api garner.job.api
---@param list garner.report[]
---@param given table recreate
---@param creates number|nil
---@return garner.job
function M.made(self, verb, api, list, given, creates)
  local recreate = given.recreate
  if recreate == nil then recreate = verb.job.recreate end
  return job.new(self, api, list, { again = recreate, creates = creates, id = list[1].id })
end

-- One create call of a window, and its job.
local function start(self, verb, given, window)
  local ask = requests.fields(verb, given, { client = self, given = given, window = window })
  local api = api_of(self, verb, given, ask.headers)
  local list, err, creates = create(self, verb, ask, given, api)
  if not list then return nil, err end
  return M.made(self, verb, api, list, given, creates)
end

---What callers may give for a job, beside what the verb takes.
---@param verb table
---@return table rules
function M.rules(verb)
  return {
    recreate = job.recreate_rule, in_doubt = doubt.rule(false),
    failed_status = job.failed_rule(verb.job.states),
  }
end

---The verb that creates one job of exactly what it is given.
---@param verb table
---@return fun(self: table, given: table|nil): garner.job|nil, garner.Error|nil
function M.raw(verb)
  local rules = requests.rules(verb, M.rules(verb))
  return function(self, given)
    given = requests.take(verb, given, rules, verb.raw)
    local window = verb.window and ranges.whole(self, verb, given)
    requests.check_together(verb, given, verb.raw, window)
    return start(self, verb, given, window)
  end
end

---Goes on with a job out of a checkpoint; see the client's `resume`.
---@param verbs table<string, table>
---@return fun(self: table, fields: table, given: table|nil): garner.job|nil, garner.Error|nil
function M.resume(verbs)
  return function(self, fields, given)
    local first = type(fields.reports) == "table" and fields.reports[1]
    local verb = type(first) == "table" and verbs[first.verb]
    if not verb then return nil, job.unreadable "its job is of no verb of this API" end
    given = options.check(given, vendor.rules(endpoint.CALL_OPTIONS, M.rules(verb)), "resume")
    return job.thaw(self, nil, fields, function(frozen)
      -- Several jobs that were kept as one may be of several verbs.
      local own = verbs[frozen.verb]
      if not own then return nil end
      local each = new_report(own, text_of(frozen.id), { params = frozen.params or {},
        query = frozen.query or {}, json = frozen.json, headers = own.headers })
      each.api = api_of(self, own, given, own.headers)
      return each
    end, given)
  end
end

-- Windows ----------------------------------------------------------------------

-- The ended job of a window, which is created unless it has one.
local function finished(self, verb, given, window, budget)
  if not window.job then
    local ok, err = true, nil
    if budget then ok, err = budget:spend(1) end
    if ok then window.job, err = start(self, verb, given, window) end
    if not window.job then return nil, err end
  end
  local how = vendor.rules(verb.job.wait or {}, given.wait or {})
  local reports, err = window.job:wait(how, budget)
  if not reports then return nil, err end
  if budget then
    local ok, why = budget:spend(1)
    if not ok then return nil, why end
  end
  return reports[1]
end

-- Row -> the columns of its file, in order: what `save` writes.
local columns = setmetatable({}, { __mode = "k" })

---What `save` writes of a row of a job's file, where the description does not say.
---@param row table
---@return table
---@return string[]|nil
function M.record(row)
  return row, columns[row]
end

-- The rows of a report's file as the description makes them.
local function rows_of(verb, source, ctx)
  local each = verb.rows.each
  return function()
    while true do
      local row, err = source:step()
      if row == nil then return nil, err end
      if each then
        row = each(row, ctx)
      else
        columns[row] = source.columns
      end
      if row ~= nil then return row end
    end
  end
end

---One window's rows, read from its file as they are asked for. Where it is
---asked again because its job had not ended, that job is gone on with; once its
---rows are given, the next time is a new job, since a file does not change.
---@param self table vendor object
---@param verb table
---@param given table
---@param window table
---@param budget table|nil
---@return table|nil answer
---@return garner.Error|nil
function M.fetch(self, verb, given, window, budget)
  local each, err = finished(self, verb, given, window, budget)
  if not each then return nil, err end
  local source
  source, err = each:rows { format = verb.rows.format, max_body = given.max_body }
  if not source then return nil, err end
  local rows = rows_of(verb, source, { client = self, given = given, window = window,
    report = each })
  window.job = nil
  return { rows = rows, query_id = each.id, bytes = source.size }
end

---One window's file, kept as it is, under the title's name.
---@param self table vendor object
---@param verb table
---@param given table
---@param window table
---@param folder string
---@param budget table|nil
---@return string|nil path
---@return garner.Error|nil
---@return number|nil bytes
function M.keep(self, verb, given, window, folder, budget)
  local each, err = finished(self, verb, given, window, budget)
  if not each then return nil, err end
  -- Of several pulls into one folder none must write over another's file.
  local name = job.file_part(requests.fill(verb.title or verb.name, given))
  local path = ("%s/%s-%s.%s"):format((folder:gsub("/+$", "")), name,
    window.from_text:gsub("[:%-]", ""):gsub("[^%w]", "-"), verb.rows.format or "csv")
  local saved
  saved, err = each:download(path, { max_body = given.max_body })
  if not saved then return nil, err end
  return path, nil, saved.size
end

return M
