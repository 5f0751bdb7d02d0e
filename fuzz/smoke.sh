#!/bin/sh
# Runs every fuzz target for some seconds: fuzz/smoke.sh [SECONDS, default 5] [TARGET...]
#
# Needs no cargo-fuzz: the targets are built with the flags that it would use, less the address sanitizer, since the
# code under test has no unsafe block. Inputs that fail are left in fuzz/artifacts.
set -eu
cd "$(dirname "$0")"
seconds=${1:-5}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- request response tcp rtu ascii pdu binary server

triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
bins=$(for target; do printf -- '--bin %s ' "$target"; done)
# shellcheck disable=SC2086 # several arguments
cargo build --release --locked --quiet --target "$triple" $bins

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
for target; do
    mkdir -p "$new/$target" "artifacts/$target"
    # What is found goes to the first directory, so that the corpus stays as it is.
    if ! "$target_dir/$triple/release/$target" -max_total_time="$seconds" -max_len=1200 -timeout=5 -print_final_stats=1 \
        -artifact_prefix="artifacts/$target/" "$new/$target" "corpus/$target" >"$new/log" 2>&1; then
        cat "$new/log"
        echo "$target: FAILED; the input is in fuzz/artifacts/$target" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$new/log")
    coverage=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$new/log" | tail -n 1)
    echo "$target: $runs runs, $coverage places covered"
done
