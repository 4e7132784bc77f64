"""What the decoders can read the generated filter keeps: every encapsulation, on every link type, for every plan that wants what is
inside. Frames after the specifications' drawings; the filter is run by pcapy's libpcap."""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Iterator

import pcapy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.engine import Engine
from receiver.pcap.bpf import FilterPlan, build_filter
from tests.pcap import encapsulations as enc
from tests.pcap.encapsulations import EN10MB, ENVELOPES, SLL, SLL2, TPIDS, cooked, ethernet, ip4, ip6, tagged, tcp, udp
from tests.pcap.packets import engine

# RFC 1035, 4.1.1: a question, all of it that matters here.
QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 0161 00 0001 0001")
TO_DNS = udp(40000, 53, QUESTION)
TO_HTTP = tcp(40000, 8080, b"GET / HTTP/1.1\r\n\r\n")
HOP = bytes.fromhex("11 00 0104 00000000")  # options of 8 bytes, padding alone, UDP behind: RFC 8200, 4.3
ATOMIC = bytes.fromhex("11 00 0000 0000002a")  # RFC 6946
AH = bytes.fromhex("11 04 0000 00000001 00000001") + b"\0" * 12  # RFC 4302, 2
PACKETS = {
    "DNS over IPv4": ip4(TO_DNS),
    "DNS over IPv4 with options": ip4(TO_DNS, options=b"\x01" * 8),
    "DNS over IPv6": ip6(TO_DNS),
    "DNS behind hop-by-hop options": ip6(HOP + TO_DNS, 0),
    "DNS behind destination options": ip6(HOP + TO_DNS, 60),
    "DNS behind an authentication header": ip6(AH + TO_DNS, 51),
    "DNS in an atomic fragment": ip6(ATOMIC + TO_DNS, 44),
    "HTTP over IPv4": ip4(TO_HTTP, 6),
    "HTTP over IPv6": ip6(TO_HTTP, 6),
}
PLANS = {
    "everything": FilterPlan(),
    "no layer 4": FilterPlan(layer4=False),
    "pinned": FilterPlan(layer4=False, tcp_ports=((8080, 8080),), udp_ports=((53, 53), (5353, 5353))),
    "pinned, with exclusions": FilterPlan(
        tcp_ports=((8000, 8999),), exclude_ports=((22, 22),), exclude_endpoints=(("10.0.0.9", 4317), ("fd00::9", 4317))
    ),
    "a user's": FilterPlan(layer4=False, user="not port 22"),
}


def keeps(plan: FilterPlan, link_type: int, frame: bytes) -> bool:
    text = build_filter(plan, link_type)
    return not text or bool(compiled(link_type, text).filter(frame))


@functools.cache
def compiled(link_type: int, text: str) -> pcapy.BPFProgram:
    return pcapy.compile(link_type, 262144, text, 1, 0xFFFFFFFF)


def reads(frame: bytes, link_type: int, *, on: Engine = engine(), at: Iterator[int] = itertools.count(1_700_000_000)) -> bool:  # noqa: B008 - once
    """Whether TCP or UDP is found in it. One engine for all, for it takes longer to make than to read; a second for each frame, so
    that none is another's copy."""
    before = on.parsed
    on.process_batch(frame, struct.pack("=4I", next(at), 0, 0, len(frame)), link_type)
    assert on.packets == on.parsed + sum(on.skipped_packets().values())
    return on.parsed == before + 1


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("packet", PACKETS)
def test_envelopes_and_tags_of_ethernet_and_cooked_captures(packet: str, plan: str) -> None:
    for envelope, count in itertools.product(ENVELOPES, range(6)):
        if envelope == "IP's SAP" and PACKETS[packet][0] >> 4 == 6:
            continue  # it has none in IEEE 802.2
        for tpid in TPIDS if count else TPIDS[:1]:
            wrapped = tagged(ENVELOPES[envelope](PACKETS[packet]), *(tpid,) * count)
            for link_type, frame in (
                (EN10MB, ethernet(wrapped)),
                (SLL, cooked(wrapped, SLL)),
                (SLL2, cooked(wrapped, SLL2)),
            ):
                told = (envelope, count, hex(tpid), link_type)
                assert reads(frame, link_type), told
                assert keeps(PLANS[plan], link_type, frame), told


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("packet", PACKETS)
def test_other_link_types(packet: str, plan: str) -> None:
    for link_type, frames in enc.others(PACKETS[packet]).items():
        for frame in frames:
            assert reads(frame, link_type), link_type
            if link_type == enc.NFLOG:  # libpcap filters none of it; `filter.py` passes it
                assert build_filter(PLANS[plan], link_type) == PLANS[plan].user
            else:
                assert keeps(PLANS[plan], link_type, frame), (link_type, frame.hex())


LAYERS = st.lists(st.sampled_from(("tag", "PPPoE", "MPLS", "SNAP", "IP's SAP")), max_size=7)


