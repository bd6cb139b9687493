-- The file host: signed URLs that expire, and the bytes behind them. Like an object store
-- it answers in XML when it refuses. Whoever makes a file registers how its text is made;
-- what the text means is not known here.
local http = require "sim.http"

local M = {}

local SECRET = "garner simulator file host"

local function sign(path, expires)
  local digest = ngx.hmac_sha1(SECRET, path .. "?expires=" .. expires)
  return (digest:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

---Makes a file known. `make` is called once, when it is first asked for.
function M.register(scope, name, make)
  scope.files[name] = { make = make }
end

---A URL for the file that works for the scope's url_ttl seconds.
function M.url(req, scope, name)
  local path = "/download/scope-" .. scope.name .. "/" .. name
  local expires = ("%d"):format(math.floor(ngx.time() + scope.settings.url_ttl))
  local base = req.scheme == "https" and ngx.var.files_tls or ngx.var.files
  return ("%s%s?expires=%s&sig=%s"):format(base, path, expires, sign(path, expires))
end

local function refuse(status, code, message)
  return http.text(status, ('<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n' ..
    "  <Code>%s</Code>\n  <Message>%s</Message>\n" ..
    "  <RequestId>%s</RequestId>\n</Error>\n"):format(code, message, ngx.var.request_id),
    "application/xml")
end

local function content(scope, name)
  local file = scope.files[name]
  if not file then return nil end
  if not file.text then
    file.text = file.make()
    file.make = nil
    file.etag = '"' .. ngx.md5(file.text) .. '"'
  end
  return file
end

-- One range of bytes; anything else is answered with the whole file, as RFC 9110 allows.
local function range_of(req, size)
  local first, last = (req.headers.range or ""):match("^bytes=(%d*)%-(%d*)$")
  first, last = tonumber(first), tonumber(last)
  if not first and not last then return nil end
  if not first then return math.max(0, size - last), size - 1 end
  return first, math.min(last or size - 1, size - 1)
end

local function partial(req, file, answer)
  local size = #file.text
  local if_range = req.headers["if-range"]
  local first, last = range_of(req, size)
  if not first or (if_range and if_range ~= file.etag) then return answer end
  if first >= size or last < first then
    answer.status, answer.body = 416, ""
    answer.headers["Content-Range"] = "bytes */" .. size
    return answer
  end
  answer.status = 206
  answer.body = file.text:sub(first + 1, last + 1)
  answer.headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, last, size)
  return answer
end

function M.handle(req, scope)
  if req.method ~= "GET" and req.method ~= "HEAD" then
    return refuse(405, "MethodNotAllowed", "The specified method is not allowed here.")
  end
  local expires, sig = req:arg("expires") or "", req:arg("sig") or ""
  -- The path as signed, without a scope prefix that the caller may have put before it.
  if sig ~= sign(req.path, expires) then
    return refuse(403, "SignatureDoesNotMatch", "The signature does not match the request.")
  end
  if ngx.time() >= (tonumber(expires) or 0) then
    return refuse(403, "AccessDenied", "Request has expired.")
  end
  local file = content(scope, req.path:match("([^/]*)$"))
  if not file then return refuse(404, "NoSuchKey", "The specified key does not exist.") end
  return partial(req, file, http.text(200, file.text, "text/csv; charset=utf-8",
    { ETag = file.etag, ["Accept-Ranges"] = "bytes" }))
end

return M
