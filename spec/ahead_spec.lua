-- Owns: pages ahead: however far a walk goes ahead, who takes the pages sees the same pages, the
-- same errors and the same places to go on from; and the server sees no request that it need not.
-- A failure prints its seed: GARNER_SEED=n runs that case alone.
local clients = require "spec.support.clients"
local driver = require "garner.driver"
local faults = require "spec.support.faults"
local garner = require "garner"

local AHEAD = { 0, 1, 2, 5 }

local seed

-- The same numbers in every Lua, unlike math.random.
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

local function pick(list) return list[1 + random(#list)] end

local function sleep(seconds) driver.current().sleep(seconds) end

-- A server's pages, each with the one after it; from page %d on something is wrong, so often.
local SERVER = [[
  local c, request = ...
  local pages, size, delay, fail_at, how, times = %d, %d, %g, %d, %q, %d
  local at = tonumber(request.target:match "[?&]p=(%%d+)") or 1
  if delay > 0 then c:wait(delay) end
  local key = "ahead " .. request.path .. " " .. request.target
  _G[key] = (_G[key] or 0) + 1
  local items = {}
  for i = 1, size do items[i] = ('{"id":"%%d-%%d"}'):format(at, i) end
  local next = at < pages and at + 1 or nil
  local status, body = 200, nil
  if at == fail_at and (_G[key] <= times or times == 0) then
    if how == "reset" then -- not before the first byte: libcurl would ask again by itself
      c:send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
      c:wait(0.001)
      c:reset()
      return
    end
    if how == "400" or how == "500" then status, body = how, '{"error":{"message":"broken"}}' end
    if how == "html" then body = "<html>" end
    if how == "cut" then body = '{"items":[' end
    if how == "circle" then next = 1 end
    if how == "shape" then body = '{"items":[],"next":{}}' end
  end
  body = body or ('{"items":[%%s],"next":%%s}'):format(table.concat(items, ","),
    next and ('"%%d"'):format(next) or "null")
  c:send(("HTTP/1.1 %%s OK\r\nContent-Type: application/json\r\nContent-Length: %%d\r\n\r\n%%s")
    :format(status, #body, body))
  return "next"
]]

local function new_case()
  local pages = 1 + random(9)
  local case = { pages = pages, size = random(4) == 0 and 2000 or random(4),
    delay = pick { 0, 0, 0.002 }, work = pick { 0, 0, 0.003 },
    fail_at = random(3) > 0 and 1 + random(pages) or 0,
    how = pick { "400", "500", "reset", "html", "cut", "circle", "shape" },
    times = random(3), close_at = random(4) == 0 and 1 + random(pages) or 0,
    again = random(3), options = {} }
  if random(5) == 0 then case.options.max_pages = 1 + random(pages) end
  if random(5) == 0 then case.options.max_bytes = 1 + random(500) end
  return case
end

local function describe_error(err)
  return ("%s %s %s at %s"):format(err.kind, tostring(err.code), (err.message:gsub("/%d+", "")),
    err.resume and garner.json.encode(err.resume) or "the start")
end

local function describe_page(page)
  local ids = {}
  for i, item in ipairs(page.items) do ids[i] = item.id end
  return ("page %d %s %s"):format(page.number, tostring(page.more), table.concat(ids, ","))
end

describe("pages ahead", function()
  local s, api, paths

  before_each(function()
    paths = 0
    s = faults.start()
    api = clients.client { base_url = s.url, retry = false, timeout = 20 }
  end)
  after_each(function()
    clients.close_all()
    s:stop()
  end)

  local function serve(case)
    paths = paths + 1
    local path = "/" .. paths
    s:script(path, { { run = SERVER:format(case.pages, case.size, case.delay, case.fail_at,
      case.how, case.times) } })
    return path
  end

  -- What a caller sees of a walk, and the requests that are there when the caller looks.
  local function run(case, ahead)
    local path, opts = serve(case), { items = "items", ahead = ahead,
      next = { from = "next", query = "p" } }
    for name, value in pairs(case.options) do opts[name] = value end
    local walk = api:pages(path, opts)
    local seen, errors, failed, taken = {}, 0, 0, 0
    local function look()
      local count = s:count(path)
      assert.is_true(count <= taken + failed + ahead, ("%d requests, %d ahead; %s"):format(count,
        ahead, table.concat(seen, "\n")))
      return count
    end
    while true do
      local page, err = walk:next()
      if page then
        taken = taken + 1
        seen[#seen + 1] = describe_page(page)
        if case.work > 0 then sleep(case.work) end
        look()
      elseif err then
        seen[#seen + 1] = describe_error(err)
        errors = errors + 1
        -- A circle or a limit shows in a good page.
        if err.kind ~= "truncated" and err.code ~= "page_token" then failed = failed + 1 end
        local count = look()
        sleep(0.002)
        assert.equal(count, s:count(path)) -- nothing left behind the error
        if errors > case.again then break end
      else
        seen[#seen + 1] = "end"
        break
      end
      if taken == case.close_at then
        seen[#seen + 1] = "closed"
        break
      end
    end
    local place = walk:checkpoint():gsub('"path":"/%d+"', ""):gsub('"ahead":%d+', "")
    seen[#seen + 1] = place
    walk:close()
    assert.is_nil((walk:next()))
    return seen, path, taken
  end

  it("give the same pages, errors and places, and ask for no page too many", function()
    local only = tonumber(os.getenv "GARNER_SEED" or "")
    for n = only or 1, only or 18 do
      seed = n * 7919
      local case = new_case()
      local expected, path = run(case, AHEAD[1])
      local asked = s:seen(path)
      for i = 2, #AHEAD do
        local got, own, taken = run(case, AHEAD[i])
        assert.same(expected, got, "GARNER_SEED=" .. n)
        local requests = s:seen(own)
        -- Only a walk that is closed has asked for more than one that asks on demand.
        assert.is_true(case.close_at > 0 and taken == case.close_at
          or #requests == #asked,
          ("GARNER_SEED=%d: %d requests instead of %d"):format(n, #requests, #asked))
        for k = 1, math.min(#asked, #requests) do
          assert.equal(asked[k].query, requests[k].query)
        end
      end
    end
  end)

  it("are two where nobody says how many", function()
    for _, opts in ipairs { { want = 2 }, { ahead = true, want = 2 }, { ahead = 4, want = 4 } } do
      local path = serve { pages = 50, size = 1, delay = 0, fail_at = 0, how = "", times = 0 }
      local walk = api:pages(path, { ahead = opts.ahead, next = { from = "next", query = "p" } })
      assert(walk:next())
      for taken = 1, 3 do
        s:wait_for(taken, path)
        garner.wait(function() return s:count(path) >= taken + opts.want end,
          { first = 0.005, factor = 1, timeout = 10 })
        sleep(0.02)
        assert.equal(taken + opts.want, s:count(path))
        assert.equal(taken + 1, walk:next().number)
      end
      walk:close()
      sleep(0.01)
      local count = s:count(path)
      assert.is_true(count <= 4 + opts.want)
      sleep(0.02)
      assert.equal(count, s:count(path))
    end
  end)

  it("are on their way while the caller computes, whoever drives the engine", function()
    local path = serve { pages = 9, size = 3, delay = 0, fail_at = 0, how = "", times = 0 }
    local walk = api:pages(path, { next = { from = "next", query = "p" } })
    assert(walk:next())
    s:wait_for(2, path) -- nobody steps meanwhile
    walk:close()
  end)

  it("are fetched side by side in tasks, and go where their walk goes", function()
    local walks = {}
    local results = garner.all({ function()
      walks[1] = api:pages(serve { pages = 9, size = 2000, delay = 0, fail_at = 0, how = "",
        times = 0 }, { next = { from = "next", query = "p" } })
      assert(walks[1]:next())
      sleep(0.05)
      walks[1]:close()
      return walks[1].number
    end, function()
      walks[2] = api:pages(serve { pages = 9, size = 3, delay = 0.001, fail_at = 7, how = "500",
        times = 0 }, { items = "items", next = { from = "next", query = "p" } })
      local _, err, items = walks[2]:collect()
      return #items, err.resume.number
    end })
    assert.same({ 1 }, { results[1][1] })
    assert.same({ 18, 6 }, { results[2][1], results[2][2] })
    garner.wait(function() return garner.stats().in_flight == 0 end, { first = 0.005 })
    assert.equal(0, garner.stats().in_flight)
  end)

  it("count as pages, and their bytes, whether anybody takes them or not", function()
    local before = garner.stats()
    local path = serve { pages = 9, size = 1, delay = 0, fail_at = 0, how = "", times = 0 }
    local walk = api:pages(path, { next = { from = "next", query = "p" } })
    assert(walk:next())
    garner.wait(function() return garner.stats().pages >= before.pages + 3 end,
      { first = 0.005, factor = 1, timeout = 10 })
    walk:close()
    assert.equal(before.pages + 3, garner.stats().pages)
    assert.equal(before.requests + 3, garner.stats().requests)
  end)

  it("keep to the client's rate", function()
    local slow = clients.client { base_url = s.url, rate = 20, burst = 1 }
    local path = serve { pages = 4, size = 1, delay = 0, fail_at = 0, how = "", times = 0 }
    local begun = driver.current().now()
    local count = slow:pages(path, { ahead = 5, next = { from = "next", query = "p" } })
      :each(function() end)
    assert.equal(4, count)
    assert.is_true(driver.current().now() - begun >= 0.149)
  end)
end)
