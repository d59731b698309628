#!/bin/bash
# ps: `ps -a` with many containers (created, not started), and `--version`, the price of the program itself.
. "$BENCH_HOME/lib.sh"
engine_commands
count=${BENCH_PS:-200}

create_many() {
  local -n base=$1 flags=$1_run
  seq "$count" | xargs -P "$(nproc)" -I@ "${base[@]}" create --name many@ "${flags[@]}" --network=none bb true >/dev/null 2>>"$BENCH_DIR/errors"
  local there; there=$(engine "$1" ps -aq | wc -l)
  [ "$there" = "$count" ] || say "ps: $1 has $there containers instead of $count"
}

commands=()
for e in $(engines); do
  create_many "$e"
  declare -n base=$e
  commands+=(::: "ps -a, $count containers | $e" "${base[@]}" ps -a ::: "--version | $e" "${base[0]}" --version)
done

printf '### Listing: `ps -a` with %s containers\n\n' "$count"
head_of_times command engine
repeat -n "$BENCH_ROUNDS" -w 2 -s 10 "${commands[@]}" | sort -s -t'|' -k1,1r | rows

for e in $(engines); do remove "$e" $(seq -f 'many%.0f' "$count"); done
