"""UDP, ICMP errors, and tunnels: what layer 4 says of them."""

from __future__ import annotations

import struct

import pytest

from receiver.config import Flows
from tests.pcap.packets import ACK, CLIENT, RST, SERVER, SYN, Line, Wire, engine, ip, udp


def error(about: bytes, source: str = "10.0.0.254", target: str = CLIENT, code: int = 1) -> bytes:
    """An ICMP or ICMPv6 destination unreachable with the head of the packet that it is about (RFC 792; RFC 4443, 3.1)."""
    if about[0] >> 4 == 6:
        return ip(source, target, 58, struct.pack("!BBHI", 1, code, 0, 0) + about[:1200])
    return ip(source, target, 1, struct.pack("!BBHI", 3, code, 0, 0) + about[: (about[0] & 15) * 4 + 8])


def syn(ports: tuple[int, int] = (40000, 8080), seq: int = 1000, names: tuple[str, str] = (CLIENT, SERVER)) -> bytes:
    return ip(*names, 6, struct.pack("!HHIIBBHHH", *ports, seq, 0, 0x50, SYN, 500, 0, 0), 5)


def total(wire: Wire) -> None:
    """packets = parsed + skipped."""
    on = wire.engine
    assert on.packets == on.parsed + sum(on.skipped_packets().values())


def test_datagrams_and_their_bytes() -> None:
    wire = Wire()
    for ident in range(1, 4):
        wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 53, b"q" * 10), ident))
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40000, b"a" * 30), ident))
    counts = wire.counts()
    assert {name: value for name, value in counts.items() if name.startswith("network")} == {
        "network.io{receive}": 30,
        "network.io{transmit}": 90,
        "network.packets{receive}": 3,
        "network.packets{transmit}": 3,
    }
    assert not [name for name in counts if name.startswith("tcp.")]
    transports = {dict(point.attributes)["network.transport"] for metric in wire.metrics.metrics() for point in metric.points}
    assert transports == {"udp"}


def test_udp_flow_is_forgotten_after_two_minutes() -> None:
    wire = Wire()
    wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 5000, b"q"), 1))
    wire.wait(118)
    assert wire.engine.table.open == 1
    wire.wait(4)
    assert (wire.engine.table.open, wire.engine.table.expired) == (0, 1)


QUESTION = bytes.fromhex("0007 0100 0001 0000 0000 0000 0377777707 6578616d706c65 03636f6d00 0001 0001")  # RFC 1035, 4.1
ANSWER = QUESTION[:2] + bytes.fromhex("8180") + QUESTION[4:]


def test_question_from_a_new_port_is_soon_forgotten_when_it_has_its_answer() -> None:
    wire = Wire()
    for n in range(300):
        wire.packet(ip(CLIENT, SERVER, 17, udp(1024 + n, 53, QUESTION), 2 * n + 1), 10)
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, 1024 + n, ANSWER), 2 * n + 2), 10)
    assert wire.engine.table.open < 200  # of six seconds, the last three
    wire.wait(4)
    table = wire.engine.table
    assert (table.open, table.closed, table.expired) == (0, 300, 0)
    assert wire.engine.reading.pairing.paired == 300


def test_question_behind_an_answer_waits_for_its_own_as_long_as_any() -> None:
    wire = Wire()
    wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 53, QUESTION), 1))
    wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40000, ANSWER), 2))
    wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 53, b"\0\x08" + QUESTION[2:]), 3))
    wire.wait(29)
    assert (wire.engine.table.open, wire.engine.reading.pairing.open) == (1, 1)
    wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40000, b"\0\x08" + ANSWER[2:]), 4))
    assert wire.engine.reading.pairing.paired == 2


