"""Serves the suite's data set with pymodbus: [udp | rtu PATH | ascii PATH].

Prints the port it listens on, or that it is ready.
"""

from __future__ import annotations

import asyncio
import sys

from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
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


async def serve_line(framer: str, path: str) -> None:
    """Serve a serial port until killed."""
    server = ModbusSerialServer(
        [device(1), device(2)],
        framer=FramerType(framer),
        identity=ModbusDeviceIdentification(info=IDENTITY),
        custom_pdu=[Reverse],
        port=path,
        baudrate=19200,
    )
    await server.serve_forever(background=True)
    print("ready", flush=True)
    await server.serving


async def main() -> None:
    """Listen on a free port until killed."""
    if sys.argv[2:]:
        return await serve_line(sys.argv[1], sys.argv[2])
    udp = sys.argv[1:] == ["udp"]
    kind = ModbusUdpServer if udp else ModbusTcpServer
    server = kind(
        [device(1), device(2)],
        address=("127.0.0.1", 0),
        identity=ModbusDeviceIdentification(info=IDENTITY),
        custom_pdu=[Reverse],
    )
    await server.serve_forever(background=True)
    listener = server.transport if udp else server.transport.sockets[0].getsockname
    name = listener.get_extra_info("sockname") if udp else listener()
    print(name[1], flush=True)
    await server.serving


asyncio.run(main())
