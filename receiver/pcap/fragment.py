"""Datagrams put together again from their IP fragments (RFC 791, 3.2; RFC 8200, 4.5).

Room: packets. Fed with what the link decoder declines as FRAGMENT, which is little: no fast path, some microseconds a fragment.
What comes out is an IP packet without fragmentation, for the link decoder.

Only what may carry TCP, UDP or a tunnel is kept. Fragments may come in any order and more than once. One that overlaps another
makes the whole datagram worthless, and what comes of it later (RFC 5722; Linux does the same for IPv4). An IPv6 packet that is
whole in spite of its fragment header (RFC 6946) never gets here. Of a fragment that a short snaplen cut the length counts: the
datagram is whole, and cut there.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from receiver.pcap.link import VERDICTS

# How long a datagram waits for the rest of it: RFC 791, 3.2. Hosts wait for 30 s (Linux) or 60 s (RFC 8200), but who asked has
# asked again by then, and the 16 bits of identification may have come round (RFC 4963).
HELD_NS = 15_000_000_000
# The copies of its fragments are known for so long after a datagram became whole; any other packet's are: `duplicate.COPY_NS`.
DONE_NS = 50_000_000
# Bytes kept, of all datagrams: as many as Linux keeps (net.ipv4.ipfrag_high_thresh). A fragment counts for itself and for what
# Python takes for it (PIECE_BYTES), so that many small ones are no way around.
MAX_BYTES = 4 * 1024 * 1024
PIECE_BYTES = 200
# Datagrams that wait; and such that are remembered for their copies.
MAX_DATAGRAMS = 1024

# What is read: TCP, UDP, IP in IP, IPv6 in IP, GRE; in IPv6 also the headers that may stand before these.
_TCP, _UDP = 6, 17
_PROTOCOLS = frozenset({_TCP, _UDP, 4, 41, 47})
_PROTOCOLS6 = _PROTOCOLS | {0, 43, 51, 60}
_AUTHENTICATION = 51
_LONGEST = 65_535

DECODED = VERDICTS.index("decoded")
NOT_TCP_UDP = VERDICTS.index("not_tcp_udp")
FRAGMENT = VERDICTS.index("fragment")
DUPLICATE = VERDICTS.index("duplicate")
MALFORMED = VERDICTS.index("malformed")

Piece = tuple[int, int, bytes]
"""Where it begins and ends in the datagram, and its bytes: fewer than that where the capture cut them off."""


class _Datagram:
    """What has come of one. `total` is -1 until the last fragment came; `head` is the IP header of the first one, empty until that
    came. `size`: bytes that its pieces had on the wire. `spoilt`: fragments overlapped, none is kept."""

    __slots__ = ("first_ns", "head", "last_ns", "origin", "pieces", "protocol", "size", "spoilt", "total")

    def __init__(self, ts_ns: int) -> None:
        self.first_ns = ts_ns
        self.last_ns = ts_ns
        self.origin = 0
        self.pieces: list[Piece] = []
        self.size = 0
        self.total = -1
        self.head = b""
        self.protocol = -1
        self.spoilt = False

    def packet(self, total: int) -> bytes:
        """The IP packet that says to have `total` bytes behind its header, as far as it is there without a hole."""
        parts = [_sized(self.head, total)]
        reached = 0
        for start, end, payload in self.pieces:
            if start != reached:
                break
            parts.append(payload)
            reached = start + len(payload)
            if reached != end:
                break
        return b"".join(parts)


class Fragments:
    """Every datagram that is not whole yet.

    `states` counts fragments by what became of them and `waiting` those that are kept: together they are all that were given,
    except what is skipped as no TCP or UDP. `evicted` counts datagrams that a cap pushed out. After `add`, `verdict` is what the
    fragment itself counts as and `origin` where its datagram came from.
    """

    def __init__(self) -> None:
        self.states = dict.fromkeys(("reassembled", "incomplete", "overlapping", "duplicate", "malformed", "evicted"), 0)
        self.waiting = 0
        self.evicted = 0
        self.verdict = DECODED
        self.held_bytes = 0
        self._datagrams: dict[bytes, _Datagram] = {}
        self._done: dict[bytes, tuple[int, list[tuple[int, int, int]]]] = {}

    def add(self, data: bytes, ip_at: int, fragment_at: int, end: int, ts_ns: int, origin: int) -> bytes | None:
        """Take the fragment whose IP header is at `ip_at` and whose own bytes (IPv4) or fragment header (IPv6) are at
        `fragment_at`, of a packet that was captured up to `end`. Returns the IP packet when nothing of it is missing any more."""
        if data[ip_at] >> 4 == 4:
            # [version|ihl][tos][total length][id][flags|offset / 8][ttl][protocol][checksum][source][destination]
            total, _, place = struct.unpack_from("!HHH", data, ip_at + 2)
            protocol, wanted = data[ip_at + 9], _PROTOCOLS
            key = data[ip_at + 4 : ip_at + 6] + data[ip_at + 9 : ip_at + 10] + data[ip_at + 12 : ip_at + 20]
            offset, more = (place & 0x1FFF) * 8, place & 0x2000
            start, stop, longest = fragment_at, ip_at + total, _LONGEST - (fragment_at - ip_at)
        else:
            # [version|class|label][payload length][next][hops][source 16][destination 16] ... [next][0][offset|00|more][id 4]
            (length,) = struct.unpack_from("!H", data, ip_at + 4)
            protocol, _, place = struct.unpack_from("!BBH", data, fragment_at)
            wanted = _PROTOCOLS6
            key = data[fragment_at + 4 : fragment_at + 8] + data[ip_at + 8 : ip_at + 40]
            offset, more = place & 0xFFF8, place & 1
            start, stop, longest = fragment_at + 8, ip_at + 40 + length, _LONGEST - (fragment_at - ip_at - 40)
        # What follows is the first fragment's to say (RFC 8200, 4.5), so a later one of a datagram that is known passes.
        if protocol not in wanted and (offset == 0 or key not in self._datagrams):
            self.verdict = NOT_TCP_UDP
            return None
        size = stop - start
        if size <= 0 or (more and size % 8) or offset + size > longest:
            self.states["malformed"] += 1
            self.verdict = MALFORMED
            return None
        piece = (offset, offset + size, data[start : min(end, stop)])
        if self._is_copy(key, piece, ts_ns):
            return None
        datagram = self._datagrams.get(key)
        if datagram is None:
            datagram = self._datagrams[key] = _Datagram(ts_ns)
        if not self._insert(datagram, piece, not more):
            return None
        datagram.last_ns = ts_ns
        if offset == 0:
            datagram.head = _head(data, ip_at, fragment_at)
            datagram.protocol = protocol
            datagram.origin = origin
        if datagram.size == datagram.total:
            whole = datagram.packet(datagram.total)
            self._remember(key, datagram, ts_ns)
            self._forget(key, "reassembled")
            return whole
        while self.held_bytes > MAX_BYTES or len(self._datagrams) > MAX_DATAGRAMS:
            self.evicted += 1
            self._forget(next(iter(self._datagrams)), "evicted")
        return None

    def give_up(self, now_ns: int, everything: bool = False) -> list[tuple[bytes, int, int]]:
        """Forget what has waited for too long, or all. Of UDP datagrams whose beginning came: that as a packet that was cut off,
        the time of the last fragment, and `origin`. Of TCP the stream notices the hole by itself, and the network may fill it."""
        told = []
        for key, datagram in list(self._datagrams.items()):
            # The clock may have been set back.
            if everything or abs(now_ns - datagram.first_ns) >= HELD_NS:
                if datagram.protocol == _UDP and datagram.pieces and len(datagram.pieces[0][2]) >= 8:
                    (length,) = struct.unpack_from("!H", datagram.pieces[0][2], 4)
                    total = datagram.total if datagram.total >= 0 else max(length, datagram.pieces[-1][1])
                    told.append((datagram.packet(total), datagram.last_ns, datagram.origin))
                self._forget(key, "incomplete")
        return told

    def _is_copy(self, key: bytes, piece: Piece, ts_ns: int) -> bool:
        """Whether this fragment of a datagram that is whole already came once more. Other bytes are another datagram's."""
        done = self._done.get(key)
        if done is None:
            return False
        done_ns, pieces = done
        if abs(ts_ns - done_ns) < DONE_NS and (piece[0], piece[1], hash(piece[2])) in pieces:
            self.states["duplicate"] += 1
            self.verdict = DUPLICATE
            return True
        del self._done[key]
        return False

    def _remember(self, key: bytes, datagram: _Datagram, ts_ns: int) -> None:
        self._done[key] = (ts_ns, [(start, end, hash(payload)) for start, end, payload in datagram.pieces])
        if len(self._done) > MAX_DATAGRAMS:
            del self._done[next(iter(self._done))]

    def _insert(self, datagram: _Datagram, piece: Piece, last: bool) -> bool:
        """Whether the piece belongs to the datagram; `verdict` and `states` say what it is otherwise."""
        start, end, payload = piece
        pieces = datagram.pieces
        i = bisect_left(pieces, (start,))
        if i < len(pieces) and pieces[i][:2] == (start, end) and last == (datagram.total == end):
            n = min(len(payload), len(pieces[i][2]))
            if pieces[i][2][:n] == payload[:n]:
                self.states["duplicate"] += 1
                self.verdict = DUPLICATE
                return False
        overlaps = (i and pieces[i - 1][1] > start) or (i < len(pieces) and pieces[i][0] < end)
        beyond = end > datagram.total >= 0 or (last and (datagram.total >= 0 or (pieces and pieces[-1][1] > end)))
        if datagram.spoilt or overlaps or beyond:
            self._spoil(datagram)
            return False
        pieces.insert(i, piece)
        if last:
            datagram.total = end
        datagram.size += end - start
        self.waiting += 1
        self.held_bytes += PIECE_BYTES + len(payload)
        self.verdict = DECODED
        return True

    def _spoil(self, datagram: _Datagram) -> None:
        self._drop(datagram, "overlapping")
        datagram.spoilt = True
        self.states["overlapping"] += 1
        self.verdict = FRAGMENT

    def _forget(self, key: bytes, state: str) -> None:
        self._drop(self._datagrams.pop(key), state)

    def _drop(self, datagram: _Datagram, state: str) -> None:
        """Keep none of its pieces any more."""
        count = len(datagram.pieces)
        self.states[state] += count
        self.waiting -= count
        self.held_bytes -= count * PIECE_BYTES + sum(len(payload) for _, _, payload in datagram.pieces)
        datagram.pieces = []


def _head(data: bytes, ip_at: int, fragment_at: int) -> bytes:
    """What stands before the first fragment's bytes, without anything that makes it one."""
    head = bytearray(data[ip_at:fragment_at])
    if head[0] >> 4 == 4:
        head[6:8] = b"\0\0"
        return bytes(head)
    # The fragment header is named by the field of whatever stands before it.
    at, names = 40, 6
    while at < len(head):
        size = (head[at + 1] + 2) * 4 if head[names] == _AUTHENTICATION else (head[at + 1] + 1) * 8
        names = at
        at += size
    head[names] = data[fragment_at]
    return bytes(head)


def _sized(head: bytes, total: int) -> bytes:
    if head[0] >> 4 == 4:
        return head[:2] + struct.pack("!H", min(len(head) + total, _LONGEST)) + head[4:]
    return head[:4] + struct.pack("!H", min(len(head) - 40 + total, _LONGEST)) + head[6:]
