-- Owns: what a driver of any host builds on: a mailbox's id, its engine's descriptor and doorbell.
-- Must not: check a driver.
local core = require "garner.core"
local faults = require "spec.support.faults"

local has_socket, unix = pcall(require, "socket.unix")

describe("a mailbox", function()
  local engine, mailbox, client, s

  before_each(function()
    s = faults.start()
    engine = core.engine_new { thread = true }
    mailbox = engine:mailbox_new()
    client = core.client_new { base_url = s.url }
    s:script("/ok", { body = "{}" })
  end)
  after_each(function()
    engine:close()
    s:stop()
  end)

  local function get(path, to)
    return assert(engine:submit(to or mailbox, client, { url = s.url .. path }))
  end

  local function until_pending(m)
    local deadline = core.now() + 10
    while m:pending() == 0 and core.now() < deadline do
      engine:wait(engine:sequence(), 0.05)
    end
    assert.is_true(m:pending() > 0)
  end

  local function connect()
    local path, key = assert(mailbox:doorbell())
    local c = assert(unix())
    c:settimeout(10)
    assert(c:connect(path))
    assert(c:send(key .. "\n"))
    return c
  end

  it("has an id of its own", function()
    local other = engine:mailbox_new()
    assert.is_true(mailbox:id() ~= other:id())
    assert.equal(mailbox:id(), math.floor(mailbox:id()))
    other:close()
    assert.has_error(function() other:id() end)
  end)

  it("names its engine's one descriptor", function()
    local other = engine:mailbox_new()
    local fd = assert(mailbox:descriptor())
    assert.equal(fd, other:descriptor())
    get "/ok"
    until_pending(mailbox)
    mailbox:acknowledge()
    assert.equal(mailbox:id(), other:ready())
    assert.is_nil(other:ready())
    get("/ok", other)
    until_pending(other)
    assert.equal(other:id(), mailbox:ready())
    assert.is_nil(mailbox:ready())
  end)

  it("lets go of rows that nobody wants any more, but not of the end", function()
    s:script("/rows", { body = "[1,2,3]" })
    local id = assert(engine:submit(mailbox, client, { url = s.url .. "/rows", rows = "" }))
    until_pending(mailbox)
    mailbox:drop_pages(id + 1)
    assert.is_true(mailbox:pending() > 0)
    mailbox:drop_pages(id)
    engine:cancel(id)
    until_pending(mailbox)
    local whose, event = mailbox:take()
    assert.same({ id, "done" }, { whose, event })
  end)

  it("is closed with its engine", function()
    assert.is_false(mailbox:is_closed())
    engine:close()
    assert.is_true(mailbox:is_closed())
    assert.is_nil(mailbox:ready())
    mailbox:acknowledge()
    local fd, err = mailbox:descriptor()
    assert.is_nil(fd)
    assert.equal("cancelled", err.kind)
    fd, err = mailbox:doorbell()
    assert.is_nil(fd)
    assert.equal("cancelled", err.kind)
    mailbox:close()
    assert.is_true(mailbox:is_closed())
  end)

  it("has neither on an inline engine", function()
    local plain = core.engine_new {}
    local m = plain:mailbox_new()
    for _, verb in ipairs { "descriptor", "doorbell" } do
      local value, err = m[verb](m)
      assert.is_nil(value)
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find("needs a threaded engine", 1, true))
    end
    m:acknowledge()
    plain:close()
  end)

  it("rings at the doorbell", function()
    if not has_socket then
      return pending("this Lua has no LuaSocket with Unix sockets: " .. tostring(unix))
    end
    local path, key = assert(mailbox:doorbell())
    assert.same({ path, key }, { mailbox:doorbell() })
    assert.truthy(key:match "^%x+$")
    assert.equal(64, #key)
    local c = connect()
    local line = ("%d\n"):format(mailbox:id())
    for _ = 1, 3 do
      assert(c:send(line))
      get "/ok"
      assert.equal("+", c:receive "*l")
      assert.equal(1, mailbox:pending())
      assert(c:send(line)) -- has something already
      assert.equal("+", c:receive "*l")
      mailbox:take()
    end
    assert(c:send(line .. "-\n"))
    assert.equal("-", c:receive "*l")
    assert(c:send("-\n" .. line))
    assert.equal("-", c:receive "*l") -- so that the line after it has been read, too
    engine:close()
    assert.equal("+", c:receive "*l")
    local _, why = c:receive "*l"
    assert.equal("closed", why)
    c:close()
    local gone = assert(unix())
    assert.is_nil(gone:connect(path))
    gone:close()
  end)

  it("rings at its own connection for who subscribed by a call", function()
    if not has_socket then
      return pending("this Lua has no LuaSocket with Unix sockets: " .. tostring(unix))
    end
    assert.is_nil(mailbox:subscribe())
    local c, other = connect(), engine:mailbox_new()
    assert(c:send(("=%d\n"):format(mailbox:id())))
    for i = 1, 3 do
      if i > 1 then assert.is_true(mailbox:subscribe()) end -- the line was the first time
      get "/ok"
      assert.equal("+", c:receive "*l")
      assert.is_false(mailbox:subscribe())
      assert.equal("done", select(2, mailbox:take()))
    end
    assert.is_nil(other:subscribe())
    engine:close()
    assert.is_false(mailbox:subscribe())
    other:close()
    assert.has_error(function() other:subscribe() end)
    c:close()
  end)

  it("ends a wait that has a deadline, and nothing but the wait", function()
    if not has_socket then
      return pending("this Lua has no LuaSocket with Unix sockets: " .. tostring(unix))
    end
    local c, id = connect(), mailbox:id()
    assert(c:send(("%d 20\n"):format(id)))
    assert.equal("-", c:receive "*l")
    assert(c:send(("%d 20\n%s"):format(id, "-\n")))
    assert.equal("-", c:receive "*l")
    assert(c:send(("%d 60000\n"):format(id)))
    get "/ok"
    assert.equal("+", c:receive "*l")
    assert(c:send(("%d 0\n"):format(id)))
    assert.equal("+", c:receive "*l") -- it had something
    assert.equal("done", select(2, mailbox:take()))
    for _, line in ipairs { "1 \n", "1 x\n", "1 2 3\n", " 1\n", "1  2\n" } do
      local bad = connect()
      assert(bad:send(line))
      local _, why = bad:receive "*l"
      assert.equal("closed", why)
      bad:close()
    end
    c:close()
  end)

  it("cancels for who hangs up", function()
    if not has_socket then
      return pending("this Lua has no LuaSocket with Unix sockets: " .. tostring(unix))
    end
    s:script("/slow", { { stall = true } })
    local c = connect()
    local id = get "/slow"
    assert(c:send(("%d\n"):format(mailbox:id())))
    c:close()
    until_pending(mailbox)
    local got, event, result = mailbox:take()
    assert.equal(id, got)
    assert.equal("done", event)
    assert.equal("cancelled", result:error().kind)
  end)
end)
