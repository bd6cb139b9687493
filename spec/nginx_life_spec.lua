-- Lives of workers in nginx: reload, quit, kill, a new Lua for every request. No request is lost,
-- no thread, descriptor, socket file or process stays behind.
local faults = require "spec.support.faults"
local host = require "spec.support.nginx"

local SERVER = [[
lua_check_client_abort on;
location /get {
  content_by_lua_block {
    local res, err = require("api"):get(ngx.var.arg_path)
    ngx.print(res and res.status or err.kind)
  }
}
# As nginx does by itself on a LuaJIT that is not OpenResty's.
location /inherited {
  content_by_lua_block {
    local own = setmetatable({}, { __index = _G })
    own._G = own
    setfenv(0, own)
    local res, err = require("api"):get "/ok"
    ngx.print(res and res.status or err.kind, " ", require("garner.driver").host().name, " ",
      rawget(getfenv(require("garner.driver").host), "ngx") == nil)
  }
}
location /timer {
  content_by_lua_block {
    local path = ngx.var.arg_path
    ngx.timer.at(0, function()
      local res, err = require("api"):get(path)
      local again, why = require("api"):get(path)
      ngx.log(ngx.NOTICE, "timer: ", res and res.status or err.kind, ", then ",
        again and again.status or why.kind)
    end)
    ngx.timer.at(0, function()
      local ok, err = pcall(require("garner").wait, function() end, { timeout = 60 })
      ngx.log(ngx.NOTICE, "timer that sleeps: ", ok and "over" or err.kind)
    end)
  }
}
]]

-- With the code cache off there is no module that lasts: a client is made for each request.
local HTTP = [[
init_by_lua_block {
  package.preload.api = function()
    return require("garner").client { base_url = "%s", retry = false }
  end
}
]]

-- So many requests, `width` at a time; `each(i)` is called before the i-th. Gives how many had
-- which outcome.
local function load_of(nginx, path, count, width, each)
  local held, outcomes = {}, {}
  local function finish(i)
    local answer = held[i % width]:finish()
    local outcome = answer.status == 200 and answer.body or tostring(answer.status or answer.why)
    outcomes[outcome] = (outcomes[outcome] or 0) + 1
  end
  for i = 1, count do
    if i > width then finish(i) end
    if each then each(i) end
    held[i % width] = nginx:send(path)
  end
  for i = count + 1, count + width do finish(i) end
  return outcomes
end

