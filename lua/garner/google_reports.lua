-- Owns Google's Admin SDK Reports API as scripts use it: entity usage over a
-- date or a range of dates. Facts: "Entities usage report" (Google Reports
-- API guide) and the API's discovery document. All of it is data.

local api = require "garner.api"
local auth = require "garner.auth"
local usage = require "garner.google_reports.usage"

local M = {}

M.BASE_URL = "https://admin.googleapis.com"

-- "2,400 queries per minute per user" (Reports API limits).
M.RATE, M.BURST = 40, 40

M.USAGE_SCOPE = "https://www.googleapis.com/auth/admin.reports.usage.readonly"

---@class garner.google_reports: garner.Client
---@field entity_usage fun(self, given: table): garner.pull
---@field get_entity_usage fun(self, given: table): table|nil, garner.Error|nil

-- What the usage methods have in common: a walk over pages for each date, and
-- "not yet" in two forms, as warnings and as a 400.
local function usage_method(verb)
  verb.scope = M.USAGE_SCOPE
  verb.window = { kind = "date", date = "date" }
  verb.items = "usageReports"
  verb.pages = { next = { from = "nextPageToken", query = "pageToken" } }
  verb.rows = { each = usage.each, columns = usage.COLUMNS, record = usage.record }
  verb.warnings, verb.not_ready, verb.errors = usage.warnings, usage.verdict, usage.too_recent
  verb.lag = usage.LAG
  verb.notes = { "one walk over pages for each date" }
  return verb
end

local verbs = {}

---Usage of entities (Google+ communities, the only kind the API has; Google
---has closed them) for a date or a range of dates, all pages of each.
---A date is the account's own day and never shifted. Rows: date, entity
---{ id, type, object_type, customer_id }, parameters { [name] = value },
---kinds { [name] = kind }, raw. A parameter that the server named without a
---value is garner.json.null with kind "none"; whole numbers are exact, as text
---where this Lua cannot hold them. A date that is not ready yet gives no rows
---and ends in an error of kind "hole", unless on_not_ready says otherwise.
---Options: entity ("all" or an id), date, or from and to; parameters and
---filters (lists, or texts with commas), page_size (1 to 1000), customer_id,
---fields; concurrency, on_not_ready, retention, lag, progress, on_progress,
---timeout (of one request), headers.
---get_entity_usage is one request for one page of one date: entity, date
---(required), page_token, and the rest -> { rows, warnings, next_page_token,
---raw }; an error of kind "not_ready" (with `latest`) for a date that is too
---recent.
verbs.entity_usage = usage_method {
  get = "/admin/reports/v1/usage/" .. usage.ENTITY_TYPE .. "/{entity}/dates/{date}",
  title = function(given) return ("entity usage of %q"):format(given.entity) end,
  what = function(given, ctx)
    return given.entity == "all" and "entity usage of " .. ctx.window.date
      or ("entity %q"):format(given.entity)
  end,
  arguments = {
    entity = { "id", default = "all" },
    parameters = usage.parameters, filters = usage.filters,
    page_size = { "integer", min = 1, max = usage.MAX_PAGE_SIZE, query = "maxResults" },
    customer_id = { usage.customer_id, query = "customerId" }, fields = usage.fields,
  },
  retention = usage.RETENTION,
}

---A client of Google's Reports API. Without arguments the access token comes
---from GOOGLE_ACCESS_TOKEN.
---@type fun(given: table|nil): garner.google_reports token (an OAuth access token with the scope
---  admin.reports.usage.readonly), base_url, concurrency, and every option of garner.client
M.new = api.new {
  name = "google_reports", base_url = M.BASE_URL, auth = auth.bearer,
  token_env = { "GOOGLE_ACCESS_TOKEN" }, rate = M.RATE, burst = M.BURST, scope = M.USAGE_SCOPE,
  verbs = verbs,
}

return M
