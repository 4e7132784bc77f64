"""The clock that stamps packets is set: back, forward, or back and forth between two. Nothing lasts less than nothing, nothing is
given up or kept for it, and what lies behind it is told at its own time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.build import make_engine
from receiver.config import Config, PcapReceiver, Receivers
from receiver.engine import Engine
from receiver.l7 import registry
from receiver.pcap.clock import Clock
from receiver.pcap.file import FileSource
from receiver.telemetry.layer4 import Layer4Metrics
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import HistogramPoint
from receiver.telemetry.spans import Identities, Spans
from tests.pcap.packets import ACK, FIN, SYN, Line, Wire, ip, udp
from tests.pcap.test_datagrams import ANSWER, QUESTION

CASES = Path(__file__).resolve().parent.parent / "cases"
START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR


class Told(Wire):
    """Packets of one clock, and the spans that come of them. `look`: at a live clock; None: a file's."""

    def __init__(self, look: Callable[[], tuple[int, int]] | None = None, **pcap: Any) -> None:
        self.spans = Spans(Redactor())
        self.durations = Metrics(registry.PROTOCOLS, emitted=("dns.lookup.duration",))
        telemetry = Telemetry(self.durations, self.spans, Sampler("always_on"), Identities())
        config = Config(receivers=Receivers(pcap=PcapReceiver(**pcap)))
        made: Engine = make_engine(config, telemetry, detail=True, local=())
        engine = Engine(made.table, made.reading, None, False, made.layer4, clock=Clock(look))
        super().__init__(engine)
        self.ns = START_NS

    def read(self) -> list[Span]:
        self.engine.finish()
        scope = ScopeSpans()
        scope.ParseFromString(bytes(self.spans.lend()[0]))
        assert self.metrics.metrics()
        return list(scope.spans)

    def figures(self) -> list[HistogramPoint]:
        every = [*self.durations.durations(), *self.metrics.metrics()]
        return [point for metric in every for point in metric.points if isinstance(point, HistogramPoint)]


def lasted(span: Span) -> tuple[float, float]:
    """When it began, in milliseconds after START_NS, and for how long, to the microsecond that captures have."""
    begin, end = span.start_time_unix_nano, span.end_time_unix_nano
    return (begin - START_NS) / MS, (end - begin) // 1000 / 1000


def outcome(span: Span) -> str:
    found = {pair.key: pair.value.string_value for pair in span.attributes}
    return found.get("pcap_receiver.outcome", "ok")


