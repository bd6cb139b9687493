-- Which requests share a connection: over HTTP/2 all of them, as many as the server allows, with
-- one connection opened at a time; over HTTP/1.1 each has its own, at once. Who waits for a
-- connection does so by its own deadline.
local clients = require "spec.support.clients"
local compat = require "garner.compat"
local core = require "garner.core"
local faults = require "spec.support.faults"
local garner = require "garner"
local simulator = require "spec.support.simulator"

-- Entries of `garner.all` for so many requests side by side.
local function burst(api, count, options)
  local fns = {}
  for i = 1, count do
    fns[i] = function() return api:get("/x", options and options(i)) end
  end
  return garner.all(fns, { concurrency = count })
end

local function check_all(entries)
  for _, entry in ipairs(entries) do
    assert.is_true(entry.ok, tostring(entry.err))
    assert.equal(1, #entry[1].attempts)
  end
end

describe("a burst of requests", function()
  local s

  before_each(function() s = faults.start() end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function client(kind, options)
    options = options or {}
    options.base_url, options.ca_file = s:tls(kind), s.ca_file
    return clients.client(options)
  end

  it("goes over one connection, the first one too", function()
    s:script("*", { body = "{}", delay = 0.02 })
    local api = client "h2"
    check_all(burst(api, 40))
    check_all(burst(api, 120)) -- more than the 100 that libcurl takes for enough
    assert.equal(1, s:state().connections)
  end)

  it("opens one connection after the other above the server's limit of streams", function()
    s:script("*", { body = "{}", delay = 0.02 })
    local api = client "h2_2"
    assert(api:get "/x")
    check_all(burst(api, 24))
    local opened = s:state().connections
    assert.is_true(opened >= 2 and opened <= 13, tostring(opened))
    check_all(burst(api, 24))
    assert.is_true(s:state().connections <= 13)
  end)

  it("has its connections at once where the server speaks HTTP/1.1", function()
    s:script("/x", { body = "{}", delay = 1 })
    local api = client "good"
    check_all(burst(api, 8))
    assert.equal(8, s:state().connections)
    local seen = s:seen "/x"
    assert.is_true(seen[8].time - seen[1].time < 1, "one after the other")
  end)

  it("waits for a connection no longer than each may", function()
    s:on_connect({ { stall = true } }, { { stall = true } }, { { stall = true } })
    local api = client("h2", { connect_timeout = 20, retry = false })
    local began = core.now()
    local entries = burst(api, 3, function(i) return { timeout = 0.1 * i } end)
    assert.is_true(core.now() - began < 10)
    for i, entry in ipairs(entries) do
      assert.equal("timeout", entry.err.kind, i)
      assert.equal("deadline", entry.err.code, i)
    end
  end)

  it("does not meet a silent server one after the other", function()
    local stalls = {}
    for i = 1, 8 do stalls[i] = { { stall = true } } end
    s:on_connect(compat.unpack(stalls))
    local api = client("h2", { connect_timeout = 0.4, retry = false })
    local began = core.now()
    for i, entry in ipairs(burst(api, 8)) do
      assert.equal("connect", entry.err.code, i)
    end
    assert.is_true(core.now() - began < 8 * 0.4, "in a row")
    assert.equal(8, s:state().connections)
  end)

  it("is not held up by those of it that are cancelled", function()
    s:on_connect({ { stall = true } })
    s:script("*", { body = "{}" })
    local api = client("h2", { connect_timeout = 20, retry = false })
    local entries = garner.all({
      function() return api:get("/x", { timeout = 0.2 }) end,
      function() return api:get "/x" end,
      function() return api:get "/x" end,
    }, { concurrency = 3 })
    assert.equal("timeout", entries[1].err.kind)
    assert.is_true(entries[2].ok and entries[3].ok)
  end)

  it("ends with the client while it waits", function()
    s:on_connect({ { stall = true } })
    local api = client("h2", { connect_timeout = 20, retry = false })
    local fns = {}
    for i = 1, 4 do fns[i] = function() return api:get "/x" end end
    fns[5] = function()
      garner.wait(function() return s:state().connections == 1 or nil end, { first = 0.01 })
      garner.close()
    end
    for i, entry in ipairs(garner.all(fns, { concurrency = 5 })) do
      if i < 5 then assert.equal("cancelled", entry.err.kind) end
    end
  end)

  it("shares a real server's connection", function()
    local tls_url, ca_file = simulator.get().tls_url, simulator.get().ca_file
    local before = garner.stats().connections.opened
    local api = clients.client { base_url = tls_url, ca_file = ca_file }
    local fns = {}
    for i = 1, 32 do fns[i] = function() return api:get "/_http/bytes/1024" end end
    check_all(garner.all(fns, { concurrency = 32 }))
    assert.equal(1, garner.stats().connections.opened - before)
  end)
end)
