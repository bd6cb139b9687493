-- Pulls: no verb hides a hole, no cap cuts silently, and what a pull says about
-- itself (plan, coverage, warnings, series, progress). Over made-up sources.
local driver = require "garner.driver"
local errors = require "garner.errors"
local pulls = require "spec.support.pulls"
local tasks = require "garner.tasks"

local new, numbers, states = pulls.new, pulls.numbers, pulls.states

-- Every verb that gives rows, as a function that gives an error or nil.
local VERBS = {
  rows = function(made)
    local seen = {}
    local ok, err = pcall(function()
      for row in made:rows() do seen[#seen + 1] = row end
    end)
    return not ok and err or nil, #seen
  end,
  each = function(made)
    local seen = 0
    local n, err = made:each(function() seen = seen + 1 end)
    assert.equal(err == nil, n ~= nil)
    return err, seen
  end,
  collect = function(made)
    local list, err, partial = made:collect()
    return err, #(list or partial)
  end,
  series = function(made)
    local list, err = made:series()
    assert.equal(err == nil, list ~= nil)
    return err
  end,
  save = function(made)
    local path = os.tmpname()
    local n, err = made:save(path .. ".jsonl")
    os.remove(path)
    local left = io.open(path .. ".jsonl")
    if left then left:close() end
    assert.equal(n ~= nil, left ~= nil)
    os.remove(path .. ".jsonl")
    return err
  end,
  download = function(made)
    local files, err, partial = made:download "spec"
    return err, #(files or partial)
  end,
}

local function counting(fields)
  local asked = {}
  fields.points = true
  fields.fetch = function(each, budget)
    for _ = 1, fields.pages and fields.pages[each.index] or 1 do
      local allowed, refused = budget:spend()
      if not allowed then return nil, refused end
      asked[#asked + 1] = each.index
      driver.current().sleep(0.001)
    end
    return { rows = { { n = each.index, type = "t", time = tostring(each.index) } } }
  end
  fields.download = function(each, folder, budget)
    local answer, err = fields.fetch(each, budget)
    return answer and folder .. "/" .. each.index, err
  end
  return new(fields), asked
end

describe("a hole", function()
  for name, verb in pairs(VERBS) do
    it("is loud in " .. name .. ", with all windows that have one", function()
      local fetch = pulls.failing("server", { [2] = true, [4] = true })
      local made = new { points = true,
        fetch = function(each)
          local answer, err = fetch(each)
          if answer then answer.rows[1].type = "t" end
          return answer, err
        end,
        download = function(each)
          local answer, err = fetch(each)
          return answer and "x", err
        end }
      local err, seen = verb(made)
      assert.equal("hole", err.kind)
      assert.equal(2, #err.windows)
      assert.equal(2, err.windows[1].index)
      assert.equal(4, err.windows[2].index)
      assert.truthy(tostring(err):find("and 1 more window", 1, true), tostring(err))
      if seen then assert.equal(2, seen) end
    end)
  end
end)

describe("max_requests", function()
  for name, verb in pairs(VERBS) do
    it("ends " .. name .. " with what came", function()
      local made, asked = counting { max_requests = 3, concurrency = 2 }
      local err, seen = verb(made)
      assert.equal("truncated", err.kind)
      assert.equal("requests", err.code)
      assert.same({ 1, 2, 3 }, asked)
      if seen then assert.equal(3, seen) end
      assert.same({ "fetched", "fetched", "fetched", "planned" }, states(made))
      assert.equal(1, #err.windows)
      assert.truthy(err.windows[1].reason:find("max_requests = 3", 1, true))
    end)
  end

  it("is no error where it is enough", function()
    local made = counting { max_requests = 4 }
    assert.equal(4, #assert(made:collect()))
  end)

  it("is kept by walks over pages too; a walk that was cut gives nothing", function()
    local made, asked = counting { max_requests = 4, concurrency = 1, pages = { 1, 9, 1, 1 } }
    local rows, err, partial = made:collect()
    assert.is_nil(rows)
    assert.equal("requests", err.code)
    assert.same({ 1 }, numbers(partial))
    assert.equal(4, #asked)
    assert.same({ "fetched", "failed", "planned", "planned" }, states(made))
    assert.equal(3, #err.windows)
  end)

  it("gives what windows behind the cut one had brought", function()
    local made = counting { max_requests = 6, concurrency = 4, pages = { 9, 1, 1, 1 } }
    local _, err, partial = made:collect()
    assert.equal("truncated", err.kind)
    assert.same({ 2, 3, 4 }, numbers(partial))
    assert.same({ "failed", "fetched", "fetched", "fetched" }, states(made))
  end)

  it("counts every look at a window that is waited for", function()
    pulls.clock()
    local made = new { to = 100, on_not_ready = "wait", max_requests = 3 }
    made.source.fetch = function(_, budget)
      local allowed, refused = budget:spend()
      if not allowed then return nil, refused end
      return nil, errors.new { kind = "not_ready", message = "later" }
    end
    local _, err = made:collect()
    driver.use "block"
    assert.equal("requests", err.code)
    assert.equal(3, made:coverage()[1].requests)
  end)
end)

describe("max_rows", function()
  for _, name in ipairs { "rows", "each", "collect", "series", "save" } do
    it("ends " .. name .. " loudly", function()
      local err, seen = VERBS[name]((counting { max_rows = 3 }))
      assert.equal("truncated", err.kind)
      assert.equal("rows", err.code)
      if seen then assert.equal(3, seen) end
      assert.is_nil((VERBS[name]((counting { max_rows = 4 }))))
    end)
  end

  it("of collect goes before the pull's", function()
    local made = counting { max_rows = 1 }
    assert.equal(4, #assert(made:collect { max_rows = 4 }))
  end)
end)

describe("what a pull says about itself", function()
  it("is the resolved plan", function()
    local made = new { now = 410, lag = 120, retention = 300, max_requests = 2, max_rows = 5,
      rate = { per_second = 2, burst = 1 }, notes = { "a note" } }
    assert.equal(table.concat({
      "made-up rows: 1970-01-01T00:00:00Z .. 1970-01-01T00:06:40Z",
      "  zone UTC, edges [)",
      "  4 windows, at least 4 requests",
      "  at most 2 s for these at the documented rate",
      "  1 window is older than the 5 min that the data is kept (retention = \"warn\")",
      "  2 windows are younger than the 2 min in which the data settles",
      "  ends at max_requests = 2, which is too few",
      "  ends at max_rows = 5",
      "  a note",
      "    1  1970-01-01T00:00:00Z .. 1970-01-01T00:01:40Z",
      "    2  1970-01-01T00:01:40Z .. 1970-01-01T00:03:20Z",
      "    3  1970-01-01T00:03:20Z .. 1970-01-01T00:05:00Z",
      "    4  1970-01-01T00:05:00Z .. 1970-01-01T00:06:40Z",
    }, "\n"), tostring(made:plan()))
    assert.same({ 3, 4 }, made:plan().young)
  end)

  it("is every window with its state and reason, however it ends", function()
    local made = new { concurrency = 1, max = 80, fetch = function(each)
      if each.index < 3 then return { rows = { { n = each.index } } } end
      return nil, errors.new { kind = "unauthenticated", message = "no token" }
    end }
    made:collect()
    assert.same({ "fetched", "fetched", "failed", "pending", "planned" }, states(made))
    assert.truthy(made:coverage()[4].reason:find("not finished: no token", 1, true))
    assert.truthy(made:coverage()[5].reason:find("not asked for: no token", 1, true))
    local text = tostring(made:coverage())
    for _, part in ipairs { "1970-01-01T00:00:00Z .. 1970-01-01T00:01:20Z  fetched", "1 rows",
      "(no token)", "5 windows: 2 fetched, 1 failed, 1 pending, 1 planned; 2 rows" } do
      assert.truthy(text:find(part, 1, true), text)
    end

    made = new { concurrency = 2, max = 80 }
    made:each(function(row)
      if row.n == 2 then made:cancel() end
    end)
    for index, each in ipairs(made:coverage()) do
      local want = ({ "fetched", "pending", "pending", "pending", "planned" })[index]
      assert.equal(want, each.state)
      assert.equal(index > 1, each.reason ~= nil and each.reason:find "cancelled" ~= nil)
    end

    made = new()
    made:each(function() made:close() end)
    assert.truthy(made:coverage()[4].reason:find("the pull was closed", 1, true))
    assert.has_error(function()
      made = new()
      made:each(function() error("mine", 0) end)
    end, "mine")
    assert.truthy(made:coverage()[1].reason:find("the pull was closed", 1, true))
  end)

  it("is every warning with its window", function()
    local made = new { fetch = function(each)
      return { rows = { { n = 1 } }, warnings = each.index == 3
        and { { code = "PARTIAL", message = "some is late" } } or nil }
    end }
    assert.equal("no warnings", tostring(made:warnings()))
    made:collect()
    local warnings = made:warnings()
    assert.equal(1, #warnings)
    assert.equal(3, warnings[1].window)
    assert.equal("  3  1970-01-01T00:03:20Z  PARTIAL  some is late", tostring(warnings))
  end)

  it("is its series", function()
    local made = counting {}
    assert.equal("t: 4 points, 1 .. 4", tostring(assert(made:series())))
  end)

  it("is its progress, with all that a window may take", function()
    local now, last = 0, nil
    local core = require "garner.core"
    local real = core.now
    core.now = function()
      now = now + 1
      return now
    end
    local made = new { concurrency = 1, on_progress = function(at)
      last = last or {}
      last[#last + 1] = tostring(at)
    end, fetch = function(each, budget)
      budget:spend(2)
      each.job = each.index < 4 and "job" or nil
      return { rows = { { n = each.index }, { n = 0 } }, bytes = 600 }
    end }
    local ok, why = pcall(made.collect, made)
    core.now = real
    assert(ok, why)
    assert.equal("0/4 windows, 0 rows, 0 requests, waiting for 1970-01-01T00:00:00Z", last[1])
    assert.truthy(last[#last]:find("^4/4 windows, 8 rows, 8 requests, 2.4 kB$"), last[#last])
  end)

  it("tells the jobs that are waited for", function()
    local made, ended
    local most = 0
    made = new { fetch = function(each)
      each.job = "job"
      local now, sleep = driver.current().now, driver.current().sleep
      local start = now()
      repeat -- the first one's end has the others told of; they end when that was seen
        sleep(0.002)
      until each.index == 1 or most > 0 or now() - start > 10
      return { rows = { { n = each.index } } }
    end }
    local results = tasks.all {
      function()
        local rows = made:collect()
        ended = true
        return rows
      end,
      function()
        while not ended do
          most = math.max(most, made.run and made.run.meter.jobs or 0)
          driver.current().sleep(0.001)
        end
      end,
    }
    assert.equal(4, #results[1][1])
    assert.is_true(most >= 1)
  end)
end)
