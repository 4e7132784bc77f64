"""Connections that are silent for a while, and what they say then."""

from __future__ import annotations

import pytest

from tests.l7.harness import Collector
from tests.pcap.packets import ACK, FIN, RST, Line, Wire, engine

REQUEST = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Watched(Wire):
    def __init__(self) -> None:
        self.collector = Collector()
        super().__init__(engine(sink=self.collector))
        self.reading = self.engine.reading
        self.pairing = self.reading.pairing

    def told(self) -> list[tuple[str, str]]:
        return [(str(one["path"]), one.outcome) for one in self.collector.seen]


def ask(line: Line, number: int) -> None:
    line.c(REQUEST % number).s(ANSWER).c()


def test_silent_connection_goes_on_where_it_was() -> None:
    wire = Watched()
    lines = [Line(wire, ports=(40000 + n, 8080)).opened() for n in range(5)]
    for turn in range(3):
        for n, line in enumerate(lines):
            ask(line, 10 * turn + n)
        wire.wait(2)
    for line in lines:
        line.closed()
    assert [path for path, _ in wire.told()] == [f"/{10 * turn + n}" for turn in range(3) for n in range(5)]
    assert {outcome for _, outcome in wire.told()} == {"ok"}
    assert wire.reading.detected == {"http": 5}
    assert not wire.reading.errors and wire.pairing.unmatched == 0
    wire.wait(3)
    assert (wire.engine.table.open, wire.engine.table.closed) == (0, 5)


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def test_what_a_redis_connection_was_told_outlives_a_silence() -> None:
    wire = Watched()
    plain, chosen, told = (Line(wire, ports=(40000 + n, 6379)).opened() for n in range(3))
    chosen.c(command(b"SELECT", b"3")).s(b"+OK\r\n")
    told.c(command(b"SUBSCRIBE", b"news")).s(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
    for _ in range(3):
        plain.c(command(b"GET", b"a")).s(b"$-1\r\n")
        chosen.c(command(b"GET", b"a")).s(b"$-1\r\n")
        told.s(b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n")
        wire.wait(2)
    said = [(one["operation"], one["namespace"], one.outcome) for one in wire.collector.seen]
    assert said == [("SELECT", "3", "ok"), ("SUBSCRIBE", "0", "ok"), *[("GET", "0", "ok"), ("GET", "3", "ok")] * 3]
    assert wire.reading.detected == {"redis": 3}
    assert wire.pairing.unmatched == 0 and not wire.reading.errors


def test_request_that_waits_and_answer_that_has_begun_go_on_after_a_silence() -> None:
    wire = Watched()
    waiting = Line(wire, ports=(40001, 8080)).opened().c(REQUEST % 1)
    begun = Line(wire, ports=(40002, 8080)).opened().c(REQUEST % 2).s(ANSWER[:-3])
    head = Line(wire, ports=(40003, 8080)).opened().c(REQUEST[:7])
    wire.wait(10)
    waiting.s(ANSWER)
    begun.s(ANSWER[-3:])
    head.c(REQUEST[7:] % ()).s(ANSWER)
    assert wire.told() == [("/1", "ok"), ("/2", "ok"), ("/%d", "ok")]
    assert not wire.reading.errors


def test_what_follows_a_silence_is_no_first_request() -> None:
    """A line that breaks the grammar is told with its answer where a method and a target can be read in it. Of others nobody knows
    what they are, but for a connection's first, to which a server answers with 400."""
    wire = Watched()
    line = Line(wire).opened()
    ask(line, 1)
    wire.wait(2)
    line.c(b"GET /2 and more\r\n\r\n").s(ANSWER)
    assert wire.told() == [("/1", "ok"), ("/2", "ok")]
    wire.wait(2)
    line.c(b"nothing/HTTP/1.1\r\n\r\n").s(ANSWER)
    assert wire.told() == [("/1", "ok"), ("/2", "ok")]
    assert wire.reading.errors == {("http", "no version"): 1}
    line.c(REQUEST % 3).s(ANSWER)
    wire.wait(2)
    line.c(REQUEST % 4).s(ANSWER).closed()
    assert ("/4", "ok") in wire.told()


def test_holes_around_a_silence_are_told() -> None:
    wire = Watched()
    line = Line(wire).opened()
    ask(line, 1)
    wire.wait(2)
    limits = wire.engine.table.reassembly
    line.c(b"x", seq=line.seq[0] - 1)  # a keep-alive probe
    assert (limits.retransmitted, limits.gaps) == (0, 0)
    line.seq[0] += 100  # a request and its answer that nobody saw, but for the client's last word
    line.seq[1] += 200
    line.c(after_ms=50)
    wire.wait(6)
    assert (limits.bytes_missing, limits.bytes_unseen) == (300, 200)
    ask(line, 2)
    assert wire.told()[-1] == ("/2", "ok")
    wire.wait(2)
    line.seq[1] += 50
    line.s(flags=RST | ACK)
    assert limits.bytes_missing == 350
    assert wire.engine.table.closed == 1


def test_silent_connection_ends_by_fin_of_either_side() -> None:
    wire = Watched()
    lines = [Line(wire, ports=(40000 + n, 8080)).opened() for n in range(2)]
    for line in lines:
        ask(line, 1)
    wire.wait(5)
    lines[0].c(flags=FIN | ACK)
    lines[1].s(flags=FIN | ACK)
    wire.wait(5)
    assert wire.engine.table.closed == 0
    lines[0].s(ANSWER[:0], flags=FIN | ACK)
    lines[1].c(flags=FIN | ACK)
    assert wire.engine.table.closed == 2
    assert wire.told() == [("/1", "ok"), ("/1", "ok")]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("names", [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")])
@pytest.mark.parametrize("probe", [b"\x00", b""])
def test_probe_is_no_part_of_what_is_said(side: int, names: tuple[str, str], probe: bytes) -> None:
    """RFC 9293, 3.8.4: joined at it, in a silence, and between two messages; of either side, answered each time."""
    wire = Watched()
    line = Line(wire, *names, isn=(70_000, 90_000))

    def asks() -> None:
        line.send(side, probe, seq=line.seq[side] - 1)
        line.send(1 - side)

    asks()
    ask(line, 1)
    asks()
    ask(line, 2)
    wire.wait(100)
    asks()
    wire.wait(100)
    asks()
    ask(line, 3)
    assert wire.told() == [("/1", "ok"), ("/2", "ok"), ("/3", "ok")]
    limits = wire.engine.table.reassembly
    assert (limits.retransmitted, limits.overlapped, limits.gaps, wire.pairing.unmatched) == (0, 0, 0, 0)
    assert not [name for name in wire.tcp() if "retransmits" in name or "duplicate" in name]
    assert wire.reading.bytes_set_aside == 0


def test_joined_at_a_repetition_whose_answer_went_by_pairs_the_next_with_its_own() -> None:
    """What the repetition acknowledges is from before its answer: the answer is a hole, not the next one's."""
    wire = Watched()
    line = Line(wire)
    line.c(REQUEST % 0)
    line.seq[1] += len(ANSWER)
    line.s()
    for number in (1, 2, 3):
        wire.wait(1)
        ask(line, number)
    assert wire.told()[:1] == [("/0", "lost")]
    wire.wait(40)
    assert wire.told()[1:] == [("/1", "ok"), ("/2", "ok"), ("/3", "ok")]
    assert wire.pairing.unmatched == 0


def test_what_is_held_when_its_flow_is_given_up_is_read_behind_its_hole() -> None:
    wire = Watched()
    line = Line(wire).opened()
    ask(line, 1)
    line.seq[0] += 50
    line.c(REQUEST % 2)
    assert wire.told() == [("/1", "ok")]
    wire.engine.table.clear()
    assert wire.told() == [("/1", "ok"), ("/2", "lost")]
    limits = wire.engine.table.reassembly
    assert (limits.gaps, limits.bytes_missing, limits.held_bytes) == (1, 50, 0)
