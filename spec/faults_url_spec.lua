-- Properties over made-up texts, the same in every run: what stands in an id, a query or a
-- header reaches the server as it was and nothing else; no place a server names gets what is
-- the client's; no beginning of an answer is taken for the whole; no secret shows in an error.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local garner = require "garner"

-- A generator of our own: math.random differs between Lua versions.
local function randomness(seed)
  local state = seed
  return function(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
end

local NASTY = { "/", "?", "#", "%", "&", "=", "+", " ", ".", "..", "\\", ":", ";", "@", "[", "]",
  "{", "}", "|", "^", "`", "\"", "'", "<", ">", "~", "$", "!", "*", "(", ")", ",", "\t", "\r",
  "\n", "\1", "\127", "\195\188", "\240\159\152\128", "\255", "%2e%2e", "%00", "%0d%0a", "../",
  "http://", "//", "{id}", "a", "Z", "0" }

local function text(random, max)
  local parts = {}
  for i = 1, random(max) do parts[i] = NASTY[random(#NASTY)] end
  return table.concat(parts)
end

local function unescape(escaped)
  return (escaped:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

describe("whatever is given,", function()
  local s, api

  before_each(function()
    s = faults.start()
    s:script("*", { body = "{}" })
    api = clients.client { base_url = s.url .. "/base", token = "s3cr3t-token", timeout = 20 }
  end)

  after_each(function()
    clients.close_all()
    s:stop()
  end)

  it("63 an id is one segment of the path, and comes as it was", function()
    local random, sent = randomness(1), {}
    for _ = 1, 300 do
      local id = text(random, 8)
      if id ~= "." and id ~= ".." then
        local res, err = api:get("/x/{id}/y", { params = { id = id } })
        assert(res, tostring(err))
        sent[#sent + 1] = id
      end
    end
    local seen = s:seen()
    assert.equal(#sent, #seen)
    for i, request in ipairs(seen) do
      local segment = request.target:match "^/base/x/([^/?#]*)/y$"
      assert.truthy(segment, request.target)
      assert.equal(sent[i], unescape(segment))
      assert.is_nil(segment:find "[^%w%-%._~%%]", segment)
    end
  end)

  it("66 a query comes as it was, and adds no other", function()
    local random, sent = randomness(2), {}
    for i = 1, 300 do
      local name, value = text(random, 4), text(random, 8)
      assert(api:get("/x?fixed=1", { query = { [name] = value } }))
      sent[i] = { name, value }
    end
    for i, request in ipairs(s:seen()) do
      local name, value = request.target:match "^/base/x%?fixed=1&([^=&#]*)=([^=&#]*)$"
      assert.truthy(name, request.target)
      assert.same(sent[i], { unescape(name), unescape(value) })
    end
  end)

  it("65 a header comes as it was, or is refused before anything is sent", function()
    local random, sent, refused = randomness(3), {}, 0
    for _ = 1, 300 do
      local value = text(random, 6)
      local ok, res = pcall(api.get, api, "/x", { headers = { ["X-V"] = value } })
      if ok then
        assert(res)
        sent[#sent + 1] = value
      else
        assert.truthy(value:find "[%c]", value)
        refused = refused + 1
      end
    end
    assert.is_true(refused > 50 and #sent > 50)
    local seen = s:seen()
    assert.equal(#sent, #seen)
    for i, request in ipairs(seen) do
      assert.equal(sent[i]:gsub("^[ \t]+", ""):gsub("[ \t]+$", ""), request.headers["x-v"] or "")
      assert.is_true(#request.lines <= 7, table.concat(request.lines, "\n"))
    end
  end)

  it("67 the name of a header is one, or is refused", function()
    local random = randomness(4)
    for _ = 1, 200 do
      local name = text(random, 3)
      local ok = pcall(api.get, api, "/x", { headers = { [name] = "v" } })
      local token = name:find "^[%w!#$%%&'*+%-.^_`|~]+$"
      assert.equal(token ~= nil, ok, name)
    end
  end)

  it("64 a path stays below the base", function()
    local random, refused = randomness(5), 0
    for _ = 1, 300 do
      local path = "/" .. text(random, 6)
      local ok, res, err = pcall(api.get, api, path)
      if ok and not res then
        assert.equal("not_found", err.kind, path .. ": " .. tostring(err))
      elseif not ok then
        refused = refused + 1
      end
    end
    assert.is_true(refused > 50)
    for _, request in ipairs(s:seen()) do
      assert.equal("/base/", request.target:sub(1, 6), request.target)
      assert.is_nil(request.target:find "[%c ]", request.target)
      assert.is_nil(("/" .. request.path .. "/"):find("/../", 1, true), request.target)
      assert.equal("127.0.0.1:" .. s.port, request.headers.host)
    end
  end)
end)

describe("whatever a server names as a place,", function()
  local s, other, api

  before_each(function()
    s, other = faults.start(), faults.start()
    other:script("*", { body = "{}" })
    api = clients.client { base_url = s.url, token = "s3cr3t-token", timeout = 5,
      headers = { ["x-bv-org-id"] = "s3cr3t-org" }, retry = false }
  end)

  after_each(function()
    clients.close_all()
    s:stop()
    other:stop()
  end)

  local function place(random)
    local host = ({ "127.0.0.1", "127.1", "localhost", "0", "[::1]", "0x7f.1", "2130706433" })
    local at = ({ other.port, s.port, s.port, 1 })[random(4)]
    local pieces = { "http:", "https:", "//", "/", "\\", "@", "#", "?", ":", " ", "user:pw",
      host[random(#host)], host[random(#host)], host[random(#host)] .. ":" .. at,
      "127.0.0.1:" .. at, "http://127.0.0.1:" .. at, ".", "..", "%00", "%2f", "\t" }
    local parts = {}
    for i = 1, random(5) do parts[i] = pieces[random(#pieces)] end
    return table.concat(parts)
  end

  local function check_others()
    for _, request in ipairs(other:seen()) do
      for _, line in ipairs(request.lines) do
        assert.is_nil(line:find("s3cr3t", 1, true), request.target .. ": " .. line)
      end
    end
  end

  it("49 a redirect of the API never leaves it", function()
    local random = randomness(6)
    for i = 1, 300 do
      local to = place(random)
      s:script("/from" .. i, { status = 302, headers = { "Location: " .. to } })
      s:script("*", { body = "{}" })
      local res, err = api:get("/from" .. i)
      if not res then assert.equal("protocol", err.kind, to .. ": " .. tostring(err)) end
    end
    assert.equal(0, other:state().connections)
  end)

  it("50 a next link gets the credential at home alone", function()
    local random = randomness(7)
    s:script("*", { body = "{}" })
    for i = 1, 150 do
      local to = place(random)
      s:script("/page" .. i, { body = '{"items":[1],"next":' .. garner.json.encode(to) .. "}" })
      local list, err = api:pages("/page" .. i, { items = "items", next = { link = "next" },
        max_pages = 3 }):collect()
      assert.truthy(list or err)
    end
    check_others()
    -- Some of them did lead elsewhere.
    assert.is_true(#other:seen() > 0)
  end)

  it("53 a download gets no credential anywhere", function()
    local random, path = randomness(8), os.tmpname()
    for _ = 1, 150 do
      local to = place(random)
      s:script("*", { status = 302, headers = { "Location: " .. place(random) } })
      api:download(to, path, { attempts = 1 })
    end
    os.remove(path)
    check_others()
    for _, request in ipairs(s:seen()) do
      assert.is_nil(request.headers.authorization)
      assert.is_nil(request.headers["x-bv-org-id"])
    end
  end)
end)

describe("whatever is missing at the end,", function()
  local s

  before_each(function() s = faults.start() end)

  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
  local BODY = '{"items":[1,2],"next":"tok"}'

  -- Every beginning of an answer but the answer itself; side by side, a connection each.
  local function check(name, whole, last, again)
    local asked, bad = {}, {}
    s:script("/" .. name, { whole })
    local api = clients.client { base_url = s.url, retry = false, timeout = 30 }
    assert.same({ 1, 2 }, assert(assert(api:get("/" .. name)):json()).items)
    for length = 1, #whole - last do
      asked[#asked + 1] = function()
        local path = "/" .. name .. length
        s:script(path, { whole:sub(1, length), again })
        local res, err = api:post(path, { safe = true })
        local value = res
        if res then value, err = res:json() end
        if value or not err then bad[#bad + 1] = length end
      end
    end
    for _, result in ipairs(garner.all(asked, { concurrency = 20 })) do
      assert(result.ok or result.err.kind, tostring(result.err))
    end
    assert.same({}, bad)
  end

  it("29 an answer with a length is no success", function()
    check("length", OK .. "Content-Length: " .. #BODY .. "\r\n\r\n" .. BODY, 1)
  end)

  -- The last line feed alone is no news.
  it("30 an answer in chunks is no success", function()
    check("chunks", OK .. "Transfer-Encoding: chunked\r\n\r\n5\r\n" .. BODY:sub(1, 5)
      .. ("\r\n%x\r\n"):format(#BODY - 5) .. BODY:sub(6) .. "\r\n0\r\n\r\n", 2)
  end)

  it("31 an answer without a length is no success", function()
    check("close", OK .. "\r\n" .. BODY, 1)
  end)

  it("7 an answer that is reset is no success", function()
    check("reset", OK .. "Content-Length: " .. #BODY .. "\r\n\r\n" .. BODY, 1, { reset = true })
  end)
end)

describe("whatever a token looks like,", function()
  local s

  before_each(function() s = faults.start() end)

  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local ALPHABET = "ABCabc019-._~+/=!#$%&'*^`|():;,<>?@[]{}\"\\ "

  local function token(random)
    local parts = {}
    for i = 1, 12 + random(20) do
      local at = random(#ALPHABET)
      parts[i] = ALPHABET:sub(at, at)
    end
    return (table.concat(parts):gsub("^ ", "x"):gsub(" $", "x"))
  end

  local function search(value, secret, seen, where)
    if type(value) == "string" then
      assert.is_nil(value:find(secret, 1, true), where .. " shows " .. secret .. ": " .. value)
    elseif type(value) == "table" and not seen[value] then
      seen[value] = true
      for k, v in pairs(value) do
        search(k, secret, seen, where .. ".key")
        search(v, secret, seen, where .. "." .. tostring(k))
      end
    end
  end

  it("57 an error that is cut does not show half of it", function()
    local secret = "abcdefghijklmnopqrstuvwxyz0123456789"
    local api = clients.client { base_url = s.url, token = secret, retry = false }
    local function check(body, type, status)
      s:script("/x", { status = status, type = type, body = body })
      local res, err = api:get "/x"
      if res then err = select(2, res:json()) end
      for _, shown in ipairs { err.message, tostring(err), err.body or "", err.messages
        and err.messages[1] or "" } do
        assert.is_nil(shown:find(secret:sub(1, 6), 1, true), shown:sub(-200))
      end
    end
    for _, before in ipairs { 180, 190, 199, 470, 480, 490, 499, 980, 990, 65510, 65530 } do
      local body = ("x"):rep(before) .. secret .. ("y"):rep(before > 1000 and 70000 or 1000)
      check(body, "text/plain", 400)
      check(garner.json.encode { message = body }, nil, 400)
      check("<html><title>" .. body .. "</title>", "text/html", 400)
      check(body, "text/plain", 200)
    end
    for _, times in ipairs { 6, 14, 30, 1780 } do
      check((secret .. " "):rep(times), "text/plain", 400)
    end
  end)

  it("57 an error that the server made of it does not show it", function()
    local random, encode = randomness(9), garner.json.encode
    for i = 1, 30 do
      local secret = token(random)
      local ok, api = pcall(clients.client, { base_url = s.url, token = secret, retry = false })
      if ok then
        local bodies = { secret, encode(secret), encode { message = "bad " .. secret },
          encode { error = { code = 400, message = secret .. secret, status = "INVALID_ARGUMENT",
            errors = { { message = "x", reason = secret, domain = secret } },
            details = { { ["@type"] = "x/google.rpc.ErrorInfo", reason = secret, domain = secret,
              metadata = { a = secret, [secret] = "b" } } } } },
          encode { errors = { [secret] = { secret } } },
          "<html><title>" .. secret .. "</title></html>",
          "<Error><Code>" .. secret .. "</Code><Message>" .. secret .. "</Message></Error>",
          "Authorization: Bearer " .. secret }
        for n, body in ipairs(bodies) do
          s:script("/x", { status = ({ 400, 401, 403, 500 })[random(4)], body = body,
            type = body:find "^<h" and "text/html" or nil,
            headers = { "X-Echo: " .. secret, "X-Request-Id: " .. secret } })
          local _, err = api:get "/x"
          assert.truthy(err)
          search(err, secret, {}, i .. "/" .. n)
          search(tostring(err), secret, {}, i .. "/" .. n)
          search(err.headers["x-echo"], secret, {}, "headers")
        end
        s:script("/x", { body = "no json " .. secret })
        local _, err = assert(api:get "/x"):json()
        search(err, secret, {}, "json")
        search(tostring(err) .. tostring(api), secret, {}, "json")
        api:close()
      end
    end
  end)
end)
