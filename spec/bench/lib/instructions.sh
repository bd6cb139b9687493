# Instruction counts by callgrind: each program runs with few and with many
# turns (the argument @), the difference is what a turn takes, free of start,
# warm-up and end. The runs of one program need neither rounds nor a quiet
# machine. Sourced by cases/instructions.sh.

counted_names=() counted_values=()
command -v valgrind >/dev/null || report_line "- not here: instruction counts (Debian: valgrind)"

counted() { # name command...
  local name=$1 turns total=() log=$case_dir/callgrind status
  shift
  command -v valgrind >/dev/null || return 0
  say "  $name"
  for turns in $few $many; do
    timeout 300 valgrind --tool=callgrind --trace-children=yes --callgrind-out-file="$log.out" "${@//@/$turns}" \
      >"$log.stdout" 2>"$log.err" &
    child=$!
    wait $child
    status=$?
    child=
    total+=("$(sed -n 's/.*Collected : //p' "$log.err" | tail -n 1)")
    if [ $status != 0 ] || [ -z "${total[-1]}" ]; then
      grep -av '^==' "$log.err" >"$log.why"
      mv "$log.why" "$log.err"
      race_failed "$name" "$log" $status
      report_line "- failed: $name: $(cat "$log.failed")"
      return 0
    fi
  done
  counted_names+=("$name")
  counted_values+=($(((total[1] - total[0]) / (many - few))))
}

# Takes the words that race.sh has made of one entrant; none where it is not here.
counted_words() {
  eval "words=(${commands[0]:-})"
  entrants=() commands=() pinned=() steps=()
}

counted_garner() { local words; garner "$@"; counted_words; counted "$1" "${words[@]}"; }
counted_bare() { local words; bare "$@"; counted_words; [ ${#words[@]} = 0 ] || counted "$1" "${words[@]}"; }
counted_peer() { local words; peer "$@"; counted_words; [ ${#words[@]} = 0 ] || counted "$1" "${words[@]}"; }

counted_end() { # title reference
  local i base=
  for ((i = 0; i < ${#counted_names[@]}; i++)); do
    [ "${counted_names[i]}" != "$2" ] || base=${counted_values[i]}
  done
  if [ ${#counted_names[@]} -gt 0 ]; then
    report_gap
    report_line "| $1 | instructions | to $2 |"
    report_line "|---|---:|---:|"
    for ((i = 0; i < ${#counted_names[@]}; i++)); do
      report_line "| ${counted_names[i]} | ${counted_values[i]} | $(counted_ratio "${counted_values[i]}" "$base") |"
    done
  fi
  counted_names=() counted_values=()
}

counted_ratio() { awk -v v="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f", v / b; else printf "-" }'; }
