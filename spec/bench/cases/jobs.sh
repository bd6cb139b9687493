# 10,000 jobs, each done at its first, second or third poll, asked about in batches of 100 until all are done. Poll calls to the fewest that can do.

jobs=$(count 10000 500)
garner "garner, Lua 5.4, inline" 54 inline jobs.lua "$BENCH_HTTP" "$jobs" 100
garner "garner, Lua 5.4, threaded" 54 threaded jobs.lua "$BENCH_HTTP" "$jobs" 100
garner "garner, LuaJIT, inline" jit inline jobs.lua "$BENCH_HTTP" "$jobs" 100
race

table calls "poll calls" 1 "garner, Lua 5.4, inline"
table ratio "calls to the fewest" 1 "garner, Lua 5.4, inline"
table cpu "us a job" 1e6 "garner, Lua 5.4, inline"
must_value jobs $(median_of "garner, Lua 5.4, inline" ratio)
