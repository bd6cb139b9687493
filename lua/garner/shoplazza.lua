-- Owns Shoplazza's data queries as scripts use them: events of any range, and
-- the raw calls below. Facts: "Create Data Query Task", "Data query task
-- details", "Data query tasks list" (Shoplazza Admin API reference) and the
-- published OpenAPI file of version 2022-01. It must not retry, poll or parse
-- by itself.

local arguments = require "garner.arguments"
local auth = require "garner.auth"
local doubt = require "garner.doubt"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local events = require "garner.shoplazza.events"
local job = require "garner.job"
local new_api = require("garner.api").new
local options = require "garner.options"
local pull = require "garner.pull"
local query = require "garner.shoplazza.tasks"
local time = require "garner.time"
local vendor = require "garner.vendor"
local window = require "garner.window"

local M = {}

-- The data query endpoints are documented under this version only.
M.API_VERSION = "2022-01"
M.DOMAIN = "myshoplaza.com"
M.TOKEN_PATH = "/admin/oauth/token"
M.MAX_LIMIT = 250

-- Creates a task although it is a GET: never sent twice by accident.
M.CREATE = { method = "GET", path = "/data/query", creates = true, safe = false,
  scope = query.SCOPE, operation = "create_query" }
M.DETAIL = { method = "GET", path = "/data/task", scope = query.SCOPE, operation = "task" }
M.LIST = { method = "GET", path = "/data/tasks", scope = query.SCOPE, operation = "tasks" }
M.COUNT = { method = "GET", path = "/data/count", scope = query.SCOPE, operation = "count" }

---@class garner.shoplazza: garner.Client
local Shoplazza = {}

local FAILED = job.failed_rule(query.STATES)

-- Ids that a client made are no one else's; more of them than this are forgotten.
local MOST_KNOWN = 10000

-- The shop's name, or its whole host. The host has one "z" where the company
-- has two.
local function host_of(value)
  if type(value) ~= "string" or value == "" then
    return nil, "must be the shop's name, such as \"demo\""
  end
  value = value:lower()
  local name = value:match "^([%w%-]+)$" or value:match "^([%w%-]+)%.myshoplaza%.com$"
  if not name then
    return nil, "must be letters, digits and hyphens (\"demo\", or \"demo.myshoplaza.com\"), got "
      .. options.show(value)
  end
  return ("https://%s.%s"):format(name, M.DOMAIN)
end

local function version_rule(value)
  if type(value) == "string" and value:find "^%d%d%d%d%-%d%d$" then return value end
  return nil, "must look like \"2022-01\", got " .. options.show(value)
end

-- Public apps: tokens that end, and refresh tokens that are good for one use.
local credentials = {
  options = { refresh_token = options.any, client_id = options.text, client_secret = options.any,
    on_token = options.callable, token_url = options.text },
  help = "refresh_token with client_id, client_secret and on_token = a function that stores each "
    .. "new refresh token",
}

function credentials.make(given, opts)
  if given.refresh_token == nil then return nil end
  local first = opts.token
  opts.token = nil
  return auth.refresh_token {
    token_url = given.token_url or opts.base_url:gsub("/+$", "") .. M.TOKEN_PATH,
    client_id = given.client_id, client_secret = given.client_secret,
    refresh_token = given.refresh_token, rotates = true, on_token = given.on_token,
    access_token = first, header = "access-token",
  }
end

-- The shop's own host, unless base_url says where.
local function base_of(settings)
  local shop = settings.shop
  if shop == nil then shop = os.getenv "SHOPLAZZA_SHOP" end
  if shop ~= nil then
    local base, message = host_of(shop)
    if not base then errors.misuse("garner.shoplazza: shop " .. message) end
    return settings.base_url or base
  elseif settings.base_url == nil then
    errors.misuse("garner.shoplazza: no shop: set the option shop or the environment variable "
      .. "SHOPLAZZA_SHOP" .. auth.env_hint "SHOPLAZZA_SHOP")
  end
  return settings.base_url
end

---The path of an endpoint in this client's API version.
---@param path string
---@return string
function Shoplazza:api_path(path)
  return "/openapi/" .. (self.settings.api_version or M.API_VERSION) .. path
end

local function call_json(self, what, fields, call)
  local described = {}
  for name, value in pairs(what) do described[name] = value end
  described.path = self:api_path(what.path)
  return endpoint.json(self, described, fields, call)
end

-- One look at a task.
local function look(self, id, call)
  return call_json(self, M.DETAIL, { query = { id = id }, what = ("task %q"):format(id) }, call)
end

local create -- one create call; below

