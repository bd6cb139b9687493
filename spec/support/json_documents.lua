-- Owns: JSON documents made from a seed, whole and damaged, and the comparison of what garner
-- and lua-cjson make of them.
-- Must not: be random: the same seed gives the same documents on every Lua.

local cjson = require "cjson"
local json = require "garner.json"

local M = {}

local STRINGS = {
  '""', '"a"', '"time"', '"2026-11-19T00:00:00Z"', '"\\u0000"', '"\\u00e9\\n\\"\\\\\\/"', '"é"',
  '"中文 text"', '"\\ud83d\\ude00"', '"😀"', '"\127"', '"value"', '"' .. ("long"):rep(30) .. '"',
}
local NUMBERS = {
  "0", "1", "-1", "37", "2147483648", "-9007199254740992", "9007199254740991", "0.1", "-2.5", "1e3",
  "1E-7", "123456.789", "1.7976931348623157e308", "5e-324", "0.30000000000000004", "12.50", "0.0",
}
local POWERS = { 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 }
local SPACES = { "", "", "", " ", "\n", "\t\r\n  " }

--- A function of n that gives whole numbers from 1 to n.
function M.generator(seed)
  return function(n)
    seed = (seed * 16807) % 2147483647
    return seed % n + 1
  end
end

local function number(random)
  if random(2) == 1 then
    return NUMBERS[random(#NUMBERS)]
  end
  local text = (random(4) == 1 and "-" or "") .. random(POWERS[random(9)])
  for _ = 1, random(3) - 1 do
    text = text .. random(POWERS[random(6)])
  end
  if random(3) == 1 then
    text = text .. "." .. random(POWERS[random(7)])
  end
  return random(9) == 1 and text .. "e" .. random(40) - 20 or text
end

--- One document.
function M.make(random, depth)
  local kind = random(depth > 4 and 5 or 9)
  local space = SPACES[random(#SPACES)]
  if kind == 1 then
    return ({ "true", "false", "null" })[random(3)] .. space
  elseif kind <= 3 then
    return STRINGS[random(#STRINGS)] .. space
  elseif kind <= 5 then
    return number(random) .. space
  end
  local parts = {}
  for i = 1, random(6) - 1 do
    local value = space .. M.make(random, depth + 1)
    parts[i] = kind <= 7 and value or STRINGS[random(#STRINGS)] .. ":" .. value
  end
  local inside = table.concat(parts, ",") .. space
  return kind <= 7 and "[" .. inside .. "]" or "{" .. inside .. "}"
end

--- The text with one byte changed, put in or taken out.
function M.damage(random, text)
  local at = random(#text)
  local bytes = "{}[]\",:\\ue+-.019tf \n\1\128\195"
  local pick = random(#bytes)
  return text:sub(1, at - 1) .. bytes:sub(pick, pick) .. text:sub(at + random(2) - 1)
end

--- Where two values differ, or nil; `same` judges what is not a table.
function M.difference(a, b, same, path)
  if type(a) ~= "table" or type(b) ~= "table" then
    return not same(a, b) and path .. ": " .. tostring(a) .. " and " .. tostring(b) or nil
  end
  for k, v in pairs(a) do
    local found = M.difference(v, b[k], same, path .. "/" .. tostring(k))
    if found then
      return found
    end
  end
  for k in pairs(b) do
    if a[k] == nil then
      return path .. "/" .. tostring(k) .. ": only in the second"
    end
  end
end

--- Whether garner's value is lua-cjson's, which has doubles only, and reads what overflows
--- one as infinity.
function M.as_double(a, b)
  if a == b then
    return true
  elseif b == math.huge or b == -math.huge then
    return type(a) == "string" and a:find "^%-?%d" ~= nil
  elseif type(b) == "number" then
    return tonumber(a) ~= nil and tonumber(a) + 0.0 == b
  end
  return false
end

function M.assert_same(a, b, same, note)
  local found = M.difference(a, b, same, "")
  if found then
    error(found .. " in " .. note, 2)
  end
end

local function assert_same(a, b, note)
  M.assert_same(a, b, M.as_double, note)
end

--- Reads `n` documents with both and writes each again: the same values, the same bytes.
function M.agree(n, seed)
  local random = M.generator(seed)
  for _ = 1, n do
    local text = M.make(random, 0)
    local value, err = json.decode(text)
    if value == nil then
      error(tostring(err) .. " in " .. text)
    end
    assert_same(value, cjson.decode("[" .. text .. "]")[1], text)
    local again = json.encode(value)
    assert_same(json.decode(again), value, again)
    if json.encode(json.decode(again)) ~= again then
      error("other bytes the second time: " .. again)
    end
    assert_same(value, cjson.decode("[" .. again .. "]")[1], again)
  end
end

--- Damages `n` documents and reads them: what garner takes, lua-cjson takes, too, and the
--- same. Returns how many it took and refused.
function M.agree_on_damaged(n, seed)
  local random = M.generator(seed)
  local good, bad = 0, 0
  for _ = 1, n do
    local text = "[" .. M.make(random, 1) .. "]"
    for _ = 1, random(3) do
      text = M.damage(random, text)
    end
    local value = json.decode(text)
    if value ~= nil then
      good = good + 1
      local ok, other = pcall(cjson.decode, text)
      -- It takes a whole document only if that is an array or an object.
      if ok then
        assert_same(value, other, text)
      else
        assert_same({ value }, cjson.decode("[" .. text .. "]"), text)
      end
    else
      bad = bad + 1
    end
  end
  return good, bad
end

return M
