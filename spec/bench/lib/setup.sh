# What a run of the benchmarks needs before its first case: packages, builds,
# the server, the cores, the peers that are there. Sourced by spec/bench/run.
# Must not: leave anything running or lying about, write outside build/.

say() { printf '== %s\n' "$*" >&2; }

setup_begin() {
  packages_ensure bench "$install" >&2 || [ "$install" = no-install ] || exit 2
  setup_tools
  work=$(mktemp -d) || exit 2
  server_pid= child=
  trap setup_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  setup_environment
  setup_cores
  setup_build
  setup_server
  peers_find
  report_begin
}

setup_end() {
  trap - EXIT INT TERM HUP
  [ -z "$child" ] || kill "$child" 2>/dev/null
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null
  [ -z "$child$server_pid" ] || wait 2>/dev/null
  rm -rf "$work"
}

setup_tools() {
  local tool missing=
  for tool in cmake cc lua5.4 luajit nginx openssl curl timeout; do
    command -v $tool >/dev/null || missing+=" $tool"
  done
  [ -z "$missing" ] && return
  echo "spec/bench/run: missing:$missing" >&2
  exit 2
}

# Nothing of the caller's shell decides what is measured.
setup_environment() {
  unset LUA_INIT LUA_INIT_5_4 LD_PRELOAD GARNER_ENGINE GARNER_LOG
  unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY no_proxy
  unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR PYTHONPATH NODE_OPTIONS
  unset SSLKEYLOGFILE MALLOC_ARENA_MAX
  unset NODE_EXTRA_CA_CERTS
  export PYTHONDONTWRITEBYTECODE=1
}

# The server has the first core, what is measured has the last one.
setup_cores() {
  client=()
  if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then
    client=(taskset -c $(($(nproc) - 1)))
  fi
}

setup_tree() { # folder lua [another tree to take the core from]
  cmake -S . -B "$1" -DGARNER_LUA="$2" -DCMAKE_BUILD_TYPE=Release \
    ${3:+-DGARNER_CORE_TREE="$PWD/$3"} && cmake --build "$1" -j2
}

setup_build() {
  local program log=$work/build.log
  if [ $build = yes ]; then
    say "building garner, Release"
    { setup_tree $tree54 5.4 && setup_tree $treejit jit $tree54; } >"$log" 2>&1 ||
      { tail -n 40 "$log" >&2; echo "spec/bench/run: the build failed" >&2; exit 2; }
  fi
  for program in $tree54 $treejit; do
    [ -f $program/garner/core.so ] || { echo "spec/bench/run: $program has no garner" >&2; exit 2; }
  done
  bin=$work/bin bare_missing=
  mkdir "$bin"
  for program in $bench/bare/*.c; do
    setup_bare "$program" || { echo "spec/bench/run: $program does not compile" >&2; exit 2; }
  done
}

# The ones with cJSON only where that is installed.
setup_bare() {
  local name=${1##*/} libs=-lcurl
  if grep -q '<cjson/cJSON.h>' "$1"; then
    libs="-lcurl -lcjson"
    echo '#include <cjson/cJSON.h>' | cc -E - >/dev/null 2>&1 || { bare_missing+=" ${name%.c}"; return 0; }
  fi
  cc -std=c11 -O2 -Wall -Wextra -o "$bin/${name%.c}" "$1" $libs
}

setup_server() {
  local pages=1000 megabytes=20
  [ $quick = no ] || pages=20 megabytes=1
  say "starting the server"
  $bench/server --parent $$ --pages $pages --megabytes $megabytes >"$work/server.env" || exit 2
  . "$work/server.env"
  server_pid=$BENCH_PID
}

# The words that start a Lua with garner in it, a line each.
lua54() {
  printf '%s\n' env LUA_PATH="./lua/?.lua;./lua/?/init.lua;./?.lua;;" LUA_CPATH="./$tree54/?.so;;" lua5.4
}
luajit_() {
  printf '%s\n' env LUA_PATH="./lua/?.lua;./lua/?/init.lua;./?.lua;;" LUA_CPATH="./$treejit/?.so;;" luajit
}
