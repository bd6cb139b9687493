-- Owns: base64, for bytes that are no text. Must not: know what they are.

local M = {}

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local value_of = {}
for i = 1, #DIGITS do
  value_of[DIGITS:byte(i)] = i - 1
end

local function encode_three(three)
  local a, b, c = three:byte(1, 3)
  local n = a * 65536 + (b or 0) * 256 + (c or 0)
  local out = {}
  for i = 1, 4 do
    local digit = math.floor(n / 64 ^ (4 - i)) % 64
    out[i] = DIGITS:sub(digit + 1, digit + 1)
  end
  out[3] = b and out[3] or "="
  out[4] = c and out[4] or "="
  return table.concat(out)
end

--- The base64 text of bytes, in one line.
---@param bytes string
---@return string
function M.encode(bytes)
  return (bytes:gsub("..?.?", encode_three))
end

local function decode_four(four)
  local n, count = 0, 0
  for i = 1, 4 do
    local value = value_of[four:byte(i)]
    count = count + (value and 1 or 0)
    n = n * 64 + (value or 0)
  end
  return string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256)
    :sub(1, count - 1)
end

--- The bytes of a base64 text.
---@param text string
---@return string|nil bytes nil where it is no base64
function M.decode(text)
  if #text % 4 ~= 0 or not text:find("^[%w%+/]*=?=?$") then
    return nil
  end
  return (text:gsub("....", decode_four))
end

return M
