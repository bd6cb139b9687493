# A spec, or a program of the core's tests, that failed gets a second look when the
# rest of a run has ended: alone, on a quiet machine. One that passes then was a
# matter of time, or of a rare order of events; it counts as passed and is named at
# the end, so that somebody mends it. Sourced by stages.sh. Must not: excuse a
# crash, a sanitizer's finding or a bad exit, or run again what failed in many files.

again_most=8                     # files or programs; more than that is no accident
declare -A again_count=()        # "RUN PART FILE" -> how many tests failed there
declare -A again_core=()         # "TREE FAILED" -> the title of the core's run
again_passed=()                  # what passed then

# Takes a part's failures to be looked at again; false where they are to be counted
# as they are.
again_take() { # run part log failures status
  local file where=()
  [ "$5" = "$4" ] || return
  mapfile -t where < <(sed -nE 's/^(Failure|Error) -> ([^ ]*) @ [0-9]+$/\2/p' "$3")
  [ ${#where[@]} = "$4" ] || return
  for file in "${where[@]}"; do
    [[ $file = spec/*_spec.lua ]] || return
  done
  for file in "${where[@]}"; do
    again_count["$1 $2 $file"]=$((${again_count["$1 $2 $file"]:-0} + 1))
  done
}

# The part's own command with these files.
again_command() { # part log file
  local command=()
  mapfile -d '' -t command <"$work/$1.command"
  "${command[@]}" "$3" >"$2" 2>&1 </dev/null
}

again_file() { # run part file tests-that-failed
  local log start=$SECONDS
  log=$logs/again-$2-$(basename "$3" .lua).log
  if [ ${#again_count[@]} -le $again_most ] && again_command "$2" "$log" "$3"; then
    again_passed+=("$3 ($1)")
    count "$4" 0 0 $((SECONDS - start)) "$3 once more, alone, $1"
  else
    [ -f "$log" ] || log=$logs/$2.log
    count 0 "$4" 0 $((SECONDS - start)) "$3, $1" "$log"
  fi
}

# The same for the core's programs, of which each that failed must have told which
# of its tests did.
again_take_core() { # title tree all programs tests log
  local told
  [ "$4" -gt 0 ] && [ "$4" -le $again_most ] || return
  told=$(grep -ac '^\[  FAILED  \] [0-9]* test(s), listed below' "$3")
  [ "$told" = "$4" ] || return
  ! grep -aqE 'Sanitizer|runtime error|failed with exception|\*\*\*(Exception|Timeout)' "$3" "$6" ||
    return
  again_core["$2 $5"]=$1
}

again_run_core() {
  local key tree bad log start command=()
  for key in "${!again_core[@]}"; do
    read -r tree bad <<<"$key"
    log=$logs/again-core-$tree.log start=$SECONDS
    mapfile -d '' -t command <"$work/core-$tree.command"
    if "${command[@]}" --rerun-failed >"$log" 2>&1 </dev/null; then
      again_passed+=("$(sed -nE 's/^[[:space:]]*[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .*/\1/p' "$log" |
        paste -sd ' ') (${again_core[$key]})")
      count "$bad" 0 0 $((SECONDS - start)) "${again_core[$key]} once more, alone"
    else
      count 0 "$bad" 0 $((SECONDS - start)) "${again_core[$key]}" "$log"
    fi
  done
}

again_run() {
  local key run part file
  again_run_core
  for key in "${!again_count[@]}"; do
    read -r run part file <<<"$key"
    again_file "$run" "$part" "$file" "${again_count[$key]}"
  done
}

again_summary() {
  local what
  for what in "${again_passed[@]}"; do
    say "failed, then passed alone: $what"
  done
}
