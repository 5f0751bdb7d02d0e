"""Runs the script on stdin with the `dinrail` program, one process a step: HOST PORT < script.

The environment variable DINRAIL says where the program is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

READS = {"coils": "co", "discrete": "di", "input": "ir", "holding": "hr"}
WRITES = {"write-coil": "co", "write-coils": "co", "write-register": "hr", "write-registers": "hr"}
ONE_CONNECTION = {"session"}  # what cannot be told with a connection a step
EXCEPTION = re.compile(r"exception 0x([0-9a-f]{2})")
DEADLINE = 20
REFUSED = 1
NO_ANSWER = 3


def command(server: str, unit: str, op: str, args: list[str]) -> list[str] | None:
    """The program's arguments, or None for what it does not do."""
    common = ["--unit", unit, "--timeout", "2s"]
    if op in READS:
        return ["read", server, f"{READS[op]}:{args[0]}", "-n", args[1], "--json", *common]
    if op in WRITES:
        values = list(args[1]) if op == "write-coils" else args[1:]
        return ["write", server, f"{WRITES[op]}:{args[0]}", *values, *common]
    return None


def shown(op: str, output: str) -> str:
    """The values in the suite's spelling."""
    values = [json.loads(line)["value"] for line in output.splitlines()]
    if op in ("coils", "discrete"):
        return "".join("1" if value else "0" for value in values)
    return " ".join(str(value) for value in values)


def outcome(server: str, unit: str, op: str, args: list[str]) -> tuple[bool, str]:
    """What a script at a shell would see; the exit code must say the same as the text."""
    argv = command(server, unit, op, args)
    if argv is None:
        return False, "not offered"
    run = [os.environ["DINRAIL"], *argv]
    done = subprocess.run(run, capture_output=True, text=True, timeout=DEADLINE, check=False)
    exception = EXCEPTION.search(done.stderr)
    if done.returncode == REFUSED and exception:
        return True, f"exception {int(exception.group(1), 16)}"
    if done.returncode == NO_ANSWER:
        return False, "timeout"
    if done.returncode != 0 or done.stderr:
        return False, f"error: exit code {done.returncode}: {done.stderr.strip()}"
    return True, shown(op, done.stdout) if op in READS else "written"


def main() -> None:
    """Run every line of the script."""
    server = f"tcp://{sys.argv[1]}:{sys.argv[2]}"
    for line in sys.stdin:
        case, unit, op, *args = line.split()
        ok, detail = False, "not offered"
        if case not in ONE_CONNECTION:
            ok, detail = outcome(server, unit, op, args)
        print(json.dumps({"case": case, "ok": ok, "detail": detail}), flush=True)


main()
