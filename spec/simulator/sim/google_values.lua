-- How Google's usage reports write parameters: int64 as text or as a number, values of other
-- kinds, none at all. Knows nothing of HTTP, nor whose parameters they are.
local clock = require "sim.clock"
local json = require "sim.json"
local seed = require "sim.seed"

local M = {}

-- Half of the ids have int64 as text, as the discovery document says, half as a plain number,
-- as the guide shows; `style` forces one. What a number cannot hold stays text.
local function int_text(parameter, id, day, style)
  local text = parameter.value(id, day)
  local as_text = parameter.wide or style == "string" or (style ~= "number" and id % 2 == 0)
  return as_text and '"' .. text .. '"' or text
end

local function parameter_text(parameter, id, day, style)
  local kind = parameter.kind
  if kind == "none" then return ('{"name":"%s"}'):format(parameter.name) end
  local value
  if kind == "intValue" then
    value = int_text(parameter, id, day, style)
  elseif kind == "stringValue" or kind == "datetimeValue" then
    value = json.quote((parameter.value(id, day)))
  else
    value = parameter.value(id, day)
  end
  return ('{"name":"%s","%s":%s}'):format(parameter.name, kind, value)
end

---One usage report as JSON text.
---@param kind table what is reported on: parameters (list of { name, kind, value, wide })
---@param id integer
---@param day integer day number
---@param wanted table|nil set of parameter names; nil for all
---@param style string|nil "string" or "number": force one spelling of intValue
---@param entity string JSON of the entity
function M.report(kind, id, day, wanted, style, entity)
  local list = {}
  for _, parameter in ipairs(kind.parameters) do
    if not wanted or wanted[parameter.name] then
      list[#list + 1] = parameter_text(parameter, id, day, style)
    end
  end
  return ('{"kind":"admin#reports#usageReport","date":"%s","etag":"\\"%08x\\"","entity":%s,' ..
    '"parameters":[%s]}'):format(clock.format_date(day), seed.number(id, day), entity,
    table.concat(list, ","))
end

---Adds what finds a parameter by its name.
function M.index(kind)
  local by_name = {}
  for _, parameter in ipairs(kind.parameters) do by_name[parameter.name] = parameter end
  function kind.parameter(name) return by_name[name] end
  return kind
end

return M
