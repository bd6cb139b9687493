-- Owns: the counters as text in Prometheus's exposition format, version 0.0.4. Names and labels
-- are fixed here, so there is no label whose values a server or a user's data could multiply, and
-- none that could hold a secret. Must not: count.

local core = require "garner.core"
local errors = require "garner.errors"
local options = require "garner.options"
local stats = require "garner.stats"

local M = {}

-- Metrics ---------------------------------------------------------------------

-- One sample without labels.
local function plain(field)
  return function(s)
    return { { value = s[field] } }
  end
end

-- One sample for each name of a group, in their order.
local function by(label, group)
  return function(s)
    local names, samples = {}, {}
    for name in pairs(s[group]) do
      names[#names + 1] = name
    end
    table.sort(names)
    for i, name in ipairs(names) do
      samples[i] = { labels = { { label, name } }, value = s[group][name] }
    end
    return samples
  end
end

local function one_of(group, name)
  return function(s)
    return { { value = s[group][name] } }
  end
end

local function bound_text(bound)
  return bound == math.huge and "+Inf" or M.number(bound)
end

local function histogram(name)
  return function(s)
    local list, samples = s.durations[name], {}
    for i, bucket in ipairs(list) do
      samples[i] = { suffix = "_bucket", labels = { { "le", bound_text(bucket[1]) } },
        value = bucket[2] }
    end
    samples[#samples + 1] = { suffix = "_sum", value = list.sum }
    samples[#samples + 1] = { suffix = "_count", same = samples[#list] }
    return samples
  end
end

local METRICS = {
  { "garner_exchanges_total", "counter", "Requests begun, whatever became of them",
    plain "exchanges" },
  { "garner_exchanges_in_flight", "gauge", "Requests that have not ended", plain "in_flight" },
  { "garner_exchanges_waiting", "gauge", "Requests that wait, by what for",
    by("reason", "waiting") },
  { "garner_errors_total", "counter", "Requests, walks and polls that failed, by kind of error",
    by("kind", "errors") },
  { "garner_requests_total", "counter", "Attempts: requests sent, with retries and redirects",
    plain "requests" },
  { "garner_responses_total", "counter", "What the attempts brought, by class of status",
    by("class", "responses") },
  { "garner_retries_total", "counter", "Attempts after the first, by what decided the wait",
    by("reason", "retried") },
  { "garner_throttled_seconds_total", "counter", "Time waited for rate limits",
    plain "throttled" },
  { "garner_received_bytes_total", "counter", "Bytes of bodies received, unpacked",
    plain "bytes_received" },
  { "garner_sent_bytes_total", "counter", "Bytes of bodies sent", plain "bytes_sent" },
  { "garner_connections_opened_total", "counter", "Connections opened for attempts",
    one_of("connections", "opened") },
  { "garner_connections_reused_total", "counter", "Attempts on a connection that was open",
    one_of("connections", "reused") },
  { "garner_connections_open", "gauge", "Sockets that are open", one_of("connections", "open") },
  { "garner_pages_total", "counter", "Good pages of walks", plain "pages" },
  { "garner_polls_total", "counter", "Requests that looked after jobs", plain "polls" },
  { "garner_downloads_total", "counter", "Files downloaded whole", plain "downloads" },
  { "garner_cache_requests_total", "counter", "Look-ups in the cache, by what they found",
    by("result", "cache") },
  { "garner_engines_started_total", "counter", "Engines started", plain "engines" },
  { "garner_exchange_duration_seconds", "histogram",
    "Requests from begin to end, waits and retries included", histogram "exchange" },
  { "garner_request_duration_seconds", "histogram", "Attempts from sending to the end of the body",
    histogram "request" },
}

-- Text ------------------------------------------------------------------------

--- A number as the format wants it, the decimal sign a point in every locale.
---@param value number
---@return string
function M.number(value)
  local text = ("%.15g"):format(value)
  if tonumber(text) ~= value then
    text = ("%.17g"):format(value)
  end
  return (text:gsub(",", "."))
end

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function label_text(labels)
  local parts = {}
  for i, label in ipairs(labels) do
    parts[i] = label[1] .. '="' .. label[2]:gsub('[\\"\n]', ESCAPES) .. '"'
  end
  return parts[1] and "{" .. table.concat(parts, ",") .. "}" or ""
end

--- Every sample of some stats: name and labels together are its key.
---@param s table as `garner.stats` gives them
---@return table[] samples { key, metric, suffix, labels, value, gauge }; one with `same` instead
--- of a value has that other sample's
function M.samples(s)
  local list = {}
  for _, metric in ipairs(METRICS) do
    for _, sample in ipairs(metric[4](s)) do
      sample.metric, sample.gauge = metric, metric[2] == "gauge"
      sample.suffix, sample.labels = sample.suffix or "", sample.labels or {}
      sample.key = metric[1] .. sample.suffix .. label_text(sample.labels)
      list[#list + 1] = sample
    end
  end
  return list
end

local function head(out, name, kind, help)
  out[#out + 1] = "# HELP " .. name .. " " .. help .. ".\n"
  out[#out + 1] = "# TYPE " .. name .. " " .. kind .. "\n"
end

local function joined(constant, labels)
  local all = {}
  for _, list in ipairs { constant, labels } do
    for _, label in ipairs(list) do
      all[#all + 1] = label
    end
  end
  return label_text(all)
end

local function write_info(out, constant)
  local versions = core.versions()
  head(out, "garner_info", "gauge", "Always 1; the labels tell the versions")
  out[#out + 1] = "garner_info" .. joined(constant, { { "version", versions.garner },
    { "libcurl", versions.libcurl }, { "lua", versions.lua } }) .. " 1\n"
end

local function render(samples, constant)
  local out, metric = {}, nil
  write_info(out, constant)
  for _, sample in ipairs(samples) do
    if sample.metric ~= metric then
      metric = sample.metric
      head(out, metric[1], metric[2], metric[3])
    end
    out[#out + 1] = metric[1] .. sample.suffix .. joined(constant, sample.labels) .. " "
      .. M.number((sample.same or sample).value) .. "\n"
  end
  return table.concat(out)
end

-- The public function ---------------------------------------------------------

-- Names that the metrics have already.
local TAKEN = { class = true, kind = true, le = true, lua = true, libcurl = true, reason = true,
  result = true, version = true }

local function labels_rule(map)
  if type(map) ~= "table" then
    return nil, "must be a table of names and texts, got " .. options.show(map)
  end
  local list = {}
  for name, value in pairs(map) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or name:find "^__" then
      return nil, "has a name that is no label's: " .. options.show(name)
    elseif TAKEN[name] then
      return nil, "has a name that garner's metrics use: " .. name
    elseif type(value) ~= "string" then
      return nil, "must have a text for " .. name .. ", got " .. options.show(value)
    end
    list[#list + 1] = { name, value }
  end
  table.sort(list, function(a, b)
    return a[1] < b[1]
  end)
  return list
end

local SCHEMA = { labels = labels_rule, dict = options.text, interval = options.duration }

--- The content type of the text.
M.CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

--- What `garner.stats` tells, in Prometheus's text format: counters end in `_total`, times are in
--- seconds, sizes in bytes.
---
--- With `dict` (nginx; the name of a `lua_shared_dict` of its own) it is the sum over all workers:
--- each adds to the dict what it did since the last time, every `interval` and once more when it
--- ends, so the counters of a worker that is gone stay and its gauges go. The first call in a
--- worker starts that, so let init_worker_by_lua_block call it:
---
---   lua_shared_dict garner 1m;
---   init_worker_by_lua_block { require("garner").prometheus { dict = "garner" } }
---   location = /metrics { content_by_lua_block {
---     ngx.header.content_type = "text/plain; version=0.0.4; charset=utf-8"
---     local garner = require "garner"
---     ngx.print(garner.check(garner.prometheus { dict = "garner" }))
---   } }
---@param opts table|nil dict, interval (5 s), labels (map: added to every sample)
---@return string|nil text
---@return garner.Error|nil err the dict has no room (kind "memory")
function M.text(opts)
  opts = options.check(opts, SCHEMA, "garner.prometheus")
  local samples = M.samples(stats.read())
  if opts.dict then
    local dict = require "garner.prometheus_dict"
    local ok, why = dict.sum(opts.dict, opts.interval or 5, samples, function()
      return M.samples(stats.read())
    end)
    if not ok then
      return nil, errors.from_raw { kind = "memory", code = "dict", message = why }
    end
  elseif opts.interval then
    errors.misuse("garner.prometheus: interval is how often the dict is written: give dict, too")
  end
  return render(samples, opts.labels or {})
end

return M
