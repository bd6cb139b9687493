-- Google's Reports API: entityUsageReports.get for gplus_communities. Dates that are too
-- recent, too old or malformed, pages, warnings and error bodies as vendors' users meet
-- them. What an entity looks like is google_entities.lua, the query google_query.lua.
local clock = require "sim.clock"
local credential = require "sim.credential"
local entities = require "sim.google_entities"
local http = require "sim.http"
local json = require "sim.json"
local query = require "sim.google_query"

local M = {}

local RETENTION_DAYS = 30
local WARNING_AGE = 5
local CUSTOMER = "C03az79cb"

local STATUS_NAMES = { [400] = "INVALID_ARGUMENT", [401] = "UNAUTHENTICATED",
  [403] = "PERMISSION_DENIED", [404] = "NOT_FOUND", [405] = "INVALID_ARGUMENT" }

local function failure(status, reason, message, extra)
  local item = { message = message, domain = "global", reason = reason }
  for name, value in pairs(extra or {}) do item[name] = value end
  return http.json(status, { error = {
    code = status, message = message, errors = json.array { item }, status = STATUS_NAMES[status],
  } })
end

local function invalid(message)
  return failure(400, "invalid", message)
end

local function refuse(req, scope)
  if not (credential.has_bearer(req) or credential.has_access_token_query(req)) then
    local answer = failure(401, "authError", "Request had invalid authentication credentials. " ..
      "Expected OAuth 2 access token, login cookie or other valid authentication credential.",
      { location = "Authorization", locationType = "header" })
    answer.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/", ' ..
      'error="invalid_token"'
    return answer
  end
  if scope.settings.forbidden then
    return failure(403, "insufficientPermissions",
      "Request had insufficient authentication scopes.")
  end
end

local function latest_day(scope)
  local text = scope.settings.latest_date
  return text and clock.parse_date(text) or clock.today() - scope.settings.lag_days
end

-- The day asked for; or nil and the answer that refuses it; the third value says that the
-- day is past retention.
local function day_of(text, scope)
  local day = clock.parse_date(text)
  if not day then
    return nil, invalid("Invalid value '" .. text .. "'. Values must match the following " ..
      "regular expression: '(\\d){4}-(\\d){2}-(\\d){2}'")
  end
  local latest = latest_day(scope)
  if day > latest then
    return nil, invalid(("Data for dates later than %s is not yet available. Please check back " ..
      "later"):format(clock.format_date(latest)))
  end
  local old = day < clock.today() - RETENTION_DAYS
  if old and scope.settings.old_dates == "error" then
    return nil, invalid("Date is too old: data is kept for 30 days.")
  end
  return day, nil, old
end

-- With the setting, every day's (or warning_date's) page `warning_page`; without, the second
-- page of the day five days before today.
local function warning_of(scope, date, day, page)
  local settings = scope.settings
  local code = settings.warning
  local meant = settings.warning_date
  local here = code and (not meant or meant == date)
  if not code and day == clock.today() - WARNING_AGE then
    here, code = true, "PARTIAL_DATA_AVAILABLE"
  end
  if not here or page ~= settings.warning_page then return nil end
  local text = "Data for date %s for application gplus is not available right now, please try " ..
    "again after a few hours."
  if code == "DATA_NOT_AVAILABLE" then
    text = "Sorry, data for date %s for application gplus is not available."
  end
  return ('[{"code":%s,"message":%s,"data":[{"key":"date","value":"%s"},{"key":"application",' ..
    '"value":"gplus"}]}]'):format(json.quote(code), json.quote(text:format(date)), date)
end

-- The ids an answer is about, from `offset` on, at most `size`; and whether there are more.
local function select_ids(key, count, filters, day, offset, size)
  local out = {}
  if key ~= "all" then
    local id = key:find("^%d+$") and tonumber(key)
    local known = id and id >= entities.FIRST_ID and id < entities.FIRST_ID + count
    if known and query.passes(filters, id, day) then out[1] = id end
    return out, nil
  end
  local position = offset
  while position < count do
    local id = entities.FIRST_ID + position
    if query.passes(filters, id, day) then
      if #out == size then return out, position end
      out[#out + 1] = id
    end
    position = position + 1
  end
  return out, nil
end

local function page_text(scope, wanted, ids, day, warning, token)
  local reports = {}
  for i, id in ipairs(ids) do
    reports[i] = entities.report(id, day, wanted, scope.settings.int_style, CUSTOMER)
  end
  -- The guide and the discovery document differ about the kind; so do the pages.
  local kind = token and "reports#usageReports" or "admin#reports#usageReports"
  return ('{"kind":"%s","etag":"\\"%s\\""%s%s,"usageReports":[%s]}'):format(kind,
    ngx.md5(day .. #ids):sub(1, 8), token and ',"nextPageToken":"' .. token .. '"' or "",
    warning and ',"warnings":' .. warning or "", table.concat(reports, ","))
end

-- Everything the query says, checked; or nil and the answer.
local function read_query(req)
  local out, why = {}
  out.wanted, why = query.parameters(req:arg("parameters"))
  if why then return nil, invalid(why) end
  out.filters, why = query.filters(req:arg("filters"))
  if why then return nil, invalid(why) end
  out.size, why = query.page_size(req:arg("maxResults"))
  if why then return nil, invalid(why) end
  out.offset, out.page = query.page_offset(req)
  if not out.offset then return nil, invalid(out.page) end
  local customer = req:arg("customerId")
  if customer and customer ~= "my_customer" and not customer:find("^C.") then
    return nil, invalid("Invalid value '" .. customer .. "'. Values must match the following " ..
      "regular expression: 'C.+|my_customer'")
  end
  return out
end

local function entity_usage(req, scope, key, date)
  local day, refused, old = day_of(date, scope)
  if refused then return refused end
  local asked
  asked, refused = read_query(req)
  if refused then return refused end
  if key:find("unknown", 1, true) then
    return failure(404, "notFound", "Entity not found: " .. key)
  end
  local count = old and 0 or scope.settings.entities
  local ids, following = select_ids(key, count, asked.filters, day, asked.offset, asked.size)
  local token = following and query.page_token(req, following, asked.page + 1)
  local warning = warning_of(scope, date, day, asked.page)
  local text = page_text(scope, asked.wanted, ids, day, warning, token)
  local fields = req:arg("fields")
  if fields and fields ~= "" then
    local masked, why = query.mask(text, fields)
    if not masked then return failure(400, "invalidParameter", why) end
    text = masked
  end
  return http.json(200, text)
end

function M.handle(req, scope)
  local kind, key, date = req.path:match("^/admin/reports/v1/usage/([^/]+)/([^/]+)/dates/([^/]+)$")
  if not kind then return failure(404, "notFound", "Not Found") end
  local refused = refuse(req, scope)
  if refused then return refused end
  if req.method ~= "GET" then return failure(405, "httpMethodNotAllowed", "Method not allowed.") end
  if kind ~= "gplus_communities" then
    return invalid("Invalid value '" .. kind .. "'. Values must match the following regular " ..
      "expression: '(gplus_communities)'")
  end
  return entity_usage(req, scope, http.unescape(key), http.unescape(date))
end

return M
