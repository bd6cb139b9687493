# A chain of 1,000 pages of 47 KB, each decoded, its token followed. CPU and wall time a page, between start and end of the walk. The server has the first core and every program the other one, but garner's threaded ones, which may use both; as `one core` they are shown on the other one alone, too.

pages=$BENCH_PAGES fewer=$(count 400 $BENCH_PAGES) items=$BENCH_PAGE_ITEMS url=$BENCH_HTTP/pages
bare "bare C, libcurl easy, cJSON" chain "$url" "$pages" "$items"
cores any
garner "garner, Lua 5.4, threaded" 54 threaded chain.lua "$url" "$pages" "$items"
garner "garner, LuaJIT, threaded" jit threaded chain.lua "$url" "$pages" "$items"
cores client
garner "garner, Lua 5.4, threaded, one core" 54 threaded chain.lua "$url" "$pages" "$items"
garner "garner, LuaJIT, threaded, one core" jit threaded chain.lua "$url" "$pages" "$items"
garner "garner, Lua 5.4, inline" 54 inline chain.lua "$url" "$pages" "$items"
garner "garner, LuaJIT, inline" jit inline chain.lua "$url" "$pages" "$items"
peer "lua-curl, lua-cjson, LuaJIT" lua-curl/jit chain.lua lua_curl "$url" "$pages" "$items"
peer "lua-curl, lua-cjson, Lua 5.1" lua-curl/5.1 chain.lua lua_curl "$url" "$pages" "$items"
peer "Lua-cURLv3, lua-cjson, Lua 5.4" lcurl/5.4 chain.lua lcurl "$url" "$pages" "$items"
peer "Lua-cURLv3, lua-cjson, LuaJIT" lcurl/jit chain.lua lcurl "$url" "$pages" "$items"
peer "lua-http, lua-cjson, Lua 5.4" lua-http/5.4 chain.lua lua_http "$url" "$pages" "$items"
peer "lua-http, lua-cjson, LuaJIT" lua-http/jit chain.lua lua_http "$url" "$pages" "$items"
peer "luasocket, lua-cjson, Lua 5.4" luasocket/5.4 chain.lua luasocket "$url" "$pages" "$items"
peer "luasocket, lua-cjson, LuaJIT" luasocket/jit chain.lua luasocket "$url" "$pages" "$items"
peer "python pycurl, json" pycurl chain.py pycurl "$url" "$fewer" "$items"
peer "python urllib3, json" urllib3 chain.py urllib3 "$url" "$fewer" "$items"
peer "python requests" requests chain.py requests "$url" "$fewer" "$items"
peer "node fetch" node chain.mjs "$url" "$fewer" "$items"
race
opened 1 8

table cpu "us a page" 1e6 "bare C, libcurl easy, cJSON" "garner, Lua 5.4, threaded" "garner, LuaJIT, threaded"
table wall "us a page" 1e6 "bare C, libcurl easy, cJSON" "garner, Lua 5.4, threaded" "garner, LuaJIT, threaded"
for metric in cpu wall; do
  must chain_${metric}_54 $metric "garner, Lua 5.4, threaded" "bare C, libcurl easy, cJSON"
  must chain_${metric}_jit $metric "garner, LuaJIT, threaded" "bare C, libcurl easy, cJSON"
done
