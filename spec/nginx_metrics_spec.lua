local exposition = require "spec.support.exposition"
local nginx = require "spec.support.nginx"
local simulator = require "spec.support.simulator"

-- Both workers publish by themselves, so a scrape of one tells of both.
local HTTP = [[
  lua_load_resty_core off;
  lua_shared_dict garner_counts 1m;
  init_worker_by_lua_block {
    require("garner").prometheus { dict = "garner_counts", interval = 0.2 }
  }
]]

local SERVER = [[
  location = /metrics {
    content_by_lua_block {
      ngx.header.content_type = "text/plain; version=0.0.4; charset=utf-8"
      ngx.print(require("garner").prometheus { dict = "garner_counts", interval = 0.2 })
    }
  }
  location = /fetch {
    content_by_lua_block {
      api = api or require("garner").client { base_url = "@SIM@" }
      assert(api:get "/_http/echo")
      local busy = os.clock() + 0.005 -- while the other worker takes what comes
      while os.clock() < busy do end
      ngx.print(ngx.worker.pid())
    }
  }
  location = /missing {
    content_by_lua_block {
      local ok, why = pcall(require("garner").prometheus, { dict = "nowhere" })
      ngx.print(why)
    }
  }
]]

nginx.describe(describe, pending)("garner.prometheus over the workers of an nginx", function()
  local server

  setup(function()
    server = nginx.start { workers = 2, http = HTTP, events = "accept_mutex off;",
      server = SERVER:gsub("@SIM@", simulator.get().url) }
  end)

  teardown(function()
    if server then server:stop() end
  end)

  local function scrape()
    local answer = server:get "/metrics"
    assert.equal(200, answer.status, server:error_log())
    local _, value = exposition.read(answer.body)
    return value
  end

  -- Both workers have fetched something: { [pid] = how often }.
  local function fetch_in_both(fetched)
    local seen, pids = {}, 0
    nginx.wait_for(function()
      local sent = {}
      for i = 1, 8 do sent[i] = server:send "/fetch" end
      for i = 1, 8 do
        local answer = sent[i]:finish()
        assert.equal(200, answer.status, server:error_log())
        pids = pids + (seen[answer.body] and 0 or 1)
        seen[answer.body] = true
        fetched[answer.body] = (fetched[answer.body] or 0) + 1
      end
      return pids == 2
    end)
    assert.equal(2, pids)
    return fetched
  end

  local function total(fetched)
    local sum = 0
    for _, count in pairs(fetched) do sum = sum + count end
    return sum
  end

  local function sums_to(name, wanted)
    local seen
    nginx.wait_for(function()
      seen = scrape()(name)
      return seen == wanted
    end, 10)
    assert.equal(wanted, seen)
  end

  it("adds up what all have done, and keeps what the dead did", function()
    local fetched = fetch_in_both {}
    sums_to("garner_exchanges_total", total(fetched))
    sums_to("garner_engines_started_total", 2)
    local open
    assert(nginx.wait_for(function()
      open = scrape() "garner_connections_open"
      return open >= 2
    end, 10))
    local pid = server:workers()[1]
    server:signal("KILL", pid)
    assert.is_true(nginx.gone { pid })
    assert(nginx.wait_for(function() return scrape() "garner_connections_open" < open end, 10))
    assert.equal(total(fetched), scrape() "garner_exchanges_total")
    fetch_in_both(fetched)
    sums_to("garner_exchanges_total", total(fetched))
    sums_to("garner_engines_started_total", 3)
  end)

  it("goes on over a reload, where workers tell what they did last", function()
    local before = scrape() "garner_exchanges_total"
    local fetched = fetch_in_both {}
    local old = server:reload()
    assert.is_true(nginx.gone(old))
    sums_to("garner_exchanges_total", before + total(fetched))
    sums_to("garner_connections_open", 0)
    assert.same({}, server:problems { "lua_load_resty_core", "writing a global", "signal 9" })
  end)

  it("raises where the dict is not there", function()
    assert.truthy(server:get("/missing").body:find("lua_shared_dict nowhere 1m;", 1, true))
  end)
end)