def get(line: Line, path: bytes = b"/") -> None:
    line.c(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


STEPS = [-DAY, -HOUR, -10 * S, -5 * S, -4_999 * MS, -2 * S, -1_002 * MS, -999 * MS, -500 * MS, -100 * MS, -20 * MS, -5 * MS]


# --- files ---


@pytest.mark.parametrize("step_ns", STEPS)
def test_requests_behind_a_step_back_last_as_long_as_they_did_and_are_told_at_their_own_time(step_ns: int) -> None:
    """On one connection, with one request in which the clock is set."""
    told = Told()
    line = Line(told).opened()
    get(line, b"/before")
    line.c(b"GET /within HTTP/1.1\r\nHost: a\r\n\r\n")
    told.ns += step_ns
    line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    for number in range(3):
        get(line, b"/%d" % number)
    line.closed()
    before, within, *after = [lasted(span) for span in told.read()]
    assert before == (4, 1)
    assert within[0] == 6 and within[1] in (0, 1)  # nobody knows how long
    after_ms = step_ns / MS
    assert after == [(8 + after_ms, 1), (10 + after_ms, 1), (12 + after_ms, 1)]
    assert all(point.sum >= 0 for point in told.figures())
    assert told.engine.clock.steps == (step_ns < -S)


@pytest.mark.parametrize("step_ns", STEPS)
def test_an_answer_that_is_older_than_its_question_takes_no_time(step_ns: int) -> None:
    told = Told()
    told.packet(ip("10.0.0.1", "10.0.0.2", 17, udp(40000, 53, QUESTION), 1))
    told.ns += step_ns
    told.packet(ip("10.0.0.2", "10.0.0.1", 17, udp(53, 40000, ANSWER), 2))
    ((begin, duration),) = [lasted(span) for span in told.read()]
    assert begin == 1
    assert 0 <= duration <= 1
    assert all(point.sum >= 0 for point in told.figures())


@pytest.mark.parametrize("step_ns", [-DAY, -HOUR, -40 * S, -2 * S])
def test_after_a_step_back_requests_are_given_up_and_flows_forgotten_when_it_is_time(step_ns: int) -> None:
    told = Told()
    waits = Line(told).opened().c(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
    told.packet(ip("10.0.0.1", "10.0.0.2", 17, udp(40000, 7, b"echo"), 1))
    told.ns += step_ns
    busy = Line(told, ports=(40001, 8080), isn=(7, 9)).opened()
    for _ in range(29):
        get(busy)
        told.ns += S
    assert told.engine.reading.pairing.open == 1
    assert told.engine.table.open == 3
    for _ in range(3):
        get(busy)
        told.ns += S
    assert told.engine.reading.pairing.open == 0
    for _ in range(100):
        get(busy)
        told.ns += S
    assert told.engine.table.open == 2  # of UDP nothing is left
    waits.s(b"")
    spans = told.read()
    assert [outcome(span) for span in spans].count("timeout") == 1
    assert {outcome(span) for span in spans} == {"ok", "timeout"}
    for span in spans:
        assert lasted(span)[1] in ((1,) if outcome(span) == "ok" else (lasted(span)[1],))
        assert lasted(span)[1] < 33_000


def test_a_hole_behind_a_step_back_is_declared_when_it_is_time() -> None:
    told = Told()
    line = Line(told).opened()
    get(line, b"/a")
    told.ns -= HOUR
    line.seq[0] += 40  # a request that is missing
    get(line, b"/b")
    other = Line(told, ports=(40001, 8080), isn=(7, 9)).opened()
    for _ in range(8):
        get(other)
        told.ns += S
    assert told.engine.table.reassembly.gaps == 1


def test_a_pause_in_a_file_is_a_pause() -> None:
    told = Told()
    line = Line(told).opened()
    get(line, b"/a")
    line.c(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    told.ns += 20 * S
    line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert [lasted(span) for span in told.read()] == [(4, 1), (6, 20_001)]
    assert told.engine.clock.steps == 0


def test_a_pause_after_a_step_back_is_a_pause_still() -> None:
    told = Told()
    line = Line(told).opened()
    get(line, b"/a")
    told.ns -= 20 * S
    for _ in range(40):
        get(line, b"/b")
        told.ns += 100 * MS
    line.c(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    told.ns += 20 * S
    line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert lasted(told.read()[-1])[1] == 20_001


def test_two_clocks_in_turn_are_each_believed() -> None:
    """Files of two machines, joined without sorting, or one interface that lies an hour behind."""
    told = Told()
    lines = [Line(told, ports=(40000 + side, 8080), isn=(side, 9)).opened() for side in (0, 1)]
    clocks = [START_NS + 100 * MS, START_NS + 100 * MS - HOUR]
    for _ in range(200):
        for side in (0, 1):
            told.ns = clocks[side]
            get(lines[side])
            clocks[side] = told.ns + 50 * MS
    spans = told.read()
    assert len(spans) == 400
    assert {lasted(span)[1] for span in spans} == {1}
    begins = [span.start_time_unix_nano for span in spans]
    assert sorted(begins[::2]) == begins[::2] and sorted(begins[1::2]) == begins[1::2]
    assert abs(begins[0] - begins[1] - HOUR) < 100 * MS
    assert told.engine.clock.latest(told.engine.now_ns) < START_NS + 30 * S  # and time did not run twice as fast
    assert told.engine.clock.steps == 1


def test_packets_late_by_less_than_a_second_are_no_step() -> None:
    """Two interfaces, whose rings are read one after the other."""
    told = Told()
    lines = [Line(told, ports=(40000 + side, 8080), isn=(side, 9)).opened() for side in (0, 1)]
    for turn in range(40):
        for line in lines:
            told.ns = START_NS + S + turn * 900 * MS
            for _ in range(9):
                told.ns += 90 * MS
                get(line)
    spans = told.read()
    assert {lasted(span)[1] for span in spans} == {1}
    assert told.engine.clock.steps == 0


def test_packets_without_a_time_keep_the_one_before() -> None:
    told = Told()
    line = Line(told).opened()
    get(line, b"/a")
    kept, told.ns = told.ns, 0
    for _ in range(2):
        line.c(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n", after_ms=0)
        line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", after_ms=0)
    told.ns = kept
    get(line, b"/c")
    assert [lasted(span) for span in told.read()] == [(4, 1), (5, 0), (5, 0), (6, 1)]
    assert told.engine.clock.steps == 0


def test_packets_before_the_first_that_has_a_time_are_of_that_time() -> None:
    told = Told()
    told.ns = 0
    line = Line(told)
    for flags, side in ((SYN, 0), (SYN | ACK, 1), (ACK, 0)):
        line.send(side, flags=flags, after_ms=0)
    line.c(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", after_ms=0)
    told.ns = START_NS
    line.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", after_ms=0)
    get(line, b"/b")
    (first, second) = told.read()
    assert lasted(first)[1] == 0
    assert lasted(second) == (1, 1)


def test_a_capture_whose_time_begins_at_zero_is_read_as_it_stands() -> None:
    told = Told()
    told.ns = 0
    line = Line(told)
    line.send(0, flags=SYN, after_ms=0)
    line.s(flags=SYN | ACK).c()
    get(line)
    (span,) = told.read()
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (3 * MS, 4 * MS)
    assert told.shape("tcp.handshake.duration").sum == 0.002


# --- live ---


class Live(Told):
    """A clock that is set, beside one that is not; the kernel stamps packets by the first. Ticks come as the service's do."""

    def __init__(self) -> None:
        self.set_ns = 0
        self.ns = START_NS
        super().__init__(lambda: (self.ns, self.set_ns))

    def set(self, step_ns: int) -> None:
        self.set_ns += step_ns
        self.ns += step_ns

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 5)):
            self.ns += 200 * MS
            self.engine.turn(self.ns - S)


@pytest.mark.parametrize("idle_s", [0, 3])
@pytest.mark.parametrize("step_ns", [-DAY, -HOUR, -5 * S, -2 * S, 2 * S, 5 * S, 40 * S, HOUR, DAY])
def test_a_live_clock_that_is_set_changes_no_duration_and_gives_up_nothing(step_ns: int, idle_s: int) -> None:
    told = Live()
    rests = Line(told).opened()
    get(rests, b"/rests")
    waits = Line(told, ports=(40001, 8080), isn=(7, 9)).opened().c(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
    told.wait(2)
    told.set(step_ns)
    told.wait(idle_s)
    waits.s(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    get(rests, b"/again")
    told.wait(400)
    assert told.engine.table.open == 0
    told.engine.finish()
    spans = told.read()
    assert [outcome(span) for span in spans] == ["ok"] * 3
    first, waited, again = [lasted(span) for span in spans]
    assert first == (4, 1)
    assert waited == (9, 2_001 + idle_s * 1000)
    assert again == (9 + waited[1] + 1 + step_ns / MS, 1)
    assert all(point.sum >= 0 for point in told.figures())
    assert max(point.sum for point in told.figures()) < 500
    assert told.engine.clock.steps == 1


@pytest.mark.parametrize("step_ns", [-HOUR, 5 * S, HOUR])
def test_whether_a_flow_is_ours_is_asked_by_the_clock_that_was_set(step_ns: int) -> None:
    """Whoever looks at sockets compares with the clock on the wall."""
    told = Live()
    asked: list[int] = []

    def is_own(*flow: Any) -> bool:
        asked.append(flow[5])
        return False

    told.engine.table.is_own = is_own
    told.engine.table.watched = bytearray(b"\xff" * 8192)
    get(Line(told).opened())
    told.wait(2)
    told.set(step_ns)
    told.wait(1)
    get(Line(told, ports=(40001, 8080), isn=(7, 9)).opened())
    first, second = asked
    assert second - first == pytest.approx(3 * S + step_ns, abs=100 * MS)


@pytest.mark.parametrize("step_ns", [-DAY, -HOUR, HOUR, DAY])
def test_after_a_live_step_a_request_is_given_up_when_it_is_time(step_ns: int) -> None:
    told = Live()
    Line(told).opened().c(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
    told.wait(10)
    told.set(step_ns)
    told.wait(19)
    assert told.engine.reading.pairing.open == 1
    told.wait(4)
    assert told.engine.reading.pairing.open == 0
    ((begin, duration),) = [lasted(span) for span in told.read()]
    assert begin == 4 and 30_000 <= duration < 33_000


def test_packets_stamped_before_a_live_step_and_read_after_it_are_of_their_time() -> None:
    told = Live()
    line = Line(told).opened()
    get(line, b"/a")
    late = told.ns
    told.set(-HOUR)
    told.engine.turn(told.ns - S)
    after = told.ns
    told.ns = late
    get(line, b"/late")
    told.ns = after + 10 * MS
    get(line, b"/b")
    assert [lasted(span)[1] for span in told.read()] == [1, 1, 1]


def test_a_live_pause_is_no_step_and_a_clock_that_gains_slowly_is_none() -> None:
    told = Live()
    line = Line(told).opened()
    for _ in range(50):
        get(line)
        told.set(50 * MS)  # a second in all, and more
        told.wait(2)
    told.ns += HOUR  # nothing came, and nobody asked
    get(line)
    assert told.engine.clock.steps == 0
    spans = told.read()
    assert {lasted(span)[1] for span in spans} == {1}


def test_late_packets_ask_a_live_clock_once_a_batch() -> None:
    asked = 0

    def look() -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return START_NS, 0

    told = Told(look)
    told.packet(ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x"), 1))
    before = asked
    frame = ip("10.0.0.1", "10.0.0.2", 17, udp(1, 2, b"x"), 2)
    seconds = told.ns // S - 5
    meta = b"".join(struct.pack("=IIII", seconds, n, 0, len(frame)) for n in range(200))
    told.engine.process_batch(frame, meta, 12)
    assert asked == before + 1


# --- captures ---


def from_file(path: Path) -> tuple[Told, list[Span]]:
    told = Told()
    source = FileSource((str(path),), lambda _: "")
    source.open()
    source.run(told.engine.process_batch, lambda _: None, lambda: False)
    return told, told.read()


def test_a_lookup_within_which_the_clock_is_set_in_a_capture() -> None:
    told, spans = from_file(CASES / "time_back_udp.pcap")
    assert [lasted(span) for span in spans] == [(10_000, 0)]
    assert all(point.sum >= 0 for point in told.figures())


def test_commands_behind_a_step_back_in_a_capture() -> None:
    """PING is sent before the clock is set back by 5 s, and answered after it; each of the three GETs takes a millisecond."""
    told, spans = from_file(CASES / "time_back_tcp.pcap")
    assert [span.name for span in spans] == ["PING", "GET", "GET", "GET"]
    assert [lasted(span) for span in spans] == [(20_004, 0), (15_006, 0.999), (15_007.999, 1), (15_009.999, 1)]
    assert all(point.sum >= 0 for point in told.figures())


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


@pytest.mark.parametrize("own_reader", [False, True], ids=["libpcap", "ours"])
def test_a_block_without_a_time_keeps_the_one_before(tmp_path: Path, own_reader: bool) -> None:
    """draft-ietf-opsawg-pcapng, 4.4: a Simple Packet Block has none."""
    asked = ip("10.0.0.1", "10.0.0.2", 17, udp(40000, 53, QUESTION), 1)
    told = ip("10.0.0.2", "10.0.0.1", 17, udp(53, 40000, ANSWER), 2)
    after = [frame[:4] + b"\0\x09" + frame[6:] for frame in (asked, told)]

    def enhanced(frame: bytes, ms: int) -> bytes:
        us = START_NS // 1000 + ms * 1000
        return block(6, struct.pack("<5I", 0, us >> 32, us & 0xFFFFFFFF, len(frame), len(frame)) + frame)

    written = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 101, 0, 0))
    if own_reader:  # an interface of another kind, which libpcap refuses
        written += block(1, struct.pack("<HHI", 1, 0, 0))
    written += enhanced(asked, 5) + block(3, struct.pack("<I", len(told)) + told) + enhanced(after[0], 9) + enhanced(after[1], 12)
    path = tmp_path / "simple.pcapng"
    path.write_bytes(written)
    _, spans = from_file(path)
    assert [lasted(span) for span in spans] == [(5, 0), (9, 3)]


def test_layer_4_begins_its_series_by_the_packets_clock() -> None:
    told = Told()
    Line(told).opened().c(b"x")
    told.ns -= HOUR
    Line(told, ports=(40001, 9090), isn=(7, 9)).opened().c(b"x").c(flags=FIN | ACK)
    assert told.engine.layer4 is not None
    metrics = Layer4Metrics(told.engine.layer4.table, 2000).metrics()
    began = {dict(point.attributes)["server.port"]: point.start_ns for metric in metrics for point in metric.points}
    assert began[8080] - START_NS < S
    assert began[9090] - START_NS + HOUR < S
