-- Owns: what a script under cron needs: `check`, and `main` with its exit codes.
-- Must not: end the process anywhere but in `main`.

local compat = require "garner.compat"
local driver = require "garner.driver"
local engine = require "garner.engine"
local errors = require "garner.errors"

local M = {}

--- Exit codes of `main`.
M.EXIT = { ok = 0, failed = 1, usage = 2, holes = 3, try_later = 75, interrupted = 130 }

-- Kinds that another try, later, may cure by itself: always, or where the error says so (a
-- bad certificate is a `transport` error that stays, a locked file is not).
local LATER = { not_ready = "always", throttled = "always", timeout = "always",
  transport = "retryable", server = "retryable",
  file = "retryable" }

--- Gives its arguments back, or raises the error: for scripts that rather stop.
---@param value any
---@param err any
---@return any ... value and what follows
function M.check(value, err, ...)
  if value ~= nil and value ~= false then
    return value, err, ...
  end
  if err == nil then
    errors.misuse("garner.check: got " .. tostring(value) .. " and no error with it")
  elseif type(err) == "string" then
    error(errors.where() .. err, 0)
  end
  errors.raise(err)
end

-- "usage: ..." out of a raised text, with or without the line that raised it.
local function usage(err)
  return type(err) == "string"
    and (err:match("^[Uu]sage:.*") or err:match("^%S+:%d+: ([Uu]sage:.*)"))
end

--- The exit code for an error.
---@param err any
---@return integer
function M.exit_code(err)
  if errors.is(err) then
    if err.kind == "hole" then
      return M.EXIT.holes
    elseif LATER[err.kind] == "always" or (LATER[err.kind] and err.retryable) then
      return M.EXIT.try_later
    end
    return M.EXIT.failed
  elseif type(err) == "string" then
    if errors.is_interrupt(err) then
      return M.EXIT.interrupted
    elseif errors.is_misuse(err) or usage(err) then
      return M.EXIT.usage
    end
  end
  return M.EXIT.failed
end

local function handler(err, co)
  if errors.is(err) or errors.is_misuse(err) or type(err) ~= "string"
    or errors.is_interrupt(err) or usage(err) then
    return { err = err }
  end
  return { err = err, traceback = co and debug.traceback(co, err) or debug.traceback(err, 2) }
end

local function say(out, failure, code)
  local err = failure.err
  if code == M.EXIT.interrupted then
    out:write("interrupted\n")
  elseif usage(err) then
    out:write(usage(err), "\n")
  else
    out:write("error: ", failure.traceback or tostring(err), "\n")
  end
  for _, window in ipairs(errors.is(err, "hole") and type(err.windows) == "table" and err.windows
    or {}) do
    out:write("  ", type(window) == "table" and string.format("%s to %s: %s",
      tostring(window.from), tostring(window.to), tostring(window.state or window.reason))
      or tostring(window), "\n")
  end
end

-- What goes on at a server although the script does not: how to go on with it.
local function tell_running(out)
  local jobs = package.loaded["garner.job"]
  local list = jobs and jobs.running() or {}
  local texts = {}
  for _, each in ipairs(list) do
    local ok, text = pcall(each.checkpoint, each)
    if ok then texts[#texts + 1] = text end
  end
  if not texts[1] then return end
  out:write(("%d job%s still running at the server; client:resume(text) goes on with:\n"):format(
    #texts, #texts == 1 and " is" or "s are"))
  for _, text in ipairs(texts) do out:write(text, "\n") end
end

local function outcome(ok, first, second)
  if not ok then
    return first
  elseif (first == nil or first == false) and second ~= nil then
    return { err = second }
  elseif first == false then
    return { err = "failed" }
  elseif compat.whole(first) and first >= 0 and first <= 255 then
    return nil, first
  end
  return nil, M.EXIT.ok
end

-- Runs the script: as a coroutine of the host's loop, where it has one and this is none yet.
local function perform(body)
  local host = driver.host()
  if not host.run or host.yieldable() then
    return compat.xguard(body, handler)
  end
  local result = compat.pack(xpcall(function()
    return host.run(function()
      return compat.xguard(body, handler)
    end)
  end, handler))
  return compat.unpack(result, result[1] and 2 or 1, result.n)
end

-- stderr, or the log of a host that has its own.
local function standard_error()
  local log = driver.log()
  if not log then
    return io.stderr
  end
  return { write = function(_, ...)
    log("error", (table.concat({ ... }):gsub("\n$", "")))
  end }
end

--- Runs a script, in a host with a loop as a coroutine of it: prints errors readably to stderr,
--- closes everything and ends the process (in nginx it logs, and does neither): 0 ok, 1 failed,
--- 2 usage (wrong arguments, or an error that starts with "usage:"), 3 holes, 75 try later,
--- 130 interrupted: then the checkpoints of jobs that are still running at a server are printed
--- too, one a line.
---@param fn fun(...): any may return nil, err like any garner function, or an exit code
---@param opts table|nil `args` (list for fn, default the script's own), `exit` (function(code)),
--- `stderr` (file): for tests
---@return integer code where `exit` came back, and in nginx
function M.main(fn, opts)
  opts = require("garner.options").check(opts, {
    args = require("garner.options").table, exit = require("garner.options").callable,
    stderr = require("garner.options").any,
  }, "garner.main")
  if not compat.callable(fn) then
    errors.misuse("garner.main: give a function")
  end
  local args = opts.args or rawget(_G, "arg") or {}
  local server = driver.host().server
  local quiet = errors.quiet_raise
  errors.quiet_raise = quiet or not server -- main itself prints what reaches it
  require("garner.job").hold(not server)
  local failure, code = outcome(perform(function()
    return fn(compat.unpack(args, 1, #args))
  end))
  errors.quiet_raise = quiet -- in a server nobody has changed it
  if failure then
    code = M.exit_code(failure.err)
    local out = opts.stderr or standard_error()
    say(out, failure, code)
    if code == M.EXIT.interrupted then tell_running(out) end
  end
  require("garner.job").hold(false)
  local exit = opts.exit
  if not server then
    engine.close()
    io.stdout:flush()
    exit = exit or function(n)
      os.exit(n, true)
    end
  end
  if exit then
    exit(code)
  end
  return code
end

return M
