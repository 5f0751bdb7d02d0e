"""Writes docs/interop.md. The same results make the same bytes: no times, no dates, no ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from .cases import CASES
from .judge import Verdict
from .notes import SELF, SELF_CLI, Kind, stack
from .peers import MEDIA, Peer

OURS = (SELF, SELF_CLI)
Talks = dict[tuple[str, str], list[Verdict]]  # by the names of client and server
WORDS = {Kind.ABSENT: "no", Kind.FAULT: "fault", Kind.OWN: "ok"}

INTRO = """\
# Interoperability

dinrail against other Modbus stacks on one machine, over TCP, TLS, UDP and serial lines (RTU and
ASCII on pseudo terminals), and with RTU and ASCII frames over TCP; each as client against our
server and as server against our client.
`interop/run.py` made this page and checks it: every cell is an exact comparison with what the other
side must bring, or, where a peer is known to differ, with what that peer does. Cases, data and
programs are in `interop/`.

- `ok`: the answer is the one the specification asks for; with a number, the peer's own data.
- `no`: the peer does not offer this; the number says why.
- `fault`: the peer does something else than the specification asks; the number says what.
- `FAILED`: nobody knows why. A committed page has none.
"""


@dataclass
class Numbering:
    """Notes get their number where they first appear."""

    titles: dict[str, str]
    lines: dict[str, int] = field(default_factory=dict)
    kinds: dict[int, Kind] = field(default_factory=dict)

    def number(self, verdict: Verdict) -> int:
        """The number of this verdict's note."""
        assert verdict.note is not None
        line = f"{self.titles[verdict.owner]} as {verdict.side}: {verdict.note.text}."
        if line not in self.lines:
            self.lines[line] = len(self.lines) + 1
            self.kinds[self.lines[line]] = verdict.note.kind
        return self.lines[line]

    def listing(self, kind: Kind) -> list[str]:
        """All notes of a kind."""
        return [
            f"- [{number}] {line}"
            for line, number in self.lines.items()
            if self.kinds[number] is kind
        ]


def cell(verdict: Verdict, numbering: Numbering) -> str:
    """What stands in the table."""
    if not verdict.passed:
        return "FAILED"
    if verdict.note is None:
        return "ok"
    return f"{WORDS[verdict.note.kind]} [{numbering.number(verdict)}]"


def rows(header: list[str], lines: list[list[str]]) -> list[str]:
    """A Markdown table."""
    table = [header, ["---"] * len(header), *lines]
    return [f"| {' | '.join(line)} |" for line in table]


def ours(
    peers: list[Peer],
    medium: str,
    talks: Talks,
    numbering: Numbering,
) -> list[str]:
    """The table of dinrail against everybody on a medium."""
    own = SELF if medium == "tcp" else f"{SELF}/{medium}"
    columns: list[tuple[str, list[Verdict]]] = []
    for peer in (peer for peer in peers if peer.medium == medium and stack(peer.name) not in OURS):
        if verdicts := talks.get((peer.name, own)):
            columns.append((f"{peer.title} client", verdicts))
        if verdicts := talks.get((own, peer.name)):
            columns.append((f"{peer.title} server", verdicts))
    header = ["", *(head for head, _ in columns)]
    lines = [
        [case.title, *(cell(verdicts[i], numbering) for _, verdicts in columns)]
        for i, case in enumerate(CASES)
    ]
    return rows(header, lines)


def tally(verdicts: list[Verdict]) -> str:
    """How often the answer was as it should be, a fault, and not offered."""
    kinds = [verdict.note.kind if verdict.note else None for verdict in verdicts]
    fine = kinds.count(None) + kinds.count(Kind.OWN)
    return f"{fine} / {kinds.count(Kind.FAULT)} / {kinds.count(Kind.ABSENT)}"


