"""Who takes part: the stacks, and the programs that put them on each medium."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .notes import SELF, SELF_CLI

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".work"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", WORK / "target"))
PEERS = ROOT / "peers"
PYTHON = WORK / "venv" / "bin" / "python"
RUST = TARGET / "debug"

# What `dinrail pki` makes for a run: a CA, a server, an operator and a viewer, thrice.
PKI = WORK / "pki"
OTHER_PKI = WORK / "other-pki"
ELSEWHERE_PKI = WORK / "elsewhere-pki"
HOSTS = {PKI: "127.0.0.1", OTHER_PKI: "127.0.0.1", ELSEWHERE_PKI: "elsewhere.example"}

# Each side shows a certificate of the CA that the other trusts.
MUTUAL = {
    "SERVER_SHOWS": str(PKI / "server"),
    "SERVER_TRUSTS": str(PKI / "ca.pem"),
    "CLIENT_SHOWS": str(PKI / "operator"),
    "CLIENT_TRUSTS": str(PKI / "ca.pem"),
}

# A medium is the scheme of dinrail's URL, and how it is called after "dinrail and the peers".
MEDIA = {
    "tcp": "",
    "tls": "over TLS",
    "udp": "over UDP",
    "rtu": "over RTU",
    "ascii": "over ASCII",
    "rtu+tcp": "with RTU frames over TCP",
    "ascii+tcp": "with ASCII frames over TCP",
}
SERIAL = ("rtu", "ascii")  # media that are a line between two pseudo terminals


@dataclass(frozen=True)
class Peer:
    """One Modbus stack, and the programs that put it on a wire."""

    name: str
    title: str
    server: tuple[str | Path, ...] = ()
    client: tuple[str | Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    medium: str = "tcp"  # who is on another one has it in the name: pymodbus/udp


NODE_ENV = {"NODE_PATH": str(WORK / "node_modules")}
Program = tuple[str | Path, ...]


def on_media(
    stack: str, server: Program, client: Program, servers: str, clients: str
) -> list[Peer]:
    """A stack on each of its media; its programs take the medium as their first argument."""
    return [
        Peer(
            stack if medium == "tcp" else f"{stack}/{medium}",
            stack,
            (*server, medium) if medium in servers.split() else (),
            (*client, medium) if medium in clients.split() else (),
            {**(MUTUAL if medium == "tls" else {}), **NODE_ENV},
            medium,
        )
        for medium in MEDIA
        if medium in f"{servers} {clients}".split()
    ]


EVERYWHERE = " ".join(MEDIA)
C_PROGRAMS = WORK / "bin"

# In the order of the page, which has a table for each medium and a column for each of these.
EVERYBODY: tuple[Peer, ...] = (
    *on_media(
        SELF,
        (RUST / "dinrail-peer", "serve"),
        (RUST / "dinrail-peer", "client"),
        EVERYWHERE,
        EVERYWHERE,
    ),
    Peer(
        SELF_CLI,
        "dinrail read, dinrail write",
        client=(sys.executable, PEERS / "dinrail_cli_client.py"),
        env={"DINRAIL": str(RUST / "dinrail")},
    ),
    *on_media(
        "pymodbus",
        (PYTHON, PEERS / "pymodbus_server.py"),
        (PYTHON, PEERS / "pymodbus_client.py"),
        EVERYWHERE,
        EVERYWHERE,
    ),
    *on_media(
        "libmodbus",
        (C_PROGRAMS / "libmodbus_server",),
        (C_PROGRAMS / "libmodbus_client",),
        "tcp rtu",
        "tcp rtu",
    ),
    *on_media("mbpoll", (), (sys.executable, PEERS / "mbpoll_client.py"), "", "tcp rtu"),
    *on_media(
        "modbus-serial",
        ("node", PEERS / "modbus_serial_server.js"),
        ("node", PEERS / "modbus_serial_client.js"),
        "tcp rtu",
        "tcp udp rtu ascii rtu+tcp",
    ),
    Peer(
        "tokio-modbus",
        "tokio-modbus",
        (RUST / "tokio-modbus-peer", "serve"),
        (RUST / "tokio-modbus-peer", "client"),
    ),
    Peer("socket", "bare socket", client=(sys.executable, PEERS / "socket_client.py")),
)

PEER_LIST: tuple[Peer, ...] = tuple(
    sorted(EVERYBODY, key=lambda peer: list(MEDIA).index(peer.medium))
)
