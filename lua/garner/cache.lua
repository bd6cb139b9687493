-- Owns: `garner.cache`: values that several coroutines, workers or processes share for a while,
-- one fetch in flight for each, and what is given where a fetch fails. Must not: know what a
-- value is; pulls put their windows here (garner.pull.cached), users their own values.

local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local json = require "garner.json"
local log = require "garner.log"
local methods = require "garner.methods"
local options = require "garner.options"
local stats = require "garner.stats"
local time = require "garner.time"

local M = {}

local HOUR, DAY = 3600, 86400

-- Errors behind which the last value may stand: the next attempt may succeed.
local PASSING = { transport = true, timeout = true, server = true, throttled = true }

-- What the upstream said is so for all who wait; a caller's own limits and cancels are not.
local PASSED_ON = { transport = true, timeout = true, server = true, throttled = true,
  unauthenticated = true, forbidden = true, not_found = true, invalid = true, protocol = true,
  not_ready = true }

-- Seconds between two looks of one who waits for another's fetch.
local FIRST_PAUSE, FACTOR, LONGEST_PAUSE = 0.005, 1.5, 0.25
-- A clock that is set back makes younger what is kept, by so many seconds at most.
local AHEAD = 5

---@class garner.Cache
local Cache = {}
Cache.__index = Cache
Cache.__name = "garner.Cache"

-- Options ----------------------------------------------------------------------

local METHODS = { "get", "set", "add", "delete" }

local function named_dict(name)
  local ngx = rawget(_G, "ngx")
  if not (ngx and ngx.shared) then
    return nil, "names a dict of nginx, and this is not nginx; leave it out, or give a table with "
      .. "the methods get, set, add and delete"
  elseif not ngx.shared[name] then
    return nil, ('names no dict: add "lua_shared_dict %s 10m;" to the http block'):format(name)
  end
  return ngx.shared[name]
end

local function dict(value)
  if type(value) == "string" then return named_dict(value) end
  if type(value) == "table" or type(value) == "userdata" then
    for _, name in ipairs(METHODS) do
      if not compat.callable(value[name]) then
        return nil, "needs the method " .. name .. " (it needs get, set, add, delete)"
      end
    end
    return value
  end
  return nil, "must be the name of a dict of nginx or a table, got " .. options.show(value)
end

local function none_or(rule)
  return function(value)
    if value == false or value == 0 then return 0 end
    return rule(value)
  end
end

local TTL = { open = options.duration, closed = options.duration }

local function ttl(value)
  if type(value) == "table" then return options.check(value, TTL, "garner.cache: ttl") end
  local seconds, why = options.duration(value)
  return seconds and { open = seconds }, why
end

local SCHEMA = {
  dict = dict, ttl = ttl, stale_if_error = none_or(options.duration),
  settle = none_or(options.duration), align = none_or(options.duration), lock = options.duration,
  wait = options.duration, max_value = options.integer(1),
}

