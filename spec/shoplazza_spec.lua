-- Shoplazza against the simulator: data query tasks and events of a range.
local garner = require "garner"
local simulator = require "spec.support.simulator"

local FAST = { first = 0.02, factor = 1.2, cap = 0.1 }

local function day(ago)
  return garner.time.date_add(garner.time.today(), -ago)
end

describe("Shoplazza", function()
  local sim, scope, shop, logged

  setup(function() sim = simulator.get() end)

  local function client(more)
    local options = { shop = "sim", token = scope.token, base_url = sim.url, rate = 1000,
      burst = 1000, log = function(_, event) logged[#logged + 1] = event end }
    for name, value in pairs(more or {}) do options[name] = value end
    return garner.shoplazza(options)
  end

  before_each(function()
    scope, logged = sim:scope(), {}
    shop = client()
  end)

  after_each(function() shop:close() end)

  local function events(given)
    given.wait = given.wait or FAST
    return shop:events(given)
  end

  describe("events", function()
    it("of a day are one task of 24 hours, both ends a second earlier", function()
      local pull = events { event = "add_to_cart", date = day(1) }
      local rows = assert(pull:collect())
      assert.is_true(#rows > 0)
      local create = scope:requests()[1]
      assert.equal("GET", create.method)
      assert.equal("/openapi/2022-01/data/query", create.path)
      assert.equal(("beginTime=%sT23%%3A59%%3A59&endTime=%sT23%%3A59%%3A59&event=add_to_cart")
        :format(day(2), day(1)), create.query)
      assert.equal(scope.token, create.headers["access-token"])
      assert.is_nil(create.headers.authorization)
      for _, row in ipairs(rows) do
        assert.equal("add_to_cart", row.event)
        assert.equal(day(1), row.event_time:sub(1, 10))
      end
      assert.equal(1, scope:count "/data/query")
      assert.is_true(scope:count "/data/task%?id=" >= 2)
      assert.same({}, scope:leaks())
    end)

    it("give rows by column name, and never hide a column", function()
      local row = assert(events { event = "pageview", date = day(1) }:collect())[1]
      assert.equal("pageview", row.query_event)
      assert.equal(day(1) .. "T00:00:00", row.window_from)
      assert.equal(day(0) .. "T00:00:00", row.window_to)
      assert.truthy(row.query_id)
      assert.is_nil(rawget(row, "query_id"))
      assert.is_nil(row.no_such_column)
    end)

    it("of several days are the days' events, each once", function()
      local function of(given)
        given.event = "place_order"
        local out = {}
        for _, row in ipairs(assert(events(given):collect())) do
          out[#out + 1] = row.event_time .. row.session_id
        end
        return out
      end
      local all, parts = of { from = day(3), to = day(1) }, {}
      for ago = 3, 1, -1 do
        for _, each in ipairs(of { date = day(ago) }) do parts[#parts + 1] = each end
      end
      assert.same(parts, all)
    end)

    it("of a list are a task each, of none all but impressions", function()
      local pull = events { event = { "add_to_cart", "refund_order" }, date = day(1) }
      assert.equal(2, #pull:plan().windows)
      local names, order = {}, {}
      pull:each(function(row)
        if not names[row.event] then order[#order + 1] = row.event end
        names[row.event] = true
      end)
      assert.same({ "add_to_cart", "refund_order" }, order)
      scope:reset()
      pull = events { date = day(1) }
      assert.truthy(tostring(pull:plan()):find("all events except impressions", 1, true))
      names = {}
      pull:each(function(row) names[row.event] = true end)
      assert.is_nil(names.impressions)
      assert.truthy(names.pageview and names.add_to_cart)
      assert.is_nil(scope:requests()[1].query:find("event=", 1, true))
    end)

    it("are saved in the columns of the file", function()
      local path = os.tmpname()
      os.remove(path)
      path = path .. ".csv"
      local count = assert(events { event = "add_to_cart", from = day(2), to = day(1) }:save(path))
      local rows = garner.csv.rows { file = path }
      local seen = 0
      for row in rows do
        seen = seen + 1
        assert.equal("add_to_cart", row.event)
      end
      os.remove(path)
      assert.equal(count, seen)
      assert.equal("event", rows.columns[1])
      assert.equal("session_id", rows.columns[2])
    end)

    it("are kept as raw files", function()
      local folder = os.tmpname()
      os.remove(folder)
      os.execute("mkdir " .. folder)
      local files = assert(events { event = "add_to_cart", from = day(2), to = day(1) }
        :download(folder))
      assert.equal(2, #files)
      assert.truthy(files[1].path:find("add_to_cart-" .. day(2):gsub("%-", ""), 1, true))
      assert.is_true(#assert(garner.csv.collect { file = files[1].path }) > 0)
      os.execute("rm -r " .. folder)
    end)

    it("take a byte order mark, JSON, and say what is no rows", function()
      scope:settings { bom = true }
      local row = assert(events { event = "add_to_cart", date = day(1) }:collect())[1]
      assert.equal("add_to_cart", row.event)
      local function answered(body)
        scope:reset()
        scope:fault { origin = "files", path = "/download/", status = 200, body = body,
          content_type = "text/plain" }
        return events { event = "add_to_cart", date = day(1) }:collect()
      end
      for _, body in ipairs { '[{"event":"x"}]', '{"event":"x"}\n', "event\nx\n" } do
        assert.equal("x", assert(answered(body))[1].event)
        local packed = assert(io.popen(("printf '%s' | gzip -cn"):format(body)))
        local gzip = packed:read "*a"
        packed:close()
        assert.equal("x", assert(answered(gzip))[1].event)
      end
      for _, body in ipairs { "<html>no</html>", "\31\139\8", '["', "a,b\n1,2,3\n",
        '[null,{"event":"x"}]', '[[],{"event":"x"}]' } do
        local rows, err = answered(body)
        assert.is_nil(rows)
        assert.equal("hole", err.kind)
        assert.equal("protocol", err.cause.kind)
      end
    end)

    it("of a task that failed or never ends are a hole", function()
      scope:settings { fail = true, fail_status = 7 }
      local rows, err = events { event = "add_to_cart", date = day(1),
        wait = { timeout = 1, first = 0.02, cap = 0.1 } }:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.equal("timed_out", err.windows[1].state)
      assert.truthy(err.message:find("still 7", 1, true), err.message)
      assert.equal(1, scope:count "/data/query")
      assert.truthy(err.cause.query_id)
    end)

    it("in doubt are surfaced, and never asked for twice", function()
      scope:fault { path = "/data/query", drop = "after" }
      local rows, err = events { event = "add_to_cart", date = day(1) }:collect()
      assert.is_nil(rows)
      assert.equal("in_doubt", err.windows[1].state)
      assert.equal("in_doubt", err.cause.kind)
      assert.equal(1, scope:count "/data/query")
    end)

    it("whose links have expired are holes, window by window", function()
      scope:settings { url_ttl = 0 }
      local rows, err = events { event = "add_to_cart", from = day(2), to = day(1) }:collect()
      assert.is_nil(rows)
      assert.equal("hole", err.kind)
      assert.equal(2, #err.windows)
      assert.equal(403, err.cause.status)
      assert.truthy(err.message:find("expired", 1, true))
    end)

    it("come over TLS too, from files of another origin", function()
      local secure = client { base_url = sim.tls_url, ca_file = sim.ca_file }
      local rows = assert(secure:events { event = "add_to_cart", date = day(1), wait = FAST }
        :collect())
      secure:close()
      assert.is_true(#rows > 0)
      assert.same({}, scope:leaks())
    end)

    it("keep the shop's own times unless a zone is given", function()
      assert.equal("2026-11-01T10:00:00", events { event = "pageview", from = "2026-11-01T10:00:00",
        to = "2026-11-01T11:00:00" }:plan().from)
      local ok, message = pcall(events, { event = "pageview", from = "2026-11-01T10:00:00Z",
        to = "2026-11-01T11:00:00Z" })
      assert.is_false(ok)
      assert.truthy(message:find("zone", 1, true))
      local plan = events { event = "pageview", from = "2026-11-01T10:00:00Z",
        to = "2026-11-01T11:00:00Z", zone = "+08:00" }:plan()
      assert.equal("2026-11-01T18:00:00", plan.from)
      assert.equal("+08:00", plan.zone)
    end)

    it("compare rows of a shared instant only by the column that is named", function()
      assert.has_error(function() events { date = day(1), edges = "[]" } end)
      local plain = assert(events { event = "refund_order", from = day(3), to = day(1) }:collect())
      local closed = assert(events { event = "refund_order", from = day(3), to = day(1),
        edges = "[]", time_column = "event_time" }:collect())
      -- The simulator leaves out the begin whatever is said; so only that second may differ.
      local first = 0
      for _, row in ipairs(plain) do
        if row.event_time == day(3) .. "T00:00:00" then first = first + 1 end
      end
      assert.equal(#plain - first, #closed)
    end)
  end)

  describe("raw calls", function()
    it("create, look at, list and count tasks", function()
      local job = assert(shop:create_query { event = "add_to_cart",
        begin_time = day(1) .. "T00:00:00", end_time = day(1) .. "T01:00:00" })
      assert.equal(1, scope:count())
      assert.truthy(job.query_id)
      local task = assert(shop:task(job.query_id))
      assert.equal("pending", task.status)
      assert.equal(0, task.query_status)
      assert.is_nil(task.uri)
      local reports = assert(job:wait(FAST))
      assert.equal("complete", reports[1].status)
      task = assert(shop:task(job.query_id))
      assert.equal("complete", task.status)
      local path = os.tmpname()
      assert(task:download(path))
      os.remove(path)
      assert.equal(1, assert(shop:count()))
      assert(shop:create_query { beginTime = day(1) .. "T00:00:00",
        endTime = day(1) .. "T01:00:00" })
      local list = assert(shop:tasks { limit = 1, page = 2 })
      assert.equal(1, #list)
      local all = assert(shop:all_tasks { limit = 1 })
      assert.equal(2, #all)
      assert.not_equal(all[1].id, all[2].id)
      scope:settings { tasks_key = "querys" }
      assert.equal(2, #assert(shop:tasks()))
    end)

    it("count what is no task, and end where a page repeats itself", function()
      local function list(body, times)
        scope:reset()
        scope:fault { path = "/data/tasks$", status = 200, body = body, times = times }
      end
      list('{"tasks":[{"query_id":"q1","query_status":0},null]}', 1)
      assert.is_true(#assert(shop:all_tasks { limit = 2 }) >= 1)
      assert.equal(2, scope:count "/data/tasks")
      list('{"tasks":[{"query_id":"q1","query_status":0},{"query_status":0}]}', 9)
      local all, err, partial = shop:all_tasks { limit = 2 }
      assert.is_nil(all)
      assert.equal("protocol", err.kind)
      assert.equal("q1", partial[1].id)
      assert.equal(2, scope:count "/data/tasks")
    end)

    it("always send the id of a task", function()
      for _, id in ipairs { "", ".", "..", "a\0b" } do
        assert.has_error(function() shop:task(id) end)
      end
      assert.has_error(function() shop:task() end)
      assert.equal(0, scope:count())
      local task, err = shop:task "a/b ?&id=é"
      assert.is_nil(task)
      assert.equal("not_found", err.kind)
      assert.equal("id=a%2Fb%20%3F%26id%3D%C3%A9", scope:requests()[1].query)
    end)

    it("keep a status number that nobody documented", function()
      scope:fault { path = "/data/task$", status = 200, body = { query_id = "q", query_status = 9,
        query = { url = "https://example.com/x.csv" } } }
      local task = assert(shop:task "q")
      assert.equal("9", task.status)
      assert.equal(9, task.query_status)
      local file, err = task:download "nowhere"
      assert.is_nil(file)
      assert.equal("not_ready", err.kind)
    end)

    it("warn of no odd status where no look was answered", function()
      local job = assert(shop:create_query { begin_time = day(1) .. "T00:00:00",
        end_time = day(1) .. "T01:00:00" })
      scope:fault { path = "/data/task$", times = 0, drop = true }
      local reports, err = job:wait { timeout = 0.3, first = 0.05 }
      assert.is_nil(reports)
      assert.equal("timeout", err.kind)
      for _, event in ipairs(logged) do assert.not_equal("unknown_status", event) end
    end)

    it("do not take an answer without a status for a pending task", function()
      scope:fault { path = "/data/task$", status = 200, body = { errors = { "no result" } } }
      assert.equal("unknown", assert(shop:task "q").status)
    end)

    it("go to the version that is asked for", function()
      local other = client { api_version = "2026-01" }
      local count, err = other:count()
      other:close()
      assert.is_nil(count)
      assert.equal("not_found", err.kind)
      assert.equal("/openapi/2026-01/data/count", scope:requests()[1].path)
    end)

    it("do not take a create without an id for a task", function()
      for _, body in ipairs { "{}", '{"query_id":""}', "no json" } do
        scope:reset()
        scope:fault { path = "/data/query", status = 200, body = body }
        local job, err = shop:create_query { begin_time = day(1) .. "T00:00:00",
          end_time = day(1) .. "T01:00:00" }
        assert.is_nil(job)
        assert.equal("in_doubt", err.kind)
        assert.equal(1, scope:count())
      end
    end)
  end)

  it("knows its host from the shop's name", function()
    for given, origin in pairs { demo = "https://demo.myshoplaza.com:443",
        ["my-Shop.myshoplaza.com"] = "https://my-shop.myshoplaza.com:443" } do
      local other = garner.shoplazza { shop = given, token = "t" }
      assert.equal((origin:gsub(":443$", "")), (other:origin():gsub(":443$", "")))
      other:close()
    end
  end)
end)
