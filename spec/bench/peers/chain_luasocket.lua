--- luasocket and lua-cjson: the page chain. chain_luasocket.lua URL PAGES ITEMS
local luasocket = require "spec.bench.peers.luasocket_connection"

local create = luasocket.keeper()

require "spec.bench.lib.chain"(function(url)
  return (luasocket.get(url, create))
end)
