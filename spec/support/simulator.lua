-- The specs' way to the simulator: finds the running one (GARNER_SIM_*) or starts one that
-- ends with this process, hands out scopes, steers them by LuaSocket (the curl program
-- takes 20 ms a call). Runs on every Lua; must not use garner, which is what the specs test
-- with it.
local http = require "socket.http"
local ltn12 = require "ltn12"

local M = {}

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("*a")
  file:close()
  return text
end

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return text
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function to_json(value)
  local kind = type(value)
  if kind == "number" and value == math.floor(value) then return ("%d"):format(value) end
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c)
      return escapes[c] or ("\\u%04x"):format(c:byte())
    end) .. '"'
  end
  assert(kind == "table", "cannot send a " .. kind)
  local out = {}
  if #value > 0 then
    for i, item in ipairs(value) do out[i] = to_json(item) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for key, item in pairs(value) do
    out[#out + 1] = to_json(tostring(key)) .. ":" .. to_json(item)
  end
  return "{" .. table.concat(out, ",") .. "}"
end

local function parse_headers(text)
  local headers = {}
  -- Only the last block counts: there may be one for 100 Continue or a proxy before it.
  local last = text:match(".*\n(HTTP/.*)") or text
  for name, value in last:gmatch("([^\r\n:]+):%s*([^\r\n]*)") do
    name = name:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. value or value
  end
  return headers
end

local function fetch_command(url, options, names)
  -- A sanitizer that a test preloads into its own process is not for curl.
  local parts = { "LD_PRELOAD=", "curl", "-sS", "--noproxy", "'*'",
    "-m", tostring(options.timeout or 30), "-D", quote(names.headers), "-o", quote(names.body),
    "-w", quote("%{http_code} %{http_version} %{exitcode}") }
  if options.method == "HEAD" then
    parts[#parts + 1] = "-I"
  elseif options.method then
    parts[#parts + 1] = "-X " .. quote(options.method)
  end
  for name, value in pairs(options.headers or {}) do
    parts[#parts + 1] = "-H " .. quote(name .. ": " .. value)
  end
  if options.ca_file then parts[#parts + 1] = "--cacert " .. quote(options.ca_file) end
  if options.body then parts[#parts + 1] = "--data-binary @" .. quote(names.request) end
  if options.args then parts[#parts + 1] = options.args end
  parts[#parts + 1] = quote(url)
  return table.concat(parts, " ") .. " 2>/dev/null"
end

---One request with the curl program.
---@param url string
---@param options table|nil { method, headers = map, body, ca_file, timeout = seconds, args = more
---curl arguments }
---@return table response { status, headers = map with lower-case names, body, version, exit =
---curl's exit code }
function M.fetch(url, options)
  options = options or {}
  local names = { headers = os.tmpname(), body = os.tmpname(), request = os.tmpname() }
  if options.body then
    local file = assert(io.open(names.request, "wb"))
    file:write(options.body)
    file:close()
  end
  local status, version, exit = run(fetch_command(url, options, names)):match("^(%d+) (%S*) (%d+)")
  local response = {
    status = tonumber(status), version = version, exit = tonumber(exit),
    headers = parse_headers(read_file(names.headers)), body = read_file(names.body),
  }
  for _, name in pairs(names) do os.remove(name) end
  return response
end

local Sim = {}
Sim.__index = Sim

local Scope = {}
Scope.__index = Scope

local function load_text(text)
  local chunk = assert((loadstring or load)(text)) -- luacheck: ignore 113
  return chunk()
end

---One call of the simulator's control; raises what it complains about.
function Sim:control(method, path, value)
  local text, parts = value and to_json(value) or "", {}
  local _, status = http.request { url = self.url .. path, method = method, redirect = false,
    headers = { ["content-type"] = "application/json", ["content-length"] = #text },
    source = ltn12.source.string(text), sink = ltn12.sink.table(parts) }
  local body = table.concat(parts)
  assert(status == 200, ("simulator: %s %s: %s %s"):format(method, path, tostring(status), body))
  return body
end

---Requests at the file host that carried a credential: list of { header, scope, request }.
function Sim:leaks(scope)
  local query = scope and "&scope=" .. scope or ""
  return load_text(self:control("GET", "/_sim/leaks?format=lua" .. query)).leaks
end

local function random_name()
  local source = assert(io.open("/dev/urandom", "rb"))
  local name = source:read(6):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  source:close()
  return name
end

---A compartment of its own: token, faults, settings, records. Without a name, a unique one.
---@param name string|nil letters, digits, "_", "-", "."
---@return table scope { name, token, sim, url = the API origin for requests without a token }
function Sim:scope(name)
  name = name or random_name()
  return setmetatable({
    name = name, token = "sim-token." .. name, sim = self, url = self.url .. "/_scope/" .. name,
  }, Scope)
end

local function with_scope(scope, values)
  local out = { scope = scope.name }
  for key, value in pairs(values) do out[key] = value end
  return out
end

---Makes requests of this scope fail; see spec/simulator/README.md for the fields.
function Scope:fault(values)
  self.sim:control("POST", "/_sim/fault", with_scope(self, values))
end

---Changes settings of this scope, such as polls_until_ready or url_ttl.
function Scope:settings(values)
  self.sim:control("POST", "/_sim/settings", with_scope(self, values))
end

---Forgets everything of this scope.
function Scope:reset()
  self.sim:control("POST", "/_sim/reset?scope=" .. self.name)
end

---All requests so far, in order: { method, path, query, uri, headers = map with lower-case names,
---host, body (its first 256 KiB), body_size, origin = "api"|"files", scheme, protocol, connection,
---time, status }.
function Scope:requests()
  local path = "/_sim/requests?format=lua&scope=" .. self.name
  return load_text(self.sim:control("GET", path)).requests
end

---How many requests had a path (and query) that the Lua pattern finds; all without one.
function Scope:count(pattern)
  local count = 0
  for _, request in ipairs(self:requests()) do
    if not pattern or request.uri:find(pattern) then count = count + 1 end
  end
  return count
end

---Credentials of this scope that reached the file host.
function Scope:leaks()
  return self.sim:leaks(self.name)
end

local function from_lines(text)
  local found = {}
  for name, value in text:gmatch("export GARNER_SIM_([%u_]+)=([^\n]*)") do
    found[name] = value:match("^'(.*)'$") or value
  end
  return found
end

local function from_env()
  local found = {}
  for _, name in ipairs { "URL", "TLS_URL", "FILES_URL", "FILES_TLS_URL", "CA_FILE", "KEY_FILE",
    "PID" } do
    found[name] = os.getenv("GARNER_SIM_" .. name)
  end
  return found
end

local function wrap(found)
  return setmetatable({
    url = found.URL, tls_url = found.TLS_URL, files_url = found.FILES_URL,
    files_tls_url = found.FILES_TLS_URL, ca_file = found.CA_FILE,
    key_file = found.KEY_FILE, pid = tonumber(found.PID),
  }, Sim)
end

-- "spec/support/simulator.lua" -> "spec/simulator/start", wherever it was loaded from.
local function start_path()
  local source = debug.getinfo(1, "S").source:gsub("^@", "")
  local folder = source:match("^(.*)/support/[^/]*$") or source:match("^support/") and "." or ".."
  return folder .. "/simulator/start"
end

---Starts a simulator of one's own.
---@param arguments string|nil instead of "--parent" with this process's id
function M.start(arguments)
  -- $PPID inside the shell that popen starts is this very process.
  local text = run(quote(start_path()) .. " " .. (arguments or "--parent $PPID"))
  local found = from_lines(text)
  assert(found.URL, "the simulator did not start")
  return wrap(found)
end

---Ends a simulator and waits until its folder is gone.
function Sim:stop()
  os.execute(("kill %d 2>/dev/null; n=0; while [ -e %s ] && [ $n -lt 100 ]; do sleep 0.05; " ..
    "n=$((n + 1)); done"):format(self.pid, quote(self.ca_file)))
end

local current

---The simulator of this process: the one in the environment, else one that is started now and
---ends with this process.
function M.get()
  if not current then
    local found = from_env()
    current = found.URL and wrap(found) or M.start()
  end
  return current
end

return M
