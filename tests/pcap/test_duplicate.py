"""One packet captured twice is a copy; one sent twice is not."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable

import pytest

from receiver.engine import Engine
from tests.pcap.packets import ACK, CLIENT, FIN, PSH, SERVER, SYN, Line, Wire, engine, ip, sack, udp

SLL, SLL2 = 113, 276
SIX = {"client": "fd00::1", "server": "fd00::2"}


def copies(on: Engine) -> int:
    skipped = on.skipped_packets()
    assert on.packets == on.parsed + sum(skipped.values())
    return skipped["duplicate"]


def test_every_packet_of_a_connection_twice() -> None:
    """As the veth and its bridge give them: each packet, and 4 us later the same once more."""
    wire = Wire()
    line = Line(wire)
    for side, payload, flags in (
        (0, b"", SYN), (1, b"", SYN | ACK), (0, b"", ACK), (0, b"x" * 100, PSH | ACK), (1, b"", ACK), (1, b"y" * 50, PSH | ACK),
        (0, b"", ACK), (0, b"", FIN | ACK), (1, b"", FIN | ACK), (0, b"", ACK),
    ):
        seq, ack = line.seq[side], line.seq[1 - side] if flags & ACK else 0
        line.send(side, payload, flags)
        line.send(side, payload, flags, seq=seq, ack=ack, after_ms=0.004, ident=wire.ident)
    assert copies(wire.engine) == 10
    assert wire.tcp() == {"connections.opened": 1, "connections.established": 1, "connections.closed{fin,client}": 1}
    assert (wire.counts()["network.io{receive}"], wire.counts()["network.packets{transmit}"]) == (100, 4)


@pytest.mark.parametrize("ident", [0x4000, 0x8000, 0xC000, 0xFFFF])
def test_whatever_the_identification_another_length_is_no_copy(ident: int) -> None:
    """Put together in 32 bits, one from 0x8000 on is a negative number, and hides the length behind its sign."""
    wire = Wire()
    for payload in (b"x" * 9, b"x" * 10, b"x" * 9):
        wire.packet(ip(CLIENT, SERVER, 17, udp(5000, 6000, payload), ident), after_ms=0.1)
    assert copies(wire.engine) == 1


def test_three_copies_that_are_routed_in_between() -> None:
    line = Line().opened().c(b"x")
    for after_ms in (10, 10):
        line.c(b"x", seq=1001, after_ms=after_ms, ident=line.wire.ident)
    assert copies(line.wire.engine) == 2


def test_segment_sent_again_has_an_identification_of_its_own() -> None:
    line = Line().opened().c(b"x" * 9).c(b"x" * 9, seq=1001, after_ms=0.2)
    assert copies(line.wire.engine) == 0
    assert line.wire.counts()["tcp.retransmits.io{receive}"] == 9


@pytest.mark.parametrize("addresses", [SIX, {}])
def test_without_identification_the_same_at_once_is_a_copy(addresses: dict[str, str]) -> None:
    line = Line(Wire(engine((addresses.get("server", SERVER),))), **addresses).opened()
    line.c(b"x" * 9, ident=0).c(b"x" * 9, seq=1001, after_ms=0.01, ident=0)
    assert copies(line.wire.engine) == 1
    assert "tcp.retransmits.io{receive}" not in line.wire.counts()


def test_without_identification_what_was_asked_for_again_is_none() -> None:
    """A fast retransmission within a data centre: 100 us after, but the other side spoke in between."""
    line = Line(Wire(engine(("fd00::2",))), **SIX).opened()
    line.c(b"x" * 9).s(ack=1001, after_ms=0.05).c(b"x" * 9, seq=1001, after_ms=0.05)
    assert copies(line.wire.engine) == 0
    assert line.wire.counts()["tcp.retransmits.io{receive}"] == 9


def test_without_identification_what_comes_later_is_none() -> None:
    line = Line(Wire(engine(("fd00::2",))), **SIX).opened()
    line.c(b"x" * 9).c(b"x" * 9, seq=1001, after_ms=1.5)
    assert copies(line.wire.engine) == 0


def test_duplicate_acks_that_differ_only_in_their_sack_are_no_copies() -> None:
    line = Line(Wire(engine(("fd00::2",))), **SIX).opened()
    line.c(b"x" * 9).c(b"x" * 9, seq=1020).c(b"x" * 9, seq=1029)
    line.s(ack=1010, after_ms=0.01, options=sack((1020, 1029))).s(ack=1010, after_ms=0.01, options=sack((1020, 1038)))
    assert copies(line.wire.engine) == 0
    assert line.wire.counts()["tcp.duplicate_acks{transmit}"] == 1  # the first one acknowledges something


def cooked(packet: bytes, kind: int, origin: int) -> bytes:
    if kind == SLL:
        return struct.pack("!HHH8sH", origin, 1, 6, b"", 0x0800) + packet
    return struct.pack("!HHIHBB8s", 0x0800, 0, origin, 1, 0, 6, b"") + packet


def datagrams(wire: Wire, *origins: tuple[int, int, float], check: int = 7) -> None:
    """Each with its identification, where it comes from, and how long after the one before, in milliseconds."""
    for ident, origin, after_ms in origins:
        packet = ip(CLIENT, SERVER, 17, udp(40000, 8125, b"hits:1|c", check), ident)
        wire.packet(cooked(packet, wire.link_type, origin) if wire.link_type != 12 else packet, after_ms)


def test_datagram_with_the_same_identification_is_a_copy() -> None:
    wire = Wire()
    datagrams(wire, (5, 0, 1), (5, 0, 0.09), (6, 0, 0.01))
    assert copies(wire.engine) == 1


def test_programs_send_the_same_datagram_twice() -> None:
    """Unconnected sockets leave the identification 0, and counters are sent as often as they are hit."""
    wire = Wire()
    datagrams(wire, *[(0, 0, 0.005)] * 10)
    assert copies(wire.engine) == 0
    wire.engine.finish()
    assert wire.counts()["network.packets{receive}"] == 10


@pytest.mark.parametrize("kind", [SLL, SLL2])
def test_datagram_from_another_interface_is_a_copy(kind: int) -> None:
    wire = Wire(link_type=kind)
    datagrams(wire, (0, 0, 1), (0, 3, 0.01), (0, 0, 0.01), (0, 3, 0.01))
    assert copies(wire.engine) == 2


def test_dns_answer_captured_twice_is_one_answer() -> None:
    query = bytes.fromhex("12340100000100000000000001610000010001")
    answer = query[:2] + b"\x81\x80" + query[4:]
    wire = Wire()
    for source, target, payload, ident in ((40000, 53, query, 9), (53, 40000, answer, 10), (53, 40000, answer, 10)):
        ends = (CLIENT, SERVER) if target == 53 else (SERVER, CLIENT)
        wire.packet(ip(*ends, 17, udp(source, target, payload), ident), 0.05)
    assert copies(wire.engine) == 1
    pairing = wire.engine.reading.pairing
    assert (pairing.paired, pairing.unmatched) == (1, 0)


def test_more_packets_in_between_than_are_remembered_forget_it() -> None:
    wire = Wire()
    first = Line(wire).opened().c(b"x", ident=77)
    for port in range(1, 6000):
        wire.packet(ip(CLIENT, SERVER, 17, udp(port, 8125, b"n"), port & 0xFFFF), 0.001)
    first.c(b"x", seq=1001, ident=77, after_ms=0.01)
    assert wire.engine.packets == wire.engine.parsed + sum(wire.engine.skipped_packets().values())


@pytest.mark.parametrize("layer4", [True, False])
def test_copies_are_known_without_layer4_as_well(layer4: bool) -> None:
    on = engine()
    if not layer4:
        on = Engine(on.table, on.reading)
    from tests.pcap.packets import START_NS

    for at_ns in (START_NS, START_NS + 5_000):
        packet = ip(CLIENT, SERVER, 17, udp(40000, 53, b"q" * 20), 99)
        seconds, rest = divmod(at_ns, 10**9)
        on.process_batch(packet, struct.pack("=IIII", seconds, rest // 1000, 0, len(packet)), 12)
    assert copies(on) == 1


# -- several interfaces, read in turn ------------------------------------------------------------------------------------

Packet = tuple[float, bytes]
"""When, in milliseconds, and what."""


def read_in_turn(on: Engine, rings: list[list[Packet]], sizes: Iterable[int]) -> None:
    """Each interface gives its packets in its order, so many at once as the next of `sizes`, the other one follows."""
    from tests.pcap.packets import START_NS

    rings = [list(ring) for ring in rings]
    for turn, size in enumerate(itertools.cycle(sizes)):
        number = turn % len(rings)
        taken, rings[number] = rings[number][:size], rings[number][size:]
        meta = b""
        at = 0
        for ms, packet in taken:
            seconds, rest = divmod(START_NS + round(ms * 1e6), 10**9)
            meta += struct.pack("=4I", seconds, rest // 1000, at, len(packet))
            at += len(packet)
        if meta:
            on.process_batch(b"".join(packet for _, packet in taken), meta, 12, number + 1)
        if not any(rings):
            return


ORDERS = ([1000], [1], [3, 5], [0, 1000, 1000], [7, 1, 1])


def seen_on_two(packets: list[Packet], apart_ms: float = 0.008) -> list[list[Packet]]:
    return [packets, [(ms + apart_ms, packet) for ms, packet in packets]]


@pytest.mark.parametrize("sizes", ORDERS)
@pytest.mark.parametrize("six", [False, True])
def test_questions_seen_on_two_interfaces_are_told_once(six: bool, sizes: list[int]) -> None:
    """Ten look-ups; unconnected sockets leave IPv4's identification 0, and IPv6 has none."""
    ends = ("fd00::1", "fd00::2") if six else (CLIENT, SERVER)
    packets: list[Packet] = []
    for n in range(10):
        query = struct.pack("!HHHHHH", n, 0x0100, 1, 0, 0, 0) + bytes.fromhex("01610000010001")
        answer = query[:2] + b"\x81\x80" + query[4:]
        packets.append((n * 2, ip(*ends, 17, udp(40000 + n, 53, query, 7))))
        packets.append((n * 2 + 1, ip(*reversed(ends), 17, udp(53, 40000 + n, answer, 8))))
    on = engine(ends[1:])
    read_in_turn(on, seen_on_two(packets), sizes)
    pairing = on.reading.pairing
    assert (pairing.paired, pairing.repeated, pairing.unmatched, copies(on)) == (10, 0, 0, 20)
    assert on.parsed == 20


