# What a client holds that does nothing any more, after a request of its own: resident KiB of the process for each of many.

n=$(count 500 10) url=$BENCH_HTTP/1k
bare "bare C, libcurl easy, a connection each" memory "$url" "$n"
garner "garner, Lua 5.4, inline" 54 inline memory.lua "$url" "$n"
garner "garner, Lua 5.4, threaded" 54 threaded memory.lua "$url" "$n"
garner "garner, LuaJIT, inline" jit inline memory.lua "$url" "$n"
peer "lua-curl, LuaJIT" lua-curl/jit memory.lua lua_curl "$url" "$n"
peer "python pycurl" pycurl memory.py pycurl "$url" "$n"
peer "python requests" requests memory.py requests "$url" "$n"
race

table kib "KiB a client" 1 "bare C, libcurl easy, a connection each" "garner, Lua 5.4, inline"
