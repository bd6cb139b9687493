--- The rows of one large response, as a stream or read and decoded at once.
-- rows.lua stream|once URL COUNT
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local way, url, count = arg[1], arg[2], tonumber(arg[3])
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base, max_body = 1024 * 1024 * 1024 }

local function stream(n)
  local last
  for row in client:rows(path, { items = "data.items", query = { count = n } }) do last = row.id end
  return tonumber(last)
end

local function once(n)
  local list = garner.check(client:get(path, { query = { count = n } })):json().data.items
  return tonumber(list[#list].id)
end

-- The most memory that the process has had, in MiB.
local function peak()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmHWM:%s*(%d+)"
    if kib then return kib / 1024 end
  end
end

local read = way == "stream" and stream or once
assert(read(100) == 100)
local begin = lap.begin()
assert(read(count) == count, "not all the rows")
lap.finish(begin, count, { peak = peak() })
