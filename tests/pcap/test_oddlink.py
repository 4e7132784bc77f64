"""Frames built by dpkt or after the specification's drawing; the answer must be the very bytes of the packet inside."""

from __future__ import annotations

import socket
import struct
import time

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.config import Tunnels
from receiver.pcap import oddlink
from receiver.pcap.oddlink import decode

EN10MB, RAW, PPP, PPP_SERIAL, PPP_ETHER, HDLC, WIFI, FRELAY, SLL, RADIOTAP, PPI, IPNET, SLL2 = (
    *(1, 12, 9, 50, 51, 104, 105, 107, 113, 127, 192, 226, 276),
)
LINK_TYPES = (EN10MB, RAW, PPP, PPP_SERIAL, PPP_ETHER, HDLC, WIFI, FRELAY, SLL, RADIOTAP, PPI, IPNET, SLL2, 0, 999)


def ip4(payload: bytes = b"", proto: int = 6, offset: int = 0) -> bytes:
    body = payload or bytes(dpkt.tcp.TCP(sport=1, dport=80, data=b"GET"))
    head = struct.pack(
        "!BBHHHBBH", 0x45, 0, 20 + len(body), 7, offset, 64, proto, 0
    )  # a check sum of 0, as offload leaves it
    return head + socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2") + body


def ip6(payload: bytes = b"", proto: int = 6) -> bytes:
    body = payload or bytes(dpkt.tcp.TCP(sport=1, dport=80, data=b"GET"))
    return struct.pack("!IHBB", 6 << 28, len(body), proto, 64) + b"\xfd" + b"\0" * 31 + body


def ethernet(kind: int, payload: bytes) -> bytes:
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack("!H", kind) + payload


