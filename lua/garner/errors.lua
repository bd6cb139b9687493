-- Owns: the kinds of errors, hiding secrets by value, how misuse raises; for all else of errors
-- it stands in: error_object.lua is loaded when something fails, or with the first request.
-- Must not: send anything, or keep a secret.

local compat = require "garner.compat"
local failure = compat.lazy "garner.failure"

local M = {}

--- Every kind of error, with what `retryable` is for it unless the maker says.
M.kinds = {
  transport = true, timeout = true, cancelled = false, memory = false,
  unauthenticated = false, forbidden = false, not_found = false, invalid = false,
  throttled = true, server = true, protocol = false, too_large = false,
  truncated = false, in_doubt = false, not_ready = true, job_failed = false,
  hole = false, file = false,
}

--- The most of a body that an error keeps, in bytes.
M.BODY_LIMIT = 65536

--- Whether `raise` leaves the text of an error to somebody else.
M.quiet_raise = false

function M.one_line(...)
  return failure.one_line(...)
end

function M.read_body(...)
  return failure.read(...)
end

function M.classify(...)
  return failure.classify(...)
end

-- Misuse ---------------------------------------------------------------------

local own_folder = debug.getinfo(1, "S").source:match("^(.*[/\\])[^/\\]*$")
local last_misuse

-- The first stack level that is the user's: Lua code outside this folder. Counting
-- levels by hand would break with every helper and every tail call in between.
local function user_level()
  local level = 3
  while true do
    local info = debug.getinfo(level, "S")
    if not info then
      return nil
    end
    local lua = info.what ~= "C" and info.what ~= "tail"
    if lua and not (own_folder and info.source:sub(1, #own_folder) == own_folder) then
      return level
    end
    level = level + 1
  end
end

--- Where the user's own code is: "script.lua:12: ", or nothing where unknown.
---@return string
function M.where()
  local level = user_level()
  local info = level and debug.getinfo(level - 1, "Sl")
  if info and info.currentline > 0 then
    return info.short_src .. ":" .. info.currentline .. ": "
  end
  return ""
end

--- Raises a plain text error at the user's own line: for wrong arguments and bad
--- configuration.
---@param message string
function M.misuse(message)
  last_misuse = M.where() .. message
  error(last_misuse, 0)
end

--- Whether a raised value is what `misuse` raised last (garner.main tells usage
--- errors from other ones by this).
---@param value any
---@return boolean
function M.is_misuse(value)
  return last_misuse ~= nil and value == last_misuse
end

--- Whether a raised value is what the interpreter's Ctrl-C raises.
---@param value any
---@return boolean
function M.is_interrupt(value)
  return type(value) == "string" and value:find("interrupted!$") ~= nil
end

--- Raises again what must not be taken for anything else: Ctrl-C, and what Lua raises where
--- memory runs out.
---@param raised any
function M.pass(raised)
  if M.is_interrupt(raised) or type(raised) == "string"
    and (raised:find "not enough memory$" or raised:find "not enough memory for ") then
    error(raised, 0)
  end
end

-- Secrets --------------------------------------------------------------------

local function plain_pattern(text)
  return (text:gsub("%W", "%%%0"))
end

local function hide(text, secret)
  if #secret > 0 and text:find(secret, 1, true) then
    return (text:gsub(plain_pattern(secret), "***"))
  end
  return text
end

--- Hides every given secret in a text, and anything that follows "Bearer".
---@param text string
---@param secrets table|nil texts, as they are and as JSON or a URL may spell them, and functions
--- that hide something themselves
---@return string
function M.redact(text, secrets)
  for _, secret in ipairs(secrets or {}) do
    if type(secret) == "function" then
      text = secret(text)
    else
      text = hide(text, secret)
      if secret:find("/", 1, true) then
        text = hide(text, (secret:gsub("/", "\\/")))
      end
      if secret:find("%%%u") or secret:find("%%%d%u") then
        text = hide(text, (secret:gsub("%%%x%x", string.lower)))
      end
    end
  end
  text = text:gsub("([Bb][Ee][Aa][Rr][Ee][Rr]%s+)([%w%-%._~%+/=]+)", function(word, token)
    return #token >= 12 and word .. "***" or nil
  end)
  return text
end

--- A function that hides the secrets of a request's context in a text.
---@param context table
---@return fun(text: string): string
function M.hider(context)
  local secrets = context.secrets and context.secrets() or nil
  return function(text)
    return M.redact(text, secrets)
  end
end

--- The beginning of a text, secrets hidden, the one that the end cuts through too.
---@param text string
---@param limit integer bytes
---@param secrets table|nil
---@return string
function M.excerpt(text, limit, secrets)
  local longest = 0
  for _, secret in ipairs(secrets or {}) do
    longest = type(secret) == "string" and math.max(longest, 2 * #secret) or longest
  end
  local piece = M.redact(text:sub(1, limit + longest), secrets)
  if #text > limit + longest then
    piece = piece:sub(1, #piece - longest)
  end
  return piece:sub(1, limit)
end

return compat.lazy("garner.error_object", M)
