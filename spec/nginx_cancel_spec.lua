-- Who stops waiting in nginx: clients that go away, requests that end, threads that are killed.
-- What they asked for is cancelled, the upstream sees it, and nobody waits for ever.
local faults = require "spec.support.faults"
local host = require "spec.support.nginx"
local socket = require "socket"

local SERVER = [[
lua_check_client_abort on;
location /run {
  content_by_lua_block {
    ngx.req.read_body()
    local ok, text = pcall(assert(loadstring(ngx.req.get_body_data(), "=code")))
    ngx.print(ok and "" or "raised: ", tostring(text))
  }
}
location /get {
  content_by_lua_block {
    local res, err = require("api"):get(ngx.var.arg_path)
    ngx.print(res and res.status or err.kind .. " " .. tostring(err.code))
  }
}
location /many {
  content_by_lua_block {
    local fns = {}
    for i = 1, 3 do fns[i] = function() return require("api"):get("/stall/" .. i) end end
    ngx.print(require("garner").all(fns).failed)
  }
}
location /other {
  content_by_lua_block {
    ngx.thread.spawn(function() require("api"):get "/stall" end)
    local how = ngx.var.arg_by
    ngx.sleep(0.05)
    if how == "exit" then return ngx.exit(204) end
    if how == "exec" then return ngx.exec "/elsewhere" end
    if how == "redirect" then return ngx.redirect "/elsewhere" end
  }
}
location /kill {
  content_by_lua_block {
    local thread = ngx.thread.spawn(function() require("api"):get "/stall" end)
    ngx.sleep(0.05)
    ngx.print(tostring(ngx.thread.kill(thread)), " ", require("api"):get("/ok").status)
  }
}
location /elsewhere { return 200 "elsewhere"; }
]]