--- Makes a cache: for the option `cache` of clients and vendors, whose pulls keep their windows in
--- it, or for values of one's own (`cache:get`).
---
--- A window that lies wholly before the last `settle` (or the source's lag) and was fetched whole
--- is closed: it is kept for `ttl.closed`. Any other one is kept for `ttl.open`, so that only the
--- open tail is asked for again. Kept are the server's answers as they came. Never kept: windows
--- of jobs, what is not ready, failed, in doubt or partial.
---@param opts table|nil dict: the name of an nginx dict (`lua_shared_dict NAME 10m;`) or a table
--- with get(key), set(key, value, seconds), add(key, value, seconds) -> true or nil, "exists", and
--- delete(key), as ngx.shared has them (default: the memory of this Lua state, 64 MiB);
--- ttl: of what may still change (10 s), or { open = "10s", closed = "1d" }; stale_if_error: for
--- how long after its ttl the last value stands in where a fetch fails (0: never); settle ("5m");
--- align: the grid that windows are cut on ("1h"; false: as the pull would without a cache); lock:
--- after which a fetch that is not heard of any more no longer holds up others ("30s"); wait: how
--- long another's fetch is waited for ("60s"); max_value: bytes (8 MiB)
---@return garner.Cache
function M.new(opts)
  opts = options.check(opts, SCHEMA, "garner.cache")
  local given = opts.ttl or {}
  return setmetatable({
    dict = opts.dict or require("garner.cache.memory").new(),
    ttl = { open = given.open or 10, closed = given.closed or math.max(DAY, given.open or 0) },
    stale_if_error = opts.stale_if_error or 0, settle = opts.settle or 300,
    align = opts.align or HOUR, lock = opts.lock or 30, wait = opts.wait or 60,
    max_value = opts.max_value or 8 * 1024 * 1024, log = log.default(), told = {},
  }, Cache)
end

--- Whether a value is a cache.
---@param value any
---@return boolean
function M.is(value)
  return getmetatable(value) == Cache
end

function Cache:__tostring()
  return ("garner cache (%g s, closed windows %g s%s)"):format(self.ttl.open, self.ttl.closed,
    self.stale_if_error > 0 and (", stale for %g s"):format(self.stale_if_error) or "")
end

-- The dict ---------------------------------------------------------------------

local SILENCE = 60 -- seconds between two complaints of one kind

local function complain(self, event, fields)
  local now = driver.current().now()
  if now >= (self.told[event] or now) then
    self.told[event] = now + SILENCE
    self.log("warn", event, fields)
  end
end

-- A dict that fails is none: what is asked for is fetched.
local function call(self, method, ...)
  local ok, value, why = compat.guard(self.dict[method], self.dict, ...)
  if ok then return value, why end
  if errors.is_interrupt(value) then error(value, 0) end
  complain(self, "cache.failed", { method = method, error = tostring(value) })
  return nil, tostring(value)
end

-- Times are kept as whole milliseconds: a fraction looks different in every locale.
local function ms(seconds)
  return ("%.0f"):format(seconds * 1000)
end

-- The kept value of a key: { text, at, ttl }.
local function load_entry(self, key)
  local value = call(self, "get", key)
  if type(value) ~= "string" then return nil end
  local at, seconds, start = value:match "^garner1 (%d+) (%d+)\n()"
  if not at then return nil end
  at, seconds = tonumber(at) / 1000, tonumber(seconds) / 1000
  if at > time.now() + AHEAD then return nil end
  return { text = value:sub(start), at = at, ttl = seconds }
end

local function store(self, key, text, seconds, stale)
  local why
  if #text > self.max_value then
    why = ("%d bytes are more than max_value"):format(#text)
  else
    local ok
    ok, why = call(self, "set", key, "garner1 " .. ms(time.now()) .. " " .. ms(seconds) .. "\n"
      .. text, seconds + stale)
    if ok then
      call(self, "delete", key .. ":note") -- what failed before is over
      return true
    end
  end
  complain(self, "cache.not_kept", { bytes = #text, error = tostring(why) })
  return false
end

-- One in flight ------------------------------------------------------------------

local owners = 0

local function new_owner()
  owners = owners + 1
  return ("%d %d %.0f"):format(core.pid(), owners, core.random() * 2 ^ 48)
end

-- Gives the lock back, unless it has expired and is somebody else's by now.
local function unlock(self, key, owner)
  if call(self, "get", key .. ":lock") == owner then call(self, "delete", key .. ":lock") end
end

-- The lock of a key, nil where another has it; false where the dict has no room for it.
local function try_lock(self, key)
  local owner = new_owner()
  local ok, why = call(self, "add", key .. ":lock", owner, self.lock)
  if not ok then
    if why == "exists" then return nil end
    return false
  end
  local held, released = {}, false
  function held.renew()
    if call(self, "get", key .. ":lock") == owner then
      call(self, "set", key .. ":lock", owner, self.lock)
    end
  end
  function held.release()
    if released then return end
    released = true
    unlock(self, key, owner)
  end
  -- One whose coroutine is dropped in the middle lets go when it is collected.
  held.guard = compat.finalizer(held.release)
  return held
end

-- Notes: how the last fetch ended, for those who waited for it. -------------------

local NOTED = { "kind", "code", "message", "status", "rpc_code", "reason", "retryable",
  "retry_after", "latest", "request_id" }

local function note(self, key, fields, seconds)
  fields.at = time.now()
  local text = json.try_encode(fields)
  if text then call(self, "set", key .. ":note", text, math.max(2, seconds)) end
end

local function note_error(self, key, err)
  if type(err) == "string" then return note(self, key, { text = err }, self.ttl.open) end
  if not (errors.is(err) and PASSED_ON[err.kind]) then return end
  local fields = {}
  for _, name in ipairs(NOTED) do fields[name] = err[name] end
  note(self, key, { err = fields }, math.max(self.ttl.open, math.min(err.retry_after or 0, 60)))
end

local function read_note(self, key)
  local text = call(self, "get", key .. ":note")
  local fields = type(text) == "string" and json.decode(text)
  return type(fields) == "table" and type(fields.at) == "number" and fields or nil
end

-- The error of a note, if it is of one: garner's, or a function's own text.
local function noted_error(fields)
  local said = fields and fields.err
  if type(said) ~= "table" or errors.kinds[said.kind] == nil then return fields and fields.text end
  local err = errors.new(said)
  err.message = err.message .. " (one request for all who waited)"
  return err
end

-- Getting ------------------------------------------------------------------------

---@class garner.cache.rules
---@field ttl number seconds
---@field stale number seconds after that
---@field read fun(text: string, at: number, stale: boolean): any nil: it is of no use
---@field fetch fun(renew: function): any, garner.Error|nil, string|nil, number|nil,
---       garner.Error|nil the value, or nil and why; the text to keep (nil: nothing is kept), its
---       ttl; what those who wait for it get where nothing is kept (nil: they fetch by themselves)

-- A kept value, while it is fresh.
local function fresh(self, key, rules)
  local entry = load_entry(self, key)
  local now = time.now()
  if not entry or now >= entry.at + math.min(entry.ttl, rules.ttl) then return nil end
  local value = rules.read(entry.text, entry.at, false)
  if value == nil then return nil end
  return value, nil, { age = math.max(0, now - entry.at) }
end

local function is_passing(err)
  return errors.is(err) and PASSING[err.kind] or err ~= nil and not errors.is(err)
end

-- The last value where a fetch has failed; else its error.
local function stale_or(self, key, rules, err)
  if rules.stale > 0 and is_passing(err) then
    local entry, now = load_entry(self, key), time.now()
    if entry and now < entry.at + math.min(entry.ttl, rules.ttl) + rules.stale then
      local value = rules.read(entry.text, entry.at, true)
      if value ~= nil then
        stats.count("cache", "stale")
        return value, nil, { age = math.max(0, now - entry.at), stale = true, cause = err }
      end
    end
  end
  return nil, err
end

-- Fetches, keeps what came, and tells those who wait.
local function fetch(self, key, rules, held)
  stats.count("cache", "miss")
  local ok, value, err, text, seconds, verdict = compat.guard(rules.fetch, held and held.renew
    or function() end)
  if not ok then
    if held then held.release() end
    error(value, 0)
  end
  if err == nil then err = verdict end
  if err ~= nil and not text then
    note_error(self, key, err)
  elseif not (text and store(self, key, text, seconds or rules.ttl, rules.stale)) then
    note(self, key, { alone = true }, self.ttl.open)
  end
  if held then held.release() end
  if value == nil and err ~= nil then return stale_or(self, key, rules, err) end
  return value, nil, {}
end

-- Having the lock: somebody may have fetched it, or failed, just before.
local function fetch_locked(self, key, rules, held)
  local value, _, about = fresh(self, key, rules)
  if value == nil and rules.stale > 0 then
    local err = noted_error(read_note(self, key))
    if err then
      value, _, about = stale_or(self, key, rules, err)
    end
  elseif value ~= nil then
    stats.count("cache", "hit")
  end
  if value == nil then return fetch(self, key, rules, held) end
  held.release()
  return value, nil, about
end

local function too_long(self)
  return errors.new { kind = "timeout", code = "cache",
    message = ("another's fetch of the same took longer than %g s"):format(self.wait) }
end

-- Another one fetches: waits for what comes of it. True: try for the lock.
local function wait_for_other(self, key, rules, waiter)
  waiter.pause = math.min((waiter.pause or FIRST_PAUSE / FACTOR) * FACTOR, LONGEST_PAUSE)
  driver.current().sleep(waiter.pause)
  local last = read_note(self, key)
  if last and last.at < waiter.begun then last = nil end
  local err = noted_error(last)
  if err then
    return false, stale_or(self, key, rules, err)
  elseif last and last.alone then
    return false, fetch(self, key, rules, nil)
  elseif driver.current().now() >= waiter.deadline then
    return false, stale_or(self, key, rules, too_long(self))
  end
  return true
end

-- The name of a key in the dict; nil where there is no memory to make one: keys may hold secrets,
-- so none goes there as it is.
local function hashed(key)
  local sum = core.sha256(key)
  return sum and "garner:" .. sum
end

-- A fetch that the dict hears nothing of.
local function past(rules)
  stats.count("cache", "miss")
  local value, err = rules.fetch(function() end)
  if value == nil and err ~= nil then return nil, err end
  return value, nil, {}
end

--- The value of a key: the one that is kept, another's, or a new one.
---@param key string any text; secrets are fine, it is hashed
---@param rules garner.cache.rules
---@return any|nil value
---@return garner.Error|nil err
---@return { age: number|nil, stale: boolean|nil, cause: garner.Error|nil }|nil about age: seconds
--- since it was fetched, nil for a new one
function Cache:through(key, rules)
  key = hashed(key)
  if not key then return past(rules) end
  local waiter
  while true do
    local value, _, about = fresh(self, key, rules)
    if value ~= nil then
      stats.count("cache", "hit")
      return value, nil, about
    end
    local held = try_lock(self, key)
    if held then return fetch_locked(self, key, rules, held) end
    if held == false then return fetch(self, key, rules, nil) end
    waiter = waiter or { begun = time.now(), deadline = driver.current().now() + self.wait }
    local again, err
    again, value, err, about = wait_for_other(self, key, rules, waiter)
    if not again then return value, err, about end
  end
end

local GET = { ttl = options.duration, stale_if_error = none_or(options.duration) }

-- Text as it is, anything else as JSON.
local function encoded(value)
  if type(value) == "string" then return "t" .. value end
  local text, why = json.try_encode(value)
  if not text then errors.misuse("cache:get: what the function gave cannot be kept: " .. why) end
  return "j" .. text
end

local function decoded(text)
  if text:sub(1, 1) == "t" then return text:sub(2) end
  if text:sub(1, 1) ~= "j" then return nil end
  return (json.decode(text:sub(2)))
end

--- A value of one's own: the kept one while it is fresh, else what the function gives. Of all who
--- ask for one key at the same time, one calls its function, the others wait for that value, or
--- its error if that is a text or garner's and says how the server is (what is raised, cancelled or
--- a limit of the caller's own is not theirs: the next one calls its function). A coroutine that is
--- dropped in the middle, such as a request of nginx that its client aborts, holds the others up
--- for the cache's `lock` at most.
---@param key string
---@param fn fun(): any, any gives the value (text, or what garner.json can encode), or nil and an
--- error; nil alone is not kept; it may wait
---@param opts { ttl: number|string|nil, stale_if_error: number|string|nil }|nil the cache's own,
--- if left out
---@return any|nil value
---@return any err the function's own
---@return table|nil about { age, stale, cause } where the value was kept; with stale it stands in
--- for `cause`
function Cache:get(key, fn, opts)
  if type(key) ~= "string" then errors.misuse("cache:get: the key must be a text") end
  if not compat.callable(fn) then errors.misuse("cache:get: a function must give the value") end
  opts = options.check(opts, GET, "cache:get")
  local rules = { ttl = opts.ttl or self.ttl.open,
    stale = opts.stale_if_error or self.stale_if_error, read = decoded }
  function rules.fetch()
    local value, err = fn()
    if value == nil then return nil, err end
    return value, nil, encoded(value)
  end
  return self:through("value\0" .. key, rules)
end

--- Forgets a value of one's own.
---@param key string
function Cache:delete(key)
  if type(key) ~= "string" then errors.misuse("cache:delete: the key must be a text") end
  key = hashed("value\0" .. key)
  if key then call(self, "delete", key) end
end

methods.guard(Cache, "cache", M.is)

return M