def test_questions_of_several_ports_at_once_are_answered_each_on_its_own() -> None:
    """What reads one flow goes on to read others once all is answered there; a flow is still counted once, and never mixed up."""
    wire = Wire()
    first = {40000 + n: n + 1 for n in range(8)}
    for port, ident in first.items():
        wire.packet(ip(CLIENT, SERVER, 17, udp(port, 53, bytes((0, ident)) + QUESTION[2:]), ident))
    for port, ident in reversed(first.items()):
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, port, bytes((0, ident)) + ANSWER[2:]), 100 + ident))
    pairing, reading = wire.engine.reading.pairing, wire.engine.reading
    assert (pairing.paired, pairing.unmatched, pairing.open) == (8, 0, 0)
    for port, ident in first.items():  # a question again from each, and to each the answer of its neighbour first
        wire.packet(ip(CLIENT, SERVER, 17, udp(port, 53, bytes((1, ident)) + QUESTION[2:]), 200 + ident))
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, port, bytes((1, ident + 1)) + ANSWER[2:]), 300 + ident))
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, port, bytes((1, ident)) + ANSWER[2:]), 400 + ident))
    assert (pairing.paired, pairing.unmatched, pairing.open) == (16, 8, 0)
    wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40000, bytes((1, 1)) + ANSWER[2:]), 500))  # once more
    assert (pairing.paired, pairing.unmatched, reading.detected) == (16, 9, {"dns": 8})
    assert wire.engine.table.opened == 8


def test_what_is_no_question_among_questions_harms_none() -> None:
    """The server is not asked again what it speaks."""
    wire = Wire()
    said = [(QUESTION, ANSWER), (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"), (QUESTION, ANSWER)]
    for n, (question, answer) in enumerate(said):
        wire.packet(ip(CLIENT, SERVER, 17, udp(40000 + n, 53, question), 2 * n + 1))
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40000 + n, answer), 2 * n + 2))
    wire.packet(ip(SERVER, CLIENT, 17, udp(53, 40009, ANSWER), 99))  # its question went another way
    pairing = wire.engine.reading.pairing
    assert (pairing.paired, pairing.unmatched, pairing.open) == (2, 1, 0)
    assert sum(wire.engine.reading.errors.values()) == 2  # both directions of what is not DNS
    total(wire)


def test_many_questions_at_a_time_are_remembered_for_less_long_but_all_answered() -> None:
    wire = Wire()
    ports = range(10000, 13000)
    for port in ports:
        wire.packet(ip(CLIENT, SERVER, 17, udp(port, 53, QUESTION), port % 65535), 0.01)
    assert wire.engine.table.open == 3000
    for port in ports:
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, port, ANSWER), port % 65535), 0.01)
    assert wire.engine.reading.pairing.paired == 3000
    for port in range(20000, 24000):
        wire.packet(ip(CLIENT, SERVER, 17, udp(port, 53, QUESTION), port % 65535), 0.01)
        wire.packet(ip(SERVER, CLIENT, 17, udp(53, port, ANSWER), port % 65535), 0.01)
    assert wire.engine.reading.pairing.paired == 7000
    assert wire.engine.table.open <= 1026


def test_flow_of_what_we_do_not_read_is_kept_when_it_is_answered() -> None:
    """Forgotten, it would be looked at anew after each rest."""
    wire = Wire()
    for n in range(20):
        wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 9999, b"x" * 40), 2 * n + 1))
        wire.packet(ip(SERVER, CLIENT, 17, udp(9999, 40000, b"y" * 40), 2 * n + 2))
        wire.wait(3)
    assert (wire.engine.table.open, wire.engine.table.opened) == (1, 1)
    wire.wait(130)
    assert (wire.engine.table.open, wire.engine.table.expired) == (0, 1)


@pytest.mark.parametrize("names", [(CLIENT, SERVER), ("fd00::1", "fd00::2")])
def test_datagram_that_nobody_takes(names: tuple[str, str]) -> None:
    wire = Wire(engine((names[0],)))
    about = ip(*names, 17, udp(40000, 9999, b"q"), 1)
    wire.packet(about)
    wire.packet(error(about, names[1], names[0], 3 if ":" not in names[0] else 4))
    wire.engine.finish()
    assert wire.counts()["network.unreachable"] == 1
    total(wire)
    assert wire.engine.parsed == 2


def test_connection_to_a_host_that_is_not_there_fails_at_once() -> None:
    wire = Wire(engine((CLIENT,)))
    Line(wire).c(flags=SYN)
    wire.packet(error(syn()))
    assert wire.tcp() == {"connections.opened": 1, "connections.failed{unreachable,server}": 1}
    wire.wait(3600)
    assert wire.tcp() == {"connections.opened": 1, "connections.failed{unreachable,server}": 1}


def test_server_that_answers_after_all_was_another_try() -> None:
    wire = Wire(engine((CLIENT,)))
    line = Line(wire).c(flags=SYN)
    wire.packet(error(syn()))
    line.c(flags=SYN, seq=1000, after_ms=1000).s(flags=SYN | ACK).c()
    tcp = wire.tcp()
    assert tcp["connections.opened"] == tcp["connections.failed{unreachable,server}"] + tcp["connections.established"] == 2


