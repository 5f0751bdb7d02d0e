"""What is known about the peers as clients. Every entry was seen on the wire."""

from __future__ import annotations

from . import dataset as d
from .cases import BY_NAME, CASES
from .notes import ANY, SELF, SELF_CLI, Note, absent, fault

IDENTITY = "fc43-basic fc43-regular fc43-stream fc43-one fc43-none"
FILES = "fc20 fc20-100 fc21 exc-file"
FIFO = "fc24 fc24-empty exc-fifo"
SERIAL_LINE = "fc07 fc08-echo fc08-register fc08-count fc11 fc12"

ONE_AT_A_TIME = "a client has one request in flight"
ONE_A_PROCESS = "every run of the program makes a connection"
NO_SEGMENT = "no call joins requests in one segment"

PROGRAMS_CAN = (
    "fc01 fc02 fc03 fc03-max fc04 fc04-max fc05 fc06 fc15 fc16 fc16-max exc-address exc-range "
    "exc-coil exc-write exc-nothing-done unit-2 unit-apart unit-1-kept unit-9"
).split()
SOCKET_CAN = (
    "fc03 fc03-max custom exc-function exc-address exc-range exc-zero exc-126 exc-byte-count "
    "exc-short exc-long exc-2001 exc-mei unit-2 unit-1-kept unit-9 pipeline segment"
).split()


def all_but(names: list[str]) -> str:
    """The cases not named."""
    return " ".join(case.name for case in CASES if case.name not in names)


DUMMY = "21317 21078 17746 8260 21837 19801 8274 17731 20306 17454"

TIMEOUT = "failed: timeout"
SHORT = "sends no request with less than two bytes after the function code"
NO_REPLY_LENGTH = "does not know how long the reply is, and waits for ever"
TOO_SHORT = "looks at no reply, refusals neither, when it expects less than six bytes"
MASKED = (d.holding(230) & 62194) | (9509 & ~62194 & 0xFFFF)
# modbus-serial waits for as many bytes as the request lets it expect, with every framing but TCP's.
BY_LENGTH = (
    fault("fc23 fc23-max fc20-100 custom", NO_REPLY_LENGTH, {SELF: TIMEOUT}),
    fault("fc22", NO_REPLY_LENGTH, {SELF: f"{TIMEOUT} / {MASKED}"}),
)
UNFINISHED = fault("exc-fc23", NO_REPLY_LENGTH, {SELF: f"{TIMEOUT} / {d.holding(250)}"})
IMPATIENT = fault(
    "pipeline",
    "sends requests before the reply to the one before has come",
    {SELF: "failed: answers missing"},
)

CLIENTS: dict[str, tuple[Note, ...]] = {
    SELF: (absent("segment", NO_SEGMENT),),
    SELF_CLI: (
        absent("session", ONE_A_PROCESS),
        absent(all_but([*PROGRAMS_CAN, "fc01-many"]), "the program has no option for it"),
    ),
    "pymodbus": (
        absent("pipeline", ONE_AT_A_TIME),
        absent("segment", NO_SEGMENT),
        fault(
            "fc17",
            "takes the last byte of the reply for the run indicator, which stands before the "
            "additional data",
            {SELF: "id 11ff70756d off -"},
        ),
    ),
    "pymodbus/rtu": (
        fault(
            "fc24 fc24-empty",
            "takes the reply to be two bytes shorter than it is, and drops it for its checksum",
            {SELF: "failed: timeout"},
        ),
    ),
    "pymodbus/rtu+tcp": (
        fault(
            "fc24 fc24-empty",
            "takes the reply to be two bytes shorter than it is, and drops it for its checksum",
            {SELF: "failed: timeout"},
        ),
    ),
    "libmodbus/rtu": (
        absent("pipeline", "a line has one request at a time"),
        fault(
            "custom",
            "`modbus_receive_confirmation` takes one byte after a function code that it does not "
            "know, and so the wrong bytes for the checksum",
            {SELF: "failed: error: Invalid CRC"},
        ),
    ),
    "libmodbus": (
        absent(f"{IDENTITY} {FILES} {FIFO} {SERIAL_LINE}", "no call for this function code"),
        absent("segment", NO_SEGMENT),
        fault(
            "custom",
            "`modbus_receive_confirmation` takes one byte after a function code that it does not "
            "know and leaves the rest in the socket",
            {ANY: "reply 03"},
        ),
    ),
    "mbpoll": (
        absent("fc01-many", "reads at most 125 values, of coils too"),
        absent("session", ONE_A_PROCESS),
        absent(all_but(PROGRAMS_CAN), "the program has no option for it"),
    ),
    "modbus-serial": (
        absent(f"{FIFO} {SERIAL_LINE} fc21", "no call for this function code"),
        absent("fc20 exc-file", "reads 100 registers of one group, nothing else"),
        absent("segment", NO_SEGMENT),
        fault(
            "fc20-100",
            "always asks for 100 registers, and returns the two bytes of a CRC of its own making "
            "as if they were data",
            {
                SELF: f"{BY_NAME['fc20-100'].expected} 53659",
                "pymodbus": f"{DUMMY} 20357",
            },
        ),
    ),
    "modbus-serial/udp": (fault("fc17 exc-function", SHORT, {SELF: TIMEOUT}),),
    "modbus-serial/rtu": (
        *BY_LENGTH,
        UNFINISHED,
        IMPATIENT,
        fault("exc-function", NO_REPLY_LENGTH, {SELF: TIMEOUT}),
        fault("exc-zero", TOO_SHORT, {SELF: TIMEOUT}),
    ),
    "modbus-serial/rtu+tcp": (
        *BY_LENGTH,
        UNFINISHED,
        IMPATIENT,
        fault("fc17 exc-function", SHORT, {SELF: TIMEOUT}),
        fault(f"{IDENTITY} exc-mei", NO_REPLY_LENGTH, {SELF: TIMEOUT}),
        fault("exc-zero", TOO_SHORT, {SELF: TIMEOUT}),
    ),
    "modbus-serial/ascii": (
        *BY_LENGTH,
        IMPATIENT,
        fault("fc17 exc-function", SHORT, {SELF: TIMEOUT}),
        fault(IDENTITY.removesuffix(" fc43-none"), NO_REPLY_LENGTH, {SELF: TIMEOUT}),
    ),
    "tokio-modbus": (
        absent(
            f"{FILES} {FIFO} {SERIAL_LINE}", "no call for this function code but a custom request"
        ),
        absent("pipeline", ONE_AT_A_TIME),
        absent("segment", NO_SEGMENT),
    ),
    "socket": (absent(all_but(SOCKET_CAN), "left to the libraries"),),
}
