-- Decimal text: the grammar, its normal form, and order without doubles.

local decimal = require "garner.decimal"

describe("the grammar of decimals", function()
  it("takes what google.type.Decimal takes", function()
    for _, text in ipairs { "", "0", "5.", ".5", "+2.5", "-0", "2.5E-1", "2.5e+8", "007", "1e0",
      "2.839086266666667", "29.940749999999984", "1e999999999999999999999", ".5e5", "5.e5" } do
      assert.is_true(decimal.is_valid(text), text)
    end
  end)

  it("refuses the rest", function()
    for _, text in ipairs { ".", "+", "-", "e5", "1e", "1e+", "1,5", "1 000", " 1", "1 ", "1\n",
      "NaN", "Infinity", "inf", "0x1", "1.2.3", "--1", "1e5.0", "1e5e5", "1_0", "１",
      "1\0", "+.e1" } do
      assert.is_false(decimal.is_valid(text), text)
      local normal, message = decimal.normalize(text)
      assert.is_nil(normal)
      assert.equal("string", type(message))
      assert.is_nil((decimal.compare(text, "1")))
      assert.is_nil((decimal.compare("1", text)))
      assert.is_nil((decimal.tonumber(text)))
    end
    assert.is_false(decimal.is_valid(5))
    assert.is_false(decimal.is_valid(nil))
  end)
end)

describe("the normal form", function()
  it("is that of the documents", function()
    local cases = { { "", "0" }, { "+2.5", "2.5" }, { ".5", "0.5" }, { "-.5", "-0.5" },
      { "2.5E8", "2.5e8" }, { "2.5e0", "2.5" }, { "2.5E-0", "2.5" }, { "2.5e+08", "2.5e8" },
      { "2.5e-08", "2.5e-8" }, { "5.", "5" }, { "2.500", "2.500" }, { "007.0", "7.0" },
      { "-0.00", "0.00" }, { "-0e5", "0e5" }, { "000", "0" },
      { "29.940749999999984", "29.940749999999984" } }
    for _, c in ipairs(cases) do
      assert.equal(c[2], decimal.normalize(c[1]), c[1])
      assert.equal(c[2], decimal.normalize(c[2]))
      assert.equal(0, decimal.compare(c[1], c[2]))
    end
  end)
end)

describe("order", function()
  it("goes by value", function()
    local ordered = { "-1e1000000000000000000001", "-1e1000000000000000000000", "-10", "-9.99",
      "-1", "-0.1", "-1e-99999999999999999999", "0", "1e-99999999999999999999",
      "1e-99999999999999999998",
      "0.0000009", "9e-6", ".1", "0.29940749999999984", "0.2994075", "1", "1.0000000000000000001",
      "9", "10", "99", "1e2", "12345678901234567890", "12345678901234567891", "1e999999998",
      "1e999999999", "2e999999999", "1e99999999999999", "1e100000000000000",
      "1e999999999999999999", "1e1000000000000000000" }
    for i = 1, #ordered do
      for j = 1, #ordered do
        local want = i < j and -1 or i > j and 1 or 0
        local order = decimal.compare(ordered[i], ordered[j])
        assert.equal(want, order, ordered[i] .. " " .. ordered[j])
      end
    end
  end)

  it("sees the same value in different texts", function()
    for _, pair in ipairs { { "1", "1.000" }, { "1", "10e-1" }, { "100", "1e2" },
      { "0", "-0.0e99" },
      { "", "0" }, { "0.001", "1E-3" }, { "12e999999999", "1.2e1000000000" },
      { "10e99999999999999999999", "1e100000000000000000000" },
      { "0.1e100000000000000000000", "1e99999999999999999999" },
      { "100e-100000000000000000001", "1e-99999999999999999999" },
      { "10e99999999999999", "1e100000000000000" }, { "-5.50", "-0055e-1" } } do
      assert.equal(0, decimal.compare(pair[1], pair[2]), pair[1] .. " " .. pair[2])
    end
  end)

  it("agrees with integers", function()
    local seed = 99
    local function random(n) seed = seed * 16807 % 2147483647 return seed % n end
    for _ = 1, 2000 do
      local a, b = random(2000) - 1000, random(2000) - 1000
      local shift = random(7) - 3
      -- The same power of ten on both sides, once as an exponent, once shifted.
      local left = ("%de%d"):format(a, shift)
      local right = ("%d.%de%d"):format(b < 0 and -math.floor(-b / 10) or math.floor(b / 10),
        math.abs(b) % 10, shift + 1)
      if b < 0 and b > -10 then right = "-" .. right end
      local want = a < b and -1 or a > b and 1 or 0
      assert.equal(want, decimal.compare(left, right), left .. " " .. right)
    end
  end)

  it("does not write exponents out, nor take long over long texts", function()
    local started = os.clock()
    assert.equal(1, decimal.compare("1e999999999", "1e999999998"))
    local zeros = ("0"):rep(1000000)
    assert.equal(-1, decimal.compare("1" .. zeros .. "1", "1" .. zeros .. "2"))
    assert.equal(0, decimal.compare("1." .. zeros, "0" .. zeros .. "1"))
    assert.equal(1, decimal.compare("1e1" .. zeros, "1e9" .. zeros:sub(2)))
    assert.equal(0, decimal.compare("10e" .. ("9"):rep(1000000), "1e1" .. zeros))
    assert.is_false(decimal.is_valid(("1"):rep(1000000) .. "x"))
    assert.is_true(os.clock() - started < 2)
  end)
end)

describe("a Lua number", function()
  it("is given where there is one", function()
    assert.equal(37, decimal.tonumber("37"))
    assert.equal("37", tostring(decimal.tonumber("+037")))
    assert.equal(2.839086266666667, decimal.tonumber("2.839086266666667"))
    assert.equal(-0.25, decimal.tonumber("-.25"))
    assert.equal(2.5e8, decimal.tonumber("2.5E+08"))
    assert.equal(0, decimal.tonumber(""))
    assert.equal(0, decimal.tonumber("1e-999999999"))
  end)

  it("is nil instead of infinity", function()
    for _, text in ipairs { "1e999999999", "-1e99999999999999999999", ("9"):rep(400) } do
      local number, message = decimal.tonumber(text)
      assert.is_nil(number)
      assert.truthy(message:find("beyond", 1, true))
    end
  end)
end)