def test_syn_ack_that_cannot_be_delivered_blames_the_client() -> None:
    wire = Wire()
    Line(wire).c(flags=SYN).s(flags=SYN | ACK)
    about = ip(SERVER, CLIENT, 6, struct.pack("!HHIIBBHHH", 8080, 40000, 5000, 1001, 0x50, SYN | ACK, 500, 0, 0), 6)
    wire.packet(error(about, target=SERVER))
    assert wire.tcp() == {"connections.opened": 1, "connections.failed{unreachable,client}": 1}


def test_error_about_another_sequence_number_fails_nothing() -> None:
    """RFC 5927, 4.1: whoever cannot see the connection can make up the rest."""
    wire = Wire(engine((CLIENT,)))
    Line(wire).c(flags=SYN)
    wire.packet(error(syn(seq=77)))
    assert wire.tcp() == {"connections.opened": 1}
    assert wire.counts()["network.unreachable"] == 1


def test_error_about_an_established_connection_does_not_end_it() -> None:
    wire = Wire(engine((CLIENT,)))
    Line(wire).opened().c(b"x")
    wire.packet(error(syn(seq=1001)))
    assert wire.tcp()["connections.open"] == 1


@pytest.mark.parametrize(
    "packet",
    [
        error(syn(ports=(1, 2))),  # of a flow that nobody saw
        error(syn(), code=4),  # be smaller
        ip(SERVER, CLIENT, 1, b"\x08\0" + b"\0" * 40),  # a ping
        ip(SERVER, CLIENT, 1, b"\x03\x01" + b"\0" * 6),  # about nothing
        ip(SERVER, CLIENT, 1, b"\x03\x01" + b"\0" * 6 + syn()[:27]),  # cut short
        ip(SERVER, CLIENT, 1, b"\x03\x01" + b"\0" * 6 + syn()[:6] + b"\0\x10" + syn()[8:]),  # about a later fragment
        ip(SERVER, CLIENT, 1, b"\x03\x01" + b"\0" * 6 + b"\x4f" + syn()[1:]),  # about a header longer than what there is
        ip("fd00::2", "fd00::1", 58, b"\x01\x04" + b"\0" * 6 + b"\x60" + b"\0" * 43),  # about a protocol without ports
        ip("fd00::2", "fd00::1", 58, b"\x88\0" + b"\0" * 60),  # neighbour discovery
    ],
)
def test_other_icmp_is_skipped_and_counted(packet: bytes) -> None:
    wire = Wire(engine((CLIENT,)))
    wire.packet(packet)
    assert wire.engine.skipped_packets()["not_tcp_udp"] == 1
    assert wire.counts() == {}
    total(wire)


# -- tunnels -------------------------------------------------------------------------------------------------------------


def vxlan(inner: bytes, port: int = 4789) -> bytes:
    frame = b"\x02" * 12 + b"\x08\0" + inner
    return ip("192.0.2.1", "192.0.2.2", 17, udp(55555, port, b"\x08\0\0\0\0\0\x2a\0" + frame), 44)


def gre(inner: bytes) -> bytes:
    return ip("192.0.2.1", "192.0.2.2", 47, b"\0\0\x08\0" + inner)


def geneve(inner: bytes) -> bytes:
    return ip("192.0.2.1", "192.0.2.2", 17, udp(55555, 6081, b"\0\0\x65\x58\0\0\x2a\0" + b"\x02" * 12 + b"\x08\0" + inner), 44)


def ipip(inner: bytes) -> bytes:
    return ip("192.0.2.1", "192.0.2.2", 4, inner)


@pytest.mark.parametrize("tunnel", [vxlan, geneve, gre, ipip])
def test_tunnels_are_opened_when_asked(tunnel: object) -> None:
    assert callable(tunnel)
    wire = Wire(engine(unwrap=True))
    wire.packet(tunnel(syn()))
    assert wire.tcp() == {"connections.opened": 1}
    wire = Wire(engine())
    wire.packet(tunnel(syn()))
    assert wire.tcp() == {}
    total(wire)


def test_datagram_to_a_tunnels_port_that_is_none_is_a_datagram() -> None:
    wire = Wire(engine(unwrap=True))
    wire.packet(ip(CLIENT, SERVER, 17, udp(40000, 4789, b"hello"), 4))
    wire.engine.finish()
    assert wire.counts()["network.io{receive}"] == 5
    total(wire)


