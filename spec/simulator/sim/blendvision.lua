-- BlendVision event reports: create, and batch-get with the states a report goes through.
-- Checks a body as strictly as the documents describe it (unknown and output-only fields,
-- enums, half a filter). The files themselves are blendvision_files.lua.
local clock = require "sim.clock"
local event_files = require "sim.blendvision_files"
local files = require "sim.files"
local http = require "sim.http"
local json = require "sim.json"
local rpc = require "sim.rpc"
local seed = require "sim.seed"
local state = require "sim.state"

local M = {}

local function set(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

local EVENT_TYPES = set { "EVENT_TYPE_LIVE", "EVENT_TYPE_VOD", "EVENT_TYPE_AOD" }
local DIMENSIONS = set { "REPORT_DIMENSION_CHAT_HISTORIES", "REPORT_DIMENSION_POLL_SUMMARIES",
  "REPORT_DIMENSION_POLL_VOTES", "REPORT_DIMENSION_WATCH_TIME" }
local GROUP_BY = set { "GROUP_BY_FIELD_WATCH_TIMESTAMP", "GROUP_BY_FIELD_CUSTOMER_ID",
  "GROUP_BY_FIELD_DEVICE_ID", "GROUP_BY_FIELD_DEVICE_OS", "GROUP_BY_FIELD_GEO_REGION" }
local OUTPUT_ONLY = set { "status", "uri", "error_info" }

-- Each check returns nil, or the answer that refuses.

local function check_fields(object, allowed, where)
  for name in pairs(object) do
    if OUTPUT_ONLY[name] and not allowed[name] then
      return rpc.invalid(where .. name, "field is output only")
    end
    if not allowed[name] then return rpc.invalid(where .. name, "unknown field") end
  end
end

local function check_enum(value, known, field)
  if value == nil or value == json.null then return rpc.invalid(field, "value is required") end
  if type(value) ~= "string" or not known[value] then
    return rpc.invalid(field, "unknown enum value: " .. json.encode(value))
  end
end

local function check_filter(filter, where)
  if filter == nil or filter == json.null then return nil end
  if not json.is_object(filter) then return rpc.invalid(where, "must be an object") end
  local bad = check_fields(filter, { start_time = true, end_time = true }, where .. ".")
  if bad then return bad end
  local times = {}
  for _, name in ipairs { "start_time", "end_time" } do
    local text = filter[name]
    if type(text) ~= "string" then return rpc.invalid(where .. "." .. name, "value is required") end
    times[name] = clock.parse_instant(text)
    if not times[name] then
      return rpc.invalid(where .. "." .. name, "not an RFC 3339 timestamp: " .. text)
    end
  end
  if times.start_time > times.end_time then
    return rpc.invalid(where .. ".end_time", "must not be before start_time")
  end
end

local function check_dimension(value, where)
  if not json.is_object(value) then return rpc.invalid(where, "must be an object") end
  local bad = check_fields(value, { dimension = true, group_by_fields = true, filter = true },
    where .. ".") or check_enum(value.dimension, DIMENSIONS, where .. ".dimension")
  if bad then return bad end
  if not json.is_array(value.group_by_fields) then
    return rpc.invalid(where .. ".group_by_fields", "an array is required; use [] for none")
  end
  for i, field in ipairs(value.group_by_fields) do
    bad = check_enum(field, GROUP_BY, ("%s.group_by_fields[%d]"):format(where, i - 1))
    if bad then return bad end
  end
  return check_filter(value.filter, where .. ".filter")
end

local function check_dimensions(list)
  if not json.is_array(list) or #list == 0 then
    return rpc.invalid("dimension_with_conditions", "at least one is required")
  end
  for i, value in ipairs(list) do
    local bad = check_dimension(value, ("dimension_with_conditions[%d]"):format(i - 1))
    if bad then return bad end
  end
end

local function check_deprecated(list)
  if list == nil then return nil end
  if not json.is_array(list) then return rpc.invalid("dimensions", "must be an array") end
  for i, value in ipairs(list) do
    local bad = check_enum(value, DIMENSIONS, ("dimensions[%d]"):format(i - 1))
    if bad then return bad end
  end
end

local function check_create(body)
  local bad = check_fields(body, { id = true, type = true, dimensions = true,
    dimension_with_conditions = true }, "")
  if bad then return bad end
  if type(body.id) ~= "string" or body.id == "" then
    return rpc.invalid("id", "value is required")
  end
  return check_enum(body.type, EVENT_TYPES, "type") or
    check_dimensions(body.dimension_with_conditions) or check_deprecated(body.dimensions)
end

local function body_of(req)
  local body, why = json.decode(req.body)
  if why then return nil, rpc.error(3, "the body is not JSON: " .. why) end
  if not json.is_object(body) then return nil, rpc.error(3, "the body must be a JSON object") end
  return body
end

local function condition_of(value)
  local condition = { dimension = value.dimension, group_by_fields = value.group_by_fields }
  if value.filter ~= json.null then condition.filter = value.filter end
  return condition
end

local function fate_of(event_id, index, fails)
  if event_id:find("somefail", 1, true) then return index % 2 == 1 and "failed" or "succeeded" end
  if fails or event_id:find("fail", 1, true) then return "failed" end
  if event_id:find("stuck", 1, true) then return "stuck" end
  return "succeeded"
end

local function new_report(scope, event, value, index, fails)
  scope.report_count = scope.report_count + 1
  local report = {
    id = seed.uuid(("report %s %d"):format(scope.name, scope.report_count)),
    event_id = event.id, condition = condition_of(value), polls = 0, created = ngx.now(),
    fate = fate_of(event.id, index, fails),
  }
  report.file = report.id .. ".csv"
  if not (state.take_vanished(scope) or event.id:find("vanish", 1, true)) then
    scope.reports[report.id] = report
  end
  files.register(scope, report.file, function()
    return event_files.make(event.id, event.type, report.condition)
  end)
  return report
end

local function error_info(report)
  return {
    reason = "REPORT_GENERATION_FAILED", domain = "analytics.one.blendvision.com",
    metadata = { eventId = report.event_id, dimension = report.condition.dimension },
  }
end

-- What a report looks like now. "oddstatus" events pass through a status nobody documented,
-- "lateuri" ones are finished one poll before their link is there.
local function describe(req, scope, report)
  local ready = state.has_ended(scope, report) and report.fate ~= "stuck"
  local out = {
    id = report.id, dimension = report.condition.dimension, status = "EVENT_REPORT_STATUS_RUNNING",
    uri = "", dimension_with_condition = report.condition,
  }
  if not ready then
    if report.polls > 0 and report.event_id:find("oddstatus", 1, true) then
      out.status = "EVENT_REPORT_STATUS_ARCHIVING"
    end
    return out
  end
  if report.fate == "failed" then
    out.status, out.error_info = "EVENT_REPORT_STATUS_FAILED", error_info(report)
    return out
  end
  out.status, out.error_info = "EVENT_REPORT_STATUS_SUCCEEDED", json.null
  local late = report.event_id:find("lateuri", 1, true) and
    report.polls <= scope.settings.polls_until_ready + 1
  if state.shows_link(scope, report) and not late then
    out.uri = files.url(req, scope, report.file)
  end
  return out
end

local function create(req, scope)
  local body, refused = body_of(req)
  refused = refused or check_create(body)
  if refused then return refused end
  if body.id:find("unknown", 1, true) then return rpc.error(5, "event not found: " .. body.id) end
  local fails = state.take_failure(scope)
  local reports = json.array()
  for i, value in ipairs(body.dimension_with_conditions) do
    reports[i] = describe(req, scope, new_report(scope, body, value, i, fails))
  end
  return http.json(200, { reports = reports })
end

local function check_wanted(scope, wanted, where)
  if not json.is_object(wanted) then return rpc.invalid(where, "must be an object") end
  local bad = check_fields(wanted, { id = true, dimension = true, dimension_with_condition = true },
    where .. ".")
  if bad then return bad end
  if type(wanted.id) ~= "string" or wanted.id == "" then
    return rpc.invalid(where .. ".id", "value is required")
  end
  if wanted.dimension ~= nil then
    bad = check_enum(wanted.dimension, DIMENSIONS, where .. ".dimension")
    if bad then return bad end
  end
  local field = where .. ".dimension_with_condition"
  bad = check_dimension(wanted.dimension_with_condition, field)
  if bad then return bad end
  local report = scope.reports[wanted.id]
  if not report then return rpc.error(5, "report not found: " .. wanted.id) end
  local asked = condition_of(wanted.dimension_with_condition)
  if json.encode(asked) ~= json.encode(report.condition) then
    return rpc.invalid(field, "does not match the report " .. wanted.id)
  end
end

-- The order of the answer is not the order of the question: clients must match by id.
local function shuffled(list, scope)
  if not scope.settings.shuffle then return list end
  local out = json.array()
  for i = #list, 1, -1 do out[#out + 1] = list[i] end
  if #out > 2 then table.insert(out, 1, table.remove(out, 2)) end
  return out
end

local function batch_get(req, scope)
  local body, refused = body_of(req)
  refused = refused or check_fields(body, { reports = true }, "")
  if refused then return refused end
  local wanted = body.reports
  if not json.is_array(wanted) or #wanted == 0 then
    return rpc.invalid("reports", "at least one is required")
  end
  local most = scope.settings.batch_max
  if most > 0 and #wanted > most then return rpc.invalid("reports", "at most " .. most) end
  for i, item in ipairs(wanted) do
    refused = check_wanted(scope, item, ("reports[%d]"):format(i - 1))
    if refused then return refused end
  end
  local out = {}
  for i, item in ipairs(wanted) do
    local report = scope.reports[item.id]
    report.polls = report.polls + 1
    out[i] = describe(req, scope, report)
  end
  return http.json(200, { reports = shuffled(out, scope) })
end

local endpoints = {
  ["/bv/analytics/v1/events/reports"] = create,
  ["/bv/analytics/v1/events/reports:batch-get"] = batch_get,
}

function M.handle(req, scope)
  local endpoint = endpoints[req.path:gsub("%%3[Aa]", ":")]
  local refused = endpoint and rpc.refuse(req, scope)
  if refused then return refused end
  if not endpoint then return rpc.error(5, "Not Found") end
  if req.method ~= "POST" then return rpc.error(12, "Method Not Allowed") end
  return endpoint(req, scope)
end

return M
