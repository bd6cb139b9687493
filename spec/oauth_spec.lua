-- Tokens from the simulator's token endpoints, as scripts and the three vendors use them.

local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local here, raised = clients.here, clients.raised
local sim = simulator.get()

local USAGE = "https://www.googleapis.com/auth/admin.reports.usage.readonly"
local PAGE = "/admin/reports/v1/usage/gplus_communities/all/dates/"

local opened = {}

local function keep(client)
  opened[#opened + 1] = client
  return client
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write_file(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- The key file's content with something changed.
local function key_with(changes)
  local key = garner.json.decode(read_file(sim.key_file))
  for name, value in pairs(changes) do
    key[name] = value ~= false and value or nil
  end
  return key
end

-- Side by side; all must give something.
local function all(jobs)
  local results = assert(garner.all(jobs, { concurrency = #jobs }))
  for _, result in ipairs(results) do
    assert(result[1], tostring(result[2]))
  end
  return results
end

local function sleep(seconds)
  require("garner.driver.block").sleep(seconds)
end

describe("tokens", function()
  local scope

  before_each(function()
    scope = sim:scope()
  end)

  after_each(function()
    for _, client in ipairs(opened) do
      client:close()
    end
    opened = {}
    clients.close_all()
  end)

  local function asked()
    return scope:count("/token$")
  end

  -- What the assertions said, in order.
  local function claims()
    local list = {}
    for _, request in ipairs(scope:requests()) do
      local text = request.uri:find("/token$") and
        request.body:match("assertion=[%w_-]+%.([%w_-]+)%.")
      if text then
        text = text:gsub("-", "+"):gsub("_", "/")
        local file = write_file(text .. ("="):rep(-#text % 4))
        local pipe = io.popen("base64 -d " .. file)
        list[#list + 1] = garner.json.decode(pipe:read("*a"))
        pipe:close()
        os.remove(file)
      end
    end
    return list
  end

  local function google(options)
    options = options or {}
    options.base_url = options.base_url or scope.url
    options.token_url = options.token_url or scope.url .. "/token"
    options.retry = options.retry or { backoff = 0.01, backoff_throttled = 0.01 }
    if not options.refresh_token then
      options.service_account = options.service_account or sim.key_file
      options.subject = options.subject or "admin@example.com"
    end
    return keep(garner.google_reports(options))
  end

  local function get(client, given)
    given = given or { date = "-3d", page_size = 1 }
    return client:get_entity_usage(given)
  end

  describe("of a service account", function()
    it("are signed for, fetched once and used for all", function()
      local client = google()
      local found, err = get(client)
      assert(found, tostring(err))
      assert.equal(1, #found.rows)
      assert(get(client))
      assert.equal(1, asked())
    end)

    it("are one request for 50 that wait at once", function()
      scope:fault { path = "^/token$", delay_ms = 100 }
      local client, jobs = google { rate = 1000, burst = 1000 }, {}
      for i = 1, 50 do
        jobs[i] = function()
          return get(client)
        end
      end
      assert.equal(50, #all(jobs))
      assert.equal(1, asked())
      assert.equal(50, scope:count("/usage/"))
    end)

    it("are asked for with the called method's scope, for its subject", function()
      local client = google()
      assert(get(client))
      assert(get(client))
      local rows, err = client:activities { application = "login", from = "-2d", to = "-1d" }
        :collect { max_rows = 1 }
      assert(rows or err.kind == "truncated", tostring(err))
      local found = claims()
      assert.equal(2, #found)
      assert.equal(USAGE, found[1].scope)
      assert.equal("https://www.googleapis.com/auth/admin.reports.audit.readonly", found[2].scope)
      assert.equal("admin@example.com", found[1].sub)
      assert.equal(scope.url .. "/token", found[1].aud)
      assert.equal(3600, found[1].exp - found[1].iat)
    end)

    it("are kept for each scope that requests name", function()
      local client = clients.client({ auth = garner.auth.service_account {
        key_file = sim.key_file, token_url = scope.url .. "/token", scopes = { "a", "b" },
      } }, scope)
      local path = PAGE .. "2020-01-01"
      for _ = 1, 2 do
        assert(client:get(path, { scope = USAGE }))
        local _, err = client:get(path)
        assert.equal("forbidden", err.kind)
      end
      assert.equal(2, asked())
    end)

    it("come from the key as a table, as JSON text, and with the key's own token_uri", function()
      local text = read_file(sim.key_file)
      for _, key in ipairs { text, garner.json.decode(text) } do
        assert(get(google { service_account = key }))
      end
      local key = key_with { token_uri = scope.url .. "/token" }
      local client = clients.client({ auth = garner.auth.service_account { key = key } }, scope)
      assert(client:get(PAGE .. "2020-01-01", { scope = USAGE }))
      assert.equal(3, asked())
    end)

    it("end as unauthenticated where the endpoint says no, and may be asked for again", function()
      local client = google { subject = "nobody@example.com" }
      for n = 1, 2 do
        local found, err = get(client)
        assert.is_nil(found)
        assert.equal("unauthenticated", err.kind)
        assert.equal("unauthorized_client", err.code)
        assert.is_false(err.retryable)
        assert.truthy(err.message:find("refused: unauthorized_client: Client is", 1, true))
        assert.equal(n, asked())
      end
      assert.equal(0, scope:count("/usage/"))
    end)

    it("are refused where somebody else signed", function()
      local other = io.popen("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>&1")
      local pem = other:read("*a"):match("%-%-%-%-%-BEGIN.*")
      other:close()
      local _, err = get(google { service_account = key_with { private_key = pem } })
      assert.equal("invalid_grant", err.code)
      assert.truthy(err.message:find("Invalid JWT Signature.", 1, true))
    end)

    it("are refused for another audience", function()
      local client = clients.client({ auth = garner.auth.service_account {
        key_file = sim.key_file, token_url = scope.url .. "/token", scopes = "a",
        audience = "https://elsewhere.example/token",
      } }, scope)
      local _, err = client:get("/")
      assert.equal("invalid_grant", err.code)
      assert.truthy(err.message:find("audience", 1, true))
    end)

    it("raise at the caller's line for a bad key", function()
      local function make(given)
        return function()
          garner.auth.service_account(given)
        end
      end
      local empty, garbage = write_file(""), write_file("{\"private_key\": \"sim-secret-key\"")
      for _, case in ipairs {
        { { key_file = "/nowhere/key.json" }, "cannot read the key file /nowhere/key.json" },
        { { key_file = "/" }, "cannot read the key file /" },
        { { key_file = empty }, "is not a JSON object" },
        { { key_file = garbage }, "is not a JSON object" },
        { { key = "[]" }, "key is not a JSON object" },
        { { key = {} }, "key has no client_email" },
        { { key = key_with { private_key = false } }, "key has no private_key" },
        { { key = key_with { private_key = "sim-secret-key" } }, "is not a PEM text" },
        { { key = key_with { type = "authorized_user" } }, "is of the type \"authorized_user\"" },
        { { key = key_with { token_uri = "token" } }, "token_uri that is no URL" },
        { {}, "give key_file" },
        { { key = key_with {}, key_file = sim.key_file }, "give key_file" },
        { { key = key_with {}, subject = 7 }, "subject must be a text" },
      } do
        local message = raised(make(case[1]))
        assert.truthy(message:find(case[2], 1, true), message)
        assert.truthy(message:find("oauth_spec.lua:", 1, true), message)
        assert.is_nil(message:find("sim-secret-key", 1, true))
      end
      os.remove(empty)
      os.remove(garbage)
      local pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
      local line = here(2)
      local message = raised(function()
        google { service_account = key_with { private_key = pem } }
      end)
      assert.truthy(message:find("private key is not a PEM text", 1, true), message)
      assert.truthy(message:find("oauth_spec.lua:", 1, true), message .. line)
    end)

    it("are not fetched over plain http from elsewhere", function()
      local message = raised(function()
        google { token_url = "http://tokens.example/token" }
      end)
      assert.truthy(message:find("plain http to the token endpoint", 1, true), message)
    end)
  end)

  describe("that end", function()
    it("are fetched again before they do, also where the lifetime is text", function()
      scope:settings { token_ttl = 1, token_ttl_text = true }
      local client = google()
      assert(get(client))
      assert.equal(1, asked())
      sleep(0.8)
      assert(get(client))
      assert.equal(2, asked())
      for _, request in ipairs(scope:requests()) do
        assert.equal(200, request.status)
      end
    end)

    it("are fetched again once after a 401", function()
      local client, jobs = google { rate = 1000, burst = 1000 }, {}
      assert(get(client))
      scope:settings { revoked = 1 }
      for i = 1, 10 do
        jobs[i] = function()
          return get(client)
        end
      end
      all(jobs)
      assert.equal(2, asked())
    end)

    it("end in an error after the second 401", function()
      scope:settings { revoked = 1000 }
      local _, err = get(google())
      assert.equal("unauthenticated", err.kind)
      assert.equal(401, err.status)
      assert.equal(2, #err.attempts)
      assert.equal("token", err.attempts[1].why)
      assert.equal(2, asked())
      assert.equal(2, scope:count("/usage/"))
    end)

    it("are fetched again in the middle of a walk", function()
      local rows = 0
      scope:fault { path = "/usage/", skip = 1, status = 401 }
      local ok, err = google():entity_usage { date = "-3d", page_size = 1000 }:each(function()
        rows = rows + 1
      end)
      assert(ok, tostring(err))
      assert.equal(2600, rows)
      assert.equal(2, asked())
      assert.equal(4, scope:count("/usage/"))
    end)
  end)

  describe("where the endpoint fails", function()
    it("are asked for again where that helps", function()
      scope:fault { path = "^/token$", status = 503, times = 2 }
      assert(get(google()))
      assert.equal(3, asked())
    end)

    it("end in its error where that goes on", function()
      scope:fault { path = "^/token$", status = 503, times = 0 }
      local _, err = get(google())
      assert.equal("server", err.kind)
      assert.is_true(err.retryable)
      assert.truthy(err.message:find("the token endpoint 127.0.0.1", 1, true), err.message)
      assert.equal(3, asked())
    end)

    it("are not waited for beyond the request's deadline", function()
      scope:fault { path = "^/token$", delay_ms = 600 }
      local client = google()
      local _, err = client:get_entity_usage { date = "-3d", timeout = 0.1 }
      assert.equal("timeout", err.kind)
      sleep(0.7)
      assert(get(client))
      assert.equal(1, asked())
    end)

    it("leave others waiting when one is cancelled", function()
      scope:fault { path = "^/token$", delay_ms = 300 }
      local client = google()
      local results = all {
        function()
          local _, err = client:get_entity_usage { date = "-3d", timeout = 0.1 }
          return err.kind
        end,
        function()
          return get(client)
        end,
      }
      assert.equal("timeout", results[1][1])
      assert.equal(1, asked())
    end)
  end)

  describe("of a refresh token", function()
    it("are fetched for Google, which keeps the old one", function()
      local told = 0
      local client = google { refresh_token = "sim-refresh", client_id = "sim-client",
        client_secret = "sim-secret", on_token = function()
          told = told + 1
        end }
      assert(get(client))
      scope:settings { revoked = 1 }
      assert(get(client))
      assert.equal(2, asked())
      assert.equal(0, told)
    end)

    it("are told what is wrong with the client or the refresh token", function()
      local changes = { invalid_client = "client_secret", invalid_grant = "refresh_token" }
      for code, changed in pairs(changes) do
        local options = { refresh_token = "sim-refresh", client_id = "sim-client",
          client_secret = "sim-secret" }
        options[changed] = "wrong-" .. changed
        local _, err = get(google(options))
        assert.equal("unauthenticated", err.kind)
        assert.equal(code, err.code)
        assert.is_nil(tostring(err):find("wrong-", 1, true))
      end
    end)

    it("read a file with it again when it is refused", function()
      local path = write_file("wrong\n")
      local client = google { refresh_token = { file = path }, client_id = "sim-client",
        client_secret = "sim-secret" }
      local _, err = get(client)
      assert.equal("invalid_grant", err.code)
      local file = assert(io.open(path, "w"))
      file:write("sim-refresh\n")
      file:close()
      assert(get(client))
      os.remove(path)
    end)
  end)

  it("come from the file that GOOGLE_APPLICATION_CREDENTIALS names", function()
    local user = write_file(garner.json.encode { type = "authorized_user",
      client_id = "sim-client", client_secret = "sim-secret", refresh_token = "sim-refresh" })
    for _, path in ipairs { sim.key_file, user } do
      local code, output = clients.run(([[
        local garner = require "garner"
        local google = garner.google_reports { base_url = %q, token_url = %q,
          subject = %q }
        local found, err = google:get_entity_usage { date = "-3d", page_size = 1 }
        print(found and #found.rows or err)
        google:close()
      ]]):format(scope.url, scope.url .. "/token", "admin@example.com"),
        "env -u GOOGLE_ACCESS_TOKEN GOOGLE_APPLICATION_CREDENTIALS=" .. path)
      assert.equal("1\n", output)
      assert.equal(0, code)
    end
    os.remove(user)
  end)

  it("say all the ways to a credential where there is none", function()
    local code, output = clients.run([[
      local ok, why = pcall(require("garner").google_reports)
      print(why)
    ]], "env -u GOOGLE_ACCESS_TOKEN -u GOOGLE_APPLICATION_CREDENTIALS")
    assert.equal(0, code)
    for _, word in ipairs { "GOOGLE_ACCESS_TOKEN", "service_account", "subject", "refresh_token",
      "GOOGLE_APPLICATION_CREDENTIALS" } do
      assert.truthy(output:find(word, 1, true), output)
    end
  end)

  it("are had by any described API, from options of its own", function()
    local options = require "garner.options"
    local described = { name = "mine", base_url = scope.url, scope = USAGE, verbs = {
      day = { get = PAGE .. "{day}", arguments = { day = "id" } },
    }, credentials = { options = { key = options.any }, help = "key = a service account's key",
      make = function(given)
        return given.key and garner.auth.service_account { key = given.key,
          token_url = scope.url .. "/token" }
      end } }
    local client = keep(garner.api(described) { key = key_with {} })
    assert(client:get(PAGE .. "2020-01-01"))
    assert.equal(USAGE, claims()[1].scope)
    described.credentials = {}
    local message = raised(garner.api, described)
    assert.truthy(message:find("credentials must be { options", 1, true), message)
  end)

  it("refuse two credentials", function()
    for _, given in ipairs {
      { token = "x", service_account = sim.key_file },
      { refresh_token = "x", client_id = "y", service_account = sim.key_file },
      { token = "x", subject = "y" },
    } do
      local line = here(2)
      local message = raised(function()
        garner.google_reports(given)
      end)
      assert.truthy(message:find(line, 1, true), message)
    end
  end)

  it("are in no recording, and a replay needs none", function()
    local path = os.tmpname()
    local client = google { record = garner.record(path) }
    scope:fault { path = "/usage/", status = 401 }
    assert(get(client))
    client:close()
    local text = read_file(path)
    assert.truthy(text:find("/usage/", 1, true))
    for _, secret in ipairs { "sim%-oauth", "assertion", "PRIVATE", "/token" } do
      assert.is_nil(text:find(secret), secret)
    end
    local before = asked()
    client = keep(garner.google_reports { base_url = scope.url, replay = garner.replay(path) })
    assert(get(client))
    assert.equal(before, asked())
    client = google { replay = garner.replay(path) }
    assert(get(client))
    assert.equal(before, asked())
    os.remove(path)
  end)

  it("are in no error, log or text of the client", function()
    local lines = {}
    local key = key_with {}
    local body = key.private_key:gsub("%-%-%-%-%-[^\n]*\n?", "")
    local client = google { log = function(level, event, fields)
      for name, value in pairs(fields) do
        lines[#lines + 1] = level .. event .. name .. tostring(value)
      end
    end }
    scope:fault { path = "^/token$", times = 1, status = 400, body = { error = "invalid_grant",
      error_description = "see " .. body:gsub("\n", ""):sub(1, 80) } }
    local _, err = get(client)
    lines[#lines + 1] = tostring(err) .. tostring(client)
    assert(get(client))
    local token = "sim-oauth." .. scope.name .. ".1"
    scope:fault { path = "/usage/", status = 418, body = "you sent " .. token .. "!" }
    _, err = get(client)
    lines[#lines + 1] = tostring(err) .. err.body
    lines[#lines + 1] = client.client and tostring(client.client)
    local text = table.concat(lines, "\n")
    assert.is_nil(text:find(token, 1, true), text)
    assert.truthy(text:find("you sent ***!", 1, true), text)
    assert.equal("***!", text:match("you sent (%S+)"))
    for line in body:gmatch("[^\n]+") do
      assert.is_nil(text:find(line, 1, true))
    end
    for _, value in pairs(client.settings) do
      assert.is_nil(tostring(value):find("PRIVATE", 1, true))
    end
    assert.is_nil(client.settings.service_account)
  end)
end)
