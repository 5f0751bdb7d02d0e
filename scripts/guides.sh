#!/usr/bin/env bash
# Compiles and runs the Rust code in README.md and docs/guide: rustdoc takes a page of Markdown as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}

# The libraries that the examples are linked with are those for the pages, too.
built=$(cargo build --quiet --locked --package dinrail --examples --message-format json)
library() {
    grep -o "\"$target/debug/deps/lib$1-[0-9a-f]*\.rlib\"" <<<"$built" | tail -n 1 | tr -d '"'
}
shopt -s nullglob
for page in README.md crates/*/README.md docs/guide/*.md; do
    grep -q '^```rust' "$page" || continue
    echo "$page"
    rustdoc --edition 2024 --test "$page" --test-args --quiet \
        -L "dependency=$target/debug/deps" \
        --extern "dinrail=$(library dinrail)" --extern "dinrail_proto=$(library dinrail_proto)" \
        --extern "tokio=$(library tokio)"
done
