--- The page chain by another client: its pages decoded by lua-cjson, tokens followed.
-- chain.lua CLIENT URL PAGES ITEMS
local cjson = require "cjson"
local lap = require "spec.bench.lib.lap"

local get = require("spec.bench.peers.clients." .. arg[1])()
local first, pages, items = arg[2], tonumber(arg[3]), tonumber(arg[4])

local function walk(count)
  local url = first
  for seen = 1, count do
    local page = cjson.decode(get(url))
    assert(#page.items == items and page.items[items].session, "not the page that was expected")
    assert(page.nextPageToken or seen == count, "the chain ended early")
    url = first .. (first:find("?", 1, true) and "&" or "?") .. "token="
      .. tostring(page.nextPageToken)
  end
end

walk(math.min(pages, 5))
local begin = lap.begin()
walk(pages)
lap.finish(begin, pages)
