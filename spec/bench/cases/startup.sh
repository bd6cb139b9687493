# The start of a script: the module and its first client, as a process of its own each time. Wall time and CPU of the whole process, by wait4.

n=$(count 40 2)
mapfile -t words < <(lua54)
mapfile -t words_jit < <(luajit_)
entrant "bare lua5.4" "$bin/spawn" $n lua5.4 -e ''
entrant "garner, Lua 5.4" "${words[@]:0:3}" "$bin/spawn" $n lua5.4 $bench/garner/startup.lua
entrant "bare luajit" "$bin/spawn" $n luajit -e ''
entrant "garner, LuaJIT" "${words_jit[@]:0:3}" "$bin/spawn" $n luajit $bench/garner/startup.lua
entrant "the curl program" "$bin/spawn" $n curl --version
[ -z "${peer_command[lua-http/jit]:-}" ] ||
  entrant "lua-http, LuaJIT" "$bin/spawn" $n luajit -e 'require "http.request"'
[ -z "${peer_command[lua-curl/jit]:-}" ] ||
  entrant "lua-curl, LuaJIT" "$bin/spawn" $n luajit -e 'require("curl").easy_init()'
[ -z "${peer_command[pycurl]:-}" ] ||
  entrant "python pycurl" "$bin/spawn" $((n / 4 + 1)) python3 -c 'import pycurl; pycurl.Curl()'
[ -z "${peer_command[requests]:-}" ] ||
  entrant "python requests" "$bin/spawn" $((n / 4 + 1)) python3 -c 'import requests; requests.Session()'
[ -z "${peer_command[node]:-}" ] || entrant "node" "$bin/spawn" $((n / 4 + 1)) node -e 'fetch'
race

table wall "ms" 1e3 "bare lua5.4" "garner, Lua 5.4"
table cpu "ms" 1e3 "bare lua5.4" "garner, Lua 5.4"
must_value startup $(difference_of wall "garner, Lua 5.4" "bare lua5.4" 1e3)
