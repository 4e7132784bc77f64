"""One packet, captured twice: on both ends of a veth, on a bridge and its ports, before and behind a tunnel, on a mirrored port.

Room: packets. A copy is no retransmission and no second datagram, and is told from them by what senders change:

- IPv4's identification differs in every packet of a connection, also where one is sent again; it may only be missing (0: RFC 6864
  allows it, Linux does so for SYN-ACK, RST and datagrams of unconnected sockets). With it, what is the same is a copy (COPY_NS);
- without it (and in IPv6) a packet that is the same in all of it, of TCP the options too, is a copy (COPY_NS) where the capture
  says that it came by another interface. What was sent twice is not one of these: the first copy of each comes by the same
  interface, in whatever order interfaces are read;
- where it came by the same one, a TCP packet is a copy so soon that no timer can have run out (BLIND_NS), when nothing came from
  the other side meanwhile that could have asked for it again. A datagram is none: programs do send the same twice.

The last SLOTS packets are remembered, of all flows together: copies come within a few packets of each other. Where several
interfaces are read in turn there may be all that one of them held in between, and WIDE_SLOTS are.
"""

from __future__ import annotations

from array import array

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.records import Segment

# Of a million packets a second, one millisecond. A power of two, and little enough to stay in the cache: 1024 x 16 bytes.
SLOTS = 1024
# In sets of WAYS, of which the oldest goes first: among 5 000 packets in between, of three in ten thousand the copy is not known.
WIDE_SLOTS = 65536
WAYS = 4
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
    """Of each packet a digest of 64 bits, in another word when it came (in 1.024 us) and from where (`origin`), and of those
    without identification the turn. `several`: interfaces."""

    def __init__(self, several: cython.bint = False) -> None:
        slots: cython.Py_ssize_t = WIDE_SLOTS if several else SLOTS
        self.digests = array("Q", bytes(8 * slots))
        self.times = array("q", bytes(8 * slots))
        self.turns = array("i", bytes(4 * slots))
        self.shift = 50 if several else 54
        self.ways = WAYS if several else 1
        self.several = several
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
        else:
            digest = (digest ^ word ^ seg.check) * FACTOR & LOW_64
        at: cython.Py_ssize_t = digest >> self.shift
        if self.ways > 1:
            at = self._way(at * self.ways, digest)
        origin: cython.longlong = seg.origin & ORIGIN
        if self.digests[at] == digest:
            before: cython.longlong = self.times[at]
            apart_ns: cython.longlong = seg.ts_ns - (before >> ORIGIN_BITS << 10)
            if apart_ns < 0:
                apart_ns = -apart_ns
            if apart_ns < COPY_NS:
                if seg.ident != 0 or before & ORIGIN != origin:
                    return True
                if apart_ns < BLIND_NS and seg.is_tcp and self.turns[at] == turn:
                    return True
        if seg.ident == 0:
            self.turns[at] = turn
        self.digests[at] = digest
        self.times[at] = (seg.ts_ns >> 10 << ORIGIN_BITS) + origin
        return False

    def _way(self, at: cython.Py_ssize_t, digest: cython.ulonglong) -> cython.Py_ssize_t:
        """Of the set that begins at `at`, the slot of this digest; where it is not, the oldest one's."""
        i: cython.Py_ssize_t
        oldest: cython.Py_ssize_t = at
        for i in range(at, at + self.ways):
            if self.digests[i] == digest:
                return i
            if self.times[i] < self.times[oldest]:
                oldest = i
        return oldest

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
