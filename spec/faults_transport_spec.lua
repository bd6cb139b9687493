-- Connections that cannot be made, break or stand still: what was surely not taken goes out
-- again, what may have been taken never does. The numbers are those of the catalogue of
-- faults.
local clients = require "spec.support.clients"
local core = require "garner.core"
local faults = require "spec.support.faults"
local garner = require "garner"
local probe = require "spec.support.probe"
local socket = require "socket"

local CREATE = { method = "POST", path = "/x", body = "b", creates = true }
local OK = "HTTP/1.1 200 OK\r\n"

local function again(name, answer, code)
  return { name, answer = answer, kind = "transport", code = code or "reset", requests = 2,
    retryable = true }
end

local function in_doubt(name, answer, code, options)
  return { name, answer = answer, request = CREATE, options = options, kind = "in_doubt",
    code = code, requests = 1, retryable = false, message = "is not known" }
end

-- A silence that outlasts the request, whose own end is near.
local function silent(name, answer, request)
  return { name, answer = answer, request = request, kind = "timeout", code = "deadline",
    requests = 1, retryable = false, options = { timeout = 0.5 } }
end

local cases = {
  again("6 a reset before the first byte", { { reset = true } }),
  again("6 a close before the first byte", { { close = true } }),
  again("6 a reset within the header lines", { OK .. "Content-Le", { reset = true } }),
  again("7 a reset within a body", { body = ("x"):rep(1000), cut = 500, after = "reset" }),
  again("7 a reset within a chunk",
    { body = ("x"):rep(1000), chunked = 100, cut = 500, after = "reset" }),
  in_doubt("6 a create that is reset", { { reset = true } }, "reset"),
  in_doubt("6 a create that is hung up on", { { close = true } }, "reset"),
  in_doubt("6 a create that is reset before its body was read", { { wait = 0.05 },
    { reset = true }, read = "head" }, "reset"),
  in_doubt("7 a create whose answer is cut", { body = "{}", length = 9 }, "incomplete"),
  in_doubt("7 a create whose answer is reset", { body = "{}", length = 9, after = "reset" },
    "reset"),
  in_doubt("7 a create whose answer ends in its header lines", { OK }, "incomplete"),
  in_doubt("74 a create that is never answered", { { stall = true } }, "deadline",
    { timeout = 0.5 }),
  in_doubt("75 a create and a 500", { status = 500 }, "500"),
  in_doubt("75 a create and a 502", { status = 502 }, "502"),
  in_doubt("75 a create and a 503 without Retry-After", { status = 503 }, "503"),
  in_doubt("75 a create and a 504", { status = 504 }, "504"),
  in_doubt("75 a create and a 408", { status = 408 }, "408"),
  { "75 a create and a 503 with Retry-After", request = CREATE, json = true, requests = 2,
    answers = { { status = 503, headers = { "Retry-After: 0" } }, { body = "{}" } } },
  { "75 a create and a 429", request = CREATE, json = true, requests = 2,
    answers = { { status = 429 }, { body = "{}" } } },
  { "75 a create that got through and the answer then broke", request = CREATE, requests = 2,
    kind = "in_doubt", code = "reset",
    answers = { { status = 429 }, { { reset = true } }, { body = "{}" } } },
  silent("9 a server that never answers", { { stall = true } }),
  silent("9 a server that never ends its header lines", { OK .. "Con", { stall = true } }),
  silent("9 a server that never ends its body", { body = "{}", length = 9, after = "stall" }),
  silent("10 header lines a byte at a time",
    { { drip = OK .. "X-A: " .. ("v"):rep(500), every = 0.05 } }),
  silent("10 a body a byte at a time", { body = ("x"):rep(500), every = 0.05 }),
  { "10 a body with pauses is one", json = true, requests = 1,
    answer = { body = '{"a":1}', every = 0.02 } },
  { "78 a wait beyond the deadline is not begun", kind = "throttled", code = "429", requests = 1,
    retryable = true, answer = { status = 429, headers = { "Retry-After: 30" } },
    options = { timeout = 20 }, also = function(outcome)
      assert.equal(30, outcome.err.retry_after)
      assert.truthy(outcome.err.attempts[1].why:find "deadline")
    end },
  { "80 400", answer = { status = 400 }, kind = "invalid", code = "400", requests = 1 },
  { "80 404", answer = { status = 404 }, kind = "not_found", code = "404", requests = 1 },
  { "80 409", answer = { status = 409 }, kind = "invalid", code = "409", requests = 1 },
  { "80 422", answer = { status = 422 }, kind = "invalid", code = "422", requests = 1 },
  { "81 501", answer = { status = 501 }, kind = "server", code = "501", requests = 1 },
  { "81 505", answer = { status = 505 }, kind = "server", code = "505", requests = 1 },
  { "81 500", answer = { status = 500 }, kind = "server", code = "500", requests = 2 },
  { "81 504", answer = { status = 504 }, kind = "server", code = "504", requests = 2 },
}

