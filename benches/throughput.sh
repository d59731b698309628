#!/bin/bash
# throughput: one TCP stream between two containers of a bridge, from a machine outside to a published port, and to a
# container on macvlan. Every engine has a host of its own (a network namespace), so that no packet of one passes the
# firewall of the other, and docker has its proxy off. All are there at once and are measured in turns, each turn in the
# other order: what the machine does meanwhile strikes all alike.
. "$BENCH_HOME/lib.sh"
engine_commands

# A host for an engine, with a machine outside on a veth pair, where iperf3's client runs.
make_host() {
  local host=bench-host-$1 out=bench-out-$1
  ip netns add "$host" && ip netns add "$out" && ip link add out0 netns "$host" type veth peer name eth0 netns "$out" || return 1
  ip -n "$host" addr add 192.0.2.1/24 dev out0; ip -n "$host" link set out0 up; ip -n "$host" link set lo up
  ip -n "$out" addr add 192.0.2.2/24 dev eth0; ip -n "$out" link set eth0 up; ip -n "$out" link set lo up
  ip -n "$out" route add default via 192.0.2.1
}

# The engine on its host, with an image.
start_engine() {
  local e=$1 within=(nsenter "--net=/run/netns/bench-host-$1")
  case $e in
    gantry) gantry=("${within[@]}" "$GANTRY" ${BENCH_CONFIG:+--config "$BENCH_CONFIG"} --root "$BENCH_DIR/var/apart" --state "$BENCH_DIR/run/apart") ;;
    docker) start_dockerd apart-docker false "${within[@]}" && docker=("$(docker_client)" -H "unix://$BENCH_DIR/run/apart-docker.sock") || return 1 ;;
    *) return 1 ;;
  esac
  engine_quietly "$e" import "$BENCH_DIR/rootfs.tar" bb:latest
}

# The containers of an engine, and for each way the namespace, address and port its client uses.
make_containers() {
  local e=$1
  local -n flags=${e}_run
  engine_quietly "$e" run -d --name served "${flags[@]}" --network=bridge -p 15201:5201 bb sleep 10000 &&
    engine_quietly "$e" run -d --name calling "${flags[@]}" --network=bridge bb sleep 10000 &&
    engine_quietly "$e" network create -d macvlan --subnet 192.0.2.0/24 --ip-range 192.0.2.128/25 --gateway 192.0.2.2 -o parent=out0 lan &&
    engine_quietly "$e" run -d --name direct "${flags[@]}" --network=lan bb sleep 10000 || return 1
  serve "$e" served && serve "$e" direct
  ln -sf "/proc/$(pid_of "$e" calling)/ns/net" "/run/netns/bench-calling-$e"
  way[$e-same]="bench-calling-$e $(address_of "$e" served) 5201"
  way[$e-published]="bench-out-$e 192.0.2.1 15201"
  way[$e-macvlan]="bench-out-$e $(address_of "$e" direct) 5201"
}
pid_of() { engine "$1" inspect -f '{{.State.Pid}}' "$2"; }
address_of() { engine "$1" inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$2"; }
serve() { nsenter -t "$(pid_of "$1" "$2")" -n iperf3 -s -p 5201 >/dev/null 2>&1 & servers+=($!); }

# NAMESPACE ADDRESS PORT: GBit/s of two seconds.
rate() {
  timeout 10 ip netns exec "$1" iperf3 -c "$2" -p "$3" -t 2 -J 2>>"$BENCH_DIR/errors" |
    awk -F'[:,]' '/"sum_received"/ { s = 1 } s && /bits_per_second/ { printf "%.2f\n", $2 / 1e9; exit }'
}

turns() {
  local turn kind e backwards=()
  for e in "$@"; do backwards=("$e" ${backwards[@]+"${backwards[@]}"}); done
  for turn in $(seq "$BENCH_ROUNDS"); do
    for kind in same published macvlan; do
      for e in "$@"; do rate ${way[$e-$kind]} >>"$BENCH_DIR/rate-$e-$kind"; done
    done
    set -- "${backwards[@]}" && backwards=()
    for e in "$@"; do backwards=("$e" ${backwards[@]+"${backwards[@]}"}); done
  done
}

tidy() {
  local e
  kill ${servers[@]+"${servers[@]}"} 2>/dev/null
  for e in $taking; do remove "$e" served calling direct; done
  stop_dockerd
  for e in $taking; do
    rm -f "/run/netns/bench-calling-$e"
    ip netns del "bench-host-$e"; ip netns del "bench-out-$e"
  done
}

printf '### Throughput, TCP, one stream, GBit/s: medians of %s turns of two seconds (best)\n\n' "$BENCH_ROUNDS"
taking= servers=()
declare -A way
trap tidy EXIT
for e in $(engines); do
  [ "$e" = podman ] && continue
  make_host "$e" && taking+=" $e" && start_engine "$e" && make_containers "$e" || { echo "Left out: $e could not be set up."; exit 0; }
done
sleep 0.5
turns $taking
echo "| engine | container to container | outside to published port | outside to macvlan |"; echo "|---|--:|--:|--:|"
for e in $taking; do
  printf '| %s |' "$e"
  for kind in same published macvlan; do
    printf ' %.2f (%s) |' "$(median <"$BENCH_DIR/rate-$e-$kind")" "$(sort -g "$BENCH_DIR/rate-$e-$kind" | tail -1)"
  done
  echo
done
