-- The page chain for the Lua peers: pages fetched by `get`, decoded by lua-cjson, tokens followed.
local cjson = require "cjson"
local lap = require "spec.bench.lib.lap"

--- Reads the arguments URL PAGES ITEMS, walks, prints the line that the runner reads.
---@param get fun(url: string): string one page's body
return function(get)
  local first, pages, items = arg[1], tonumber(arg[2]), tonumber(arg[3])

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
end
