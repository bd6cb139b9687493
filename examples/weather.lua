-- A fourth API out of a table: a weather service, made up, which the simulator has. Readings come
-- page by page in windows of at most 24 hours, exports are files that take a while.
--
--   examples/simulator                                        # in one terminal
--   WEATHER_KEY=sim-token lua5.4 examples/weather.lua URL     # in another, with its address

local garner = require "garner"

local weather = garner.api {
  name = "weather", base_url = "https://api.weather.example", token_env = "WEATHER_KEY",
  auth = function(key) return garner.auth.header("x-api-key", key) end, rate = 20, burst = 20,
  verbs = {
    readings = {
      get = "/weather/v1/stations/{station}/readings", what = "station {station}",
      arguments = { station = "id", metric = { enum = { "temperature", "humidity", "wind" },
        prefix = "METRIC_", list = true } },
      window = { from = "start", to = "end", max = "24h", edges = "[)" },
      items = "data.readings", pages = { next = { from = "cursor", query = "cursor" } },
      rows = { time = "at", key = { "at", "metric" }, columns = { "at", "metric", "value" } },
      not_ready = function(answer) return not answer.body.complete, "still being measured" end,
    },
    export = {
      post = "/weather/v1/exports", arguments = { station = "id" },
      window = { from = "start", to = "end", max = "2d" },
      job = { id = "export.id", poll = { get = "/weather/v1/exports/{id}" }, status = "state",
        states = { queued = "running", running = "running", finished = "done", broken = "failed" },
        uri = "file", error = "problem", recreate = 2 },
    },
  },
}

garner.main(function()
  local station = { station = "kew", from = "-3d", to = "yesterday" }
  local client = weather { base_url = arg[1] }

  print(client:readings(station):plan())
  local count, highest = 0, nil
  garner.check(client:readings { station = "kew", metric = "wind", date = "yesterday" }:each(
    function(row)
      count, highest = count + 1, math.max(highest or 0, tonumber(row.value))
    end))
  print(("%d readings, the strongest wind was %.1f"):format(count, highest))

  local saved = garner.check(client:export(station):save("weather.csv", { force = true }))
  print(("%d rows in weather.csv"):format(saved))
end)
