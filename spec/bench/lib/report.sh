# What a run prints: a table for each case, the table "Must show", and both with
# the machine's description in RESULTS.md. Sourced by spec/bench/run.
# Must not: print a path of this machine or its name.

# The rows of "Must show": id, what, at most, unit.
must_rows() {
  cat <<'TEXT'
sequential_54|sequential GET of 1 KiB, CPU to bare libcurl: Lua 5.4, inline|1.10|
sequential_jit|the same: LuaJIT, inline|1.10|
sequential_54_threaded|the same: Lua 5.4, threaded|1.10|
in_flight_32|32 in flight, CPU to bare curl multi: Lua 5.4, inline|1.15|
in_flight_32_threaded|the same: Lua 5.4, threaded|1.15|
chain_cpu_54|page chain, Lua 5.4, threaded: CPU to bare C with cJSON|0.85|
chain_wall_54|the same: wall|0.70|
chain_cpu_jit|page chain, LuaJIT, threaded: CPU to bare C with cJSON|0.70|
chain_wall_jit|the same: wall|0.55|
chain_delay|5 ms upstream and 5 ms of the caller's work a page: wall to the slower alone|1.10|
decode_pages_54|decode, Lua 5.4, CPU to lua-cjson: pages|0.58|
decode_metrics_54|the same: metrics, 20 MB|0.58|
decode_usage_54|the same: usage, 20 MB|0.58|
decode_pages_jit|decode, LuaJIT, CPU to lua-cjson: pages|0.40|
decode_metrics_jit|the same: metrics, 20 MB|0.40|
decode_usage_jit|the same: usage, 20 MB|0.40|
download_cpu|1 GiB download without a checksum: CPU to the curl program|1.00|
download_memory|the same: memory above idle|4.00|MiB
latency_h1_8|1,000 requests at 20 ms, HTTP/1.1, 8 in flight: wall to the ideal|1.10|
latency_h1_32|the same: 32 in flight|1.10|
latency_h1_128|the same: 128 in flight|1.10|
latency_h2_8|1,000 requests at 20 ms, HTTP/2, 8 in flight: wall to the ideal|1.10|
latency_h2_32|the same: 32 in flight|1.10|
latency_h2_128|the same: 128 in flight|1.10|
jobs|10,000 jobs, batches of 100: poll calls to the least possible|1.05|
tls|a new TLS connection, system's CA bundle: CPU to bare libcurl on one multi|1.10|
startup|start-up, require and first client: above bare lua5.4|5.00|ms
rows_memory|1 GiB, 10 million rows as a stream: memory of the process|64.00|MiB
TEXT
}

report_begin() {
  report=$work/report.md
  : >"$report"
  cat /proc/loadavg >"$work/load"
  mkdir -p "$work/must"
}

report_line() { printf '%s\n' "$*" | tee -a "$report"; }

# An empty line, where the last one is not.
report_gap() { [ -z "$(tail -n 1 "$report")" ] || report_line ""; }

report_case() { # name title
  report_gap
  report_line "## $1"
  report_line ""
  report_line "$2"
  report_line ""
}

# A number with as many digits as say something.
figure() {
  awk -v v="$1" 'BEGIN { a = v < 0 ? -v : v
    printf((a >= 100 ? "%.0f" : (a >= 10 ? "%.1f" : "%.2f")), v) }'
}

