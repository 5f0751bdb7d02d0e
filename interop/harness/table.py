"""Writes docs/interop.md. The same results make the same bytes: no times, no dates, no ports."""

from __future__ import annotations

from dataclasses import dataclass, field

from .cases import CASES
from .judge import Verdict
from .launch import Peer
from .notes import SELF, SELF_CLI, Kind, stack

OURS = (SELF, SELF_CLI)
MEDIA = {"tcp": "TCP", "udp": "UDP", "rtu": "RTU", "ascii": "ASCII"}
WORDS = {Kind.ABSENT: "no", Kind.FAULT: "fault", Kind.OWN: "ok"}

INTRO = """\
# Interoperability

dinrail against other Modbus stacks on one machine, over TCP, UDP and serial lines (RTU and ASCII
on pseudo terminals), each as client against our server and as server against our client.
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
    talks: dict[tuple[str, str], list[Verdict]],
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


def shell(
    peers: list[Peer], talks: dict[tuple[str, str], list[Verdict]], numbering: Numbering
) -> list[str]:
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


def others(peers: list[Peer], talks: dict[tuple[str, str], list[Verdict]]) -> list[str]:
    """How the peers fare among themselves over TCP: the control group."""
    peers = [peer for peer in peers if peer.medium == "tcp" and peer.name not in OURS]
    servers = [peer for peer in peers if peer.server]
    lines = []
    for client in (peer for peer in peers if peer.client):
        line = [f"{client.title} client"]
        for server in servers:
            verdicts = talks.get((client.name, server.name), [])
            kinds = [verdict.note.kind if verdict.note else None for verdict in verdicts]
            fine = kinds.count(None) + kinds.count(Kind.OWN)
            line.append(f"{fine} / {kinds.count(Kind.FAULT)} / {kinds.count(Kind.ABSENT)}")
        lines.append(line)
    return rows(["ok / fault / no", *(f"{peer.title} server" for peer in servers)], lines)


def page(
    peers: list[Peer],
    versions: dict[str, str],
    talks: dict[tuple[str, str], list[Verdict]],
) -> str:
    """The whole document."""
    titles = {
        peer.name: peer.title if peer.medium == "tcp" else f"{peer.title} over {MEDIA[peer.medium]}"
        for peer in peers
    }
    numbering = Numbering(titles)
    tables = []
    for medium in dict.fromkeys(peer.medium for peer in peers):
        title = "" if medium == "tcp" else f" over {MEDIA[medium]}"
        table = ours(peers, medium, talks, numbering)
        tables += [f"## dinrail and the peers{title}", "", *table, ""]
    commands = shell(peers, talks, numbering)
    lines = [
        INTRO,
        "## Versions",
        "",
        *rows(["peer", "version"], [[name, version] for name, version in versions.items()]),
        "",
        *tables,
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
