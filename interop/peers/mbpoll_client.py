"""Runs the script on stdin with the mbpoll program, one process a step: tcp HOST PORT, or
rtu PATH.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

TABLES = {"coils": "0", "discrete": "1", "input": "3", "holding": "4"}
EXCEPTIONS = {
    "Illegal function": 1,
    "Illegal data address": 2,
    "Illegal data value": 3,
    "Slave device or server failure": 4,
    "Target device failed to respond": 11,
}
MAX_READ = 125  # mbpoll refuses a larger count, for coils as well
ONE_CONNECTION = {"session"}  # what cannot be told with a connection a step
VALUE = re.compile(r"^\[\d+\]:\s+(-?\d+)", re.MULTILINE)
FAILURE = re.compile(r"failed: (.*)$", re.MULTILINE)


def command(op: str, args: list[str]) -> tuple[list[str], list[str]] | None:
    """mbpoll's options and the values to write, or None for what it cannot do."""
    if op in TABLES and int(args[1]) <= MAX_READ:
        return ["-t", TABLES[op], "-r", args[0], "-c", args[1]], []
    if op in ("write-coil", "write-coils"):
        values = args[1:] if op == "write-coil" else list(args[1])
        return ["-t", "0", "-r", args[0]], values
    if op in ("write-register", "write-registers"):
        return ["-t", "4", "-r", args[0]], args[1:]
    return None


def outcome(where: list[str], unit: str, op: str, args: list[str]) -> tuple[bool, str]:
    """What a person at a shell would see."""
    built = command(op, args)
    if built is None:
        return False, "not offered"
    options, values = built
    *line, place = where
    argv = ["mbpoll", *line, "-a", unit, "-0", "-1", "-o", "2", *options, place]
    done = subprocess.run([*argv, *values], capture_output=True, text=True, timeout=10, check=False)
    text = done.stdout + done.stderr
    if failure := FAILURE.search(text):
        reason = failure.group(1).strip()
        if reason in EXCEPTIONS:
            return True, f"exception {EXCEPTIONS[reason]}"
        return False, "timeout" if reason == "Connection timed out" else f"error: {reason}"
    if values:
        written = f"Written {len(values)} reference" in text
        return written, "written" if written else f"error: {text.strip()}"
    found = VALUE.findall(text)
    if op in ("coils", "discrete"):
        return True, "".join(found)
    return True, " ".join(str(int(value) % 65536) for value in found)


def main() -> None:
    """Run every line of the script."""
    medium, place, *port = sys.argv[1:]
    options = ["-p", *port] if port else ["-b", "19200", "-P", "none"]
    where = ["-m", medium, *options, place]
    for line in sys.stdin:
        case, unit, op, *args = line.split()
        ok, detail = False, "not offered"
        if case not in ONE_CONNECTION:
            ok, detail = outcome(where, unit, op, args)
        print(json.dumps({"case": case, "ok": ok, "detail": detail}), flush=True)


main()
