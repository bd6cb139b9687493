-- The specs' way to the server of faults (spec/faults/README.md): starts it when first
-- asked for, one for this process, ending with it; hands out scopes and scripts them.
-- Runs on every Lua; must not use garner, which is what the specs test with it.
local socket = require "socket"

local M = {}

-- busted loads this file anew for each spec file; the server is the process's.
local kept = debug.getregistry()
local server = kept["spec.support.faults"]

-- "spec/support/faults.lua" -> "spec/faults/start", wherever it was loaded from.
local function start_path()
  local source = debug.getinfo(1, "S").source:gsub("^@", "")
  local folder = source:match("^(.*)/support/[^/]*$") or source:match("^support/") and "." or ".."
  return folder .. "/faults/start"
end

-- $PPID inside the shell that popen starts is this very process.
local function launch()
  local pipe = assert(io.popen("'" .. start_path() .. "' $PPID"))
  local line = pipe:read("*l") or ""
  pipe:close()
  local port, key, ca_file = line:match("^(%d+) (%x+) (.*)$")
  assert(port, "the server of faults did not start (lua5.4, lua-cqueues, lua-luaossl, lua-socket)")
  return { port = tonumber(port), key = key, ca_file = ca_file }
end

local function source_of(value)
  if type(value) == "string" then
    return '"' .. value:gsub('[^%w %-_./:;,=]', function(c)
      return ("\\%03d"):format(c:byte())
    end) .. '"'
  elseif type(value) ~= "table" then
    assert(type(value) ~= "function", "a script is data; a step `run` takes Lua source")
    return value == math.huge and "math.huge" or tostring(value)
  end
  local out = {}
  for k, v in pairs(value) do
    out[#out + 1] = "[" .. source_of(k) .. "]=" .. source_of(v)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

local function ask(call)
  local tcp = assert(socket.tcp())
  tcp:settimeout(30)
  assert(tcp:connect("127.0.0.1", server.port))
  assert(tcp:send(server.key .. " " .. call .. "\n"))
  local line, why = tcp:receive("*l")
  tcp:close()
  assert(line, why)
  local answer = assert((rawget(_G, "loadstring") or load)(line))()
  assert(answer.ok, answer.value)
  return answer.value
end

---@class spec.Faults
---@field url string "http://127.0.0.1:PORT"
---@field port integer
---@field ca_file string PEM of the CA that signed the good certificates
local Faults = {}
Faults.__index = Faults

function Faults:call(verb, ...)
  local parts = { tostring(self.id), source_of(verb) }
  for i = 1, select("#", ...) do
    parts[#parts + 1] = source_of((select(i, ...)))
  end
  local answer = ask("call(" .. table.concat(parts, ",") .. ")")
  assert(answer.result ~= nil, answer.why)
  return answer.result
end

---A scope of one's own: a port, scripts, records.
---@return spec.Faults
function M.start()
  server = server or launch()
  kept["spec.support.faults"] = server
  local made = ask("open()")
  return setmetatable({ id = made.id, port = made.port, ca_file = server.ca_file,
    url = "http://127.0.0.1:" .. made.port }, Faults)
end

---What requests of a path get: the first the first answer, the last answer stays. The
---path "*" is for those without a script.
---@param path string without the query
---@param ... table answers, see spec/faults/README.md
---@return string url of that path
function Faults:script(path, ...)
  self:call("script", path, { ... })
  return self.url .. path
end

---What the next connections do before anything is read.
---@param ... table answers
function Faults:on_connect(...)
  self:call("connecting", { ... })
end

---Another port, with the same scripts: another origin.
---@return string url
function Faults:origin()
  return "http://127.0.0.1:" .. self:call("listen")
end

---A port with TLS.
---@param certificate string|nil "good", "expired", "not_yet", "other_host", "self_signed",
---"unknown_ca", "sha1", "rsa_1024", "no_san", "tls_1_1"
---@return string url "https://localhost:PORT"
function Faults:tls(certificate)
  return "https://localhost:" .. self:call("listen", certificate or "good")
end

---Requests so far, oldest first: { method, target, path, query, headers = map with lower-case
---names, lines, body, connection = number, port, tls = certificate, nth, sent = bytes of the
---answer, ended = "keep"|"close"|"reset"|"client", time }.
---@param path string|nil all without one
---@return table[]
function Faults:seen(path)
  return self:call("seen", path)
end

---@param path string|nil
---@return integer how many requests
function Faults:count(path)
  return #self:seen(path)
end

---Waits until there were so many requests.
---@return table[] requests
function Faults:wait_for(count, path, timeout)
  local until_then = socket.gettime() + (timeout or 10)
  repeat
    local seen = self:seen(path)
    if #seen >= count then return seen end
    socket.sleep(0.01)
  until socket.gettime() > until_then
  error(("%d requests did not come"):format(count), 2)
end

---@return table state { connections, open, refused = TLS handshakes, errors }
function Faults:state()
  return self:call("state")
end

---Ends the ports and connections of this scope. What went wrong in a script is raised here.
function Faults:stop()
  if self.stopped then return end
  self.stopped = true
  local errors = self:call("state").errors
  self:call("stop")
  assert(#errors == 0, errors[1])
end

return M