ratio_text() { # MEDIAN LOW HIGH
  [ $# = 3 ] && printf '%.2f (%.2f-%.2f)' "$@" || printf -- '-'
}

# One row for each entrant: its own figure, its ratio to the reference, and what
# each of OURS is to it.
table() { # metric unit scale reference [ours...]
  local metric=$1 unit=$2 scale=$3 reference=$4 name ours row rule
  shift 4
  report_gap
  row="| $metric | $unit | to $reference |" rule="|---|---:|---:|"
  for ours; do row+=" $ours to it |" rule+="---:|"; done
  report_line "$row"
  report_line "$rule"
  for name in "${entrants[@]}"; do
    if [ -e "$case_dir/$(slug "$name").failed" ]; then
      report_line "| $name | failed: $(cat "$case_dir/$(slug "$name").failed") | |$(printf ' |%.0s' "$@")"
      continue
    fi
    row="| $name | $(table_own "$name" "$metric" "$scale") | $(ratio_text $(ratio_of "$metric" "$name" "$reference")) |"
    for ours; do row+=" $(ratio_text $(ratio_of "$metric" "$ours" "$name")) |"; done
    report_line "$row"
  done
}

table_own() { # entrant metric scale
  local v
  v=($(median_of "$1" "$2"))
  [ ${#v[@]} = 0 ] && printf -- '-' || figure "$(awk -v v="${v[0]}" -v s="$3" 'BEGIN { print v * s }')"
}

must_value() { # row [MEDIAN [LOW HIGH]]
  must_rows | grep -q "^$1|" || { echo "spec/bench: no row $1" >&2; exit 2; }
  [ $# = 1 ] || printf '%s\n' "${*:2}" >"$work/must/$1"
}

report_must() {
  local id what target unit v verdict
  echo "| what | at most | measured: median (lowest-highest) | |"
  echo "|---|---:|---:|---|"
  while IFS='|' read -r id what target unit; do
    if [ -s "$work/must/$id" ]; then
      read -ra v <"$work/must/$id"
      [ $quick = no ] || verdict="a smoke run says nothing"
      [ $quick = yes ] || verdict=$(awk -v v="${v[0]}" -v t="$target" 'BEGIN { print v <= t ? "met" : "**not met**" }')
      echo "| $what | $target${unit:+ $unit} | $(must_text "${v[@]}")${unit:+ $unit} | $verdict |"
    else
      echo "| $what | $target${unit:+ $unit} | not measured | |"
    fi
  done < <(must_rows)
}

must_text() { # MEDIAN [LOW HIGH]
  [ $# = 3 ] && printf '%.3f (%.3f-%.3f)' "$@" || printf '%.3f' "$1"
}

report_end() {
  { report_must; report_failures; } >"$work/must.md"
  report_machine >"$work/machine.md"
  printf '\n## Must show\n\n'
  cat "$work/must.md"
  printf '\n## Machine\n\n'
  cat "$work/machine.md"
}

report_failures() {
  [ -z "$race_failures" ] || printf '\nFailed:%s\n' "$race_failures"
}

# The same, as a file; the cases stand behind the table that sums them up.
report_write() {
  {
    cat <<'TEXT'
# Results of the benchmarks

Written by `spec/bench/run --write`. All figures are ratios of one run, in which the programs take turns, round by round; each ratio is of one round, and the median of the rounds is shown
with the lowest and the highest. CPU is user and system time of the whole process, all threads, between start and end of its loop (downloads and start-up: of the whole process, by wait4).
Server and client have a core each where a case does not say otherwise.

## Must show

TEXT
    cat "$work/must.md"
    printf '\n## Machine\n\n'
    cat "$work/machine.md"
    cat "$report"
  } | cat -s >$bench/RESULTS.md
  say "written: $bench/RESULTS.md"
}

lua_version() {
  local words
  mapfile -t words < <(lua54)
  "${words[@]}" -e 'print(require "garner"._VERSION)'
}

report_machine() {
  echo "- $(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
    "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r) $(uname -m)"
  echo "- $("$bin/version"), $(nginx -v 2>&1 | sed 's/.*: //'), $(cc --version | head -n 1), $(openssl version | cut -d' ' -f1,2)"
  echo "- $(lua5.4 -v | cut -d' ' -f1,2), $(luajit -v | cut -d' ' -f1,2), $(lua_version) ($(git rev-parse --short HEAD 2>/dev/null || echo "no git"))"
  echo "- $(date -u +%F), rounds: $rounds, took $((SECONDS / 60)) min, load when it began: $(cut -d' ' -f1-3 "$work/load"), command: \`$asked\`"
  printf '\nOther clients and decoders:\n\n'
  local name
  for name in "${peer_names[@]}"; do
    if [ -n "${peer_version[$name]:-}" ]; then
      echo "- $name: ${peer_version[$name]}"
    else
      echo "- $name: not here (${peer_reason[$name]})"
    fi
  done
}
