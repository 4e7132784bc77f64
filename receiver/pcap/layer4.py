"""What TCP felt: figures of every connection, counted as its packets pass. UDP has the first four of them.

Room: packets. Told of each packet before streams see it, so that what TCP did (sent again, swapped, stood still) is counted and not
repaired. A `FlowStats` is what is known of one flow; counters stand in a `CounterRow`, one for each combination of attributes,
which all flows with that combination share: it is looked up once for a flow, and nothing is allocated for a packet.

The rules, in the words of `docs/layer4.md`:

- bytes below the highest that were seen are sent again (a retransmission) if they were seen before, or fill a hole later than
  reordering explains (LATE_NS, a quarter of the round-trip time). A timestamp, or else IPv4's identification, that is newer or
  older than that of what made the hole says it better. What is not sent again is reordered. One old byte, or none, of a side that
  has nothing unacknowledged, or whose peer's window is shut, is a probe;
- a retransmission is `fast` where duplicate ACKs or SACK told of the loss not long before, else its timer ran out;
- a round trip is timed from the first new data after the last sample to the ACK that covers it (RFC 6298, 3: Karn), from here to
  that side and back. What was sent again meanwhile makes it worthless, unless the timestamps option tells which copy is
  acknowledged (RFC 7323, 4).
"""

from __future__ import annotations

from array import array

import cython

from receiver.pcap.layer4_rows import CounterRow, CounterTable
from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Segment
from receiver.wire.sequence import Sequence

if not cython.compiled:
    from receiver.pcap.layer4_rows import (
        AGAIN_FAST,
        AGAIN_IO,
        AGAIN_SYN,
        AGAIN_SYN_ACK,
        AGAIN_TIMEOUT,
        CLOSED_EVICTED,
        CLOSED_FIN,
        CLOSED_IDLE,
        CLOSED_RESET,
        DUPLICATE_ACKS,
        DURATION,
        ESTABLISHED,
        FAILED_EVICTED,
        FAILED_REFUSED,
        FAILED_RESET,
        FAILED_TIMEOUT,
        FAILED_UNREACHABLE,
        HANDSHAKE,
        IO,
        MSS,
        OPEN,
        OPENED,
        PACKETS,
        REORDERED,
        RTT,
        SPURIOUS,
        UNREACHABLE,
        VARIANCE,
        VOLUME,
        ZERO_WINDOW_NS,
        ZERO_WINDOWS,
    )
    from receiver.wire.records import ACK, FIN, RST, SYN, TO_CLIENT, TO_SERVER

    NEW = 0
    JOINED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    LIVE = 4
    FAILED = 5
    OVER = 6

    END_FIN = 0
    END_RESET = 1
    END_IDLE = 2
    END_EVICTED = 3

# Beyond this, or a quarter of the round trip, what comes late was not overtaken but sent again. Wireshark's figure, too.
LATE_NS = 3_000_000
# Linux waits at least so long, besides the round trip, before it sends again without being told of a loss (TCP_RTO_MIN).
RTO_MIN_NS = 200_000_000
# Holes of one direction that are remembered; a fill of an older one counts as seen before, which after so much loss it is.
HOLES_MAX = 8
HOLE_WORDS = 5
# Most systems number the packets of a connection, or all of theirs, one after the other: what was sent again has a later
# number than what came after its first copy. Numbers further apart than this are random ones.
IDENTS_APART = 1000
# How long a flow's roles may stay a guess before what it counted goes where the guess says, and how many such flows there
# are at most: each has a row of counters of its own, 1.7 KB.
GUESS_NS = 1_000_000_000
GUESSES_MAX = 1024
# Linux's ephemeral ports begin here (net.ipv4.ip_local_port_range); a server port above it is believed when a handshake, a
# configured port or the content says so.
EPHEMERAL = 32768
@cython.no_gc
@cython.cclass
class TcpHalf:
    """One direction of a connection: what its sender sent, and what the other side said to that. Numbers are -1 while unknown.

    `recover`: the loss that duplicate ACKs or SACK tell of is repaired when this is acknowledged; `evidence_ns`: when they last
    did. `repeated`: retransmissions that no DSACK has called needless.
    """

    def __init__(self) -> None:
        self.next = -1
        self.acked = -1
        self.window = -1
        self.zero_ns = -1
        self.probe_end = -1
        self.probe_ns = 0
        self.probe_value = -1
        self.doubt = False
        self.smoothed_ns = 0
        self.variance_ns = 0
        self.recover = -1
        self.evidence_ns = 0
        self.repeated = 0
        self.ended = False
        self.holes: Holes | None = None


