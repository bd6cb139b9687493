# One case: its entrants run in turn, round by round, each a program that prints
# `n=COUNT cpu=SECONDS wall=SECONDS` and whatever else it measured; then ratios,
# each of one round, and their medians. A program that fails makes its entrant
# "failed", which is shown and ends the run with 1: nothing is dropped silently.
# Sourced by spec/bench/run.
#
# What a case says (cases/NAME.sh; its first line is its title):
#   count MANY FEW          MANY, or FEW in a quick run
#   garner ENTRANT LUA ENGINE PROGRAM [ARG...]   LUA: 54 jit; ENGINE: inline threaded
#   bare ENTRANT PROGRAM [ARG...]                a program of bare/
#   entrant ENTRANT COMMAND [ARG...]             any other
#   peer ENTRANT PEER PROGRAM [ARG...]           a program of peers/, if PEER is there
#   every N                 the next entrant runs in every Nth round only
#   cores any               the next entrants are not pinned (cores client: they are)
#   race                    runs them
#   constant ENTRANT METRIC VALUE                what is not measured, as of every round
#   larger ENTRANT METRIC A B                    the larger of two, round by round
#   opened LEAST MOST [PATTERN]                  how many connections the server must have seen
#                                                from each entrant (whose name matches)
#   table METRIC UNIT SCALE REFERENCE [OURS...]  prints a table of ratios
#   must ROW METRIC ENTRANT REFERENCE            fills a row of "Must show"
#   must_value ROW VALUE [LOW HIGH]              the same, from a number

race_failures=

count() { [ $quick = no ] && echo "$1" || echo "$2"; }

race_case() {
  local title case_begin=$SECONDS
  case_name=$1
  title=$(sed -n '1s/^# //p' "$bench/cases/$1.sh")
  case_dir=$work/cases/$1
  mkdir -p "$case_dir"
  entrants=() commands=() pinned=() steps=() next_step=1 next_cores=client
  say "$1"
  report_case "$1" "$title"
  . "$bench/cases/$1.sh"
  say "$1: $((SECONDS - case_begin)) s"
}

# Entrants ----------------------------------------------------------------

every() { next_step=$1; }
cores() { next_cores=$1; }

entrant() { # name command...
  entrants+=("$1") steps+=("$next_step") pinned+=("$next_cores")
  shift
  commands+=("$(printf '%q ' "$@")")
  next_step=1
}

bare() { # name program argument...
  local name=$1 program=$2
  shift 2
  case " $bare_missing " in
    *" $program "*) absent "$name" "libcjson-dev is not installed" ;;
    *) entrant "$name" "$bin/$program" "$@" ;;
  esac
}

garner() { # name 54|jit inline|threaded program argument...
  local name=$1 lua=$2 engine=$3 program=$4 words
  shift 4
  case $lua in 54) mapfile -t words < <(lua54) ;; *) mapfile -t words < <(luajit_) ;; esac
  entrant "$name" env GARNER_ENGINE="$engine" "${words[@]}" "$bench/garner/$program" "$@"
}

peer() { # name peer program argument...
  local name=$1 peer=$2 program=$3 words
  shift 3
  if [ -z "${peer_command[$peer]:-}" ]; then
    absent "$name" "${peer_reason[$peer]:-not known here}"
    return
  fi
  words=(${peer_command[$peer]})
  entrant "$name" "${words[@]}" "$bench/peers/$program" "$@"
}

absent() { # name reason
  next_step=1
  report_line "- not here: $1 ($2)"
}

# Rounds ------------------------------------------------------------------

slug() { printf '%s' "${1//[^A-Za-z0-9.]/_}"; }

