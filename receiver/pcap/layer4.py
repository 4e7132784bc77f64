"""What TCP felt: figures of every connection, counted as its packets pass. UDP has the first four of them.

Room: packets. Told of each packet before streams see it, so that what TCP did (sent again, swapped, stood still) is counted and not
repaired. A `Tally` is what is known of one flow; counters stand in a `Peer`, one for each combination of attributes, which
all flows with that combination share: a combination is looked up once for a flow, and nothing is allocated for a packet.

The rules, in the words of `docs/layer4.md`:

- bytes below the highest that were seen are sent again (a retransmission) if they were seen before, or fill a hole later than
  reordering explains (LATE_NS, a quarter of the round-trip time). A timestamp, or else IPv4's identification, that is newer or
  older than that of what made the hole says it better. What is not sent again is reordered. One old byte, or none, of a side that
  has nothing unacknowledged, or whose peer's window is shut, is a probe;
- a retransmission is `fast` where duplicate ACKs or SACK told of the loss not long before, else its timer ran out;
- a round trip is timed from the first new data after the last sample to the ACK that covers it (RFC 6298, 3: Karn), from here to
  that side and back. What was sent again meanwhile makes it worthless, unless the timestamps option tells which copy is
  acknowledged (RFC 7323, 4).

Counters of a direction stand at the direction's number behind the first: TO_SERVER is what the client sends, so the same number is
the side that did it. Here they are numbers alone: `LAYER4_NUMBERS` of `telemetry/semconv.py` says what each is called.
"""

from __future__ import annotations

import ipaddress
from array import array
from bisect import bisect_left
from collections.abc import Sequence as Ordered

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Segment
from receiver.wire.sequence import Sequence

if not cython.compiled:
    from receiver.wire.records import ACK, FIN, RST, SYN, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, VANTAGE_SERVER

    IO = 0
    PACKETS = 2
    UNREACHABLE = 4
    OPENED = 5
    ESTABLISHED = 6
    FAILED_REFUSED = 7
    FAILED_TIMEOUT = 8
    FAILED_UNREACHABLE = 10
    FAILED_RESET = 12
    FAILED_EVICTED = 14
    CLOSED_FIN = 15
    CLOSED_RESET = 17
    CLOSED_IDLE = 19
    CLOSED_EVICTED = 20
    OPEN = 21
    AGAIN_FAST = 22
    AGAIN_TIMEOUT = 24
    AGAIN_SYN = 26
    AGAIN_SYN_ACK = 28
    AGAIN_IO = 30
    SPURIOUS = 32
    DUPLICATE_ACKS = 34
    REORDERED = 36
    ZERO_WINDOWS = 38
    ZERO_WINDOW_NS = 40
    COUNTED = 42

    HANDSHAKE = 0
    RTT = 1
    VARIANCE = 3
    MSS = 5
    DURATION = 7
    VOLUME = 8
    RECORDED = 10

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3
    MULTICAST = 4

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

# Of the numbers above, those that are alone; the others come in twos.
ALONE = (UNREACHABLE, OPENED, ESTABLISHED, FAILED_REFUSED, FAILED_EVICTED, CLOSED_IDLE, CLOSED_EVICTED, OPEN)
ALONE_RECORDED = (HANDSHAKE, DURATION)

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
# The share of all combinations that may belong to ports where nothing ever answered, or a scan would take them all.
UNANSWERED_SHARE = 4