@cython.no_gc
@cython.cclass
class Holes:
    """The places of one direction that were passed over, in a ring: from, to (excluded), when; and of what came after it the
    timestamp, or -1, and IPv4's identification, or 0. A place whose end is its start is free."""

    def __init__(self) -> None:
        self.places = array("q", bytes(8 * HOLE_WORDS * HOLES_MAX))
        self.following = 0


@cython.no_gc
@cython.cclass
class FlowStats:
    """What layer 4 knows of one flow. While its roles are a guess, or what it asks of TLS may still come, `row` is its own and
    `shared` is where that goes. `endpoints` is what is known of its ends, once somebody asked. `client` and `server`, packed, are
    kept while another `row` may have to be found by them."""

    def __init__(self) -> None:
        self.row: CounterRow | None = None
        self.shared: CounterRow | None = None
        self.to_server: TcpHalf | None = None
        self.to_client: TcpHalf | None = None
        self.client: bytes | None = None
        self.server: bytes | None = None
        self.name: str | None = None
        self.endpoints: Endpoints | None = None
        self.server_port = 0
        self.vantage = 0
        self.is_tcp = False
        self.state = NEW
        self.seen = 0
        self.from_start = False
        self.counted = False
        self.syn_again = False
        self.syn_ack_again = False
        self.first_fin = -1
        self.first_ns = 0
        self.answer_ns = 0
        self.client_next = -1
        self.server_next = -1
        self.sent = 0
        self.received = 0


