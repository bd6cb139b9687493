local clients = require "spec.support.clients"
local core = require "garner.core"
local errors = require "garner.errors"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised

local function has(text, part)
  assert(tostring(text):find(part, 1, true), tostring(text) .. "\n does not have " .. part)
end

local function lacks(text, part)
  assert(not tostring(text):find(part, 1, true), "shows what it must not: " .. tostring(text))
end

local function write_file(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local sim = simulator.get()

describe("garner.client", function()
  after_each(clients.close_all)

  describe("options", function()
    it("that are unknown raise at the caller's line and list the known ones", function()
      local message = raised(function() garner.client { base_url = sim.url, tokn = "x" } end)
      assert.equal(1, (message:find(here(-1), 1, true)), message)
      has(message, 'unknown option "tokn"')
      has(message, "base_url")
      has(message, "token")
    end)

    it("of a wrong type or range raise and say what they must be", function()
      for name, values in pairs {
        timeout = { 0, -1, 0 / 0, math.huge, "5", "soon", "", true, {} },
        connect_timeout = { "0s", false }, base_url = { 1, "" }, rate = { 0, -1, "2" },
        max_body = { 0, 1.5, "1" }, retry = { "no", -1, 1.5, { attempts = 0 } },
        proxy = { true, 1, "", "a b", "ftp://proxy.example.com" },
        http_version = { "3", 2 }, headers = { "x" },
        insecure_tls = { "yes" }, log = { "loud", 1 }, origins = { 1, { 1 } },
        auth = { "token", {} }, json = { "dkjson" },
      } do
        for _, value in ipairs(values) do
          local options = { base_url = sim.url }
          options[name] = value
          local message = raised(function() garner.client(options) end)
          assert.equal(1, (message:find(here(-1), 1, true)), message)
          has(message, name)
        end
      end
      assert.equal(0, core.running())
    end)

    it("take durations as text", function()
      local api = clients.client { timeout = "1m30s", connect_timeout = "5s" }
      assert.equal(90, api.options.timeout)
    end)

    it("refuse a missing or bad base URL", function()
      has(raised(garner.client, {}), "base_url is missing")
      has(raised(garner.client), "base_url is missing")
      for _, url in ipairs { "x", "ftp://h", "http://", "http://u:p@h/", "http://h/a b" } do
        local message = raised(function() garner.client { base_url = url } end)
        assert.equal(1, (message:find(here(-1), 1, true)), message)
      end
    end)

    it("refuse a CA file that cannot be read, at once", function()
      local message = raised(function()
        garner.client { base_url = sim.tls_url, ca_file = "/no/such/ca.pem" }
      end)
      has(message, here(-2))
      has(message, "/no/such/ca.pem")
    end)

    it("refuse token and auth together, and token twice", function()
      has(raised(garner.client, { base_url = sim.url, token = "a", auth = garner.auth.bearer "b" }),
        "not both")
      has(raised(garner.client, { base_url = sim.url, token = "a", access_token = "b" }),
        "not both")
    end)
  end)

  describe("requests", function()
    local scope, api

    before_each(function()
      scope = sim:scope()
      api = clients.client({ headers = { ["X-Tenant"] = "t1" } }, scope)
    end)

    it("give status, headers, body, JSON, times", function()
      local res = assert(api:get("/_http/echo", { query = { size = 10, tag = { "x", "y" } } }))
      assert.equal(200, res.status)
      has(res.headers["Content-TYPE"], "application/json")
      assert.equal(res.headers["content-type"], res.headers["Content-TYPE"])
      assert.equal("/_http/echo", res:json().path)
      assert.equal("size=10&tag=x&tag=y", res:json().query)
      assert.equal("t1", res:json().headers["x-tenant"])
      assert.equal("application/json", res:json().headers.accept)
      assert.equal(res:json(), res:json())
      assert.equal(#res.body, res.size)
      assert.is_true(res.elapsed > 0 and res.elapsed < 10)
      assert.equal(1, #res.attempts)
      assert.equal(200, res.attempts[1].status)
      has(res.url, "/_http/echo")
      has(tostring(res), "200")
    end)

    it("escape what stands in {name} and in a query", function()
      local id = "a/b?c:d e#\195\188%2e&+"
      local echo = assert(api:get("/_http/echo", { query = { q = id, n = 1e15, f = 0.5,
        b = true } })):json()
      has(echo.uri, "b=true&f=0.5&n=1000000000000000&q=a%2Fb%3Fc%3Ad%20e%23%C3%BC%252e%26%2B")
      local _, err = api:get("/_http/status/{id}", { params = { id = id }, query = {} })
      has(err.url, "/_http/status/a%2Fb%3Fc%3Ad%20e%23%C3%BC%252e%26%2B")
    end)

    it("take path for params where the path stands first", function()
      local _, err = api:get("/_http/status/{code}", { path = { code = 404 } })
      assert.equal(404, err.status)
      has(raised(api.get, api, "/x/{a}", { path = { a = 1 }, params = { a = 1 } }), "not both")
    end)

    it("refuse ids that are no segment, a NUL, and a missing one", function()
      for _, id in ipairs { "", ".", "..", "a\0b" } do
        local message = raised(function() api:get("/_http/{id}", { params = { id = id } }) end)
        assert.equal(1, (message:find(here(-1), 1, true)), message)
      end
      raised(api.get, api, "/_http/{id}", {})
      for _, path in ipairs { "/_http/\0", "/_http/a\0b" } do
        local message = raised(function() api:get(path) end)
        assert.equal(1, (message:find(here(-1), 1, true)), message)
      end
      raised(api.get, api, "/_http/echo", { query = { ["a\0"] = "b" } })
      assert.equal(0, scope:count())
    end)

    it("without options are the same each time, however many paths there are", function()
      for round = 1, 2 do
        for i = 1, 70 do
          assert.equal("i=" .. i, assert(api:get("/_http/echo?i=" .. i)):json().query, round)
        end
      end
      assert.equal("POST", api:post("/_http/echo"):json().method)
      assert.equal("GET", api:get("/_http/echo"):json().method)
    end)

    it("append a query to a path that has one", function()
      assert.equal("a=1&b=2", api:get("/_http/echo?a=1", { query = { b = 2 } }):json().query)
    end)

    it("send JSON, forms and bodies", function()
      local echo = api:post("/_http/echo", { json = { n = 1, list = garner.json.array {} } }):json()
      assert.equal('{"list":[],"n":1}', echo.body)
      assert.equal("application/json", echo.headers["content-type"])
      assert.equal("POST", echo.method)
      echo = api:put("/_http/echo", { form = { a = "x y&z", b = { 1, 2 } } }):json()
      assert.equal("a=x%20y%26z&b=1&b=2", echo.body)
      assert.equal("application/x-www-form-urlencoded", echo.headers["content-type"])
      echo = api:patch("/_http/echo", { body = "raw", headers = { ["content-type"] = "text/x" } })
        :json()
      assert.equal("raw", echo.body)
      assert.equal("text/x", echo.headers["content-type"])
      assert.equal("DELETE", api:delete("/_http/echo"):json().method)
      local head = assert(api:head("/_http/echo"))
      assert.equal("", head.body)
      echo = api:request { method = "POST", path = "/_http/echo", json = { n = "n" }, safe = false,
        timeout = 30, accept = "text/csv" }:json()
      assert.equal("text/csv", echo.headers.accept)
    end)

    it("raise for wrong arguments at the caller's line", function()
      local line
      for _, call in ipairs {
        function() line = here(); api:get() end,
        function() line = here(); api:get(5) end,
        function() line = here(); api:get("/x", { foo = 1 }) end,
        function() line = here(); api:get("/x", "y") end,
        function() line = here(); api:get("/x", { query = { a = {} , b = print } }) end,
        function() line = here(); api:get("/x", { query = { a = 0 / 0 } }) end,
        function() line = here(); api:get("/x", { query = { [1] = 2 } }) end,
        function() line = here(); api:get("/x", { json = {} }) end,
        function() line = here(); api:post("/x", { json = {}, body = "" }) end,
        function() line = here(); api:post("/x", { json = print }) end,
        function() line = here(); api:post("/x", { json = { 1, a = 2 } }) end,
        function() line = here(); api:post("/x", { body = {} }) end,
        function() line = here(); api:get("/x", { timeout = -1 }) end,
        function() line = here(); api:get("/x", { headers = { ["A:b"] = "c" } }) end,
        function() line = here(); api:get("/x", { headers = { A = "b\r\nC: d" } }) end,
        function() line = here(); api:get("/x", { headers = { A = "b\0" } }) end,
        function() line = here(); api:get("/x", { headers = { A = {} } }) end,
        function() line = here(); api:get("/x", { method = "PUT" }) end,
        function() line = here(); api:request { method = "FETCH", path = "/x" } end,
        function() line = here(); api:post("/x", { safe = true, creates = true }) end,
        function() line = here(); api.get("/x") end,
        function() line = here(); local _ = api.get({}, "/x") end,
      } do
        local message = raised(call)
        assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
      end
      assert.equal(0, scope:count())
    end)

    it("keep duplicate headers apart", function()
      local res = assert(api:get("/_http/cookie"))
      local all = res.headers:all("SET-COOKIE")
      assert.is_true(#all >= 1)
      assert.equal(table.concat(all, ", "), res.headers["set-cookie"])
      local names = {}
      for name, value in res.headers:each() do
        assert.is_string(value)
        names[#names + 1] = name:lower()
      end
      assert.is_true(#names > 2)
      for name in pairs(res.headers) do
        assert.equal(name:lower(), name)
      end
      assert.is_nil(res.headers["no-such"])
    end)

    it("end at their timeout", function()
      local started = core.now()
      local res, err = api:get("/_http/delay/5000", { timeout = 0.2, attempts = 1 })
      assert.is_nil(res)
      assert.equal("timeout", err.kind)
      assert.is_true(core.now() - started < 2)
    end)

    it("are sent again only when safe", function()
      scope:fault { path = "/_http/echo", status = 503, times = 1 }
      local res = assert(clients.client({ retry = { backoff = 0.01 } }, scope):get("/_http/echo"))
      assert.equal(2, #res.attempts)
      assert.equal(503, res.attempts[1].status)
      scope:fault { path = "/_http/echo", status = 500, times = 1 }
      local _, err = api:post("/_http/echo", { body = "x", creates = true })
      assert.equal("in_doubt", err.kind)
      assert.equal(500, err.status)
      assert.is_false(err.retryable)
      assert.equal(3, scope:count())
    end)

    it("are refused on a closed client, and closing twice is fine", function()
      api:close()
      api:close()
      local message = raised(function() api:get("/_http/echo") end)
      assert.equal(1, (message:find(here(-1), 1, true)), message)
      has(message, "closed")
      has(tostring(api), "closed")
    end)
  end)

  describe("JSON answers", function()
    local api
    before_each(function() api = clients.client() end)

    it("that are HTML say so, with the beginning", function()
      local res = assert(api:get("/_http/html"))
      local value, err = res:json()
      assert.is_nil(value)
      assert.equal("protocol", err.kind)
      assert.equal("json", err.code)
      assert.equal(200, err.status)
      has(err.message, "text/html")
      has(err.message, "<")
    end)

    it("that are empty are an error, not nil alone", function()
      local value, err = assert(api:get("/_http/empty")):json()
      assert.is_nil(value)
      assert.equal("protocol", err.kind)
      has(err.message, "empty")
    end)

    it("that are broken in any way are an error", function()
      for _, kind in ipairs { "cut", "bom", "utf8", "trailing", "deep" } do
        local value, err = assert(api:get("/_http/invalid-json", { query = { kind = kind } }))
          :json()
        assert.is_nil(value, kind)
        assert.equal("protocol", err.kind)
      end
      assert.equal(garner.json.null,
        api:get("/_http/invalid-json", { query = { kind = "null" } }):json())
    end)

    it("never show the token, even if the server echoes it", function()
      local secret = clients.client { token = "s3cr3t-token-value" }
      local _, err = secret:get("/_http/echo?x=1"):json()
      assert.is_nil(err)
      local _, echoed = secret:get("/_http/status/400", { query = { body = "s3cr3t-token-value" } })
      lacks(echoed, "s3cr3t")
      lacks(echoed.message, "s3cr3t")
      lacks(echoed.body, "s3cr3t")
      lacks(echoed.url, "s3cr3t")
      local _, bad = secret:get("/_http/status/200", { query = { body = "s3cr3t-token-value" } })
        :json()
      lacks(bad, "s3cr3t")
    end)

    it("may go through lua-cjson", function()
      local cj = clients.client { json = "cjson" }
      assert.equal("/_http/echo", cj:get("/_http/echo"):json().path)
      assert.equal('{"a":1}', cj:post("/_http/echo", { json = { a = 1 } }):json().body)
      local value, err = cj:get("/_http/html"):json()
      assert.is_nil(value)
      assert.equal("protocol", err.kind)
    end)
  end)

  describe("broken answers", function()
    it("are errors, never a success", function()
      local api = clients.client { retry = false, timeout = 10 }
      for path, kind in pairs { truncated = "protocol", ["chunked-cut"] = "protocol",
        reset = "transport", ["gzip?cut=20"] = "protocol" } do
        local res, err = api:get("/_http/" .. path)
        assert.is_nil(res, path)
        assert.equal(kind, err.kind, path)
      end
    end)

    it("above the limit are too large", function()
      local api = clients.client { max_body = 1000 }
      local _, err = api:get("/_http/bytes/5000")
      assert.equal("too_large", err.kind)
      _, err = api:get("/_http/gzip", { query = { size = 100000 } })
      assert.equal("too_large", err.kind)
      assert.equal(2000, assert(api:get("/_http/bytes/2000", { max_body = 3000 })).size)
    end)

    it("from nobody name the peer", function()
      local api = garner.client { base_url = "http://127.0.0.1:1", retry = false }
      local _, err = api:get("/x")
      api:close()
      assert.equal("transport", err.kind)
      assert.equal("connect", err.code)
      assert.is_true(err.retryable)
      has(err, "127.0.0.1:1")
    end)
  end)
end)

describe("credentials", function()
  after_each(clients.close_all)

  local function sent(api)
    return assert(api:get("/_http/echo")):json().headers
  end

  it("are sent as bearer, header or basic", function()
    assert.equal("Bearer tok", sent(clients.client { token = "tok" }).authorization)
    assert.equal("Bearer tok", sent(clients.client { access_token = "tok" }).authorization)
    assert.equal("Bearer tok", sent(clients.client { auth = garner.auth.bearer "tok" })
      .authorization)
    assert.equal("tok", sent(clients.client { auth = garner.auth.header("access-token", "tok") })
      ["access-token"])
    assert.equal("Basic dXNlcjpwYXNz", sent(clients.client {
      auth = garner.auth.basic("user", "pass") }).authorization)
    assert.is_nil(sent(clients.client()).authorization)
  end)

  it("never show", function()
    for _, auth in ipairs { garner.auth.bearer "s3cr3t-value",
      garner.auth.header("k", "s3cr3t-value"), garner.auth.basic("u", "s3cr3t-value") } do
      lacks(auth, "s3cr3t")
      local api = clients.client { auth = auth }
      lacks(api, "s3cr3t")
      has(api, "***")
      for _, holder in ipairs { api, api.options, auth } do
        for name, value in pairs(holder) do
          lacks(name, "s3cr3t")
          lacks(value, "s3cr3t")
        end
      end
    end
    local api = clients.client { auth = garner.auth.basic("u", "s3cr3t-value"), retry = false }
    local _, err = api:get("/_http/status/400", { query = { body = "dTpzM2NyM3QtdmFsdWU=" } })
    lacks(err.body, "dTpzM2NyM3QtdmFsdWU")
  end)

  it("in headers of the user's own are hidden too", function()
    local scope = sim:scope()
    local api = clients.client({ headers = { ["X-Api-Key"] = "s3cr3t-value", ["X-Other"] = 5 } },
      scope)
    local _, err = api:get("/_http/status/400", { query = { body = "s3cr3t-value" } })
    lacks(err.body, "s3cr3t")
    lacks(err, "s3cr3t")
    assert.equal("s3cr3t-value", scope:requests()[1].headers["x-api-key"])
    assert.equal("5", scope:requests()[1].headers["x-other"])
  end)

  it("in the headers of one request are hidden in its errors", function()
    local api = clients.client()
    local _, err = api:get("/_http/status/400", { query = { body = "s3cr3t-value" },
      headers = { ["X-Api-Key"] = "s3cr3t-value" } })
    lacks(err.body, "s3cr3t")
    lacks(err, "s3cr3t")
  end)

  it("that a vendor needs are looked for in the environment, else missed by name", function()
    local new = require("garner.client").new
    local function vendor(name)
      return { name = "vendor", needs_token = true, token_env = { name },
        base_url = function() return sim.url end }
    end
    local api = new({}, vendor "PATH")
    assert.equal("Bearer " .. os.getenv "PATH", sent(api).authorization)
    assert.equal(sim.url, api:origin())
    api:close()
    local message = raised(function() new({}, vendor "GARNER_NO_SUCH") end)
    has(message, here(-1))
    has(message, "garner.vendor: no token")
    has(message, "GARNER_NO_SUCH")
    rawset(_G, "ngx", {})
    local ok, in_nginx = pcall(new, {}, vendor "GARNER_NO_SUCH")
    rawset(_G, "ngx", nil)
    assert.is_false(ok)
    has(in_nginx, "env GARNER_NO_SUCH;")
  end)

  it("of wrong kinds raise at the caller's line, without showing them", function()
    local line
    for _, call in ipairs {
      function() line = here(); garner.client { base_url = sim.url, token = "" } end,
      function() line = here(); garner.client { base_url = sim.url, token = "s3cr3t\r\nX: y" } end,
      function() line = here(); garner.client { base_url = sim.url, token = "s3cr3t\0" } end,
      function() line = here(); garner.client { base_url = sim.url, token = 5 } end,
      function() line = here(); garner.client { base_url = sim.url, token = {} } end,
      function() line = here(); garner.client { base_url = sim.url, token = { files = "x" } } end,
      function() line = here(); garner.client { base_url = sim.url,
        token = { file = "/no/such/token" } } end,
      function() line = here(); garner.client { base_url = sim.url,
        token = { env = "GARNER_NO_SUCH_VARIABLE" } } end,
      function() line = here(); garner.auth.bearer() end,
      function() line = here(); garner.auth.header("a b", "x") end,
      function() line = here(); garner.auth.basic("a:b", "x") end,
      function() line = here(); garner.auth.basic("a", print) end,
    } do
      local message = raised(call)
      assert.equal(1, (message:find(line, 1, true)), message .. " instead of " .. line)
      lacks(message, "s3cr3t")
    end
    assert.equal(0, core.running())
  end)

  it("come from the environment", function()
    local name, text
    for _, candidate in ipairs { "HOME", "PATH" } do
      name, text = candidate, os.getenv(candidate)
      if text and text ~= "" then break end
    end
    assert.equal("Bearer " .. text, sent(clients.client { token = { env = name } }).authorization)
  end)

  it("come from a file, which is read again after a 401", function()
    local path = write_file "first-token-1234\n"
    local scope = sim:scope()
    local api = clients.client({ token = { file = path } }, scope)
    assert.equal("Bearer first-token-1234", sent(api).authorization)
    local file = assert(io.open(path, "w"))
    file:write("second-token-1234\n")
    file:close()
    assert.equal("Bearer first-token-1234", sent(api).authorization)
    scope:fault { path = "/_http/echo", status = 401, times = 1 }
    assert.equal("Bearer second-token-1234", sent(api).authorization)
    assert.equal(4, scope:count("/_http/echo"))
    os.remove(path)
    scope:fault { path = "/_http/echo", status = 401, times = 1,
      body = "no first-token-1234 second-token-1234" }
    local _, err = api:get("/_http/echo")
    assert.equal("unauthenticated", err.kind)
    has(err, path)
    lacks(err, "token-1234")
  end)

  it("of a function are asked for in the waiting coroutine, and again after a 401", function()
    local scope = sim:scope()
    local calls, other = 0, clients.client()
    local api = clients.client({ token = function()
      calls = calls + 1
      assert(other:get("/_http/echo"))
      return "function-token-" .. calls
    end }, scope)
    assert.equal(0, calls)
    assert.equal("Bearer function-token-1", sent(api).authorization)
    assert.equal("Bearer function-token-1", sent(api).authorization)
    assert.equal(1, calls)
    scope:fault { path = "/_http/echo", status = 401, times = 1 }
    assert.equal("Bearer function-token-2",
      assert(api:post("/_http/echo", { body = "x", creates = true })):json().headers.authorization)
    assert.equal(2, calls)
    scope:fault { path = "/_http/echo", status = 401, times = 0 }
    local before = scope:count()
    local _, err = api:get("/_http/echo")
    assert.equal("unauthenticated", err.kind)
    assert.equal(401, err.status)
    assert.equal(before + 2, scope:count())
  end)

  it("of a function that keeps to its token are not tried twice", function()
    local scope = sim:scope()
    scope:fault { path = "/_http/echo", status = 401, times = 0 }
    local api = clients.client({ token = function() return "the-same-token" end }, scope)
    local _, err = api:get("/_http/echo")
    assert.equal("unauthenticated", err.kind)
    assert.equal(1, scope:count())
  end)

  it("of a function are renewed once for all coroutines", function()
    local scope = sim:scope()
    local calls = 0
    local api = clients.client { token = function()
      calls = calls + 1
      require("garner.driver").current().sleep(0.05)
      return calls == 1 and "an-expired-token" or scope.token
    end }
    local fns = {}
    for i = 1, 8 do
      fns[i] = function()
        return api:get("/bv/cms/v1/lives/unknown/metrics", {
          headers = { ["x-bv-org-id"] = "sim-org" },
          query = { start_time = "2026-01-01T00:00:00Z", end_time = "2026-01-01T01:00:00Z" } })
      end
    end
    for _, result in ipairs(garner.all(fns)) do
      assert.equal("not_found", result.err.kind) -- the new token was good
    end
    assert.equal(2, calls)
    assert.equal(8, scope:count())
  end)

  it("of a function that was cancelled are asked for again, not waited for", function()
    local calls = 0
    local api = clients.client { token = function()
      calls = calls + 1
      if calls == 1 then require("garner.driver").current().sleep(60) end
      return "a-token"
    end }
    local function get() return api:get("/_http/echo") end
    local pool = require("garner.tasks").ordered { count = 2, concurrency = 2, run = function(i)
      return i == 1 or get()
    end }
    assert.equal(1, (pool:next()))
    garner.all { function() require("garner.driver").current().sleep(0.01) end }
    pool:close()
    assert.equal(1, calls)
    local results = garner.all({ function()
      return garner.wait(function() return get() end, { timeout = 5 })
    end })
    assert.equal(0, results.failed)
    assert.equal(2, calls)
  end)

  it("of a function that fails end the request before anything is sent", function()
    local scope = sim:scope()
    for _, case in ipairs {
      { function() return nil end, "is a nil" },
      { function() return nil, "no luck" end, "no luck" },
      { function() error("boom") end, "boom" },
      { function() return "a\r\nb: c" end, "control character" },
      { function() return "" end, "empty" },
      { function() return {} end, "is a table" },
    } do
      local api = clients.client({ token = case[1] }, scope)
      local res, err = api:get("/_http/echo")
      assert.is_nil(res)
      assert.equal("unauthenticated", err.kind)
      assert.equal("token", err.code)
      has(err, case[2])
      local walk = api:pages("/_http/pages", { items = "things",
        next = { from = "nextPageToken", query = "pageToken" } })
      res, err = walk:next()
      assert.is_nil(res)
      assert.equal("token", err.code)
    end
    assert.equal(0, scope:count())
  end)

  it("and client headers never leave their origin", function()
    local scope = sim:scope()
    local api = clients.client({ token = scope.token, headers = { ["x-bv-org-id"] = "sim-org" } })
    local res, err = api:get("/_http/redirect", { query = { to = sim.files_url .. "/_http/echo" } })
    assert.is_nil(res)
    assert.equal("protocol", err.kind)
    local path = os.tmpname()
    assert(api:download(sim.files_url .. "/_http/echo", path))
    local file = assert(io.open(path))
    local echo = garner.json.decode(file:read("*a"))
    file:close()
    os.remove(path)
    assert.is_nil(echo.headers.authorization)
    assert.is_nil(echo.headers["x-bv-org-id"])
    local walk = api:pages("/_http/pages", { items = "things", next = { link = "next" },
      query = { n = 3, size = 2, link = "files" } })
    walk:collect()
    assert.same({}, scope:leaks())
  end)
end)

describe("downloads", function()
  after_each(clients.close_all)

  it("put a complete file in place", function()
    local api = clients.client()
    local path = os.tmpname()
    local file = assert(api:download(sim.files_url .. "/_http/bytes/300000", path))
    assert.equal(path, file.path)
    assert.equal(300000, file.size)
    local handle = assert(io.open(path, "rb"))
    assert.equal(300000, #handle:read("*a"))
    handle:close()
    assert.is_nil(io.open(path .. ".part"))
    os.remove(path)
  end)

  it("refuse what is no http(s) URL", function()
    local api = clients.client()
    for _, url in ipairs { "file:///etc/passwd", "ftp://h/x", "gopher://h/", "data:text/plain,x",
      "javascript:alert(1)", "//h/x", "/x", "http:/x", "", "http://u:p@h/x", "http://h\\@e/x",
      "http://h/a b" } do
      local res, err = api:download(url, "/tmp/garner-never")
      assert.is_nil(res)
      assert.equal("protocol", err.kind, url)
    end
    local _, err = api:download(nil, "/tmp/garner-never")
    assert.equal("protocol", err.kind)
    assert.is_nil(io.open("/tmp/garner-never"))
  end)

  it("over plain http are for those who say so", function()
    local api = clients.client { base_url = sim.tls_url, ca_file = sim.ca_file, allow_http = true }
    local path = os.tmpname()
    assert.equal(3, assert(api:download(sim.files_url .. "/_http/bytes/3", path)).size)
    os.remove(path)
  end)

  it("refuse plain http from an API that is https", function()
    local api = clients.client { base_url = sim.tls_url, ca_file = sim.ca_file }
    local _, err = api:download(sim.files_url .. "/_http/bytes/3", "/tmp/garner-never")
    assert.equal("protocol", err.kind)
    has(err, "plain http")
  end)

  it("leave nothing behind when they fail", function()
    local api = clients.client { retry = false }
    local path = os.tmpname()
    os.remove(path)
    local _, err = api:download(sim.files_url .. "/_http/status/403?body=gone", path)
    assert.equal("forbidden", err.kind)
    assert.is_nil(io.open(path))
    assert.is_nil(io.open(path .. ".part"))
    _, err = api:download(sim.files_url .. "/_http/bytes/3", "/no/such/folder/file")
    assert.equal("file", err.kind)
    assert.equal("ENOENT", err.code)
  end)

  it("raise for a path that is none", function()
    local api = clients.client()
    local message = raised(function() api:download(sim.files_url .. "/x") end)
    assert.equal(1, (message:find(here(-1), 1, true)), message)
  end)
end)

describe("TLS", function()
  after_each(clients.close_all)

  it("is verified", function()
    local good = clients.client { base_url = sim.tls_url, ca_file = sim.ca_file }
    assert.equal("https", assert(good:get("/_http/echo")):json().scheme)
    local bad = clients.client { base_url = sim.tls_url, retry = false }
    local _, err = bad:get("/_http/echo")
    assert.equal("transport", err.kind)
    assert.equal("tls", err.code)
    assert.is_false(err.retryable)
  end)

  it("unverified is warned about", function()
    local events = {}
    local api = clients.client { base_url = sim.tls_url, insecure_tls = true,
      log = function(level, event) events[#events + 1] = level .. " " .. event end }
    assert(api:get("/_http/echo"))
    assert.equal("warn insecure_tls", events[1])
  end)
end)

describe("the engine", function()
  after_each(clients.close_all)

  it("is made on first use, shared, and ends with the last client", function()
    local before = garner.stats().engines
    assert.equal(0, core.running())
    local a, b = clients.client(), clients.client()
    assert.equal(0, core.running())
    assert(a:get("/_http/echo"))
    assert(b:get("/_http/echo"))
    assert.equal(1, core.running())
    a:close()
    assert.equal(1, core.running())
    b:close()
    assert.equal(0, core.running())
    assert.equal(before + 1, garner.stats().engines)
  end)

  it("ends with collected clients too", function()
    do
      local api = garner.client { base_url = sim.url }
      assert(api:get("/_http/echo"))
    end
    for _ = 1, 3 do collectgarbage() end
    assert.equal(0, core.running())
  end)

  it("is made anew after garner.close()", function()
    local api = clients.client()
    assert(api:get("/_http/echo"))
    garner.close()
    garner.close()
    assert.equal(0, core.running())
    assert(api:get("/_http/echo"))
    assert.equal(1, core.running())
  end)

  it("gives everyone an answer when it is closed", function()
    local api = clients.client()
    local results = garner.all {
      function() return api:get("/_http/delay/5000") end,
      function() return api:pages("/_http/delay/5000", { next = { link = "next" } }):next() end,
      function() return api:get("/_http/delay/5000", { creates = true }) end,
      function()
        require("garner.driver").current().sleep(0.1)
        garner.close()
      end,
    }
    for i = 1, 3 do
      assert.is_false(results[i].ok)
      assert.equal("cancelled", results[i].err.kind)
    end
  end)

  it("cancels what a closed client has in flight, and no more", function()
    local a, b = clients.client(), clients.client()
    local results = garner.all {
      function() return a:get("/_http/delay/5000") end,
      function() return b:get("/_http/delay/300") end,
      function()
        require("garner.driver").current().sleep(0.1)
        a:close()
      end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.is_true(results[2].ok)
  end)

  it("can be chosen before it runs", function()
    local api = clients.client()
    garner.engine { thread = true }
    local forced = os.getenv "GARNER_ENGINE"
    if forced then -- wins over the script's choice, so that a whole run can be steered
      assert(api:get("/_http/echo"))
      assert.equal(forced == "threaded", require("garner.engine").current():is_threaded())
      garner.engine {}
      return
    end
    assert(api:get("/_http/echo"))
    assert.is_true(require("garner.engine").current():is_threaded())
    local message = raised(function() garner.engine { thread = false } end)
    assert.equal(1, (message:find(here(-1), 1, true)), message)
    garner.close()
    garner.engine { thread = false }
    assert(api:get("/_http/echo"))
    assert.is_false(require("garner.engine").current():is_threaded())
    garner.engine {}
    has(raised(garner.engine, { threads = 1 }), "unknown option")
  end)
end)

describe("garner", function()
  it("says its versions", function()
    local versions = garner.versions()
    assert.equal("garner " .. versions.garner, garner._VERSION)
    assert.is_string(versions.libcurl)
    assert.is_string(versions.lua)
    assert.is_nil(garner.no_such_part)
  end)

  it("loads its parts when they are used", function()
    for _, name in ipairs { "auth", "json", "time", "window", "decimal", "csv", "errors" } do
      assert.equal("table", type(garner[name]), name)
    end
    for _, name in ipairs { "client", "wait", "all", "check", "main", "use", "engine", "close",
      "blendvision", "google_reports", "shoplazza" } do
      assert.equal("function", type(garner[name]), name)
    end
    assert.equal(errors, garner.errors)
  end)
end)
