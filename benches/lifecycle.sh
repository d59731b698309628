#!/bin/bash
# lifecycle: how fast a container obeys (stop, kill, pause, unpause), what health checks and `stats` cost, create, start and
# delete of a plain bundle through `gantry runtime` beside other runtimes, and many starts at the same time.
. "$BENCH_HOME/lib.sh"
engine_commands
checked=${BENCH_CHECKED:-50}
watched=${BENCH_WATCHED:-100}
many=${BENCH_MANY:-800}
health_seconds=${BENCH_HEALTH_SECONDS:-20}
wanted_part() { [[ " ${BENCH_LIFECYCLE:-obeying health stats bundle many} " == *" $1 "* ]]; }

# ENGINE NAME [FLAG...]: an idle container that ends at SIGTERM
idle() { local -n flags=$1_run; engine_quietly "$1" run -d --name "$2" "${flags[@]}" --network=none "${@:3}" bb obey; }
field() { engine "$1" inspect -f "$3" "$2" 2>>"$BENCH_DIR/errors"; }
names() { seq -f "$1%.0f" "$2"; }

# ---- Stop, kill, pause ----------------------------------------------------------------------------------------------

# From the end of the container to the end of `stop`.
stops() {
  local e round base
  for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for e in $(engines); do
      local -n base=$e
      idle "$e" bench-stop
      printf 'stop, from the end of the container | %s\t%s\n' "$e" "$("$BENCH_DIR/bin/ending" "$(field "$e" bench-stop '{{.State.Pid}}')" "${base[@]}" stop bench-stop 2>>"$BENCH_DIR/errors")"
      remove "$e" bench-stop
      sleep 0.03
    done
  done
}

# `kill` as a whole; `ps` right after it must not have the container any more.
kills() {
  local e round begin end shown
  for ((round = 0; round < BENCH_ROUNDS; round++)); do
    for e in $(engines); do
      idle "$e" bench-kill
      sleep 0.03
      begin=$(clock)
      engine_quietly "$e" kill bench-kill
      end=$(clock)
      shown=$(engine "$e" ps -q --filter name=bench-kill)
      printf 'kill | %s\t%s\n' "$e" "$([ -z "$shown" ] && awk -v a="$begin" -v b="$end" 'BEGIN { print (b - a) / 1e3 }' || echo failed)"
      remove "$e" bench-kill
    done
  done
}

pauses() {
  local e commands=()
  for e in $(engines); do
    local -n base=$e
    idle "$e" bench-pause
    commands+=(::: "pause | $e" "${base[@]}" pause bench-pause ::: "unpause | $e" "${base[@]}" unpause bench-pause)
  done
  repeat -n "$BENCH_ROUNDS" -w 1 -s 20 "${commands[@]}"
  for e in $(engines); do remove "$e" bench-pause; done
}

obeying() {
  printf '### Stop, kill, pause\n\n'
  head_of_times command engine
  { stops; kills; pauses; } | rows
  printf '\nKill: the command as a whole; `ps` right after it must not show the container. Pause, unpause: the commands as a whole.\n'
}

# ---- Health checks --------------------------------------------------------------------------------------------------

# Nanoseconds on a processor, of the threads of these processes, not of their children.
time_of() { local pid; for pid; do cat /proc/"$pid"/task/*/schedstat 2>/dev/null; done | awk '{ n += $1 } END { printf "%.0f", n }'; }
# Processes of ours by name, in our network namespace.
processes() {
  local ours pid name
  ours=$(readlink /proc/self/ns/net)
  for pid in /proc/[0-9]*; do
    [ "$(readlink "$pid/ns/net" 2>/dev/null)" = "$ours" ] && read -r name <"$pid/comm" && [[ $name == $1 ]] && echo "${pid#/proc/}"
  done 2>/dev/null
}
# All that ran in the cgroups of Gantry's containers and supervisors; a check moves from the latter to the former.
time_of_groups() { cat /sys/fs/cgroup/cpu*/{"$BENCH_NAME",gantry/supervisors}/cpuacct.usage 2>/dev/null | sort -u | awk '{ n += $1 } END { printf "%.0f", n }'; }
per_check() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { printf "%.0f", n ? (b - a) / 1e3 / n : 0 }'; }
# How many checks all the containers' logs of health name between two moments cannot be told from five entries each, so
# the rate is taken from the interval: one a second and container.

supervisors_of() { case $1 in gantry) echo 'gantry-@(keeper|pump)' ;; docker) echo '@(dockerd|containerd|containerd-shim*)' ;; podman) echo '@(conmon|podman)' ;; esac; }

# ENGINE: what its own processes use with and without checks, in percent of a processor; Gantry's checks as a whole, and the C program.
health_of() {
  local e=$1 name pids before after groups own total floor checks=$((checked * health_seconds)) list
  for name in $(names health "$checked"); do idle "$e" "$name" --health-cmd true --health-interval 1s; done
  sleep 3
  mapfile -t pids < <(processes "$(supervisors_of "$e")")
  before=$(time_of "${pids[@]}") groups=$(time_of_groups)
  sleep "$health_seconds"
  after=$(time_of "${pids[@]}")
  total= floor=
  if [ "$e" = gantry ]; then
    total=$(per_check "$groups" "$(time_of_groups)" "$checks")
    list=$(for name in $(names health "$checked"); do field gantry "$name" '{{.State.Pid}}'; done | paste -sd,)
    floor=$("$BENCH_DIR/bin/check" 20 "$list" /bin/sh -c true 2>>"$BENCH_DIR/errors")
  fi
  own=$(awk -v a="$before" -v b="$after" -v s="$health_seconds" 'BEGIN { printf "%.2f", (b - a) / 1e7 / s }')
  printf '| %s | %s | %s | %s | %s | %s |\n' "$e" "$own" "$total" "${floor%.*}" "${total:+$(ratio "$total" "${floor:-0}" %.2f)}" \
    "$(for name in $(names health "$checked"); do field "$e" "$name" '{{.State.Health.Status}}'; done | grep -c '^healthy$')"
  remove "$e" $(names health "$checked")
}

