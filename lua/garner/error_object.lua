-- Owns: the error object: its fields and text, and making it from the core's results. All of it
-- is asked for as garner.errors.
-- Must not: send anything, or keep a secret after the error is made.

local compat = require "garner.compat"
local errors = require "garner.errors"
local failure = require "garner.failure"

local M = {}

local one_line = failure.one_line

-- The object -----------------------------------------------------------------

-- The words of `why` are part of the interface. What the wait was for: "retry_after" (the
-- server's header), "retry_info" (google.rpc.RetryInfo), "backoff", "throttled" (backoff with the
-- longer base), "rate" (the client's rate, or a pause that the server asked the client for),
-- "redirect" (followed at once), "token" (at once, with another token), "restart" (at once, as the
-- file that was to be resumed is another one now). Why no attempt followed: "attempts used up",
-- "deadline" (the wait would pass it), "max_wait" (the server asks for more), "retry budget",
-- "not safe to repeat", "final" (it would not help). Nothing beside a good answer.

---@class garner.Attempt
---@field status integer|nil HTTP status of the answer, if one came
---@field code string|nil what was wrong: "503", "UNAVAILABLE", "reset"
---@field elapsed number|nil seconds on the wire; nil: no attempt but a wait before one
---@field waited number seconds waited after it (or by it)
---@field why string|nil what for, or why no attempt followed

---@class garner.Error
---@field kind string see design: transport, timeout, cancelled, ... hole
---@field message string the server's own words where there are some
---@field status integer|nil HTTP status
---@field code string stable text: "connect", "INVALID_ARGUMENT", "404"
---@field rpc_code integer|nil google.rpc.Code
---@field reason string|nil google.rpc.ErrorInfo
---@field domain string|nil google.rpc.ErrorInfo
---@field metadata table|nil google.rpc.ErrorInfo
---@field details table[]|nil whole objects, as the server sent them
---@field messages string[] every message of the body
---@field request_id string|nil
---@field headers table|nil as in a response
---@field body string|nil the first 64 KiB
---@field retryable boolean whether sending it again could help
---@field retry_after number|nil seconds
---@field attempts garner.Attempt[] every attempt, and every wait for the rate
---@field elapsed number|nil seconds from the start to the end, waits included
---@field url string|nil without secrets
---@field service string|nil the vendor's name
---@field operation string|nil what was being done
local Error = {}

--- How many of an error's or response's `attempts` are such: a wait for the rate is none.
---@param attempts garner.Attempt[]|nil
---@return integer
function M.count_attempts(attempts)
  local count = 0
  for _, a in ipairs(type(attempts) == "table" and attempts or {}) do
    if a.elapsed or a.status or not a.why then
      count = count + 1
    end
  end
  return count
end

-- Ends that say something which the kind does not.
local ENDS = { ["attempts used up"] = true, ["deadline"] = true, ["max_wait"] = true,
  ["retry budget"] = true, ["not safe to repeat"] = true }

local function attempts_text(err)
  local count = M.count_attempts(err.attempts)
  local last = err.attempts[#err.attempts]
  local why = last and ENDS[last.why] and last.why
  if count > 1 then
    return "after " .. count .. " attempts"
      .. (type(err.elapsed) == "number" and (" in %.1f s"):format(err.elapsed) or "")
      .. (why and why ~= "attempts used up" and ", not sent again: " .. why or "")
  elseif count == 1 and why then
    return "not sent again: " .. why
  end
end

local function to_text(err)
  local parts = {}
  local function add(text)
    parts[#parts + 1] = text
  end
  add(err.kind)
  if err.status then
    add("HTTP " .. err.status)
  end
  if err.code and err.code ~= err.kind and err.code ~= tostring(err.status) then
    add(err.code)
  end
  if err.request_id then
    add("request id " .. err.request_id)
  end
  local attempts = attempts_text(err)
  if attempts then
    add(attempts)
  end
  if type(err.retry_after) == "number" and err.retry_after > 0 then
    add(("retry after %g s"):format(err.retry_after))
  end
  local head = err.service or ""
  if err.operation then
    head = (head ~= "" and head .. " " or "") .. err.operation
  end
  head = head ~= "" and head .. ": " or ""
  if err.url then
    local place = (err.method and err.method .. " " or "") .. err.url:gsub("[?#].*$", "")
    head = head .. place .. ": "
  end
  return one_line(head .. err.message .. " (" .. table.concat(parts, ", ") .. ")", 2000)
end

local methods = {}

--- The first of the error's details of a type.
---@param name string "google.rpc.BadRequest" (or its last part)
---@return table|nil
function methods.detail(err, name)
  for _, detail in ipairs(err.details or {}) do
    local tag = failure.type_name(detail)
    if tag and (tag == name or tag:match("[^%.]*$") == name) then
      return detail
    end
  end
  return nil
end

local requests = setmetatable({}, { __mode = "k" }) -- error -> what tells its request

--- The request as a command line of the curl program; a shell variable stands where a
--- secret belongs.
---@return string|nil command nil where no request was made
function methods.curl(err)
  local known = requests[err]
  return known and known.curl(known.result, known.secrets)
end

Error.__index = methods
Error.__name = "garner.Error"
Error.__tostring = to_text
Error.__concat = function(a, b)
  return tostring(a) .. tostring(b)
end

--- Makes an error object.
---@param fields table `kind` and `message`, and any field of the class
---@return garner.Error
function M.new(fields)
  if errors.kinds[fields.kind] == nil then
    error("errors.new: unknown kind " .. tostring(fields.kind), 2)
  end
  local err = {}
  for k, v in pairs(fields) do
    err[k] = v
  end
  err.message = one_line(tostring(err.message or err.kind), 1000)
  err.code = tostring(err.code or err.kind)
  err.messages = err.messages or { err.message }
  err.attempts = type(err.attempts) == "table" and err.attempts or {}
  if err.retryable == nil then
    err.retryable = errors.kinds[err.kind]
  end
  return setmetatable(err, Error)
end

--- Whether a value is an error object (of a kind, if given).
---@param value any
---@param kind string|nil
---@return boolean
function M.is(value, kind)
  return type(value) == "table" and getmetatable(value) == Error
    and (kind == nil or value.kind == kind)
end

--- Raises an error object from a place that cannot return it (an iterator). Where
--- an uncaught table would be shown as nothing useful (nginx, PUC 5.1) its text is
--- logged first.
---@param err any
---@param log nil|fun(level: string, event: string, fields: table) the client's
function M.raise(err, log)
  if M.is(err) and not errors.quiet_raise then
    if compat.global "ngx" or not compat.shows_error_tables then
      log = log or require("garner.log").default()
      log("error", "raised", { error = tostring(err) })
    end
  end
  error(err, 0)
end

-- Kinds that the core gives to a plain HTTP failure: the body may say more.
local REFINED = { invalid = true, forbidden = true, server = true, not_found = true }

local function add_help(fields, context)
  if fields.kind == "forbidden" and context.scope then
    fields.message = fields.message .. " (this needs the scope " .. context.scope .. ")"
    fields.scope = context.scope
  elseif fields.kind == "not_found" and context.what then
    fields.message = context.what .. ": " .. fields.message
    fields.what = context.what
  end
end

local ID_HEADERS = { "x-request-id", "request-id", "x-goog-request-id", "x-amzn-requestid",
  "x-correlation-id", "x-trace-id" }

--- The request id that a server gave, from the usual headers.
---@param header fun(name: string): string|nil
---@return string|nil
function M.request_id(header)
  for _, name in ipairs(ID_HEADERS) do
    local id = header(name)
    if type(id) == "string" and id ~= "" then
      return one_line(id, 200)
    end
  end
  return nil
end

local SECRET_HEADERS = {
  ["authorization"] = true, ["proxy-authorization"] = true, ["access-token"] = true,
  ["set-cookie"] = true, ["cookie"] = true,
}

local function redact_deep(value, secrets, depth)
  if type(value) == "string" then
    return errors.redact(value, secrets)
  end
  if type(value) ~= "table" or depth > 32 then
    return value
  end
  local out = {}
  for k, v in pairs(value) do
    out[redact_deep(k, secrets, depth + 1)] = redact_deep(v, secrets, depth + 1)
  end
  return setmetatable(out, getmetatable(value))
end

local function safe_headers(list, secrets)
  local out = {}
  for i, pair in ipairs(list or {}) do
    local name, value = pair[1], pair[2]
    local lower = name:lower()
    if SECRET_HEADERS[lower] then
      value = "***"
    elseif lower == "location" or lower == "content-location" then
      value = value:gsub("%?.*$", "?...")
    end
    out[i] = { name, errors.redact(value, secrets) }
  end
  return require("garner.response").headers(out)
end

local function finish(fields, context, result)
  local secrets = context.secrets and context.secrets() or nil
  if fields.kind == "file" and fields.code == "locked" then
    fields.retryable = true -- whoever has it will be done with it
  end
  add_help(fields, context)
  fields.service, fields.operation = context.service, context.operation
  fields.method = context.method
  fields.cause = M.is(context.cause) and context.cause or nil
  for _, name in ipairs { "message", "body", "url", "request_id", "operation", "code", "reason",
    "domain" } do
    if type(fields[name]) == "string" then
      fields[name] = errors.redact(fields[name], secrets)
    end
  end
  for _, name in ipairs { "messages", "details", "metadata" } do
    if fields[name] then
      fields[name] = redact_deep(fields[name], secrets, 0)
    end
  end
  local err = M.new(fields)
  if result and context.curl then
    requests[err] = { curl = context.curl, result = result, secrets = context.secrets }
  end
  return err
end

--- An error from the core's plain record (what `submit` gives, or a result's).
---@param raw table { kind, code, message, status, retry_after, retryable, url, attempts }
---@param context table|nil operation, method, secrets (function), scope, what
---@param result userdata|nil the core's, for `err:curl()`
---@return garner.Error
function M.from_raw(raw, context, result)
  local attempts = type(raw.attempts) == "table" and raw.attempts or nil
  return finish({
    kind = errors.kinds[raw.kind] ~= nil and raw.kind or "protocol",
    code = raw.code and raw.code ~= "" and raw.code or nil,
    message = raw.message and raw.message ~= "" and raw.message or raw.kind,
    status = raw.status ~= 0 and raw.status or nil,
    retry_after = raw.retry_after, retryable = raw.retryable, attempts = attempts,
    elapsed = raw.elapsed,
    url = raw.url ~= "" and raw.url or nil,
  }, context or {}, result)
end

local function retryable(kind, status, raw)
  if raw and raw.kind == kind and raw.retryable ~= nil then
    return raw.retryable
  elseif kind == "server" then
    return status == 500 or status == 502 or status == 503 or status == 504
  end
  return errors.kinds[kind]
end

--- An error from a result of the core: its own error, refined by what the body of
--- the answer says.
---@param result userdata
---@param context table|nil operation, method, secrets (function), scope, what
---@return garner.Error
function M.from_result(result, context)
  context = context or {}
  local raw, status = result:error(), result:status()
  if not status or status == 0 then
    local fields = raw or { kind = "protocol", message = "no answer" }
    fields.attempts, fields.url = result:attempts(), fields.url or result:url()
    fields.elapsed = result:elapsed()
    return M.from_raw(fields, context, result)
  end
  local secrets = context.secrets and context.secrets() or nil
  local body = result:body() or ""
  local failed = status >= 400
  local info = failure.read(failed and body or "", result:header("content-type"),
    errors.hider(context))
  local kind = raw and raw.kind or failure.classify(status, info)
  if failed and REFINED[kind] then
    kind = failure.classify(status, info)
  end
  local own = raw and not failed or kind == "in_doubt" or (raw and not REFINED[raw.kind]
    and raw.kind ~= "throttled" and raw.kind ~= "unauthenticated")
  local message = failed and failure.message(status, info) or nil
  if own and raw and raw.message and raw.message ~= "" then
    message = raw.message .. (#info.messages > 0 and ": " .. message or "")
  end
  return finish({
    kind = kind,
    message = message or (raw and raw.message) or failure.status_text(status),
    status = status,
    code = info.code or (own and raw and raw.code) or tostring(status),
    rpc_code = info.rpc_code, reason = info.reason, domain = info.domain,
    metadata = info.metadata, details = info.details,
    messages = #info.messages > 0 and info.messages or nil,
    request_id = M.request_id(function(name)
      return result:header(name)
    end) or info.request_id,
    headers = safe_headers(result:headers(), secrets),
    body = errors.excerpt(body, errors.BODY_LIMIT, secrets),
    retryable = retryable(kind, status, raw),
    retry_after = raw and raw.retry_after or info.retry_after,
    attempts = result:attempts(), elapsed = result:elapsed(),
    url = result:url(),
  }, context, result)
end

--- An error about what an answer with a good status says. The body is cut and the
--- secrets of its request are hidden, as in every other error.
---@param response garner.Response
---@param fields table kind, code, message
---@return garner.Error
function M.from_response(response, fields)
  fields.status, fields.request_id, fields.url = response.status, response.request_id, response.url
  local context = response._context
  fields.attempts = response.attempts
  fields.body = errors.excerpt(response.body, errors.BODY_LIMIT,
    context.secrets and context.secrets())
  return finish(fields, context, response._result)
end

return M
