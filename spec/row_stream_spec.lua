-- Owns: the rows of one response given while it arrives: what is given, what ends a stream, rest
-- of a transfer whose rows nobody takes, in every host.
-- Must not: repeat what spec/core checks of cutting a list, deadlines and lack of memory.

local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local faults = require "spec.support.faults"
local garner = require "garner"
local json = require "garner.json"
local loops = require "spec.support.loops"

local here, raised = clients.here, clients.raised

local OK = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
local ROW = ',{"id":1,"text":"' .. ("x"):rep(1000) .. '"}'
-- What may be under way in the sockets of both sides.
local UNDER_WAY = 32 * 1024 * 1024

local function ids(count)
  local out = {}
  for i = 1, count do
    out[i] = ('{"id":%d}'):format(i)
  end
  return '{"data":{"items":[' .. table.concat(out, ",\n") .. '],"more":false},"end":[1]}'
end

describe("rows of a response", function()
  local s, api

  before_each(function()
    s = faults.start()
    api = clients.client { base_url = s.url, retry = { backoff = 0.01 }, token = "s3cr3t-token" }
  end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function rows(path, more)
    local opts = { items = "data.items" }
    for name, value in pairs(more or {}) do
      opts[name] = value
    end
    return (api:rows(path, opts))
  end

  it("come in their order, by next, each, collect and in a loop", function()
    s:script("/list", { body = ids(5000), chunked = 777 })
    local stream = rows "/list"
    assert.equal(0, s:count "/list") -- nothing is sent before the first is asked for
    for i = 1, 5000 do
      assert.equal(i, assert(stream:next()).id)
    end
    assert.same({}, { stream:next() })
    assert.same({}, { stream:next() })
    assert.truthy(tostring(stream):find("/list (5000 so far, ended)", 1, true), tostring(stream))
    local sum = 0
    for row in api:rows("/list", { items = "data.items" }) do sum = sum + row.id end
    assert.equal(5000 * 5001 / 2, sum)
    assert.equal(5000, rows("/list"):each(function(row) sum = sum - row.id end))
    assert.equal(0, sum)
    assert.equal(5000, #rows("/list"):collect())
    assert.equal(3, rows("/list"):each(function(row) return row.id < 3 end))
    local none, err, partial = rows("/list"):collect { max_rows = 10 }
    assert.is_nil(none)
    assert.equal("truncated/max_rows/10", err.kind .. "/" .. err.code .. "/" .. #partial)
    assert.equal(6, s:count "/list")
    assert.equal("Bearer s3cr3t-token", s:seen("/list")[1].headers.authorization)
  end)

  it("may be any JSON, at any path, packed or not", function()
    local text = '[null, false ,0, 9007199254740993,"\\u00e9\\n",[],{},[[1]],{"a":{"b":2}}]'
    s:script("/any", { body = text }, { body = text, gzip = true })
    s:script("/deep", { body = '{"a":[0,{"rows":' .. text .. '}]}', gzip = true })
    for _, path in ipairs { "/any", "/any", "/deep" } do
      local opts = path == "/deep" and { items = "a.1.rows" } or nil
      local list = assert(api:rows(path, opts):collect())
      assert.equal(9, #list)
      assert.equal(json.null, list[1])
      assert.is_false(list[2])
      assert.equal("9007199254740993", tostring(list[4]))
      assert.equal("\195\169\n", list[5])
      assert.is_true(json.is_array(list[6]))
      assert.equal(2, list[9].a.b)
    end
    api = clients.client { base_url = s.url, json = "cjson" }
    assert.equal(2, api:rows("/any"):collect()[9].a.b)
    s:script("/post", { body = "[1]" })
    assert.same({ 1 }, api:rows("/post", { method = "POST", json = { a = 1 }, safe = true })
      :collect())
    assert.equal('{"a":1}', s:seen("/post")[1].body)
  end)

  it("a list that is not there is no empty one", function()
    s:script("/none", { body = '{"data":{"item":[]}}' })
    s:script("/null", { body = '{"data":{"items":null}}' })
    s:script("/other", { body = '{"data":{"items":{"id":1}}}' })
    s:script("/empty", { body = '{"data":{"items":[ ]}}' })
    local codes = { ["/none"] = "no_items", ["/null"] = "no_items", ["/other"] = "json" }
    for path, code in pairs(codes) do
      local stream = rows(path)
      local row, err = stream:next()
      assert.is_nil(row)
      assert.equal("protocol/" .. code, err.kind .. "/" .. err.code)
      assert.truthy(err.message:find("data.items", 1, true), err.message)
      assert.equal(err, select(2, stream:next()))
      assert.equal(1, s:count(path))
      local list = rows(path, { optional = true }):collect()
      assert.equal(code == "no_items" and 0 or nil, list and #list)
    end
    assert.same({}, rows("/empty"):collect())
  end)

  it("that break off end in an error after those that came, and are not asked for again", function()
    local begin = ids(2000):sub(1, 20000)
    local cases = {
      { { body = ids(2000), cut = 20000, after = "reset" }, "transport", "reset" },
      { { body = ids(2000), cut = 20000 }, "protocol", "incomplete" },
      { { body = begin, length = false }, "protocol", "incomplete" },
      { { body = begin:match ".*}" .. ",,1]}}" }, "protocol", "json" },
      { { body = ids(2000) .. "]" }, "protocol", "json", 2000 },
      { { body = ids(2000):gsub('"end"', '"data"'), }, "protocol", "json", 2000 },
      { { body = ids(2000):gsub('1999', '01999') }, "protocol", "json", 1998 },
      { { body = ids(2000), gzip = true, cut = 3000 }, "protocol", "incomplete" },
    }
    for i, case in ipairs(cases) do
      s:script("/" .. i, case[1])
      local count, err, given = rows("/" .. i, { attempts = 1 }):each(function(row)
        assert.is_number(row.id)
      end)
      assert.is_nil(count)
      assert.equal(case[2] .. "/" .. case[3], err.kind .. "/" .. err.code, i .. ": " .. err.message)
      assert.equal(200, err.status)
      assert.is_true(case[4] == nil or case[4] == given, i .. ": " .. given)
      assert.equal(1, #err.attempts)
    end
    s:script("/cut", { { send = OK .. '{"data":{"items":[' }, { send = '{"id":7},', times = 3 },
      { wait = 0.1 }, { reset = true } })
    local seen = 0
    local err = raised(function()
      for row in rows "/cut" do seen = seen + row.id end
    end)
    assert.equal(21, seen)
    assert.equal("transport", err.kind)
    assert.equal(1, s:count "/cut")
    assert.equal("rows given", err.attempts[1].why)
    assert.is_true(err.retryable)
  end)

  it("are asked for again as long as none was given", function()
    s:script("/again", { status = 503 }, { body = '{"data":{"items":[{"id":1}', cut = 15,
      after = "reset" }, { body = ids(3) })
    assert.equal(3, #rows("/again"):collect())
    assert.equal(3, s:count "/again")
    s:script("/moved", { status = 302, headers = { Location = "/again" } })
    assert.equal(3, #rows("/moved"):collect())
    s:script("/gone", { status = 404, body = '{"error":{"message":"no such thing"}}' })
    local row, err = rows("/gone"):next()
    assert.is_nil(row)
    assert.equal("not_found", err.kind)
    assert.truthy(err.message:find("no such thing", 1, true))
  end)

  it("come with a new token where the first was refused", function()
    local tokens = { "first-token", "second-token" }
    api = clients.client { base_url = s.url, token = function() return table.remove(tokens, 1) end }
    s:script("/list", { status = 401 }, { body = ids(3) })
    assert.equal(3, #rows("/list"):collect())
    assert.equal("Bearer second-token", s:seen("/list")[2].headers.authorization)
  end)

  it("what is no JSON at all is shown, without secrets", function()
    s:script("/page", { body = "<html>log in, s3cr3t-token</html>", type = "text/html" })
    local _, err = rows("/page"):next()
    assert.equal("protocol/json", err.kind .. "/" .. err.code)
    assert.truthy(err.message:find("(text/html): <html>log in, ***", 1, true), err.message)
    s:script("/nothing", { status = 200 })
    _, err = rows("/nothing"):next()
    assert.equal("protocol/json", err.kind .. "/" .. err.code)
  end)

  it("max_body is for one row, not for all", function()
    s:script("/list", { body = ids(5000) })
    assert.equal(5000, #rows("/list", { max_body = 20 }):collect())
    s:script("/large", { body = '{"data":{"items":[1,"' .. ("x"):rep(100) .. '"]}}' })
    local _, err, partial = rows("/large", { max_body = 20 }):collect()
    assert.equal("too_large/item", err.kind .. "/" .. err.code)
    assert.same({ 1 }, partial)
  end)

  it("that nobody takes hold up the server, and closing lets it go", function()
    s:script("/flood", { OK, "[0", { send = ROW, times = 200000 }, "]" })
    local before = collectgarbage "count"
    local stream = api:rows "/flood"
    for i = 1, 500 do
      assert.equal(i == 1 and 0 or 1, i == 1 and stream:next() or stream:next().id)
    end
    api:get("/absent") -- the engine works on meanwhile
    stream:close()
    stream:close()
    assert.is_nil(stream:next())
    local request = s:wait_for(1, "/flood")[1]
    local till = core.now() + 10
    while request.ended ~= "client" and core.now() < till do
      pcall(api.get, api, "/absent")
      request = s:seen("/flood")[1]
    end
    assert.equal("client", request.ended)
    assert.is_true(request.sent < UNDER_WAY, request.sent)
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 4000)
  end)

  it("go on after a rest, with TLS too", function()
    api = clients.client { base_url = s:tls(), ca_file = s.ca_file }
    s:script("/list", { OK, "[0", { send = ROW, times = 8000 }, "]" })
    local stream, count = api:rows "/list", 0
    repeat
      local row, err = stream:next()
      assert.is_nil(err)
      count = count + (row ~= nil and 1 or 0)
      if count % 2000 == 0 then
        api:get "/absent"
      end
    until row == nil
    assert.equal(8001, count)
  end)

  it("of several streams come side by side", function()
    s:script("/list", { body = ids(3000) })
    local function total(path)
      return function()
        local sum = 0
        assert(rows(path):each(function(row) sum = sum + row.id end))
        return sum
      end
    end
    local results = garner.check(garner.all { total "/list", total "/list", total "/list" })
    for i = 1, 3 do
      assert.equal(4501500, results[i][1])
    end
  end)

  it("of a client that is closed end as cancelled", function()
    s:script("/flood", { OK, "[0", { send = ROW, times = 200000 }, "]" })
    local stream = api:rows "/flood"
    assert.equal(0, stream:next())
    api:close()
    local _, err = stream:collect()
    assert.equal("cancelled", err.kind)
  end)

  it("what they are asked for wrongly raises at the caller's line", function()
    for _, bad in ipairs { { file = "x" }, { items = 1 }, { next = {} }, { items = "a\0b" },
      { optional = 1 }, { items = ("a."):rep(40) } } do
      local message = raised(function() api:rows("/x", bad):next() end)
      assert.truthy(message:find("row_stream_spec.lua", 1, true), message)
    end
    assert.equal(0, s:count "/x")
    local stream = api:rows "/x"
    assert.truthy(raised(function() stream.next() end):find(here(), 1, true))
    assert.truthy(raised(function() stream:each(5) end):find(here(), 1, true))
    assert.truthy(raised(function() stream:collect { rows = 1 } end):find(here(), 1, true))
    assert.equal("garner rows of " .. s.url .. "/x (0 so far)", tostring(stream))
  end)

  it("what a function raises ends the stream and goes on its way", function()
    s:script("/list", { body = ids(3000) })
    local stream = rows "/list"
    assert.truthy(raised(function() stream:each(function() error "mine" end) end):find "mine")
    assert.is_nil(stream:next())
  end)
end)

describe("rows without a network", function()
  after_each(clients.close_all)

  it("come out of what a function answers", function()
    local given = 0
    local api = clients.client { base_url = "https://api.test", retry = { backoff = 0.001 },
      transport = function()
        given = given + 1
        if given == 1 then return nil, "reset" end
        return { body = ids(20000) }
      end }
    local sum = 0
    for row in api:rows("/list", { items = "data.items" }) do sum = sum + row.id end
    assert.equal(20000 * 20001 / 2, sum)
    assert.equal(2, given)
  end)

  it("come out of a recording, which holds bodies up to max_body", function()
    local path, s = os.tmpname(), faults.start()
    s:script("/list", { body = ids(3000), gzip = true })
    s:script("/large", { body = ids(9000) })
    local api = clients.client { base_url = s.url, record = path, max_body = 100000 }
    assert.equal(3000, #api:rows("/list", { items = "data.items" }):collect())
    assert.equal(9000, #api:rows("/large", { items = "data.items" }):collect())
    clients.close_all()
    api = clients.client { base_url = s.url, replay = path }
    local list = assert(api:rows("/list", { items = "data.items" }):collect())
    assert.equal(3000, list[3000].id)
    local _, err = api:rows("/large", { items = "data.items" }):collect()
    assert.equal("replay", err.code)
    assert.equal(2, #s:seen())
    s:stop()
    os.remove(path)
  end)
end)

for _, name in ipairs(loops.names) do
  describe("rows in " .. name, function()
    local missing = loops.missing(name)
    if missing then
      return pending(missing)
    end

    local host, s, api

    before_each(function()
      host = loops.start(name)
      s = faults.start()
      api = clients.client { base_url = s.url }
    end)
    after_each(function()
      garner.close()
      host.stop()
      host = nil -- a controller has descriptors
      garner.use "block"
      clients.close_all()
      s:stop()
    end)

    it("come as they do elsewhere", function()
      s:script("/list", { body = ids(3000) })
      local sums = {}
      for i = 1, 2 do
        host.spawn(function()
          local sum = 0
          assert(api:rows("/list", { items = "data.items" }):each(function(row)
            sum = sum + row.id
          end))
          sums[i] = sum
        end)
      end
      host.spawn(function()
        if not compat.yields_in_for then
          assert.truthy(raised(function()
            for _ in api:rows "/list" do error "no" end
          end):find "use each")
        end
        sums[3] = true
      end)
      host.run()
      assert.same({ 4501500, 4501500, true }, sums)
    end)
  end)
end
