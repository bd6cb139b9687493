-- What the simulator remembers, one compartment per scope: recorded requests, faults,
-- settings, reports and tasks. One process, so plain tables do. Decides nothing about
-- any API.
local M = {}

-- Requests kept per scope, and bytes kept of each body.
local KEEP = 20000
local KEEP_BODY = 256 * 1024

local scopes = {}
local leaks = {}

local defaults = {
  polls_until_ready = 2,
  url_ttl = 900,
  fail = false,
  forbidden = false,
  entities = 2600,
  users = 1200,
  activities = 96,
  activity_edges = "[]",
  late = 0,
  late_after = 1,
  warning = false,
  warning_page = 2,
  fail_status = 3,
  tasks_key = "tasks",
  batch_max = 0,
  no_uri = 0,
  ready_after = 0,
  vanish = false,
  lag_days = 1,
  old_dates = "empty",
  shuffle = true,
  token_ttl = 3600,
  token_ttl_text = false,
  revoked = 0,
}

---The compartment of a scope, made on first use. "" is the default scope.
function M.scope(name)
  local scope = scopes[name]
  if not scope then
    scope = {
      name = name,
      settings = setmetatable({}, { __index = defaults }),
      faults = {},
      requests = {},
      first = 1,
      last = 0,
      reports = {},
      report_count = 0,
      tasks = {},
      task_by_id = {},
      files = {},
      tokens = {},
    }
    scopes[name] = scope
  end
  return scope
end

---Forgets one scope, or everything.
function M.reset(name)
  if name then
    scopes[name] = nil
    return
  end
  scopes = {}
  leaks = {}
end

local TYPES = {
  polls_until_ready = "number", url_ttl = "number", fail = "boolean or number",
  forbidden = "boolean", entities = "number", warning = "boolean or string",
  warning_page = "number", warning_date = "string", fail_status = "number", tasks_key = "string",
  batch_max = "number", lag_days = "number", latest_date = "string", old_dates = "string",
  no_uri = "number", ready_after = "number", vanish = "boolean or number",
  shuffle = "boolean", auth_shape = "string", int_style = "string", bom = "boolean",
  users = "number", activities = "number", activity_edges = "string", late = "number",
  late_after = "number",
  token_ttl = "number", token_ttl_text = "boolean", revoked = "number",
}

---What is wrong with a setting; nil if nothing.
function M.check_setting(name, value)
  local types = TYPES[name]
  if not types then return "unknown setting: " .. name end
  if value ~= nil and not types:find(type(value), 1, true) then
    return ("setting %s must be a %s"):format(name, types)
  end
end

local SECRET_HEADERS = { "authorization", "access-token", "x-api-key", "x-bv-org-id", "cookie" }

---Keeps a request, and flags credentials that reach the file host.
function M.record(scope, req)
  local record = {
    method = req.method, path = req.path, query = req.query, uri = req.uri, host = req.host,
    headers = req.headers, body = req.body:sub(1, KEEP_BODY), body_size = #req.body,
    origin = req.origin, scheme = req.scheme, protocol = req.protocol,
    connection = req.connection, time = req.time, scope = scope.name,
  }
  scope.last = scope.last + 1
  scope.requests[scope.last] = record
  if scope.last - scope.first >= KEEP then
    scope.requests[scope.first] = nil
    scope.first = scope.first + 1
  end
  if req.origin == "files" then
    for _, name in ipairs(SECRET_HEADERS) do
      if req.headers[name] then
        leaks[#leaks + 1] = { header = name, scope = scope.name, request = record }
      end
    end
  end
  return record
end

---The recorded requests in order, and how many older ones were dropped.
function M.requests(scope)
  local out = {}
  for i = scope.first, scope.last do out[#out + 1] = scope.requests[i] end
  return out, scope.first - 1
end

---Credentials seen by the file host; of one scope, or all.
function M.leaks(name)
  local out = {}
  for _, leak in ipairs(leaks) do
    if not name or leak.scope == name then out[#out + 1] = leak end
  end
  return out
end

local function matches(fault, req)
  return (not fault.method or fault.method == req.method) and
    (not fault.origin or fault.origin == req.origin) and
    (not fault.path or req.path:find(fault.path) ~= nil) and
    (not fault.query or req.query:find(fault.query) ~= nil)
end

---The fault that applies to this request, if any; counts it as used.
function M.fault(scope, req)
  for _, fault in ipairs(scope.faults) do
    if matches(fault, req) then
      fault.seen = fault.seen + 1
      if fault.seen > fault.skip and (fault.times == 0 or fault.used < fault.times) then
        fault.used = fault.used + 1
        return fault
      end
    end
  end
end

-- Takes one from a setting of the form "the next n"; true means: always.
local function take(scope, name)
  local left = scope.settings[name]
  if type(left) ~= "number" then return left end
  if left <= 0 then return false end
  scope.settings[name] = left - 1
  return true
end

---Does the next job fail?
function M.take_failure(scope)
  return take(scope, "fail")
end

---Is the next job unknown as soon as it was created?
function M.take_vanished(scope)
  return take(scope, "vanish")
end

---Whether a job (created, polls) has ended by now: after enough polls, and time.
function M.has_ended(scope, job)
  return job.polls > scope.settings.polls_until_ready
    and ngx.now() - job.created >= scope.settings.ready_after
end

---Whether a job that ended shows its link by now.
function M.shows_link(scope, job)
  job.ended_polls = (job.ended_polls or 0) + 1
  return job.ended_polls > scope.settings.no_uri
end

return M
