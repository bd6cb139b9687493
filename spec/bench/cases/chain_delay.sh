# The chain where the server takes 5 ms a page and the caller computes for 5 ms after each. Wall time a page, to the slower of the two alone. The server has the first core and every program the other one, but garner's threaded ones, which may use both; as `one core` they are shown on the other one alone, too.

pages=$(count 200 10) items=$BENCH_PAGE_ITEMS url="$BENCH_HTTP/pages?delay=5"
bare "upstream alone: bare C, cJSON" chain "$url" "$pages" "$items"
garner "the caller's work alone" 54 inline work.lua "$pages" 5
bare "one after the other: bare C, cJSON" chain "$url" "$pages" "$items" 5
cores any
garner "garner, Lua 5.4, threaded" 54 threaded chain.lua "$url" "$pages" "$items" 5
garner "garner, LuaJIT, threaded" jit threaded chain.lua "$url" "$pages" "$items" 5
cores client
garner "garner, Lua 5.4, threaded, one core" 54 threaded chain.lua "$url" "$pages" "$items" 5
garner "garner, LuaJIT, threaded, one core" jit threaded chain.lua "$url" "$pages" "$items" 5
race
larger "the slower of the two alone" wall "upstream alone: bare C, cJSON" "the caller's work alone"

table wall "ms a page" 1e3 "the slower of the two alone" "garner, Lua 5.4, threaded"
must chain_delay wall "garner, Lua 5.4, threaded" "the slower of the two alone"
