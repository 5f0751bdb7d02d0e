"""The data that every server of the suite serves, as formulas.

Units 1 and 2 exist, every other unit does not. Each unit has its own cells, at addresses 0..=999.
The servers (peers/*, dinrail-peer) repeat these formulas in their own language: that the two sides
agree on them is what the suite proves.
"""

SIZE = 1000
UNITS = (1, 2)
UNKNOWN_UNIT = 9

CUSTOM_CODE = 0x42  # user-defined; the reply is the request's bytes in reverse order
UNSERVED_CODE = 0x41  # user-defined; nobody serves it

EXCEPTION_STATUS = 0x6D
SERVER_ID = 0x11
SERVER_ADDITIONAL = b"pump"

FIFOS: dict[int, list[int]] = {20: [11, 22, 33], 21: []}
FILES = range(1, 5)
RECORDS = range(100)

IDENTITY: dict[int, str] = {
    0x00: "dinrail",
    0x01: "interop",
    0x02: "1.0",
    0x04: "peer",
    0x80: "a" * 120,
    0x81: "b" * 120,
    0x82: "c" * 120,
}


def holding(address: int, unit: int = 1) -> int:
    """The first value of a holding register."""
    return (address * 7 + unit) % 65536


def input_register(address: int, unit: int = 1) -> int:
    """The value of an input register."""
    return address * 3 + 1 + unit


def coil(address: int, unit: int = 1) -> bool:
    """The first value of a coil."""
    return (address + unit - 1) % 3 == 0


def discrete(address: int, unit: int = 1) -> bool:
    """The value of a discrete input."""
    return (address + unit - 1) % 5 == 0


def record(file: int, number: int) -> int:
    """The first value of a register in a file."""
    return file * 256 + number
