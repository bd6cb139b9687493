# The stage of spec/run that tests examples/dashboard: what its nginx answers, and its
# page in a headless Chromium, on the run's simulator. Sourced by spec/run.
# Must not: run in quick runs; nobody else needs a browser and npm.

stage_dashboard() {
  local log=$logs/dashboard-packages.log
  if ! packages_ensure dashboard-spec "$mode" >"$log" 2>&1; then
    count 0 1 0 0 "packages of the dashboard's tests" "$log"
    return
  fi
  run_begin dashboard 1 count_dashboard
  part_start dashboard dashboard "$logs/dashboard.log" dashboard_tests
}

dashboard_tests() {
  local file child=
  trap '[ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null; exit 143' TERM
  "$root/examples/dashboard/modules" --dev || return
  for file in "$root"/examples/dashboard/test/*.test.mjs; do
    timeout 300 node --test-reporter=tap "$file" &
    child=$!
    wait "$child" || echo "# ended with status $?"
  done
}

# Each file ends with "# pass N" and "# fail N".
count_dashboard() {
  local log=$logs/dashboard.log ok bad files ended
  ok=$(sum_tap pass "$log")
  bad=$(sum_tap fail "$log")
  files=$(ls "$root"/examples/dashboard/test/*.test.mjs | wc -l)
  ended=$(grep -c '^# pass ' "$log")
  [ "$ended" = "$files" ] || bad=$((bad + files - ended))
  [ "$bad" != 0 ] || ! grep -q '^# ended with status' "$log" || bad=1
  count "$ok" "$bad" 0 "$(run_seconds dashboard)" "dashboard, in Chromium" "$log"
}

sum_tap() {
  sed -n "s/^# $1 \([0-9]*\)$/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'
}
