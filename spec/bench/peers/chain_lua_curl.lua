--- lua-curl and lua-cjson: the page chain. chain_lua_curl.lua URL PAGES ITEMS
local curl = require "curl"

local easy = curl.easy_init()

require "spec.bench.lib.chain"(function(url)
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
  assert(headers[1]:find " 200", "not a 200")
  return table.concat(body)
end)
