-- Owns the verbs made of a description: a pull over a range (or over all there
-- is), page by page, and the same as one plain request. It must not know any
-- API, retry or decode.

local answers = require "garner.api.answer"
local cached = require "garner.pull.cached"
local client = require "garner.client"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"
local pull = require "garner.pull"
local ranges = require "garner.api.range"
local requests = require "garner.api.request"
local response = require "garner.response"
local time = require "garner.time"
local vendor = require "garner.vendor"

local M = {}

local function fetch_page(self, verb, given, ctx, budget, keep)
  local ok, err = requests.admit(self, verb, given, budget)
  if not ok then return nil, err end
  local res
  res, err = self:request(endpoint.request(verb, requests.fields(verb, given, ctx), given))
  if not res then return nil, requests.explained(verb, err, ctx) end
  local answer = answers.new()
  local body
  body, err = answers.add(verb, answer, res, ctx)
  if not body then return nil, requests.explained(verb, err, ctx) end
  if keep then keep(res.body) end
  return answer
end

-- All pages of a window.
local function walk_pages(self, verb, given, ctx, budget, keep)
  local request = endpoint.request(verb, requests.fields(verb, given, ctx), given)
  request.path = nil
  request.items = verb.items
  for name, value in pairs(verb.pages) do request[name] = value end
  -- What is fetched ahead has asked neither the budget nor the rate.
  if budget and budget.limited and budget:limited() or verb.rate then request.ahead = false end
  local walk = self:pages(verb.path, request)
  local answer, more = answers.new(), true
  while true do
    local ok, res, err = true, nil, nil
    if more then ok, err = requests.admit(self, verb, given, budget) end
    if ok then res, err = walk:next() end
    if err then
      walk:close()
      return nil, ok and requests.explained(verb, err, ctx) or err
    end
    if not res then return answer end
    local body
    body, err = answers.add(verb, answer, res, ctx)
    if not body then
      walk:close()
      return nil, requests.explained(verb, err, ctx)
    end
    if keep then keep(res.body) end
    more = res.more
  end
end

local function fetch_window(self, verb, given, readers, window, budget, keep)
  local ctx = { client = self, given = given, window = window }
  local answer, err
  if verb.pages then
    answer, err = walk_pages(self, verb, given, ctx, budget, keep)
  else
    answer, err = fetch_page(self, verb, given, ctx, budget, keep)
  end
  if not answer then return nil, err end
  return answers.finish(verb, answer, ctx, readers)
end

-- Pages that were kept, as the answer that they were.
local function read_window(self, verb, given, readers, window, pages)
  local ctx = { client = self, given = given, window = window }
  local answer, decode = answers.new(), json.codec(self.settings.json).decode
  for _, page in ipairs(pages) do
    local res = { body = page, json = function() return decode(page) end }
    if not answers.add(verb, answer, res, ctx) then return nil end
  end
  return answers.finish(verb, answer, ctx, readers)
end

local CACHED = "what the cache has is not asked for; windows are those of its grid"

-- The cache of a pull: only reads that may be repeated are kept.
local function cache_of(self, verb, given)
  if given.cache == false or verb.job or verb.creates then return nil end
  local reads = verb.method == "GET" or verb.method == "HEAD" or verb.safe
  return reads and self.settings.cache or nil
end

local function keeper_of(self, verb, given, readers, source)
  return {
    windows = verb.window ~= nil,
    on_clock = verb.window ~= nil and (verb.window.kind == "instant" or source.local_zone ~= nil),
    identity = function() return cached.fold(client.identity(self.client)) end,
    about = function(window)
      local fields = requests.fields(verb, given, { client = self, given = given, window = window })
      local request = endpoint.request(verb, fields, given)
      return { method = request.method, path = request.path, params = request.params,
        query = request.query, json = request.json, headers = request.headers }
    end,
    fetch = function(window, budget, keep)
      return fetch_window(self, verb, given, readers, window, budget, keep)
    end,
    read = function(window, pages)
      return read_window(self, verb, given, readers, window, pages)
    end,
  }
end

local function value_of(field, given)
  if type(field) == "function" then return field(given) end
  return field
