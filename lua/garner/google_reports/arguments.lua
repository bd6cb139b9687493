-- Owns the rules for what Google's Reports API takes: parameters and filters
-- with the apps of each method, users, units, groups, masks of fields. Facts:
-- the API's discovery document. It must not send anything.

local arguments = require "garner.arguments"
local options = require "garner.options"

local M = {}

M.MAX_PAGE_SIZE = 1000

-- Apps whose parameters each usage method has.
M.ENTITY_APPS = { "gplus" }
M.USER_APPS = { "accounts", "calendar", "chat", "classroom", "cros", "device_management", "docs",
  "drive", "gmail", "gplus", "sites" }
M.CUSTOMER_APPS = { "accounts", "app_maker", "apps_scripts", "calendar", "chat", "classroom",
  "cros", "device_management", "docs", "drive", "gmail", "gplus", "meet", "sites" }

-- Those of discovery, revision 20251124; the list grows, so others are taken too.
M.APPLICATIONS = { "access_evaluation", "access_transparency", "admin", "assignments", "calendar",
  "chat", "chrome", "classroom", "cloud_search", "context_aware_access", "data_migration",
  "data_studio", "directory_sync", "drive", "gcp", "gemini_in_workspace_apps", "gmail", "gplus",
  "groups", "groups_enterprise", "jamboard", "keep", "ldap", "login", "meet", "meet_hardware",
  "mobile", "profile", "rules", "saml", "tasks", "token", "user_accounts", "vault" }

local USAGE_OPERATORS = { "==", "<>", "!=", "<=", ">=", "<", ">" }
local ACTIVITY_OPERATORS = { "==", "<>", "<=", ">=", "<", ">" }

local function set_of(list)
  local out = {}
  for _, name in ipairs(list) do out[name] = true end
  return out
end

-- What is wrong with the app of "app:name"; nil if nothing.
local function app_problem(apps, known, text)
  if known[text:match "^(.-):"] then return nil end
  return ("must begin with %s, got %q"):format(
    apps[2] and "one of " .. table.concat(apps, ":, ") .. ":" or ('"%s:"'):format(apps[1]), text)
end

---Rule: parameters as a list or a text with commas, each "app:name".
---@param apps string[]
---@return fun(value: any): string|nil, string|nil comma text
function M.parameters(apps)
  local known = set_of(apps)
  return function(value)
    local list, message = arguments.texts(value)
    if not list then return nil, message end
    for _, name in ipairs(list) do
      if not name:find "^[%w_]+:[^,%s]+$" then
        return nil, ("must be names such as \"%s:num_...\", got %q"):format(apps[1], name)
      end
      message = app_problem(apps, known, name)
      if message then return nil, message end
    end
    return table.concat(list, ",")
  end
end

-- "name", operator and value of one filter, without the blanks between them.
local function split_filter(text, operators)
  local name, operator, value = text:match "^%s*([^<>=!]*)([<>=!]*)%s*(.-)%s*$"
  name = name:gsub("%s+$", "")
  if not set_of(operators)[operator] then
    return nil, ("needs one of the operators %s, got %q"):format(table.concat(operators, " "), text)
  end
  if value == "" then return nil, ("has no value in %q"):format(text) end
  -- The server splits at commas; there is no way to quote one.
  if value:find(",", 1, true) then
    return nil, ("cannot have a comma in a value: %q"):format(text)
  end
  return name, operator, value
end

local function filters_rule(operators, name_problem)
  return function(value)
    local list, message = arguments.texts(value)
    if not list then return nil, message end
    local hint = type(value) == "string" and list[2] and " (the text is split at its commas)" or ""
    local out = {}
    for index, text in ipairs(list) do
      local name = text:match "^%s*([^<>=!]*)"
      message = name_problem(name:gsub("%s+$", ""), text)
      local operator, given
      if not message then name, operator, given = split_filter(text, operators) end
      if message or not name then return nil, (message or operator) .. hint end
      out[index] = name .. operator .. given
    end
    return table.concat(out, ",")
  end
end

---Rule: filters of a usage method as a list or a text with commas, each
---"app:name>100"; a value may be a date-time.
---@param apps string[]
---@return fun(value: any): string|nil, string|nil comma text
function M.filters(apps)
  local known = set_of(apps)
  return filters_rule(USAGE_OPERATORS, function(name, text)
    if not name:find "^[%w_]+:[a-z0-9_]+$" then
      return ("must begin with a name such as \"%s:num_...\", got %q"):format(apps[1], text)
    end
    return app_problem(apps, known, name)
  end)
