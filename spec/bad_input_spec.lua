-- Wrong input: what callers get wrong raises at their own line before anything
-- is sent; what servers answer comes back as an error of the right kind, in
-- the server's words.
local garner = require "garner"
local simulator = require "spec.support.simulator"

local function misuse(fn, ...)
  local ok, message = pcall(fn)
  assert.is_false(ok, "did not raise")
  assert.equal("string", type(message))
  assert.truthy(message:find("bad_input_spec.lua:", 1, true), message)
  for _, text in ipairs { ... } do
    assert.truthy(message:find(text, 1, true), ("%q is not in %q"):format(text, message))
  end
end

describe("Missing configuration", function()
  local getenv = os.getenv
  local env

  before_each(function()
    env = {}
    os.getenv = function(name) return env[name] end -- luacheck: ignore 122
  end)
  after_each(function() os.getenv = getenv end) -- luacheck: ignore 122

  it("names the option and the variable", function()
    misuse(function() garner.blendvision { org_id = "o" } end, "token", "BLENDVISION_TOKEN")
    misuse(function() garner.blendvision { token = "t" } end, "org_id", "BLENDVISION_ORG_ID")
    misuse(function() garner.google_reports() end, "token", "GOOGLE_ACCESS_TOKEN")
    misuse(function() garner.shoplazza { shop = "demo" } end, "token", "SHOPLAZZA_TOKEN")
    misuse(function() garner.shoplazza { token = "t" } end, "shop", "SHOPLAZZA_SHOP")
    env.BLENDVISION_TOKEN = ""
    misuse(function() garner.blendvision { org_id = "o" } end, "BLENDVISION_TOKEN")
  end)

  it("is taken from the environment", function()
    env = { BLENDVISION_TOKEN = "a", BLENDVISION_ORG_ID = "b", GOOGLE_ACCESS_TOKEN = "c",
      SHOPLAZZA_SHOP = "demo", SHOPLAZZA_TOKEN = "d" }
    for _, make in ipairs { garner.blendvision, garner.google_reports, garner.shoplazza } do
      make():close()
    end
  end)

  it("in nginx names the directive", function()
    rawset(_G, "ngx", {})
    local ok, message = pcall(garner.blendvision, { token = "t" })
    rawset(_G, "ngx", nil)
    assert.is_false(ok)
    assert.truthy(message:find("env BLENDVISION_ORG_ID;", 1, true), message)
  end)

  it("that is wrong is refused", function()
    misuse(function() garner.blendvision { token = "t", org_id = "o", tokn = 1 } end, "tokn")
    for _, name in ipairs { "blendvision", "google_reports", "shoplazza" } do
      misuse(function()
        garner[name] { token = "t", shop = name == "shoplazza" and "a" or nil,
          org_id = name == "blendvision" and "o" or nil, concurrency = 0 }
      end, "concurrency")
    end
    misuse(function() garner.client { base_url = "https://h", concurrency = 4 } end,
      'unknown option "concurrency"') -- it would have no effect there
    misuse(function() garner.blendvision "token" end, "table")
    misuse(function() garner.shoplazza { token = "t", shop = "a/b" } end, "letters, digits")
    misuse(function() garner.shoplazza { token = "t", shop = "a.evil.com" } end, "myshoplaza.com")
    misuse(function()
      garner.shoplazza { token = "t", shop = "a", api_version = "2022-01/../x" }
    end, "api_version", "2022-01")
  end)

  it("with a line end in it is refused, and not shown", function()
    for _, bad in ipairs { "top-secret\r\nX: y", "top-secret\n", "top-secret\0" } do
      for _, make in ipairs {
        function() return garner.blendvision { token = bad, org_id = "o" } end,
        function() return garner.google_reports { token = bad } end,
        function() return garner.shoplazza { shop = "demo", token = bad } end,
      } do
        local ok, message = pcall(make)
        assert.is_false(ok)
        assert.is_nil(tostring(message):find("top-secret", 1, true))
      end
      assert.is_false((pcall(garner.blendvision, { token = "t", org_id = bad })))
      assert.is_false((pcall(garner.blendvision, { token = "t", org_id = "o",
        headers = { ["x-more"] = bad } })))
    end
  end)
end)

