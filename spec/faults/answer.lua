-- Owns: turning the description of an answer into steps: what to send, when, and how it
-- ends. Must not: touch a connection.

local M = {}

local REASONS = { [200] = "OK", [204] = "No Content", [206] = "Partial Content", [302] = "Found",
  [304] = "Not Modified", [404] = "Not Found", [429] = "Too Many Requests",
  [500] = "Internal Server Error", [503] = "Service Unavailable" }

M.folder = nil -- where zeros are packed; the server's own

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function piped(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local packed = {}

-- gzip, so many times over; the program does it, since this Lua has no zlib.
local function gzip(body, times)
  local command = (" | gzip -9 -c"):rep(times)
  if type(body) == "table" then
    local key = body.zeros .. command
    packed[key] = packed[key] or piped(("head -c %d /dev/zero"):format(body.zeros) .. command)
    return packed[key]
  end
  local path = M.folder .. "/body"
  local file = assert(io.open(path, "wb"))
  file:write(body)
  file:close()
  return piped("cat " .. quote(path) .. command)
end

local function chunks(body, size)
  local out = {}
  for at = 1, #body, size do
    local part = body:sub(at, at + size - 1)
    out[#out + 1] = ("%x\r\n%s\r\n"):format(#part, part)
  end
  out[#out + 1] = "0\r\n\r\n"
  return table.concat(out)
end

local function has(lines, name)
  for _, line in ipairs(lines) do
    if line:lower():find("^" .. name .. ":") then return true end
  end
  return false
end

local function header_lines(answer)
  local lines = {}
  for name, value in pairs(answer.headers or {}) do
    if type(name) == "number" then
      lines[name] = value
    end
  end
  local named = {}
  for name, value in pairs(answer.headers or {}) do
    if type(name) ~= "number" then named[#named + 1] = name .. ": " .. tostring(value) end
  end
  table.sort(named)
  for _, line in ipairs(named) do lines[#lines + 1] = line end
  return lines
end

-- The head's lines and the body as it goes over the wire.
local function framed(answer)
  local lines, body = header_lines(answer), answer.body or ""
  if answer.gzip then
    local times = answer.gzip == true and 1 or answer.gzip
    body = gzip(body, times)
    if not has(lines, "content%-encoding") then
      lines[#lines + 1] = "Content-Encoding: " .. ("gzip, "):rep(times - 1) .. "gzip"
    end
  elseif type(body) == "table" then
    body = ("\0"):rep(body.zeros)
  end
  if not has(lines, "content%-type") and answer.type ~= false then
    lines[#lines + 1] = "Content-Type: " .. (answer.type or "application/json")
  end
  if answer.chunked then
    body = chunks(body, answer.chunked == true and 8192 or answer.chunked)
    lines[#lines + 1] = "Transfer-Encoding: chunked"
  elseif answer.length ~= false then
    lines[#lines + 1] = "Content-Length: " .. (answer.length or #body)
  end
  return lines, body
end

---The steps of one answer: those it lists, or those that its fields mean.
---@param answer table see README.md
---@return table steps
function M.steps(answer)
  if #answer > 0 then return answer end
  local lines, body = framed(answer)
  local status = answer.status or 200
  local head = ("HTTP/1.1 %s %s\r\n"):format(tostring(status), answer.reason or REASONS[status]
    or "Status") .. table.concat(lines, "\r\n") .. "\r\n\r\n"
  local whole = answer.length == nil and not answer.cut
  local steps = {}
  if answer.delay then steps[1] = { wait = answer.delay } end
  if answer.cut then body = body:sub(1, answer.cut) end
  if answer.every then
    steps[#steps + 1] = head
    steps[#steps + 1] = { drip = body, every = answer.every }
  else
    steps[#steps + 1] = head .. body
  end
  steps[#steps + 1] = { [answer.after or whole and "keep" or "close"] = true }
  return steps
end

return M
