-- Reads and writes JSON for the simulator. Unlike lua-cjson it keeps `[]` and `{}` apart,
-- so that a client which sends `{}` where an array belongs is found out. Strict enough to
-- refuse what a server would refuse; knows nothing of HTTP.
local M = {}

M.null = setmetatable({}, { __tostring = function() return "null" end })

local array_mt = { __name = "array" }

---Marks a table as an array, empty or not.
function M.array(t)
  return setmetatable(t or {}, array_mt)
end

function M.is_array(t)
  return type(t) == "table" and getmetatable(t) == array_mt
end

function M.is_object(t)
  return type(t) == "table" and t ~= M.null and getmetatable(t) ~= array_mt
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

---The text as a JSON string, quotes included.
function M.quote(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local encode

local function encode_array(t)
  local out = {}
  for i = 1, #t do out[i] = encode(t[i]) end
  return "[" .. table.concat(out, ",") .. "]"
end

local function encode_object(t)
  local keys, out = {}, {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  for i, key in ipairs(keys) do out[i] = M.quote(key) .. ":" .. encode(t[key]) end
  return "{" .. table.concat(out, ",") .. "}"
end

local function encode_number(n)
  if n == math.floor(n) and math.abs(n) < 2 ^ 53 then return ("%d"):format(n) end
  return ("%.17g"):format(n)
end

function encode(value)
  local kind = type(value)
  if value == nil or value == M.null then return "null" end
  if kind == "string" then return M.quote(value) end
  if kind == "number" then return encode_number(value) end
  if kind == "table" then
    if M.is_array(value) or #value > 0 then return encode_array(value) end
    return encode_object(value)
  end
  return tostring(value)
end

M.encode = encode

local function fail(pos, what)
  error({ json = ("%s at byte %d"):format(what, pos - 1) }, 0)
end

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then
    return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
  end
  if code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
      0x80 + code % 64)
  end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local simple = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
  ["/"] = "/" }

local function decode_escape(text, pos)
  local c = text:sub(pos, pos)
  if simple[c] then return simple[c], pos + 1 end
  local hex = c == "u" and text:match("^%x%x%x%x", pos + 1)
  if not hex then fail(pos, "bad escape") end
  local code = tonumber(hex, 16)
  if code >= 0xDC00 and code <= 0xDFFF then fail(pos, "lone surrogate") end
  if code < 0xD800 or code > 0xDBFF then return utf8(code), pos + 5 end
  local low = text:match("^\\u([dD][c-fC-F]%x%x)", pos + 5)
  if not low then fail(pos, "lone surrogate") end
  return utf8(0x10000 + (code - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00), pos + 11
end

local function decode_string(text, pos)
  local out = {}
  pos = pos + 1
  while true do
    local stop = text:find('[%c"\\]', pos)
    if not stop then fail(#text + 1, "unfinished string") end
    out[#out + 1] = text:sub(pos, stop - 1)
    local c = text:sub(stop, stop)
    if c == '"' then return table.concat(out), stop + 1 end
    if c ~= "\\" and c ~= "\127" then fail(stop, "control character in a string") end
    if c == "\\" then
      out[#out + 1], pos = decode_escape(text, stop + 1)
    else
      out[#out + 1], pos = c, stop + 1
    end
  end
end

local function skip(text, pos)
  return text:find("[^ \t\r\n]", pos) or #text + 1
end

local decode_value

local function decode_array(text, pos, depth)
  local out = M.array()
  pos = skip(text, pos + 1)
  if text:sub(pos, pos) == "]" then return out, pos + 1 end
  while true do
    out[#out + 1], pos = decode_value(text, pos, depth)
    pos = skip(text, pos)
    local c = text:sub(pos, pos)
    if c == "]" then return out, pos + 1 end
    if c ~= "," then fail(pos, "expected , or ]") end
    pos = skip(text, pos + 1)
  end
end

local function decode_object(text, pos, depth)
  local out = {}
  pos = skip(text, pos + 1)
  if text:sub(pos, pos) == "}" then return out, pos + 1 end
  while true do
    if text:sub(pos, pos) ~= '"' then fail(pos, "expected a key") end
    local key
    key, pos = decode_string(text, pos)
    pos = skip(text, pos)
    if text:sub(pos, pos) ~= ":" then fail(pos, "expected :") end
    out[key], pos = decode_value(text, skip(text, pos + 1), depth)
    pos = skip(text, pos)
    local c = text:sub(pos, pos)
    if c == "}" then return out, pos + 1 end
    if c ~= "," then fail(pos, "expected , or }") end
    pos = skip(text, pos + 1)
  end
end

local words = { ["true"] = true, ["false"] = false, null = M.null }

function decode_value(text, pos, depth)
  local c = text:sub(pos, pos)
  if depth > 100 then fail(pos, "nested too deeply") end
  if c == "{" then return decode_object(text, pos, depth + 1) end
  if c == "[" then return decode_array(text, pos, depth + 1) end
  if c == '"' then return decode_string(text, pos) end
  local word = text:match("^%l+", pos)
  if word and words[word] ~= nil then return words[word], pos + #word end
  local number = text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", pos)
  if number and tonumber(number) and not number:find("^%-?0%d") and not number:find("%.$") and
    not number:find("%.[eE]") then
    return tonumber(number), pos + #number
  end
  fail(pos, "unexpected text")
end

---@return any|nil value
---@return string|nil problem
function M.decode(text)
  local ok, value, pos = pcall(decode_value, text, skip(text, 1), 0)
  if not ok then
    if type(value) == "table" then return nil, value.json end
    error(value, 0)
  end
  if skip(text, pos) <= #text then return nil, "text after the value" end
  return value
end

return M
