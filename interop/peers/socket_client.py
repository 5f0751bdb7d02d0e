"""Runs the script on stdin with nothing but a socket: HOST PORT < script.

For what no library's client does: several requests in one segment. Every byte is ours, so this is
no peer, but a server cannot tell.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

TIMEOUT = 2.0


class Wire:
    """One connection, and the transaction ids used on it."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transaction = 0

    def frame(self, unit: int, pdu: bytes) -> bytes:
        """A request with the next transaction id."""
        self.transaction = self.transaction % 65535 + 1
        return struct.pack(">HHHB", self.transaction, 0, len(pdu) + 1, unit) + pdu

    def exactly(self, count: int) -> bytes:
        """`count` bytes, however they arrive."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data

    def reply(self, request: bytes) -> bytes:
        """The PDU of the reply to this request, which must be the next to arrive."""
        header = self.exactly(7)
        length, unit = struct.unpack(">HB", header[4:])
        pdu = self.exactly(length - 1)
        if header[:4] != request[:4] or unit != request[6]:
            raise ValueError("a reply to another request")
        if pdu[0] & 0x7F != request[7]:
            raise ValueError(f"answered {pdu.hex()}")
        return pdu


def text(pdu: bytes) -> str:
    """A reply to FC 3, an exception, or bytes."""
    if pdu[0] & 0x80:
        return f"exception {pdu[1]}"
    if pdu[0] == 3 and pdu[1] == len(pdu) - 2:
        return " ".join(str(value) for value in struct.unpack(f">{pdu[1] // 2}H", pdu[2:]))
    return f"reply {pdu[1:].hex()}"


def call(wire: Wire, unit: int, op: str, args: list[str]) -> str | None:
    """One step, or None for what other clients do better."""
    if op == "raw":
        request = wire.frame(unit, bytes([int(args[0])]) + bytes.fromhex(args[1]))
        wire.socket.sendall(request)
        return text(wire.reply(request))
    if op in ("pipeline", "segment", "holding"):
        address, each = int(args[0]), int(args[1])
        times = int(args[2]) if len(args) > 2 else 1
        requests = [
            wire.frame(unit, struct.pack(">BHH", 3, address + i * each, each)) for i in range(times)
        ]
        for piece in [b"".join(requests)] if op == "segment" else requests:
            wire.socket.sendall(piece)
        return " | ".join(text(wire.reply(request)) for request in requests)
    return None


def main() -> None:
    """Run every line of the script."""
    host, port = sys.argv[1], int(sys.argv[2])
    wire = Wire(host, port)
    before, broken = "", False
    for line in sys.stdin:
        case, unit, op, *args = line.split()
        if case != before or broken:
            wire.socket.close()
            wire = Wire(host, port)
        ok, detail = True, "not offered"
        try:
            detail = call(wire, int(unit), op, args) or detail
        except TimeoutError:
            ok, detail = False, "timeout"
        except ConnectionError:
            ok, detail = False, "closed"
        except ValueError as error:
            ok, detail = False, f"error: {error}"
        ok = ok and detail != "not offered"
        before, broken = case, not ok and detail != "not offered"
        print(json.dumps({"case": case, "ok": ok, "detail": detail}), flush=True)


main()
