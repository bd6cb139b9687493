-- Owns: the counters of this Lua state: the core's, in which one engine after the other goes
-- on counting, and those of what happens in Lua. Must not: hold a text of a request, or know
-- what somebody makes of the numbers.

local core = require "garner.core"

local M = {}

local counters -- the core's
local own -- counted in Lua: group -> name -> number

--- Every group and name that `count` knows.
M.OWN = { cache = { "hit", "miss", "stale" } }

local function fresh()
  local zeros = {}
  for group, names in pairs(M.OWN) do
    zeros[group] = {}
    for _, name in ipairs(names) do
      zeros[group][name] = 0
    end
  end
  counters, own = core.counters_new(), zeros
end

--- The core's counters, for an engine to count in. A child of fork begins anew.
---@return userdata
function M.counters()
  if not counters or counters:is_foreign() then
    fresh()
  end
  return counters
end

--- Counts something that only Lua knows of.
---@param group string of OWN
---@param name string of that group
function M.count(group, name)
  M.counters()
  own[group][name] = own[group][name] + 1
end

--- What this Lua state's engines did so far; see `garner.stats`.
---@return table
function M.read()
  local stats = M.counters():read()
  for group, names in pairs(own) do
    stats[group] = {}
    for name, number in pairs(names) do
      stats[group][name] = number
    end
  end
  return stats
end

return M
