"""Reads a capture undamaged (the truth) and damaged, with the whole engine, and says what does not hold.

What must hold:

- Nothing is invented. Each roundtrip of the damaged run is one of the truth, none twice: the same connection, protocol, client and
  server, begun by the same packet; all that it says is so. A pair is a pair of the truth, both sides begun by the same packets,
  with the same outcome, or `unknown` where the damage took what its status refers to; a time that it tells is one at which those
  bytes were there.
- A request whose answer was there and is not any more is `lost`: no timeout, no closed connection.
- Nothing is lost that the damage did not touch (`untouched`), and that is told in full.
- The books balance and the limits hold, after every batch of packets.

What is touched. The roundtrips of a connection fall into busy periods: one begins with a request while nothing is under way, and
ends when all of it is answered. Loss touches the busy period in which it falls: what is on its way when bytes are gone that nobody
can count the messages of. From then on the connection is in doubt, and a message is found only where it begins in one piece, with
a line or frame that tells what it is. For protocols that pair by order (HTTP/1, Redis) a period in doubt is untouched when the next
one's beginning proves the order: nothing is lost up to there, it has at most HELD_MAX roundtrips, and its client, until then too,
never sends a request while answers to older ones come (that order nothing can prove). The last period of a connection needs no
proof if it is one roundtrip. By key (HTTP/2, DNS) a period needs none; fields of HTTP/2 may be unknown, whose table entries the
hole took. Of datagrams each stands for itself.

What nobody could know is not asked for: what follows a CONNECT or PSYNC whose answer is lost; which commands are answered when
CLIENT REPLY is; that a datagram was lost and not left unanswered; that an answer was lost, before 30 s later anything else is seen
of its connection, or before its client resets it; the protocol above HTTP/2 of a call whose head is not readable.
"""

from __future__ import annotations

import ipaddress
import random
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from receiver.config import Http, Layer4Label, PcapReceiver
from receiver.engine import Engine
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from receiver.pcap.flow import FlowTable
from receiver.pcap.layer4 import Layer4
from receiver.pcap.layer4_rows import CounterTable
from receiver.pcap.oddlink import decode as decode_odd
from receiver.pcap.stream import Reassembly
from receiver.telemetry.layer4 import Layer4Metrics, histograms
from receiver.telemetry.snapshot import HistogramPoint
from receiver.wire.records import OUTCOMES, Roundtrip, Sink
from tests.damage.generate import Damaged
from tests.damage.packets import ACK, RST, SYN, TCP, Capture, Flow, Packet
from tests.l7.harness import Said

ROWS = protocols(Shared(PcapReceiver(http=Http(headers=("x-id",)))))
PORTS = {port for row in ROWS for port in row.ports}
BY_KEY = ("http2", "grpc", "dns", "mongodb", "kafka")
# As in matcher.py, where it is a C constant.
HELD_MAX = 64
TIMEOUT_US = 30_000_000
# Steps of PostgreSQL's extended query that are a roundtrip only where no statement goes with them: behind a hole nobody knows that.
UNSAID = ("BIND", "DESCRIBE", "SYNC")
LESS_KNOWN = (("http2", "grpc"), ("http", "http2"), ("http", "grpc"), ("mysql", "mariadb"))
# What a statement is may have been said long before it, and the schema in use; or what a session fetches.
DATABASES = ("redis", "mysql", "mariadb", "postgresql", "mongodb", "kafka")
PAIRED = ("ok", "error", "unknown")


@dataclass(frozen=True)
class Row:
    """A roundtrip as the engine told it. Times in microseconds; `last_us` of the request, the answer's two or none."""

    flow: Flow
    client: int
    protocol: str
    outcome: str
    request: Said
    response: Said | None
    first_us: int
    last_us: int
    answer_us: tuple[int, int] | None

    @property
    def paired(self) -> bool:
        return self.outcome in PAIRED

    def __str__(self) -> str:
        request = self.request
        path = request.path or request.target
        answer = self.response.status if self.response is not None else None
        times = [self.first_us, self.last_us, *(self.answer_us or ())]
        return f"{self.protocol} {request.operation} {path!r} -> {answer} {self.outcome} {times}"


