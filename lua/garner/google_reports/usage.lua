-- Owns what Google's entity usage reports mean: parameters and filters of a
-- request, rows of a page, warnings, and "not yet". Facts: "Entities usage
-- report" (Google Reports API guide), the API's discovery document and the
-- entity usage parameters page. It must not send anything or wait.

local errors = require "garner.errors"
local json = require "garner.json"
local arguments = require "garner.arguments"

local M = {}

-- The only entity type of discovery and guide.
M.ENTITY_TYPE = "gplus_communities"

-- "Data is available for the last 30 days"; usage data settles in 1 to 3 days.
M.RETENTION = 30 * 86400
M.LAG = 3 * 86400

M.MAX_PAGE_SIZE = 1000

M.OPERATORS = { "==", "<>", "!=", "<=", ">=", "<", ">" }

local function present(value)
  if value ~= json.null then return value end
end

local function object(value)
  return type(value) == "table" and value ~= json.null and value or {}
end

-- Requests --------------------------------------------------------------------

---Rule: parameters as a list or a text with commas, each "gplus:name".
---@param value any
---@return string|nil comma text
---@return string|nil message
function M.parameters(value)
  local list, message = arguments.texts(value)
  if not list then return nil, message end
  for _, name in ipairs(list) do
    if not name:find "^gplus:[^,%s]+$" then
      return nil, ("must be names such as \"gplus:num_total_members\", got %q"):format(name)
    end
  end
  return table.concat(list, ",")
end

local function check_filter(text)
  local name, operator, value = text:match "^%s*([^<>=!]*)([<>=!]*)%s*(.-)%s*$"
  name = name:gsub("%s+$", "")
  if not name:find "^gplus:[a-z0-9_]+$" then
    return nil, ("must begin with a name such as \"gplus:num_total_members\", got %q"):format(text)
  end
  local known = false
  for _, each in ipairs(M.OPERATORS) do known = known or each == operator end
  if not known then
    return nil, ("needs one of the operators %s, got %q"):format(
      table.concat(M.OPERATORS, " "), text)
  end
  if value == "" then return nil, ("has no value in %q"):format(text) end
  -- The server splits at commas; there is no way to quote one.
  if value:find(",", 1, true) then
    return nil, ("cannot have a comma in a value: %q"):format(text)
  end
  return name .. operator .. value
end

---Rule: filters as a list or a text with commas, each "gplus:name>100".
---@param value any
---@return string|nil comma text
---@return string|nil message
function M.filters(value)
  local list, message = arguments.texts(value)
  if not list then return nil, message end
  local out = {}
  for index, text in ipairs(list) do
    out[index], message = check_filter(text)
    if not out[index] then
      local split = type(value) == "string" and list[2] and " (the text is split at its commas)"
      return nil, message .. (split or "")
    end
  end
  return table.concat(out, ",")
end

---Rule: "C..." or "my_customer".
---@param value any
---@return string|nil
---@return string|nil message
function M.customer_id(value)
  if type(value) == "string" and (value == "my_customer" or value:find "^C.+") then return value end
  return nil, "must be \"my_customer\" or an id that begins with C"
end

-- What has to be in an answer for it to be complete.
local NEEDED = { "nextPageToken", "warnings", "usageReports" }

