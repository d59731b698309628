# What the benches share: names of engines, how each is called, the tables. Sourced, by `run` and by every figure.
# A figure runs inside the private mount and network namespaces that `run` makes and finds everything under $BENCH_DIR.

LC_ALL=C
shopt -s extglob
BENCH_NAME=gantry-bench          # cgroups of the containers
ALL_ENGINES="gantry docker podman"
ALL_RUNTIMES="crun runc"
ALL_FIGURES="start exec lifecycle fleet ps df logs sinks image net throughput api"
ALL_PARTS="attaching many_ports at_once names"

# ---- Who takes part -------------------------------------------------------------------------------------------------

wanted() { [[ " $BENCH_ENGINES " == *" $1 "* ]]; }
engines() { local e; for e in $ALL_ENGINES; do wanted "$e" && echo "$e"; done; return 0; }
runtimes() { local r; for r in $ALL_RUNTIMES; do wanted "$r" && echo "$r"; done; return 0; }

# The Debian package's client stands beside its daemon; another docker further in front of PATH may be a newer one.
docker_client() { if [ -x /usr/bin/docker ]; then echo /usr/bin/docker; else command -v docker; fi; }

# Command lines, as arrays that bear the engine's name; the flags of `run` and `create` in NAME_run.
engine_commands() {
  local run=$BENCH_DIR/run var=$BENCH_DIR/var
  gantry=("$GANTRY" ${BENCH_CONFIG:+--config "$BENCH_CONFIG"} --root "$var/gantry" --state "$run/gantry")
  docker=("${DOCKER:-$(docker_client)}" -H "unix://$run/docker.sock")
  podman=("$(command -v podman)" --root "$var/podman" --runroot "$run/podman")
  crun=("$(command -v crun)" --root "$run/crun")
  runc=("$(command -v runc)" --root "$run/runc")
  gantry_run=(--cgroup-parent "/$BENCH_NAME")
  podman_run=(--cgroup-parent "/$BENCH_NAME")
  docker_run=()                  # its daemon is told
  gantry_rm=(rm -f) docker_rm=(rm -f) podman_rm=(rm -f -t 0)   # podman would ask politely and wait ten seconds
  export CONTAINERS_CONF=$BENCH_DIR/etc/containers.conf CONTAINERS_STORAGE_CONF=$BENCH_DIR/etc/storage.conf
}

# ENGINE ARGUMENT...
engine() { local -n command_line=$1; shift; "${command_line[@]}" "$@"; }
engine_quietly() { engine "$@" >/dev/null 2>>"$BENCH_DIR/errors"; }
remove() { local -n how=$1_rm; engine_quietly "$1" "${how[@]}" "${@:2}"; }

# NAME PROXY WRAPPER...: a dockerd with directories and a socket of that name, its pid in `dockerd_pid`.
start_dockerd() {
  local name=$1 proxy=$2 tries; shift 2
  setsid "$@" dockerd --data-root "$BENCH_DIR/var/$name" --exec-root "$BENCH_DIR/run/$name" -s overlay2 -H "unix://$BENCH_DIR/run/$name.sock" \
    -p "$BENCH_DIR/run/$name.pid" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$BENCH_NAME" \
    --userland-proxy="$proxy" --default-ulimit "nofile=$BENCH_FILES:$BENCH_FILES" >"$BENCH_DIR/$name.log" 2>&1 </dev/null &
  dockerd_pid=$!
  for ((tries = 0; tries < 200; tries++)); do
    "$(docker_client)" -H "unix://$BENCH_DIR/run/$name.sock" version >/dev/null 2>&1 && return 0
    sleep 0.1
  done
  tail -5 "$BENCH_DIR/$name.log" >&2
  return 1
}

stop_dockerd() {
  [ -n "${dockerd_pid:-}" ] || return 0
  kill "$dockerd_pid" 2>/dev/null
  timeout 20 tail --pid="$dockerd_pid" -f /dev/null || kill -KILL "$dockerd_pid"
  wait "$dockerd_pid" 2>/dev/null
  return 0
}

# ---- Measuring and telling ------------------------------------------------------------------------------------------

say() { echo "$*" >&2; }
repeat() { "$BENCH_DIR/bin/repeat" "$@" 2>>"$BENCH_DIR/errors"; }
clock() { echo "${EPOCHREALTIME/./}"; }                         # microseconds
seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6f", (b - a) / 1e6 }'; }
ratio() { awk -v a="$1" -v b="$2" -v f="${3:-%.1f}" 'BEGIN { printf f, b ? a / b : 0 }'; }
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

# Rows of a table from `repeat`'s lines: label | median | p95 | minimum | runs (and how many failed).
rows() {
  awk -F'\t' '
    function figure(x) { return sprintf(x < 10 ? "%.2f" : x < 100 ? "%.1f" : "%.0f", x) }
    function quantile(l, q,   k, i) { k = 1 + q * (count[l] - 1); i = int(k)
      return i < count[l] ? v[l, i] + (k - i) * (v[l, i + 1] - v[l, i]) : v[l, i] }
    !($1 in seen) { seen[$1]; label[++labels] = $1; count[$1] = bad[$1] = 0 }
    $2 == "failed" { bad[$1]++; next }
    { for (i = count[$1]++; i > 0 && v[$1, i] > $2 + 0; i--) v[$1, i + 1] = v[$1, i]; v[$1, i + 1] = $2 + 0 }
    END { for (n = 1; n <= labels; n++) { l = label[n]; note = bad[l] ? ", " bad[l] " failed" : ""
      if (count[l]) printf "| %s | %s | %s | %s | %d%s |\n", l, figure(quantile(l, .5)), figure(quantile(l, .95)), figure(v[l, 1]), count[l], note
      else printf "| %s | | | | 0%s |\n", l, note } }'
}
# The head of such a table; the arguments name the columns of the label.
head_of_times() {
  local column line="|" rule="|"
  for column in "$@"; do line+=" $column |" rule+="---|"; done
  printf '%s\n' "$line median ms | p95 ms | min ms | runs |" "$rule--:|--:|--:|--:|"
}

# ---- Bundles for the bare runtimes ----------------------------------------------------------------------------------

# DIR ARGUMENT...: an OCI bundle with the namespaces, mounts and masks of an ordinary container, without seccomp.
make_bundle() {
  local dir=$1 args; shift
  mkdir -p "$dir"
  printf -v args '"%s",' "$@"
  cat >"$dir/config.json" <<JSON
{"ociVersion": "1.0.2", "hostname": "bench", "root": {"path": "$BENCH_DIR/rootfs", "readonly": false},
 "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": [${args%,}], "noNewPrivileges": true,
  "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
  {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
  {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
  {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
  {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}],
 "linux": {"cgroupsPath": "/$BENCH_NAME/$(basename "$dir")", "resources": {"devices": [{"allow": false, "access": "rwm"}]},
  "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
  "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}
JSON
}
