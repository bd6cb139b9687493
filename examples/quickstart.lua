-- Pulls the five documented reports and metrics and shows them: from the
-- simulator that examples/quickstart starts, or from each real service whose
-- token is set (then the simulator is not touched).
--
--   lua5.4 examples/quickstart.lua FOLDER

local garner = require "garner"

local out = arg[1] or "quickstart-output"

-- A variable that is set, and not to nothing.
local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- The first of these that is set decides what the terminal is told to know.
local locale = env "LC_ALL" or env "LC_CTYPE" or env "LANG" or "C"
local utf8_terminal = locale:upper():find "UTF%-?8"

local rows_given, files_written = 0, {}

-- What is printed ------------------------------------------------------------

local function heading(name, request)
  print(("\n== %s\n   %s"):format(name, request))
end

-- Text that a server sent: control characters are shown, never obeyed, and
-- letters that the terminal may not know are marked.
local function plain(value)
  local text = tostring(value == nil and "-" or value):gsub("%c", "?")
  if not utf8_terminal then text = text:gsub("[\192-\255][\128-\191]*", "?") end
  return text
end

-- How many characters, not bytes.
local function width_of(text)
  return select(2, text:gsub("[^\128-\191]", ""))
end

local function shorten(text, limit)
  if width_of(text) <= limit then return text end
  local count, kept = 0, {}
  for letter in text:gmatch "[^\128-\191][\128-\191]*" do
    count = count + 1
    if count > limit - 3 then break end
    kept[count] = letter
  end
  return table.concat(kept) .. "..."
end

-- Columns as wide as their widest cell, at most `limit` rows.
local function print_table(columns, rows, limit)
  local widths, shown = {}, {}
  for i = 1, math.min(#rows, limit) do
    shown[i] = {}
    for c, column in ipairs(columns) do
      shown[i][c] = shorten(plain(rows[i][column]), 38)
    end
  end
  for c, column in ipairs(columns) do
    widths[c] = #column
    for _, row in ipairs(shown) do widths[c] = math.max(widths[c], width_of(row[c])) end
  end
  local function line(cells)
    local padded = {}
    for c, cell in ipairs(cells) do padded[c] = cell .. (" "):rep(widths[c] - width_of(cell)) end
    print("   " .. table.concat(padded, "  "):gsub("%s+$", ""))
  end
  local rule = {}
  for c in ipairs(columns) do rule[c] = ("-"):rep(widths[c]) end
  line(columns)
  line(rule)
  for _, row in ipairs(shown) do line(row) end
  if #rows > limit then print(("   ... and %d more rows"):format(#rows - limit)) end
end

local BLOCKS = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }
local MARKS = { " ", ".", ".", ":", ":", "|", "|", "#", "#" }

