-- Owns one request of a described verb: the caller's options checked, put
-- where the description says, admitted by budget and rate. It must not know
-- any API, nor what an answer means.

local api_arguments = require "garner.api.arguments"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local options = require "garner.options"
local pace = require "garner.api.pace"
local ranges = require "garner.api.range"
local pull = require "garner.pull"
local vendor = require "garner.vendor"

local M = {}

-- "live {live_id}" with the caller's values; what is none stays as it is.
function M.fill(template, given, ctx)
  if type(template) == "function" then return template(given, ctx) end
  return (template:gsub("{([%w_]+)}", function(name)
    local value = given[name]
    if value == nil and ctx and ctx.window then value = ctx.window[name] end
    return value ~= nil and tostring(value) or nil
  end))
end

---Options of a verb that makes one request.
---@param verb table
---@param more? table
---@return table rules
function M.rules(verb, more)
  local rules = vendor.rules(endpoint.CALL_OPTIONS, verb.rules, more or {})
  if verb.window then
    for _, name in ipairs { "from", "to", "date", "zone" } do rules[name] = pull.RULES[name] end
    if verb.window.date then rules.from, rules.to = nil, nil end
  end
  return rules
end

---A caller's options, checked: aliases, defaults, what is required.
function M.take(verb, given, rules, what)
  for name, argument in pairs(verb.arguments) do
    if argument.alias then given = options.alias(given, argument.alias, name, what) end
  end
  given = options.check(given, rules, what)
  api_arguments.complete(verb.arguments, given, what)
  return given
end

---What no rule of one argument can see; `window` where it is one request.
function M.check_together(verb, given, what, window)
  local message = verb.check and verb.check(given, window)
  if message then errors.misuse(("%s: %s"):format(what, message)) end
end

local function copy(map)
  local out = {}
  for name, value in pairs(map or {}) do out[name] = value end
  return out
end

---What one request of a window says, in the terms of garner.endpoint.
function M.fields(verb, given, ctx)
  local body = verb.body
  if type(body) == "function" then body = body(given, ctx) end
  local fields = { params = {}, query = copy(verb.query), json = copy(body),
    headers = copy(verb.headers) }
  api_arguments.put(verb.arguments, given, fields)
  if verb.window then ranges.put(verb.window, ctx.window, fields) end
  if not verb.carries or not body and next(fields.json) == nil then fields.json = nil end
  if next(fields.headers) == nil then fields.headers = nil end
  if verb.what then fields.what = M.fill(verb.what, given, ctx) end
  return fields
end

---An error in the description's own words.
function M.explained(verb, err, ctx)
  return verb.errors and verb.errors(err, ctx) or err
end

---The rate of its own that a call has, if it has one.
function M.own_rate(verb, given)
  return verb.rate and (not verb.rate.when or verb.rate.when(given)) and verb.rate or nil
end

---Waits as long as the rate of its own wants.
function M.keep_pace(self, verb, given)
  local rate = M.own_rate(verb, given)
  if rate then pace.wait(self, rate) end
end

---May the next request be made? The caller's budget and the verb's own rate say so.
function M.admit(self, verb, given, budget)
  if budget then
    local ok, err = budget:spend(1)
    if not ok then return nil, err end
  end
  M.keep_pace(self, verb, given)
  return true
end

return M
