-- The simulator's vendors, seen through the curl program: they must answer as the documents
-- say, or every other spec proves nothing. Uses no part of garner.
local cjson = require "cjson"
local simulator = require "spec.support.simulator"

local sim = simulator.get()

local function day(age)
  return os.date("!%Y-%m-%d", os.time() - age * 86400)
end

local YESTERDAY = day(1)

local function merged(a, b)
  local out = {}
  for key, value in pairs(a) do out[key] = value end
  for key, value in pairs(b or {}) do out[key] = value end
  return out
end

local function decoded(response)
  return cjson.decode(response.body)
end

describe("simulator: BlendVision live metrics", function()
  local headers = { Authorization = "Bearer sim-token", ["x-bv-org-id"] = "sim-org" }

  local function metrics(id, query, own)
    return simulator.fetch(sim.url .. "/bv/cms/v1/lives/" .. id .. "/metrics?" .. query,
      { headers = own or headers })
  end

  local function range(from, to, more)
    return "start_time=" .. from .. "&end_time=" .. to .. (more or "")
  end

  local HOUR = range(YESTERDAY .. "T00:00:00Z", YESTERDAY .. "T01:00:00Z")

  local function by_series(response)
    local out = {}
    for _, metric in ipairs(decoded(response).metrics) do
      local dimension = metric.dimension == cjson.null and "null" or metric.dimension
      out[metric.type:match "TYPE_(.*)" .. "/" .. (dimension or "-")] = metric.datapoints
    end
    return out
  end

  it("has a point a minute, both ends included", function()
    local series = by_series(metrics("live-1", HOUR))
    local points = series["NETWORK_IN/main"]
    assert.equal(61, #points)
    assert.equal(YESTERDAY .. "T00:00:00Z", points[1].time)
    assert.equal(YESTERDAY .. "T01:00:00Z", points[61].time)
    assert.truthy(points[1].value.value:find "^%d+%.%d+$")
    assert.equal("0", series["FRAME_RATE/backup"][1].value.value)
    assert.truthy(series["CONCURRENT_USER/-"][1].value.value:find "^%d+$")
  end)

  it("gives the same points to windows that overlap, and others to other lives", function()
    local later = range(YESTERDAY .. "T00:30:00Z", YESTERDAY .. "T01:30:00Z")
    local a, b = by_series(metrics("live-1", HOUR)), by_series(metrics("live-1", later))
    assert.same(a["NETWORK_IN/main"][61], b["NETWORK_IN/main"][31])
    local other = by_series(metrics("live-2", HOUR))
    assert.not_same(a["NETWORK_IN/main"], other["NETWORK_IN/main"])
    assert.equal(metrics("live-1", HOUR).body, metrics("live-1", HOUR).body)
  end)

  it("reads offsets, fractions and types", function()
    local response = metrics("live-1", range(YESTERDAY .. "T08:00:00.5%2B08:00",
      YESTERDAY .. "T00:01:00Z", "&types=LIVE_METRIC_TYPE_FRAME_RATE&types=3"))
    local series = by_series(response)
    assert.is_nil(series["NETWORK_IN/main"])
    assert.equal(1, #series["FRAME_RATE/main"])
    assert.equal(YESTERDAY .. "T00:01:00Z", series["CONCURRENT_USER/-"][1].time)
  end)

  it("refuses what the documents refuse", function()
    local function code(id, query, own)
      local response = metrics(id, query, own)
      return ("%d/%d"):format(response.status, decoded(response).code)
    end
    assert.equal("400/3", code("live-1", range(YESTERDAY .. "T00:00:00Z",
      YESTERDAY .. "T08:00:00.001Z")))
    assert.equal(200, metrics("live-1", range(YESTERDAY .. "T00:00:00Z",
      YESTERDAY .. "T08:00:00Z")).status)
    assert.equal("400/3", code("live-1", "start_time=" .. YESTERDAY .. "T00:00:00Z"))
    assert.equal("400/3", code("live-1", range(YESTERDAY .. "T00:00:00",
      YESTERDAY .. "T01:00:00Z")))
    assert.equal("400/3", code("live-1", range(YESTERDAY .. "T02:00:00Z",
      YESTERDAY .. "T01:00:00Z")))
    assert.equal("400/3", code("live-1", HOUR .. "&types=NETWORK"))
    assert.equal("404/5", code("unknown-live", HOUR))
    assert.equal("401/16", code("live-1", HOUR, {}))
    assert.equal("401/16", code("live-1", HOUR, merged(headers, { Authorization = "Bearer x" })))
    assert.equal("400/3", code("live-1", HOUR, { Authorization = "Bearer sim-token" }))
    assert.equal("403/7", code("live-1", HOUR, merged(headers, { ["x-bv-org-id"] = "other" })))
    local details = decoded(metrics("live-1", HOUR .. "&types=NETWORK")).details
    assert.equal("type.googleapis.com/google.rpc.BadRequest", details[1]["@type"])
    assert.equal("types", details[1].field_violations[1].field)
  end)

  it("leaves out a series and varies the dimension on request", function()
    assert.is_nil(by_series(metrics("gap-live", HOUR))["FRAME_RATE/backup"])
    assert.truthy(by_series(metrics("emptydim", HOUR))["CONCURRENT_USER/"])
    assert.truthy(by_series(metrics("nulldim", HOUR))["CONCURRENT_USER/null"])
  end)

  it("has points as often as an id says, and none while the live is out", function()
    local series = by_series(metrics("live-15s", HOUR))
    assert.equal(241, #series["FRAME_RATE/main"])
    assert.equal(YESTERDAY .. "T00:00:15Z", series["FRAME_RATE/main"][2].time)
    local points = by_series(metrics("outage-live", HOUR))["NETWORK_IN/main"]
    assert.equal(56, #points)
    assert.equal(YESTERDAY .. "T00:19:00Z", points[20].time)
    assert.equal(YESTERDAY .. "T00:25:00Z", points[21].time)
  end)

  it("takes an id with a slash in it, escaped", function()
    assert.equal(200, metrics("a%2Fb%3Fc", HOUR).status)
    assert.equal(404, metrics("a/b", HOUR).status)
  end)
end)

describe("simulator: BlendVision event reports", function()
  local scope, headers
  local WATCH = { dimension = "REPORT_DIMENSION_WATCH_TIME",
    group_by_fields = { "GROUP_BY_FIELD_DEVICE_OS" } }
  local NO_GROUPS = '{"dimension":"REPORT_DIMENSION_POLL_VOTES","group_by_fields":[]}'

  before_each(function()
    scope = sim:scope()
    headers = { Authorization = "Bearer " .. scope.token, ["x-bv-org-id"] = "sim-org",
      ["Content-Type"] = "application/json" }
  end)

  after_each(function() scope:reset() end)

  local function post(path, body)
    return simulator.fetch(sim.url .. "/bv/analytics/v1/events/reports" .. path,
      { headers = headers, body = type(body) == "string" and body or cjson.encode(body) })
  end

  local function create(id, conditions)
    return post("", { id = id, type = "EVENT_TYPE_LIVE", dimension_with_conditions = conditions })
  end

  -- The bodies of batch-get, as text: cjson would turn [] into {}.
  local function questions(reports)
    local out = {}
    for i, report in ipairs(reports) do
      local groups = cjson.encode(report.dimension_with_condition.group_by_fields)
      out[i] = ('{"id":"%s","dimension_with_condition":{"dimension":"%s","group_by_fields":%s}}')
        :format(report.id, report.dimension_with_condition.dimension,
          groups == "{}" and "[]" or groups)
    end
    return '{"reports":[' .. table.concat(out, ",") .. "]}"
  end

  local function poll(reports, times)
    local response
    for _ = 1, times or 1 do response = post(":batch-get", questions(reports)) end
    local out = {}
    for _, report in ipairs(decoded(response).reports) do out[report.id] = report end
    return out, response
  end

  it("runs for some polls, then gives links that need no credential", function()
    local reports = decoded(create("event-1", { WATCH, WATCH })).reports
    assert.equal("EVENT_REPORT_STATUS_RUNNING", reports[1].status)
    assert.same(WATCH, reports[1].dimension_with_condition)
    assert.not_equal(reports[1].id, reports[2].id)
    assert.equal("EVENT_REPORT_STATUS_RUNNING", poll(reports, 2)[reports[1].id].status)
    local done, response = poll(reports)
    assert.equal("EVENT_REPORT_STATUS_SUCCEEDED", done[reports[1].id].status)
    assert.not_equal(reports[1].id, decoded(response).reports[1].id)
    local uri = done[reports[1].id].uri
    assert.truthy(uri:find(sim.files_url, 1, true))
    local file = simulator.fetch(uri)
    assert.equal(200, file.status)
    assert.truthy(file.body:find("^content_title,.-,device_os\n"))
    assert.equal(0, #scope:leaks())
  end)

  it("fails reports of events that ask for it", function()
    local reports = decoded(create("fail-1", { WATCH })).reports
    local failed = poll(reports, 3)[reports[1].id]
    assert.equal("EVENT_REPORT_STATUS_FAILED", failed.status)
    assert.equal("REPORT_GENERATION_FAILED", failed.error_info.reason)
    reports = decoded(create("somefail-1", { WATCH, WATCH })).reports
    local both = poll(reports, 3)
    assert.equal("EVENT_REPORT_STATUS_FAILED", both[reports[1].id].status)
    assert.equal("EVENT_REPORT_STATUS_SUCCEEDED", both[reports[2].id].status)
    reports = decoded(create("stuck", { WATCH })).reports
    assert.equal("EVENT_REPORT_STATUS_RUNNING", poll(reports, 5)[reports[1].id].status)
    reports = decoded(create("oddstatus", { WATCH })).reports
    assert.equal("EVENT_REPORT_STATUS_ARCHIVING", poll(reports)[reports[1].id].status)
    reports = decoded(create("lateuri", { WATCH })).reports
    assert.equal("", poll(reports, 3)[reports[1].id].uri)
    assert.not_equal("", poll(reports)[reports[1].id].uri)
    scope:settings { fail = 1, polls_until_ready = 0 }
    reports = decoded(create("e", { WATCH })).reports
    assert.equal("EVENT_REPORT_STATUS_FAILED", poll(reports)[reports[1].id].status)
    reports = decoded(create("e", { WATCH })).reports
    assert.equal("EVENT_REPORT_STATUS_SUCCEEDED", poll(reports)[reports[1].id].status)
  end)

  it("accepts what the documents allow", function()
    for _, kind in ipairs { "EVENT_TYPE_LIVE", "EVENT_TYPE_VOD", "EVENT_TYPE_AOD" } do
      assert.equal(200, post("", '{"id":"e","type":"' .. kind .. '","dimensions":' ..
        '["REPORT_DIMENSION_POLL_VOTES"],"dimension_with_conditions":[' .. NO_GROUPS ..
        "]}").status)
    end
    assert.equal(200, create("e", { merged(WATCH, { filter = { start_time = "2026-01-01T00:00:00Z",
      end_time = "2026-01-02T00:00:00+08:00" } }) }).status)
  end)

  it("names the field that it refuses", function()
    local function field(response)
      assert.equal(400, response.status)
      local body = decoded(response)
      assert.equal(3, body.code)
      return body.details[1].field_violations[1].field
    end
    local function with(name, value)
      return post("", merged({ id = "e", type = "EVENT_TYPE_LIVE",
        dimension_with_conditions = { WATCH } }, { [name] = value }))
    end
    assert.equal("event_id", field(with("event_id", "e")))
    assert.equal("uri", field(with("uri", "e")))
    assert.equal("id", field(with("id", "")))
    assert.equal("type", field(with("type", "LIVE")))
    assert.equal("dimensions[0]", field(with("dimensions", { "WATCH_TIME" })))
    assert.equal("dimension_with_conditions",
      field(post("", { id = "e", type = "EVENT_TYPE_LIVE" })))
    local where = "dimension_with_conditions[0]."
    assert.equal(where .. "dimension", field(create("e", { merged(WATCH, { dimension = "X" }) })))
    assert.equal(where .. "group_by_fields",
      field(create("e", { { dimension = WATCH.dimension } })))
    assert.equal(where .. "group_by_fields",
      field(create("e", { merged(WATCH, { group_by_fields = { a = 1 } }) })))
    assert.equal(where .. "group_by_fields[0]",
      field(create("e", { merged(WATCH, { group_by_fields = { "OS" } }) })))
    assert.equal(where .. "filter.end_time",
      field(create("e", { merged(WATCH, { filter = { start_time = "2026-01-01T00:00:00Z" } }) })))
    assert.equal(400, post("", "{").status)
    assert.equal(404, create("unknown-event", { WATCH }).status)
  end)

  it("refuses a batch for one bad item", function()
    local reports = decoded(create("event-1", { WATCH })).reports
    local good = cjson.encode { id = reports[1].id, dimension_with_condition = WATCH }
    local function batch(item)
      return post(":batch-get", '{"reports":[' .. good .. "," .. item .. "]}")
    end
    assert.equal(404, batch(cjson.encode { id = "none", dimension_with_condition = WATCH }).status)
    assert.equal(400, batch('{"id":"' .. reports[1].id .. '"}').status)
    assert.equal(400, batch('{"id":"' .. reports[1].id .. '","dimension_with_condition":' ..
      NO_GROUPS .. "}").status)
    assert.equal(400, batch(cjson.encode { id = reports[1].id, dimension_with_condition = WATCH,
      status = "x" }).status)
    assert.equal(400, post(":batch-get", '{"reports":[]}').status)
    assert.equal(200, batch(good).status)
  end)

  it("keeps a link for its time, to the letter", function()
    scope:settings { polls_until_ready = 0 }
    local reports = decoded(create("event-1", { WATCH })).reports
    local uri = poll(reports)[reports[1].id].uri
    assert.equal(200, simulator.fetch(uri).status)
    local wrong = simulator.fetch((uri:gsub("%x$", "x")))
    assert.equal(403, wrong.status)
    assert.truthy(wrong.body:find("<Code>SignatureDoesNotMatch</Code>", 1, true))
    assert.equal(403, simulator.fetch((uri:gsub("expires=%d", "expires=9"))).status)
    scope:settings { url_ttl = 0 }
    local late = simulator.fetch(poll(reports)[reports[1].id].uri)
    assert.equal(403, late.status)
    assert.truthy(late.body:find("Request has expired", 1, true))
    assert.equal("application/xml", late.headers["content-type"])
  end)

  it("sends parts of a file", function()
    scope:settings { polls_until_ready = 0 }
    local reports = decoded(create("event-1", { WATCH })).reports
    local uri = poll(reports)[reports[1].id].uri
    local whole = simulator.fetch(uri)
    local part = simulator.fetch(uri, { headers = { Range = "bytes=10-19" } })
    assert.equal(206, part.status)
    assert.equal(whole.body:sub(11, 20), part.body)
    assert.equal("bytes 10-19/" .. #whole.body, part.headers["content-range"])
    part = simulator.fetch(uri, { headers = { Range = "bytes=-5" } })
    assert.equal(whole.body:sub(-5), part.body)
    assert.equal(416, simulator.fetch(uri, { headers = { Range = "bytes=9999999-" } }).status)
    assert.equal(200, simulator.fetch(uri,
      { headers = { Range = "bytes=10-", ["If-Range"] = '"other"' } }).status)
    local head = simulator.fetch(uri, { method = "HEAD" })
    assert.equal(tostring(#whole.body), head.headers["content-length"])
  end)
end)

describe("simulator: Google entity usage", function()
  local scope, headers

  before_each(function()
    scope = sim:scope()
    headers = { Authorization = "Bearer " .. scope.token }
  end)

  after_each(function() scope:reset() end)

  local function usage(key, date, query)
    return simulator.fetch(sim.url .. "/admin/reports/v1/usage/gplus_communities/" .. key ..
      "/dates/" .. date .. (query and "?" .. query or ""), { headers = headers })
  end

  local function reason(response)
    local item = decoded(response).error
    return response.status .. " " .. item.errors[1].reason, item.message
  end

  it("pages through thousands of communities, each once", function()
    local seen, count, token, pages = {}, 0, nil, 0
    repeat
      local page = decoded(usage("all", YESTERDAY, "parameters=gplus:num_total_members" ..
        (token and "&pageToken=" .. token or "")))
      pages = pages + 1
      for _, report in ipairs(page.usageReports) do
        local id = report.entity.objectId or report.entity.entityId
        assert.is_nil(seen[id])
        seen[id] = true
        count = count + 1
        assert.equal(1, #report.parameters)
      end
      token = page.nextPageToken
    until not token
    assert.equal(3, pages)
    assert.equal(2600, count)
    assert.is_true(seen["1234"])
  end)

  it("has every kind of value, both spellings of numbers and of the entity", function()
    local even, odd = decoded(usage("1234", YESTERDAY)), decoded(usage("1235", YESTERDAY))
    assert.equal("1234", even.usageReports[1].entity.objectId)
    assert.equal("1235", odd.usageReports[1].entity.entityId)
    local kinds = {}
    for _, report in ipairs { even.usageReports[1], odd.usageReports[1] } do
      for _, parameter in ipairs(report.parameters) do
        local kind = "none"
        for name, value in pairs(parameter) do
          if name ~= "name" then kind = name .. " " .. type(value) end
        end
        kinds[kind] = true
      end
    end
    assert.same({ ["stringValue string"] = true, ["intValue string"] = true,
      ["intValue number"] = true, ["boolValue boolean"] = true, ["datetimeValue string"] = true,
      ["msgValue table"] = true, none = true }, kinds)
  end)

  it("filters", function()
    local function members(filter)
      local out = {}
      local page = decoded(usage("all", YESTERDAY, "parameters=gplus:num_total_members&filters=" ..
        filter))
      for i, report in ipairs(page.usageReports) do
        out[i] = tonumber(report.parameters[1].intValue)
      end
      return out
    end
    local list = members "gplus:num_total_members%3E890"
    assert.is_true(#list > 0)
    for _, value in ipairs(list) do assert.is_true(value > 890) end
    list = members("gplus:num_total_members%3E=100,gplus:num_total_members%3C%3E101," ..
      "gplus:num_total_members%3C=103")
    assert.is_true(#list > 0)
    for _, value in ipairs(list) do
      assert.is_true(value >= 100 and value <= 103 and value ~= 101)
    end
    assert.equal(0, #members "gplus:num_total_members==1")
  end)

  it("refuses bad queries in its error form", function()
    local bad = { "filters=nonsense", "filters=gplus:community_name==x",
      "filters=gplus:num_total_members%3Ex", "maxResults=0", "maxResults=1001", "maxResults=x",
      "parameters=num_total_members", "customerId=x", "pageToken=zzz" }
    for _, query in ipairs(bad) do
      assert.equal("400 invalid", (reason(usage("all", YESTERDAY, query))))
    end
    assert.equal(200, usage("all", YESTERDAY, "customerId=my_customer&maxResults=1").status)
    assert.equal("400 invalid", (reason(usage("all", "2026-02-30"))))
    assert.equal("404 notFound", (reason(usage("unknown", YESTERDAY))))
    headers = {}
    assert.equal("401 authError", (reason(usage("all", YESTERDAY))))
    headers = { Authorization = "Bearer " .. scope.token }
    scope:settings { forbidden = true }
    assert.equal("403 insufficientPermissions", (reason(usage("all", YESTERDAY))))
  end)

  it("binds a page token to its query", function()
    local token = decoded(usage("all", YESTERDAY, "maxResults=2")).nextPageToken
    assert.equal(200, usage("all", YESTERDAY, "maxResults=2&pageToken=" .. token).status)
    assert.equal(400, usage("all", day(2), "maxResults=2&pageToken=" .. token).status)
  end)

  it("says what is not there yet and has nothing past retention", function()
    local status, message = reason(usage("all", day(0)))
    assert.equal("400 invalid", status)
    assert.equal("Data for dates later than " .. YESTERDAY ..
      " is not yet available. Please check back later", message)
    local old = usage("all", day(40))
    assert.equal(200, old.status)
    assert.equal(0, #decoded(old).usageReports)
    scope:settings { old_dates = "error" }
    assert.equal(400, usage("all", day(40)).status)
  end)

  it("warns on a second page", function()
    local first = decoded(usage("all", day(5), "maxResults=1"))
    assert.is_nil(first.warnings)
    local query = "maxResults=1&pageToken="
    local second = decoded(usage("all", day(5), query .. first.nextPageToken))
    assert.equal("PARTIAL_DATA_AVAILABLE", second.warnings[1].code)
    assert.equal(day(5), second.warnings[1].data[1].value)
    assert.is_nil(decoded(usage("all", day(5), query .. second.nextPageToken)).warnings)
    scope:settings { warning = "DATA_NOT_AVAILABLE", warning_page = 1 }
    assert.equal("DATA_NOT_AVAILABLE", decoded(usage("all", YESTERDAY)).warnings[1].code)
  end)

  it("honours a fields mask", function()
    local page = decoded(usage("all", YESTERDAY,
      "maxResults=1&fields=nextPageToken,usageReports(entity/objectId,date)"))
    assert.is_nil(page.kind)
    assert.truthy(page.nextPageToken)
    assert.same({ { date = YESTERDAY, entity = { objectId = "1000" } } }, page.usageReports)
    assert.equal(400, usage("all", YESTERDAY, "maxResults=1&fields=a((").status)
  end)
end)

describe("simulator: Shoplazza data queries", function()
  local scope, headers

  before_each(function()
    scope = sim:scope()
    headers = { ["access-token"] = scope.token }
  end)

  after_each(function() scope:reset() end)

  local function get(path)
    return simulator.fetch(sim.url .. "/openapi/2022-01/data/" .. path, { headers = headers })
  end

  local function query(from, to, event)
    return get("query?beginTime=" .. from .. "&endTime=" .. to ..
      (event and "&event=" .. event or ""))
  end

  local function rows(from, to, event)
    scope:settings { polls_until_ready = 0 }
    local id = decoded(query(from, to, event)).query_id
    return simulator.fetch(decoded(get("task?id=" .. id)).query.url).body
  end

  it("creates a task with every good request and finishes it after some polls", function()
    local from, to = YESTERDAY .. "T00:00:00", YESTERDAY .. "T24:00:00"
    local id = decoded(query(from, to, "add_to_cart")).query_id
    assert.not_equal(id, decoded(query(from, to, "add_to_cart")).query_id)
    assert.equal(2, decoded(get "count").count)
    local shapes = {}
    for _ = 1, 2 do
      local task = decoded(get("task?id=" .. id))
      assert.equal(0, task.query_status)
      shapes[#shapes + 1] = task.query == nil and "absent" or task.query == cjson.null and "null" or
        task.query.url
    end
    assert.not_equal(shapes[1], shapes[2])
    local task = decoded(get("task?id=" .. id))
    assert.equal(2, task.query_status)
    local file = simulator.fetch(task.query.url)
    assert.truthy(file.body:find("^event,session_id,store_id,_os,_ip,city,province,country,"))
    assert.is_true(select(2, file.body:gsub("\nadd_to_cart,", "")) > 500)
    assert.equal(0, #scope:leaks())
  end)

  it("counts an event in (begin, end]: neighbours share nothing and lose nothing", function()
    local whole = rows(YESTERDAY .. "T00:00:00", YESTERDAY .. "T02:00:00", "pageview")
    local first = rows(YESTERDAY .. "T00:00:00", YESTERDAY .. "T01:00:00", "pageview")
    local second = rows(YESTERDAY .. "T01:00:00", YESTERDAY .. "T02:00:00", "pageview")
    assert.equal(whole, first .. second:gsub("^[^\n]*\n", ""))
  end)

  it("has text that a careless reader breaks on", function()
    local text = rows(YESTERDAY .. "T00:00:00", YESTERDAY .. "T12:00:00")
    assert.truthy(text:find('"Washington, D.C."', 1, true))
    assert.truthy(text:find('"The ""best"" mug"', 1, true))
    assert.truthy(text:find('"Two lines\nof title"', 1, true))
    assert.truthy(text:find("\230\157\177\228\186\172", 1, true))
    assert.truthy(text:find("\nrefund_order,", 1, true))
    assert.is_nil(text:find("\nimpressions,", 1, true))
    scope:settings { bom = true }
    assert.equal("\239\187\191event,", rows(YESTERDAY .. "T00:00:00", YESTERDAY .. "T00:01:00")
      :sub(1, 9))
  end)

  it("fails tasks on request", function()
    scope:settings { fail = 1, polls_until_ready = 0 }
    local from, to = YESTERDAY .. "T00:00:00", YESTERDAY .. "T01:00:00"
    local id = decoded(query(from, to)).query_id
    local task = decoded(get("task?id=" .. id))
    assert.equal(3, task.query_status)
    assert.equal(cjson.null, task.query)
    id = decoded(query(from, to)).query_id
    assert.equal(2, decoded(get("task?id=" .. id)).query_status)
  end)

  it("refuses what the documents refuse, in their several shapes", function()
    local from = YESTERDAY .. "T00:00:00"
    assert.equal(422, query(from, YESTERDAY .. "T24:00:00Z").status)
    assert.equal(422, query(day(2) .. "T23:59:59", YESTERDAY .. "T24:00:00").status)
    assert.equal(422, query(from, from).status)
    assert.equal(400, get("query?beginTime=" .. from).status)
    local response = query(from, YESTERDAY .. "T01:00:00", "sneeze")
    assert.equal(422, response.status)
    assert.equal("event is not supported: sneeze", decoded(response).error)
    response = get "task?id=none"
    assert.equal(404, response.status)
    assert.equal("no result", decoded(response).errors[1])
    assert.equal(422, get("tasks?limit=251").status)
    assert.equal(0, decoded(get "count").count)
    assert.equal(404, simulator.fetch(sim.url .. "/openapi/2025-06/data/count",
      { headers = headers }).status)
    headers = {}
    response = get "count"
    assert.equal("400 Unauthorized", response.status .. " " .. response.body)
    headers = { ["access-token"] = "wrong" }
    response = get "count"
    assert.equal('400 "Unauthorized"', response.status .. " " .. response.body)
    assert.truthy(response.headers["request-id"])
  end)

  it("lists tasks page by page", function()
    for _ = 1, 5 do query(YESTERDAY .. "T00:00:00", YESTERDAY .. "T01:00:00") end
    local seen, sizes = {}, {}
    for page = 1, 3 do
      local tasks = decoded(get("tasks?limit=2&page=" .. page)).tasks
      sizes[page] = #tasks
      for _, task in ipairs(tasks) do seen[task.query_id] = true end
    end
    assert.same({ 2, 2, 1 }, sizes)
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.equal(5, count)
    scope:settings { tasks_key = "querys" }
    assert.equal(5, #decoded(get "tasks").querys)
  end)
end)
