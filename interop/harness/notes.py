"""The shape of what is known about a peer, before expect.py says what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

SELF = "dinrail"
SELF_CLI = "dinrail-cli"
ANY = "*"


def stack(name: str) -> str:
    """The stack behind a name: `pymodbus/udp` is pymodbus over UDP. Notes about a stack hold for
    every medium, and those about a name for that medium alone."""
    return name.split("/")[0]


class Kind(Enum):
    """Why an answer is not what the case asks for."""

    ABSENT = "not offered"
    FAULT = "peer fault"
    OWN = "its own data"


@dataclass(frozen=True)
class Note:
    """What one peer does in some cases, and what the other side then sees.

    `seen` maps the name of the other side to the exact result; ANY stands for all not named.
    A client that offers no such call says so itself; a server that offers no such function code
    refuses with exception 01 unless `seen` knows better.
    """

    kind: Kind
    text: str
    cases: tuple[str, ...]
    seen: dict[str, str] = field(default_factory=dict)


def absent(cases: str, text: str, seen: dict[str, str] | None = None) -> Note:
    """The peer has nothing to offer here."""
    return Note(Kind.ABSENT, text, tuple(cases.split()), seen or {})


def fault(cases: str, text: str, seen: dict[str, str]) -> Note:
    """The peer does what the specification does not allow."""
    return Note(Kind.FAULT, text, tuple(cases.split()), seen)


def own(cases: str, text: str, seen: dict[str, str]) -> Note:
    """Right in form, but the peer has its own data."""
    return Note(Kind.OWN, text, tuple(cases.split()), seen)
