# Measures which lines the specs execute: src/ by gcov, lua/ by a line hook.
# Sourced by stages.sh; uses its build, start_busted_again and start_core_tests.
# Must not: fail a run for a low number; it prints what there is.

coverage_start() {
  local counts=$root/build/coverage/lines
  build "with line counters" coverage -DGARNER_LUA=5.4 -DGARNER_TESTS=ON -DGARNER_FAULTS=ON \
    -DGARNER_COVERAGE=ON -DCMAKE_BUILD_TYPE=Debug || return
  find build/coverage -name '*.gcda' -delete
  rm -rf "$counts"
  mkdir -p "$counts"
  start_core_tests "core tests, counting lines" coverage
  start_busted_again coverage coverage lua5.4 GARNER_COVERAGE="$counts" \
    GARNER_COVERAGE_HOOK="$root/build/coverage/garner_coverage.so" \
    LUA_INIT="@$root/spec/support/coverage.lua"
}

coverage_report() {
  local counts=$root/build/coverage/lines
  say "coverage: lines executed by the core's tests and the specs (Lua 5.4)"
  check "coverage of src" coverage_of_c
  cat "$logs/coverage-of-src.log"
  check "coverage of lua" lua5.4 spec/support/coverage.lua report "$counts"
  cat "$logs/coverage-of-lua.log"
}

coverage_of_c() {
  local object
  find build/coverage -path '*garner_*' -name '*.gcda' | sort | while read -r object; do
    gcov -n -r -s "$root" "$object"
  done | awk '
    /^File / { file = $2; gsub("\047", "", file) }
    /^Lines executed:/ && file ~ /^src\/.*\.c$/ {
      split($2, part, ":"); sub("%", "", part[2])
      n = $4; hit = int(n * part[2] / 100 + 0.5)
      printf "  %-36s %5d of %5d lines  %5.1f%%\n", file, hit, n, part[2]
      folder = file; sub("/[^/]*$", "/", folder)
      lines[folder] += n; hits[folder] += hit
      file = ""
    }
    END {
      for (folder in lines)
        printf "  %-36s %5d of %5d lines  %5.1f%%\n", folder, hits[folder], lines[folder],
          100 * hits[folder] / lines[folder]
      if (!("src/core/" in lines)) exit 1
    }'
}
