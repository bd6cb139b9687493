-- Owns: what is sent again, after which wait, and how that is told: against a server that
-- answers what no polite one does. Must not: check a wait to the millisecond.
local clients = require "spec.support.clients"
local core = require "garner.core"
local faults = require "spec.support.faults"
local garner = require "garner"
local google_reports = require "garner.google_reports"

local here, raised = clients.here, clients.raised

local function http_date(seconds, form)
  return os.date(form or "!%a, %d %b %Y %H:%M:%S GMT", os.time() + seconds)
end

describe("sending again", function()
  local s, api

  before_each(function()
    s = faults.start()
    api = clients.client { base_url = s.url, retry = { backoff = 0.01, backoff_throttled = 0.01 } }
  end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function timed(fn)
    local start = core.now()
    local res, err = fn()
    return res, err, core.now() - start
  end

  it("fails at once where Retry-After passes max_wait, and tells it", function()
    for i, value in ipairs { "3600", "1000000000000", http_date(3600),
      http_date(3600, "!%A, %d-%b-%y %H:%M:%S GMT"), http_date(3600, "!%a %b %d %H:%M:%S %Y") } do
      local path = "/far" .. i
      s:script(path, { status = 429, headers = { ["Retry-After"] = value } })
      local res, err, took = timed(function() return api:get(path) end)
      assert.is_nil(res)
      assert.equal("throttled", err.kind)
      assert.is_true(err.retry_after > 3500, value .. ": " .. tostring(err.retry_after))
      assert.is_true(err.retryable)
      assert.is_true(took < 5)
      assert.equal("max_wait", err.attempts[1].why)
      assert.equal(0, err.attempts[1].waited)
      assert.equal(1, s:count(path))
      assert.truthy(tostring(err):find("not sent again: max_wait", 1, true), tostring(err))
      assert.truthy(tostring(err):find("retry after", 1, true))
    end
  end)

  it("never undercuts Retry-After, and takes the longer of two", function()
    for path, headers in pairs { ["/one"] = { "Retry-After: 1" },
      ["/two"] = { "Retry-After: 0", "Retry-After: 1", "Retry-After: soon" } } do
      s:script(path, { status = 503, headers = headers }, { body = "{}" })
      local res, err, took = timed(function() return api:get(path) end)
      assert.is_nil(err)
      assert.is_true(took >= 1)
      assert.equal(2, #res.attempts)
      assert.equal("retry_after", res.attempts[1].why)
      assert.is_true(res.attempts[1].waited >= 1)
      assert.is_nil(res.attempts[2].why)
    end
  end)

  it("does not heed a Retry-After that is past, negative or no time at all", function()
    for i, value in ipairs { http_date(-3600), "-5", "soon", "", "1.5", "0x10", "1e3", "5, 6" } do
      local path = "/odd" .. i
      s:script(path, { status = 429, headers = { ["Retry-After"] = value } }, { body = "{}" })
      local res, err, took = timed(function() return api:get(path) end)
      assert.is_nil(err, value)
      assert.is_true(took < 3)
      assert.equal("throttled", res.attempts[1].why)
      assert.equal(429, res.attempts[1].status)
    end
  end)

  it("fails at once where Retry-After passes the deadline", function()
    s:script("/late", { status = 503, headers = { ["Retry-After"] = "30" } })
    local _, err, took = timed(function() return api:get("/late", { timeout = 5 }) end)
    assert.equal("server", err.kind)
    assert.equal(30, err.retry_after)
    assert.equal("deadline", err.attempts[1].why)
    assert.is_true(took < 4)
    assert.equal(1, s:count "/late")
  end)

  it("takes RetryInfo as a floor too", function()
    s:script("/info", { status = 503, body = [[{"code":14,"message":"later","details":[{"@type":
      "type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.4s"}]}]] }, { body = "{}" })
    local res = assert(api:get("/info"))
    assert.equal("retry_info", res.attempts[1].why)
    assert.equal("UNAVAILABLE", res.attempts[1].code)
    assert.is_true(res.attempts[1].waited >= 0.4)
  end)

  it("tells each attempt, the waits between and why it ended", function()
    s:script("/down", { status = 500 }, { status = 429 }, { cut = 1, body = "{}", after = "reset" },
      { status = 502, type = "text/html", body = "<html><title>Bad gateway</title></html>" })
    local _, err = api:get("/down")
    assert.equal("server", err.kind)
    assert.equal(4, #err.attempts)
    local whys, codes = {}, {}
    for i, a in ipairs(err.attempts) do
      whys[i], codes[i] = a.why, a.code
      assert.is_true(a.elapsed >= 0 and a.waited >= 0)
    end
    assert.same({ "backoff", "throttled", "backoff", "attempts used up" }, whys)
    assert.equal("500 429", codes[1] .. " " .. codes[2])
    assert.equal("502", codes[4])
    assert.truthy(tostring(err):find("after 4 attempts in %d+%.%d s"), tostring(err))
    assert.truthy(tostring(err):find("Bad gateway", 1, true))
    s:script("/no", { status = 404 })
    _, err = api:get("/no")
    assert.equal("final", err.attempts[1].why)
    s:script("/created", { status = 500 })
    _, err = api:post("/created", { creates = true })
    assert.equal("not safe to repeat", err.attempts[1].why)
    assert.truthy(tostring(err):find("not sent again: not safe to repeat", 1, true))
    s:script("/a", { status = 302, headers = { Location = "/b" } })
    s:script("/b", { body = "{}" })
    assert.equal("redirect", assert(api:get("/a")).attempts[1].why)
  end)

  it("knows a quota from a refusal, whatever shape the body has", function()
    local function reason(text)
      return '{"error":{"code":403,"errors":[{"domain":"usageLimits","reason":"' .. text .. '"}]}}'
    end
    for i, case in ipairs {
      { 403, reason "rateLimitExceeded", "throttled" },
      { 403, reason "userRateLimitExceeded", "throttled" },
      { 403, reason "quotaExceeded", "throttled" },
      { 403, "Quota exceeded for quota metric 'Queries'", "throttled" },
      { 403, "<html><body>Request rate higher than configured</body></html>", "throttled" },
      { 503, reason "quotaExceeded", "throttled" },
      { 429, "<html>slow down</html>", "throttled" },
      { 403, reason "forbidden", "forbidden" },
      { 403, reason "insufficientPermissions", "forbidden" },
      { 403, "<html>Forbidden</html>", "forbidden" },
    } do
      local path = "/quota" .. i
      s:script(path, { status = case[1], body = case[2] }, { body = "{}" })
      local res, err = api:get(path)
      if case[3] == "throttled" then
        assert.is_nil(err, case[2])
        assert.equal("throttled", res.attempts[1].why)
      else
        assert.equal(case[3], err.kind, case[2])
        assert.equal(1, s:count(path))
      end
    end
    s:script("/day", { status = 403, body = reason "dailyLimitExceeded" })
    local _, err = api:get("/day")
    assert.equal("throttled", err.kind)
    assert.equal(1, s:count "/day")
  end)

  it("tries 408, 425 and any unknown 5xx again, that once, 501 and 505 never", function()
    for status, sends in pairs { [408] = 4, [425] = 4, [500] = 4, [504] = 4, [520] = 2, [507] = 2,
      [501] = 1, [505] = 1, [409] = 1, [422] = 1 } do
      local path = "/status" .. status
      s:script(path, { status = status })
      local _, err = api:get(path)
      assert.equal(sends, s:count(path), status)
      assert.equal(status, err.status)
    end
  end)
end)

describe("a request that creates", function()
  local s, api

  before_each(function()
    s = faults.start()
    api = clients.client { base_url = s.url, retry = { backoff = 0.01 } }
  end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  it("is seen once on a kept connection that is closed after it was read", function()
    s:script("/warm", { body = "{}" })
    s:script("/create", { { close = true } })
    for _, method in ipairs { "POST", "GET" } do
      assert(api:get("/warm"))
      local before = s:count "/create"
      local _, err = api:request { method = method, path = "/create", creates = true }
      assert.equal("in_doubt", err.kind)
      assert.is_false(err.retryable)
      assert.equal("not safe to repeat", err.attempts[1].why)
      assert.equal(before + 1, s:count "/create")
    end
  end)

  it("is in doubt after 500, 502, 504, a reset and a timeout, and not sent again", function()
    for i, answer in ipairs { { status = 500 }, { status = 502 }, { status = 504 },
      { status = 503 }, { { reset = true } }, { cut = 3, body = '{"id":1}' } } do
      local path = "/create" .. i
      s:script(path, answer)
      local _, err = api:post(path, { json = { a = 1 }, creates = true })
      assert.equal("in_doubt", err.kind, path)
      assert.equal(1, s:count(path))
    end
    s:script("/slow", { { stall = true } })
    local _, err = api:post("/slow", { json = { a = 1 }, creates = true, timeout = 0.2 })
    assert.equal("in_doubt", err.kind)
    assert.equal("deadline", err.code)
    assert.equal(1, s:count "/slow")
  end)

  it("is sent again where the server surely did not take it", function()
    for i, answer in ipairs { { status = 429 },
      { status = 503, headers = { ["Retry-After"] = "0" } } } do
      local path = "/again" .. i
      s:script(path, answer, { body = "{}" })
      assert(api:post(path, { creates = true }))
      assert.equal(2, s:count(path))
    end
  end)
end)

describe("a rate", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function client(more)
    local given = { base_url = s.url, retry = { backoff = 0.01, backoff_throttled = 0.01 } }
    for name, value in pairs(more or {}) do given[name] = value end
    return clients.client(given)
  end

  local function second_wait(api)
    assert(api:get("/x"))
    local res = assert(api:get("/x"))
    local waited = 0
    for _, a in ipairs(res.attempts) do
      if a.why == "rate" then
        assert.is_nil(a.status)
        assert.is_nil(a.elapsed)
        waited = waited + a.waited
      end
    end
    return waited, res
  end

  it("is told in attempts", function()
    s:script("/x", { body = "{}" })
    local before = garner.stats().throttled
    local waited, res = second_wait(client { rate = 5, burst = 1 })
    assert.is_true(waited > 0 and waited < 0.3)
    assert.equal(200, res.attempts[2].status)
    assert.is_true(garner.stats().throttled > before)
  end)

  it("is fed by the standard headers and by those that the client names", function()
    local soon = tostring(os.time() + 2)
    for _, case in ipairs {
      { { "RateLimit-Remaining: 0", "RateLimit-Reset: 1" } },
      { { 'RateLimit: "default";r=0;t=1' } },
      { { "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: " .. soon } },
      { { "X-Shop-Calls: 40/40", "X-Shop-Reset: 1" }, { used = "x-shop-calls",
        reset = "x-shop-reset" } },
      { { "X-Left: 0", "X-When: " .. soon }, { remaining = "X-Left", reset = "X-When",
        reset_kind = "epoch" } },
    } do
      s:script("/x", { headers = case[1], body = "{}" }, { body = "{}" })
      local waited = second_wait(client { rate_headers = case[2], max_wait = 0.2 })
      assert.is_true(waited > 0.1 and waited <= 0.21, case[1][1] .. ": " .. waited)
    end
    for _, case in ipairs {
      { { "RateLimit-Remaining: 0", "RateLimit-Reset: 9" }, false },
      { { "RateLimit-Remaining: 0", "RateLimit-Reset: 9" }, { remaining = "X-Left" } },
      { { "RateLimit-Remaining: 1", "RateLimit-Reset: 9" } },
      { { "X-Shop-Calls: 39/40", "X-Shop-Reset: 9" }, { used = "x-shop-calls",
        reset = "x-shop-reset" } },
    } do
      s:script("/x", { headers = case[1], body = "{}" }, { body = "{}" })
      assert.equal(0, (second_wait(client { rate_headers = case[2] })))
    end
  end)

  it("slows the whole client where one request is throttled", function()
    s:script("/busy", { status = 429, headers = { ["Retry-After"] = "1" } }, { body = "{}" })
    s:script("/other", { body = "{}" })
    local api = client { attempts = 1 }
    local start = core.now()
    local _, err = api:get("/busy")
    assert.equal(1, err.retry_after)
    assert.equal("attempts used up", err.attempts[1].why)
    local res = assert(api:get("/other"))
    assert.is_true(core.now() - start >= 0.95)
    assert.equal("rate", res.attempts[1].why)
    assert(client():get("/other")) -- another client is not concerned
  end)

  it("of the vendors is the documented one", function()
    assert.equal(2400, google_reports.RATE * 60)
    local query = require "garner.shoplazza.tasks"
    assert.equal("40 at once, 2 a second", query.BURST .. " at once, " .. query.RATE .. " a second")
  end)

  it("has rules that are checked", function()
    local line
    for _, rules in ipairs { {}, { remaining = "a", used = "b" }, { remaining = "a", limit = "b" },
      { used = "a", reset_kind = "epoch" }, { remaining = 1 }, { other = "a" }, true, "x",
      { remaining = "a", reset = "b", reset_kind = "minutes" } } do
      local message = raised(function() line = here(); client { rate_headers = rules } end)
      assert.equal(1, (message:find("^[^:]*:%d+: garner")), message)
      assert.truthy(message:find("rate_headers", 1, true), message .. line)
    end
  end)
end)

describe("a wall clock that jumps by days", function()
  it("84 changes no wait and no deadline", function()
    local s, shim = faults.start(), os.tmpname()
    assert(os.execute("LD_PRELOAD= gcc -shared -fPIC -o " .. shim .. " spec/faults/clock_jump.c"))
    s:script("/again", { status = 503, headers = { "Retry-After: 1" } }, { body = "{}" })
    s:script("/silent", { { stall = true } })
    s:script("/job", { body = '{"id":"a","s":"run"}' }, { body = '{"id":"a","s":"run"}' },
      { body = '{"id":"a","s":"done"}' })
    s:script("/never", { body = '{"id":"a","s":"run"}' })
    local code, output = clients.run(([[
      local garner, core = require "garner", require "garner.core"
      local api = garner.client { base_url = %q }
      local function timed(name, from, to, fn)
        local start = core.now()
        local value, err = fn()
        local took = core.now() - start
        print(name, value and "ok" or err.kind, took >= from and took < to or took)
      end
      local function poll(path, timeout)
        return api:poll({ path = path, ids = { "a" }, query_key = "id", id = "id", status = "s",
          states = { done = "done", run = "running" }, first = 0.1, timeout = timeout },
          function() end)
      end
      assert(math.abs(os.time() - os.time()) > 3600)
      timed("again", 1, 30, function() return api:get("/again", { timeout = 40 }) end)
      timed("silent", 0.25, 30, function() return api:get("/silent", { timeout = 0.3 }) end)
      timed("job", 0.05, 30, function() return poll("/job", 40) end)
      timed("never", 0.25, 30, function() return poll("/never", 0.3) end)
      garner.close()]]):format(s.url), ('timeout 60 env LD_PRELOAD="$LD_PRELOAD %s"'):format(shim))
    os.remove(shim)
    s:stop()
    assert.equal("again\tok\ttrue\nsilent\ttimeout\ttrue\njob\tok\ttrue\n"
      .. "never\ttimeout\ttrue\n", output)
    assert.equal(0, code)
  end)
end)
