# shellcheck shell=bash
# Starts servers and stops them again: to be sourced by a bash script.

servers=()
serving_log=$(mktemp)

# serving COMMAND...: starts a server that says "listening on ...ADDRESS", and sets `address` to its host and port.
serving() {
    : >"$serving_log" # here and now: the address of the server before it must not be found
    "$@" </dev/null >>"$serving_log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        address=$(sed -n 's/^listening on \(tcp:\/\/\)\{0,1\}//p' "$serving_log")
        [ -z "$address" ] || return 0
        kill -0 $! 2>/dev/null || break
        sleep 0.1
    done
    cat "$serving_log" >&2
    echo "$1 did not say that it listens" >&2
    return 1
}

# Stops what was started, by its process id, and waits for its end; the exit code is that of the last one.
stop_servers() {
    local server status=0
    for server in "${servers[@]}"; do
        kill -INT "$server" 2>/dev/null || true
        wait "$server" && status=0 || status=$?
    done
    servers=()
    return $status
}

trap 'kill "${servers[@]}" 2>/dev/null || true; rm -f "$serving_log"' EXIT
