--- GETs of one URL, K in flight at once; K = 1: one after the other.
-- in_flight.lua URL COUNT K BYTES [CA_FILE [1.1|2]]
-- in_flight.lua URL COUNT K BYTES each: a function for each request
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local url, count, k, size = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local a_function_each = arg[5] == "each"
local ca_file = not a_function_each and arg[5] or nil
local client = garner.client { base_url = base, ca_file = ca_file, http_version = arg[6] }

local function get()
  local res = garner.check(client:get(path))
  assert(res.status == 200 and #res.body == size, "not the answer that was expected")
end

-- As many functions as may be in flight, each taking the next request until none is left; or a
-- function for each request.
local function get_all(n)
  local left, fns = n, {}
  local function worker()
    while left > 0 do
      left = left - 1
      get()
    end
  end
  for i = 1, a_function_each and n or math.min(k, n) do
    fns[i] = a_function_each and get or worker
  end
  for _, result in ipairs(garner.all(fns, { concurrency = k })) do
    assert(result.ok, tostring(result.err))
  end
end

get_all(k)
get_all(100)
local begin = lap.begin()
get_all(count)
lap.finish(begin, count)
