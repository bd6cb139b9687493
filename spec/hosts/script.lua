-- What a person would write: one script over all three vendors, which runs in every host. Where a
-- host is not known by itself, the line that names it stands in place of HOST; nothing else
-- differs. It prints what is the same in each run, of one day and a scope of the simulator's.

local garner = require "garner"
-- HOST

-- A number that tells two texts apart.
local function sum(text)
  local value = 0
  for i = 1, #text do
    value = (value * 31 + text:byte(i)) % 2147483648
  end
  return ("%d bytes, sum %d"):format(#text, value)
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function show(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    parts[i] = value == garner.json.null and "null" or tostring(value)
  end
  return table.concat(parts, " ")
end

garner.main(function()
  local url, day = os.getenv "HOSTS_URL", os.getenv "HOSTS_DAY"
  local folder, token = os.getenv "HOSTS_FOLDER", os.getenv "HOSTS_TOKEN"

  -- BlendVision: metrics of nine hours, in windows that are asked for side by side.
  local bv = garner.blendvision { base_url = url, token = token, org_id = "sim-org" }
  local metrics = bv:live_metrics { live_id = "live-1", from = day, to = day .. "T09:00:00",
    zone = "Asia/Taipei", types = { "frame_rate", "concurrent_user" } }
  local points = {}
  local count = garner.check(metrics:each(function(p)
    points[#points + 1] = show(p.time, p.type, p.dimension, p.value, p.unit, p.number)
  end))
  print("metrics", count, points[1], points[count], sum(table.concat(points, "\n")))
  for _, window in ipairs(metrics:coverage()) do
    print("window", window.from, window.to, window.state)
  end

  -- BlendVision: reports, waited for and downloaded.
  local job = garner.check(bv:create_report { event_id = "event-1", type = "live", dimensions = {
    "poll_votes", { "watch_time", group_by = { "device_os" }, from = day, to = day },
  } })
  for i, report in ipairs(garner.check(job:wait { timeout = "1m", first = 0.05, cap = 0.1 })) do
    local path = folder .. "/report-" .. i .. ".csv"
    local file = garner.check(report:download(path))
    print("report", i, report.dimension, report.status, file.size, sum(read(path)))
  end

  -- Google: a walk over pages.
  local google = garner.google_reports { base_url = url, token = token }
  local entities = {}
  count = garner.check(google:entity_usage { date = day,
    filters = { "gplus:num_total_members>100" },
    parameters = { "gplus:community_name", "gplus:num_total_members" },
  }:each(function(entity)
    entities[#entities + 1] = show(entity.date, entity.entity.id,
      entity.parameters["gplus:community_name"], entity.parameters["gplus:num_total_members"])
  end))
  print("entities", count, entities[1], sum(table.concat(entities, "\n")))

  -- Shoplazza: a task that is created, waited for, downloaded and read.
  local shop = garner.shoplazza { base_url = url, shop = "sim", token = token }
  local events = garner.check(shop:events { event = "add_to_cart", from = day, to = day,
    wait = { first = 0.05, cap = 0.1 } }:collect())
  local lines = {}
  for i, event in ipairs(events) do
    local names = {}
    for name in pairs(event) do
      names[#names + 1] = name
    end
    table.sort(names)
    for n, name in ipairs(names) do
      names[n] = name .. "=" .. (type(event[name]) == "table" and "..." or show(event[name]))
    end
    lines[i] = table.concat(names, ",")
  end
  print("events", #events, sum(table.concat(lines, "\n")))

  -- What goes wrong, and functions that wait side by side.
  local results = garner.all({
    function() return bv:get_live_metrics { live_id = "unknown", from = day .. "T00:00:00Z",
      to = day .. "T01:00:00Z" } end,
    function() return garner.google_reports { base_url = url, token = "wrong" }
      :get_entity_usage { date = day } end,
    function() return garner.wait(function() end, { timeout = 0.05, first = 0.01 }) end,
    function() error("broken", 0) end,
    function() return "fine" end,
  }, { concurrency = 2 })
  for i = 1, 5 do
    local err = results[i].err
    print("result", i, results[i].ok, results[i][1] == nil and show(err and err.kind or err,
      type(err) == "table" and err.status, type(err) == "table" and err.code) or results[i][1])
  end
  print("misuse", pcall(function() bv:live_metrics { live_id = "live-1", day = 1 } end))
  local n = 0
  print("waited", garner.wait(function()
    n = n + 1
    return n == 3 and n
  end, { first = 0.01 }))
  return nil, garner.errors.new { kind = "hole", message = "made up", windows = {
    { from = day, to = day, state = "failed" } } }
end)
