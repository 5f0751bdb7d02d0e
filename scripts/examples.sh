#!/usr/bin/env bash
# Builds every example and runs them against a server: what they print is compared.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/serving.sh
target=${CARGO_TARGET_DIR:-$PWD/target}

cargo build --quiet --locked --package dinrail --examples
cargo build --quiet --locked --package dinrail-cli
# Those that need more than dinrail are a workspace of their own.
CARGO_TARGET_DIR=$target cargo build --quiet --locked --manifest-path examples/Cargo.toml
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

check radio_modem "100 registers through packets of 16 bytes, their sum is 5050; the signal is [2, 216, 255]" \
    "$examples/radio_modem"
check custom_framing 'read [32382, 2, 3] of "pump"' "$examples/custom_framing"

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

check 's000_14 bridge_map' 'read hr:0 and hr:1: [214, 210]
read co:0: [true]
wrote 22.5 to hr:1; the controller has Some(22.5)
wrote 40.0 to hr:1: exception 0x04 (server device failure)
the controller still has Some(22.5)
wrote half of hr:10: exception 0x02 (illegal data address)
wrote hr:20: exception 0x0b (gateway target device failed to respond)
read hr:20: exception 0x0b (gateway target device failed to respond)
read hr:2, which is not bound: exception 0x02 (illegal data address)' "$examples/bridge_map"

check 's004_14 gateway' 'unit 1 read: [11, 12]
unit 2 read: [21, 22]
unit 3 read: [31, 32]
unit 4 read: exception 0x0b (gateway target device failed to respond)
unit 5 read: exception 0x0a (gateway path unavailable)
unit 9 read: exception 0x0a (gateway path unavailable)
unit 2 written: ()
unit 2 read: [7, 22]
unit 3 read beyond its end: exception 0x02 (illegal data address)
unit 4 written: exception 0x0b (gateway target device failed to respond)' "$examples/gateway"

check 's000_14 bridge_mqtt' 'read the temperature: [214]
read the humidity, which nobody has published: exception 0x0b (gateway target device failed to respond)
write 22.5 to the setpoint: ()
read it back: [225]
write 99.9 to it: exception 0x04 (server device failure)
write the valve, for which nobody listens: exception 0x0b (gateway target device failed to respond)
read what is not bound: exception 0x02 (illegal data address)
write the setpoint of a device that is gone: exception 0x0b (gateway target device failed to respond)
read without a broker: exception 0x0a (gateway path unavailable)
write without a broker: exception 0x0a (gateway path unavailable)' timeout 60 "$target/debug/bridge_mqtt"

# Its own test puts it under load.
tested=$(CARGO_TARGET_DIR=$target timeout 300 cargo test --quiet --locked --manifest-path examples/Cargo.toml 2>&1) ||
    { printf 's000_15 http_host failed: %s\n' "$tested"; exit 1; }
grep -q 'test result: ok. 1 passed' <<<"$tested" || { echo "s000_15 http_host was not tested"; exit 1; }
echo "ok s000_15 http_host"

# The first two pages of the guide: their programs are these examples, and what they show is what happens.
# block PAGE TEXT: the block of the page that has the text in it.
block() {
    awk -v text="$2" '
        /^```/ { if (hit) { printf "%s", block; exit }; block = ""; next }
        { block = block $0 "\n"; if (index($0, text)) hit = 1 }' "docs/guide/$1"
}
# shown PAGE TEXT: runs what stands behind "$ dinrail" in that block, and gives the block as it comes out.
shown() {
    local line
    while IFS= read -r line; do
        case $line in
            '$ dinrail '*)
                echo "$line"
                line=${line#'$ dinrail '}
                # shellcheck disable=SC2086 # words
                "$target/debug/dinrail" ${line//127.0.0.1:5020/$address} 2>&1 || true
                ;;
            '$ '*) echo "$line" ;;
        esac
    done < <(block "$1" "$2")
}
for name in first_server first_client; do
    check "$name, as the page has it" "$(cat "crates/dinrail/examples/$name.rs")" block "${name/_/-}.md" "fn main()"
done
serving "$examples/first_server" 127.0.0.1:0
check "first_server, as the page shows it" "$(block first-server.md 'hr:7')" shown first-server.md "hr:7"
stop_servers
serving "$examples/first_server" 127.0.0.1:0
check "first_client, as the page shows it" "$(block first-client.md '--example first_client' | tail -n +2)" \
    "$examples/first_client" "$address"
stop_servers
