-- The users of the simulated account, and the account itself: what user and customer usage
-- reports are about. Values follow from ids and days alone. Knows nothing of HTTP.
local clock = require "sim.clock"
local json = require "sim.json"
local seed = require "sim.seed"
local values = require "sim.google_values"

local M = {}

local FIRST_ID = 1
local DOMAIN = "example.com"

local function count(id, day, salt, most)
  return seed.number(seed.from("user " .. salt), id * 4099 + day) % most
end

local function number(name, salt, most)
  return { name = name, kind = "intValue", number = true,
    value = function(id, day) return tostring(count(id, day, salt, most)) end }
end

local function flag(name, every)
  return { name = name, kind = "boolValue",
    value = function(id) return id % every == 0 and "false" or "true" end }
end

-- When a user was last seen on a day: most on the day itself, some never.
local function login_time(id, day)
  if id % 10 == 0 then return "1970-01-01T00:00:00.000Z" end
  return (clock.format_instant(day * 86400 + count(id, day, "login", 86400)):gsub("Z$", ".000Z"))
end

---Email address and profile id (21 digits) of a user.
function M.email(id) return ("user%d@%s"):format(id, DOMAIN) end
function M.profile(id) return ("100000000000000%06d"):format(id) end

---The number of the user that "all" leaves open, an email or a profile id names; or nil.
function M.find(key, scope)
  local id = tonumber(key:match("^user(%d+)@example%.com$") or key:match("^100000000000000(%d+)$"))
  return id and id >= FIRST_ID and id < FIRST_ID + scope.settings.users and id or nil
end

---Whether a user belongs to the units and groups of a query ("id:ou0" .. "id:ou2", and
---"id:group0" .. "id:group4").
function M.belongs(id, units, groups)
  if units and not units["id:ou" .. id % 3] then return false end
  return not groups or groups["id:group" .. id % 5] ~= nil
end

---@class sim.google.users
M.users = values.index {
  apps = { "accounts", "calendar", "chat", "classroom", "cros", "device_management", "docs",
    "drive", "gmail", "gplus", "sites" },
  retention_days = 450, any_filter = true, application = "accounts",
  names = { "parameters", "filters", "maxResults", "orgUnitID", "groupIdFilter" },
  parameters = {
    { name = "accounts:admin_set_name", kind = "stringValue",
      value = function(id) return ("Usér %d, \"Nick\""):format(id) end },
    { name = "accounts:last_login_time", kind = "datetimeValue", value = login_time },
    flag("accounts:is_2sv_enrolled", 4), number("accounts:used_quota_in_mb", "quota", 15000),
    { name = "accounts:total_quota_in_bytes", kind = "intValue", number = true, wide = true,
      value = function(id) return ("90071992547%05d"):format(40993 + id % 50000) end },
    number("gmail:num_emails_sent", "sent", 90), number("gmail:num_emails_received", "got", 400),
    number("drive:num_items_created", "items", 30), number("docs:num_docs", "docs", 200),
    { name = "accounts:authorized_apps", kind = "msgValue", value = function(id)
      return ('[{"client_name":"app %d","num_users":"%d"}]'):format(id % 7, id % 3)
    end },
    { name = "chat:last_interaction_time", kind = "none", value = function() return "" end },
  },
}

function M.users.range(scope) return FIRST_ID, scope.settings.users end

M.users.find = M.find
M.users.belongs = M.belongs

function M.users.report(id, day, wanted, style, customer)
  local entity = ('{"type":"USER","customerId":"%s","userEmail":%s,"profileId":"%s"}'):format(
    customer, json.quote(M.email(id)), M.profile(id))
  return values.report(M.users, id, day, wanted, style, entity)
end

---@class sim.google.customer
M.customer = values.index {
  apps = { "accounts", "app_maker", "apps_scripts", "calendar", "chat", "classroom", "cros",
    "device_management", "docs", "drive", "gmail", "gplus", "meet", "sites" },
  retention_days = 450, application = "accounts", names = { "parameters" },
  parameters = {
    number("accounts:num_users", "all", 5000), number("gmail:num_emails_sent", "mails", 90000),
    number("meet:num_calls", "calls", 700), number("app_maker:num_apps", "apps", 12),
    { name = "accounts:apps_total_licenses", kind = "intValue", wide = true,
      value = function() return "9007199254740993" end },
    { name = "cros:cros_device_distribution", kind = "msgValue",
      value = function() return '[{"os":"ChromeOS","count":3}]' end },
  },
}

function M.customer.range() return 1, 1 end

function M.customer.report(id, day, wanted, style, customer)
  return values.report(M.customer, id, day, wanted, style,
    ('{"type":"CUSTOMER","customerId":"%s"}'):format(customer))
end

return M
