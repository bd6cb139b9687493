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
  client = "garner.client",
  blendvision = "garner.blendvision",
  google_reports = "garner.google_reports",
  shoplazza = "garner.shoplazza",
}

--- The versions of garner and of what it runs on.
---@return table<string, string> garner, libcurl, ssl, zlib, nghttp2, lua
function M.versions()
  return core.versions()
end

--- What the engine did so far: in_flight, requests, exchanges, retries, throttled
--- (seconds waited for a rate), bytes_received, bytes_sent. Zeros while there is none.
---@return table<string, number>
function M.stats()
  local engine = require("garner.engine").current()
  if engine then
    return engine:stats()
  end
  return { in_flight = 0, requests = 0, exchanges = 0, retries = 0, throttled = 0,
    bytes_received = 0, bytes_sent = 0 }
end

--- Ends the engine: everything in flight ends as "cancelled". Clients stay usable, the
--- next request starts a new engine.
function M.close()
  require("garner.engine").close()
end

return setmetatable(M, {
  __index = function(t, name)
    local part, value = PARTS[name], nil
    if part then
      value = require(part[1])
      if part[2] then
        value = value[part[2]]
      end
    elseif CONSTRUCTORS[name] then
      value = require(CONSTRUCTORS[name]).new
    end
    rawset(t, name, value)
    return value
  end,
})
