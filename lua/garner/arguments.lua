-- Owns the rules for what callers pass to vendor verbs beyond the plain types
-- of garner.options: ids, lists of texts, waiting times. A rule takes a value
-- and gives the value to use, or nil and what it must be. It must not raise
-- and must not know any vendor.

local options = require "garner.options"

local M = {}

---An id: what goes into one segment of a path or into a body, as text.
---"." and ".." would change the path, whatever they are escaped to.
---@param value any text, or a whole number
---@return string|nil
---@return string|nil message
function M.id(value)
  if type(value) == "number" and value == math.floor(value) and math.abs(value) < 2 ^ 53 then
    value = ("%.0f"):format(value)
  end
  if type(value) ~= "string" then return nil, "must be text, got " .. options.show(value) end
  if value == "" then return nil, "must not be empty" end
  if value == "." or value == ".." then
    return nil, ("must not be %q, which would change the path"):format(value)
  end
  if value:find("\0", 1, true) then return nil, "must not contain a NUL" end
  return value
end

---A list of texts, or one text with commas between them.
---@param value any
---@return string[]|nil
---@return string|nil message
function M.texts(value)
  local out = {}
  if type(value) == "string" then
    for part in (value .. ","):gmatch "([^,]*)," do
      part = part:match "^%s*(.-)%s*$"
      if part == "" then return nil, "has an empty entry" end
      out[#out + 1] = part
    end
    return out
  end
  if type(value) ~= "table" then
    return nil, "must be a text or a list of texts, got " .. options.show(value)
  end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  for index, part in ipairs(value) do
    if type(part) ~= "string" or part == "" then
      return nil, ("must hold texts, entry %d is %s"):format(index, options.show(part))
    end
    out[index] = part
  end
  if count ~= #out then return nil, "must be a plain list of texts" end
  return out
end

---A duration that may be zero: seconds, or text such as "2d".
---@param value any
---@return number|nil seconds
---@return string|nil message
function M.lag(value)
  if value == 0 then return 0 end
  return options.duration(value)
end

return M