def test_inside_and_outside_of_a_tunnel_are_the_same_packet() -> None:
    wire = Wire(engine(unwrap=True))
    wire.packet(syn())
    wire.packet(vxlan(syn()), 0.02)
    assert wire.engine.skipped_packets()["duplicate"] == 1
    assert wire.tcp() == {"connections.opened": 1}


def test_error_inside_a_tunnel_is_heard() -> None:
    wire = Wire(engine((CLIENT,), unwrap=True))
    wire.packet(gre(syn()))
    wire.packet(gre(error(syn())))
    assert wire.tcp() == {"connections.opened": 1, "connections.failed{unreachable,server}": 1}


# -- who goes first ------------------------------------------------------------------------------------------------------


def test_flood_of_syns_evicts_none_that_carries_something() -> None:
    wire = Wire(engine(flows=Flows(max=100)))
    lines = [Line(wire, ports=(50000 + n, 8080)).opened().c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") for n in range(60)]
    quiet = [Line(wire, ports=(51000 + n, 8080)).opened() for n in range(20)]
    for n in range(1000):
        wire.packet(syn((1024 + n, 8080), n), 0.005)
    assert wire.engine.table.open == 100
    assert wire.tcp()["connections.failed{evicted}"] == 1000 - 20
    for line in lines + quiet:
        line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if line in lines else b"")
    assert wire.engine.reading.pairing.paired == 60
    assert wire.tcp()["connections.open"] == 80
    assert "connections.closed{evicted}" not in wire.tcp()


def test_flood_of_datagrams_evicts_no_connection() -> None:
    wire = Wire(engine(flows=Flows(max=50)))
    Line(wire).opened()
    Line(wire, ports=(40001, 8080)).opened().c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for n in range(500):
        wire.packet(ip(CLIENT, SERVER, 17, udp(1024 + n, 7, b"x"), n + 1), 0.005)
    assert wire.tcp()["connections.open"] == 2
    assert (wire.engine.table.open, wire.engine.table.evicted) == (50, 452)


def test_flood_of_strays_evicts_half_open_handshakes_first_then_the_quiet() -> None:
    wire = Wire(engine(flows=Flows(max=10)))
    for n in range(4):
        wire.packet(syn((1024 + n, 8080), n))
    Line(wire, ports=(40001, 8080)).opened().c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    Line(wire, ports=(40002, 8080)).opened()
    for n in range(50):
        Line(wire, ports=(2000 + n, 9)).c()
    assert wire.tcp()["connections.failed{evicted}"] == 4
    assert wire.tcp()["connections.closed{evicted}"] == 1  # the quiet one
    assert wire.tcp()["connections.open"] == 1


def test_flow_that_is_gone_is_not_kept_behind_one_that_rests() -> None:
    """Short connections behind a quiet one: nothing of them is left."""
    import gc

    from receiver.self_metrics import resident_bytes

    wire = Wire()
    Line(wire, ports=(1, 8080)).opened()
    before = 0
    for n in range(20_000):
        line = Line(wire, ports=(2000 + n % 60_000, 8080), isn=(n, n))
        line.c(flags=SYN).s(flags=RST | ACK, seq=0)
        if n == 10_000:
            gc.collect()
            before = resident_bytes()
    assert resident_bytes() - before < 3 << 20
    assert wire.engine.table.open < 5000


# -- conservation --------------------------------------------------------------------------------------------------------


def test_connections_add_up() -> None:
    wire = Wire()
    Line(wire, ports=(1, 80)).opened().closed()
    Line(wire, ports=(2, 80)).opened().c(flags=RST)
    Line(wire, ports=(3, 80)).c(flags=SYN).s(flags=RST | ACK, seq=0)
    Line(wire, ports=(4, 80)).c(flags=SYN)
    Line(wire, ports=(5, 80)).opened()
    Line(wire, ports=(6, 80)).c(b"joined").s(b"late")
    wire.wait(2)
    tcp = wire.tcp()

    def of(name: str) -> int:
        return sum(value for key, value in tcp.items() if key.partition("{")[0] == f"connections.{name}")

    opening = 1
    joined = 1
    assert of("opened") == of("established") + of("failed") + opening
    assert of("established") + joined == of("closed") + of("open")
    assert sum(v for k, v in wire.counts().items() if k.startswith("network.packets")) == wire.engine.parsed