def pairings(peers: list[Peer], talks: Talks) -> list[str]:
    """A line for each stack on each medium."""
    lines = []
    for peer in (peer for peer in peers if stack(peer.name) not in OURS):
        own = SELF if peer.medium == "tcp" else f"{SELF}/{peer.medium}"
        both = [talks.get(pair) for pair in ((peer.name, own), (own, peer.name))]
        how = MEDIA[peer.medium] or "over TCP"
        cells = [
            "FAILED"
            if verdicts and not all(v.passed for v in verdicts)
            else tally(verdicts)
            if verdicts
            else "-"
            for verdicts in both
        ]
        lines.append([f"{peer.title} {how}", *cells])
    return rows(["ok / fault / no", "its client, our server", "our client, its server"], lines)


def secured(handshakes: Talks, peers: list[Peer], numbering: Numbering) -> list[str]:
    """Who is let in over TLS."""
    titles = {peer.name: peer.title for peer in peers}
    header = [
        "",
        *(f"{titles[client]} client, {titles[server]} server" for client, server in handshakes),
    ]
    lines = [
        [row[0].case, *(cell(verdict, numbering) for verdict in row)]
        for row in zip(*handshakes.values(), strict=True)
    ]
    return rows(header, lines)


def shell(peers: list[Peer], talks: Talks, numbering: Numbering) -> list[str]:
    """The table of the command line, without what it does not offer."""
    columns = {
        peer.title: talks[SELF_CLI, peer.name] for peer in peers if (SELF_CLI, peer.name) in talks
    }
    lines = [
        [case.title, *(cell(verdicts[i], numbering) for verdicts in columns.values())]
        for i, case in enumerate(CASES)
        if any(verdicts[i].owner != SELF_CLI for verdicts in columns.values())
    ]
    return rows(["", *(f"{title} server" for title in columns)], lines)


def others(peers: list[Peer], talks: Talks) -> list[str]:
    """How the peers fare among themselves over TCP: the control group."""
    peers = [peer for peer in peers if peer.medium == "tcp" and peer.name not in OURS]
    servers = [peer for peer in peers if peer.server]
    lines = []
    for client in (peer for peer in peers if peer.client):
        line = [f"{client.title} client"]
        for server in servers:
            line.append(tally(talks.get((client.name, server.name), [])))
        lines.append(line)
    return rows(["ok / fault / no", *(f"{peer.title} server" for peer in servers)], lines)


def page(
    peers: list[Peer],
    versions: dict[str, str],
    talks: Talks,
    handshakes: Talks,
) -> str:
    """The whole document."""
    titles = {peer.name: f"{peer.title} {MEDIA[peer.medium]}".strip() for peer in peers}
    numbering = Numbering(titles)
    tables = []
    for medium in dict.fromkeys(peer.medium for peer in peers):
        table = ours(peers, medium, talks, numbering)
        tables += [f"## dinrail and the peers {MEDIA[medium]}".strip(), "", *table, ""]
    security = secured(handshakes, peers, numbering)
    commands = shell(peers, talks, numbering)
    lines = [
        INTRO,
        "## Versions",
        "",
        *rows(["peer", "version"], [[name, version] for name, version in versions.items()]),
        "",
        "## Pairings",
        "",
        "All cases of the tables below, counted.",
        "",
        *pairings(peers, talks),
        "",
        *tables,
        "## Certificates",
        "",
        "The conversations over TLS have certificates of one CA on both sides, made by",
        "`dinrail pki`; the client's has the role `operator`. This is how it goes otherwise. Our",
        "server lets the role `viewer` read.",
        "",
        *security,
        "",
        "## `dinrail read` and `dinrail write`",
        "",
        *commands,
        "",
        "## Peer faults",
        "",
        *numbering.listing(Kind.FAULT),
        "",
        "## Not offered",
        "",
        *numbering.listing(Kind.ABSENT),
        "",
        "## A peer's own data",
        "",
        *numbering.listing(Kind.OWN),
        "",
        "## The peers among themselves",
        "",
        "The control group: what fails here fails without dinrail.",
        "",
        *others(peers, talks),
        "",
    ]
    return "\n".join(lines)
