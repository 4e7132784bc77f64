"""Each figure of layer 4, by packets made for it. The rules are RFCs'; where they leave a choice, `docs/layer4.md` says which."""

from __future__ import annotations

import random
import re
import ssl
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from receiver.engine import Engine
from receiver.telemetry import semconv
from receiver.telemetry.snapshot import HistogramPoint
from tests.pcap.packets import ACK, FIN, PSH, RST, SYN, Line, Wire, engine, mss, sack

ESTABLISHED = {"connections.opened": 1, "connections.established": 1, "connections.open": 1}
CLOSED = {"connections.opened": 1, "connections.established": 1}


# -- the life of a connection ------------------------------------------------------------------------------------------


def test_connection_from_syn_to_fin() -> None:
    line = Line().opened().c(b"x" * 100).s(b"y" * 300).c().closed()
    assert line.wire.tcp() == CLOSED | {"connections.closed{fin,client}": 1}
    counts = line.wire.counts()
    assert (counts["network.io{receive}"], counts["network.io{transmit}"]) == (100, 300)
    assert (counts["network.packets{receive}"], counts["network.packets{transmit}"]) == (6, 3)


def test_the_side_that_closes_first_closed_it() -> None:
    line = Line().opened().s(flags=FIN | ACK).c(b"last words").s().c(flags=FIN | ACK).s()
    assert line.wire.tcp() == CLOSED | {"connections.closed{fin,server}": 1}


def test_refused_blames_the_server() -> None:
    line = Line().c(flags=SYN).s(flags=RST | ACK, seq=0)
    assert line.wire.tcp() == {"connections.opened": 1, "connections.failed{refused,server}": 1}


def test_no_answer_to_the_syn_blames_the_server_once() -> None:
    line = Line().c(flags=SYN)
    for after_s in (1, 2, 4, 8):
        line.c(flags=SYN, seq=1000, after_ms=after_s * 1000)
    assert line.wire.tcp() == {"connections.opened": 1, "retransmits{syn,receive}": 4}
    line.wire.wait(64)
    assert "connections.failed{timeout,server}" not in line.wire.tcp()
    line.wire.wait(2)
    failed = {"connections.opened": 1, "connections.failed{timeout,server}": 1, "retransmits{syn,receive}": 4}
    assert line.wire.tcp() == failed
    line.wire.wait(3600)
    assert line.wire.tcp() == failed


def test_no_answer_to_the_syn_ack_blames_the_client() -> None:
    line = Line().c(flags=SYN).s(flags=SYN | ACK).s(flags=SYN | ACK, seq=5000, after_ms=1000)
    line.wire.wait(3600)
    expected = {"connections.opened": 1, "connections.failed{timeout,client}": 1, "retransmits{syn_ack,transmit}": 1}
    assert line.wire.tcp() == expected


@pytest.mark.parametrize(("side", "blamed"), [(0, "client"), (1, "server")])
def test_reset_before_it_was_established(side: int, blamed: str) -> None:
    line = Line().c(flags=SYN).s(flags=SYN | ACK)
    line.send(side, flags=RST)
    assert line.wire.tcp() == {"connections.opened": 1, f"connections.failed{{reset,{blamed}}}": 1}


def test_client_that_gives_up_its_syn() -> None:
    line = Line().c(flags=SYN).c(flags=RST)
    assert line.wire.tcp() == {"connections.opened": 1, "connections.failed{reset,client}": 1}