end

-- The rate that a plan counts with: the verb's own where it is the slower one.
local function rate_of(self, verb, given)
  local own = requests.own_rate(verb, given)
  if own then return own end
  if self.settings.rate then
    return { per_second = self.settings.rate, burst = self.settings.burst }
  end
end

local function source_of(self, verb, given, readers)
  local cache = cache_of(self, verb, given)
  local lag = given.lag or value_of(verb.lag, given)
  -- Rows without a time could not be cut to the range.
  local source = ranges.windows(self, verb, given,
    cache and readers.time and cached.grid(cache, time.now(), lag) or nil)
  source.cache = cache
  source.name = verb.title and requests.fill(verb.title, given) or verb.name:gsub("_", " ")
  source.time, source.key, source.identity = readers.time, readers.key, readers.identity
  source.columns = value_of(verb.rows.columns, given)
  source.record, source.points = verb.rows.record, verb.rows.points
  source.records = verb.rows.records
  source.lag, source.retention = lag, value_of(verb.retention, given)
  source.rate, source.notes = rate_of(self, verb, given), value_of(verb.notes, given)
  if cache then
    local notes = { CACHED }
    for index, note in ipairs(source.notes or {}) do notes[index + 1] = note end
    source.notes = notes
  end
  return source
end

local function wait_rule(verb)
  local cadence = require("garner.job").CADENCE
  return function(value) return options.check(value, cadence, verb.name .. ": wait") end
end

-- How the windows of a verb are fetched: its own requests, or those of jobs.
local function set_fetch(self, verb, given, readers, source)
  if not verb.job then
    source.fetch = function(window, budget)
      return fetch_window(self, verb, given, readers, window, budget)
    end
    if source.cache then
      cached.attach(source, source.cache, keeper_of(self, verb, given, readers, source))
    end
    return
  end
  local jobs = require "garner.api.jobs"
  -- A create, a look and a download.
  source.requests_per_window = 3
  source.record = source.record or not verb.rows.each and jobs.record or nil
  source.fetch = function(window, budget)
    return jobs.fetch(self, verb, given, window, budget)
  end
  source.download = function(window, folder, budget)
    return jobs.keep(self, verb, given, window, folder, budget)
  end
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
  if verb.job then
    rules = vendor.rules(rules, require("garner.api.jobs").rules(verb), { wait = wait_rule(verb) })
  end
  local readers = answers.readers(verb)
  return function(self, given)
    given = requests.take(verb, given, rules, verb.name)
    requests.check_together(verb, given, verb.name)
    if given.edges == "[]" and not readers.time then
      errors.misuse(("%s: with edges \"[]\" windows share instants, and its rows have no time to "
        .. "compare them by"):format(verb.name))
    end
    local source = source_of(self, verb, given, readers)
    set_fetch(self, verb, given, readers, source)
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

---The same endpoint as one request, of one page of exactly one window; where a
---job makes the data, the job.
---@param verb table
---@return fun(self: table, given: table|nil): table|nil, garner.Error|nil
function M.raw(verb)
  if verb.job then return require("garner.api.jobs").raw(verb) end
  local rules = requests.rules(verb, { page_token = token_of(verb) and options.text or nil })
  return function(self, given)
    given = requests.take(verb, given, rules, verb.raw)
    local ctx = { client = self, given = given }
    if verb.window then ctx.window = ranges.whole(self, verb, given) end
    requests.check_together(verb, given, verb.raw, ctx.window)
    local ok, err = requests.admit(self, verb, given)
    local res
    if ok then
      res, err = self:request(endpoint.request(verb,
        with_token(verb, requests.fields(verb, given, ctx), given.page_token), given))
    end
    if not res then return nil, requests.explained(verb, err, ctx) end
    local answer = answers.new()
    local body
    body, err = answers.add(verb, answer, res, ctx)
    if not body then return nil, requests.explained(verb, err, ctx) end
    return { rows = answer.rows, warnings = answer.warnings, absent = answer.absent, raw = body,
      next_page_token = next_token(verb, body) }
  end
end

return M
