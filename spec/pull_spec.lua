-- Pulls over made-up sources: order, bound, holes, edges, states, files. No
-- server: what the vendors make of it is in their own specs.
local compat = require "garner.compat"
local driver = require "garner.driver"
local errors = require "garner.errors"
local pull = require "garner.pull"
local pulls = require "spec.support.pulls"
local tasks = require "garner.tasks"
local time = require "garner.time"

local new, numbers, states = pulls.new, pulls.numbers, pulls.states
local failing, windows_of = pulls.failing, pulls.windows

describe("a pull", function()
  it("says what it is going to do without doing it", function()
    local asked = 0
    local function make()
      return new { fetch = function() asked = asked + 1 return { rows = {} } end,
        rate = { per_second = 2, burst = 2 } }
    end
    local plan = make():plan()
    assert.equal(0, asked)
    assert.equal(4, plan.requests)
    assert.equal(1, plan.seconds)
    assert.equal("1970-01-01T00:00:00Z", plan.windows[1].from)
    assert.equal(tostring(plan), tostring(make():plan()))
    for _, text in ipairs { "made-up rows", "zone UTC", "edges [)", "4 windows", "4 requests" } do
      assert.truthy(tostring(plan):find(text, 1, true), text)
    end
  end)

  it("gives rows in plan order however the answers come", function()
    local made = new { concurrency = 4, fetch = function(each)
      driver.current().sleep((5 - each.index) * 0.01)
      return { rows = { { n = each.index } } }
    end }
    assert.same({ 1, 2, 3, 4 }, numbers(assert(made:collect())))
    assert.same({ "fetched", "fetched", "fetched", "fetched" }, states(made))
  end)

  it("keeps no more windows in flight than asked for", function()
    for _, limit in ipairs { 1, 3 } do
      local running, most, unread, most_unread = 0, 0, 0, 0
      local made = new { max = 20, concurrency = limit, fetch = function(each)
        running, unread = running + 1, unread + 1
        most, most_unread = math.max(most, running), math.max(most_unread, unread)
        driver.current().sleep(0.002)
        running = running - 1
        return { rows = { { n = each.index } } }
      end }
      local count = made:each(function() unread = unread - 1 end)
      assert.equal(20, count)
      assert.equal(limit, most)
      -- One more is being read by the caller.
      assert.is_true(most_unread <= limit + 1, ("%d windows were kept"):format(most_unread))
    end
  end)

  it("runs once, and says so at the caller's line", function()
    local made = new()
    made:collect()
    for _, verb in ipairs { "collect", "rows" } do
      local ok, message = pcall(function() return made[verb](made) end)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("runs once", 1, true))
      assert.truthy(tostring(message):find("pull_spec.lua", 1, true))
    end
  end)

  it("raises what a fetch raises", function()
    local made = new { fetch = function() error("a bug", 0) end }
    assert.has_error(function() made:each(function() end) end, "a bug")
  end)

  it("passes on what the caller's function raises", function()
    local made = new()
    assert.has_error(function() made:each(function() error("mine", 0) end) end, "mine")
    assert.truthy(tostring(made):find("closed", 1, true))
  end)

  it("checks its arguments at the caller's line", function()
    for _, call in ipairs {
      function() new():each() end, function() new():collect { max_rows = 0 } end,
      function() new():collect { rows = 3 } end, function() new():download "x" end,
      function() new():series() end, function() new():save "x.txt" end,
      function() new():save("x.csv", { froce = true }) end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("pull_spec.lua", 1, true), tostring(message))
    end
  end)

  it("tells more rows than wanted, with what came", function()
    local made = new()
    local rows, err, partial = made:collect { max_rows = 2 }
    assert.is_nil(rows)
    assert.equal("truncated", err.kind)
    assert.same({ 1, 2 }, numbers(partial))
    assert.equal(4, #assert(new():collect { max_rows = 4 }))
  end)

  it("shows its progress", function()
    local last, calls = nil, 0
    local made = new { on_progress = function(at) last, calls = at, calls + 1 end }
    made:each(function() end)
    assert.is_true(calls >= 1)
    assert.equal(4, last.windows_done)
    assert.equal(4, last.windows_total)
  end)
end)

