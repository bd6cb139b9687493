--- lua-curl (Debian's binding of libcurl): sequential GETs on one easy handle.
-- sequential_lua_curl.lua URL COUNT BYTES
local curl = require "curl"
local lap = require "spec.bench.lib.lap"

local url, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3])
local easy = curl.easy_init()

local function get()
  local headers, body = {}, {}
  easy:setopt(curl.OPT_URL, url)
  easy:setopt(curl.OPT_ACCEPT_ENCODING, "")
  easy:setopt(curl.OPT_NOSIGNAL, 1)
  easy:setopt(curl.OPT_HEADERFUNCTION, function(data)
    headers[#headers + 1] = data
    return #data
  end)
  easy:setopt(curl.OPT_WRITEFUNCTION, function(data)
    body[#body + 1] = data
    return #data
  end)
  assert(easy:perform())
  body = table.concat(body)
  assert(headers[1]:find " 200" and #body == size, "not the answer that was expected")
end

for _ = 1, 100 do get() end
local begin = lap.begin()
for _ = 1, count do get() end
lap.finish(begin, count)