@pytest.mark.parametrize("sizes", ORDERS)
def test_same_datagram_sent_ten_times_and_seen_twice_is_ten(sizes: list[int]) -> None:
    packet = ip(CLIENT, SERVER, 17, udp(40000, 8125, b"hits:1|c"))
    on = engine()
    read_in_turn(on, seen_on_two([(n * 0.005, packet) for n in range(10)]), sizes)
    assert (on.parsed, copies(on)) == (10, 10)


def test_copy_by_another_interface_may_be_as_late_as_any() -> None:
    packets: list[Packet] = [(0, ip("fd00::1", "fd00::2", 17, udp(40000, 9, b"x")))]
    for apart_ms, known in ((49, 1), (51, 0)):
        on = engine()
        read_in_turn(on, seen_on_two(packets, apart_ms), [1])
        assert copies(on) == known


@pytest.mark.parametrize("sizes", ORDERS)
def test_segment_sent_again_at_once_and_seen_twice_is_sent_again_once(sizes: list[int]) -> None:
    """IPv6, a fast retransmission 100 us after: on either interface twice, and the other side spoke in between."""
    wire = Wire(engine(("fd00::2",)))
    recorded: list[Packet] = []

    def record(frame: bytes, after_ms: float = 1.0) -> None:
        recorded.append(((recorded[-1][0] if recorded else 0) + after_ms, frame))

    wire.packet = record  # type: ignore[method-assign]  # the line below goes to a record, not to an engine
    line = Line(wire, **SIX).opened()
    line.c(b"x" * 9).s(ack=1001, after_ms=0.05).c(b"x" * 9, seq=1001, after_ms=0.05).s(ack=1010)
    read_in_turn(wire.engine, seen_on_two(recorded, 0.004), sizes)
    assert copies(wire.engine) == len(recorded) == 7
    assert wire.counts()["tcp.retransmits.io{receive}"] == 9
    assert wire.counts()["network.packets{receive}"] + wire.counts()["network.packets{transmit}"] == 7


def test_copies_are_known_behind_all_that_one_interface_held() -> None:
    packets = [(n * 0.01, ip("fd00::1", "fd00::2", 17, udp(40000 + n % 5000, 9, b"%d" % n))) for n in range(5000)]
    on = engine()
    read_in_turn(on, seen_on_two(packets), [5000])
    assert on.parsed + copies(on) == 10000
    assert on.parsed - 5000 <= 5  # by the arithmetic of sets of four
