-- Owns: credentials: where a token comes from (text, function, file, environment),
-- reading it again, and which texts have to be hidden.
-- Must not: send anything, or show a secret: the values live in closures and in a
-- weak table, never in a field.

local compat = require "garner.compat"
local base64 = compat.lazy "garner.base64"
local driver = compat.lazy "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"
local request = compat.lazy "garner.request"

local M = {}

local hidden = setmetatable({}, { __mode = "k" })

local Auth = {
  __name = "garner.Auth",
  __tostring = function(self)
    return "garner credential (" .. hidden[self].scheme .. " ***)"
  end,
}

-- What a token must be, without showing it.
local function why_bad(token)
  if type(token) ~= "string" then
    return "is a " .. type(token) .. ", not a text"
  elseif token == "" then
    return "is empty"
  elseif token:find("%c") then
    return "has a control character (such as a line end) in it"
  end
  return nil
end

local function read_file(path)
  local file, why = io.open(path, "rb")
  if not file then
    return nil, "cannot read the token file: " .. why
  end
  local text = file:read("*a")
  file:close()
  text = (text or ""):gsub("^%s+", ""):gsub("%s+$", "")
  local bad = why_bad(text)
  if bad then
    return nil, "the token file " .. path .. " " .. bad
  end
  return text
end

--- How to make an environment variable visible, where that takes more than setting it.
---@param name string
---@return string
function M.env_hint(name)
  if compat.global "ngx" then
    return " (in nginx the main configuration must say: env " .. name .. ";)"
  end
  return ""
end

local NONE = {}

-- Where memory is too short to know the secrets, nothing is shown.
local function hide_all()
  return "***"
end

local function read_env(name)
  local text = os.getenv(name)
  if not text or text == "" then
    return nil, "the environment variable " .. name .. " is not set" .. M.env_hint(name)
  end
  local bad = why_bad(text)
  if bad then
    return nil, "the environment variable " .. name .. " " .. bad
  end
  return text
end

local function call(fn)
  local ok, token, why = compat.guard(fn)
  if not ok then
    errors.pass(token)
    return nil, "the token function failed: " .. tostring(token), token
  end
  local bad = why_bad(token)
  if bad then
    local said = token == nil and why ~= nil and " and said: " .. tostring(why) or ""
    return nil, "what the token function returned " .. bad .. said, why
  end
  return token
end

-- A source: read() gives the token or nil and why; `again`: reading it later may give
-- another one; `late`: not before the first request, in the waiting coroutine.
local function source_of(given, what)
  if type(given) == "string" then
    local bad = why_bad(given)
    if bad then
      errors.misuse(what .. " " .. bad)
    end
    return { read = function()
      return given
    end }
  elseif compat.callable(given) then
    return { again = true, late = true, read = function()
      return call(given)
    end }
  elseif type(given) == "table" then
    given = options.check(given, { file = options.text, env = options.text }, what)
    if given.file and not given.env then
      return { again = true, read = function()
        return read_file(given.file)
      end }
    elseif given.env and not given.file then
      return { read = function()
        return read_env(given.env)
      end }
    end
  end
  errors.misuse(what .. " must be a text, a function, { file = path } or { env = name }, got "
    .. (type(given) == "table" and "a table with neither or both" or "a " .. type(given)))
end

--- Where a secret is read from: not a function.
---@param given string|table text, { file = path } or { env = name }
---@param what string
---@return table source
function M.source(given, what)
  if compat.callable(given) then
    errors.misuse(what .. " must be a text, { file = path } or { env = name }")
  end
  return source_of(given, what)
end

--- A secret, read now; what cannot be read raises at the caller's line.
---@param given string|table text, { file = path } or { env = name }
---@param what string
---@return string
function M.secret(given, what)
  local text, why = M.source(given, what).read()
  if not text then
    errors.misuse(what .. ": " .. why)
  end
  return text
end

local function new(scheme, header, given, what)
  local self = setmetatable({}, Auth)
  hidden[self] = { scheme = scheme, header = header, source = source_of(given, what) }
  return self
end

local function new_oauth(description, header)
  local self = setmetatable({}, Auth)
  hidden[self] = { scheme = header and "header" or "bearer", header = header,
    source = description.source, oauth = description }
  return self
end

--- Sends `Authorization: Bearer <token>`.
---@param token string|function|table text, function, { file = path } or { env = name }
---@return table auth for a client's `auth` option
function M.bearer(token)
  return new("bearer", nil, token, "garner.auth.bearer: token")
end

local function check_header_name(name, what)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    errors.misuse(what .. ": the header's name is not one: " .. options.show(name))
  end
end

--- Sends a header of any name, such as `access-token`.
---@param name string
---@param token string|function|table text, function, { file = path } or { env = name }
---@return table auth for a client's `auth` option
function M.header(name, token)
  check_header_name(name, "garner.auth.header")
  return new("header", name, token, "garner.auth.header: token")
end

