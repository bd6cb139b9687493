# The stages of spec/run: each builds what it needs (incrementally, below
# build/), runs, adds to the counts and keeps its log in build/logs.
# Must not: install anything, or write outside build/ and a temporary folder.

. "${BASH_SOURCE[0]%/*}/parallel.sh"
. "${BASH_SOURCE[0]%/*}/again.sh"

passed=0 failed=0 skipped=0
failures=() # title and log of what failed

say() { printf '== %s\n' "$*"; }

# Counts what passed and failed, and shows the logs if anything failed.
count() { # passed failed skipped seconds title [log...]
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  local extra= bad=$2 title=$5 log
  [ "$3" = 0 ] || extra=", $3 skipped"
  say "$5: $1 ok, $2 not ok$extra ($4 s)"
  shift 5
  [ "$bad" != 0 ] || return 0
  [ $# -gt 0 ] || failures+=("$title" "")
  for log; do
    failures+=("$title" "$log")
    tail -n 200 "$log" | sed 's/^/   /'
    echo "   (all of it: ${log#"$root"/})"
  done
}

# One yes-or-no check: its name, then a command.
check() {
  local title=$1 log="$logs/${1//[^A-Za-z0-9.]/-}.log" start=$SECONDS
  shift
  if "$@" >"$log" 2>&1; then
    count 1 0 0 $((SECONDS - start)) "$title"
  else
    count 0 1 0 $((SECONDS - start)) "$title" "$log"
    return 1
  fi
}

# What the caller's shell exports must not decide what the specs see: no proxy,
# no credential of a real service, no Lua path of somebody else's.
clean_environment() {
  local name
  for name in $(compgen -e); do
    case $name in
      PATH | LC_ALL | TERM | CI | CC | CFLAGS | TMPDIR | USER | LOGNAME) ;;
      *) unset "$name" 2>/dev/null ;;
    esac
  done
}

stages_begin() {
  started=$SECONDS
  clean_environment
  logs=$root/build/logs
  mkdir -p "$logs" || exit 2
  work=$(mktemp -d) || exit 2
  mkdir "$work/home" "$work/tmp"
  # A process with this in its environment, or with a file of this folder open,
  # belongs to this run.
  export GARNER_SPEC_RUN="$$-${work##*/}" HOME=$work/home TMPDIR=$work/tmp
  sim_pid=
}

stages_end() {
  trap - EXIT
  parts_stop
  [ -z "$sim_pid" ] || kill "$sim_pid" 2>/dev/null
  rm -rf "$work"
}

# Configures a build tree once, then builds what changed.
build_tree() { # name cmake-options...
  local tree=$root/build/$1
  shift
  # A tree that was configured for another checkout is of no use.
  if [ -f "$tree/CMakeCache.txt" ] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$tree/CMakeCache.txt"; then
    rm -rf "$tree"
  fi
  cmake -S "$root" -B "$tree" -DGARNER_WERROR=ON "$@" && cmake --build "$tree" -j "$processors"
}

build() { # title tree cmake-options...
  local title=$1 tree=$2 log=$logs/build-$2.log start=$SECONDS
  shift
  if build_tree "$@" >"$log" 2>&1; then
    say "build $title ($((SECONDS - start)) s)"
  else
    count 0 1 0 $((SECONDS - start)) "build $title" "$log"
    return 1
  fi
}

# Such a check in the background.
check_start() { # name command...
  local part="check-${1//[^A-Za-z0-9.]/-}"
  run_begin "$1" 1 count_check
  part_start "$1" "$part" "$logs/${part#check-}.log" "${@:2}"
}

