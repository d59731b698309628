#!/bin/bash
# sinks: a log of two million lines from its end and from a point in time; then what bad company costs a log file: the
# rate of a container's lines when one log driver writes them to a file and others cannot be had, never read, or are slow.
. "$BENCH_HOME/lib.sh"
engine_commands
runs=$((BENCH_ROUNDS < 5 ? BENCH_ROUNDS : 5))
lines=${BENCH_LOG_LINES:-2000000}
server=$BENCH_DIR/bin/server
cc -O2 -Wall -o "$server" "$BENCH_HOME/c/server.c" || exit 1

# ---- Reading a part -------------------------------------------------------------------------------------------------

commands=()
for e in $(engines); do
  declare -n base=$e flags=${e}_run
  driver=json-file; [ "$e" = podman ] && driver=k8s-file
  engine_quietly "$e" run -d --name bench-sinks "${flags[@]}" --network=none --log-driver $driver --log-opt max-size=2g bb lines "$lines" 100 &&
    engine_quietly "$e" wait bench-sinks || { say "sinks: $e fails"; continue; }
  since=$(engine "$e" logs -t --tail 1000 bench-sinks 2>/dev/null | head -1 | cut -d' ' -f1)
  commands+=(::: "logs --tail 10 | $e" "${base[@]}" logs --tail 10 bench-sinks)
  commands+=(::: "logs --since (the last 1000 lines or so) | $e" "${base[@]}" logs --since "$since" bench-sinks)
done
printf '### Parts of a log of %s lines\n\n' "$lines"
head_of_times command engine
repeat -n "$((BENCH_ROUNDS < 5 ? BENCH_ROUNDS : 5))" -w 1 -s 10 "${commands[@]}" | sort -s -t'|' -k1,1r | rows
for e in $(engines); do remove "$e" bench-sinks; done

# ---- Several sinks --------------------------------------------------------------------------------------------------

wanted gantry || exit 0
for kind in hole slow; do "$server" "$BENCH_DIR/run/$kind" "$kind" & servers+=($!); done
"$server" "$BENCH_DIR/run/refusing" hole & sleep 0.3; kill $!            # its socket stays, and nobody listens

# NAME ADDRESS: the options of a further sink. One driver can be had once, so each is given a plugin's name of its own.
plugins=$BENCH_DIR/plugins
mkdir -p "$plugins/log"
for kind in hole slow refusing; do cp "$(dirname "$GANTRY")/libgantry_log_syslog.so" "$plugins/log/$kind.so"; done
sinks=()
sink() { sinks+=(--log-driver "$1" --log-opt "$1.syslog-address=unix://$BENCH_DIR/run/$1"); }

# How long the container ran: its end waits a moment for sinks that do not answer, which is no matter of rates.
ran() {
  local from to
  read -r from to < <(engine gantry inspect -f '{{.State.StartedAt}} {{.State.FinishedAt}}' bench-sinks)
  awk -v a="$(date -ud "$from" +%s.%N)" -v b="$(date -ud "$to" +%s.%N)" 'BEGIN { printf "%.6f", b - a }'
}

# CASE: the container logs to a file and to `sinks`; how long it ran, and the counters, go into the case's files
one_run() {
  "${gantry[0]}" --plugin-dir "$plugins" "${gantry[@]:1}" run -d --name bench-sinks "${gantry_run[@]}" --network=none \
    --log-driver json-file --log-opt json-file.max-size=2g "${sinks[@]}" bb lines "$lines" 100 >/dev/null 2>>"$BENCH_DIR/errors" &&
    engine_quietly gantry wait bench-sinks || say "sinks: gantry fails with case $1"
  ran >>"$BENCH_DIR/sinks-$1"; echo >>"$BENCH_DIR/sinks-$1"
  engine gantry inspect -f '{{range .State.Logs}}{{.Driver}} {{.Out}} {{.Dropped}}; {{end}}' bench-sinks >"$BENCH_DIR/counters-$1"
  remove gantry bench-sinks
  sync -f "$BENCH_DIR"
}

# The cases take turns, since fresh memory and a disk that is written to cost more than what is measured; the first round
# only warms up.
cases() {
  sinks=(); one_run 1
  sink refusing; sink hole; one_run 2
  sink slow; one_run 3
}
cases; rm -f "$BENCH_DIR"/sinks-*
for ((run = 0; run < runs; run++)); do cases; done

# CASE LABEL: a row
row() {
  local took; took=$(median <"$BENCH_DIR/sinks-$1")
  alone=${alone:-$took}
  printf '| %s | %.2f | %s | %s | %s |\n' "$2" "$took" "$(awk -v n="$lines" -v s="$took" 'BEGIN { printf "%.0f", n / s / 1000 }')" \
    "$(awk -v a="$alone" -v s="$took" 'BEGIN { printf "%.0f", a / s * 100 }')" "$(<"$BENCH_DIR/counters-$1")"
}

printf '\n### A log file beside other sinks: %s lines of 100 bytes\n\n' "$lines"
echo "| sinks | s (median of $runs) | k lines/s | of the file alone, % | taken and dropped at the end |"
echo "|---|--:|--:|--:|---|"
row 1 "json-file"
row 2 "json-file, a server that refuses, one that never reads"
row 3 "the same and one that reads ten lines a second"
kill "${servers[@]}"

# ---- Drivers alone --------------------------------------------------------------------------------------------------

examples=$(dirname "$GANTRY")/examples
[ -x "$examples/syslog_speed" ] || { say "sinks: the drivers' own figures are left out: cargo build --release --examples"; exit 0; }
printf '\n### Log drivers without engine or container\n\n```text\n'
for driver in json_file_speed local_speed; do
  printf '%s\n' "${driver%_speed}"
  "$examples/$driver" "$BENCH_DIR/var"
done
printf 'syslog, beside a bare loop of sendmmsg or write\n'
"$examples/syslog_speed"
printf '```\n'
