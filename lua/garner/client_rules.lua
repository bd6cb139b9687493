-- Owns: the rules for those options of a client that are no plain values. A rule takes a value and
-- gives the value to use, or nil and what it must be. Must not: know the client.

local auth = require "garner.auth"
local compat = require "garner.compat"
local limiter = compat.lazy "garner.limiter"
local options = require "garner.options"
local recording = compat.lazy "garner.recording"
local replay = compat.lazy "garner.replay"

local M = {}

local RETRY = {
  attempts = options.integer(1, 100), backoff = options.duration,
  backoff_throttled = options.duration, backoff_cap = options.duration,
  max_wait = options.duration,
}

--- Attempts at most.
M.attempts = RETRY.attempts

--- How often and after which waits a request is sent again.
function M.retry(value)
  if value == false then
    return { attempts = 1 }
  elseif type(value) == "number" then
    local good, why = RETRY.attempts(value)
    return good and { attempts = good }, why
  elseif type(value) == "table" then
    return options.check(value, RETRY, "garner: retry")
  end
  return nil, "must be false, a number of attempts or a table, got " .. options.show(value)
end

local PROXY_SCHEMES = { http = true, https = true, socks4 = true, socks4a = true, socks5 = true,
  socks5h = true }

--- Where the proxy is. The value stays out of the message: it may hold a password.
function M.proxy(value)
  if value == false then
    return value
  end
  if type(value) == "string" and value ~= "" and not value:find("[%s%c]") then
    local scheme = value:match("^(.-)://")
    if not scheme or PROXY_SCHEMES[scheme:lower()] then
      return value
    end
  end
  return nil, 'must be "env", false or a URL such as "http://proxy.example.com:8080" (http, https, '
    .. "socks4, socks4a, socks5, socks5h)"
end

--- Requests a second, or a limiter.
function M.rate(value)
  if type(value) == "table" and limiter.core(value) then
    return value
  end
  local good, why = options.positive(value)
  return good, why and why:gsub("above zero", "above zero or a garner.limiter")
end

--- A cache for the windows of pulls.
function M.cache(value)
  if type(value) == "table" and require("garner.cache").is(value) then
    return value
  end
  return nil, "must come from garner.cache"
end

--- A credential.
function M.auth(value)
  if auth.is(value) then
    return value
  end
  return nil, "must come from garner.auth, such as garner.auth.bearer(...)"
end

--- A list of texts, or one.
function M.list(value)
  if type(value) == "string" then
    return { value }
  end
  for key, item in pairs(type(value) == "table" and value or { x = 1 }) do
    if type(key) ~= "number" or type(item) ~= "string" then
      return nil, "must be a list of texts"
    end
  end
  return value
end

local function file_option(module, name)
  return function(value)
    if module.is(value) then
      return value
    elseif type(value) == "string" and value ~= "" then
      return module[name](value, true)
    end
    return nil, "must be garner." .. name .. "(file), or the path of the file"
  end
end

--- Where all traffic is kept, and what answers from there.
M.record, M.replay = file_option(recording, "record"), file_option(replay, "replay")

--- What answers in the network's place.
function M.transport(value)
  if compat.callable(value) then
    return value
  end
  return nil, "must be a function(request) that gives a response"
end

local RATE_HEADERS = {
  remaining = options.text, used = options.text, limit = options.text, reset = options.text,
  reset_kind = options.one_of { "seconds", "epoch" },
}

--- The names of response headers that tell the rate.
function M.rate_headers(value)
  if value == false then
    return value
  elseif type(value) ~= "table" then
    return nil, "must be false or a table of headers' names, got " .. options.show(value)
  end
  value = options.check(value, RATE_HEADERS, "garner: rate_headers")
  if (value.remaining == nil) == (value.used == nil) then
    return nil, "needs remaining or used, and not both"
  elseif value.limit and not value.used then
    return nil, "has a limit, which only goes with used"
  elseif value.reset_kind and not value.reset then
    return nil, "has a reset_kind without reset"
  end
  return value
end

return M
