--- Lua-cURLv3 and lua-cjson: the page chain. chain_lcurl.lua URL PAGES ITEMS
local curl = require "lcurl"

local easy = curl.easy()

require "spec.bench.lib.chain"(function(url)
  local headers, body = {}, {}
  easy:setopt {
    url = url, accept_encoding = "", nosignal = true,
    headerfunction = function(data) headers[#headers + 1] = data end,
    writefunction = function(data) body[#body + 1] = data end,
  }
  easy:perform()
  assert(easy:getinfo_response_code() == 200, "not a 200")
  return table.concat(body)
end)
