--- Lua-cURLv3: sequential GETs on one easy handle.
-- sequential_lcurl.lua URL COUNT BYTES
local curl = require "lcurl"
local lap = require "spec.bench.lib.lap"

local url, count, size = arg[1], tonumber(arg[2]), tonumber(arg[3])
local easy = curl.easy()

local function get()
  local headers, body = {}, {}
  easy:setopt {
    url = url, accept_encoding = "", nosignal = true,
    headerfunction = function(data) headers[#headers + 1] = data end,
    writefunction = function(data) body[#body + 1] = data end,
  }
  easy:perform()
  body = table.concat(body)
  assert(easy:getinfo_response_code() == 200 and #headers > 0 and #body == size,
    "not the answer that was expected")
end

for _ = 1, 100 do get() end
local begin = lap.begin()
for _ = 1, count do get() end
lap.finish(begin, count)
