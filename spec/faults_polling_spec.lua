-- Polls over a bad wire: a report is waited for through everything that may pass, with one
-- create. The numbers are those of the catalogue of faults.
local clients = require "spec.support.clients"
local faults = require "spec.support.faults"
local garner = require "garner"

local REPORTS = "/bv/analytics/v1/events/reports"
local BATCH = REPORTS .. ":batch-get"

local function report(status, uri)
  return { body = garner.json.encode { reports = { { id = "r1", uri = uri or "",
    dimension = "REPORT_DIMENSION_WATCH_TIME", status = "EVENT_REPORT_STATUS_" .. status } } } }
end

local function running(changes)
  local answer = report "RUNNING"
  for name, value in pairs(changes) do answer[name] = value end
  return answer
end

-- What may pass, five times in a row.
local PASSING = {
  { "6 resets", { { reset = true } } },
  { "6 hang-ups", { { close = true } } },
  { "29 answers that are cut", running { length = 999 } },
  { "30 chunks that are damaged",
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" } },
  { "31 answers that end in their header lines", { "HTTP/1.1 200 OK\r\n" } },
  { "32 gzip that is cut", running { gzip = true, cut = 10, length = 10 } },
  { "9 silence", { { stall = true } } },
  { "81 500s", { status = 500 } },
  { "81 503s with an HTML page", { status = 503, type = "text/html", body = "<html>" } },
  { "75 429s", { status = 429 } },
  { "91 404s", { status = 404 } },
}

describe("a job", function()
  local made = {}

  local function start(timeout)
    local s = faults.start()
    made[#made + 1] = s
    local bv = garner.blendvision { token = "s3cr3t-token", org_id = "s3cr3t-org",
      base_url = s.url, timeout = timeout or 20, retry = { attempts = 2, backoff = 0.01,
        backoff_throttled = 0.01 } }
    s:script(REPORTS, report "RUNNING")
    local job = garner.check(bv:create_report { event_id = "e", type = "live",
      dimensions = "watch_time" })
    return s, bv, job
  end

  after_each(function()
    for _, s in ipairs(made) do s:stop() end
    made = {}
    clients.close_all()
  end)

  it("15 is waited for through everything that passes, and created once", function()
    local asked = {}
    for i, case in ipairs(PASSING) do
      asked[i] = function()
        local bad = case[2]
        local s, bv, job = start(bad[1] and bad[1].stall and 0.3)
        s:script(BATCH, report "RUNNING", bad, bad, bad, bad, bad, report "RUNNING",
          report("SUCCEEDED", s.url .. "/file"))
        local list, err = job:wait { timeout = 30, first = 0.01, cap = 0.05 }
        bv:close()
        assert(list, case[1] .. ": " .. tostring(err))
        assert.equal("succeeded", list[1].status, case[1])
        assert.equal(1, s:count(REPORTS), case[1])
        assert.is_true(s:count(BATCH) >= 8, case[1])
      end
    end
    for _, result in ipairs(garner.all(asked)) do
      assert(result.ok, tostring(result.err))
    end
  end)

  it("15 outlives a server that is not there for a while", function()
    local s, bv, job = start()
    s:script(BATCH, report("SUCCEEDED", s.url .. "/file"))
    local refusals = {}
    for i = 1, 12 do refusals[i] = { { reset = true } } end
    local text = job:checkpoint()
    s:on_connect((unpack or table.unpack)(refusals)) -- luacheck: ignore 113 143
    bv:close()
    bv = garner.blendvision { token = "s3cr3t-token", org_id = "s3cr3t-org", base_url = s.url,
      timeout = 20, retry = { attempts = 2, backoff = 0.01 } }
    local again = garner.check(bv:resume(text))
    local list, err = again:wait { timeout = 30, first = 0.01, cap = 0.05 }
    bv:close()
    assert(list, tostring(err))
    assert.equal("succeeded", list[1].status)
    assert.equal(1, s:count(REPORTS))
  end)

  it("89 that is never answered again ends at its deadline, with its ids, no secret", function()
    local s, bv, job = start()
    s:script(BATCH, { { stall = true } })
    local list, err = job:wait { timeout = 1.2, first = 0.01, cap = 0.05 }
    bv:close()
    assert.is_nil(list)
    assert.equal("timeout", err.kind)
    assert.equal("r1", err.reports[1].id)
    assert.is_nil(tostring(err):find("s3cr3t", 1, true))
    assert.equal(1, s:count(REPORTS))
  end)
end)