describe("Wrong arguments", function()
  local sim, scope, bv, google, shop

  setup(function()
    sim = simulator.get()
    scope = sim:scope()
    bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url }
    google = garner.google_reports { token = scope.token, base_url = sim.url, log = false }
    shop = garner.shoplazza { shop = "sim", token = scope.token, base_url = sim.url }
  end)

  teardown(function()
    -- Not one of them got as far as the server.
    local sent = scope:count()
    bv:close()
    google:close()
    shop:close()
    assert.equal(0, sent)
  end)

  local function live(more)
    local given = { live_id = "live-1", from = "2026-11-01", to = "2026-11-02" }
    for name, value in pairs(more) do given[name] = value end
    return function() return bv:live_metrics(given) end
  end

  local function create(more)
    local given = { event_id = "e", type = "live", dimensions = { "watch_time" } }
    for name, value in pairs(more) do given[name] = value ~= "nil" and value or nil end
    return function() return bv:create_report(given) end
  end

  it("of ranges", function()
    misuse(live { from = "2026-02-30" }, "from", "2026-02-30")
    misuse(live { from = "19.11.2026" }, "from")
    misuse(live { from = "2026-11-03", to = "2026-11-02" }, "from is after to")
    misuse(live { zone = "Mars/Olympus" }, "zone", "Mars/Olympus")
    misuse(live { date = "2026-11-01" }, "date")
    misuse(function() bv:live_metrics { live_id = "l", from = "2026-11-01" } end, "to")
    misuse(function() google:entity_usage { from = "2026-11-01T10:00:00Z", to = "today" } end,
      "dates")
    misuse(function() google:entity_usage {} end, "from")
    misuse(function() shop:events { from = "today", to = "yesterday" } end, "from is after to")
  end)

  it("of names", function()
    misuse(live { types = { "network_out" } }, "network_out", "network_in", "concurrent_user")
    misuse(live { live = 1 }, "live")
    misuse(live { concurrency = 0 }, "concurrency")
    misuse(live { on_not_ready = "ignore" }, "on_not_ready", "skip")
    misuse(create { type = "movie" }, "movie", "live", "vod", "aod")
    misuse(create { type = "nil" }, "event type", "live")
    misuse(create { dimensions = { "watch_tine" } }, "watch_tine", "watch_time", "poll_votes")
    misuse(create { dimensions = {} }, "at least one", "watch_time")
    misuse(create { dimensions = "nil" }, "dimensions is required", "watch_time")
    misuse(create { dimensions = { { group_by = "device_os" } } }, "names no dimension")
    misuse(create { dimensions = { { "watch_time", group_by = "device" } } }, "device_os")
    misuse(create { dimensions = { { "watch_time", groupby = "device_os" } } }, "groupby")
    misuse(create { dimensions = { { "watch_time", dimension = "poll_votes" } } }, "two dimensions")
    misuse(function() shop:events { event = "add_to_card", date = "today" } end, "add_to_card",
      "add_to_cart", "impressions")
  end)

  it("of filters", function()
    misuse(create { dimensions = { { "watch_time", from = "2026-11-01" } } }, "only from",
      "both")
    misuse(create { dimensions = { { "watch_time", to = "2026-11-01" } } }, "only to")
    misuse(create { dimensions = { { "watch_time",
      filter = { start_time = "2026-11-01T00:00:00Z" } } } }, "both")
    misuse(create { dimensions = { { "watch_time", filter = { start = 1 } } } }, "start_time")
    local function filter(text)
      return function() google:entity_usage { date = "yesterday", filters = text } end
    end
    misuse(filter "gplus:num_total_members=100", "operators", "==", "<>")
    misuse(filter "gplus:num_total_members~100", "filters")
    misuse(filter "num_total_members>100", "gplus:")
    misuse(filter "gplus:num_total_members>", "no value")
    misuse(filter { "gplus:num_total_members>1,000" }, "comma")
    misuse(filter "gplus:num_total_members>1,000", "gplus:", "split at its commas")
    misuse(filter { x = 1 }, "list")
    misuse(function() google:entity_usage { date = "yesterday", parameters = "a,,b" } end, "empty")
    misuse(function() google:entity_usage { date = "yesterday", parameters = "gmail:x" } end,
      "gplus:")
    for _, size in ipairs { 0, 1001, 1.5, "10" } do
      misuse(function() google:entity_usage { date = "yesterday", page_size = size } end,
        "page_size", "1000")
    end
    misuse(function() google:entity_usage { date = "yesterday", customer_id = "12" } end,
      "my_customer")
    misuse(function() google:entity_usage { date = "yesterday", fields = "usageReports" } end,
      "nextPageToken")
    misuse(function() google:entity_usage { date = "yesterday",
      fields = "usageReports,nextPageToken" } end, "warnings")
  end)

  it("of ids", function()
    for _, id in ipairs { "", ".", "..", "a\0b", {}, 1.5, true } do
      misuse(live { live_id = id }, "live_id")
      misuse(create { event_id = id }, "event_id")
      misuse(function() google:entity_usage { entity = id, date = "yesterday" } end, "entity")
      misuse(function() shop:task(id) end, "id")
    end
    misuse(function() bv:live_metrics { from = "today", to = "now" } end, "live_id is required")
    misuse(function() bv:live_metrics { id = "a", live_id = "b", date = "today" } end, "both")
    misuse(function() bv:create_reports { event_ids = {}, type = "vod",
      dimensions = "watch_time" } end, "event_ids")
    misuse(function() bv:create_reports { event_ids = { "a", "a" }, type = "vod",
      dimensions = "watch_time" } end, "twice")
    misuse(function() bv:batch_get {} end, "report")
    misuse(function() bv:batch_get { { id = "x" } } end, "dimension")
  end)

  it("of Shoplazza's raw calls", function()
    misuse(function() shop:create_query { begin_time = "2026-11-01T00:00:00" } end, "end_time")
    misuse(function() shop:create_query { begin_time = "2026-11-01T00:00:00Z",
      end_time = "2026-11-01T01:00:00" } end, "begin_time", "2020-12-30T15:04:05")
    misuse(function() shop:create_query { begin_time = "2026-11-02T00:00:00",
      end_time = "2026-11-01T00:00:00" } end, "after")
    misuse(function() shop:create_query { begin_time = "2026-11-01 00:00:00",
      end_time = "2026-11-01T01:00:00" } end, "begin_time", "2020-12-30T15:04:05")
    misuse(function() shop:tasks { limit = 251 } end, "250")
    misuse(function() shop:tasks { page = 0 } end, "page")
    misuse(function() shop:all_tasks { page = 1 } end, "every page")
  end)

  it("of queries: a list with a hole would lose what is behind it", function()
    misuse(function() bv:get("/x", { query = { tag = { "a", nil, "c" } } }) end, "tag", "hole at 2")
  end)

  it("of headers", function()
    for _, value in ipairs { "a\r\nX-Evil: 1", "a\nb", "a\0b" } do
      misuse(function() bv:get_live_metrics { live_id = "l", date = "today",
        headers = { ["x-note"] = value } } end, "x-note")
      misuse(function() bv:get_live_metrics { live_id = "l", date = "today",
        org_id = value } end, "x-bv-org-id")
    end
  end)
