--- A chain of pages, each decoded, the token followed.
-- chain.lua URL PAGES ITEMS [WORK_MS]
local garner = require "garner"
local lap = require "spec.bench.lib.lap"

local url, pages, items = arg[1], tonumber(arg[2]), tonumber(arg[3])
local work = arg[4] and lap.work(tonumber(arg[4]) / 1000)
local base, path = url:match("^(%w+://[^/]+)(/.*)$")
local client = garner.client { base_url = base }

local function walk(count, after)
  local seen = 0
  for page in client:pages(path, { items = "items",
    next = { from = "nextPageToken", query = "token" } }) do
    assert(#page.items == items and page.items[items].session, "not the page that was expected")
    seen = seen + 1
    if after then after() end
    if seen == count then break end
  end
  assert(seen == count, "the chain ended early")
end

walk(math.min(pages, 5))
local begin = lap.begin()
walk(pages, work)
lap.finish(begin, pages)