host.describe(describe, pending)("Who stops waiting in nginx", function()
  local nginx, upstream

  local function run(code)
    return nginx:get("/run", { method = "POST", body = code }).body
  end

  local function usage()
    local now = host.usage(nginx:workers()[1])
    return now.threads .. " threads"
  end

  -- The upstream has seen the n-th request of the path end because garner hung up.
  local function was_cancelled(path, n)
    return host.wait_for(function()
      local seen = upstream:seen(path)[n or 1]
      return seen and seen.ended == "client"
    end) == true
  end

  setup(function()
    upstream = faults.start()
    upstream:script("/ok", { body = "{}" })
    for _, path in ipairs { "/stall", "/stall/1", "/stall/2", "/stall/3" } do
      upstream:script(path, { { stall = true } })
    end
    nginx = host.start { server = SERVER, http = [[
      lua_socket_log_errors on;
      init_by_lua_block {
        package.loaded.api = require("garner").client { retry = false,
          base_url = "]] .. upstream.url .. [[" }
      }
    ]] }
    assert.equal("200", nginx:get("/get?path=/ok").body)
  end)

  teardown(function()
    assert.same({}, nginx:stop())
    upstream:stop()
  end)

  before_each(function()
    for _, path in ipairs { "/stall", "/stall/1", "/stall/2", "/stall/3" } do
      upstream:script(path, { { stall = true } })
    end
  end)

  it("a client: its request is cancelled upstream", function()
    local before = upstream:count "/stall"
    local request = nginx:send "/get?path=/stall"
    upstream:wait_for(before + 1, "/stall")
    request:abort()
    assert.is_true(was_cancelled("/stall", before + 1))
    assert.equal("200", nginx:get("/get?path=/ok").body)
  end)

  it("a client whose request waits for many: all of them", function()
    local request = nginx:send "/many"
    for i = 1, 3 do upstream:wait_for(1, "/stall/" .. i) end
    request:abort()
    for i = 1, 3 do
      assert.is_true(was_cancelled("/stall/" .. i), "the upstream of " .. i)
    end
  end)

  it("a task that has ended: what it gave is not kept, whatever ran beside it", function()
    run [[package.loaded.kept = setmetatable({}, { __mode = "k" })]]
    local function sleeper(seconds)
      return nginx:send("/run", { method = "POST", body = [[
        local mine = {}
        require("kept")[mine] = true
        return require("garner").all { function()
          ngx.sleep(]] .. seconds .. [[)
          return mine
        end }.failed]] })
    end
    local first = sleeper(0.1)
    local second = sleeper(0.2)
    assert.equal("0 0", first:finish().body .. " " .. second:finish().body)
    assert.equal("nil", run [[
      require("garner").all { function() return require("api"):get "/ok" end }
      collectgarbage() collectgarbage()
      return next(require "kept")]])
  end)

  it("only that client: others go on", function()
    upstream:script("/slow", { delay = 0.3, body = "{}" })
    local before = upstream:count "/stall"
    local slow, gone = nginx:send "/get?path=/slow", nginx:send "/get?path=/stall"
    upstream:wait_for(before + 1, "/stall")
    gone:abort()
    assert.is_true(was_cancelled("/stall", before + 1))
    assert.equal("200", slow:finish().body)
  end)

  for how, outcome in pairs { exit = "204 ", exec = "200 elsewhere", redirect = "302 " } do
    it("a request that another of its threads ends: ngx." .. how, function()
      local before = upstream:count "/stall"
      local answer = nginx:get("/other?by=" .. how)
      assert.equal(outcome, answer.status .. " " .. (answer.status == 302 and "" or answer.body))
      assert.is_true(was_cancelled("/stall", before + 1))
    end)
  end

  it("a light thread that is killed; its request goes on", function()
    local before = upstream:count "/stall"
    assert.equal("1 200", nginx:get("/kill").body)
    assert.is_true(was_cancelled("/stall", before + 1))
  end)

  it("those whose engine another request closes: kind cancelled, and the next works", function()
    local before, held = upstream:count "/stall", {}
    for i = 1, 4 do held[i] = nginx:send "/get?path=/stall" end
    held[5] = nginx:send "/many"
    upstream:wait_for(before + 4, "/stall")
    upstream:wait_for(1, "/stall/3")
    local threads = usage()
    assert.equal("nil", run 'return require("garner").close()')
    for i = 1, 4 do
      assert.equal("cancelled cancelled", held[i]:finish().body)
    end
    assert.equal("3", held[5]:finish().body)
    assert.equal("200", nginx:get("/get?path=/ok").body)
    assert.equal(threads, usage())
    assert.equal(2, #nginx:leftovers())
  end)

  it("those whose connection to the engine is torn down: cancelled, and the next works", function()
    local before, held = upstream:count "/stall", {}
    for i = 1, 3 do held[i] = nginx:send "/get?path=/stall" end
    upstream:wait_for(before + 3, "/stall")
    -- Shuts down the engine's ends, without the one that listens.
    local torn = run [[
      local ffi = require "ffi"
      ffi.cdef "int shutdown(int fd, int how); ssize_t readlink(const char *, char *, size_t);"
      local mine, torn, buffer = {}, 0, ffi.new("char[200]")
      for line in io.lines "/proc/net/unix" do
        local inode = line:match "00000000 %x+ 03 +(%d+) %S*/bell$"
        if inode then mine[tonumber(inode)] = true end
      end
      for fd = 3, 200 do
        local n = ffi.C.readlink("/proc/self/fd/" .. fd, buffer, 200)
        local inode = n > 0 and ffi.string(buffer, n):match "^socket:%[(%d+)%]$"
        if inode and mine[tonumber(inode)] then
          ffi.C.shutdown(fd, 2)
          torn = torn + 1
        end
      end
      return torn]]
    assert.is_true(tonumber(torn) >= 3, torn)
    for i = 1, 3 do
      assert.truthy(held[i]:finish().body:find "^cancelled")
    end
    assert.equal("200", nginx:get("/get?path=/ok").body)
  end)

  it("nobody, where the engine's socket is gone: they look now and then instead", function()
    upstream:script("/slow", { delay = 0.1, body = "{}" })
    run [[require("garner").close()]]
    assert.equal("200", nginx:get("/get?path=/ok").body)
    os.execute(("mv %s/run/*/bell %s/moved"):format(nginx.dir, nginx.dir))
    -- Pooled connections go on; new ones cannot be had.
    local held = {}
    for i = 1, 5 do held[i] = nginx:send "/get?path=/slow" end
    for i = 1, 5 do assert.equal("200", held[i]:finish().body) end
    local _, warnings = nginx:error_log():gsub("garner warn nginx.no_connection", "")
    assert.is_true(warnings >= 1 and warnings < 5, nginx:error_log())
    run [[require("garner").close()]]
    assert.equal("200", nginx:get("/get?path=/slow").body)
  end)

  it("nobody, where the upstream is down: an error at once", function()
    local text = run [[
      local api = require("garner").client { base_url = "http://127.0.0.1:1", retry = false }
      local _, err = api:get "/"
      api:close()
      return err.kind .. " " .. err.code]]
    assert.equal("transport connect", text)
  end)

  it("waits that have a deadline leave nothing in the error log", function()
    local started = socket.gettime()
    assert.equal("timeout nil", run [[
      local garner, fns = require "garner", {}
      fns[1] = function()
        local _, err = require("api"):get("/stall", { timeout = 0.3 })
        return err.kind
      end
      fns[2] = function() return garner.wait(function() end, { timeout = 0.2, first = 0.03 }) end
      local out = garner.all(fns)
      return out[1][1] .. " " .. tostring(out[2][1])]])
    assert.is_true(socket.gettime() - started < 5)
    assert.same({}, nginx:problems { "no_connection", "connect%(%) to unix:", "peer closed",
      "recv%(%) failed", "send%(%) failed" })
  end)
end)
