"""One packet, captured twice: on both ends of a veth, on a bridge and its ports, before and behind a tunnel, on a mirrored port.

Room: pcap. A copy is no retransmission and no second datagram, and is told from them by what senders change:

- IPv4's identification differs in every packet of a connection, also where one is sent again; it may only be missing (0: RFC 6864
  allows it, Linux does so for SYN-ACK, RST and datagrams of unconnected sockets). With it, what is the same is a copy (COPY_NS);
- without it (and in IPv6) a TCP packet is a copy when all of it is the same, options too, so soon that no timer can have run out
  (BLIND_NS), and nothing came from the other side meanwhile that could have asked for it again;
- without it a datagram is a copy only where the capture says that it came by another interface: programs do send the same
  twice.

The last SLOTS packets are remembered, of all flows together: copies come within a few packets of each other.
"""

from __future__ import annotations

from array import array

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.records import Segment

# Of a million packets a second, one millisecond. A power of two, and little enough to stay in the cache: 1024 x 16 bytes.
SLOTS = 1024
# A router between two of our interfaces may hold a packet back for as long; nothing is sent again with the same identification.
COPY_NS = 50_000_000
# Copies made by one kernel are some 10 us apart; no stack sends again unasked within a millisecond.
BLIND_NS = 1_000_000
# Any odd number of many digits. Above 0x7FFFFFFF a literal would be a Python integer in compiled code.
FACTOR = 0x9E3779B97F4A7C15
LOW_64 = 0xFFFFFFFFFFFFFFFF
ORIGIN_BITS = 11
ORIGIN = (1 << ORIGIN_BITS) - 1


class Duplicates:
    """Of each packet a digest of 64 bits, and in another word when it came (in 1.024 us) and from where (`origin`)."""

    def __init__(self) -> None:
        self.digests = array("Q", bytes(8 * SLOTS))
        self.times = array("q", bytes(8 * SLOTS))
        self.cursor = Cursor(b"")

    def seen(self, seg: Segment, buf: bytes, ends: cython.longlong, turn: cython.int) -> cython.bint:
        """Whether this packet was seen before; it is remembered. `ends` stands for where it comes from and goes to; `turn` counts
        the changes of direction in its flow."""
        digest: cython.ulonglong = ends
        word: cython.ulonglong = seg.wire_length
        ident: cython.ulonglong = seg.ident  # shifted in 32 bits it would be negative, and hide the length
        word = word << 32 | ident << 16
        if seg.is_tcp:
            digest = (digest ^ word) * FACTOR & LOW_64
            word = seg.seq
            digest = (digest ^ digest >> 32 ^ word << 8 ^ seg.flags) * FACTOR & LOW_64
            word = seg.ack
            digest = (digest ^ digest >> 32 ^ word << 16 ^ seg.window) * FACTOR & LOW_64
            if seg.ident == 0:
                word = self._options(seg, buf)
                digest = (digest ^ digest >> 32 ^ word) * FACTOR & LOW_64
                digest = (digest ^ digest >> 32 ^ turn) * FACTOR & LOW_64
        else:
            digest = (digest ^ word ^ seg.check) * FACTOR & LOW_64
        at: cython.Py_ssize_t = digest >> 54
        origin: cython.longlong = seg.origin & ORIGIN
        if self.digests[at] == digest:
            before: cython.longlong = self.times[at]
            apart_ns: cython.longlong = seg.ts_ns - (before >> ORIGIN_BITS << 10)
            if apart_ns < 0:
                apart_ns = -apart_ns
            if seg.ident != 0:
                if apart_ns < COPY_NS:
                    return True
            elif apart_ns < BLIND_NS and (seg.is_tcp or before & ORIGIN != origin):
                return True
        self.digests[at] = digest
        self.times[at] = (seg.ts_ns >> 10 << ORIGIN_BITS) + origin
        return False

    def _options(self, seg: Segment, buf: bytes) -> cython.Py_ssize_t:
        total: cython.longlong = 0
        at: cython.Py_ssize_t = seg.options
        c: Cursor = self.cursor
        if seg.start > at:
            c.set(buf, at, seg.start)
            while at + 4 <= seg.start:
                total += c.u32(at)
                at += 4
        return total
