-- Owns: the short way of a request: what is prepared once and sent as often as wanted, and that
-- nothing of it shows. Must not: check what an answer means.
local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised

local sim = simulator.get()

describe("a verb without options", function()
  local scope, api

  before_each(function()
    scope = sim:scope()
    api = clients.client({ token = "t0" }, scope)
  end)
  after_each(clients.close_all)

  it("sends the same each time", function()
    for _ = 1, 3 do
      local res = assert(api:get "/_http/echo")
      assert.equal("application/json", res:json().headers.accept)
      assert.equal("GET", res:json().method)
      assert.equal(200, assert(api:head "/_http/echo").status)
    end
    assert.equal("DELETE", assert(api:delete "/_http/echo"):json().method)
  end)

  it("asks for many paths", function()
    for i = 1, 70 do
      assert.equal("n=" .. i, assert(api:get("/_http/echo?n=" .. i)):json().query)
    end
    assert.equal("n=1", assert(api:get "/_http/echo?n=1"):json().query)
  end)

  it("goes on after garner.close", function()
    assert(api:get "/_http/echo")
    garner.close()
    assert(api:get "/_http/echo")
  end)

  it("raises on a closed client, at the caller's line", function()
    assert(api:get "/_http/echo")
    api:close()
    local line
    local message = raised(function() line = here(); api:get "/_http/echo" end)
    assert.equal(1, (message:find(line, 1, true)), message)
    assert.truthy(message:find("closed", 1, true))
  end)

  it("raises where it is called with a dot", function()
    for _, wrong in ipairs { "/x", {}, 1, false } do
      local line
      local message = raised(function() line = here(); api.get(wrong) end)
      assert.equal(1, (message:find(line, 1, true)), message)
      assert.truthy(message:find("client:get(...)", 1, true))
    end
    assert.truthy(raised(api.get):find("client:get(...)", 1, true))
  end)

  it("raises on a path that is none", function()
    for _, wrong in ipairs { 1, false, {} } do
      local line
      local message = raised(function() line = here(); api:get(wrong) end)
      assert.equal(1, (message:find(line, 1, true)), message)
    end
    assert.truthy(raised(function() api:get() end):find("the path must be a text", 1, true))
    assert.truthy(raised(function() api:get "/a\0b" end):find("NUL", 1, true))
  end)

  it("waits longer than a slice", function()
    assert.equal(200, assert(api:get "/_http/delay/250").status)
    assert.equal(200, assert(api:get "/_http/delay/1").status)
  end)

  it("may be sent by what is collected while another one is on its way", function()
    local log = {}
    for _ = 1, 5 do
      garner.client { base_url = sim.url, log = function() end }
      local res = assert(api:get "/_http/echo")
      require("garner.compat").finalizer(function() log[#log + 1] = api:get "/_http/delay/1" end)
      collectgarbage()
      assert.equal("/_http/echo", res:json().path)
    end
    collectgarbage()
    for _, res in ipairs(log) do assert.equal(200, res.status) end
    assert.is_true(#log > 0)
  end)
end)

describe("a request that a coroutine waits for", function()
  local api

  before_each(function()
    garner.close()
    garner.engine { thread = true }
    api = clients.client({ token = "t0" }, sim:scope())
    assert(api:get "/_http/echo") -- the engine runs
  end)
  after_each(function()
    clients.close_all()
    garner.use "block"
    garner.engine {}
  end)

  -- Where nobody steps the engine.
  local threaded = it
  if os.getenv "GARNER_ENGINE" == "inline" then
    threaded = function(name) pending(name .. ": needs an engine with a thread") end
  end

  -- A host of one's own that only says when somebody waits.
  local function host(on_wait)
    garner.use {
      wait = function(mailbox)
        coroutine.yield "wait"
        if on_wait then on_wait(mailbox) end
      end,
      sleep = function() coroutine.yield "sleep" end,
      now = core.now, yieldable = function() return true end,
    }
  end

  local function pause()
    local until_then = core.now() + 0.005
    while core.now() < until_then do core.now() end
  end

  local function until_in_flight(count)
    local deadline = core.now() + 10
    repeat
      collectgarbage()
      pause()
    until garner.stats().in_flight == count or core.now() > deadline
    assert.equal(count, garner.stats().in_flight)
  end

  local function finish(co)
    local deadline = core.now() + 20
    local ok, res, err
    repeat
      pause()
      ok, res, err = coroutine.resume(co)
    until coroutine.status(co) == "dead" or core.now() > deadline
    assert.is_true(ok, tostring(res))
    assert.equal("dead", coroutine.status(co))
    return res, err
  end

  it("ends in a plain script, too", function()
    for _, path in ipairs { "/_http/echo", "/_http/delay/150", "/_http/echo" } do
      local res = coroutine.wrap(function() return api:get(path) end)()
      assert.equal(200, res.status)
    end
  end)

  threaded("ends in a host with a loop, as do those beside it", function()
    host()
    local cos = {}
    for i = 1, 8 do
      cos[i] = coroutine.create(function() return api:get("/_http/echo?n=" .. i) end)
      assert.equal("wait", select(2, coroutine.resume(cos[i])))
    end
    for i = 8, 1, -1 do
      assert.equal("n=" .. i, assert(finish(cos[i])):json().query)
    end
    local co = coroutine.create(function() return api:get "/_http/status/404" end)
    local res, err = finish(co)
    assert.is_nil(res)
    assert.equal("not_found", err.kind)
  end)

  threaded("is cancelled where its client is closed", function()
    host()
    local co = coroutine.create(function() return api:get "/_http/delay/5000" end)
    assert(coroutine.resume(co))
    assert(coroutine.resume(co))
    api:close()
    local res, err = finish(co)
    assert.is_nil(res)
    assert.equal("cancelled", err.kind)
    assert.equal("closed", err.code)
    assert.equal("GET", err.method)
  end)

  threaded("is cancelled where the engine is closed", function()
    host()
    local co = coroutine.create(function() return api:get "/_http/delay/5000" end)
    assert(coroutine.resume(co))
    garner.close()
    local res, err = finish(co)
    assert.is_nil(res)
    assert.equal("cancelled", err.kind)
  end)

  threaded("is cancelled where nobody waits any more", function()
    host()
    local co = coroutine.create(function() return api:get "/_http/delay/5000" end)
    assert(coroutine.resume(co))
    until_in_flight(1)
    co = nil -- luacheck: ignore 311
    until_in_flight(0)
  end)

  threaded("is cancelled where its driver raises", function()
    host(function() error("the host's own", 0) end)
    local co = coroutine.create(function() return api:get "/_http/delay/5000" end)
    assert(coroutine.resume(co))
    local ok, why = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("the host's own", why)
    co = nil -- luacheck: ignore 311
    until_in_flight(0)
  end)

  threaded("tells what came before its end", function()
    local lines = {}
    local function log(_, event) lines[#lines + 1] = event end
    local told = clients.client({ log = log, retry = { attempts = 2, backoff = 0.01 } },
      sim:scope())
    host()
    local co = coroutine.create(function() return told:get "/_http/status/503" end)
    local res, err = finish(co)
    assert.is_nil(res)
    assert.equal("server", err.kind)
    assert.equal("retry", lines[1])
  end)
end)

describe("a request of a task", function()
  after_each(clients.close_all)

  it("tells what came before its end", function()
    local lines = {}
    local function log(_, event)
      if event ~= "request" then lines[#lines + 1] = event end
    end
    local api = clients.client({ log = log, retry = { attempts = 2, backoff = 0.01 } }, sim:scope())
    local results = garner.all {
      function() return api:get "/_http/status/503" end,
      function() return api:get "/_http/echo" end,
      function() return api:get "/_http/status/404" end,
    }
    assert.equal("server", results[1].err.kind)
    assert.equal(200, results[2][1].status)
    assert.equal("not_found", results[3].err.kind)
    assert.same({ "retry" }, lines)
  end)

  it("is cancelled where its client is closed beside it", function()
    local api, other = clients.client(nil, sim:scope()), clients.client(nil, sim:scope())
    local results = garner.all {
      function() return api:get "/_http/delay/5000" end,
      function() return other:get "/_http/delay/50" end,
      function()
        assert(other:get "/_http/delay/20")
        api:close()
        return true
      end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.equal(200, results[2][1].status)
    assert.is_true(results[3][1])
  end)

  it("is cancelled by its own client only", function()
    local api, other = clients.client(nil, sim:scope()), clients.client(nil, sim:scope())
    local results = garner.all {
      function()
        assert(api:get "/_http/echo")
        return other:get "/_http/delay/100"
      end,
      function()
        assert(other:get "/_http/delay/50")
        api:close()
        return true
      end,
    }
    assert.equal(200, results[1][1].status)
    assert.is_true(results[2][1])
  end)

  it("does not take another one's end for its own", function()
    local api, other = clients.client(nil, sim:scope()), clients.client(nil, sim:scope())
    local results = garner.all {
      function()
        local _, err = api:get "/_http/delay/5000"
        local first = err.kind
        return first, other:get("/_http/delay/100").status
      end,
      function()
        assert(other:get "/_http/delay/20")
        api:close()
        return true
      end,
    }
    assert.same({ "cancelled", 200 }, { results[1][1], results[1][2] })
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("is over where something is raised into it", function()
    if not compat.yields_across_pcall or compat.global "jit" then
      return pending "here no hook can interrupt one coroutine below pcall"
    end
    local api = clients.client(nil, sim:scope())
    local co, raised_once
    local results = garner.all {
      function()
        co = coroutine.running()
        local ok, why = pcall(api.get, api, "/_http/delay/5000")
        return ok, why, api:get("/_http/delay/100").status
      end,
      function()
        assert(api:get "/_http/delay/20")
        debug.sethook(co, function()
          if not raised_once then
            raised_once = true
            error("stop", 0)
          end
        end, "", 1)
        return coroutine.resume(co)
      end,
    }
    assert.same({ false, "stop", 200 }, { results[1][1], results[1][2], results[1][3] })
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.01, timeout = 2 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("is cancelled where the engine is closed and another one made at once", function()
    local api = clients.client(nil, sim:scope())
    local results = garner.all {
      function() return api:get "/_http/delay/5000" end,
      function()
        assert(api:get "/_http/echo")
        garner.close()
        return api:get "/_http/delay/20"
      end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.equal(200, results[2][1].status)
  end)

  it("gets no end of an earlier engine's request of the same number", function()
    local api, scope = clients.client(nil, sim:scope()), sim:scope()
    local lists = clients.client({ transport = function()
      return { json = { a = { 1 }, next = scope.url .. "/next" } }
    end }, scope)
    local function paged()
      local walk = lists:pages("/first", { items = "a", next = { link = "next" } })
      assert(walk:next())
      return walk
    end
    local step = 0
    local function at(n)
      garner.wait(function() return step >= n or nil end, { first = 0.002, timeout = 10 })
    end
    local results = garner.all {
      function()
        assert(api:get "/_http/delay/20") -- the first of both engines
        garner.close()
        step = 1
        return api:get("/_http/delay/20").status
      end,
      function()
        local walk = paged() -- their second
        at(2)
        walk:next() -- takes what came of all
      end,
      function()
        local _, err = api:get "/_http/delay/5000" -- their third
        at(1)
        assert(api:get "/_http/delay/20")
        step = 2
        return err.kind, select(2, api:get "/_http/delay/50") or "good"
      end,
    }
    assert.same({ 200, "cancelled" }, { results[1][1], results[3][1] })
    assert.equal("good", tostring(results[3][2]))
  end)

  it("is cancelled where the engine is closed beside it", function()
    local api = clients.client(nil, sim:scope())
    local results = garner.all {
      function() return api:get "/_http/delay/5000" end,
      function()
        assert(api:get "/_http/echo")
        garner.close()
        return true
      end,
      function() return api:get "/_http/delay/5000" end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.is_true(results[2][1])
    assert.equal("cancelled", results[3].err.kind)
  end)

  it("leaves none behind", function()
    local api = clients.client(nil, sim:scope())
    local fns = {}
    for i = 1, 60 do fns[i] = function() return api:get("/_http/echo?n=" .. i):json().query end end
    local results = garner.all(fns, { concurrency = 7 })
    for i = 1, 60 do assert.equal("n=" .. i, results[i][1]) end
    assert.equal(0, garner.stats().in_flight)
  end)
end)

describe("a response's headers", function()
  after_each(clients.close_all)

  local function headers_of(list)
    local api = garner.client { base_url = "https://api.example.com", transport = function()
      return { status = 200, headers = list, body = "{}" }
    end }
    local headers = assert(api:get "/x").headers
    api:close()
    return headers
  end

  it("have every name once, in lower case", function()
    local long = ("X-Long-"):rep(20) .. "End"
    local headers = headers_of { { "A", "1" }, { "Set-Cookie", "a=1" }, { "b-B", "" },
      { "SET-COOKIE", "b=2" }, { long, "long" }, { "set-cookie", "c=3" } }
    local seen = {}
    for name, value in pairs(headers) do seen[name] = value end
    assert.same({ a = "1", ["b-b"] = "", ["set-cookie"] = "a=1, b=2, c=3",
      [long:lower()] = "long" }, seen)
    assert.equal("long", headers[long])
    assert.equal("1", headers.A)
    assert.is_nil(headers.nothing)
    assert.is_nil(headers[1])
  end)

  it("keep the wire's order and spelling apart", function()
    local headers = headers_of { { "B", "1" }, { "a", "2" }, { "b", "3" } }
    local walked = {}
    for name, value in headers:each() do walked[#walked + 1] = name .. "=" .. value end
    assert.same({ "B=1", "a=2", "b=3" }, walked)
    assert.same({ "1", "3" }, headers:all "B")
    assert.same({}, headers:all "c")
  end)

  it("may be many", function()
    local list = {}
    for i = 1, 300 do list[i] = { "X-" .. i, tostring(i) } end
    local headers, count = headers_of(list), 0
    for name, value in pairs(headers) do
      assert.equal(name, "x-" .. value)
      count = count + 1
    end
    assert.equal(300, count)
    assert.same({ "7" }, headers:all "x-7")
  end)
end)

describe("the binding's request", function()
  local client
  before_each(function() client = core.client_new { base_url = "https://api.example.com/v1" } end)
  after_each(function() client:close() end)

  it("says what it is", function()
    local request = client:request_new { url = "https://api.example.com/v1/x", method = "POST",
      headers = { { "A", "b" } }, body = "text" }
    local told = request:describe()
    assert.equal("POST", told.method)
    assert.equal("https://api.example.com/v1/x", told.url)
    assert.same({ { "A", "b" } }, told.headers)
    assert.equal("text", told.body)
  end)

  it("is checked when it is made", function()
    for _, wrong in ipairs { {}, { url = 1 }, { url = "https://user@x" }, { url = "ftp://x/" },
      { url = "https://api.example.com/", method = "get" },
      { url = "https://api.example.com/", headers = { { "A", "b\r\nC: d" } } } } do
      assert.is_false((pcall(client.request_new, client, wrong)))
    end
    assert.is_false((pcall(client.request_new, client, "x")))
  end)

  it("is exchanged by the main program only, on an engine that runs", function()
    local engine = core.engine_new {}
    local mailbox = engine:mailbox_new()
    local request = client:request_new { url = "https://127.0.0.1:1/", attempts = 1 }
    local told = coroutine.wrap(function()
      return select("#", engine:exchange(mailbox, client, request, 0.1))
    end)()
    assert.equal(0, told)
    engine:close()
    assert.is_false((pcall(engine.exchange, engine, mailbox, client, request, 0.1)))
  end)

  it("goes on without who waited for the first slice, on either kind of engine", function()
    for _, thread in ipairs { false, true } do
      local engine = core.engine_new { thread = thread }
      local mailbox = engine:mailbox_new()
      local at = core.client_new { base_url = sim.url, log = 1 }
      local function get(path, seconds)
        return engine:exchange(mailbox, at, at:request_new { url = sim.url .. path }, seconds)
      end
      for _ = 1, 3 do
        local result, status = get("/_http/echo", 10)
        assert.equal(200, status)
        assert.equal("GET", assert(core.json_decode(result:body())).method)
      end
      local none, id = get("/_http/delay/200", 0.005)
      assert.is_nil(none)
      local deadline = core.now() + 10
      local result, status
      repeat
        engine:wait(engine:sequence(), 0.05)
        result, status = mailbox:finish(id)
      until result or core.now() > deadline
      assert.equal(200, status)
      engine:close()
    end
  end)
end)

describe("a mailbox's finish", function()
  local engine, mailbox, client

  before_each(function()
    engine = core.engine_new {}
    mailbox = engine:mailbox_new()
    client = core.client_new { base_url = sim.url, log = 1, attempts = 2, backoff = 0.01 }
  end)
  after_each(function() engine:close() end)

  local function work()
    local deadline = core.now() + 10
    while mailbox:pending() == 0 and core.now() < deadline do
      engine:wait(engine:sequence(), 0.05)
    end
  end

  it("gives the end of one request, once", function()
    local id = engine:submit(mailbox, client, { url = sim.url .. "/_http/echo" })
    assert.same({ false }, { select(2, mailbox:finish(id)) })
    work()
    assert.same({ true }, { select(2, mailbox:finish(id + 1)) })
    local result, status = mailbox:finish(id)
    assert.equal(200, status)
    assert.equal(200, result:status())
    assert.same({ false }, { select(2, mailbox:finish(id)) })
  end)

  it("says where the end is an error, or something else comes first", function()
    local id = engine:submit(mailbox, client, { url = sim.url .. "/_http/status/503" })
    work()
    local result, other = mailbox:finish(id)
    assert.is_nil(result)
    assert.is_true(other)
    assert.equal("log", select(2, mailbox:take()))
    work()
    result, other = mailbox:finish(id)
    assert.is_false(other)
    assert.equal("server", result:error().kind)
  end)

  it("gives the end that comes next, if it was submitted with a tag", function()
    local plain = core.client_new { base_url = sim.url }
    local echo = { url = sim.url .. "/_http/echo" }
    local id = engine:submit(mailbox, plain, echo, 9)
    assert.is_nil((mailbox:take_end()))
    work()
    local tag, whose, result, status = mailbox:take_end()
    assert.same({ 9, id, 200, 200 }, { tag, whose, result:status(), status })
    assert.is_nil((mailbox:take_end()))
    engine:submit(mailbox, plain, { url = sim.url .. "/_http/status/404" }, 9)
    work()
    assert.is_false((select(4, mailbox:take_end())))
    engine:submit(mailbox, plain, echo)
    work()
    assert.is_nil((mailbox:take_end()))
    assert.equal("done", select(2, mailbox:take()))
  end)

  it("has tags on other events, too", function()
    local id = engine:submit(mailbox, client, { url = sim.url .. "/_http/status/503" }, 3)
    work()
    assert.is_nil((mailbox:take_end()))
    local whose, event, _, dropped, tag = mailbox:take()
    assert.same({ id, "log", 3 }, { whose, event, tag })
    assert.is_nil(dropped)
    work()
    _, event, _, _, tag = mailbox:take()
    assert.same({ "done", 3 }, { event, tag })
  end)
end)
