--- Decimal numbers as text (google.type.Decimal): check, normalise, compare.
-- Owns arithmetic on digits, so that nothing passes through a double and no
-- exponent is ever written out: "1e999999999" costs as much as "1e9". Must not
-- round, and must not guess: what the grammar refuses is nil and a message.

local M = {}

-- Exponents below this many digits are exact in a double, with room to add
-- the length of any text.
local EXACT_DIGITS = 14

local function show(value)
  if type(value) ~= "string" then return type(value) end
  if #value > 60 then value = value:sub(1, 57) .. "..." end
  return '"' .. value:gsub("%c", "?") .. '"'
end

local function strip_zeros(digits)
  return (digits:gsub("^0+", ""))
end

---@class garner.Decimal
---@field sign integer 1 or -1; 1 for zero
---@field integer string digits before the point, may be empty
---@field fraction string digits after the point, may be empty
---@field exponent string digits of the exponent without leading zeros, "" for none or zero
---@field exponent_sign integer 1 or -1

--- Take a decimal apart. Empty text is zero, as google.type.Decimal has it now;
--- the older text of the documents does not allow it.
---@param text string
---@return garner.Decimal|nil decimal
---@return string|nil message
function M.parse(text)
  if type(text) ~= "string" then
    return nil, "a decimal must be text, got " .. type(text)
  end
  if text == "" then
    return { sign = 1, integer = "", fraction = "", exponent = "", exponent_sign = 1 }
  end
  local sign, integer, fraction, rest = text:match("^([+-]?)([0-9]*)%.?([0-9]*)(.*)$")
  local exponent_sign, exponent = "", ""
  if rest ~= "" then
    exponent_sign, exponent = rest:match("^[eE]([+-]?)([0-9]+)$")
  end
  if not exponent or integer .. fraction == "" then
    return nil, show(text) .. " is not a decimal number"
  end
  exponent = strip_zeros(exponent)
  local zero = not (integer .. fraction):find("[1-9]")
  return {
    sign = (sign == "-" and not zero) and -1 or 1,
    integer = integer,
    fraction = fraction,
    exponent = exponent,
    exponent_sign = (exponent_sign == "-" and exponent ~= "") and -1 or 1,
  }
end

--- Does the text follow the grammar of google.type.Decimal?
---@param text any
---@return boolean
function M.is_valid(text)
  return M.parse(text) ~= nil
end

--- The normal form of the documents: no "+", digits on both sides of a point,
--- lower-case "e", no zero exponent; also no leading zeros and no "-0". Zeros
--- at the end stay, they say how precise the value is: equal values may have
--- different normal forms, `compare` tells.
---@param text string
---@return string|nil normal
---@return string|nil message
function M.normalize(text)
  local d, message = M.parse(text)
  if not d then return nil, message end
  local integer = strip_zeros(d.integer)
  local parts = { d.sign < 0 and "-" or "", integer == "" and "0" or integer }
  if d.fraction ~= "" then parts[#parts + 1] = "." .. d.fraction end
  if d.exponent ~= "" then
    parts[#parts + 1] = (d.exponent_sign < 0 and "e-" or "e") .. d.exponent
  end
  return table.concat(parts)
end

-- Compares digit strings without leading zeros.
local function compare_digits(a, b)
  if #a ~= #b then return #a < #b and -1 or 1 end
  if a == b then return 0 end
  return a < b and -1 or 1
end

-- Adds a small whole number to a long digit string that is larger than it:
-- the last digits as a number, the carry or borrow by hand into the rest.
local function add_small(digits, small)
  local head, tail = digits:sub(1, -EXACT_DIGITS - 1), digits:sub(-EXACT_DIGITS)
  local base = 10 ^ EXACT_DIGITS
  local sum = tonumber(tail) + small
  if sum >= base then
    sum = sum - base
    local kept, digit, nines = head:match("^(.-)([0-8])(9*)$")
    if not kept then
      head = "1" .. ("0"):rep(#head)
    else
      head = kept .. tostring(tonumber(digit) + 1) .. ("0"):rep(#nines)
    end
  elseif sum < 0 then
    sum = sum + base
    local kept, digit, zeros = head:match("^(.-)([1-9])(0*)$")
    head = kept .. tostring(tonumber(digit) - 1) .. ("9"):rep(#zeros)
  end
  return strip_zeros(head .. ("%014d"):format(sum))
end

-- Where the first digit that counts stands: its power of ten, as a sign and
-- digits. Two powers compare without ever being expanded.
local function magnitude(d)
  local integer = strip_zeros(d.integer)
  local shift = #integer - 1
  if integer == "" then shift = -#d.fraction:match("^0*") - 1 end
  if #d.exponent <= EXACT_DIGITS then
    local power = d.exponent_sign * (tonumber(d.exponent) or 0) + shift
    return power < 0 and -1 or 1, strip_zeros(("%d"):format(power < 0 and -power or power))
  end
  return d.exponent_sign, add_small(d.exponent, d.exponent_sign * shift)
end

-- From the first to the last digit that is not zero; there is one. Greedy on
-- purpose: a search for the zeros at the end would be quadratic.
local function significand(d)
  return (d.integer .. d.fraction):match("^0*(.*[1-9])")
end

-- Signs settled: compares the absolute values of two that are not zero.
local function compare_absolute(a, b)
  local sign_a, power_a = magnitude(a)
  local sign_b, power_b = magnitude(b)
  if sign_a ~= sign_b then return sign_a end
  local order = compare_digits(power_a, power_b) * sign_a
  if order ~= 0 then return order end
  local digits_a, digits_b = significand(a), significand(b)
  if digits_a == digits_b then return 0 end
  return digits_a < digits_b and -1 or 1
end

local function is_zero(d)
  return not (d.integer .. d.fraction):find("[1-9]")
end

--- Compare two decimals by value: "1.0" equals "1" and "10e-1".
---@param a string
---@param b string
---@return integer|nil order -1, 0 or 1
---@return string|nil message
function M.compare(a, b)
  local left, message = M.parse(a)
  if not left then return nil, message end
  local right
  right, message = M.parse(b)
  if not right then return nil, message end
  local zero_left, zero_right = is_zero(left), is_zero(right)
  if zero_left or zero_right then
    if zero_left and zero_right then return 0 end
    return zero_left and -right.sign or left.sign
  end
  if left.sign ~= right.sign then return left.sign end
  return left.sign * compare_absolute(left, right)
end

--- The nearest Lua number (an integer where the text is one and the Lua has
--- them); nil where only infinity would do.
---@param text string
---@return number|nil
---@return string|nil message
function M.tonumber(text)
  local d, message = M.parse(text)
  if not d then return nil, message end
  if is_zero(d) then return 0 end
  local normal = M.normalize(text)
  local number = tonumber(normal)
  if not number then
    -- The C library reads the decimal point of its locale.
    local point = ("%.1f"):format(0.5):sub(2, -2)
    number = tonumber((normal:gsub("%.", (point:gsub("%%", "%%%%")))))
  end
  -- LuaJIT gives up on exponents below about -1e7.
  if not number and magnitude(d) < 0 then number = 0 end
  if not number or number - number ~= 0 then
    return nil, show(text) .. " is beyond a Lua number"
  end
  return number
end

return M
