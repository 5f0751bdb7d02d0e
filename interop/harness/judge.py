"""Compares what a conversation brought with what the case asks for or the notes foresee."""

from __future__ import annotations

from dataclasses import dataclass

from .cases import BY_NAME, CASES, Case
from .expect_clients import CLIENTS
from .expect_servers import SERVERS
from .notes import ANY, Kind, Note, stack

NOT_OFFERED = "not offered"
REFUSED = "exception 1"


@dataclass(frozen=True)
class Verdict:
    """One cell. `owner` and `side` say whose note it is: a peer's, as client or as server."""

    case: str
    passed: bool
    got: str
    wanted: str
    note: Note | None = None
    owner: str = ""
    side: str = ""


def known(table: dict[str, tuple[Note, ...]], name: str, case: str) -> tuple[Note | None, str]:
    """What is known about this case, and whose note it is. The most particular first."""
    for owner in (name, stack(name)):
        for note in table.get(owner, ()):
            if case in note.cases:
                return note, owner
    return None, name


def seen(note: Note | None, other: str) -> str | None:
    """What this other side sees, if the note names it."""
    if note is None:
        return None
    return note.seen.get(other, note.seen.get(stack(other)))


def judge(case: Case, client: str, server: str, got: str) -> Verdict:
    """One case of one conversation."""
    of_client, whose_client = known(CLIENTS, client, case.name)
    of_server, whose_server = known(SERVERS, server, case.name)
    if of_client is not None and of_client.kind is Kind.ABSENT:
        absent = got == NOT_OFFERED
        return Verdict(case.name, absent, got, NOT_OFFERED, of_client, whose_client, "client")
    # The most particular first: what this client sees of this server, then what all do.
    candidates = (
        (of_server, whose_server, "server", seen(of_server, client)),
        (of_client, whose_client, "client", seen(of_client, server)),
        (of_server, whose_server, "server", of_server.seen.get(ANY) if of_server else None),
    )
    for note, owner, side, wanted in candidates:
        if wanted is not None:
            return Verdict(case.name, got == wanted, got, wanted, note, owner, side)
    if of_server is not None and of_server.kind is Kind.ABSENT:
        refused = REFUSED in got.split(" / ")
        return Verdict(case.name, refused, got, REFUSED, of_server, whose_server, "server")
    wanted = of_client.seen.get(ANY) if of_client else None
    if wanted is not None:
        return Verdict(case.name, got == wanted, got, wanted, of_client, whose_client, "client")
    return Verdict(case.name, got == case.expected, got, case.expected)


def judge_all(client: str, server: str, results: dict[str, str]) -> list[Verdict]:
    """A whole conversation, in the order of the table."""
    return [judge(case, client, server, results.get(case.name, "nothing")) for case in CASES]


def unused() -> list[str]:
    """Notes about cases that do not exist: a renamed case must not hide a note."""
    return [
        f"{peer}: {case}"
        for table in (CLIENTS, SERVERS)
        for peer, notes in table.items()
        for note in notes
        for case in note.cases
        if case not in BY_NAME
    ]
