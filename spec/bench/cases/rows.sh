# The rows of one body of 1 GiB, 10 million of them, given one by one while it is still arriving. Memory: the most that was ever resident, all of the process.

n=$(count 10000000 20000)
every 3
garner "garner, Lua 5.4, inline" 54 inline rows.lua "$BENCH_HTTP/rows?count=$n" "$n"
every 3
garner "garner, Lua 5.4, threaded" 54 threaded rows.lua "$BENCH_HTTP/rows?count=$n" "$n"
every 3
garner "garner, LuaJIT, threaded" jit threaded rows.lua "$BENCH_HTTP/rows?count=$n" "$n"
race

table memory "MiB" 1 "garner, Lua 5.4, inline"
table cpu "us a row" 1e6 "garner, Lua 5.4, inline"
table wall "us a row" 1e6 "garner, Lua 5.4, inline"
must_value rows_memory $(median_of "garner, Lua 5.4, inline" memory)