end

---Rule: filters of activities, each "parameter==value".
M.event_filters = filters_rule(ACTIVITY_OPERATORS, function(name, text)
  if name == "" then return ("must begin with a parameter's name, got %q"):format(text) end
end)

---Rule: "C..." or "my_customer".
---@param value any
---@return string|nil
---@return string|nil message
function M.customer_id(value)
  if type(value) == "string" and (value == "my_customer" or value:find "^C.+") then return value end
  return nil, "must be \"my_customer\" or an id that begins with C"
end

---Rule: "all", a profile id, or a primary email address.
---@param value any
---@return string|nil
---@return string|nil message
function M.user(value)
  local text, message = arguments.id(value)
  if not text then return nil, message end
  if text == "all" or text:find "^%d+$" or text:find "^[^@%s]+@[^@%s]+$" then return text end
  return nil, "must be \"all\", a profile id (digits) or a primary email address, got "
    .. options.show(value)
end

---Rule: the id of an organizational unit.
---@param value any
---@return string|nil
---@return string|nil message
function M.org_unit(value)
  if type(value) == "string" and value:find "^id:[a-z0-9]+$" then return value end
  return nil, "must look like \"id:03ph8a2z1en0vc1\", got " .. options.show(value)
end

---Rule: ids of groups, a list or a text with commas.
---@param value any
---@return string|nil comma text
---@return string|nil message
function M.groups(value)
  local list, message = arguments.texts(value)
  if not list then return nil, message end
  for _, text in ipairs(list) do
    if not text:find "^id:[a-z0-9]+$" then
      return nil, ("must be ids such as \"id:01ci93xb3tmzyin\", got %q"):format(text)
    end
  end
  return table.concat(list, ",")
end

---Rule: an application of activities; one that is not known is taken too.
---@param value any
---@return string|nil
---@return string|nil message
function M.application(value)
  if type(value) == "string" and value:find "^[a-z][a-z0-9_]*$" then return value end
  return nil, ("must be a name in lower case, such as %s; got %s"):format(
    table.concat(M.APPLICATIONS, ", "), options.show(value))
end

---Rule: an IPv4 or IPv6 address.
---@param value any
---@return string|nil
---@return string|nil message
function M.address(value)
  if type(value) == "string" and value:find "^[%x:.]+$" and value:find "[:.]" then return value end
  return nil, "must be an IP address, got " .. options.show(value)
end

-- The paths that a mask names: "a(b,c/d)" has a/b and a/c/d. Nil where its
-- parentheses do not match.
local function mask_paths(text)
  local out, prefix, depth = {}, { "" }, 1
  for name, mark in (text:gsub("%s", "") .. ","):gmatch "([^,()]*)([,()])" do
    if name ~= "" and mark ~= "(" then out[#out + 1] = prefix[depth] .. name end
    if mark == "(" then
      prefix[depth + 1], depth = prefix[depth] .. name .. "/", depth + 1
    elseif mark == ")" then
      depth = depth - 1
      if depth < 1 then return nil end
    end
  end
  return depth == 1 and out or nil
end

local function covers(path, needed)
  local rest = "/" .. needed .. "/"
  for part in path:gmatch "[^/]+" do
    local name = rest:match "^/([^/]*)"
    -- What lies below the needed one is a part of it.
    if name == "" then return true end
    if part ~= "*" and part ~= name then return false end
    rest = rest:sub(#name + 2)
  end
  return true
end

---Rule: a mask of partial response that hides nothing which an answer needs
---to be complete: without its next page an incomplete one looks complete.
---@param needed string[] paths
---@return fun(value: any): string|nil, string|nil
function M.fields(needed)
  return function(value)
    if type(value) ~= "string" or value == "" then
      return nil, "must be a text that is not empty"
    end
    local paths = mask_paths(value)
    if not paths then return nil, "has parentheses that do not match" end
    local hidden = {}
    for _, name in ipairs(needed) do
      local seen = false
      for _, path in ipairs(paths) do seen = seen or covers(path, name) end
      if not seen then hidden[#hidden + 1] = name end
    end
    if hidden[1] then
      return nil, ("would hide %s, and an incomplete answer would look complete; add what is "
        .. "missing"):format(table.concat(hidden, ", "))
    end
    return value
  end
end

return M
