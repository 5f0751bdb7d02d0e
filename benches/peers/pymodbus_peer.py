"""pymodbus as a peer of the benchmarks.

`server`, or `client sync|async PORT CONNECTIONS CALLS MILLISECONDS`, or `version`. The server ends when its
standard input closes. The sync client has a thread for each connection; the async one a task for each call in flight.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time

import pymodbus
from pymodbus.client import AsyncModbusTcpClient, ModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

UNIT = 1
BLOCK = 10
SPAN = 65536 - 125
VALUES = [(address * 7 + 1) & 0xFFFF for address in range(65536)]


def serve() -> None:
    asyncio.run(_serve())


async def _serve() -> None:
    registers = SimData(0, values=list(VALUES), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(UNIT, simdata=[registers]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    print("ready", server.transport.sockets[0].getsockname()[1], flush=True)
    await server.serving


def _end_with_stdin() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


class Count:
    """What one window of calls came to."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0

    def check(self, address: int, reply) -> None:
        if reply.isError() or reply.registers != VALUES[address : address + BLOCK]:
            self.errors += 1
        else:
            self.requests += 1


def report(run, seconds: float) -> None:
    """Warms up, then prints what `run(seconds) -> [Count]` did in the window."""
    run(0.1)
    cpu, wall = time.process_time(), time.perf_counter()
    counts = run(seconds)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(
        json.dumps(
            {
                "requests": sum(c.requests for c in counts),
                "errors": sum(c.errors for c in counts),
                "seconds": wall,
                "cpu_seconds": cpu,
            }
        )
    )


def sync_client(port: int, connections: int, seconds: float) -> None:
    clients = [ModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
    for client in clients:
        if not client.connect():
            sys.exit("pymodbus peer: cannot connect")

    def work(client, deadline: float, count: Count) -> None:
        while time.perf_counter() < deadline:
            address = random.randrange(SPAN)
            count.check(address, client.read_holding_registers(address, count=BLOCK, device_id=UNIT))

    def run(window: float) -> list[Count]:
        deadline = time.perf_counter() + window
        counts = [Count() for _ in clients]
        if connections == 1:
            work(clients[0], deadline, counts[0])
            return counts
        threads = [threading.Thread(target=work, args=(c, deadline, n)) for c, n in zip(clients, counts, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return counts

    report(run, seconds)


def async_client(port: int, connections: int, calls: int, seconds: float) -> None:
    async def connect() -> list[AsyncModbusTcpClient]:
        clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(connections)]
        for client in clients:
            if not await client.connect():
                sys.exit("pymodbus peer: cannot connect")
        return clients

    async def work(client, deadline: float, count: Count) -> None:
        while time.perf_counter() < deadline:
            address = random.randrange(SPAN)
            count.check(address, await client.read_holding_registers(address, count=BLOCK, device_id=UNIT))

    async def window(clients, window_seconds: float) -> list[Count]:
        deadline = time.perf_counter() + window_seconds
        counts = [Count() for _ in range(connections * calls)]
        await asyncio.gather(*(work(clients[i // calls], deadline, count) for i, count in enumerate(counts)))
        return counts

    with asyncio.Runner() as runner:
        clients = runner.run(connect())
        report(lambda window_seconds: runner.run(window(clients, window_seconds)), seconds)


def main(arguments: list[str]) -> None:
    match arguments:
        case ["server"]:
            serve()
        case ["version"]:
            print(pymodbus.__version__)
        case ["client", "sync", port, connections, "1", milliseconds]:
            sync_client(int(port), int(connections), int(milliseconds) / 1000)
        case ["client", "async", port, connections, calls, milliseconds]:
            async_client(int(port), int(connections), int(calls), int(milliseconds) / 1000)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