@pytest.mark.parametrize(("side", "blamed"), [(0, "client"), (1, "server")])
def test_reset_in_the_middle_of_an_answer(side: int, blamed: str) -> None:
    line = Line().opened().c(b"GET / HTTP/1.1\r\n\r\n").s(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf").c()
    line.send(side, flags=RST | ACK)
    assert line.wire.tcp() == CLOSED | {f"connections.closed{{reset,{blamed}}}": 1}
    assert line.wire.shape("tcp.connection.duration").count == 1


def test_reset_out_of_the_window_ends_nothing() -> None:
    line = Line().opened().c(b"GET / HTTP/1.1\r\n\r\n").s(b"HTTP/1.1 200 OK\r\n").s(flags=RST, seq=5000 + 2**31)
    assert line.wire.tcp() == ESTABLISHED


def test_established_and_silent_for_an_hour_is_idle_and_not_open() -> None:
    line = Line().opened()
    line.wire.wait(290)
    assert line.wire.tcp() == ESTABLISHED
    line.wire.wait(3600)
    assert line.wire.tcp() == CLOSED | {"connections.closed{idle}": 1}
    # It lasted until its last packet, not until somebody noticed.
    assert line.wire.shape("tcp.connection.duration").sum == pytest.approx(0.002)


def test_half_closed_for_an_hour_is_idle() -> None:
    line = Line().opened().c(b"x").s().c(flags=FIN | ACK).s()
    line.wire.wait(3600)
    assert line.wire.tcp() == CLOSED | {"connections.closed{idle}": 1}


def test_same_ports_again_are_another_connection() -> None:
    line = Line().opened().c(b"x")
    Line(line.wire, isn=(900_000, 800_000)).opened()
    expected = {"connections.opened": 2, "connections.established": 2, "connections.closed{idle}": 1, "connections.open": 1}
    assert line.wire.tcp() == expected


def test_joined_in_the_middle_counts_as_open_and_closed_only() -> None:
    line = Line().c(b"GET / HTTP/1.1\r\n\r\n").s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    line.wire.wait(2)
    assert line.wire.tcp() == {"connections.open": 1}
    line.closed()
    assert line.wire.tcp() == {"connections.closed{fin,client}": 1}
    assert "tcp.connection.duration" not in line.wire.counts()


def test_last_breath_of_an_unseen_connection_opens_nothing() -> None:
    line = Line().c(flags=FIN | ACK).s(flags=FIN | ACK).c()
    line.wire.wait(2)
    assert line.wire.tcp() == {}


def test_syn_ack_without_its_syn_still_adds_up() -> None:
    line = Line().s(flags=SYN | ACK).c().c(b"x")
    assert line.wire.tcp() == ESTABLISHED
    assert "tcp.handshake.duration" not in line.wire.counts()


def test_only_one_side_seen() -> None:
    line = Line().c(flags=SYN).c().c(b"x" * 10).c(flags=FIN | ACK)
    assert line.wire.tcp() == ESTABLISHED


def test_simultaneous_open() -> None:
    line = Line().c(flags=SYN).s(flags=SYN).c(flags=SYN | ACK, seq=1000).s(flags=SYN | ACK, seq=5000).c(b"x")
    assert line.wire.tcp() == ESTABLISHED


def test_challenge_ack_establishes_nothing() -> None:
    """RFC 5961, 4: the server remembers another connection; the client answers with a RST of its own."""
    line = Line().c(flags=SYN).s(seq=77_000, ack=123)
    assert line.wire.tcp() == {"connections.opened": 1}


def test_evicted_half_open_connections_are_counted_apart() -> None:
    wire = Wire(engine(flows=_flows(3)))
    for port in range(5):
        Line(wire, ports=(40000 + port, 8080)).c(flags=SYN)
    assert wire.tcp() == {"connections.opened": 5, "connections.failed{evicted}": 2}


def _flows(most: int) -> Any:
    from receiver.config import Flows

    return Flows(max=most)


# -- times ---------------------------------------------------------------------------------------------------------------


def test_handshake_and_both_legs() -> None:
    line = Line().c(flags=SYN).s(flags=SYN | ACK, after_ms=3).c(after_ms=40)
    assert line.wire.shape("tcp.handshake.duration").sum == pytest.approx(0.043)
    assert line.wire.shape("tcp.rtt{server}").sum == pytest.approx(0.003)
    assert line.wire.shape("tcp.rtt{client}").sum == pytest.approx(0.040)


def test_handshake_with_a_second_syn_lasts_from_the_first_and_gives_no_round_trip() -> None:
    line = Line().c(flags=SYN).c(flags=SYN, seq=1000, after_ms=1000).s(flags=SYN | ACK).c()
    assert line.wire.shape("tcp.handshake.duration").sum == pytest.approx(1.002)
    assert "tcp.rtt{server}" not in line.wire.counts()
    assert line.wire.shape("tcp.rtt{client}").count == 1


def rtt(line: Line, leg: str = "server") -> tuple[int, float]:
    """Count and sum beyond those of the handshake, 1 ms each way."""
    shape = line.wire.shape(f"tcp.rtt{{{leg}}}")
    return shape.count - 1, round(shape.sum - 0.001, 6)


def test_round_trip_from_data_to_its_ack() -> None:
    line = Line().opened().c(b"x" * 100).s(after_ms=7)
    assert rtt(line) == (1, 0.007)


def test_oldest_of_the_newly_acknowledged_segments_is_timed() -> None:
    line = Line().opened().c(b"x" * 100).c(b"x" * 100, after_ms=5).s(after_ms=5)
    assert rtt(line) == (1, 0.010)


def test_ack_of_less_than_the_timed_segment_is_no_sample() -> None:
    line = Line().opened().c(b"x" * 100).s(ack=1050).s(ack=1101, after_ms=2)
    assert rtt(line) == (1, 0.003)


def test_retransmission_makes_a_round_trip_worthless() -> None:
    line = Line().opened().c(b"x" * 100).c(b"x" * 100, seq=1001, after_ms=300).s()
    assert rtt(line) == (0, 0)
    line.c(b"y").s(after_ms=4)
    assert rtt(line) == (1, 0.004)


def test_retransmission_of_older_data_does_so_too() -> None:
    """The timed segment waits for the hole before it: the ACK says nothing about the path."""
    line = Line().opened().c(b"x" * 100).s(after_ms=2).c(b"a" * 10, seq=1111).s(ack=1101).c(b"b" * 10, seq=1101, after_ms=300)
    line.s(ack=1121)
    assert rtt(line) == (1, 0.002)


def test_timestamps_tell_that_the_first_copy_arrived() -> None:
    line = Line(clocks=True).opened()
    line.c(b"x" * 100, stamp=(500, 0), after_ms=1).c(b"x" * 100, seq=1001, stamp=(800, 0), after_ms=300)
    line.s(stamp=(1, 500), after_ms=5)
    assert rtt(line) == (1, 0.305)


def test_timestamps_tell_that_the_second_copy_was_meant() -> None:
    line = Line(clocks=True).opened()
    line.c(b"x" * 100, stamp=(500, 0), after_ms=1).c(b"x" * 100, seq=1001, stamp=(800, 0), after_ms=300)
    line.s(stamp=(1, 800), after_ms=5)
    assert rtt(line) == (0, 0)


def test_variance_is_that_of_rfc_6298() -> None:
    """2.2: R/2; 2.3: 3/4 of it and 1/4 of the difference. Samples of the server's leg: 1 ms (handshake), 9 ms, 9 ms."""
    line = Line().opened().c(b"x").s(after_ms=9).c(b"x").s(after_ms=9)
    smoothed, variance = 1e-3, 0.5e-3
    values = [variance]
    for sample in (9e-3, 9e-3):
        variance = 0.75 * variance + 0.25 * abs(smoothed - sample)
        smoothed = 7 / 8 * smoothed + sample / 8
        values.append(variance)
    shape = line.wire.shape("tcp.rtt.variance{server}")
    assert (shape.count, shape.sum) == (3, pytest.approx(sum(values), abs=1e-8))


def test_mss_of_both_sides() -> None:
    line = Line().c(flags=SYN, options=mss(1460)).s(flags=SYN | ACK, options=b"\x01\x01" + mss(1380)).c()
    assert line.wire.shape("tcp.mss{client}").sum == 1460
    assert line.wire.shape("tcp.mss{server}").sum == 1380


def test_duration_and_bytes_of_a_connection() -> None:
    line = Line().opened().c(b"x" * 100).s(b"y" * 60_000, after_ms=500).closed()
    assert line.wire.shape("tcp.connection.duration").sum == pytest.approx(0.505)
    assert line.wire.shape("tcp.connection.io{receive}").sum == 100
    assert line.wire.shape("tcp.connection.io{transmit}").sum == 60_000


# -- loss ----------------------------------------------------------------------------------------------------------------

WRAPS = [1000, 2**32 - 1 - 250, 2**32 - 301]
"""Initial numbers of the client: its bytes 0 to 600 pass 2^32 nowhere, in their midst, at their first hole's edge."""


@pytest.fixture(params=WRAPS)
def line(request: pytest.FixtureRequest) -> Line:
    return Line(isn=(request.param, 2**32 - 3)).opened()


def at(line: Line, offset: int) -> int:
    return (line.isn[0] + 1 + offset) % 2**32


def noted(line: Line) -> dict[str, Any]:
    return {name: value for name, value in line.wire.tcp().items() if not name.startswith("connections")}


def test_timer_ran_out(line: Line) -> None:
    line.c(b"x" * 300).c(b"x" * 300, seq=at(line, 0), after_ms=220).s()
    assert noted(line) == {"retransmits{timeout,receive}": 1, "retransmits.io{receive}": 300}


def test_lost_before_us_is_told_by_the_time_the_hole_stood(line: Line) -> None:
    line.c(b"x" * 100, seq=at(line, 100)).c(b"x" * 100, seq=at(line, 0), after_ms=50)
    assert noted(line) == {"retransmits{timeout,receive}": 1, "retransmits.io{receive}": 100}


def test_fast_after_duplicate_acks(line: Line) -> None:
    line.c(b"a" * 100)
    line.s()
    for offset in (200, 300, 400):
        line.c(b"b" * 100, seq=at(line, offset)).s(ack=at(line, 100), ident=9000 + offset)
    line.c(b"c" * 100, seq=at(line, 100)).s(ack=at(line, 500))
    assert noted(line) == {
        "duplicate_acks{transmit}": 3,
        "retransmits{fast,receive}": 1,
        "retransmits.io{receive}": 100,
    }


def test_fast_after_sack_although_its_window_changed(line: Line) -> None:
    line.c(b"a" * 100).s()
    line.c(b"b" * 100, seq=at(line, 200)).s(ack=at(line, 100), options=sack((at(line, 200), at(line, 300))), window=400)
    line.c(b"c" * 100, seq=at(line, 100), after_ms=4)
    assert noted(line) == {
        "duplicate_acks{transmit}": 1,
        "retransmits{fast,receive}": 1,
        "retransmits.io{receive}": 100,
    }


def test_second_hole_of_one_recovery_is_fast_too(line: Line) -> None:
    line.c(b"a" * 100).s()
    for offset in (200, 400):
        line.c(b"b" * 100, seq=at(line, offset)).s(ack=at(line, 100), options=sack((at(line, 200), at(line, offset + 100))))
    line.c(b"c" * 100, seq=at(line, 100), after_ms=4).s(ack=at(line, 300)).c(b"c" * 100, seq=at(line, 300), after_ms=4)
    assert noted(line)["retransmits{fast,receive}"] == 2


def test_timer_after_duplicate_acks_that_did_not_help(line: Line) -> None:
    line.c(b"a" * 100).s().c(b"b" * 100, seq=at(line, 200)).s(ack=at(line, 100), ident=7)
    line.c(b"c" * 100, seq=at(line, 100), after_ms=4).c(b"c" * 100, seq=at(line, 100), after_ms=250)
    found = noted(line)
    assert (found["retransmits{fast,receive}"], found["retransmits{timeout,receive}"]) == (1, 1)


def test_window_update_is_no_duplicate_ack(line: Line) -> None:
    line.c(b"a" * 100).c(b"b" * 100).s(ack=at(line, 100)).s(ack=at(line, 100), window=900, ident=7)
    assert noted(line) == {}


def test_ack_of_everything_again_is_no_duplicate_ack(line: Line) -> None:
    line.c(b"a" * 100).s().s(ident=7)
    assert noted(line) == {}


def test_partly_old_data_counts_its_old_part(line: Line) -> None:
    line.c(b"x" * 100).c(b"x" * 150, seq=at(line, 0), after_ms=220)
    assert noted(line) == {"retransmits{timeout,receive}": 1, "retransmits.io{receive}": 100}
    line.seq[0] = at(line, 150)
    line.c(b"y" * 10)
    assert noted(line) == {"retransmits{timeout,receive}": 1, "retransmits.io{receive}": 100}


def test_repeated_fin_is_a_retransmission_without_bytes(line: Line) -> None:
    line.c(b"x" * 100).s().c(flags=FIN | ACK).c(flags=FIN | ACK, seq=at(line, 100), after_ms=220)
    assert noted(line) == {"retransmits{timeout,receive}": 1}


def test_needless_retransmission_is_told_by_dsack(line: Line) -> None:
    line.c(b"x" * 100).s().c(b"x" * 100, seq=at(line, 0), after_ms=220).s(options=sack((at(line, 0), at(line, 100))))
    assert noted(line) == {
        "retransmits{timeout,receive}": 1,
        "retransmits.io{receive}": 100,
        "retransmits.spurious{receive}": 1,
    }


def test_dsack_above_the_ack_stands_within_the_second_block(line: Line) -> None:
    line.c(b"x" * 100).s().c(b"y" * 100, seq=at(line, 200)).s(ack=at(line, 100), options=sack((at(line, 200), at(line, 300))))
    line.c(b"y" * 100, seq=at(line, 200), after_ms=10)
    line.s(ack=at(line, 100), options=sack((at(line, 200), at(line, 300)), (at(line, 200), at(line, 300))))
    assert noted(line)["retransmits.spurious{receive}"] == 1


def test_dsack_without_a_retransmission_is_somebody_elses_copy(line: Line) -> None:
    line.c(b"x" * 100).s(options=sack((at(line, 0), at(line, 100))))
    assert noted(line) == {}


def test_overtaken_segment_is_reordered(line: Line) -> None:
    line.c(b"b" * 100, seq=at(line, 100), ident=0).c(b"a" * 100, seq=at(line, 0), after_ms=0.5, ident=0)
    assert noted(line) == {"reordered{receive}": 1}


@pytest.mark.parametrize(
    ("first", "second", "after_ms", "what"),
    [
        (500, 501, 0.2, "retransmits"),  # a round trip of 100 us: the hole was asked for, and filled
        (500, 499, 90, "reordered"),
        (65535, 1, 0.2, "retransmits"),
        (1, 65535, 90, "reordered"),
        (500, 30000, 0.2, "reordered"),  # random ones say nothing: the time does
        (500, 30000, 90, "retransmits"),
    ],
)
def test_identification_tells_reordering_from_retransmission(first: int, second: int, after_ms: float, what: str) -> None:
    line = Line().opened()
    line.c(b"b" * 100, seq=at(line, 100), ident=first).c(b"a" * 100, seq=at(line, 0), ident=second, after_ms=after_ms)
    assert {name.partition("{")[0].partition(".")[0] for name in noted(line)} == {what}


def test_what_overtakes_by_less_than_a_quarter_of_a_long_round_trip_is_reordered() -> None:
    line = Line().c(flags=SYN).s(flags=SYN | ACK, after_ms=10).c(after_ms=30)
    line.c(b"b" * 100, seq=at(line, 100), ident=0).c(b"a" * 100, seq=at(line, 0), after_ms=9.5, ident=0)
    line.c(b"d" * 100, seq=at(line, 300), ident=0).c(b"c" * 100, seq=at(line, 200), after_ms=10.5, ident=0)
    assert noted(line) == {"reordered{receive}": 1, "retransmits{timeout,receive}": 1, "retransmits.io{receive}": 100}


@pytest.mark.parametrize(("value", "after_ms", "what"), [(99, 90, "reordered"), (101, 0.5, "retransmits")])
def test_timestamps_tell_reordering_from_retransmission(value: int, after_ms: float, what: str) -> None:
    line = Line(clocks=True).opened()
    line.c(b"b" * 100, seq=at(line, 100), stamp=(100, 0), ident=0)
    line.c(b"a" * 100, seq=at(line, 0), stamp=(value, 0), after_ms=after_ms, ident=0)
    assert {name.partition("{")[0].partition(".")[0] for name in noted(line)} == {what}


def test_hole_in_the_midst_of_a_hole() -> None:
    line = Line().opened()
    for offset in (300, 100, 0, 200):
        line.c(b"d" * 100, seq=at(line, offset), after_ms=0.5, ident=0)
    assert noted(line) == {"reordered{receive}": 3}
    line.c(b"c" * 100, seq=at(line, 200), after_ms=1.5, ident=0)
    assert noted(line)["retransmits.io{receive}"] == 100


def test_more_holes_than_are_remembered() -> None:
    line = Line().opened()
    for offset in [*range(1, 41, 2), *range(0, 40, 2)]:
        line.c(b"x", seq=at(line, offset), after_ms=0, ident=0)
    found = noted(line)
    assert found["reordered{receive}"] == 8
    assert found["retransmits{timeout,receive}"] == 12


@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_keep_alive_is_no_retransmission(line: Line, payload: bytes) -> None:
    line.c(b"x" * 100).s()
    for _ in range(3):
        line.c(payload, seq=at(line, 99), after_ms=60_000).s()
    assert noted(line) == {}


def test_last_byte_sent_again_is_no_keep_alive(line: Line) -> None:
    line.c(b"x").c(b"x", seq=at(line, 0), after_ms=220)
    assert noted(line)["retransmits.io{receive}"] == 1


def test_shut_window_is_an_event_and_a_time(line: Line) -> None:
    line.c(b"x" * 100).s(window=0)
    for _ in range(2):
        line.c(b"", seq=at(line, 99), after_ms=500).s(window=0)
    line.s(window=500, after_ms=250)
    assert noted(line) == {"zero_windows{transmit}": 1, "zero_window.duration{transmit}": pytest.approx(1.252)}


def test_probe_of_a_shut_window_with_a_byte_is_no_retransmission(line: Line) -> None:
    line.c(b"x" * 100).s(window=0).c(b"y").s(ack=at(line, 100), window=0, ident=7)
    line.c(b"y", seq=at(line, 100), after_ms=500).s(ack=at(line, 100), window=0, ident=8)
    found = noted(line)
    assert "retransmits.io{receive}" not in found
    assert found["zero_windows{transmit}"] == 1


def test_window_that_stays_shut_counts_until_the_end(line: Line) -> None:
    line.c(b"x" * 100).s(window=0).c(flags=RST | ACK, after_ms=2000)
    assert noted(line)["zero_window.duration{transmit}"] == pytest.approx(2.0)


@pytest.mark.parametrize("flags", [SYN, RST | ACK])
def test_window_of_a_syn_or_rst_says_nothing(flags: int) -> None:
    line = Line().c(flags=flags, window=0)
    assert "zero_windows{receive}" not in line.wire.tcp()


# -- who is who ----------------------------------------------------------------------------------------------------------


def attributes(wire: Wire, name: str = "pcap_receiver.network.packets") -> list[dict[str, Any]]:
    return [dict(point.attributes) for metric in wire.metrics.metrics() if metric.name == name for point in metric.points]


def test_attributes_where_we_are_called() -> None:
    wire = Line().opened().wire
    assert attributes(wire, "pcap_receiver.tcp.connections.opened") == [
        {
            "pcap_receiver.vantage": "server",
            "server.port": 8080,
            "network.type": "ipv4",
            "network.transport": "tcp",
            "pcap_receiver.peer.kind": "private",
        }
    ]


def test_attributes_where_we_call() -> None:
    wire = Line(Wire(engine(("fd00::1",))), "fd00::1", "2606:4700::1111").opened().wire
    assert attributes(wire, "pcap_receiver.tcp.connections.opened") == [
        {
            "pcap_receiver.vantage": "client",
            "server.address": "2606:4700::1111",
            "server.port": 8080,
            "network.type": "ipv6",
            "network.transport": "tcp",
            "pcap_receiver.peer.kind": "public",
        }
    ]
    assert wire.counts()["network.packets{transmit}"] == 2


def test_peer_has_the_name_that_is_known() -> None:
    wire = Line(Wire(engine(("10.0.0.1",), names={"10.0.0.2": "db.internal"}))).opened().wire
    assert {each["server.address"] for each in attributes(wire)} == {"db.internal"}


def test_labels_that_were_asked_for() -> None:
    labels = ("server.address", "server.port", "client.address", "network.type", "network.peer.address")
    wire = Line(Wire(engine(labels=labels))).opened().wire
    (found,) = attributes(wire, "pcap_receiver.tcp.connections.opened")
    assert (found["server.address"], found["client.address"], found["network.peer.address"]) == ("10.0.0.2", "10.0.0.1", "10.0.0.1")


def client_hello(name: str, *protocols: str) -> bytes:
    context = ssl.create_default_context()
    context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_tls_connections_are_told_apart_by_what_their_clients_ask_for() -> None:
    wire = Wire(engine(labels=("tls.client.server_name", "pcap_receiver.tls.client.alpn")))
    first = client_hello("a.example", "h2", "http/1.1"), client_hello("b.example", "h2"), b"GET / HTTP/1.1\r\n\r\n"
    for n, hello in enumerate(first):
        Line(wire, ports=(40000 + n, 443)).opened().c(hello)
    wire.wait(3)
    opened = attributes(wire, "pcap_receiver.tcp.connections.established")
    names = {(found.get("tls.client.server_name"), found.get("pcap_receiver.tls.client.alpn")) for found in opened}
    assert names == {("a.example", "h2,http/1.1"), ("b.example", "h2"), (None, None)}
    assert wire.tcp()["connections.open"] == 3


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("10.1.2.3", "private"),
        ("172.31.0.1", "private"),
        ("172.32.0.1", "public"),
        ("192.168.9.9", "private"),
        ("100.64.0.1", "private"),
        ("127.0.0.9", "loopback"),
        ("169.254.1.1", "link_local"),
        ("8.8.8.8", "public"),
        ("::1", "loopback"),
        ("fe80::1", "link_local"),
        ("fd00::5", "private"),
        ("2001:db8::1", "public"),
    ],
)
def test_kind_of_the_peer(address: str, kind: str) -> None:
    server = "fd00::2" if ":" in address else "10.0.0.2"
    wire = Line(Wire(engine((server,))), address, server).opened().wire
    assert {each["pcap_receiver.peer.kind"] for each in attributes(wire)} == {kind}


