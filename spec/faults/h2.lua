-- Owns: a connection that speaks HTTP/2 (RFC 9113) as far as faults need it: frames, one answer
-- for each request in the order they come. Header blocks are not read: no script depends on what
-- is asked, but on which request it is. Must not: keep rules that a fault would break.

local cqueues = require "cqueues"

local M = {}

local PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
local DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
local ACK, END_STREAM, END_HEADERS = 1, 1, 4
local MAX_CONCURRENT_STREAMS = 3
local LARGEST = 16384

local function frame(kind, flags, stream, payload)
  return (">I3BBI4"):pack(#payload, kind, flags, stream) .. payload
end

-- HPACK without tables or Huffman: 8 is the static table's entry of :status.
local function block(answer)
  local out = { ("\8\3%03d"):format(answer.status or 200) }
  for _, line in ipairs(answer.headers or { "content-type: application/json" }) do
    local name, value = line:match "^([^:]+):%s*(.*)$"
    out[#out + 1] = "\0" .. ("s1s1"):pack(name:lower(), value)
  end
  return table.concat(out)
end

-- GOAWAY: the last stream that the server took or may have taken, and why it leaves.
local function goaway(stream, given)
  local last = given.last == "this" and stream or given.last == "before" and stream - 2
    or given.last
  return frame(GOAWAY, 0, 0, (">I4I4"):pack(math.max(last, 0), given.code or 0))
end

local function reply(c, stream, answer)
  if answer.delay then cqueues.sleep(answer.delay) end
  if answer.goaway and not c:send(goaway(stream, answer.goaway)) then return end
  if answer.silent then return end
  if answer.body or not answer.rst then
    local body = answer.body or ""
    local part = answer.cut and body:sub(1, answer.cut) or body
    c:send(frame(HEADERS, END_HEADERS, stream, block(answer)))
    for at = 1, #part, LARGEST do
      c:send(frame(DATA, 0, stream, part:sub(at, at + LARGEST - 1)))
    end
    if not answer.cut then c:send(frame(DATA, END_STREAM, stream, "")) end
  end
  if answer.rst then c:send(frame(RST_STREAM, 0, stream, (">I4"):pack(answer.rst))) end
end

-- What a request gets, and how the connection fares after it.
local function serve(c, stream)
  local req = { method = "HTTP/2", path = "*", target = "*", query = "", headers = {}, lines = {},
    body = "", stream = stream, connection = c.number, port = c.port.number,
    tls = c.port.certificate }
  local answer = c.scope:answer_for(req)
  c.scope:note(req)
  local thread = function()
    reply(c, stream, answer)
    if answer.after == "reset" then c:reset() end
    if answer.after then c.socket:shutdown "rw" end
  end
  if answer.delay then c.scope.loop:wrap(thread) else thread() end
end

local function take(c, size)
  while #c.pending < size do
    if not c:receive() then return nil end
  end
  local text = c.pending:sub(1, size)
  c.pending = c.pending:sub(size + 1)
  return text
end

---Serves the connection to its end.
---@param c table a connection after its handshake
---@param streams integer|nil how many the client may have open
function M.serve(c, streams)
  local settings = streams and (">I2I4"):pack(MAX_CONCURRENT_STREAMS, streams) or ""
  c:send(frame(SETTINGS, 0, 0, settings))
  if take(c, #PREFACE) ~= PREFACE then return end
  while true do
    local head = take(c, 9)
    if not head then return end
    local size, kind, flags, stream = (">I3BBI4"):unpack(head)
    local payload = take(c, size)
    if not payload then return end
    if kind == SETTINGS and flags & ACK == 0 then
      c:send(frame(SETTINGS, ACK, 0, ""))
    elseif kind == PING and flags & ACK == 0 then
      c:send(frame(PING, ACK, 0, payload))
    elseif (kind == HEADERS or kind == DATA) and flags & END_STREAM ~= 0 then
      serve(c, stream) -- the request is whole
    end
  end
end

return M
