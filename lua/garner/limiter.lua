-- Owns: `garner.limiter`, a rate that several clients keep together: those of one Lua
-- state, or with `shared` those of every process of the machine. Must not: count by
-- itself; the core does.

local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local log = require "garner.log"
local methods = require "garner.methods"
local options = require "garner.options"

local M = {}

local hidden = setmetatable({}, { __mode = "k" })

---@class garner.Limiter
---@field rate number requests a second
---@field burst number how many may leave at once
---@field shared? string the file
local Limiter = {}
Limiter.__index = Limiter
Limiter.__name = "garner.Limiter"

local function mode(value)
  if type(value) == "string" and value:find "^0?[67][0-7][0-7]$" then
    return tonumber(value, 8)
  end
  return nil, 'must be the mode of a file that its owner may write, such as "0600" or "0660", got '
    .. options.show(value)
end

local SCHEMA = { rate = options.positive, burst = options.positive, shared = options.text,
  mode = mode }

--- Waits until one more request may leave, for requests that no client of garner sends.
---@param timeout? number|string seconds or text; without it as long as it takes
---@return number|nil waited seconds
---@return garner.Error|nil err kind "timeout", code "rate": it would be too late; nothing is taken
function Limiter:wait(timeout)
  if timeout ~= nil then
    local seconds, why = options.duration(timeout)
    if not seconds then errors.misuse("limiter:wait: the timeout " .. why) end
    timeout = seconds
  end
  local place, host = hidden[self]:place(), driver.current()
  local begun = host.now()
  while true do
    local wait, taken = place:reserve()
    local waited = host.now() - begun
    if timeout and waited + wait > timeout then
      place:release()
      return nil, errors.new { kind = "timeout", code = "rate",
        message = ("the limiter's next place comes in %.3g s, after the timeout"):format(wait) }
    end
    if wait > 0 then host.sleep(wait) end
    if taken and place:use() then
      return host.now() - begun
    end
  end
end

--- Lets nobody who keeps this limiter send for some time, as a server's Retry-After does.
---@param seconds number|string an hour at most where it is shared
function Limiter:pause(seconds)
  local good, why = options.duration(seconds)
  if not good then errors.misuse("limiter:pause: the time " .. why) end
  hidden[self]:pause(good)
end

function Limiter:__tostring()
  return ("garner limiter (%g a second, burst %g%s)"):format(self.rate, self.burst,
    self.shared and ", " .. self.shared or "")
end

methods.guard(Limiter, "limiter")

local function warn_of_others(self)
  local rate, burst = hidden[self]:others()
  if rate ~= self.rate or burst ~= self.burst then
    log.default()("warn", "limiter.settings", { file = self.shared,
      rate = compat.number_text(self.rate), burst = compat.number_text(self.burst),
      others_rate = compat.number_text(rate), others_burst = compat.number_text(burst) })
  end
end

--- Makes a limiter for the option `rate` of clients and vendors: all that are given it keep one
--- rate together, and the pauses that servers ask any of them for (Retry-After, rate headers).
---
--- With `shared` the rate is kept by all processes of the machine that name the same file. The
--- file is made if it is not there (on a local disk; /dev/shm or /run will do), and belongs to one
--- user unless `mode` says otherwise. It needs no care: a killed process loses at most the places
--- it had just taken, no longer than a tenth of a second (or one request's interval), a reboot or
--- a deleted file begins anew. Processes that say different rates each keep their own on the
--- common line (never more together than the highest one) and log "limiter.settings".
---@param opts { rate: number, burst: number|nil, shared: string|nil, mode: string|nil } rate:
--- requests a second; burst: how many may leave at once (1); shared: path; mode: the file's, in
--- octal digits ("0600")
---@return garner.Limiter a file that cannot be used (read-only, full, a link, somebody else's,
--- another kind of file) raises at the caller's line
function M.new(opts)
  opts = options.check(opts, SCHEMA, "garner.limiter")
  if not opts.rate then errors.misuse "garner.limiter: rate is missing: requests a second" end
  if opts.mode and not opts.shared then
    errors.misuse "garner.limiter: mode is that of a file: give shared too"
  end
  local ok, made, raw = pcall(core.limiter_new, opts)
  if not ok then errors.misuse("garner.limiter: " .. tostring(made)) end
  if not made then errors.raise(errors.from_raw(raw)) end
  local self = setmetatable({ rate = opts.rate, burst = math.max(opts.burst or 1, 1),
    shared = opts.shared }, Limiter)
  hidden[self] = made
  if opts.shared then warn_of_others(self) end
  return self
end

--- The core's limiter of one, or nil.
---@param value any
---@return userdata|nil
function M.core(value)
  return hidden[value]
end

return M
