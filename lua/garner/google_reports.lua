-- Owns Google's Admin SDK Reports API as scripts use it: usage of entities,
-- users and the customer over dates, activities over any range. Facts: the
-- guides of the Reports API and its discovery document. All of it is data.

local activities = require "garner.google_reports.activities"
local api = require "garner.api"
local auth = require "garner.auth"
local credentials = require "garner.google_reports.credentials"
local rules = require "garner.google_reports.arguments"
local usage = require "garner.google_reports.usage"

local M = {}

M.BASE_URL = "https://admin.googleapis.com"

-- "2,400 queries per minute per user" (Reports API limits).
M.RATE, M.BURST = 40, 40

M.USAGE_SCOPE = "https://www.googleapis.com/auth/admin.reports.usage.readonly"
M.AUDIT_SCOPE = "https://www.googleapis.com/auth/admin.reports.audit.readonly"

-- "Data is available for the last 30 days" (entities), "450 days" (the others).
local ENTITY_RETENTION, RETENTION = 30 * 86400, 450 * 86400

---@class garner.google_reports: garner.Client
---@field entity_usage fun(self, given: table): garner.pull
---@field get_entity_usage fun(self, given: table): table|nil, garner.Error|nil
---@field user_usage fun(self, given: table): garner.pull
---@field get_user_usage fun(self, given: table): table|nil, garner.Error|nil
---@field customer_usage fun(self, given: table): garner.pull
---@field get_customer_usage fun(self, given: table): table|nil, garner.Error|nil
---@field activities fun(self, given: table): garner.pull
---@field get_activities fun(self, given: table): table|nil, garner.Error|nil

local PAGES = { next = { from = "nextPageToken", query = "pageToken" } }
local PAGE_SIZE = { "integer", min = 1, max = rules.MAX_PAGE_SIZE, query = "maxResults" }
local CUSTOMER_ID = { rules.customer_id, query = "customerId" }
local ORG_UNIT_ID = { rules.org_unit, query = "orgUnitID" }
local GROUP_ID_FILTER = { rules.groups, query = "groupIdFilter" }

-- What the usage methods have in common: a walk over pages for each date, and
-- "not yet" in two forms, as warnings and as a 400.
local function usage_method(heads, verb)
  local record, columns = usage.recorder(heads)
  verb.scope = M.USAGE_SCOPE
  verb.window = { kind = "date", date = "date" }
  verb.items, verb.pages = "usageReports", PAGES
  verb.rows = { each = usage.each, columns = columns, record = record }
  verb.warnings, verb.not_ready, verb.errors = usage.warnings, usage.verdict, usage.too_recent
  verb.lag, verb.retention = usage.LAG, verb.retention or RETENTION
  verb.notes = { "one walk over pages for each date" }
  verb.arguments.customer_id = CUSTOMER_ID
  verb.arguments.fields = rules.fields { "nextPageToken", "warnings", "usageReports" }
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
verbs.entity_usage = usage_method({
  { column = "entity_id", field = "id" }, { column = "entity_type", field = "type" },
  { column = "customer_id", field = "customer_id" },
}, {
  get = "/admin/reports/v1/usage/gplus_communities/{entity}/dates/{date}",
  title = function(given) return ("entity usage of %q"):format(given.entity) end,
  what = function(given, ctx)
    return given.entity == "all" and "entity usage of " .. ctx.window.date
      or ("entity %q"):format(given.entity)
  end,
  arguments = {
    entity = { "id", default = "all", alias = "entity_key" },
    parameters = rules.parameters(rules.ENTITY_APPS), filters = rules.filters(rules.ENTITY_APPS),
    page_size = PAGE_SIZE,
  },
  retention = ENTITY_RETENTION,
})