---Rule: a mask of partial response that hides neither the next page nor the
---warnings: without them an incomplete answer looks complete.
---@param value any
---@return string|nil
---@return string|nil message
function M.fields(value)
  if type(value) ~= "string" or value == "" then return nil, "must be a text that is not empty" end
  local seen, depth = {}, 0
  for name, mark in (value:gsub("%s", "") .. ","):gmatch "([^,()]*)([,()])" do
    if depth == 0 then seen[name:match "^[^/]*"] = true end
    if mark == "(" then depth = depth + 1 elseif mark == ")" then depth = depth - 1 end
    if depth < 0 then break end
  end
  if depth ~= 0 then return nil, "has parentheses that do not match" end
  local hidden = {}
  for _, name in ipairs(NEEDED) do
    if not seen[name] and not seen["*"] then hidden[#hidden + 1] = name end
  end
  if hidden[1] then
    return nil, ("would hide %s, and an incomplete answer would look complete; add what is missing")
      :format(table.concat(hidden, ", "))
  end
  return value
end

-- Answers ---------------------------------------------------------------------

-- An int64 is JSON text by the discovery document and a number in the guide's
-- examples: both come out exact, as text beyond what this Lua holds exactly.
local function integer(value)
  if type(value) == "string" and value:find "^%-?%d+$" then
    local digits = value:gsub("^(%-?)0+(%d)", "%1%2")
    local number = json.decode(digits)
    if number ~= nil then return number end
  end
  return value
end

local KINDS = {
  { field = "intValue", kind = "int", read = integer },
  { field = "stringValue", kind = "string" },
  { field = "boolValue", kind = "bool" },
  { field = "datetimeValue", kind = "datetime" },
  { field = "msgValue", kind = "msg" },
}

-- The value and kind of one parameter; a value field we do not know is kept
-- under its own name.
local function value_of(parameter)
  for _, each in ipairs(KINDS) do
    local value = present(parameter[each.field])
    if value ~= nil then return each.read and each.read(value) or value, each.kind end
  end
  local others = {}
  for name, value in pairs(parameter) do
    if name ~= "name" and value ~= json.null then others[#others + 1] = name end
  end
  table.sort(others)
  if others[1] then return parameter[others[1]], others[1] end
  return json.null, "none"
end

-- Both spellings: the discovery document's and the guide's.
local function entity_of(raw)
  local entity = object(present(raw))
  local function pick(...)
    for _, name in ipairs { ... } do
      local value = present(entity[name])
      if value ~= nil then return value end
    end
  end
  return {
    id = pick("entityId", "objectId"), type = pick "type", object_type = pick "objectType",
    customer_id = pick "customerId", user_email = pick "userEmail",
    profile_id = pick "profileId",
  }
end

---One usage report as a row. `parameters[name]` is the value, `kinds[name]`
---its kind: int, string, bool, datetime, msg, or none (the value is then
---garner.json.null: the server named the parameter and sent no value).
---@param raw table
---@param date string asked for
---@return table
function M.row(raw, date)
  local parameters, kinds, order = {}, {}, {}
  for _, parameter in ipairs(object(present(raw.parameters))) do
    local name = type(parameter) == "table" and present(parameter.name)
    if name then
      if kinds[name] == nil then order[#order + 1] = name end
      parameters[name], kinds[name] = value_of(parameter)
    end
  end
  return { date = present(raw.date) or date, entity = entity_of(raw.entity),
    parameters = parameters, kinds = kinds, names = order, raw = raw }
end

---One element of `usageReports` as a row; what is no object is none.
---@param raw any
---@param ctx table
---@return table|nil
function M.each(raw, ctx)
  return type(raw) == "table" and M.row(raw, ctx.window.date) or nil
end

local function warning_of(raw, date, page)
  local data = {}
  for _, pair in ipairs(object(present(raw.data))) do
    local key = type(pair) == "table" and present(pair.key)
    if key then data[key] = present(pair.value) end
  end
  local code = present(raw.code)
  return { date = date, page = page, code = code ~= nil and tostring(code) or "",
    message = present(raw.message) or "", data = data, raw = raw }
end

---The warnings of a page.
---@param body table
---@param ctx table
---@return table[] date, page, code, message, data, raw
function M.warnings(body, ctx)
  local out = {}
  for _, raw in ipairs(object(present(body.warnings))) do
    if type(raw) == "table" then out[#out + 1] = warning_of(raw, ctx.window.date, ctx.page) end
  end
  return out
end

-- Discovery says the code is "200", the guides show words: with the number
-- the message has to tell the two apart.
local function meaning(warning)
  if warning.code == "PARTIAL_DATA_AVAILABLE" then return "partial" end
  if warning.code == "DATA_NOT_AVAILABLE" then return "never" end
  local text = warning.message:lower()
  if text:find("try again", 1, true) or text:find("not available right now", 1, true) then
    return "partial"
  end
  if text:find("not available", 1, true) then return "never" end
end

---What a date's warnings make of it: nil (complete), "not_ready" (may arrive
---later) or "failed" (never will arrive, and nothing came).
---@param answer table rows and warnings of all its pages
---@return string|nil state
---@return garner.Error|nil
function M.verdict(answer)
  local never, other
  for _, warning in ipairs(answer.warnings) do
    local means = meaning(warning)
    if means == "partial" then
      return "not_ready", errors.new { kind = "not_ready", code = warning.code,
        message = warning.message }
    end
    if means == "never" then never = never or warning else other = other or warning end
  end
  if answer.rows[1] then return nil end
  if never then
    return "failed", errors.new { kind = "not_ready", code = never.code, message = never.message,
      retryable = false }
  end
  -- Nothing came and the server has something to say about it: not "empty".
  if other then
    return "not_ready", errors.new { kind = "not_ready", code = other.code,
      message = other.message ~= "" and other.message or "the server warns, and sent no data" }
  end
end

local TOO_RECENT = {
  "[Dd]ata for dates later than (%d%d%d%d%-%d%d%-%d%d) is not yet available",
  "[Ss]tart date can not be later than (%d%d%d%d%-%d%d%-%d%d)",
  "[Ee]nd date greater than LastReportedDate",
}

---A 400 that only says "too recent" is no wrong argument: it becomes
---"not_ready", with the latest date that is there.
---@param err garner.Error
---@return garner.Error
function M.too_recent(err)
  if err.kind ~= "invalid" then return err end
  for _, pattern in ipairs(TOO_RECENT) do
    local found = err.message:match(pattern)
    if found then
      err.kind, err.retryable = "not_ready", true
      err.latest = found:find "^%d" and found or nil
      return err
    end
  end
  return err
end

---What `save` writes of a row, and its columns.
---@param row table
---@return table
---@return string[]
function M.record(row)
  local record = { date = row.date, entity_id = row.entity.id, entity_type = row.entity.type,
    customer_id = row.entity.customer_id }
  local columns = { "date", "entity_id", "entity_type", "customer_id" }
  for _, name in ipairs(row.names) do
    record[name] = row.parameters[name]
    columns[#columns + 1] = name
  end
  return record, columns
end

M.COLUMNS = { "date", "entity_id", "entity_type", "customer_id" }

return M
