-- What the workers of an nginx share: a limiter's file, a cache's dict. Two workers, an upstream
-- that counts.
local host = require "spec.support.nginx"

local VIEW = [[
local garner = require "garner"
local M = {}
local limiter = garner.limiter { rate = 40, burst = 4, shared = package.loaded.place .. "/rate" }
local make = garner.api { name = "up", auth = false, base_url = package.loaded.url, verbs = {
  points = { get = "/points", items = "points", rows = { time = "at" },
    window = { from = "from", to = "to", format = "epoch", max = "8h" } } } }
local cached = make { cache = garner.cache { dict = "garner", ttl = 1, stale_if_error = "1m" },
  retry = false, log = false }
local paced = make { rate = limiter, retry = false }
function M.rows(from, to)
  local pull = cached:points { from = from, to = to }
  local rows, err = pull:collect()
  local stale = 0
  for _, window in ipairs(pull:coverage()) do stale = stale + (window.stale and 1 or 0) end
  return ("%d %s %s %d"):format(ngx.worker.pid(), rows and #rows or "none", err and err.kind
    or "good", stale)
end
function M.paced()
  local res, err = paced.client:get "/paced"
  return ("%d %s"):format(ngx.worker.pid(), res and res.status or tostring(err))
end
return M
]]

local SERVER = [[
location /points {
  content_by_lua_block {
    local seen = ngx.shared.seen
    local from, to = tonumber(ngx.var.arg_from), tonumber(ngx.var.arg_to)
    seen:incr("fetches", 1, 0)
    seen:incr(("%d-%d"):format(from, to - from >= 3600 and to or 0), 1, 0)
    ngx.sleep(0.1)
    if seen:get "broken" then return ngx.exit(503) end
    local points = {}
    for at = from, to - 1, 600 do points[#points + 1] = ('{"at":%d}'):format(at) end
    ngx.print('{"points":[', table.concat(points, ","), "]}")
  }
}
location /paced {
  content_by_lua_block { ngx.shared.seen:rpush("times", ngx.now()) ngx.print "{}" }
}
location /rows {
  content_by_lua_block { ngx.print(require("view").rows(ngx.var.arg_from, ngx.var.arg_to)) }
}
location /go { content_by_lua_block { ngx.print(require("view").paced()) } }
location /break { content_by_lua_block { ngx.shared.seen:set("broken", true) } }
location /count {
  content_by_lua_block {
    local seen = ngx.shared.seen
    for _, key in ipairs(seen:get_keys(0)) do
      if key:find "^%d" then ngx.say(key, " ", seen:get(key)) end
    end
    for _ = 1, seen:llen "times" do ngx.say("at ", ("%.3f"):format(seen:lpop "times")) end
  }
}
]]

local HTTP = [[
lua_shared_dict seen 1m;
lua_shared_dict garner 2m;
init_by_lua_block {
  package.loaded.place, package.loaded.url = "@DIR@", "http://127.0.0.1:@PORT@"
}
init_worker_by_lua_block { require "view" }
]]

host.describe(describe, pending)("workers of an nginx", function()
  local nginx

  setup(function()
    nginx = host.start { http = HTTP, server = SERVER, workers = 2,
      files = { ["lua/view.lua"] = VIEW } }
  end)

  teardown(function()
    assert.same({}, nginx:stop())
  end)

  -- So many at once; the bodies without the workers' pids, and how many workers there were.
  local function crowd(path, count)
    local requests, bodies, pids, workers = {}, {}, {}, 0
    for i = 1, count do requests[i] = nginx:send(path) end
    for i = 1, count do
      local answer = requests[i]:finish()
      assert.equal(200, answer.status, nginx:error_log())
      local pid, text = answer.body:match "^(%d+) (.*)$"
      if not pids[pid] then pids[pid], workers = true, workers + 1 end
      bodies[text] = (bodies[text] or 0) + 1
    end
    return bodies, workers
  end

  local function counts()
    local times, fetches = {}, {}
    for name, value in nginx:get("/count").body:gmatch "(%S+) (%S+)\n" do
      if name == "at" then times[#times + 1] = tonumber(value) else fetches[name] = value end
    end
    return fetches, times
  end

  it("send one request for all who ask for a window", function()
    local now = os.time()
    local from = os.date("!%Y-%m-%dT%H:%M:%SZ", now - now % 3600 - 3 * 3600)
    local rounds, bodies, workers = 0 -- luacheck: ignore 311
    repeat
      rounds = rounds + 1
      bodies, workers = crowd("/rows?from=" .. from .. "&to=now", 50)
    until workers == 2 or rounds == 5
    assert.equal(2, workers)
    local total = 0
    for text, count in pairs(bodies) do
      assert.is_truthy(text:find "^%d+ good 0$", text)
      total = total + count
    end
    assert.equal(50, total)
    local tails = 0
    for key, count in pairs((counts())) do
      if key:find "%-0$" then
        tails = tails + tonumber(count)
      else
        assert.equal("1", count, key)
      end
    end
    -- A second or so of each round, plus the hour that may have ended meanwhile.
    assert.is_true(tails >= 1 and tails <= 2 * rounds + 1, tails)
    nginx:get "/break"
    require("socket").sleep(1.05)
    for text in pairs((crowd("/rows?from=" .. from .. "&to=now", 20))) do
      assert.is_truthy(text:find "^%d+ good 1$", text)
    end
    assert.are.same({ ["none hole 0"] = 20 },
      (crowd("/rows?from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z", 20)))
    assert.equal("1", counts()["1767225600-1767229200"])
  end)

  it("keep one rate together", function()
    local bodies, workers = crowd("/go", 40)
    assert.are.same({ ["200"] = 40 }, bodies)
    local _, times = counts()
    table.sort(times)
    assert.equal(40, #times)
    for first = 1, #times do
      for last = first, #times do
        local span = times[last] - times[first]
        assert.is_true(last - first + 1 <= 4 + (span + 0.25) * 40 + 1, ("%d within %.3f s"):format(
          last - first + 1, span))
      end
    end
    assert.is_true(times[40] - times[1] > 0.6, ("%d workers"):format(workers))
  end)
end)
