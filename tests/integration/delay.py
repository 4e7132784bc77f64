"""Delays IP packets: a router without netem. Runs in the router's namespace: `python delay.py MILLISECONDS`.

What comes in on eth0 and eth1 is routed to a TUN interface, waits here, is written back, and goes its way from there. Packets are
delayed and nothing else: none is joined, split, swapped or lost, nor changed but for a hop of its TTL: TCP is the two ends' own.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
PACKET_MAX = 65_536
SETUP = (
    # As many as can be under way: 10 000 packets of 1 500 B within the delay are more than the test sends.
    "ip link set tun0 txqueuelen 10000 up",
    "ip route add default dev tun0 table 100",
    "ip rule add iif eth0 table 100",
    "ip rule add iif eth1 table 100",
)


def open_tun() -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", IFF_TUN | IFF_NO_PI))
    return tun


def relay(tun: int, delay_s: float) -> None:
    """Forward until the process is ended."""
    under_way: deque[tuple[float, bytes]] = deque()
    while True:
        wait_s = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([tun], [], [], wait_s)
        if readable:
            try:
                while True:
                    packet = os.read(tun, PACKET_MAX)
                    under_way.append((time.monotonic() + delay_s, packet))
            except BlockingIOError:
                pass
        while under_way and under_way[0][0] <= time.monotonic():
            os.write(tun, under_way.popleft()[1])


def main() -> None:
    tun = open_tun()
    for setting in ("all", "default", "tun0", "eth0", "eth1"):  # it would refuse what comes back from tun0
        Path(f"/proc/sys/net/ipv4/conf/{setting}/rp_filter").write_text("0")
    for command in SETUP:
        subprocess.run(command.split(), check=True)
    print("ready", flush=True)
    relay(tun, float(sys.argv[1]) / 1000)


if __name__ == "__main__":
    main()
