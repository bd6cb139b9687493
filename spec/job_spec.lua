-- Jobs over a made-up vendor: what `wait`, `status` and `download` make of
-- answers. Polling itself is in poll_spec, the vendors in their own specs.
local enums = require "garner.enums"
local errors = require "garner.errors"
local job = require "garner.job"
local report = require "garner.report"

local STATES = { R = "running", S = "done", F = "failed" }

-- A vendor whose poll answers are given: lists of { id, status, uri, info }.
local function new(reports, answers, outcome)
  local client = { downloads = {} }
  function client.download(_, uri, path)
    client.downloads[#client.downloads + 1] = uri .. " > " .. path
    if uri == "bad" then
      return nil, errors.new { kind = "forbidden", status = 403, message = "expired" }
    end
    return { path = path, size = 1 }
  end
  local function poll(_, spec, on_report)
    client.spec = spec
    if spec.once then client.looked = #spec.ids end
    for _, answer in ipairs(answers or {}) do
      on_report(answer.id, STATES[answer.status] or "unknown", answer, answer.status)
      if spec.on_progress then spec.on_progress { pending = 1, done = 1, polls = 1 } end
    end
    if outcome then return nil, outcome end
    return true
  end
  client.poll, client.log = poll, function() end
  local api = {
    client = client,
    poll = function(list)
      local ids = {}
      for index, each in ipairs(list) do ids[index] = { id = each.id } end
      return { ids = ids }
    end,
    apply = function(each, element)
      each.status, each.uri, each.error_info = element.status, element.uri, element.info
      each.state = STATES[element.status] or "unknown"
    end,
  }
  for index, each in ipairs(reports) do reports[index] = report.new(each) end
  return job.new(client, api, reports), client
end

local function two(answers, outcome)
  return new({ { id = "a", dimension = "one", state = "running", status = "R" },
    { id = "b", dimension = "two", state = "running", status = "R", event_id = "e" } },
    answers, outcome)
end

local function timed_out()
  return errors.new { kind = "timeout", code = "job", message = "the jobs' deadline" }
end

describe("A job", function()
  it("gives reports in request order, whatever the order of answers", function()
    local made = two { { id = "b", status = "S", uri = "u2" },
      { id = "a", status = "S", uri = "u1" } }
    local reports = assert(made:wait())
    assert.equal("a", reports[1].id)
    assert.equal("u1", reports[1].uri)
    assert.equal("u2", reports[2].raw.uri)
    assert.equal("garner job: 2 S", tostring(made))
  end)

  it("ignores answers about what it does not have", function()
    local made = two { { id = "x", status = "F" }, { id = "a", status = "S", uri = "u" },
      { id = "b", status = "S", uri = "u" } }
    assert.truthy(made:wait())
  end)

  it("asks only about reports that have not ended", function()
    local made, client = new { { id = "a", state = "done", status = "S", uri = "u" },
      { id = "b", state = "running", status = "R" } }
    made:wait { partial = true }
    assert.same({ { id = "b" } }, client.spec.ids)
    client.spec = nil
    made.reports[2].state, made.reports[2].uri = "done", "v"
    assert.truthy(made:wait())
    assert.is_nil(client.spec)
  end)

  it("polls as design says unless told otherwise", function()
    local made, client = two()
    made:wait { partial = true }
    assert.same({ 1, 1.5, 20 }, { client.spec.first, client.spec.factor, client.spec.cap })
    assert.is_true(client.spec.timeout > 1795 and client.spec.timeout <= 1800)
    made:wait { partial = true, timeout = "15m", first = 0.5, cap = "3s", factor = 2 }
    assert.same({ 0.5, 2, 3 }, { client.spec.first, client.spec.factor, client.spec.cap })
    assert.is_true(client.spec.timeout > 895 and client.spec.timeout <= 900)
  end)

  it("tells a failure with reason, domain and metadata", function()
    local made = two { { id = "a", status = "S", uri = "u" }, { id = "b", status = "F",
      info = { reason = "TOO_BIG", domain = "example.com", metadata = { rows = "7", a = "b" } } } }
    local reports, err = made:wait()
    assert.is_nil(reports)
    assert.equal("job_failed", err.kind)
    assert.equal("TOO_BIG", err.reason)
    assert.equal("example.com", err.domain)
    assert.equal("7", err.metadata.rows)
    assert.equal(2, #err.reports)
    assert.equal("report two of event e failed (TOO_BIG, example.com, a=b, rows=7)", err.message)
  end)

  it("tells a failure without any reason", function()
    local made = two { { id = "a", status = "F", info = "text" }, { id = "b", status = "F" } }
    local _, err = made:wait()
    assert.equal("job_failed", err.kind)
    assert.truthy(err.message:find("no reason given", 1, true))
    assert.truthy(err.message:find("2 of 2", 1, true))
  end)

  it("shows at the deadline what each report was", function()
    local made = two({ { id = "a", status = "ODD" }, { id = "b", status = "S", uri = "" } },
      timed_out())
    local reports = made:wait { partial = true, timeout = 5 }
    assert.equal("report one is still ODD after 5 s", reports[1].err.message)
    assert.equal("report two of event e is S but has no link to download it after 5 s",
      reports[2].err.message)
    assert.equal("timeout", reports[2].err.kind)
    local _, err = made:wait()
    assert.equal("timeout", err.kind)
    assert.equal("job", err.code)
    local why = errors.new { kind = "timeout", code = "job", status = 503,
      message = "1 of 1 reports did not end within 5 s; the last look failed: HTTP status 503" }
    local late = two({}, why):wait { partial = true, timeout = 5 }
    assert.equal("report one is still R after 5 s; the last look failed: HTTP status 503",
      late[1].err.message)
    assert.equal(503, late[1].err.status)
  end)

  it("gives what is there and why the rest is not, if polling breaks", function()
    local broken = errors.new { kind = "transport", code = "connect", message = "no route" }
    local made = two({ { id = "a", status = "S", uri = "u" } }, broken)
    local reports = made:wait { partial = true }
    assert.is_nil(reports[1].err)
    assert.equal("transport", reports[2].err.kind)
    local none, err = made:wait()
    assert.is_nil(none)
    assert.equal("connect", err.code)
    assert.equal(2, #err.reports)
  end)

  it("says of a cancelled wait that the vendor goes on", function()
    local made = two(nil, errors.new { kind = "cancelled", message = "x" })
    local _, err = made:wait()
    assert.equal("cancelled", err.kind)
    assert.truthy(err.message:find("still being made at the vendor", 1, true))
    assert.is_false(made:cancel())
  end)

  it("shows progress", function()
    local seen
    local made = two { { id = "a", status = "S", uri = "u" },
      { id = "b", status = "S", uri = "u" } }
    made:wait { on_progress = function(at) seen = at.jobs end }
    assert.truthy(seen)
  end)

  it("checks the options of wait", function()
    for _, given in ipairs { { timeout = 0 }, { timeout = -1 }, { timeout = 0 / 0 },
        { timeout = "5" }, { timeout = "soon" }, { partially = true }, { on_progress = 1 } } do
      local ok, message = pcall(function() two():wait(given) end)
      assert.is_false(ok)
      assert.truthy(message:find("job_spec.lua", 1, true), message)
    end
  end)

  it("asks once for its status", function()
    local made, client = two { { id = "b", status = "S", uri = "u" } }
    local reports = assert(made:status())
    assert.equal(2, client.looked)
    assert.equal("R", reports[1].status)
    assert.equal("S", reports[2].status)
    made:status()
    assert.equal(1, client.looked)
    local broken = two(nil, errors.new { kind = "server", message = "down" })
    local none, err = broken:status()
    assert.is_nil(none)
    assert.equal("server", err.kind)
  end)

  it("takes one answer for all reports that share its id", function()
    local made = new({ { id = "a", dimension = "one", state = "running", status = "R" },
      { id = "a", dimension = "two", state = "running", status = "R" } },
      { { id = "a", status = "S", uri = "u" } })
    local reports = assert(made:wait())
    assert.equal("u", reports[1].uri)
    assert.equal("u", reports[2].uri)
  end)

  it("is never short of a reason", function()
    local reports, err = two({ { id = "a", status = "S", uri = "u" } }):wait()
    assert.is_nil(reports)
    assert.equal("not_ready", err.kind)
    assert.truthy(err.message:find("two of event e is still R", 1, true), err.message)
  end)

  it("ends its progress where something is raised", function()
    local made, client = two({})
    client.poll = function() error("mine", 0) end
    local ok, why = pcall(made.wait, made)
    assert.is_false(ok)
    assert.equal("mine", why)
    assert.is_false(made:cancel())
  end)

  it("that was lost or failed at once needs no poll", function()
    local lost = errors.new { kind = "in_doubt", message = "who knows" }
    local made, client = new { { id = "a", state = "failed", status = "F" },
      { state = "lost", status = "in_doubt", err = lost } }
    local reports, err = made:wait()
    assert.is_nil(reports)
    assert.is_nil(client.spec)
    assert.equal("job_failed", err.kind)
    assert.equal("in_doubt", made:wait { partial = true }[2].err.kind)
  end)
end)

describe("A report", function()
  it("is downloaded only when it is there", function()
    local made, client = two()
    local file, err = made.reports[1]:download "x.csv"
    assert.is_nil(file)
    assert.equal("not_ready", err.kind)
    assert.same({}, client.downloads)
    made = two { { id = "a", status = "S", uri = "u1" }, { id = "b", status = "S", uri = "u2" } }
    assert(made:wait())
    assert.equal("x.csv", made.reports[1]:download("x.csv").path)
    assert.equal("report two of event e: S", tostring(made.reports[2]))
    assert.has_error(function() made.reports[1]:download() end)
  end)

  it("is named by a template, every field made harmless", function()
    local made, client = two { { id = "a", status = "S", uri = "u1" },
      { id = "b", status = "S", uri = "u2" } }
    assert(made:wait())
    made.reports[1].event_id, made.reports[1].group_by = "../x y/é", { "p", "q" }
    assert.same({ "o/1-.._x_y___-one-p-q.csv", "o/2-e-two-none.csv" },
      made:download "o/{index}-{event_id}-{dimension}-{group_by}.csv")
    assert.same({ "u1 > o/1-.._x_y___-one-p-q.csv", "u2 > o/2-e-two-none.csv" },
      client.downloads)
    made.reports[1].event_id = ".."
    assert.equal("o/_..-a", made:download("o/{event_id}-{id}")[1])
    local ok, message = pcall(function() return made:download("o/{id}", { nonsense = 1 }) end)
    assert.is_false(ok)
    assert.truthy(message:find("job_spec.lua:%d+: client:download: unknown option"), message)
  end)

  it("that cannot be downloaded does not hide the others", function()
    local made = two { { id = "a", status = "S", uri = "bad" },
      { id = "b", status = "S", uri = "u2" } }
    assert(made:wait())
    local files, err = made:download "{id}"
    assert.is_nil(files)
    assert.same({ "b" }, err.files)
    assert.equal(2, #err.reports)
    assert.truthy(err.message:find("expired", 1, true))
  end)
end)

describe("Enums", function()
  local set = enums.new("fruit", "FRUIT_", { "apple", "blood_orange" })

  it("take both spellings and refuse others with the right ones", function()
    assert.equal("FRUIT_BLOOD_ORANGE", set:api "blood_orange")
    assert.equal("FRUIT_APPLE", set:api "FRUIT_APPLE")
    for _, bad in ipairs { "pear", "APPLE", "", 1, false, {} } do
      local api, message = set:api(bad)
      assert.is_nil(api)
      assert.truthy(message:find("apple, blood_orange", 1, true))
    end
    assert.is_nil((set:api(nil)))
  end)

  it("keep unknown values of a server", function()
    assert.equal("apple", set:friendly "FRUIT_APPLE")
    assert.equal("FRUIT_PEAR", set:friendly "FRUIT_PEAR")
    assert.equal(7, set:friendly(7))
    assert.is_nil(set:friendly(nil))
  end)

  it("read lists, each value once", function()
    assert.same({ "FRUIT_APPLE" }, set:list { "apple", "FRUIT_APPLE" })
    assert.same({ "FRUIT_APPLE" }, set:list "apple")
    assert.same({}, set:list(nil))
    for _, bad in ipairs { { "apple", x = 1 }, { "pear" }, 5 } do
      assert.is_nil((set:list(bad)))
    end
  end)
end)
