local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local garner = require "garner"
local process = require "spec.support.process"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

teardown(process.clean)

-- What was counted meanwhile.
local function change(fn)
  local before = garner.stats()
  fn()
  local after = garner.stats()
  local function minus(a, b)
    local out = {}
    for name, value in pairs(a) do
      out[name] = type(value) == "table" and minus(value, b[name]) or value - b[name]
    end
    return out
  end
  after.durations, before.durations = nil, nil
  return minus(after, before)
end

describe("garner.stats", function()
  after_each(clients.close_all)

  it("counts attempts by class, errors by kind, connections", function()
    local s = faults.start()
    s:script("/good", { body = "{}" }, { body = "{}" })
    s:script("/gone", { status = 404, body = "" })
    s:script("/ill", { status = 500, body = "" }, { body = "{}" })
    s:script("/moved", { status = 302, headers = { Location = "/good" }, body = "" })
    local api = clients.client { base_url = s:origin(), retry = { backoff = 0.01 } }
    local d = change(function()
      assert(api:get "/good")
      assert.is_nil((api:get "/gone"))
      assert(api:get "/ill")
      assert(api:get "/moved")
    end)
    assert.equal(4, d.exchanges)
    assert.equal(6, d.requests)
    assert.same({ ["1xx"] = 0, ["2xx"] = 3, ["3xx"] = 1, ["4xx"] = 1, ["5xx"] = 1, none = 0 },
      d.responses)
    assert.equal(1, d.errors.not_found)
    assert.equal(0, d.errors.server)
    assert.equal(1, d.retries)
    assert.same({ backoff = 1, retry_after = 0, retry_info = 0, throttled = 0 }, d.retried)
    assert.equal(6, d.connections.opened + d.connections.reused)
    assert.equal(0, d.in_flight)
    s:stop()
  end)

  it("counts pages, polls and files", function()
    local scope = sim:scope()
    local api = clients.client({}, scope)
    local d = change(function()
      local walk = api:pages("/_http/echo", { items = "nothing", next = { page = "page" } })
      assert(walk:next())
      walk:close()
    end)
    assert.equal(1, d.pages)
    local path = os.tmpname()
    d = change(function()
      assert(api:download(scope.url .. "/_http/bytes/2048", path))
    end)
    os.remove(path)
    assert.equal(1, d.downloads)
    assert.equal(2048, d.bytes_received)
  end)

  it("times exchanges and attempts", function()
    local api = clients.client()
    local before = garner.stats().durations
    assert(api:get "/_http/delay/30")
    local after = garner.stats().durations
    for _, name in ipairs { "exchange", "request" } do
      local list, old = after[name], before[name]
      assert.equal(math.huge, list[#list][1])
      assert.equal(old[#old][2] + 1, list[#list][2])
      assert.is_true(list.sum - old.sum > 0.025) -- the server counts from a time it has cached
      for i = 2, #list do
        assert.is_true(list[i][1] > list[i - 1][1] and list[i][2] >= list[i - 1][2])
      end
      assert.equal(old[3][2], list[3][2]) -- 0.025 s
    end
  end)

  it("goes on after the engine was closed; gauges do not", function()
    local before = garner.stats()
    for _ = 1, 2 do
      assert(clients.client():get "/_http/echo")
      assert.equal(1, garner.stats().connections.open)
      garner.close()
    end
    local after = garner.stats()
    assert.equal(before.engines + 2, after.engines)
    assert.equal(before.exchanges + 2, after.exchanges)
    assert.equal(before.connections.opened + 2, after.connections.opened)
    assert.equal(0, after.connections.open)
    assert.equal(0, after.in_flight)
    assert.same({ rate = 0, retry = 0, token = 0 }, after.waiting)
  end)

  it("tells who waits for the rate", function()
    local api = clients.client { rate = 4, burst = 1 }
    local seen = 0
    garner.all {
      function() api:get "/_http/echo" end, function() api:get "/_http/echo" end,
      function()
        garner.wait(function()
          seen = garner.stats().waiting.rate
          return seen > 0 or nil
        end, { first = 0.01, factor = 1, timeout = 5 })
      end,
    }
    assert.equal(1, seen)
    assert.equal(0, garner.stats().waiting.rate)
  end)

  it("begins anew in a child of fork", function()
    local code, output = clients.run(([[
      local process = package.loadlib(%q, "luaopen_process")()
      local garner = require "garner"
      local api = garner.client { base_url = %q }
      assert(api:get "/_http/echo")
      assert(garner.stats().exchanges == 1)
      local child = process.fork()
      if child == 0 then
        local s = garner.stats()
        local zero = s.exchanges == 0 and s.connections.open == 0 and s.engines == 0
        api:get "/_http/echo"
        process.leave(zero and garner.stats().exchanges == 1 and 0 or 1)
      end
      print(process.wait(child) == 0, garner.stats().exchanges)
      api:close()
    ]]):format(process.module(), sim.url))
    assert.equal(0, code, output)
    assert.equal("true\t1\n", output)
  end)
end)
