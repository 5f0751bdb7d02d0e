#!/bin/sh
# Installs what the interoperability suite needs on a bare Debian machine that has Rust.
# Does nothing, quickly, when all is there.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$here/.work
mkdir -p "$work"

# apt: only what is missing; Node and npm may come from elsewhere.
missing=
for package in socat mbpoll libmodbus-dev python3-venv pkg-config build-essential; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' \
        || missing="$missing $package"
done
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
if [ -n "$missing" ]; then
    apt-get update -q
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing
fi

# The lists that were installed are kept beside what they installed.
if ! cmp -s "$here/requirements.txt" "$work/venv/requirements.txt"; then
    python3 -m venv --clear "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$work/venv/"
fi

# serialport brings its compiled part along: nothing is run and nothing else fetched.
if ! cmp -s "$here/package-lock.json" "$work/node_modules/package-lock.json" \
    || [ ! -d "$work/node_modules/serialport" ]; then
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent
    cp "$here/package-lock.json" "$work/node_modules/"
fi

command -v cargo >/dev/null || { echo "cargo is missing: https://rustup.rs" >&2; exit 1; }
