-- Owns: the programs in C that specs run: has them built in the tree that garner.core is
-- loaded from, where that is not done. Must not: build into any other folder.

local M = {}

local built = {} -- targets

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- The tree whose garner/core.so the module path finds.
local function tree()
  for folder in package.cpath:gmatch "([^;]+)/%?%.so" do
    if exists(folder .. "/garner/core.so") then
      return exists(folder .. "/CMakeCache.txt") and folder or nil
    end
  end
  return nil
end

-- Sanitizers that are preloaded into this process are not for the compiler.
local BUILD = "cd %s && env -u LD_PRELOAD flock embed.lock sh -c "
  .. "'cmake -DGARNER_EMBED=ON . && cmake --build . --target %s' >embed.log 2>&1"

--- The path of a program; nil and why it cannot be run here.
---@param target string "embed-host", "embed-host-module", "allocations"
---@return string|nil
---@return string|nil
function M.program(target)
  local folder = tree()
  if not folder then
    return nil, "garner.core is not loaded from a build tree"
  end
  local path = folder .. (target:find "^embed" and "/examples/embed/" or "/spec/embed/") .. target
  if built[target] == nil then
    local status = os.execute(BUILD:format(quote(folder), target))
    built[target] = status == true or status == 0
  end
  -- One of an earlier build is not what is to be tested.
  if built[target] and exists(path) then
    return path
  end
  local log = io.open(folder .. "/embed.log")
  local text = log and log:read "*a" or ""
  if log then log:close() end
  if text == "" or text:find "No rule to make target" or text:find "unknown target" then
    return nil, "no cmake or flock here, or not the library of this Lua for programs"
  end
  error(target .. " cannot be built:\n" .. text, 0)
end

--- Runs a command line; its exit status (128 and more: a signal) and what it wrote.
---@param command string
---@return integer status
---@return string out
---@return string err
function M.run(command)
  local complaints = os.tmpname()
  local line = "unset LD_PRELOAD; { %s; } 2>%s; status=$?; echo; echo $status"
  local pipe = assert(io.popen(line:format(command, quote(complaints))))
  local out, status = pipe:read("*a"):match "^(.*)\n(%d+)\n$"
  pipe:close()
  local file = assert(io.open(complaints, "rb"))
  local err = file:read "*a"
  file:close()
  os.remove(complaints)
  return tonumber(status), out, err
end

return M
