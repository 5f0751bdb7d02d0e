"""What is known about the peers as servers. Every entry was seen on the wire."""

from __future__ import annotations

from . import dataset as d
from .cases import BY_NAME, holdings, identity
from .expect_clients import DUMMY, FIFO, FILES, IDENTITY
from .notes import ANY, SELF, Note, absent, fault, own

UNDECODED = "failed: error: Modbus Error: [Input/Output] Unable to decode request"
ZERO_CODE = {
    "pymodbus": UNDECODED,
    "libmodbus": "failed: error: function code 128",
    "tokio-modbus": "exception 1",
    "socket": "failed: error: answered 8001",
    SELF: "failed: a reply of function 80",
}
FILE_DUMMY = 'answers each group with the text "SERVER DUMMY RECORD.", whatever is asked'
TOO_MANY = "answers with 126 registers in 254 bytes, one more than a PDU holds"
SHORT = "gives no answer to a request with less than two bytes after the function code"
OTHER_LENGTH = "failed: a reply of the wrong length"
SILENT = {ANY: "failed: timeout"}
# The value of register 10 after a request with a byte too many.
TAKEN_LONG = {
    "libmodbus": "reply 020047",
    "tokio-modbus": "failed: error: mismatching function codes: 3 Ok(ReadHoldingRegisters([71]))",
    "socket": "71",
    ANY: "accepted",
}
BEFORE_260 = holdings(260, 2)
# What a client has that stops after ten rounds of an endless stream.
ENDLESS = identity(0, 1, 2, 4, 0x80)


def not_code(code: int) -> dict[str, str]:
    """What modbus-serial's client says of a reply with function code 0."""
    wrong = f"failed: error: Unexpected data error, expected code {code} got 128"
    return {**ZERO_CODE, "modbus-serial": wrong}


# On a serial line one request is out at a time, however many a client is told to send.
IN_TURN = own("pipeline", "requests take turns on a line", {ANY: BY_NAME["pipeline"].expected})
SILENT_UNIT = own("unit-9", "who is not there is silent: another device may be", SILENT)
NO_LENGTH = "RTU frames have no length of their own: with a byte too many the checksum is wrong"
PYMODBUS_RTU = (
    IN_TURN,
    own("exc-long", NO_LENGTH, SILENT),
    fault("exc-zero exc-126 exc-2001", "answers 80 01, which no function's refusal is", SILENT),
    fault("exc-function exc-mei exc-short", "waits for more of the request, however long", SILENT),
    fault("fc21", "stores nothing; answers a read with 80 01", {ANY: "written / failed: timeout"}),
)
SPOILED = fault(
    "exc-address",
    "keeps what it could not use of the request before, which spoils this one",
    SILENT,
)

PYMODBUS: tuple[Note, ...] = (
    fault("fc20", FILE_DUMMY, {"pymodbus": f"{DUMMY} | {DUMMY}", SELF: OTHER_LENGTH}),
    fault("fc20-100 exc-file", FILE_DUMMY, {"pymodbus": DUMMY, SELF: OTHER_LENGTH}),
    fault(
        "fc21",
        "echoes the request and stores nothing; refuses to read an odd number of registers of a "
        "file with 80 01",
        {"pymodbus": f"written / {UNDECODED}", SELF: f"written / {ZERO_CODE[SELF]}"},
    ),
    fault(FIFO, "answers 0 1 2 3, whatever queue is asked for", {ANY: "0 1 2 3"}),
    own("fc07", "the status is its own; an application cannot set it", {ANY: "status 0"}),
    fault("fc11", "the event counter never moves", {ANY: "status 0 counted 0"}),
    fault("fc12", "the message counter never moves", {ANY: "status 0 same count, no messages"}),
    own(
        "fc17",
        "the server id is the text of the identity objects, with the run indicator at the end",
        {
            "pymodbus": "id 64696e7261696c2d696e7465726f702d312e30 on -",
            "tokio-modbus": "failed: error: invalid run indication status: 0x69",
            ANY: "id 64 off 6e7261696c2d696e7465726f702d312e30ff",
        },
    ),
    fault("exc-function", "answers 80 01: the function code is lost", not_code(d.UNSERVED_CODE)),
    fault("exc-zero exc-126 exc-short", "answers 80 01 instead of 03", not_code(3)),
    fault("exc-2001", "answers 80 01 instead of 03", not_code(1)),
    fault("exc-long", "ignores the surplus byte", TAKEN_LONG),
    fault(
        "exc-coil-value",
        "takes any value but 0000h for on",
        {
            "libmodbus": "reply 008cff00 / 1",
            "tokio-modbus": "failed: error: mismatching function codes: 5 "
            "Ok(WriteSingleCoil(140, true)) / 1",
            ANY: "accepted / 1",
        },
    ),
    fault("exc-fc23", "writes before it finds the read address illegal", {ANY: "exception 2 / 9"}),
    fault("unit-9", "answers 04 for a unit that is not there", {ANY: "exception 4"}),
    fault(
        "pipeline segment",
        "answers one request of those that arrive together, the rest are lost",
        {ANY: "failed: answers missing"},
    ),
)

LIBMODBUS: tuple[Note, ...] = (
    absent(
        f"{FIFO} {FILES} fc08-echo fc08-register fc08-count fc11 fc12 {IDENTITY} custom",
        "`modbus_reply` does not know the function code",
    ),
    fault("fc07", "gives no answer at all", SILENT),
    own(
        "fc17",
        "the server id is 180, and its name and version",
        {"pymodbus": "id b4ff4c4d42332e312e off -", ANY: "id b4 on 4c4d42332e312e36"},
    ),
    fault(
        "exc-long",
        "leaves the surplus byte in the socket, where it spoils the next request",
        TAKEN_LONG,
    ),
    fault(
        "exc-short",
        "waits for as many bytes as the function code wants, not as MBAP says, then closes",
        {"modbus-serial": "failed: timeout", ANY: "failed: closed"},
    ),
)

