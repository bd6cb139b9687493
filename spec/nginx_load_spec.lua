-- garner's files inside nginx, before anything is asked for: what loading them does to a worker.
local host = require "spec.support.nginx"

-- The signals that a process catches and ignores, without glibc's own for threads (33).
local function handlers(pid)
  local file = assert(io.open(("/proc/%d/status"):format(pid)))
  local text = file:read "*a"
  file:close()
  return text:match "SigIgn:%s*%x*(%x%x%x%x%x%x%x%x)\n" .. " "
    .. text:match "SigCgt:%s*%x*(%x%x%x%x%x%x%x%x)\n"
end

host.describe(describe, pending)("garner loaded in nginx", function()
  local nginx

  setup(function()
    nginx = host.start {
      main = "worker_shutdown_timeout 5s;",
      http = [[
        init_by_lua_block {
          local garner = require "garner"
          package.loaded.api = garner.client { base_url = "http://127.0.0.1:1", retry = false }
        }
      ]],
      server = [[
        location /version { content_by_lua_block { ngx.print(require("garner")._VERSION) } }
        location /client { content_by_lua_block { ngx.print(type(require("api").get)) } }
        location /ask {
          content_by_lua_block {
            local path = package.path
            package.path = "" -- the master has loaded all that it takes
            local _, err = require("api"):get "/"
            package.path = path
            ngx.print(err.kind)
          }
        }
        location /all {
          content_by_lua_block {
            local garner, kinds = require "garner", {}
            for i, name in ipairs { "blendvision", "google_reports", "shoplazza", "api" } do
              kinds[i] = type(garner[name])
            end
            ngx.print(table.concat(kinds, " "))
          }
        }
      ]],
    }
  end)

  teardown(function()
    assert.same({}, nginx:stop())
  end)

  it("says its version, and has its vendors", function()
    assert.equal(require("garner")._VERSION, nginx:get("/version").body)
    assert.equal("function function function function", nginx:get("/all").body)
  end)

  it("lets a client be made in init_by_lua without a thread in master or worker", function()
    assert.equal("function", nginx:get("/client").body)
    for _, pid in ipairs { nginx.pid, nginx:workers()[1] } do
      assert.equal(1, host.usage(pid).threads)
    end
  end)

  it("leaves nginx's signal handlers alone, also when its engine runs", function()
    local plain = host.start { server = "location / { content_by_lua_block { ngx.print(1) } }" }
    assert.equal("1", plain:get("/").body)
    assert.equal("transport", nginx:get("/ask").body)
    assert.is_true(host.usage(nginx:workers()[1]).threads > 1)
    assert.equal(handlers(plain.pid), handlers(nginx.pid))
    assert.equal(handlers(plain:workers()[1]), handlers(nginx:workers()[1]))
    assert.same({}, plain:stop())
  end)

  it("writes no global and nothing to the error log, also over a reload", function()
    local old = nginx:reload()
    assert.is_true(host.gone(old))
    assert.equal("function", nginx:get("/client").body)
    assert.same({}, nginx:problems())
  end)
end)