def test_between_two_others_it_is_told_from_the_server() -> None:
    line = Line(Wire(engine(()))).opened().c(b"x" * 5)
    assert line.wire.counts()["network.io{receive}"] == 5
    assert {each["pcap_receiver.vantage"] for each in attributes(line.wire)} == {"server"}


def test_content_that_proves_the_roles_moves_what_was_counted() -> None:
    """Joined late; the ports say that 9000 serves, the content that 40000 does."""
    wire = Wire(engine((), ports={"http": (40000,)}))
    line = Line(wire, ports=(40000, 9000), isn=(1000, 5000))
    line.seq = [1000, 5000]
    line.s(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").c(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    wire.wait(2)
    assert {each["server.port"] for each in attributes(wire)} == {40000}
    counts = wire.counts()
    assert (counts["network.io{receive}"], counts["network.io{transmit}"]) == (27, 38)


def test_content_swaps_roles_that_the_ports_had_wrong() -> None:
    wire = Wire(engine(()))
    line = Line(wire, ports=(9000, 30000))
    line.c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").c()
    wire.wait(2)
    line.c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", after_ms=10).c(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", seq=1027, after_ms=300)
    assert {each["server.port"] for each in attributes(wire)} == {30000}
    counts = wire.counts()
    assert counts["network.io{receive}"] == 3 * 27
    assert counts["tcp.connections.open"] == 1
    assert counts["tcp.retransmits{timeout,receive}"] == 1


