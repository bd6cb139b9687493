-- Owns: what the body of a failed answer says, in every shape we meet, and which kind
-- of error that makes together with the HTTP status.
-- Must not: make error objects, hide secrets, or know one vendor from another.

local M = {}

local TEXT_LIMIT = 500

-- vendors.md 4.1: google.rpc.Code
local RPC = {
  [0] = "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
  "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}
local RPC_NUMBER = {}
for number, name in pairs(RPC) do
  RPC_NUMBER[name] = number
end

local REASON_PHRASE = {
  [300] = "Multiple Choices", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [307] = "Temporary Redirect", [308] = "Permanent Redirect", [400] = "Bad Request",
  [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [406] = "Not Acceptable", [408] = "Request Timeout",
  [409] = "Conflict", [410] = "Gone", [412] = "Precondition Failed", [413] = "Content Too Large",
  [414] = "URI Too Long", [415] = "Unsupported Media Type", [422] = "Unprocessable Content",
  [425] = "Too Early", [429] = "Too Many Requests", [499] = "Client Closed Request",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

-- Reasons and texts that mean a quota, whatever the status (vendors.md 3.9).
local QUOTA_REASONS = {
  rateLimitExceeded = true, userRateLimitExceeded = true, quotaExceeded = true,
  dailyLimitExceeded = true, RATE_LIMIT_EXCEEDED = true, RESOURCE_QUOTA_EXCEEDED = true,
  RESOURCE_EXHAUSTED = true,
}
local AUTH_REASONS = { authError = true, ACCESS_TOKEN_EXPIRED = true, CREDENTIALS_MISSING = true,
  API_KEY_INVALID = true }

-- One line, no control characters: a server's text must not steer a terminal or a log.
local function one_line(text, limit)
  text = text:gsub("%s*%c[%s%c]*", " "):gsub("^%s+", ""):gsub("%s+$", "")
  if #text > limit then
    text = text:sub(1, limit):gsub("[\128-\191]*$", ""):gsub("[\192-\255]$", "") .. "..."
  end
  return text
end
M.one_line = one_line

-- Bodies ---------------------------------------------------------------------

--- The type of a detail: the last part of its "@type".
---@param detail any
---@return string|nil
function M.type_name(detail)
  local tag = type(detail) == "table" and detail["@type"]
  return type(tag) == "string" and tag:match("[^/]*$") or nil
end

local function is_text(v)
  return type(v) == "string" and v ~= ""
end

local function add_message(info, text)
  if not is_text(text) then
    return
  end
  -- Hidden before it is cut: half a secret would not be known for one.
  text = one_line(info.hide(text), TEXT_LIMIT)
  for _, seen in ipairs(info.messages) do
    if seen == text then
      return
    end
  end
  info.messages[#info.messages + 1] = text
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function read_code(info, code)
  if type(code) == "number" then
    if RPC[code] and code ~= 0 then
      info.rpc_code, info.code = code, RPC[code]
    end
  elseif is_text(code) then
    if RPC_NUMBER[code] then
      info.rpc_code = info.rpc_code or RPC_NUMBER[code]
    end
    info.code = info.code or code
  end
end

local function read_duration(v)
  if type(v) == "string" then
    return tonumber(v:match("^(%d+%.?%d*)s$"))
  elseif type(v) == "table" then
    return (tonumber(v.seconds) or 0) + (tonumber(v.nanos) or 0) / 1e9
  end
  return nil
end

local function read_detail(info, detail)
  local name = M.type_name(detail)
  if name == "google.rpc.ErrorInfo" then
    info.reason = info.reason or (is_text(detail.reason) and detail.reason or nil)
    info.domain = info.domain or (is_text(detail.domain) and detail.domain or nil)
    info.metadata = info.metadata or (type(detail.metadata) == "table" and detail.metadata or nil)
  elseif name == "google.rpc.RetryInfo" then
    info.retry_after = read_duration(detail.retryDelay or detail.retry_delay)
  elseif name == "google.rpc.RequestInfo" then
    local id = detail.requestId or detail.request_id
    info.request_id = is_text(id) and id or nil
  elseif name == "google.rpc.BadRequest" then
    local list = detail.fieldViolations or detail.field_violations
    for _, v in ipairs(type(list) == "table" and list or {}) do
      if type(v) == "table" and is_text(v.description) then
        add_message(info, (is_text(v.field) and v.field .. ": " or "") .. v.description)
      end
    end
  end
end

local function read_details(info, details)
  if type(details) ~= "table" then
    return
  end
  info.details = info.details or {}
  for _, detail in ipairs(details) do
    info.details[#info.details + 1] = detail
    read_detail(info, detail)
  end
end

-- `errors` is a list of texts or objects (Shoplazza, Google), or a map of field to
-- text or list of texts.
local function read_errors(info, list, prefix)
  if is_text(list) then
    return add_message(info, prefix .. list)
  elseif type(list) ~= "table" then
    return
  end
  for _, key in ipairs(sorted_keys(list)) do
    local item = list[key]
    local named = type(key) == "string" and prefix .. key .. ": " or prefix
    if type(item) == "table" and (is_text(item.message) or is_text(item.reason)) then
      add_message(info, is_text(item.message) and named .. item.message or nil)
      info.reason = info.reason or (is_text(item.reason) and item.reason or nil)
      info.domain = info.domain or (is_text(item.domain) and item.domain or nil)
    else
      read_errors(info, item, named)
    end
  end
end

local function read_object(info, o)
  local inner = o.error
  if is_text(o.error_description) then -- RFC 6749 5.2: `error` is the code
    add_message(info, o.error_description)
    read_code(info, inner)
    inner = nil
  end
  add_message(info, o.message)
  if type(inner) == "table" then
    add_message(info, inner.message)
    read_code(info, inner.status)
    read_code(info, inner.code)
    read_errors(info, inner.errors, "")
    read_details(info, inner.details)
  else
    add_message(info, inner)
  end
  read_code(info, o.code)
  read_code(info, o.status)
  read_errors(info, o.errors, "")
  read_details(info, o.details)
end

local function read_html(info, body)
  info.html = true
  local title = body:match("<[Tt][Ii][Tt][Ll][Ee][^>]*>(.-)</[Tt][Ii][Tt][Ll][Ee]%s*>")
  if title and title:find("%S") then
    info.title = one_line(info.hide(title), 200)
  end
end

-- What object stores say: <Error><Code>..</Code><Message>..</Message>...</Error>.
local function read_xml(info, body)
  local function text(name)
    local found = body:match("<" .. name .. ">%s*([^<]-)%s*</" .. name .. ">")
    return is_text(found) and found or nil
  end
  local code, message = text("Code"), text("Message")
  if not code and not message then
    return false
  end
  add_message(info, (code and message and code .. ": " or "") .. (message or code))
  info.request_id = text("RequestId")
  return true
end

--- Reads an error body of any shape: google.rpc.Status, Google's v1 `error`,
--- grpc-gateway v1, Shoplazza's `errors` and `error`, bare JSON text, a list of
--- texts, XML of an object store, plain text, HTML, nothing.
---@param body string
---@param content_type string|nil
---@param hide (fun(text: string): string)|nil takes secrets out of a text
---@return table info messages, rpc_code, code, reason, domain, metadata, details, title
function M.read(body, content_type, hide)
  local info = { messages = {}, hide = hide or tostring }
  if not body:find("%S") then
    info.empty = true
    return info
  end
  local start = body:match("^%s*(.)")
  if start == "{" or start == "[" or start == '"' then
    local value = require("garner.json").decode(body)
    if type(value) == "string" then
      add_message(info, value)
    elseif type(value) == "table" then
      if value[1] ~= nil then
        read_errors(info, value, "")
      else
        read_object(info, value)
      end
    end
    if value ~= nil then
      info.json = true
      return info
    end
  end
  local html = body:sub(1, 1024):lower()
  if html:find("^%s*<!doctype") or html:find("<html", 1, true)
    or (content_type or ""):lower():find("text/html", 1, true) then
    read_html(info, body)
  elseif not (start == "<" and read_xml(info, body)) then
    add_message(info, body)
  end
  return info
end

-- Classes --------------------------------------------------------------------

local RPC_KIND = {
  INVALID_ARGUMENT = "invalid", NOT_FOUND = "not_found", PERMISSION_DENIED = "forbidden",
  UNAUTHENTICATED = "unauthenticated", RESOURCE_EXHAUSTED = "throttled",
  DEADLINE_EXCEEDED = "server", UNIMPLEMENTED = "server", INTERNAL = "server",
  UNAVAILABLE = "server", DATA_LOSS = "server", ALREADY_EXISTS = "invalid",
  FAILED_PRECONDITION = "invalid", ABORTED = "invalid", OUT_OF_RANGE = "invalid",
}

local function says_quota(info)
  if QUOTA_REASONS[info.reason] or info.code == "RESOURCE_EXHAUSTED" then
    return true
  end
  for _, text in ipairs(info.messages) do
    if text:find("^Quota exceeded") or text:find("^Request rate higher than configured") then
      return true
    end
  end
  return false
end

-- Shoplazza answers a bad credential with 400 and only says so in words (vendors.md 1.6).
local function says_bad_credential(info)
  if AUTH_REASONS[info.reason] then
    return true
  end
  for _, text in ipairs(info.messages) do
    text = text:lower()
    if text:find("^unauthori[sz]ed") or text:find("unauthenticated", 1, true)
      or text:find("invalid access.?token") or text:find("access.?token is invalid")
      or text:find("invalid credential", 1, true) then
      return true
    end
  end
  return false
end

local function by_status(status)
  if status == 404 then
    return "not_found"
  elseif status == 403 then
    return "forbidden"
  elseif status == 408 then
    return "timeout"
  elseif status >= 500 or status == 425 then
    return "server"
  end
  return status >= 400 and "invalid" or "protocol"
end

--- The kind of an HTTP failure: a quota and a bad credential first, then the body's own
--- google.rpc code, then the status. The core judges by the same table.
---@param status integer
---@param info table what `read` gave
---@return string kind
function M.classify(status, info)
  if status == 401 then
    return "unauthenticated"
  elseif status == 429 or ((status == 403 or status == 503) and says_quota(info)) then
    return "throttled"
  elseif (status == 400 or status == 403) and (AUTH_REASONS[info.reason]
    or (not info.rpc_code and says_bad_credential(info))) then
    return "unauthenticated"
  end
  return info.rpc_code and RPC_KIND[info.code] or by_status(status)
end

--- The status in words.
---@param status integer
---@return string
function M.status_text(status)
  return "HTTP " .. status .. (REASON_PHRASE[status] and " " .. REASON_PHRASE[status] or "")
end

--- The failure in one line: the server's own words, or what there is.
---@param status integer
---@param info table what `read` gave
---@return string
function M.message(status, info)
  if #info.messages > 0 then
    local said = {}
    for _, text in ipairs(info.messages) do
      -- A detail often repeats the message word for word.
      if not table.concat(said, "; "):find(text, 1, true) then
        said[#said + 1] = text
      end
    end
    return table.concat(said, "; ")
  end
  if info.html then
    return M.status_text(status) .. (info.title and ": " .. info.title or " (an HTML page)")
  end
  if info.empty then
    return M.status_text(status) .. ", empty body"
  end
  return M.status_text(status)
end

return M
