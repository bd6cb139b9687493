-- Owns what BlendVision's event reports mean: bodies of create and batch-get,
-- and what their answers say about each report. Facts: "Generate event report"
-- and "Get multiple events reports" (BlendVision One API reference); names
-- that those pages lost are marked. It must not send anything or wait.

local compat = require "garner.compat"
local enums = require "garner.enums"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"
local report = require "garner.report"
local time = require "garner.time"

local M = {}

M.EVENT_TYPES = enums.new("event type", "EVENT_TYPE_", { "live", "vod", "aod" })
M.DIMENSIONS = enums.new("dimension", "REPORT_DIMENSION_",
  { "chat_histories", "poll_summaries", "poll_votes", "watch_time" })
M.GROUP_BY = enums.new("group-by field", "GROUP_BY_FIELD_",
  { "watch_timestamp", "customer_id", "device_id", "device_os", "geo_region" })
M.STATUSES = enums.new("status", "EVENT_REPORT_STATUS_", { "running", "succeeded", "failed" })

-- What the core's poller makes of the API's statuses; anything else is
-- polled on until the deadline.
M.STATES = {
  EVENT_REPORT_STATUS_RUNNING = "running", EVENT_REPORT_STATUS_SUCCEEDED = "done",
  EVENT_REPORT_STATUS_FAILED = "failed",
}

M.CREATE = {
  method = "POST", path = "/bv/analytics/v1/events/reports", creates = true, safe = false,
  operation = "create_report",
}
-- A read in the clothes of a POST: it may be sent again.
M.BATCH_GET = {
  method = "POST", path = "/bv/analytics/v1/events/reports:batch-get", safe = true,
  operation = "batch_get",
}

local function present(value)
  if value ~= json.null then return value end
end

local function object(value)
  return type(value) == "table" and value ~= json.null and value or {}
end

-- Requests --------------------------------------------------------------------

local ENTRY = { [1] = true, dimension = true, group_by = true, group_by_fields = true,
  from = true, to = true, date = true, zone = true, filter = true }

-- The filter's two times. The page does not say whether one alone is legal; a
-- sibling endpoint requires both, so here it is both or neither.
local function filter_of(entry, zone)
  local from, to = entry.from, entry.to
  if entry.filter ~= nil then
    if from ~= nil or to ~= nil or entry.date ~= nil then
      return nil, "give either filter or from and to"
    end
    if type(entry.filter) ~= "table" then return nil, "filter must be a table" end
    for name in pairs(entry.filter) do
      if name ~= "start_time" and name ~= "end_time" then
        return nil, ("filter has no field %q; it has start_time and end_time"):format(
          tostring(name))
      end
    end
    from, to = entry.filter.start_time, entry.filter.end_time
  end
  if from == nil and to == nil and entry.date == nil then return nil end
  if entry.date == nil and (from == nil or to == nil) then
    return nil, ("only %s is given; give both from and to, or neither"):format(
      from ~= nil and "from" or "to")
  end
  local range, message = time.range({ from = from, to = to, date = entry.date, zone = entry.zone },
    { kind = "instant", zone = zone })
  if not range then return nil, message end
  return { start_time = time.format(range.from), end_time = time.format(range.to) }
end

-- One entry of `dimensions` as the API's dimension_with_condition.
local function condition_of(entry, zone)
  if type(entry) == "string" then entry = { entry } end
  if type(entry) ~= "table" then return nil, "must be text or a table, got " .. type(entry) end
  for name in pairs(entry) do
    if not ENTRY[name] then
      return nil, ("unknown field %q; there are: dimension, group_by, from, to, date, zone, filter")
        :format(tostring(name))
    end
  end
  if entry[1] ~= nil and entry.dimension ~= nil and entry[1] ~= entry.dimension then
    return nil, "names two dimensions"
  end
  local name = entry[1] or entry.dimension
  if name == nil then return nil, "names no dimension" end
  local dimension, message = M.DIMENSIONS:api(name)
  if not dimension then return nil, message end
  if entry.group_by ~= nil and entry.group_by_fields ~= nil then
    return nil, "give group_by or group_by_fields, not both"
  end
  local fields
  fields, message = M.GROUP_BY:list(entry.group_by or entry.group_by_fields)
  if not fields then return nil, message end
  local filter
  filter, message = filter_of(entry, zone)
  if message then return nil, message end
  -- "If there is no need to aggregate, use an empty array."
  return { dimension = dimension, group_by_fields = json.array(fields), filter = filter }
