-- Owns the two spellings of an API's enum values: the friendly one that
-- scripts write ("watch_time") and the API's own
-- ("REPORT_DIMENSION_WATCH_TIME"). A wrong value from a caller is refused
-- with the list of right ones; an unknown value from a server is kept
-- verbatim. It must not know any vendor.

local M = {}

---@class garner.enums
---@field what string what a value of this set is called in messages
---@field names string[] the friendly names, in the documented order
local Enum = {}
Enum.__index = Enum

---A set of enum values.
---@param what string what one value is called ("dimension")
---@param prefix string what the API puts before the upper-case name ("" for APIs without)
---@param names string[] friendly names
---@return garner.enums
function M.new(what, prefix, names)
  local self = setmetatable({ what = what, names = names, to_api = {}, to_friendly = {} }, Enum)
  for _, name in ipairs(names) do
    local api = prefix == "" and name or prefix .. name:upper()
    self.to_api[name] = api
    self.to_api[api] = api
    self.to_friendly[api] = name
  end
  return self
end

---The API's spelling of a value that a caller gave.
---@param value any friendly name or the API's own
---@return string|nil api
---@return string|nil message lists the right values
function Enum:api(value)
  local api = type(value) == "string" and self.to_api[value]
  if api then return api end
  local shown = type(value) == "string" and string.format("%q", value) or tostring(value)
  return nil, ("unknown %s %s; use one of: %s"):format(self.what, shown,
    table.concat(self.names, ", "))
end

---The friendly spelling of a value that a server sent; verbatim if unknown.
---@param value any
---@return any
function Enum:friendly(value)
  return self.to_friendly[value] or value
end

---The API's spellings of one value or a list of them, in the order given and
---each once.
---@param values any text, list of texts, or nil (an empty list)
---@return string[]|nil
---@return string|nil message
function Enum:list(values)
  if values == nil then return {} end
  if type(values) == "string" then values = { values } end
  if type(values) ~= "table" then
    return nil, ("%s must be text or a list of texts, not %s"):format(self.what, type(values))
  end
  local out, seen = {}, {}
  for _, value in ipairs(values) do
    local api, message = self:api(value)
    if not api then return nil, message end
    if not seen[api] then
      seen[api] = true
      out[#out + 1] = api
    end
  end
  for key in pairs(values) do
    if type(key) ~= "number" or key < 1 or key > #values then
      return nil, ("%s: a list of texts has no key %s"):format(self.what, tostring(key))
    end
  end
  return out
end

return M
