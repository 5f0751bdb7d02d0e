#!/usr/bin/env bash
# A live Modbus server, read and written by foreign clients: make demo
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/serving.sh
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || { echo "cargo is missing: install Rust first, https://rustup.rs" >&2; exit 1; }
dinrail=${CARGO_TARGET_DIR:-target}/debug/dinrail

say() { printf '\n--- %s\n' "$1"; }
fail() { printf '\nThe demo failed: %s\n' "$1" >&2; exit 1; }
# Shows a command as one would type it, then what it prints.
show() {
    printf '$ %s\n' "${*/#$dinrail/dinrail}"
    "$@"
}

say "1 of 6: what is needed (mbpoll, pymodbus)"
scripts/need.sh build-essential mbpoll python3-venv
python=interop/.work/venv/bin/python
# The same environment as the interoperability suite's, made in the same way.
if ! cmp -s interop/requirements.txt interop/.work/venv/requirements.txt; then
    mkdir -p interop/.work
    python3 -m venv --clear interop/.work/venv
    "$python" -m pip install -q --disable-pip-version-check -r interop/requirements.txt
    cp interop/requirements.txt interop/.work/venv/
fi
echo "all there"

say "2 of 6: building dinrail"
cargo build --locked --package dinrail-cli

say "3 of 6: a server whose values move"
echo '$ dinrail serve --demo --listen 127.0.0.1:0 &'
serving "$dinrail" serve --demo --listen 127.0.0.1:0
port=${address##*:}
# It prints what stands where behind the address.
sleep 0.2
cat "$serving_log"

say "4 of 6: mbpoll (libmodbus) reads input registers 1 and 2: a sine and a ramp"
echo "mbpoll counts from 1: its register 1 is ir:0 above."
read_mbpoll() { mbpoll -m tcp -p "$port" -a 1 -t 3 -r 1 -c 2 -1 -q 127.0.0.1 | grep '^\['; }
echo "\$ mbpoll -m tcp -p $port -a 1 -t 3 -r 1 -c 2 -1 -q 127.0.0.1    # three times"
seen=
for _ in 1 2 3; do
    values=$(read_mbpoll) || fail "mbpoll got no answer"
    echo "${values//$'\n'/  }"
    seen+=$values$'\n'
    sleep 1
done
[ "$(grep -c . <<<"$(sort -u <<<"$seen")")" -gt 2 ] || fail "the values that mbpoll read do not move"

say "5 of 6: pymodbus reads the same server, writes one register and reads it back"
"$python" scripts/demo_client.py "$port" || fail "pymodbus did not get what it should"

say "6 of 6: dinrail reads what pymodbus wrote, and a temperature"
show "$dinrail" read "$address" hr:100
[ "$("$dinrail" read "$address" hr:100 | tail -n 1)" = 4711 ] || fail "what pymodbus wrote is not there"
for _ in 1 2 3; do
    show "$dinrail" read "$address" ir:6 --type f32
    sleep 1
done

stop_servers || fail "the server did not end with exit code 0"
cat <<END

The demo passed: one server, read by mbpoll, pymodbus and dinrail while its values moved; pymodbus wrote 4711 to hr:100
and everybody saw it. The server has been stopped.

What to try next:
  $dinrail serve --demo
      in one terminal; in another one:
  $dinrail read 127.0.0.1:5020 ir:0 -n 2 --every 1s
      what moves, once a second
  $dinrail write 127.0.0.1:5020 hr:200 21.5 --type f32
      a value of your own
  mbpoll -m tcp -p 5020 -t 3 -r 1 -c 2 127.0.0.1
      with somebody else's client
  make test
      everything that must pass
END
