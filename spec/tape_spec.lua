-- Owns: that pages of a walk, which the core reads onto a tape, have the very values that
-- json.decode makes of their text, and the very errors.
-- Must not: test the tape itself (spec/core/test_tape.c does).
local documents = require "spec.support.json_documents"
local garner = require "garner"
local json = require "garner.json"

local generator, make_document = documents.generator, documents.make
local assert_same, damage = documents.assert_same, documents.damage

local function exact(a, b)
  return rawequal(a, b) or (a ~= a and b ~= b)
end

-- Walks over bodies that a function gives, to the first nil.
local function walk(body_of, opts)
  local api = garner.client { base_url = "https://a.test", log = false, retry = false,
    json = opts and opts.json, transport = function(request)
      return { body = body_of(tonumber(request.url:match "p=(%d+)")),
        headers = { ["Content-Type"] = "application/json" } }
    end }
  return api:pages("/pages", { items = "a", max_bytes = opts and opts.max_bytes,
    next = { page = "p", more = "more", repeats = "allow" } }), api
end

local function texts(list)
  return walk(function(p)
    return '{"more":' .. tostring(p < #list) .. ',"a":' .. list[p] .. "}"
  end)
end

-- Every page against its own text; gives how many there were.
local function check(pages)
  local count = pages:each(function(page)
    local want = assert(json.decode(page.body))
    assert_same(want, (page:json()), exact, page.body)
    assert.are.equal(json.encode(want), json.encode(page:json()))
    assert.are.equal(getmetatable(want.a), getmetatable(page:json().a))
  end)
  return assert(count)
end

describe("a page", function()
  it("has the values of its text", function()
    local random, list = generator(29), {}
    for i = 1, 300 do
      list[i] = "[" .. make_document(random, 0) .. "," .. make_document(random, 1) .. "]"
    end
    assert.are.equal(#list, check(texts(list)))
  end)

  it("has numbers as this Lua can hold them, empty lists and keys that come twice", function()
    assert.are.equal(5, check(texts {
      "[0,-0,2147483647,-2147483648,2147483648,9007199254740992,9007199254740993]",
      "[9223372036854775807,-9223372036854775808,9223372036854775808,1e400,-1e400,0.1,1E2]",
      '[[],{},[[]],{"a":[],"a":{},"\\u0061":[1,[]]},{"a":1,"b":2,"a":3}]',
      '["\\u00e9\\ud83d\\ude00","' .. ("x\\n"):rep(5000) .. '",null,true,false]',
      ("["):rep(510) .. ("]"):rep(510),
    }))
  end)

  it("has every key for what it is, of however many", function()
    local random, rows = generator(3), {}
    for i = 1, 300 do
      local parts = {}
      for k = 1, random(9) do
        local name = ("abcdefgh"):rep(5):sub(1, random(34)) .. random(i > 150 and 200 or 4)
        parts[k] = ('"%s"%s:%d'):format(name, random(5) == 1 and " " or "", k)
      end
      rows[i] = "{" .. table.concat(parts, ",") .. "}"
    end
    local text = "[" .. table.concat(rows, ",") .. "]"
    assert.are.equal(2, check(texts { text, "[" .. text .. "," .. text .. "]" }))
  end)

  it("is read as ever where its text is too long or too dense", function()
    local long = "[" .. ('{"id":"12345678901234567890"},'):rep(150000) .. "{}]"
    local dense = "[" .. ("[],"):rep(20000) .. "[]]"
    assert.is_true(#long > 4 * 1024 * 1024)
    assert.are.equal(3, check(texts { long, dense, "[1]" }))
  end)

  it("fails as its text does", function()
    local random, seen = generator(31), 0
    for _ = 1, 150 do
      local text = damage(random, '{"a":[' .. make_document(random, 2) .. '],"more":false}')
      local want, wrong = json.decode(text)
      local page, err = walk(function() return text end):next()
      if want == nil then
        seen = seen + 1
        assert.is_nil(page)
        assert.are.equal(wrong.code, err.code)
        assert.is_truthy(err.message:find(wrong.message, 1, true), err.message)
      elseif page then
        assert_same(want, (page:json()), exact, text)
      end
    end
    assert.is_true(seen > 50)
  end)

  it("survives a collector that runs all the time", function()
    local random, list = generator(5), {}
    for i = 1, 60 do
      list[i] = "[" .. make_document(random, 0) .. "]"
    end
    local pause = collectgarbage("setpause", 1)
    local ok, message = pcall(function() assert.are.equal(#list, check(texts(list))) end)
    collectgarbage("setpause", pause)
    assert(ok, message)
  end)

  it("is lua-cjson's where that was asked for", function()
    local pages = walk(function(p)
      return '{"a":[1.0,37,[]],"more":' .. tostring(p < 3) .. "}"
    end, { json = "cjson" })
    local count = assert(pages:each(function(page)
      assert.are.same(require "cjson".decode(page.body), page:json())
    end))
    assert.are.equal(3, count)
  end)
end)
