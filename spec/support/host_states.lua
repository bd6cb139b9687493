-- What each of several Lua states in threads does (spec/support/host.c): real requests of all
-- kinds on an engine of its own, and more that are still on their way when it is closed.
local round, thread, url, folder = ...
local garner = require "garner"
local loops = require "spec.support.loop"

local path = ("%s/%d-%d"):format(folder, round, thread)
garner.engine { thread = (round + thread) % 2 == 0 }
local api = garner.client { base_url = url }

local function pages()
  return api:pages("/_http/pages", { items = "things", query = { n = 3, size = 2 },
    next = { from = "nextPageToken", query = "pageToken" } })
end

local tasks = {
  function() return #assert(pages():collect()) end,
  function() return assert(api:download(url .. "/_http/bytes/50000", path)).size end,
}
for i = 1, 6 do
  tasks[#tasks + 1] = function()
    return assert(api:get("/_http/echo", { query = { mine = thread * 100 + i } })):json().query
  end
end
local results = garner.all(tasks)
os.remove(path)
for i, result in ipairs(results) do
  assert(result.ok, tostring(result.err))
  local expected = ({ 6, 50000 })[i] or "mine=" .. thread * 100 + i - 2
  assert(result[1] == expected, tostring(result[1]))
end

local loop = loops.new()
garner.use(loop.driver)
loop.spawn(function() return api:get "/_http/delay/5000" end)
loop.spawn(function() return api:download(url .. "/_http/slow?bytes=50&ms=100", path) end)
loop.spawn(function() return pages():collect() end)
for _ = 1, round do loop.step(0.005) end
_G.kept = loop
