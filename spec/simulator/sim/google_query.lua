-- What a query of entityUsageReports.get may say: parameters, filters, page size, page
-- token, the fields mask. Parses and checks; errors come back as text for error.errors[].
local entities = require "sim.google_entities"
local json = require "sim.json"

local M = {}

local function split(text)
  local out = {}
  for item in (text .. ","):gmatch("([^,]*),") do out[#out + 1] = item end
  return out
end

---The set of asked-for parameters, nil for all; or nil and what is wrong.
function M.parameters(text)
  if not text or text == "" then return nil end
  local wanted = {}
  for _, item in ipairs(split(text)) do
    if not item:find("^gplus:[^,]+$") then
      return nil, "Invalid value '" .. text .. "'. Values must match the following regular " ..
        "expression: '(((gplus)):[^,]+,)*(((gplus)):[^,]+)'"
    end
    -- Unknown names are silently ignored, as documented.
    wanted[item] = true
  end
  return wanted
end

local OPERATORS = { "==", "<>", "<=", ">=", "<", ">" }

local compare = {
  ["=="] = function(a, b) return a == b end,
  ["<>"] = function(a, b) return a ~= b end,
  ["<"] = function(a, b) return a < b end,
  ["<="] = function(a, b) return a <= b end,
  [">"] = function(a, b) return a > b end,
  [">="] = function(a, b) return a >= b end,
}

local function parse_filter(item)
  local name, rest = item:match("^(gplus:[a-z0-9_]+)(.+)$")
  local parameter = name and entities.parameter(name)
  if not parameter then return nil, "Filter is invalid: " .. item end
  if not parameter.number then
    return nil, "Filter is invalid: only numeric parameters can be filtered: " .. name
  end
  for _, operator in ipairs(OPERATORS) do
    if rest:sub(1, #operator) == operator then
      local value = rest:sub(#operator + 1):match("^%-?%d+$")
      if not value then return nil, "Filter value is not a number: " .. item end
      return { parameter = parameter, compare = compare[operator], value = tonumber(value) }
    end
  end
  return nil, "Filter has no relational operator: " .. item
end

---The list of filters; or nil and what is wrong.
function M.filters(text)
  local list = {}
  if not text or text == "" then return list end
  for _, item in ipairs(split(text)) do
    local filter, why = parse_filter(item)
    if not filter then return nil, why end
    list[#list + 1] = filter
  end
  return list
end

---Whether an entity passes all filters on a day.
function M.passes(filters, id, day)
  for _, filter in ipairs(filters) do
    local value = tonumber(entities.number_text(filter.parameter, id, day))
    if not filter.compare(value, filter.value) then return false end
  end
  return true
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
  for _, name in ipairs { "customerId", "filters", "maxResults", "parameters" } do
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
