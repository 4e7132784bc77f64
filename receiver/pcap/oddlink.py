"""The packets that the link decoder declines: rare link types, and tunnels when the configuration asks for them.

Room: packets. `decode` peels layer after layer and returns the IP packet inside, to be decoded as raw IP. It is no fast path: a
microsecond or ten a packet, for packets that are few.

dpkt knows the headers, and is given one header at a time, never a whole packet: handed a packet, it descends by itself,
without a limit (a thousand IP headers fit in one frame), and gives back objects instead of the bytes that were on the
wire. It is imported with this module, so whoever imports it does so on first need.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import dpkt

from receiver.config import Tunnels
from receiver.pcap.dlt import (
    DLT_C_HDLC,
    DLT_EN10MB,
    DLT_FRELAY,
    DLT_IEEE802_11,
    DLT_IEEE802_11_RADIO,
    DLT_IPNET,
    DLT_IPV4,
    DLT_IPV6,
    DLT_LINUX_SLL,
    DLT_LINUX_SLL2,
    DLT_NFLOG,
    DLT_PPI,
    DLT_PPP,
    DLT_PPP_ETHER,
    DLT_PPP_SERIAL,
    DLT_RAW,
    DLT_RAW_OTHERS,
)

# Layers peeled from one packet. VLAN, VLAN, MPLS, Ethernet, IP, VXLAN, Ethernet, IP is eight already; more than twice
# that is somebody's joke.
MAX_LAYERS = 20

_RAW_IP = frozenset({DLT_RAW, *DLT_RAW_OTHERS, DLT_IPV4, DLT_IPV6})

# Protocols are spoken of by ethertype. These are ours: above 16 bits, so that nothing on the wire can name them.
_UNKNOWN = 0x10000
_PPP = 0x10001
_LLC = 0x10002
_IP_OF_SOME_VERSION = 0x10003

_ETH_IP = dpkt.ethernet.ETH_TYPE_IP
_ETH_IP6 = dpkt.ethernet.ETH_TYPE_IP6
_ETH_MPLS = (dpkt.ethernet.ETH_TYPE_MPLS, dpkt.ethernet.ETH_TYPE_MPLS_MCAST)
_ETH_VLAN = (dpkt.ethernet.ETH_TYPE_8021Q, dpkt.ethernet.ETH_TYPE_8021AD, 0x9100, 0x9200)
_ETH_PPPOE = dpkt.ethernet.ETH_TYPE_PPPoE
_ETH_TEB = dpkt.ethernet.ETH_TYPE_TEB  # an Ethernet frame inside
_ETH_ERSPAN = 0x88BE  # types I and II
_ETH_ERSPAN3 = 0x22EB
_ETH_PPTP = 0x880B
_ETH_P_802_2 = 4
_ETH_SMALLEST = 0x600  # below, the number is a length and LLC follows: IEEE 802.3, 3.2.6

_NFULA_PAYLOAD = 9
_NFLOG_MAX = 32  # kinds of fields; there are some twenty

_PORTS = Tunnels()

Layer = tuple[int, int]  # what comes next, and where


def decode(data: bytes, link_type: int, unwrap: bool = False, tunnels: Tunnels = _PORTS) -> bytes | None:
    """The IPv4 or IPv6 packet inside a frame of this link type (DLT number), or None when there is none to be found.

    Without `unwrap` only the link layers are peeled and the outermost IP packet is the answer; None as well when the
    link decoder could have found it itself (Ethernet, two tags at most, cooked, raw). With it also IP in IP, 6in4,
    GRE (and ERSPAN), VXLAN and GENEVE: the innermost packet that can be reached is the answer. Padding behind the
    packet is left on. Never raises.
    """
    try:
        return _decode(data, link_type, tunnels if unwrap else None)
    except (struct.error, IndexError, dpkt.Error):
        return None  # cut short, or not what it says it is


def _decode(data: bytes, link_type: int, tunnels: Tunnels | None) -> bytes | None:
    if link_type in _RAW_IP:
        kind, at = _IP_OF_SOME_VERSION, 0
        odd = False
    else:
        open_link = _LINKS.get(link_type)
        if open_link is None:
            return None
        kind, at = open_link(data, 0)
        odd = link_type not in (DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2)
    tags = 0
    for _ in range(MAX_LAYERS):
        if kind == _IP_OF_SOME_VERSION:
            kind = {4: _ETH_IP, 6: _ETH_IP6}.get(data[at] >> 4, _UNKNOWN)
        if kind in (_ETH_IP, _ETH_IP6):
            if data[at] >> 4 != (4 if kind == _ETH_IP else 6):
                return None
            inner = _tunnel(data, kind, at, tunnels) if tunnels is not None else None
            if inner is None or not _leads_to_ip(data, inner):
                return data[at:] if odd else None
            kind, at = inner
            odd = True
            continue
        if kind in _ETH_VLAN:
            tags += 1
            odd = odd or tags > 2
        else:
            odd = True
        layer = _peel(data, kind, at)
        if layer is None:
            return None
        kind, at = layer
    return None


def _leads_to_ip(data: bytes, inner: Layer) -> bool:
    """Whether a tunnel carries IP; where it does not (port 4789 used for something else), the outer packet is kept."""
    kind, at = inner
    for _ in range(MAX_LAYERS):
        if kind == _IP_OF_SOME_VERSION:
            return at < len(data) and data[at] >> 4 in (4, 6)
        if kind in (_ETH_IP, _ETH_IP6):
            return at < len(data) and data[at] >> 4 == (4 if kind == _ETH_IP else 6)
        try:
            layer = _peel(data, kind, at)
        except (struct.error, IndexError, dpkt.Error):
            return False
        if layer is None:
            return False
        kind, at = layer
    return False


def _peel(data: bytes, kind: int, at: int) -> Layer | None:
    """Take off one header that is not IP."""
    if kind in _ETH_VLAN:
        return _u16(data, at + 2), at + 4
    if kind == _ETH_TEB:
        return _ethernet(data, at)
    if kind in _ETH_MPLS:
        return _mpls(data, at)
    if kind == _ETH_PPPOE:
        return _pppoe(data, at)
    if kind == _PPP:
        return _ppp(data, at)
    if kind == _ETH_PPTP:
        return _ppp(data, at)
    if kind == _LLC or kind < _ETH_SMALLEST:
        return _llc(data, at)
    return None


def _ethernet(data: bytes, at: int) -> Layer:
    return _u16(data, at + 12), at + 14


def _mpls(data: bytes, at: int) -> Layer | None:
    # Labels of 4 bytes until the one that says it is the last; no field says what follows, by custom its first half
    # byte does.
    for _ in range(MAX_LAYERS):
        label = dpkt.ethernet.MPLSlabel(data[at : at + 4])
        at += 4
        if label.s:
            return _IP_OF_SOME_VERSION, at
    return None


def _pppoe(data: bytes, at: int) -> Layer | None:
    header = dpkt.pppoe.PPPoE(data[at : at + 6])
    return (_PPP, at + 6) if header.code == dpkt.pppoe.PPPoE_SESSION else None


def _ppp(data: bytes, at: int) -> Layer | None:
    # [ff 03, may be left out][u8 or u16 protocol: an odd byte is the last]      RFC 1661, 2 and 6.5
    if data[at : at + 2] == b"\xff\x03":
        at += 2
    protocol = data[at]
    at += 1
    if not protocol & 1:
        protocol = protocol << 8 | data[at]
        at += 1
    kind = {dpkt.ppp.PPP_IP: _ETH_IP, dpkt.ppp.PPP_IP6: _ETH_IP6, 0x281: dpkt.ethernet.ETH_TYPE_MPLS}.get(protocol)
    return (kind, at) if kind else None


def _llc(data: bytes, at: int) -> Layer | None:
    # [aa][aa][03][organization 3][u16 type]: an ethertype where the organization is 0, RFC 1042
    if data[at : at + 6] == b"\xaa\xaa\x03\0\0\0":
        return _u16(data, at + 6), at + 8
    return (_ETH_IP, at + 3) if data[at] == 0x06 else None


def _dot11(data: bytes, at: int) -> Layer:
    # Little-endian frame control; only data frames that are neither encrypted nor empty carry anything for us.
    # [u16 control][u16 duration][3 addresses][u16 sequence][4th address][u16 QoS][u32 HT] LLC       IEEE 802.11, 9.2.4
    (control,) = struct.unpack_from("<H", data, at)
    subtype = control >> 4 & 0xF
    if control >> 2 & 3 != dpkt.ieee80211.DATA_TYPE or subtype & 0x4 or control & 0x4000:
        return _UNKNOWN, at
    at += 24
    if control & 0x0300 == 0x0300:
        at += 6
    if subtype & 0x8:
        at += 2 + (4 if control & 0x8000 else 0)
    return _LLC, at


def _radiotap(data: bytes, at: int) -> Layer:
    # [u8 version][u8 pad][u16 length][u32 present ...]: the length covers it all, so that no field need be understood.
    (length,) = struct.unpack_from("<H", data, at + 2)
    if length < 8 or data[at] != 0:
        return _UNKNOWN, at
    return _dot11(data, at + length)


def _ppi(data: bytes, at: int) -> Layer:
    (length, link_type) = struct.unpack_from("<2xHI", data, at)
    if length < 8 or link_type != DLT_IEEE802_11:
        return _UNKNOWN, at
    return _dot11(data, at + length)


def _frame_relay(data: bytes, at: int) -> Layer:
    # [2 to 4 bytes of address, the last is odd][03][00, may be left out][u8 NLPID]     RFC 2427
    for _ in range(4):
        at += 1
        if data[at - 1] & 1:
            break
    if data[at] != 0x03:
        return _UNKNOWN, at
    at += 1
    if data[at] == 0:
        at += 1
    nlpid = data[at]
    if nlpid == 0x80:  # SNAP
        return _u16(data, at + 4), at + 6
    return {0xCC: _ETH_IP, 0x8E: _ETH_IP6}.get(nlpid, _UNKNOWN), at + 1


def _ipnet(data: bytes, at: int) -> Layer:
    # [u8 version 1][u8 family, Solaris: 2 or 26][22 bytes]
    return {2: _ETH_IP, 26: _ETH_IP6}.get(data[at + 1], _UNKNOWN), at + 24


def _cooked(kind: int, at: int) -> Layer:
    # Below the smallest ethertype are numbers of Linux's own (linux/if_ether.h); 4 is LLC.
    if kind < _ETH_SMALLEST:
        kind = _LLC if kind == _ETH_P_802_2 else _UNKNOWN
    return kind, at


def _nflog(data: bytes, at: int) -> Layer:
    # [u8 family][u8 version 0][u16 group], then [u16 length][u16 type][value, padded to 4] in the order of the machine that
    # wrote it: linux/netfilter/nfnetlink_log.h
    (version, length) = struct.unpack_from("<xB2xH", data, at)
    if version:
        return _UNKNOWN, at
    # The first one says which order that is: it is the packet's header, of 8 bytes.
    order = ">" if length & 0xFF == 0 else "<"
    at += 4
    for _ in range(_NFLOG_MAX):
        (length, kind) = struct.unpack_from(order + "HH", data, at)
        if length < 4:
            break
        if kind & 0x7FFF == _NFULA_PAYLOAD:
            return _IP_OF_SOME_VERSION, at + 4
        at += length + -length % 4
    return _UNKNOWN, at


_LINKS: dict[int, Callable[[bytes, int], Layer]] = {
    DLT_EN10MB: _ethernet,
    DLT_PPP: lambda _, at: (_PPP, at),
    DLT_PPP_SERIAL: lambda _, at: (_PPP, at),
    DLT_PPP_ETHER: lambda _, at: (_ETH_PPPOE, at),
    DLT_C_HDLC: lambda data, at: (_u16(data, at + 2), at + 4),
    DLT_IEEE802_11: _dot11,
    DLT_FRELAY: _frame_relay,
    DLT_LINUX_SLL: lambda data, at: _cooked(_u16(data, at + 14), at + 16),
    DLT_IEEE802_11_RADIO: _radiotap,
    DLT_PPI: _ppi,
    DLT_IPNET: _ipnet,
    DLT_NFLOG: _nflog,
    DLT_LINUX_SLL2: lambda data, at: _cooked(_u16(data, at), at + 20),
}


def _tunnel(data: bytes, kind: int, at: int, tunnels: Tunnels) -> Layer | None:
    """What an IP packet carries when it is a tunnel's; None when it is a packet like any other."""
    if kind == _ETH_IP:
        header = dpkt.ip.IP(data[at : at + 20])
        if header.offset or header.mf or header.hl < 5:
            return None  # a fragment is put together first
        protocol, at = header.p, at + header.hl * 4
    else:
        protocol, at = data[at + 6], at + 40
        for _ in range(MAX_LAYERS):
            # Linux puts a destination option, the encapsulation limit, in front of what its tunnels carry: RFC 2473.
            if protocol in (dpkt.ip.IP_PROTO_HOPOPTS, dpkt.ip.IP_PROTO_ROUTING, dpkt.ip.IP_PROTO_DSTOPTS):
                protocol, at = data[at], at + 8 + data[at + 1] * 8
            elif protocol == dpkt.ip.IP_PROTO_AH:
                protocol, at = data[at], at + 8 + data[at + 1] * 4
            elif protocol == dpkt.ip.IP_PROTO_FRAGMENT and _u16(data, at + 2) & 0xFFF9 == 0:  # RFC 6946: whole all the same
                protocol, at = data[at], at + 8
            else:
                break
    if protocol == dpkt.ip.IP_PROTO_IPIP:
        return _ETH_IP, at
    if protocol == dpkt.ip.IP_PROTO_IP6:
        return _ETH_IP6, at
    if protocol == dpkt.ip.IP_PROTO_GRE:
        return _gre(data, at)
    if protocol == dpkt.ip.IP_PROTO_UDP and len(data) >= at + 16:
        port = _u16(data, at + 2)
        if port in tunnels.vxlan and data[at + 8] & 0x08:
            return _ETH_TEB, at + 16
        if port in tunnels.geneve and data[at + 8] >> 6 == 0:
            return _u16(data, at + 10), at + 16 + (data[at + 8] & 0x3F) * 4
    return None


