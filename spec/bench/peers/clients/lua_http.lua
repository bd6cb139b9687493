-- lua-http: one kept connection, as its http.client gives it (http.request opens one for each
-- request).
local client = require "http.client"
local new_headers = require "http.headers".new

local function get(connection, authority, path)
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
  return body
end

--- Makes a client: get(url) -> body, after a 200 whose headers and body were kept.
return function()
  local connection
  return function(url)
    local host, port, path = url:match "^http://([^:/]+):(%d+)(/.*)$"
    connection = connection
      or assert(client.connect({ host = host, port = tonumber(port), tls = false }, 10))
    return get(connection, host .. ":" .. port, path)
  end
end