def udp(port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload


INNER = ip4()
INNER6 = ip6()
SNAP = b"\xaa\xaa\x03\0\0\0\x08\0"
PPPOE = bytes(dpkt.pppoe.PPPoE(session=1, len=len(INNER) + 2)) + b"\0\x21" + INNER


@pytest.mark.parametrize(
    ("link_type", "frame", "inside"),
    [
        (PPP, b"\xff\x03\0\x21" + INNER, INNER),
        (PPP, b"\0\x21" + INNER, INNER),
        (PPP, b"\x21" + INNER, INNER),
        (PPP_SERIAL, b"\xff\x03\0\x57" + INNER6, INNER6),
        (PPP_ETHER, PPPOE, INNER),
        (HDLC, b"\x0f\0\x08\0" + INNER, INNER),
        (EN10MB, ethernet(0x8864, PPPOE), INNER),
        (EN10MB, ethernet(0x8100, b"\0\x05\x88\x64" + PPPOE), INNER),
        (EN10MB, ethernet(0x8847, b"\0\x01\0\x40\0\x02\x01\x40" + INNER), INNER),
        (EN10MB, ethernet(0x8847, b"\0\x01\x01\x40" + INNER6), INNER6),
        (EN10MB, ethernet(8 + len(INNER), SNAP + INNER), INNER),
        (EN10MB, ethernet(3 + len(INNER), b"\x06\x06\x03" + INNER), INNER),
        (EN10MB, ethernet(0x88A8, b"\0\x05\x81\0\0\x06\x81\0\0\x07\x08\0" + INNER), INNER),
        (WIFI, b"\x08\x02\0\0" + b"\x02" * 18 + b"\0\0" + SNAP + INNER, INNER),
        (WIFI, b"\x88\x03\0\0" + b"\x02" * 18 + b"\0\0" + b"\x02" * 6 + b"\0\0" + SNAP + INNER, INNER),
        (RADIOTAP, b"\0\0\x08\0\0\0\0\0" + b"\x08\x01\0\0" + b"\x02" * 18 + b"\0\0" + SNAP + INNER, INNER),
        (PPI, b"\0\0\x08\0\x69\0\0\0" + b"\x08\x01\0\0" + b"\x02" * 18 + b"\0\0" + SNAP + INNER, INNER),
        (FRELAY, b"\x18\x41\x03\xcc" + INNER, INNER),
        (FRELAY, b"\x18\x41\x03\0\x80\0\0\0\x08\0" + INNER, INNER),
        (IPNET, b"\x01\x02" + b"\0" * 22 + INNER, INNER),
        (SLL, struct.pack("!HHH8sH", 0, 1, 6, b"", 0x8847) + b"\0\x01\x01\x40" + INNER, INNER),
        (SLL2, struct.pack("!HHIHBB8s", 0x8864, 0, 1, 1, 0, 6, b"") + PPPOE, INNER),
    ],
)
def test_rare_link_layers_are_peeled(link_type: int, frame: bytes, inside: bytes) -> None:
    assert decode(frame, link_type) == inside


GENEVE = struct.pack("!BBHI", 2, 0, 0x6558, 5 << 8) + b"\0" * 8  # two words of options
VXLAN = struct.pack("!II", 0x08 << 24, 5 << 8)
# draft-foschiano-erspan-03, 4.3: [u4 version 2][u12 VLAN][u16 session][u32 time][u16 group], two bytes follow
ERSPAN3 = b"\x20\x05" + b"\0\x07" + b"\0" * 6
TUNNELS = {
    "IP in IP": (ip4(INNER, 4), INNER),
    "6in4": (ip4(INNER6, 41), INNER6),
    "4in6": (ip6(INNER, 4), INNER),
    "4in6 with encapsulation limit": (ip6(b"\x04\0\x04\x01\x04\x01\0\0" + INNER, 60), INNER),
    "GRE": (ip4(b"\0\0\x08\0" + INNER, 47), INNER),
    "GRE with sum, key, sequence": (ip4(b"\xb0\0\x86\xdd" + b"\0" * 12 + INNER6, 47), INNER6),
    "GRE of Ethernet": (ip4(b"\x20\0\x65\x58\0\0\0\x01" + ethernet(0x800, INNER), 47), INNER),
    "PPTP": (ip4(b"\x30\x81\x88\x0b\0\0\0\0" + b"\0" * 8 + b"\xff\x03\0\x21" + INNER, 47), INNER),
    "ERSPAN II": (ip4(b"\x10\0\x88\xbe\0\0\0\x01" + b"\0" * 8 + ethernet(0x800, INNER), 47), INNER),
    "ERSPAN I": (ip4(b"\0\0\x88\xbe" + ethernet(0x800, INNER), 47), INNER),
    "ERSPAN III": (ip4(b"\x10\0\x22\xeb\0\0\0\x01" + ERSPAN3 + b"\0\0" + ethernet(0x800, INNER), 47), INNER),
    "ERSPAN III, subheader": (ip6(b"\x10\0\x22\xeb\0\0\0\x01" + ERSPAN3 + b"\0\1" + b"\0" * 8 + ethernet(0x800, INNER), 47), INNER),
    "ERSPAN III of IP": (ip4(b"\x10\0\x22\xeb\0\0\0\x01" + ERSPAN3 + b"\x08\0" + INNER, 47), INNER),
    "NVGRE": (ip4(b"\x20\0\x65\x58\0\0\x05\x01" + ethernet(0x86DD, INNER6), 47), INNER6),
    "GRE with every field": (ip6(b"\xb0\0\x08\0" + b"\0" * 12 + INNER, 47), INNER),
    "GRE of MPLS": (ip4(b"\0\0\x88\x47\0\x01\x01\x40" + INNER, 47), INNER),
    "4in6 behind an atomic fragment header": (ip6(b"\x04\0\0\0\0\0\0\x07" + INNER, 44), INNER),
    "VXLAN on Linux's own port": (ip4(udp(8472, VXLAN + ethernet(0x800, INNER)), 17), INNER),
    "VXLAN": (ip4(udp(4789, VXLAN + ethernet(0x800, INNER)), 17), INNER),
    "VXLAN, tagged, over IPv6": (ip6(udp(4789, VXLAN + ethernet(0x8100, b"\0\x05\x08\0" + INNER)), 17), INNER),
    "GENEVE": (ip4(udp(6081, GENEVE + ethernet(0x86DD, INNER6)), 17), INNER6),
    "VXLAN of IP in IP": (ip4(udp(4789, VXLAN + ethernet(0x800, ip4(INNER, 4))), 17), INNER),
}


@pytest.mark.parametrize("name", TUNNELS)
def test_tunnels_are_opened_only_when_asked_to(name: str) -> None:
    packet, inside = TUNNELS[name]
    frame = ethernet(0x800 if packet[0] >> 4 == 4 else 0x86DD, packet)
    assert decode(frame, EN10MB, unwrap=True) == inside
    assert decode(packet, RAW, unwrap=True) == inside
    assert decode(frame, EN10MB) is None
    assert decode(ethernet(0x8864, b"\x11\0\0\x01\0\0\0\x21" + packet), EN10MB) in (packet, None)


@pytest.mark.parametrize("name", ["GRE", "GRE of Ethernet", "VXLAN", "GRE with sum, key, sequence", "IP in IP"])
def test_dpkt_finds_the_same_packet_inside(name: str) -> None:
    packet, inside = TUNNELS[name]
    outer = dpkt.ip.IP(packet)
    layer = outer.data
    if isinstance(layer, dpkt.udp.UDP):
        layer = dpkt.ethernet.Ethernet(layer.data[8:])
    while not isinstance(layer, dpkt.ip.IP | dpkt.ip6.IP6):
        layer = layer.data
    assert (layer.src, layer.dst) == (
        (inside[12:16], inside[16:20]) if inside[0] >> 4 == 4 else (inside[8:24], inside[24:40])
    )
    assert decode(packet, RAW, unwrap=True) == inside


def test_other_ports_of_tunnels_are_the_configurations() -> None:
    vxlan, geneve = ip4(udp(4790, VXLAN + ethernet(0x800, INNER)), 17), ip6(udp(6082, GENEVE + ethernet(0x86DD, INNER6)), 17)
    for packet, inside in ((vxlan, INNER), (geneve, INNER6)):
        assert decode(packet, RAW, unwrap=True) is None
        assert decode(packet, RAW, unwrap=True, tunnels=Tunnels(vxlan=(4790,), geneve=(6082,))) == inside
    usual = ip4(udp(4789, VXLAN + ethernet(0x800, INNER)), 17)
    assert decode(usual, RAW, unwrap=True, tunnels=Tunnels(vxlan=(4790,))) is None


def test_snap_of_another_organization_is_no_ethertype() -> None:
    inside = b"\xaa\xaa\x03\0\0\x0c\x08\0" + INNER
    assert decode(ethernet(len(inside), inside), EN10MB) is None


def test_what_the_link_decoder_reads_itself_is_not_answered_twice() -> None:
    assert decode(ethernet(0x800, INNER), EN10MB) is None
    assert decode(ethernet(0x8100, b"\0\x05\x81\0\0\x06\x08\0" + INNER), EN10MB) is None
    assert decode(INNER, RAW, unwrap=True) is None


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (EN10MB, ethernet(0x806, b"\0" * 28)),
        (EN10MB, ethernet(0x8863, bytes(dpkt.pppoe.PPPoE(code=9)))),
        (EN10MB, ethernet(0x26, b"\x42\x42\x03" + b"\0" * 35)),
        (EN10MB, ethernet(0x8847, b"\0\x01\x01\x40" + b"\0\0\0\0" + ethernet(0x800, INNER))),
        (PPP, b"\xff\x03\xc0\x21\x01\x01\0\x04"),
        (WIFI, b"\x80\0\0\0" + b"\x02" * 60),
        (WIFI, b"\x08\x42\0\0" + b"\x02" * 18 + b"\0\0" + SNAP + INNER),
        (999, INNER),
    ],
)
def test_what_holds_no_ip_packet_is_none(link_type: int, frame: bytes) -> None:
    assert decode(frame, link_type, unwrap=True) is None


