#!/bin/bash
# plugins: what it costs to find, load and call plugins, in Rust and in C; nothing is asserted.
#
#   benches/plugins.sh
#
# Needs a release build (`cargo build --release --workspace`) and root for the network driver. PROFILE=debug tries the script
# itself on a debug build.
#
# Goals: loading with a remembered verdict 120 us, checked 500 us, four remembered 350 us (of processor time); a call through
# the guard 5 ns over a direct one, a batch of 64 records 15 ns over a direct one; `plugin ls` of 20 plugins 3 ms; a
# configuration validated in 1 ms. The C program `dlopen` tells what the same files cost without Gantry.
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

gcc -O2 -Wall -Wl,--no-as-needed -o "$place/dlopen" benches/c/dlopen.c -lgcc_s
printf 'dlopen of the same four files by a C program, minimum (median) of 101 processes, us of processor time: '
for _ in $(seq 101); do "$place/dlopen" "$place"/one/*/misbehaving.so; done | awk '{ print $1, $NF }' | sort -n -k 2 |
  awk '{ one[NR] = $1; all[NR] = $2 } END { printf "one %d, all %d (%d)\n", one[1], all[1], all[51] }'

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
ours=("$gantry" --root "$place/root" --state "$place/state")
alone=("$place/alone/bin/gantry" --root "$place/root" --state "$place/state")
printf '  of 20:     %s\n' "$(median "${alone[@]}" --plugin-dir "$place/twenty" plugin ls)"
printf '  of none:   %s\n' "$(median "${alone[@]}" --plugin-dir "$place/none" plugin ls)"
printf '  of ours:   %s\n' "$(median "${ours[@]}" plugin ls)"
printf '  /bin/true: %s\n' "$(median /bin/true)"

printf '\nconfiguration: ps with every setting written down, and without a file (goal: 1 ms more)\n'
"${ours[@]}" config default | sed 's/^# \?\([a-z].* = \)/\1/' >"$place/full.toml"
for _ in 1 2 3; do
  printf '  all %s settings: %s' "$(grep -c ' = ' "$place/full.toml")" "$(median "${ours[@]}" --config "$place/full.toml" ps)"
  printf ', none: %s\n' "$(median "${ours[@]}" ps)"
done

printf '\nwhat drivers cost, through everything that stands before them\n'
for file in "$target/$profile"/libgantry_{log_json_file,log_local,storage_overlay2,storage_vfs,network_bridge,volume_local}.so \
  "$place"/lines.so "$place"/folders.so; do
  echo
  "$gantry" plugin test --bench "$file"
done
