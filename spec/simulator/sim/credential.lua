-- Reads credentials: a token is "sim-token" or "sim-token.<scope>", or one that a token
-- endpoint gave. Says who is asking; what to answer to somebody unknown is each API's own
-- matter.
local tokens = require "sim.tokens"

local M = {}

-- The scope that a token names, and what it is: true, or the record of a token that ends; nil
-- if it is not good.
local function read(token)
  if not token then return nil end
  if token == "sim-token" then return "", true end
  local name = token:match("^sim%-token%.([%w_.-]+)$")
  if name then return name, true end
  return tokens.read(token)
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

local function good(token)
  local _, what = read(token)
  return what
end

---What the bearer token is: a record { scopes, login }, true for one of the simple ones, nil for
---none that is good.
function M.bearer(req)
  return good(bearer(req))
end

---Whether a bearer token was sent that is one of the simulator's.
function M.has_bearer(req)
  return good(bearer(req)) ~= nil
end

---Whether a good bearer token may be used for that access scope: the simple ones for any.
function M.allows(req, wanted)
  local what = M.bearer(req)
  local scopes = type(what) == "table" and what.scopes
  return not scopes or (" " .. scopes .. " "):find(" " .. wanted .. " ", 1, true) ~= nil
end

---Google also takes the token from the query.
function M.has_access_token_query(req)
  return good(req:arg("access_token")) ~= nil
end

---Whether the named header carries one of the simulator's tokens.
function M.has_header(req, name)
  return good(req.headers[name]) ~= nil
end

---The scope that the credential names, good or not; nil without one.
function M.scope(req)
  return (read(bearer(req))) or (read(req.headers["access-token"])) or
    (read(req.headers["x-api-key"])) or (read(basic(req))) or (read(req:arg("access_token")))
end

return M
