-- Owns: where log events go (stderr, the host's own log, a user's function), which levels are
-- shown, and that no secret is in them.
-- Must not: raise because of a user's broken log function more than once per call.

local compat = require "garner.compat"
local driver = compat.lazy "garner.driver"
local errors = require "garner.errors"

local M = {}

local LEVELS = { error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

--- Every event: the level it has, and its fields. Fields never hold a secret.
M.events = {
  attempt = { "trace", "a request was sent once: method, url, attempt, status, error, elapsed, "
    .. "request_headers, response_headers" },
  request = { "debug", "a request ended: method, url, status, elapsed, attempts, curl (a command "
    .. "line that sends the same)" },
  retry = { "info", "a request will be sent again: method, url, attempt, status, code, elapsed, "
    .. "waited (seconds from now)" },
  rate_wait = { "info", "a request waits for the rate limit: method, url, attempt, waited" },
  token_renewed = { "info", "a credential's source gave another token after a 401: origin" },
  insecure_tls = { "warn", "certificates are not checked: origin" },
  refresh_token_not_stored = { "warn", "a new refresh token came and there is no on_token" },
  no_uri = { "info", "a job has succeeded, its link is not there yet: id, status" },
  unknown_status = { "warn", "a job has a status that the API does not document: id, status" },
  recording_failed = { "warn", "a recording has a gap from here on: file, error" },
  events_dropped = { "warn", "log events came faster than they were taken: count" },
  ["prometheus.dict_full"] = { "warn", "a worker's counters did not fit into the dict: error" },
  ["cache.failed"] = { "warn", "a method of a cache's dict raised an error: method, error" },
  ["cache.not_kept"] = { "warn", "a value does not fit into a cache: bytes, error" },
  ["cache.stale"] = { "warn", "a request failed, the last value stands in: pull, age, error" },
  ["limiter.settings"] = { "warn", "processes that share a limiter's file say different rates: "
    .. "file, rate, burst, others_rate, others_burst" },
  ["pages.no_items"] = { "warn", "no page of a walk had the list named: items, pages" },
  ["pull.conflict"] = { "warn", "two windows give different values for one key" },
  ["pull.outside"] = { "warn", "rows lie outside of the window that was asked for" },
  ["pull.past_retention"] = { "warn", "windows are older than what the API keeps" },
  ["job.link_expired"] = { "info", "a link has expired, a new one is asked for: report, id" },
  ["job.create_again"] = { "warn", "a job that failed is created again: report, id, why, creates, "
    .. "of, pause (seconds)" },
  in_doubt = { "warn", "it is not known whether a create was taken: what, error, policy" },
  ["in_doubt.adopted"] = { "warn", "what it made was found in a list, or named: what, id" },
  ["in_doubt.created_again"] = { "warn", "it is sent once more, as the caller wants: what, "
    .. "creates" },
  ["create_reports.interrupted"] = { "error", "what was created before Ctrl-C or something that "
    .. "was raised: checkpoint" },
  ["nginx.no_connection"] = { "warn", "a coroutine has no connection to its engine, and looks now "
    .. "and then until there is one: error" },
  raised = { "error", "an iterator raises an error where Lua shows no error tables: error" },
}

--- The levels, worst first.
M.levels = { "error", "warn", "info", "debug", "trace" }

local function sorted_names(fields)
  local names = {}
  for name in pairs(fields or {}) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  return names
end

local function show(value, name)
  if name == "checkpoint" then -- one line of JSON, of use only as it is
    return tostring(value)
  end
  if type(value) == "number" and not compat.whole(value) then
    return ("%.4g"):format(value)
  end
  local text = errors.one_line(tostring(value), 1000)
  if text == "" or text:find('[%s"=]') then
    return '"' .. text:gsub('[\\"]', "\\%0") .. '"'
  end
  return text
end

--- One event as one line: "garner warn throttled status=429 waited=1.5".
---@param level string
---@param event string
---@param fields table|nil
---@return string
function M.line(level, event, fields)
  local parts = { "garner", level, event }
  for _, name in ipairs(sorted_names(fields)) do
    parts[#parts + 1] = name .. "=" .. show(fields[name], name)
  end
  return table.concat(parts, " ")
end

local function write(level, event, fields)
  local line = M.line(level, event, fields)
  local log = driver.log()
  if log then
    log(level, line)
  else
    io.stderr:write(line, "\n")
  end
end

local function redacted(fields, secrets)
  local out = {}
  for name, value in pairs(fields or {}) do
    out[name] = type(value) == "string" and errors.redact(value, secrets)
      or errors.is(value) and errors.redact(tostring(value), secrets) or value
  end
  return out
end

-- The level that the environment asks for, nil where it does not.
local function from_env()
  local env = (os.getenv "GARNER_LOG" or ""):lower()
  if env == "off" or env == "false" or env == "none" then
    return 0
  end
  return LEVELS[env]
end

local function setting(option)
  local env = from_env()
  if env then
    return env
  elseif option == false then
    return 0
  elseif type(option) == "string" then
    return LEVELS[option]
  end
  return LEVELS.warn
end

--- Whether a value is a good `log` option, for option tables.
---@return any|nil value
---@return string|nil message
function M.option(value)
  if value == false or value == true or LEVELS[value] or compat.callable(value) then
    return value
  end
  return nil, 'must be "error", "warn", "info", "debug", "trace", false or a function'
    .. "(level, event, fields)"
end

--- Makes a log function.
---@param option string|boolean|function|nil level to show (default "warn"), false for none, or a
--- function(level, event, fields) that gets every event up to debug; GARNER_LOG overrides a level
--- (for a function it can only add "trace")
---@param secrets nil|fun(): string[] what to hide, by value
---@return fun(level: string, event: string, fields: table|nil)
---@return integer shown 0 (none) to 5 (trace), so that callers need not make fields in vain
function M.new(option, secrets)
  local sink, shown = write, LEVELS.debug
  if compat.callable(option) then
    sink = option
    shown = math.max(shown, from_env() or 0)
  else
    shown = setting(option)
  end
  return function(level, event, fields)
    if LEVELS[level] <= shown then
      sink(level, event, redacted(fields, secrets and secrets()))
    end
  end, shown
end

--- The log function of what belongs to no client.
function M.default()
  return (M.new(nil))
end

return M
