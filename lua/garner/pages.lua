-- Owns: walking over the pages of a list: rules for the core's pager, pages in order,
-- going on after an error, a new token or in another process. Must not: know any API.

local client = require "garner.client"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local headers_of = require "garner.headers"
local methods = require "garner.methods"
local next_rules = require "garner.next_page"
local options = require "garner.options"
local request = require "garner.request"
local response = require "garner.response"
local sending = require "garner.send"

local M = {}

local WHAT = "client:pages"

local AHEAD, AHEAD_MAX = 2, 1000 -- pages beyond the one given last

local count_ahead = options.integer(0, AHEAD_MAX)

local function ahead(value)
  if type(value) == "boolean" then
    return value and AHEAD or 0
  end
  local count, why = count_ahead(value)
  return count, why and why:gsub("^must be", "must be true, false or")
end

local SCHEMA = request.extend {
  items = options.text, next = options.table, max_pages = options.integer(1),
  max_bytes = options.integer(1), ahead = ahead, resume = options.table,
}
SCHEMA.file = nil -- the pages are read, here and in the core
SCHEMA.creates = nil

---@class garner.Walk
---@field number integer how many pages came
local Walk = {}
Walk.__index = Walk
Walk.__name = "garner.Walk"

local hidden = setmetatable({}, { __mode = "k" })

-- The rules that begin where the walk stands.
local function rules_from(w)
  local at, rules = w.position, { ahead = w.ahead, tape = w.state.codec ~= "cjson" }
  for name, value in pairs(w.rules) do
    rules[name] = value
  end
  if at then
    rules.before, rules.start = at.number, next_rules.start(w.rules, at)
  end
  return rules
end

local function truncated(w)
  return errors.from_raw({ kind = "truncated", code = "max_pages", retryable = false,
    message = ("there are more pages after page %d, where the limit ends the walk"):format(
      w.position.number) }, w.context)
end

local function start(w)
  if w.position and w.position.number >= w.rules.max_pages then
    return false, truncated(w)
  end
  local op, err = sending.start(w.state, "walk", w.request, rules_from(w))
  w.op = op
  return op ~= nil, err
end

local function make_page(w, result)
  local page = response.new(result, w.context, w.state.codec)
  local body, err = page:json()
  if err then
    return nil, err
  end
  local items = w.opts.items and response.pick(body, w.opts.items)
  w.listed = w.listed or items ~= nil
  w.number = w.number + 1
  page.number = w.number
  page.items = type(items) == "table" and items or {}
  local value, last = result:next()
  page.more = not last
  -- Where the page after it is not known (the next event says why), this one is asked for again.
  w.position = (value or last) and next_rules.position(w.rules, w.number, value) or w.position
  return page
end

-- One event of the running walk: a page, the end (true), or nil and an error.
local function step(w)
  if not w.op then
    local ok, err = start(w)
    if not ok then
      return nil, err
    end
  elseif w.owed then
    w.op:advance()
  end
  w.owed = false
  local event, value = w.op:next()
  if event == "page" then
    w.owed = w.ahead == 0
    if not w.owed then
      w.op:advance() -- before the page is decoded, so that the next may leave meanwhile
    end
    return make_page(w, value)
  end
  w.op = nil
  if value == nil then
    return true
  end
  return nil, sending.failure(value, w.context)
end

local function stop(w)
  if w.op then
    w.op:cancel()
    w.op = nil
  end
  w.owed = false
end

local function finish(w)
  w.ended = true
  stop(w)
end

-- Going on from here would only end the same way.
local FINAL_CODES = { page_token = true, page_repeated = true, link = true }

local function is_final(err)
  return err.kind == "truncated" or (err.kind == "protocol" and FINAL_CODES[err.code])
end

--- The next page, waiting for it. After an error it asks for the same page again; one that
--- cannot go away (a circle, a limit) comes again without a request.
---@return garner.Response|nil page with `items` (the list, {} if absent), `number` and `more`
--- (whether it names another one); nil: the end
---@return garner.Error|nil err with `resume`, for the option of that name
function Walk:next()
  local w = hidden[self]
  if w.failure then
    return nil, w.failure
  elseif w.ended then
    return nil
  end
  local page, err = sending.with_token(w.state, step, w)
  if page and page ~= true then
    self.number = w.number
    return page
  elseif not err then
    w.position = { number = w.number, done = true }
    -- An API may leave an empty list out; of several pages none has it where its name is wrong.
    if w.opts.items and not w.listed and w.number > 1 then
      w.state.log("warn", "pages.no_items", { items = w.opts.items, pages = w.number })
    end
    finish(w)
    return nil
  end
  stop(w)
  err.resume = w.position
  if is_final(err) then
    w.failure = err
  end
  return nil, err
end

--- Calls a function with each page; false from it stops the walk. After an error it can be
--- called again: the pages that are still to come.
---@param fn fun(page: garner.Response): boolean|nil it may wait
---@return integer|nil pages how many were given to fn
---@return garner.Error|nil err
---@return integer|nil pages given before the error
function Walk:each(fn)
  if not compat.callable(fn) then
    errors.misuse("walk:each: give a function, got " .. options.show(fn))
  end
  local count = 0
  while true do
    local page, err = self:next()
    if err then
      return nil, err, count
    elseif not page then
      return count
    end
    count = count + 1
    local ok, go_on = compat.guard(fn, page)
    if not ok or go_on == false then
      self:close()
      if not ok then
        error(go_on, 0)
      end
      return count
    end
  end
