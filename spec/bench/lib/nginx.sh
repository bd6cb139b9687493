# What the benchmarks in nginx share: a Release build for LuaJIT, nginxes in a
# temporary folder, cores of their own. Sourced from the checkout's root.

build=build/bench-jit
modules=${GARNER_NGINX_MODULES:-/usr/lib/nginx/modules}

bench_begin() {
  cmake -S . -B $build -DGARNER_LUA=jit -DCMAKE_BUILD_TYPE=Release >/dev/null
  cmake --build $build -j2 >/dev/null
  cc -std=c11 -O2 -Wall -Wextra -o "$build/probe" spec/bench/bare/probe.c
  work=$(mktemp -d)
  pids=()
  trap bench_end EXIT
  trap 'exit 1' INT TERM
}

bench_end() {
  [ -z "${GARNER_BENCH_KEEP:-}" ] || cp -r "$work" "$GARNER_BENCH_KEEP"
  trap - EXIT INT TERM
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}

# Where there are two cores, what is measured has the last one for itself.
on_core() { # "measured" or "other", command...
  local core=0
  [ "$1" = measured ] && core=$(($(nproc) - 1))
  shift
  if [ "${GARNER_BENCH_PIN:-1}" = 1 ] && [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then
    exec taskset -c "$core" "$@"
  fi
  exec "$@"
}

# The http block comes on stdin; it has @MODULES@, @ROOT@ and @DIR@.
start_nginx() { # name core port
  local dir=$work/$1
  mkdir -p "$dir/run"
  {
    cat <<CONF
load_module $modules/ndk_http_module.so;
load_module $modules/ngx_http_lua_module.so;
$([ "$(id -u)" = 0 ] && echo 'user root root;')
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid $dir/pid;
error_log $dir/error.log warn;
env XDG_RUNTIME_DIR=$dir/run;
env TMPDIR=$dir/run;
events { worker_connections 4096; }
http {
  access_log off;
  default_type text/plain;
  sendfile on;
  tcp_nopush off;
  tcp_nodelay on;
  keepalive_requests 100000000;
  keepalive_timeout 75s;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  lua_package_path "$PWD/lua/?.lua;$PWD/lua/?/init.lua;;";
  lua_package_cpath "$PWD/$build/?.so;;";
$(cat)
}
CONF
  } >"$dir/nginx.conf"
  on_core "$2" nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" </dev/null &
  pids+=($!)
  for _ in $(seq 100); do
    (: <"/dev/tcp/127.0.0.1/$3") 2>/dev/null && return
    sleep 0.05
  done
  cat "$dir/error.log" >&2
  return 1
}

median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