def test_a_tunnels_port_used_for_something_else_leaves_the_packet_alone() -> None:
    other = ip4(udp(4789, b"\x08" + b"not a tunnel" * 3), 17)
    assert decode(b"\xff\x03\0\x21" + other, PPP, unwrap=True) == other
    fragment = ip4(b"\0" * 24, 4, offset=100)
    assert decode(b"\xff\x03\0\x21" + fragment, PPP, unwrap=True) == fragment


def test_layers_without_end_cost_little() -> None:
    russian_doll = INNER
    while len(russian_doll) < 60_000:
        russian_doll = ip4(russian_doll, 4)
    labels = ethernet(0x8847, b"\0\x01\0\x40" * 16_000)
    tags = ethernet(0x8100, b"\0\x05\x81\0" * 16_000)
    for frame in (ethernet(0x800, russian_doll), labels, tags):
        assert decode(frame, EN10MB, unwrap=True) is None
    start = time.perf_counter()
    decode(ethernet(0x800, russian_doll), EN10MB, unwrap=True)
    print(f"{(time.perf_counter() - start) * 1e6:.0f} us")


def test_the_last_layer_allowed_is_read_and_one_more_is_not() -> None:
    tags = b"\0\x05\x81\0" * (oddlink.MAX_LAYERS - 2) + b"\0\x05\x08\0"
    assert decode(ethernet(0x8100, tags + INNER), EN10MB) == INNER
    assert decode(ethernet(0x8100, b"\0\x05\x81\0" + tags + INNER), EN10MB) is None


SEEDS = [ethernet(0x800, packet) for packet, _ in TUNNELS.values()] + [ethernet(0x8864, PPPOE), PPPOE, INNER, INNER6]


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.data(), st.sampled_from(LINK_TYPES), st.booleans())
def test_mutilated_frames_never_raise(seed: bytes, data: st.DataObject, link_type: int, unwrap: bool) -> None:
    frame = bytearray(seed[: data.draw(st.integers(0, len(seed)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if frame:
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    inside = decode(bytes(frame), link_type, unwrap)
    assert inside is None or bytes(frame).endswith(inside)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(LINK_TYPES), st.booleans())
def test_garbage_never_raises(frame: bytes, link_type: int, unwrap: bool) -> None:
    inside = decode(frame, link_type, unwrap)
    assert inside is None or inside[0] >> 4 in (4, 6)


def test_every_prefix_of_every_frame_is_survived() -> None:
    for seed in SEEDS:
        for end in range(len(seed)):
            for link_type in LINK_TYPES:
                decode(seed[:end], link_type, unwrap=True)
