-- Owns the arguments of a described verb: what a description says about one
-- becomes the rule that checks a caller's value, and the place in the request
-- where the value goes. It must not send anything and knows no API.

local arguments = require "garner.arguments"
local compat = require "garner.compat"
local enums = require "garner.enums"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"

local M = {}

-- Rules that a description can name.
local RULES = {
  id = arguments.id, text = options.text, texts = arguments.texts, any = options.any,
  boolean = options.boolean, duration = options.duration, number = options.positive,
  table = options.table,
}

-- A rule: a name of the list above, or a function.
local function rule_of(value)
  if compat.callable(value) then return value end
  if value == "integer" or RULES[value] then return value end
  local names = { "integer" }
  for name in pairs(RULES) do names[#names + 1] = name end
  table.sort(names)
  return nil, ("must be a function(value) -> value | nil, message, or one of: %s; got %s"):format(
    table.concat(names, ", "), options.show(value))
end

M.rule_of = rule_of

---The function that a rule of a description stands for.
---@param value string|function
---@return fun(value: any): any, string|nil
function M.rule(value)
  if value == "integer" then return options.integer(0) end
  return RULES[value] or value
end

local function enum_of(value)
  if type(value) == "table" and (value.to_api or type(value[1]) == "string") then return value end
  return nil, "must be a list of texts, or a set made by garner.enums"
end

-- A place may be a name, or false for an argument that only functions read.
local function place(value)
  if value == false then return { off = true } end
  return options.text(value)
end

local FIELDS = {
  [1] = rule_of, rule = rule_of, default = options.any, required = options.boolean,
  alias = options.text, query = place, body = options.text, header = options.text,
  enum = enum_of, prefix = options.any, list = options.boolean, join = options.text,
  min = options.integer(0), max = options.integer(1),
}

local function value_rule(field, name)
  if field.enum then
    local set = field.enum
    if not set.to_api then
      set = enums.new(name:gsub("_", " "), field.prefix or "", set)
    end
    if field.list then return function(value) return set:list(value) end end
    return function(value) return set:api(value) end
  end
  local rule = field[1] or field.rule or "any"
  if rule == "integer" then return options.integer(field.min or 0, field.max) end
  return M.rule(rule)
end

---@class garner.api.argument
---@field rule fun(value: any): any, string|nil
---@field default? any
---@field required? boolean
---@field alias? string another name that callers may use
---@field place "params"|"query"|"json"|"headers"|nil where it goes; nil: nowhere
---@field as? string its name there
---@field join? string between the parts of a list that goes as one text

---What one entry of `arguments` means.
---@param name string
---@param given any a rule, or a table of fields
---@param verb table method, path and `carries` (a body) of the verb
---@param what string for messages
---@return garner.api.argument
function M.compile(name, given, verb, what)
  if type(given) ~= "table" or compat.callable(given) then given = { given } end
  local field = options.check(given, FIELDS, what, "field")
  local out = { rule = value_rule(field, name), default = field.default, alias = field.alias,
    required = field.required, join = field.join }
  local in_path = verb.path:find("{" .. name .. "}", 1, true) ~= nil
  local places = (in_path and 1 or 0) + (field.query and 1 or 0) + (field.body and 1 or 0)
    + (field.header and 1 or 0)
  if places > 1 then
    errors.misuse(("%s: it can go to one place; the path has {%s}, or give one of query, body, "
      .. "header"):format(what, name))
  end
  if in_path then
    out.place, out.as = "params", name
    if out.default == nil then out.required = true end
  elseif field.header then
    out.place, out.as = "headers", field.header
  elseif field.body then
    if not verb.carries then
      errors.misuse(("%s: it cannot go to the body, a %s request has none"):format(what,
        verb.method))
    end
    out.place, out.as = "json", field.body
  elseif type(field.query) ~= "table" then
    local in_query = field.query or not verb.carries
    out.place, out.as = in_query and "query" or "json", field.query or name
  end
  return out
end

---What a caller gave, under the names of the description, with defaults; what
---is missing raises.
---@param list table<string, garner.api.argument>
---@param given table checked options
---@param what string the verb, for messages
function M.complete(list, given, what)
  local missing = {}
  for name, argument in pairs(list) do
    if given[name] == nil then
      given[name] = argument.default
      if given[name] == nil and argument.required then missing[#missing + 1] = name end
    end
  end
  table.sort(missing)
  if missing[1] then errors.misuse(("%s: %s is required"):format(what, missing[1])) end
end

-- An empty list or text is the same as none.
local function present(value, join)
  if value == "" then return nil end
  if type(value) == "table" and not json.is_array(value) and next(value) == nil then return nil end
  if join and type(value) == "table" then return table.concat(value, join) end
  return value
end

---Puts the arguments where they go.
---@param list table<string, garner.api.argument>
---@param given table
---@param fields table params, query, json, headers: filled
function M.put(list, given, fields)
  for name, argument in pairs(list) do
    local value = given[name]
    if value ~= nil and argument.place then
      if argument.place ~= "params" then value = present(value, argument.join) end
      fields[argument.place][argument.as] = value
    end
  end
end

return M
