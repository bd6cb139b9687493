-- Owns how many requests a pull may make and has made: one total for the pull,
-- one part for each of its windows. It must not send or wait.

local errors = require "garner.errors"

local M = {}

---@class garner.pull.budget
---@field spent number requests of this window so far
local Part = {}
Part.__index = Part

---Called before each request, or each page, of a window. A request that the
---core sends again is still one.
---@param count? number 1
---@return true|nil
---@return garner.Error|nil kind "truncated", code "requests": the request must not be made
function Part:spend(count)
  local total = self.total
  count = count or 1
  if total.limit and total.spent + count > total.limit then
    total.exhausted = true
    return nil, errors.new { kind = "truncated", code = "requests",
      message = ("%s needs more than max_requests = %d requests"):format(total.name, total.limit) }
  end
  total.spent, self.spent = total.spent + count, self.spent + count
  return true
end

---Is there a limit? Then nothing is to be asked for before it is wanted.
---@return boolean
function Part:limited()
  return self.total.limit ~= nil
end

---@class garner.pull.total
---@field spent number requests of all windows
---@field limit? number
---@field exhausted boolean a request was refused
local Total = {}
Total.__index = Total

---What one window spends from.
---@return garner.pull.budget
function Total:part()
  return setmetatable({ total = self, spent = 0 }, Part)
end

---@param name string what is pulled, for texts
---@param limit? number requests; none: they are only counted
---@return garner.pull.total
function M.new(name, limit)
  return setmetatable({ name = name, limit = limit, spent = 0, exhausted = false }, Total)
end

return M
