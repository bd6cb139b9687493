-- Owns: the process: its control port, its life with its parent, its folder.
-- Started by spec/faults/start with: this folder, a folder to write to, the parent's id.
-- The control speaks one line each way: the key and a call as Lua source, the answer as
-- Lua source. Must not: outlive its parent.

local folder, work, parent = arg[1], arg[2], arg[3]
package.path = folder .. "/?.lua;" .. package.path

local cqueues = require "cqueues"
local signal = require "cqueues.signal"
local sockets = require "cqueues.socket"

local answer = require "answer"
local certificates = require "certificates"
local scopes = require "scope"

local loop = cqueues.new()
local all = {}
answer.folder = work

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function source_of(value)
  if type(value) == "string" then
    -- One line, and text for every Lua.
    return '"' .. value:gsub('[^%w %-_./:;,=]', function(c)
      return ("\\%03d"):format(c:byte())
    end) .. '"'
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local out = {}
  for k, v in pairs(value) do out[#out + 1] = "[" .. source_of(k) .. "]=" .. source_of(v) end
  return "{" .. table.concat(out, ",") .. "}"
end

local CALLS = {
  open = function()
    local scope = scopes.new(loop)
    all[#all + 1] = scope
    return { id = #all, port = scope:listen() }
  end,
  call = function(id, verb, ...)
    local scope = assert(all[id], "no such scope")
    local result, why = scope[verb](scope, ...)
    if verb == "stop" then all[id] = false end
    return { result = result, why = why }
  end,
}

local key = assert(io.open "/dev/urandom"):read(12):gsub(".", function(c)
  return ("%02x"):format(c:byte())
end)

local function control(socket)
  socket:setmaxline(64 * 1024 * 1024)
  socket:settimeout(60)
  local given, call = (socket:read "*l" or ""):match "^(%x+) (.*)$"
  if given == key then
    local ok, result = pcall(function()
      return assert(load("return " .. call, "=call", "t", CALLS))()
    end)
    socket:write("return ", source_of { ok = ok, value = result }, "\n")
    socket:flush()
  end
  socket:close()
end

-- The start time tells a process from a later one with the same number.
local function identity(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if not file then return nil end
  local state, rest = file:read("*a"):match ".*%) (%S) (.*)"
  file:close()
  if not state or state == "Z" or state == "X" then return nil end
  local field = 3
  for word in rest:gmatch "%S+" do
    field = field + 1
    if field == 22 then return word end
  end
end

local function finish()
  for _, name in ipairs { "ca.pem", "body", "log" } do os.remove(work .. "/" .. name) end
  os.remove(work)
  os.exit(0)
end

local first = identity(parent)
loop:wrap(function()
  while identity(parent) == first and first do cqueues.sleep(0.2) end
  finish()
end)

signal.block(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
signal.ignore(signal.SIGPIPE)
loop:wrap(function()
  signal.listen(signal.SIGTERM, signal.SIGINT, signal.SIGHUP):wait()
  finish()
end)

local listener = assert(sockets.listen("127.0.0.1", 0))
assert(listener:listen())
loop:wrap(function()
  for socket in listener:clients() do
    loop:wrap(function() pcall(control, socket) end)
  end
end)

write(work .. "/ca.pem", certificates.ca_pem())
local _, _, port = listener:localname()
print(port .. " " .. key .. " " .. work .. "/ca.pem")
io.stdout:close()

while true do
  local ok, why = loop:loop()
  -- An error of one coroutine ends none of the others.
  if not ok then io.stderr:write(tostring(why), "\n") end
end
