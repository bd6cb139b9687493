-- luasocket: one kept connection. socket.http closes its own after each request; given a socket
-- that stays open, it does not.
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

-- What socket.http takes as `create`: always the same open socket.
local function keeper()
  local tcp = assert(socket.tcp())
  local connected
  local kept = setmetatable({
    connect = function(_, host, port)
      if connected then return 1 end
      connected = true
      local ok, err = tcp:connect(host, port)
      if ok then tcp:setoption("tcp-nodelay", true) end
      return ok, err
    end,
    close = function() return 1 end,
  }, { __index = function(_, name)
    return function(_, ...) return tcp[name](tcp, ...) end
  end })
  return function() return kept end
end

--- Makes a client: get(url) -> body, after a 200 whose headers and body were kept.
return function()
  local create = keeper()
  return function(url)
    local parts = {}
    local ok, status, headers = http.request {
      url = url, create = create, sink = ltn12.sink.table(parts),
      headers = { connection = "keep-alive", te = "" },
    }
    assert(ok and status == 200 and headers, ok and "not a 200" or tostring(status))
    return table.concat(parts)
  end
end
