-- Owns how values of Google's answers are read: exact int64, parameters with
-- their kinds. It must not send anything.

local json = require "garner.json"

local M = {}

---nil instead of null.
function M.present(value)
  if value ~= json.null then return value end
end

---The table that a value is, or an empty one.
function M.object(value)
  return type(value) == "table" and value ~= json.null and value or {}
end

---An int64 is JSON text by the discovery document and a number in the guides'
---examples: both come out exact, as text beyond what this Lua holds exactly.
---@param value any
---@return any
function M.integer(value)
  if type(value) == "string" and value:find "^%-?%d+$" then
    local number = json.decode((value:gsub("^(%-?)0+(%d)", "%1%2")))
    if number ~= nil then return number end
  end
  return value
end

---The value and kind of one parameter. What has no value is garner.json.null
---with the kind "none"; a value field that is not known has its own name as
---its kind.
---@param parameter table
---@param kinds table[] { field, kind, read }
---@return any value
---@return string kind
function M.read(parameter, kinds)
  for _, each in ipairs(kinds) do
    local value = M.present(parameter[each.field])
    if value ~= nil then
      if each.read then value = each.read(value) end
      return value, each.kind
    end
  end
  local others = {}
  for name, value in pairs(parameter) do
    if name ~= "name" and value ~= json.null then others[#others + 1] = name end
  end
  table.sort(others)
  if others[1] then return parameter[others[1]], others[1] end
  return json.null, "none"
end

---A list of parameters as maps of values and kinds by name, and the names in
---order; of two with one name the last counts.
---@param list any
---@param kinds table[]
---@return table values
---@return table kinds_by_name
---@return string[] names
function M.parameters(list, kinds)
  local values, found, order = {}, {}, {}
  for _, parameter in ipairs(M.object(list)) do
    local name = type(parameter) == "table" and M.present(parameter.name)
    if name then
      if found[name] == nil then order[#order + 1] = name end
      values[name], found[name] = M.read(parameter, kinds)
    end
  end
  return values, found, order
end

return M