-- How tasks are asked about: the same table for calls that may share polls.
local function job_api(self, call)
  local key = job.key { call.headers, timeout = call.timeout, failed = call.failed_status,
    doubt = call.in_doubt, track = call.track }
  self.job_apis = self.job_apis or setmetatable({}, { __mode = "v" })
  local api = self.job_apis[key]
  if not api then
    local states = vendor.rules(query.STATES, self.settings.failed_status or {},
      call.failed_status or {})
    api = events.job_api(self, M.DETAIL, call, states, function(each)
      return create(self, each, call, api)
    end)
    self.job_apis[key] = api
  end
  return api
end

-- A job of one task. Where nothing is waited for, it only gives the task what it needs to be
-- downloaded.
local function new_job(self, api, list, given, fields)
  fields.query_id, fields.again = list[1].query_id, given.recreate
  if fields.again == nil then fields.again = query.RECREATE end
  return job.new(self, api, list, fields)
end

local function seen_task(self, id, ask, element, given)
  local api = job_api(self, given)
  local list = { query.new_report(id, ask, element, api.states) }
  return new_job(self, api, list, given, { creates = 0, quiet = true }).reports[1]
end

-- Raw calls -------------------------------------------------------------------

local function event_rule(value)
  return query.EVENTS:api(value)
end

-- The documented form: no zone, no fraction.
local function naive_rule(value)
  if type(value) == "string" and value:find "^%d+%-%d+%-%d+T%d+:%d+:%d+$" and time.parse(value) then
    return value
  end
  return nil, "must look like \"2020-12-30T15:04:05\", got " .. options.show(value)
end

local JOB = vendor.rules(endpoint.CALL_OPTIONS, {
  recreate = job.recreate_rule, in_doubt = doubt.rule(true), track = options.boolean,
  failed_status = FAILED,
})

local CREATE = vendor.rules(JOB, {
  event = event_rule, begin_time = naive_rule, end_time = naive_rule,
})

local function remember(self, id)
  if not self.made_ids or self.made_count >= MOST_KNOWN then
    self.made_ids, self.made_count = {}, 0
  end
  self.made_ids[id], self.made_count = true, self.made_count + 1
end

-- One create request.
local function create_once(self, ask, call, api)
  local body, err, response = call_json(self, M.CREATE, {
    query = { event = ask.event, beginTime = ask.begin_time, endTime = ask.end_time },
    what = "the data query",
  }, call)
  local id = body and body.query_id
  if type(id) == "string" and id ~= "" then
    remember(self, id)
    return { query.new_report(id, ask, nil, api.states) }
  elseif not response then
    return nil, err
  end
  return nil, errors.from_response(response, { kind = "in_doubt", code = "answer",
    message = "the create was accepted, but its answer has no query_id"
      .. (err and ": " .. err.message or "") })
end

-- One create call, and what the caller wants where its fate is unknown. The list of tasks has
-- ids and statuses only: what was not there before may still be another program's.
create = function(self, ask, call, api)
  if not self.made_ids then self.made_ids, self.made_count = {}, 0 end
  local spec
  spec = {
    policy = call.in_doubt, track = call.track, owner = self, known = self.made_ids,
    log = self.log,
    what = ("the task of %s from %s to %s"):format(ask.event or "all events", ask.begin_time,
      ask.end_time),
    create = function() return create_once(self, ask, call, api) end,
    ids = function() return self:all_tasks { timeout = call.timeout, headers = call.headers } end,
    adopt = function(id)
      remember(self, id)
      return { query.new_report(id, ask, nil, api.states) }
    end,
    job = function(list) return new_job(self, api, list, call, { creates = spec.creates }) end,
  }
  return doubt.create(spec)
end

---Creates one data query task with one request. A GET that creates: it is
---never sent twice by accident, and ends as "in_doubt" where nobody knows
---whether the server took it. That error has `retry()` (creates once more, gives the job),
---`candidates()` (tasks that this client did not make, and with `track` those that were not in
---the list before) and `adopt(id)` (a job of one of them).
---@param given table event (nil: the parameter is left out, which means all but impressions),
---  begin_time and end_time (or beginTime, endTime; "2020-12-30T15:04:05", at most 24 h apart),
---  timeout, headers; recreate (how a task that failed is created again: { max = 3, pause = 60 },
---  false), failed_status (numbers that mean "failed"), in_doubt ("fail"; "list": the one task
---  that was not in the list before is it, with none there it is created once more, several stay in
---  doubt; "recreate"; or a function(err) that gives a job or nil), track (list the tasks before
---  the create: a request for each 250; "list" does)
---@return garner.job|nil job query_id, wait, status, reports[1]:download(path), checkpoint
---@return garner.Error|nil
function Shoplazza:create_query(given)
  given = options.alias(given, "beginTime", "begin_time", "create_query")
  given = options.alias(given, "endTime", "end_time", "create_query")
  given = options.check(given, CREATE, "create_query")
  for _, name in ipairs { "begin_time", "end_time" } do
    if not given[name] then errors.misuse(("create_query: %s is required"):format(name)) end
  end
  if given.begin_time > given.end_time then
    errors.misuse "create_query: begin_time is after end_time"
  end
  local api = job_api(self, given)
  local ask = { event = given.event, begin_time = given.begin_time, end_time = given.end_time }
  local list, err, creates = create(self, ask, given, api)
  if not list then return nil, err end
  return new_job(self, api, list, given, { creates = creates })
