-- Events on the edges of windows, from a server that counts either end of a window in or out:
-- each comes exactly as often as it happened, equal ones included.
local faults = require "spec.support.faults"
local garner = require "garner"

-- The server's events: at each of these seconds one of its own kind, and two equal ones.
local SERVE = [[
local c, request = ...
local function at(name)
  local d, h, m, s = request.target:match(name .. "=2026%-03%-(%d%d)T(%d%d)%%3A(%d%d)%%3A(%d%d)Z")
  return ((d * 24 + h) * 60 + m) * 60 + s
end
local from, to, out = at "start", at "end", {}
local function add(second, kind)
  if second < from or second > to then return end
  if second == from and edges:sub(1, 1) == "(" then return end
  if second == to and edges:sub(2) == ")" then return end
  local text = ("2026-03-%02dT%02d:%02d:%02dZ"):format(second // 86400, second // 3600 % 24,
    second // 60 % 60, second % 60)
  out[#out + 1] = ('{"at":"%s","kind":"%s"}'):format(text, kind)
end
for _, second in ipairs(seconds) do
  add(second, "one")
  add(second, "equal")
  add(second, "equal")
end
local body = '{"events":[' .. table.concat(out, ",") .. "]}"
c:send(("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s")
  :format(#body, body))
return "next"
]]

local HOUR = 3600

describe("an event on an edge", function()
  local server
  before_each(function() server = faults.start() end)
  after_each(function()
    garner.close()
    server:stop()
  end)

  -- Day and hours of March, as the server counts seconds.
  local function second(day, hours)
    return day * 24 * HOUR + hours * HOUR
  end

  for _, edges in ipairs { "[]", "[)", "(]", "()" } do
    it("comes as often as it happened: " .. edges, function()
      -- Edges of the windows that are planned for two days of at most 7 hours, the seconds beside
      -- them, and some in between; those at the ends of the range decide what belongs to it.
      local seconds, inside = {}, 0
      for step = 0, 48 do
        for offset = -1, 1 do
          local value = second(2, step) + offset
          seconds[#seconds + 1] = value
          if value >= second(2, 0) and value < second(4, 0) then inside = inside + 1 end
        end
      end
      server:script("/events", { { run = ("local edges, seconds = %q, { %s } "):format(edges,
        table.concat(seconds, ",")) .. SERVE } })
      for _, max in ipairs { "7h", "1h" } do
        local client = garner.api { name = "edges", base_url = server.url, auth = false,
          verbs = { events = { get = "/events", items = "events", rows = { time = "at" },
            window = { from = "start", to = "end", max = max, edges = edges } } } } {}
        local rows = assert(client:events { from = "2026-03-02", to = "2026-03-03" }:collect())
        local times, kinds = {}, 0
        for _, row in ipairs(rows) do
          local key = row.at .. " " .. row.kind
          if not times[key] then kinds = kinds + 1 end
          times[key] = (times[key] or 0) + 1
        end
        for key, often in pairs(times) do
          assert.equal(key:find "equal" and 2 or 1, often, key)
        end
        assert.equal(2 * inside, kinds)
        assert.equal("2026-03-02T00:00:00Z", rows[1].at)
        assert.equal("2026-03-03T23:59:59Z", rows[#rows].at)
        client:close()
      end
    end)
  end
end)
