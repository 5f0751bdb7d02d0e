#!/usr/bin/env bash
# Everything that must pass: make test
# shellcheck source=scripts/parts.sh
. "$(dirname "$0")/parts.sh"

# As many stories of each simulation; more with DINRAIL_SIM_SEEDS=100000 DINRAIL_BUS_FRAMES=1000000 make test.
export DINRAIL_SIM_SEEDS=${DINRAIL_SIM_SEEDS:-40000}
fuzz_seconds=${FUZZ_SECONDS:-5}

tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --no-fail-fast --status-level slow
    else
        cargo test --workspace --locked --no-fail-fast --quiet --lib --bins --tests
    fi
}

doc_tests() {
    cargo test --workspace --locked --quiet --doc
    scripts/guides.sh
}

# A target of the fuzzer is one thing that passes.
fuzz_smoke() {
    CARGO_TARGET_DIR=$PWD/fuzz/target fuzz/smoke.sh "$fuzz_seconds"
}
fuzz_count() { awk '/^[a-z]+: [0-9]+ runs/{n++} END {print n + 0, 0}'; }

interop() {
    interop/setup.sh
    interop/run.py
}

# Counts do not depend on the load of the machine; they do change with the compiler and the C library.
gate() {
    local benches="cargo run --quiet --release --locked --manifest-path benches/Cargo.toml --"
    local count="$benches instructions"
    $count --servers dinrail --limit-fc3x10 760 --limit-fc3x125 870 \
        --clients dinrail --limit-client-1 2580 --limit-client-100 1705
    $count --servers dinrail-runtime --limit-fc3x10 1600 --limit-fc3x125 1700
    # A time, but one with room: some 6 ms on an idle machine.
    $benches toolbox --limit-plan-ms 100
}
gate_count() { awk '/above the limit of/{f++} /\(limit /{p++} END {print p + 0, f + 0}'; }

part "what is needed" uncounted \
    scripts/need.sh build-essential pkg-config socat mbpoll libmodbus-dev python3-venv nodejs npm valgrind tshark mosquitto
part "tests, with $DINRAIL_SIM_SEEDS stories of a bad line" summaries tests
part "doc tests, README and guides" summaries doc_tests
part "examples" oks scripts/examples.sh
part "fuzzing, $fuzz_seconds s each" fuzz_count fuzz_smoke
part "interoperability" summaries interop
part "instructions a request, and the time of plans" gate_count gate

all_parts
echo "$passed passed, $failed failed"
