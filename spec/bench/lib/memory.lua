-- Memory of this process as the kernel counts it, in MiB.
local lap = require "spec.bench.lib.lap"

local M = {}

local function field(name)
  local file = assert(io.open("/proc/self/status", "r"))
  local text = file:read "*a"
  file:close()
  return tonumber(text:match(name .. ":%s*(%d+) kB")) / 1024
end

--- What is resident now.
function M.now() return field "VmRSS" end

--- The most that was resident since the last `forget`.
function M.most() return field "VmHWM" end

--- Makes `most` begin again.
function M.forget()
  local file = io.open("/proc/self/clear_refs", "w")
  if file then
    file:write "5"
    file:close()
  end
end

--- Makes many clients and prints the resident KiB that each of them holds.
---@param make fun(): any a client that has done one request
---@param count integer
function M.per_client(make, count)
  local clients = { make() }
  collectgarbage()
  collectgarbage()
  local before, begin = M.now(), lap.begin()
  for i = 1, count do clients[i + 1] = make() end
  collectgarbage()
  collectgarbage()
  lap.finish(begin, count, { kib = (M.now() - before) * 1024 / count })
  assert(#clients == count + 1)
end

return M