# The values of each round of an entrant stand in FILE.values: "ROUND cpu=... wall=...", of one
# request each; `-` where it had no turn.
race() {
  local round i
  for ((round = 1; round <= rounds; round++)); do
    [ "$rounds" = 1 ] || say "  round $round of $rounds"
    for ((i = 0; i < ${#entrants[@]}; i++)); do
      [ $(((round - 1) % ${steps[i]})) = 0 ] || continue
      race_one "$i" "$round"
    done
  done
}

race_one() { # index round
  local name=${entrants[$1]} file out status words before pin=()
  file=$case_dir/$(slug "$name")
  [ ! -e "$file.failed" ] || return 0
  eval "words=(${commands[$1]})"
  [ "${pinned[$1]}" = any ] || pin=(${client[@]+"${client[@]}"})
  before=$(accepted)
  # In the background, so that a signal is seen at once.
  timeout 120 ${pin[@]+"${pin[@]}"} "${words[@]}" >"$file.out" 2>"$file.err" &
  child=$!
  wait $child
  status=$?
  child=
  before=$(($(accepted) - before - 1))
  out=$(grep -aE '(^| )n=[0-9]+ ' "$file.out" | tail -n 1)
  if [ $status != 0 ] || [ -z "$out" ]; then
    race_failed "$name" "$file" $status
    return 0
  fi
  awk -v round="$2" -v opened=$before '{
    n = 1
    for (i = 1; i <= NF; i++) if ($i ~ /^n=/) n = substr($i, 3)
    printf "%d", round
    for (i = 1; i <= NF; i++) {
      split($i, p, "=")
      if (p[1] == "cpu" || p[1] == "wall") printf " %s=%.9f", p[1], p[2] / n
      else printf " %s", $i
    }
    print " opened=" opened
  }' <<<"$out" >>"$file.values"
}

# The connections that the server has accepted so far, this one included.
accepted() {
  curl -sS "$BENCH_HTTP/status" 2>/dev/null | awk 'NR == 3 { print $1 }'
}

race_failed() { # name file status
  local why
  why=$(grep -av '^[[:space:]]*$' "$2.err" | head -n 1 | tr -d '`|' | cut -c 1-160)
  [ "$3" != 124 ] || why="no end within 120 s"
  echo "${why:-ended with status $3}" | sed "s|$work|.|g; s|$PWD|.|g" >"$2.failed"
  race_failures+=" $case_name/$(slug "$1")"
  say "  FAILED: $1: $(cat "$2.failed")"
  head -n 20 "$2.err" >&2
}

# A client that does not keep its connections does other work than the others.
opened() { # least most [pattern]
  local name file count
  for name in "${entrants[@]}"; do
    [[ $name == ${3:-*} ]] || continue
    file=$case_dir/$(slug "$name")
    for count in $(values "$name" opened | cut -d' ' -f2); do
      if [ "$count" -lt "$1" ] || [ "$count" -gt "$2" ]; then
        echo "opened $count connections, not $1 to $2" >"$file.err"
        race_failed "$name" "$file" 1
        break
      fi
    done
  done
}

constant() { # entrant metric value
  local round
  for ((round = 1; round <= rounds; round++)); do
    echo "$round $2=$3"
  done >"$case_dir/$(slug "$1").values"
  entrants+=("$1")
}

larger() { # entrant metric a b
  join <(values "$3" "$2" | sort -k1,1) <(values "$4" "$2" | sort -k1,1) |
    awk -v metric="$2" '{ print $1, metric "=" ($2 > $3 ? $2 : $3) }' >"$case_dir/$(slug "$1").values"
  entrants+=("$1")
}

# Figures -----------------------------------------------------------------

# "MEDIAN LOW HIGH" of the numbers on stdin; nothing of nothing.
spread() {
  sort -g | awk '{ v[NR] = $1 }
    END { if (NR) { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; print m, v[1], v[NR] } }'
}

values() { # entrant metric -> "ROUND VALUE" lines
  local file
  file=$case_dir/$(slug "$1").values
  [ ! -f "$file" ] || [ -e "${file%.values}.failed" ] || awk -v want="$2" '{
    for (i = 2; i <= NF; i++) { split($i, p, "="); if (p[1] == want) print $1, p[2] }
  }' "$file"
}

median_of() { values "$1" "$2" | cut -d' ' -f2 | spread; } # entrant metric

# Per round in which both ran.
ratio_of() { # metric entrant reference -> "MEDIAN LOW HIGH"
  join <(values "$2" "$1" | sort -k1,1) <(values "$3" "$1" | sort -k1,1) |
    awk '$3 > 0 { printf "%.6f\n", $2 / $3 }' | spread
}

difference_of() { # metric entrant reference scale -> "MEDIAN LOW HIGH"
  join <(values "$2" "$1" | sort -k1,1) <(values "$3" "$1" | sort -k1,1) |
    awk -v scale="$4" '{ printf "%.6f\n", ($2 - $3) * scale }' | spread
}

must() { # row metric entrant reference
  must_value "$1" $(ratio_of "$2" "$3" "$4")
}