end

---Rule for `dimensions`: a list of texts and tables, or one of them.
---@param zone string|nil where times carry none
---@return fun(value: any): table[]|nil, string|nil
function M.dimensions_rule(zone)
  return function(value)
    if type(value) == "string" or type(value) == "table" and value.dimension ~= nil then
      value = { value }
    end
    if type(value) ~= "table" then return nil, "must be a list, got " .. options.show(value) end
    local count, out = 0, {}
    for _ in pairs(value) do count = count + 1 end
    for index, entry in ipairs(value) do
      local condition, message = condition_of(entry, zone)
      if not condition then return nil, ("(entry %d): %s"):format(index, message) end
      out[index] = condition
    end
    if #out == 0 then
      return nil, "must name at least one of: " .. table.concat(M.DIMENSIONS.names, ", ")
    end
    if count ~= #out then
      return nil, "must be a plain list; what belongs to one dimension goes into a table of its "
        .. "own, such as { { \"watch_time\", group_by = { \"device_os\" } } }"
    end
    return out
  end
end

---The body of a create.
---@param event_id string
---@param ask table type, conditions, deprecated_fields
---@param names { event_id: string, type: string, dimensions: string } fields that the page lost
---@return table
function M.create_body(event_id, ask, names)
  local body = { dimension_with_conditions = json.array(ask.conditions) }
  body[names.event_id], body[names.type] = event_id, ask.type
  if ask.deprecated_fields then
    local dimensions = {}
    for index, condition in ipairs(ask.conditions) do dimensions[index] = condition.dimension end
    body[names.dimensions] = json.array(dimensions)
  end
  return body
end

local function condition_copy(returned, sent)
  returned, sent = object(returned), object(sent)
  local filter = {}
  for name, value in pairs(object(present(returned.filter) or sent.filter)) do
    if value ~= json.null then filter[name] = value end
  end
  local fields = present(returned.group_by_fields)
  if type(fields) ~= "table" then fields = sent.group_by_fields or {} end
  return {
    dimension = present(returned.dimension) or sent.dimension,
    group_by_fields = json.array(fields), filter = next(filter) and filter or nil,
  }
end

---What batch-get is told of one report: id and dimension_with_condition;
---status, uri and error_info are output only.
---@param each garner.report
---@param deprecated_fields boolean|nil
---@return table
function M.batch_entry(each, deprecated_fields)
  local condition = each.dimension_with_condition
  return { id = each.id, dimension_with_condition = condition,
    dimension = deprecated_fields and condition.dimension or nil }
end

-- Answers ---------------------------------------------------------------------

---Takes what the server says about a report into it.
---@param each garner.report
---@param element table
---@param states? table<string, string> what the statuses mean, if more is known than documented
function M.apply(each, element, states)
  local status = present(element.status)
  if type(status) == "number" then status = compat.number_text(status) end
  each.state = (states or M.STATES)[status] or "unknown"
  each.status = M.STATUSES:friendly(status) or "unknown"
  local uri = present(element.uri)
  each.uri = type(uri) == "string" and uri ~= "" and uri or nil
  local info = present(element.error_info)
  each.error_info = type(info) == "table" and next(info) ~= nil and info or nil
end

local function friendly_fields(condition)
  local out = {}
  for index, name in ipairs(object(condition.group_by_fields)) do
    out[index] = M.GROUP_BY:friendly(name)
  end
  return out
end

-- The report's id as text; what has none cannot be asked about.
local function id_of(element)
  local id = present(element.id)
  if type(id) == "number" then id = compat.number_text(id) end
  return type(id) == "string" and id ~= "" and id or nil
end

---A report made of what was asked for and what came back.
---@param event_id string|nil
---@param sent table|nil the dimension_with_condition that was sent
---@param element table|nil the server's object
---@param states? table<string, string>
---@return garner.report
function M.new_report(event_id, sent, element, states)
  element = element or {}
  local condition = condition_copy(present(element.dimension_with_condition) or
    { dimension = present(element.dimension) }, sent)
  local each = report.new {
    id = id_of(element), event_id = event_id,
    dimension = M.DIMENSIONS:friendly(condition.dimension),
    group_by = friendly_fields(condition), dimension_with_condition = condition, raw = element,
  }
  M.apply(each, element, states)
  return each
end

---What a checkpoint keeps of a report: no link, and nothing that the server will say again.
---@param each garner.report
---@return table
function M.freeze(each)
  local condition = each.dimension_with_condition
  return { event_id = each.event_id, type = each.event_type, dimension = condition.dimension,
    group_by = condition.group_by_fields, filter = condition.filter }
