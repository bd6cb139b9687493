-- Owns: reading one request from a connection. Must not: judge it; what it cannot read ends
-- the connection.

local M = {}

local MAX_HEAD = 1024 * 1024
local MAX_KEPT = 1024 * 1024 -- bytes of a body that are remembered

local function parse(head)
  local method, target = head:match "^(%S+) (%S+) HTTP/1%.[01]\r\n"
  if not method then return nil end
  local request = { method = method, target = target, path = target:match "^[^?#]*",
    query = target:match "%?(.*)$", headers = {}, lines = {} }
  for line in head:gmatch "\r\n([^\r\n]+)" do
    local name, value = line:match "^([^:]+):[ \t]*(.-)[ \t]*$"
    request.lines[#request.lines + 1] = line
    if name then
      name = name:lower()
      local before = request.headers[name]
      request.headers[name] = before and before .. ", " .. value or value
    end
  end
  return request
end

---Reads up to the empty line.
---@param connection table with receive(), pending
---@return table|nil request
function M.read_head(connection)
  while true do
    local _, last = connection.pending:find("\r\n\r\n", 1, true)
    if last then
      local head = connection.pending:sub(1, last - 2)
      connection.pending = connection.pending:sub(last + 1)
      return parse(head)
    end
    if #connection.pending > MAX_HEAD or not connection:receive() then return nil end
  end
end

---Reads the body that Content-Length announces.
---@param connection table
---@param request table gets `body`
---@return boolean whole
function M.read_body(connection, request)
  local left = tonumber(request.headers["content-length"]) or 0
  local kept, size = {}, 0
  while left > 0 do
    if connection.pending == "" and not connection:receive() then return false end
    local part = connection.pending:sub(1, left)
    connection.pending = connection.pending:sub(#part + 1)
    left = left - #part
    if size < MAX_KEPT then kept[#kept + 1] = part end
    size = size + #part
  end
  request.body = table.concat(kept)
  return true
end

return M
