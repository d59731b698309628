#!/bin/bash
# logs: a container writes lines as fast as it can through the log driver (json-file; k8s-file for podman, which has no
# other file). Written: from the start of `run -d` to the return of `wait`, the container's start included. Read: `logs`
# of the complete log to /dev/null. For scale, the floor: a C program at the end of a pipe, without any container.
. "$BENCH_HOME/lib.sh"
engine_commands
runs=${BENCH_LOG_RUNS:-$((BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3))}

log_driver() { case $1 in podman) echo k8s-file ;; *) echo json-file ;; esac; }

# ENGINE COUNT LENGTH [FLAG...]: seconds to write
write_log() {
  local e=$1 lines=$2 length=$3 begin; shift 3
  local -n flags=${e}_run
  begin=$(clock)
  engine_quietly "$e" run -d --name bench-logs "${flags[@]}" --network=none --log-driver "$(log_driver "$e")" "$@" bb lines "$lines" "$length" &&
    engine_quietly "$e" wait bench-logs || say "logs: $e fails"
  seconds "$begin" "$(clock)"
}

read_log() {
  local begin; begin=$(clock)
  engine "$1" logs bench-logs >/dev/null 2>&1
  seconds "$begin" "$(clock)"
}

# What the next run must not pay for: the dirty pages and the files of the last one.
clear_away() { remove "$1" bench-logs; sync -f "$BENCH_DIR"; }

# ENGINE COUNT LENGTH LIMIT: a row
one_case() {
  local e=$1 lines=$2 length=$3 limit=$4 opts=() run written=() read_back=() kept
  [ "$limit" = default ] || opts=(--log-opt "max-size=$limit")
  for ((run = 0; run < runs; run++)); do
    written+=("$(write_log "$e" "$lines" "$length" "${opts[@]}")")
    ((run < runs - 1)) || break
    clear_away "$e"
  done
  kept=$(engine "$e" logs bench-logs 2>/dev/null | wc -l)
  [ "$limit" = default ] || read_back+=("$(read_log "$e")")
  clear_away "$e"
  row "$e" "$lines" "$length" "$limit" "$(printf '%s\n' "${written[@]}" | median)" "$kept" "${read_back[0]}"
}

# COUNT LENGTH: the same lines through a program that does nothing but write them as a log has them
floor_case() {
  local lines=$1 length=$2 run begin written=()
  for ((run = 0; run < runs; run++)); do
    begin=$(clock)
    "$BENCH_DIR/rootfs/bin/lines" "$lines" "$length" | "$BENCH_DIR/bin/pump" "$BENCH_DIR/floor.log"
    written+=("$(seconds "$begin" "$(clock)")")
    rm "$BENCH_DIR/floor.log"
    sync -f "$BENCH_DIR"
  done
  row "a C program" "$lines" "$length" - "$(printf '%s\n' "${written[@]}" | median)" "$lines" ""
}

# COUNT SECONDS UNIT
per_second() { awk -v n="$1" -v s="$2" -v u="$3" 'BEGIN { if (s > 0) printf "%.0f", n / s / u }'; }

row() {
  local bytes=$(($2 * $3))
  printf '| %s lines of %s bytes | %s | %s | %.2f | %s | %s | %s | %s |\n' "$2" "$3" "$4" "$1" "$5" \
    "$(per_second "$2" "$5" 1000)" "$(per_second "$bytes" "$5" 1000000)" \
    "$([ -n "$7" ] && per_second "$6" "$7" 1000)" "$(ratio "$(($6 * 100))" "$2" %.0f)"
}

printf '### Logs\n\n'
echo "| written | max-size | engine | s (median of $runs) | k lines/s | MB/s | read back, k lines/s | kept, % |"
echo "|---|---|---|--:|--:|--:|--:|--:|"
for e in $(engines); do one_case "$e" 2000000 100 2g; done
floor_case 2000000 100
if wanted gantry; then one_case gantry 2000000 100 default; fi
for e in $(engines); do one_case "$e" 25000 16384 2g; done
floor_case 25000 16384
printf '\nBy default docker and podman keep everything; Gantry bounds a log, so it alone has a line of its own for that.\n'
