# A page of 47 KB decoded into tables, from text in memory. CPU a document, the collector's work included.

document=$BENCH_DIR/pages/2.json times=$(count 300 3)
garner "garner, Lua 5.4" 54 inline decode.lua "$document" "$times"
garner "garner, LuaJIT" jit inline decode.lua "$document" "$times"
peer "lua-cjson, Lua 5.4" cjson/5.4 decode_cjson.lua "$document" "$times"
peer "lua-cjson, LuaJIT" cjson/jit decode_cjson.lua "$document" "$times"
bare "C, cJSON" decode "$document" "$times"
peer "python json" python decode.py "$document" "$times"
peer "node JSON.parse" node decode.mjs "$document" "$times"
race

table cpu "ms a document" 1e3 "lua-cjson, Lua 5.4" "garner, Lua 5.4" "garner, LuaJIT"
must decode_pages_54 cpu "garner, Lua 5.4" "lua-cjson, Lua 5.4"
must decode_pages_jit cpu "garner, LuaJIT" "lua-cjson, LuaJIT"
