-- Owns: the checks of garner.json: what it reads and writes on every Lua, the public
-- JSONTestSuite where it is there, and lua-cjson as a second opinion.
-- Must not: test the reader's grammar in depth (spec/core/test_json.c does).

local core = require "garner.core"
local errors = require "garner.errors"
local documents = require "spec.support.json_documents"
local json = require "garner.json"
local cjson = require "cjson"
local lfs = require "lfs"

local here = debug.getinfo(1, "S").source:match "^@(.*)[/\\]" or "spec"
local suite = here .. "/../../shared/data/JSONTestSuite/test_parsing"

local generator, make_document = documents.generator, documents.make
local assert_same, as_double = documents.assert_same, documents.as_double
local decode, encode, null = json.decode, json.encode, json.null
local integers = math.type ~= nil -- luacheck: ignore 143

-- "integer", "float", "string", ...: where Lua has integers, they are told apart.
local function sort(value)
  return type(value) == "number" and integers and math.type(value) -- luacheck: ignore 143
    or type(value)
end

-- Not through luassert, which would print all of a long text.
local function assert_text(want, got)
  if want ~= got then
    local at = 1
    while want:byte(at) == got:byte(at) do
      at = at + 1
    end
    error(("differs from byte %d on: %q, wanted %q"):format(at, got:sub(at, at + 40),
      want:sub(at, at + 40)), 2)
  end
end

