-- Owns: credentials: where a token comes from (text, function, file, environment),
-- reading it again, and which texts have to be hidden.
-- Must not: send anything, or show a secret: the values live in closures and in a
-- weak table, never in a field.

local compat = require "garner.compat"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"

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
  if rawget(_G, "ngx") then
    return " (in nginx the main configuration must say: env " .. name .. ";)"
  end
  return ""
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

local function new(scheme, header, given, what)
  local self = setmetatable({}, Auth)
  hidden[self] = { scheme = scheme, header = header, source = source_of(given, what) }
  return self
end

--- Sends `Authorization: Bearer <token>`.
---@param token string|function|table text, function, { file = path } or { env = name }
---@return table auth for a client's `auth` option
function M.bearer(token)
  return new("bearer", nil, token, "garner.auth.bearer: token")
end

--- Sends a header of any name, such as `access-token`.
---@param name string
---@param token string|function|table text, function, { file = path } or { env = name }
---@return table auth for a client's `auth` option
function M.header(name, token)
  if type(name) ~= "string" or not name:find("^[%w!#$%%&'*+%-.^_`|~]+$") then
    errors.misuse("garner.auth.header: the header's name is not one: " .. options.show(name))
  end
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
  if compat.callable(password) then
    errors.misuse("garner.auth.basic: password must be a text, { file = path } or { env = name }")
  end
  local self = new("basic", nil, password, "garner.auth.basic: password")
  hidden[self].user = user
  return self
end

--- Whether a value came from this module.
---@param value any
---@return boolean
function M.is(value)
  return hidden[value] ~= nil
end

-- Sessions -------------------------------------------------------------------

local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for shift = 3, 0, -1 do
      local digit = math.floor(n / 64 ^ shift) % 64
      out[#out + 1] = BASE64:sub(digit + 1, digit + 1)
    end
    if not c then
      out[#out] = "="
    end
    if not b then
      out[#out - 1] = "="
    end
  end
  return table.concat(out)
end

local function escaped(text)
  return (text:gsub("[^%w%-%._~]", function(c)
    return string.format("%%%02X", c:byte())
  end))
end

---@class garner.Session one client's use of a credential
local Session = {}
Session.__index = Session

-- Texts to hide: the last few tokens, as they are and as a URL carries them.
local function remember(state, token)
  local list = { token }
  if escaped(token) ~= token then
    list[2] = escaped(token)
  end
  if state.scheme == "basic" then
    list[#list + 1] = base64(state.user .. ":" .. token)
  end
  for _, old in ipairs(state.secrets) do
    if #list < 8 and old ~= token then
      list[#list + 1] = old
    end
  end
  state.secrets = list
end

--- Makes the session of a client. Reads the token unless it is a function; a missing
--- file or variable raises at the caller's line.
---@param auth table|nil
---@param what string
---@return garner.Session
function M.session(auth, what)
  local self = setmetatable({}, Session)
  local state = { secrets = {}, extra = {}, generation = 0, loaded = true }
  hidden[self] = state
  if auth then
    local given = hidden[auth]
    state.scheme, state.header, state.user = given.scheme, given.header, given.user
    state.source, state.loaded = given.source, not given.source.late
    if state.loaded then
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
  end
  return { scheme = state.scheme, header = state.header, token = state.token }
end

--- "bearer", "header", "basic" or nil.
function Session:scheme()
  return hidden[self].scheme
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
  for _, group in ipairs { state.secrets, state.extra } do
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

local function being_read(state)
  local reader = state.reader
  return reader and not (reader.task and reader.task.dropped)
    and driver.current().now() < reader.deadline
end

local function read(self, state, core_client)
  local reader = { task = driver.task(), deadline = driver.current().now() + READ_LIMIT }
  state.reader = reader
  local token, why, cause = state.source.read()
  if state.reader == reader then
    state.reader = nil
  end
  state.generation = state.generation + 1
  if not token then
    state.err = token_error(self, why, cause)
    return nil, state.err
  end
  local same = token == state.token
  state.token, state.loaded, state.err = token, true, nil
  remember(state, token)
  core_client:set_token(token)
  return true, same
end

local function wait_for_reader(state)
  local waited = false
  while being_read(state) and driver.current().yieldable() do
    driver.current().sleep(0.01)
    waited = true
  end
  return waited
end

--- Makes sure that there is a token: calls the token function for the first time.
---@param core_client userdata
---@return integer|nil generation
---@return garner.Error|nil err nothing was sent
function Session:ready(core_client)
  local state = hidden[self]
  if not state.loaded then
    if wait_for_reader(state) and state.err then
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
  wait_for_reader(state)
  if state.generation ~= seen then
    return state.err == nil, state.err
  end
  local ok, same = read(self, state, core_client)
  if not ok then
    return false, same
  end
  return not same
end

return M
