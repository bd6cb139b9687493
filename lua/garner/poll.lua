-- Owns: waiting for many jobs with shared requests: templates for the core's poller,
-- its events for the caller. Must not: know any API or make jobs.

local arguments = require "garner.arguments"
local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local options = require "garner.options"
local request = require "garner.request"
local response = require "garner.response"
local sending = require "garner.send"

local WHAT = "client:poll"

local STATES = { done = true, failed = true, running = true }

local function states(value)
  for status, state in pairs(type(value) == "table" and value or { "" }) do
    if not (type(status) == "string" or compat.whole(status)) or not STATES[state] then
      return nil, 'must map the server\'s words to "done", "failed" or "running"'
    end
  end
  return value
end

local SCHEMA = request.extend {
  ids = options.table, items = options.text, id = options.text, status = options.text,
  uri = options.text, request_timeout = options.duration, states = states,
  batch = options.integer(1, 10000),
  body_key = options.text, query_key = options.text, path_key = options.text, first = arguments.lag,
  factor = options.factor, cap = options.duration, timeout = options.duration,
  grace = arguments.lag, once = options.boolean,
  on_progress = options.callable, on_notice = options.callable, handle = options.table,
}
-- The bodies are made here, their answers read here, and asking is safe.
for _, name in ipairs { "json", "form", "body", "file", "safe", "creates" } do
  SCHEMA[name] = nil
end

-- Where one id is asked for, in its place of the path.
local function url_of(state, spec, id)
  local params = { [spec.path_key] = id }
  for name, value in pairs(spec.params or {}) do
    params[name] = value
  end
  local url, why = state.core:url_build(spec.path, params, spec.query or {})
  if not url then
    errors.misuse(WHAT .. ": " .. tostring(why))
  end
  return url
end

-- Ids in the order given, once each, with what asks for them made once for all polls.
local function fragments(state, spec)
  local out, seen = {}, {}
  for i, entry in ipairs(spec.ids) do
    local id = type(entry) == "table" and entry.id or entry
    if type(id) ~= "string" or id == "" then
      errors.misuse(WHAT .. ": ids[" .. i .. "] has no id")
    end
    if not seen[id] then
      seen[id] = true
      local value = type(entry) == "table" and entry.json or { id = id }
      out[#out + 1] = { id = id,
        fragment = spec.body_key and request.encode(value, state.codec, WHAT)
          or spec.path_key and url_of(state, spec, id) or nil }
    end
  end
  if #out == 0 then
    errors.misuse(WHAT .. ": ids is empty")
  end
  return out
end

local function rules_of(state, spec)
  local ways = (spec.body_key and 1 or 0) + (spec.query_key and 1 or 0) + (spec.path_key and 1 or 0)
  if ways ~= 1 then
    errors.misuse(WHAT .. ": give body_key (many ids in one POST), query_key or path_key (one GET "
      .. "per id)")
  elseif spec.path_key and not spec.path:find("{" .. spec.path_key .. "}", 1, true) then
    errors.misuse(WHAT .. ": the path has no {" .. spec.path_key .. "}, which is path_key")
  elseif spec.body_key and not spec.items then
    errors.misuse(WHAT .. ": body_key needs items, the JSON path of the list in the answer")
  end
  local rules = {
    ids = fragments(state, spec), urls = spec.path_key ~= nil, items = spec.items, id = spec.id,
    status = spec.status,
    uri = spec.uri, states = spec.states, batch = spec.batch, query = spec.query_key,
    first = spec.once and 0 or spec.first, factor = spec.factor, cap = spec.cap,
    timeout = spec.timeout or 1800, grace = spec.grace, once = spec.once,
  }
  if spec.body_key then
    rules.prefix = "{" .. request.encode(spec.body_key, nil, WHAT) .. ":["
    rules.suffix = "]}"
  end
  return rules
end

local function status_text(element, path)
  local value = response.pick(element, path)
  if type(value) == "number" then
    return compat.number_text(value)
  end
  return value ~= nil and tostring(value) or nil
end

-- Ends the poll before an error of the user's function goes on its way.
local function call(op, fn, ...)
  local ok, why = compat.guard(fn, ...)
  if not ok then
    op:cancel()
    error(why, 0)
  end
end

local ENDS = { done = true, failed = true, not_found = true }

-- A status that nobody described is worth one word, however many jobs are in it.
-- (Without an element nothing was ever heard of the job.)
local function warn_once(p, id, state, element, status)
  local odd = state == "unknown" and "unknown_status" or state == "no_uri" and "no_uri"
  local key = tostring(odd) .. (status or "")
  if odd and type(element) == "table" and not p.warned[key] then
    p.warned[key] = true
    p.state.log(odd == "no_uri" and "info" or "warn", odd, { id = id, status = status or "none" })
  end
