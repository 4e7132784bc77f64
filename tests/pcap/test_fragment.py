"""Datagrams in IP fragments: RFC 791, 3.2; RFC 8200, 4.5; RFC 5722; RFC 6946."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.pcap import fragment
from receiver.pcap.fragment import Fragments
from tests.l7.harness import Collector
from tests.pcap.encapsulations import ip4, ip6, tcp, udp
from tests.pcap.packets import Wire, engine

# RFC 1035, 4.1: what has the question of `a. TXT`, and an answer of 255 bytes, 12 times.
QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 0161 00 0010 0001")
RECORD = bytes.fromhex("c00c 0010 0001 0000003c 0100 ff") + b"x" * 255
ANSWER = bytes.fromhex("0007 8180 0001 000c 0000 0000 0161 00 0010 0001") + RECORD * 12


def swap(packet: bytes) -> bytes:
    """The same from the other end."""
    if packet[0] >> 4 == 4:
        return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
    return packet[:8] + packet[24:40] + packet[8:24] + packet[40:]


def pieces(body: bytes, protocol: int, six: bool, *, ident: int = 9, mtu: int = 1480, before: bytes = b"") -> list[bytes]:
    """The fragments of a packet, none with more than `mtu` bytes of it; `before`: IPv6 headers that every one of them has."""
    found = []
    step = mtu // 8 * 8
    for at in range(0, len(body), step):
        part = body[at : at + step]
        more = at + step < len(body)
        if six:
            head = struct.pack("!BBHI", protocol, 0, at | more, ident)
            found.append(ip6(before + head + part, 0 if before else 44))
        else:
            found.append(ip4(part, protocol, ident=ident, place=at // 8 | (0x2000 if more else 0)))
    return found


class Room:
    """The room by itself, fed with raw IP packets."""

    def __init__(self) -> None:
        self.fragments = Fragments()
        self.given = 0

    def add(self, packet: bytes, ts_ns: int = 0, end: int | None = None) -> bytes | None:
        at = (packet[0] & 15) * 4 if packet[0] >> 4 == 4 else 40
        if packet[0] >> 4 == 6 and packet[6] == 0:
            at += 8
        self.given += 1
        whole = self.fragments.add(packet, 0, at, len(packet) if end is None else end, ts_ns, 0)
        self.check()
        return whole

    def check(self) -> None:
        room = self.fragments
        assert self.given == room.waiting + sum(room.states.values())
        assert 0 <= room.held_bytes <= fragment.MAX_BYTES
        assert (room.held_bytes == 0) == (room.waiting == 0)

    def states(self) -> dict[str, int]:
        return {state: count for state, count in self.fragments.states.items() if count}


def lookups(wire: Wire, seen: Collector) -> list[tuple[str, str | int | None, int]]:
    """Outcome, code and size of the answer."""
    on = wire.engine
    assert on.packets == on.parsed + sum(on.skipped_packets().values())
    return [(one.outcome, one.response.status if one.response else None, one.sizes[-1] if one.response else 0) for one in seen.seen]


def request(wire: Wire, packet: Callable[[bytes, int], bytes]) -> None:
    """A handshake, and what is asked."""
    wire.packet(packet(tcp(40000, 8080, b"", 0x02, 0, 0), 6))
    wire.packet(swap(packet(tcp(8080, 40000, b"", 0x12, 0, 1), 6)))
    wire.packet(packet(tcp(40000, 8080, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 6))


def conversation() -> tuple[Wire, Collector]:
    seen = Collector()
    return Wire(engine(sink=seen)), seen


@pytest.mark.parametrize("six", [False, True])
def test_answer_in_fragments_in_any_order(six: bool) -> None:
    whole = udp(53, 40000, ANSWER)
    for order in itertools.permutations(range(3)):
        wire, seen = conversation()
        parts = [swap(part) for part in pieces(whole, 17, six, mtu=1200)]
        assert len(parts) == 3
        wire.packet((ip6 if six else ip4)(udp(40000, 53, QUESTION)))
        for n in order:
            wire.packet(parts[n], 5)
        assert lookups(wire, seen) == [("ok", "NOERROR", len(ANSWER))]
        assert wire.engine.fragments.states["reassembled"] == 3
        assert wire.counts()["network.io{transmit}"] == len(ANSWER)


@pytest.mark.parametrize("six", [False, True])
def test_question_in_fragments(six: bool) -> None:
    # EDNS with padding (RFC 7830)
    option = struct.pack("!HH", 12, 2000) + b"\0" * 2000
    question = QUESTION[:11] + b"\x01" + QUESTION[12:] + struct.pack("!BHHIH", 0, 41, 4096, 0, len(option)) + option
    wire, seen = conversation()
    for part in pieces(udp(40000, 53, question), 17, six):
        wire.packet(part, 0.01)
    for part in pieces(udp(53, 40000, ANSWER), 17, six):
        wire.packet(swap(part))
    assert lookups(wire, seen) == [("ok", "NOERROR", len(ANSWER))]
    assert seen.seen[0].sizes[0] == len(question)


@pytest.mark.parametrize("six", [False, True])
def test_tcp_in_fragments(six: bool) -> None:
    body = b"b" * 3000
    wire, seen = conversation()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + body
    request(wire, ip6 if six else ip4)
    for part in pieces(tcp(8080, 40000, answer), 6, six):
        wire.packet(swap(part))
    assert [(one.outcome, one.response and one.response.status) for one in seen.seen] == [("ok", 200)]


def test_headers_before_an_ipv6_fragment_stay() -> None:
    options = bytes.fromhex("2c 00 0104 00000000")  # hop-by-hop, padding; a fragment header follows
    room = Room()
    first, second = pieces(udp(53, 40000, ANSWER), 17, True, mtu=2000, before=options)
    assert room.add(first) is None
    assert room.add(second) == ip6(b"\x11" + options[1:] + udp(53, 40000, ANSWER), 0)


def test_an_ipv4_packet_keeps_its_options_and_loses_its_flags() -> None:
    body = udp(53, 40000, ANSWER)
    room = Room()
    assert room.add(ip4(body[:1600], ident=7, place=0x2000, options=b"\x01" * 4)) is None
    assert room.add(ip4(body[1600:], ident=7, place=200)) == ip4(body, ident=7, options=b"\x01" * 4)


@pytest.mark.parametrize("six", [False, True])
def test_every_fragment_twice_is_one_datagram_and_the_second_ones_are_copies(six: bool) -> None:
    """As two interfaces give them: each with its copy behind it, and all of them once more."""
    parts = [swap(part) for part in pieces(udp(53, 40000, ANSWER), 17, six)]
    for order in ([one for part in parts for one in (part, part)], parts + parts, parts + parts[::-1]):
        wire, seen = conversation()
        wire.packet((ip6 if six else ip4)(udp(40000, 53, QUESTION)))
        for part in order:
            wire.packet(part, 0.01)
        wire.wait(40)
        assert lookups(wire, seen) == [("ok", "NOERROR", len(ANSWER))]
        assert wire.engine.skipped_packets()["duplicate"] == len(parts)
        states = wire.engine.fragments.states
        assert (states["reassembled"], states["duplicate"], states["incomplete"]) == (len(parts), len(parts), 0)


def test_same_identification_with_other_bytes_is_another_datagram() -> None:
    room = Room()
    first, second = pieces(udp(53, 40000, ANSWER), 17, False, mtu=2000)
    room.add(first)
    assert room.add(second) is not None
    other = udp(53, 40000, ANSWER[:1] + b"\x08" + ANSWER[2:])
    first, second = pieces(other, 17, False, mtu=2000)
    assert room.add(first) is None
    assert room.add(second) == ip4(other, ident=9)


@pytest.mark.parametrize("six", [False, True])
def test_overlap_drops_the_datagram_and_what_comes_of_it_later(six: bool) -> None:
    body = udp(53, 40000, ANSWER)

    def part(start: int, end: int, more: bool, ident: int = 9) -> bytes:
        if six:
            return ip6(struct.pack("!BBHI", 17, 0, start | more, ident) + body[start:end], 44)
        return ip4(body[start:end], ident=ident, place=start // 8 | (0x2000 if more else 0))

    end = len(body)
    for overlapping in (
        [part(0, 1600, True), part(1592, end, False)],
        [part(1592, end, False), part(0, 1600, True)],
        [part(0, 1600, True), part(800, 1600, True), part(1600, end, False)],
        [part(0, 1600, True), part(0, 1600, True).replace(b"xxxx", b"yyyy"), part(1600, end, False)],  # the same place, other bytes
        [part(800, 1600, False), part(1600, 2400, True)],  # behind the end
        [part(800, 1600, True), part(0, 800, False)],  # an end before what came
        [part(800, 1600, False), part(1600, end, False)],  # two ends
    ):
        room = Room()
        for one in overlapping:
            assert room.add(one) is None
        assert room.fragments.waiting == 0
        assert room.states() == {"overlapping": len(overlapping)}
    room = Room()
    for one in (part(0, 1600, True), part(8, 1608, True), part(1600, end, False)):
        assert room.add(one) is None
    assert room.states() == {"overlapping": 3}
    # It is that one alone; and when its time is up the identification is free again.
    assert [bool(room.add(one)) for one in (part(0, 1600, True, 10), part(1600, end, False, 10))] == [False, True]
    assert room.fragments.give_up(fragment.HELD_NS) == []
    late = fragment.HELD_NS + 1
    assert [bool(room.add(one, late)) for one in (part(0, 1600, True), part(1600, end, False))] == [False, True]


@pytest.mark.parametrize("six", [False, True])
def test_missing_rest_is_counted_and_the_first_fragment_tells_what_it_has(six: bool) -> None:
    wire, seen = conversation()
    wire.packet((ip6 if six else ip4)(udp(40000, 53, QUESTION)))
    wire.packet(swap(pieces(udp(53, 40000, ANSWER), 17, six)[0]), 10)
    wire.wait(fragment.HELD_NS / 1e9 - 1)
    assert (seen.seen, wire.engine.fragments.waiting) == ([], 1)
    wire.wait(2)
    assert lookups(wire, seen) == [("ok", "NOERROR", 1472)]
    one = seen.seen[0]
    assert one.times[2] - one.times[0] == 10_000_000
    assert (wire.engine.fragments.states["incomplete"], wire.engine.fragments.waiting) == (1, 0)
    assert wire.engine.table.reassembly.bytes_truncated == len(ANSWER) - 1472


@pytest.mark.parametrize("six", [False, True])
def test_missing_first_fragment_tells_nothing_and_is_counted(six: bool) -> None:
    wire, seen = conversation()
    wire.packet((ip6 if six else ip4)(udp(40000, 53, QUESTION)))
    for part in pieces(udp(53, 40000, ANSWER), 17, six)[1:]:
        wire.packet(swap(part))
    wire.wait(40)
    assert lookups(wire, seen) == [("timeout", None, 0)]
    assert wire.engine.fragments.states["incomplete"] == 2


def test_missing_middle_of_tcp_is_left_to_the_stream() -> None:
    wire, seen = conversation()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"b" * 3000
    request(wire, ip4)
    wire.packet(swap(pieces(tcp(8080, 40000, answer), 6, False)[0]))
    wire.wait(20)
    assert seen.seen == []
    wire.packet(swap(ip4(tcp(8080, 40000, answer), 6, ident=77)))  # sent again, whole
    assert [(one.outcome, one.response and one.response.status) for one in seen.seen] == [("ok", 200)]
    assert wire.engine.fragments.states["incomplete"] == 1


def test_at_the_end_of_the_input_the_first_fragment_tells() -> None:
    wire, seen = conversation()
    wire.packet(ip4(udp(40000, 53, QUESTION)))
    wire.packet(swap(pieces(udp(53, 40000, ANSWER), 17, False)[0]), 10)
    wire.engine.finish()
    assert lookups(wire, seen) == [("ok", "NOERROR", 1472)]


def test_short_snaplen_cuts_a_datagram_that_is_whole() -> None:
    first, second, third = pieces(udp(53, 40000, ANSWER), 17, False, mtu=1200)
    room = Room()
    assert room.add(first, end=200) is None
    assert room.add(second, end=200) is None
    whole = room.add(third)
    assert whole == ip4(udp(53, 40000, ANSWER), ident=9)[:200]


def test_atomic_fragments_are_packets() -> None:
    """RFC 6946: each by itself, whatever waits under the same identification."""
    wire, seen = conversation()
    for part in pieces(udp(40000, 53, b"x" * 2000), 17, True)[:1]:
        wire.packet(part)
    wire.packet(ip6(struct.pack("!BBHI", 17, 0, 0, 9) + udp(40000, 53, QUESTION), 44))
    wire.packet(swap(ip6(struct.pack("!BBHI", 17, 0, 0, 9) + udp(53, 40000, ANSWER), 44)))
    assert lookups(wire, seen) == [("ok", "NOERROR", len(ANSWER))]


def test_what_carries_neither_is_not_kept() -> None:
    wire, _ = conversation()
    for protocol in (1, 50, 132):
        wire.packet(pieces(b"p" * 3000, protocol, False)[0])
        wire.packet(pieces(b"p" * 3000, 58 if protocol == 1 else protocol, True)[0])
    assert wire.engine.skipped_packets()["not_tcp_udp"] == 6
    assert (wire.engine.fragments.waiting, sum(wire.engine.fragments.states.values())) == (0, 0)


@pytest.mark.parametrize(
    "packet",
    [
        ip4(b"x" * 9, place=0x2000),  # no multiple of 8 with more behind it
        ip4(b"", place=0x2001),  # nothing
        ip4(b"x" * 8, place=0x2001, total=20),
        ip4(b"x" * 8, place=0x2001, total=0),
        ip4(b"x" * 100, place=0x1FFF),  # beyond 65 535: the ping of death
        ip6(struct.pack("!BBHI", 17, 0, 1, 9) + b"x" * 9, 44),
        ip6(struct.pack("!BBHI", 17, 0, 0xFFF8, 9) + b"x" * 8, 44),
        ip6(struct.pack("!BBHI", 17, 0, 9, 9) + b"x" * 8, 44, length=0),
    ],
)
def test_impossible_fragments_are_malformed(packet: bytes) -> None:
    wire, _ = conversation()
    wire.packet(packet)
    assert wire.engine.skipped_packets()["malformed"] == 1
    assert wire.engine.fragments.states["malformed"] == 1
    assert wire.engine.fragments.waiting == 0


def test_bytes_are_capped_and_the_oldest_goes() -> None:
    room = Room()
    size = 60_000
    fits = fragment.MAX_BYTES // (size + fragment.PIECE_BYTES)
    for ident in range(fits + 1):
        assert room.fragments.evicted == 0
        room.add(ip4(b"x" * size, ident=ident + 1, place=0x2000))
    assert (room.fragments.evicted, room.states()) == (1, {"evicted": 1})
    assert room.add(ip4(b"x" * 8, ident=1, place=size // 8)) is None  # the first is forgotten
    assert room.add(ip4(b"x" * 8, ident=3, place=size // 8)) is not None


def test_datagrams_are_capped() -> None:
    room = Room()
    for ident in range(fragment.MAX_DATAGRAMS + 1):
        assert room.fragments.evicted == 0
        room.add(ip6(struct.pack("!BBHI", 17, 0, 1, ident) + b"x" * 8, 44))
    assert (room.fragments.evicted, room.fragments.waiting) == (1, fragment.MAX_DATAGRAMS)


def test_small_fragments_are_no_way_around_the_cap() -> None:
    room = Fragments()
    for ident, n in itertools.product(range(1, 40), range(1000)):
        packet = ip4(b"x" * 8, ident=ident, place=0x2000 | n * 2)
        room.add(packet, 0, 20, len(packet), 0, 0)
    assert room.held_bytes <= fragment.MAX_BYTES
    assert room.evicted > 0


def test_tunnel_in_fragments_in_a_tunnel_is_opened() -> None:
    seen = Collector()
    wire = Wire(engine(sink=seen, unwrap=True))

    def vxlan(packet: bytes, ident: int) -> list[bytes]:
        frame = b"\x02" * 12 + b"\x08\0" + packet
        return pieces(udp(5555, 4789, b"\x08\0\0\0\0\0\x01\0" + frame), 17, False, ident=ident, mtu=1400)

    def gre(packet: bytes) -> bytes:
        return ip4(b"\0\0\x08\0" + packet, 47)

    wire.packet(gre(vxlan(ip4(udp(40000, 53, QUESTION)), 1)[0]))
    for part in vxlan(swap(ip4(udp(53, 40000, ANSWER))), 2):
        wire.packet(gre(swap(part)), 0.01)
    assert lookups(wire, seen) == [("ok", "NOERROR", len(ANSWER))]


@settings(max_examples=200)
@given(st.integers(0, 1 << 32), st.booleans())
def test_whatever_comes_is_counted_and_nothing_is_put_together_wrongly(seed: int, six: bool) -> None:
    """Fragments of a few datagrams, cut in any way, some twice, some changed, in any order: what comes out is one that was sent."""
    rng = random.Random(seed)
    sent, parts = set(), []
    for ident in range(1, 4):
        body = udp(53, 40000, rng.randbytes(rng.randrange(9, 400)))
        sent.add(body)
        parts += pieces(body, 17, six, ident=ident, mtu=rng.choice((8, 16, 64, 128)))
    parts += rng.choices(parts, k=3)
    rng.shuffle(parts)
    del parts[: rng.randrange(3)]
    room = Room()
    moved = False
    for part in parts:
        changed = bytearray(part)
        if rng.random() < 0.1 and len(part) > 60:  # its place, or what is told of it: any but addresses and identification
            changed[43 if six else 7] ^= 8
        if changed[43 if six else 7] or changed[42 if six else 6] & 0x3F:  # else it is none any more
            moved |= bytes(changed) != part
            whole = room.add(bytes(changed))
            assert whole is None or moved or whole[40 if six else 20 :] in sent
    room.fragments.give_up(0, everything=True)
    room.check()
    assert room.fragments.waiting == 0
