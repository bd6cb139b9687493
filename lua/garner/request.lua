-- Owns: checking what a user asks for and making the core's request and the context
-- for its errors out of it. Must not: send it.

local compat = require "garner.compat"
local core = require "garner.core"
local errors = require "garner.errors"
local fields = require "garner.headers"
local options = require "garner.options"

local M = {}

local NONE = {}

local METHODS = { GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true,
  OPTIONS = true }

local function method(value)
  if type(value) == "string" and METHODS[value:upper()] then
    return value:upper()
  end
  return nil, "must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, got " .. options.show(value)
end

--- Rules for the options of one request; verbs add their own.
M.SCHEMA = {
  method = method, path = options.text, params = options.table, query = options.table,
  json = options.any, form = options.table, headers = options.table,
  body = function(value)
    if type(value) == "string" then
      return value
    end
    return nil, "must be a text; for a table use json or form"
  end,
  safe = options.boolean, creates = options.boolean, timeout = options.duration,
  accept = options.text, attempts = options.integer(1), max_body = options.integer(1),
  redirects = options.integer(0, 20), file = options.text,
  operation = options.text, what = options.text, scope = options.text, context = options.table,
}

--- The schema with further names.
---@param more table
---@return table
function M.extend(more)
  local schema = {}
  for name, rule in pairs(M.SCHEMA) do
    schema[name] = rule
  end
  for name, rule in pairs(more) do
    schema[name] = rule
  end
  return schema
end

local function bad_value(value)
  local kind = type(value)
  if kind == "number" then
    return (value ~= value or value == math.huge or value == -math.huge) and "is not finite"
  end
  return kind ~= "string" and kind ~= "boolean" and "is a " .. kind
end

local function check_map(map, what, lists)
  for name, value in pairs(map) do
    if type(name) ~= "string" or name == "" then
      errors.misuse(what .. ": names must be texts, got " .. options.show(name))
    elseif name:find("\0", 1, true) then
      errors.misuse(what .. ": a name has a NUL byte: " .. options.show(name))
    end
    if lists and type(value) == "table" then
      local count = 0
      for key, item in pairs(value) do
        local why = type(key) ~= "number" and "is a table, not a list" or bad_value(item)
        if why then
          errors.misuse(what .. ": " .. name .. " " .. why)
        end
        count = count + 1
      end
      for i = 1, count do
        if value[i] == nil then
          errors.misuse(what .. ": " .. name .. " is a list with a hole at " .. i)
        end
      end
    else
      local why = bad_value(value)
      if why then
        errors.misuse(what .. ": " .. name .. " " .. why)
      end
    end
  end
end

--- A text as a part of a URL or form carries it.
---@param text string
---@return string
function M.escape(text)
  return (text:gsub("[^%w%-%._~]", function(c)
    return string.format("%%%02X", c:byte())
  end))
end

local function plain(value)
  return type(value) == "number" and compat.number_text(value) or tostring(value)
end

