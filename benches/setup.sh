#!/usr/bin/env bash
# Installs what the benchmarks need on a Debian machine that has Rust: only what is missing, and everything that is not
# a Debian package into benches/.work, which git ignores. Run it again to bring pymodbus and modbus-serial up to date.
set -euo pipefail
cd "$(dirname "$0")"

wanted=()
need() { # COMMAND PACKAGE...: the packages are installed if the command fails
    local probe=$1
    shift
    bash -c "$probe" >/dev/null 2>&1 || wanted+=("$@")
}
need 'cc --version' build-essential
need 'pkg-config --version' pkg-config
need 'pkg-config --exists libmodbus' libmodbus-dev
need 'valgrind --version' valgrind
need 'python3 -c "import ensurepip, venv"' python3-venv
need 'node --version' nodejs
need 'npm --version' npm

if [ ${#wanted[@]} -gt 0 ]; then
    echo "installing ${wanted[*]}"
    root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}"
fi

mkdir -p .work
[ -x .work/venv/bin/python ] || python3 -m venv .work/venv
.work/venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pymodbus
# Without the optional serial port: only TCP is measured.
npm install --prefix .work --omit=optional --no-fund --no-audit --loglevel=error modbus-serial@latest
echo "ready: cargo run --release --manifest-path benches/Cargo.toml -- run --quick"
