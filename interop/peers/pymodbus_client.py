"""Runs the script on stdin with pymodbus' synchronous client: MEDIUM HOST PORT, or
rtu | ascii PATH < script.

Over TLS, CLIENT_SHOWS of the environment is a certificate and a key without .pem and .key, and
CLIENT_TRUSTS the CA.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient, ModbusTlsClient, ModbusUdpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.file_message import FileRecord

TIMEOUT = 2.0

DIAGNOSTICS = {
    2: ModbusTcpClient.diag_read_diagnostic_register,
    10: ModbusTcpClient.diag_clear_counters,
    11: ModbusTcpClient.diag_read_bus_message_count,
}


class NotOffered(Exception):
    """pymodbus has no call for this."""


def raw_pdu(code: int, data: bytes) -> ModbusPDU:
    """A request with any function code and any body."""

    class Raw(ModbusPDU):
        """pymodbus wants a class for each function code."""

        function_code = code
        body = b""
        rtu_frame_size = len(data) + 4  # a reply is as long as its request

        def encode(self) -> bytes:
            return self.body

        def decode(self, data: bytes) -> None:
            self.body = data

    pdu = Raw()
    pdu.body = data
    return pdu


def join(values: list[int]) -> str:
    """Registers in the suite's spelling."""
    return " ".join(str(value) for value in values)


def read_file(client: ModbusTcpClient, unit: int, groups: list[str]) -> ModbusPDU:
    """FC 20. `record_length` counts bytes."""
    parts = [[int(part) for part in group.split(":")] for group in groups]
    records = [FileRecord(file_number=f, record_number=r, record_length=2 * n) for f, r, n in parts]
    return client.read_file_record(records, device_id=unit)


def write_file(client: ModbusTcpClient, unit: int, groups: list[str]) -> ModbusPDU:
    """FC 21."""
    records = []
    for group in groups:
        file, number, values = group.split(":")
        data = b"".join(int(v).to_bytes(2, "big") for v in values.split(","))
        records.append(
            FileRecord(file_number=int(file), record_number=int(number), record_data=data)
        )
    return client.write_file_record(records, device_id=unit)


def file_groups(reply: ModbusPDU) -> str:
    """The groups of an FC 20 reply."""
    return " | ".join(
        join(
            [
                int.from_bytes(r.record_data[i : i + 2], "big")
                for i in range(0, len(r.record_data), 2)
            ]
        )
        for r in reply.records
    )


def echo(message: bytes | int | tuple[int, ...]) -> str:
    """pymodbus turns FC 8 data into bytes, a word or words, by sub-function."""
    if isinstance(message, int):
        return f"echo {message:04x}"
    if isinstance(message, bytes):
        return f"echo {message.hex()}"
    return "echo " + "".join(f"{word:04x}" for word in message)


def identity(client: ModbusTcpClient, unit: int, code: int, first: int) -> ModbusPDU | str:
    """FC 43/14, until nothing more follows."""
    found: dict[int, str] = {}
    for _ in range(10):
        reply = client.read_device_information(read_code=code, object_id=first, device_id=unit)
        if reply.isError():
            return reply
        for key, value in reply.information.items():
            text = value if isinstance(value, bytes) else b",".join(value)
            found[key] = text.decode()
        if not reply.more_follows:
            break
        first = reply.next_object_id
    return " ".join(f"{key}={found[key]}" for key in sorted(found))


def call(client: ModbusTcpClient, unit: int, op: str, args: list[str]) -> ModbusPDU | str:
    """One step: the reply, or already its text."""
    n = [int(arg) for arg in args] if all(arg.isdecimal() for arg in args) else []
    match op:
        case "coils":
            return client.read_coils(n[0], count=n[1], device_id=unit)
        case "discrete":
            return client.read_discrete_inputs(n[0], count=n[1], device_id=unit)
        case "holding":
            return client.read_holding_registers(n[0], count=n[1], device_id=unit)
        case "input":
            return client.read_input_registers(n[0], count=n[1], device_id=unit)
        case "write-coil":
            return client.write_coil(n[0], bool(n[1]), device_id=unit)
        case "write-register":
            return client.write_register(n[0], n[1], device_id=unit)
        case "write-coils":
            return client.write_coils(n[0], [bit == "1" for bit in args[1]], device_id=unit)
        case "write-registers":
            return client.write_registers(n[0], n[1:], device_id=unit)
        case "mask":
            return client.mask_write_register(
                address=n[0], and_mask=n[1], or_mask=n[2], device_id=unit
            )
        case "read-write":
            return client.readwrite_registers(
                read_address=n[0], read_count=n[1], write_address=n[2], values=n[3:], device_id=unit
            )
        case "fifo":
            return client.read_fifo_queue(address=n[0], device_id=unit)
        case "file-read":
            return read_file(client, unit, args)
        case "file-write":
            return write_file(client, unit, args)
        case "status":
            return client.read_exception_status(device_id=unit)
        case "diagnostics" if args[0] == "0":
            return client.diag_query_data(bytes.fromhex(args[1]), device_id=unit)
        case "diagnostics":
            return DIAGNOSTICS[int(args[0])](client, device_id=unit)
        case "events":
            return client.diag_get_comm_event_counter(device_id=unit)
        case "log":
            return client.diag_get_comm_event_log(device_id=unit)
        case "server-id":
            return client.report_device_id(device_id=unit)
        case "device-id":
            return identity(client, unit, n[0], n[1])
        case "raw":
            pdu = raw_pdu(int(args[0]), bytes.fromhex(args[1]))
            pdu.dev_id = unit
            if pdu.function_code > 0x40:
                client.register(type(pdu))
            return client.execute(False, pdu)
    raise NotOffered


