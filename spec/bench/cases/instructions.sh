# Instructions of the client process, by callgrind (no kernel in it): the difference of a run of few and a run of many. They repeat where times do not.

. $bench/lib/instructions.sh
few=$(count 200 10) many=$(count 1200 20)
counted "bare C, libcurl easy" "$bin/easy" "$BENCH_HTTP/1k" @ 1024
counted_garner "garner, Lua 5.4, inline" 54 inline sequential.lua "$BENCH_HTTP/1k" @ 1024
counted_garner "garner, LuaJIT, inline" jit inline sequential.lua "$BENCH_HTTP/1k" @ 1024
counted_garner "garner, Lua 5.4, threaded" 54 threaded sequential.lua "$BENCH_HTTP/1k" @ 1024
counted_end "sequential GET of 1 KiB, a request" "bare C, libcurl easy"

[ $quick = no ] || return 0 # that took long enough

counted "bare C, curl multi" "$bin/multi" "$BENCH_HTTP/1k" @ 32 1024
counted_garner "garner, Lua 5.4, inline" 54 inline in_flight.lua "$BENCH_HTTP/1k" @ 32 1024
counted_garner "garner, LuaJIT, inline" jit inline in_flight.lua "$BENCH_HTTP/1k" @ 32 1024
counted_garner "garner, Lua 5.4, threaded" 54 threaded in_flight.lua "$BENCH_HTTP/1k" @ 32 1024
counted_end "32 in flight, a request" "bare C, curl multi"

few=5 many=35
for document in pages/2 metrics-small usage-small; do
  [ $document = pages/2 ] || { few=1 many=3; }
  counted_peer "lua-cjson, Lua 5.4" cjson/5.4 decode_cjson.lua "$BENCH_DIR/$document.json" @
  counted_peer "lua-cjson, LuaJIT" cjson/jit decode_cjson.lua "$BENCH_DIR/$document.json" @
  counted_garner "garner, Lua 5.4" 54 inline decode.lua "$BENCH_DIR/$document.json" @
  counted_garner "garner, LuaJIT" jit inline decode.lua "$BENCH_DIR/$document.json" @
  counted_end "decode ${document%%[/-]*}, a document" "lua-cjson, Lua 5.4"
done

few=25 many=65
counted_bare "bare C, libcurl easy, cJSON" chain "$BENCH_HTTP/pages" @ "$BENCH_PAGE_ITEMS"
counted_garner "garner, Lua 5.4, threaded" 54 threaded chain.lua "$BENCH_HTTP/pages" @ "$BENCH_PAGE_ITEMS"
counted_garner "garner, LuaJIT, threaded" jit threaded chain.lua "$BENCH_HTTP/pages" @ "$BENCH_PAGE_ITEMS"
counted_end "page chain, a page" "bare C, libcurl easy, cJSON"
