-- What a script for the C host looks like: like any other. The vendor's address and
-- credentials come from the environment (`examples/simulator` prints them).

local garner = require "garner"

local bv = garner.blendvision { base_url = os.getenv "GARNER_SIM_URL" } -- nil: the real one

local results = garner.all {
  function()
    return bv:live_metrics { live_id = "live-1", from = "-1d", to = "now" }:collect()
  end,
  function()
    local job = garner.check(bv:create_report { event_id = "event-1", type = "live",
      dimensions = { "watch_time" } })
    return job:wait { timeout = "1m" }
  end,
}
print(#garner.check(results[1][1], results[1].err) .. " points of metrics")
print(garner.check(results[2][1], results[2].err)[1].status)
