#!/bin/bash
# start: `run --rm bb true` from fork to the end of wait, on the bridge, without network and on the host's; and the
# bare OCI runtimes on a bundle (no image, no overlay, no log, no network set up, no seccomp), for scale.
. "$BENCH_HOME/lib.sh"
engine_commands

commands=()
engine_starts() {
  local net=$1 e; shift
  for e in $(engines); do
    local -n base=$e flags=${e}_run
    commands+=(::: "$net | $e" "${base[@]}" run --rm "${flags[@]}" --network="$net" bb true)
  done
}
for net in bridge none host; do engine_starts "$net"; done
make_bundle "$BENCH_DIR/bundle" true
for r in $(runtimes); do
  declare -n base=$r
  commands+=(::: "bundle | $r run" "${base[@]}" run --bundle "$BENCH_DIR/bundle" "b{}")
done

printf '### Start: `run --rm bb true`\n\n'
head_of_times network engine
repeat -n "$BENCH_ROUNDS" -w 2 -s 60 "${commands[@]}" | rows
