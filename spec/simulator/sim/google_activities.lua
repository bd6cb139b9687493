-- activities.list of Google's Reports API: audit events, newest first, over a range of time.
-- Both ends of the range belong to it unless the setting activity_edges says otherwise (the
-- documents do not say); with `late`, the newest events appear one by one while one asks.
local clock = require "sim.clock"
local json = require "sim.json"
local query = require "sim.google_query"
local refusal = require "sim.google_http"
local seed = require "sim.seed"
local usage = require "sim.google_usage"
local users = require "sim.google_users"

local M = {}

local DAY = 86400
local RETENTION, GMAIL_MAX = 180 * DAY, 30 * DAY
local invalid = refusal.invalid

local NAMES = { "startTime", "endTime", "eventName", "filters", "actorIpAddress", "orgUnitID",
  "groupIdFilter", "resourceDetailsFilter", "maxResults", "includeSensitiveData" }

local APPLICATIONS = {}
for name in ([[access_evaluation access_transparency admin assignments calendar chat chrome
  classroom cloud_search context_aware_access data_migration data_studio directory_sync drive gcp
  gemini_in_workspace_apps gmail gplus groups groups_enterprise jamboard keep ldap login meet
  meet_hardware mobile profile rules saml tasks token user_accounts vault]]):gmatch("%S+") do
  APPLICATIONS[name] = true
end

local EVENTS = { "view", "edit", "download" }

