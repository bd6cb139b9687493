-- Google's Reports API: which path is which method, and who may call it. Usage reports are
-- google_usage.lua, activities google_activities.lua.
local activities = require "sim.google_activities"
local credential = require "sim.credential"
local entities = require "sim.google_entities"
local http = require "sim.http"
local refusal = require "sim.google_http"
local usage = require "sim.google_usage"
local users = require "sim.google_users"

local M = {}

local function access_scope(req)
  local kind = req.path:find("^/admin/reports/v1/activity/") and "audit" or "usage"
  return ("https://www.googleapis.com/auth/admin.reports.%s.readonly"):format(kind)
end

local function refuse(req, scope)
  if not (credential.has_bearer(req) or credential.has_access_token_query(req)) then
    local answer = refusal.failure(401, "authError",
      "Request had invalid authentication credentials. Expected OAuth 2 access token, login " ..
      "cookie or other valid authentication credential.",
      { location = "Authorization", locationType = "header" })
    answer.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/", ' ..
      'error="invalid_token"'
    return answer
  end
  if scope.settings.forbidden or not credential.allows(req, access_scope(req)) then
    return refusal.failure(403, "insufficientPermissions",
      "Request had insufficient authentication scopes.")
  end
end

local USER = "Invalid value '%s' for userKey: expected all, a profile id or a primary email"

-- In the order in which they are tried.
local routes = {
  { "^usage/dates/([^/]+)$", function(req, scope, date)
    return usage.handle(users.customer, req, scope, nil, date)
  end },
  { "^usage/users/([^/]+)/dates/([^/]+)$", function(req, scope, key, date)
    return usage.handle(users.users, req, scope, key, date)
  end, user = true },
  { "^usage/([^/]+)/([^/]+)/dates/([^/]+)$", function(req, scope, kind, key, date)
    if kind ~= "gplus_communities" then
      return refusal.invalid(refusal.mismatch(kind, "(gplus_communities)"))
    end
    return usage.handle(entities, req, scope, key, date)
  end },
  { "^activity/users/([^/]+)/applications/([^/]+)$", activities.handle, user = true },
}

local function unescaped(...)
  local out = { ... }
  for index, text in ipairs(out) do out[index] = http.unescape(text) end
  return out
end

function M.handle(req, scope)
  local rest = req.path:match("^/admin/reports/v1/(.*)$") or ""
  for _, route in ipairs(routes) do
    if rest:find(route[1]) then
      local refused = refuse(req, scope)
      if refused then return refused end
      if req.method ~= "GET" then
        return refusal.failure(405, "httpMethodNotAllowed", "Method not allowed.")
      end
      local parts = unescaped(rest:match(route[1]))
      if route.user and not (parts[1] == "all" or parts[1]:find("^%d+$") or parts[1]:find("@")
        or parts[1]:find("unknown")) then
        return refusal.invalid(USER:format(parts[1]))
      end
      return route[2](req, scope, unpack(parts))
    end
  end
  return refusal.failure(404, "notFound", "Not Found")
end

return M
