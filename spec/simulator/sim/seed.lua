-- Deterministic numbers: the same names give the same data on every run and machine.
-- Small and quick, nothing cryptographic; signatures are files.lua's matter.
local bit = require "bit"

local M = {}

local bxor, tobit = bit.bxor, bit.tobit
local lshift, rshift = bit.lshift, bit.rshift

-- Jenkins' integer hash: additions and shifts only, so doubles stay exact.
local function mix(a)
  a = tobit(a + 0x7ed55d16 + lshift(a, 12))
  a = bxor(a, 0xc761c23c, rshift(a, 19))
  a = tobit(a + 0x165667b1 + lshift(a, 5))
  a = bxor(tobit(a + 0xd3a2646c), lshift(a, 9))
  a = tobit(a + 0xfd7046c5 + lshift(a, 3))
  return bxor(a, 0xb55a4f09, rshift(a, 16))
end

---A seed from any text.
function M.from(text)
  return mix(tobit(ngx.crc32_long(text)))
end

---A number in 0 .. 2^32-1 that depends on the seed and on n.
function M.number(seed, n)
  return mix(bxor(mix(tobit(n)), seed)) % 4294967296
end

---A fraction in [0, 1).
function M.fraction(seed, n)
  return M.number(seed, n) / 4294967296
end

---A text of the form of a UUID.
function M.uuid(text)
  local h = ngx.md5(text)
  return ("%s-%s-4%s-a%s-%s"):format(h:sub(1, 8), h:sub(9, 12), h:sub(14, 16), h:sub(18, 20),
    h:sub(21, 32))
end

return M
