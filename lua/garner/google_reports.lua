-- Owns Google's Admin SDK Reports API as scripts use it: entity usage over a
-- date or a range of dates. Facts: "Entities usage report" (Google Reports
-- API guide) and the API's discovery document. It must not retry, walk pages
-- or decode by itself.

local arguments = require "garner.arguments"
local auth = require "garner.auth"
local endpoint = require "garner.endpoint"
local errors = require "garner.errors"
local options = require "garner.options"
local pull = require "garner.pull"
local time = require "garner.time"
local usage = require "garner.google_reports.usage"
local vendor = require "garner.vendor"

local M = {}

M.BASE_URL = "https://admin.googleapis.com"

-- "2,400 queries per minute per user" (Reports API limits).
M.RATE, M.BURST = 40, 40

M.ENTITY_USAGE = {
  method = "GET",
  path = "/admin/reports/v1/usage/" .. usage.ENTITY_TYPE .. "/{entity}/dates/{date}",
  scope = "https://www.googleapis.com/auth/admin.reports.usage.readonly",
  operation = "entity_usage",
}

---@class garner.google_reports: garner.Client
local Google = {}

---A client of Google's Reports API. Without arguments the access token comes
---from GOOGLE_ACCESS_TOKEN.
---@param given? table token (an OAuth access token with the scope admin.reports.usage.readonly),
---  base_url, concurrency, and every option of garner.client
---@return garner.google_reports
function M.new(given)
  return vendor.new(Google, given, {
    name = "google_reports", base_url = M.BASE_URL, auth = auth.bearer,
    token_env = { "GOOGLE_ACCESS_TOKEN" }, rate = M.RATE, burst = M.BURST,
    scope = M.ENTITY_USAGE.scope,
  })
end

local ASK = {
  entity = arguments.id, parameters = usage.parameters, filters = usage.filters,
  page_size = options.integer(1, usage.MAX_PAGE_SIZE), customer_id = usage.customer_id,
  fields = usage.fields,
}

-- An empty list is the same as none.
local function query_of(given)
  return {
    parameters = given.parameters ~= "" and given.parameters or nil,
    filters = given.filters ~= "" and given.filters or nil, maxResults = given.page_size,
    customerId = given.customer_id, fields = given.fields, pageToken = given.page_token,
  }
end

local function fields_of(given, date)
  local entity = given.entity or "all"
  return {
    params = { entity = entity, date = date }, query = query_of(given),
    what = entity == "all" and ("entity usage of %s"):format(date)
      or ("entity %q"):format(entity),
  }
end

-- Adds the rows and warnings of one page.
local function take_page(body, date, page, rows, warnings)
  for _, raw in ipairs(type(body.usageReports) == "table" and body.usageReports or {}) do
    if type(raw) == "table" then rows[#rows + 1] = usage.row(raw, date) end
  end
  for _, raw in ipairs(type(body.warnings) == "table" and body.warnings or {}) do
    if type(raw) == "table" then warnings[#warnings + 1] = usage.warning(raw, date, page) end
  end
end

-- The body, if it can be taken at its word.
local function reports_of(body, err, response)
  if not body then return nil, err end
  local found
  found, err = endpoint.list(body, "usageReports", response)
  return found and body, err
end

-- All pages of one date.
local function fetch_date(self, given, date)
  local rows, warnings, page = {}, {}, 0
  local request = endpoint.request(M.ENTITY_USAGE, fields_of(given, date), given)
  request.method, request.path = nil, nil
  request.items, request.next = "usageReports", { from = "nextPageToken", query = "pageToken" }
  local walk = self:pages(M.ENTITY_USAGE.path, request)
  while true do
    local res, err = walk:next()
    if err then return nil, usage.too_recent(err) end
    if not res then break end
    local body
    body, err = endpoint.object(res)
    body, err = reports_of(body, err, res)
    if not body then return nil, err end
    page = page + 1
    take_page(body, date, page, rows, warnings)
  end
  local state, err = usage.verdict(warnings, #rows)
  return { rows = rows, warnings = warnings, requests = page, state = state, err = err,
    reason = err and err.message }
end

local PULL = vendor.rules(pull.RULES, endpoint.CALL_OPTIONS, ASK)

---Usage of entities (Google+ communities, the only kind the API has; Google
---has closed them) for a date or a range of dates, all pages of each.
---A date is the account's own day and never shifted. Rows: date, entity
---{ id, type, object_type, customer_id }, parameters { [name] = value },
---kinds { [name] = kind }, raw. A parameter that the server named without a
---value is garner.json.null with kind "none"; whole numbers are exact, as text
---where this Lua cannot hold them. A date that is not ready yet gives no rows
---and ends in an error of kind "hole", unless on_not_ready says otherwise.
---@param given table entity ("all" or an id), date, or from and to; parameters and filters (lists,
---  or texts with commas), page_size (1 to 1000), customer_id, fields; concurrency, on_not_ready,
---  retention, lag, progress, on_progress, timeout (of one request), headers
---@return garner.pull
function Google:entity_usage(given)
  given = options.check(given, PULL, "entity_usage")
  local range, message = time.range(given, { kind = "date" })
  if not range then errors.misuse("entity_usage: " .. message) end
  local windows = {}
  for index, date in ipairs(range.dates) do
    local starts = time.range({ date = date }, { kind = "naive" })
    windows[index] = { index = index, date = date, from_text = date, to_text = date,
      from = starts.from, to = starts.to, send_from = starts.from, send_to = starts.to }
  end
  return vendor.pull(self, given, "entity_usage", {
    name = ("entity usage of %q"):format(given.entity or "all"), windows = windows,
    from = windows[1].from, to = windows[#windows].to, from_text = range.from_text,
    to_text = range.to_text, zone_name = "the account's own days", edges = "whole dates",
    lag = usage.LAG, retention = usage.RETENTION,
    rate = { per_second = self.settings.rate, burst = self.settings.burst },
    notes = { "one walk over pages for each date" },
    columns = usage.COLUMNS, record = usage.record,
    fetch = function(each) return fetch_date(self, given, each.date) end,
  })
end

local GET = vendor.rules(endpoint.CALL_OPTIONS, ASK,
  { date = options.text, page_token = options.text })

---One request for one page of one date.
---@param given table entity, date (required), page_token, and everything of entity_usage
---@return { rows: table[], warnings: table[], next_page_token: string|nil, raw: table }|nil
---@return garner.Error|nil kind "not_ready" (with `latest`) for a date that is too recent
function Google:get_entity_usage(given)
  given = options.check(given, GET, "get_entity_usage")
  local range, message = time.range({ date = given.date }, { kind = "date" })
  if not given.date then message = "date is required" end
  if not given.date or not range then errors.misuse("get_entity_usage: " .. message) end
  local date = range.dates[1]
  local body, err = reports_of(endpoint.json(self, M.ENTITY_USAGE, fields_of(given, date), given))
  if not body then return nil, usage.too_recent(err) end
  local rows, warnings = {}, {}
  take_page(body, date, 1, rows, warnings)
  local token = body.nextPageToken
  return { rows = rows, warnings = warnings, raw = body,
    next_page_token = type(token) == "string" and token ~= "" and token or nil }
end

return M
