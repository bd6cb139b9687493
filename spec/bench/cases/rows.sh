# The rows of one response as a stream: CPU per row to the same rows read and decoded at once, and memory at 10 million of them, 1 GiB.

some=$(count 300000 3000) all=$(count 10000000 30000) url=$BENCH_HTTP/rows
garner "at once, Lua 5.4" 54 inline rows.lua once "$url" "$some"
garner "stream, Lua 5.4, inline" 54 inline rows.lua stream "$url" "$some"
garner "stream, Lua 5.4, threaded" 54 threaded rows.lua stream "$url" "$some"
garner "at once, LuaJIT" jit inline rows.lua once "$url" "$some"
garner "stream, LuaJIT, inline" jit inline rows.lua stream "$url" "$some"
garner "stream, LuaJIT, threaded" jit threaded rows.lua stream "$url" "$some"
every "$rounds"
garner "all, Lua 5.4, threaded" 54 threaded rows.lua stream "$url" "$all"
every "$rounds"
garner "all, LuaJIT, inline" jit inline rows.lua stream "$url" "$all"
race

table cpu "us a row" 1e6 "at once, Lua 5.4" "stream, Lua 5.4, inline" "stream, LuaJIT, inline"
table peak "MiB, whole process" 1 "at once, Lua 5.4"
must_value rows_memory $(for name in "all, Lua 5.4, threaded" "all, LuaJIT, inline"; do
  values "$name" peak
done | cut -d' ' -f2 | sort -g | tail -n 1)
