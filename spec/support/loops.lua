-- The event loops that garner has drivers for, under one name for each thing that specs do with
-- them. Must not: load one that nobody asked for.

local compat = require "garner.compat"

local M = {}

--- Descriptors that a loop's library opened when it was loaded, which stay open as long as the
--- process: as in spec/support/helper.lua.
M.kept = {}

local function open_descriptors()
  local lfs, list = require "lfs", {}
  for number in lfs.dir "/proc/self/fd" do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. number, "target")
    if target then
      list[number .. " -> " .. target] = true
    end
  end
  return list
end

local function load(name)
  local before = open_descriptors()
  local http = package.loaded["socket.http"]
  package.loaded["socket.http"] = nil -- old copas wants to be loaded before it; busted was first
  local found, library = pcall(require, name)
  package.loaded["socket.http"] = http
  if found and name == "luv" then -- its signals have descriptors too, from the first one on
    library.new_signal():close()
    library.run "nowait"
  end
  for descriptor in pairs(open_descriptors()) do
    M.kept[descriptor] = M.kept[descriptor] or not before[descriptor] or nil
  end
  return found
end

local failures, running = {}, 0

-- What a coroutine of a test raises fails the test.
local function counted(fn)
  running = running + 1
  return function()
    local ok, err = compat.guard(fn)
    running = running - 1
    if not ok then
      failures[#failures + 1] = err
    end
  end
end

local function luv()
  local uv = require "luv"
  local host = {}
  function host.spawn(fn)
    coroutine.wrap(counted(fn))()
  end
  function host.loop()
    uv.run()
  end
  function host.step()
    uv.run "nowait"
  end
  function host.sleep(seconds)
    local co, timer = compat.outermost(), uv.new_timer()
    uv.update_time()
    timer:start(math.ceil(seconds * 1000), 0, function()
      timer:close()
      coroutine.resume(co)
    end)
    coroutine.yield()
  end
  return host
end

local function cqueues_host()
  local cqueues = require "cqueues"
  local host = { controller = cqueues.new() }
  function host.spawn(fn)
    host.controller:wrap(counted(fn))
  end
  function host.loop()
    assert(host.controller:loop())
  end
  function host.step()
    host.controller:step(0)
  end
  host.sleep = cqueues.sleep
  return host
end

local function copas_host()
  local copas = require "copas"
  local host = {}
  function host.spawn(fn)
    copas.addthread(counted(fn))
  end
  function host.loop()
    while running > 0 do
      copas.step(1)
    end
  end
  function host.step()
    copas.step(0)
  end
  host.sleep = copas.sleep
  --- A request by means of the loop alone.
  function host.fetch(url)
    local address, port, path = url:match "^http://([^:/]+):(%d+)(/.*)$"
    local client = require("socket").tcp()
    assert(copas.connect(client, address, tonumber(port)))
    copas.send(client, "GET " .. path .. " HTTP/1.0\r\n\r\n")
    local line = copas.receive(client, "*l")
    client:close()
    return line
  end
  return host
end

local MAKERS = { luv = luv, cqueues = cqueues_host, copas = copas_host }

M.names = { "luv", "cqueues", "copas" }

--- Why a loop cannot be tested here, or nil.
---@param name string
---@return string|nil
function M.missing(name)
  if os.getenv "GARNER_ENGINE" == "inline" then
    return "loops need an engine with a thread, and GARNER_ENGINE says inline"
  elseif not load(name) then
    return name .. " is not installed for this Lua"
  end
end

--- Closes the engine and lets the loop take note of it; from then on garner blocks again.
---@param name string
function M.finish(name)
  require("garner").close()
  if name == "luv" then
    require("luv").run "nowait"
  end
  require("garner").use "block"
end

--- A loop with garner in it.
---@param name string "luv", "cqueues" or "copas"
---@return table host `spawn(fn)` starts a coroutine, `run()` runs the loop until all have ended
--- and raises what one raised first, `sleep(seconds)` is the loop's own, nil where it has none
function M.start(name)
  local host = MAKERS[name]()
  host.name = name
  failures, running = {}, 0
  require("garner").use(name)
  --- Lets the loop take note of what was closed.
  function host.stop()
    running = 0
    host.step()
  end
  function host.run()
    host.loop()
    local left = running
    running = 0
    if failures[1] ~= nil then
      error(failures[1], 0)
    end
    assert(left == 0, "the loop ended before " .. left .. " coroutines")
  end
  return host
end

return M
