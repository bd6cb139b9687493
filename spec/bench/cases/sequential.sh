# Sequential GETs of 1 KiB on one kept connection; headers and body are kept. CPU per request, between start and end of the loop.

many=$(count 4000 20) fewer=$(count 1000 10) url=$BENCH_HTTP/1k
bare "bare C, libcurl easy" easy "$url" "$many" 1024
garner "garner, Lua 5.4, inline" 54 inline sequential.lua "$url" "$many" 1024
garner "garner, LuaJIT, inline" jit inline sequential.lua "$url" "$many" 1024
garner "garner, Lua 5.4, threaded" 54 threaded sequential.lua "$url" "$many" 1024
garner "garner, LuaJIT, threaded" jit threaded sequential.lua "$url" "$many" 1024
peer "lua-curl, LuaJIT" lua-curl/jit sequential.lua lua_curl "$url" "$many" 1024
peer "lua-curl, Lua 5.1" lua-curl/5.1 sequential.lua lua_curl "$url" "$many" 1024
peer "Lua-cURLv3, Lua 5.4" lcurl/5.4 sequential.lua lcurl "$url" "$many" 1024
peer "Lua-cURLv3, LuaJIT" lcurl/jit sequential.lua lcurl "$url" "$many" 1024
peer "lua-http, Lua 5.4" lua-http/5.4 sequential.lua lua_http "$url" "$fewer" 1024
peer "lua-http, LuaJIT" lua-http/jit sequential.lua lua_http "$url" "$fewer" 1024
peer "luasocket, Lua 5.4" luasocket/5.4 sequential.lua luasocket "$url" "$many" 1024
peer "luasocket, LuaJIT" luasocket/jit sequential.lua luasocket "$url" "$many" 1024
peer "python pycurl" pycurl sequential.py pycurl "$url" "$many" 1024
peer "python urllib3" urllib3 sequential.py urllib3 "$url" "$fewer" 1024
peer "python requests" requests sequential.py requests "$url" "$fewer" 1024
peer "node fetch" node sequential.mjs "$url" "$fewer" 1024
race
opened 1 2

table cpu "us a request" 1e6 "bare C, libcurl easy" "garner, Lua 5.4, inline" "garner, LuaJIT, inline"
must sequential_54 cpu "garner, Lua 5.4, inline" "bare C, libcurl easy"
must sequential_jit cpu "garner, LuaJIT, inline" "bare C, libcurl easy"
must sequential_54_threaded cpu "garner, Lua 5.4, threaded" "bare C, libcurl easy"