count_check() {
  local name=${1//[^A-Za-z0-9.]/-} ok=1
  [ "$(part_status "check-$name")" = 0 ] || ok=0
  count $ok $((1 - ok)) 0 "$(run_seconds "$1")" "$1" "$logs/$name.log"
}

stage_luacheck() {
  check_start luacheck luacheck -q --no-color --codes lua spec examples rockspec .luacheckrc .busted
}

# The core's own programs, in the background; all they use is a processor now and
# then, so many run at a time.
start_core_tests() { # title tree environment...
  local title=$1 tree=$2
  shift 2
  rm -f "$root/build/$tree/Testing/Temporary/LastTest.log"
  core_tree[$title]=$tree
  run_begin "$title" 1 count_core_tests
  local command=(env "$@" ctest --test-dir "$root/build/$tree" --output-on-failure
    --no-tests=error)
  printf '%s\0' "${command[@]}" >"$work/core-$tree.command"
  part_start "$title" "core-$tree" "$logs/core-$tree.log" "${command[@]}" -j $((processors * 4))
}

declare -A core_tree=() # of the runs of the core's tests

# cmocka prints per program "[  PASSED  ] N test(s)."
count_core_tests() {
  local tree=${core_tree[$1]} ok bad ignored programs
  local log=$logs/core-$tree.log all=$root/build/$tree/Testing/Temporary/LastTest.log
  ok=$(sum_cmocka PASSED "$all")
  bad=$(sum_cmocka FAILED "$all")
  ignored=$(sum_cmocka SKIPPED "$all")
  # A program that crashed printed no count; ctest knows of it.
  programs=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of.*/\1/p' "$log" | tail -n 1)
  programs=${programs:-1}
  [ "$bad" -ge "$programs" ] || bad=$programs
  if again_take_core "$1" "$tree" "$all" "$programs" "$bad" "$log"; then
    count "$ok" 0 "$ignored" "$(run_seconds "$1")" "$1"
    say "$1: $bad not ok, to be run again when the rest has ended"
  else
    count "$ok" "$bad" "$ignored" "$(run_seconds "$1")" "$1" "$log"
  fi
}

sum_cmocka() {
  sed -n "s/.*\[ *$1 *\] \([0-9]*\) test(s).*/\1/p" "$2" 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'
}

stage_core() {
  build "core alone, with its tests" core -DGARNER_MODULE=OFF -DGARNER_TESTS=ON \
    -DGARNER_FAULTS=ON || return
  start_core_tests "core tests" core
}

lua_tree() { case $1 in jit) echo luajit ;; *) echo "lua$1" ;; esac; }

spec_parts=4
# These test the servers that the specs use, not garner: once per Lua is enough.
spec_servers="spec/faults_server_spec.lua spec/simulator_spec.lua spec/simulator_vendors_spec.lua"

# busted over all of spec/ against the module of one build tree, in the
# background, the files dealt out to a few processes.
start_busted() { # name tree interpreter environment...
  start_busted_on "$(echo spec/*_spec.lua)" "$@"
}

