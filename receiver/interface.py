"""The interfaces of this network namespace, and their addresses.

Room: service. Asks the kernel, and opens nothing.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import msgspec

SIOCGIFCONF = 0x8912  # linux/sockios.h
IFREQ_BYTES = 40 if struct.calcsize("P") == 8 else 32  # sizeof(struct ifreq)


class Interface(msgspec.Struct, frozen=True):
    """A name that `receivers.pcap.interfaces` takes. `any` has no addresses of its own."""

    name: str
    addresses: tuple[str, ...]


def interfaces() -> tuple[Interface, ...]:
    """All that can be captured on, `any` first."""
    found: dict[str, list[str]] = {}
    for name, address in [*_ipv4_addresses(), *_ipv6_addresses()]:
        found.setdefault(name, []).append(address)
    names = ["any", *sorted(name for _, name in socket.if_nameindex())]
    return tuple(Interface(name, tuple(found.get(name, ()))) for name in names)


def _ipv4_addresses() -> Iterator[tuple[str, str]]:
    """Interface and address, also of secondary addresses.

    One struct ifreq for each: [16 name][u16 family][u16 port][4 address]...   netdevice(7), SIOCGIFCONF
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        room = 64
        while True:
            buffer = array.array("B", bytes(room * IFREQ_BYTES))
            request = struct.pack("iP", len(buffer), buffer.buffer_info()[0])
            length = struct.unpack("iP", fcntl.ioctl(sock.fileno(), SIOCGIFCONF, request))[0]
            if length < len(buffer):  # a full buffer may have been too small
                break
            room *= 2
    taken = buffer.tobytes()[:length]
    for at in range(0, length, IFREQ_BYTES):
        label = taken[at : at + 16].split(b"\0", 1)[0].decode(errors="replace")
        yield label.partition(":")[0], socket.inet_ntoa(taken[at + 20 : at + 24])


def _ipv6_addresses(table: Path = Path("/proc/net/if_inet6")) -> Iterator[tuple[str, str]]:
    """Interface and address. One line for each: 32 hex digits, index, prefix length, scope, flags, name."""
    try:
        lines = table.read_text().splitlines()
    except OSError:  # IPv6 is switched off
        return
    for line in lines:
        digits, *_, name = line.split()
        yield name, str(IPv6Address(int(digits, 16)))
