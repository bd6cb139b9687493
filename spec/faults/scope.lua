-- Owns: what belongs to one handle of the specs: its ports, its scripts, and what its
-- requests looked like. Must not: read or write a connection.

local cqueues = require "cqueues"
local sockets = require "cqueues.socket"

local certificates = require "certificates"
local connections = require "connection"

local M = {}

local Scope = {}
Scope.__index = Scope

local NOTHING = { status = 404, body = '{"error":"no script for this path"}' }

---@param loop userdata the controller
function M.new(loop)
  return setmetatable({ loop = loop, ports = {}, scripts = {}, requests = {}, counts = {},
    connect = {}, open = {}, errors = {}, accepted = 0, refused = 0 }, Scope)
end

---Opens a port of its own.
---@param certificate string|nil with TLS, and which certificate
---@return integer|nil number
---@return string|nil error
function Scope:listen(certificate)
  local tls, why
  if certificate then
    tls, why = certificates.context(certificate)
    if not tls then return nil, why end
  end
  local listener = assert(sockets.listen { host = "127.0.0.1", port = 0, reuseaddr = true })
  listener:onerror(function(_, _, problem) return problem end)
  assert(listener:listen())
  local _, _, number = listener:localname()
  local port = { number = number, tls = tls, certificate = certificate, listener = listener }
  self.ports[#self.ports + 1] = port
  self.loop:wrap(function() self:accept(port) end)
  return number
end

function Scope:accept(port)
  while not self.stopped do
    local socket = port.listener:accept()
    if socket and not self.stopped then
      self.accepted = self.accepted + 1
      local connection = connections.new(socket, self, port)
      self.open[connection] = true
      self.loop:wrap(function() connection:serve() end)
    elseif not self.stopped then
      port.listener:clearerr()
      cqueues.sleep(0.01)
    end
  end
end

---The n-th request of a path gets the n-th answer, the last one stays.
function Scope:script(path, answers)
  self.scripts[path], self.counts[path] = answers, 0
  return true
end

function Scope:answer_for(request)
  local path = request.path
  self.counts[path] = (self.counts[path] or 0) + 1
  request.nth = self.counts[path]
  local answers = self.scripts[path] or self.scripts["*"]
  if not answers then return NOTHING end
  return answers[math.min(request.nth, #answers)] or NOTHING
end

---What the next connections do before a byte is read.
function Scope:connecting(answers)
  self.connect = answers
  return true
end

function Scope:on_connect()
  return table.remove(self.connect, 1)
end

function Scope:note(request)
  request.time = cqueues.monotime()
  self.requests[#self.requests + 1] = request
end

---Requests of a path (all without one), in the order they came.
function Scope:seen(path)
  local list = {}
  for _, request in ipairs(self.requests) do
    if not path or request.path == path then list[#list + 1] = request end
  end
  return list
end

---What there is beside the requests.
function Scope:state()
  local open = 0
  for _ in pairs(self.open) do open = open + 1 end
  return { connections = self.accepted, open = open, refused = self.refused,
    errors = self.errors }
end

---Closes every port and connection.
function Scope:stop()
  self.stopped = true
  for _, port in ipairs(self.ports) do port.listener:close() end
  for connection in pairs(self.open) do
    connection.stopped = true
    connection.socket:shutdown "rw"
  end
  return true
end

return M
