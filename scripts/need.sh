#!/bin/sh
# Installs what is missing of the named Debian packages: scripts/need.sh mbpoll valgrind
#
# Says nothing and is quick when all is there. On a system without apt-get it only says what it would install.
set -eu

missing=
for package; do
    case $package in
        # These often come from elsewhere.
        nodejs) command -v node >/dev/null 2>&1 && continue ;;
        npm) command -v npm >/dev/null 2>&1 && continue ;;
    esac
    if command -v dpkg-query >/dev/null 2>&1; then
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
    fi
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "this is no Debian: what these packages hold must be there already:$missing"
    exit 0
fi
root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "root or sudo is needed to install:$missing" >&2; exit 1; }
    root=sudo
fi

echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    # shellcheck disable=SC2086 # no word when root
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 || {
        cat "$log" >&2
        echo "apt-get $1 failed; its words are above" >&2
        exit 1
    }
}
apt update
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $missing