end

local function on_report_event(p, op, result, event)
  local element = result:json()
  local id, state = result:id(), result:state()
  local status = status_text(element, p.spec.status)
  if ENDS[state] then
    p.left[id] = nil
  else
    warn_once(p, id, state, element, status)
  end
  if event == "report" then
    call(op, p.on_report, id, state, element, status)
  elseif p.spec.on_notice then
    call(op, p.spec.on_notice, id, state, element, status)
  end
end

-- The rules for what is left, in what is left of the time.
local function remaining(p)
  local rules = {}
  for name, value in pairs(p.rules) do
    rules[name] = value
  end
  rules.ids = {}
  for _, entry in ipairs(p.rules.ids) do
    if p.left[entry.id] then
      rules.ids[#rules.ids + 1] = entry
    end
  end
  rules.timeout = math.max(0.001, p.deadline - core.now())
  return rules
end

local function run(p)
  local rules = remaining(p)
  if #rules.ids == 0 then
    return true
  end
  local op, err = sending.start(p.state, "poll", p.request, rules)
  if not op then
    return nil, err
  end
  if p.spec.handle then
    p.spec.handle.cancel = function()
      op:cancel()
    end
  end
  while true do
    local event, value = op:next()
    if event == "report" or event == "notice" then
      on_report_event(p, op, value, event)
    elseif event == "progress" then
      if p.spec.on_progress then
        call(op, p.spec.on_progress, value)
      end
    elseif value == nil then
      return true
    else
      return nil, sending.failure(value, p.context)
    end
  end
end

--- Asks for the state of many jobs until each has ended. An error raised by a function
--- of the caller cancels the poll and reaches the caller.
---@param state table the client's
---@param spec table `method`, `path`, `query`, ... as for a request; `ids` = list of { id =, json =
--- what one id is in the body }; `body_key` (many ids in one POST: { body_key: [...] }, at most
--- `batch`, 100), `query_key` or `path_key` (one GET per id, which is in the query, or the part
--- {path_key} of the path); JSON paths `items`, `id`, `status`, `uri`;
--- `states` = { SERVER_WORD = "done" | "failed" | "running" }; `first` (1 s), `factor` (1.5), `cap`
--- (20 s), `timeout` of the jobs (30 min), `request_timeout` (the client's), `grace` (10 s: how
--- long a 404 may mean that a new job is not known yet), `once` (one look at each, no waiting);
--- `on_progress` = function({ pending, done, polls }); `on_notice` = function(id, state, element,
--- status) for a job that is in a state of "unknown" or "no_uri" for the first time, and polled on;
--- `handle` = a table that gets a function `cancel`
---@param on_report fun(id: string, state: string, element: any, status: string|nil) once per job
--- that ended: "done", "failed" or "not_found"; at the timeout, and with `once`, also for those
--- that did not, with "running", "unknown" or "no_uri" (done, but without its uri)
---@return true|nil
---@return garner.Error|nil err kind "timeout", code "job", where some did not end
return function(state, spec, on_report)
  spec = options.check(spec, SCHEMA, WHAT)
  if not compat.callable(on_report) then
    errors.misuse(WHAT .. ": on_report must be a function, got " .. options.show(on_report))
  end
  for _, name in ipairs { "path", "ids", "status", "states" } do
    if not spec[name] then
      errors.misuse(WHAT .. ": " .. name .. " is missing")
    end
  end
  local rules = rules_of(state, spec)
  local job_timeout = spec.timeout
  spec.timeout = spec.request_timeout -- not the jobs'
  spec.method = spec.method or (spec.body_key and "POST" or "GET")
  spec.safe = true
  if spec.path_key then -- a template, whose URL each id replaces
    local params = { [spec.path_key] = rules.ids[1].id }
    for name, value in pairs(spec.params or {}) do
      params[name] = value
    end
    spec.params = params
  end
  local core_request, context = request.build(state, spec, WHAT)
  if spec.body_key then
    core_request.headers = request.with_header(core_request.headers, "Content-Type",
      "application/json")
  end
  local p = {
    state = state, spec = spec, on_report = on_report, rules = rules, request = core_request,
    context = context, deadline = core.now() + (job_timeout or rules.timeout), left = {},
    warned = {},
  }
  for _, entry in ipairs(rules.ids) do
    p.left[entry.id] = true
  end
  return sending.with_token(state, run, p)
end
