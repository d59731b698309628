#!/bin/bash
# plugins: what it costs to find, load and call plugins, in Rust and in C; nothing is asserted.
#
#   benches/plugins.sh
#
# Needs a release build (`cargo build --release --workspace`) and root for the network driver.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
gantry=$target/release/gantry
place=$(mktemp -d /var/tmp/gantry-plugins.XXXXXX)
trap 'rm -rf "$place"' EXIT

cargo build --quiet --release -p gantry-host --example load_cost
cargo build --quiet --release --manifest-path plugins/examples/misbehaving/Cargo.toml --target-dir "$target/plugin-examples"
make --quiet -C plugins/examples/c BUILD="$place"

printf '\nload and call: a plugin in Rust that does nothing, as a driver of each kind\n'
for kind in log storage network volume; do
  install -D "$target/plugin-examples/release/libgantry_misbehaving.so" "$place/one/$kind/misbehaving.so"
done
"$target/release/examples/load_cost" "$place/one"

# median COMMAND...: milliseconds of 51 runs, the shell's own time for a process included
median() {
  local begin end
  for _ in $(seq 51); do
    begin=$EPOCHREALTIME
    "$@" >/dev/null
    end=$EPOCHREALTIME
    echo $((${end/./} - ${begin/./}))
  done | sort -n | awk 'NR == 26 { printf "%.2f ms", $1 / 1000 }'
}

printf '\nplugin ls\n'
mkdir -p "$place/twenty/log" "$place/none"
for n in $(seq 20); do
  cp "$target/plugin-examples/release/libgantry_misbehaving.so" "$place/twenty/log/copy$n.so"
done
alone=("$gantry" --root "$place/root" --state "$place/state")
printf '  without more plugins than our own: %s\n' "$(median "${alone[@]}" --plugin-dir "$place/none" plugin ls)"
printf '  with 20 more:                      %s\n' "$(median "${alone[@]}" --plugin-dir "$place/twenty" plugin ls)"
printf '  /bin/true:                         %s\n' "$(median /bin/true)"

printf '\nwhat drivers cost, through everything that stands before them\n'
for file in "$target"/release/libgantry_{log_json_file,log_local,storage_overlay2,storage_vfs,network_bridge,volume_local}.so \
  "$place"/lines.so "$place"/folders.so; do
  echo
  "$gantry" plugin test --bench "$file"
done
