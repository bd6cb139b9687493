-- The driver of nginx: where it can wait everything works as in a plain script, where it cannot
-- it says what to do.
local host = require "spec.support.nginx"
local simulator = require "spec.support.simulator"
local work = require "spec.support.nginx_work"

-- Module of the nginx under test: runs a request's body as Lua, in whatever phase it is asked to.
local PHASES = [[
local M = { results = {} }
function M.read()
  ngx.req.read_body()
  return assert(loadstring(ngx.req.get_body_data(), "=code"))
end
function M.call(fn)
  local ok, text = pcall(fn)
  return (ok and "" or "raised: ") .. tostring(text)
end
function M.finish(fn)
  ngx.print(M.call(fn or M.read()))
  return ngx.exit(200)
end
-- Where no body can be read: every way to wait.
function M.attempt(place)
  local garner, out = require "garner", {}
  local api = require "api"
  for i, fn in ipairs {
    function() return api:get "/up" end,
    function() return garner.wait(function() end, { timeout = 1, first = 0.01 }) end,
    function() return api:pages("/up", { items = "a", next = { link = "b" } }):next() end,
    function() return garner.all { function() return api:get "/up" end }[1].err end,
  } do
    out[i] = M.call(fn)
  end
  M.results[place] = table.concat(out, "\n")
end
return M
]]