@settings(max_examples=200)
@given(LAYERS, st.sampled_from(list(PACKETS)), st.sampled_from((EN10MB, SLL, SLL2)), st.data())
def test_whatever_is_stacked_and_read_is_kept(layers: list[str], packet: str, link_type: int, data: st.DataObject) -> None:
    kind, inside = enc.plain(PACKETS[packet])
    for layer in layers:
        if layer == "tag":
            kind, inside = tagged((kind, inside), data.draw(st.sampled_from(TPIDS)))
        elif layer == "SNAP":
            inside = b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + inside
            kind = len(inside)
        else:
            kind, inside = ENVELOPES[layer](inside)
    frame = ethernet((kind, inside)) if link_type == EN10MB else cooked((kind, inside), link_type)
    if reads(frame, link_type):
        for plan in PLANS.values():
            assert keeps(plan, link_type, frame)


def test_what_nobody_reads_does_not_pass_for_it() -> None:
    """The filter is no way to take everything: what libpcap can judge is judged in up to three tags, and LLC is looked into."""
    plan = FilterPlan(layer4=False, tcp_ports=((8080, 8080),), udp_ports=((53, 53),))
    for packet in (ip4(udp(1, 123, b"x")), ip6(udp(1, 123, b"x")), ip4(tcp(1, 22, b"x"), 6), ip4(b"\x08\0" + b"\0" * 30, 1)):
        for tags in range(4):
            assert not keeps(plan, EN10MB, ethernet(tagged(enc.plain(packet), *(0x8100,) * tags))), (tags, packet)
        for link_type in (SLL, SLL2):
            assert not keeps(plan, link_type, cooked(enc.plain(packet), link_type))
    arp, spanning_tree = (0x0806, b"\0" * 28), (38, b"\x42\x42\x03" + b"\0" * 35)
    for wrapped in (arp, spanning_tree, tagged(arp, 0x8100), tagged(spanning_tree, 0x8100)):
        assert not keeps(FilterPlan(), EN10MB, ethernet(wrapped))
    assert not keeps(FilterPlan(), SLL, cooked(spanning_tree))


def test_what_the_user_says_of_tags_holds_and_hides_nothing_inside() -> None:
    plan = FilterPlan(user="vlan 7")
    packet = PACKETS["DNS over IPv4"]
    for envelope in ENVELOPES.values():
        assert keeps(plan, EN10MB, ethernet(tagged(envelope(packet), 0x8100)))
        assert not keeps(plan, EN10MB, ethernet(envelope(packet)))


# -- fragments -----------------------------------------------------------------------------------------------------------


def first6(protocol: int, body: bytes, length: int = 48) -> bytes:
    return ip6(struct.pack("!BBHI", protocol, 0, 1, 42) + body[:length].ljust(length, b"\0"), 44)


def later6(protocol: int) -> bytes:
    return ip6(struct.pack("!BBHI", protocol, 0, 1448, 42) + b"\0" * 40, 44)


@pytest.mark.parametrize("link_type", [EN10MB, SLL, enc.RAW, enc.NULL])
def test_fragments_pass_when_their_datagram_may_be_wanted(link_type: int) -> None:
    def passes(plan: FilterPlan, packet: bytes) -> bool:
        if link_type == EN10MB:
            return keeps(plan, link_type, ethernet(enc.plain(packet)))
        if link_type == SLL:
            return keeps(plan, link_type, cooked(enc.plain(packet)))
        return keeps(plan, link_type, enc.others(packet)[link_type][0])

    dns = FilterPlan(layer4=False, tcp_ports=())
    http = FilterPlan(layer4=False, tcp_ports=((8080, 8080),), udp_ports=())
    both = FilterPlan(layer4=False)
    for plan, protocol, port, other in ((dns, 17, 53, 6), (http, 6, 8080, 17), (both, 17, 53, 1)):
        body = udp(40000, port, b"x" * 40) if protocol == 17 else tcp(40000, port, b"x" * 28)
        elsewhere = udp(40000, 999, b"x" * 40) if protocol == 17 else tcp(40000, 999, b"x" * 28)
        assert passes(plan, ip4(body, protocol, place=0x2000))
        assert passes(plan, ip4(b"\0" * 40, protocol, place=185))
        assert passes(plan, first6(protocol, body))
        assert passes(plan, later6(protocol))
        assert passes(plan, first6(60, HOP + body))  # options first: RFC 8200, 4.5
        # Nothing is wanted of these, and that they are fragments is no reason.
        assert not passes(plan, ip4(elsewhere, protocol, place=0x2000))
        assert not passes(plan, first6(protocol, elsewhere))
        assert not passes(plan, ip4(b"\0" * 40, other, place=185))
        assert not passes(plan, later6(other))
    tunnels = FilterPlan(layer4=False, tcp_ports=(), udp_ports=(), unwrap=True)
    for protocol in (4, 41, 47, 17):
        assert passes(tunnels, ip4(b"\0" * 40, protocol, place=185))
        assert passes(tunnels, later6(protocol))
        assert not passes(FilterPlan(layer4=False, tcp_ports=(), udp_ports=()), later6(protocol))
