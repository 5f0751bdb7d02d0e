"""What pymodbus does in `make demo`: PORT."""

from __future__ import annotations

import sys
import time

from pymodbus.client import ModbusTcpClient

WRITTEN = 4711
AT = 100


def main() -> int:
    """The exit code: 1 when the values stand still or a write is not there."""
    seen = set()
    with ModbusTcpClient("127.0.0.1", port=int(sys.argv[1])) as client:
        for _ in range(3):
            reply = client.read_input_registers(0, count=8, device_id=1)
            if reply.isError():
                print(reply)
                return 1
            sine = client.convert_from_registers(reply.registers[0:1], client.DATATYPE.INT16)
            ramp = reply.registers[1]
            degrees = client.convert_from_registers(reply.registers[6:8], client.DATATYPE.FLOAT32)
            print(f"read_input_registers(0, count=8): sine {sine}, ramp {ramp}, temperature {degrees:.2f}")
            seen.add((sine, ramp))
            time.sleep(1)
        reply = client.write_register(AT, WRITTEN, device_id=1)
        print(f"write_register({AT}, {WRITTEN}): {'refused' if reply.isError() else 'accepted'}")
        back = client.read_holding_registers(AT, count=1, device_id=1).registers
        print(f"read_holding_registers({AT}, count=1): {back}")
    return 0 if len(seen) > 1 and back == [WRITTEN] else 1


if __name__ == "__main__":
    sys.exit(main())