describe("json.decode", function()
  it("reads every kind of value", function()
    local value = assert(decode '{"s":"x","n":1.5,"t":true,"f":false,"z":null,"a":[1,[2]],"o":{}}')
    assert.are.equal("x", value.s)
    assert.are.equal(1.5, value.n)
    assert.is_true(value.t)
    assert.is_false(value.f)
    assert.are.equal(null, value.z)
    assert.are.equal(2, value.a[2][1])
    assert.is_nil(next(value.o))
    assert.are.equal("top", decode '"top"')
    assert.are.equal(false, (decode "false"))
    assert.are.equal(null, decode " null ")
  end)

  it("has lua-cjson's null", function()
    assert.are.equal(cjson.null, null)
    assert.are.equal("[null]", cjson.encode(decode "[null]"))
  end)

  it("decodes escapes, NULs included", function()
    assert.are.equal("a\0b\n\"\\/\8\12\r\t", decode '"a\\u0000b\\n\\"\\\\\\/\\b\\f\\r\\t"')
    assert.are.equal("é€😀", decode '"\\u00e9\\u20AC\\ud83d\\uDE00"')
    assert.are.equal(1, decode('{"\\u006bey":1}').key)
    local long = ("x"):rep(100000)
    assert_text(long .. "\n" .. long, decode('"' .. long .. "\\n" .. long .. '"'))
  end)

  it("takes the last of equal keys", function()
    assert.are.equal(2, decode('{"a":1,"a":2}').a)
    assert.are.equal(2, decode('{"a":1,"\\u0061":2}').a)
    assert.is_nil(decode('{"a":{"b":1},"a":{}}').a.b)
    -- Also where the keys come as they did before, and where more come than are remembered.
    local rows = assert(decode('[{"a":1,"a":2},{"a":3,"a":4},{"a":5,"b":6,"a":7}' ..
      (" "):rep(60) .. "]"))
    assert.are.same({ { a = 2 }, { a = 4 }, { a = 7, b = 6 } }, rows)
    local parts = {}
    for i = 1, 300 do
      parts[i] = ('"k%d":%d'):format(i % 150, i)
    end
    local text = "{" .. table.concat(parts, ",") .. "}"
    for _, row in ipairs(assert(decode("[" .. text .. "," .. text .. "]"))) do
      for i = 151, 300 do
        assert.are.equal(i, row["k" .. i % 150])
      end
    end
  end)

  it("takes the last of equal keys, whatever came in objects between them", function()
    for others = 0, 130, 5 do
      local inner = {}
      for i = 1, others do
        inner[i] = ('"%d-%d":0'):format(i * 7919 % 977, i)
      end
      local between = "{" .. table.concat(inner, ",") .. "}"
      for i = 1, 40 do
        local key = "k" .. i * 31
        local row = assert(decode(('{"%s":1,"in":%s,"%s":[%s],"%s":2}'):format(key, between, key,
          between, key)))
        assert.are.equal(2, row[key])
      end
    end
  end)

  it("takes every key for what it is, however alike they are", function()
    local random = generator(3)
    local names, rows, want = {}, {}, {}
    for i = 1, 90 do
      names[i] = ("abcdefgh"):rep(5):sub(1, random(34)) .. random(4)
    end
    for i = 1, 400 do
      local parts, row = {}, {}
      for k = 1, random(6) do
        local name = names[random(8) == 1 and random(#names) or (i + k) % 7 + 1]
        local quoted = random(9) == 1 and "\\u00" .. ("%02x"):format(name:byte()) .. name:sub(2)
          or name
        parts[k] = ('"%s"%s:%d'):format(quoted, random(5) == 1 and " " or "", k)
        row[name] = k
      end
      rows[i], want[i] = "{" .. table.concat(parts, ",") .. "}", row
    end
    assert.are.same(want, decode("[" .. table.concat(rows, ",") .. "]"))
  end)

  it("takes every string of a large document for what it is, however often it comes", function()
    local random = generator(11)
    local states = { "on", "off", "", ("x"):rep(62), ("x"):rep(63), ("x"):rep(64), ("y"):rep(90),
      "café", "中文", "\127", "a\nb", "\0" }
    local raw = { ["a\nb"] = "a\\nb", ["\0"] = "\\u0000" }
    local parts, want = {}, {}
    for series = 1, 3 do
      local points, texts = {}, {}
      for i = 1, 2500 do
        -- The times of all series are the same, but for a gap in one and a shift in another.
        local at = i + (series == 2 and i > 900 and 7 or 0) + (series == 3 and 5 or 0)
        local point = { time = ("2026-11-01T%02d:%02d:00Z"):format(math.floor(at / 60), at % 60),
          state = states[random(#states)], value = ("%d.%d"):format(random(300), random(9)),
          id = ("%d-%d"):format(series, i * 7919), last = { "a" .. random(3), "b" } }
        local space = (" "):rep(random(3) - 1)
        points[i] = point
        texts[i] = ('{"time":%s"%s","state": "%s","value":"%s","id":"%s","last":["%s",%s"%s"]}')
          :format(space, point.time, raw[point.state] or point.state, point.value, point.id,
            point.last[1], space, point.last[2])
      end
      want[series] = points
      parts[series] = "[" .. table.concat(texts, ",") .. "]"
    end
    local text = "[" .. table.concat(parts, ",") .. "]"
    assert.is_true(#text > 700000)
    local got = assert(decode(text))
    for series, points in ipairs(want) do
      assert.are.equal(#points, #got[series])
      for i, point in ipairs(points) do
        local row = got[series][i]
        assert.is_true(row.time == point.time and row.state == point.state and
          row.value == point.value and row.id == point.id and #row.last == 2 and
          row.last[1] == point.last[1] and row.last[2] == point.last[2])
      end
    end
    -- What is expected is not there: another value, the end, a byte that no string may have.
    local row = '{"k":"' .. ("v"):rep(40) .. '"}'
    local rows = "[" .. (row .. ","):rep(8000)
    for _, tail in ipairs { row .. "]", '{"k":1}]', row:gsub("vv", "v") .. "]", '{"k":""}]' } do
      assert.are.equal(8001, #assert(decode(rows .. tail)))
    end
    for _, tail in ipairs { '{"k":"' .. ("v"):rep(40), '{"k":"' .. ("v"):rep(39) .. '\1"}]',
      '{"k":"' .. ("v"):rep(40) .. '\\"}]', '{"k":', '{"k"' } do
      local value, err = decode(rows .. tail)
      assert.is_nil(value)
      assert.are.equal("json", err.code)
    end
  end)

  it("keeps integers exact, as numbers where this Lua can", function()
    local function check(text, as_number)
      local value = decode(text)
      if as_number then
        assert.are.equal("number", type(value))
        assert.are.equal(integers and "integer" or "number", sort(value))
      else
        assert.are.equal("string", type(value))
      end
      assert.are.equal(as_number and text or '"' .. text .. '"', encode(value))
    end
    for _, sign in ipairs { "", "-" } do
      check(sign .. "1", true)
      check(sign .. "2147483648", true)
      check(sign .. "9007199254740991", true)
      check(sign .. "9007199254740992", true)
      check(sign .. "9007199254740993", integers)
      check(sign .. "9223372036854775807", integers)
      check(sign .. "9223372036854775809", false)
      check(sign .. "18446744073709551616", false)
      check(sign .. "123456789012345678901234567890", false)
    end
    check("0", true)
    check("-9223372036854775808", integers)
    check("9223372036854775808", false)
  end)

  it("reads fractions as the nearest double, and those too large as text", function()
    assert.are.equal(0.1, decode "0.1")
    assert.are.equal(1e23, decode "1e23")
    assert.are.equal(5e-324, decode "5e-324")
    assert.are.equal(0, decode "1e-400")
    assert.are.equal(0.5, decode("0.5" .. ("0"):rep(5000)))
    assert.are.equal("1e400", decode "1e400")
    assert.are.equal("-1.5E+999", decode "-1.5E+999")
    assert.are.equal(-math.huge, 1 / decode "-0")
    assert.are.equal(-math.huge, 1 / decode "-0.0")
    assert.are.equal(3, decode "3.0")
  end)

  it("tells what is wrong and where", function()
    local value, err = decode '{"a":1,}'
    assert.is_nil(value)
    assert.is_true(errors.is(err, "protocol"))
    assert.are.equal("json", err.code)
    assert.are.equal("not JSON: expected a key at byte 8", err.message)
    assert.are.equal(8, err.offset)
    assert.are.equal("<html>", ("x <html>"):sub(select(2, decode "x <html>").offset + 2))
    for _, text in ipairs { "", " ", "nul", "[1,]", "{'a':1}", "NaN", "\239\187\191[]", "[1]x",
      "[01]", '"\\ud800"', '"\255"', '"\192\128"', '"\n"', "[1\0]", "<html></html>" } do
      value, err = decode(text)
      assert.is_nil(value)
      assert.is_true(errors.is(err, "protocol"))
    end
  end)

  it("raises at the caller's line for what is no text", function()
    for _, wrong in ipairs { {}, 12, true, print } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() return (decode(wrong)) end)
      assert.is_false(ok)
      assert.is_truthy(message:find("json_spec.lua:" .. line .. ": json.decode: text exp", 1, true))
    end
    assert.has_error(function() decode() end)
    assert.has_error(function() decode("1", 3) end)
    assert.has_error(function() decode("1", { depht = 3 }) end)
    for _, depth in ipairs { 0, -1, 1.5, 2049, 0 / 0, "x" } do
      assert.has_error(function() decode("1", { depth = depth }) end)
    end
    assert.has_error(function() core.json_decode(12) end)
    assert.has_error(function() core.json_decode("1", -1) end)
  end)

  it("limits the nesting", function()
    local function nested(n)
      return ("["):rep(n) .. ("]"):rep(n)
    end
    assert(decode(nested(512)))
    local _, err = decode(nested(513))
    assert.are.equal("not JSON: nested too deep at byte 513", err.message)
    assert(decode(nested(3), { depth = 3 }))
    assert.is_nil((decode(nested(4), { depth = 3 })))
    local deep = nested(2048)
    assert_text(deep, encode(assert(decode(deep, { depth = 2048 })), { depth = 2048 }))
    assert.is_nil((decode(("["):rep(1000000), { depth = 2048 })))
    assert.is_nil((decode(('{"a":['):rep(300000))))
  end)

  it("builds tables beyond what the stack holds", function()
    local wide = "[" .. ("1,"):rep(300000) .. "2]"
    local value = assert(decode(wide))
    assert.are.equal(300001, #value)
    assert.are.equal(2, value[300001])
    assert_text(wide, encode(value))
    local many = {}
    for i = 1, 20000 do
      many[i] = ('"k%06d":{"n":[%d,{"x":[]}]}'):format(i, i)
    end
    local object = '{"a":[' .. ("0,"):rep(9000) .. "{" .. table.concat(many, ",") .. '}],"b":1}'
    assert_text(object, encode(assert(decode(object))))
    -- Every level holds values of its own when the stack runs out.
    local level = '{"a":[' .. ("1,"):rep(100) .. '{"b":'
    local deep = level:rep(150) .. "[]" .. (',"c":2}],"d":3}'):rep(150)
    assert_text(deep, encode(assert(decode(deep))))
    deep = ('[7,{"k":'):rep(1000) .. wide .. ("}]"):rep(1000)
    assert_text(deep, encode(assert(decode(deep, { depth = 2048 })), { depth = 2048 }))
  end)

  it("works in a coroutine and while the collector is busy", function()
    local random = generator(7)
    local pause = collectgarbage("setpause", 1)
    local ok, message = pcall(coroutine.wrap(function()
      for _ = 1, 300 do
        local text = "[" .. make_document(random, 0) .. "]"
        local value = assert(decode(text))
        assert_same(assert(decode(encode(value))), value, as_double, text)
      end
    end))
    collectgarbage("setpause", pause)
    assert(ok, message)
  end)

  describe("and the collector", function()
    local row = '{"time":"2026-11-19T00:00:00Z","value":{"value":"2.83"}},'
    local text = "[" .. row:rep(1000) .. "null]"

    -- What a loop of nothing but decoding has in use at most, beyond what was in use
    -- before and in shares of that.
    local function peak(read, times)
      collectgarbage()
      collectgarbage()
      local most, before = 0, collectgarbage "count"
      for _ = 1, times do
        assert(read(text))
        most = math.max(most, collectgarbage "count" - before)
      end
      return most / (before + 2000)
    end

    -- The stand-alone interpreter of 5.4 starts with a generational one.
    setup(function() if _VERSION == "Lua 5.4" then collectgarbage "incremental" end end)
    teardown(function() if _VERSION == "Lua 5.4" then collectgarbage "generational" end end)

    it("does not let a loop that only decodes grow", function()
      -- The collector's pause lets its use double, and meanwhile more is made.
      assert.is_true(peak(decode, 300) < 2.5)
      local broken = text:sub(1, -2)
      assert.is_true(peak(function() return not decode(broken) end, 300) < 2.5)
    end)

    it("leaves what was decoded to be collected when nothing is decoded any more", function()
      collectgarbage()
      collectgarbage()
      local seen, steps = setmetatable({ assert(decode(text)) }, { __mode = "v" }), 0
      repeat
        steps = steps + 1
        for i = 1, 100 do assert({ i }) end -- garbage
      until not seen[1] or steps > 50000
      assert.is_nil(seen[1])
    end)

    it("respects one that is stopped, and leaves it running otherwise", function()
      local function running()
        local known, is = pcall(collectgarbage, "isrunning")
        return not known or is
      end
      assert(decode(text))
      assert.is_true(running())
      assert.is_nil((decode(text:sub(1, -2))))
      assert.is_true(running())
      local seen = setmetatable({ {} }, { __mode = "v" })
      collectgarbage()
      seen[1] = {}
      collectgarbage "stop"
      local ok, message = pcall(function()
        for _ = 1, 10 do
          assert(decode(text))
        end
        assert.is_truthy(seen[1], "it ran")
        assert.is_true(not pcall(collectgarbage, "isrunning") or not collectgarbage "isrunning")
      end)
      collectgarbage "restart"
      collectgarbage()
      assert(ok, message)
      assert.is_nil(seen[1])
    end)

    it("works in a finalizer and under a generational one", function()
      local value
      local proxy = newproxy and newproxy(true) -- luacheck: ignore 113
        or setmetatable({}, { __gc = function() end })
      getmetatable(proxy).__gc = function() value = decode(text) end
      proxy = nil -- luacheck: ignore 311
      collectgarbage()
      collectgarbage()
      assert.are.equal(1001, #value)
      if _VERSION == "Lua 5.4" then
        collectgarbage "generational"
        local share = peak(decode, 300)
        collectgarbage "incremental"
        assert.is_true(share < 5, share)
      end
    end)
  end)

  it("leaves nothing on the stack of its caller", function()
    local function count(...)
      return select("#", ...)
    end
    assert.are.equal(1, count(core.json_decode "[[1],{}]"))
    assert.are.equal(3, count(core.json_decode "[[1],{}"))
    assert.are.equal(3, count(core.json_decode(("["):rep(600))))
  end)
end)

describe("json.encode", function()
  it("gives the same bytes for the same value", function()
    assert.are.equal('{"":0,"B":2,"a":1,"aa":3,"b":{"x":[1,2],"y":"z"}}',
      encode { b = { y = "z", x = { 1, 2 } }, aa = 3, a = 1, B = 2, [""] = 0 })
    local t = {}
    for i = 500, 1, -1 do
      t[("k%03d"):format(i)] = i
    end
    local text = encode(t)
    assert.are.equal('{"k001":1,"k002":2,', text:sub(1, 19))
    assert.are.equal('"k500":500}', text:sub(-11))
  end)

  it("tells arrays from objects", function()
    assert.are.equal("{}", encode {})
    assert.are.equal("[]", encode(json.array()))
    assert.are.equal("[]", encode(json.array {}))
    assert.are.equal("[1,2]", encode(json.array { 1, 2 }))
    assert.are.equal('{"a":[],"b":{}}', encode(decode '{"a":[],"b":{}}'))
    assert.are.equal("[null,1]", encode { null, 1 })
    assert.are.equal('[[],[[]],{"a":[{}]}]', encode(decode '[[],[[]],{"a":[{}]}]'))
    local list = json.array()
    list[1] = "x"
    assert.are.equal('["x"]', encode(list))
    assert.is_true(json.is_array(list))
    assert.is_true(json.is_array(decode "[]"))
    assert.is_true(json.is_array { 1 })
    assert.is_false(json.is_array {})
    assert.is_false(json.is_array "x")
    assert.has_error(function() json.array(1) end)
  end)

  it("writes numbers plainly", function()
    for value, text in pairs {
      [0] = "0", [1] = "1", [-1] = "-1", [2 ^ 31] = "2147483648", [1.5e12] = "1500000000000",
      [2 ^ 53] = "9007199254740992", [0.1] = "0.1", [-2.5] = "-2.5", [1 / 3] = "0.3333333333333333",
      [0.1 + 0.2] = "0.30000000000000004", [1e20] = "100000000000000000000.0", [100 / 2] = "50",
      [123456.789] = "123456.789",
    } do
      assert.are.equal(text, encode(value))
    end
    assert.are.equal("-0", encode(-1 / math.huge))
    for _, value in ipairs { 1e300, 1.7976931348623157e308, 5e-324, 2 ^ 63, -2 ^ 63, 2 ^ 53 + 2 } do
      assert.are.equal(value, decode(encode(value)))
      assert.are.equal(value < 1 and value > 0, encode(value):find "[eE]" ~= nil)
    end
    if integers then
      local least = math.mininteger -- luacheck: ignore 143
      assert.are.equal("-9223372036854775808", encode(least))
      assert.are.equal("9223372036854775807", encode(-1 - least))
    end
  end)

  it("escapes what must be, and only that", function()
    local want = [["\"\\\b\f\n\r\t\u0000\u001f/]] .. '\127é"'
    assert.are.equal(want, encode '"\\\8\12\n\r\t\0\31/\127é')
    assert.are.equal('{"\\n":1}', encode { ["\n"] = 1 })
  end)

  it("refuses what JSON cannot hold, and says where", function()
    local loop = { list = {} }
    loop.list[1] = loop
    local deep = {}
    for _ = 1, 600 do
      deep = { deep }
    end
    for _, case in ipairs {
      { { filters = { 1, { callback = print } } }, "a function at filters[2].callback" },
      { { x = coroutine.create(function() end) }, "a thread at x" },
      { { io.stdout }, "a userdata at [1]" },
      { print, "a function" },
      { { a = { 0 / 0 } }, "NaN at a[1]" },
      { { a = 1 / 0 }, "infinity at a" },
      { -1 / 0, "infinity" },
      { { a = { 1, nil, 3 } }, "a sparse array (keys other than 1..n) at a" },
      { { [2] = 1 }, "a sparse array (keys other than 1..n)" },
      { { [0] = 1 }, "a sparse array (keys other than 1..n)" },
      { { [1.5] = 1 }, "a sparse array (keys other than 1..n)" },
      { { a = { 1, 2, x = 3 } }, "a table with both indices and text as keys at a" },
      { { [true] = 1 }, "a key that is neither text nor index" },
      { { [null] = 1 }, "a key that is neither text nor index" },
      { { q = json.array { x = 1 } }, "an array with a key that is text at q" },
      { { s = "a\255" }, "text that is not UTF-8 at s" },
      { { ["\192\128"] = 1 }, "text that is not UTF-8" },
      { "\237\160\128", "text that is not UTF-8" },
      { loop, "a table that contains itself at list[1].list[1]." },
      { deep, "tables nested deeper than 512 at [1][1]" },
    } do
      local line = debug.getinfo(1, "l").currentline + 1
      local ok, message = pcall(function() return (encode(case[1])) end)
      assert.is_false(ok)
      local want = "json_spec.lua:" .. line .. ": json.encode: cannot encode " .. case[2]
      assert.is_truthy(message:find(want, 1, true), message .. " does not have " .. want)
      local text, why = json.try_encode(case[1])
      assert.is_nil(text)
      assert.is_truthy(why:find(case[2], 1, true))
    end
    assert.has_error(function() encode(nil) end)
    assert.has_error(function() encode({}, { indent = 2 }) end)
    assert.has_error(function() core.json_encode() end)
  end)

  it("calls no metamethod", function()
    local function never()
      error "called"
    end
    local t = setmetatable({ a = 1 }, {
      __index = never, __pairs = never, __len = never, __tostring = never, __eq = never,
    })
    assert.are.equal('{"a":1}', encode(t))
  end)

  it("holds the same table in two places", function()
    local shared = { 1 }
    assert.are.equal('{"a":[1],"b":[1]}', encode { a = shared, b = shared })
  end)

  it("writes and reads a point in any locale", function()
    local before = os.setlocale(nil, "numeric")
    local found
    for _, name in ipairs { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE" } do
      found = found or os.setlocale(name, "numeric")
    end
    if not found then
      io.write "\nLEFT OUT: no locale with a decimal comma is installed (json in any locale)\n"
      return
    end
    local text = encode { 0.5, 1e-7, 123456789.125, 1e20 }
    local value = decode "[1.5,0.30000000000000004123,1e-310]"
    os.setlocale(before, "numeric")
    assert.are.equal("[0.5,1e-07,123456789.125,100000000000000000000.0]", text)
    assert.are.same({ 1.5, 0.30000000000000004, 1e-310 }, value)
  end)
end)

describe("json and lua-cjson", function()
  -- spec/json_flood does the same by hand, with as many as one likes.
  it("agree on 4000 documents, and the encoder gives each of them back", function()
    documents.agree(4000, 20261119)
  end)

  it("agree on every damaged document that is still JSON", function()
    local good, bad = documents.agree_on_damaged(6000, 42)
    assert.is_true(good > 300 and bad > 300, good .. " good, " .. bad .. " bad")
  end)
end)

describe("json.codec", function()
  it("gives garner's functions by default", function()
    for _, name in ipairs { "garner", false } do
      local codec = json.codec(name or nil)
      assert.are.equal("[]", codec.encode(codec.decode "[]"))
      local value, message = codec.decode "[1,]"
      assert.is_nil(value)
      assert.are.equal("expected a value at byte 4", message)
      value, message = codec.encode { print }
      assert.is_nil(value)
      assert.are.equal("cannot encode a function at [1]", message)
    end
  end)

  it("gives lua-cjson's, which do not raise either", function()
    local codec = json.codec "cjson"
    assert.are.equal("{}", codec.encode(codec.decode "[]"))
    assert.is_truthy(select(2, codec.decode "[1,]"))
    assert.is_truthy(select(2, codec.encode { print }))
  end)

  it("raises for another name", function()
    assert.has_error(function() json.codec "dkjson" end)
    assert.has_error(function() json.codec(1) end)
  end)
end)

describe("JSONTestSuite", function()
  it("behaves as its file names demand", function()
    if lfs.attributes(suite, "mode") ~= "directory" then
      io.write("\nLEFT OUT: JSONTestSuite is not at ../shared/data/JSONTestSuite\n")
      return
    end
    local wrong, n = {}, 0
    for name in lfs.dir(suite) do
      local demand = name:match "^([yni])_.*%.json$"
      if demand then
        local file = assert(io.open(suite .. "/" .. name, "rb"))
        local value, err = decode(file:read "*a")
        file:close()
        n = n + 1
        assert.is_true(value ~= nil or errors.is(err, "protocol"))
        if demand ~= "i" and (demand == "y") ~= (value ~= nil) then
          wrong[#wrong + 1] = name
        end
        -- What one reads, one can write, and it reads the same again.
        if value ~= nil then
          local text = encode(value)
          assert_same(decode(text), value, as_double, name)
        end
      end
    end
    assert.are.same({}, wrong)
    assert.is_true(n > 300, n .. " files only")
  end)
end)
