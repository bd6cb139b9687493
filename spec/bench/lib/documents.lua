-- Writes what the benchmarks' server serves and what the decoders read: the pages of a chain, and
-- documents of 20 MB in the shapes of BlendVision's live metrics and Google's usage reports. The
-- same numbers give the same bytes.
--
--   documents.lua FOLDER PAGES MEGABYTES

local folder, page_count, megabytes = arg[1], tonumber(arg[2]), tonumber(arg[3])
assert(folder and page_count and megabytes, "usage: documents.lua FOLDER PAGES MEGABYTES")

local PAGE_ITEMS = 100

-- A generator of its own: math.random differs between Luas.
local seed = 42
local function random(n)
  seed = (seed * 16807) % 2147483647
  return seed % n
end

local function write(name, parts)
  local file = assert(io.open(folder .. "/" .. name, "wb"))
  for _, part in ipairs(parts) do
    assert(file:write(part))
  end
  assert(file:close())
end

local function time_of(n)
  return ("2026-11-%02dT%02d:%02d:%02dZ"):format(1 + math.floor(n / 86400) % 28,
    math.floor(n / 3600) % 24, math.floor(n / 60) % 60, n % 60)
end

-- An event of about 470 bytes: nested objects, texts, one of them with an escape, integers, a list.
local EVENT = table.concat {
  '{"id":"event-%08d","time":"%s","type":"page_view",',
  '"actor":{"email":"user%05d@example.com","profileId":"1%020d","callerType":"USER"},',
  '"session":{"id":"%08x%08x","started":%d,"seconds":%d,"bounced":%s},',
  '"device":{"os":"%s","model":"model %d","screen":[%d,%d]},',
  '"url":"https://shop.example.com/products/%d?ref=mail",',
  '"title":"Product %d \\u2013 caf\195\169","price":%d.%02d,"tags":["a%d","b%d"],"referrer":null}',
}

local function event(n)
  return EVENT:format(n, time_of(n), random(99999), random(2^31 - 1), random(2^31 - 1),
    random(2^31 - 1), 1700000000 + n, random(3600), random(2) == 0 and "true" or "false",
    random(2) == 0 and "Android" or "iOS", random(40), 720 + random(5) * 40,
    1280 + random(9) * 40, random(100000), random(100000), random(900), random(100), random(9),
    random(9))
end

local function page(number)
  local parts = { '{"kind":"example#events","etag":"', ("%016x"):format(number), '","items":[' }
  for i = 1, PAGE_ITEMS do
    parts[#parts + 1] = (i > 1 and "," or "") .. event((number - 1) * PAGE_ITEMS + i)
  end
  parts[#parts + 1] = "]"
  if number < page_count then
    parts[#parts + 1] = (',"nextPageToken":"%d"'):format(number + 1)
  end
  parts[#parts + 1] = "}"
  return parts
end

local METRICS = {
  { "LIVE_METRIC_TYPE_NETWORK_IN", "main", 9 }, { "LIVE_METRIC_TYPE_NETWORK_IN", "backup", 9 },
  { "LIVE_METRIC_TYPE_FRAME_RATE", "main", 60 }, { "LIVE_METRIC_TYPE_CONCURRENT_USER", nil, 90000 },
}

local function metrics(bytes)
  local parts = { '{"metrics":[' }
  local points = math.floor(bytes / #METRICS / 57)
  for i, metric in ipairs(METRICS) do
    parts[#parts + 1] = ('%s{"type":"%s",%s"datapoints":['):format(i > 1 and "," or "", metric[1],
      metric[2] and ('"dimension":"%s",'):format(metric[2]) or "")
    for n = 1, points do
      local value = metric[3] > 1000 and random(metric[3])
        or ("%d.%02d"):format(random(metric[3]), random(100))
      parts[#parts + 1] = ('%s{"time":"%s","value":{"value":"%s"}}'):format(n > 1 and "," or "",
        time_of(n * 5), value)
    end
    parts[#parts + 1] = "]}"
  end
  parts[#parts + 1] = "]}"
  return parts
end

local NUMBERS = { "accounts:used_quota_in_mb", "accounts:total_quota_in_mb",
  "gmail:num_emails_sent", "gmail:num_emails_received", "gmail:num_emails_exchanged",
  "docs:num_docs", "drive:num_items_created", "drive:num_items_edited",
  "drive:num_items_viewed", "calendar:num_meetings" }

local REPORT = table.concat {
  '{"kind":"admin#reports#usageReport","date":"2026-11-19","etag":"\\"%08x/%08x\\"",',
  '"entity":{"type":"USER","customerId":"C03az79cb","userEmail":"user%06d@example.com",',
  '"profileId":"1%020d"},"parameters":[%s]}',
}

local function usage_report(n)
  local parts = {}
  for i, name in ipairs(NUMBERS) do
    parts[i] = ('{"name":"%s","intValue":"%d"}'):format(name, random(100000))
  end
  parts[#parts + 1] = ('{"name":"accounts:is_2sv_enrolled","boolValue":%s}')
    :format(tostring(n % 3 == 0))
  parts[#parts + 1] = ('{"name":"accounts:admin_set_name","stringValue":"Jos\195\169 Name %d"}')
    :format(n)
  parts[#parts + 1] = ('{"name":"accounts:last_login_time","datetimeValue":"%s"}')
    :format(time_of(n))
  return REPORT:format(n, random(2^31 - 1), n, random(2^31 - 1), table.concat(parts, ","))
end

local function usage(bytes)
  local parts = { '{"kind":"admin#reports#usageReports","etag":"\\"x\\"","usageReports":[' }
  local n, size = 0, 0
  while size < bytes do
    n = n + 1
    local part = (n > 1 and "," or "") .. usage_report(n)
    size = size + #part
    parts[#parts + 1] = part
  end
  parts[#parts + 1] = '],"nextPageToken":"end"}'
  return parts
end

for number = 1, page_count do
  write(("pages/%d.json"):format(number), page(number))
end
write("metrics.json", metrics(megabytes * 1e6))
write("usage.json", usage(megabytes * 1e6))
write("metrics-small.json", metrics(1e6)) -- where each instruction is counted
write("usage-small.json", usage(1e6))
write("1k", { ("x"):rep(1024) })
