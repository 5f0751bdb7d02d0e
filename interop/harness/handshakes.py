"""Who is let in over TLS: a few requests under other certificates than in the conversations."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from .cases import holdings
from .judge import Verdict
from .launch import talk
from .notes import SELF, Note, absent, fault, stack
from .peers import ELSEWHERE_PKI, MUTUAL, OTHER_PKI, PKI, Peer

READ = ("fc03 1 holding 10 10", holdings(10, 10))
WRITE = ("fc06 1 write-register 200 43981\nfc06 1 holding 200 1", "written / 43981")

# How clients say that they were not let in, or let nobody in. pymodbus' server sends no alert.
CUT = "failed: closed"
NO_CONNECTION = "failed: error: cannot connect to tls://HOST:"
SSL = "failed: error: SSLError:"
CHANGING = ((re.compile(r"127\.0\.0\.1:\d+"), "HOST"), (re.compile(r" \(_ssl\.c:\d+\)"), ""))


@dataclass(frozen=True)
class Handshake:
    """One row. `told` is what a client says instead of the answer, by the client's stack; `notes`
    are about one side, by stack and side, with what is then seen."""

    title: str
    changes: dict[str, str]
    script: str
    expected: str
    told: dict[str, str] = field(default_factory=dict)
    notes: dict[tuple[str, str], tuple[Note, str]] = field(default_factory=dict)

    def verdict(self, client: Peer, server: Peer) -> Verdict:
        """How it ends between these two."""
        env = {**MUTUAL, **self.changes}
        asking, asked = (replace(peer, env={**peer.env, **env}) for peer in (client, server))
        got = talk(asking, asked, f"{self.script}\n")[self.script.split()[0]]
        for pattern, instead in CHANGING:
            got = pattern.sub(instead, got)
        for owner, side in ((client, "client"), (server, "server")):
            if known := self.notes.get((stack(owner.name), side)):
                note, wanted = known
                return Verdict(self.title, got == wanted, got, wanted, note, owner.name, side)
        wanted = self.told.get(stack(client.name), self.expected)
        return Verdict(self.title, got == wanted, got, wanted)


HANDSHAKES: tuple[Handshake, ...] = (
    Handshake("Certificates on both sides, TLS 1.2", {"NEWEST_TLS": "TLSv1_2"}, *READ),
    Handshake("Certificates on both sides, TLS 1.3", {"OLDEST_TLS": "TLSv1_3"}, *READ),
    Handshake(
        "The server asks for no certificate, the client has none: answered",
        {"SERVER_TRUSTS": "", "CLIENT_SHOWS": ""},
        *READ,
    ),
    Handshake(
        "The server asks for a certificate, the client has none: refused",
        {"CLIENT_SHOWS": ""},
        *READ,
        told={
            SELF: CUT,
            "pymodbus": f"{SSL} [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert "
            "certificate required",
        },
    ),
    Handshake(
        "The client's certificate is of another CA: refused",
        {"CLIENT_SHOWS": str(OTHER_PKI / "operator")},
        *READ,
        told={
            SELF: CUT,
            "pymodbus": f"{SSL} [SSL: TLSV1_ALERT_DECRYPT_ERROR] tlsv1 alert decrypt error",
        },
    ),
    Handshake(
        "The server's certificate is of another CA: refused",
        {"SERVER_SHOWS": str(OTHER_PKI / "server")},
        *READ,
        told={
            SELF: f"{NO_CONNECTION} the peer's certificate is not signed by the CA that is known "
            "here, only by one of the same name: name the file of the right one",
            "pymodbus": "failed: error: Modbus Error: [Connection] Failed to connect"
            "[ModbusTlsClient HOST]",
        },
    ),
    Handshake(
        "The server's certificate is for another host: refused",
        {
            "SERVER_SHOWS": str(ELSEWHERE_PKI / "server"),
            "CLIENT_TRUSTS": str(ELSEWHERE_PKI / "ca.pem"),
        },
        *READ,
        told={
            SELF: f'{NO_CONNECTION} certificate not valid for name "127.0.0.1"; certificate is '
            'only valid for DnsName("elsewhere.example"); connect by one of its names, '
            "or set the server name"
        },
        notes={
            ("pymodbus", "client"): (
                fault("", "does not say to whom it connects, so no name can be compared", {}),
                READ[1],
            )
        },
    ),
    Handshake("A viewer reads: answered", {"CLIENT_SHOWS": str(PKI / "viewer")}, *READ),
    Handshake(
        "A viewer writes: 01",
        {"CLIENT_SHOWS": str(PKI / "viewer")},
        WRITE[0],
        "exception 1 / 1401",
        notes={("pymodbus", "server"): (absent("", "knows no roles", {}), WRITE[1])},
    ),
)


def pairs(peers: list[Peer]) -> list[tuple[Peer, Peer]]:
    """Us and everybody else over TLS."""
    secure = [peer for peer in peers if peer.medium == "tls"]
    return [
        (client, server)
        for client in secure
        for server in secure
        if client.client
        and server.server
        and (stack(client.name) == SELF) != (stack(server.name) == SELF)
    ]


def shake_all(pair: tuple[Peer, Peer]) -> list[Verdict]:
    """All rows, between two."""
    return [handshake.verdict(*pair) for handshake in HANDSHAKES]