def _mirror(alone: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Where each number stands once client and server are told apart the other way round."""
    places: list[int] = []
    while len(places) < count:
        at = len(places)
        places += [at] if at in alone else [at + 1, at]
    return tuple(places)


MIRROR = _mirror(ALONE, COUNTED)
MIRROR_RECORDED = _mirror(ALONE_RECORDED, RECORDED)


@cython.no_gc
@cython.cclass
class Peer:
    """The counters of one combination of attributes. None of an address: it is no attribute of this one.

    `overflow`: no combination, but all beyond the cap. `answered`: a server was there.
    """

    def __init__(self, start_ns: cython.longlong, buckets: cython.Py_ssize_t) -> None:
        self.counts = array("q", bytes(8 * COUNTED))
        self.buckets = array("q", bytes(8 * buckets))
        self.sums = array("q", bytes(8 * RECORDED))
        self.start_ns = start_ns
        self.vantage = 0
        self.server_port = 0
        self.ipv6 = False
        self.is_tcp = True
        self.kind = 0
        self.overflow = False
        self.answered = False
        self.server_address: str | None = None
        self.peer_address: str | None = None
        self.client_address: str | None = None
        self.server_name: str | None = None
        self.alpn: str | None = None
        self.ranges: list[dict[int, int]] | None = None

    def count(self, number: cython.int, by: cython.longlong) -> cython.int:
        self.counts[number] += by
        return 0

    def copy(self) -> tuple[bytes, bytes, bytes, list[dict[int, int]] | None]:
        """All counters, all buckets and the sum of each histogram, as native int64; and the ranges. Another thread may ask for
        them: compiled, nothing is counted meanwhile."""
        ranges = None if self.ranges is None else [each.copy() for each in self.ranges]
        return bytes(self.counts), bytes(self.buckets), bytes(self.sums), ranges


@cython.no_gc
@cython.cclass
class Half:
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
class Tally:
    """What layer 4 knows of one flow. While its roles are a guess, or what it asks of TLS may still come, `peer` is its own and
    `shared` is where that goes. `endpoints` is what is known of its ends, once somebody asked. `client` and `server`, packed, are
    kept while another `peer` may have to be found by them."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self.shared: Peer | None = None
        self.to_server: Half | None = None
        self.to_client: Half | None = None
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
    """All figures.

    `histograms`: of each number the bounds in what is recorded, and how much of that makes one of the metric's unit. `labels`:
    config.Layer4Label. Beyond `series_max` combinations all is counted in one. `vmrange`: count in these buckets as well, by
    bisect_left. `shift_ns`: how far the packets' clock is ahead of the times that are given here; series begin by that clock.
    """

    def __init__(
        self,
        histograms: Ordered[tuple[tuple[int, ...], float]],
        labels: Ordered[str] = (),
        series_max: cython.Py_ssize_t = 2000,
        vmrange: tuple[float, ...] = (),
    ) -> None:
        self.by_server = "server.address" in labels
        self.by_client = "client.address" in labels
        self.by_peer = "network.peer.address" in labels
        self.by_server_name = "tls.client.server_name" in labels
        self.by_alpn = "pcap_receiver.tls.client.alpn" in labels
        self.series_max = series_max
        self.vmrange = len(vmrange) > 0
        self.range_bounds = vmrange
        self.widths: list[tuple[int, int]] = []
        limits: list[int] = []
        places: list[int] = []
        for bounds, _ in histograms:
            self.widths.append((len(limits), len(bounds) + 1))
            places += [len(limits), len(bounds)]
            limits += [*bounds, 0]
        self.units = tuple(unit for _, unit in histograms)
        self.limits = array("q", limits)
        self.places = array("q", places)
        self.peers: list[Peer] = []
        self.common: dict[int, Peer] = {}
        self.special: dict[tuple[object, ...], Peer] = {}
        # The row that was found last by its server alone; most flows of a client go where the one before went.
        self.latest: Peer | None = None
        self.latest_word = -1
        self.latest_server: str | bytes | None = None
        self.rest: Peer | None = None
        self.unanswered = 0
        self.overflowed = 0
        self.guesses: list[Tally] = []
        self.cursor = Cursor(b"")
        self.has_time = False
        self.value = 0
        self.echo = 0
        self.mss = 0
        self.sacks = False
        self.doubled = False
        self.shift_ns = 0

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
    ) -> Tally:
        """A new flow. `client` and `server` are packed; `name` is the server's, where one is known; `certain`: who is who is no
        guess."""
        port: cython.int = server_port
        if not certain and port >= EPHEMERAL:
            port = 0
        peer: Peer = self._find(client, server, port, is_tcp, vantage, name, None, False, ts_ns)
        tally: Tally = Tally()
        tally.peer = peer
        tally.server_port = port
        tally.vantage = vantage
        tally.is_tcp = is_tcp
        tally.name = name
        tally.first_ns = ts_ns
        named: cython.bint = is_tcp and (self.by_server_name or self.by_alpn)
        if (not certain or named) and len(self.guesses) < GUESSES_MAX:
            tally.shared = peer
            tally.peer = self._make(ts_ns)
            self.guesses.append(tally)
        if peer.overflow or tally.shared is not None:
            tally.client = client
            tally.server = server
        return tally

    def swap(
        self,
        tally: Tally,
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
        before: Peer = tally.peer
        moves: cython.bint = tally.shared is not None
        tally.client = client
        tally.server = server
        tally.server_port = server_port
        tally.vantage = vantage
        tally.name = name
        answered: cython.bint = tally.seen == 3
        tally.peer = self._find(client, server, server_port, tally.is_tcp, vantage, name, tally.endpoints, answered, ts_ns)
        tally.shared = None
        half: Half | None = tally.to_server
        tally.to_server = tally.to_client
        tally.to_client = half
        octets: cython.longlong = tally.sent
        tally.sent = tally.received
        tally.received = octets
        reached: cython.longlong = tally.client_next
        tally.client_next = tally.server_next
        tally.server_next = reached
        if tally.first_fin >= 0:
            tally.first_fin = 1 - tally.first_fin
        if moves:
            self._absorb(tally.peer, before, True)
        elif tally.counted:
            before.count(OPEN, -1)
            tally.peer.count(OPEN, 1)
        return 0

    def settle(self, now_ns: cython.longlong) -> None:
        """Guesses that are old enough hold. Called each second; at the end with a time that no guess is younger than."""
        young: list[Tally] = []
        for entry in self.guesses:
            tally: Tally = entry
            if tally.shared is None:
                continue
            if now_ns - tally.first_ns < GUESS_NS:
                young.append(tally)
                continue
            self._settle(tally)
        self.guesses = young

    def _settle(self, tally: Tally) -> cython.int:
        own: Peer = tally.peer
        tally.peer = tally.shared
        tally.shared = None
        if tally.endpoints is not None and (self.by_server_name or self.by_alpn):
            tally.peer = self._home(tally, tally.seen == 3, tally.first_ns)
        if tally.seen == 3:
            self._answered(tally, tally.first_ns)
        return self._absorb(tally.peer, own, False)

    def _absorb(self, peer: Peer, own: Peer, mirrored: cython.bint) -> cython.int:
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        k: cython.Py_ssize_t
        for i in range(COUNTED):
            j = MIRROR[i] if mirrored else i
            peer.counts[j] += own.counts[i]
        for i in range(RECORDED):
            j = MIRROR_RECORDED[i] if mirrored else i
            first: cython.Py_ssize_t = self.places[i * 2]
            to: cython.Py_ssize_t = self.places[j * 2]
            width: cython.Py_ssize_t = self.places[i * 2 + 1] + 1
            for k in range(width):
                peer.buckets[to + k] += own.buckets[first + k]
            peer.sums[j] += own.sums[i]
            if self.vmrange:
                into: dict[int, int] = peer.ranges[j]
                for index, count in own.ranges[i].items():
                    into[index] = into.get(index, 0) + count
        return 0

    def end(self, tally: Tally, reason: cython.int, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """The flow is over, or forgotten: an END_*; `direction` is the RST's. `ts_ns` is when, or its last packet's."""
        if not tally.is_tcp or tally.state >= FAILED:
            return 0
        peer: Peer = tally.peer
        state: cython.int = tally.state
        tally.state = OVER
        if state == SYN_SENT or state == SYN_RECEIVED:
            if reason == END_RESET:
                if state == SYN_SENT and direction == TO_CLIENT:
                    peer.count(FAILED_REFUSED, 1)
                else:
                    peer.count(FAILED_RESET + direction, 1)
            elif reason == END_EVICTED:
                peer.count(FAILED_EVICTED, 1)
            else:
                # Nobody answered the SYN: the server's. Nobody answered the answer: the client's.
                peer.count(FAILED_TIMEOUT + (TO_CLIENT if state == SYN_SENT else TO_SERVER), 1)
            return 0
        self._stand(tally.to_server, peer, TO_SERVER, ts_ns)
        self._stand(tally.to_client, peer, TO_CLIENT, ts_ns)
        if not tally.counted:
            return 0
        tally.counted = False
        peer.count(OPEN, -1)
        if reason == END_RESET:
            peer.count(CLOSED_RESET + direction, 1)
        elif reason == END_FIN:
            peer.count(CLOSED_FIN + tally.first_fin, 1)
        elif reason == END_EVICTED:
            peer.count(CLOSED_EVICTED, 1)
        else:
            peer.count(CLOSED_IDLE, 1)
        if tally.from_start and reason != END_EVICTED:
            self.record(peer, DURATION, ts_ns - tally.first_ns)
            self.record(peer, VOLUME + TO_SERVER, tally.sent)
            self.record(peer, VOLUME + TO_CLIENT, tally.received)
        return 0

    def _stand(self, half: Half | None, peer: Peer, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """A window that is still shut at the end."""
        if half is not None and half.zero_ns >= 0:
            if ts_ns > half.zero_ns:
                peer.count(ZERO_WINDOW_NS + direction, ts_ns - half.zero_ns)
            half.zero_ns = -1
        return 0

    def unreachable(self, tally: Tally, direction: cython.int, seq: cython.longlong) -> cython.int:
        """An ICMP error answers a packet of `direction` (its sequence number, for TCP): its other end cannot be reached."""
        tally.peer.count(UNREACHABLE, 1)
        if tally.is_tcp:
            # Linux gives up connecting at once; whoever tries on and is answered after all has opened another one.
            if (tally.state == SYN_SENT and direction == TO_SERVER and Sequence.add(seq, 1) == tally.client_next) or (
                tally.state == SYN_RECEIVED and direction == TO_CLIENT and Sequence.add(seq, 1) == tally.server_next
            ):
                tally.state = FAILED
                tally.peer.count(FAILED_UNREACHABLE + 1 - direction, 1)
        return 0

    # -- packets -----------------------------------------------------------------------------------------------------

    def datagram(self, tally: Tally, direction: cython.int, seg: Segment) -> cython.int:
        peer: Peer = tally.peer
        peer.count(IO + direction, seg.wire_length)
        peer.count(PACKETS + direction, 1)
        if tally.seen != 3:
            tally.seen |= 1 + direction
            if tally.seen == 3 and tally.shared is None:
                self._answered(tally, seg.ts_ns)
        return 0

    def segment(self, tally: Tally, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        """Every TCP packet of a flow, in the order of capture. Whether a RST is believed the engine says, through `end`."""
        peer: Peer = tally.peer
        flags: cython.int = seg.flags
        n: cython.Py_ssize_t = seg.wire_length
        peer.count(IO + direction, n)
        peer.count(PACKETS + direction, 1)
        if direction == TO_SERVER:
            tally.sent += n
        else:
            tally.received += n
        if flags & (SYN | RST):
            if flags & RST:
                return 0
            return self._handshake(tally, direction, seg, buf)
        if tally.state < LIVE:
            self._advance(tally, direction, seg)
            peer = tally.peer
        mine: Half = tally.to_server
        theirs: Half = tally.to_client
        if mine is None or theirs is None:
            return 0
        if direction == TO_CLIENT:
            mine = tally.to_client
            theirs = tally.to_server
        self.has_time = False
        self.sacks = False
        self.doubled = False
        if seg.start > seg.options:
            self._options(seg, buf)
        ts_ns: cython.longlong = seg.ts_ns
        if flags & ACK:
            self._acknowledge(peer, direction, mine, theirs, seg)
        if seg.window == 0:
            if mine.zero_ns < 0 and not flags & FIN:
                peer.count(ZERO_WINDOWS + direction, 1)
                mine.zero_ns = ts_ns
        elif mine.zero_ns >= 0:
            if ts_ns > mine.zero_ns:
                peer.count(ZERO_WINDOW_NS + direction, ts_ns - mine.zero_ns)
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
                return self._again(tally, peer, direction, mine, theirs, seg, offset, end)
            if offset > 0:
                self._passed_over(mine, seg)
        mine.next = end
        if n and mine.probe_end < 0 and (mine.acked < 0 or Sequence.diff(end, mine.acked) > 0):
            mine.probe_end = end
            mine.probe_ns = ts_ns
            mine.probe_value = self.value if self.has_time else -1
            mine.doubt = False
        if flags & FIN:
            return self._fin(tally, direction, mine, theirs, ts_ns)
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

    def _handshake(self, tally: Tally, direction: cython.int, seg: Segment, buf: bytes) -> cython.int:
        peer: Peer = tally.peer
        reached: cython.longlong = Sequence.add(seg.seq, 1)
        self.mss = 0
        self.has_time = False
        if seg.start > seg.options:
            self._options(seg, buf)
        if not seg.flags & ACK:
            if direction == TO_CLIENT:
                return 0  # simultaneous open: the SYN-ACKs tell the rest
            if tally.state == NEW:
                tally.state = SYN_SENT
                tally.from_start = True
                tally.first_ns = seg.ts_ns
                tally.client_next = reached
                tally.seen = 1
                peer.count(OPENED, 1)
                if self.mss:
                    self.record(peer, MSS + TO_SERVER, self.mss)
            elif reached == tally.client_next:
                tally.syn_again = True
                peer.count(AGAIN_SYN + direction, 1)
                peer.count(AGAIN_IO + direction, seg.wire_length)
            return 0
        if direction == TO_SERVER:
            return 0
        if tally.state == SYN_SENT or tally.state == NEW or tally.state == FAILED:
            if tally.state == SYN_SENT:
                if not tally.syn_again:
                    self.record(peer, RTT + TO_SERVER, seg.ts_ns - tally.first_ns)
            else:
                peer.count(OPENED, 1)  # its SYN was not seen, or an error had answered it
            tally.state = SYN_RECEIVED
            tally.answer_ns = seg.ts_ns
            tally.server_next = reached
            tally.seen = 3
            if tally.client_next < 0:
                tally.client_next = seg.ack
            self._answered(tally, seg.ts_ns)
            if self.mss:
                self.record(tally.peer, MSS + TO_CLIENT, self.mss)
        elif reached == tally.server_next:
            tally.syn_ack_again = True
            peer.count(AGAIN_SYN_ACK + direction, 1)
            peer.count(AGAIN_IO + direction, seg.wire_length)
        return 0

    def _advance(self, tally: Tally, direction: cython.int, seg: Segment) -> cython.int:
        """A packet that is no SYN, of a connection that is not known to stand."""
        state: cython.int = tally.state
        tally.seen |= 1 + direction
        if state == SYN_SENT and direction == TO_CLIENT and seg.ack != tally.client_next and seg.wire_length == 0:
            return 0  # a challenge: the server remembers another connection on these ports (RFC 5961, 4)
        if state == SYN_RECEIVED and direction == TO_CLIENT and seg.wire_length == 0:
            return 0
        if state == NEW:
            # Nobody saw it begin. It counts as open once it does more than fade away.
            tally.state = JOINED
            tally.to_server = Half()
            tally.to_client = Half()
            return 0 if seg.wire_length == 0 else self._opens(tally, seg.ts_ns)
        if state == JOINED:
            if seg.flags & FIN or (seg.wire_length == 0 and tally.seen != 3):
                return 0
            return self._opens(tally, seg.ts_ns)
        up: Half = Half()
        down: Half = Half()
        tally.to_server = up
        tally.to_client = down
        up.next = tally.client_next
        down.next = tally.server_next
        peer: Peer = tally.peer
        peer.count(ESTABLISHED, 1)
        if state == SYN_RECEIVED:
            # Of a SYN that was not seen the handshake's begin is not known.
            if tally.from_start:
                self.record(peer, HANDSHAKE, seg.ts_ns - tally.first_ns)
                if not tally.syn_again:
                    self._smooth(up, tally.answer_ns - tally.first_ns)
                    self.record(peer, VARIANCE + TO_SERVER, up.variance_ns)
            if direction == TO_SERVER and not tally.syn_ack_again:
                self._sample(peer, TO_CLIENT, down, seg.ts_ns - tally.answer_ns)
        tally.state = LIVE
        tally.counted = True
        peer.count(OPEN, 1)
        return 0

    def _opens(self, tally: Tally, ts_ns: cython.longlong) -> cython.int:
        if tally.shared is None and tally.seen == 3:
            self._answered(tally, ts_ns)
        tally.state = LIVE
        tally.counted = True
        tally.peer.count(OPEN, 1)
        return 0

    def _acknowledge(self, peer: Peer, direction: cython.int, mine: Half, theirs: Half, seg: Segment) -> cython.int:
        """What a packet of `direction` says to the data of the other one."""
        ack: cython.longlong = seg.ack
        gain: cython.longlong = 1
        if theirs.acked >= 0:
            gain = Sequence.diff(ack, theirs.acked)
        if gain > 0:
            theirs.acked = ack
            if theirs.probe_end >= 0 and Sequence.diff(ack, theirs.probe_end) >= 0:
                if not theirs.doubt or (self.has_time and self.echo == theirs.probe_value):
                    self._sample(peer, 1 - direction, theirs, seg.ts_ns - theirs.probe_ns)
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
                peer.count(DUPLICATE_ACKS + direction, 1)
                if not self.doubled:
                    self._suspect(theirs, seg.ts_ns)
        if self.sacks:
            self._suspect(theirs, seg.ts_ns)
        if self.doubled and theirs.repeated > 0:
            theirs.repeated -= 1
            peer.count(SPURIOUS + 1 - direction, 1)
        return 0

    def _suspect(self, half: Half, ts_ns: cython.longlong) -> cython.int:
        half.recover = half.next
        half.evidence_ns = ts_ns
        return 0

    def _sample(self, peer: Peer, direction: cython.int, half: Half, value_ns: cython.longlong) -> cython.int:
        """A round trip of data of `direction`, from here to who takes it."""
        self.record(peer, RTT + direction, value_ns)
        self._smooth(half, value_ns)
        return self.record(peer, VARIANCE + direction, half.variance_ns)

    def _smooth(self, half: Half, value_ns: cython.longlong) -> cython.int:
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

    def _passed_over(self, half: Half, seg: Segment) -> cython.int:
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
        tally: Tally,
        peer: Peer,
        direction: cython.int,
        mine: Half,
        theirs: Half,
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
            peer.count(REORDERED + direction, 1)
        else:
            if mine.recover >= 0 and seg.ts_ns - mine.evidence_ns < RTO_MIN_NS + mine.smoothed_ns + theirs.smoothed_ns:
                peer.count(AGAIN_FAST + direction, 1)
            else:
                mine.recover = -1
                peer.count(AGAIN_TIMEOUT + direction, 1)
            peer.count(AGAIN_IO + direction, n if n < -offset else -offset)
            mine.repeated += 1
            if mine.probe_end >= 0 and Sequence.diff(seg.seq, mine.probe_end) < 0:
                if self.has_time and mine.probe_value >= 0 and self.value != mine.probe_value:
                    mine.doubt = True
                else:
                    mine.probe_end = -1
        if new > 0:
            mine.next = end
        if fin and not mine.ended:
            return self._fin(tally, direction, mine, theirs, seg.ts_ns)
        return 0

    def _fill(self, half: Half, seg: Segment, end: cython.longlong, patience_ns: cython.longlong) -> cython.int:
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
        self, tally: Tally, direction: cython.int, mine: Half, theirs: Half, ts_ns: cython.longlong
    ) -> cython.int:
        mine.ended = True
        if tally.first_fin < 0:
            tally.first_fin = direction
        if theirs.ended:
            return self.end(tally, END_FIN, direction, ts_ns)
        return 0

    # -- counters ----------------------------------------------------------------------------------------------------

    def record(self, peer: Peer, number: cython.Py_ssize_t, value: cython.longlong) -> cython.int:
        """Count a time in nanoseconds, or a size in bytes; a negative one (clocks that step back) counts as 0."""
        first: cython.Py_ssize_t = self.places[number * 2]
        last: cython.Py_ssize_t = self.places[number * 2 + 1]
        i: cython.Py_ssize_t = 0
        if value < 0:
            value = 0
        while i < last and value > self.limits[first + i]:
            i += 1
        peer.buckets[first + i] += 1
        peer.sums[number] += value
        if self.vmrange:
            return self._record_range(peer, number, value)
        return 0

    def _record_range(self, peer: Peer, number: cython.Py_ssize_t, value: cython.longlong) -> cython.int:
        ranges: dict[int, int] = peer.ranges[number]
        unit: cython.double = self.units[number]
        index = bisect_left(self.range_bounds, value / unit)
        ranges[index] = ranges.get(index, 0) + 1
        return 0

    def _make(self, start_ns: cython.longlong) -> Peer:
        peer: Peer = Peer(start_ns + self.shift_ns, len(self.limits))
        if self.vmrange:
            peer.ranges = [{} for _ in self.widths]
        return peer

    def _answered(self, tally: Tally, ts_ns: cython.longlong) -> cython.int:
        """A server is there: its combination may stay, and be made where a scan had used up what there is for silent ones."""
        peer: Peer = tally.peer
        if peer.overflow:
            tally.peer = self._home(tally, True, ts_ns)
        elif not peer.answered:
            peer.answered = True
            self.unanswered -= 1
        return 0

    def _home(self, tally: Tally, answered: cython.bint, ts_ns: cython.longlong) -> Peer:
        """Where it is counted, by all that is known of it now."""
        return self._find(
            tally.client,
            tally.server,
            tally.server_port,
            tally.is_tcp,
            tally.vantage,
            tally.name,
            tally.endpoints,
            answered,
            ts_ns,
        )

    def _find(
        self,
        client: bytes,
        server: bytes,
        server_port: cython.int,
        is_tcp: cython.bint,
        vantage: cython.int,
        name: str | None,
        endpoints: Endpoints | None,
        answered: cython.bint,
        ts_ns: cython.longlong,
    ) -> Peer:
        """The counters of a flow between two packed addresses."""
        peer_address: bytes = server if vantage == VANTAGE_CLIENT else client
        kind: cython.int = self._kind(peer_address)
        word: cython.longlong = server_port | (len(client) == 16) << 16 | is_tcp << 17 | kind << 18 | vantage << 21
        peer: Peer | None
        server_name: str | None = None
        alpn: str | None = None
        if endpoints is not None:
            if self.by_server_name:
                server_name = endpoints.tls_server_name
            if self.by_alpn:
                alpn = endpoints.tls_protocols
        plain: cython.bint = (
            vantage == VANTAGE_SERVER
            and not (self.by_server or self.by_client or self.by_peer)
            and server_name is None
            and alpn is None
        )
        by_server: str | bytes | None = None
        by_peer: bytes | None = None
        by_client: bytes | None = None
        if plain:
            peer = self.common.get(word)
        else:
            if vantage == VANTAGE_CLIENT or self.by_server:
                by_server = name if name is not None else server
            if self.by_peer:
                by_peer = peer_address
            if self.by_client:
                by_client = client
            alone: cython.bint = by_peer is None and by_client is None and server_name is None and alpn is None
            if alone and word == self.latest_word and by_server is self.latest_server:
                peer = self.latest
            else:
                peer = self.special.get((word, by_server, by_peer, by_client, server_name, alpn))
                if alone and peer is not None:
                    self.latest = peer
                    self.latest_word = word
                    self.latest_server = by_server
        if peer is not None:
            if answered and not peer.answered and not peer.overflow:
                peer.answered = True
                self.unanswered -= 1
            return peer
        silent_max: cython.Py_ssize_t = self.series_max // UNANSWERED_SHARE
        if len(self.peers) >= self.series_max - 1 or (not answered and self.unanswered >= silent_max):
            self.overflowed += 1
            if self.rest is None:
                self.rest = self._make(ts_ns)
                self.rest.overflow = True
            return self.rest
        peer = self._make(ts_ns)
        peer.vantage = vantage
        peer.server_port = server_port
        peer.ipv6 = len(client) == 16
        peer.is_tcp = is_tcp
        peer.kind = kind
        peer.answered = answered
        if not answered:
            self.unanswered += 1
        if by_server is not None:
            peer.server_address = by_server if isinstance(by_server, str) else str(ipaddress.ip_address(by_server))
        if by_peer is not None:
            peer.peer_address = str(ipaddress.ip_address(by_peer))
        peer.server_name = server_name
        peer.alpn = alpn
        if by_client is not None:
            peer.client_address = str(ipaddress.ip_address(by_client))
        self.peers.append(peer)
        if plain:
            self.common[word] = peer
        else:
            self.special[(word, by_server, by_peer, by_client, server_name, alpn)] = peer
        return peer

    def _kind(self, address: bytes) -> cython.int:
        """Of a packed address, by IANA's special-purpose registries."""
        a: cython.int = address[0]
        b: cython.int = address[1]
        if len(address) == 4:
            if a == 10 or (a == 172 and b >= 16 and b < 32) or (a == 192 and b == 168) or (a == 100 and b >= 64 and b < 128):
                return PRIVATE
            if a == 127:
                return LOOPBACK
            if (a == 169 and b == 254) or a == 0:
                return LINK_LOCAL
            if a >= 224 and (a < 240 or (a == 255 and b == 255)):
                return MULTICAST
            return PUBLIC
        if a & 0xFE == 0xFC:
            return PRIVATE
        if a == 0xFE and b & 0xC0 == 0x80:
            return LINK_LOCAL
        if a == 0xFF:
            return MULTICAST
        i: cython.Py_ssize_t
        for i in range(15):
            if address[i]:
                return PUBLIC
        return LOOPBACK if address[15] == 1 else LINK_LOCAL

    def begin_by(self, now_ns: int) -> None:
        """The clock was set, and says `now_ns`: nothing began to count later than that."""
        for entry in self.everything():
            peer: Peer = entry
            if peer.start_ns > now_ns:
                peer.start_ns = now_ns

    def everything(self) -> list[Peer]:
        """All rows, the one beyond the cap last."""
        return self.peers if self.rest is None else [*self.peers, self.rest]
