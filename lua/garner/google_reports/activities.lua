-- Owns what Google's activities (audit events) mean: rows, their key, when a
-- query counts as filtered, the windows it is asked in. Facts: "Activities:
-- list" (the API's discovery document) and "Reports API: limits". It must not
-- send anything or wait.

local compat = require "garner.compat"
local time = require "garner.time"
local values = require "garner.google_reports.values"

local object, present = values.object, values.present

local M = {}

-- "Audit data is available for the last 180 days"; events appear within
-- minutes to hours (inferred to be settled after three).
M.RETENTION = 180 * 86400
M.LAG = 3 * 3600

-- Whether an event at startTime or endTime belongs to the answer is not
-- documented (inferred: both do). Windows therefore share their edges, and
-- what comes twice is one row, since an activity has a key.
M.EDGES = "[]"
M.KEY = { "time", "unique_qualifier", "application", "customer_id" }

-- Gmail: "the time range cannot be more than 30 days".
local GMAIL_MAX = 30 * 86400

-- A whole account's events by the day, so that what is in memory stays small;
-- a query that has a filter of the slower kind by the month.
local DAY, MONTH = 86400, 30 * 86400

-- What makes a "filter query", which has a limit of its own: 250 a minute.
M.FILTER_RATE = { per_second = 4, burst = 10 }

---Does a query count as filtered?
---@param given table
---@return boolean
function M.filtered(given)
  return given.user ~= "all" or given.actor_ip ~= nil or given.event ~= nil
    or given.filters ~= nil or given.org_unit_id ~= nil or given.group_id_filter ~= nil
end

M.FILTER_RATE.when = M.filtered

---The longest window of a query.
---@param given table
---@return number seconds
function M.max(given)
  local max = given.window or (M.filtered(given) and MONTH or DAY)
  return given.application == "gmail" and math.min(max, GMAIL_MAX) or max
end

---What is wrong with a query: one request for Gmail has a longest span.
---@param given table
---@param window table|nil of a single request
---@return string|nil
function M.problem(given, window)
  if window and given.application == "gmail" and window.to - window.from > GMAIL_MAX then
    return "gmail takes at most 30 days in one request; activities asks for more in several"
  end
end

local nested

local function integers(list)
  local out = {}
  for index, value in ipairs(object(list)) do out[index] = values.integer(value) end
  return out
end

local function messages(list)
  local out = {}
  for index, value in ipairs(object(list)) do out[index] = nested(value) end
  return out
end

local KINDS = {
  { field = "value", kind = "string" },
  { field = "intValue", kind = "int", read = values.integer },
  { field = "boolValue", kind = "bool" },
  { field = "multiValue", kind = "strings" },
  { field = "multiIntValue", kind = "ints", read = integers },
  { field = "messageValue", kind = "message", read = function(value) return nested(value) end },
  { field = "multiMessageValue", kind = "messages", read = messages },
}

-- A message is a list of parameters again.
nested = function(message)
  return (values.parameters(object(message).parameter, KINDS))
end

local function event_of(raw)
  raw = object(raw)
  local parameters, kinds, names = values.parameters(present(raw.parameters), KINDS)
  return { name = present(raw.name), type = present(raw.type), parameters = parameters,
    kinds = kinds, names = names, resource_ids = present(raw.resourceIds) }
end

local function actor_of(raw)
  raw = object(present(raw))
  return { email = present(raw.email), profile_id = present(raw.profileId),
    caller_type = present(raw.callerType), key = present(raw.key) }
end

---One activity as a row: time (the server's text), epoch, application,
---unique_qualifier (text), customer_id, actor { email, profile_id,
---caller_type, key }, ip_address, owner_domain, events: a list of { name,
---type, parameters { [name] = value }, kinds, names, resource_ids }; name,
---type and parameters of the row are its first event's, which mostly is the
---only one; raw.
---@param raw any
---@return table|nil
function M.each(raw)
  if type(raw) ~= "table" then return nil end
  local id, events = object(present(raw.id)), {}
  for index, event in ipairs(object(present(raw.events))) do events[index] = event_of(event) end
  local at = present(id.time)
  local parsed = type(at) == "string" and time.parse(at)
  local qualifier = present(id.uniqueQualifier)
  local first = events[1] or { parameters = {} }
  return { time = at, epoch = parsed and parsed.epoch or nil, application =
      present(id.applicationName), customer_id = present(id.customerId),
    unique_qualifier = type(qualifier) == "number" and compat.number_text(qualifier) or qualifier,
    actor = actor_of(raw.actor), ip_address = present(raw.ipAddress),
    owner_domain = present(raw.ownerDomain), events = events, name = first.name,
    type = first.type, parameters = first.parameters, raw = raw }
end

M.COLUMNS = { "time", "application", "event", "type", "actor_email", "actor_profile_id",
  "ip_address", "customer_id", "unique_qualifier" }

-- What `save` writes of one event of an activity.
local function record_of(row, event)
  local order = {}
  for index, name in ipairs(M.COLUMNS) do order[index] = name end
  local record = { time = row.time, application = row.application, event = event.name,
    type = event.type, actor_email = row.actor.email, actor_profile_id = row.actor.profile_id,
    ip_address = row.ip_address, customer_id = row.customer_id,
    unique_qualifier = row.unique_qualifier }
  for _, name in ipairs(event.names or {}) do
    record["parameters." .. name] = event.parameters[name]
    order[#order + 1] = "parameters." .. name
  end
  return record, order
end

---What `save` writes of a row: one record for each of its events.
---@param row table
---@return { [1]: table, [2]: string[] }[]
function M.records(row)
  local out = {}
  for index, event in ipairs(row.events) do out[index] = { record_of(row, event) } end
  return out[1] and out or { { record_of(row, {}) } }
end

return M