end

---Goes on with a job out of a checkpoint; see the client's `resume`.
---@param fields table
---@param given? table timeout, headers, recreate (else as the job was made), in_doubt, track,
---  failed_status
---@return garner.job
function Shoplazza:resume_job(fields, given)
  given = options.check(given, JOB, "resume")
  return job.thaw(self, job_api(self, given), fields, query.thaw, given)
end

---One look at a task. The id is always sent: without it the server answers
---about some other task.
---@param id string the query_id
---@param given? table timeout, headers
---@return garner.report|nil status ("pending", "complete", else the number as text), query_status,
---  uri, raw
---@return garner.Error|nil
function Shoplazza:task(id, given)
  local text, message = arguments.id(id)
  if not text then errors.misuse("task: id " .. message) end
  given = options.check(given, endpoint.CALL_OPTIONS, "task")
  local body, err = look(self, text, given)
  if not body then return nil, err end
  return seen_task(self, text, nil, body, given)
end

local LIST = vendor.rules(endpoint.CALL_OPTIONS, {
  page = options.integer(1), limit = options.integer(1, M.MAX_LIMIT),
})

-- A list answer as reports, and how many elements the server counts on the page.
local function tasks_of(self, body, given, response)
  local list = query.list(body)
  if not list then
    return nil, endpoint.bad_shape(response, "the answer has neither tasks nor querys")
  end
  local out = {}
  for _, element in ipairs(list) do
    if type(element) == "table" then
      out[#out + 1] = seen_task(self, nil, nil, element, given)
    end
  end
  return out, nil, #list
end

local function page_of_tasks(self, given)
  local body, err, response = call_json(self, M.LIST, {
    query = { page = given.page, limit = given.limit }, what = "the list of tasks",
  }, given)
  if not body then return nil, err end
  return tasks_of(self, body, given, response)
end

---One page of the list of tasks.
---@param given? table page (from 1), limit (at most 250; the server's default is 20), timeout,
---  headers
---@return garner.report[]|nil
---@return garner.Error|nil
function Shoplazza:tasks(given)
  local list, err = page_of_tasks(self, options.check(given, LIST, "tasks"))
  return list, err
end

---All tasks: pages until one is shorter than the limit (the API tells no
---total). A task that is created meanwhile may move others to the next page:
---each id comes once.
---@param given? table limit (250), timeout, headers
---@return garner.report[]|nil
---@return garner.Error|nil
---@return garner.report[]|nil partial
function Shoplazza:all_tasks(given)
  given = options.check(given, LIST, "all_tasks")
  if given.page then errors.misuse "all_tasks: it asks for every page; use tasks" end
  given.limit = given.limit or M.MAX_LIMIT
  local out, seen = {}, {}
  given.page = 0
  repeat
    given.page = given.page + 1
    local list, err, count = page_of_tasks(self, given)
    if not list then return nil, err, out end
    local fresh = 0
    for _, each in ipairs(list) do
      if each.id == nil or not seen[each.id] then
        if each.id then
          seen[each.id] = true
          fresh = fresh + 1
        end
        out[#out + 1] = each
      end
    end
    -- A server that repeats a page would be asked for ever.
    if count >= given.limit and fresh == 0 then
      return nil, errors.new { kind = "protocol", code = "page", operation = "tasks",
        message = ("page %d has no task that was not there before"):format(given.page) }, out
    end
  until count < given.limit
  return out
end

---How many tasks the shop has.
---@param given? table timeout, headers
---@return number|nil
---@return garner.Error|nil
function Shoplazza:count(given)
  given = options.check(given, endpoint.CALL_OPTIONS, "count")
  local body, err, response = call_json(self, M.COUNT, { what = "the count of tasks" }, given)
  if not body then return nil, err end
  local count = tonumber(body.count)
  if count then return count end
  return nil, endpoint.bad_shape(response, "the answer has no count")
end

-- Pull --------------------------------------------------------------------------

local PULL = vendor.rules(pull.RULES, JOB, {
  event = options.any, edges = options.one_of { "[]", "[)", "(]", "()" },
  time_column = options.text,
  wait = function(value) return options.check(value, job.CADENCE, "events: wait") end,
})

-- Where the user names the column that holds the time, rows in an instant
-- that two windows share are compared by it.
local function time_of(column)
  return function(row)
    local text = row[column]
    local parsed = type(text) == "string" and time.parse(text)
    if parsed and parsed.kind == "instant" then return parsed.epoch + parsed.offset end
    -- A naive range counts its times as if they were UTC.
    return parsed and parsed.kind == "naive" and time.parse(text .. "Z").epoch or nil
  end
end

local function notes_of(names, edges)
  local notes = {}
  if names[1] then
    notes[1] = ("events: %s, one task for each window"):format(table.concat(names, ", "))
  else
    notes[1] = "no event named: all events except impressions"
  end
  notes[2] = "a window takes a create, looks until its task is complete, and a download; the looks "
    .. "beyond the first are not counted"
  if edges == "(]" then
    notes[3] = "beginTime and endTime are sent 1 s earlier, so that the instants asked for are "
      .. "those of the range"
  end
  return notes
end

---The events of any range, as a task for each window of at most 24 hours and
---each event: created, waited for, downloaded, read. Times are the shop's own
---and sent as they are given. Rows: a table for each line of the CSV by its
---column names, every value as text; query_id, query_event, window_from and
---window_to answer too, where no column has that name.
---@param given table event (one, a list, or none for all but impressions), from and to, or date;
---  zone (only to convert times with an offset), edges ("(]"), time_column, wait { timeout (30 min
---  for each task), first, factor, cap }, recreate, in_doubt and failed_status of create_query,
---  concurrency, on_not_ready, lag, progress, on_progress, timeout (of one request), headers
---@return garner.pull rows, each, collect, save, download, plan, coverage, ...
function Shoplazza:events(given)
  given = options.check(given, PULL, "events")
  local names, message = query.EVENTS:list(given.event)
  if not names then errors.misuse("events: " .. message) end
  local range
  range, message = time.range(given, { kind = "naive", zone = self.settings.zone })
  if not range then errors.misuse("events: " .. message) end
  local edges = given.edges or query.EDGES
  if edges == "[]" and not given.time_column then
    errors.misuse "events: with edges \"[]\" windows share instants; give time_column too"
  end
  local windows
  windows, message = window.plan(range, { max = query.MAX_WINDOW, edges = edges, granularity = 1 })
  if not windows then errors.misuse("events: " .. message) end
  windows = events.windows(windows, names, range.zone)
  local source
  source = {
    name = ("events of %s"):format(self:origin()), windows = windows, from = range.from,
    to = range.to, from_text = range.from_text, to_text = range.to_text,
    local_zone = range.local_zone,
    zone_name = range.local_zone and range.local_zone.name or "the shop's own times",
    edges = edges, requests_per_window = 2, notes = notes_of(names, edges),
    rate = { per_second = self.settings.rate, burst = self.settings.burst },
    time = given.time_column and time_of(given.time_column) or nil,
    identity = query.identity, record = query.record,
    fetch = function(each, budget) return events.fetch(self, each, given, budget) end,
    download = function(each, folder, budget)
      return events.keep(self, each, folder, given, budget)
    end,
  }
  return vendor.pull(self, given, "events", source)
end

---A client of one Shoplazza shop. Without arguments shop and credential come
---from SHOPLAZZA_SHOP and SHOPLAZZA_TOKEN.
---Options: shop (its name, or its host), token (with the scope read_data; sent as
---  access-token), or refresh_token, client_id, client_secret and on_token = function({
---  refresh_token, access_token, expires_at }) that stores the new refresh token (each is good for
---  one use; token is then the access token that there is already); api_version ("2022-01"),
---  base_url (instead of the shop's host), zone (to convert times that carry an offset; naive
---  times are sent as they are), failed_status (the numbers that mean "failed", which nobody
---  documented: { 3 }), concurrency; and every option of garner.client
---@type fun(given: table|nil): garner.shoplazza
M.new = new_api {
  name = "shoplazza", base_url = base_of, token_env = { "SHOPLAZZA_TOKEN" },
  auth = function(token) return auth.header("access-token", token) end,
  scope = query.SCOPE, rate = query.RATE, burst = query.BURST,
  options = { shop = options.any, api_version = version_rule, zone = options.text,
    failed_status = FAILED },
  credentials = credentials,
  verbs = Shoplazza,
}

return M
