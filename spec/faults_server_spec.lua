-- The server of faults itself: specs rely on what it says it did.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local simulator = require "spec.support.simulator"

local fetch = simulator.fetch

describe("the server of faults", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function() s:stop() end)

  it("gives the n-th request of a path the n-th answer", function()
    s:script("/a", { status = 503, headers = { "Retry-After: 7" } }, { body = "second" })
    assert.equal("7", fetch(s.url .. "/a").headers["retry-after"])
    assert.equal("second", fetch(s.url .. "/a?x=1").body)
    assert.equal("second", fetch(s.url .. "/a").body)
    assert.equal(404, fetch(s.url .. "/b").status)
    s:script("*", { status = 202 })
    assert.equal(202, fetch(s.url .. "/b").status)
    assert.equal(3, s:count "/a")
    local seen = s:seen "/a"
    assert.equal("x=1", seen[2].query)
    assert.equal(5, #s:seen())
    assert.same({ 1, 2, 3 }, { seen[1].nth, seen[2].nth, seen[3].nth })
  end)

  it("remembers what was sent, to every byte", function()
    local bytes = "\0\r\n\"\\\255" .. ("x"):rep(3000)
    s:script("/a", {})
    fetch(s.url .. "/a", { method = "PUT", body = bytes, headers = { ["X-A"] = "b" } })
    local request = s:seen("/a")[1]
    assert.equal("PUT", request.method)
    assert.equal(bytes, request.body)
    assert.equal("b", request.headers["x-a"])
    assert.equal("keep", request.ended)
    assert.equal(1, s:state().connections)
  end)

  it("keeps scopes apart, and shares scripts between a scope's ports", function()
    local other = faults.start()
    s:script("/a", { body = "mine" })
    assert.equal(404, fetch(other.url .. "/a").status)
    assert.equal("mine", fetch(s:origin() .. "/a").body)
    assert.equal("mine", fetch(s:tls() .. "/a", { ca_file = s.ca_file }).body)
    assert.same({ "good" }, { s:seen("/a")[2].tls })
    assert.equal(1, other:count "/a")
    assert.equal(2, s:count "/a")
    other:stop()
    assert.equal(7, fetch(other.url .. "/a").exit)
  end)

  it("resets, cuts, stalls and drips", function()
    s:script("/reset", { { reset = true } })
    s:script("/cut", { body = "0123456789", cut = 4 })
    s:script("/stall", { body = "0123456789", cut = 4, after = "stall" })
    s:script("/drip", { body = "abc", every = 0.01 })
    assert.equal(56, fetch(s.url .. "/reset").exit)
    assert.equal(18, fetch(s.url .. "/cut").exit)
    assert.equal(28, fetch(s.url .. "/stall", { timeout = 0.2 }).exit)
    assert.equal("abc", fetch(s.url .. "/drip").body)
    assert.equal("reset", s:seen("/reset")[1].ended)
    assert.equal("close", s:seen("/cut")[1].ended)
    assert.equal("client", s:seen("/stall")[1].ended)
  end)

  it("packs what is larger than it looks", function()
    s:script("/bomb", { gzip = 2, body = { zeros = 1000000 } })
    local packed = fetch(s.url .. "/bomb")
    assert.equal("gzip, gzip", packed.headers["content-encoding"])
    assert.is_true(#packed.body < 1000)
    assert.equal(1000000, #fetch(s.url .. "/bomb", { args = "--compressed" }).body)
  end)

  it("runs Lua for what no field says, and reports what went wrong in it", function()
    s:script("/run", { { run = [[
      local c, request = ...
      c:send("HTTP/1.1 200 OK\r\n\r\n" .. request.query)]] } })
    assert.equal("q", fetch(s.url .. "/run?q").body)
    local bad = faults.start()
    bad:script("/bad", { { run = "error 'oops'" } })
    fetch(bad.url .. "/bad")
    assert.truthy(clients.raised(bad.stop, bad):find("oops", 1, true))
  end)

  it("ends with its process, however that ends", function()
    local script = [[
      package.path = "./?.lua;" .. package.path
      local faults = require "spec.support.faults"
      local s = faults.start()
      print(s.url, s.ca_file)
      io.stdout:flush()
      os.execute("kill -9 $PPID")]]
    local _, output = clients.run(script)
    local url, ca_file = output:match "(http://%S+)%s+(%S+)"
    local waited = 0
    while fetch(url .. "/").exit ~= 7 or io.open(ca_file) do
      waited = waited + 1
      assert(waited < 100, "still there")
      require("system").sleep(0.05)
    end
  end)
end)
