"""What may stand around an IP packet on each link type, after the specifications' drawings. Knows nothing of the receiver."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

NULL, EN10MB, RAW, PPP, PPP_SERIAL, PPP_ETHER, HDLC, FRELAY, LOOP, SLL, WIFI, RADIOTAP, IPV4, IPV6, NFLOG, SLL2 = (
    *(0, 1, 12, 9, 50, 51, 104, 107, 108, 113, 105, 127, 228, 229, 239, 276),
)
TPIDS = (0x8100, 0x88A8, 0x9100, 0x9200)

Wrapped = tuple[int, bytes]
"""An ethertype and what is behind it; below 0x600 the ethertype is a length, as in IEEE 802.3."""


def ip4(body: bytes, protocol: int = 17, *, ident: int = 1, place: int = 0, options: bytes = b"", total: int = -1) -> bytes:
    """`place`: flags and offset, RFC 791, 3.1."""
    head = 20 + len(options)
    total = head + len(body) if total < 0 else total
    fixed = struct.pack("!BBHHHBBH", 0x40 + head // 4, 0, total, ident, place, 64, protocol, 0)
    return fixed + socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2") + options + body


def ip6(body: bytes, protocol: int = 17, *, length: int = -1) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(body) if length < 0 else length, protocol, 64)
    return head + socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, "fd00::2") + body


def udp(source: int, target: int, payload: bytes, length: int = -1) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(payload) if length < 0 else length, 0) + payload


def tcp(source: int, target: int, payload: bytes, flags: int = 0x18, seq: int = 1, ack: int = 1) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, seq, ack, 0x50, flags, 512, 0, 0) + payload


def plain(packet: bytes) -> Wrapped:
    return 0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet


def pppoe(packet: bytes) -> Wrapped:
    protocol = 0x21 if packet[0] >> 4 == 4 else 0x57
    return 0x8864, struct.pack("!BBHHH", 0x11, 0, 1, len(packet) + 2, protocol) + packet


def mpls(packet: bytes, labels: int = 2) -> Wrapped:
    stack = b"".join(struct.pack("!I", 16 + n << 12 | (0x100 if n == labels - 1 else 0) | 64) for n in range(labels))
    return 0x8847, stack + packet


def mpls_multicast(packet: bytes) -> Wrapped:
    return 0x8848, mpls(packet, 1)[1]


def snap(packet: bytes) -> Wrapped:
    inside = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", plain(packet)[0]) + packet
    return len(inside), inside


def sap(packet: bytes) -> Wrapped:
    """IPv4's own; IPv6 has none."""
    inside = b"\x06\x06\x03" + packet
    return len(inside), inside


ENVELOPES: dict[str, Callable[[bytes], Wrapped]] = {
    "plain": plain,
    "PPPoE": pppoe,
    "MPLS": mpls,
    "MPLS, multicast": mpls_multicast,
    "SNAP": snap,
    "IP's SAP": sap,
}


def tagged(wrapped: Wrapped, *tpids: int) -> Wrapped:
    """In so many VLAN tags, the outermost first."""
    kind, inside = wrapped
    for n, tpid in enumerate(reversed(tpids)):
        inside = struct.pack("!HH", 7 + n, kind) + inside
        kind = tpid
    return kind, inside


def ethernet(wrapped: Wrapped) -> bytes:
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + struct.pack("!H", wrapped[0]) + wrapped[1]


def cooked(wrapped: Wrapped, link_type: int = SLL, origin: int = 0) -> bytes:
    """SLL has 4 (LLC) where Ethernet has a length: tcpdump.org, LINKTYPE_LINUX_SLL."""
    kind = wrapped[0] if wrapped[0] >= 0x600 else 4
    if link_type == SLL:
        return struct.pack("!HHH8sH", origin, 1, 6, b"\x02\0\0\0\0\x01", kind) + wrapped[1]
    return struct.pack("!HHIHBB8s", kind, 0, 2, 1, origin, 6, b"\x02\0\0\0\0\x01") + wrapped[1]


def others(packet: bytes) -> dict[int, list[bytes]]:
    """Frames of the link types that know neither tags nor ethertypes of their own."""
    six = packet[0] >> 4 == 6
    protocol = b"\x57" if six else b"\x21"
    logical = snap(packet)[1]
    found = {
        NULL: [struct.pack("<I", family) + packet for family in ((10, 24, 28, 30) if six else (2,))],
        LOOP: [struct.pack(">I", family) + packet for family in ((24, 30) if six else (2,))],
        RAW: [packet],
        IPV6 if six else IPV4: [packet],
        PPP: [b"\xff\x03\0" + protocol + packet, b"\0" + protocol + packet, protocol + packet],
        PPP_SERIAL: [b"\xff\x03\0" + protocol + packet],
        PPP_ETHER: [pppoe(packet)[1]],
        HDLC: [b"\x0f\0" + struct.pack("!H", plain(packet)[0]) + packet],
        FRELAY: [b"\x18\x41\x03" + (b"\x8e" if six else b"\xcc") + packet, b"\x18\x41\x03\0\x80\0\0\0" + logical[6:8] + packet],
        WIFI: [
            b"\x08\x02\0\0" + b"\x02" * 18 + b"\0\0" + logical,
            b"\x88\x03\0\0" + b"\x02" * 18 + b"\0\0" + b"\x02" * 6 + b"\0\0" + logical,  # four addresses, QoS
            b"\x88\x82\0\0" + b"\x02" * 18 + b"\0\0" + b"\0\0" + b"\0" * 4 + logical,  # QoS, HT
        ],
        NFLOG: [nflog(packet, order) for order in "<>"],
    }
    found[RADIOTAP] = [b"\0\0\x0c\0\0\0\0\0\0\0\0\0" + frame for frame in found[WIFI]]
    return found


def nflog(packet: bytes, order: str = "<") -> bytes:
    """[family][version][group], then [length][type][value, padded]: type 1 is the packet's header, 10 a prefix, 9 the packet."""

    def field(kind: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)

    family = 2 if packet[0] >> 4 == 4 else 10
    return struct.pack("!BBH", family, 0, 42) + field(1, b"\x08\0\x01\0") + field(10, b"in:\0x\0") + field(9, packet)
