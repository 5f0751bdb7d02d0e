"""Starts the programs: where they are, how they are built, and how one talks to another."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .cases import CASES, SCRIPT
from .peers import HOSTS, PEER_LIST, PEERS, PYTHON, ROOT, RUST, SERIAL, TARGET, WORK, Peer

START_DEADLINE = 20.0
TALK_DEADLINE = 60.0
NOT_OFFERED = "not offered"


class HarnessError(Exception):
    """The suite itself could not do its work."""


def stacks() -> list[Peer]:
    """Everybody who takes part."""
    return list(PEER_LIST)


def build() -> None:
    """Compiles the C and Rust programs; quick when nothing changed."""
    bin_dir = WORK / "bin"
    bin_dir.mkdir(parents=True, exist_ok=True)
    flags = output("pkg-config", "--cflags", "--libs", "libmodbus").split()
    for name in ("libmodbus_server", "libmodbus_client"):
        source, binary = PEERS / f"{name}.c", bin_dir / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            warnings = ["-Wall", "-Wextra", "-Werror"]
            command("gcc", "-std=gnu11", "-O1", *warnings, "-o", binary, source, *flags)
    cargo("--manifest-path", ROOT / "dinrail-peer" / "Cargo.toml")
    cargo("--manifest-path", ROOT.parent / "Cargo.toml", "--package", "dinrail-cli")
    for directory, host in HOSTS.items():
        roles = ["--role", "operator", "--role", "viewer"]
        output(RUST / "dinrail", "pki", directory, "--force", "--host", host, *roles)


def cargo(*arguments: str | Path) -> None:
    """Builds with the suite's target directory."""
    command("cargo", "build", "--quiet", *arguments, env={"CARGO_TARGET_DIR": str(TARGET)})


def command(*argv: str | Path, env: dict[str, str] | None = None) -> None:
    """Runs a build step and lets it speak."""
    try:
        subprocess.run([str(a) for a in argv], check=True, env={**os.environ, **(env or {})})
    except (OSError, subprocess.CalledProcessError) as error:
        raise HarnessError(f"{argv[0]}: {error}; has interop/setup.sh been run?") from error


def output(*argv: str | Path) -> str:
    """The standard output of a program."""
    try:
        done = subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise HarnessError(f"{argv[0]}: {error}; has interop/setup.sh been run?") from error
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """What is installed, not what was asked for."""
    package = json.loads((WORK / "node_modules" / "modbus-serial" / "package.json").read_text())
    lock = (ROOT / "dinrail-peer" / "Cargo.lock").read_text()
    found = re.search(r'name = "tokio-modbus"\nversion = "([^"]+)"', lock)
    show = "import importlib.metadata as m; print(m.version('pymodbus'))"
    # Debian's own revisions are not the peer's: a security update must not change the page.
    mbpoll = output("dpkg-query", "-W", "-f", "${Version}", "mbpoll")
    return {
        "pymodbus": output(PYTHON, "-c", show),
        "libmodbus": f"{output('pkg-config', '--modversion', 'libmodbus')} (Debian)",
        "mbpoll": f"{re.split('[-+]', mbpoll)[0]} (Debian)",
        "modbus-serial": package["version"],
        "tokio-modbus": found.group(1) if found else "?",
    }


def first_line(process: subprocess.Popen[bytes], who: str) -> str:
    """The line a server prints when its port accepts."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(START_DEADLINE):
            raise HarnessError(f"the {who} server printed no port within {START_DEADLINE} s")
        return process.stdout.readline().decode().strip()


@contextlib.contextmanager
def serial_line() -> Iterator[tuple[str, str]]:
    """Two pseudo terminals that are one line: the server's end, and the client's."""
    with tempfile.TemporaryDirectory() as directory:
        ends = [Path(directory) / end for end in ("server", "client")]
        process = subprocess.Popen(["socat", *(f"pty,raw,echo=0,link={end}" for end in ends)])
        try:
            deadline = time.monotonic() + START_DEADLINE
            while not all(end.exists() for end in ends):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise HarnessError("socat made no serial line")
                time.sleep(0.01)
            yield str(ends[0]), str(ends[1])
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def serving(peer: Peer) -> Iterator[list[str]]:
    """A fresh server: the cells are untouched. Yields what tells a client where it is."""
    if peer.medium not in SERIAL:
        with listening(peer, []) as port:
            if not port.isdecimal():
                raise HarnessError(f"the {peer.name} server printed {port!r} instead of a port")
            yield ["127.0.0.1", port]
        return
    with serial_line() as (ours, theirs), listening(peer, [ours]) as said:
        if said != "ready":
            raise HarnessError(f"the {peer.name} server printed {said!r} instead of being ready")
        yield [theirs]


@contextlib.contextmanager
def listening(peer: Peer, where: list[str]) -> Iterator[str]:
    """A server's process. Yields the first line that it prints."""
    process = subprocess.Popen(
        [*(str(a) for a in peer.server), *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **peer.env},
    )
    try:
        yield first_line(process, peer.name)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def talk(client: Peer, server: Peer, script: str = SCRIPT) -> dict[str, str]:
    """Runs all cases; what each brought, by name."""
    with serving(server) as where:
        try:
            done = subprocess.run(
                [*(str(a) for a in client.client), *where],
                input=script,
                capture_output=True,
                text=True,
                timeout=TALK_DEADLINE,
                check=False,
                env={**os.environ, **client.env},
            )
        except subprocess.TimeoutExpired as error:
            raise HarnessError(f"{client.name} to {server.name}: no end of it") from error
    if done.returncode != 0:
        print(f"{client.name} to {server.name}: {done.stderr.strip()}", file=sys.stderr)
    return digest(done.stdout)


def digest(text: str) -> dict[str, str]:
    """The JSON lines of a client, one string a case."""
    steps: dict[str, list[str]] = {}
    for line in text.splitlines():
        step = json.loads(line)
        detail = step["detail"]
        told = detail if step["ok"] or detail == NOT_OFFERED else f"failed: {detail}"
        steps.setdefault(step["case"], []).append(told)
    results = {}
    for case in CASES:
        details = steps.get(case.name, [])
        if len(details) != len(case.steps):
            results[case.name] = f"failed: {len(details)} of {len(case.steps)} steps were run"
        elif NOT_OFFERED in details:
            results[case.name] = NOT_OFFERED
        else:
            results[case.name] = case.digest(details)
    return results
