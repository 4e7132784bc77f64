"""A captured packet -> Segment: link layer, IPv4 and IPv6, TCP and UDP, in place.

Room: packets. What is declined as ODD (tunnels, rare link types) goes to `oddlink.py`. Nothing is verified: checksums of a live
capture are those before offload, and wrong. The length on the wire is IP's own, and of a datagram UDP's own inside it: what is
behind are UDP options (RFC 9868), no payload. 0 in IP's field means that offload built a segment too large for it (BIG TCP, TSO
on loopback), and then the captured length counts.
"""

import cython

from receiver.pcap.dlt import (
    DLT_EN10MB,
    DLT_IPV4,
    DLT_IPV6,
    DLT_LINUX_SLL,
    DLT_LINUX_SLL2,
    DLT_LOOP,
    DLT_NULL,
    DLT_RAW,
)
from receiver.wire.cursor import Cursor
from receiver.wire.records import Segment

if not cython.compiled:
    DECODED = 0
    NOT_IP = 1
    NOT_TCP_UDP = 2
    FRAGMENT = 3
    TRUNCATED = 4
    ODD = 5
    DUPLICATE = 6
    MALFORMED = 7
    UNREACHABLE = 8

# What a code says, as a place in `records.UNREACHABLES`. RFC 792 and RFC 1122, 3.2.2.1, RFC 1812, 5.2.7.1: networks 0, 6, 11, hosts
# 1, 7, 8, 12, the protocol 2, the port 3, prohibited 9, 10, 13. RFC 4443, 3.1: no route 0, prohibited 1, 5, 6, the address 3, the
# port 4.
CODES4 = bytes((1, 2, 3, 4, 0, 0, 1, 2, 2, 5, 5, 1, 2, 5, 0, 0))
CODES6 = bytes((1, 5, 0, 2, 4, 5, 5))

VERDICTS = ("decoded", "not_ip", "not_tcp_udp", "fragment", "truncated", "unknown_link", "duplicate", "malformed")
"""Why a packet is not read, by number; the first is none. UNREACHABLE is an answer, no reason."""