class Kept(Sink):
    def __init__(self) -> None:
        self.rows: list[Row] = []

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        ends, request, response = roundtrip.endpoints, roundtrip.request, roundtrip.response
        assert ends is not None and request is not None and roundtrip.protocol is not None
        client = packed(ends.client_address, ends.client_port)
        server = packed(ends.server_address, ends.server_port)
        low, high = sorted((client, server))
        answer = None if response is None else (response.first_ns // 1000, response.last_ns // 1000)
        self.rows.append(
            Row(
                (low, high, TCP if ends.transport == "tcp" else 17),
                0 if client == low else 1,
                roundtrip.protocol.name,
                OUTCOMES[roundtrip.outcome],
                Said.of(request),
                None if response is None else Said.of(response),
                request.first_ns // 1000,
                request.last_ns // 1000,
                answer,
            )
        )
        return 0


def packed(address: str, port: int) -> bytes:
    return ipaddress.ip_address(address).packed + port.to_bytes(2, "big")


class Broken(AssertionError):
    """Something that must hold does not."""


def run(
    packets: Sequence[Packet], rng: random.Random, out_of_order: int = 65536, memory: int = 1 << 25, flow_max: int = 65536
) -> list[Row]:
    """The roundtrips of these packets, read in batches of any size."""
    kept = Kept()
    pairing = Pairing(kept)
    limits = Reassembly(out_of_order, memory)
    reading = Reading(pairing, Detector(ROWS))
    table = FlowTable(limits, flow_max, server_ports=PORTS)
    layer4 = Layer4(CounterTable(histograms(), get_args(Layer4Label))) if rng.random() < 0.3 else None
    engine = Engine(table, reading, decode_odd, False, layer4)
    at = 0
    while at < len(packets):
        size = rng.choice((1, 3, 17, 64))
        batch = [packets[at]]
        while len(batch) < size and at + len(batch) < len(packets) and packets[at + len(batch)].link_type == batch[0].link_type:
            batch.append(packets[at + len(batch)])
        at += len(batch)
        frames = [packet.frame() for packet in batch]
        meta = []
        offset = 0
        for packet, frame in zip(batch, frames, strict=True):
            meta.append(struct.pack("=4I", *divmod(packet.ts_us, 1_000_000), offset, len(frame)))
            offset += len(frame)
        engine.process_batch(b"".join(frames), b"".join(meta), batch[0].link_type)
        check_books(engine, kept)
    engine.finish()
    check_books(engine, kept)
    if pairing.open or limits.held_bytes:
        raise Broken(f"at the end {pairing.open} requests are open, {limits.held_bytes} bytes held")
    table.clear()
    if layer4 is not None:
        check_layer4(layer4)
    return kept.rows


def check_layer4(layer4: Layer4) -> None:
    """Of all connections none is open any more; none was ever closed that had not been opened, and nothing fell below zero."""
    totals: Counter[str] = Counter()
    for metric in Layer4Metrics(layer4.table).metrics():
        for point in metric.points:
            value = point.count if isinstance(point, HistogramPoint) else point.value
            if value < 0:
                raise Broken(f"{metric.name} {dict(point.attributes)} is {value}")
            totals[metric.name.rpartition(".")[2]] += int(value)
    if totals["open"] or totals["failed"] + totals["established"] > totals["opened"] + totals["closed"]:
        raise Broken(f"connections do not add up: {dict(totals)}")


def check_books(engine: Engine, kept: Kept) -> None:
    pairing, limits, table = engine.reading.pairing, engine.table.reassembly, engine.table
    known = pairing.paired + pairing.one_way + pairing.unanswered + pairing.repeated + pairing.open
    if pairing.requests != known:
        raise Broken(f"{pairing.requests} requests, {known} accounted for")
    if len(kept.rows) != pairing.paired + pairing.one_way + pairing.unanswered:
        raise Broken(f"{len(kept.rows)} roundtrips told, {pairing.paired}+{pairing.one_way}+{pairing.unanswered} counted")
    if pairing.responses < pairing.paired + pairing.unmatched:
        raise Broken(f"{pairing.responses} responses, {pairing.paired} paired and {pairing.unmatched} unmatched")
    if engine.packets != engine.parsed + sum(engine.skipped_packets().values()):
        raise Broken("packets do not add up")
    if limits.held_bytes < 0 or limits.held_bytes > limits.memory:
        raise Broken(f"{limits.held_bytes} bytes held")
    if table.open > table.flow_max:
        raise Broken(f"{table.open} flows")
    bugs = [key for key in engine.reading.errors if key[1] == "internal"]
    if bugs:
        raise Broken(f"a decoder's bug: {bugs}, {engine.reading.logged}")


# --- the comparison ---


class Clock:
    """When the bytes of a packet of the capture can be said to have come: not before its first copy did, nor after everything did
    that its connection sent before it."""

    def __init__(self, damaged: Damaged) -> None:
        self.number = {packet.ts_us: min(packet.origins) for packet in damaged.capture.packets}
        self.end_us = damaged.capture.packets[-1].ts_us
        copies = same_bytes(damaged.capture)
        self.low: dict[int, int] = {}
        last: dict[int, int] = {}
        for packet in damaged.packets:
            for n in packet.origins if not packet.again else ():
                for each in copies.get(n, (n,)):
                    self.low[each] = min(self.low.get(each, packet.ts_us), packet.ts_us)
                    last[each] = max(last.get(each, packet.ts_us), packet.ts_us)
        self.high: dict[int, int] = {}
        latest: dict[Flow | None, int] = defaultdict(int)
        for packet in damaged.capture.packets:
            (n,) = packet.origins
            if n in last:
                latest[packet.flow] = max(latest[packet.flow], last[n])
            self.high[n] = max(latest[packet.flow], last.get(n, 0))

    def same(self, true_us: int, told_us: int) -> bool:
        n = self.number[true_us]
        return n in self.low and self.low[n] <= told_us <= self.high[n]

    def within(self, first_us: int, last_us: int, told_us: int) -> bool:
        first, last = self.number[first_us], self.number[last_us]
        return self.low.get(first, first_us) <= told_us <= max(self.high[last], last_us)


def same_bytes(capture: Capture) -> dict[int, tuple[int, ...]]:
    """Of each packet that the capture itself has more than once, by its number, the numbers of all of them."""
    found: dict[tuple[Flow | None, int, int, bytes], list[int]] = defaultdict(list)
    for packet in capture.packets:
        if packet.is_tcp and packet.payload:
            found[packet.flow, packet.source, packet.seq, packet.payload] += packet.origins
    return {n: tuple(numbers) for numbers in found.values() for n in numbers if len(numbers) > 1}


def check(capture: Capture, truth: Sequence[Row], damaged: Damaged, rows: Sequence[Row]) -> int:
    """How many roundtrips were untouched. Raises Broken."""
    clock = Clock(damaged)
    damaged.operations = {true.request.operation for true in truth}
    trues: dict[Flow, list[Row]] = defaultdict(list)
    for true in truth:
        trues[true.flow].append(true)
    means: list[tuple[Row, list[Row]]] = []
    # What goes on behind these is left alone, and is read like any other when their answer is lost.
    closed = {true.flow for true in truth if true.request.operation in ("CONNECT", "PSYNC") or switched(true, trues[true.flow])}
    for row in rows:
        same = [true for true in trues[row.flow] if true.client == row.client and clock.same(true.first_us, row.first_us)]
        fits = [true for true in same if differs(row, true, clock, damaged) is None]
        if not fits and row.flow[2] != TCP and came_twice(row, truth, clock, damaged):
            continue  # a datagram came again when its answer had been there; perhaps that too
        if not fits and row.flow in closed and (not same or row.protocol == "redis"):
            continue
        if not fits:
            raise Broken(f"invented: {row}\n  the truth: {[f'{differs(row, true, clock, damaged)}: {true}' for true in same]}")
        means.append((row, sorted(fits, key=lambda true: distance(row, true)[::-1])))
    found = assign(means)
    told = {id(true): row for row, true in found}
    safe = untouched(capture, truth, damaged)
    for true in safe:
        if id(true) not in told:
            if true.protocol == "postgresql" and true.request.operation in UNSAID:
                continue
            raise Broken(f"lost, though not touched: {true}")
        if is_less(told[id(true)], true):
            raise Broken(f"not touched, but told as {told[id(true)]}: {true}")
    return len(safe)


def switched(true: Row, flow: Iterable[Row]) -> bool:
    """Whether what comes behind it is of a protocol that nobody reads (WebSocket)."""
    return true.response is not None and true.response.status == 101 and all(other.protocol == "http" for other in flow)


def distance(row: Row, true: Row) -> tuple[int, int]:
    """How much less `row` says than `true`, which it may mean; and how far off its time is."""
    less = 4 * (row.outcome != true.outcome) + 2 * (row.request != true.request) + (row.response != true.response)
    return less, abs(row.first_us - true.first_us)


def assign(means: list[tuple[Row, list[Row]]]) -> list[tuple[Row, Row]]:
    """Each row its own truth: several of one packet may look alike, above all when some say less. Raises Broken."""
    taken: dict[int, int] = {}
    by_id = {id(true): true for _, fits in means for true in fits}

    def place(i: int, tried: set[int]) -> bool:
        for true in means[i][1]:
            if id(true) in tried:
                continue
            tried.add(id(true))
            if id(true) not in taken or place(taken[id(true)], tried):
                taken[id(true)] = i
                return True
        return False

    for i in sorted(range(len(means)), key=lambda i: distance(means[i][0], means[i][1][0])):
        if not place(i, set()) and means[i][0].flow[2] == TCP:  # datagrams may be there twice
            raise Broken(f"told twice: {means[i][0]}")
    return [(means[i][0], by_id[key]) for key, i in taken.items()]


def came_twice(row: Row, truth: Iterable[Row], clock: Clock, damaged: Damaged) -> bool:
    return any(
        clock.number[true.first_us] in damaged.twice and agrees(row.request, true.request, row.protocol)
        for true in truth
        if true.flow == row.flow
    )


def differs(row: Row, true: Row, clock: Clock, damaged: Damaged) -> str | None:
    """What `row` says that is not so, if it means `true`; None when all is so."""
    if row.protocol != true.protocol and (row.protocol, true.protocol) not in LESS_KNOWN:
        return "protocol"
    if clock.number[true.first_us] in damaged.cut & damaged.hit:
        return None  # the rest of a first line may be one as well
    if not agrees(row.request, true.request, row.protocol):
        return "request"
    if "CLIENT" in damaged.operations and damaged.hit:
        return None  # with CLIENT REPLY in the hole nothing tells which commands are answered
    if not clock.within(true.first_us, true.last_us, row.last_us) and not (
        true.paired and not row.paired and row.last_us > true.last_us  # what came of it after an answer that was lost
    ):
        return "request's end"
    # A piece of a frame may look like another's head, and hide an answer, or how it began, in what that announces.
    numbers = damaged.of_flow(row.flow)
    hidden = row.protocol in ("http2", "grpc") and bool(damaged.cut & numbers and damaged.hit & numbers)
    if not row.paired:
        if row.outcome == "timeout" and (row.flow[2] != TCP or clock.end_us - row.first_us > TIMEOUT_US):
            return None  # that a datagram was lost nobody can know, nor, while nothing comes, that an answer was
        if hidden:
            return None
        if row.outcome == "reset" and reset_without_a_word(true, clock, damaged):
            return None
        return None if row.outcome in ("lost", true.outcome) else "outcome"
    if row.response is None or true.response is None or row.answer_us is None or true.answer_us is None:
        return "answer"
    late = clock.number[true.first_us] in damaged.hit and clock.number[true.answer_us[0]] in damaged.hit
    if late and row.outcome == "unknown" and row.protocol in DATABASES:
        return None  # it came when its own answer was known to be lost, and stood before another's
    if row.outcome not in (true.outcome, "unknown"):
        return "outcome"  # of whatever protocol: an `ok` is one, and so is an error
    # The stream's end is seen where its first one was lost: a cancellation behind an answer, the last of two resets.
    lost = {clock.number[at] for at in true.answer_us} & (damaged.hit | damaged.cut) and row.protocol in ("http2", "grpc")
    reset = lost and row.answer_us[0] >= true.answer_us[0]
    if (row.protocol, true.protocol) == ("http2", "grpc"):
        # A call of which nothing that could be read said that it is gRPC is told as the HTTP that it is as well.
        return None if reset or clock.within(*true.answer_us, row.answer_us[1]) else "answer's end"
    if not agrees(row.response, true.response, row.protocol):
        return "answer"
    if reset:
        return None
    if row.protocol == "http2" and true.protocol == "http2" and row.response.status is None and true.response.status is not None:
        return None if clock.within(*true.answer_us, row.answer_us[0]) else "answer's time"
    if row.flow[2] != TCP:
        return None if row.answer_us[0] >= true.answer_us[0] else "answer's time"  # it came again, later
    if not clock.same(true.answer_us[0], row.answer_us[0]) and not (hidden and row.outcome == "unknown"):
        return "answer's beginning"
    if not clock.within(*true.answer_us, row.answer_us[1]):
        return "answer's end"
    return None


def reset_without_a_word(true: Row, clock: Clock, damaged: Damaged) -> bool:
    """Whether the answer's end is gone, and the next that the client sent is a reset, which acknowledges nothing."""
    if true.answer_us is None or clock.number[true.answer_us[1]] not in damaged.hit:
        return False
    sent = [each for each in damaged.capture.packets if each.flow == true.flow and each.source == true.client]
    later = [each for each in sent if each.ts_us > true.answer_us[1]]
    return bool(later) and later[0].flags & (RST | ACK) == RST


NAMES = (
    *("operation", "target", "namespace", "summary", "version", "status", "error_type", "server_address", "server_port"),
    *("path", "query", "trace_id", "tracestate"),
)


def agrees(part: Said, whole: Said, protocol: str) -> bool:
    """Whether all that `part` says is so; what nobody could know it leaves out. How much was lost of a body is not asked for."""
    unknown: tuple[str | None, ...] = (None, "_OTHER") if protocol in ("http2", "grpc") else (None,)
    for name in NAMES:
        value, true = getattr(part, name), getattr(whole, name)
        if value == true or value in unknown:
            continue
        if name == "server_port" and part.server_address is None:
            continue
        if name == "summary" and protocol == "postgresql" and true and (true.upper().startswith(value.split()[0]) or true == "END"):
            continue  # the server's word for what was done, where the statement was prepared in the hole
        if name == "operation" and protocol in ("http2", "grpc") and (value == "POST" or true == "_OTHER"):
            continue  # the method of HTTP, where a call did not say what it is
        if name == "operation" and value == "STMT_EXECUTE" and protocol in DATABASES:
            continue  # what was executed was prepared in a hole
        return False
    return neutral(part) <= neutral(whole)


def neutral(said: Said) -> set[tuple[str, object]]:
    kept = [pair for pair in said.attributes if not pair[0].endswith((".size", ".messages"))]
    return {(name.rpartition(".")[2], value) for name, value in kept}


def is_less(row: Row, true: Row) -> bool:
    """Whether it tells less than the truth, where the truth needed nothing that was lost before."""
    if row.outcome != true.outcome:
        if row.outcome == "unknown" and row.protocol in ("http2", "grpc"):
            return False  # its status refers to an entry that the hole took, or its deadline does
        if row.outcome == "lost" and row.protocol == "amqp" and row.request.operation == "publish":
            return False  # a confirm has the broker's number alone, which a hole in what the client sent makes unknown
        return not (row.paired and row.protocol == "http2" and true.protocol == "grpc")
    if row.protocol in ("http2", "grpc") or true.protocol in ("http2", "grpc"):
        return False
    if row.protocol in DATABASES:
        same = row.request.operation in (true.request.operation, "STMT_EXECUTE")
        return not same or (row.response is None) != (true.response is None)
    return row.request != true.request or row.response != true.response


# --- what was touched ---


@dataclass
class Period:
    """A time in which something is under way on a connection."""

    rows: list[Row]
    first: int
    last: int

    @property
    def overlaps(self) -> bool:
        """Whether a request comes while answers to older ones do."""
        answers = [row.answer_us[0] for row in self.rows if row.answer_us is not None]
        return any(first < row.first_us for row in self.rows for first in answers)


def periods(rows: Iterable[Row], number: dict[int, int], last: int) -> list[Period]:
    found: list[Period] = []
    for row in sorted(rows, key=lambda row: row.first_us):
        first = number[row.first_us]
        if row.answer_us is not None and row.outcome in PAIRED:
            end = max(number[row.answer_us[1]], number[row.last_us])
        else:
            end = number[row.last_us] if row.outcome == "one_way" else last
        if found and first <= found[-1].last:
            found[-1].rows.append(row)
            found[-1].last = max(found[-1].last, end)
        else:
            found.append(Period([row], first, end))
    return found


def untouched(capture: Capture, truth: Sequence[Row], damaged: Damaged) -> list[Row]:
    number = {packet.ts_us: min(packet.origins) for packet in capture.packets}
    by_flow: dict[Flow, list[Row]] = defaultdict(list)
    for row in truth:
        by_flow[row.flow].append(row)
    safe: list[Row] = []
    for flow, rows in by_flow.items():
        of_flow = [packet for packet in capture.packets if packet.flow == flow]
        numbers = sorted(min(packet.origins) for packet in of_flow)
        hits = [n for n in numbers if n in damaged.hit]
        if not of_flow:
            safe += rows  # a link that the damage does not take apart
            continue
        if flow[2] == TCP and not of_flow[0].flags & SYN and (
            hits or any(n in damaged.cut or n in damaged.moved for n in numbers)
        ):
            continue  # the truth itself was joined late, and is in doubt
        if not hits:
            safe += rows
            continue
        if any(row.request.operation == "CLIENT" for row in rows):
            continue  # with CLIENT REPLY in the hole nothing tells which commands are answered
        if flow[2] != TCP:
            safe += [row for row in rows if row.answer_us and not {number[row.first_us], number[row.answer_us[0]]} & damaged.hit]
            continue
        safe += of_connection(periods(rows, number, numbers[-1]), hits, damaged, number)
    return safe


def of_connection(found: list[Period], hits: list[int], damaged: Damaged, number: dict[int, int]) -> list[Row]:
    safe: list[Row] = []
    doubt = False
    overlaps = False
    if hits[-1] > found[-1].last and found[-1].rows[-1].protocol == "http":
        found[-1].last = hits[-1]  # a body may last until the connection is closed
    for i, period in enumerate(found):
        before = found[i - 1].last if i else -1
        if any(before < hit < period.first for hit in hits):
            doubt = True
        if any(period.first <= hit <= period.last for hit in hits):
            doubt = True
        elif not doubt:
            safe += period.rows
        elif all(row.protocol in BY_KEY for row in period.rows):
            # On the way up to here it may not have been known which protocol this is.
            if hits[0] > found[0].last and findable(period, damaged, number):
                safe += period.rows
        else:
            until = found[i + 1].rows[0] if i + 1 < len(found) else None
            clean = [row for row in period.rows if row.outcome in PAIRED and not torn(row)]
            proof = number[until.last_us] if until is not None else 1 << 60
            if (
                not overlaps
                and not period.overlaps
                and len(clean) == len(period.rows) <= HELD_MAX
                and not any(period.last < hit <= proof for hit in hits)
                and hits[0] > found[0].last
                and (until is not None or len(period.rows) == 1)  # of several the last answer may be owed when it ends
                and not (until is not None and until.protocol == "postgresql" and until.request.operation in UNSAID)
                and findable(period, damaged, number)
                and (until is None or findable(found[i + 1], damaged, number))
            ):
                safe += period.rows
                doubt = False
        overlaps = overlaps or period.overlaps
    return safe


def torn(row: Row) -> bool:
    """Whether it says nothing behind a hole: it may end a batch of PostgreSQL's whose beginning is gone, and an error be of what
    stood there; and what is a roundtrip only where no statement goes with it may be no more than a part of one."""
    return row.protocol == "postgresql" and (row.outcome == "error" or row.request.operation in UNSAID)


def findable(period: Period, damaged: Damaged, number: dict[int, int]) -> bool:
    """Whether a reader who knows nothing of what was before finds the beginning of each message."""
    for row in period.rows:
        if row.request.operation == "_OTHER" or number[row.first_us] in damaged.cut:
            return False
        if number[row.first_us] != number[row.last_us] and row.protocol not in BY_KEY:
            return False  # its first line or argument may be in pieces
        if row.answer_us is not None and number[row.answer_us[0]] in damaged.cut:
            return False
    return True
