-- What a query of Google's Reports API may say: parameters, filters, page size, page token,
-- units, groups, the fields mask. Parses and checks; errors come back as text for error.errors[].
local clock = require "sim.clock"
local json = require "sim.json"
local refusal = require "sim.google_http"

local M = {}

local function split(text)
  local out = {}
  for item in (text .. ","):gmatch("([^,]*),") do out[#out + 1] = item end
  return out
end

-- "((gplus)|(docs)):[^,]+", as the discovery document writes it.
local function pattern_of(apps, rest)
  local one = "((" .. table.concat(apps, ")|(") .. "))" .. rest
  return "(" .. one .. ",)*(" .. one .. ")"
end

local function app_of(kind, item)
  local app = item:match("^([%w_]+):")
  for _, name in ipairs(kind.apps) do
    if name == app then return app end
  end
end

---The set of asked-for parameters, nil for all; or nil and what is wrong.
function M.parameters(kind, text)
  if not text or text == "" then return nil end
  local wanted = {}
  for _, item in ipairs(split(text)) do
    if not app_of(kind, item) or not item:find("^[%w_]+:[^,]+$") then
      return nil, refusal.mismatch(text, pattern_of(kind.apps, ":[^,]+"))
    end
    -- Unknown names are silently ignored, as documented.
    wanted[item] = true
  end
  return wanted
end

local OPERATORS = { "==", "<>", "!=", "<=", ">=", "<", ">" }

local compare = {
  ["=="] = function(a, b) return a == b end,
  ["<>"] = function(a, b) return a ~= b end,
  ["!="] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end,
  ["<="] = function(a, b) return a <= b end,
  [">"] = function(a, b) return a > b end,
  [">="] = function(a, b) return a >= b end,
}

---Name, operator, value of one filter; or nil.
function M.take_apart(item)
  local name, rest = item:match("^([^<>=!]+)(.+)$")
  for _, operator in ipairs(name and OPERATORS or {}) do
    if rest:sub(1, #operator) == operator and #rest > #operator then
      return name, compare[operator], rest:sub(#operator + 1)
    end
  end
end

local function parse_filter(kind, item)
  local name, holds, value = M.take_apart(item)
  local parameter = name and app_of(kind, name) and name:find("^[%w_]+:[a-z0-9_]+$") and
    kind.parameter(name)
  if not parameter then return nil, "Filter is invalid: " .. item end
  if parameter.number then
    value = value:match("^%-?%d+$")
    if not value then return nil, "Filter value is not a number: " .. item end
    value = tonumber(value)
  elseif not kind.any_filter then
    return nil, "Filter is invalid: only numeric parameters can be filtered: " .. name
  elseif parameter.kind == "datetimeValue" and not clock.parse_instant(value) then
    return nil, "Filter value is not a date-time: " .. item
  end
  return { parameter = parameter, compare = holds, value = value }
end

---The list of filters; or nil and what is wrong.
function M.filters(kind, text)
  local list = {}
  if not text or text == "" then return list end
  for _, item in ipairs(split(text)) do
    local filter, why = parse_filter(kind, item)
    if not filter then return nil, why end
    list[#list + 1] = filter
  end
  return list
end

local function comparable(parameter, text)
  if parameter.number then return tonumber(text) end
  if parameter.kind == "datetimeValue" then return clock.parse_instant(text) end
  return text
end

---Whether an id passes all filters on a day.
function M.passes(filters, id, day)
  for _, filter in ipairs(filters) do
    local parameter = filter.parameter
    local value = comparable(parameter, (parameter.value(id, day)))
    local wanted = parameter.number and filter.value or comparable(parameter, filter.value)
    if not filter.compare(value, wanted) then return false end
  end
  return true
end

-- What every method takes.
local COMMON = { "access_token", "alt", "callback", "fields", "key", "oauth_token", "prettyPrint",
  "quotaUser", "$.xgafv", "customerId", "pageToken", "scope" }

---What is wrong with the names of a query; nil if nothing.
function M.unknown(req, names)
  local known = {}
  for _, list in ipairs { COMMON, names } do
    for _, name in ipairs(list) do known[name] = true end
  end
  for _, pair in ipairs(req.args) do
    if not known[pair[1]] then
      return ('Invalid JSON payload received. Unknown name "%s": Cannot bind query parameter. ' ..
        "Field '%s' could not be found in request message."):format(pair[1], pair[1])
    end
  end
end

-- The one pattern of a unit, and of a list of groups.
local UNIT, GROUPS = "(id:[a-z0-9]+)", "(id:[a-z0-9]+(,id:[a-z0-9]+)*)"

---The set of units or groups that a query names, nil without; or nil and what is wrong.
function M.ids(text, many)
  if not text then return nil end
  local set = {}
  for _, item in ipairs(split(text)) do
    if not item:find("^id:[a-z0-9]+$") or set[1] and not many then
      return nil, refusal.mismatch(text, many and GROUPS or UNIT)
    end
    set[item], set[1] = true, item
  end
  return set
end

---What is wrong with a customerId; nil if nothing.
function M.customer(text)
  if text and text ~= "my_customer" and not text:find("^C.") then
    return refusal.mismatch(text, "C.+|my_customer")
  end
end

---Entities per page, 1 to 1000; or nil and what is wrong.
function M.page_size(text)
  if not text then return 1000 end
  local size = text:find("^%d+$") and tonumber(text)
  if not size then return nil, "Invalid value for maxResults: " .. text end
  if size < 1 or size > 1000 then
    return nil, "Invalid value '" .. text .. "'. Values must be within the range: [1, 1000]"
  end
  return size
end

-- A token belongs to one query: the same request with another filter refuses it.
local function digest(req)
  local parts = { req.path }
  for _, name in ipairs { "customerId", "filters", "maxResults", "parameters", "orgUnitID",
    "groupIdFilter", "eventName", "startTime", "endTime", "actorIpAddress" } do
    parts[#parts + 1] = req:arg(name) or ""
  end
  return ngx.md5(table.concat(parts, "\n")):sub(1, 12)
end

---The token of a page: where it begins and its number.
function M.page_token(req, offset, page)
  local token = ngx.encode_base64(("%s:%d:%d"):format(digest(req), offset, page))
  return (token:gsub("=", ""):gsub("%+", "-"):gsub("/", "_"))
end

---Where the page of this request begins and its number; or nil and what is wrong.
function M.page_offset(req)
  local token = req:arg("pageToken")
  if not token or token == "" then return 0, 1 end
  local padded = token:gsub("-", "+"):gsub("_", "/") .. ("="):rep(-#token % 4)
  local sum, offset, page = (ngx.decode_base64(padded) or ""):match("^(%x+):(%d+):(%d+)$")
  if sum ~= digest(req) then return nil, "Invalid page token: " .. token end
  return tonumber(offset), tonumber(page)
end

-- The mask is a tree: a(b,c/d) is { a = { b = true, c = { d = true } } }.
local function parse_mask(text, pos)
  local mask = {}
  while true do
    local name, stop = text:match("^([%w_*]+)()", pos)
    if not name then return nil end
    local node, c = true, text:sub(stop, stop)
    pos = stop
    if c == "/" then
      local rest = text:match("^[%w_*/]+", stop + 1) or ""
      node, pos = parse_mask(rest, 1), stop + 1 + #rest
      if not node then return nil end
    elseif c == "(" then
      node, pos = parse_mask(text, stop + 1)
      if not node or text:sub(pos, pos) ~= ")" then return nil end
      pos = pos + 1
    end
    mask[name] = node
    if text:sub(pos, pos) ~= "," then return mask, pos end
    pos = pos + 1
  end
end

local function apply(mask, value)
  if mask == true or mask["*"] == true then return value end
  if json.is_array(value) then
    local out = json.array()
    for i, item in ipairs(value) do out[i] = apply(mask, item) end
    return out
  end
  if not json.is_object(value) then return value end
  local out = {}
  for name, item in pairs(value) do
    local node = mask[name] or mask["*"]
    if node then out[name] = apply(node, item) end
  end
  return out
end

---JSON text with only what the `fields` mask names; or nil and what is wrong.
function M.mask(text, fields)
  local mask, pos = parse_mask(fields, 1)
  if not mask or pos <= #fields then return nil, "Invalid field selection " .. fields end
  return json.encode(apply(mask, assert(json.decode(text))))
end

return M