end

---A report out of a checkpoint.
---@param frozen table
---@return garner.report
function M.thaw(frozen)
  local condition = { dimension = frozen.dimension, group_by_fields = frozen.group_by,
    filter = frozen.filter }
  local each = M.new_report(frozen.event_id, condition, { id = frozen.id })
  each.event_type, each.raw = frozen.type, nil
  if each.id then each.state, each.status = "running", "running" end
  return each
end

local function instant(text)
  local parsed = type(text) == "string" and time.parse(text)
  return parsed and parsed.epoch or text or ""
end

-- How much of a report must agree, from all to its dimension alone.
local SIGNATURES = {
  function(condition)
    local filter = object(condition.filter)
    return ("%s|%s|%s|%s"):format(tostring(condition.dimension), condition.fields,
      tostring(instant(present(filter.start_time))), tostring(instant(present(filter.end_time))))
  end,
  function(condition) return ("%s|%s"):format(tostring(condition.dimension), condition.fields) end,
  function(condition) return tostring(condition.dimension) end,
}

local function signed(condition, sign)
  local fields = {}
  for index, name in ipairs(object(present(condition.group_by_fields))) do
    fields[index] = tostring(name)
  end
  table.sort(fields)
  return sign { dimension = present(condition.dimension), filter = present(condition.filter),
    fields = table.concat(fields, ",") }
end

local function element_condition(element)
  local condition = object(present(element.dimension_with_condition))
  if present(condition.dimension) then return condition end
  return { dimension = present(element.dimension), group_by_fields = condition.group_by_fields,
    filter = condition.filter }
end

-- Which answer belongs to which request: by what it says, never by position
-- where it says something. Of equal ones, the first goes to the first.
local function match(elements, conditions)
  local found, taken = {}, {}
  for _, sign in ipairs(SIGNATURES) do
    local free, first = {}, {}
    for at, element in ipairs(elements) do
      if not taken[at] then
        local key = signed(element_condition(element), sign)
        free[key] = free[key] or {}
        table.insert(free[key], at)
      end
    end
    for index, condition in ipairs(conditions) do
      local key = not found[index] and signed(condition, sign)
      local at = key and free[key] and free[key][first[key] or 1]
      if at then
        first[key] = (first[key] or 1) + 1
        found[index], taken[at] = elements[at], true
      end
    end
  end
  return found, taken
end

---The reports that a create made, in request order. One that the answer lacks
---stands there as "missing", one that was not asked for comes last.
---@param event_id string
---@param ask table type, conditions
---@param body table
---@param states table<string, string>
---@return garner.report[]|nil
---@return string|nil message
function M.created(event_id, ask, body, states)
  local conditions = ask.conditions
  local list = present(body.reports)
  if type(list) ~= "table" then return nil, "the answer has no list of reports" end
  local elements = {}
  for _, element in ipairs(list) do
    if type(element) == "table" then elements[#elements + 1] = element end
  end
  local found, taken = match(elements, conditions)
  local out = {}
  for index, condition in ipairs(conditions) do
    out[index] = M.new_report(event_id, condition, found[index], states)
  end
  for at, element in ipairs(elements) do
    if not taken[at] then out[#out + 1] = M.new_report(event_id, nil, element, states) end
  end
  for _, each in ipairs(out) do
    each.event_type = ask.type
    if not each.id then
      each.state, each.status = "lost", "missing"
      each.err = errors.new { kind = "protocol", code = "missing",
        message = ("the server's answer has no id for report %s"):format(report.name(each)) }
    end
  end
  return out
end

---Reports of an event whose create failed: they say why.
---@param event_id string
---@param ask table type, conditions
---@param err garner.Error
---@return garner.report[]
function M.not_created(event_id, ask, err)
  local out = {}
  for index, condition in ipairs(ask.conditions) do
    local each = M.new_report(event_id, condition)
    each.event_type = ask.type
    each.state, each.err = "lost", err
    each.status = err.kind == "in_doubt" and "in_doubt" or "not_created"
    out[index] = each
  end
  return out
end

---The objects of a batch-get answer by id.
---@param body table
---@return table<string, table>
function M.by_id(body)
  local out = {}
  for _, element in ipairs(object(present(body.reports))) do
    local id = type(element) == "table" and id_of(element)
    if id then out[id] = element end
  end
  return out
end

return M