class Layer4:
    """What all flows share: their counters, and what was read of the options of the packet in hand."""

    def __init__(self, table: CounterTable) -> None:
        self.table = table
        self.named = table.by_server_name or table.by_alpn
        self.guesses: list[FlowStats] = []
        self.cursor = Cursor(b"")
        self.has_time = False
        self.value = 0
        self.echo = 0
        self.mss = 0
        self.sacks = False
        self.doubled = False

    # -- flows -------------------------------------------------------------------------------------------------------

    def begin(
        self,
        client: bytes,
        server: bytes,
        server_port: cython.int,
        is_tcp: cython.bint,
        vantage: cython.int,
        name: str | None,
        certain: cython.bint,
        ts_ns: cython.longlong,
    ) -> FlowStats:
        """A new flow. `client` and `server` are packed; `name` is the server's, where one is known; `certain`: who is who is no
        guess."""
        port: cython.int = server_port
        if not certain and port >= EPHEMERAL:
            port = 0
        row: CounterRow = self.table.find(client, server, port, is_tcp, vantage, name, None, False, ts_ns)
        stats: FlowStats = FlowStats()
        stats.row = row
        stats.server_port = port
        stats.vantage = vantage
        stats.is_tcp = is_tcp
        stats.name = name
        stats.first_ns = ts_ns
        named: cython.bint = is_tcp and self.named
        if (not certain or named) and len(self.guesses) < GUESSES_MAX:
            stats.shared = row
            stats.row = self.table.make(ts_ns)
            self.guesses.append(stats)
        if row.overflow or stats.shared is not None:
            stats.client = client
            stats.server = server
        return stats

    def swap(
        self,
        stats: FlowStats,
        client: bytes,
        server: bytes,
        server_port: cython.int,
        vantage: cython.int,
        name: str | None,
        ts_ns: cython.longlong,
    ) -> cython.int:
        """Client and server are the other way round. What is still counted for the flow alone moves with it to the new series. What
        was already added to the counters of the old one stays there, for a sum must never fall; only the gauge of open connections
        is corrected."""
        before: CounterRow = stats.row
        moves: cython.bint = stats.shared is not None
        stats.client = client
        stats.server = server
        stats.server_port = server_port
        stats.vantage = vantage
        stats.name = name
        answered: cython.bint = stats.seen == 3
        stats.row = self.table.find(client, server, server_port, stats.is_tcp, vantage, name, stats.endpoints, answered, ts_ns)
        stats.shared = None
        half: TcpHalf | None = stats.to_server
        stats.to_server = stats.to_client
        stats.to_client = half
        octets: cython.longlong = stats.sent
        stats.sent = stats.received
        stats.received = octets
        reached: cython.longlong = stats.client_next
        stats.client_next = stats.server_next
        stats.server_next = reached
        if stats.first_fin >= 0:
            stats.first_fin = 1 - stats.first_fin
        if moves:
            self.table.absorb(stats.row, before, True)
        elif stats.counted:
            before.count(OPEN, -1)
            stats.row.count(OPEN, 1)
        return 0

    def settle(self, now_ns: cython.longlong) -> None:
        """Guesses that are old enough hold. Called each second; at the end with a time that no guess is younger than."""
        young: list[FlowStats] = []
        for entry in self.guesses:
            stats: FlowStats = entry
            if stats.shared is None:
                continue
            if now_ns - stats.first_ns < GUESS_NS:
                young.append(stats)
                continue
            self._settle(stats)
        self.guesses = young

    def _settle(self, stats: FlowStats) -> cython.int:
        own: CounterRow = stats.row
        stats.row = stats.shared
        stats.shared = None
        if stats.endpoints is not None and self.named:
            stats.row = self._home(stats, stats.seen == 3, stats.first_ns)
        if stats.seen == 3:
            self._answered(stats, stats.first_ns)
        return self.table.absorb(stats.row, own, False)

    def end(self, stats: FlowStats, reason: cython.int, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """The flow is over, or forgotten: an END_*; `direction` is the RST's. `ts_ns` is when, or its last packet's."""
        if not stats.is_tcp or stats.state >= FAILED:
            return 0
        row: CounterRow = stats.row
        state: cython.int = stats.state
        stats.state = OVER
        if state == SYN_SENT or state == SYN_RECEIVED:
            if reason == END_RESET:
                if state == SYN_SENT and direction == TO_CLIENT:
                    row.count(FAILED_REFUSED, 1)
                else:
                    row.count(FAILED_RESET + direction, 1)
            elif reason == END_EVICTED:
                row.count(FAILED_EVICTED, 1)
            else:
                # Nobody answered the SYN: the server's. Nobody answered the answer: the client's.
                row.count(FAILED_TIMEOUT + (TO_CLIENT if state == SYN_SENT else TO_SERVER), 1)
            return 0
        self._stand(stats.to_server, row, TO_SERVER, ts_ns)
        self._stand(stats.to_client, row, TO_CLIENT, ts_ns)
        if not stats.counted:
            return 0
        stats.counted = False
        row.count(OPEN, -1)
        if reason == END_RESET:
            row.count(CLOSED_RESET + direction, 1)
        elif reason == END_FIN:
            row.count(CLOSED_FIN + stats.first_fin, 1)
        elif reason == END_EVICTED:
            row.count(CLOSED_EVICTED, 1)
        else:
            row.count(CLOSED_IDLE, 1)
        if stats.from_start and reason != END_EVICTED:
            self.table.record(row, DURATION, ts_ns - stats.first_ns)
            self.table.record(row, VOLUME + TO_SERVER, stats.sent)
            self.table.record(row, VOLUME + TO_CLIENT, stats.received)
        return 0

    def _stand(self, half: TcpHalf | None, row: CounterRow, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """A window that is still shut at the end."""
        if half is not None and half.zero_ns >= 0:
            if ts_ns > half.zero_ns:
                row.count(ZERO_WINDOW_NS + direction, ts_ns - half.zero_ns)
            half.zero_ns = -1
        return 0

    def unreachable(self, stats: FlowStats, direction: cython.int, seq: cython.longlong) -> cython.int:
        """An ICMP error answers a packet of `direction` (its sequence number, for TCP): its other end cannot be reached."""
        stats.row.count(UNREACHABLE, 1)
        if stats.is_tcp:
            # Linux gives up connecting at once; whoever tries on and is answered after all has opened another one.
            if (stats.state == SYN_SENT and direction == TO_SERVER and Sequence.add(seq, 1) == stats.client_next) or (
                stats.state == SYN_RECEIVED and direction == TO_CLIENT and Sequence.add(seq, 1) == stats.server_next
            ):
                stats.state = FAILED
                stats.row.count(FAILED_UNREACHABLE + 1 - direction, 1)
        return 0

    # -- packets -----------------------------------------------------------------------------------------------------

    def datagram(self, stats: FlowStats, direction: cython.int, seg: Segment) -> cython.int:
        row: CounterRow = stats.row
        row.count(IO + direction, seg.wire_length)
        row.count(PACKETS + direction, 1)
        if stats.seen != 3:
            stats.seen |= 1 + direction
            if stats.seen == 3 and stats.shared is None:
                self._answered(stats, seg.ts_ns)
        return 0

    def segment(self, stats: FlowStats, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        """Every TCP packet of a flow, in the order of capture. Whether a RST is believed the engine says, through `end`."""
        row: CounterRow = stats.row
        flags: cython.int = seg.flags
        n: cython.Py_ssize_t = seg.wire_length
        row.count(IO + direction, n)
        row.count(PACKETS + direction, 1)
        if direction == TO_SERVER:
            stats.sent += n
        else:
            stats.received += n
        if flags & (SYN | RST):
            if flags & RST:
                return 0
            return self._handshake(stats, direction, seg, buf)
        if stats.state < LIVE:
            self._advance(stats, direction, seg)
            row = stats.row
        mine: TcpHalf = stats.to_server
        theirs: TcpHalf = stats.to_client
        if mine is None or theirs is None:
            return 0
        if direction == TO_CLIENT:
            mine = stats.to_client
            theirs = stats.to_server
        self.has_time = False
        self.sacks = False
        self.doubled = False
        if seg.start > seg.options:
            self._options(seg, buf)
        ts_ns: cython.longlong = seg.ts_ns
        if flags & ACK:
            self._acknowledge(row, direction, mine, theirs, seg)
        if seg.window == 0:
            if mine.zero_ns < 0 and not flags & FIN:
                row.count(ZERO_WINDOWS + direction, 1)
                mine.zero_ns = ts_ns
        elif mine.zero_ns >= 0:
            if ts_ns > mine.zero_ns:
                row.count(ZERO_WINDOW_NS + direction, ts_ns - mine.zero_ns)
            mine.zero_ns = -1
        mine.window = seg.window
        if n == 0 and not flags & FIN:
            return 0
        end: cython.longlong = Sequence.add(seg.seq, n)
        if flags & FIN:
            end = Sequence.add(end, 1)
        if mine.next >= 0:
            offset: cython.longlong = Sequence.diff(seg.seq, mine.next)
            if offset < 0:
                return self._again(stats, row, direction, mine, theirs, seg, offset, end)
            if offset > 0:
                self._passed_over(mine, seg)
        mine.next = end
        if n and mine.probe_end < 0 and (mine.acked < 0 or Sequence.diff(end, mine.acked) > 0):
            mine.probe_end = end
            mine.probe_ns = ts_ns
            mine.probe_value = self.value if self.has_time else -1
            mine.doubt = False
        if flags & FIN:
            return self._fin(stats, direction, mine, theirs, ts_ns)
        return 0

    # [kind][length with these two][value] ...; 0 ends, 1 is padding      RFC 9293, 3.1; 2: MSS; 5: SACK, RFC 2018; 8: RFC 7323
    # From `options` to `start` they were captured, all of them or as many as there are: link.py ends `start` with the capture.
    def _options(self, seg: Segment, buf: bytes) -> cython.int:
        at: cython.Py_ssize_t = seg.options
        stop: cython.Py_ssize_t = seg.start
        c: Cursor = self.cursor
        c.set(buf, at, stop)
        if stop - at == 12 and buf[at] == 1 and buf[at + 1] == 1 and buf[at + 2] == 8 and buf[at + 3] == 10:
            self.has_time = True
            self.value = c.u32(at + 4)
            self.echo = c.u32(at + 8)
            return 0
        size: cython.Py_ssize_t
        while at < stop:
            kind: cython.int = buf[at]
            if kind == 0:
                return 0
            if kind == 1:
                at += 1
                continue
            if at + 1 >= stop:
                return 0
            size = buf[at + 1]
            if size < 2 or at + size > stop:
                return 0
            if kind == 8 and size == 10:
                self.has_time = True
                self.value = c.u32(at + 2)
                self.echo = c.u32(at + 6)
            elif kind == 2 and size == 4:
                self.mss = c.u16(at + 2)
            elif kind == 5 and size >= 10:
                # The first block tells of data that came twice when it lies below the ACK, or within the second (RFC 2883, 4).
                left: cython.longlong = c.u32(at + 2)
                right: cython.longlong = c.u32(at + 6)
                if seg.flags & ACK and Sequence.diff(right, seg.ack) <= 0:
                    self.doubled = True
                    self.sacks = size >= 18
                elif size >= 18 and (
                    Sequence.diff(left, c.u32(at + 10)) >= 0 and Sequence.diff(right, c.u32(at + 14)) <= 0
                ):
                    self.doubled = True
                    self.sacks = True
                else:
                    self.sacks = True
            at += size
        return 0

    def _handshake(self, stats: FlowStats, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        row: CounterRow = stats.row
        reached: cython.longlong = Sequence.add(seg.seq, 1)
        self.mss = 0
        self.has_time = False
        if seg.start > seg.options:
            self._options(seg, buf)
        if not seg.flags & ACK:
            if direction == TO_CLIENT:
                return 0  # simultaneous open: the SYN-ACKs tell the rest
            if stats.state == NEW:
                stats.state = SYN_SENT
                stats.from_start = True
                stats.first_ns = seg.ts_ns
                stats.client_next = reached
                stats.seen = 1
                row.count(OPENED, 1)
                if self.mss:
                    self.table.record(row, MSS + TO_SERVER, self.mss)
            elif reached == stats.client_next:
                stats.syn_again = True
                row.count(AGAIN_SYN + direction, 1)
                row.count(AGAIN_IO + direction, seg.wire_length)
            return 0
        if direction == TO_SERVER:
            return 0
        if stats.state == SYN_SENT or stats.state == NEW or stats.state == FAILED:
            if stats.state == SYN_SENT:
                if not stats.syn_again:
                    self.table.record(row, RTT + TO_SERVER, seg.ts_ns - stats.first_ns)
            else:
                row.count(OPENED, 1)  # its SYN was not seen, or an error had answered it
            stats.state = SYN_RECEIVED
            stats.answer_ns = seg.ts_ns
            stats.server_next = reached
            stats.seen = 3
            if stats.client_next < 0:
                stats.client_next = seg.ack
            self._answered(stats, seg.ts_ns)
            if self.mss:
                self.table.record(stats.row, MSS + TO_CLIENT, self.mss)
        elif reached == stats.server_next:
            stats.syn_ack_again = True
            row.count(AGAIN_SYN_ACK + direction, 1)
            row.count(AGAIN_IO + direction, seg.wire_length)
        return 0

    def _advance(self, stats: FlowStats, direction: cython.int, seg: Segment) -> cython.int:
        """A packet that is no SYN, of a connection that is not known to stand."""
        state: cython.int = stats.state
        stats.seen |= 1 + direction
        if state == SYN_SENT and direction == TO_CLIENT and seg.ack != stats.client_next and seg.wire_length == 0:
            return 0  # a challenge: the server remembers another connection on these ports (RFC 5961, 4)
        if state == SYN_RECEIVED and direction == TO_CLIENT and seg.wire_length == 0:
            return 0
        if state == NEW:
            # Nobody saw it begin. It counts as open once it does more than fade away.
            stats.state = JOINED
            stats.to_server = TcpHalf()
            stats.to_client = TcpHalf()
            return 0 if seg.wire_length == 0 else self._opens(stats, seg.ts_ns)
        if state == JOINED:
            if seg.flags & FIN or (seg.wire_length == 0 and stats.seen != 3):
                return 0
            return self._opens(stats, seg.ts_ns)
        up: TcpHalf = TcpHalf()
        down: TcpHalf = TcpHalf()
        stats.to_server = up
        stats.to_client = down
        up.next = stats.client_next
        down.next = stats.server_next
        row: CounterRow = stats.row
        row.count(ESTABLISHED, 1)
        if state == SYN_RECEIVED:
            # Of a SYN that was not seen the handshake's begin is not known.
            if stats.from_start:
                self.table.record(row, HANDSHAKE, seg.ts_ns - stats.first_ns)
                if not stats.syn_again:
                    self._smooth(up, stats.answer_ns - stats.first_ns)
                    self.table.record(row, VARIANCE + TO_SERVER, up.variance_ns)
            if direction == TO_SERVER and not stats.syn_ack_again:
                self._sample(row, TO_CLIENT, down, seg.ts_ns - stats.answer_ns)
        stats.state = LIVE
        stats.counted = True
        row.count(OPEN, 1)
        return 0

    def _opens(self, stats: FlowStats, ts_ns: cython.longlong) -> cython.int:
        if stats.shared is None and stats.seen == 3:
            self._answered(stats, ts_ns)
        stats.state = LIVE
        stats.counted = True
        stats.row.count(OPEN, 1)
        return 0

    def _acknowledge(self, row: CounterRow, direction: cython.int, mine: TcpHalf, theirs: TcpHalf, seg: Segment) -> cython.int:
        """What a packet of `direction` says to the data of the other one."""
        ack: cython.longlong = seg.ack
        gain: cython.longlong = 1
        if theirs.acked >= 0:
            gain = Sequence.diff(ack, theirs.acked)
        if gain > 0:
            theirs.acked = ack
            if theirs.probe_end >= 0 and Sequence.diff(ack, theirs.probe_end) >= 0:
                if not theirs.doubt or (self.has_time and self.echo == theirs.probe_value):
                    self._sample(row, 1 - direction, theirs, seg.ts_ns - theirs.probe_ns)
                theirs.probe_end = -1
            if theirs.recover >= 0:
                if Sequence.diff(ack, theirs.recover) >= 0:
                    theirs.recover = -1
                else:
                    theirs.evidence_ns = seg.ts_ns
        elif gain == 0 and seg.wire_length == 0 and not seg.flags & FIN:
            # RFC 5681, 2: data is outstanding, nothing is sent, the same ACK and window again. With SACK, RFC 6675, 2, the
            # window may have changed.
            if theirs.next >= 0 and Sequence.diff(theirs.next, ack) > 0 and (seg.window == mine.window or self.sacks):
                row.count(DUPLICATE_ACKS + direction, 1)
                if not self.doubled:
                    self._suspect(theirs, seg.ts_ns)
        if self.sacks:
            self._suspect(theirs, seg.ts_ns)
        if self.doubled and theirs.repeated > 0:
            theirs.repeated -= 1
            row.count(SPURIOUS + 1 - direction, 1)
        return 0

    def _suspect(self, half: TcpHalf, ts_ns: cython.longlong) -> cython.int:
        half.recover = half.next
        half.evidence_ns = ts_ns
        return 0

    def _sample(self, row: CounterRow, direction: cython.int, half: TcpHalf, value_ns: cython.longlong) -> cython.int:
        """A round trip of data of `direction`, from here to who takes it."""
        self.table.record(row, RTT + direction, value_ns)
        self._smooth(half, value_ns)
        return self.table.record(row, VARIANCE + direction, half.variance_ns)

    def _smooth(self, half: TcpHalf, value_ns: cython.longlong) -> cython.int:
        # RFC 6298, 2.2 and 2.3: alpha 1/8, beta 1/4.
        if value_ns < 0:
            value_ns = 0
        if half.smoothed_ns == 0:
            half.smoothed_ns = value_ns
            half.variance_ns = value_ns // 2
            return 0
        off: cython.longlong = value_ns - half.smoothed_ns
        if off < 0:
            off = -off
        half.variance_ns += (off - half.variance_ns) // 4 if off >= half.variance_ns else -((half.variance_ns - off) // 4)
        if value_ns >= half.smoothed_ns:
            half.smoothed_ns += (value_ns - half.smoothed_ns) // 8
        else:
            half.smoothed_ns -= (half.smoothed_ns - value_ns) // 8
        return 0

    def _passed_over(self, half: TcpHalf, seg: Segment) -> cython.int:
        """Data ahead of what was seen: the bytes between are missing."""
        if half.holes is None:
            half.holes = Holes()
        holes: Holes = half.holes
        at: cython.Py_ssize_t = holes.following * HOLE_WORDS
        holes.places[at] = half.next
        holes.places[at + 1] = seg.seq
        holes.places[at + 2] = seg.ts_ns
        holes.places[at + 3] = self.value if self.has_time else -1
        holes.places[at + 4] = seg.ident
        holes.following = (holes.following + 1) % HOLES_MAX
        return 0

    def _again(
        self,
        stats: FlowStats,
        row: CounterRow,
        direction: cython.int,
        mine: TcpHalf,
        theirs: TcpHalf,
        seg: Segment,
        offset: cython.longlong,
        end: cython.longlong,
    ) -> cython.int:
        """Data that begins below what was seen, by `-offset`."""
        n: cython.longlong = seg.wire_length
        new: cython.longlong = Sequence.diff(end, mine.next)
        fin: cython.bint = seg.flags & FIN != 0
        idle: cython.bint = mine.acked >= 0 and Sequence.diff(mine.acked, mine.next) >= 0
        if n == 1 and offset == -1 and not fin and (idle or theirs.window == 0):
            return 0  # keep-alive (RFC 9293, 3.8.4), or a probe of a window that is shut (3.8.6.1)
        patience_ns: cython.longlong = (mine.smoothed_ns + theirs.smoothed_ns) // 4
        if patience_ns < LATE_NS:
            patience_ns = LATE_NS
        late: cython.int = self._fill(mine, seg, end, patience_ns)
        if late == 0 and new <= 0:
            row.count(REORDERED + direction, 1)
        else:
            if mine.recover >= 0 and seg.ts_ns - mine.evidence_ns < RTO_MIN_NS + mine.smoothed_ns + theirs.smoothed_ns:
                row.count(AGAIN_FAST + direction, 1)
            else:
                mine.recover = -1
                row.count(AGAIN_TIMEOUT + direction, 1)
            row.count(AGAIN_IO + direction, n if n < -offset else -offset)
            mine.repeated += 1
            if mine.probe_end >= 0 and Sequence.diff(seg.seq, mine.probe_end) < 0:
                if self.has_time and mine.probe_value >= 0 and self.value != mine.probe_value:
                    mine.doubt = True
                else:
                    mine.probe_end = -1
        if new > 0:
            mine.next = end
        if fin and not mine.ended:
            return self._fin(stats, direction, mine, theirs, seg.ts_ns)
        return 0

    def _fill(self, half: TcpHalf, seg: Segment, end: cython.longlong, patience_ns: cython.longlong) -> cython.int:
        """Take a segment, up to `end`, out of the holes. 0: it was overtaken; 1: it was sent again; -1: it fills no hole, so it
        was seen."""
        holes: Holes | None = half.holes
        if holes is None:
            return -1
        seq: cython.longlong = seg.seq
        found: cython.int = -1
        i: cython.Py_ssize_t
        for i in range(HOLES_MAX):
            at: cython.Py_ssize_t = i * HOLE_WORDS
            low: cython.longlong = holes.places[at]
            high: cython.longlong = holes.places[at + 1]
            if low == high or Sequence.diff(end, low) <= 0 or Sequence.diff(seq, high) >= 0:
                continue
            late: cython.int = 1 if seg.ts_ns - holes.places[at + 2] > patience_ns else 0
            newer: cython.longlong = 0
            if self.has_time and holes.places[at + 3] >= 0:
                newer = Sequence.diff(self.value, holes.places[at + 3])
            if newer == 0 and seg.ident != 0 and holes.places[at + 4] != 0:
                newer = seg.ident - holes.places[at + 4]
                if newer > 32768:
                    newer -= 65536
                elif newer < -32768:
                    newer += 65536
                if newer > IDENTS_APART or newer < -IDENTS_APART:
                    newer = 0
            if newer > 0:
                late = 1
            elif newer < 0:
                late = 0
            if found != 1:
                found = late
            if Sequence.diff(seq, low) <= 0:
                holes.places[at] = end if Sequence.diff(end, high) < 0 else high
            else:
                # The rest above it, when there is one, takes the place; the rest below is what is asked for next.
                if Sequence.diff(end, high) < 0:
                    self._split(holes, at, end, high)
                holes.places[at + 1] = seq
        return found

    def _split(
        self, holes: Holes, at: cython.Py_ssize_t, low: cython.longlong, high: cython.longlong
    ) -> cython.int:
        to: cython.Py_ssize_t = holes.following * HOLE_WORDS
        if to == at:
            return 0
        holes.places[to] = low
        holes.places[to + 1] = high
        holes.places[to + 2] = holes.places[at + 2]
        holes.places[to + 3] = holes.places[at + 3]
        holes.places[to + 4] = holes.places[at + 4]
        holes.following = (holes.following + 1) % HOLES_MAX
        return 0

    def _fin(
        self, stats: FlowStats, direction: cython.int, mine: TcpHalf, theirs: TcpHalf, ts_ns: cython.longlong
    ) -> cython.int:
        mine.ended = True
        if stats.first_fin < 0:
            stats.first_fin = direction
        if theirs.ended:
            return self.end(stats, END_FIN, direction, ts_ns)
        return 0

    def _answered(self, stats: FlowStats, ts_ns: cython.longlong) -> cython.int:
        """A server is there: its combination may stay, and be made where a scan had used up what there is for silent ones."""
        row: CounterRow = stats.row
        if row.overflow:
            stats.row = self._home(stats, True, ts_ns)
        else:
            self.table.answered(row)
        return 0

    def _home(self, stats: FlowStats, answered: cython.bint, ts_ns: cython.longlong) -> CounterRow:
        """Where it is counted, by all that is known of it now."""
        return self.table.find(
            stats.client,
            stats.server,
            stats.server_port,
            stats.is_tcp,
            stats.vantage,
            stats.name,
            stats.endpoints,
            answered,
            ts_ns,
        )
