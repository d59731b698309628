#!/bin/bash
# fleet: idle containers on the bridge (`sleep`), started detached one after another, and what they cost while they
# idle; then removed with one command. Memory is PSS (shared pages divided among their users) of the engine's own
# processes: those in our network namespace; the containers' processes are in theirs.
. "$BENCH_HOME/lib.sh"
engine_commands
count=${BENCH_FLEET:-50}

per_container() { case $1 in gantry) echo "gantry-@(keeper|pump)" ;; docker) echo "containerd-shim*" ;; podman) echo conmon ;; esac; }
besides() { case $1 in docker) echo "@(dockerd|containerd|docker-proxy)" ;; *) echo "-" ;; esac; }

# PATTERN: number of our processes whose name fits, their names, and their PSS in KiB
pss() {
  local ours pid name
  ours=$(readlink /proc/self/ns/net)
  for pid in /proc/[0-9]*; do
    [ "$(readlink "$pid/ns/net" 2>/dev/null)" = "$ours" ] && read -r name <"$pid/comm" || continue
    [[ $name == $1 ]] && echo "$name $(awk '/^Pss:/ { print $2 }' "$pid/smaps_rollup" 2>/dev/null)"
  done | awk '{ n++; kib += $2; by[$1]++ } END { for (i in by) names = names (names ? " + " : "") by[i] " " i; print n + 0, kib + 0, names }'
}

commands_of() { local -n base=$1 flags=$1_run; fleet=("${base[@]}" run -d --name "fleet{}" "${flags[@]}" --network=bridge bb sleep 100000); }

one_engine() {
  local e=$1 samples=$BENCH_DIR/fleet.$1 begin end kib number names daemon failed
  commands_of "$e"
  begin=$(clock)
  repeat -n "$count" -w 0 -s 0 ::: "start | $e" "${fleet[@]}" >"$samples"
  end=$(clock)
  starts=$(ratio "$count" "$(seconds "$begin" "$end")")
  failed=$(grep -c failed "$samples")
  sleep 1
  read -r number kib names < <(pss "$(per_container "$e")")
  read -r _ daemon _ < <(pss "$(besides "$e")")
  begin=$(clock)
  remove "$e" $(seq -f 'fleet%.0f' "$count")
  end=$(clock)
  printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$e" "$starts" "$(ratio "$count" "$(seconds "$begin" "$end")")" \
    "$(ratio "$kib" "$count" %.0f)" "${names:-none}" "$([ "$daemon" -gt 0 ] && ratio "$daemon" 1024)" "${failed/#0/}"
}

printf '### %s idle containers: starts one after another, memory, removal by one `rm -f`\n\n' "$count"
echo "| engine | starts/s | removals/s | PSS KiB per container | processes | daemons besides, PSS MiB | failed |"
echo "|---|--:|--:|--:|---|--:|--:|"
for e in $(engines); do one_engine "$e"; done
printf '\nEach of these starts (`run -d`):\n\n'
head_of_times act engine
for e in $(engines); do rows <"$BENCH_DIR/fleet.$e"; done