-- One series as a chart: each column is the mean of a stretch of time.
local function print_chart(title, series)
  local width, height = math.min(64, #series.numbers), 6
  local means, top = {}, 0
  for column = 1, width do
    local first = math.floor((column - 1) * #series.numbers / width) + 1
    local last = math.max(first, math.floor(column * #series.numbers / width))
    local sum, count = 0, 0
    for i = first, last do
      if series.numbers[i] then
        sum, count = sum + series.numbers[i], count + 1
      end
    end
    means[column] = count > 0 and sum / count or 0
    top = math.max(top, means[column])
  end
  print(("\n   %s, %s, %s to %s"):format(title, series.unit or "", plain(series.times[1]),
    plain(series.times[#series.times])))
  local signs = utf8_terminal and BLOCKS or MARKS
  for level = height, 1, -1 do
    local cells = {}
    for column = 1, width do
      local filled = (top > 0 and means[column] / top * height or 0) - (level - 1)
      cells[column] = signs[math.floor(math.max(0, math.min(1, filled)) * 8 + 0.5) + 1]
    end
    local label = level == height and ("%8.1f"):format(top) or level == 1 and ("%8s"):format("0")
      or (" "):rep(8)
    print(("   %s |%s"):format(label, table.concat(cells)))
  end
end

local function wrote(path)
  local file = assert(io.open(path, "rb"))
  files_written[#files_written + 1] = { file = path, bytes = file:seek "end" }
  file:close()
end

-- A CSV file that was just pulled: its first rows, in the file's own columns.
local function print_csv(path, limit)
  local reader, rows = garner.csv.rows { file = path }, {}
  for row in reader do rows[#rows + 1] = row end
  wrote(path)
  rows_given = rows_given + #rows
  print(("\n   %s:"):format(path))
  if rows[1] then
    local columns = {}
    for i = 1, math.min(#reader.columns, 6) do columns[i] = reader.columns[i] end
    print_table(columns, rows, limit)
  else
    print "   (no rows)"
  end
end

-- The five calls -------------------------------------------------------------

local function live_metrics(bv, live_id)
  heading("BlendVision: Get Live Metrics", "GET /bv/cms/v1/lives/{id}/metrics")
  local pull = bv:live_metrics { live_id = live_id, from = "-24h", to = "now" }
  print("   the last 24 hours, as windows of at most 8 hours: " .. #pull:plan().windows)
  local list, rows, chart = garner.check(pull:series()), {}, nil
  for i, series in ipairs(list) do
    local count = #series.values
    rows[i] = { type = series.type, dimension = series.dimension, unit = series.unit,
      points = count, first = series.values[1], last = series.values[count] }
    rows_given = rows_given + count
    if series.type == "concurrent_user" then chart = chart or series end
  end
  print_table({ "type", "dimension", "unit", "points", "first", "last" }, rows, 10)
  if chart then print_chart("concurrent users", chart) end
end

local function event_reports(bv, event_id)
  local columns = { "dimension", "status", "id" }
  heading("BlendVision: Create Event Report", "POST /bv/analytics/v1/events/reports")
  local job = garner.check(bv:create_report { event_id = event_id, type = "live", dimensions = {
    "poll_votes", { "watch_time", group_by = { "device_os" } },
  } })
  print_table(columns, job.reports, 10)

  heading("BlendVision: Batch Get Event Reports",
    "POST /bv/analytics/v1/events/reports:batch-get")
  print "   asked once:"
  print_table(columns, garner.check(job:status()), 10)
  print "   asked until they are ready:"
  print_table(columns, garner.check(job:wait { timeout = "15m", progress = true }), 10)
  for _, path in ipairs(garner.check(job:download(out .. "/{dimension}.csv"))) do
    print_csv(path, 4)
  end
end

local function entity_usage(google)
  heading("Google: Entity Usage Report",
    "GET /admin/reports/v1/usage/{entityType}/{entityKey}/dates/{date}")
  local columns, rows = { "date", "entity" }, {}
  local pull = google:entity_usage { entity = "all", from = "-8d", to = "-6d" }
  garner.check(pull:each(function(report)
    local row = { date = report.date, entity = report.entity.id }
    for name, value in pairs(report.parameters) do
      row[name:gsub("^gplus:", "")] = value
    end
    rows[#rows + 1] = row
  end))
  for name in pairs(rows[1] or {}) do
    if name ~= "date" and name ~= "entity" and name:find "^num_" then
      columns[#columns + 1] = name
    end
  end
  table.sort(columns)
  while #columns > 5 do table.remove(columns) end
  print_table(columns, rows, 6)
  for _, warning in ipairs(pull:warnings()) do
    print("   warning: " .. plain(warning.message or warning.code))
  end
  rows_given = rows_given + #rows
end

local function add_to_cart(shop)
  heading("Shoplazza: Create Data Query Task", "GET /openapi/2022-01/data/query")
  local path = out .. "/add_to_cart.csv"
  garner.check(shop:events { event = "add_to_cart", from = "yesterday", to = "yesterday",
    progress = true }:save(path, { force = true }))
  print_csv(path, 6)
end

-- Where they go --------------------------------------------------------------

local function run_blendvision(options, live_id, event_id)
  local bv = garner.blendvision(options)
  if live_id then
    live_metrics(bv, live_id)
  else
    print "\n== BlendVision live metrics: set BLENDVISION_LIVE_ID"
  end
  if event_id then
    event_reports(bv, event_id)
  else
    print "\n== BlendVision event reports: set BLENDVISION_EVENT_ID"
  end
end

local function totals()
  local stats = garner.stats()
  print "\n== In all"
  print(("   %d requests, %d retries, %d rows, %d bytes received"):format(stats.requests,
    stats.retries, rows_given, stats.bytes_received))
  for _, file in ipairs(files_written) do
    print(("   written: %s (%d bytes)"):format(file.file, file.bytes))
  end
end

local HOW = [[

== The same from the real services
   Set the variables of one or more of them and run examples/quickstart again;
   it then talks to those alone, never to the simulator.
   BlendVision  BLENDVISION_TOKEN, BLENDVISION_ORG_ID (the organization),
                BLENDVISION_LIVE_ID (for metrics), BLENDVISION_EVENT_ID (for reports)
   Google       GOOGLE_ACCESS_TOKEN (scope admin.reports.usage.readonly)
   Shoplazza    SHOPLAZZA_TOKEN (scope read_data), SHOPLAZZA_SHOP (the part before
                the shop's domain)]]

garner.main(function()
  local sim = env "GARNER_SIM_URL"
  if env "BLENDVISION_TOKEN" or env "GOOGLE_ACCESS_TOKEN" or env "SHOPLAZZA_TOKEN" then
    print "From the real services whose tokens are set."
    if env "BLENDVISION_TOKEN" then
      run_blendvision({}, env "BLENDVISION_LIVE_ID", env "BLENDVISION_EVENT_ID")
    end
    if env "GOOGLE_ACCESS_TOKEN" then entity_usage(garner.google_reports {}) end
    if env "SHOPLAZZA_TOKEN" then add_to_cart(garner.shoplazza {}) end
  elseif sim then
    print("From the simulator at " .. sim .. "; no token of a real service is set.")
    run_blendvision({ base_url = sim, token = "sim-token", org_id = "sim-org" },
      "live-1", "event-1")
    entity_usage(garner.google_reports { base_url = sim, token = "sim-token" })
    add_to_cart(garner.shoplazza { base_url = sim, shop = "sim", token = "sim-token" })
  else
    io.stderr:write "No token is set and no simulator runs: start this with examples/quickstart.\n"
    os.exit(2)
  end
  totals()
  print(HOW)
end)
