-- Usage reports of Google's Reports API for a date, whatever they are about (`kind`: entities,
-- users, the customer): dates that are too recent, too old or malformed, pages, warnings.
local clock = require "sim.clock"
local http = require "sim.http"
local json = require "sim.json"
local query = require "sim.google_query"
local refusal = require "sim.google_http"

local M = {}

local WARNING_AGE = 5
M.CUSTOMER = "C03az79cb"

local invalid = refusal.invalid

local function latest_day(scope)
  local text = scope.settings.latest_date
  return text and clock.parse_date(text) or clock.today() - scope.settings.lag_days
end

-- The day asked for; or nil and the answer that refuses it; the third value says that the
-- day is past retention.
local function day_of(kind, text, scope)
  local day = clock.parse_date(text)
  if not day then return nil, invalid(refusal.mismatch(text, "(\\d){4}-(\\d){2}-(\\d){2}")) end
  local latest = latest_day(scope)
  if day > latest then
    return nil, invalid(("Data for dates later than %s is not yet available. Please check back " ..
      "later"):format(clock.format_date(latest)))
  end
  local old = day < clock.today() - kind.retention_days
  if old and scope.settings.old_dates == "error" then
    return nil, invalid(("Date is too old: data is kept for %d days."):format(kind.retention_days))
  end
  return day, nil, old
end

-- With the setting, every day's (or warning_date's) page `warning_page`; without, the second
-- page of the day five days before today.
local function warning_of(kind, scope, date, day, page)
  local settings = scope.settings
  local code = settings.warning
  local meant = settings.warning_date
  local here = code and (not meant or meant == date)
  if not code and day == clock.today() - WARNING_AGE then
    here, code = true, "PARTIAL_DATA_AVAILABLE"
  end
  if not here or page ~= settings.warning_page then return nil end
  local text = "Data for date %s for application %s is not available right now, please try " ..
    "again after a few hours."
  if code == "DATA_NOT_AVAILABLE" then
    text = "Sorry, data for date %s for application %s is not available."
  end
  local application = kind.application or kind.apps[1]
  return ('[{"code":%s,"message":%s,"data":[{"key":"date","value":"%s"},{"key":"application",' ..
    '"value":"%s"}]}]'):format(json.quote(code), json.quote(text:format(date, application)), date,
    application)
end

-- The ids of one page, and where the next one begins, if there is one.
local function select_ids(kind, asked, day, first, count)
  local out, position = {}, asked.offset
  while position < count do
    local id = first + position
    local meant = not asked.id or asked.id == id
    if meant and (not kind.belongs or kind.belongs(id, asked.units, asked.groups))
      and query.passes(asked.filters, id, day) then
      if #out == asked.size then return out, position end
      out[#out + 1] = id
    end
    position = position + 1
  end
  return out, nil
end

local function page_text(kind, scope, wanted, ids, day, warning, token)
  local reports = {}
  for i, id in ipairs(ids) do
    reports[i] = kind.report(id, day, wanted, scope.settings.int_style, M.CUSTOMER)
  end
  -- The guide and the discovery document differ about the kind; so do the pages.
  local name = token and "reports#usageReports" or "admin#reports#usageReports"
  return ('{"kind":"%s","etag":"\\"%s\\""%s%s,"usageReports":[%s]}'):format(name,
    ngx.md5(day .. #ids):sub(1, 8), token and ',"nextPageToken":"' .. token .. '"' or "",
    warning and ',"warnings":' .. warning or "", table.concat(reports, ","))
end

local ENTITY_NAMES = { "parameters", "filters", "maxResults" }

-- Everything the query says, checked; or nil and the answer.
local function read_query(kind, req)
  local out, why = {}, query.unknown(req, kind.names or ENTITY_NAMES)
  if why then return nil, invalid(why) end
  out.wanted, why = query.parameters(kind, req:arg("parameters"))
  if why then return nil, invalid(why) end
  out.filters, why = query.filters(kind, req:arg("filters"))
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
  return out
end

---The answer with only what the query's mask names.
function M.masked(req, text)
  local fields = req:arg("fields")
  if fields and fields ~= "" then
    local masked, why = query.mask(text, fields)
    if not masked then return refusal.failure(400, "invalidParameter", why) end
    text = masked
  end
  return http.json(200, text)
end

---One page of usage of a date.
---@param kind table
---@param key string|nil whom it is about: "all", or one of them
---@param date string
function M.handle(kind, req, scope, key, date)
  local day, refused, old = day_of(kind, date, scope)
  if refused then return refused end
  local asked
  asked, refused = read_query(kind, req)
  if refused then return refused end
  if key and key:find("unknown", 1, true) then
    return refusal.failure(404, "notFound", "Entity not found: " .. key)
  end
  local first, count = kind.range(scope)
  if key and key ~= "all" then asked.id = kind.find(key, scope) or -1 end
  if old then count = 0 end
  local ids, following = select_ids(kind, asked, day, first, count)
  local token = following and query.page_token(req, following, asked.page + 1)
  local warning = warning_of(kind, scope, date, day, asked.page)
  return M.masked(req, page_text(kind, scope, asked.wanted, ids, day, warning, token))
end

return M