def test_ephemeral_port_of_a_guessed_server_is_no_attribute() -> None:
    line = Line(Wire(engine(())), ports=(50000, 40000)).c(b"\0\1\2" * 20).s(b"\3\4\5" * 20)
    line.wire.wait(2)
    assert all("server.port" not in each for each in attributes(line.wire))


def test_beyond_the_cap_all_is_counted_in_one() -> None:
    wire = Wire(engine(labels=("client.address",), series_max=5))
    wire.metrics = type(wire.metrics)(wire.engine.layer4.table, 5)  # type: ignore[union-attr]  # it has one here
    for host in range(20):
        Line(wire, client=f"10.1.0.{host + 1}").opened().closed()
    assert wire.tcp()["connections.closed{fin,client}"] + wire.tcp()["connections.closed"] == 20
    opened = attributes(wire, "pcap_receiver.tcp.connections.opened")
    assert len(opened) == 5
    assert [each for each in opened if "otel.metric.overflow" in each] == [{"otel.metric.overflow": True}]
    assert wire.tcp()["connections.established"] == 20
    before = wire.counts()
    assert wire.counts() == before
    packets = attributes(wire)
    assert len(packets) <= 5


def test_scan_of_all_ports_leaves_room_for_those_that_answer() -> None:
    wire = Wire(engine(series_max=100))
    for port in range(1, 200):
        Line(wire, ports=(40000, port)).c(flags=SYN).s(flags=RST | ACK, seq=0)
    Line(wire, ports=(40000, 8443)).opened()
    answered = attributes(wire, "pcap_receiver.tcp.connections.established")
    assert [each["server.port"] for each in answered] == [8443]
    assert sum(value for name, value in wire.tcp().items() if name.startswith("connections.failed")) == 199


