-- Owns: what a user says about the next page (`next` of client:pages), as rules for the
-- core's pager, and where a walk stands. Must not: send anything, or know any API.

local compat = require "garner.compat"
local errors = require "garner.errors"
local options = require "garner.options"
local request = require "garner.request"

local M = {}

local function link_header(value)
  if value == true then
    return "next"
  elseif type(value) == "string" and value:find("^[^%s\"]+$") then
    return value
  end
  return nil, 'must be true or a link relation such as "next", got ' .. options.show(value)
end

local function header_name(value)
  if type(value) == "string" and value:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    return value
  end
  return nil, "must be a header's name, got " .. options.show(value)
end

local SCHEMA = {
  from = options.text, from_header = header_name, link = options.text, link_header = link_header,
  page = options.text, offset = options.text, query = options.text, body = options.text,
  header = header_name, to = options.one_of { "query", "body", "header" },
  size = options.integer(1), first = options.integer(0), more = options.text,
  repeats = options.one_of { "error", "end", "allow" },
}

-- The one source of each, and what the core calls it.
local SOURCES = { from = "json", from_header = "header", link = "json", link_header = "link",
  page = "page", offset = "offset" }
local TARGETS = { "query", "body", "header" }

local KNOWN = '{ from = "nextPageToken", query = "pageToken" } (from or from_header; query, body '
  .. 'or header), { link = "next" }, { link_header = true }, { page = "page", size = 250 } or '
  .. '{ offset = "offset", size = 100 }'

local function source_of(n, what)
  local found
  for name in pairs(SOURCES) do
    if n[name] ~= nil then
      if found then
        errors.misuse(what .. ": next: give " .. found .. " or " .. name .. ", not both")
      end
      found = name
    end
  end
  if not found then
    errors.misuse(what .. ": next must be one of " .. KNOWN)
  end
  return found
end

local function target_of(n, what)
  local found
  for _, name in ipairs(TARGETS) do
    if n[name] ~= nil then
      if found then
        errors.misuse(what .. ": next: give " .. found .. " or " .. name .. ", not both")
      end
      found = name
    end
  end
  return found
end

local function refuse_given(n, names, why, what)
  for _, name in ipairs(names) do
    if n[name] ~= nil then
      errors.misuse(what .. ": next: " .. name .. " " .. why)
    end
  end
end

-- Where a token goes: the kind and the name; a link goes nowhere, a number under its own.
local function destination(n, source, what)
  local target = target_of(n, what)
  if source == "link" or source == "link_header" then
    refuse_given(n, { "query", "body", "header", "to" }, "does not go with a link", what)
    return "url"
  elseif source == "page" or source == "offset" then
    refuse_given(n, TARGETS, "does not go with " .. source .. ": say where by `to`", what)
    return n.to or "query", n[source]
  elseif not target then
    errors.misuse(what .. ": next: where does the token go? query, body or header is missing")
  end
  refuse_given(n, { "to" }, "is for page and offset", what)
  return target, n[target]
end

-- Bodies ----------------------------------------------------------------------

local function shallow(value)
  local out = {}
  for k, v in pairs(value) do
    out[k] = v
  end
  return setmetatable(out, getmetatable(value))
end

-- A copy of `base` with the value at the dotted path; what is beside it is shared.
local function with_value(base, path, value, what)
  local root = shallow(base)
  local at = root
  local parent, last = path:match("^(.*)%.([^%.]+)$")
  for part in (parent or ""):gmatch("[^%.]+") do
    if at[part] ~= nil and type(at[part]) ~= "table" then
      errors.misuse(what .. ": next: body: " .. part .. " of the JSON body is no object")
    end
    at[part] = shallow(at[part] or {})
    at = at[part]
  end
  at[last or path] = value
  return root
end

-- The body before and after the place where the core puts the value in. Encoded once.
local function split_body(opts, path, codec, what)
  if opts.body or opts.form then
    errors.misuse(what .. ": next: body needs the request's body as json")
  elseif opts.json ~= nil and type(opts.json) ~= "table" then
    errors.misuse(what .. ": next: body: the JSON body is no object")
  end
  opts.method = opts.method or "POST"
  opts.json = opts.json or {}
  local plain = request.encode(opts.json, codec, what)
  local mark, count = "garner-next-page", 0
  while plain:find(mark, 1, true) do
    count = count + 1
    mark = "garner-next-page-" .. count
  end
  local text = request.encode(with_value(opts.json, path, mark, what), codec, what)
  local first, last = text:find('"' .. mark .. '"', 1, true)
  return text:sub(1, first - 1), text:sub(last + 1)
end

-- Rules -----------------------------------------------------------------------

local function check_count(n, source, opts, what)
  if source ~= "page" and source ~= "offset" then
    refuse_given(n, { "size", "first", "repeats" }, "is for page and offset", what)
  elseif not opts.items and (source == "offset" or not n.more) then
    errors.misuse(what .. ": pages by number or offset need items, to see when one is short")
  end
end

--- The core's rules out of the options of a walk. Wrong ones raise at the caller's line.
---@param opts table checked; `json` and `method` are set where the body carries the token
---@param codec string|nil
---@param what string
---@return table
function M.rules(opts, codec, what)
  if not opts.next then
    errors.misuse(what .. ": next is missing: one of " .. KNOWN)
  end
  local n = options.check(opts.next, SCHEMA, what .. ": next")
  local source = source_of(n, what)
  check_count(n, source, opts, what)
  local to, name = destination(n, source, what)
  local counted = source == "page" or source == "offset"
  local rules = {
    kind = counted and source or to == "url" and "link" or "token",
    from = SOURCES[source], to = to, source = not counted and n[source] or nil,
    target = to ~= "body" and name or nil, items = counted and opts.items or nil, more = n.more,
    size = n.size, first = counted and (n.first or (source == "page" and 1 or 0)) or nil,
    max_pages = opts.max_pages or 10000, max_bytes = opts.max_bytes, repeats = n.repeats,
  }
  if to == "body" then
    rules.prefix, rules.suffix = split_body(opts, name, codec, what)
  end
  return rules
end

-- Positions ---------------------------------------------------------------------

local POSITION = { number = options.integer(0), token = options.text, link = options.text,
  page = options.integer(0), offset = options.integer(0), done = options.boolean }

--- Where a walk stands after a page.
---@param rules table
---@param number integer pages so far
---@param value string|nil what asks for the next one; nil: that was the last
---@return table
function M.position(rules, number, value)
  local at = { number = number, done = not value or nil }
  if value and (rules.kind == "page" or rules.kind == "offset") then
    at[rules.kind] = tonumber(value)
  elseif value then
    at[rules.kind] = value
  end
  return at
end

--- What the core is to begin with.
---@param rules table
---@param at table a position
---@return string|nil
function M.start(rules, at)
  local value = at[rules.kind]
  return compat.whole(value) and ("%.0f"):format(value) or value
end

--- Checks a position that came from outside.
---@param rules table
---@param at any
---@param what string
---@return table
function M.check(rules, at, what)
  at = options.check(at, POSITION, what)
  for _, kind in ipairs { "token", "link", "page", "offset" } do
    if at[kind] ~= nil and kind ~= rules.kind then
      errors.misuse(what .. ": it has a " .. kind .. ", but next goes by " .. rules.kind)
    end
  end
  at.number = at.number or 0
  if at.number > 0 and at[rules.kind] == nil and not at.done then
    errors.misuse(what .. ": it has no " .. rules.kind .. " to go on with")
  end
  return at
end

return M
