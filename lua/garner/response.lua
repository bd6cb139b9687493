-- Owns: the response a user sees (`res`): headers without case, the lazy body,
-- strict JSON. Must not: decide what is an error, or keep a credential.

local errors = require "garner.errors"

local M = {}

-- Headers --------------------------------------------------------------------

-- The wire's list of { name, value }, or the result that can give it.
local order = setmetatable({}, { __mode = "k" })

local function wire(headers)
  local list = order[headers]
  if type(list) == "userdata" then
    list = list:headers()
    order[headers] = list
  end
  return list
end

local header_methods = {}

--- Every value of a header, in the order of the wire.
---@param name string any case
---@return string[]
function header_methods.all(headers, name)
  local out, lower = {}, name:lower()
  for _, pair in ipairs(wire(headers)) do
    if pair[1]:lower() == lower then
      out[#out + 1] = pair[2]
    end
  end
  return out
end

--- Walks over name and value in the order of the wire, duplicates included.
---@return fun(): string|nil, string|nil
function header_methods.each(headers)
  local list, i = wire(headers), 0
  return function()
    i = i + 1
    if list[i] then
      return list[i][1], list[i][2]
    end
  end
end

local Headers = {
  __index = function(headers, name)
    if type(name) ~= "string" then
      return nil
    end
    return rawget(headers, name:lower()) or header_methods[name]
  end,
}

--- A table of headers from the wire's list of { name, value }: keys are lower case
--- (so `pairs` works in every Lua), lookups ignore case, duplicates are joined with
--- ", " and kept apart for `all` and `each`.
---@param list table[]
---@return table
function M.headers(list)
  local headers = {}
  for _, pair in ipairs(list) do
    local name = pair[1]:lower()
    headers[name] = headers[name] and headers[name] .. ", " .. pair[2] or pair[2]
  end
  setmetatable(headers, Headers)
  order[headers] = list
  return headers
end

-- The same of a result's headers.
local function headers_of(result)
  local headers = result:header_map(Headers)
  order[headers] = result
  return headers
end

--- Whether a table was made by `headers`.
---@param value table
---@return boolean
function M.is_headers(value)
  return order[value] ~= nil
end

-- Responses ------------------------------------------------------------------

---@class garner.Response
---@field status integer
---@field headers table see `response.headers`
---@field body string
---@field elapsed number seconds, retries included
---@field attempts garner.Attempt[] every attempt, and every wait for the rate
---@field request_id string|nil
---@field url string without secrets
---@field file string|nil where the body went, for a download
---@field size integer bytes of the body
local methods = {}

-- Made when first asked for: a body of 60 MB that only `json` reads never becomes a
-- Lua string.
local lazy = {
  body = function(result)
    return result:body()
  end,
  headers = headers_of,
  attempts = function(result)
    return result:attempts()
  end,
  file = function(result)
    return result:file()
  end,
  elapsed = function(result)
    return result:elapsed()
  end,
  url = function(result)
    return result:url()
  end,
  size = function(result)
    return result:size()
  end,
  request_id = function(result)
    return errors.request_id(function(name)
      return result:header(name)
    end)
  end,
}

local function excerpt(res, context)
  local secrets = context.secrets and context.secrets()
  return errors.one_line(errors.excerpt(res.body, 200, secrets), 200)
end

local function not_json(res, context, why)
  local kind = res.headers["content-type"] or "no content type"
  local message
  if not res.body:find("%S") then
    message = "the answer is empty where JSON was expected (" .. kind .. ")"
  else
    message = "the answer is not JSON (" .. kind .. "; " .. why .. "): " .. excerpt(res, context)
  end
  return errors.from_raw({
    kind = "protocol", code = "json", message = message, status = res.status, url = res.url,
    attempts = res.attempts, retryable = false,
  }, context)
end

local function decode(result, codec)
  if codec == "cjson" then
    return require("garner.json").codec(codec).decode(result:body())
  end
  return result:json() -- without the body as a Lua string
end

--- The body as a Lua value (decoded once). JSON null is `garner.json.null`.
---@return any|nil value
---@return garner.Error|nil err kind "protocol" when the body is empty or not JSON
function methods.json(res)
  if not rawget(res, "_decoded") then
    local value, why = decode(res._result, rawget(res, "_codec"))
    res._decoded, res._value, res._err = true, value, false
    if value == nil then
      res._err = not_json(res, res._context, why or "not decodable")
      res._err.request_id = res.request_id
    end
  end
  return rawget(res, "_value"), res._err or nil
end

--- The request as a command line of the curl program; a shell variable stands where a
--- secret belongs.
---@return string|nil
function methods.curl(res)
  local context = rawget(res, "_context")
  return context.curl and context.curl(rawget(res, "_result"), context.secrets)
end

local Response = {
  __name = "garner.Response",
  __index = function(res, name)
    local make = lazy[name]
    if not make then
      return methods[name]
    end
    local value = make(res._result)
    res[name] = value
    return value
  end,
  __tostring = function(res)
    return "garner response " .. tostring(res.status) .. (" (%.0f bytes)"):format(res.size)
  end,
}

--- Makes a response from a good result of the core.
---@param result userdata
---@param context table the request's, for the errors of `json`
---@param codec string|nil "cjson" to decode with lua-cjson
---@param status integer|nil the result's, where it is known
---@return garner.Response
function M.new(result, context, codec, status)
  return setmetatable({
    status = status or result:status(), _result = result, _context = context, _codec = codec,
    body = nil, headers = nil, elapsed = nil, -- room for what is likely to be asked for
  }, Response)
end

--- The value at a dotted path ("data.items", "errors.0"; lists count from 0), nil
--- where there is none.
---@param value any
---@param path string
---@return any
function M.pick(value, path)
  for part in path:gmatch("[^%.]+") do
    if type(value) ~= "table" then
      return nil
    end
    local index = tonumber(part)
    local found = value[part]
    if found == nil and index then
      found = value[index + 1]
    end
    value = found
  end
  if value == require("garner.json").null then
    return nil
  end
  return value
end

return M
