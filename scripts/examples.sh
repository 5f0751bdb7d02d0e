#!/usr/bin/env bash
# Builds every example and runs them against a server: what they print is compared.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/serving.sh
target=${CARGO_TARGET_DIR:-$PWD/target}

cargo build --quiet --locked --package dinrail --examples
cargo build --quiet --locked --package dinrail-cli
examples=$target/debug/examples

# check NAME EXPECTED COMMAND...
check() {
    local name=$1 expected=$2 got
    shift 2
    got=$("$@" 2>&1) || { printf '%s failed: %s\n' "$name" "$got"; exit 1; }
    [ "$got" = "$expected" ] || { printf '%s\n  printed %s\n  instead of %s\n' "$name" "$got" "$expected"; exit 1; }
    echo "ok $name"
}

check custom_transport "read [1, 2, 3, 4, 0]; the server closed 1 connection when it stopped" \
    "$examples/custom_transport"

scanned=$'unit 1: [10, 11]\nunit 2: [20, 21]\nunit 3: silent\nunit 4: the device refused: exception 0x02 (illegal data address)'
for unit in 5 6 7 8 9 10 11 12; do scanned+=$'\n'"unit $unit: silent"; done
check rtu_scan "$scanned" "$examples/rtu_scan"

serving "$examples/callback_server" 127.0.0.1:0
check callback_server $'230\n50' "$target/debug/dinrail" read "$address" hr:100 -n 2
stop_servers

serving "$target/debug/dinrail" serve --listen 127.0.0.1:0 --set hr:0=7,8,9 --set hr:10=1,2,3
check read $'0: 7\n1: 8\n2: 9\n3: 0\n4: 0\n5: 0\n6: 0\n7: 0\n8: 0\n9: 0' "$examples/read" "$address"
check concurrent "$address: [1, 2, 3]"$'\n'"$address: [1, 2, 3]" "$examples/concurrent" "$address" "$address"
check retry "[7, 8]" "$examples/retry" "$address"
check rate_limit "20 requests in 0.95 s or more: true" "$examples/rate_limit" "$address"
check monitor $'register 0 = 7\nregister 1 = 8\nregister 2 = 9\nregister 10 = 1\nregister 11 = 2' \
    "$examples/monitor" "$address" 5
check queue_worker $'7\n8\n9\n1\n2\n3' "$examples/queue_worker" "$address"
check pool "60 registers read, 2 connections to 1 devices" "$examples/pool" "$address"
stop_servers
