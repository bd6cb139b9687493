--- lua-http and lua-cjson: the page chain. chain_lua_http.lua URL PAGES ITEMS
local http = require "spec.bench.peers.http_connection"

local connection, authority = http.connect(arg[1])

require "spec.bench.lib.chain"(function(url)
  return (http.get(connection, authority, url:match "^%w+://[^/]+(/.*)$"))
end)
