-- Reads credentials: every token is "sim-token" or "sim-token.<scope>". Says who is asking;
-- what to answer to somebody unknown is each API's own matter.
local M = {}

local function scope_of_token(token)
  if not token then return nil end
  if token == "sim-token" then return "" end
  return token:match("^sim%-token%.([%w_.-]+)$")
end

local function bearer(req)
  local value = req.headers.authorization
  return value and value:match("^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$")
end

local function basic(req)
  local value = req.headers.authorization
  local text = value and value:match("^[Bb]asic +(%S+)$")
  text = text and ngx.decode_base64(text)
  return text and text:match(":(.*)$")
end

---Whether a bearer token was sent that is one of the simulator's.
function M.has_bearer(req)
  return scope_of_token(bearer(req)) ~= nil
end

---Google also takes the token from the query.
function M.has_access_token_query(req)
  return scope_of_token(req:arg("access_token")) ~= nil
end

---Whether the named header carries one of the simulator's tokens.
function M.has_header(req, name)
  return scope_of_token(req.headers[name]) ~= nil
end

---The scope that the credential names; nil without a valid one.
function M.scope(req)
  return scope_of_token(bearer(req)) or scope_of_token(req.headers["access-token"]) or
    scope_of_token(basic(req)) or scope_of_token(req:arg("access_token"))
end

return M
