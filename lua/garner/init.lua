-- Owns: the public table `garner`. Parts are loaded when first used, so a script that
-- only needs `garner.csv` pays for nothing else. Must not: do anything itself.

local core = require "garner.core"

---@class garner
---@field _VERSION string
---@field auth table bearer, header, basic, service_account, refresh_token, login
---@field json table decode, encode, null, array
---@field time table
---@field window table
---@field decimal table
---@field csv table
---@field jsonl table
---@field rows fun(source: string|table): garner.FileRows
---@field errors table
---@field record fun(path: string): garner.Recording a client's `record`: all traffic goes to a file
---@field replay fun(path: string): garner.Replay a client's `replay`: that file answers
---@field wait fun(fn: function, opts: table|nil): any, any
local M = { _VERSION = "garner " .. core.VERSION }

-- Name -> module that is the value, or module and its field.
local PARTS = {
  auth = { "garner.auth" },
  json = { "garner.json" },
  time = { "garner.time" },
  window = { "garner.window" },
  decimal = { "garner.decimal" },
  csv = { "garner.csv" },
  jsonl = { "garner.jsonl" },
  rows = { "garner.file_rows", "rows" },
  errors = { "garner.errors" },
  wait = { "garner.wait" },
  all = { "garner.tasks", "all" },
  prometheus = { "garner.prometheus", "text" },
  record = { "garner.recording", "record" },
  replay = { "garner.replay", "replay" },
  jobs = { "garner.job", "together" },
  check = { "garner.script", "check" },
  main = { "garner.script", "main" },
  use = { "garner.driver", "use" },
  engine = { "garner.engine", "configure" },
}

-- Name -> module whose `new` makes one.
local CONSTRUCTORS = {
  api = "garner.api",
  cache = "garner.cache",
  client = "garner.client",
  limiter = "garner.limiter",
  blendvision = "garner.blendvision",
  google_reports = "garner.google_reports",
  shoplazza = "garner.shoplazza",
}

--- The versions of garner and of what it runs on.
---@return table<string, string> garner, libcurl, ssl, zlib, nghttp2, lua
function M.versions()
  return core.versions()
end

---@class garner.Durations
---@field sum number seconds, of all of them
---@field [integer] number[] { upper bound in seconds, how many took no longer }; the last bound
--- is infinite, so its number counts all

---@class garner.Stats
---@field in_flight integer requests that have not ended
---@field waiting table<string, integer> how many of them wait now: rate, retry, token
---@field exchanges integer requests, whatever became of them
---@field requests integer attempts: what was sent, retries and redirects included
---@field responses table<string, integer> what the attempts brought: "1xx" to "5xx", none
---@field retries integer attempts after the first, redirects not counted
---@field retried table<string, integer> the same by what decided the wait: backoff, throttled,
--- retry_after, retry_info
---@field throttled number seconds waited for a rate
---@field errors table<string, integer> requests, walks and polls that failed, by the error's kind
---@field connections table<string, integer> opened, reused; open (now)
---@field pages integer good pages of walks
---@field polls integer requests that looked after jobs
---@field downloads integer files that are whole
---@field cache table<string, integer> hit, miss, stale
---@field bytes_received integer of bodies, unpacked
---@field bytes_sent integer of bodies
---@field engines integer how many engines were started
---@field durations table<string, garner.Durations> exchange: from start to end, waits included;
--- request: one attempt

--- What this Lua state did so far, in all its clients. Counters only grow, `garner.close` and new
--- engines included; in_flight, waiting and connections.open are of now. A child of fork begins
--- with zeros.
---@return garner.Stats
function M.stats()
  return require("garner.stats").read()
end

--- Ends the engine: everything in flight ends as "cancelled". Clients stay usable, the
--- next request starts a new engine.
function M.close()
  require("garner.engine").close()
end

local function load(name)
  return require("garner.compat").load(name)
end

return setmetatable(M, {
  __index = function(t, name)
    local part, value = PARTS[name], nil
    if part then
      value = load(part[1])
      if part[2] then
        value = value[part[2]]
      end
    elseif CONSTRUCTORS[name] then
      value = load(CONSTRUCTORS[name]).new
    end
    rawset(t, name, value)
    return value
  end,
})
