-- Owns: walking over the pages of a list: rules for the core's pager, pages in order,
-- going on after a new token. Must not: know any API.

local client = require "garner.client"
local compat = require "garner.compat"
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"
local request = require "garner.request"
local response = require "garner.response"

local M = {}

local WHAT = "client:pages"

local SCHEMA = request.extend {
  items = options.text, next = options.table, max_pages = options.integer(1),
  max_bytes = options.integer(1), ahead = options.boolean, resume = options.table,
}
SCHEMA.file = nil -- the pages are read, here and in the core

local NEXT = {
  from = options.text, query = options.text, link = options.text, page = options.text,
  size = options.integer(1), first = options.integer(0),
}

local function rules_of(opts)
  if not opts.next then
    errors.misuse(WHAT .. ': next is missing: { from = "nextPageToken", query = "pageToken" }, '
      .. '{ link = "next" } or { page = "page", size = 250 }')
  end
  local n = options.check(opts.next, NEXT, WHAT .. ": next")
  local rules = { max_pages = opts.max_pages or 10000, max_bytes = opts.max_bytes }
  if n.from and n.query and not n.link and not n.page then
    rules.token, rules.query = n.from, n.query
  elseif n.link and not n.from and not n.page then
    rules.link = n.link
  elseif n.page and n.size and not n.from and not n.link then
    if not opts.items then
      errors.misuse(WHAT .. ": pages by number need items, to see when one is short")
    end
    rules.page, rules.size, rules.items, rules.first = n.page, n.size, opts.items, n.first or 1
  else
    errors.misuse(WHAT .. ": next must be one of { from =, query = }, { link = }, "
      .. "{ page =, size = }")
  end
  return rules
end

---@class garner.Walk
---@field number integer how many pages came
local Walk = {}
Walk.__index = Walk
Walk.__name = "garner.Walk"

local hidden = setmetatable({}, { __mode = "k" })

-- Where the walk stands after a page, so that it can go on elsewhere: with another
-- token, or in another process (`resume`).
local function position_after(w, page)
  local rules = w.rules
  local at = { number = page.number }
  if rules.token then
    local token = response.pick(page:json(), rules.token)
    at.token = compat.whole(token) and string.format("%.0f", token) or token
  elseif rules.link then
    -- Whole, as it is relative to this page and not to the first one.
    local link = response.pick(page:json(), rules.link)
    at.link = type(link) == "string" and core.url_resolve(w.here, link) or link
    w.here = at.link or w.here
  else
    at.page = rules.first + page.number
  end
  return at
end

-- The request and rules that go on after a position.
local function from_position(w)
  local at, req, rules = w.position, {}, {}
  for name, value in pairs(w.request) do
    req[name] = value
  end
  for name, value in pairs(w.rules) do
    rules[name] = value
  end
  rules.max_pages = math.max(1, rules.max_pages - at.number)
  if at.token then
    local opts = w.opts
    local query = {}
    for name, value in pairs(opts.query or {}) do
      query[name] = value
    end
    query[rules.query] = at.token
    req.url = assert(w.state.core:url_build(opts.path, opts.params or {}, query))
  elseif at.link then
    local url, why = core.url_resolve(w.request.url, at.link)
    if not url then
      return nil, nil, why
    end
    req.url, req.server_url = url, true
  elseif at.page then
    rules.first = at.page
  end
  return req, rules
end

local function start(w)
  local req, rules = w.request, w.rules
  if w.position then
    local why
    req, rules, why = from_position(w)
    if not req then
      return nil, errors.from_raw({ kind = "protocol", code = "link", message = why,
        retryable = false }, w.context)
    end
  end
  local op, err = client.start(w.state, "walk", req, rules)
  w.op = op
  return op ~= nil, err
end

local function make_page(w, result)
  local page = response.new(result, w.context, w.state.codec)
  local body, err = page:json()
  if err then
    return nil, err
  end
  w.number = w.number + 1
  local items = w.opts.items and response.pick(body, w.opts.items)
  page.number = w.number
  page.items = type(items) == "table" and items or {}
  w.position = position_after(w, page)
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
    local page, err = make_page(w, value)
    if page and w.ahead then
      w.op:advance()
    end
    w.owed = not w.ahead
    return page, err
  end
  w.op = nil
  if value == nil then
    return true
  end
  return nil, client.failure(value, w.context)
end

local function finish(w)
  w.ended = true
  if w.op then
    w.op:cancel()
    w.op = nil
  end
end

--- The next page, waiting for it.
---@return garner.Response|nil page with `items` (the list, {} if absent) and `number`; nil: the end
---@return garner.Error|nil err with `resume`, for the option of that name
function Walk:next()
  local w = hidden[self]
  if w.ended then
    return nil
  end
  local page, err = client.with_token(w.state, step, w)
  if page and page ~= true then
    self.number = w.number
    return page
  end
  finish(w)
  if err then
    err.resume = w.position
    return nil, err
  end
  return nil
end

--- Calls a function with each page; false from it stops the walk.
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

--- The items of all pages in one list.
---@param opts table|nil `max_rows`: more than that ends as kind "truncated"
---@return table|nil items
---@return garner.Error|nil err
---@return table|nil partial the items that came before the error
function Walk:collect(opts)
  opts = options.check(opts, { max_rows = options.integer(1) }, "walk:collect")
  local out = {}
  while true do
    local page, err = self:next()
    if err then
      return nil, err, out
    elseif not page then
      return out
    end
    for _, item in ipairs(page.items) do
      if opts.max_rows and #out == opts.max_rows then
        local resume = hidden[self].position
        self:close()
        return nil, errors.new { kind = "truncated", code = "max_rows", resume = resume,
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

local function check_resume(resume)
  return options.check(resume, { number = options.integer(0), token = options.text,
    link = options.text, page = options.integer(0) }, WHAT .. ": resume")
end

--- Makes a walk; see `client:pages`.
function M.new(state, path, opts)
  opts = client.path_options(path, opts, SCHEMA, WHAT)
  local rules = rules_of(opts)
  local core_request, context = request.build(state, opts, WHAT)
  local walk = setmetatable({ number = 0 }, Walk)
  local position = opts.resume and check_resume(opts.resume)
  hidden[walk] = {
    state = state, opts = opts, rules = rules, request = core_request, context = context,
    here = position and position.link and core.url_resolve(core_request.url, position.link)
      or core_request.url,
    number = position and position.number or 0, position = position,
    -- Nobody would answer what is asked ahead.
    ahead = opts.ahead ~= false and not state.offline,
    ended = false,
  }
  if compat.closes_for then
    return walk, nil, nil, walk
  end
  return walk
end

return M
