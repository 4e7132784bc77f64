"""What is known of an address, found by the numbers that packets have instead of it.

Room: packets. Most flows are between addresses that other flows had as well; a client that asks each question from a new port
makes a new flow of the same two each time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import cython

from receiver.wire.interned import Interned
from receiver.wire.writer import Writer

# Addresses that are kept: making one anew costs more than all else of a flow. 4 096 x 250 bytes at most.
HOSTS_MAX = 4096
# Of these so many are found without a look into the dictionary.
SLOTS = 256


@cython.no_gc
@cython.cclass
class Host:
    """One address: its 4 or 16 bytes, its text, the same object again and again, by which series are found. `local`: it is one of
    ours; `group`: it stands for many (224.0.0.0/4 and above, broadcast among them; ff00::/8)."""

    def __init__(
        self, packed: bytes, local: cython.bint, is_ip6: cython.bint, high: cython.longlong, low: cython.longlong
    ) -> None:
        self.is_ip6 = is_ip6
        self.high = high
        self.low = low
        self.packed = packed
        self.text = str(ipaddress.ip_address(packed))
        self.local = local
        self.group = packed[0] >= 224 if len(packed) == 4 else packed[0] == 0xFF


class Hosts:
    """`local`: the packed addresses that are ours."""

    def __init__(self, local: Iterable[bytes] = (), limits: dict[str, int] | None = None) -> None:
        self.local = set(local)
        self.near: list[Host | None] = [None] * SLOTS
        self.known = Interned("hosts", HOSTS_MAX, limits, forgets=True)
        self.writer = Writer(16)

    def find(self, is_ip6: cython.bint, high: cython.longlong, low: cython.longlong) -> Host:
        """The host with the address that `Segment` has as `high` and `low`: little-endian, IPv4 in the low half of `low`."""
        mixed: cython.longlong = high ^ low
        mixed ^= mixed >> 32
        mixed ^= mixed >> 16
        slot: cython.Py_ssize_t = (mixed ^ mixed >> 8) & SLOTS - 1
        host: Host | None = self.near[slot]
        if host is not None and host.low == low and host.high == high and host.is_ip6 == is_ip6:
            return host
        host = self._look_up(is_ip6, high, low)
        self.near[slot] = host
        return host

    def _look_up(self, is_ip6: cython.bint, high: cython.longlong, low: cython.longlong) -> Host:
        w: Writer = self.writer
        w.rewind(0)
        if is_ip6:
            w.fixed64(high)
            w.fixed64(low)
        else:
            w.fixed32(low)
        packed: bytes = w.take()
        host: Host | None = self.known.by_name.get(packed)
        if host is None:
            host = Host(packed, packed in self.local, is_ip6, high, low)
            self.known.add(packed, host)
        return host
