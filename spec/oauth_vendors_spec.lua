-- Tokens that rotate (Shoplazza) and logins (BlendVision), from the simulator's endpoints.

local clients = require "spec.support.clients"
local garner = require "garner"
local simulator = require "spec.support.simulator"

local raised = clients.raised

local function sleep(seconds)
  require("garner.driver.block").sleep(seconds)
end

describe("tokens", function()
  local scope
  local opened = {}

  local function keep(client)
    opened[#opened + 1] = client
    return client
  end

  before_each(function()
    scope = simulator.get():scope()
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

  describe("of Shoplazza", function()
    local function shop(options)
      local given = { shop = "sim", base_url = scope.url, refresh_token = "sim-refresh",
        client_id = "sim-client", client_secret = "sim-secret" }
      for name, value in pairs(options or {}) do
        given[name] = value
      end
      return keep(garner.shoplazza(given))
    end

    local function count(client)
      return client:get("/openapi/2022-01/data/count")
    end

    it("rotate: the new refresh token is stored before the result comes", function()
      local stored, order = {}, {}
      local client = shop { on_token = function(token)
        stored[#stored + 1], order[#order + 1] = token, "stored"
      end }
      assert(count(client))
      order[#order + 1] = "result"
      assert.same({ "stored", "result" }, order)
      assert.truthy(stored[1].refresh_token:find("^sim%-refresh%.1%."))
      assert.truthy(stored[1].access_token:find("^sim%-oauth%."))
      assert.truthy(stored[1].expires_at > os.time() + 3000)
      scope:settings { revoked = 1 }
      assert(count(client))
      assert.equal(2, #stored)
      assert.truthy(stored[2].refresh_token:find("^sim%-refresh%.2%."))
      client:close()
      client = shop { refresh_token = stored[2].refresh_token, on_token = function() end }
      assert(count(client))
      local _, err = count(shop())
      assert.equal("invalid_grant", err.code)
    end)

    it("begin with the access token that there is", function()
      local client = shop { token = "sim-token." .. scope.name }
      assert(count(client))
      assert.equal(0, asked())
    end)

    it("are told again until they are stored; what on_token raises reaches the caller", function()
      local seen, broken = {}, true
      local client = shop { on_token = function(token)
        seen[#seen + 1] = token.refresh_token
        if broken then
          error({ disk = "full" })
        end
      end }
      assert.same({ disk = "full" }, raised(count, client))
      assert.same({ disk = "full" }, raised(count, client))
      broken = false
      assert(count(client))
      assert(count(client))
      assert.equal(3, #seen)
      assert.equal(seen[1], seen[3])
      assert.equal(1, asked())
    end)

    it("take nil and a reason from on_token as a failure", function()
      local client = shop { on_token = function()
        return nil, "no space"
      end }
      assert.equal("no space", raised(count, client))
      assert.equal("no space", raised(client.close, client))
      client:close()
    end)

    it("are stored before each of many results, by a function that waits", function()
      local stored = false
      local client = shop { on_token = function()
        garner.wait(function()
          return true
        end, { first = 0.02 })
        sleep(0)
        stored = true
      end }
      local jobs = {}
      for i = 1, 5 do
        jobs[i] = function()
          local res, err = count(client)
          return res and stored, err
        end
      end
      local results = assert(garner.all(jobs, { concurrency = 5 }))
      for _, result in ipairs(results) do
        assert.is_true(result[1], tostring(result[2]))
      end
    end)

    it("are stored at the end where nobody took the result", function()
      local stored
      scope:fault { path = "oauth/token$", delay_ms = 150 }
      local client = shop { on_token = function(token)
        stored = token.refresh_token
      end }
      local _, err = client:get("/openapi/2022-01/data/count", { timeout = 0.05 })
      assert.equal("timeout", err.kind)
      sleep(0.3)
      client:get("/_http/status/404")
      client:close()
      assert.truthy(stored)
    end)

    it("say it where the fate of a refresh is unknown, and do not repeat it", function()
      scope:fault { path = "oauth/token$", drop = "after" }
      local client = shop()
      local _, err = count(client)
      assert.equal("unauthenticated", err.kind)
      assert.equal("refresh_in_doubt", err.code)
      assert.truthy(err.message:find("its successor is lost", 1, true))
      assert.equal(1, asked())
    end)

    it("belong to one client", function()
      local rotating = garner.auth.refresh_token { token_url = scope.url .. "/admin/oauth/token",
        client_id = "sim-client", refresh_token = "sim-refresh", rotates = true }
      clients.client({ auth = rotating }, scope)
      local message = raised(clients.client, { auth = rotating }, scope)
      assert.truthy(message:find("another client has it", 1, true), message)
    end)

    it("warn once where nobody stores them", function()
      local lines = {}
      local client = shop { log = function(level, event)
        if level == "warn" then
          lines[#lines + 1] = event
        end
      end }
      assert(count(client))
      scope:settings { revoked = 1 }
      assert(count(client))
      assert.same({ "refresh_token_not_stored" }, lines)
    end)
  end)

  describe("of a BlendVision login", function()
    local function login(options)
      options.base_url = scope.url
      return keep(garner.blendvision(options))
    end

    local function metrics(client)
      return client:live_metrics { live_id = "live-1", from = "-2h", to = "-1h" }:collect()
    end

    it("need no organization, and are fetched again when they end", function()
      scope:settings { token_ttl = 1 }
      local client = login { email = "sim@example.com", password = "sim-password" }
      assert(metrics(client))
      sleep(0.8)
      assert(metrics(client))
      assert.equal(2, scope:count("/accounts/login$"))
    end)

    it("are unauthenticated with a wrong password, which no error shows", function()
      local client = login { email = "sim@example.com", password = "open sesame" }
      local _, err = client:get("/bv/cms/v1/lives/live-1/metrics")
      assert.equal("unauthenticated", err.kind)
      assert.truthy(err.message:find("email or password is wrong", 1, true), err.message)
      assert.is_nil(tostring(err):find("sesame", 1, true))
    end)

    it("may be given", function()
      local token = garner.json.decode(simulator.fetch(scope.url
        .. "/bv/account/v1/accounts/login", { method = "POST",
        body = '{"email":"sim@example.com","password":"sim-password"}' }).body).access_token
      assert(metrics(login { login_token = token }))
    end)

    it("need an email and a password, or a token, and not both", function()
      for _, given in ipairs { { email = "a" }, { password = "b" },
        { email = "a", password = "b", login_token = "c" },
        { email = "a", password = "b", token = "c" } } do
        local message = raised(login, given)
        assert.truthy(message:find("garner.blendvision", 1, true), message)
      end
    end)
  end)
end)
