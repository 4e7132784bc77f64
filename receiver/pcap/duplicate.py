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

# Of a million packets a second, one millisecond. A power of two, and little enough to stay in the cache: 1024 x 64 bytes.
SLOTS = 1024
WORDS = 8
# A router between two of our interfaces may hold a packet back for as long; nothing is sent again with the same identification.
COPY_NS = 50_000_000
# Copies made by one kernel are some 10 us apart; no stack sends again unasked within a millisecond.
BLIND_NS = 1_000_000


class Duplicates:
    def __init__(self) -> None:
        self.slots = array("q", bytes(8 * WORDS * SLOTS))
        self.cursor = Cursor(b"")

    def seen(self, seg: Segment, buf: bytes, ends: cython.longlong, turn: cython.int) -> cython.bint:
        """Whether this packet was seen before; it is remembered. `ends` stands for where it comes from and goes to; `turn` counts
        the changes of direction in its flow."""
        position: cython.longlong = 0
        reply: cython.longlong = 0
        size: cython.longlong = seg.wire_length
        size = size << 32 | seg.ident << 16
        rest: cython.longlong = 0
        if seg.is_tcp:
            position = seg.seq << 8 | seg.flags
            reply = seg.ack << 16 | seg.window
            if seg.ident == 0:
                rest = turn & 0x7FFFFF
                rest = (rest << 40) + self._options(seg, buf)
        else:
            size |= seg.check
        at: cython.Py_ssize_t = ((ends ^ ends >> 17 ^ seg.ident ^ position >> 8 ^ reply >> 16) & (SLOTS - 1)) * WORDS
        apart_ns: cython.longlong = seg.ts_ns - self.slots[at + 5]
        if (
            self.slots[at] == ends
            and self.slots[at + 1] == position
            and self.slots[at + 2] == reply
            and self.slots[at + 3] == size
            and self.slots[at + 4] == rest
            and apart_ns < COPY_NS
            and apart_ns > -COPY_NS
        ):
            if seg.ident != 0:
                return True
            if apart_ns < BLIND_NS and apart_ns > -BLIND_NS and (seg.is_tcp or self.slots[at + 6] != seg.origin):
                return True
        self.slots[at] = ends
        self.slots[at + 1] = position
        self.slots[at + 2] = reply
        self.slots[at + 3] = size
        self.slots[at + 4] = rest
        self.slots[at + 5] = seg.ts_ns
        self.slots[at + 6] = seg.origin
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
