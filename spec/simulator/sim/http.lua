-- Between nginx and the handlers: a request as a plain table, an answer as
-- { status, headers, body }. Handlers never write to the connection themselves (raw.lua
-- excepted), so that faults can be applied to any answer. Knows no API.
local json = require "sim.json"

local M = {}

local function decode_component(text, plus)
  if plus then text = text:gsub("%+", " ") end
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

---Percent-decodes one path segment.
function M.unescape(text)
  return decode_component(text)
end

---Query text as a list of { name, value } in the order sent.
function M.parse_query(text)
  local list = {}
  for item in text:gmatch("[^&]+") do
    local name, value = item:match("^([^=]*)=?(.*)$")
    list[#list + 1] = { decode_component(name, true), decode_component(value, true) }
  end
  return list
end

local function headers_of()
  local out = {}
  for name, value in pairs(ngx.req.get_headers(0)) do
    if type(value) == "table" then value = table.concat(value, ", ") end
    out[name:lower()] = value == true and "" or value
  end
  return out
end

local function body_of()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then return body end
  local name = ngx.req.get_body_file()
  if not name then return "" end
  local file = assert(io.open(name, "rb"))
  body = file:read("*a")
  file:close()
  return body
end

local Request = {}
Request.__index = Request

---The last value of a query parameter, or nil.
function Request:arg(name)
  for i = #self.args, 1, -1 do
    if self.args[i][1] == name then return self.args[i][2] end
  end
end

---All values of a query parameter, in order.
function Request:all(name)
  local out = {}
  for _, pair in ipairs(self.args) do
    if pair[1] == name then out[#out + 1] = pair[2] end
  end
  return out
end

---A query parameter as an integer, or the default where it is absent or not one.
function Request:integer(name, default)
  local value = self:arg(name)
  return value and value:find("^%d+$") and tonumber(value) or default
end

---The current request. `origin` is "api" or "files".
function M.read(origin)
  local uri = ngx.var.request_uri
  local path, query = uri:match("^([^?]*)%??(.*)$")
  local prefix, rest = path:match("^/_scope/([%w_.-]+)(/.*)$")
  return setmetatable({
    origin = origin,
    method = ngx.req.get_method(),
    uri = uri,
    path = rest or path,
    prefix_scope = prefix,
    query = query,
    args = M.parse_query(query),
    headers = headers_of(),
    body = body_of(),
    host = ngx.var.http_host or ngx.var.host,
    scheme = ngx.var.scheme,
    protocol = ngx.var.server_protocol,
    connection = tonumber(ngx.var.connection),
    time = ngx.now(),
  }, Request)
end

---An answer with a JSON body.
function M.json(status, value, headers)
  headers = headers or {}
  headers["Content-Type"] = headers["Content-Type"] or "application/json; charset=utf-8"
  local body = type(value) == "string" and value or json.encode(value)
  return { status = status, headers = headers, body = body }
end

---An answer with any text as its body.
function M.text(status, body, content_type, headers)
  headers = headers or {}
  headers["Content-Type"] = content_type or "text/plain; charset=utf-8"
  return { status = status, headers = headers, body = body }
end

function M.send(answer)
  ngx.status = answer.status
  for name, value in pairs(answer.headers or {}) do ngx.header[name] = value end
  local body = answer.body or ""
  if answer.status ~= 204 and answer.status ~= 304 then
    ngx.header["Content-Length"] = #body
    ngx.print(body)
  else
    ngx.send_headers()
  end
end

return M
