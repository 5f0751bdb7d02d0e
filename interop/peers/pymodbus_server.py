"""Serves the suite's data set with pymodbus: MEDIUM, or rtu | ascii PATH.

Prints the port it listens on, or that it is ready. Over TLS, SERVER_SHOWS of the environment is a
certificate and a key without .pem and .key, and SERVER_TRUSTS the CA that clients must be of;
empty, it asks for no certificate.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

SIZE = 1000
BITS = 1008  # pymodbus stores coils in 16-bit words; nobody asks for 1000..1007
IDENTITY = {
    0x00: "dinrail",
    0x01: "interop",
    0x02: "1.0",
    0x04: "peer",
    0x80: "a" * 120,
    0x81: "b" * 120,
    0x82: "c" * 120,
}


class Reverse(ModbusPDU):
    """The custom function code: the reply is the request's bytes in reverse order."""

    function_code = 0x42
    rtu_frame_size = 7  # the suite sends three bytes: unit, code and CRC besides

    def __init__(self, body: bytes = b"", dev_id: int = 0, transaction_id: int = 0) -> None:
        super().__init__(dev_id=dev_id, transaction_id=transaction_id)
        self.body = body

    def encode(self) -> bytes:
        return self.body

    def decode(self, data: bytes) -> None:
        self.body = data

    async def datastore_update(self, context: object, device_id: int) -> ModbusPDU:
        return Reverse(self.body[::-1], device_id, self.transaction_id)


def bits(values: list[bool]) -> list[SimData]:
    """A block of single bits."""
    return [SimData(0, values=values, datatype=DataType.BITS)]


def words(values: list[int]) -> list[SimData]:
    """A block of registers."""
    return [SimData(0, values=values, datatype=DataType.REGISTERS)]


def device(unit: int) -> SimDevice:
    """All the cells of one unit."""
    return SimDevice(
        unit,
        simdata=(
            bits([(a + unit - 1) % 3 == 0 for a in range(BITS)]),
            bits([(a + unit - 1) % 5 == 0 for a in range(BITS)]),
            words([(a * 7 + unit) % 65536 for a in range(SIZE)]),
            words([a * 3 + 1 + unit for a in range(SIZE)]),
        ),
    )


def limited(context: ssl.SSLContext) -> ssl.SSLContext:
    """As new and as old as OLDEST_TLS and NEWEST_TLS of the environment allow."""
    if oldest := os.environ.get("OLDEST_TLS"):
        context.minimum_version = ssl.TLSVersion[oldest]
    if newest := os.environ.get("NEWEST_TLS"):
        context.maximum_version = ssl.TLSVersion[newest]
    return context


def security() -> ssl.SSLContext:
    """What the server shows, and whom it trusts."""
    own, ca = os.environ["SERVER_SHOWS"], os.environ["SERVER_TRUSTS"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{own}.pem", f"{own}.key")
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return limited(context)


def make_server(
    medium: str, path: list[str]
) -> ModbusTcpServer | ModbusUdpServer | ModbusSerialServer:
    """The server that the arguments ask for."""
    framing = medium.removesuffix("tcp").removesuffix("+")
    how = {
        "identity": ModbusDeviceIdentification(info=IDENTITY),
        "custom_pdu": [Reverse],
    }
    if path:
        how |= {"framer": FramerType(medium), "port": path[0], "baudrate": 19200}
        return ModbusSerialServer([device(1), device(2)], **how)
    how["address"] = ("127.0.0.1", 0)
    if medium == "tls":
        return ModbusTlsServer([device(1), device(2)], sslctx=security(), **how)
    if medium == "udp":
        return ModbusUdpServer([device(1), device(2)], **how)
    how["framer"] = FramerType(framing or "socket")
    return ModbusTcpServer([device(1), device(2)], **how)


def bound(server: ModbusTcpServer | ModbusUdpServer | ModbusSerialServer) -> int | str:
    """The port that the system chose, or that there is none."""
    if isinstance(server, ModbusSerialServer):
        return "ready"
    if isinstance(server, ModbusUdpServer):
        return server.transport.get_extra_info("sockname")[1]
    return server.transport.sockets[0].getsockname()[1]


async def main() -> None:
    """Serve until killed."""
    server = make_server(sys.argv[1], sys.argv[2:])
    await server.serve_forever(background=True)
    print(bound(server), flush=True)
    await server.serving


asyncio.run(main())