host.describe(describe, pending)("A worker of nginx", function()
  local nginx, upstream

  local function start(options)
    options.server = SERVER
    options.http = HTTP:format(upstream.url) .. (options.http or "")
    nginx = host.start(options)
    return nginx
  end

  setup(function()
    upstream = faults.start()
    upstream:script("/ok", { body = "{}" })
    upstream:script("/slow", { delay = 0.05, body = "{}" })
    upstream:script("/slower", { delay = 0.5, body = "{}" })
  end)

  teardown(function()
    upstream:stop()
  end)

  before_each(function()
    upstream:script("/stall", { { stall = true } })
  end)

  after_each(function()
    nginx:stop()
  end)

  it("loses no request over reloads, and leaves nothing", function()
    start { workers = 2 }
    local old = nginx:workers()
    local outcomes = load_of(nginx, "/get?path=/slow", 210, 6, function(i)
      if i % 40 == 0 then
        for _, pid in ipairs(nginx:reload()) do old[#old + 1] = pid end
      end
    end)
    assert.same({ ["200"] = 210 }, outcomes)
    nginx:signal "QUIT"
    assert.is_true(host.gone(old))
    assert.is_true(host.gone { nginx.pid })
    assert.same({}, nginx:leftovers())
    assert.same({}, nginx:problems())
  end)

  it("finishes what is in flight when it quits", function()
    start {}
    local request = nginx:send "/get?path=/slower"
    upstream:wait_for(1, "/slower")
    nginx:signal "QUIT"
    assert.equal("200", request:finish().body)
    assert.is_true(host.gone { nginx.pid })
    assert.same({}, nginx:leftovers())
    assert.same({}, nginx:problems())
  end)

  it("ends at once when it is told to, whatever is in flight", function()
    start { workers = 2 }
    local pids = nginx:workers()
    local before, held = upstream:count "/stall", {}
    for i = 1, 4 do held[i] = nginx:send "/get?path=/stall" end
    nginx:get "/timer?path=/stall"
    upstream:wait_for(before + 5, "/stall")
    nginx:signal "TERM"
    assert.is_true(host.gone(pids, 10))
    assert.is_true(host.gone({ nginx.pid }, 10))
    for i = 1, 4 do assert.is_nil(held[i]:finish().status) end
    assert.same({}, nginx:leftovers())
    assert.same({}, nginx:problems()) -- no worker that crashed, either
    for i = 1, 5 do
      assert.truthy(host.wait_for(function()
        return upstream:seen "/stall"[before + i].ended == "client"
      end))
    end
  end)

  it("waits no longer for requests and timers than nginx's shutdown timeout", function()
    start { main = "worker_shutdown_timeout 500ms;" }
    local before = upstream:count "/stall"
    local request = nginx:send "/get?path=/stall"
    nginx:get "/timer?path=/stall"
    upstream:wait_for(before + 2, "/stall")
    assert.is_true(host.gone(nginx:reload(), 15), nginx:error_log())
    assert.equal("200", nginx:get("/get?path=/ok").body)
    assert.is_nil(request:finish().status)
    for i = 1, 2 do
      assert.equal("client", upstream:seen "/stall"[before + i].ended)
    end
    local log = nginx:error_log()
    assert.truthy(log:find("timer: cancelled, then cancelled", 1, true), log)
    assert.truthy(log:find("timer that sleeps: cancelled", 1, true), log)
    assert.equal(2, #nginx:leftovers()) -- the new worker's
    assert.same({}, nginx:problems { "garner error raised error=\"cancelled: nginx shuts" })
  end)

  it("that was killed leaves its folder to the next, which removes it", function()
    start {}
    assert.equal("200", nginx:get("/get?path=/ok").body)
    local before = nginx:leftovers()
    assert.equal(2, #before)
    local pid = nginx:workers()[1]
    nginx:signal("KILL", pid)
    assert.truthy(host.wait_for(function()
      local now = nginx:workers()
      return #now == 1 and now[1] ~= pid
    end))
    assert.same(before, nginx:leftovers())
    assert.equal("200", nginx:get("/get?path=/ok").body)
    local after = nginx:leftovers()
    assert.equal(2, #after)
    assert.not_equal(before[1], after[1])
  end)

  it("does not grow with requests", function()
    start {}
    load_of(nginx, "/get?path=/ok", 200, 8)
    local pid = nginx:workers()[1]
    local before = host.usage(pid)
    assert.same({ ["200"] = 1500 }, load_of(nginx, "/get?path=/ok", 1500, 8))
    local after = host.usage(pid)
    assert.equal(before.threads, after.threads)
    assert.is_true(after.descriptors <= before.descriptors + 3)
    assert.is_true(after.rss < before.rss + 4096, before.rss .. " " .. after.rss)
  end)

  it("with the code cache off ends each engine with its request", function()
    start { http = "lua_code_cache off;" }
    local pid = nginx:workers()[1]
    assert.same({ ["200"] = 20 }, load_of(nginx, "/get?path=/ok", 20, 4))
    local before = host.usage(pid)
    assert.same({ ["200"] = 60 }, load_of(nginx, "/get?path=/ok", 60, 4))
    assert.equal("200 nginx true", nginx:get("/inherited").body)
    local request, stalled = nginx:send "/get?path=/stall", upstream:count "/stall"
    upstream:wait_for(stalled + 1, "/stall")
    request:abort()
    nginx:get "/timer?path=/ok"
    local after
    assert(host.wait_for(function()
      after = host.usage(pid)
      return after.threads == 2 -- the sleeping timer's own engine
    end), tostring(after.threads))
    assert.is_true(after.descriptors <= before.descriptors + 12)
    assert.is_true(after.rss < before.rss + 8192, before.rss .. " " .. after.rss)
    assert.is_true(#nginx:leftovers() <= 2)
    assert.same({}, nginx:problems { "lua_code_cache is off" })
  end)
end)
