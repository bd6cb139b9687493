-- Owns Google's ways to a token beside `token`: a service account's key, a user's
-- refresh token, and the file that Google's own tools leave behind. It must not
-- send anything.

local auth = require "garner.auth"
local errors = require "garner.errors"
local oauth = require "garner.oauth"
local options = require "garner.options"
local vendor = require "garner.vendor"

local M = {}

M.TOKEN_URL = oauth.GOOGLE_TOKEN_URL

M.options = {
  service_account = options.any, subject = options.text, refresh_token = options.any,
  client_id = options.text, client_secret = options.any, on_token = options.callable,
  token_url = options.text,
}

M.help = "service_account = a key file (its path, its JSON or a table; with subject = the "
  .. "administrator to act for), or refresh_token with client_id and client_secret; or the "
  .. "environment variable GOOGLE_APPLICATION_CREDENTIALS"
  .. auth.env_hint "GOOGLE_APPLICATION_CREDENTIALS"

local function from_account(given)
  local account = given.service_account
  local is_path = type(account) == "string" and not account:find("^%s*{")
  return auth.service_account {
    key_file = is_path and account or nil, key = not is_path and account or nil,
    subject = given.subject, token_url = given.token_url,
  }
end

local function from_refresh_token(given)
  return auth.refresh_token {
    token_url = given.token_url or M.TOKEN_URL, client_id = given.client_id,
    client_secret = given.client_secret, refresh_token = given.refresh_token,
    on_token = given.on_token,
  }
end

-- A service account's key, or what a user granted ("authorized_user").
local function from_environment(given)
  local path = vendor.env "GOOGLE_APPLICATION_CREDENTIALS"
  if not path or vendor.env "GOOGLE_ACCESS_TOKEN" then return nil end
  local key = oauth.read_key({ key_file = path }, "garner.google_reports")
  if key.type == "authorized_user" then
    return from_refresh_token { client_id = key.client_id, client_secret = key.client_secret,
      refresh_token = key.refresh_token, token_url = given.token_url }
  end
  return from_account { service_account = path, subject = given.subject,
    token_url = given.token_url }
end

---The credential that the options of a constructor, or the environment, describe.
---@param given table the options above
---@param opts table the client's other options
---@return table|nil auth nil where `token` or `auth` is meant
function M.make(given, opts)
  if given.service_account ~= nil and given.refresh_token ~= nil then
    errors.misuse "garner.google_reports: give service_account or refresh_token, not both"
  elseif given.service_account ~= nil then
    return from_account(given)
  elseif given.refresh_token ~= nil then
    return from_refresh_token(given)
  elseif opts.token == nil and not opts.auth then
    return from_environment(given)
  end
end

return M
