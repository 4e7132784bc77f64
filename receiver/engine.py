"""The one pass over the packets.

Room: engine. A batch comes in, roundtrips go to the sink; nothing is queued between. Time is an input: the packets' own clock
drives timeouts, so a replayed file gives the same answer each time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import cython

from receiver.l7.conversation import open_conversation
from receiver.l7.reading import Reading
from receiver.pcap.clock import Clock
from receiver.pcap.duplicate import Duplicates
from receiver.pcap.flow import Flow, FlowTable
from receiver.pcap.fragment import Fragments
from receiver.pcap.layer4 import Layer4
from receiver.pcap.link import VERDICTS, Link
from receiver.pcap.stream import Stream
from receiver.telemetry.spans import Spans
from receiver.wire.cursor import Cursor
from receiver.wire.records import Consumer, Segment
from receiver.wire.sequence import Sequence

if not cython.compiled:
    from receiver.pcap.layer4 import END_IDLE, END_RESET
    from receiver.pcap.link import DECODED, DUPLICATE, FRAGMENT, NOT_TCP_UDP, ODD, UNREACHABLE
    from receiver.wire.records import ACK, FIN, OUTCOME_CLOSED, OUTCOME_LOST, OUTCOME_RESET, RST, SYN, TO_CLIENT, TO_SERVER

SWEEP_NS = 1_000_000_000

# Behind it is what a cooked capture says of each packet (to us, by us ..: 0 to 4).
INTERFACE_SHIFT = 4
# How often a packet may be opened or put together. A tunnel in fragments in a tunnel in fragments is four.
OPENINGS = 8

OddLink = Callable[[bytes, int, bool], bytes | None]


class Engine:
    """Flows and conversations over batches of packets.

    `odd_link` turns packets that `link.py` declines into raw IP ones (`pcap/oddlink.py`; its import is left to the caller);
    `unwrap` asks it to open tunnels as well, those in UDP that go to `tunnel_ports`. `layer4` counts what TCP and UDP do; None
    costs nothing. `clock` makes steady time of the packets' own; None: one for files.
    """

    def __init__(
        self,
        table: FlowTable,
        reading: Reading,
        odd_link: OddLink | None = None,
        unwrap: cython.bint = False,
        layer4: Layer4 | None = None,
        tunnel_ports: Iterable[int] = (),
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock if clock is not None else Clock()
        self.listened = -1
        self.table = table
        table.layer4 = layer4
        self.layer4 = layer4
        self.reading = reading
        self.odd_link = odd_link
        self.unwrap = unwrap
        wanted = frozenset(tunnel_ports)
        self.tunnel_ports = bytes(1 if port in wanted else 0 for port in range(65536)) if unwrap else b""
        self.link = Link()
        self.fragments = Fragments()
        self.duplicates = Duplicates()
        self.segment = Segment()
        self.meta = Cursor(b"")
        self.waiting: list[Flow] = []
        self.packets = 0
        self.parsed = 0
        self.bytes = 0
        self.skipped = array("q", bytes(8 * len(VERDICTS)))
        self.now_ns = 0
        self.swept_ns = 0
        self.spans: Spans | None = None
        self.on_full: Callable[[], None] | None = None

    def flush_by(self, spans: Spans, on_full: Callable[[], None]) -> None:
        """Call `on_full`, which lends them, when `spans` are full: between two packets, or two flows that time has passed for."""
        self.spans = spans
        self.on_full = on_full

    def _flush(self) -> cython.int:
        if self.spans is not None and self.spans.full:
            self.on_full()
        return 0

    def process_batch(self, data: bytes, meta: bytes, link_type: cython.int, interface: cython.int = 0) -> None:
        """Take the packets of one `next_batch`: `meta` has 16 bytes for each, native-endian seconds, microseconds, offset in
        `data`, captured length. `interface` is 0 where there is one, and says from which they are where there are several."""
        m: Cursor = self.meta
        seg: Segment = self.segment
        link: Link = self.link
        clock: Clock = self.clock
        spans: Spans | None = self.spans
        n: cython.Py_ssize_t = len(meta) // 16
        i: cython.Py_ssize_t
        m.set(meta, 0, n * 16)
        link.origin = interface << INTERFACE_SHIFT
        if interface and not self.duplicates.several:
            self._several()
        for i in range(n):
            at: cython.Py_ssize_t = i * 16
            seconds: cython.longlong = m.u32le(at)
            ts_ns: cython.longlong = seconds * 1_000_000_000 + m.u32le(at + 4) * 1000 - clock.shift_ns
            ahead_ns: cython.longlong = ts_ns - self.now_ns
            if ahead_ns > clock.ahead_max_ns or ahead_ns < clock.behind_max_ns:
                ts_ns = self._leap(ts_ns + clock.shift_ns, ahead_ns)
            start: cython.Py_ssize_t = m.u32le(at + 8)
            end: cython.Py_ssize_t = start + m.u32le(at + 12)
            self.bytes += end - start
            if ts_ns > self.now_ns:
                self.now_ns = ts_ns
                if ts_ns - self.swept_ns >= SWEEP_NS:  # before the packet: it may come after its flow's time
                    self.tick(ts_ns)
            seg.ts_ns = ts_ns
            verdict: cython.int = link.decode(data, start, end, link_type, seg)
            if verdict == DECODED and not (self.unwrap and self._is_tunnel(seg)):
                verdict = self._packet(seg, data)
            else:
                verdict = self._other(verdict, data, start, end, link_type)
            if verdict == DECODED:
                self.parsed += 1
            else:
                self.skipped[verdict] += 1
            if spans is not None and spans.full:
                self._flush()
        self.packets += n

    def _leap(self, own_ns: cython.longlong, ahead_ns: cython.longlong) -> cython.Py_ssize_t:
        """The steady time of a packet that seems to leap. Late ones come in numbers: for them the clock is asked once a batch."""
        clock: Clock = self.clock
        if ahead_ns > 0 or self.listened != self.packets:
            self.listened = self.packets
            clock.listen(self.now_ns)
        ts_ns: cython.longlong = clock.judge(own_ns, self.now_ns)
        self._set_clock()
        return ts_ns

    def _set_clock(self) -> cython.int:
        """Those who tell of times outside are to know how far the packets' clock is ahead of steady time."""
        clock: Clock = self.clock
        self.reading.pairing.set_clock(clock.steps, clock.shift_ns, clock.before_ns, clock.stepped_ns)
        self.table.shift_ns = clock.shift_ns
        if self.layer4 is not None:
            self.layer4.table.shift_ns = clock.shift_ns
        return 0

    def turn(self, own_ns: cython.longlong) -> None:
        """Live, the clock says `own_ns`, with or without packets: call it several times a second."""
        clock: Clock = self.clock
        clock.listen(self.now_ns)
        self._set_clock()
        now_ns: cython.longlong = own_ns - clock.shift_ns
        if now_ns - self.swept_ns >= SWEEP_NS:
            self.tick(now_ns)

    def latest_ns(self) -> int:
        """The latest time that any packet carried; 0 before the first."""
        return self.clock.latest(self.now_ns)

    def _several(self) -> cython.int:
        """Packets of more than one interface come; there was one so far, of which nothing need be remembered."""
        self.duplicates = Duplicates(True)
        return 0

    def _is_tunnel(self, seg: Segment) -> cython.bint:
        return not seg.is_tcp and self.tunnel_ports[seg.target_port] != 0

    def _other(
        self, verdict: cython.int, data: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, link_type: cython.int
    ) -> cython.int:
        """A packet that is no plain TCP or UDP: opened, put together, an ICMP error, or nothing. Returns its verdict."""
        seg: Segment = self.segment
        link: Link = self.link
        origin: cython.longlong = seg.origin
        steps: cython.int = 0
        while steps < OPENINGS:  # each time what is inside
            steps += 1
            inner: bytes | None = None
            if verdict == FRAGMENT:
                inner = self.fragments.add(data, link.ip_at, link.fragment_at, end, seg.ts_ns, origin)
                if inner is None:
                    return self.fragments.verdict
            elif self.odd_link is not None:
                if verdict == ODD or (verdict == DECODED and self.unwrap and self._is_tunnel(seg)):
                    inner = self.odd_link(data[start:end], link_type, self.unwrap)
            if inner is None:
                break
            data = inner
            start = 0
            end = len(inner)
            link_type = 12
            verdict = link.decode(data, start, end, link_type, seg)
            seg.origin = origin
        if verdict == UNREACHABLE:
            return self._unreachable(seg)
        if verdict == DECODED:
            return self._packet(seg, data)
        return verdict

    def _give_up_fragments(self, now_ns: cython.longlong, everything: cython.bint) -> cython.int:
        """Of datagrams whose rest does not come, tell what came."""
        seg: Segment = self.segment
        for packet, ts_ns, origin in self.fragments.give_up(now_ns, everything):
            if self.link.decode(packet, 0, len(packet), 12, seg) == DECODED and not (self.unwrap and self._is_tunnel(seg)):
                seg.origin = origin
                seg.ts_ns = ts_ns
                self._packet(seg, packet)
        return 0

    def _unreachable(self, seg: Segment) -> cython.int:
        """A packet of a flow did not arrive. Of one that nobody saw the error tells nothing: it may be made up."""
        flow: Flow | None = self.table.find(seg)
        if flow is None:
            return NOT_TCP_UDP
        direction: cython.int = self.table.direction
        if flow.stats is not None:
            self.layer4.unreachable(flow.stats, direction, seg.seq)
        # TCP goes on trying, and says itself when it gives up. That an answer does not arrive ends no request.
        consumer: Consumer = flow.consumer
        if consumer is not None and not seg.is_tcp and direction == TO_SERVER:
            consumer.unreachable(seg.check, seg.ts_ns)
        return DECODED

    def _packet(self, seg: Segment, buf: bytes) -> cython.int:
        """A TCP segment or a UDP datagram; returns its verdict."""
        table: FlowTable = self.table
        flow: Flow | None = table.find(seg)
        fresh: cython.bint = flow is None
        if flow is None:
            if seg.flags & RST:
                return DECODED  # of a flow that nobody saw: it tells nothing
            flow = table.open_flow(seg, buf)
        if flow.turn_direction != table.direction:
            flow.turn_direction = table.direction
            flow.turn += 1
        if self.duplicates.seen(seg, buf, table.ends, flow.turn):
            return DUPLICATE
        if not fresh and seg.flags & SYN and not flow.is_handshake(table.direction, seg):
            # The same ports again: another connection.
            self._over(flow, OUTCOME_CLOSED, seg.ts_ns)
            table.remove(flow)
            flow = table.open_flow(seg, buf)
        direction: cython.int = table.direction
        flow.last_ns = seg.ts_ns
        if not seg.is_tcp:
            if flow.stats is not None:
                self.layer4.datagram(flow.stats, direction, seg)
            if not flow.ignored and not flow.over:
                self._datagram(flow, direction, seg, buf)
            return DECODED
        if flow.opening and not seg.flags & (SYN | RST):
            flow.opening = False
        if flow.stats is not None:
            self.layer4.segment(flow.stats, direction, seg, buf)
        if not flow.ignored and not flow.over:
            self._segment(flow, direction, seg, buf)
        return DECODED

    def _segment(self, flow: Flow, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        if seg.flags & RST:
            return self._reset(flow, direction, seg)
        consumer: Consumer = flow.consumer
        if consumer is None:
            if seg.wire_length == 0 and not seg.flags & FIN:
                if seg.flags & SYN:
                    flow.on_syn(direction, seg)
                elif seg.flags & ACK:
                    flow.on_bare_ack(direction, seg)
                return 0
            consumer = open_conversation(self.reading, flow, flow.from_start, False)
            flow.consumer = consumer
            if flow.to_server is None:
                flow.open_streams()
        stream: Stream = flow.stream(direction)
        stream.push(seg, buf, consumer)
        if stream.closed and stream.peer.closed:
            return self._over(flow, OUTCOME_CLOSED, seg.ts_ns)
        return self._list(flow)

    def _datagram(self, flow: Flow, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        consumer: Consumer = flow.consumer
        if seg.end <= seg.start:
            return 0
        if consumer is None:
            consumer = open_conversation(self.reading, flow, False, True)
            flow.consumer = consumer
        missing: cython.Py_ssize_t = seg.wire_length - (seg.end - seg.start)
        if missing > 0:
            self.table.reassembly.bytes_truncated += missing
            consumer.gap(direction, missing, seg.ts_ns)
        consumer.feed(direction, buf, seg.start, seg.end, seg.ts_ns)
        # Its roles may have changed by what it says.
        if flow.direction_of(seg) == TO_CLIENT and consumer.release():
            self.table.answer(flow)
            flow.consumer = None
            return self._unlist(flow)
        return self._list(flow)

    def _list(self, flow: Flow) -> cython.int:
        """Something may wait there: `tick` looks after it."""
        if flow.place < 0:
            flow.place = len(self.waiting)
            self.waiting.append(flow)
        return 0

    def _unlist(self, flow: Flow) -> cython.int:
        """Nothing waits there. Until the next tick the list would hold thousands of flows that are gone: no cache holds them."""
        if flow.place >= 0:
            last: Flow = self.waiting.pop()
            if last is not flow:
                self.waiting[flow.place] = last
                last.place = flow.place
            flow.place = -1
        return 0

    def _reset(self, flow: Flow, direction: cython.int, seg: Segment) -> cython.int:
        # Only a reset at or near the place that was reached is believed (RFC 9293, 3.10.7.4; RFC 5961).
        reached: cython.longlong = flow.reached(direction)
        if reached >= 0 and not flow.over:
            offset: cython.longlong = Sequence.diff(seg.seq, reached)
            if offset < -1 or offset > 1_073_741_824:
                return 0
        if flow.stats is not None:
            self.layer4.end(flow.stats, END_RESET, direction, seg.ts_ns)
        if flow.consumer is not None:
            flow.stream(direction).reset(seg)
        return self._over(flow, OUTCOME_RESET, seg.ts_ns)

    def _over(self, flow: Flow, outcome: cython.int, now_ns: cython.longlong) -> cython.int:
        if flow.over:
            return 0
        consumer: Consumer = flow.consumer
        if consumer is not None:
            if flow.to_server is not None:
                flow.to_server.settle(consumer, now_ns, True)
            consumer.end(outcome, now_ns)
            consumer.release()
            flow.consumer = None
        if flow.stats is not None:
            # Another connection took its ports; of a FIN or RST it knows already.
            self.layer4.end(flow.stats, END_IDLE, 0, flow.last_ns)
        self.table.finish(flow, now_ns)
        return 0

    def tick(self, now_ns: cython.longlong) -> None:
        """Time has passed, steady time: declare holes, give up requests, forget flows. Once a second is enough."""
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        self.swept_ns = now_ns
        if self.fragments.waiting:
            self._give_up_fragments(now_ns, False)
        still: list[Flow] = []
        for entry in self.waiting:
            flow: Flow = entry
            if flow.table is None:
                continue
            flow.place = -1
            consumer: Consumer | None = flow.consumer
            if consumer is None:
                continue
            held: cython.bint = False
            if flow.to_server is not None and (flow.to_server.held is not None or flow.to_client.held is not None):
                flow.to_server.settle(consumer, now_ns, False)
                held = flow.to_server.held is not None or flow.to_client.held is not None
            busy: cython.int = consumer.expire(now_ns)
            self._flush()
            if not busy and not held:
                continue
            flow.place = len(still)
            still.append(flow)
        self.waiting = still
        self.table.sweep(now_ns)
        self._flush()
        if self.layer4 is not None:
            self.layer4.settle(now_ns)

    def finish(self) -> None:
        """The input ends: what is held is read; what became of requests that wait still is not known."""
        self._give_up_fragments(self.now_ns, True)
        for entry in self.table.flows():
            flow: Flow = entry
            consumer: Consumer = flow.consumer
            if consumer is not None and not flow.over:
                if flow.to_server is not None:
                    flow.to_server.settle(consumer, self.now_ns, True)
                consumer.expire(self.now_ns)
                consumer.end(OUTCOME_LOST, self.now_ns)
                self._flush()
        if self.layer4 is not None:
            self.layer4.settle(self.now_ns + 10 * SWEEP_NS)  # no guess becomes better

    def skipped_packets(self) -> dict[str, int]:
        """Packets that were not parsed, by reason; packets = parsed + the sum of these."""
        return {reason: self.skipped[i] for i, reason in enumerate(VERDICTS) if i}
