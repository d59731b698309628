#!/bin/bash
# df: `system df` with many images and containers (created, not started), and what it says of our store beside what lies
# there.
. "$BENCH_HOME/lib.sh"
engine_commands
images=${BENCH_DF_IMAGES:-100} containers=${BENCH_DF_CONTAINERS:-200} work=$BENCH_DIR/df
mkdir -p "$work"

# Small images that share nothing.
make_archives() {
  local number
  for ((number = 1; number <= images; number++)); do
    head -c 20000 /dev/urandom >"$work/content"
    tar -C "$work" --owner=0 --group=0 -cf "$work/$number.tar" content
  done
}

fill_engine() {
  local e=$1
  local -n base=$1 flags=$1_run
  seq "$images" | xargs -P "$(nproc)" -I@ "${base[@]}" import "$work/@.tar" "small:v@" >/dev/null 2>>"$BENCH_DIR/errors"
  seq "$containers" | xargs -P "$(nproc)" -I% sh -c 'n=$1; shift; exec "$@" "small:v$((n - n / '"$images"' * '"$images"' + 1))" true' sh % \
    "${base[@]}" create --name many% "${flags[@]}" --network=none >/dev/null 2>>"$BENCH_DIR/errors"
  local there; there=$(engine "$e" ps -aq | wc -l)
  [ "$there" = "$containers" ] || say "df: $e has $there containers instead of $containers"
}

make_archives
commands=()
for e in $(engines); do
  fill_engine "$e"
  declare -n base=$e
  commands+=(::: "system df | $e" "${base[@]}" system df)
done

printf '### Space: `system df` with %s images and %s containers\n\n' "$images" "$containers"
head_of_times command engine
repeat -n "$BENCH_ROUNDS" -w 2 -s 10 "${commands[@]}" | rows
if wanted gantry; then
  printf '\nFiles of layers and blobs: %s kB. What `system df` says of them:\n\n```\n' \
    "$(find "$BENCH_DIR/var/gantry/drivers/storage" "$BENCH_DIR/var/gantry/content" -type f -printf '%s\n' | awk '{ s += $1 } END { printf "%.0f", s / 1000 }')"
  engine gantry system df
  printf '```\n'
fi

for e in $(engines); do
  remove "$e" $(seq -f 'many%.0f' "$containers")
  engine_quietly "$e" rmi -f $(seq -f 'small:v%.0f' "$images")
done
rm -rf "$work"