UNKNOWN_IS_EMPTY = (
    "takes a function code that it does not know to have no data, and drops the frame for its "
    "checksum"
)
LIBMODBUS_RTU: tuple[Note, ...] = (
    SILENT_UNIT,
    own("exc-long", NO_LENGTH, SILENT),
    fault("exc-short", "waits for as many bytes as the function code wants", SILENT),
    absent("unit-2", "a context on a line is one unit", SILENT),
    absent(
        "unit-apart", "a context on a line is one unit", {ANY: "failed: timeout / failed: timeout"}
    ),
    fault(
        f"{FIFO} fc20 fc20-100 exc-file {IDENTITY} custom fc08-echo fc08-register exc-function "
        "exc-mei",
        UNKNOWN_IS_EMPTY,
        SILENT,
    ),
    fault("fc21", UNKNOWN_IS_EMPTY, {ANY: "failed: timeout / failed: timeout"}),
    fault(
        "fc08-count", UNKNOWN_IS_EMPTY, {ANY: f"failed: timeout / {d.holding(0)} / failed: timeout"}
    ),
)

MODBUS_SERIAL: tuple[Note, ...] = (
    absent(
        f"fc22 fc23 fc23-max {FIFO} {FILES} fc08-echo fc08-register fc08-count custom exc-fc23",
        "the TCP server does not know the function code",
    ),
    fault(
        "fc07 fc17 exc-function exc-short",
        SHORT,
        SILENT,
    ),
    fault(
        "fc11",
        SHORT,
        {ANY: "failed: timeout / 1 / failed: timeout"},
    ),
    fault(
        "fc12",
        SHORT,
        {ANY: "1 / failed: timeout / failed: timeout"},
    ),
    fault(
        "fc43-basic fc43-regular",
        "returns all objects and not the category asked for; when they need a second reply, that "
        "starts again at object 0: the stream never ends",
        {"modbus-serial": "failed: error: the promise never settled", ANY: ENDLESS},
    ),
    fault("exc-zero exc-2001", "answers 02", {ANY: "exception 2"}),
    fault("exc-long", "gives no answer", SILENT),
    fault(
        "exc-126",
        TOO_MANY,
        {
            "libmodbus": "failed: error: Invalid data",
            "tokio-modbus": "failed: error: response PDU size exceeded",
            "socket": holdings(10, 126),
            SELF: "failed: closed",
            ANY: "accepted",
        },
    ),
    fault(
        "exc-coil-value",
        "echoes the value as if it were written",
        {
            "libmodbus": "reply 008c1234 / 0",
            "tokio-modbus": "failed: error: Invalid coil value: {} / 0",
            ANY: "accepted / 0",
        },
    ),
    fault("exc-byte-count", "gives no answer", {ANY: f"failed: timeout / {BEFORE_260}"}),
)

TOKIO_MODBUS: tuple[Note, ...] = (
    absent(
        f"{FIFO} {FILES} fc07 fc08-echo fc08-register fc08-count fc11 fc12",
        "the service sees a custom request; refused here",
    ),
    fault(
        "fc17",
        "the MBAP length of the reply is one too small: the last byte is left over and spoils the "
        "next reply",
        {
            "pymodbus": UNDECODED,
            "modbus-serial": "id 11 on 70756d00",
            "tokio-modbus": "failed: error: failed to fill whole buffer",
            SELF: OTHER_LENGTH,
            "libmodbus": f"id {d.SERVER_ID:02x} on {d.SERVER_ADDITIONAL.hex()}",
        },
    ),
    fault(
        "exc-coil-value",
        "closes the connection instead of 03",
        {"modbus-serial": "failed: timeout / 0", ANY: "failed: closed / 0"},
    ),
    fault(
        "exc-byte-count",
        "closes the connection instead of 03",
        {
            "modbus-serial": f"failed: timeout / {BEFORE_260}",
            ANY: f"failed: closed / {BEFORE_260}",
        },
    ),
    fault(
        "exc-short exc-long",
        "closes the connection instead of 03",
        {"modbus-serial": "failed: timeout", ANY: "failed: closed"},
    ),
    fault(
        "exc-mei",
        "closes the connection instead of 01",
        {"modbus-serial": "failed: timeout", ANY: "failed: closed"},
    ),
)

SERVERS: dict[str, tuple[Note, ...]] = {
    f"{SELF}/rtu": (SILENT_UNIT, own("exc-long", NO_LENGTH, SILENT)),
    f"{SELF}/ascii": (SILENT_UNIT,),
    f"{SELF}/rtu+tcp": (own("exc-long", NO_LENGTH, SILENT),),
    "pymodbus": PYMODBUS,
    "pymodbus/rtu+tcp": PYMODBUS_RTU,
    "pymodbus/ascii+tcp": (IN_TURN,),
    "libmodbus/rtu": LIBMODBUS_RTU,
    "modbus-serial/rtu": (fault("exc-126", TOO_MANY, SILENT),),
    "pymodbus/rtu": (*PYMODBUS_RTU, SPOILED),
    "pymodbus/ascii": (IN_TURN,),
    "libmodbus": LIBMODBUS,
    "modbus-serial": MODBUS_SERIAL,
    "tokio-modbus": TOKIO_MODBUS,
}
