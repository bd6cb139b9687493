-- Owns: what a client does with the events of its exchanges on their way: requests that a
-- function or a recording answers, attempts to record, lines for the log.
-- Must not: send anything, or decide what an answer means.

local compat = require "garner.compat"
local core = require "garner.core"
local curl_command = compat.lazy "garner.curl_command"
local errors = require "garner.errors"
local json = compat.lazy "garner.json"
local recording = compat.lazy "garner.recording"
local redact = compat.lazy "garner.redact"
local replay = compat.lazy "garner.replay"
local response = require "garner.response"

local M = {}

-- Answers of a function ---------------------------------------------------------

-- What a function may say went wrong on the way, and libcurl's number for it.
local FAILURES = { resolve = 6, connect = 7, incomplete = 18, timeout = 28, stall = 28, tls = 60,
  reset = 56 }

local function wrong(what)
  errors.misuse("garner: transport: the function must return { status =, headers =, body = or "
    .. "json = }, or nil and an error; " .. what)
end

local function pairs_of(headers)
  if headers == nil then
    return {}
  elseif type(headers) ~= "table" then
    wrong("headers is a " .. type(headers))
  elseif response.is_headers(headers) then
    local list = {}
    for name, value in headers:each() do
      list[#list + 1] = { name, value }
    end
    return list
  elseif type(headers[1]) == "table" then
    return headers
  end
  return require("garner.headers").list(headers, "garner: transport")
end

-- A response of another client comes decoded: what told of its coding must go.
local CODING = { ["content-encoding"] = true, ["transfer-encoding"] = true,
  ["content-length"] = true }

local function header_block(headers)
  local lines = {}
  local decoded = type(headers) == "table" and response.is_headers(headers)
  for _, pair in ipairs(pairs_of(headers)) do
    local name, value = tostring(pair[1]), tostring(pair[2])
    if (name .. value):find("[%c]") then
      wrong("a header has a control character in it")
    elseif not (decoded and CODING[name:lower()]) then
      lines[#lines + 1] = name .. ": " .. value .. "\r\n"
    end
  end
  return table.concat(lines)
end

local function from_response(given)
  local status, body = given.status == nil and 200 or given.status, given.body
  local headers = header_block(given.headers)
  if not compat.whole(status) or status < 100 or status > 599 then
    wrong("status is " .. tostring(status))
  end
  if given.json ~= nil and body == nil then
    local why
    body, why = json.try_encode(given.json)
    if not body then
      wrong("json: " .. tostring(why))
    elseif not headers:lower():find("content-type:", 1, true) then
      headers = headers .. "Content-Type: application/json\r\n"
    end
  end
  if body ~= nil and type(body) ~= "string" then
    wrong("body is a " .. type(body))
  end
  return { status = status, headers = headers, body = body }
end

local function from_error(err)
  if type(err) == "string" then
    err = { code = "reset", message = err }
  elseif type(err) ~= "table" then
    wrong("it returned nothing")
  elseif err.status and err.body then -- a client's error for a response that came
    return from_response { status = err.status, headers = err.headers, body = err.body }
  end
  local number = FAILURES[err.code]
  if number then
    return { curl_code = number, text = err.message and tostring(err.message) or nil }
  elseif errors.kinds[err.kind] == nil then
    wrong("the error needs a code: connect, incomplete, reset, resolve, timeout or tls")
  end
  return { kind = err.kind, code = tostring(err.code or err.kind),
    message = tostring(err.message or err.kind):sub(1, 390) }
end

local function by_function(fn)
  return function(request)
    local given, err = fn {
      method = request.method, url = request.url, body = request.body, safe = request.safe,
      attempt = request.attempt, headers = response.headers(request.headers),
    }
    if type(given) == "table" then
      return from_response(given)
    elseif given ~= nil then
      wrong("it returned a " .. type(given))
    end
    return from_error(err)
  end
end

-- Logging -----------------------------------------------------------------------

-- The core's events, by the level at which they are shown.
local LEVEL_OF = { retry = "info", rate_wait = "info", attempt = "trace" }

local function heads(list, redactor)
  local out = {}
  for i, pair in ipairs(redactor:headers(list)) do
    out[i] = pair[1] .. ": " .. pair[2]
  end
  return table.concat(out, " | ")
end

local function log_event(state, own)
  return function(t)
    local redactor = redact.new(redact.with_headers(state.secrets, t.headers), own)
    local fields = { method = t.method, url = t.url, attempt = t.attempt, status = t.status,
      code = t.code, elapsed = t.elapsed }
    if t.event == "attempt" then
      fields.code, fields.error = nil, t.text
      fields.request_headers = heads(t.headers, redactor)
      fields.response_headers = heads(t.response_headers, redactor)
    else
      fields.waited = t.waited
    end
    state.log(LEVEL_OF[t.event], t.event, fields)
  end
end

-- The client's side -------------------------------------------------------------

-- At the base URL, or one of the origins the user added.
local function is_own(origins)
  return function(url)
    for _, origin in ipairs(origins) do
      if core.url_same_origin(origin, url) then
        return true
      end
    end
    return false
  end
end

--- Sets up a client's handlers: functions by event, called in the coroutine that waits.
---
--- `transport` gets { method, url, headers, body, safe, attempt } without the credential and
--- returns { status = 200, headers = map or list of { name, value }, body = text or json = value
--- }, or nil and an error: a text, { code = "connect" | "incomplete" | "reset" | "resolve" |
--- "timeout" | "tls" }, or another client's error. It may wait. Retries, redirects, pages, polls
--- and deadlines go on as they do with a network.
---@param state table of the client: secrets, log
---@param opts table checked options
---@param wire table what the client adds to each request, for `curl`
function M.attach(state, opts, wire)
  local origins = { opts.base_url }
  for _, origin in ipairs(opts.origins or {}) do
    origins[#origins + 1] = origin
  end
  local own = is_own(origins)
  state.curl = function(result, secrets)
    local request = result:request()
    return request and curl_command.text(request, wire, redact.new(secrets, own))
  end
  local handlers = { log = log_event(state, own), lost = function(count)
    state.log("warn", "events_dropped", { count = count })
  end }
  local ask = opts.transport and by_function(opts.transport)
    or opts.replay and replay.transport(opts.replay, state.secrets, own)
  if ask then
    state.offline = true
    handlers.request = function(request, engine)
      local found = ask(request)
      if not engine:is_closed() then
        engine:supply(request.serial, found)
      end
    end
  end
  state.finish = function()
    if opts.record and recording.is_owned(opts.record) then
      opts.record:close()
    end
  end
  if opts.record then
    handlers.record = recording.writer(opts.record, state.secrets, own, state.log)
  end
  state.on_event = handlers
end

return M
