-- The token endpoints: Google's (assertions, refresh tokens), Shoplazza's (refresh tokens that
-- are good for one use), BlendVision's login. Gives tokens that end; which of them is good is
-- asked by credential.lua.
local http = require "sim.http"
local json = require "sim.json"
local rsa = require "sim.rsa"
local tokens = require "sim.tokens"

local M = {}

local CLIENT_ID, CLIENT_SECRET = "sim-client", "sim-secret"
local REFRESH_TOKEN = "sim-refresh"
local EMAIL, PASSWORD = "sim@example.com", "sim-password"
local ACCOUNT = "garner@sim-project.iam.gserviceaccount.com"
local LONGEST = 3600

local function refuse(status, code, description)
  return http.json(status, { error = code, error_description = description })
end

local function form_of(req)
  local kind = req.headers["content-type"] or ""
  if req.method ~= "POST" or not kind:find("^application/x%-www%-form%-urlencoded") then
    return nil, refuse(400, "invalid_request", "a form must be posted")
  end
  for _, name in ipairs { "authorization", "access-token", "x-bv-org-id", "cookie" } do
    if req.headers[name] then
      return nil, refuse(400, "invalid_request", "a header of the API came here: " .. name)
    end
  end
  local form = {}
  for _, pair in ipairs(http.parse_query(req.body)) do form[pair[1]] = pair[2] end
  return form
end

-- Assertions ------------------------------------------------------------------

local key

local function public_key()
  if not key then
    local file = assert(io.open(ngx.config.prefix() .. "account.pub", "rb"))
    key = assert(rsa.public_key(file:read("*a")))
    file:close()
  end
  return key
end

local function decode_segment(text)
  text = text:gsub("-", "+"):gsub("_", "/")
  return ngx.decode_base64(text .. ("="):rep(-#text % 4))
end

local function claims_of(assertion)
  local signed, header, claims, signature =
    (assertion or ""):match("^(([%w_-]+)%.([%w_-]+))%.([%w_-]+)$")
  if not signed then return nil, "Bad Request" end
  header, claims = json.decode(decode_segment(header)), json.decode(decode_segment(claims))
  if not json.is_object(header) or not json.is_object(claims) then return nil, "Bad Request" end
  if header.alg ~= "RS256" or header.typ ~= "JWT" or header.kid ~= "sim-key" then
    return nil, "Invalid JWT header."
  elseif not rsa.verify(public_key(), signed, decode_segment(signature)) then
    return nil, "Invalid JWT Signature."
  end
  return claims
end

local function why_bad(claims, req)
  local now = ngx.time()
  local path = req.prefix_scope and "/_scope/" .. req.prefix_scope .. req.path or req.path
  if claims.iss ~= ACCOUNT then return "Invalid issuer: Not a valid email or user ID." end
  if claims.aud ~= "https://oauth2.googleapis.com/token" and
    claims.aud ~= ("%s://%s%s"):format(req.scheme, req.host, path) then
    return "Invalid JWT: audience."
  end
  if type(claims.iat) ~= "number" or type(claims.exp) ~= "number" or claims.iat > now + 60 or
    claims.exp < now or claims.exp > claims.iat + LONGEST then
    return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable " ..
      "timeframe."
  end
  if type(claims.scope) ~= "string" then return "Missing scope." end
end

local function assertion_grant(req, scope, form)
  local claims, why = claims_of(form.assertion)
  why = why or why_bad(claims, req)
  if why then return refuse(400, "invalid_grant", why) end
  if claims.sub == "nobody@example.com" then
    return refuse(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens " ..
      "using this method, or client not authorized for any of the scopes requested.")
  end
  return tokens.answer(scope, { scopes = claims.scope, subject = claims.sub })
end

-- Refresh tokens --------------------------------------------------------------

local function check_client(form)
  if form.client_id ~= CLIENT_ID or form.client_secret ~= CLIENT_SECRET then
    return refuse(401, "invalid_client", "The OAuth client was not found.")
  end
end

local function google(req, scope)
  local form, bad = form_of(req)
  if not form then return bad end
  if form.grant_type == "urn:ietf:params:oauth:grant-type:jwt-bearer" then
    return assertion_grant(req, scope, form)
  elseif form.grant_type ~= "refresh_token" then
    return refuse(400, "unsupported_grant_type", "Invalid grant_type: " ..
      tostring(form.grant_type))
  end
  bad = check_client(form)
  if bad then return bad end
  if form.refresh_token ~= REFRESH_TOKEN then
    return refuse(400, "invalid_grant", "Token has been expired or revoked.")
  end
  return tokens.answer(scope, {})
end

-- Each refresh token is good once; the last one given is the only good one.
local function shoplazza(req, scope)
  local form, bad = form_of(req)
  if not form then return bad end
  if form.grant_type ~= "refresh_token" then
    return refuse(400, "unsupported_grant_type", "grant_type is not supported")
  end
  bad = check_client(form)
  if bad then return bad end
  if form.refresh_token ~= (scope.refresh_token or REFRESH_TOKEN) then
    return refuse(400, "invalid_grant", "refresh token is invalid")
  end
  scope.refreshes = (scope.refreshes or 0) + 1
  scope.refresh_token = ("%s.%d.%d"):format(REFRESH_TOKEN, scope.refreshes, ngx.worker.pid())
  return tokens.answer(scope, { refresh_token = scope.refresh_token, absolute = true,
    more = { store_id = "1", store_name = "sim" } })
end

local function login(req, scope)
  local body = json.decode(req.body)
  if req.method ~= "POST" or not json.is_object(body) then
    return http.json(400, { code = 3, message = "invalid body", details = json.array() })
  elseif body.email ~= EMAIL or body.password ~= PASSWORD then
    return http.json(401, { code = 16, message = "email or password is wrong",
      details = json.array() })
  end
  return tokens.answer(scope, { login = true, refresh_token = "sim-login-refresh" })
end

M.routes = {
  { "api", "^/token$", google },
  { "api", "^/admin/oauth/token$", shoplazza },
  { "api", "^/bv/account/v1/accounts/login$", login },
}

return M