describe("a hole", function()
  it("comes after all rows that are there", function()
    local made = new { fetch = failing("server", { [2] = true, [3] = true }) }
    local seen = {}
    local ok, err = pcall(function()
      for row in made:rows() do seen[#seen + 1] = row.n end
    end)
    assert.is_false(ok)
    assert.equal("hole", err.kind)
    assert.same({ 1, 4 }, seen)
    assert.equal(2, #err.windows)
    assert.equal("failed", err.windows[1].state)
    assert.equal("server", err.windows[1].err.kind)
    assert.equal("r-2", err.request_id)
    assert.truthy(tostring(err):find("window 2 broke", 1, true))
    assert.is_nil(err.operation) -- a vendor's pull names its own
    assert.same({ "fetched", "failed", "failed", "fetched" }, states(made))
    assert.truthy(tostring(made:coverage()):find "failed")
  end)

  it("is returned by each and collect", function()
    local n, err = new { fetch = failing("timeout", { [1] = true }) }:each(function() end)
    assert.is_nil(n)
    assert.equal("hole", err.kind)
    assert.equal("timed_out", err.windows[1].state)
    local rows, why, partial = new { fetch = failing("in_doubt", { [4] = true }) }:collect()
    assert.is_nil(rows)
    assert.equal("in_doubt", why.windows[1].state)
    assert.same({ 1, 2, 3 }, numbers(partial))
  end)

  it("is the error itself where every window would fail alike", function()
    for _, kind in ipairs { "unauthenticated", "forbidden", "not_found", "invalid" } do
      local asked = 0
      local fail = failing(kind, { true, true, true, true })
      local made = new { concurrency = 1, fetch = function(each)
        asked = asked + 1
        return fail(each)
      end }
      local rows, err = made:collect()
      assert.is_nil(rows)
      assert.equal(kind, err.kind)
      assert.equal(500, err.status)
      assert.equal(4, #err.windows)
      assert.is_true(asked <= 2, "went on asking")
    end
  end)

  it("is one window where others were good", function()
    local _, err = new { fetch = failing("invalid", { [3] = true }) }:collect()
    assert.equal("hole", err.kind)
    assert.equal(1, #err.windows)
    -- A credential that stops working is no matter of one window.
    local _, other, partial = new { fetch = failing("unauthenticated", { [3] = true }) }:collect()
    assert.equal("unauthenticated", other.kind)
    assert.same({ 1, 2 }, numbers(partial))
  end)

  it("is what a broken file leaves, after its rows", function()
    local made = new { fetch = function(each)
      if each.index ~= 2 then return { rows = { { n = each.index } } } end
      local at = 0
      return { rows = function()
        at = at + 1
        if at < 3 then return { n = 20 + at } end
        return nil, errors.new { kind = "protocol", message = "line 3 is broken" }
      end }
    end }
    local rows, err, partial = made:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.same({ 1, 21, 22, 3, 4 }, numbers(partial))
    assert.equal(2, made:coverage()[2].rows)
  end)
end)

describe("states of windows", function()
  local function answer(fields)
    return function() return fields end
  end

  it("tell empty from fetched", function()
    local made = new { fetch = function(each)
      return { rows = each.index == 2 and { { n = 2 } } or {} }
    end }
    assert.equal(1, made:each(function() end))
    assert.same({ "empty", "fetched", "empty", "empty" }, states(made))
  end)

  it("are planned before, provisional where data is young", function()
    local made = new { now = 380, lag = 100 }
    assert.same({ "planned", "planned", "planned", "planned" }, states(made))
    assert.equal(4, made:each(function() end))
    assert.same({ "fetched", "fetched", "provisional", "provisional" }, states(made))
  end)

  it("count the age of naive windows in their zone", function()
    -- The windows end at 100 to 400 of the local clock, eight hours ahead of UTC.
    local made = new { now = 380 - 8 * 3600, lag = 100, local_zone = time.zone "+08:00" }
    assert.same({ 3, 4 }, made:plan().young)
    assert.equal(4, made:each(function() end))
    assert.same({ "fetched", "fetched", "provisional", "provisional" }, states(made))
    made = new { now = 380 + 5 * 3600, retention = 200, local_zone = time.zone "-05:00" }
    assert.same({ 1 }, made:plan().past_retention)
  end)

  it("not_ready withholds rows and is loud", function()
    local not_ready = errors.new { kind = "not_ready", message = "later" }
    local function make(mode)
      return new { on_not_ready = mode, to = 100, fetch = answer {
        rows = { { n = 1 } }, state = "not_ready", err = not_ready, reason = "later",
        warnings = { { code = "PARTIAL", message = "later" } },
      } }
    end
    local made = make()
    local rows, err, partial = made:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.same({}, partial)
    assert.equal(1, err.windows[1].withheld)
    assert.same({ "not_ready" }, states(made))
    assert.equal("PARTIAL", made:warnings()[1].code)
    made = make "skip"
    assert.same({}, assert(made:collect()))
    assert.same({ "not_ready" }, states(made))
    made = make "provisional"
    assert.same({ 1 }, numbers(assert(made:collect())))
    assert.same({ "provisional" }, states(made))
  end)

  it("past_retention asks and warns, refuses, or skips", function()
    local asked
    local function make(policy)
      asked = {}
      return pull.new((pulls.source { now = 1000, retention = 800, on_retention = policy,
        fetch = function(each)
          asked[#asked + 1] = each.index
          return { rows = each.index == 1 and { { n = 1 } } or {} }
        end }))
    end
    local made = make()
    local rows, err = made:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.same({ "fetched", "past_retention", "empty", "empty" }, states(made))
    assert.same({ 1, 2 }, made:plan().past_retention)
    local refused, message = make "refuse"
    assert.is_nil(refused)
    assert.truthy(message:find("older than the data is kept", 1, true))
    made = make "skip"
    assert.same({}, assert(made:collect()))
    assert.same({ 3, 4 }, asked)
    assert.same({ "past_retention", "past_retention", "empty", "empty" }, states(made))
  end)

  it("past_retention is warned about once", function()
    local made, logged = new { now = 1000, retention = 800 }
    made:collect()
    assert.equal(1, #logged)
    assert.equal("warn", logged[1].level)
    assert.equal("pull.past_retention", logged[1].event)
  end)
end)

-- A server that takes a query's ends as `edges` says.
local function server(events, edges)
  return function(each)
    local rows = {}
    for _, event in ipairs(events) do
      local after = event.at > each.send_from
        or edges:sub(1, 1) == "[" and event.at == each.send_from
      local before = event.at < each.send_to or edges:sub(2, 2) == "]" and event.at == each.send_to
      if after and before then rows[#rows + 1] = { n = event.n, at = event.at } end
    end
    return { rows = rows }
  end
end

local function count_by(rows, name)
  local out = {}
  for _, row in ipairs(rows) do
    local key = name and row[name] or ("%d@%d"):format(row.n, row.at)
    out[key] = (out[key] or 0) + 1
  end
  return out
end

describe("windows that share instants", function()
  local seed = 7
  -- The same in every Lua, unlike math.random.
  local function random(n)
    seed = (seed * 16807) % 2147483647
    return seed % n
  end

  -- Forty ranges whose windows are fetched, merged and counted.
  local function compare(edges)
    for _ = 1, 40 do
      local from, length, max = random(50), 1 + random(60), 1 + random(15)
      if edges == "()" then max = max + 1 end
      local events, expected = {}, {}
      for index = 1, random(80) do
        -- Few kinds and few instants: equal events, and events on edges.
        events[index] = { n = random(3), at = from - 5 + random(length + 10) }
        if events[index].at >= from and events[index].at < from + length then
          expected[#expected + 1] = events[index]
        end
      end
      local made = new { from = from, to = from + length, max = max, edges = edges,
        time = function(row) return row.at end,
        identity = function(row) return row.n .. "@" .. row.at end,
        fetch = server(events, edges) }
      assert.same(count_by(expected), count_by(assert(made:collect())))
    end
  end

  for _, edges in ipairs { "[]", "[)", "(]", "()" } do
    it("give each event as often as it happened, edges " .. edges, function() compare(edges) end)
  end

  -- What a compiler makes of the code depends on what ran before: a plan was
  -- compiled into a wrong one, once in a hundred runs of all specs.
  local jit = rawget(_G, "jit")
  if jit then
    it("give the same whenever LuaJIT compiles", function()
      for _ = 1, 25 do
        jit.flush()
        jit.opt.start("hotloop=" .. 2 + random(118), "hotexit=" .. 2 + random(18))
        for _, edges in ipairs { "[]", "[)", "(]", "()" } do compare(edges) end
      end
      jit.opt.start("hotloop=56", "hotexit=10")
    end)
  end

  it("give what was read before a source broke, and its error, with a key or without", function()
    for _, keyed in ipairs { false, true } do
      local made = new { time = function(row) return row.at end,
        key = keyed and function(row) return tostring(row.at) end or nil,
        fetch = function(each)
          local at = each.from
          return { rows = function()
            at = at + 10
            if each.index == 2 and at > 130 then
              return nil, errors.new { kind = "protocol", message = "cut" }
            end
            driver.current().sleep(0)
            return at < each.to and { at = at } or nil
          end }
        end }
      local rows, err, partial
      -- In a task, where waiting is a yield.
      local results = tasks.all { function() rows, err, partial = made:collect() end }
      assert.equal(0, results.failed, tostring(results[1].err))
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.equal("protocol", err.windows[1].err.kind)
      assert.same({ "fetched", "failed", "fetched", "fetched" }, states(made))
      assert.equal(9 + 3 + 9 + 9, #partial)
    end
  end)

  it("give one row per key, the later window's where values differ", function()
    local made, logged = new { to = 200, edges = "[]", time = function(row) return row.at end,
      key = function(row) return row.k .. "@" .. row.at end,
      identity = function(row) return tostring(row.v) end,
      fetch = function(each)
        if each.index == 1 then
          return { rows = { { k = "a", at = 0, v = 1 }, { k = "a", at = 100, v = 2 },
            { k = "b", at = 100, v = 3 }, { k = "c", at = 100, v = 4 } } }
        end
        return { rows = { { k = "a", at = 100, v = 2 }, { k = "b", at = 100, v = 30 },
          { k = "a", at = 200, v = 9 } } }
      end }
    local rows = assert(made:collect())
    local got = {}
    for index, row in ipairs(rows) do got[index] = row.k .. row.at .. "=" .. row.v end
    assert.same({ "a0=1", "a100=2", "b100=30", "c100=4" }, got)
    assert.equal(1, #logged)
    assert.equal("pull.conflict", logged[1].event)
    assert.equal(1, made.conflicts)
  end)

  it("keep rows without a key that differ, and the most of those that are equal", function()
    local made = new { to = 200, edges = "[]", time = function(row) return row.at end,
      identity = function(row) return row.n .. "@" .. row.at end,
      fetch = function(each)
        if each.index == 1 then
          return { rows = { { n = 1, at = 100 }, { n = 2, at = 100 }, { n = 2, at = 100 } } }
        end
        return { rows = { { n = 1, at = 100 }, { n = 1, at = 100 }, { n = 3, at = 100 } } }
      end }
    assert.same({ ["1@100"] = 2, ["2@100"] = 2, ["3@100"] = 1 },
      count_by(assert(made:collect())))
  end)

  it("give what was held where the next window fails", function()
    local made = new { edges = "[]", to = 300, time = function(row) return row.at end,
      identity = function(row) return row.n .. "@" .. row.at end,
      fetch = function(each)
        if each.index == 2 then return nil, errors.new { kind = "server", message = "down" } end
        return { rows = { { n = each.index, at = each.send_from },
          { n = each.index, at = each.send_to } } }
      end }
    local _, err, partial = made:collect()
    assert.equal("hole", err.kind)
    assert.same({ ["1@0"] = 1, ["1@100"] = 1, ["3@200"] = 1 }, count_by(partial))
  end)

  it("are not compared across chains", function()
    local windows = {}
    for chain = 1, 2 do
      for _, each in ipairs(windows_of(0, 200, 100, "[]")) do
        each.chain, each.index = chain, #windows + 1
        windows[each.index] = each
      end
    end
    local events = { { n = 1, at = 0 }, { n = 1, at = 100 }, { n = 1, at = 199 } }
    local made = new { windows = windows, to = 200, edges = "[]",
      time = function(row) return row.at end,
      identity = function(row) return row.n .. "@" .. row.at end, fetch = server(events, "[]") }
    assert.same({ ["1@0"] = 2, ["1@100"] = 2, ["1@199"] = 2 }, count_by(assert(made:collect())))
  end)

  it("drop and count what was not asked for", function()
    local made, logged = new { to = 100, time = function(row) return row.at end,
      identity = function(row) return tostring(row.at) end,
      fetch = function()
        return { rows = { { at = -1 }, { at = 5 }, { at = 100 }, { at = 101 } } }
      end }
    assert.equal(1, #assert(made:collect()))
    assert.equal(2, made.outside)
    assert.equal("pull.outside", logged[1].event)
  end)
end)

describe("leaving a pull", function()
  it("early closes it, at once where the loop can say so", function()
    local made = new { max = 10, concurrency = 2 }
    for row in made:rows() do
      if row.n == 2 then break end
    end
    if compat.closes_for then assert.truthy(tostring(made):find "closed") end
    made:close()
    made:close()
    assert.truthy(tostring(made):find "closed")
  end)

  it("by close ends the rows quietly, by cancel loudly", function()
    local made = new()
    local seen = 0
    assert.equal(1, made:each(function() seen = seen + 1 made:close() end))
    assert.equal(1, seen)
    made = new()
    local count, err = made:each(function() made:cancel() end)
    assert.is_nil(count)
    assert.equal("cancelled", err.kind)
    -- The first one too: not all of its rows were given.
    assert.equal(4, #err.windows)
    assert.equal("pending", err.windows[1].state)
  end)

  it("by close while it is to give something whole, is loud", function()
    local folder = os.tmpname()
    os.remove(folder)
    os.execute("mkdir " .. folder)
    for verb, argument in pairs { collect = false, save = folder .. "/rows.csv", download = folder,
        series = false } do
      local made
      local function fetch(each)
        if each.index == 3 then made:close() end
        driver.current().sleep(0.01)
        return { rows = { { n = 1, type = "t", time = "1" } } }
      end
      made = new { points = true, concurrency = 1, fetch = fetch, download = function(each)
        fetch(each)
        return folder .. "/" .. each.index
      end }
      local got, err = made[verb](made, argument or nil)
      assert.is_nil(got, verb)
      assert.equal("cancelled", err.kind)
      assert.is_true(#err.windows >= 2)
    end
    local listed = io.popen("ls -A " .. folder)
    assert.equal("", listed:read "*a")
    listed:close()
    os.execute("rmdir " .. folder)
  end)

  it("from another task wakes who waits", function()
    local made = new { fetch = function()
      driver.current().sleep(5)
      return { rows = {} }
    end }
    local started = driver.current().now()
    local results = tasks.all {
      function() return made:collect() end,
      function() driver.current().sleep(0.05) made:cancel() end,
    }
    assert.equal("cancelled", results[1].err.kind)
    assert.is_true(driver.current().now() - started < 2)
  end)

  it("in a task of PUC 5.1 is not even begun by rows", function()
    local results = tasks.all { function()
      local out = {}
      for row in new():rows() do out[#out + 1] = row.n end
      return out
    end }
    if compat.yields_in_for then
      assert.same({ 1, 2, 3, 4 }, results[1][1])
    else
      assert.truthy(tostring(results[1].err):find("use each", 1, true))
    end
    results = tasks.all { function() return new():collect() end }
    assert.equal(4, #results[1][1])
  end)
end)
