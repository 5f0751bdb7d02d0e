#!/usr/bin/env bash
# Form, lints and documentation of everything: make lint
# shellcheck source=scripts/parts.sh
. "$(dirname "$0")/parts.sh"

workspaces=(Cargo.toml examples/Cargo.toml benches/Cargo.toml interop/dinrail-peer/Cargo.toml fuzz/Cargo.toml)

tools() {
    scripts/need.sh build-essential
    local tool
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 || rustup component add "${tool/fmt/rustfmt}"
    done
}

form() {
    local manifest
    for manifest in "${workspaces[@]}"; do
        cargo fmt --all --check --manifest-path "$manifest"
    done
}

clippy() { cargo clippy --quiet --locked --workspace --all-targets --manifest-path "$1" -- -D warnings; }

docs() { RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --locked --workspace --no-deps; }

# Without the advisories: they change without us, and come over the network; `make deny` has them.
deny() { cargo deny --locked check licenses bans sources; }

part "what is needed" uncounted tools
part "form" uncounted form
for manifest in "${workspaces[@]}"; do
    part "clippy, $manifest" uncounted clippy "$manifest"
done
part "documentation" uncounted docs
if cargo deny --version >/dev/null 2>&1; then
    part "licences and sources of dependencies" uncounted deny
else
    parts+=("     - s  licences and sources of dependencies                 NOT CHECKED: make deny installs cargo-deny")
fi

all_parts
echo "no complaints"
