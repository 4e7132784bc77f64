"""The flow table: a packet finds its flow from either end, however many there are, and finds no other."""

from __future__ import annotations

import random

import pytest

from receiver.config import Flows
from tests.l7.harness import Collector
from tests.pcap.packets import ACK, FIN, SYN, Line, Wire, engine, ip, udp

ADDRESSES = ("10.0.0.1", "10.0.0.2", "1.0.0.10", "fd00::1", "fd00::2", "::a00:1", "fd00:0:0:1::1")


def packet(transport: str, source: tuple[str, int], target: tuple[str, int], ident: int) -> bytes:
    if transport == "udp":
        return ip(source[0], target[0], 17, udp(source[1], target[1], b"x"), ident)
    ports = source[1].to_bytes(2, "big") + target[1].to_bytes(2, "big")
    segment = ports + ident.to_bytes(4, "big") + bytes(4) + bytes((0x50, ACK, 1, 0, 0, 0, 0, 0)) + b"x"
    return ip(source[0], target[0], 6, segment, ident)


@pytest.mark.parametrize("seed", range(3))
def test_flows_are_as_many_as_pairs_of_ends(seed: int) -> None:
    """Against a set of pairs; with few addresses and ports, so that ends differ in one thing only."""
    dice = random.Random(seed)
    wire = Wire(engine(()))
    table = wire.engine.table
    pairs = set()
    for ident in range(1, 6000):
        transport = dice.choice(("udp", "tcp"))
        source = dice.choice(ADDRESSES)
        target = dice.choice([each for each in ADDRESSES if (":" in each) == (":" in source)])
        here, there = (source, dice.randrange(1, 12)), (target, dice.randrange(1, 12))
        wire.packet(packet(transport, here, there, ident), after_ms=0.001)
        pairs.add((transport, frozenset((here, there))))
        assert table.open == len(pairs)
    assert table.opened == len(pairs) > 1000  # none was lost and opened again
    wire.wait(310)
    assert table.open == 0
    assert wire.counts()["network.packets{receive}"] + wire.counts()["network.packets{transmit}"] == 5999
    wire.packet(packet("udp", (ADDRESSES[0], 1), (ADDRESSES[1], 2), 1))
    assert table.open == 1


def test_full_table_gives_up_the_oldest_and_finds_the_others() -> None:
    wire = Wire(engine((), flows=Flows(max=300)))
    table = wire.engine.table
    for port in range(1000, 2000):
        wire.packet(packet("udp", ("10.0.0.1", port), ("10.0.0.2", 9), port), after_ms=0.01)
    assert (table.open, table.opened, table.evicted) == (300, 1000, 700)
    for port in range(1700, 2000):
        wire.packet(packet("udp", ("10.0.0.2", 9), ("10.0.0.1", port), port), after_ms=0.01)
    assert (table.open, table.opened) == (300, 1000)


def test_end_that_speaks_to_itself_is_one_flow() -> None:
    wire = Wire(engine(()))
    for ident in (1, 2):
        wire.packet(packet("udp", ("10.0.0.1", 7), ("10.0.0.1", 7), ident))
    assert wire.engine.table.opened == 1


def test_handshake_without_its_syn_and_what_follows_are_one_connection() -> None:
    """The SYN-ACK is the first that is seen: what it acknowledges is past, and the bytes after it are read."""
    line = Line(Wire())
    line.seq[0] += 1
    line.s(flags=SYN | ACK).c().c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    pairing = line.wire.engine.reading.pairing
    assert (pairing.requests, pairing.responses, pairing.paired) == (1, 1, 1)
    assert line.wire.engine.table.reassembly.gaps == 0
    assert line.wire.engine.table.opened == 1


def test_answer_that_passed_unseen_before_its_late_request_is_lost_and_no_closed_connection() -> None:
    """The SYN and ACK of the server, and its answer, are missing; the request was captured last."""
    collector = Collector()
    wire = Wire(engine(sink=collector))
    line = Line(wire).c(flags=SYN)
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    begins = line.seq[0]
    line.seq[0] += len(request)
    line.seq[1] += 1
    line.c()
    line.seq[1] += 129
    line.s(flags=FIN | ACK).c(flags=FIN | ACK).s()
    line.c(request, seq=begins, ack=5001)
    wire.engine.finish()
    assert [one.outcome for one in collector.seen] == ["lost"]
    assert wire.engine.table.reassembly.bytes_missing == 129


def test_flow_of_a_watched_port_is_asked_for_once_and_ignored_where_it_is_ours() -> None:
    wire = Wire(engine(()))
    table = wire.engine.table
    asked: list[tuple[object, ...]] = []

    def is_own(*flow: object) -> bool:
        asked.append(flow)
        return flow[1] == 40001

    table.watched = bytearray(8192)
    table.is_own = is_own
    for port in (4317, 40002):
        table.watched[port >> 3] |= 1 << (port & 7)
    here, there = ("10.0.0.1", bytes((10, 0, 0, 1))), ("10.0.0.2", bytes((10, 0, 0, 2)))
    for ident, (port, server) in enumerate(((40001, 4317), (40001, 4316), (40002, 80), (40003, 4317)), 1):
        for turn in range(3):
            wire.packet(packet("tcp", (here[0], port), (there[0], server), ident * 10 + turn), after_ms=1)
    ports = ((40001, 4317), (40002, 80), (40003, 4317))
    assert [flow[:5] for flow in asked] == [(here[1], port, there[1], server, True) for port, server in ports]
    assert [flow.ignored for flow in table.flows()] == [True, False, False, False]
