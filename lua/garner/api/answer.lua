-- Owns what the answers of a described verb mean: the rows, warnings and the
-- state of one page or window. It must not send anything and knows no API.

local coverage = require "garner.coverage"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"
local response = require "garner.response"
local time = require "garner.time"

local M = {}

-- What `garner.rows` compares rows with, made of the description ---------------

local function at_path(path)
  return function(row) return response.pick(row, path) end
end

local function epoch_of(read)
  return function(row)
    local value = read(row)
    if type(value) == "number" then return value end
    local parsed = type(value) == "string" and time.parse(value)
    if not parsed then return nil end
    if parsed.epoch then return parsed.epoch end
    -- A naive range counts its times as if they were UTC.
    parsed = parsed.kind == "naive" and time.parse(value .. "Z")
    return parsed and parsed.epoch or nil
  end
end

local function key_of(fields)
  return function(row)
    local parts, known = {}, false
    for index, path in ipairs(fields) do
      local value = response.pick(row, path)
      known = known or value ~= nil
      parts[index] = value == nil and "-"
        or "=" .. (type(value) == "string" and value or json.encode(value))
    end
    -- What has nothing of its key is like no other row.
    return known and table.concat(parts, "\0") or nil
  end
end

local function encoded(row)
  return json.try_encode(row) or tostring(row)
end

-- Rows are compared by key, but no row is outside: of dates, whose instants
-- only the account's zone knows, and where there is no range.
local function no_time()
  return nil
end

---The functions of a pull's source that read rows.
---@param verb table
---@return table time, key, identity
function M.readers(verb)
  local rules, window = verb.rows, verb.window
  local read, key = rules.time, rules.key
  if not window or window.kind == "date" then read = key and no_time or nil end
  if type(read) == "string" then read = epoch_of(at_path(read)) end
  if type(key) == "table" then key = key_of(key) end
  return { time = read, key = key, identity = rules.identity or encoded }
end

-- Pages ------------------------------------------------------------------------

-- The list at a path of an answer. What is left out is empty, unless the
-- server says something instead.
local function list_at(body, path, res)
  local head, last = path:match "^(.*)%.([^.]+)$"
  local holder = body
  if head then holder = response.pick(body, head) end
  if type(holder) ~= "table" then holder = {} end
  return endpoint.list(holder, last or path, res)
end

local function add_warnings(verb, body, ctx, out)
  local found
  if type(verb.warnings) == "function" then
    found = verb.warnings(body, ctx)
  elseif verb.warnings then
    found = response.pick(body, verb.warnings)
  end
  for _, warning in ipairs(type(found) == "table" and found or {}) do out[#out + 1] = warning end
end

local function add_rows(verb, list, ctx, out)
  local each = verb.rows.each
  for _, item in ipairs(list) do
    if not each then
      out[#out + 1] = item
    else
      local row = each(item, ctx)
      if row ~= nil then out[#out + 1] = row end
    end
  end
end

-- A window lacks what each of its pages lacks.
local function in_both(one, other)
  local known, out = {}, {}
  for _, name in ipairs(other) do known[name] = true end
  for _, name in ipairs(one) do
    if known[name] then out[#out + 1] = name end
  end
  return out
end

---@return garner.api.answer
function M.new()
  return { rows = {}, warnings = {}, requests = 0, bytes = 0 }
end

---Adds one page to an answer.
---@param verb table
---@param answer table rows, warnings, absent, body (the last page's), requests
---@param res garner.Response
---@param ctx table client, given, window, page
---@return table|nil body
---@return garner.Error|nil
function M.add(verb, answer, res, ctx)
  local body, err = res:json()
  if err then return nil, err end
  local whole = type(body) == "table" and body ~= json.null
  local list
  if verb.items then
    if not whole or json.is_array(body) then
      return nil, endpoint.bad_shape(res, "the answer is JSON, but no object")
    end
    list, err = list_at(body, verb.items, res)
    if not list then return nil, err end
  elseif not whole then
    return nil, endpoint.bad_shape(res, "the answer is JSON, but neither object nor list")
  end
  answer.requests, answer.body = answer.requests + 1, body
  answer.bytes = answer.bytes + (res.size or 0)
  ctx.page = answer.requests
  add_warnings(verb, body, ctx, answer.warnings)
  if verb.rows.all then
    local rows, absent = verb.rows.all(body, ctx)
    for _, row in ipairs(rows) do answer.rows[#answer.rows + 1] = row end
    answer.absent = answer.absent and absent and in_both(answer.absent, absent)
      or absent or answer.absent
  else
    add_rows(verb, list or (json.is_array(body) and body or { body }), ctx, answer.rows)
  end
  return body
end

-- Oldest first, and as the server had them where times are equal.
local function sort(rows, read)
  local at, place = {}, {}
  for index, row in ipairs(rows) do
    at[row], place[row] = read(row) or math.huge, index
  end
  table.sort(rows, function(a, b)
    if at[a] ~= at[b] then return at[a] < at[b] end
    return place[a] < place[b]
  end)
end

local function not_ready(message, rows)
  return errors.new { kind = "not_ready",
    message = type(message) == "string" and message
      or ("the data is not ready yet (%d rows came)"):format(#rows) }
end

---What a whole window's answer is: rows in order, and not ready where the
---description says so.
---@param verb table
---@param answer table
---@param ctx table
---@param readers table
---@return table answer
function M.finish(verb, answer, ctx, readers)
  if verb.rows.sort and readers.time then sort(answer.rows, readers.time) end
  if not verb.not_ready then return answer end
  local state, why = verb.not_ready(answer, ctx)
  if not state then return answer end
  if state == true then state = "not_ready" end
  if state ~= "provisional" and not coverage.HOLES[state] then
    errors.misuse(("%s: not_ready gives true, \"provisional\" or a hole's state, got %s"):format(
      verb.name, options.show(state)))
  end
  if not errors.is(why) then why = not_ready(why, answer.rows) end
  answer.state, answer.err, answer.reason = state, why, why.message
  return answer
end

return M