end

--- The items of all pages in one list; after an error, called again, those still to come.
---@param opts table|nil `max_rows`: more than that ends as kind "truncated"
---@return table|nil items
---@return garner.Error|nil err with max_rows: `resume` only where the limit is the end of a page
---@return table|nil partial the items that came before the error
function Walk:collect(opts)
  opts = options.check(opts, { max_rows = options.integer(1) }, "walk:collect")
  local out = {}
  while true do
    local before, had = hidden[self].position, #out
    local page, err = self:next()
    if err then
      return nil, err, out
    elseif not page then
      return out
    end
    for _, item in ipairs(page.items) do
      if opts.max_rows and #out == opts.max_rows then
        self:close()
        -- A walk goes on with whole pages: within one, what is left of it would be lost. (A
        -- checkpoint gives that page once more.)
        hidden[self].position = before
        return nil, errors.new { kind = "truncated", code = "max_rows",
          resume = had == #out and before or nil,
          message = "there are more than " .. opts.max_rows .. " rows (max_rows)" }, out
      end
      out[#out + 1] = item
    end
  end
end

--- Ends the walk: what is in flight is cancelled. May be called again.
function Walk:close()
  finish(hidden[self])
end
Walk.__close = Walk.close

function Walk:__call()
  if driver.no_for() then
    errors.misuse("walk: this Lua cannot wait inside a `for` iterator here: use each(fn)")
  end
  local page, err = self:next()
  if err then
    errors.raise(err, hidden[self].state.log)
  end
  return page
end

function Walk:__tostring()
  local w = hidden[self]
  return "garner walk of " .. core.url_redact(w.request.url, false) .. " (" .. w.number
    .. " pages" .. (w.ended and ", ended)" or ")")
end

-- Checkpoints ------------------------------------------------------------------

-- What makes the walk again; the client brings the rest.
local KEPT = { "path", "params", "query", "json", "form", "body", "method", "safe", "accept",
  "headers", "timeout", "attempts", "max_body", "redirects", "items", "max_pages", "max_bytes",
  "ahead", "operation", "what", "scope" }

local function refusal(w, what)
  return errors.from_raw({ kind = "invalid", code = "secret", retryable = false,
    message = "a checkpoint holds no secret, but " .. what }, w.context)
end

-- A signed link works only whole, and whoever has it may use it.
local function secret_in(w)
  local at = w.position or {}
  for url, what in pairs { [w.request.url] = "this walk's URL carries one in its query",
    [at.link or ""] = "the next page's link carries one in its query: go on in this process" } do
    local shown = url ~= "" and core.url_redact(url, false) or ""
    if shown:find("***", 1, true) and not url:find("***", 1, true) then
      return what
    end
  end
  if headers_of.secret_values(w.given.headers or {})[1] then
    return "a header of this walk is one: give it to the client"
  end
end

--- What another process needs to go on after the page that was given last, as one line of text:
--- `client:resume(text)`. It names the client's origin and holds no credential; a walk whose links
--- or headers carry one is refused.
---@return string|nil text
---@return garner.Error|nil err kind "invalid", code "secret"
function Walk:checkpoint()
  local w = hidden[self]
  local what = secret_in(w)
  if what then
    return nil, refusal(w, what)
  end
  local fields = { origin = w.state.core_origin, next = w.given.next, at = w.position }
  for _, name in ipairs(KEPT) do
    fields[name] = w.given[name]
  end
  local ok, text = pcall(require("garner.checkpoint").encode, "pages", fields, w.state.secrets())
  if not ok then
    errors.pass(text)
    return nil, refusal(w, tostring(text))
  end
  return text
end

-- Making a walk ------------------------------------------------------------------

local function copy(values)
  local out = {}
  for name, value in pairs(values) do
    out[name] = value
  end
  return out
end

local function make(state, given, position)
  local opts = copy(given)
  local rules = next_rules.rules(opts, state.codec, WHAT)
  position = position and next_rules.check(rules, position, WHAT .. ": resume")
  if opts.method and opts.method ~= "GET" and opts.method ~= "HEAD" and not opts.safe then
    errors.misuse(WHAT .. ": a walk asks for each page with a " .. opts.method
      .. " request: say safe = true if sending one twice does no harm")
  end
  local core_request, context = request.build(state, opts, WHAT)
  local walk = setmetatable({ number = 0 }, Walk)
  hidden[walk] = {
    state = state, given = given, opts = opts, rules = rules, request = core_request,
    context = context, number = position and position.number or 0, position = position,
    -- Nobody would answer what is asked ahead.
    ahead = state.offline and 0 or opts.ahead or AHEAD,
    ended = position ~= nil and position.done == true,
  }
  walk.number = hidden[walk].number
  return walk
end

--- Makes a walk; see `client:pages`.
function M.new(state, path, opts)
  opts = client.path_options(path, opts, SCHEMA, WHAT)
  local position = opts.resume
  opts.resume = nil
  local walk = make(state, opts, position)
  if compat.closes_for then
    return walk, nil, nil, walk
  end
  return walk
end

--- Goes on with a walk out of a checkpoint; see `client:resume`.
---@param state table of the client
---@param fields table of the checkpoint
---@return garner.Walk
function M.resume(state, fields)
  local position = fields.at
  fields.at, fields.origin = nil, nil
  return make(state, options.check(fields, SCHEMA, "client:resume"), position)
end

methods.guard(Walk, "walk", function(value) return hidden[value] ~= nil end)

return M