end)

describe("Ids with characters of URLs", function()
  local IDS = { ["a/b"] = "a%2Fb", ["a?b=c"] = "a%3Fb%3Dc", ["a#b"] = "a%23b", ["a:b"] = "a%3Ab",
    ["../x"] = "..%2Fx", ["a b"] = "a%20b", ["é☃"] = "%C3%A9%E2%98%83", ["%2e%2e"] = "%252e%252e",
    ["a\\b"] = "a%5Cb", ["a\r\nb"] = "a%0D%0Ab", ["..."] = "..." }

  it("are escaped, not injected", function()
    local sim = simulator.get()
    for id, escaped in pairs(IDS) do
      local scope = sim:scope()
      local bv = garner.blendvision { token = scope.token, org_id = "sim-org", base_url = sim.url }
      local google = garner.google_reports { token = scope.token, base_url = sim.url }
      bv:get_live_metrics { live_id = id, from = "-1h", to = "now" }
      google:get_entity_usage { entity = id, date = "-2d" }
      bv:close()
      google:close()
      local requests = scope:requests()
      assert.equal(2, #requests, id)
      assert.truthy(requests[1].uri:find("/bv/cms/v1/lives/" .. escaped .. "/metrics?", 1, true),
        requests[1].uri)
      assert.truthy(requests[2].uri:find("/gplus_communities/" .. escaped .. "/dates/", 1, true),
        requests[2].uri)
    end
  end)
end)

describe("A verb called with a dot", function()
  local bv, api

  before_each(function()
    bv = garner.blendvision { token = "t", org_id = "o" }
    api = garner.client { base_url = "https://api.example.com" }
  end)
  after_each(function()
    bv:close()
    api:close()
  end)

  it("says so, of every kind of object", function()
    misuse(function() bv.live_metrics { live_id = "x" } end, "colon: blendvision:live_metrics(")
    misuse(function() bv.resume "text" end, "colon: client:resume(")
    misuse(function() bv.get "/x" end, "colon: client:get(")
    misuse(function() api.get "/x" end, "colon: client:get(")
    misuse(function() api.close() end, "colon: client:close(")
    local pull = bv:live_metrics { live_id = "x", from = "-1h", to = "now" }
    misuse(function() pull.save "x.csv" end, "colon: pull:save(")
    local walk = api:pages("/x", { items = "x", next = { link = "next" } })
    misuse(function() walk.next() end, "colon: walk:next(")
    local report = require("garner.report").new { id = "r", client = api }
    misuse(function() report.download "x" end, "colon: report:download(")
  end)
end)

describe("An answer", function()
  local sim, scope, bv, google, shop

  setup(function() sim = simulator.get() end)

  before_each(function()
    scope = sim:scope()
    local common = { token = scope.token, base_url = sim.url, log = false, attempts = 1 }
    local function options(more)
      for name, value in pairs(common) do more[name] = value end
      return more
    end
    bv = garner.blendvision(options { org_id = "sim-org" })
    google = garner.google_reports(options {})
    shop = garner.shoplazza(options { shop = "sim", rate = 1000, burst = 1000 })
  end)

  after_each(function()
    bv:close()
    google:close()
    shop:close()
  end)

  local CALLS = {
    blendvision = function()
      return bv:get_live_metrics { live_id = "l", from = "-1h", to = "now" }
    end,
    blendvision_pull = function()
      return bv:live_metrics { live_id = "l", from = "-1h", to = "now" }:collect()
    end,
    google = function() return google:get_entity_usage { date = "-2d" } end,
    google_pull = function() return google:entity_usage { date = "-2d" }:collect() end,
    shoplazza = function() return shop:count() end,
    shoplazza_pull = function()
      return shop:events { event = "pageview", date = "yesterday" }:collect()
    end,
  }

  local function answered(call, fault)
    scope:reset()
    fault.times = 0
    fault.headers = fault.headers or { ["x-request-id"] = "req-77" }
    scope:fault(fault)
    local value, err = CALLS[call]()
    assert.is_nil(value, call)
    assert.equal("table", type(err), call)
    return err
  end

  local function check(err, kind, status, words)
    local text = ("%s: %s"):format(err.kind, tostring(err))
    assert.equal(kind, err.kind, text)
    assert.equal(status, err.status, text)
    assert.equal("req-77", err.request_id, text)
    if words then assert.truthy(err.message:find(words, 1, true), text) end
    assert.is_nil(tostring(err):find(scope.token, 1, true))
  end

  local STATUSES = { [400] = "invalid", [401] = "unauthenticated", [403] = "forbidden",
    [404] = "not_found", [422] = "invalid", [429] = "throttled", [500] = "server" }
  local RPC = { [400] = 3, [401] = 16, [403] = 7, [404] = 5, [422] = 9, [429] = 8, [500] = 13 }

  it("of BlendVision is a google.rpc.Status with details", function()
    for status, kind in pairs(STATUSES) do
      local err = answered("blendvision", { status = status, body = { code = RPC[status],
        message = "the server's words", details = { {
          ["@type"] = "type.googleapis.com/google.rpc.ErrorInfo", reason = "SOME_REASON",
          domain = "one.blendvision.com", metadata = { limit = "8" } } } } })
      check(err, kind, status, "the server's words")
      assert.equal("SOME_REASON", err.reason)
      assert.equal("8", err:detail("google.rpc.ErrorInfo").metadata.limit)
      assert.equal(RPC[status], err.rpc_code)
    end
  end)

  it("of Google has errors with a reason", function()
    for status, kind in pairs(STATUSES) do
      local err = answered("google", { status = status, body = { error = { code = status,
        message = "the server's words", errors = { { message = "the server's words",
          domain = "global", reason = "someReason" } } } } })
      check(err, kind, status, "the server's words")
      assert.equal("someReason", err.reason)
    end
    local err = answered("google", { status = 403, body = { error = { code = 403, message = "q",
      errors = { { domain = "usageLimits", reason = "rateLimitExceeded", message = "q" } } } } })
    check(err, "throttled", 403)
    err = answered("google", { status = 403, body = { error = { code = 403, message = "no",
      errors = { { domain = "global", reason = "forbidden", message = "no" } } } } })
    check(err, "forbidden", 403, "admin.reports.usage.readonly")
  end)

  it("of Shoplazza is any of four shapes", function()
    for status, kind in pairs(STATUSES) do
      for _, body in ipairs { { errors = { "the server's words" } },
          { error = "the server's words" }, "the server's words", '"the server\'s words"' } do
        check(answered("shoplazza", { status = status, body = body }), kind, status,
          "the server's words")
      end
    end
    check(answered("shoplazza", { status = 403, body = { errors = { "no" } } }), "forbidden", 403,
      "read_data")
    for _, body in ipairs { "Unauthorized", '"Unauthorized"', { error = "Unauthorized" },
        { errors = { "Unauthorized" } } } do
      check(answered("shoplazza", { status = 400, body = body }), "unauthenticated", 400,
        "Unauthorized")
    end
  end)

  it("reaches the caller of a pull with its own kind", function()
    for _, vendor in ipairs { "blendvision", "google", "shoplazza" } do
      for status, kind in pairs(STATUSES) do
        local err = answered(vendor .. "_pull", { status = status,
          body = { error = "the server's words", message = "the server's words" } })
        if kind == "server" or kind == "throttled" then
          assert.equal("hole", err.kind)
          err = err.cause
          -- A create that ended so may have been taken.
          if vendor == "shoplazza" and kind == "server" then kind = "in_doubt" end
        end
        check(err, kind, status, "the server's words")
      end
    end
  end)

  it("that is no JSON is never silent", function()
    for call in pairs(CALLS) do
      for _, body in ipairs { "<!DOCTYPE html><html><title>Log in</title></html>", "", "{",
          '{"metrics":[', "null", "[]x", '{"a":NaN}', "\239\187\191{}", '{"a":"\255"}' } do
        local err = answered(call, { status = 200, body = body,
          content_type = body:find "^<" and "text/html" or "application/json" })
        if call == "shoplazza_pull" then
          assert.equal("in_doubt", err.cause.kind, body)
        else
          local cause = err.kind == "hole" and err.cause or err
          assert.equal("protocol", cause.kind, call .. ": " .. body .. ": " .. tostring(err))
        end
        assert.is_true(#tostring(err) < 2500)
      end
    end
  end)

  it("that is cut short is never taken for a whole one", function()
    for _, call in ipairs { "blendvision", "google", "blendvision_pull", "google_pull" } do
      local err = answered(call, { truncate = 20 })
      local cause = err.kind == "hole" and err.cause or err
      assert.truthy(cause.kind == "transport" or cause.kind == "protocol", tostring(err))
    end
  end)

  it("with a good status shows no secret either", function()
    for path, verb in pairs { ["/data/query$"] = function()
      return shop:create_query { begin_time = "2026-11-01T00:00:00",
        end_time = "2026-11-01T01:00:00" }
    end, ["/data/count$"] = function() return shop:count() end } do
      scope:fault { path = path, status = 200, body = { echo = scope.token } }
      local found, err = verb()
      assert.is_nil(found)
      assert.is_nil(err.body:find(scope.token, 1, true))
      assert.truthy(err.body:find("echo", 1, true))
    end
  end)

  it("above the limit is refused", function()
    for _, ask in ipairs {
      function() return bv:get_live_metrics { live_id = "l", from = "-8h", to = "now",
        max_body = 1000 } end,
      function() return google:get_entity_usage { date = "-2d", max_body = 1000 } end,
    } do
      local value, err = ask()
      assert.is_nil(value)
      assert.equal("too_large", err.kind)
    end
  end)

  it("with other shapes than documented is no crash", function()
    for _, body in ipairs { '{"metrics":null}', '{"metrics":{}}', '{"metrics":[null,1,"x"]}',
        '{"metrics":[{"datapoints":[null,1,{"time":5,"value":7}],"type":3,"dimension":{}}]}',
        '{"usageReports":null,"warnings":null}', '{"usageReports":[1,null,{"parameters":[1,{}]}],'
          .. '"warnings":[1,{"data":[1,{"key":2}]}]}', '{"usageReports":[{"entity":"x",'
          .. '"parameters":{"a":1}}]}' } do
      scope:reset()
      scope:fault { times = 0, status = 200, body = body }
      for _, call in ipairs { "blendvision", "blendvision_pull", "google", "google_pull" } do
        local ok, value, err = pcall(CALLS[call])
        assert.is_true(ok, body .. ": " .. tostring(value))
        assert.truthy(value or err)
      end
    end
    for _, body in ipairs { '{"tasks":[null,{"query_id":7,"query_status":"x","query":3}]}' } do
      scope:reset()
      scope:fault { times = 0, status = 200, body = body }
      local ok, value, err = pcall(function() return shop:tasks() end)
      assert.is_true(ok, tostring(value))
      assert.truthy(value or err)
    end
    for _, body in ipairs { '{"reports":[1,null]}', '{"reports":{"a":1}}',
        '{"reports":[{"id":5,"dimension_with_condition":"x","status":null,"error_info":3}]}' } do
      scope:reset()
      scope:fault { times = 0, status = 200, body = body }
      local ok, job, err = pcall(function()
        return bv:create_report { event_id = "e", type = "live", dimensions = "watch_time" }
      end)
      assert.is_true(ok, body .. ": " .. tostring(job))
      assert.truthy(job or err)
      if job then
        local list, why = job:wait { timeout = 0.2, first = 0.02, cap = 0.05 }
        assert.truthy(list or why)
      end
    end
  end)
end)
