-- Answers that send elsewhere: what is followed, and that nothing of the client's goes along.
-- The numbers are those of the catalogue of faults.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"

local SECRETS = { "s3cr3t-token", "s3cr3t-org", "s3cr3t-mine", "s3cr3t-place", "s3cr3t-user" }

local function lacks_secrets(text)
  for _, secret in ipairs(SECRETS) do
    assert.is_nil(tostring(text):find(secret, 1, true), "shows " .. secret .. ": "
      .. tostring(text))
  end
end

describe("a redirect", function()
  local s, other, api

  before_each(function()
    s, other = faults.start(), faults.start()
    other:script("*", { body = '"elsewhere"' })
    api = clients.client { base_url = s.url, token = "s3cr3t-token", timeout = 20,
      headers = { ["x-bv-org-id"] = "s3cr3t-org" }, retry = { attempts = 2, backoff = 0.01 } }
  end)

  after_each(function()
    clients.close_all()
    s:stop()
    other:stop()
  end)

  local function to(place, status)
    return { status = status or 302, headers = { "Location: " .. place }, body = "{}" }
  end

  local function get(path, options)
    options = options or {}
    options.headers = { ["x-mine"] = "s3cr3t-mine" }
    return api:get(path, options)
  end

  local function is_refused(name, err, kind)
    assert.truthy(err, name)
    assert.equal(kind or "protocol", err.kind, name)
    assert.equal("redirect", err.code, name .. ": " .. tostring(err))
    assert.is_false(err.retryable, name)
    lacks_secrets(err)
    lacks_secrets(err.message)
  end

  -- What the server heard of the client on the way, nothing of it at the end.
  local function heard_nothing(server)
    for _, request in ipairs(server:seen()) do
      for _, line in ipairs(request.lines) do lacks_secrets(line) end
      lacks_secrets(request.target)
      assert.is_nil(request.headers.authorization)
      assert.is_nil(request.headers.cookie)
    end
  end

  it("48 on the same origin is followed, with the credential", function()
    s:script("/there", { body = '"there"' })
    for i, place in ipairs { "/there", "there", "./a/../there", "?x=1", s.url .. "/there",
        s.url:upper():gsub("THERE", "there") .. "/there", "//127.0.0.1:" .. s.port .. "/there",
        "/there#fragment", "http://127.1:" .. s.port .. "/there",
        "http://0x7f000001:" .. s.port .. "/there" } do
      s:script("/from", to(place), { body = '"there"' })
      assert.equal("there", assert(get "/from"):json(), place)
      local seen = s:seen()
      assert.equal("Bearer s3cr3t-token", seen[#seen].headers.authorization, place)
      assert.equal(2 * i, #seen)
    end
  end)

  it("49 to another host, port or scheme is refused, its query not shown", function()
    for _, place in ipairs { other.url .. "/x?sig=s3cr3t-place",
        "http://localhost:" .. s.port .. "/x?sig=s3cr3t-place",
        "https://127.0.0.1:" .. s.port .. "/x?sig=s3cr3t-place",
        "//127.0.0.1:" .. other.port .. "/s3cr3t-place",
        "http://s3cr3t-user:pw@127.0.0.1:" .. s.port .. "/x",
        "http://127.0.0.1:" .. s.port .. "@127.0.0.1:" .. other.port .. "/x",
        "http://127.0.0.1:" .. other.port .. "\\@127.0.0.1:" .. s.port .. "/x",
        "\\\\127.0.0.1:" .. other.port .. "/x" } do
      s:script("/from", to(place), { body = '"home"' })
      s:script("*", { body = '"home"' })
      local res, err = get "/from"
      -- A backslash may be read as part of a path, which is still at home.
      if res then
        assert.truthy(place:find("\\", 1, true), place)
      else
        is_refused(place, err)
      end
    end
    assert.equal(0, other:state().connections)
  end)

  it("68 to what is no http is refused", function()
    for i, place in ipairs { "file:///etc/passwd", "FILE:/etc/passwd",
        "ftp://127.0.0.1:" .. other.port .. "/x", "gopher://127.0.0.1:" .. other.port .. "/_x",
        "dict://127.0.0.1:" .. other.port .. "/x", "data:application/json,{}",
        "javascript:alert(1)", "ldap://127.0.0.1/", "http:", "http://", "http:///x", "https://",
        "http://[::1", "http://127.0.0.1:99999/x", "http://127.0.0.1:0x50/", "" } do
      s:script("/from", to(place))
      local _, err = get "/from"
      is_refused(place, err)
      assert.equal(i, s:count "/from")
    end
    assert.equal(0, other:state().connections)
  end)

  it("48 without a place, or to one without end, is refused", function()
    s:script("/none", { status = 301, body = "{}" })
    s:script("/long", to("/" .. ("x"):rep(20000)))
    for _, path in ipairs { "/none", "/long" } do
      is_refused(path, select(2, get(path)))
    end
  end)

  it("51 in a circle is followed five times", function()
    s:script("/a", to "/b")
    s:script("/b", to "/a")
    s:script("/self", to "/self")
    is_refused("a, b", select(2, get "/a"))
    assert.equal(6, #s:seen())
    is_refused("self", select(2, get "/self"))
    assert.equal(6, s:count "/self")
    is_refused("none at all", select(2, get("/self", { redirects = 0 })))
    assert.equal(7, s:count "/self")
  end)

  it("51 that is as long as may be is followed to its end", function()
    for i = 1, 5 do s:script("/" .. i, to("/" .. i + 1, ({ 301, 302, 303, 307, 308 })[i])) end
    s:script("/6", { body = '"end"' })
    assert.equal("end", assert(get "/1"):json())
  end)

  it("52 of a POST goes nowhere, as no GET either", function()
    s:script("/x", { body = "{}" })
    for i, status in ipairs { 301, 302, 303, 307, 308 } do
      s:script("/from", to("/x", status))
      for _, options in ipairs { { creates = true }, { safe = true }, {} } do
        options.body = "s3cr3t-mine"
        -- "See Other" comes from a server that took the request.
        local kind = status == 303 and not options.safe and "in_doubt" or nil
        is_refused(tostring(status), select(2, api:post("/from", options)), kind)
      end
      assert.equal(3 * i, s:count "/from")
    end
    assert.equal(0, s:count "/x")
  end)

  it("48 with another status than a redirect's is none", function()
    for _, status in ipairs { 300, 304, 305, 306, 399 } do
      s:script("/from", to(other.url .. "/x", status))
      local _, err = get "/from"
      assert.equal("protocol", err.kind)
      assert.equal(tostring(status), err.code)
    end
    s:script("/from", to(other.url .. "/x", 200))
    assert(get "/from")
    assert.equal(0, other:state().connections)
  end)

  it("keeps retries and redirects apart", function()
    s:script("/from", { status = 503 }, to "/x")
    s:script("/x", { status = 503 }, { body = '"x"' })
    local more = clients.client { base_url = s.url, retry = { attempts = 3, backoff = 0.01 } }
    assert.equal("x", assert(more:get "/from"):json())
  end)

  describe("of a download", function()
    local path

    before_each(function() path = os.tmpname() end)
    after_each(function() os.remove(path) end)

    local function content()
      local file = assert(io.open(path, "rb"))
      local text = file:read "*a"
      file:close()
      return text
    end

    it("53 to another origin is followed, with nothing of the client's", function()
      s:script("/file", to(other.url .. "/a"))
      other:script("/a", { status = 302, headers = { "Set-Cookie: a=b",
        "Location: " .. other:origin() .. "/b" } })
      other:script("/b", { body = "data" })
      assert(api:download(s.url .. "/file", path))
      assert.equal("data", content())
      heard_nothing(s)
      heard_nothing(other)
      assert.equal(2, #other:seen())
    end)

    it("51 in a circle ends", function()
      s:script("/file", to(other.url .. "/b"))
      other:script("/b", to(s.url .. "/file"))
      is_refused("circle", select(2, api:download(s.url .. "/file", path)))
      assert.equal(6, #s:seen() + #other:seen())
    end)

    it("68 to what is no http leaves no file", function()
      os.remove(path)
      for _, place in ipairs { "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x",
          "http://s3cr3t-user:pw@127.0.0.1:" .. other.port .. "/x" } do
        s:script("/file", to(place))
        is_refused(place, select(2, api:download(s.url .. "/file", path)))
        assert.is_nil(io.open(path))
        assert.is_nil(io.open(path .. ".part"))
      end
      assert.equal(0, other:state().connections)
    end)

    it("26 from https to plain http is refused", function()
      local tls = clients.client { base_url = s:tls(), ca_file = s.ca_file }
      s:script("/file", to(other.url .. "/x"))
      local _, err = tls:download(tls:origin() .. "/file", path)
      is_refused("http", err)
      assert.equal(0, other:state().connections)
    end)

    it("71 to a private address is refused, however it is written", function()
      for _, host in ipairs { "10.0.0.1", "10.1", "0xa.1", "012.0.0.1", "167772161", "172.16.0.1",
          "192.168.1.1", "169.254.169.254", "0xa9fea9fe", "100.64.0.1", "224.0.0.1",
          "255.255.255.255", "[fc00::1]", "[fe80::1]", "[::ffff:10.0.0.1]", "[::ffff:a00:1]",
          "[64:ff9b::a00:1]", "[2002:a00:1::]", "[::ffff:169.254.169.254]" } do
        local url = "https://" .. host .. "/latest/meta-data?s3cr3t-place"
        s:script("/file", to(url))
        for _, first in ipairs { url, s.url .. "/file" } do
          local _, err = api:download(first, path, { timeout = 5, attempts = 1 })
          assert.truthy(err, host)
          assert.equal("protocol", err.kind, host .. ": " .. tostring(err))
          assert.equal("address", err.code, host .. ": " .. tostring(err))
          lacks_secrets(err)
        end
      end
    end)
  end)

  it("of a page's next link is a page's: refused elsewhere", function()
    s:script("/pages", { body = '{"items":[1],"next":"/more"}' })
    s:script("/more", to(other.url .. "/x"))
    local list, err, partial = api:pages("/pages", { items = "items", next = { link = "next" } })
      :collect()
    assert.is_nil(list)
    is_refused("next", err)
    assert.equal(1, #partial)
    assert.equal(0, other:state().connections)
  end)

  it("never carries a cookie along", function()
    s:script("/from", { status = 302, headers = { "Location: /x", "Set-Cookie: a=b" } })
    s:script("/x", { body = "{}", headers = { "Set-Cookie: c=d" } })
    assert(get "/from")
    assert(get "/x")
    for _, request in ipairs(s:seen()) do assert.is_nil(request.headers.cookie) end
  end)
end)
