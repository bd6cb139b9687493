-- HTTP/2 that goes wrong: a stream that is cut is no answer, one that the server says it did not
-- take is sent again, whatever it does, and one that it may have taken only if that is safe.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local garner = require "garner"

local NO_ERROR, INTERNAL, REFUSED = 0, 2, 7

describe("HTTP/2", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function client(options, kind)
    options = options or {}
    options.base_url, options.ca_file = s:tls(kind or "h2"), s.ca_file
    options.retry = options.retry or { attempts = 3, backoff = 0.01 }
    return clients.client(options)
  end

  local function create(api)
    return api:post("/x", { creates = true, body = "b" })
  end

  it("gives status, headers and body", function()
    s:script("*", { status = 200, headers = { "X-Kind: a", "X-Kind: b" }, body = '{"a":1}' })
    local res = assert(client():get "/x")
    assert.equal(200, res.status)
    assert.equal(1, res:json().a)
    assert.equal("a, b", res.headers["x-kind"])
    assert.equal(1, s:state().connections)
  end)

  it("cut within a body is an error, and asked for again", function()
    s:script("*", { body = "0123456789", cut = 4, after = "close" },
      { body = "0123456789", cut = 4, after = "reset" }, { body = "0123456789" })
    local res = assert(client():get "/x")
    assert.equal("0123456789", res.body)
    assert.equal(3, #res.attempts)
  end)

  it("whose stream is reset within a body is an error, and asked for again", function()
    for _, code in ipairs { INTERNAL, REFUSED } do
      s:script("*", { body = "0123456789", cut = 4, rst = code })
      local res, err = client { retry = { attempts = 2, backoff = 0.01 } }:get "/x"
      assert.is_nil(res)
      assert.equal(2, #err.attempts, tostring(err))
      assert.equal("transport", err.kind)
    end
  end)

  -- libcurl takes it for whole.
  it("whose stream is reset without an error is found out by what it brought", function()
    local api = client()
    s:script("*", { body = '{"a":1,', rst = NO_ERROR, cut = 7 })
    local value, err = assert(api:get "/x"):json()
    assert.is_nil(value)
    assert.equal("protocol", err.kind)
    s:script("*", { headers = { "content-length: 7" }, body = "0123456", rst = NO_ERROR, cut = 4 })
    local _, cut = api:get "/x"
    assert.truthy(cut)
    s:script("*", { body = "0123456", rst = NO_ERROR, cut = 4 })
    local path = os.tmpname()
    local file = assert(api:download(s:tls "h2" .. "/f", path))
    assert.is_false(file.verified)
    os.remove(path)
  end)

  it("cut within a file leaves none", function()
    s:script("*", { body = ("x"):rep(20000), cut = 17000, after = "close" })
    local path = os.tmpname()
    os.remove(path)
    local file, err = client { retry = { attempts = 2, backoff = 0.01 } }:download(
      s:tls "h2" .. "/f", path)
    assert.is_nil(file)
    assert.truthy(err)
    assert.is_nil(io.open(path))
    os.remove(path .. ".part")
  end)

  it("that refuses a stream did not take it: again, even what creates", function()
    s:script("*", { rst = REFUSED }, { rst = REFUSED }, { body = "{}" })
    assert.equal("{}", assert(create(client())).body)
    s:script("*", { rst = REFUSED }, { body = "{}" })
    assert.equal("{}", assert(client():post("/x", { safe = true, body = "b" })).body)
    s:script("*", { rst = REFUSED }, { body = "{}" })
    assert.equal("{}", assert(client():get "/x").body)
    assert.equal(7, s:count())
  end)

  it("that resets a stream otherwise may have taken it: what creates is in doubt", function()
    s:script("*", { rst = INTERNAL }, { body = "{}" })
    local _, err = create(client())
    assert.equal("in_doubt", err.kind)
    assert.equal(1, s:count())
    s:script("*", { rst = INTERNAL }, { body = "{}" })
    assert.equal("{}", assert(client():get "/x").body)
  end)

  it("that hangs up on a create without an answer leaves it in doubt", function()
    s:script("*", { silent = true, after = "close" }, { body = "{}" })
    local _, err = create(client())
    assert.equal("in_doubt", err.kind)
    assert.equal(1, s:count())
  end)

  it("that goes away before a request is asked again elsewhere", function()
    for _, after in ipairs { "close", false } do
      s:script("*", { goaway = { last = "before" }, silent = true, after = after or nil },
        { body = "{}" })
      assert.equal("{}", assert(client():get "/x").body)
    end
    assert.equal(4, s:count())
    assert.equal(4, s:state().connections)
  end)

  it("that goes away after a request it took finishes it", function()
    s:script("*", { body = "1" }, { goaway = { last = "this" }, body = "2" }, { body = "3" })
    local api = client()
    for i = 1, 3 do
      assert.equal(tostring(i), assert(api:get "/x").body)
    end
    assert.equal(3, s:count())
    assert.equal(2, s:state().connections)
  end)

  it("that goes away with a create it may have taken leaves it in doubt", function()
    s:script("*", { goaway = { last = "this" }, silent = true, after = "close" }, { body = "{}" })
    local _, err = create(client())
    assert.equal("in_doubt", err.kind)
    assert.equal(1, s:count())
  end)

  it("goes on with those in flight when the server leaves one out", function()
    s:script("*", { body = "{}", delay = 0.05 }, { body = "{}", delay = 0.05 },
      { goaway = { last = "before" }, silent = true }, { body = "{}" })
    local api = client()
    assert(api:get "/x")
    local get = function() return api:get "/x" end
    for _, entry in ipairs(garner.all({ get, get, get, get }, { concurrency = 4 })) do
      assert.is_true(entry.ok, tostring(entry.err))
    end
  end)
end)
