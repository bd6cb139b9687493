-- Owns the verbs made of a description: a pull over a range (or over all there
-- is), page by page, and the same as one plain request. It must not know any
-- API, retry or decode.

local answers = require "garner.api.answer"
local api_arguments = require "garner.api.arguments"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local options = require "garner.options"
local pace = require "garner.api.pace"
local pull = require "garner.pull"
local ranges = require "garner.api.range"
local response = require "garner.response"
local vendor = require "garner.vendor"

local M = {}

-- "live {live_id}" with the caller's values; what is none stays as it is.
local function fill(template, given, ctx)
  if type(template) == "function" then return template(given, ctx) end
  return (template:gsub("{([%w_]+)}", function(name)
    local value = given[name]
    if value == nil and ctx and ctx.window then value = ctx.window[name] end
    return value ~= nil and tostring(value) or nil
  end))
end

-- A caller's options, checked: aliases, defaults, what is required.
local function take(verb, given, rules, what)
  for name, argument in pairs(verb.arguments) do
    if argument.alias then given = options.alias(given, argument.alias, name, what) end
  end
  given = options.check(given, rules, what)
  api_arguments.complete(verb.arguments, given, what)
  return given
end

-- What no rule of one argument can see; `window` where it is one request.
local function check_together(verb, given, what, window)
  local message = verb.check and verb.check(given, window)
  if message then errors.misuse(("%s: %s"):format(what, message)) end
end

local function copy(map)
  local out = {}
  for name, value in pairs(map or {}) do out[name] = value end
  return out
end

-- What one request of a window says, in the terms of garner.endpoint.
local function fields_of(verb, given, ctx)
  local body = verb.body
  if type(body) == "function" then body = body(given, ctx) end
  local fields = { params = {}, query = copy(verb.query), json = copy(body),
    headers = copy(verb.headers) }
  api_arguments.put(verb.arguments, given, fields)
  if verb.window then ranges.put(verb.window, ctx.window, fields) end
  if verb.method == "GET" or verb.method == "HEAD" or not body and next(fields.json) == nil then
    fields.json = nil
  end
  if next(fields.headers) == nil then fields.headers = nil end
  if verb.what then fields.what = fill(verb.what, given, ctx) end
  return fields
end

local function explained(verb, err, ctx)
  return verb.errors and verb.errors(err, ctx) or err
end

-- May the next page be asked for? The caller's budget and the verb's own rate say so.
local function admit(self, verb, given, budget)
  if budget then
    local ok, err = budget:spend(1)
    if not ok then return nil, err end
  end
  if verb.rate and (not verb.rate.when or verb.rate.when(given)) then
    pace.wait(self, verb.rate)
  end
  return true
end

local function fetch_page(self, verb, given, ctx, budget)
  local ok, err = admit(self, verb, given, budget)
  if not ok then return nil, err end
  local res
  res, err = self:request(endpoint.request(verb, fields_of(verb, given, ctx), given))
  if not res then return nil, explained(verb, err, ctx) end
  local answer = answers.new()
  local body
  body, err = answers.add(verb, answer, res, ctx)
  if not body then return nil, explained(verb, err, ctx) end
  return answer, nil, body
end

-- Does a page name another one? Where only the walk knows, it may.
local function names_next(rules, page, body)
  local at = rules.from or rules.link
  if at and rules.header == nil and rules.from ~= "header" then
    local value = response.pick(body, at)
    return value ~= nil and value ~= "" and value ~= false
  end
  if rules.size then return #page.items >= rules.size end
  return true
end

-- All pages of a window.
local function walk_pages(self, verb, given, ctx, budget)
  local request = endpoint.request(verb, fields_of(verb, given, ctx), given)
  request.path = nil
  request.items = verb.items
  for name, value in pairs(verb.pages) do request[name] = value end
  -- What is fetched ahead has asked neither the budget nor the rate.
  if budget and budget.limited and budget:limited() or verb.rate then request.ahead = false end
  local walk = self:pages(verb.path, request)
  local answer, more = answers.new(), true
  while true do
    local ok, res, err = true, nil, nil
    if more then ok, err = admit(self, verb, given, budget) end
    if ok then res, err = walk:next() end
    if err then
      walk:close()
      return nil, explained(verb, err, ctx)
    end
    if not res then return answer end
    local body
    body, err = answers.add(verb, answer, res, ctx)
    if not body then
      walk:close()
      return nil, explained(verb, err, ctx)
    end
    more = names_next(verb.pages.next, res, body)
  end
