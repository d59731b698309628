#!/bin/bash
# image: `load`, `push` and `pull` of an image with one big compressed layer, `create` of it with a union and with copies, `system df`,
# and the first run of it from a registry, all of it fetched first and its files when they are opened.
# The layer is a copy of this machine's /usr of about BENCH_IMAGE_MB. Every load gets another image, and nothing is deleted before the
# end: ext4 is slow to make files soon after many were deleted.
. "$BENCH_HOME/lib.sh"
engine_commands
size=${BENCH_IMAGE_MB:-1000} rounds=$((BENCH_ROUNDS < 3 ? BENCH_ROUNDS : 3)) work=$BENCH_DIR/image address=127.0.0.1:5077
mkdir -p "$work/root"

# Files in the order of their names until there are enough bytes. Blocks alone, as skopeo drops zeros behind an archive's end.
fill_root() {
  (cd / && find usr/lib usr/share usr/include usr/bin -xdev -type f -size -20M -printf '%s %p\n' 2>/dev/null | LC_ALL=C sort -k2 |
    awk -v most="$((size * 1000000))" '{ sum += $1; if (sum > most) exit; $1 = ""; print substr($0, 2) }' |
    tar -b1 -cf - --no-recursion --owner=0 --group=0 -T -) >"$work/big.tar"
  gzip -6 <"$work/big.tar" >"$work/big.gz"
}

# NUMBER: an archive as `docker save` writes it, its layer a small one and the big one in two members of one gzip stream.
make_archive() {
  local dir=$work/v$1 diff config
  mkdir -p "$dir/in"
  echo "$1" >"$dir/variant"
  tar -C "$dir" --owner=0 --group=0 -b1 -cf - variant -C "$BENCH_DIR/rootfs" bin/busybox | head -c -1024 >"$dir/small.tar"
  { gzip -1 <"$dir/small.tar"; cat "$work/big.gz"; } >"$dir/in/layer.tar"
  diff=$(cat "$dir/small.tar" "$work/big.tar" | sha256sum | cut -d' ' -f1)
  config='{"architecture":"amd64","os":"linux","config":{"Cmd":["true"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$diff'"]}}'
  printf '%s' "$config" >"$dir/in/config.json"
  printf '[{"Config":"config.json","RepoTags":["big:v%s"],"Layers":["layer.tar"]}]' "$1" >"$dir/in/manifest.json"
  tar -C "$dir/in" -cf "$work/v$1.tar" manifest.json config.json layer.tar
  rm -r "$dir"
}

# LABEL COMMAND...: one line for `rows`.
once() {
  local label=$1 begin end; shift
  sync
  begin=$(clock)
  if "$@" >/dev/null 2>>"$BENCH_DIR/errors"; then end=$(clock); printf '%s\t%s\n' "$label" "$(ratio "$((end - begin))" 1000 %.3f)"
  else printf '%s\tfailed\n' "$label"; fi
}

# NAME: a registry on loopback with a directory of that name, its pid in `registry`.
start_registry() {
  printf 'version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n' "$work/registry-$1" "$address" >"$work/registry.yml"
  docker-registry serve "$work/registry.yml" >/dev/null 2>&1 &
  registry=$!
  sleep 1
}
stop_registry() { kill "$registry"; wait "$registry" 2>/dev/null; return 0; }

# Through a registry on loopback; each pull is of another image, into a store that has none of them.
measure_transfers() {
  local e number registry
  command -v docker-registry >/dev/null || { printf 'push, pull\tdocker-registry is missing\n'; return 0; }
  for e in $(engines); do
    local -n base=$e
    local tls=(); [ "$e" = podman ] && tls=(--tls-verify=false)
    start_registry "$e"
    for ((number = 1; number <= rounds; number++)); do
      engine_quietly "$e" tag "big:v$number" "$address/big:v$number"
      once "push of what was loaded | $e" "${base[@]}" push "${tls[@]}" "$address/big:v$number"
    done
    engine_quietly "$e" rmi -f $(seq -f "$address/big:v%.0f" "$rounds") $(seq -f 'big:v%.0f' "$rounds")
    for ((number = 1; number <= rounds; number++)); do
      once "pull | $e" "${base[@]}" pull -q "${tls[@]}" "$address/big:v$number"
      engine_quietly "$e" tag "$address/big:v$number" "big:v$number"
    done
    stop_registry
  done
}

# The same image as zstd:chunked, `run` into an empty store each time, until its program has said a line and ended. Making it takes
# skopeo two minutes for a gigabyte.
measure_lazy() {
  wanted gantry || return 0
  local program registry lazy number image=$address/chunked
  for program in docker-registry skopeo; do
    command -v "$program" >/dev/null || { printf 'run --pull\t%s is missing\n' "$program"; return 0; }
  done
  start_registry lazy
  skopeo copy -q --insecure-policy --dest-tls-verify=false --dest-compress-format zstd:chunked "docker-archive:$work/v1.tar" "docker://$image" 2>>"$BENCH_DIR/errors"
  for lazy in false true; do
    for ((number = 1; number <= rounds; number++)); do
      once "run --pull always of zstd:chunked, lazy = $lazy | gantry" env GANTRY_REGISTRY_LAZY="$lazy" "$GANTRY" ${BENCH_CONFIG:+--config "$BENCH_CONFIG"} \
        --root "$work/lazy-$lazy-$number" --state "$BENCH_DIR/run/lazy-$lazy-$number" \
        run --rm --network none "${gantry_run[@]}" --pull always "$image" /bin/busybox echo line
    done
  done
  stop_registry
}

measure_loads() {
  local e number
  for e in $(engines); do
    local -n base=$e
    for ((number = 1; number <= rounds; number++)); do
      cat "$work/v$number.tar" >/dev/null
      once "load | $e" "${base[@]}" load -i "$work/v$number.tar"
    done
    for ((number = 1; number <= rounds; number++)); do once "create | $e" "${base[@]}" create --name "big$number" big:v1 true; done
  done
  wanted gantry || return 0
  once "load, vfs | gantry" "${gantry[@]}" --storage-driver vfs load -i "$work/v1.tar"
  for ((number = 1; number <= rounds; number++)); do
    once "create, vfs | gantry" "${gantry[@]}" --storage-driver vfs create --name "copied$number" big:v1 true
  done
  for ((number = 1; number <= rounds * 3; number++)); do once "system df | gantry" "${gantry[@]}" system df; done
  once "system check, quick | gantry" "${gantry[@]}" system check --quick
  once "system check | gantry" "${gantry[@]}" system check
}

# Containers keep their images.
remove_all() {
  local e
  for e in $(engines); do remove "$e" $(seq -f 'big%.0f' "$rounds"); done
  wanted gantry && remove gantry $(seq -f 'copied%.0f' "$rounds")
  return 0
}

fill_root
for ((number = 1; number <= rounds; number++)); do make_archive "$number"; done
printf '### Images: one layer of %s MB, %s MB compressed, %s files\n\n' "$(($(stat -c %s "$work/big.tar") / 1000000))" \
  "$(($(stat -c %s "$work/big.gz") / 1000000))" "$(tar -tf "$work/big.tar" | wc -l)"
head_of_times command engine
{ measure_loads; remove_all; measure_transfers; measure_lazy; } | rows
for e in $(engines); do engine_quietly "$e" rmi -f $(seq -f 'big:v%.0f' "$rounds"); done
rm -rf "$work"