def render(op: str, args: list[str], reply: ModbusPDU | str) -> str:
    """The reply in the suite's spelling."""
    if isinstance(reply, str):
        return reply
    if reply.isError():
        return f"exception {reply.exception_code}"
    status = 0 if reply.status else 65535
    match op:
        case "coils" | "discrete":
            return "".join("1" if bit else "0" for bit in reply.bits[: int(args[1])])
        case "holding" | "input" | "read-write":
            return join(reply.registers)
        case "fifo":
            return join(reply.values) or "empty"
        case "file-read":
            return file_groups(reply)
        case "status":
            return f"status {reply.status}"
        case "diagnostics":
            return echo(reply.message)
        case "events":
            return f"status {status} count {reply.count}"
        case "log":
            events = bytes(reply.events).hex() or "-"
            return (
                f"status {status} count {reply.event_count} "
                f"messages {reply.message_count} events {events}"
            )
        case "server-id":
            return f"id {reply.identifier.hex()} {'on' if reply.status else 'off'} -"
        case "raw":
            return f"reply {reply.body.hex()}" if hasattr(reply, "body") else "accepted"
    return "written"


def outcome(client: ModbusTcpClient, unit: int, op: str, args: list[str]) -> tuple[bool, str]:
    """What a user of pymodbus would see."""
    try:
        return True, render(op, args, call(client, unit, op, args))
    except NotOffered:
        return False, "not offered"
    except ModbusException as error:
        if "No response received" in str(error):
            return False, "timeout"
        if "unexpectedly closed" in str(error):
            return False, "closed"
        return False, f"error: {error}"
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is a finding
        return False, f"error: {type(error).__name__}: {error}"


def limited(context: ssl.SSLContext) -> ssl.SSLContext:
    """As new and as old as OLDEST_TLS and NEWEST_TLS of the environment allow."""
    if oldest := os.environ.get("OLDEST_TLS"):
        context.minimum_version = ssl.TLSVersion[oldest]
    if newest := os.environ.get("NEWEST_TLS"):
        context.maximum_version = ssl.TLSVersion[newest]
    return context


def security() -> ssl.SSLContext:
    """What the client shows, and whom it trusts. pymodbus does not say to whom it connects, so no
    name can be compared."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(os.environ["CLIENT_TRUSTS"])
    if own := os.environ["CLIENT_SHOWS"]:
        context.load_cert_chain(f"{own}.pem", f"{own}.key")
    return limited(context)


def make_client(arguments: list[str]) -> ModbusTcpClient | ModbusUdpClient | ModbusSerialClient:
    """The client that the arguments ask for."""
    medium, host, *port = arguments
    if not port:
        framer = FramerType(medium)
        return ModbusSerialClient(host, framer=framer, baudrate=19200, timeout=TIMEOUT, retries=0)
    where = {"port": int(port[0]), "timeout": TIMEOUT, "retries": 0}
    if medium == "tls":
        return ModbusTlsClient(host, sslctx=security(), **where)
    if medium == "udp":
        return ModbusUdpClient(host, **where)
    framing = medium.removesuffix("tcp").removesuffix("+") or "socket"
    return ModbusTcpClient(host, framer=FramerType(framing), **where)


def main() -> None:
    """Run every line of the script."""
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    client = make_client(sys.argv[1:])
    before, broken = "", False
    for line in sys.stdin:
        case, unit, op, *args = line.split()
        if case != before or broken:
            client.close()
            client.connect()
        ok, detail = outcome(client, int(unit), op, args)
        before, broken = case, not ok and detail != "not offered"
        print(json.dumps({"case": case, "ok": ok, "detail": detail}), flush=True)


main()
