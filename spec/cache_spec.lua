-- garner.cache by itself: what is kept and for how long, one fetch for all who ask, what stands in
-- where a fetch fails, dicts that are full, broken or of another kind.

local clients = require "spec.support.clients"
local driver = require "garner.driver"
local garner = require "garner"
local memory = require "garner.cache.memory"
local stats = require "garner.stats"

local raised = clients.raised

-- A dict whose calls are counted, and that can be made to fail.
local function watched(inner)
  inner = inner or memory.new()
  local dict = { calls = {}, keys = {} }
  for _, name in ipairs { "get", "set", "add", "delete" } do
    dict[name] = function(self, key, ...)
      self.calls[name], self.keys[key] = (self.calls[name] or 0) + 1, true
      if self.broken then error "the dict is gone" end
      if self.refuse and name ~= "get" and name ~= "delete" then return nil, self.refuse end
      return inner[name](inner, key, ...)
    end
  end
  return dict
end

local function failing(kind, message)
  return garner.errors.new { kind = kind, message = message or "no luck", code = "c", status = 503 }
end

describe("garner.cache", function()
  local now

  before_each(function()
    now = 1000000000
    garner.time.set_clock(function() return now end)
  end)

  after_each(function()
    garner.time.set_clock(nil)
    garner.close()
  end)

  local function quiet(cache)
    local events = {}
    cache.log = function(_, event, fields) events[#events + 1] = event .. " " .. fields.error end
    return cache, events
  end

  describe("get", function()
    it("keeps a value for its time", function()
      local cache, calls = garner.cache { ttl = "10s" }, 0
      local function fetch()
        calls = calls + 1
        return { n = calls, list = garner.json.array {}, none = garner.json.null }
      end
      local value, err, about = cache:get("a", fetch)
      assert.is_nil(err)
      assert.are.same({}, about)
      assert.equal(1, value.n)
      now = now + 9
      value, err, about = cache:get("a", fetch)
      assert.is_nil(err)
      assert.equal(9, about.age)
      assert.equal(1, value.n)
      assert.equal('{"list":[],"n":1,"none":null}', garner.json.encode(value))
      assert.equal(2, cache:get("b", fetch).n)
      now = now + 1
      assert.equal(3, cache:get("a", fetch).n)
      assert.equal(4, cache:get("a", fetch, { ttl = 0.5 }).n == 3 and 4)
      now = now + 1
      assert.equal(4, cache:get("a", fetch, { ttl = 0.5 }).n)
      cache:delete "a"
      assert.equal(5, cache:get("a", fetch).n)
    end)

    it("keeps texts, numbers and false as they are", function()
      local cache = garner.cache()
      for key, value in pairs { text = "\0\255 x", number = 12.5, empty = "", no = false } do
        for _ = 1, 2 do assert.equal(value, cache:get(key, function() return value end)) end
      end
      cache:get("big", function() return garner.json.decode '[9007199254740993,"1e-7"]' end)
      local got = cache:get("big", error)
      assert.equal('"1e-7"]', garner.json.encode(got):match ',(.*)$')
      assert.equal("9007199254740993", garner.json.encode(got):match "%d+")
    end)

    it("keeps no error, no nil, and passes on what is raised", function()
      local cache, calls = garner.cache { stale_if_error = 60 }, 0
      local function none()
        calls = calls + 1
        return nil
      end
      assert.is_nil(cache:get("a", none))
      assert.is_nil(cache:get("a", none))
      assert.equal(2, calls)
      local value, err = cache:get("a", function() return nil, "why" end)
      assert.is_nil(value)
      assert.equal("why", err)
      local thrown = {}
      local ok, what = pcall(cache.get, cache, "a", function() error(thrown, 0) end)
      assert.is_false(ok)
      assert.equal(thrown, what)
      assert.equal("fine", cache:get("a", function() return "fine" end))
    end)

    it("gives the last value where a fetch fails, for as long as it was told", function()
      local cache = garner.cache { ttl = 10, stale_if_error = "1m" }
      local calls = 0
      local function fail(kind)
        return function()
          calls = calls + 1
          return nil, failing(kind)
        end
      end
      local before = stats.read().cache.stale
      assert.equal("old", cache:get("a", function() return "old" end))
      now = now + 30
      local value, err, about = cache:get("a", fail "server")
      assert.equal("old", value)
      assert.is_nil(err)
      assert.is_true(about.stale)
      assert.equal(30, about.age)
      assert.equal("server", about.cause.kind)
      -- While it is known to fail, nobody is made to wait for it.
      assert.equal("old", cache:get("a", fail "server"))
      assert.equal(1, calls)
      now = now + 15
      assert.equal("old", cache:get("a", fail "throttled"))
      assert.equal(2, calls)
      assert.equal(before + 3, stats.read().cache.stale)
      now = now + 15
      assert.equal("forbidden", select(2, cache:get("a", fail "forbidden")).kind)
      now = now + 11 -- 10 + 60 s after it came
      value, err = cache:get("a", fail "timeout")
      assert.is_nil(value)
      assert.equal("timeout", err.kind)
      assert.equal("new", cache:get("a", function() return "new" end))
    end)

    it("calls one function for all who ask, side by side", function()
      garner.time.set_clock(nil)
      local cache, calls, running = garner.cache(), 0, 0
      local function slow(result, err)
        return function()
          calls, running = calls + 1, running + 1
          assert(running == 1)
          driver.current().sleep(0.03)
          running = running - 1
          return result, err
        end
      end
      local function ask(fetch)
        local fns = {}
        for i = 1, 20 do fns[i] = function() return cache:get("a", fetch) end end
        return garner.all(fns)
      end
      for _, result in ipairs(ask(slow "v")) do assert.equal("v", result[1]) end
      assert.equal(1, calls)
      cache:delete "a"
      -- The error is for all who waited; who comes later tries again.
      for _, result in ipairs(ask(slow(nil, failing "server"))) do
        assert.equal("server", result.err.kind)
        assert.equal(503, result.err.status)
      end
      assert.equal(2, calls)
      assert.equal("w", cache:get("a", slow "w"))
      assert.equal(3, calls)
    end)

    it("lets the next one try where one gave up for reasons of its own", function()
      garner.time.set_clock(nil)
      local cache, calls = garner.cache(), 0
      local function own()
        calls = calls + 1
        driver.current().sleep(0.01)
        if calls == 1 then return nil, failing "cancelled" end
        if calls == 2 then error("raised", 0) end
        return "v"
      end
      local results = garner.all { function() return cache:get("a", own) end,
        function() return cache:get("a", own) end, function() return cache:get("a", own) end,
        function() return cache:get("a", own) end }
      local seen = {}
      for _, result in ipairs(results) do
        local what = result.ok and result[1] or result.raised and result.err or result.err.kind
        seen[what] = (seen[what] or 0) + 1
      end
      assert.are.same({ cancelled = 1, raised = 1, v = 2 }, seen)
    end)

    it("gives a function's own text, too, to all who wait", function()
      garner.time.set_clock(nil)
      local cache, calls, fns = garner.cache(), 0, {}
      for i = 1, 4 do
        fns[i] = function()
          return cache:get("a", function()
            calls = calls + 1
            driver.current().sleep(0.02)
            return nil, "no luck"
          end)
        end
      end
      for _, result in ipairs(garner.all(fns)) do assert.equal("no luck", result.err) end
      assert.equal(1, calls)
    end)

    it("forgets a failure as soon as a fetch has gone well", function()
      local cache = garner.cache { ttl = 10, stale_if_error = 100 }
      local _, err = cache:get("a", function()
        return nil, garner.errors.new { kind = "throttled", retry_after = 60 }
      end)
      assert.equal("throttled", err.kind)
      now = now + 1
      assert.equal("v", cache:get("a", function() return "v" end))
      now = now + 11
      local value, _, about = cache:get("a", function() return "w" end)
      assert.equal("w", value)
      assert.is_nil(about.stale)
    end)

    it("waits for one that died as long as its lock, for another as long as told", function()
      local dict = memory.new()
      local cache = garner.cache { dict = dict, lock = 20, wait = 0.1, stale_if_error = 100 }
      assert.equal("old", cache:get("a", function() return "old" end))
      now = now + 50
      local lock
      for key in pairs(dict.items) do lock = key .. ":lock" end
      dict:set(lock, "somebody", 20)
      local value, err, about = cache:get("a", error)
      assert.is_nil(err)
      assert.equal("old", value)
      assert.equal("cache", about.cause.code)
      now = now + 60
      dict:set(lock, "somebody", 20)
      value, err = cache:get("a", error)
      assert.is_nil(value)
      assert.equal("timeout", err.kind)
      now = now + 20
      assert.equal("new", cache:get("a", function() return "new" end))
    end)

    it("takes no lock away that became another's", function()
      local dict = memory.new()
      local cache = garner.cache { dict = dict, lock = 5 }
      cache:get("a", function()
        local lock = next(dict.items)
        now = now + 6
        assert.is_true(dict:add(lock, "another", 5))
        return "v"
      end)
      local found
      for key in pairs(dict.items) do found = found or key:find ":lock$" and dict:get(key) end
      assert.equal("another", found)
    end)

    it("refuses wrong arguments at the caller's line", function()
      local cache = garner.cache()
      for message, fn in pairs {
        ["the key must be"] = function() cache:get(1, error) end,
        ["a function must"] = function() cache:get("a", "b") end,
        ["ttl must be"] = function() cache:get("a", error, { ttl = -1 }) end,
        ["cannot be kept"] = function() cache:get("a", function() return print end) end,
        ["with a colon"] = function() cache.get("a", error) end,
        ['unknown option "ttk"'] = function() garner.cache { ttk = 1 } end,
        ["this is not nginx"] = function() garner.cache { dict = "name" } end,
        ["needs the method add"] = function()
          garner.cache { dict = { get = print, set = print, delete = print } }
        end,
        ["ttl: unknown"] = function() garner.cache { ttl = { always = 1 } } end,
        ["stale_if_error must"] = function() garner.cache { stale_if_error = "long" } end,
        ["must come from garner.cache"] = function() garner.client { cache = {} } end,
      } do
        local said = raised(fn)
        assert.is_truthy(said:find(message, 1, true), said)
        assert.is_truthy(said:find("cache_spec.lua", 1, true), said)
      end
      assert.equal("garner cache (10 s, closed windows 86400 s)", tostring(cache))
      assert.equal("garner cache (5 s, closed windows 3600 s, stale for 60 s)",
        tostring(garner.cache { ttl = { open = 5, closed = "1h" }, stale_if_error = 60 }))
    end)
  end)

  describe("over a dict", function()
    it("hashes its keys", function()
      local dict = watched()
      local cache = garner.cache { dict = dict }
      cache:get("token-of-somebody", function() return "v" end)
      for key in pairs(dict.keys) do
        assert.is_truthy(key:find "^garner:%x+", key)
        assert.is_nil(key:find("somebody", 1, true))
      end
    end)

    it("goes past the dict where no memory is left to hash a key", function()
      local core = require "garner.core"
      local dict, sha256 = watched(), core.sha256
      local cache = garner.cache { dict = dict }
      core.sha256 = function() return nil end
      local value = cache:get("token-of-somebody", function() return "v" end)
      local none, err = cache:get("token-of-somebody", function() return nil, "no luck" end)
      core.sha256 = sha256
      assert.equal("v", value)
      assert.is_nil(none)
      assert.equal("no luck", err)
      assert.is_nil(next(dict.keys))
    end)

    it("writes times that are the same in every locale", function()
      now = now + 0.1234
      local dict = memory.new()
      local cache = garner.cache { dict = dict, ttl = 1.5 }
      cache:get("a", function() return "v" end)
      local _, item = next(dict.items)
      assert.equal("garner1 1000000000123 1500\ntv", item.value)
    end)

    it("goes on where it is broken, full, or has something else", function()
      local dict = watched()
      local cache, events = quiet(garner.cache { dict = dict })
      dict.broken = true
      assert.equal("v", cache:get("a", function() return "v" end))
      assert.is_truthy(events[1]:find("cache.failed the dict is gone", 1, true)
        or events[1]:find("the dict is gone", 1, true))
      dict.broken, dict.refuse, cache.told = nil, "no memory", {}
      for _ = 1, 2 do assert.equal("v", cache:get("a", function() return "v" end)) end
      assert.equal("cache.not_kept no memory", events[#events])
      dict.refuse = nil
      assert.equal("v", cache:get("a", function() return "v" end))
      for _, nonsense in ipairs { "garner1 nonsense", 17, "garner1 1 1\nx", "",
        '{"at":1e18,"err":{"kind":"unheard of"}}', '{"at":1e18,"err":7}' } do
        for key in pairs(dict.keys) do
          if not key:find ":lock$" then dict:set(key, nonsense, 10) end
        end
        assert.equal("w", cache:get("a", function() return "w" end))
      end
    end)

    it("keeps nothing that is too large, and lets those who wait fetch by themselves", function()
      garner.time.set_clock(nil)
      local cache, events = quiet(garner.cache { max_value = 100 })
      local calls, fns = 0, {}
      for i = 1, 5 do
        fns[i] = function()
          return cache:get("a", function()
            calls = calls + 1
            driver.current().sleep(0.01)
            return ("x"):rep(100)
          end)
        end
      end
      for _, result in ipairs(garner.all(fns)) do assert.equal(100, #result[1]) end
      assert.equal(5, calls)
      assert.is_truthy(events[1]:find("max_value", 1, true))
    end)
  end)

  describe("in memory", function()
    it("stays below its limit: what ends first goes first", function()
      local dict = memory.new(1000)
      for i = 1, 100 do assert.is_true(dict:set("key" .. i, ("v"):rep(50), 100 - i % 10)) end
      assert.is_true(dict.bytes <= 1000)
      assert.equal(("v"):rep(50), dict:get "key100")
      assert.is_nil(dict:get "key9")
      assert.are.same({ nil, "no memory" }, { dict:set("x", ("v"):rep(2000)) })
      now = now + 1000
      assert.is_nil(dict:get "key100")
      for i = 1, 100 do dict:set("k" .. i, "v", 1) end
      now = now + 2
      for i = 1, 200 do dict:set("l" .. i, "v", 1000) end
      assert.is_true(dict.count <= 200)
    end)

    it("adds what is not there", function()
      local dict = memory.new()
      assert.is_true(dict:add("a", 1, 5))
      assert.are.same({ false, "exists" }, { dict:add("a", 2, 5) })
      assert.equal(1, dict:get "a")
      now = now + 5
      assert.is_true(dict:add("a", 3))
      dict:delete "a"
      assert.is_nil(dict:get "a")
      assert.equal(0, dict.bytes)
    end)
  end)
end)
