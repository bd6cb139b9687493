-- For the specs of processes: two small C programs, compiled for the Lua that runs when first
-- asked for, and scripts in processes of their own. Must not: know garner.
local clients = require "spec.support.clients"

local M = {}

local NAMES = { luajit = { "luajit-2.1", "luajit-5.1" } } -- folder of lua.h, library
local built = {}

local function folder()
  if not built.folder then
    local pipe = assert(io.popen "mktemp -d")
    built.folder = pipe:read "*l"
    pipe:close()
  end
  return built.folder
end

local function build(name, flags)
  if not built[name] then
    local lua = clients.interpreter()
    local names = NAMES[lua] or { lua, lua }
    built[name] = folder() .. "/" .. name
    local command = ("LD_PRELOAD= gcc -Wall -Wextra -Werror -g -I/usr/include/%s -o %s "
      .. "spec/support/%s.c %s"):format(names[1], built[name], name, flags:gsub("LUA", names[2]))
    local code = os.execute(command)
    assert(code == true or code == 0, command)
  end
  return built[name]
end

--- A folder of one's own, gone after `clean`.
M.folder = folder

--- The path of the module of spec/support/process.c.
function M.module()
  return build("process", "-shared -fPIC")
end

--- The path of the program of spec/support/host.c.
function M.host()
  return build("host", "-lLUA -lpthread")
end

function M.clean()
  if built.folder then
    os.execute("rm -rf '" .. built.folder .. "'")
  end
  built = {}
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

--- Runs scripts in processes of their own, a few at a time.
---@param scripts table<string, table> by name: { text, prefix = what stands before the command }
---@return table<string, table> results by name: { code, output }
function M.run_all(scripts)
  local paths, list = {}, {}
  for name, script in pairs(scripts) do
    local path = ("%s/script%d.lua"):format(folder(), #list + 1)
    write(path, script.text)
    paths[name], list[#list + 1] = path, ("%s timeout 60 %s %s >%s.out 2>&1; echo $? >%s.code")
      :format(script.prefix or "", clients.interpreter(), path, path, path)
  end
  write(folder() .. "/list", table.concat(list, "\n") .. "\n")
  os.execute(("xargs -P 8 -I{} sh -c '{}' <%s/list"):format(folder()))
  local results = {}
  for name, path in pairs(paths) do
    results[name] = { code = tonumber(read(path .. ".code")), output = read(path .. ".out") }
  end
  return results
end

--- Runs the host: a script of spec/support in so many states at a time, round after round.
---@return table[] rounds { descriptors, threads, kb }
---@return string output
function M.run_host(script, threads, rounds, ...)
  local pipe = assert(io.popen(("timeout 100 %s spec/support/%s.lua %d %d %s 2>&1; echo code $?")
    :format(M.host(), script, threads, rounds, table.concat({ ... }, " "))))
  local output = pipe:read "*a"
  pipe:close()
  local list = {}
  for d, t, kb in output:gmatch "round %d+: (%d+) descriptors, (%d+) threads, (%d+) KB" do
    list[#list + 1] = { descriptors = tonumber(d), threads = tonumber(t), kb = tonumber(kb) }
  end
  assert(output:find "code 0\n$" and #list == rounds, output)
  return list, output
end

return M
