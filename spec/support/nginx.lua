-- The specs' way to an nginx of their own with garner in it: a master process and workers on a
-- free port of 127.0.0.1, everything they write in one temporary folder. It ends with `stop`, at
-- the latest with this process. Runs on every Lua; must not use garner, which is what the
-- specs test with it.
local lfs = require "lfs"
local socket = require "socket"

local M = {}

local MODULES = os.getenv "GARNER_NGINX_MODULES" or "/usr/lib/nginx/modules"
local PATIENCE = 20 -- seconds for a machine that is busy

local function quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("*a")
  file:close()
  return text or ""
end

local function write_file(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local function run(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("*a")
  pipe:close()
  return (text:gsub("%s+$", ""))
end

---Waits until fn gives something.
---@param fn fun(): any
---@param timeout number|nil seconds
---@return any value nil if it did not come
function M.wait_for(fn, timeout)
  local until_then = socket.gettime() + (timeout or PATIENCE)
  repeat
    local value = fn()
    if value then return value end
    socket.sleep(0.01)
  until socket.gettime() > until_then
  return nil
end

-- The folder of the checkout, wherever this file was loaded from.
local function root()
  local source = debug.getinfo(1, "S").source:gsub("^@", "")
  local folder = source:match("^(.*)/spec/support/[^/]*$")
    or source:match("^spec/support/") and "." or "../.."
  return run("cd " .. quote(folder) .. " && pwd -P")
end

local function tree_problem(folder)
  local module = folder .. "/build/luajit/garner/core.so"
  if not lfs.attributes(module) then
    return "nginx needs garner for LuaJIT: cmake -S . -B build/luajit -DGARNER_LUA=jit && "
      .. "cmake --build build/luajit"
  elseif run("find " .. quote(folder .. "/src") .. " -newer " .. quote(module)
    .. " -name '*.[ch]'") ~= "" then
    return "build/luajit is older than the sources: cmake --build build/luajit"
  end
end

---Why nginx cannot be started here: nil where it can. What the Lua in nginx does is the same
---whichever Lua steers it, so a run over several Lua versions does it once.
---@return string|nil reason
function M.missing()
  if os.getenv "GARNER_SPEC_RUN" and not rawget(_G, "jit") then
    return "nginx runs LuaJIT: see the run on LuaJIT"
  elseif not lfs.attributes(MODULES .. "/ngx_http_lua_module.so") then
    return "no nginx with its Lua module (Debian: nginx, libnginx-mod-http-lua)"
  end
  return tree_problem(root())
end

---`describe` for what needs nginx: where it cannot be started, one pending test says why.
---@param busted_describe fun(name: string, fn: function)
---@param busted_pending fun(name: string, fn: function)
---@return fun(name: string, fn: function)
function M.describe(busted_describe, busted_pending)
  local reason = M.missing()
  if not reason then return busted_describe end
  return function(name)
    busted_pending(name .. ": " .. reason, function() end)
  end
end

local Nginx = {}
Nginx.__index = Nginx

local CONF = [[
@LOAD@
daemon off;
pid "@DIR@/nginx.pid";
error_log "@DIR@/error.log" @LEVEL@;
worker_processes @WORKERS@;
worker_rlimit_nofile 16384;
env XDG_RUNTIME_DIR=@DIR@/run;
env TMPDIR=@DIR@/run;
@MAIN@
events {
  worker_connections 4096;
  @EVENTS@
}
http {
  access_log off;
  default_type text/plain;
  keepalive_requests 10000000;
  client_body_temp_path "@DIR@/body";
  proxy_temp_path "@DIR@/proxy";
  fastcgi_temp_path "@DIR@/fastcgi";
  uwsgi_temp_path "@DIR@/uwsgi";
  scgi_temp_path "@DIR@/scgi";
  lua_package_path "@DIR@/lua/?.lua;@ROOT@/lua/?.lua;@ROOT@/lua/?/init.lua;@ROOT@/?.lua;;";
  lua_package_cpath "@ROOT@/build/luajit/?.so;;";
  @HTTP@
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    @SERVER@
  }
}
]]

local function modules()
  local lines = {}
  for _, name in ipairs { "ndk_http_module.so", "ngx_http_lua_module.so" } do
    if lfs.attributes(MODULES .. "/" .. name) then
      lines[#lines + 1] = ('load_module "%s/%s";'):format(MODULES, name)
    end
  end
  return table.concat(lines, "\n")
end

local drawn

-- Below the range that the kernel takes for outgoing connections.
local function free_port()
  if not drawn then
    local source = assert(io.open("/dev/urandom", "rb"))
    local a, b = source:read(2):byte(1, 2)
    source:close()
    drawn = a * 256 + b
  end
  while true do
    drawn = (drawn * 31 + 7) % 12000
    local server = socket.bind("127.0.0.1", 18000 + drawn)
    if server then
      server:close()
      return 18000 + drawn
    end
  end
end

local function configure(nginx, options)
  local values = {
    LOAD = modules(), DIR = nginx.dir, ROOT = nginx.root, PORT = nginx.port,
    LEVEL = options.log_level or "notice", WORKERS = options.workers or 1,
    MAIN = options.main or "", EVENTS = options.events or "", HTTP = options.http or "",
    SERVER = options.server or "",
  }
  if run "id -u" == "0" then -- not "nobody", who may not be able to read the checkout
    values.MAIN = "user root root;\n" .. values.MAIN
  end
  local function fill(text)
    return (text:gsub("@(%u+)@", values))
  end
  for name, value in pairs(values) do
    values[name] = fill(tostring(value))
  end
  write_file(nginx.dir .. "/nginx.conf", fill(CONF))
end

-- In a session of its own; a watcher ends it when this process ends. Neither holds a pipe or a
-- library that was preloaded into this process. ($PPID is this process: popen's shell asks.)
local LAUNCH = [[
parent=$PPID
unset LD_PRELOAD
@ENV@ setsid nginx -p '@DIR@' -e '@DIR@/error.log' -c '@DIR@/nginx.conf' </dev/null \
  >'@DIR@/stdout.log' 2>'@DIR@/stderr.log' &
pid=$!
(
  trap '' INT
  tail --pid=$parent -f /dev/null &
  tail=$!
  trap 'kill $tail; exit' TERM
  wait $tail
  kill $pid
  rm -rf '@DIR@'
) </dev/null >/dev/null 2>&1 &
echo $pid $!
]]

local function launch(nginx, options)
  local text = LAUNCH:gsub("@(%u+)@", { DIR = nginx.dir, ENV = options.env or "" })
  local pid, watcher = run(text):match "^(%d+) (%d+)$"
  nginx.pid, nginx.watcher = tonumber(pid), tonumber(watcher)
  M.wait_for(function()
    return read_file(nginx.dir .. "/nginx.pid") ~= "" and #nginx:workers() > 0
      or not nginx:alive()
  end)
end

local function discard(nginx)
  run(("kill %d 2>/dev/null; rm -rf %s"):format(nginx.watcher, quote(nginx.dir)))
end

---Starts an nginx. In all texts @DIR@, @PORT@ and @ROOT@ stand for its folder (Lua files below
---`@DIR@/lua` are found by require, engines put their sockets below `@DIR@/run`), its port and the
---checkout.
---@param options table `http`, `server`, `main`, `events`: lines of the configuration at these
---places; `workers` (1); `log_level` ("notice"); `env`: assignments for the shell that starts it;
---`files` = map of path below @DIR@ to text
---@return table nginx
function M.start(options)
  for _ = 1, 8 do
    local nginx = setmetatable({ dir = run "umask 077; mktemp -d", root = root(),
      port = free_port() }, Nginx)
    nginx.url = "http://127.0.0.1:" .. nginx.port
    run(("mkdir -p %s/run %s/lua"):format(quote(nginx.dir), quote(nginx.dir)))
    for path, text in pairs(options.files or {}) do
      write_file(nginx.dir .. "/" .. path, text)
    end
    configure(nginx, options)
    launch(nginx, options)
    if nginx:alive() and #nginx:workers() > 0 then
      return nginx
    end
    local log = nginx:error_log() .. read_file(nginx.dir .. "/stderr.log")
    run(("kill %d 2>/dev/null"):format(nginx.pid))
    discard(nginx)
    if not log:find("bind() to", 1, true) then -- else somebody took the port meanwhile
      error("nginx did not start: " .. log, 2)
    end
  end
  error("nginx found no free port", 2)
end

-- "S" or the like; nil once it is gone (one that only waits to be asked for is, too).
local function state_of(pid)
  local state = read_file(("/proc/%d/stat"):format(pid)):match "%) (%a)"
  return state ~= "Z" and state ~= "X" and state or nil
end

---Whether the master process is there.
function Nginx:alive()
  return state_of(self.pid) ~= nil
end

---The processes of the master, oldest first; those that shut down are among them.
---@return integer[] pids
function Nginx:workers()
  local list = {}
  for pid in read_file(("/proc/%d/task/%d/children"):format(self.pid, self.pid)):gmatch "%d+" do
    if state_of(pid) then
      list[#list + 1] = tonumber(pid)
    end
  end
  return list
end

---Sends a signal to the master, or to a worker.
---@param name string "HUP", "QUIT", "TERM", "KILL" ...
---@param pid integer|nil
function Nginx:signal(name, pid)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, pid or self.pid))
end

---Waits until processes are gone.
---@param pids integer[]
---@param timeout number|nil seconds
---@return boolean
function M.gone(pids, timeout)
  return M.wait_for(function()
    for _, pid in ipairs(pids) do
      if state_of(pid) then return false end
    end
    return true
  end, timeout) == true
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

---Reloads the configuration and waits until as many new workers run as there were. The old ones
---may still be busy.
---@return integer[] old the workers before
function Nginx:reload()
  local old = self:workers()
  local wanted = tonumber(read_file(self.dir .. "/nginx.conf"):match "worker_processes (%d+)")
  self:signal "HUP"
  local came = M.wait_for(function()
    local count = 0
    for _, pid in ipairs(self:workers()) do
      count = count + (contains(old, pid) and 0 or 1)
    end
    return count >= wanted
  end)
  assert(came, "nginx did not reload: " .. self:error_log())
  return old
end

---The error log so far.
---@return string
function Nginx:error_log()
  return read_file(self.dir .. "/error.log")
end

---The lines of the error log that tell of a problem: of level "warn" and worse, without those
---that a list of Lua patterns allows.
---@param allowed string[]|nil
---@return string[]
function Nginx:problems(allowed)
  local lines = {}
  for line in self:error_log():gmatch "[^\n]+" do
    local level = line:match "^%S+ %S+ %[(%a+)%]"
    local bad = level == "warn" or level == "error" or level == "crit" or level == "alert"
      or level == "emerg" or line:find("writing a global", 1, true)
    for _, pattern in ipairs(allowed or {}) do
      bad = bad and not line:find(pattern)
    end
    if bad then lines[#lines + 1] = line end
  end
  return lines
end

local Answer = {}
Answer.__index = Answer

---Sends a request without waiting for its answer, so that several can be on their way.
---@param path string
---@param options table|nil `method`, `headers` = map, `body`, `timeout` = seconds (30)
---@return table request with `finish()` and `abort()`
function Nginx:send(path, options)
  options = options or {}
  local tcp = assert(socket.tcp())
  tcp:settimeout(options.timeout or 30)
  assert(tcp:connect("127.0.0.1", self.port))
  local lines = { ("%s %s HTTP/1.0"):format(options.method or "GET", path), "Host: localhost" }
  for name, value in pairs(options.headers or {}) do
    lines[#lines + 1] = name .. ": " .. value
  end
  if options.body then
    lines[#lines + 1] = "Content-Length: " .. #options.body
  end
  lines[#lines + 1] = "\r\n" .. (options.body or "")
  assert(tcp:send(table.concat(lines, "\r\n")))
  return setmetatable({ tcp = tcp }, Answer)
end

---Reads the answer.
---@return table answer { status = integer|nil, headers = map with lower-case names, body }; without
---an answer { body = "", why }
function Answer:finish()
  local text, why, rest = self.tcp:receive "*a"
  self.tcp:close()
  text = text or rest
  local head, body = text:match "^(.-)\r\n\r\n(.*)$"
  if not head then return { body = text, headers = {}, why = why or "closed" } end
  local headers = {}
  for name, value in head:gmatch "\n([^:\r\n]+):%s*([^\r\n]*)" do
    headers[name:lower()] = value
  end
  return { status = tonumber(head:match "^%S+ (%d+)"), headers = headers, body = body, why = why }
end

---Goes away, as a client that gives up does.
function Answer:abort()
  self.tcp:close()
end

---One request.
---@param path string
---@param options table|nil as for `send`
---@return table answer as `finish` gives it
function Nginx:get(path, options)
  return self:send(path, options):finish()
end

---What a process holds.
---@param pid integer
---@return table { threads, descriptors, rss = KiB }
function M.usage(pid)
  local status = read_file(("/proc/%d/status"):format(pid))
  local descriptors = 0
  for name in lfs.dir(("/proc/%d/fd"):format(pid)) do
    descriptors = descriptors + (name:find "^%d" and 1 or 0)
  end
  return { threads = tonumber(status:match "Threads:%s*(%d+)"), descriptors = descriptors,
    rss = tonumber(status:match "VmRSS:%s*(%d+)") }
end

---The files of engines, relative to `@DIR@/run`, sorted.
---@return string[]
function Nginx:leftovers()
  local list = {}
  local text = run(("find %s/run -mindepth 1 -printf '%%P\\n' 2>/dev/null | sort"):format(
    quote(self.dir)))
  for name in text:gmatch "[^\n]+" do
    list[#list + 1] = name
  end
  return list
end

---Ends nginx, removes its folder. Raises if it did not end in time, or a worker stayed behind.
---@param signal string|nil "TERM" (default: at once) or "QUIT" (when the requests are done)
---@return string[] leftovers what engines left behind
function Nginx:stop(signal)
  if self.stopped then return {} end
  self.stopped = true
  local pids = self:workers()
  pids[#pids + 1] = self.pid
  self:signal(signal or "TERM")
  local ended = M.gone(pids)
  for _, pid in ipairs(ended and {} or pids) do
    self:signal("KILL", pid)
  end
  local left, log = self:leftovers(), self:error_log()
  discard(self)
  assert(ended, "nginx did not end: " .. log)
  return left
end

return M
