#!/bin/bash
# exec: `exec CONTAINER true` in a container that runs.
. "$BENCH_HOME/lib.sh"
engine_commands

commands=()
for e in $(engines); do
  declare -n base=$e flags=${e}_run
  engine_quietly "$e" run -d --name bench-exec "${flags[@]}" --network=none bb sleep 100000 || say "exec: $e does not start"
  commands+=(::: "$e" "${base[@]}" exec bench-exec true)
done
for r in $(runtimes); do
  declare -n base=$r
  make_bundle "$BENCH_DIR/bundle-$r" sleep 100000
  engine "$r" create --bundle "$BENCH_DIR/bundle-$r" bench-exec </dev/null >/dev/null 2>&1
  engine_quietly "$r" start bench-exec || say "exec: $r does not start"
  commands+=(::: "$r (no engine)" "${base[@]}" exec bench-exec true)
done

printf '### Exec: `exec CONTAINER true`\n\n'
head_of_times engine
repeat -n "$((BENCH_ROUNDS * 2))" -w 2 -s 20 "${commands[@]}" | rows

for e in $(engines); do remove "$e" bench-exec; done
for r in $(runtimes); do engine_quietly "$r" delete --force bench-exec; done
