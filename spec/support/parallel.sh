# What spec/run does side by side: the parts of its runs, in the background, as
# many at a time as there is room for. Most of what tests do is wait, so there is
# room for more parts than there are processors. Sourced by stages.sh; uses its
# $work. Must not: know what a part does, or count anything itself.

part_pid=() part_name=() part_run=() # of the parts that go on
declare -A run_left=() run_counter=() run_started=()
processors=$(nproc 2>/dev/null || echo 2)
room=$((processors * 4)) # parts at a time
narrow=2                     # the same while others keep the machine busy

# A run has so many parts; the function counts it, given its name, when the last
# of them has ended.
run_begin() { # run parts function
  run_left[$1]=$2 run_counter[$1]=$3 run_started[$1]=$SECONDS
}

run_seconds() { echo $((SECONDS - run_started[$1])); }

# Starts a part of a run as soon as there is room. What it prints goes to the
# log, its exit code to $work/PART.status.
part_start() { # run part log command...
  local run=$1 part=$2 log=$3
  shift 3
  parts_wait
  (
    "$@" >"$log" 2>&1 </dev/null &
    child=$!
    trap 'kill "$child" 2>/dev/null; wait "$child"; exit 143' TERM
    wait "$child"
    echo $? >"$work/$part.ended"
    mv "$work/$part.ended" "$work/$part.status"
  ) &
  part_pid[${#part_pid[@]}]=$!
  part_name[${#part_name[@]}]=$part
  part_run[${#part_run[@]}]=$run
}

part_status() {
  cat "$work/$1.status" 2>/dev/null || echo "unknown"
}

# Takes the parts that have ended off the list and has their runs counted.
parts_collect() {
  local i run pids=() names=() runs=() ended=()
  for i in "${!part_pid[@]}"; do
    # Asked in this order: one that is gone has written its status before.
    if kill -0 "${part_pid[i]}" 2>/dev/null && [ ! -e "$work/${part_name[i]}.status" ]; then
      pids+=("${part_pid[i]}") names+=("${part_name[i]}") runs+=("${part_run[i]}")
    else
      wait "${part_pid[i]}" 2>/dev/null
      ended+=("${part_run[i]}")
    fi
  done
  part_pid=("${pids[@]}") part_name=("${names[@]}") part_run=("${runs[@]}")
  for run in "${ended[@]}"; do
    run_left[$run]=$((run_left[$run] - 1))
    [ "${run_left[$run]}" != 0 ] || "${run_counter[$run]}" "$run"
  done
}

# More than this wants the processors already, whoever that is.
parts_crowded() {
  local load
  read -r load _ 2>/dev/null </proc/loadavg && [ "${load%.*}" -ge $((processors * 4)) ]
}

# Until there is room for one more, or with `all` until every part has ended.
parts_wait() {
  local most
  while parts_collect; [ ${#part_pid[@]} -gt 0 ]; do
    most=$room
    if [ "${1:-}" = all ]; then
      most=1
    elif parts_crowded; then
      most=$narrow
    fi
    [ ${#part_pid[@]} -ge "$most" ] || break
    sleep 0.2
  done
}

parts_stop() {
  [ ${#part_pid[@]} = 0 ] || kill "${part_pid[@]}" 2>/dev/null
}
