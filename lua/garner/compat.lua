-- Owns: every difference between Lua 5.1, 5.2, 5.3, 5.4 and LuaJIT that the Lua
-- files meet. Features are tried, versions are not compared. Must not: know
-- anything of requests, or be needed by users.

local core = require "garner.core"

local M = {}

--- A global of the Lua state. (nginx on a LuaJIT that is not OpenResty's gives each request a
--- table of globals that only inherits from the state's, and so to what is loaded there.)
---@param name string
---@return any
function M.global(name)
  return rawget(package.loaded._G, name)
end

-- 5.1 and LuaJIT mark a module whose loading broke, and would never load it again.
local function forget_broken()
  for name, value in pairs(package.loaded) do
    local mark = type(value) == "userdata" or type(value) == "number"
    if mark and tostring(name):find "^garner%." then
      package.loaded[name] = nil
    end
  end
end

local own_file = debug.getinfo(1, "S").source:match "^@(.*)$"

--- Loads a module of garner's when it is needed. One whose file cannot be opened for want of
--- descriptors is not said to be missing, and one that broke is loaded anew the next time.
---@param name string
---@return any
function M.load(name)
  local ok, found = pcall(require, name)
  if ok then
    return found
  end
  forget_broken()
  local file, _, number = io.open(own_file or "")
  if file then
    file:close()
  elseif number == 23 or number == 24 then
    found = "garner: " .. name .. " cannot be loaded: no descriptor left"
  end
  error(found, 0)
end

--- A module that is loaded when something of it is first asked for.
---@param name string
---@param own table|nil what is there without it
---@return table what stands for it: its fields, each as it is when it is first read
function M.lazy(name, own)
  return setmetatable(own or {}, { __index = function(self, key)
    local value = M.load(name)[key]
    rawset(self, key, value)
    return value
  end })
end

M.unpack = table.unpack or unpack

--- Packs its arguments with their count, nils included.
---@return table packed with `n`
M.pack = table.pack or function(...)
  return { n = select("#", ...), ... }
end

--- The running coroutine, or nil in the main program (5.1 returns nil there,
--- later versions a thread and true).
---@return thread|nil
function M.running()
  local co, main = coroutine.running()
  if main then
    return nil
  end
  return co
end

-- Whether a pcall may have a yield below it: everywhere but in PUC 5.1.
local function yields_across_pcall()
  local co = coroutine.create(function()
    return pcall(coroutine.yield, "across")
  end)
  local _, first = coroutine.resume(co)
  return first == "across"
end

-- Whether the iterator of a `for` may yield: the same story.
local function yields_in_for()
  local rounds = 0
  local co = coroutine.create(function()
    for _ in coroutine.yield, "inside" do
      rounds = rounds + 1
    end
  end)
  local _, first = coroutine.resume(co)
  return first == "inside" and rounds == 0
end

-- LuaJIT does both; it is not tried, since nginx may load us where it lets nobody make a
-- coroutine, or where one that yields would yield to nginx itself.
local jit = M.global "jit" ~= nil

M.yields_across_pcall = jit or yields_across_pcall()
M.yields_in_for = jit or yields_in_for()

--- Whether the running code may yield, as far as this Lua can say: 5.1 and 5.2
--- cannot, there a coroutine is taken to be yieldable. (nginx's coroutine library has no
--- `isyieldable`; the C API has it.)
---@return boolean
function M.yieldable()
  local told = core.yieldable()
  if told == nil then
    return M.running() ~= nil
  end
  return told
end

local outer = setmetatable({}, { __mode = "kv" }) -- a coroutine of `guard` -> where it was made

-- Those of coxpcall, which programs on copas use for the same purpose.
local function coxpcall_outer(co)
  local coxpcall = package.loaded.coxpcall
  local running = type(coxpcall) == "table" and coxpcall.running
  return running and running(co) or co
end

--- The coroutine whose resumption lets the running code go on: not one whose yields `guard` (or
--- coxpcall) passes on, but the one that they reach.
---@return thread|nil
function M.outermost()
  local co = M.running()
  if not co or M.yields_across_pcall then
    return co
  end
  repeat
    local inner = co
    co = coxpcall_outer(outer[inner] or inner)
  until co == inner
  return co
end

local adopt = function() end

--- Lets the scheduler treat a coroutine that `guard` makes as the one it runs in.
---@param fn fun(inner: thread)
function M.set_adopt(fn)
  adopt = fn
end

local function pass_on(co, ok, ...)
  if not ok then
    return false, (...)
  end
  if coroutine.status(co) == "dead" then
    return true, ...
  end
  return pass_on(co, coroutine.resume(co, coroutine.yield(...)))
end

--- pcall below which code may wait, in every Lua: where pcall itself stops a
--- yield, the function runs in a coroutine whose yields are passed on.
---@param fn function
---@return boolean ok
---@return any ... results, or the error
function M.guard(fn, ...)
  if M.yields_across_pcall or not M.running() then
    return pcall(fn, ...)
  end
  local co = coroutine.create(fn)
  outer[co] = M.running()
  adopt(co)
  return pass_on(co, coroutine.resume(co, ...))
end

--- xpcall below which code may wait, in every Lua.
---@param fn function
---@param handler fun(err: any, co: thread|nil): any `co`: the coroutine that broke, where it is not
--- the handler's own
---@return boolean ok
---@return any ... results, or what the handler gives
function M.xguard(fn, handler)
  if M.yields_across_pcall or not M.running() then
    return xpcall(fn, handler)
  end
  local inner
  local result = M.pack(M.guard(function()
    inner = M.running()
    return fn()
  end))
  if not result[1] then
    return false, handler(result[2], inner)
  end
  return M.unpack(result, 1, result.n)
end

--- Whether an uncaught error table is shown by its text (5.1's own interpreter
--- says "error object is not a string").
M.shows_error_tables = (function()
  local lua52 = M.global "bit32" or table.pack or M.global "jit"
  return lua52 ~= nil
end)()

--- Whether `for` takes a fourth, closing value (5.4).
M.closes_for = (function()
  local load_text = loadstring or load
  return load_text("local x <close> = nil; return x") ~= nil
end)()

--- Closes a suspended coroutine where Lua can (5.4), so that its pending
--- to-be-closed variables are closed.
---@param co thread
function M.close_coroutine(co)
  local close = coroutine.close
  if close and coroutine.status(co) == "suspended" then
    close(co)
  end
end

--- An object that calls fn when it is collected or the Lua state ends. fn must
--- not reach the object that holds it.
---@param fn function
---@return any sentinel
function M.finalizer(fn)
  local function run()
    pcall(fn)
  end
  local newproxy = M.global "newproxy"
  if newproxy then
    local proxy = newproxy(true)
    getmetatable(proxy).__gc = run
    return proxy
  end
  return setmetatable({}, { __gc = run })
end

local ERRNO = { [1] = "EPERM", [2] = "ENOENT", [5] = "EIO", [13] = "EACCES", [17] = "EEXIST",
  [18] = "EXDEV", [20] = "ENOTDIR", [21] = "EISDIR", [23] = "ENFILE", [24] = "EMFILE",
  [27] = "EFBIG", [28] = "ENOSPC", [30] = "EROFS" }

--- The name of the number that a failing function of `io` or `os` gives last.
---@param number any
---@return string
function M.errno(number)
  return ERRNO[number] or "EIO"
end

--- Whether a value can be called.
---@param v any
---@return boolean
function M.callable(v)
  if type(v) == "function" then
    return true
  end
  local mt = getmetatable(v)
  return type(mt) == "table" and type(mt.__call) == "function"
end

--- Whether a value is a whole number that fits a double exactly.
---@param v any
---@return boolean
function M.whole(v)
  return type(v) == "number" and v == v and v >= -9007199254740992 and v <= 9007199254740992
    and v % 1 == 0
end

--- A number as text, exact wherever this Lua holds it exactly: whole ones without exponent or
--- fraction, integers of 64 bits with all digits. (An id or a status may come as a number.)
---@param v number
---@return string
function M.number_text(v)
  if M.whole(v) then
    return ("%.0f"):format(v)
  end
  return tostring(v)
end

return M