class Link:
    """Decodes packets into one reused Segment.

    `origin` is where packets come from, as far as the batch knows; what a cooked header says is added. After FRAGMENT `ip_at` is
    where the packet's IP header begins, `fragment_at` where the fragment's own bytes do (IPv4) or its fragment header (IPv6).

    Each byte is read by its place in the batch, behind a comparison with `end`, where the packet's captured bytes do: the batch
    alone would bound it by other packets (`tests/test_neighbours.py`).
    """

    def __init__(self) -> None:
        self.cursor = Cursor(b"")
        self.origin = 0
        self.ip_at = 0
        self.fragment_at = 0

    def decode(
        self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, link_type: cython.int, seg: Segment
    ) -> cython.int:
        """Fill `seg` from the packet `buf[start:end)`; returns a Verdict, DECODED when `seg` is valid.

        UNREACHABLE: an ICMP error says that what `seg` names could not be delivered; of it only addresses, ports, `is_tcp` and
        `seq` are valid, and `check`, which says why: a place in `records.UNREACHABLES`.
        """
        seg.origin = self.origin
        if end > len(buf) or start > end or start < 0:
            return TRUNCATED
        kind: cython.int
        at: cython.Py_ssize_t
        if link_type == DLT_EN10MB:
            if end - start < 14:
                return TRUNCATED
            kind = buf[start + 12] << 8 | buf[start + 13]
            at = start + 14
        elif link_type == DLT_LINUX_SLL:
            if end - start < 16:
                return TRUNCATED
            kind = buf[start + 14] << 8 | buf[start + 15]
            seg.origin = self.origin + 1 + buf[start + 1]  # to us, sent by us, to somebody else
            at = start + 16
        elif link_type == DLT_LINUX_SLL2:
            if end - start < 20:
                return TRUNCATED
            kind = buf[start] << 8 | buf[start + 1]
            # The interface's number; the upper half is never needed.
            seg.origin = self.origin + 1 + (buf[start + 6] << 8 | buf[start + 7])
            at = start + 20
        elif link_type == DLT_RAW or link_type == DLT_IPV4 or link_type == DLT_IPV6 or link_type == 101 or link_type == 14:
            return self._ip(buf, start, end, seg)
        elif link_type == DLT_NULL or link_type == DLT_LOOP:
            # The family's number and its byte order differ by system; IP's own version tells the same.
            return self._ip(buf, start + 4, end, seg)
        else:
            return ODD
        tags: cython.int = 0
        while kind != 0x0800 and (kind == 0x8100 or kind == 0x88A8 or kind == 0x9100 or kind == 0x9200):
            if tags == 2:
                return ODD
            if end - at < 4:
                return TRUNCATED
            kind = buf[at + 2] << 8 | buf[at + 3]
            at += 4
            tags += 1
        if kind == 0x0800:
            if at < end and buf[at] == 0x45:
                return self._ip4(buf, at, end, seg)
            return self._ip(buf, at, end, seg)
        if kind == 0x86DD:
            return self._ip(buf, at, end, seg)
        if kind == 0x8847 or kind == 0x8848 or kind == 0x8864 or kind < 0x600:
            return ODD
        return NOT_IP

    def _ip(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, seg: Segment) -> cython.int:
        if at >= end:
            return TRUNCATED
        version: cython.int = buf[at] >> 4
        if version == 4:
            return self._ip4(buf, at, end, seg)
        if version == 6:
            return self._ip6(buf, at, end, seg)
        return NOT_IP

    # [version|ihl][tos][total length][id][flags|fragment offset][ttl][protocol][checksum][source][destination]   RFC 791
    def _ip4(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, seg: Segment) -> cython.int:
        if end - at < 20:
            return TRUNCATED
        header: cython.Py_ssize_t = (buf[at] & 15) * 4
        total: cython.Py_ssize_t = buf[at + 2] << 8 | buf[at + 3]
        if header < 20:
            return NOT_IP
        if buf[at + 6] & 0x3F or buf[at + 7]:
            self.ip_at = at
            self.fragment_at = at + header
            return FRAGMENT
        unsized: cython.bint = total == 0
        if unsized:
            total = end - at
        if total < header:
            return TRUNCATED
        protocol: cython.int = buf[at + 9]
        seg.ident = buf[at + 4] << 8 | buf[at + 5]
        if protocol == 1:
            if at + total < end:
                end = at + total  # behind it is padding, or a trailer
            return self._error4(buf, at + header, end, seg)
        self._addresses4(buf, at + 12, seg)
        return self._transport(buf, at + header, end, at + total, unsized, protocol, seg)

    # The callers of the next two have seen the whole IP header, and its addresses with it.
    def _addresses4(self, buf: bytes, at: cython.Py_ssize_t, seg: Segment) -> cython.int:
        c: Cursor = self.cursor
        c.set(buf, at, at + 8)
        seg.is_ip6 = False
        seg.source_high = 0
        seg.source_low = c.u32le(at)
        seg.target_high = 0
        seg.target_low = c.u32le(at + 4)
        return 0

    def _addresses6(self, buf: bytes, at: cython.Py_ssize_t, seg: Segment) -> cython.int:
        c: Cursor = self.cursor
        c.set(buf, at, at + 32)
        seg.is_ip6 = True
        seg.source_high = c.i64le(at)
        seg.source_low = c.i64le(at + 8)
        seg.target_high = c.i64le(at + 16)
        seg.target_low = c.i64le(at + 24)
        return 0

    # [version|class|label][payload length][next header][hop limit][source 16][destination 16]   RFC 8200
    def _ip6(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, seg: Segment) -> cython.int:
        if end - at < 40:
            return TRUNCATED
        length: cython.Py_ssize_t = buf[at + 4] << 8 | buf[at + 5]
        following: cython.int = buf[at + 6]
        here: cython.Py_ssize_t = at + 40
        stop: cython.Py_ssize_t = here + length if length else end
        if stop < end:
            end = stop  # behind it is padding, or a trailer
        headers: cython.int = 0
        while following == 0 or following == 43 or following == 60 or following == 44 or following == 51:
            if end - here < 8 or headers == 8:
                return TRUNCATED
            headers += 1
            if following == 44:
                if buf[here + 2] or buf[here + 3] & 0xF9:
                    self.ip_at = at
                    self.fragment_at = here
                    return FRAGMENT
                following = buf[here]
                here += 8
                continue
            if following == 0 and length == 0 and buf[here + 2] == 0xC2 and buf[here + 3] == 4:  # jumbo payload, RFC 2675
                c: Cursor = self.cursor
                c.set(buf, here, end)
                stop = at + 40 + c.u32(here + 4)  # shifted together in C it would be negative from 2 GiB on
            size: cython.Py_ssize_t = (buf[here + 1] + 2) * 4 if following == 51 else (buf[here + 1] + 1) * 8
            following = buf[here]
            here += size
        seg.ident = 0
        if following == 58:
            return self._error6(buf, here, end, seg)
        self._addresses6(buf, at + 8, seg)
        return self._transport(buf, here, end, stop, length == 0, following, seg)

    # [type 3][code][checksum][4 unused][IPv4 header][8 bytes at least of what follows it]     RFC 792
    def _error4(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, seg: Segment) -> cython.int:
        # Code 4 asks for smaller packets (RFC 1191), and is no failure.
        if end - at < 36 or buf[at] != 3 or buf[at + 1] == 4:
            return NOT_TCP_UDP
        code: cython.int = buf[at + 1]
        seg.check = CODES4[code] if code < len(CODES4) else 0
        at += 8
        header: cython.Py_ssize_t = (buf[at] & 15) * 4
        if buf[at] >> 4 != 4 or header < 20 or end - at < header + 8 or buf[at + 6] & 0x1F or buf[at + 7]:
            return NOT_TCP_UDP
        self._addresses4(buf, at + 12, seg)
        return self._embedded(buf, at + header, buf[at + 9], end, seg)

    # [type 1][code][checksum][4 unused][IPv6 header][what follows it]     RFC 4443, 3.1
    def _error6(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, seg: Segment) -> cython.int:
        if end - at < 56 or buf[at] != 1 or buf[at + 8] >> 4 != 6:
            return NOT_TCP_UDP
        code: cython.int = buf[at + 1]
        seg.check = CODES6[code] if code < len(CODES6) else 0
        self._addresses6(buf, at + 16, seg)
        return self._embedded(buf, at + 48, buf[at + 14], end, seg)

    def _embedded(
        self,
        buf: bytes,
        at: cython.Py_ssize_t,
        protocol: cython.int,
        end: cython.Py_ssize_t,
        seg: Segment,
    ) -> cython.int:
        """The packet that an error is about, behind its addresses: its ports begin at `at`."""
        if (protocol != 6 and protocol != 17) or end - at < 8:
            return NOT_TCP_UDP
        c: Cursor = self.cursor
        c.set(buf, at, end)
        seg.is_tcp = protocol == 6
        seg.source_port = c.u16(at)
        seg.target_port = c.u16(at + 2)
        seg.seq = c.u32(at + 4)
        return UNREACHABLE

    def _transport(
        self,
        buf: bytes,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        unsized: cython.bint,
        protocol: cython.int,
        seg: Segment,
    ) -> cython.int:
        """`end` is where the capture ends, `stop` where the IP packet does; `unsized`: by a guess, for its header does not say."""
        c: Cursor = self.cursor
        header: cython.Py_ssize_t
        if protocol == 6:
            if end - at < 20:
                return TRUNCATED
            header = (buf[at + 12] >> 4) * 4
            if header < 20 or stop - at < header:
                return TRUNCATED
            c.set(buf, at, end)
            seg.seq = c.u32(at + 4)
            seg.ack = c.u32(at + 8)
            seg.flags = buf[at + 13]
            seg.window = buf[at + 14] << 8 | buf[at + 15]
            seg.options = at + 20
            seg.is_tcp = True
        elif protocol == 17:
            if end - at < 8:
                return TRUNCATED
            header = 8
            if stop - at < 8:
                return TRUNCATED
            # As hosts do, who drop what breaks these rules (RFC 768): no less than the header, no more than IP has. 0 is a
            # jumbogram's (RFC 2675, 4), and means all that IP has.
            length: cython.Py_ssize_t = buf[at + 4] << 8 | buf[at + 5]
            if length < 8:
                if length or not (seg.is_ip6 or unsized):
                    return MALFORMED
            elif at + length <= stop or unsized:
                stop = at + length
            else:
                return MALFORMED
            seg.is_tcp = False
            seg.flags = 0
            seg.check = buf[at + 6] << 8 | buf[at + 7]
        elif protocol == 4 or protocol == 41 or protocol == 47:
            return ODD
        else:
            return NOT_TCP_UDP
        seg.source_port = buf[at] << 8 | buf[at + 1]
        seg.target_port = buf[at + 2] << 8 | buf[at + 3]
        seg.start = at + header
        seg.wire_length = stop - at - header
        if seg.start >= end:
            seg.start = end
            seg.end = end
        elif stop < end:
            seg.end = stop
        else:
            seg.end = end
        return DECODED
