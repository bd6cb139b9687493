local clients = require "spec.support.clients"
local exposition = require "spec.support.exposition"
local garner = require "garner"
local stats = require "garner.stats"

local raised = clients.raised

describe("garner.prometheus", function()
  after_each(clients.close_all)

  it("is text that a strict reader takes", function()
    local families = exposition.read(garner.prometheus())
    for _, name in ipairs { "garner_exchanges_total", "garner_exchanges_in_flight",
      "garner_responses_total", "garner_errors_total", "garner_connections_open",
      "garner_throttled_seconds_total", "garner_received_bytes_total",
      "garner_request_duration_seconds", "garner_exchange_duration_seconds", "garner_info" } do
      assert.is_table(families[name], name)
    end
    assert.equal("histogram", families.garner_request_duration_seconds.kind)
  end)

  it("has the numbers of garner.stats", function()
    local api = clients.client()
    assert(api:get "/_http/echo")
    assert.is_nil((api:get "/_http/status/404"))
    stats.count("cache", "hit")
    local s, _, value = garner.stats(), exposition.read(garner.prometheus())
    assert.equal(s.exchanges, value "garner_exchanges_total")
    assert.equal(s.requests, value "garner_requests_total")
    assert.equal(s.responses["4xx"], value("garner_responses_total", { class = "4xx" }))
    assert.equal(s.errors.not_found, value("garner_errors_total", { kind = "not_found" }))
    assert.equal(s.cache.hit, value("garner_cache_requests_total", { result = "hit" }))
    assert.is_true(s.cache.hit > 0)
    assert.equal(s.bytes_received, value "garner_received_bytes_total")
    assert.equal(s.connections.open, value "garner_connections_open")
    assert.equal(s.engines, value "garner_engines_started_total")
    assert.equal(s.requests, value "garner_request_duration_seconds_count")
    local sum = value "garner_request_duration_seconds_sum"
    assert.is_true(math.abs(sum - s.durations.request.sum) < 1e-9)
  end)

  it("adds the labels given, escaped", function()
    local odd = 'a"b\\c\nd'
    local text = garner.prometheus { labels = { app = odd, zone = "x" } }
    local families, value = exposition.read(text)
    for name, family in pairs(families) do
      for _, sample in ipairs(family.samples) do
        assert.equal(odd, sample.labels.app, name)
        assert.equal("x", sample.labels.zone)
      end
    end
    assert.is_number(value("garner_errors_total", { kind = "server", app = odd }))
  end)

  it("shows no URL, no host and no secret", function()
    local api = clients.client { token = "s3cr3t-of-metrics" }
    api:get("/_http/status/500?key=also-s3cr3t", { attempts = 1 })
    local text = garner.prometheus()
    for _, word in ipairs { "s3cr3t", "127.0.0.1", "http:", "_http" } do
      assert.is_nil((text:find(word, 1, true)), word)
    end
  end)

  it("writes numbers with a point in every locale", function()
    local number = require("garner.prometheus").number
    local old = os.setlocale(nil, "numeric")
    for _, locale in ipairs { "de_DE.UTF-8", "C" } do
      if os.setlocale(locale, "numeric") then
        assert.equal("0.1", number(0.1))
      end
    end
    os.setlocale(old, "numeric")
    assert.equal("123456789012345", number(123456789012345))
    assert.equal(1 / 3, tonumber(number(1 / 3)))
  end)

  it("refuses what is wrong at the caller's line", function()
    local here = clients.here
    local message = raised(function() garner.prometheus { labels = { ["a-b"] = "x" } } end)
    assert.equal(1, (message:find(here(-1), 1, true)), message)
    for _, opts in ipairs { { labels = 5 }, { labels = { kind = "x" } }, { labels = { a = 5 } },
      { labels = { __a = "x" } }, { dict = "metrics" }, { interval = 5 }, { nothing = 1 } } do
      assert.truthy(raised(garner.prometheus, opts):find("garner.prometheus", 1, true))
    end
  end)
end)
