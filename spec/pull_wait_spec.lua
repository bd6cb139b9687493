-- Pulls whose data is not there yet: on_not_ready = "wait", settling, what is
-- in flight meanwhile. Over made-up sources, on a clock that only waits move.
local core = require "garner.core"
local driver = require "garner.driver"
local errors = require "garner.errors"
local options = require "garner.options"
local pull = require "garner.pull"
local pulls = require "spec.support.pulls"
local merge = require "garner.rows"
local tasks = require "garner.tasks"

local new, numbers, states = pulls.new, pulls.numbers, pulls.states

local function later(message)
  return errors.new { kind = "not_ready", message = message or "not available yet" }
end

local function broken(kind)
  return errors.new { kind = kind or "server", message = "broke" }
end

describe("waiting for what is not ready", function()
  local clock
  before_each(function() clock = pulls.clock() end)
  after_each(function() driver.use "block" end)

  -- A fetch that is not ready for the first looks at some windows.
  local function late(looks, order)
    local left = {}
    for index, count in pairs(looks) do left[index] = count end
    return function(each)
      if order then order[#order + 1] = each.index end
      if (left[each.index] or 0) > 0 then
        left[each.index] = left[each.index] - 1
        return { rows = { { n = -1 } }, state = "not_ready", err = later(),
          reason = "not available yet" }
      end
      return { rows = { { n = each.index } } }
    end
  end

  it("asks again with growing pauses, gives rows once and in order", function()
    local order = {}
    local made = new { on_not_ready = "wait", concurrency = 1, fetch = late({ [2] = 2 }, order) }
    assert.same({ 1, 2, 3, 4 }, numbers(assert(made:collect())))
    assert.same({ 60, 90 }, clock.slept)
    -- The next was fetched while the second was waited for, and no more than it.
    assert.same({ 1, 2, 3, 2, 2, 4 }, order)
    assert.same({ "fetched", "fetched", "fetched", "fetched" }, states(made))
    assert.is_nil(made:coverage()[2].reason)
    assert.equal(3, made:coverage()[2].requests)
  end)

  it("waits for an error of kind not_ready too, and at most at the cap", function()
    local looks = 0
    local made = new { to = 100, on_not_ready = "wait", wait_first = 100, wait_factor = 3,
      wait_cap = 400, fetch = function()
        looks = looks + 1
        if looks < 5 then return nil, later() end
        return { rows = { { n = looks } } }
      end }
    assert.same({ 5 }, numbers(assert(made:collect())))
    assert.same({ 100, 300, 400, 400 }, clock.slept)
  end)

  it("ends with its budget, loudly", function()
    local made = new { on_not_ready = "wait", fetch = late { [1] = 1e9 } }
    local rows, err, partial = made:collect()
    assert.is_nil(rows)
    assert.equal("hole", err.kind)
    assert.equal(1, #err.windows)
    assert.equal("not_ready", err.windows[1].state)
    assert.equal(1, err.windows[1].withheld)
    assert.truthy(err.windows[1].reason:find("still so after waiting 60 min", 1, true),
      err.windows[1].reason)
    assert.same({ 2, 3, 4 }, numbers(partial))
    local total, longest = 0, 0
    for _, seconds in ipairs(clock.slept) do
      total, longest = total + seconds, math.max(longest, seconds)
    end
    assert.equal(3600, total)
    assert.equal(600, longest)
  end)

  it("is what the caller's budget says", function()
    local made = new { to = 100, on_not_ready = "wait", wait_budget = 30, fetch = function()
      return nil, later()
    end }
    local _, err = made:collect()
    assert.same({ 30 }, clock.slept)
    assert.truthy(tostring(err):find("asked 2 times", 1, true), tostring(err))
  end)

  it("says what it waits for", function()
    local seen
    local made = new { on_not_ready = "wait", fetch = late { [2] = 1, [3] = 1 },
      on_progress = function(at) seen = seen or at.waiting_for end }
    made:coverage()
    assert(made:collect())
    assert.truthy(seen:find("1970-01-01T00:00:00Z", 1, true), seen)
    local text
    made = new { on_not_ready = "wait", fetch = late { [2] = 1, [3] = 1 } }
    clock.sleep = function(seconds)
      text = tostring(made.run.meter)
      clock.at = clock.at + seconds
    end
    assert(made:collect())
    assert.truthy(text:find(
      "waiting for 1970-01-01T00:01:40Z and 1 more (not available yet; asked again in 60 s)", 1,
      true), text)
  end)

  it("is not for what will never come", function()
    local never = errors.new { kind = "not_ready", message = "never", retryable = false }
    local made = new { on_not_ready = "wait", to = 200, fetch = function(each)
      if each.index == 1 then return nil, never end
      return { rows = {}, state = "failed", err = never, reason = "never" }
    end }
    local _, err = made:collect()
    assert.equal(2, #err.windows)
    assert.same({}, clock.slept)
    assert.same({ "not_ready", "failed" }, states(made))
  end)

  it("takes other failures as passing only where a window is waited for", function()
    local looks = 0
    local made = new { to = 100, on_not_ready = "wait", fetch = function()
      looks = looks + 1
      if looks == 1 then return nil, later() end
      if looks == 2 then return nil, broken() end
      return { rows = { { n = 1 } } }
    end }
    assert.same({ 1 }, numbers(assert(made:collect())))
    made = new { to = 100, on_not_ready = "wait", fetch = function() return nil, broken() end }
    local _, err = made:collect()
    assert.equal("failed", err.windows[1].state)
    looks = 0
    made = new { to = 100, on_not_ready = "wait", fetch = function()
      looks = looks + 1
      if looks == 1 then return nil, later() end
      return nil, broken "forbidden"
    end }
    _, err = made:collect()
    assert.equal("forbidden", err.kind)
    assert.equal(2, looks)
  end)

  it("goes on with the job that a look made", function()
    local creates, looks = 0, 0
    local function fetch(each)
      looks = looks + 1
      if not each.job then
        creates = creates + 1
        each.job = "job " .. creates
      end
      if looks < 3 then
        return nil, errors.new { kind = "timeout", code = "job", message = "still running" }
      end
      return { rows = { { n = 1 } } }
    end
    local made = new { to = 100, on_not_ready = "wait", fetch = fetch }
    assert.equal(1, #assert(made:collect()))
    assert.equal(1, creates)
    -- Without wait it is the end of the window.
    looks = 0
    made = new { to = 100, fetch = fetch }
    local _, err = made:collect()
    assert.equal("timed_out", err.windows[1].state)
  end)

  it("lets one task cancel what another waits for", function()
    local made = new { on_not_ready = "wait", fetch = late { [1] = 1e9 } }
    local results = tasks.all {
      function() return made:collect() end,
      function()
        driver.current().sleep(100)
        made:cancel()
      end,
    }
    assert.equal("cancelled", results[1].err.kind)
    local first = made:coverage()[1]
    assert.equal("pending", first.state)
    assert.truthy(first.reason:find("cancelled (not available yet)", 1, true), first.reason)
  end)

  it("can be ended by its progress, at once or in a pause", function()
    for _, verb in ipairs { "cancel", "close" } do
      for nth = 1, 2 do
        local calls, looks, made = 0, 0, nil
        made = new { on_not_ready = "wait", concurrency = 1, fetch = function()
          looks = looks + 1
          return nil, later()
        end, on_progress = function()
          calls = calls + 1
          if calls == nth then made[verb](made) end
        end }
        local real = core.now
        core.now = function() return calls * 10 end -- progress is not shown too often
        local ok, rows, err = pcall(made.collect, made)
        core.now = real
        assert(ok, rows)
        assert.is_nil(rows)
        assert.equal("cancelled", err.kind)
        assert.equal(nth - 1, looks)
        assert.same({}, clock.slept)
      end
    end
  end)

  it("keeps no more answers than windows may be in flight, and one", function()
    for _, limit in ipairs { 1, 3 } do
      local held, most = 0, 0
      local fetch = late { [1] = 3, [2] = 2, [5] = 4, [9] = 1, [10] = 1, [11] = 1, [12] = 1 }
      local made = new { max = 20, concurrency = limit, on_not_ready = "wait",
        fetch = function(each)
          local answer = fetch(each)
          if not answer.state then
            held = held + 1
            most = math.max(most, held)
          end
          return answer
        end }
      local seen = {}
      assert(made:each(function(row)
        held = held - 1
        seen[#seen + 1] = row.n
      end))
      assert.equal(20, #seen)
      for index, n in ipairs(seen) do assert.equal(index, n) end
      assert.is_true(most <= limit + 1, ("%d answers for %d in flight"):format(most, limit))
    end
  end)

  it("asks for all that are not ready beside each other", function()
    local made = new { max = 20, concurrency = 2, on_not_ready = "wait", fetch = (function()
      local fetch = late { [17] = 3, [18] = 3, [19] = 3, [20] = 3 }
      return fetch
    end)() }
    assert.equal(20, #assert(made:collect()))
    -- Not four times as long as one of them.
    assert.is_true(clock.at - 5000 <= 2 * (60 + 90 + 135), ("%d s"):format(clock.at - 5000))
  end)
end)

describe("young windows", function()
  local clock
  before_each(function() clock = pulls.clock() end)
  after_each(function() driver.use "block" end)

  -- Rows come late and newest first, in pages; the vendor's third page fails once.
  local function vendor(arrivals)
    local failed = 0
    return function(each, budget)
      local there = {}
      for _, row in ipairs(arrivals) do
        if row.at >= each.from and row.at < each.to and clock.at - 5000 >= row.visible then
          table.insert(there, 1, row)
        end
      end
      local out = {}
      for first = 1, math.max(1, #there), 2 do
        local allowed, refused = budget:spend()
        if not allowed then return nil, refused end
        if first == 5 and failed < 2 then
          failed = failed + 1
          return nil, broken()
        end
        out[#out + 1], out[#out + 2] = there[first], there[first + 1]
      end
      return { rows = out }
    end
  end

  local function by_number(rows)
    local out = numbers(rows)
    table.sort(out)
    return out
  end

  it("are asked for again until two answers agree: late rows are all there", function()
    local arrivals = {}
    for n = 1, 10 do
      arrivals[n] = { n = n, at = 300 + n, visible = n <= 4 and 0 or (n - 4) * 40 }
    end
    arrivals[11] = { n = 11, at = 50, visible = 0 }
    local made = new { now = 420, lag = 110, on_not_ready = "wait", fetch = vendor(arrivals) }
    local rows = assert(made:collect())
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 }, by_number(rows))
    assert.same({ "fetched", "empty", "empty", "provisional" }, states(made))
    -- The oldest of the young was given with its second look, in its place.
    assert.equal(11, rows[1].n)
    assert.equal(1, made:coverage()[1].requests)
    assert.is_true(made:coverage()[4].requests > 8)
  end)

  it("give what came last, in its order, as often as it is there", function()
    local looks = 0
    local made = new { to = 100, now = 100, on_not_ready = "wait", settle_after = 1e6,
      fetch = function()
        looks = looks + 1
        local list = { { n = 1 }, { n = 2 }, { n = 2 } }
        if looks == 1 then list = { { n = 2 }, { n = 1 } } end
        if looks == 3 then list = { { n = 2 }, { n = 1 }, { n = 2 } } end
        return { rows = list }
      end }
    assert.same({ 2, 1, 2 }, numbers(assert(made:collect())))
    assert.equal(3, looks)
    assert.same({ 60, 90 }, clock.slept)
  end)

  it("that never settle end as not ready, their rows withheld", function()
    local looks = 0
    local made = new { to = 100, now = 100, on_not_ready = "wait", lag = 1e6,
      fetch = function()
        looks = looks + 1
        return { rows = { { n = looks } } }
      end }
    local rows, err, partial = made:collect()
    assert.is_nil(rows)
    assert.same({}, partial)
    assert.equal("not_ready", err.windows[1].state)
    assert.equal("unsettled", err.code)
    assert.truthy(err.windows[1].reason:find("its rows changed", 1, true), err.windows[1].reason)
  end)

  it("that grow old while they are waited for are taken at their word", function()
    local looks = 0
    local made = new { to = 100, now = 100, on_not_ready = "wait", settle_after = 120,
      fetch = function()
        looks = looks + 1
        return { rows = { { n = looks } } }
      end }
    assert.same({ 3 }, numbers(assert(made:collect())))
  end)

  it("are read to the end before they are compared, and a broken file is no answer", function()
    local looks = 0
    local made = new { to = 100, now = 100, on_not_ready = "wait", settle_after = 1e6,
      fetch = function(each)
        looks = looks + 1
        -- What could not be read is read again; what could, is made anew.
        assert.equal(looks == 2 and "job 1" or nil, each.job)
        each.job = "job " .. looks
        local this, at = looks, 0
        return { rows = function()
          at = at + 1
          if at <= 2 then return { n = at } end
          if this == 1 then return nil, broken() end
        end }
      end }
    assert.same({ 1, 2 }, numbers(assert(made:collect())))
    assert.equal(3, looks)
  end)

  it("are remembered by a digest, whatever their order and however many", function()
    local one, other = {}, {}
    for n = 1, 1000 do
      one[n], other[1001 - n] = { n = n, deep = { n, "x" } }, { deep = { n, "x" }, n = n }
    end
    local mark = merge.fingerprint(one, {})
    assert.equal(64, #mark)
    assert.equal(mark, merge.fingerprint(other, {}))
    other[1] = { n = 0 }
    assert.are_not.equal(mark, merge.fingerprint(other, {}))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      core.sha256 "abc")
    mark = merge.fingerprint({ { n = 1 } }, {})
    assert.are_not.equal(mark, merge.fingerprint({ { n = "1" } }, {}))
    assert.are_not.equal(mark, merge.fingerprint({ { n = 1 }, { n = 1 } }, {}))
  end)

  it("compare keys too", function()
    local looks = 0
    local made = new { to = 100, now = 100, on_not_ready = "wait", settle_after = 1e6,
      key = function(row) return tostring(row.n) end, identity = function() return "same" end,
      fetch = function()
        looks = looks + 1
        return { rows = { { n = looks == 1 and 1 or 2 } } }
      end }
    assert.same({ 2 }, numbers(assert(made:collect())))
    assert.equal(3, looks)
  end)

  it("are given as they are without wait", function()
    local looks = 0
    local made = new { to = 100, now = 100, lag = 1e6, fetch = function()
      looks = looks + 1
      return { rows = { { n = looks } } }
    end }
    assert.same({ 1 }, numbers(assert(made:collect())))
    assert.same({ "provisional" }, states(made))
  end)
end)

describe("a slow first window", function()
  it("does not let the others run on without bound", function()
    local clock = pulls.clock()
    local started = 0
    local made = new { max = 10, concurrency = 3, fetch = function(each)
      started = started + 1
      if each.index == 1 then
        driver.current().sleep(1000)
        assert.equal(3, started)
      end
      return { rows = { { n = each.index } } }
    end }
    assert.equal(40, #assert(made:collect()))
    assert.equal(1000, clock.slept[1])
    driver.use "block"
  end)
end)

describe("a warning and no rows", function()
  local warning = { code = "200", message = "Data is not available right now" }

  for _, streamed in ipairs { false, true } do
    local function make(mode)
      return new { to = 100, on_not_ready = mode, fetch = function()
        return { rows = streamed and function() return nil end or {}, warnings = { warning } }
      end }
    end

    it("is never empty" .. (streamed and ", in a file either" or ""), function()
      local made = make()
      local rows, err = made:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.same({ "not_ready" }, states(made))
      assert.equal(warning.message, err.windows[1].reason)
      assert.equal(1, made:warnings()[1].window)
      made = make "skip"
      assert.same({}, made:collect())
      assert.same({ "not_ready" }, states(made))
      made = make "provisional"
      assert.same({}, made:collect())
      assert.same({ "provisional" }, states(made))
    end)
  end
end)

describe("options of waiting", function()
  local function check(given)
    local source = pulls.source()
    pull.configure(source, options.check(given, pull.RULES, "demo"), "demo")
    return source
  end

  it("are taken into the source", function()
    local source = check { on_not_ready = "wait", wait_budget = "2h", wait_first = 5,
      settle_after = "3d", lag = 0, retention = "skip", max_rows = 3 }
    assert.equal(7200, source.wait_budget)
    assert.equal(5, source.wait_first)
    assert.equal(259200, source.settle_after)
    assert.equal(0, source.lag)
    assert.equal("skip", source.on_retention)
    assert.equal(3, source.max_rows)
  end)

  it("are refused where they mean nothing, at the caller's line", function()
    local bad = { { settle_after = "1d" }, { wait_budget = "1h", on_not_ready = "skip" } }
    for _, name in ipairs { "wait_budget", "wait_first", "wait_cap" } do
      for _, value in ipairs { 0, -1, 0 / 0, 1 / 0, "5", "-5s", true } do
        bad[#bad + 1] = { on_not_ready = "wait", [name] = value }
      end
    end
    for _, value in ipairs { -1, 0 / 0, 1 / 0, "5", true } do
      bad[#bad + 1] = { on_not_ready = "wait", settle_after = value }
      bad[#bad + 1] = { lag = value }
    end
    for _, value in ipairs { 0, -1, 0.5, 0 / 0, 1 / 0, "5" } do
      bad[#bad + 1] = { max_requests = value }
      bad[#bad + 1] = { max_rows = value }
      bad[#bad + 1] = { concurrency = value }
    end
    bad[#bad + 1] = { on_not_ready = "wait", wait_factor = 0.5 }
    bad[#bad + 1] = { on_not_ready = "later" }
    for _, given in ipairs(bad) do
      local ok, message = pcall(check, given)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("pull_wait_spec.lua", 1, true), tostring(message))
      assert.truthy(tostring(message):find("demo: ", 1, true), tostring(message))
    end
  end)
end)
