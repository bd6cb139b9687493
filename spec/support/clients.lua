-- For specs: clients that are closed again after each test, so that no engine stays
-- open, and what a spec needs to see where an error was raised.
local simulator = require "spec.support.simulator"

local M = {}

local made = {}

--- A client of the simulator (in a scope of its own), closed by `close_all`.
---@param options table|nil of garner.client; base_url may be left out
---@param scope table|nil a scope whose URL is the base
function M.client(options, scope)
  local garner = require "garner"
  local given = {}
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  given.base_url = given.base_url or (scope or simulator.get()).url
  local client = garner.client(given)
  made[#made + 1] = client
  return client
end

--- Closes every client and the engine.
function M.close_all()
  for _, client in ipairs(made) do
    client:close()
  end
  made = {}
  require("garner").close()
end

--- The line of the caller, as errors name it: "spec/x_spec.lua:12:".
function M.here(offset)
  local info = debug.getinfo(2, "Sl")
  return info.short_src .. ":" .. (info.currentline + (offset or 0)) .. ":"
end

--- What a function raises; fails if it does not.
function M.raised(fn, ...)
  local ok, message = pcall(fn, ...)
  assert(not ok, "nothing was raised")
  return message
end

-- The interpreter that runs this spec: `spec/run` names it.
function M.interpreter()
  local jit = rawget(_G, "jit")
  return os.getenv "GARNER_LUA" or jit and "luajit" or "lua" .. _VERSION:match("%d%.%d")
end

--- Runs a script in a process of its own.
---@param script string Lua source
---@param prefix string|nil what stands before the interpreter: "GARNER_LOG=info", "timeout 1"
---@return integer code exit code
---@return string output stdout and stderr
function M.run(script, prefix)
  local source, log = os.tmpname(), os.tmpname()
  local file = assert(io.open(source, "w"))
  file:write(script)
  file:close()
  local pipe = assert(io.popen(("%s %s %s >%s 2>&1; echo $?"):format(prefix or "", M.interpreter(),
    source, log)))
  local code = tonumber(pipe:read("*a"))
  pipe:close()
  file = assert(io.open(log))
  local output = file:read("*a")
  file:close()
  os.remove(source)
  os.remove(log)
  return code, (output:gsub(source:gsub("%W", "%%%0"), "script"))
end

return M
