-- Owns: one accepted connection: its bytes, its requests, the steps it is told to take.
-- Must not: know where the scripts come from.

local cqueues = require "cqueues"
local luasocket = require "socket"

local answer = require "answer"
local certificates = require "certificates"
local h2 = require "h2"
local request = require "request"

local M = {}

local LONGEST = 120 -- seconds that anything may take
local PIECE = 64 * 1024

local Connection = {}
Connection.__index = Connection

local function ignore(_, _, why)
  return why
end

---@param socket userdata of cqueues
---@param scope table has answer_for(request), note(request), accepted
---@param port table { number, tls = context|nil, certificate = name|nil }
function M.new(socket, scope, port)
  socket:onerror(ignore)
  socket:setmode("bn", "bn")
  return setmetatable({ socket = socket, scope = scope, port = port, pending = "", sent = 0,
    number = scope.accepted }, Connection)
end

---More bytes from the client, into `pending`.
---@return boolean|nil got false: silence; nil: the client has gone
function Connection:receive(timeout)
  local data, why = self.socket:xread(-PIECE, "bn", timeout or LONGEST)
  if data then
    self.pending = self.pending .. data
    return true
  end
  self.socket:clearerr()
  self.gone = self.gone or tostring(why or "end")
  return nil
end

---@param text string
---@return boolean|nil went
function Connection:send(text)
  for at = 1, #text, PIECE do
    local piece = text:sub(at, at + PIECE - 1)
    local ok, why = self.socket:xwrite(piece, "bn", LONGEST)
    if not ok then
      self.gone = self.gone or tostring(why)
      return nil
    end
    self.sent = self.sent + #piece
  end
  return true
end

function Connection.wait(_, seconds)
  cqueues.sleep(seconds)
  return true
end

---Waits until the client leaves.
function Connection:stall()
  while self:receive() do end
  return nil
end

---Ends with RST instead of FIN: what is under way is thrown away on both sides.
function Connection:reset()
  -- cqueues cannot set SO_LINGER; the other library can, on the same descriptor.
  local other = luasocket.tcp()
  other:setfd(self.socket:pollfd())
  other:setoption("linger", { on = true, timeout = 0 })
  other:setfd(-1)
  self.closed = "reset"
  return nil
end

function Connection:close()
  self.closed = "close"
  return nil
end

local function copy(from, to)
  while true do
    local data = from:xread(-PIECE, "bn", LONGEST)
    if not data or not to:xwrite(data, "bn", LONGEST) then break end
  end
  to:shutdown "w"
end

---Connects the client with another port of this machine, as a proxy does.
function Connection:tunnel(port)
  local other = require("cqueues.socket").connect("127.0.0.1", port)
  other:onerror(ignore)
  other:setmode("bn", "bn")
  local back = coroutine.running() and cqueues.running():wrap(copy, other, self.socket)
  copy(self.socket, other)
  if back then cqueues.sleep(0.05) end
  other:close()
  return nil
end

-- nil ends the connection; true goes on; "next" reads another request on it.
local STEPS = {
  send = function(c, step)
    local text, left = step.send, step.times or 1
    -- Many small pieces are as good in bigger ones, and sent much faster.
    local at_once = math.max(1, math.min(left, PIECE // #text))
    local block = text:rep(at_once)
    while left > 0 do
      local now = math.min(left, at_once)
      if not c:send(now == at_once and block or text:rep(now)) then return nil end
      left = left - now
    end
    return true
  end,
  drip = function(c, step)
    for at = 1, #step.drip do
      if at > 1 then
        -- Noticing that the client has gone is what ends a slow drip early.
        local got = c.socket:xread(-1, "bn", step.every or 1)
        if got then c.pending = c.pending .. got end
        if not got and c.socket:eof "r" then c.gone = "end" return nil end
        c.socket:clearerr()
      end
      if not c:send(step.drip:sub(at, at)) then return nil end
    end
    return true
  end,
  wait = function(c, step) return c:wait(step.wait) end,
  stall = function(c) return c:stall() end,
  reset = function(c) return c:reset() end,
  close = function(c) return c:close() end,
  keep = function() return "next" end,
  tunnel = function(c, step) return c:tunnel(step.tunnel) end,
  read = function(c, _, req) return request.read_body(c, req) or nil end,
  run = function(c, step, req)
    return assert(load(step.run, "=run"))(c, req)
  end,
}

local function take(c, step, req)
  if type(step) == "string" then return c:send(step) end
  for name, act in pairs(STEPS) do
    if step[name] ~= nil then return act(c, step, req) end
  end
  error "a step that nobody knows"
end

---Takes the steps of one answer.
---@return string|boolean|nil "next" when the connection stays for another request
function Connection:play(steps, req)
  local before = self.sent
  local result
  for _, step in ipairs(steps) do
    result = take(self, step, req)
    if req then req.sent = self.sent - before end
    if not result or result == "next" then break end
  end
  if req then req.ended = self.gone and "client" or self.closed or result and "keep" or "close" end
  return result
end

local function converse(self)
  local first = self.scope:on_connect()
  if first and not self:play(answer.steps(first)) then return end
  if self.port.tls then
    local ok, why = self.socket:starttls(self.port.tls, LONGEST)
    if not ok then
      self.scope.refused = self.scope.refused + 1
      self.gone = tostring(why)
      return
    end
    local http2 = certificates.http2(self.port.certificate)
    if http2 then return h2.serve(self, http2.streams) end
  end
  repeat
    local req = request.read_head(self)
    if not req then return end
    req.connection, req.port, req.tls = self.number, self.port.number, self.port.certificate
    local given = self.scope:answer_for(req)
    if given.read ~= "head" and not request.read_body(self, req) then return end
    self.scope:note(req)
    if given.read == "head" then req.unread = true end
    local result = self:play(answer.steps(given), req)
  until result ~= "next"
end

---Serves the connection to its end.
function Connection:serve()
  local ok, why = pcall(converse, self)
  self.scope.open[self] = nil
  pcall(self.socket.close, self.socket)
  if not ok and not self.stopped then
    self.scope.errors[#self.scope.errors + 1] = tostring(why)
  end
end

return M
