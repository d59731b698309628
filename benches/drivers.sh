#!/bin/bash
# drivers: each log driver alone, without engine or container: records of 100 bytes (and more) written in batches of 300,
# as the supervisor hands them over, then read back; syslog beside bare loops; journald also against a socket whose other end throws all away.
#
#   benches/drivers.sh [DIRECTORY]    where the files are made (default: a new one in /var/tmp)
#
# Needs root and systemd for journald, which gets a journald of its own.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place=${1:-$(mktemp -d /var/tmp/gantry-drivers.XXXXXX)}
[ $# -gt 0 ] || trap 'rm -rf "$place"' EXIT
target=${CARGO_TARGET_DIR:-target}/release/examples
cargo build --quiet --release --examples -p gantry-driver-log-json-file -p gantry-driver-log-local \
  -p gantry-driver-log-journald -p gantry-driver-log-syslog
for driver in "json-file json_file_speed" "local local_speed"; do
  printf '\n%s\n' "${driver% *}"
  "$target/${driver#* }" "$place"
done
printf '\nsyslog, beside a bare loop of sendmmsg or write\n'
"$target/syslog_speed"
printf '\njournald\n'
"$target/journald_speed"