def test_series_keep_their_attributes_from_snapshot_to_snapshot() -> None:
    line = Line().opened()
    before = {id(point.attributes) for metric in line.wire.metrics.metrics() for point in metric.points}
    line.c(b"x")
    after = {id(point.attributes) for metric in line.wire.metrics.metrics() for point in metric.points}
    assert before <= after


def enums(pxd: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, body in re.findall(r"^cdef enum (\w+):\n((?:    .+\n)+)", pxd, re.MULTILINE):
        found[name] = {key: int(value) for key, value in re.findall(r"(\w+) = (\d+)", body)}
    return found


def test_numbers_that_are_counted_by_are_those_of_the_table_of_names() -> None:
    """Where the C compiler's enums, plain source and the table each say a part of it."""
    room = Path(__file__).parents[2] / "receiver" / "pcap"
    for name in ("layer4.py", "layer4_rows.py"):
        source = room / name
        said = enums(source.with_suffix(".pxd").read_text())
        plain = {key: int(value) for key, value in re.findall(r"^    ([A-Z_]+) = (\d+)$", source.read_text(), re.MULTILINE)}
        assert plain == {key: value for numbers in said.values() for key, value in numbers.items()}
    for kind, enum in (("sum", "Counter"), ("histogram", "Histogram")):
        firsts = [0]
        for metric, splits in semconv.LAYER4_NUMBERS:
            if metric.kind == kind:
                firsts += [1 if what in ("", "server") else 2 for _, what in splits]
        assert list(accumulate(firsts)) == list(said[enum].values())
    assert list(said["Kind"]) == [name.upper() for name in semconv.PEER_KINDS]
    assert [metric.kind for metric, _ in semconv.LAYER4_NUMBERS] == ["sum"] * 15 + ["histogram"] * 6


def test_every_metric_of_the_table_can_be_counted() -> None:
    line = Line().c(flags=SYN, options=mss(1460)).s(flags=SYN | ACK, options=mss(1460)).c()
    line.c(b"a" * 100).s(window=0).s(window=9).c(b"b" * 9, seq=1201).c(b"b" * 9, seq=1110, ident=1)
    line.s(ack=1101, options=sack((1201, 1210))).c(b"a" * 100, seq=1001, after_ms=1).s(ack=1101, options=sack((1001, 1101)))
    line.c(flags=RST)
    Line(line.wire, ports=(4, 5)).c(flags=SYN).s(flags=RST | ACK, seq=0)
    names = {metric.name for metric in line.wire.metrics.metrics()}
    assert names == set(semconv.LAYER4) - {"pcap_receiver.network.unreachable"}


def test_vmrange_buckets_when_asked_for() -> None:
    from receiver.pcap.layer4 import Layer4
    from receiver.pcap.layer4_rows import CounterTable
    from receiver.telemetry.layer4 import histograms
    from receiver.telemetry.vmrange import BOUNDS

    on: Engine = engine()
    on.table.layer4 = Layer4(CounterTable(histograms(), (), 2000, BOUNDS))
    on = Engine(on.table, on.reading, None, False, on.table.layer4)
    line = Line(Wire(on)).opened()
    shape: HistogramPoint = line.wire.shape("tcp.rtt{server}")
    assert [count for _, count in shape.vmrange] == [1]
    assert shape.vmrange[0][0] == 6 * 18  # 1 ms, the upper bound of the last bucket of the sixth decade above 1e-9


def test_push_with_urgent_flags_is_data_like_any_other() -> None:
    assert noted(Line().opened().c(b"x", flags=PSH | ACK | 0x20).s()) == {}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_it_adds_up(seed: int) -> None:
    """Any flags, numbers around two places of the circle, any options, few ports, pauses: nothing fails, no number falls below
    zero, and every connection that was opened is somewhere."""
    rng = random.Random(seed)
    wire = Wire(engine((), flows=_flows(6)))
    near = (0, 2**32 - 4, 2**31 - 2)
    for _ in range(1500):
        line = Line(wire, ports=(rng.randrange(40000, 40006), rng.choice((80, 50000))))
        options = rng.choice((b"", b"", mss(1460), sack((1, 5)), sack((1, 5), (0, 9)), rng.randbytes(rng.randrange(40))))
        line.send(
            rng.randrange(2),
            b"x" * rng.choice((0, 0, 1, 3)),
            rng.choice((SYN, SYN | ACK, ACK, ACK, ACK, FIN | ACK, RST, RST | ACK, rng.randrange(256))),
            seq=(rng.choice(near) + rng.randrange(8)) % 2**32,
            ack=(rng.choice(near) + rng.randrange(8)) % 2**32,
            window=rng.choice((0, 500, 500)),
            options=options,
            after_ms=rng.choice((0, 0.1, 5, 300)),
            ident=rng.choice((0, rng.randrange(20))),
        )
        if rng.random() < 0.01:
            wire.wait(rng.choice((2, 70, 400)))
    wire.wait(400)
    wire.engine.finish()
    tcp = wire.tcp()

    def of(name: str) -> int:
        return sum(value for key, value in tcp.items() if key.partition("{")[0] == f"connections.{name}")

    assert of("opened") == of("established") + of("failed")
    assert of("open") == 0
    assert of("closed") >= of("established")
    assert all(value >= 0 for value in wire.counts().values())
    skipped = wire.engine.skipped_packets()
    assert wire.engine.packets == wire.engine.parsed + sum(skipped.values())
    assert not [key for key in wire.engine.reading.errors if key[1] == "internal"]
