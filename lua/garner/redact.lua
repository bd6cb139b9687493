-- Owns: hiding secrets in what a request and its response are made of: headers, URLs,
-- bodies. By value where the secret is known, by name where only its place tells.
-- Must not: keep a secret longer than what it hides it in.

local core = require "garner.core"
local errors = require "garner.errors"

local M = {}

-- Fields of JSON bodies; a page's token is none.
local FIELDS = { token = true, access_token = true, refresh_token = true, id_token = true,
  accesstoken = true, refreshtoken = true, idtoken = true, session_token = true, api_key = true,
  apikey = true, assertion = true, authorization = true, jwt = true, private_key = true }
local FIELD_PARTS = { "secret", "passw" }

-- A body that has none of these words needs no look at its fields.
local WORDS = { "token", "secret", "passw", "key", "assertion", "authorization", "jwt" }

local HEADERS = { authorization = true, ["proxy-authorization"] = true, ["access-token"] = true,
  ["set-cookie"] = true, cookie = true }
local HEADER_PARTS = { "authorization", "token", "secret", "cookie", "api-key", "apikey" }

local function has_part(name, parts)
  for _, part in ipairs(parts) do
    if name:find(part, 1, true) then
      return true
    end
  end
  return false
end

--- Whether a header's name says that its value is a secret.
---@param name string
---@return boolean
function M.is_secret_header(name)
  name = name:lower()
  return HEADERS[name] or has_part(name, HEADER_PARTS)
end

local function is_secret_field(name)
  name = name:lower()
  return FIELDS[name] or has_part(name, FIELD_PARTS)
end

---@class garner.Redactor
local Redactor = {}
Redactor.__index = Redactor

-- A URL inside JSON text may be spelled with "\/" and "\u0026".
local function unescaped(url)
  return (url:gsub("\\/", "/"):gsub("\\u0026", "&"):gsub("\\u003[dD]", "="))
end

--- A URL without the values of its secrets. One of another origin than the client's own
--- is taken to be signed: it keeps no value of its query.
---@param url string
---@return string
function Redactor:url(url)
  url = errors.redact(url, self.secrets())
  local head, query, tail = url:match("^([^?#]*)%?([^#]*)(.*)$")
  head = (head or url):gsub("^(%a+://)[^/@]*@", "%1***@")
  if not query then
    return head
  end
  local foreign = not self.own(url)
  local function hide(name, equals, value)
    if equals == "" and foreign then
      return self.mark(name)
    elseif foreign or core.is_secret_name(name) then
      return name .. equals .. self.mark(value)
    end
  end
  query = query:gsub("([^&;=]+)(=?)([^&;]*)", hide)
  return head .. "?" .. query .. tail
end

-- Values of JSON fields whose names tell a secret.
function Redactor:fields(text)
  if not has_part(text:lower(), WORDS) then
    return text
  end
  local out, from, at = {}, 1, 1
  while true do
    local _, start, name = text:find('"([%w_%-%.]+)"%s*:%s*"', at)
    if not start then
      break
    end
    at = start + 1
    if is_secret_field(name) then
      local stop = at
      while stop <= #text and text:sub(stop, stop) ~= '"' do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
      out[#out + 1] = text:sub(from, start)
      out[#out + 1] = self.mark(text:sub(at, stop - 1))
      from, at = stop, stop
    end
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

-- "name=value&..." where the whole text is that.
function Redactor:form(text)
  return (text:gsub("([^&=]+)=([^&]*)", function(name, value)
    return core.is_secret_name(name) and name .. "=" .. self.mark(value) or nil
  end))
end

--- A body, or any other text, without secrets.
---@param text string
---@return string
function Redactor:text(text)
  text = errors.redact(text, self.secrets())
  if not text:find("[%s{\"]") and text:find("^[%w_%-%.%%]+=") then
    return self:form(text)
  end
  text = text:gsub("https?:\\?/\\?/[^%s\"'<>]+", function(url)
    local whole, rest = url:match("^(.-)(\\*)$")
    local plain = unescaped(whole)
    local hidden = self:url(plain)
    return hidden ~= plain and hidden .. rest or nil
  end)
  return self:fields(text)
end

--- A header's value without secrets.
---@param name string
---@param value string
---@return string
function Redactor:header(name, value)
  if M.is_secret_header(name) then
    return "***"
  end
  return self:text(value)
end

--- A list of { name, value } without secrets.
---@param list table[]|nil
---@return table[]
function Redactor:headers(list)
  local out = {}
  for i, pair in ipairs(list or {}) do
    out[i] = { pair[1], self:header(pair[1], pair[2]) }
  end
  return out
end

--- The secrets of a client, and those that the headers of one request carry.
---@param secrets fun(): table
---@param headers table[]
---@return fun(): table
function M.with_headers(secrets, headers)
  return function()
    local list = secrets()
    for _, pair in ipairs(headers or {}) do
      if M.is_secret_header(pair[1]) and pair[2] ~= "***" then
        table.insert(list, 1, pair[2])
      end
    end
    return list
  end
end

--- Makes a redactor.
---@param secrets fun(): table what to hide by value
---@param own fun(url: string): boolean whether a URL is at one of the client's own origins
---@param mark nil|fun(value: string): string what stands in a secret's place (default "***")
---@return garner.Redactor
function M.new(secrets, own, mark)
  return setmetatable({ secrets = secrets, own = own, mark = mark or function()
    return "***"
  end }, Redactor)
end

return M
