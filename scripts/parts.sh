# shellcheck shell=bash
# Runs the parts of a check one after the other: to be sourced by a bash script that stands in this directory.
#
# A part is a title and a command. What it prints is shown; what it counts is added up; the first part that fails ends
# the script with a sentence that says which.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || { echo "cargo is missing: install Rust first, https://rustup.rs" >&2; exit 1; }

export CARGO_TERM_COLOR=never
# One directory for all that is built twice otherwise.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

passed=0
failed=0
parts=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# part TITLE COUNTER COMMAND...: COUNTER is given what the command printed and prints "PASSED FAILED".
part() {
    local title=$1 counter=$2 begun=$SECONDS status counts
    shift 2
    printf '\n=== %s\n' "$title"
    # Not behind || or if: there the command's own set -e would be without effect.
    set +e
    (set -e; "$@") </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    counts=$("$counter" <"$log")
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
    local line="${counts% *} passed, ${counts#* } failed"
    [ "$counter" != uncounted ] || line="done"
    if [ "$status" -eq 0 ] && [ "$counter" != uncounted ] && [ "${counts% *}" -eq 0 ]; then
        echo "nothing was counted: what ran is not what was meant to run"
        status=1
    fi
    if [ "$status" -ne 0 ]; then
        [ "${counts#* }" -gt 0 ] || failed=$((failed + 1))
        printf '=== FAILED after %s s\n\n' $((SECONDS - begun))
        [ "$passed" -eq 0 ] && [ "$counter" = uncounted ] || echo "$passed passed, $failed failed"
        echo "The part \"$title\" failed; parts behind it did not run." >&2
        exit 1
    fi
    printf '=== %s in %s s\n' "$line" $((SECONDS - begun))
    parts+=("$(printf '%6s s  %-52s %s' $((SECONDS - begun)) "$title" "$line")")
}

# Counters.
uncounted() { echo "0 0"; }

# "N passed" and "N failed" of every summary line of cargo test, cargo nextest and interop/run.py.
summaries() {
    awk '
        /^test result:|^ *Summary \[|^[0-9]+ passed, [0-9]+ failed$/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^failed|^timed/) failed += $(i - 1)
            }
        }
        END { print passed + 0, failed + 0 }'
}

# One line with "ok" at its front a thing that passed.
oks() { awk '/^ok /{n++} END {print n + 0, 0}'; }

all_parts() {
    printf '\n'
    printf '%s\n' "${parts[@]}"
    printf '%6s s  in all\n\n' "$SECONDS"
}
