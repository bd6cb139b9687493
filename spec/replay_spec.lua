-- Requests without a network: a function or a recording answers, and everything around it
-- (retries, pages, polls, downloads, deadlines) goes on as ever. And recordings.

local clients = require "spec.support.clients"
local errors = require "garner.errors"
local garner = require "garner"
local json = require "garner.json"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local function read(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read("*a")
  file:close()
  return text
end

local function lines_of(path)
  local list = {}
  for line in io.lines(path) do
    list[#list + 1] = assert(json.decode(line))
  end
  return list
end

local function engines(fn)
  for _, threaded in ipairs { false, true } do
    garner.close()
    garner.engine { thread = threaded }
    fn(threaded)
    clients.close_all()
  end
  garner.engine {}
end

local function offline(transport, more)
  local opts = { base_url = "https://api.test/v1", retry = { backoff = 0.001 },
    transport = transport }
  for name, value in pairs(more or {}) do
    opts[name] = value
  end
  return clients.client(opts)
end

describe("transport", function()
  after_each(clients.close_all)

  it("answers requests in the network's place, in both engines", function()
    engines(function()
      local seen
      local api = offline(function(request)
        seen = request
        return { status = 201, headers = { ["X-Request-Id"] = "r1" }, json = { a = 1 } }
      end, { token = "s3cr3t-token", headers = { ["X-Mine"] = "m" } })
      local res = assert(api:post("/things", { json = { n = 1 }, query = { q = "x y" } }))
      assert.same({ 201, "r1", 1, "application/json" },
        { res.status, res.request_id, res:json().a, res.headers["content-type"] })
      assert.same({ "POST", "https://api.test/v1/things?q=x%20y", '{"n":1}', "m", 1 },
        { seen.method, seen.url, seen.body, seen.headers["x-mine"], seen.attempt })
      assert.is_nil(seen.headers.authorization)
      assert.is_false(seen.safe)
    end)
  end)

  it("is retried, redirected and judged like a network", function()
    engines(function()
      local urls = {}
      local api = offline(function(request)
        urls[#urls + 1] = request.url:match("[^/]*$")
        if #urls == 1 then
          return { status = 503 }
        elseif #urls == 2 then
          return nil, { code = "connect", message = "no route" }
        elseif #urls == 3 then
          return { status = 302, headers = { Location = "/v1/b" } }
        end
        return { body = "fine" }
      end)
      local res = assert(api:get "/a")
      assert.equal("fine", res.body)
      assert.same({ "a", "a", "a", "b" }, urls)
      assert.equal("connect", res.attempts[2].code)
    end)
  end)

  it("may fail in every way that a network can", function()
    local answer
    local api = offline(function() return nil, answer end, { attempts = 1 })
    for code, kind in pairs { reset = "transport", resolve = "transport", tls = "transport",
      incomplete = "protocol", timeout = "timeout" } do
      answer = { code = code }
      local _, err = api:get "/"
      assert.equal(kind, err.kind, code)
    end
    answer = "the cable is out"
    local _, err = api:get "/"
    assert.equal("reset", err.code)
    assert.truthy(tostring(err):find("the cable is out", 1, true))
    answer = errors.new { kind = "forbidden", code = "mine", message = "no" }
    _, err = api:post "/"
    assert.same({ "forbidden", "mine", "no" }, { err.kind, err.code, err.message })
    answer = { code = "reset" }
    _, err = api:post "/"
    assert.equal("in_doubt", err.kind)
  end)

  it("keeps the deadline, and lets the function's error reach the caller", function()
    engines(function()
      local api = offline(function()
        garner.wait(function() end, { timeout = 0.06, first = 0.06 })
        return {}
      end, { timeout = 0.02 })
      local _, err = api:get "/"
      assert.same({ "timeout", "deadline" }, { err.kind, err.code })
      api = offline(function() error("mine", 0) end)
      assert.equal("mine", raised(function() api:get "/" end))
      api = offline(function() return 5 end)
      assert.truthy(raised(function() api:get "/" end):find("it returned a number", 1, true))
      api = offline(function() return { status = 99 } end)
      assert.truthy(raised(function() api:get "/" end):find("status is 99", 1, true))
      api = offline(function() return { headers = { a = "b\r\nc: d" } } end)
      assert.truthy(raised(function() api:get "/" end):find("control character", 1, true))
      assert(clients.client {}:get "/_http/echo")
      assert.equal(0, garner.stats().in_flight)
    end)
  end)

  it("serves pages, polls and downloads", function()
    engines(function()
      local polls = 0
      local api = offline(function(request)
        local path = request.url:match("^https://[^/]*([^?]*)")
        if path == "/v1/things" then
          local token = request.url:match("t=(%d)")
          return { json = { things = { 1, 2 }, next = not token and "2" or nil } }
        elseif path == "/v1/jobs" then
          polls = polls + 1
          return { json = { jobs = { { id = "j1", s = polls < 2 and "RUNNING" or "DONE" } } } }
        elseif path == "/file" then
          return { body = ("x"):rep(100000) }
        end
      end)
      local items = assert(api:pages("/things", { items = "things",
        next = { from = "next", query = "t" } }):collect())
      assert.same({ 1, 2, 1, 2 }, items)
      local ended = {}
      assert(api:poll({ path = "/jobs", ids = { "j1" }, body_key = "jobs", items = "jobs",
        id = "id", status = "s", states = { DONE = "done", RUNNING = "running" }, first = 0.01,
        cap = 0.01 }, function(id, state) ended[#ended + 1] = id .. " " .. state end))
      assert.same({ "j1 done" }, ended)
      local path = os.tmpname()
      local file = assert(api:download("https://files.test/file?sig=1", path))
      assert.equal(100000, file.size)
      assert.equal(100000, #read(path))
      os.remove(path)
    end)
  end)

  it("may wait, also side by side, and may use another client", function()
    engines(function()
      local other = clients.client {}
      local api = offline(function(request)
        return other:get("/_http/delay/20?" .. request.url:match("[^/]*$"))
      end)
      local results = garner.all { function() return api:get "/a" end,
        function() return api:get "/b" end, function()
          return garner.all { function() return api:get "/c" end }
        end }
      assert.equal(0, results.failed, results[1].err)
      assert.equal(200, results[1][1].status)
      assert.equal(200, results[3][1][1][1].status)
      local through = offline(function() return other:get "/_http/status/404?body=gone" end)
      local _, err = through:get "/"
      assert.same({ "not_found", 404 }, { err.kind, err.status })
    end)
  end)

  it("needs no credential, in vendors too", function()
    local bv = garner.blendvision { org_id = "org", transport = function(request)
      return { json = { url = request.url } }
    end }
    assert(bv:get "/anything")
    bv:close()
    assert.truthy(raised(function()
      offline(function() end, { replay = "/dev/null" })
    end))
  end)

  it("must be a function", function()
    local message = raised(function()
      garner.client { base_url = "https://a.test", transport = 5 }
    end)
    assert.equal(1, (message:find(here(-2), 1, true)), message)
  end)
end)

describe("a recording", function()
  local path

  before_each(function() path = os.tmpname() end)
  after_each(function()
    clients.close_all()
    os.remove(path)
  end)

  local function mode_of(name)
    local pipe = assert(io.popen("stat -c %a " .. name))
    local mode = pipe:read "*l"
    pipe:close()
    return mode
  end

  -- What a script does with a client; gives what it saw.
  local function script(api, url, file)
    local seen = {}
    local res = assert(api:get("/_http/echo", { query = { a = 1 } }))
    seen[#seen + 1] = res.body:gsub('"authorization":"[^"]*"', "")
    local _, err = api:get "/_http/status/404?body=gone"
    seen[#seen + 1] = err.kind .. " " .. err.body
    res = assert(api:post("/_http/echo", { json = { n = "\195\164" } }))
    seen[#seen + 1] = res.body:gsub('"authorization":"[^"]*"', "")
    res = assert(api:get "/_http/gzip?size=500")
    seen[#seen + 1] = res.body:gsub('"authorization":"[^"]*"', "")
    assert(api:download(url, file))
    seen[#seen + 1] = read(file)
    return seen
  end

  it("plays what was recorded, retries, files and all, in both engines", function()
    local file = os.tmpname()
    local scope = sim:scope()
    local url = sim.files_url .. "/_scope/" .. scope.name .. "/_http/bytes/3000?sig=s1gnature"
    scope:fault { path = "/_http/bytes", times = 1, status = 503 }
    scope:fault { path = "/_http/bytes", times = 1, truncate = 1000 }
    local recording = garner.record(path)
    assert.equal("600", mode_of(path))
    local api = clients.client({ record = recording, token = scope.token,
      retry = { backoff = 0.001 } }, scope)
    local ok, first = pcall(script, api, url, file)
    recording:close()
    recording:close()
    assert.truthy(tostring(recording):find("(closed)", 1, true))
    assert(ok, tostring(first))
    assert.equal(1, lines_of(path)[1].garner_recording)
    assert(api:get "/_http/echo") -- is not recorded, and does not fail
    local before = scope:count "."
    engines(function()
      local again = clients.client({ replay = path, retry = { backoff = 0.001 } }, scope)
      assert.same(first, script(again, url, file))
    end)
    assert.equal(before, scope:count ".")
    os.remove(file)
  end)

  -- A day's work of each vendor; gives what it found.
  local function pulls(scope, opts)
    local found = {}
    local function open(name, more)
      for key, value in pairs(opts) do more[key] = value end
      more.base_url, more.retry = sim.url, { backoff = 0.001 }
      return garner[name](more)
    end
    local bv = open("blendvision", { org_id = "sim-org" })
    found.metrics = assert(bv:live_metrics { live_id = "live-1", from = "2026-11-18",
      to = "2026-11-18" }:collect())
    local job = assert(bv:create_report { event_id = "event-1", type = "live",
      dimensions = { "watch_time", "poll_votes" } })
    local reports = assert(job:wait { first = 0.01, cap = 0.01 })
    local file = os.tmpname()
    assert(reports[1]:download(file))
    found.report = read(file)
    local google = open("google_reports", {})
    found.entities = assert(google:entity_usage { entity = "all", date = "2026-11-18",
      page_size = 1000 }:collect())
    local shop = open("shoplazza", { shop = "sim" })
    found.events = assert(shop:events { event = "add_to_cart", date = "2026-11-18",
      wait = { first = 0.02, cap = 0.02 } }:collect())
    os.remove(file)
    for _, each in ipairs { bv, google, shop } do each:close() end
    return found, scope:count "."
  end

  it("plays whole pulls and jobs of the three vendors", function()
    local scope = sim:scope()
    scope:settings { polls_until_ready = 1, entities = 1200 }
    local recording = garner.record(path)
    local first, count = pulls(scope, { token = scope.token, record = recording })
    recording:close()
    assert.is_true(#first.metrics > 0 and #first.entities == 1200 and #first.events > 0)
    local again, asked = pulls(scope, { replay = path })
    assert.equal(count, asked)
    assert.equal(json.encode(first.metrics), json.encode(again.metrics))
    assert.equal(json.encode(first.events), json.encode(again.events))
    assert.equal(#first.entities, #again.entities)
    assert.equal(first.report, again.report)
  end)

  it("keeps bytes that are no text", function()
    local bytes = "\0\1\255\254 and so on \128"
    local api = offline(function() return { body = bytes } end, { record = path })
    assert(api:get "/bytes")
    local recording = api.options.record
    api:close()
    assert.truthy(tostring(recording):find("(closed)", 1, true))
    local again = clients.client { base_url = "https://api.test/v1", replay = garner.replay(path) }
    assert.equal(bytes, assert(again:get "/bytes").body)
  end)

  it("plays failures of the network, in their order", function()
    local n = 0
    local api = offline(function()
      n = n + 1
      if n == 1 then
        return nil, { code = "reset", message = "gone" }
      end
      return { json = { n = n } }
    end, { record = path })
    assert.equal(2, assert(api:get "/a"):json().n)
    assert.equal(3, assert(api:get "/a"):json().n)
    api:close()
    local again = clients.client { base_url = "https://api.test/v1", replay = path,
      retry = { backoff = 0.001 } }
    local res = assert(again:get "/a")
    assert.same({ 2, "reset" }, { #res.attempts, res.attempts[1].code })
    assert.equal(3, assert(again:get "/a"):json().n)
    assert.equal(3, assert(again:get "/a"):json().n) -- reads go on with the last one
  end)

  it("has no answer for what was not recorded, and says what is near", function()
    local api = offline(function() return {} end, { record = path })
    assert(api:get("/things", { query = { b = 2, a = 1 } }))
    assert(api:post("/things", { json = { n = 1 } }))
    api:close()
    local again = clients.client { base_url = "https://api.test/v1", replay = path }
    assert(again:get "/things?b=2&a=1")
    assert(again:post("/things", { json = { n = 1 } }))
    local _, err = again:get("/things", { query = { a = 1 } })
    assert.same({ "protocol", "replay" }, { err.kind, err.code })
    assert.truthy(err.message:find("GET https://api.test/v1/things?a=1", 1, true), err.message)
    assert.truthy(err.message:find("nearest is GET https://api.test/v1/things?a=1&b=2", 1, true))
    _, err = again:post("/things", { json = { n = 2 } })
    assert.equal("replay", err.code)
    assert.truthy(err.message:find("with another body", 1, true), err.message)
    _, err = again:post("/things", { json = { n = 1 } })
    assert.equal("replay", err.code)
    assert.truthy(err.message:find("all of them were used", 1, true), err.message)
  end)

  it("has no secret in it, and signed URLs still lead to their files", function()
    local url = "https://files.test/f.csv?X-Amz-Signature=s1gnature&q=s1gned"
    local api = offline(function(request)
      if request.url:find("/login", 1, true) then
        return { json = { access_token = "t0ken-one", nextPageToken = "keep" },
          headers = { ["Set-Cookie"] = "sid=c00kie" } }
      elseif request.url:find("/job", 1, true) then
        return { body = '{"uri":"' .. url:gsub("/", "\\/"):gsub("&", "\\u0026") .. '"}' }
      end
      return { body = "file for " .. request.url }
    end, { record = path, token = "s3cr3t/token", headers = { ["x-bv-org-id"] = "0rgan1zation" } })
    assert(api:post("/login", { form = { password = "passw0rd" } }))
    assert(api:post("/login", { json = { password = 'pass"w0rd' },
      headers = { ["X-Api-Key"] = "k3yk3yk3y" } }))
    assert(api:get("/x", { query = { key = "k3y", a = "s3cr3t/token" } }))
    local file = os.tmpname()
    assert(api:download(assert(api:get "/job"):json().uri, file))
    api:close()
    local text = read(path)
    for _, secret in ipairs { "s3cr3t", "0rgan1zation", "t0ken-one", "c00kie", "s1gnature",
      "s1gned", "passw0rd", "w0rd", "k3y" } do
      assert.is_nil(text:find(secret, 1, true), secret .. " in " .. text)
    end
    assert.truthy(text:find("keep", 1, true))
    local again = clients.client { base_url = "https://api.test/v1", replay = path }
    assert(again:download(assert(again:get "/job"):json().uri, file))
    assert.truthy(read(file):find("redacted", 1, true))
    again = clients.client { base_url = "https://api.test/v1", replay = path,
      token = "0ther-token" }
    assert(again:get("/x", { query = { key = "another", a = "0ther-token" } }))
    os.remove(file)
  end)

  it("never fails what it records", function()
    local events = {}
    local api = offline(function() return {} end, { record = "/dev/full", log = function(_, event)
      events[#events + 1] = event
    end })
    assert(api:get "/")
    assert(api:get "/")
    local count = 0
    for _, event in ipairs(events) do count = count + (event == "recording_failed" and 1 or 0) end
    assert.equal(1, count)
  end)

  it("is checked when it is opened", function()
    local function open(text)
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
      return raised(function() garner.replay(path) end)
    end
    assert.truthy(open(""):find("the file is empty", 1, true))
    assert.truthy(open("a,b\n"):find("no recording", 1, true))
    assert.truthy(open('{"garner_recording":99}\n'):find("version 99", 1, true))
    assert.truthy(open('{"garner_recording":1}\n{"url":'):find("line 2 is not whole", 1, true))
    assert.truthy(raised(function() garner.replay "/no/where" end):find("cannot read", 1, true))
    assert.truthy(raised(function() garner.record "/no/where" end):find("cannot write", 1, true))
    local message = raised(function()
      garner.client { base_url = "https://a.test", record = 5 }
    end)
    assert.equal(1, (message:find(here(-2), 1, true)), message)
  end)
end)

describe("the curl command line", function()
  after_each(clients.close_all)

  it("sends the same request, without secrets", function()
    local scope = sim:scope()
    local api = clients.client({ token = scope.token,
      headers = { ["access-token"] = "s3cr3t-two" } }, scope)
    local res = assert(api:post("/_http/echo", { json = { text = "it's $HOME `x`" },
      query = { a = "b c" }, headers = { ["X-Mine"] = "1" } }))
    local command = res:curl()
    assert.falsy(command:find(scope.token, 1, true), command)
    assert.falsy(command:find("s3cr3t", 1, true), command)
    local pipe = assert(io.popen("export LD_PRELOAD= TOKEN=" .. scope.token .. " ACCESS_TOKEN=two; "
      .. command .. " -s --noproxy '*'"))
    local body = pipe:read "*a"
    pipe:close()
    local function seen(text)
      local echo = assert(json.decode(text))
      return { echo.method, echo.body, echo.uri or echo.path, echo.headers["x-mine"],
        echo.headers.authorization }
    end
    assert.same(seen(res.body), seen(body))
    local _, err = api:get "/_http/status/500?body=no&token=s3cr3t-q"
    assert.truthy(err:curl():find("token=***", 1, true), err:curl())
    assert.truthy(err:curl():find("^curl 'http"))
    assert.is_nil(errors.new({ kind = "hole", message = "m" }):curl())
  end)

  it("knows every kind of request", function()
    local function ok() return {} end
    local api = offline(ok, { auth = garner.auth.basic("me", "s3cr3t"), ca_file = nil,
      proxy = "http://me:pw@proxy.test:3128", insecure_tls = true, log = false })
    assert.equal("curl -I 'https://api.test/v1/x' -H 'Accept: application/json'"
      .. ' -u "$USER_AND_PASSWORD" --compressed -x \'http://***@proxy.test:3128\' --insecure',
      assert(api:head "/x"):curl())
    local command = assert(api:put("/x", { body = "a\0b" })):curl()
    assert.truthy(command:find("-X PUT", 1, true))
    assert.truthy(command:find("--data-binary @body", 1, true))
    local page = api:pages("/x", { next = { link = "next" } })
    local first = page:next()
    assert.is_nil(first and first.missing)
    local header = offline(ok, { auth = garner.auth.header("access-token", "s3cr3t") })
    assert.truthy(assert(header:get "/x"):curl():find([[-H 'access-token: '"$ACCESS_TOKEN"]], 1,
      true))
  end)
end)