local function form_body(form, what)
  check_map(form, what .. ": form", true)
  local names, out = {}, {}
  for name in pairs(form) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local values = form[name]
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      out[#out + 1] = M.escape(name) .. "=" .. M.escape(plain(value))
    end
  end
  return table.concat(out, "&")
end

--- Encodes a value as JSON with the client's codec; what cannot be encoded raises.
---@param value any
---@param codec string|nil
---@param what string
---@return string
function M.encode(value, codec, what)
  local text, why = require("garner.json").codec(codec).encode(value)
  if not text then
    errors.misuse(what .. ": json: " .. tostring(why))
  end
  return text
end

local function body_of(opts, codec, what)
  local json, form, body = opts.json, opts.form, opts.body
  local count = (json ~= nil and 1 or 0) + (form and 1 or 0) + (body and 1 or 0)
  if count > 1 then
    errors.misuse(what .. ": give one of json, form and body, not both")
  elseif json ~= nil then
    return M.encode(json, codec, what), "application/json"
  elseif form then
    return form_body(form, what), "application/x-www-form-urlencoded"
  end
  return body
end

local function has_header(list, name)
  for _, pair in ipairs(list) do
    if pair[1]:lower() == name then
      return true
    end
  end
  return false
end

--- A list of headers with one more; the list itself, which may be shared, stays as it is.
---@param list table[]
---@param name string
---@param value string
---@return table[]
function M.with_header(list, name, value)
  local out = {}
  for i, pair in ipairs(list) do
    out[i] = pair
  end
  out[#out + 1] = { name, value }
  return out
end

-- What most requests send; never changed.
local JSON_ONLY = { { "Accept", "application/json" } }

local function headers_of(opts, content_type, what)
  if not opts.headers and not opts.accept and not content_type then
    return JSON_ONLY
  end
  local headers = fields.list(opts.headers or NONE, what)
  if not has_header(headers, "accept") then
    headers[#headers + 1] = { "Accept", opts.accept or "application/json" }
  end
  if content_type and not has_header(headers, "content-type") then
    headers[#headers + 1] = { "Content-Type", content_type }
  end
  return headers
end

local SHORTEST_SECRET = 6

-- Values of parameters and fields whose names tell a secret. Gives a list where there are any.
local function with_named(list, map)
  for name, value in pairs(type(map) == "table" and map or NONE) do
    if type(name) == "string" and type(value) == "string" and #value >= SHORTEST_SECRET
      and core.is_secret_name(name) then
      list = list or {}
      list[#list + 1] = value
    end
  end
  return list
end

-- What to hide in the errors of one request: the client's, and its own headers'.
local function secrets_of(opts, state)
  local headers = opts.headers
  local own = headers and fields.secret_values(headers)
  local short = headers and fields.short_tenants(headers) or NONE
  own = with_named(with_named(with_named(own, opts.query), opts.form), opts.json) or NONE
  if not (own[1] or short[1]) then
    return state.secrets
  end
  return function()
    local list = state.secrets() -- made anew for each call
    for _, text in ipairs(own) do
      table.insert(list, 1, text)
    end
    for _, hide in ipairs(short) do
      list[#list + 1] = hide
    end
    return list
  end
end

local function context_of(opts, state)
  local given = opts.context or NONE
  return {
    method = opts.method, service = given.service or state.name,
    operation = opts.operation or given.operation, what = opts.what or given.what,
    scope = opts.scope or given.scope or state.scope, secrets = secrets_of(opts, state),
    curl = state.curl,
  }
end

--- Makes the core's request. Wrong arguments raise at the caller's line.
---@param state table of the client: base_url, secrets, name, scope, codec
---@param opts table checked against the schema
---@param what string
---@return table request
---@return table context for errors
function M.build(state, opts, what)
  opts.method = opts.method or "GET"
  if opts.query then
    check_map(opts.query, what .. ": query", true)
  end
  if opts.params then
    check_map(opts.params, what .. ": params", false)
  end
  if opts.safe and opts.creates then
    errors.misuse(what .. ": a request that creates something is not safe to send twice")
  end
  local body, content_type = body_of(opts, state.codec, what)
  if body and (opts.method == "GET" or opts.method == "HEAD") then
    errors.misuse(what .. ": a " .. opts.method .. " request carries no body")
  end
  local headers = headers_of(opts, content_type, what)
  if opts.path and opts.path:find("\0", 1, true) then
    errors.misuse(what .. ": path has a NUL byte")
  end
  local url, why = state.core:url_build(opts.path or "", opts.params or NONE,
    opts.query or NONE)
  if not url then
    errors.misuse(what .. ": " .. tostring(why))
  end
  local context = context_of(opts, state)
  return {
    url = url, method = opts.method, headers = headers, body = body, safe = opts.safe,
    creates = opts.creates, timeout = opts.timeout, attempts = opts.attempts,
    max_body = opts.max_body, redirects = opts.redirects, file = opts.file,
    scope = state.scoped and context.scope or nil,
  }, context
end

M.context = context_of

return M
