-- The access tokens that the token endpoints gave: "sim-oauth.<scope>.<number>", good until
-- they end or are revoked. Knows no endpoint.
local http = require "sim.http"
local state = require "sim.state"

local M = {}

---The answer of a token endpoint with a new token.
---@param scope table
---@param how table scopes, subject, login, refresh_token, absolute (expires_at, not expires_in),
---more (further fields)
function M.answer(scope, how)
  local list = scope.tokens
  local ttl = scope.settings.token_ttl
  local number = #list + 1
  list[number] = { ends = ngx.now() + ttl, scopes = how.scopes, login = how.login }
  local answer = {
    access_token = ("sim-oauth.%s.%d"):format(scope.name, number), token_type = "Bearer",
    refresh_token = how.refresh_token,
  }
  if how.absolute then
    answer.expires_at = math.floor(ngx.now() + ttl)
  else
    answer.expires_in = scope.settings.token_ttl_text and tostring(ttl) or ttl
  end
  for name, value in pairs(how.more or {}) do answer[name] = value end
  return http.json(200, answer)
end

---The scope that such a token names, and the token if it is good.
---@return string|nil scope
---@return table|nil token scopes, login
function M.read(text)
  local name, number = text:match("^sim%-oauth%.(.*)%.(%d+)$")
  if not name then return nil end
  local scope = state.scope(name)
  local token = scope.tokens[tonumber(number)]
  if token and token.ends > ngx.now() and tonumber(number) > scope.settings.revoked then
    return name, token
  end
  return name
end

return M