end

local function fetch_window(self, verb, given, readers, window, budget)
  local ctx = { client = self, given = given, window = window }
  local answer, err
  if verb.pages then
    answer, err = walk_pages(self, verb, given, ctx, budget)
  else
    answer, err = fetch_page(self, verb, given, ctx, budget)
  end
  if not answer then return nil, err end
  return answers.finish(verb, answer, ctx, readers)
end

local function value_of(field, given)
  if type(field) == "function" then return field(given) end
  return field
end

-- The rate that a plan counts with: the verb's own where it is the slower one.
local function rate_of(self, verb, given)
  if verb.rate and (not verb.rate.when or verb.rate.when(given)) then return verb.rate end
  if self.settings.rate then
    return { per_second = self.settings.rate, burst = self.settings.burst }
  end
end

local function source_of(self, verb, given, readers)
  local source = ranges.windows(self, verb, given)
  source.name = verb.title and fill(verb.title, given) or verb.name:gsub("_", " ")
  source.time, source.key, source.identity = readers.time, readers.key, readers.identity
  source.columns = value_of(verb.rows.columns, given)
  source.record, source.points = verb.rows.record, verb.rows.points
  source.records = verb.rows.records
  source.lag, source.retention = value_of(verb.lag, given), value_of(verb.retention, given)
  source.rate, source.notes = rate_of(self, verb, given), value_of(verb.notes, given)
  return source
end

-- Options of a pull that have no sense without a range.
local OF_RANGE = { "from", "to", "date", "zone", "lag", "retention" }

---The verb that covers a range: all windows, all pages of each.
---@param verb table from garner.api.describe
---@return fun(self: table, given: table|nil): garner.pull
function M.pull(verb)
  local rules = vendor.rules(pull.RULES, endpoint.CALL_OPTIONS, verb.rules)
  if not verb.window then
    for _, name in ipairs(OF_RANGE) do rules[name] = nil end
  elseif verb.window.kind ~= "date" then
    rules.edges = options.one_of { "[]", "[)", "(]", "()" }
  end
  local readers = answers.readers(verb.rows)
  return function(self, given)
    given = take(verb, given, rules, verb.name)
    check_together(verb, given, verb.name)
    if given.edges == "[]" and not readers.time then
      errors.misuse(("%s: with edges \"[]\" windows share instants, and its rows have no time to "
        .. "compare them by"):format(verb.name))
    end
    local source = source_of(self, verb, given, readers)
    source.fetch = function(window, budget)
      return fetch_window(self, verb, given, readers, window, budget)
    end
    return vendor.pull(self, given, verb.name, source)
  end
end

-- Where a page token goes by hand, for those kinds that name it in the query.
local function token_of(verb)
  local next_page = verb.pages and verb.pages.next
  if next_page and next_page.from and next_page.query then return next_page end
end

local function with_token(verb, fields, token)
  if token then fields.query[token_of(verb).query] = token end
  return fields
end

local function next_token(verb, body)
  local at = token_of(verb)
  local token = at and response.pick(body, at.from)
  return type(token) == "string" and token ~= "" and token or nil
end

---The same endpoint as one request, of one page of exactly one window.
---@param verb table
---@return fun(self: table, given: table|nil): table|nil, garner.Error|nil
function M.raw(verb)
  local rules = vendor.rules(endpoint.CALL_OPTIONS, verb.rules)
  if verb.window then
    for _, name in ipairs { "from", "to", "date", "zone" } do rules[name] = pull.RULES[name] end
    if verb.window.date then rules.from, rules.to = nil, nil end
  end
  if token_of(verb) then rules.page_token = options.text end
  return function(self, given)
    given = take(verb, given, rules, verb.raw)
    local ctx = { client = self, given = given }
    if verb.window then ctx.window = ranges.whole(self, verb, given) end
    check_together(verb, given, verb.raw, ctx.window)
    local ok, err = admit(self, verb, given)
    local res
    if ok then
      res, err = self:request(endpoint.request(verb,
        with_token(verb, fields_of(verb, given, ctx), given.page_token), given))
    end
    if not res then return nil, explained(verb, err, ctx) end
    local answer = answers.new()
    local body
    body, err = answers.add(verb, answer, res, ctx)
    if not body then return nil, explained(verb, err, ctx) end
    return { rows = answer.rows, warnings = answer.warnings, absent = answer.absent, raw = body,
      next_page_token = next_token(verb, body) }
  end
end

return M