local SERVER = [[
location /up { content_by_lua_block { ngx.shared.seen:incr("up", 1, 0) ngx.print("{}") } }
server_rewrite_by_lua_block {
  if ngx.var.uri == "/server_rewrite" then require("phases").finish() end
}
location /rewrite { rewrite_by_lua_block { require("phases").finish() } }
location /access { access_by_lua_block { require("phases").finish() } }
location /content { content_by_lua_block { require("phases").finish() } }
location /timer {
  content_by_lua_block {
    local phases = require "phases"
    local fn, text = phases.read(), nil
    ngx.timer.at(0, function() text = phases.call(fn) end)
    repeat ngx.sleep(0.005) until text
    ngx.print(text)
  }
}
location /thread {
  content_by_lua_block {
    local phases = require "phases"
    local fn = phases.read()
    local _, text = ngx.thread.wait(ngx.thread.spawn(phases.call, fn))
    ngx.print(text)
  }
}
location /coroutine {
  content_by_lua_block {
    local phases = require "phases"
    local fn = phases.read()
    local co = coroutine.wrap(function(...)
      coroutine.yield(...)
      return phases.call(fn)
    end)
    ngx.print(co "", co())
  }
}
location /subrequest {
  content_by_lua_block {
    ngx.req.read_body()
    local answer = ngx.location.capture("/content", { method = ngx.HTTP_POST,
      body = ngx.req.get_body_data() })
    ngx.print(answer.body)
  }
}
location /set {
  set_by_lua_block $nothing { require("phases").attempt "set" }
  return 200 "";
}
location /filters {
  header_filter_by_lua_block { require("phases").attempt "header_filter" }
  body_filter_by_lua_block { require("phases").attempt "body_filter" }
  log_by_lua_block { require("phases").attempt "log" }
  content_by_lua_block { ngx.print "ok" }
}
location /balancer { proxy_pass http://balanced; }
location /result {
  content_by_lua_block { ngx.print(require("phases").results[ngx.var.arg_of] or "") }
}
]]

local HTTP = [[
lua_shared_dict seen 1m;
init_by_lua_block {
  local garner = require "garner"
  package.loaded.api = garner.client { base_url = "http://127.0.0.1:@PORT@", retry = false }
  require("phases").attempt "init"
}
init_worker_by_lua_block { require("phases").attempt "init_worker" }
server {
  listen unix:@DIR@/tls.sock ssl;
  ssl_certificate @CERTIFICATES@/server.pem;
  ssl_certificate_key @CERTIFICATES@/server.key;
  ssl_client_hello_by_lua_block { require("phases").attempt "ssl_client_hello" }
  ssl_certificate_by_lua_block { require("phases").attempt "ssl_cert" }
  location / { return 200 "over TLS"; }
}
upstream balanced {
  server 127.0.0.1:1;
  balancer_by_lua_block { require("phases").attempt "balancer" }
}
]]

host.describe(describe, pending)("nginx's driver", function()
  local nginx, sim

  local function run(place, code, ...)
    local answer = nginx:get("/" .. place, { method = "POST", body = code:format(...) })
    assert.equal(200, answer.status, nginx:error_log())
    return answer.body
  end

  setup(function()
    sim = simulator.get()
    local http = HTTP:gsub("@CERTIFICATES@", (sim.ca_file:match "^(.*)/"))
    nginx = host.start { http = http, server = SERVER, files = { ["lua/phases.lua"] = PHASES },
      main = "env GARNER_SPEC_GIVEN=here;", env = "GARNER_SPEC_HIDDEN=there" }
  end)

  teardown(function()
    assert.same({}, nginx:stop())
  end)

  local expected

  for _, place in ipairs { "server_rewrite", "rewrite", "access", "content", "timer", "thread",
    "coroutine", "subrequest" } do
    it("does all that a plain script does: " .. place, function()
      local scope = sim:scope()
      work.prepare(scope)
      if not expected then
        expected = work.run(sim.url, scope.name, nginx.dir)
        require("garner").close()
        assert.truthy(expected:find("job done", 1, true), expected)
      end
      assert.equal(expected, run(place, [[
        return require("spec.support.nginx_work").run("%s", "%s", "%s")]], sim.url, scope.name,
        nginx.dir))
    end)
  end

  it("waits side by side, and the worker goes on meanwhile", function()
    local held = {}
    for i = 1, 5 do
      held[i] = nginx:send("/content", { method = "POST", body = [[
        local garner = require "garner"
        local api = garner.client { base_url = "]] .. sim.url .. [[" }
        return api:get("/_http/slow", { query = { seconds = 0.3 } }).status]] })
    end
    local socket = require "socket"
    local started = socket.gettime()
    assert.equal("2", run("content", "return 1 + 1"))
    assert.is_true(socket.gettime() - started < 0.25)
    for i = 1, 5 do
      assert.equal("200", held[i]:finish().body)
    end
  end)

  it("says in other phases what to do, and sends nothing", function()
    nginx:get "/set"
    nginx:get "/filters"
    nginx:get "/balancer"
    local pipe = io.popen("LD_PRELOAD= curl -sk --unix-socket " .. nginx.dir
      .. "/tls.sock https://localhost/")
    assert.equal("over TLS", pipe:read "*a")
    pipe:close()
    for place, advice in pairs {
      init = "init_worker_by_lua", init_worker = "start a timer", set = "rewrite_by_lua",
      header_filter = "start a timer", body_filter = "start a timer", log = "start a timer",
      balancer = "access_by_lua", ssl_client_hello = "start a timer", ssl_cert = "start a timer",
    } do
      local text = assert(host.wait_for(function()
        local body = nginx:get("/result?of=" .. place).body
        return body ~= "" and body
      end), place)
      local count = 0
      for line in text:gmatch "[^\n]+" do
        count = count + 1
        assert.truthy(line:find("lua/phases.lua:%d+: garner: nginx cannot wait in its " .. place
          .. " phase; "), line)
        assert.truthy(line:find(advice, 1, true), line)
        assert.truthy(line:find("ngx.timer.at(0, function() ... end)", 1, true), line)
      end
      assert.equal(4, count, text)
    end
    assert.equal("nil", run("content", 'return ngx.shared.seen:get "up"'))
    assert.equal(1, host.usage(nginx.pid).threads)
  end)

  it("says so where Lua itself cannot yield", function()
    local text = run("content", [[
      local api = require "api"
      return (string.gsub("a", "a", function()
        return select(2, pcall(api.get, api, "/up"))
      end))]])
    assert.truthy(text:find("^code:%d+: garner: nginx cannot wait inside require"), text)
    text = run("content", [[
      package.preload.waits = function()
        return select(2, pcall(require("garner").wait, function() end, { first = 0.01 }))
      end
      return (require "waits")]])
    assert.truthy(text:find("garner: nginx cannot wait inside require", 1, true), text)
    assert.equal("200", run("content", 'return require("api"):get("/up").status'))
  end)

  it("names the directive that lets an environment variable through", function()
    local text = run("content", [[
      local token = { env = "GARNER_SPEC_HIDDEN" }
      return require("garner").blendvision { org_id = "o", token = token }]])
    assert.truthy(text:find("GARNER_SPEC_HIDDEN is not set (in nginx the main configuration must "
      .. "say: env GARNER_SPEC_HIDDEN;)", 1, true), text)
    assert.equal("table", run("content", [[
      return type(require("garner").client { base_url = "http://127.0.0.1",
        auth = require("garner").auth.bearer { env = "GARNER_SPEC_GIVEN" } })]]))
  end)

  it("refuses an engine without a thread", function()
    local text = run("content", [[
      local garner = require "garner"
      garner.close()
      garner.engine { thread = false }
      local ok, why = pcall(require("api").get, require "api", "/up")
      garner.close()
      package.loaded["garner.engine"].configure {}
      return why]])
    assert.truthy(text:find("^code:%d+: garner: nginx needs an engine with a thread"), text)
    assert.equal("200", run("content", 'return require("api"):get("/up").status'))
  end)

  it("logs through ngx.log, at the right levels, in parts that nginx does not cut off", function()
    run("content", [[
      local log = require("garner.log").new("trace")
      for _, level in ipairs { "error", "warn", "info", "debug", "trace" } do
        log(level, "event", { of = level })
      end
      log("error", "long", { checkpoint = ("0123456789"):rep(500) .. "END" })]])
    local text = nginx:error_log()
    for level, tag in pairs { error = "error", warn = "warn" } do
      assert.truthy(text:find("%[" .. tag .. "%][^\n]*garner " .. level .. " event of=" .. level))
    end
    assert.falsy(text:find("garner info", 1, true)) -- error_log is at notice
    local digits = 0
    for part in text:gmatch "([%dEND]+) %(part %d of %d%)" do digits = digits + #part end
    assert.equal(5003, digits)
    assert.truthy(text:find("END (part 3 of 3)", 1, true))
  end)

  it("leaves nothing else in the error log, and no thread but the engine's", function()
    assert.same({}, nginx:problems { "garner %l+ event of=", "garner error long", "part %d of %d",
      "balancer", "connect%(%) failed", "upstream" })
    assert.is_true(host.usage(nginx:workers()[1]).threads <= 3)
  end)
end)
