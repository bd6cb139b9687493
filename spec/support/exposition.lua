-- For specs: a strict reader of Prometheus's text format, version 0.0.4, with the rules that
-- promtool's linter has for names and units. Must not: know garner's metrics.
local M = {}

local TYPES = { counter = true, gauge = true, histogram = true }
local UNESCAPE = { ["\\\\"] = "\\", ['\\"'] = '"', ["\\n"] = "\n" }

local function labels_of(text, line)
  local labels, pos = {}, 1
  while pos <= #text do
    local name, from = text:match('^([%a_][%w_]*)="()', pos)
    assert(name and not labels[name], "labels: " .. line)
    local to = from
    while text:sub(to, to) ~= '"' do
      assert(to <= #text, "no end of a value: " .. line)
      to = to + (text:sub(to, to) == "\\" and 2 or 1)
    end
    local value = text:sub(from, to - 1)
    assert(not value:gsub('\\[\\"n]', ""):find "\\", "escape: " .. line)
    labels[name] = value:gsub('\\[\\"n]', UNESCAPE)
    pos = to + 1
    if pos <= #text then
      assert(text:sub(pos, pos) == ",", "labels: " .. line)
      pos = pos + 1
    end
  end
  return labels
end

local function sample_of(line)
  local name, rest = line:match "^([%a_:][%w_:]*)(.*)$"
  assert(name, "not a sample: " .. line)
  local labels = {}
  if rest:sub(1, 1) == "{" then
    local inside, after = rest:match "^{(.*)}( .*)$"
    assert(inside, "braces: " .. line)
    labels, rest = labels_of(inside, line), after
  end
  local value = rest:match "^ (%S+)$"
  value = value == "+Inf" and math.huge or tonumber(value)
  assert(value, "value: " .. line)
  return { name = name, labels = labels, value = value }
end

local function key_of(sample, without)
  local names = {}
  for name in pairs(sample.labels) do
    if name ~= without then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do
    names[i] = name .. "=" .. sample.labels[name]
  end
  return sample.name .. "{" .. table.concat(names, ",") .. "}"
end

local function check_names(name, kind)
  assert((kind == "counter") == (name:find "_total$" ~= nil), name .. ": _total and type differ")
  for _, word in ipairs { "milliseconds", "_ms", "kilobytes", "minutes", "_count$", "_sum$",
    "_bucket$", "counter", "gauge", "histogram" } do
    assert(not name:find(word), name .. " has " .. word)
  end
end

local function check_histogram(name, family)
  local series = {}
  for _, sample in ipairs(family.samples) do
    local suffix = sample.name:sub(#name + 1)
    local key = key_of({ name = name, labels = sample.labels }, "le")
    local one = series[key] or { last = -1, bound = -math.huge }
    series[key] = one
    if suffix == "_bucket" then
      local le = sample.labels.le or "none"
      local bound = le == "+Inf" and math.huge or assert(tonumber(le), name .. ": le " .. le)
      assert(bound > one.bound and sample.value >= one.last, name .. ": buckets are out of order")
      one.bound, one.last = bound, sample.value
    elseif suffix == "_sum" then
      one.sum = sample.value
    else
      assert(suffix == "_count", name .. suffix)
      one.count = sample.value
    end
  end
  for key, one in pairs(series) do
    assert(one.bound == math.huge, key .. ": no +Inf")
    assert(one.count == one.last and one.sum, key .. ": count, sum")
  end
end

local function family_of(families, name)
  local base = name:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
  local family = families[name] or families[base]
  assert(family and (family == families[name] or family.kind == "histogram"), "no TYPE: " .. name)
  return family
end

--- Reads a text; raises at anything that is not right.
---@param text string
---@return table families name -> { kind, help, samples = { { name, labels, value } } }
---@return fun(name: string, labels: table|nil): number|nil value of the sample with these labels
function M.read(text)
  assert(text:sub(-1) == "\n" and not text:find "\n\n" and not text:find "\r", "line ends")
  local families, last, seen = {}, nil, {}
  for line in text:gmatch "[^\n]+" do
    local help, words = line:match "^# HELP (%S+) (.+)$"
    local name, kind = line:match "^# TYPE (%S+) (%S+)$"
    if help then
      assert(not families[help], "twice: " .. help)
      last = { name = help, help = words, samples = {} }
      families[help] = last
    elseif name then
      assert(last and last.name == name and not last.kind and TYPES[kind], line)
      last.kind = kind
      check_names(name, kind)
    else
      local sample = sample_of(line)
      assert(family_of(families, sample.name) == last, "not with its family: " .. line)
      local key = key_of(sample)
      assert(not seen[key], "twice: " .. line)
      seen[key] = true
      last.samples[#last.samples + 1] = sample
      assert(last.kind == "gauge" or sample.value >= 0, "below zero: " .. line)
    end
  end
  for name, family in pairs(families) do
    assert(#family.samples > 0, name .. " has no sample")
    if family.kind == "histogram" then check_histogram(name, family) end
  end
  return families, function(name, labels)
    for _, sample in ipairs(family_of(families, name).samples) do
      local same = sample.name == name
      for label, value in pairs(labels or {}) do
        same = same and sample.labels[label] == value
      end
      if same then return sample.value end
    end
  end
end

return M
