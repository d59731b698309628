#!/bin/bash
# net: what networks cost. Attaching (`run --rm` on the bridge less `run --rm` without network, and one more published
# port), 10,000 ports at once, 64 starts at the same time, answers of the resolver.
. "$BENCH_HOME/lib.sh"
engine_commands

attach_commands=()
for e in $(engines); do
  declare -n base=$e flags=${e}_run
  attach_commands+=(::: "none | $e" "${base[@]}" run --rm "${flags[@]}" --network=none bb true)
  attach_commands+=(::: "bridge | $e" "${base[@]}" run --rm "${flags[@]}" --network=bridge bb true)
  attach_commands+=(::: "bridge, one port | $e" "${base[@]}" run --rm "${flags[@]}" --network=bridge -p 18080:80 bb true)
done

attaching() {
  local samples=$BENCH_DIR/net.attach
  printf '### Network: attaching, `run --rm bb true`\n\n'
  head_of_times network engine
  repeat -n "$BENCH_ROUNDS" -w 2 -s 60 "${attach_commands[@]}" >"$samples"
  rows <"$samples"
  printf '\nDifferences of the medians, ms:\n\n| engine | bridge less none | one published port |\n|---|--:|--:|\n'
  local e
  for e in $(engines); do
    awk -F'\t' -v e="$e" -v none="$(of none "$e")" -v bridge="$(of bridge "$e")" -v port="$(of 'bridge, one port' "$e")" \
      'BEGIN { printf "| %s | %.2f | %.2f |\n", e, bridge - none, port - bridge }'
  done
}
# Median of one label's samples.
of() { awk -F'\t' -v l="$1 | $2" '$1 == l && $2 != "failed" { print $2 }' "$BENCH_DIR/net.attach" | median; }

many_ports() {
  local e begin one many
  printf '\n### Network: 10,000 published ports, `run -d -p 20000-29999:20000-29999`\n\n'
  echo "| engine | run -d, one port, ms | 10,000 ports, ms | processes more |"; echo "|---|--:|--:|--:|"
  for e in $(engines); do
    [ "$e" = docker ] && { echo "| docker | | not run: it starts a process for each | |"; continue; }
    local -n flags=${e}_run
    one=$(timed_ports "$e" 20000:80) many=$(timed_ports "$e" 20000-29999:20000-29999)
    printf '| %s | %s | %s | %s |\n' "$e" "${one% *}" "${many% *}" "$((${many#* } - ${one#* }))"
  done
}
# Median of three detached runs in ms, and how many processes are there then.
timed_ports() {
  local e=$1 port=$2 n begin all=() count=0
  for n in 1 2 3; do
    begin=$(clock)
    engine_quietly "$e" run -d --name "ports$n" "${flags[@]}" --network=bridge -p "$port" bb sleep 1000
    all+=("$(ratio $(($(clock) - begin)) 1000 %.1f)")
    count=$(processes_left | wc -l)
    remove "$e" "ports$n"
  done
  echo "$(printf '%s\n' "${all[@]}" | median) $count"
}
processes_left() {
  local ours pid
  ours=$(readlink /proc/self/ns/net)
  for pid in /proc/[0-9]*; do [ "$(readlink "$pid/ns/net" 2>/dev/null)" = "$ours" ] && echo "$pid"; done
}

at_once() {
  local e network n begin all same
  printf '\n### Network: 64 `run -d` at the same time\n\n'
  echo "| engine | network | seconds | running | addresses given twice |"; echo "|---|---|--:|--:|--:|"
  for e in $(engines); do
    local -n flags=${e}_run
    for network in none bridge; do
      begin=$(clock)
      for n in $(seq 64); do engine_quietly "$e" run -d --name "par$n" "${flags[@]}" --network=$network bb sleep 1000 & done
      wait $(jobs -p)
      all=$(seconds "$begin" "$(clock)")
      same=$(engine "$e" inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $(seq -f 'par%.0f' 64) 2>/dev/null | grep . | sort | uniq -d | wc -l)
      printf '| %s | %s | %.2f | %s | %s |\n' "$e" "$network" "$all" "$(engine "$e" ps -q | wc -l)" "$same"
      remove "$e" $(seq -f 'par%.0f' 64)
      sleep 1
    done
  done
}

# Gantry's resolver alone: the peers' answer from a process of the host.
names() {
  printf '\n### Network: a local name asked of the resolver, 2,000 times one after another\n\n'
  echo "| engine | p50 ms | p95 ms |"; echo "|---|--:|--:|"
  local e pid
  for e in $(engines); do
    local -n flags=${e}_run
    engine_quietly "$e" network create netbench && engine_quietly "$e" run -d --name asked "${flags[@]}" --network=netbench bb sleep 1000 &&
      engine_quietly "$e" run -d --name asker "${flags[@]}" --network=netbench bb sleep 1000 || { echo "| $e | failed | |"; continue; }
    pid=$(engine "$e" inspect -f '{{.State.Pid}}' asker)
    resolver=$(nsenter -t "$pid" -m -- /bin/busybox sed -n 's/^nameserver //p' /etc/resolv.conf | head -1)
    nsenter -t "$pid" -n "$BENCH_DIR/bin/ask" "$resolver" asked 2000 2>>"$BENCH_DIR/errors" |
      sort -g | awk -v e="$e" '{ v[NR] = $1 } END { if (NR) printf "| %s | %.3f | %.3f |\n", e, v[int(NR / 2)], v[int(NR * .95)]; else printf "| %s | failed | |\n", e }'
    remove "$e" asked asker
    engine_quietly "$e" network rm netbench
  done
}

for part in $BENCH_PARTS; do "$part"; done
