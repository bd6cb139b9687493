-- Owns what the answers of Google's usage reports mean: rows of a page,
-- warnings, and "not yet". Facts: the guides "Entities usage report", "Users
-- usage report" and "Customers usage report", and the API's discovery
-- document. It must not send anything or wait.

local errors = require "garner.errors"
local values = require "garner.google_reports.values"

local object, present = values.object, values.present

local M = {}

-- Usage data settles in 1 to 3 days.
M.LAG = 3 * 86400

local KINDS = {
  { field = "intValue", kind = "int", read = values.integer },
  { field = "stringValue", kind = "string" },
  { field = "boolValue", kind = "bool" },
  { field = "datetimeValue", kind = "datetime" },
  { field = "msgValue", kind = "msg" },
}

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
  local parameters, kinds, order = values.parameters(present(raw.parameters), KINDS)
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

---What `save` writes of a row: some fields of its entity, then the parameters.
---@param heads { column: string, field: string }[]
---@return fun(row: table): table, string[] record
---@return string[] columns
function M.recorder(heads)
  local columns = { "date" }
  for _, head in ipairs(heads) do columns[#columns + 1] = head.column end
  return function(row)
    local record, order = { date = row.date }, {}
    for index, name in ipairs(columns) do order[index] = name end
    for _, head in ipairs(heads) do record[head.column] = row.entity[head.field] end
    for _, name in ipairs(row.names) do
      record[name] = row.parameters[name]
      order[#order + 1] = name
    end
    return record, order
  end, columns
end

return M
