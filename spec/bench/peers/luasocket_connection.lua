-- luasocket for the benchmarks: GETs on one kept connection. socket.http closes its connection
-- after each request; its own parts, given a socket that stays open, do not.
local http = require "socket.http"
local ltn12 = require "ltn12"
local socket = require "socket"

local M = {}

--- What socket.http takes as `create`: always the same open socket.
function M.keeper()
  local kept, usable
  return function()
    if kept and usable then return kept end
    local tcp = assert(socket.tcp())
    kept = setmetatable({
      connect = function(_, host, port)
        if usable then return 1 end
        usable = true
        local ok, err = tcp:connect(host, port)
        if ok then tcp:setoption("tcp-nodelay", true) end
        return ok, err
      end,
      close = function() return 1 end, -- kept
    }, { __index = function(_, name)
      return function(_, ...) return tcp[name](tcp, ...) end
    end })
    return kept
  end
end

--- One GET: body and headers, or an error.
function M.get(url, create)
  local parts = {}
  local ok, status, headers = http.request {
    url = url, create = create, sink = ltn12.sink.table(parts),
    headers = { connection = "keep-alive", te = "" },
  }
  assert(ok and status == 200, ok and "not a 200" or tostring(status))
  return table.concat(parts), headers
end

return M
