-- Ends the simulator with the process it was started for, and removes its folder.
-- Must not know anything of requests.
local ffi = require "ffi"

ffi.cdef [[
int kill(int pid, int sig);
int getpid(void);
]]

local M = {}

local INTERVAL = 0.2
local SIGTERM = 15

-- The start time tells a process from a later one with the same number.
local function identity(pid)
  local file = io.open("/proc/" .. pid .. "/stat")
  if file then
    local text = file:read("*a")
    file:close()
    local state, rest = text:match(".*%) (%S) (.*)")
    if not state or state == "Z" or state == "X" then return nil end
    local field = 3
    for word in rest:gmatch("%S+") do
      field = field + 1
      if field == 22 then return word end
    end
  end
  -- Where there is no /proc at all, only the number can be checked.
  local proc = io.open("/proc/self/stat")
  if proc then
    proc:close()
    return nil
  end
  return ffi.C.kill(pid, 0) == 0 and "alive" or nil
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

---Watches the parent and the folder; the first to go ends this process.
---@param dir string the simulator's folder
---@param parent integer process id; 0 watches no process
function M.watch(dir, parent)
  local first = parent > 0 and identity(parent)
  local function check()
    local gone = parent > 0 and (not first or identity(parent) ~= first)
    if gone or not exists(dir .. "/nginx.conf") then ffi.C.kill(ffi.C.getpid(), SIGTERM) end
  end
  assert(ngx.timer.every(INTERVAL, check))
end

---Removes the folder; refuses any path that is not one of the simulator's own.
---@param dir string
function M.remove(dir)
  if not dir:find("/garner%-sim%.%w+$") or dir:find("'", 1, true) then return end
  os.execute("rm -rf -- '" .. dir .. "'")
end

return M