health() {
  local e
  printf '\n### %s containers with a health check each second, %s s\n\n' "$checked" "$health_seconds"
  echo "| engine | supervisors or daemons themselves, % of a core | a check as a whole, us of processor | a C program, us | ratio | healthy |"
  echo "|---|--:|--:|--:|--:|--:|"
  for e in $(engines); do
    [ "$e" = podman ] && continue        # it wants systemd's timers
    health_of "$e"
  done
  printf '\nThe check is `/bin/sh -c true` of a static busybox. The C program joins the namespaces, executes the same and reads its\noutput, one after the other; it joins no cgroup and sets no capabilities, and nothing of it is recorded.\n'
}

# ---- Stats ----------------------------------------------------------------------------------------------------------

stats() {
  local e commands=()
  printf '\n### `stats --no-stream` of %s containers\n\n' "$watched"
  for e in $(engines); do
    local -n base=$e
    for name in $(names stats "$watched"); do idle "$e" "$name"; done
    commands+=(::: "$e" "${base[@]}" stats --no-stream)
  done
  head_of_times engine
  repeat -n "$BENCH_ROUNDS" -w 1 -s 20 "${commands[@]}" | tee "$BENCH_DIR/stats.samples" | rows
  for e in $(engines); do remove "$e" $(names stats "$watched"); done
  wanted gantry || return 0
  printf '\nGantry looks twice with half a second in between; without that pause, for both looks and the start of the program: median %s ms.\n' \
    "$(awk -F'\t' '$1 == "gantry" && $2 != "failed" { print $2 - 500 }' "$BENCH_DIR/stats.samples" | median)"
}

# ---- Plain bundles --------------------------------------------------------------------------------------------------

bundle() {
  local r commands=() bundle_runtimes
  bundle_runtimes=$(runtimes)
  gruntime=("$GANTRY" runtime --root "$BENCH_DIR/run/gantry-runtime")
  wanted gantry && bundle_runtimes="gruntime $bundle_runtimes"
  for r in $bundle_runtimes; do
    local -n base=$r
    local label=$r
    [ "$r" = gruntime ] && label="gantry runtime"
    make_bundle "$BENCH_DIR/bundle-life-$r" true
    commands+=(::: "create | $label" "${base[@]}" create --bundle "$BENCH_DIR/bundle-life-$r" life)
    commands+=(::: "start | $label" "${base[@]}" start life ::: "delete | $label" "${base[@]}" delete --force life)
  done
  printf '\n### A plain bundle: create, start, delete\n\n'
  head_of_times command runtime
  repeat -n "$BENCH_ROUNDS" -w 2 -s 20 "${commands[@]}" >"$BENCH_DIR/bundle.samples"
  # The three of one round as one more row.
  awk -F'\t' '{ print; split($1, w, " [|] "); sum[w[2]] += $2; if ($2 == "failed") bad[w[2]] = 1
    if (w[1] == "delete") { printf "all three | %s\t%s\n", w[2], bad[w[2]] ? "failed" : sum[w[2]]; sum[w[2]] = bad[w[2]] = 0 } }' "$BENCH_DIR/bundle.samples" | rows
}

# ---- Many starts at once --------------------------------------------------------------------------------------------

many() {
  local n begin started removed failed running
  wanted gantry || return 0
  begin=$(clock)
  for ((n = 1; n <= many; n++)); do
    "${gantry[@]}" run -d --name "many$n" "${gantry_run[@]}" --network="$( ((n % 8)) && echo none || echo bridge)" bb obey >/dev/null 2>>"$BENCH_DIR/many.errors" </dev/null &
    pids[n]=$!
  done
  failed=0
  for ((n = 1; n <= many; n++)); do wait "${pids[n]}" || ((failed++)); done
  started=$(clock)
  running=$(engine gantry ps -q | wc -l)
  engine_quietly gantry rm -f $(names many "$many")
  removed=$(clock)
  printf '\n### %s `run -d` at the same time, each eighth on the bridge\n\n' "$many"
  echo "| engine | seconds | failed | running | removed by one \`rm -f\`, s | left |"
  echo "|---|--:|--:|--:|--:|--:|"
  printf '| gantry | %.1f | %s | %s | %.1f | %s |\n' "$(seconds "$begin" "$started")" "$failed" "$running" "$(seconds "$started" "$removed")" "$(engine gantry ps -aq | wc -l)"
  sort "$BENCH_DIR/many.errors" 2>/dev/null | uniq -c | sort -rn | head -5 >>"$BENCH_DIR/errors"
}

for part in obeying health stats bundle many; do wanted_part "$part" && "$part"; done
exit 0