--- Sends `Authorization: Basic ...`.
---@param user string
---@param password string|table text, { file = path } or { env = name }
---@return table auth for a client's `auth` option
function M.basic(user, password)
  if type(user) ~= "string" or user:find("[%c:]") then
    errors.misuse("garner.auth.basic: user must be a text without a colon or control characters")
  end
  local what = "garner.auth.basic: password"
  local self = setmetatable({}, Auth)
  hidden[self] = { scheme = "basic", source = M.source(password, what), user = user }
  return self
end

--- Tokens for a Google service account, signed for and fetched by the core: one for each
--- scope that requests name (`scope`), before it ends and once more after a 401.
---@param given table key_file (path) or key (table, or its JSON); subject (the user to act for, by
--- domain-wide delegation), scopes (text or list, for requests that name none), token_url (instead
--- of the key's token_uri), audience (instead of that URL)
---@return table auth for a client's `auth` option; a bad key raises
function M.service_account(given)
  return new_oauth(require("garner.oauth").service_account(given))
end

--- Tokens for a refresh token (RFC 6749), fetched by the core before they end and once more
--- after a 401.
---@param given table token_url, client_id, client_secret, refresh_token (these two: text,
--- { file = path } or { env = name }; a file is read again when the server refuses the token);
--- rotates (true: each refresh token is good for one use, so a refresh whose fate is unknown is
--- not repeated), on_token = function({ refresh_token, access_token, expires_at }) that stores a
--- new refresh token before any result comes (expires_at: Unix seconds or nil; it is called again
--- with the next result if it raises), scope, access_token (one that there is already), header
--- (the tokens go there instead of Authorization)
---@return table auth for a client's `auth` option
function M.refresh_token(given)
  local copy, header = given, nil
  if type(given) == "table" then
    copy, header = {}, given.header
    for name, value in pairs(given) do
      copy[name] = value
    end
    copy.header = nil
  end
  if header ~= nil then
    check_header_name(header, "garner.auth.refresh_token")
  end
  return new_oauth(require("garner.oauth").refresh_token(copy), header)
end

--- Tokens from a login: `json` is sent to token_url, the answer has access_token and expires_in
--- (or expires_at). It logs in again before the token ends and once after a 401.
---@param given table token_url, json (names and texts, { file = path } or { env = name })
---@return table auth for a client's `auth` option
function M.login(given)
  return new_oauth(require("garner.oauth").login(given))
end

--- Whether a value came from this module.
---@param value any
---@return boolean
function M.is(value)
  return hidden[value] ~= nil
end

-- Sessions -------------------------------------------------------------------

---@class garner.Session one client's use of a credential
local Session = {}
Session.__index = Session

-- Texts to hide: the last few tokens, as they are and as a URL carries them.
local function remember(state, token)
  local list = { token }
  if token:find "[^%w%-._~]" then
    list[2] = request.escape(token)
  end
  if state.scheme == "basic" then
    list[#list + 1] = base64.encode(state.user .. ":" .. token)
  end
  for _, old in ipairs(state.secrets) do
    if #list < 8 and old ~= token then
      list[#list + 1] = old
    end
  end
  state.secrets = list
end

-- The first client uses the refresh token up; a file may have its successor by then.
local function use_once(given, what)
  if given.used and not given.source.again then
    errors.misuse(what .. ": this refresh token is good for one use, and another client has it; "
      .. "make one client, or a credential for each")
  end
  given.used = true
end

--- Makes the session of a client. Reads the token unless it is a function; a missing
--- file or variable raises at the caller's line.
---@param auth table|nil
---@param what string
---@return garner.Session
function M.session(auth, what)
  -- generation: what `ready` would give at once, nil where something has to be done first
  local self = setmetatable({ generation = 0 }, Session)
  local state = { secrets = {}, extra = {}, generation = 0, loaded = true, core = false,
    fetched = NONE, blind = false }
  hidden[self] = state
  if auth then
    local given = hidden[auth]
    state.scheme, state.header, state.user = given.scheme, given.header, given.user
    state.source, state.oauth = given.source, given.oauth
    state.loaded = not (given.source and given.source.late)
    if given.oauth and given.oauth.rotates then
      use_once(given, what)
    end
    for _, secret in pairs(given.oauth and given.oauth.secrets or {}) do
      self:hide(secret)
    end
    self.generation = state.loaded and 0 or nil
    if given.source and state.loaded then
      local token, why = given.source.read()
      if not token then
        errors.misuse(what .. ": " .. why)
      end
      state.token = token
      remember(state, token)
    end
  end
  return self
end

--- The `auth` table for the core's client; nil without a credential.
function Session:core_options()
  local state = hidden[self]
  if not state.scheme then
    return nil
  elseif state.scheme == "basic" then
    return { scheme = "basic", user = state.user, password = state.token }
  elseif state.oauth then
    local oauth = { refresh_token = state.token }
    for name, value in pairs(state.oauth.core) do
      oauth[name] = value
    end
    return { scheme = state.scheme, header = state.header, token = state.oauth.token,
      oauth = oauth }
  end
  return { scheme = state.scheme, header = state.header, token = state.token }
end

--- "bearer", "header", "basic" or nil.
function Session:scheme()
  return hidden[self].scheme
end

--- What the credential is, as plain data with secrets in it; nil before a token function gave
--- the first one.
---@return table|nil
function Session:parts()
  local state = hidden[self]
  if not state.loaded then
    return nil
  end
  return { scheme = state.scheme or "none", header = state.header, user = state.user,
    token = state.token, oauth = state.oauth and state.oauth.core }
end

--- Tells the core's client, which knows the tokens that it fetched.
---@param core_client userdata
function Session:attach(core_client)
  hidden[self].core = hidden[self].oauth and core_client
end

--- Keeps what has to be hidden; the core's client is about to be closed. Raises nothing.
function Session:detach()
  local state = hidden[self]
  if state.core then
    local known, fetched = pcall(state.core.secrets, state.core)
    state.core, state.fetched, state.blind = false, known and fetched or NONE, not known
  end
end

--- Whether a request's scope decides which token it gets.
---@return boolean
function Session:wants_scope()
  return hidden[self].oauth ~= nil
end

--- Adds further texts to hide.
---@param text string
function Session:hide(text)
  local extra = hidden[self].extra
  extra[#extra + 1] = text
end

--- Every text to hide, longest first.
---@return string[]
function Session:secrets()
  local state = hidden[self]
  local list = {}
  local known, fetched = not state.blind, state.fetched
  if state.core then
    known, fetched = pcall(state.core.secrets, state.core) -- raises where memory ends
  end
  if not known then
    return { hide_all }
  end
  for _, group in ipairs { state.secrets, state.extra, fetched } do
    for _, text in ipairs(group) do
      list[#list + 1] = text
    end
  end
  table.sort(list, function(a, b)
    return #a > #b
  end)
  return list
end

local function token_error(self, why, cause)
  return errors.from_raw({
    kind = "unauthenticated", code = "token", message = why, retryable = false,
  }, {
    secrets = function()
      return self:secrets()
    end,
    cause = cause,
  })
end

-- One reading at a time, for all coroutines: the others wait for it, but not for one
-- that was cancelled (it never ends) or takes this long, in seconds.
local READ_LIMIT = 120

local function at_work(worker)
  return worker and not (worker.life and worker.life.over)
    and driver.current().now() < worker.deadline
end

local function new_worker()
  return { life = driver.life(), deadline = driver.current().now() + READ_LIMIT }
end

-- Waits while another coroutine is at what state[name] says.
local function wait_for(state, name)
  local waited = false
  while at_work(state[name]) and driver.current().yieldable() do
    driver.current().sleep(0.01)
    waited = true
  end
  return waited
end

local function read(self, state, core_client)
  local reader = new_worker()
  state.reader = reader
  local token, why, cause = state.source.read()
  if state.reader == reader then
    state.reader = nil
  end
  state.generation = state.generation + 1
  self.generation = self.generation and state.generation
  if not token then
    state.err = token_error(self, why, cause)
    return nil, state.err
  end
  local same = token == state.token
  state.token, state.loaded, state.err = token, true, nil
  self.generation = state.generation
  remember(state, token)
  core_client:set_token(token)
  return true, same
end

--- Makes sure that there is a token: calls the token function for the first time.
---@param core_client userdata
---@return integer|nil generation
---@return garner.Error|nil err nothing was sent
function Session:ready(core_client)
  local state = hidden[self]
  if not state.loaded then
    if wait_for(state, "reader") and state.err then
      return nil, state.err
    end
    if not state.loaded then
      local ok, err = read(self, state, core_client)
      if not ok then
        return nil, err
      end
    end
  end
  return state.generation
end

--- Reads the token again after a 401. Once for all coroutines that saw the same one.
---@param core_client userdata
---@param seen integer the generation that was refused
---@return boolean renewed there is another token to try
---@return garner.Error|nil err the source failed
function Session:renew(core_client, seen)
  local state = hidden[self]
  if not state.source or not state.source.again then
    return false
  end
  wait_for(state, "reader")
  if state.generation ~= seen then
    return state.err == nil, state.err
  end
  local ok, same = read(self, state, core_client)
  if not ok then
    return false, same
  end
  return not same
end

-- Calls on_token; what it raises, or returns as nil and a reason, reaches the caller.
local function tell(state, news)
  local ok, done, why = compat.guard(state.oauth.on_token, news)
  if not ok then
    state.teller = nil
    error(done, 0)
  elseif not done and why ~= nil then
    state.teller = nil
    error(why, 0)
  end
end

--- Gives new refresh tokens to on_token, oldest first, before a result is handed out. One
--- coroutine tells, the others wait for it. What on_token raises is raised, and the token
--- stays to be told again.
---@param log fun(level: string, event: string, fields: table|nil)
function Session:settle(log)
  local state = hidden[self]
  if not state.core then
    return
  end
  wait_for(state, "teller")
  local news = state.core:token_news()
  if not news then
    return
  end
  state.teller = new_worker()
  while news do
    if state.oauth.on_token then
      tell(state, news)
    elseif not state.unstored then
      state.unstored = true
      log("warn", "refresh_token_not_stored", {})
    end
    state.core:token_told()
    news = state.core:token_news()
  end
  state.teller = nil
end

return M
