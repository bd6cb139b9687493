-- lua-http for the benchmarks: GETs on one kept connection, as its http.client gives them
-- (http.request opens a connection for each).
local client = require "http.client"
local new_headers = require "http.headers".new

local M = {}

--- Connects to the server of a URL.
function M.connect(url)
  local host, port = url:match "^http://([^:/]+):(%d+)"
  local connection = assert(client.connect({ host = host, port = tonumber(port), tls = false }, 10))
  return connection, host .. ":" .. port
end

--- One GET: headers and body, or an error.
function M.get(connection, authority, path)
  local request = new_headers()
  request:append(":method", "GET")
  request:append(":scheme", "http")
  request:append(":authority", authority)
  request:append(":path", path)
  request:append("user-agent", "bench")
  local stream = assert(connection:new_stream())
  assert(stream:write_headers(request, true, 10))
  local headers = assert(stream:get_headers(10))
  local body = assert(stream:get_body_as_string(10))
  stream:shutdown()
  assert(headers:get ":status" == "200", "not a 200")
  return body, headers
end

return M
