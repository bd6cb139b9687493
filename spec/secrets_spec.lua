-- Nothing that garner writes or shows holds a secret: a script of its own drives every flow
-- with marked secrets, well and badly, at the most talkative log level; everything that it
-- printed, logged, recorded and kept as a checkpoint is searched for them.

local clients = require "spec.support.clients"
local garner = require "garner"
local redact = require "garner.redact"
local headers = require "garner.headers"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

-- What every script begins with. `show` prints all there is to see of a value: its text, and
-- whatever its fields hold, at any depth.
local PREAMBLE = [[
local garner = require "garner"
local base, files, recorded = %q, %q, %q
local opened = {}
local function show(name, value, depth, seen)
  depth, seen = depth or 0, seen or {}
  print(name, tostring(value))
  if type(value) ~= "table" or seen[value] or depth > 6 then return end
  seen[value] = true
  for key, field in pairs(value) do
    show(name .. "." .. tostring(key), field, depth + 1, seen)
  end
end
-- Errors whole; of what went well only what garner made itself: a body is the user's.
local function try(name, fn)
  local ok, value, err = pcall(fn)
  if not ok then
    show(name .. " raised", value)
  elseif value == nil or value == false then
    show(name .. " failed", err)
    if garner.errors.is(err) then print(name, err:curl()) end
  else
    print(name, "ok", tostring(value))
    if type(value) == "table" and rawget(value, "_result") then print(name, value:curl()) end
  end
  return ok and value
end
local function client(opts, make)
  opts.base_url, opts.log = opts.base_url or base, "trace"
  opts.retry = opts.retry or { backoff = 0.001, backoff_throttled = 0.001 }
  local made = (make or garner.client)(opts)
  opened[#opened + 1] = made
  print(tostring(made))
  return made
end
]]

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function no_secret(text, secrets, what)
  for _, secret in ipairs(secrets) do
    local at = text:find(secret, 1, true)
    assert(not at, at and ("%s holds %s: ...%s..."):format(what, secret,
      text:sub(math.max(1, at - 300), at + 200)))
  end
end

-- Runs a script; gives all that came of it.
local function run(scope, script)
  local path = os.tmpname()
  local text = PREAMBLE:format(scope.url, sim.files_url .. "/_scope/" .. scope.name, path) .. script
    .. "\nfor _, made in ipairs(opened) do made:close() end"
  local code, output = clients.run(text, "GARNER_LOG=trace")
  local recording = read(path)
  os.remove(path)
  return output .. "\n" .. recording, code
end

-- Every signature of a link that the simulator gave out in a scope.
local function signatures(scope)
  local list = {}
  for _, asked in ipairs(scope:requests()) do
    if asked.origin == "files" then
      for value in (asked.query or ""):gmatch "[%w_%-]*[Ss]ig[%w_%-]*=([^&]+)" do
        list[#list + 1] = value
      end
    end
  end
  return list
end

describe("a secret", function()
  it("is in nothing that single requests leave", function()
    local scope = sim:scope()
    local token = scope.token
    scope:fault { path = "/echoed", times = 0, status = 400, body = { error = { code = 400,
      message = "bad credential " .. token .. " of tenant-s3cr3t", status = "INVALID_ARGUMENT",
      details = { { token = token, ["Bearer " .. token] = "key-s3cr3t" } } } },
      headers = { ["X-Request-Id"] = token, ["Set-Cookie"] = "sid=c00kie-s3cr3t" } }
    scope:fault { path = "/moved", times = 0, status = 302, body = "",
      headers = { Location = sim.files_url .. "/x?a=sign-s3cr3t" } }
    scope:fault { path = "/retried", times = 2, status = 503, body = "Bearer " .. token }
    scope:fault { path = "/html", times = 0, status = 200, content_type = "text/html",
      body = "<p>you sent key-s3cr3t and " .. token .. "</p>" }
    local output, code = run(scope, ([[
      local token = %q
      local api = client { token = token, record = recorded,
        headers = { ["x-bv-org-id"] = "tenant-s3cr3t", ["X-Api-Key"] = "key-s3cr3t" } }
      try("ok", function()
        return api:get("/_http/echo", { query = { api_key = "query-s3cr3t" } })
      end)
      try("echoed", function() return api:get "/echoed" end)
      try("echoed own", function()
        return api:post("/echoed", { json = { password = "body-s3cr3t", token = "body2-s3cr3t" },
          headers = { Authorization = "Bearer request-s3cr3t" } })
      end)
      try("form", function()
        return api:post("/echoed", { form = { client_secret = "form-s3cr3t" } })
      end)
      try("retried", function() return api:get "/retried" end)
      try("html", function() return assert(api:get "/html"):json() end)
      try("redirect", function() return api:get "/moved" end)
      try("download", function()
        return api:download(files .. "/x?X-Amz-Signature=sign-s3cr3t&x=s1gned-s3cr3t", "/no/x")
      end)
      try("download", function()
        return api:download("http://me:user-s3cr3t@127.0.0.1:9/x?signature=sign-s3cr3t", "/no/x")
      end)
      try("refused", function() return api:get("http://u:user-s3cr3t@h/") end)
      try("unauthenticated", function() return client { token = "wrong-s3cr3t" }:get "/bv/x" end)
      try("function", function()
        return client { token = function() return "function-s3cr3t" end,
          base_url = base }:get "/_http/status/500?body=function-s3cr3t"
      end)
      try("text", function() return client { token = "bad-s3cr3t\n" } end)
      try("user", function() return client { base_url = "http://me:user-s3cr3t@h" } end)
      try("proxy", function()
        return client { proxy = "http://me:proxy-s3cr3t@127.0.0.1:9", retry = false }:get "/"
      end)
      try("basic", function()
        return client { auth = garner.auth.basic("me", "basic-s3cr3t") }
          :get "/_http/status/400?body=basic-s3cr3t+bWU6YmFzaWMtczNjcjN0"
      end)
      try("all", function()
        local results = garner.all { function() return api:get "/echoed" end,
          function() error(select(2, api:get "/echoed")) end }
        show("all", results)
        return true
      end)
      garner.check(api:get "/echoed")
    ]]):format(token))
    assert.equal(1, code)
    no_secret(output, { token, "s3cr3t", "bWU6YmFzaWMtczNjcjN0" }, "the output")
    assert.truthy(output:find("garner trace attempt", 1, true))
    assert.truthy(output:find("ok\tok", 1, true), output)
    assert.truthy(output:find("bad credential ***", 1, true), output)
    assert.truthy(output:find('"garner_recording":1', 1, true))
  end)

  it("is in nothing that walks, polls and jobs leave", function()
    local scope = sim:scope()
    scope:settings { polls_until_ready = 1 }
    scope:fault { path = "/_http/pages", query = "page=3", times = 0, status = 500,
      body = "no page for " .. scope.token }
    local output = run(scope, ([[
      local token = %q
      local wait = { first = 0.01, cap = 0.02, timeout = 20 }
      local bv = client({ token = token, org_id = "sim-org-s3cr3t", record = recorded },
        garner.blendvision)
      local function job(event)
        local made = try("create", function()
          return bv:create_report { event_id = event, type = "live",
            dimensions = { "watch_time", "poll_votes" } }
        end)
        if not made then return end
        print("checkpoint", made:checkpoint())
        try("resume", function() return bv:resume(made:checkpoint()) end)
        local reports = try("wait", function() return made:wait(wait) end)
        print("checkpoint", made:checkpoint())
        for _, report in ipairs(reports or {}) do
          print(tostring(report))
          local path = os.tmpname()
          try("download", function() return report:download(path) end)
          os.remove(path)
        end
      end
      job "event-1"
      job "fail-1"
      local walk = bv:pages("/_http/pages?n=5&numbers=1", { items = "things",
        next = { page = "page", size = 1 } })
      try("walk", function() return walk:collect() end)
      print(tostring(walk))
      print("checkpoint of a walk", assert(walk:checkpoint()))
      print("none", bv:pages("/x?api_key=query-s3cr3t", { items = "things",
        next = { link = "next" } }):checkpoint())
      try("poll", function()
        return bv:poll({ path = "/_http/status/404?body=" .. token, ids = { "a" }, query_key = "id",
          id = "id", status = "s", states = { x = "done" }, first = 0.01, timeout = 0.1 },
          function() end)
      end)
      try("metrics", function()
        local pull = bv:live_metrics { live_id = "live-1", from = "-2h", to = "-1h" }
        print(pull:plan())
        local rows = pull:collect()
        show("coverage", pull:coverage())
        return rows
      end)
      try("metrics", function() return bv:live_metrics { live_id = "unknown", from = "-2h",
        to = "-1h" }:collect() end)
    ]]):format(scope.token))
    local all = signatures(scope)
    assert.is_true(#all >= 2)
    all[#all + 1], all[#all + 2] = scope.token, "s3cr3t"
    no_secret(output, all, "the output")
    assert.truthy(output:find('checkpoint\t{', 1, true), output)
    assert.truthy(output:find('checkpoint of a walk\t{', 1, true), output)
    assert.truthy(output:find("none\tnil", 1, true), output)
    assert.truthy(output:find("resume\tok", 1, true), output)
    assert.truthy(output:find("wait\tok", 1, true), output)
    assert.truthy(output:find("download\tok", 1, true), output)
  end)

  it("is in nothing that links which expired leave", function()
    local scope = sim:scope()
    scope:settings { polls_until_ready = 1, url_ttl = 0 }
    local output = run(scope, ([[
      local shop = client({ shop = "sim", token = %q, record = recorded }, garner.shoplazza)
      try("events", function()
        local pull = shop:events { event = "add_to_cart", date = "yesterday" }
        local rows, err = pull:collect()
        show("coverage", pull:coverage())
        return rows, err
      end)
    ]]):format(scope.token))
    local all = signatures(scope)
    assert.is_true(#all >= 1)
    all[#all + 1] = scope.token
    no_secret(output, all, "the output")
  end)

  it("is in nothing that credentials which are fetched leave", function()
    local scope = sim:scope()
    local key = read(sim.key_file)
    local output = run(scope, ([[
      local fails = %q
      local function google(more)
        more.token_url = fails .. "/token"
        return client(more, garner.google_reports)
      end
      local page = { date = "-3d", page_size = 1 }
      local good = google { service_account = %q, subject = "admin@example.com", record = recorded }
      try("service account", function() return good:get_entity_usage(page) end)
      try("refused", function() return good:get "/_http/status/418?body=no" end)
      local refresh = google { refresh_token = "sim-refresh", client_id = "sim-client",
        client_secret = "sim-secret" }
      try("refresh", function() return refresh:get_entity_usage(page) end)
      for _, bad in ipairs { { refresh_token = "refresh-s3cr3t", client_id = "sim-client",
        client_secret = "sim-secret" }, { refresh_token = "sim-refresh", client_id = "sim-client",
        client_secret = "client-s3cr3t" } } do
        local refused = google(bad)
        try("refused", function() return refused:get_entity_usage(page) end)
      end
      try("key", function()
        return google { service_account = { client_email = "a@b", private_key = "key-s3cr3t" } }
      end)
    ]]):format(scope.url, sim.key_file))
    local secrets = { "s3cr3t", "sim-secret", "sim-refresh", "sim-oauth." .. scope.name }
    for line in (key:match '"private_key"%s*:%s*"(.-)"' or ""):gmatch "[%w%+/]+" do
      if #line > 30 then
        secrets[#secrets + 1] = line
      end
    end
    assert.is_true(#secrets > 8)
    no_secret(output, secrets, "the output")
    assert.truthy(output:find("service account\tok", 1, true), output)
    assert.truthy(output:find("refresh\tok", 1, true), output)
  end)
end)

describe("the redactor", function()
  local function redactor(own)
    return redact.new(function() return { "va/lue-s3cr3t" } end, function(url)
      return url:find(own or "^https://api") ~= nil
    end)
  end

  it("knows the spellings of a secret", function()
    assert.equal('{"a":"***","b":"***"}',
      redactor():text '{"a":"va/lue-s3cr3t","b":"va\\/lue-s3cr3t"}')
  end)

  it("hides what names tell", function()
    local r = redactor()
    assert.equal('{"access_token" : "***","nextPageToken":"p","x":{"Password":"***"}}',
      r:text '{"access_token" : "a\\"b","nextPageToken":"p","x":{"Password":"c"}}')
    assert.equal("grant=x&client_secret=***&code=***", r:text "grant=x&client_secret=b&code=c")
    assert.equal("***", r:header("Set-Cookie", "a=b"))
    assert.equal("***", r:header("X-Auth-Token", "a"))
    assert.equal("text", r:header("X-Other", "text"))
  end)

  it("takes URLs of elsewhere for signed", function()
    local r = redactor()
    assert.equal("https://api/x?a=b&key=***#f", r:url "https://api/x?a=b&key=c#f")
    assert.equal("https://files/x?a=***&b=***", r:url "https://files/x?a=b&b=c")
    assert.equal("https://files/x?***", r:url "https://files/x?abc")
    assert.equal("https://***@files/x", r:url "https://me:pw@files/x")
    assert.equal('{"u":"https://files/x?a=***&b=***"}',
      r:text '{"u":"https:\\/\\/files\\/x?a=b\\u0026b=c"}')
    assert.equal([[say \"https://files/x?a=***\" 2]], r:text [[say \"https://files/x?a=b\" 2]])
    assert.equal("see https://api/x?page=2 for more", r:text "see https://api/x?page=2 for more")
  end)

  it("hides a short tenant where it is meant, and nowhere else", function()
    local hide = headers.short_tenants({ ["x-bv-org-id"] = "4711", ["x-other"] = "12" })
    assert.equal(1, #hide)
    assert.equal('org *** has no job 4711 ("***")', hide[1] 'org 4711 has no job 4711 ("4711")')
    assert.equal("org_id=*** org_id: ***, 14711", hide[1] "org_id=4711 org_id: 4711, 14711")
    assert.equal("2026-47-11", hide[1] "2026-47-11")
    local api = clients.client { headers = { ["x-bv-org-id"] = "4711" } }
    local _, err = api:get('/_http/status/403?body=organization+4711+may+not')
    assert.equal("organization *** may not", err.message)
    clients.close_all()
    assert.is_table(garner)
  end)
end)
