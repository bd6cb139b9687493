-- Owns: what a user says about tokens that come from a token endpoint (OAuth 2): the
-- checks, the key file, and the description that the core's credential is made of.
-- Must not: send anything, keep a token, or put a secret into a message.

local auth = require "garner.auth"
local errors = require "garner.errors"
local json = require "garner.json"
local options = require "garner.options"

local M = {}

M.GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"

-- A text with spaces between, or a list.
local function scopes_rule(value)
  if type(value) == "table" then
    local list = {}
    for i, item in ipairs(value) do
      if not options.text(item) or item:find("%s") then
        return nil, "must be a list of texts"
      end
      list[i] = item
    end
    value = table.concat(list, " ")
  end
  return options.text(value)
end

local function url_rule(value)
  if type(value) == "string" and value:find("^https?://[^/%s]") then
    return value
  end
  return nil, "must be a URL such as \"https://auth.example.com/token\""
end

-- Secrets are not repeated in a complaint about them.
local function secret_rule(value)
  return value
end

local function needs(given, what, ...)
  for _, name in ipairs { ... } do
    if given[name] == nil then
      errors.misuse(what .. ": " .. name .. " is missing")
    end
  end
end

-- Service accounts ------------------------------------------------------------

local function read_key_file(path, what)
  local file, why = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  if not text then
    errors.misuse(what .. ": cannot read the key file " .. path
      .. (why and ": " .. why or ": it is no file"))
  end
  return text
end

-- What cannot be decoded is not shown: it may hold the key.
local function decode_key(text, where, what)
  local key = json.decode(text)
  if type(key) ~= "table" or json.is_array(key) then
    errors.misuse(what .. ": " .. where .. " is not a JSON object")
  end
  return key
end

--- The content of a key: a table, its JSON, or a file with it.
---@param given table key_file or key
---@param what string
---@return table key
---@return string where in words
function M.read_key(given, what)
  if (given.key_file == nil) == (given.key == nil) then
    errors.misuse(what .. ": give key_file (a path) or key (a table or its JSON text)")
  end
  if given.key_file then
    local where = "the key file " .. given.key_file
    return decode_key(read_key_file(given.key_file, what), where, what), where
  elseif type(given.key) == "string" then
    return decode_key(given.key, "key", what), "key"
  end
  return given.key, "key"
end

local KEY_FIELDS = { "client_email", "private_key" }

local function check_key(key, where, what)
  if key.type ~= nil and key.type ~= "service_account" then
    errors.misuse(("%s: %s is of the type %s, not service_account"):format(what, where,
      options.show(key.type)))
  end
  for _, name in ipairs(KEY_FIELDS) do
    if type(key[name]) ~= "string" or key[name] == "" then
      errors.misuse(("%s: %s has no %s"):format(what, where, name))
    end
  end
  local uri = key.token_uri
  if uri ~= nil and uri ~= json.null and not url_rule(uri) then
    errors.misuse(("%s: %s has a token_uri that is no URL"):format(what, where))
  end
  if not key.private_key:find("-----BEGIN [%u ]*PRIVATE KEY-----") then
    errors.misuse(("%s: the private_key in %s is not a PEM text"):format(what, where))
  end
end

local function text_of(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local SERVICE_ACCOUNT = {
  key_file = options.text, key = function(value)
    if type(value) == "table" or type(value) == "string" and value ~= "" then
      return value
    end
    return nil, "must be a table or its JSON text"
  end,
  subject = options.text, scopes = scopes_rule, token_url = url_rule, audience = options.text,
}

--- See garner.auth.service_account.
---@param given table
---@return table description
function M.service_account(given)
  local what = "garner.auth.service_account"
  given = options.check(given, SERVICE_ACCOUNT, what)
  local key, where = M.read_key(given, what)
  check_key(key, where, what)
  local uri = text_of(key.token_uri)
  local secrets = { key.private_key }
  for line in key.private_key:gmatch("[%w+/=]+") do
    if #line >= 32 then
      secrets[#secrets + 1] = line
    end
  end
  return {
    secrets = secrets,
    core = {
      grant = "assertion", token_url = given.token_url or uri or M.GOOGLE_TOKEN_URL,
      -- Whoever wrote the key file chose this address; the user did not.
      url_from_key = not given.token_url and uri ~= nil,
      scopes = given.scopes, private_key = key.private_key, key_id = text_of(key.private_key_id),
      issuer = key.client_email, subject = given.subject, audience = given.audience,
    },
  }
end

-- Refresh tokens --------------------------------------------------------------

local REFRESH = {
  token_url = url_rule, client_id = options.text, client_secret = secret_rule,
  refresh_token = secret_rule, access_token = secret_rule, rotates = options.boolean,
  on_token = options.callable, scope = scopes_rule,
}

--- See garner.auth.refresh_token.
---@param given table
---@return table description
function M.refresh_token(given)
  local what = "garner.auth.refresh_token"
  given = options.check(given, REFRESH, what)
  needs(given, what, "token_url", "client_id", "refresh_token")
  local source = auth.source(given.refresh_token, what .. ": refresh_token")
  local secret, first
  if given.client_secret ~= nil then
    secret = auth.secret(given.client_secret, what .. ": client_secret")
  end
  if given.access_token ~= nil then
    first = auth.secret(given.access_token, what .. ": access_token")
  end
  return {
    secrets = { secret, first }, source = source, on_token = given.on_token, token = first,
    rotates = given.rotates,
    core = {
      grant = "refresh", token_url = given.token_url, client_id = given.client_id,
      client_secret = secret, rotates = given.rotates, scopes = given.scope,
    },
  }
end

-- Logins ------------------------------------------------------------------------

local LOGIN = { token_url = url_rule, json = options.table }

--- See garner.auth.login.
---@param given table
---@return table description
function M.login(given)
  local what = "garner.auth.login"
  given = options.check(given, LOGIN, what)
  needs(given, what, "token_url", "json")
  local fields, secrets = {}, {}
  for name, value in pairs(given.json) do
    if type(name) ~= "string" then
      errors.misuse(what .. ": json must have names for its values")
    end
    value = auth.secret(value, what .. ": " .. name)
    fields[name], secrets[#secrets + 1] = value, value
  end
  local body = json.encode(fields)
  if not body then
    errors.misuse(what .. ": json must have texts that are UTF-8")
  end
  return { secrets = secrets, core = { grant = "login", token_url = given.token_url,
    body = body } }
end

return M