-- Event number `index` of a day: the first is at midnight sharp, the next two at one and the
-- same instant. Times have milliseconds.
local function event_at(application, day, index, per_day)
  local step = DAY / per_day
  local at = day * DAY + math.floor((index - 1) * step)
  if index == 3 then at = day * DAY + math.floor(step) end
  local number = seed.number(seed.from(application), day * 8191 + index)
  return { at = at, number = number, day = day, index = index, user = number % 40 + 1,
    name = EVENTS[number % #EVENTS + 1], ip = ("198.51.100.%d"):format(number % 200 + 1) }
end

local function parameters_of(event)
  return ('{"name":"doc_id","value":"doc-%d"},{"name":"size","intValue":"90071992547%05d"},' ..
    '{"name":"owner_is_team_drive","boolValue":%s},{"name":"labels","multiValue":["a","b%d"]},' ..
    '{"name":"sizes","multiIntValue":["1","9007199254740993"]},{"name":"target","messageValue":' ..
    '{"parameter":[{"name":"kind","value":"file"},{"name":"depth","intValue":"3"}]}},' ..
    '{"name":"nothing"}'):format(event.number % 9, 40993 + event.number % 50000,
    event.number % 2 == 0 and "true" or "false", event.index)
end

local function item_text(application, event)
  local more = event.number % 5 == 0
    and ',{"type":"acl_change","name":"change_acl","parameters":[{"name":"doc_id","value":"x"}]}'
    or ""
  local time = clock.format_naive(event.at) .. ".000Z"
  -- An int64, sometimes below zero.
  local qualifier = ("%s%d%09d"):format(event.number % 2 == 0 and "-" or "", event.day, event.index)
  return ('{"kind":"admin#reports#activity","id":{"time":"%s","uniqueQualifier":"%s",' ..
    '"applicationName":"%s","customerId":"%s"},"etag":"\\"%08x\\"","actor":{"callerType":"USER",' ..
    '"email":"%s","profileId":"%s"},"ownerDomain":"example.com","ipAddress":"%s","events":[' ..
    '{"type":"access","name":"%s","parameters":[%s]}%s]}'):format(time, qualifier, application,
    usage.CUSTOMER, event.number, users.email(event.user), users.profile(event.user), event.ip,
    event.name, parameters_of(event), more)
end

-- The range, checked; or nil and what is wrong. Nothing is older than retention.
local function range_of(req, application)
  local out, now = {}, clock.now()
  for field, name in pairs { from = "startTime", to = "endTime" } do
    local text = req:arg(name)
    out[field] = text and clock.parse_instant(text)
    if text and not out[field] then
      return nil, refusal.mismatch(text, "(\\d\\d\\d\\d)-(\\d\\d)-(\\d\\d)T(\\d\\d):(\\d\\d):" ..
        "(\\d\\d)(?:\\.(\\d+))?(?:(Z)|([-+])(\\d\\d):(\\d\\d))")
    end
  end
  if application == "gmail" then
    if not (out.from and out.to) then
      return nil, "Start time and end time are required for gmail"
    end
    if out.to - out.from > GMAIL_MAX then
      return nil, "The time range cannot be more than 30 days for gmail"
    end
  end
  out.to = out.to or now
  out.from = math.max(out.from or 0, now - RETENTION)
  if req:arg("startTime") and clock.parse_instant(req:arg("startTime")) > now then
    return nil, "Start time must be before the current time"
  elseif out.from >= out.to and not req:arg("endTime") then
    return nil, "Start time must be before end time"
  elseif req:arg("startTime") and req:arg("endTime")
    and clock.parse_instant(req:arg("startTime")) >= clock.parse_instant(req:arg("endTime")) then
    return nil, "Start time must be before end time"
  end
  return out
end

-- Filters are of event parameters; only those with one plain value can be compared.
local function filters_of(text)
  local list = {}
  for item in (text and text ~= "" and text .. "," or ""):gmatch("([^,]*),") do
    local name, holds, value = query.take_apart(item)
    if not name then
      return nil, refusal.mismatch(text, "(.+[<,<=,==,>=,>,<>].+,)*(.+[<,<=,==,>=,>,<>].+)")
    end
    list[#list + 1] = { name = name, holds = holds, value = value }
  end
  return list
end

local function passes(filters, event)
  for _, filter in ipairs(filters) do
    local value = filter.name == "doc_id" and "doc-" .. event.number % 9 or nil
    if value == nil or not filter.holds(value, filter.value) then return false end
  end
  return true
end

local function inside(at, range, edges)
  if at < range.from or at > range.to then return false end
  if at == range.from and edges:sub(1, 1) == "(" then return false end
  return at ~= range.to or edges:sub(2) == "]"
end

local function meant(asked, event)
  return (not asked.user or asked.user == event.user)
    and (not asked.event or asked.event == event.name)
    and (not asked.ip or asked.ip == event.ip)
    and users.belongs(event.user, asked.units, asked.groups) and passes(asked.filters, event)
end

-- Events that have not appeared yet: the newest `late` of them, of which each request after the
-- first `late_after` lets one more appear, the oldest of them first.
local function still_late(scope)
  local settings = scope.settings
  if settings.late == 0 then return 0 end
  scope.late_asked = (scope.late_asked or 0) + 1
  local shown = math.max(0, scope.late_asked - settings.late_after)
  return math.max(0, settings.late - shown)
end

-- All events of the range, newest first. Whole days from here on back.
local function select(application, asked, scope)
  local out, late = {}, still_late(scope)
  local range, per_day, now = asked.range, scope.settings.activities, clock.now()
  for day = math.floor(math.min(range.to, now) / DAY), math.floor(range.from / DAY), -1 do
    for index = per_day, 1, -1 do
      local event = event_at(application, day, index, per_day)
      if event.at <= now and inside(event.at, range, scope.settings.activity_edges)
        and meant(asked, event) then
        if late > 0 then late = late - 1 else out[#out + 1] = event end
      end
    end
  end
  return out
end

local function read_query(req, application)
  local out, why = {}, query.unknown(req, NAMES)
  if why then return nil, invalid(why) end
  out.range, why = range_of(req, application)
  if why then return nil, invalid(why) end
  out.filters, why = filters_of(req:arg("filters"))
  if why then return nil, invalid(why) end
  out.size, why = query.page_size(req:arg("maxResults"))
  if why then return nil, invalid(why) end
  out.units, why = query.ids(req:arg("orgUnitID"))
  if why then return nil, invalid(why) end
  out.groups, why = query.ids(req:arg("groupIdFilter"), true)
  if why then return nil, invalid(why) end
  out.offset, out.page = query.page_offset(req)
  if not out.offset then return nil, invalid(out.page) end
  why = query.customer(req:arg("customerId"))
  if why then return nil, invalid(why) end
  out.event, out.ip = req:arg("eventName"), req:arg("actorIpAddress")
  return out
end

---One page of activities.
function M.handle(req, scope, key, application)
  if not APPLICATIONS[application] then
    return invalid("Invalid value '" .. application .. "' for applicationName")
  end
  local asked, refused = read_query(req, application)
  if refused then return refused end
  if key ~= "all" then asked.user = users.find(key, scope) or -1 end
  local events, items = select(application, asked, scope), {}
  for position = asked.offset + 1, math.min(asked.offset + asked.size, #events) do
    items[#items + 1] = item_text(application, events[position])
  end
  local following = asked.offset + asked.size
  local token = following < #events and query.page_token(req, following, asked.page + 1)
  return usage.masked(req, ('{"kind":"admin#reports#activities","etag":"\\"%s\\""%s%s}'):format(
    ngx.md5(application .. #events):sub(1, 8),
    token and ',"nextPageToken":' .. json.quote(token) or "",
    items[1] and ',"items":[' .. table.concat(items, ",") .. "]" or ""))
end

return M
