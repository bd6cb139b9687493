-- Owns: what iterators over rows have in common: called in a loop they raise what a plain end
-- would hide; `each` and `collect` give it back instead.
-- Must not: know where the rows come from.

local errors = require "garner.errors"

local M = {}

--- Makes a metatable of iterators.
---@param step fun(self): any, any the next row and its line; nil at the end; nil and an error
---@param close fun(self) lets go of what it holds; may be called again
---@return table class
function M.class(step, close)
  local class = { step = step, close = close, __close = close }
  class.__index = class
  function class.__call(self)
    local row, at = step(self)
    -- Nil would end the caller's loop as if all were well.
    if row == nil and at then errors.raise(at) end
    return row, at
  end
  return class
end

--- Calls `fn(row, line)` for every row; the iterator is closed at the end.
---@param rows table an iterator
---@param fn function
---@param what string names the verb in messages
---@return integer|nil count
---@return garner.Error|nil
function M.each(rows, fn, what)
  if type(fn) ~= "function" then
    rows:close()
    errors.misuse(what .. ": expected a function, got " .. type(fn))
  end
  local count, err = 0, nil
  local function following()
    local row, at = rows:step()
    if row == nil then err = at end
    return row, at
  end
  for row, line in following, nil, nil, rows do
    fn(row, line)
    count = count + 1
  end
  if err then return nil, err end
  return count
end

--- All rows as a list.
---@param rows table an iterator
---@return table[]|nil list
---@return garner.Error|nil
---@return table[]|nil partial the rows before the error
function M.collect(rows)
  local list = {}
  while true do
    local row, err = rows:step()
    if row == nil then
      if err then return nil, err, list end
      return list
    end
    list[#list + 1] = row
  end
end

return M
