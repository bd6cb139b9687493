-- Owns: a dict in the memory of this Lua state, with the part of ngx.shared's interface that
-- garner.cache needs: values expire, and the whole stays below a limit. Must not: know what
-- is in it.

local time = require "garner.time"

local M = {}

local LIMIT = 64 * 1024 * 1024 -- bytes of keys and values
local ROUND = 32 -- entries between two sweeps of those that have expired, at least

local Memory = {}
Memory.__index = Memory

local function drop(self, key)
  local item = self.items[key]
  if item then
    self.items[key], self.count = nil, self.count - 1
    self.bytes = self.bytes - item.size
  end
end

-- What lives no longer, and of the others those that would end first, until there is room.
local function make_room(self, wanted, now)
  local list = {}
  for key, item in pairs(self.items) do
    list[#list + 1] = { key = key, ends = item.ends or math.huge }
  end
  table.sort(list, function(a, b) return a.ends < b.ends end)
  for _, each in ipairs(list) do
    if each.ends > now and self.bytes + wanted <= self.limit then break end
    drop(self, each.key)
  end
end

--- The value of a key, nil where there is none (any more).
function Memory:get(key)
  local item = self.items[key]
  if item and item.ends and item.ends <= time.now() then
    drop(self, key)
    item = nil
  end
  return item and item.value
end

--- Keeps a value for some seconds (without them for good).
function Memory:set(key, value, ttl)
  local size, now = #key + (type(value) == "string" and #value or 8), time.now()
  drop(self, key)
  if size > self.limit then return nil, "no memory" end
  if self.bytes + size > self.limit or self.count >= self.sweep then
    make_room(self, size, now)
    self.sweep = 2 * self.count + ROUND
  end
  self.items[key] = { value = value, size = size, ends = ttl and now + ttl or nil }
  self.bytes, self.count = self.bytes + size, self.count + 1
  return true
end

--- The same, if there is none.
function Memory:add(key, value, ttl)
  if self:get(key) ~= nil then return false, "exists" end
  return self:set(key, value, ttl)
end

function Memory:delete(key)
  drop(self, key)
end

---@param limit integer|nil bytes (64 MiB)
---@return table dict
function M.new(limit)
  return setmetatable({ items = {}, bytes = 0, count = 0, sweep = ROUND, limit = limit or LIMIT },
    Memory)
end

return M
