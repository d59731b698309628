#!/bin/bash
# api: the Engine API. The docker command through our socket and through dockerd's; a list of many containers; pings at a
# fixed rate; a log as a stream; what the server takes when nobody asks. The list and the log are asked for by a small
# client of our own, so that the server's time is measured and not a command's.
. "$BENCH_HOME/lib.sh"
engine_commands
wanted gantry || exit 0
count=${BENCH_PS:-200}
lines=${BENCH_API_LINES:-1000000}
socket=$BENCH_DIR/run/gantry-api.sock
client=$(docker_client) || true

http() { "$BENCH_DIR/bin/http" "$@" 2>>"$BENCH_DIR/errors"; }
served() { "$client" -H "unix://$socket" "$@"; }

start_server() {
  local tries
  setsid "${gantry[@]}" serve --host "unix://$socket" >>"$BENCH_DIR/errors" 2>&1 </dev/null &
  server=$!
  for ((tries = 0; tries < 100; tries++)); do [ -S "$socket" ] && return 0; sleep 0.05; done
  say "api: the server does not start"
  exit 1
}

# A row of quantiles of milliseconds, one a line.
quantiles() {
  sort -g | awk -v l="$1" '{ v[NR] = $1 } function at(q) { return v[1 + int(q * (NR - 1))] }
    END { if (NR) printf "| %s | %.3f | %.3f | %.3f | %.3f | %d |\n", l, at(.5), at(.95), at(.99), v[1], NR; else printf "| %s | | | | | 0 |\n", l }'
}

memory() { awk '/^Pss:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/smaps_rollup"; }
switches() { cat /proc/"$1"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }

start_server
sleep 3
fresh=$(memory "$server")

printf '### API: `docker run --rm bb true` by the docker command\n\n'
if [ -x "$client" ]; then
  commands=(::: "version of the command alone | none" "$client" --version)
  commands+=(::: "run --rm bb true | gantry" "$client" -H "unix://$socket" run --rm --cgroup-parent "/$BENCH_NAME" bb true)
  if wanted docker; then commands+=(::: "run --rm bb true | docker" "${docker[@]}" run --rm bb true); fi
  head_of_times command server
  repeat -n "$BENCH_ROUNDS" -w 2 -s 60 "${commands[@]}" | rows
else
  echo "There is no docker command."
fi

printf '\n### API: answers, ms\n\n'
echo "| request | median | p95 | p99 | min | times |"
echo "|---|--:|--:|--:|--:|--:|"
seq "$count" | xargs -P "$(nproc)" -I@ "${gantry[@]}" create --name many@ "${gantry_run[@]}" --network=none bb true >/dev/null 2>>"$BENCH_DIR/errors"
http "$socket" times "/containers/json?all=1" 20 0 >/dev/null
http "$socket" times "/containers/json?all=1" 200 0 | quantiles "GET /containers/json, $count containers"
remove gantry $(seq -f 'many%.0f' "$count")
http "$socket" times /_ping 5000 1000 | quantiles "GET /_ping, 1,000 a second"

printf '\n### API: %s lines of 100 bytes as a stream\n\n' "$lines"
echo "| server | s (median of 3) | M lines/s | bytes |"
echo "|---|--:|--:|--:|"
for e in gantry docker; do
  wanted "$e" || continue
  declare -n flags=${e}_run
  engine_quietly "$e" run --name bench-api "${flags[@]}" --network=none --log-driver json-file --log-opt max-size=2g bb lines "$lines" 100
  case $e in gantry) at=$socket ;; *) at=$BENCH_DIR/run/docker.sock ;; esac
  for run in 1 2 3; do http "$at" drain "/containers/bench-api/logs?stdout=1"; done |
    sort -g | awk -v e="$e" -v n="$lines" '{ s[NR] = $1; b = $2 } END { if (NR == 3) printf "| %s | %.3f | %.2f | %s |\n", e, s[2], n / s[2] / 1e6, b }'
  remove "$e" bench-api
done

printf '\n### API: the server when nobody asks\n\n'
sleep 5
before=$(switches "$server")
sleep 10
echo "| | |"
echo "|---|--:|"
echo "| memory after its start, MiB (PSS) | $fresh |"
echo "| memory after all of this, MiB (PSS) | $(memory "$server") |"
echo "| context switches in 10 s | $(($(switches "$server") - before)) |"
kill "$server" 2>/dev/null
wait "$server" 2>/dev/null
exit 0