def _gre(data: bytes, at: int) -> Layer | None:
    # [u16 flags][u16 protocol][check sum, key, sequence ... by flag]      RFC 2784, 2890; 2637 for version 1
    if len(data) < at + 4:
        return None
    header = dpkt.gre.GRE()
    header.flags = _u16(data, at)
    if header.flags & dpkt.gre.GRE_RP:
        return None  # source routing: RFC 2784 took it away
    kind = _u16(data, at + 2)
    at += 4 + struct.calcsize("!" + "".join(header.opt_fields_fmts()[1]))
    # Cisco's ERSPAN, draft-foschiano-erspan: [u4 version][u12 VLAN] ..., version 1 in type II, 2 in type III
    if kind == _ETH_ERSPAN:
        # Type I has no header of its own, type II one of 8 bytes; only the latter counts its packets.
        return _ETH_TEB, at + (8 if header.flags & dpkt.gre.GRE_SP else 0)
    if kind == _ETH_ERSPAN3:
        # 12 bytes; the last two are [P][u5 kind of frame][6][D][2][O]: Ethernet or IP, and O says that 8 bytes more follow.
        last = _u16(data, at + 10)
        inner = {0: _ETH_TEB, 2: _IP_OF_SOME_VERSION}.get(last >> 10 & 0x1F, _UNKNOWN)
        return inner, at + 12 + (8 if last & 1 else 0)
    return kind, at


def _u16(data: bytes, at: int) -> int:
    value: int = struct.unpack_from("!H", data, at)[0]
    return value
