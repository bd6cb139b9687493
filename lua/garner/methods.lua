-- Owns: that a method called with a dot, object.verb(...), says so, where it would fail
-- at something that its caller never wrote. Must not: know what any method does.

local errors = require "garner.errors"

local M = {}

--- Raises because a method was called on something else than its object.
---@param what string an object of the class, for messages: "pull"
---@param name string the method
function M.refuse(what, name)
  errors.misuse(("%s: call it with a colon: %s:%s(...)"):format(name, what, name))
end

--- Makes every method of a class refuse to run on anything else than its objects. Call it
--- after the last one is defined.
---@param class table
---@param what string an object of it, for messages: "pull"
---@param is_object? fun(value: any): boolean is it one? (its metatable is `class` if left out)
---@return table class
function M.guard(class, what, is_object)
  is_object = is_object or function(value) return getmetatable(value) == class end
  for name, fn in pairs(class) do
    if type(fn) == "function" and not name:find "^__" then
      class[name] = function(self, ...)
        if not is_object(self) then
          M.refuse(what, name)
        end
        return fn(self, ...)
      end
    end
  end
  return class
end

return M
