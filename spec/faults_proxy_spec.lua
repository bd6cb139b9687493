-- Proxies that refuse, break or listen: a refusal is said once, and what is meant for the
-- origin is never shown to a proxy outside a tunnel. The numbers are those of the catalogue
-- of faults.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"

local ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n"

describe("a proxy", function()
  local s, proxy

  before_each(function() s, proxy = faults.start(), faults.start() end)

  after_each(function()
    clients.close_all()
    s:stop()
    proxy:stop()
  end)

  local function client(options)
    options.ca_file = s.ca_file
    options.proxy = options.proxy or proxy.url
    options.token, options.headers = "s3cr3t-token", { ["x-bv-org-id"] = "s3cr3t-org" }
    options.retry = { attempts = 3, backoff = 0.01 }
    return clients.client(options)
  end

  local function check(name, err, code, attempts)
    assert.truthy(err, name)
    assert.equal("transport", err.kind, name .. ": " .. tostring(err))
    assert.equal(code, err.code, name .. ": " .. tostring(err))
    assert.equal(attempts, #err.attempts, name .. ": " .. tostring(err))
    assert.is_nil(tostring(err):find("s3cr3t", 1, true), tostring(err))
  end

  it("11 gets nothing of what goes through its tunnel", function()
    local base = s:tls()
    local port = tonumber(base:match ":(%d+)$")
    proxy:script("localhost:" .. port, { ESTABLISHED, { tunnel = port } })
    s:script("/x", { body = '"through"' })
    local api = client { base_url = base }
    assert.equal("through", assert(api:post("/x?q=s3cr3t-q", { creates = true,
      body = "s3cr3t-body" })):json())
    assert.equal("Bearer s3cr3t-token", s:seen("/x")[1].headers.authorization)
    assert.equal(1, #proxy:seen())
    local request = proxy:seen()[1]
    assert.equal("CONNECT", request.method)
    assert.equal("localhost:" .. port, request.target)
    for _, line in ipairs(request.lines) do
      assert.is_nil(line:find("s3cr3t", 1, true), line)
    end
    -- Nor does the origin hear of the proxy.
    for name in pairs(s:seen("/x")[1].headers) do
      assert.is_nil(name:find("proxy", 1, true), name)
    end
  end)

  it("12 that refuses CONNECT is not asked again, not even for what creates", function()
    local base = s:tls()
    for _, status in ipairs { 407, 403, 302, 404, 500, 502, 503 } do
      proxy:script("*", { status = status, headers = { "Proxy-Authenticate: Basic realm=x",
        "Location: http://127.0.0.1:1/" }, body = "no" })
      for _, method in ipairs { "get", "post" } do
        local before = proxy:count()
        local _, err = client { base_url = base }[method](client { base_url = base }, "/x",
          method == "post" and { creates = true, body = "b" } or nil)
        check(status, err, "proxy", 1)
        assert.equal(before + 1, proxy:count(), status)
      end
    end
    assert.equal(0, s:count())
  end)

  it("12 whose answer to CONNECT is broken never leads to a success", function()
    local base = s:tls()
    for name, answer in pairs { close = { { close = true } }, reset = { { reset = true } },
        cut = { "HTTP/1.1 200 Conn", { close = true } }, garbage = { "SSH-2.0-x\r\n" },
        plain = { ESTABLISHED .. "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" },
        tunnel_closed = { ESTABLISHED }, ftp = { "220 welcome\r\n" } } do
      proxy:script("*", answer)
      local res, err = client { base_url = base }:post("/x", { creates = true, body = "b" })
      assert.is_nil(res, name)
      -- Not a byte of the request has left: never in doubt.
      assert.equal("transport", err.kind, name .. ": " .. tostring(err))
      assert.is_nil(tostring(err):find("s3cr3t", 1, true))
    end
    assert.equal(0, s:count())
  end)

  it("12 that never answers CONNECT ends at connect_timeout", function()
    proxy:script("*", { { stall = true } })
    local _, err = client { base_url = s:tls(), connect_timeout = 0.2 }:get "/x"
    assert.equal("timeout", err.kind)
    assert.equal("connect", err.code)
  end)

  it("36 with header lines without end is left", function()
    proxy:script("*", { "HTTP/1.1 200 OK\r\n",
      { send = "X-A: " .. ("v"):rep(1000) .. "\r\n", times = 200000 } })
    local _, err = client { base_url = s:tls(), timeout = 20 }:get "/x"
    assert.truthy(err)
    assert.equal("client", proxy:seen()[1].ended)
    assert.is_true(proxy:seen()[1].sent < 32 * 1024 * 1024)
  end)

  it("12 that refuses a plain request is said to", function()
    proxy:script("*", { status = 407, headers = { "Proxy-Authenticate: Basic realm=x" } })
    local _, err = client { base_url = s.url }:get "/x"
    check("407", err, "proxy", 1)
    assert.equal(1, proxy:count())
  end)

  it("that is not there is tried again, by its own address", function()
    local gone = faults.start()
    gone:stop()
    for _, base in ipairs { s.url, s:tls() } do
      local _, err = client { base_url = base, proxy = gone.url }:post("/x",
        { creates = true, body = "b" })
      check("gone", err, "connect", 3)
    end
  end)

  it("whose name is none is said to", function()
    local host = ("a"):rep(70) .. ".invalid"
    local _, err = client { base_url = s:tls(), proxy = "http://" .. host .. ":1" }:get "/x"
    check("name", err, "proxy", 1)
  end)

  it("11 gets its own password, and nobody else does", function()
    local base = s:tls()
    local port = tonumber(base:match ":(%d+)$")
    local with_password = "http://user:s3cr3t-pass@127.0.0.1:" .. proxy.port
    proxy:script("localhost:" .. port, { ESTABLISHED, { tunnel = port } })
    s:script("/x", { body = "{}" })
    assert(client { base_url = base, proxy = with_password }:get "/x")
    assert.truthy(proxy:seen()[1].headers["proxy-authorization"]:find "^Basic ")
    assert.is_nil(s:seen("/x")[1].headers["proxy-authorization"])
    -- Another port: the tunnel to the first one is still open.
    proxy:script("*", { status = 407 })
    local _, err = client { base_url = s:tls(), proxy = with_password }:get "/x"
    check("407", err, "proxy", 1)
    assert.is_nil(tostring(client { base_url = base, proxy = with_password })
      :find("s3cr3t", 1, true))
  end)

  it("11 of the environment is used where proxy says so, not for this machine", function()
    s:script("/x", { body = "{}" })
    proxy:script("*", { status = 418, body = "{}" })
    local function run(proxy_option)
      local code, output = clients.run(([[
        local garner = require "garner"
        local function try(base, proxy)
          local api = garner.client { base_url = base, proxy = proxy, retry = false,
            allow_http = true, token = "s3cr3t-token", timeout = 20 }
          local res, err = api:get "/x"
          api:close()
          return res and res.status or err.code
        end
        print(try(%q, %s), try("https://api.example.com", %s))]]):format(s.url, proxy_option,
        proxy_option), ("https_proxy=%s http_proxy=%s ALL_PROXY= NO_PROXY= no_proxy="):format(
        proxy.url, proxy.url))
      assert.equal(0, code, output)
      return output
    end
    assert.equal("200\tproxy\n", run '"env"')
    assert.equal("200\tproxy\n", run "nil")
    assert.equal(2, proxy:count())
    for _, request in ipairs(proxy:seen()) do
      assert.equal("CONNECT", request.method)
      assert.is_nil(request.headers.authorization)
    end
  end)

  it("13 gone while a tunnel is open is a reset: a create is in doubt", function()
    local base = s:tls()
    local port = tonumber(base:match ":(%d+)$")
    proxy:script("localhost:" .. port, { ESTABLISHED, { tunnel = port } })
    s:script("/x", { { reset = true } })
    local _, err = client { base_url = base }:post("/x", { creates = true, body = "b" })
    assert.equal("in_doubt", err.kind)
    assert.equal(1, s:count "/x")
  end)
end)
