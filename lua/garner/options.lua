-- Owns: checking a table of options against a schema, in one place, so that every
-- wrong option raises at the caller's line and names the right ones.
-- Must not: put the value of a secret into a message, or know any API.

local compat = require "garner.compat"
local errors = require "garner.errors"

local M = {}

local function show(value)
  if type(value) == "string" then
    return '"' .. value:gsub("%c", "?"):sub(1, 40) .. '"'
  end
  if type(value) == "number" or type(value) == "boolean" or value == nil then
    return tostring(value)
  end
  return "a " .. type(value)
end

-- A rule takes a value and gives the value to use, or nil and what it must be.

--- Any value.
function M.any(value)
  return value
end

--- A text that is not empty.
function M.text(value)
  if type(value) == "string" and value ~= "" then
    return value
  end
  return nil, "must be a text that is not empty, got " .. show(value)
end

--- true or false.
function M.boolean(value)
  if type(value) == "boolean" then
    return value
  end
  return nil, "must be true or false, got " .. show(value)
end

--- A table.
function M.table(value)
  if type(value) == "table" then
    return value
  end
  return nil, "must be a table, got " .. show(value)
end

--- A function, or a table that can be called.
function M.callable(value)
  if compat.callable(value) then
    return value
  end
  return nil, "must be a function, got " .. show(value)
end

--- A duration above zero: seconds as a number, or text with a unit ("90s", "15m").
---@return number|nil seconds
function M.duration(value)
  local say = 'must be a duration above zero, such as 90, "90s" or "15m", got '
  if type(value) == "string" and not value:find("%a") then
    return nil, say .. show(value) .. " (a text needs a unit)"
  end
  local seconds
  if type(value) == "number" then
    seconds = value
  elseif type(value) == "string" then
    seconds = require("garner.time").duration(value)
  end
  if not seconds or seconds ~= seconds or seconds <= 0 or seconds == math.huge then
    return nil, say .. show(value)
  end
  return seconds
end

--- A finite number above zero.
function M.positive(value)
  if type(value) == "number" and value > 0 and value < math.huge then
    return value
  end
  return nil, "must be a number above zero, got " .. show(value)
end

--- What a wait is multiplied by for the next one: at least 1.
function M.factor(value)
  if type(value) == "number" and value >= 1 and value < math.huge then
    return value
  end
  return nil, "must be a number of at least 1, got " .. show(value)
end

--- A whole number from min to max (max may be left out).
---@param min integer
---@param max integer|nil
function M.integer(min, max)
  return function(value)
    if compat.whole(value) and value >= min and (not max or value <= max) then
      return value
    end
    local range = max and ("from " .. min .. " to " .. max) or ("of at least " .. min)
    return nil, "must be a whole number " .. range .. ", got " .. show(value)
  end
end

--- One of some texts.
---@param list string[]
function M.one_of(list)
  return function(value)
    for _, text in ipairs(list) do
      if value == text then
        return value
      end
    end
    return nil, 'must be one of "' .. table.concat(list, '", "') .. '", got ' .. show(value)
  end
end

local function known(schema)
  local names = {}
  for name in pairs(schema) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, ", ")
end

--- Checks options and gives back a copy with the values to use.
---@param given table|nil what the user passed
---@param schema table<string, function> name -> rule
---@param what string who asks: the start of every message
---@param word string|nil what one entry is called in messages ("option")
---@return table
function M.check(given, schema, what, word)
  word = word or "option"
  if given == nil then
    given = {}
  end
  if type(given) ~= "table" then
    errors.misuse(("%s: %ss must be a table, got %s"):format(what, word, show(given)))
  end
  local out = {}
  for name, value in pairs(given) do
    local rule = schema[name]
    if not rule then
      errors.misuse(("%s: unknown %s %s; known %ss: %s"):format(what, word,
        type(name) == "string" and show(name) or "[" .. tostring(name) .. "]", word,
        known(schema)))
    end
    local good, why = rule(value)
    if good == nil then
      errors.misuse(what .. ": " .. name .. " " .. (why or "is not right"))
    end
    out[name] = good
  end
  return out
end

--- Moves an alias to its name; giving both raises.
---@param given table
---@param alias string
---@param name string
---@param what string
---@return table given, or a copy with the alias renamed
function M.alias(given, alias, name, what)
  if type(given) ~= "table" or given[alias] == nil then
    return given
  end
  if given[name] ~= nil then
    errors.misuse(what .. ": give " .. name .. " or " .. alias .. ", not both")
  end
  local copy = {}
  for k, v in pairs(given) do
    copy[k] = v
  end
  copy[alias], copy[name] = nil, given[alias]
  return copy
end

M.show = show

return M
