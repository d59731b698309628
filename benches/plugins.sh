#!/bin/bash
# plugins: what it costs to find, load and call plugins, in Rust and in C; nothing is asserted.
#
#   benches/plugins.sh
#
# Needs a release build (`cargo build --release --workspace`) and root for the network driver. PROFILE=debug tries the script
# itself on a debug build.
#
# Goals: loading with a remembered verdict 120 us, checked 500 us, four remembered 350 us (of processor time); a call through
# the guard 5 ns over a direct one, a batch of 64 records 15 ns over a direct one; `plugin ls` of 20 plugins 3 ms.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-target}
profile=${PROFILE:-release}
gantry=$target/$profile/gantry
optimised=()
[ "$profile" = debug ] || optimised=(--release)
place=$(mktemp -d /var/tmp/gantry-plugins.XXXXXX)
trap 'rm -rf "$place"' EXIT

cargo build --quiet "${optimised[@]}" -p gantry-host --example load_cost
cargo build --quiet "${optimised[@]}" --manifest-path plugins/examples/misbehaving/Cargo.toml --target-dir "$target/plugin-examples"
make --quiet -C plugins/examples/c BUILD="$place"

printf '\nload and call: a plugin in Rust that does nothing, as a driver of each kind\n'
for kind in log storage network volume; do
  install -D "$target/plugin-examples/$profile/libgantry_misbehaving.so" "$place/one/$kind/misbehaving.so"
done
"$target/$profile/examples/load_cost" "$place/one"

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
  cp "$target/plugin-examples/$profile/libgantry_misbehaving.so" "$place/twenty/log/copy$n.so"
done
# A program that has no plugins beside it finds those of the directory alone.
install -D "$gantry" "$place/alone/bin/gantry"
alone=("$place/alone/bin/gantry" --root "$place/root" --state "$place/state")
printf '  of 20:     %s\n' "$(median "${alone[@]}" --plugin-dir "$place/twenty" plugin ls)"
printf '  of none:   %s\n' "$(median "${alone[@]}" --plugin-dir "$place/none" plugin ls)"
printf '  of ours:   %s\n' "$(median "$gantry" --root "$place/root" --state "$place/state" plugin ls)"
printf '  /bin/true: %s\n' "$(median /bin/true)"

printf '\nwhat drivers cost, through everything that stands before them\n'
for file in "$target/$profile"/libgantry_{log_json_file,log_local,storage_overlay2,storage_vfs,network_bridge,volume_local}.so \
  "$place"/lines.so "$place"/folders.so; do
  echo
  "$gantry" plugin test --bench "$file"
done