# A run over the same Lua with another engine or build.
start_busted_again() { # name tree interpreter environment...
  local file files=
  for file in spec/*_spec.lua; do
    case " $spec_servers " in *" $file "*) ;; *) files+=" $file" ;; esac
  done
  start_busted_on "$files" "$@" GARNER_EXITS=60
}

start_busted_on() { # files name tree interpreter environment...
  local all=($1) name=$2 tree=$3 lua=$4 part i files command
  shift 4
  run_begin "$name" $spec_parts count_busted
  for ((part = 0; part < spec_parts; part++)); do
    files=()
    for ((i = part; i < ${#all[@]}; i += spec_parts)); do
      files+=("${all[i]}")
    done
    command=(env LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;$root/?.lua;;"
      LUA_CPATH="$root/build/$tree/?.so;;" GARNER_LUA="$lua" "$@"
      "$lua" /usr/bin/busted --output=plainTerminal ${filter:+"--filter=$filter"})
    printf '%s\0' "${command[@]}" >"$work/specs-$name.$part.command"
    part_start "$name" "specs-$name.$part" "$logs/specs-$name.$part.log" \
      "${command[@]}" "${files[@]}"
  done
}

count_busted() {
  local name=$1 part log line status failing ok=0 bad=0 again=0 pending=0 logs_bad=()
  for ((part = 0; part < spec_parts; part++)); do
    log=$logs/specs-$name.$part.log
    status=$(part_status "specs-$name.$part")
    line=$(grep -aE '^[0-9]+ success(es)? / [0-9]+ failures? / [0-9]+ errors? / [0-9]+ pending' "$log" | tail -n 1)
    if [ -n "$line" ]; then
      set -- ${line//[!0-9. ]/ }
      ok=$((ok + $1)) pending=$((pending + $4)) failing=$(($2 + $3))
    fi
    # No closing line: it crashed. Another exit than by the failures: it crashed late.
    if [ -z "$line" ]; then
      bad=$((bad + 1))
    elif [ $failing = 0 ]; then
      [ "$status" = 0 ] || bad=$((bad + 1))
    elif again_take "$name" "specs-$name.$part" "$log" $failing "$status"; then
      again=$((again + failing))
      continue
    else
      bad=$((bad + failing))
    fi
    if [ "$status" != 0 ]; then
      echo "ended with status $status" >>"$log"
      logs_bad+=("$log")
    fi
  done
  count "$ok" "$bad" "$pending" "$(run_seconds "$name")" "specs, $name" "${logs_bad[@]}"
  [ $again = 0 ] || say "specs, $name: $again not ok, to be run again when the rest has ended"
}

# Every Lua asked for, once more with the threaded engine where the Lua is the
# newest or LuaJIT, and the sanitizers. The trees share one build of the core.
stage_specs() { # sanitize 5.1 | 5.2 | 5.3 | 5.4 | jit...
  local sanitize=$1 lua tree first=
  shift
  [ "$sanitize" = no ] || stage_sanitized
  for lua in "$@"; do
    tree=$(lua_tree "$lua")
    build "for $tree" "$tree" -DGARNER_LUA="$lua" -DGARNER_EMBED=ON \
      -DGARNER_CORE_TREE="${first:+$root/build/$first}" || continue
    first=${first:-$tree}
    start_busted "$tree" "$tree" "$tree"
    case $lua in
      5.4 | jit) start_busted_again "$tree-threaded" "$tree" "$tree" GARNER_ENGINE=threaded ;;
    esac
  done
}

# The interpreter is not built with sanitizers, so the runtime is loaded first.
stage_sanitized() {
  local options="suppressions=$root/spec/support/lsan.supp:print_suppressions=0"
  build "with ASan and UBSan" asan -DGARNER_LUA=5.4 -DGARNER_TESTS=ON -DGARNER_FAULTS=ON \
    -DGARNER_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=Debug || return
  start_busted_again asan asan lua5.4 \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so)" GARNER_SANITIZED=1 \
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 LSAN_OPTIONS="$options"
  [ -n "$filter" ] || start_core_tests "core tests, ASan + UBSan" asan \
    UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS="$options"
}

# The core's programs again, and Lua states in threads, watched for races.
stage_races() {
  build "with ThreadSanitizer" tsan -DGARNER_MODULE=ON -DGARNER_LUA=5.4 -DGARNER_TESTS=ON \
    -DGARNER_FAULTS=ON -DGARNER_SANITIZE=thread || return
  start_core_tests "core tests, TSan" tsan TSAN_OPTIONS=halt_on_error=1
  check_start "Lua states in threads, TSan" races_of_states
}

races_of_states() {
  local host=$work/host script
  gcc -fsanitize=thread -g -O1 -I/usr/include/lua5.4 -o "$host" spec/support/host.c \
    -llua5.4 -lpthread || return
  mkdir "$work/states" || return
  for script in "host_states.lua 6 12" "host_close.lua 1 40" "host_again.lua 1 20"; do
    env LUA_PATH="$root/lua/?.lua;$root/lua/?/init.lua;$root/?.lua;;" \
      LUA_CPATH="$root/build/tsan/?.so;;" TSAN_OPTIONS=halt_on_error=1 \
      timeout 300 "$host" spec/support/$script "$GARNER_SIM_URL" "$work/states" || return
  done
}

# As for a system without eventfd, epoll and the like: all tests once more.
stage_portable() {
  build "without Linux's own calls" portable -DGARNER_LUA=5.4 -DGARNER_TESTS=ON \
    -DGARNER_FAULTS=ON -DGARNER_PORTABLE=ON || return
  check "core.so without Linux's own calls" calls_of_all_systems
  start_busted portable portable lua5.4 GARNER_EXITS=60
  start_core_tests "core tests, portable" portable
}

calls_of_all_systems() {
  nm -D --undefined-only build/portable/garner/core.so >"$work/calls" &&
    ! grep -E ' (eventfd|epoll_|accept4|pipe2|getrandom|inotify|timerfd|signalfd)' "$work/calls"
}

# That the benchmarks run, with what there is and few requests; no time is looked
# at. They use the trees of the specs, for Lua 5.4 and LuaJIT.
stage_bench() {
  check_start "benchmarks, a smoke run" spec/bench/run --quick --no-install --no-build
}

simulator_start() {
  local start=$SECONDS log=$logs/simulator.log
  # The port file is read here, not through a pipe that the server would hold.
  if spec/simulator/start --parent $$ >"$work/simulator.env" 2>"$log" </dev/null; then
    . "$work/simulator.env"
    sim_pid=${GARNER_SIM_PID:-}
  fi
  if [ -n "$sim_pid" ]; then
    say "simulator at $GARNER_SIM_URL ($((SECONDS - start)) s)"
  else
    count 0 1 0 $((SECONDS - start)) "start of the simulator" "$log"
  fi
}

# A process that ended but that its parent has not asked about yet is not running.
running() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" && [[ ${stat##*) } != [ZX]* ]]
}

simulator_stop() {
  local tries=0
  [ -n "$sim_pid" ] || return
  kill "$sim_pid" 2>/dev/null
  while running "$sim_pid" && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  sim_pid=
}

# Processes of this run that are still there. bash itself got the mark after it
# was started, so its own environment does not show it; nginx overwrites its
# environment, so its open files are looked at too.
leftovers() {
  local proc pid
  for proc in /proc/[0-9]*; do
    pid=${proc#/proc/}
    [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] && continue
    if grep -qzxF "GARNER_SPEC_RUN=$GARNER_SPEC_RUN" "$proc/environ" 2>/dev/null ||
      readlink "$proc"/cwd "$proc"/fd/* 2>/dev/null | grep -qF "$work/"; then
      [ -d "$proc" ] && echo "$pid $(tr '\0' ' ' <"$proc/cmdline" 2>/dev/null)"
    fi
  done
}

stage_leftovers() {
  local list=$work/leftovers tries=0
  # A server that was told to stop is given a moment.
  while leftovers >"$list"; [ -s "$list" ] && [ $tries -lt 30 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  # A pass is not counted: it alone would make a run that tested nothing green.
  [ ! -s "$list" ] || check "nothing left running" no_leftovers "$list"
}

no_leftovers() {
  local pid rest
  echo "These were left running, and are ended now:"
  while read -r pid rest; do
    echo "  $pid $rest"
    kill "$pid" 2>/dev/null
  done <"$1"
  return 1
}

stage_package() {
  . "$root/spec/support/package.sh"
  package_exports
  package_install
  package_embed
  package_rock 5.4
  package_rock 5.1
}

stage_coverage() {
  . "$root/spec/support/coverage.sh"
  coverage_start
}

# What counts lines can only be added up when all of it has ended.
stages_finish() {
  parts_wait all
  again_run
  [ "$coverage" = no ] || [ -n "$filter" ] || coverage_report
}

# What failed, once more: the end of a long run is what is read.
failures_list() {
  local i title log
  for ((i = 0; i < ${#failures[@]}; i += 2)); do
    title=${failures[i]} log=${failures[i + 1]}
    say "not ok: $title"
    [ -f "$log" ] || continue
    if grep -qaE '^(Failure|Error) -> ' "$log"; then
      grep -aE -A5 '^(Failure|Error) -> ' "$log" | cut -c1-200 | head -n 40 | sed 's/^/   /'
    else
      grep -aE -A2 '^\[  ERROR   \]' "$log" | cut -c1-200 | head -n 20 | sed 's/^/   /'
      tail -n 12 "$log" | cut -c1-200 | sed 's/^/   /'
    fi
  done
}

stages_summary() {
  local line="$passed passed, $failed failed"
  [ $skipped = 0 ] || line="$line, $skipped skipped"
  say "took $((SECONDS - started)) s"
  failures_list
  again_summary
  if [ $((passed + failed)) = 0 ]; then
    say "nothing ran"
  fi
  echo "$line"
  [ $failed = 0 ] && [ $passed -gt 0 ]
}
