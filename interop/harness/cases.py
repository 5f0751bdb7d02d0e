"""What is asked, and what the answer must be.

A case is a few steps on a connection of its own, which a client replaces only after a failure. A
step is one line of words that every client program understands, so that a case is written once and
not once per language:

    coils A N | discrete A N | holding A N | input A N      read N cells from address A
    write-coil A 0|1 | write-register A V                   write one cell
    write-coils A 0110... | write-registers A V...          write many
    mask A AND OR | read-write RA RN WA V...                FC 22, FC 23
    fifo A | file-read F:R:N... | file-write F:R:V,V...     FC 24, 20, 21
    status | diagnostics SUB HEX | events | log | server-id FC 7, 8, 11, 12, 17
    device-id CODE OBJECT                                   FC 43/14, the whole stream
    raw FC HEX                                              any function code, any body
    pipeline A N K                                          K reads of N holding registers at
                                                            A, A+N, ... all in flight at once
    segment A N K                                           the same requests as one TCP segment

The client prints one JSON line a step: {"case": ..., "ok": ..., "detail": ...}. `detail` is what
its user would see, in one spelling for all languages: "71 78", "0110", "written", "exception 2",
or, with ok = false, "not offered", "timeout", "closed", "error: ...".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import dataset as d
from .digests import all_or_none, cleared, counted, log_agrees


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    title: str
    steps: tuple[str, ...]
    expected: str
    unit: int = 1
    digest: Callable[[list[str]], str] = " / ".join

    def script(self) -> list[str]:
        """The lines that a client program is given."""
        return [f"{self.name} {self.unit} {step}" for step in self.steps]


def regs(values: list[int]) -> str:
    """Registers, as the clients print them."""
    return " ".join(str(value) for value in values)


def bits(values: list[bool]) -> str:
    """Coils, as the clients print them."""
    return "".join("1" if value else "0" for value in values)


def holdings(address: int, count: int, unit: int = 1) -> str:
    """Untouched holding registers."""
    return regs([d.holding(a, unit) for a in range(address, address + count)])


def coils(address: int, count: int, unit: int = 1) -> str:
    """Untouched coils."""
    return bits([d.coil(a, unit) for a in range(address, address + count)])


def identity(*objects: int) -> str:
    """Device identification objects, as the clients print them."""
    return " ".join(f"{o}={d.IDENTITY[o]}" for o in objects)


def records(file: int, first: int, count: int) -> str:
    """Untouched registers of a file."""
    return regs([d.record(file, first + i) for i in range(count)])


def slices(address: int, each: int, times: int) -> str:
    """What `pipeline` and `segment` must bring back."""
    return " | ".join(holdings(address + i * each, each) for i in range(times))


BURST = regs([(i * 257 + 1) % 65536 for i in range(123)])
SWAP = regs([60000 + i for i in range(121)])

CASES: tuple[Case, ...] = (
    Case("fc01", "FC 1 read coils", ("coils 0 20",), coils(0, 20)),
    Case("fc01-many", "FC 1 all 1000 coils", ("coils 0 1000",), coils(0, 1000)),
    Case(
        "fc02",
        "FC 2 read discrete inputs",
        ("discrete 3 17",),
        bits([d.discrete(a) for a in range(3, 20)]),
    ),
    Case("fc03", "FC 3 read holding registers", ("holding 10 10",), holdings(10, 10)),
    Case("fc03-max", "FC 3 125 registers", ("holding 0 125",), holdings(0, 125)),
    Case(
        "fc04",
        "FC 4 read input registers",
        ("input 10 10",),
        regs([d.input_register(a) for a in range(10, 20)]),
    ),
    Case(
        "fc04-max",
        "FC 4 125 registers",
        ("input 875 125",),
        regs([d.input_register(a) for a in range(875, 1000)]),
    ),
    Case(
        "fc05",
        "FC 5 write a coil, on and off",
        ("write-coil 100 1", "write-coil 102 0", "coils 99 5"),
        "written / written / 11000",
    ),
    Case(
        "fc06",
        "FC 6 write a register",
        ("write-register 200 43981", "holding 199 3"),
        f"written / {d.holding(199)} 43981 {d.holding(201)}",
    ),
    Case(
        "fc15",
        "FC 15 write coils",
        ("write-coils 110 1101011011", "coils 108 14"),
        f"written / {coils(108, 2)}1101011011{coils(120, 2)}",
    ),
    Case(
        "fc16",
        "FC 16 write registers",
        ("write-registers 210 1 65535 32768", "holding 209 5"),
        f"written / {d.holding(209)} 1 65535 32768 {d.holding(213)}",
    ),
    Case(
        "fc16-max",
        "FC 16 123 registers",
        (f"write-registers 300 {BURST}", "holding 300 123"),
        f"written / {BURST}",
    ),
    Case(
        "fc22",
        "FC 22 mask write register",
        ("mask 230 62194 9509", "holding 230 1"),
        f"written / {(d.holding(230) & 62194) | (9509 & ~62194 & 0xFFFF)}",
    ),
    Case(
        "fc23",
        "FC 23 writes before it reads",
        ("read-write 239 5 240 7 8 9",),
        f"{d.holding(239)} 7 8 9 {d.holding(243)}",
    ),
    Case(
        "fc23-max",
        "FC 23 reads 125, writes 121",
        (f"read-write 500 125 500 {SWAP}",),
        f"{SWAP} {holdings(621, 4)}",
    ),
    Case("fc24", "FC 24 read FIFO queue", ("fifo 20",), regs(d.FIFOS[20])),
    Case("fc24-empty", "FC 24 empty queue", ("fifo 21",), "empty"),
    Case(
        "fc20",
        "FC 20 two groups",
        ("file-read 4:1:2 3:9:2",),
        f"{records(4, 1, 2)} | {records(3, 9, 2)}",
    ),
    Case(
        "fc20-100", "FC 20 one group of 100 registers", ("file-read 2:0:100",), records(2, 0, 100)
    ),
    Case(
        "fc21",
        "FC 21 write file record",
        ("file-write 4:7:1711,190,4109", "file-read 4:6:5"),
        f"written / {records(4, 6, 1)} 1711 190 4109 {records(4, 10, 1)}",
    ),
    Case("fc07", "FC 7 exception status", ("status",), f"status {d.EXCEPTION_STATUS}"),
    Case("fc08-echo", "FC 8/0 return query data", ("diagnostics 0 a537",), "echo a537"),
    Case("fc08-register", "FC 8/2 diagnostic register", ("diagnostics 2 0000",), "echo 0000"),
    Case(
        "fc08-count",
        "FC 8/10 and 8/11 clear, then count",
        ("diagnostics 10 0000", "holding 0 1", "diagnostics 11 0000"),
        f"echo 0000 / {d.holding(0)} / low",
        digest=cleared,
    ),
    Case(
        "fc11",
        "FC 11 counts one success",
        ("events", "holding 0 1", "events"),
        "status 0 counted 1",
        digest=counted,
    ),
    Case(
        "fc12",
        "FC 12 agrees with FC 11",
        ("holding 0 1", "events", "log"),
        "status 0 same count, messages",
        digest=log_agrees,
    ),
    Case(
        "fc17",
        "FC 17 report server id",
        ("server-id",),
        f"id {d.SERVER_ID:02x} on {d.SERVER_ADDITIONAL.hex()}",
    ),
    Case("fc43-basic", "FC 43/14 basic", ("device-id 1 0",), identity(0, 1, 2)),
    Case("fc43-regular", "FC 43/14 regular", ("device-id 2 0",), identity(0, 1, 2, 4)),
    Case(
        "fc43-stream",
        "FC 43/14 extended, in several replies",
        ("device-id 3 0",),
        identity(0, 1, 2, 4, 0x80, 0x81, 0x82),
    ),
    Case("fc43-one", "FC 43/14 one object", ("device-id 4 4",), identity(4)),
    Case("fc43-none", "FC 43/14 unknown object: 02", ("device-id 4 6",), "exception 2"),
    Case(
        "custom", f"Custom code {d.CUSTOM_CODE}", (f"raw {d.CUSTOM_CODE} 010203",), "reply 030201"
    ),
    Case("exc-function", "Unknown code: 01", (f"raw {d.UNSERVED_CODE} 01",), "exception 1"),
    Case("exc-address", "Address 1000: 02", ("holding 1000 1",), "exception 2"),
    Case("exc-range", "995..1004: 02", ("holding 995 10",), "exception 2"),
    Case("exc-coil", "Coil 2000: 02", ("coils 2000 1",), "exception 2"),
    Case("exc-write", "Write to 1000: 02", ("write-register 1000 1",), "exception 2"),
    Case(
        "exc-nothing-done",
        "A refused write changes nothing",
        ("write-registers 998 1 2 3", "holding 997 3"),
        f"exception 2 / {holdings(997, 3)}",
    ),
    Case(
        "exc-fc23",
        "FC 23, read address bad: nothing written",
        ("read-write 1000 1 250 9", "holding 250 1"),
        f"exception 2 / {d.holding(250)}",
    ),
    Case("exc-fifo", "FC 24, no such queue: 02", ("fifo 1000",), "exception 2"),
    Case("exc-file", "FC 20, no such file: 02", ("file-read 9:0:2",), "exception 2"),
    Case("exc-mei", "FC 43/15: 01", ("raw 43 0f0100",), "exception 1"),
    Case("exc-zero", "Quantity 0: 03", ("raw 3 000a0000",), "exception 3"),
    Case("exc-126", "Quantity 126: 03", ("raw 3 000a007e",), "exception 3"),
    Case("exc-2001", "Quantity 2001 of coils: 03", ("raw 1 000007d1",), "exception 3"),
    Case(
        "exc-coil-value",
        "FC 5 value 1234h: 03",
        ("raw 5 008c1234", "coils 140 1"),
        f"exception 3 / {coils(140, 1)}",
    ),
    Case(
        "exc-byte-count",
        "FC 16 byte count wrong: 03",
        ("raw 16 0104000203000102", "holding 260 2"),
        f"exception 3 / {holdings(260, 2)}",
    ),
    Case("exc-short", "FC 3 body too short: 03", ("raw 3 000a",), "exception 3"),
    Case("exc-long", "FC 3 body too long: 03", ("raw 3 000a000100",), "exception 3"),
    Case("unit-2", "Another unit's cells", ("holding 10 3",), holdings(10, 3, 2), unit=2),
    Case(
        "unit-apart",
        "A write to unit 2 leaves unit 1 alone",
        ("write-register 270 5", "holding 270 1"),
        "written / 5",
        unit=2,
    ),
    Case("unit-1-kept", "... as unit 1 tells", ("holding 270 1",), holdings(270, 1)),
    Case("unit-9", "Unknown unit: 0B", ("holding 10 1",), "exception 11", unit=d.UNKNOWN_UNIT),
    Case(
        "pipeline",
        "16 requests in flight",
        ("pipeline 700 3 16",),
        slices(700, 3, 16),
        digest=all_or_none,
    ),
    Case(
        "segment",
        "Two requests in one segment",
        ("segment 800 2 2",),
        slices(800, 2, 2),
        digest=all_or_none,
    ),
    Case(
        "session",
        "A connection survives exceptions",
        (
            "holding 1000 1",
            "coils 0 8",
            "write-register 1000 1",
            "write-register 280 77",
            "coils 2000 1",
            "holding 279 3",
        ),
        f"exception 2 / {coils(0, 8)} / exception 2 / written / exception 2 / "
        f"{d.holding(279)} 77 {d.holding(281)}",
    ),
)

BY_NAME: dict[str, Case] = {case.name: case for case in CASES}
SCRIPT: str = "".join(f"{line}\n" for case in CASES for line in case.script())