---Usage of users for a date or a range of dates: as entity_usage, with user
---("all", a profile id or a primary email address), org_unit_id
---("id:03ph8a2z", no data before 2018-12-17), group_id_filter (ids of groups);
---parameters and filters of the apps accounts, calendar, chat, classroom,
---cros, device_management, docs, drive, gmail, gplus, sites, where a filter's
---value may be a date-time. Rows have entity { user_email, profile_id,
---customer_id, type }. Kept for 450 days. get_user_usage is one request.
verbs.user_usage = usage_method({
  { column = "user_email", field = "user_email" }, { column = "profile_id", field = "profile_id" },
  { column = "customer_id", field = "customer_id" },
}, {
  get = "/admin/reports/v1/usage/users/{user}/dates/{date}",
  title = function(given) return ("usage of user %q"):format(given.user) end,
  what = function(given, ctx)
    return given.user == "all" and "user usage of " .. ctx.window.date
      or ("user %q"):format(given.user)
  end,
  arguments = {
    user = { rules.user, default = "all", alias = "user_key" },
    parameters = rules.parameters(rules.USER_APPS), filters = rules.filters(rules.USER_APPS),
    page_size = PAGE_SIZE, org_unit_id = ORG_UNIT_ID, group_id_filter = GROUP_ID_FILTER,
  },
})

---Usage of the whole account for a date or a range of dates, mostly one row
---for each: parameters (of the apps of user_usage and of app_maker,
---apps_scripts, meet), customer_id, fields; there are no filters and no page
---size. Kept for 450 days. get_customer_usage is one request.
verbs.customer_usage = usage_method({ { column = "customer_id", field = "customer_id" } }, {
  get = "/admin/reports/v1/usage/dates/{date}",
  what = function(_, ctx) return "customer usage of " .. ctx.window.date end,
  arguments = { parameters = rules.parameters(rules.CUSTOMER_APPS) },
})

---Activities (audit events) of an application over any range; without `from`
---the last 180 days, which is what is kept, without `to` until now. A whole
---account is asked for in windows of a day, a filtered query in windows of 30
---days; `window` sets another length (Gmail: at most 30 days). Rows, oldest
---first, each once: see garner.google_reports.activities; `save` writes a line
---for each event. Options: application (required; "login", "drive", ...), user
---("all", a profile id, an email address), event, filters ("doc_id==x"),
---actor_ip, customer_id, org_unit_id, group_id_filter, resource_details_filter,
---page_size (1 to 1000), fields, edges ("[]", inferred), zone; and those of
---every pull. get_activities is one request for one page.
verbs.activities = {
  get = "/admin/reports/v1/activity/users/{user}/applications/{application}",
  scope = M.AUDIT_SCOPE,
  title = "activities of {application}, user {user}", what = "activities of {application}",
  arguments = {
    user = { rules.user, default = "all", alias = "user_key" },
    application = { rules.application, alias = "application_name" },
    event = { "text", query = "eventName", alias = "event_name" }, filters = rules.event_filters,
    actor_ip = { rules.address, query = "actorIpAddress", alias = "actor_ip_address" },
    resource_details_filter = { "text", query = "resourceDetailsFilter" },
    customer_id = CUSTOMER_ID, org_unit_id = ORG_UNIT_ID, group_id_filter = GROUP_ID_FILTER,
    page_size = PAGE_SIZE, fields = rules.fields { "nextPageToken", "items/id" },
    window = { "duration", query = false },
  },
  window = { kind = "instant", from = "startTime", to = "endTime", edges = activities.EDGES,
    max = activities.max, default = { from = "-180d", to = "now" } },
  items = "items", pages = PAGES,
  rows = { each = activities.each, time = "epoch", key = activities.KEY, sort = true,
    columns = activities.COLUMNS, records = activities.records },
  check = activities.problem, rate = activities.FILTER_RATE,
  lag = activities.LAG, retention = activities.RETENTION,
}

---A client of Google's Reports API. Without arguments the access token comes
---from GOOGLE_ACCESS_TOKEN, else from the key file that GOOGLE_APPLICATION_CREDENTIALS names.
---The Reports API answers for an administrator: a service account needs `subject` and domain-wide
---delegation of the scope.
---@type fun(given: table|nil): garner.google_reports token (an OAuth access token with the scope
---  admin.reports.usage.readonly, for activities admin.reports.audit.readonly), or service_account
---  ("key.json", its JSON or a table) with subject, or refresh_token, client_id, client_secret and
---  on_token; token_url; base_url, concurrency, zone (of activities), and every option of
---  garner.client
M.new = api.new {
  name = "google_reports", base_url = M.BASE_URL, auth = auth.bearer,
  token_env = { "GOOGLE_ACCESS_TOKEN" }, rate = M.RATE, burst = M.BURST, scope = M.USAGE_SCOPE,
  verbs = verbs, credentials = credentials,
}

return M