describe("a connection that fails:", function()
  lazy_setup(function() probe.run(cases) end)

  for _, case in ipairs(cases) do
    it(case[1], function() probe.check(case) end)
  end
end)

describe("a connection", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function client(options)
    options.base_url = options.base_url or s.url
    options.retry = options.retry or { attempts = 3, backoff = 0.01 }
    options.token = "s3cr3t-token"
    return clients.client(options)
  end

  it("1 to a name that does not exist names the host, and is tried again", function()
    local host = ("a"):rep(70) .. ".invalid" -- so long that nobody has to be asked
    local _, err = client { base_url = "https://" .. host }:request(CREATE)
    assert.equal("transport", err.kind)
    assert.equal("resolve", err.code)
    assert.is_true(err.retryable)
    assert.equal(3, #err.attempts)
    assert.truthy(tostring(err):find(host, 1, true))
    assert.is_nil(tostring(err):find("s3cr3t", 1, true))
  end)

  it("2 whose name server is silent ends at its deadline, and holds up nobody", function()
    local shim = os.tmpname()
    assert(os.execute("LD_PRELOAD= gcc -shared -fPIC -o " .. shim
      .. " spec/faults/silent_resolver.c -ldl"))
    s:script("/x", { body = "{}", delay = 0.1 })
    local started = socket.gettime()
    local code, output = clients.run(([[
      local garner = require "garner"
      local core = require "garner.core"
      local function get(url, timeout)
        local api = garner.client { base_url = url, timeout = timeout, retry = false }
        local started = core.now()
        local res, err = api:get "/x"
        return res and "ok" or err.kind, core.now() - started
      end
      local results = garner.all {
        function() return get("https://silent.example", 0.3) end,
        function() return get(%q, 20) end,
        function() return get("https://silent.example.com", 0.5) end,
      }
      for i, r in ipairs(results) do print(i, r[1], r[2] < 6) end
      garner.close()]]):format(s.url), ('LD_PRELOAD="$LD_PRELOAD %s"'):format(shim))
    os.remove(shim)
    assert.equal("1\ttimeout\ttrue\n2\tok\ttrue\n3\ttimeout\ttrue\n", output)
    assert.equal(0, code)
    assert.is_true(socket.gettime() - started < 20, "the look-up was waited for at the exit")
  end)

  it("3 that is refused was never made: again, even what creates", function()
    local gone = faults.start()
    gone:stop()
    local _, err = client { base_url = gone.url }:request(CREATE)
    assert.equal("transport", err.kind)
    assert.equal("connect", err.code)
    assert.is_true(err.retryable)
    assert.equal(3, #err.attempts)
  end)

  it("4 into a black hole ends at connect_timeout, again even for what creates", function()
    -- A listener whose queue is full: the kernel drops who else comes.
    local listener = socket.tcp()
    assert(listener:bind("127.0.0.1", 0))
    assert(listener:listen(0))
    local _, port = listener:getsockname()
    local held, hole = { listener }, false
    for _ = 1, 4 do
      local one = socket.tcp()
      held[#held + 1] = one
      one:settimeout(0.05)
      hole = select(2, one:connect("127.0.0.1", port)) == "timeout"
    end
    local _, err = client { base_url = "http://127.0.0.1:" .. port, connect_timeout = 0.1 }
      :request(CREATE)
    for _, one in ipairs(held) do one:close() end
    if not hole then
      return pending "left out: this kernel accepts beyond a full queue"
    end
    assert.equal("timeout", err.kind)
    assert.equal("connect", err.code)
    assert.is_true(err.retryable)
    assert.equal(3, #err.attempts)
  end)

  it("5 to a name of which only one address answers sends once", function()
    s:script("/x", { body = "{}" })
    assert(client { base_url = "http://localhost:" .. s.port }:request(CREATE))
    assert.equal(1, s:count "/x")
  end)

  it("6 that is kept, and closed after a create was read: one create, in doubt", function()
    s:script("/read", { body = "{}" })
    s:script("/create", { { close = true } })
    local api = client {}
    for _ = 1, 3 do assert(api:get "/read") end
    assert.equal(1, s:state().connections)
    local _, err = api:post("/create", { body = "b", creates = true })
    assert.equal("in_doubt", err.kind)
    assert.equal(1, s:count "/create")
  end)

  it("6 that is kept, and closed after a read was read, costs the read nothing", function()
    s:script("/read", { body = "{}" }, { { close = true } }, { body = '"again"' })
    local api = client {}
    assert(api:get "/read")
    assert.equal("again", assert(api:get "/read"):json())
  end)

  it("6 that the server ended long ago is not used for a create", function()
    s:script("/read", { OK .. "Content-Length: 2\r\n\r\n{}", { wait = 0.02 }, { close = true } })
    s:script("/create", { body = '"made"' })
    local api = client {}
    assert(api:get "/read")
    socket.sleep(0.1)
    assert.equal("made", assert(api:post("/create", { body = "b", creates = true })):json())
    assert.equal(1, s:count "/create")
  end)

  it("9 that stood still leaves its client usable", function()
    s:script("/stall", { { stall = true } })
    s:script("/x", { body = '"fine"' })
    local api = client { timeout = 0.2 }
    for _ = 1, 3 do
      assert.equal("timeout", select(2, api:get "/stall").kind)
      assert.equal("fine", assert(api:get "/x"):json())
    end
    local waited = 0
    while s:state().open > 1 do
      waited = waited + 1
      assert(waited < 200, "connections that timed out stay open")
      socket.sleep(0.02)
    end
  end)

  it("14 for which no descriptor is left is a clean error, then works again", function()
    s:script("/x", { body = '"fine"' })
    local code, output = clients.run(([[
      local garner = require "garner"
      local api = garner.client { base_url = %q, timeout = 20,
        retry = { attempts = 2, backoff = 0.01 } }
      assert(api:get "/x")
      api:close()
      api = garner.client { base_url = %q, timeout = 20, retry = { attempts = 2, backoff = 0.01 } }
      garner.engine {}
      local held = {}
      for i = 1, 1000 do held[i] = io.open "/dev/null" end
      local res, err = api:post("/x", { creates = true, body = "b" })
      print(res, err and err.kind, err and err.code)
      for _, file in ipairs(held) do file:close() end
      print((assert(api:post("/x", { creates = true, body = "b" })):json()))
      api:close()]]):format(s.url, s.url), "ulimit -n 60;")
    assert.equal(0, code, output)
    -- A threaded engine cannot even be started then.
    assert.truthy(output == "nil\ttransport\tconnect\nfine\n"
      or output == "nil\ttransport\tthread\nfine\n", output)
  end)

  it("60 takes no credential from .netrc", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local netrc = assert(io.open(folder .. "/.netrc", "w"))
    netrc:write("default login netrc-user password netrc-password\nmachine 127.0.0.1 login "
      .. "netrc-user password netrc-password\n")
    netrc:close()
    os.execute("chmod 600 " .. folder .. "/.netrc")
    s:script("/x", { body = "{}" })
    local code, output = clients.run(([[
      local garner = require "garner"
      local api = garner.client { base_url = %q }
      assert(api:get "/x")
      api:close()]]):format(s.url), "HOME=" .. folder .. " NETRC=" .. folder .. "/.netrc")
    os.execute("rm -r " .. folder)
    assert.equal(0, code, output)
    local seen = s:seen "/x"
    assert.equal(1, #seen)
    assert.is_nil(seen[1].headers.authorization)
  end)

  it("76 that fails for a hundred at once costs no more than the retry budget", function()
    s:script("*", { { reset = true } })
    -- 500 tokens at 14 a retry: 35 retries for everybody together.
    local api = client { retry = { attempts = 10, backoff = 0.01 } }
    local asked = {}
    for i = 1, 100 do
      asked[i] = function()
        local _, err = api:get("/dead" .. i)
        assert(err.kind == "transport", err.kind)
        return #err.attempts
      end
    end
    local started, attempts, used_up = core.now(), 0, 0
    for _, result in ipairs(garner.all(asked)) do
      attempts = attempts + result[1]
      used_up = used_up + (result[1] < 10 and 1 or 0)
    end
    assert.is_true(attempts <= 135, attempts)
    assert.is_true(#s:seen() <= 135, #s:seen())
    assert.is_true(used_up >= 90, used_up)
    assert.is_true(core.now() - started < 15)
    local _, err = api:get "/dead"
    assert.equal(1, #err.attempts)
    assert.truthy(err.attempts[1].why:find "retry budget")
  end)

  it("76 budgets are each client's own", function()
    s:script("*", { { reset = true } })
    s:script("/flaky", { { reset = true } }, { body = '"fine"' })
    local dead = client { retry = { attempts = 100, backoff = 0.001, backoff_cap = 0.001 } }
    assert.truthy(select(2, dead:get "/dead"))
    assert.equal("fine", assert(client {}:get "/flaky"):json())
  end)

  it("77 waits differently each time", function()
    s:script("*", { { reset = true } })
    local waits, api = {}, client { retry = { attempts = 4, backoff = 0.02 } }
    for i = 1, 4 do
      local _, err = api:get("/x" .. i)
      for n = 1, 3 do
        local waited = err.attempts[n].waited
        assert.is_true(waited >= 0 and waited <= 0.02 * 2 ^ (n - 1), waited)
        assert.is_nil(waits[waited])
        waits[waited] = true
      end
    end
  end)
end)
