"""One direction of a TCP connection: segments in, bytes in order out.

Room: packets. A segment that comes in order goes straight from the batch to the consumer, without a copy. One that does not is
held, for one of two reasons:

- bytes before it are missing. They may still come (reordering, retransmission), unless the other side has acknowledged them: then
  they passed by and the capture lost them;
- it acknowledges bytes of the other direction that were not seen yet. Taken now, an answer would stand before its question.

What is held waits a little (GRACE_*) when the missing bytes are known to have passed, longer (PATIENCE_NS) when they may still be
sent again, and never takes more than the limits. Then the hole is declared: the consumer is told how many bytes will not come,
and goes on after them. All by packet time; sequence arithmetic is modular; what a short snaplen cut off is a hole of known size.

Bytes that come twice count once: the first copy wins, whatever a later one says, also while it is held. Bytes that waited for
others came, for whoever reads in order, with those: never before them. What did not wait has its own time.

Which direction a connection starts at, and where:

- with a SYN, at the byte after it (data may come with it: RFC 7413);
- without one, at the first segment that is seen and is no probe; the other direction at what that acknowledges. Of a direction that
  is never seen nothing comes but holes, as large as what is acknowledged: it is known what the capture lacks.
"""

from __future__ import annotations

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.records import Consumer, Segment
from receiver.wire.sequence import Sequence

if not cython.compiled:
    from receiver.wire.records import ACK, FIN, PSH, SYN

# Capture rings hand packets of two directions over swapped by a few places at most, within the time of a softirq run.
GRACE_NS = 20_000_000
GRACE_SEGMENTS = 4
# A window may have 2^30 bytes (RFC 7323, 2.3), and few come near this. A number that is as far off, while the other direction's is
# off as well, is another connection's.
FAR = 67_108_864
OFF = 1_048_576
# A sender repeats an unacknowledged segment after 200 ms to 1 s, twice as long each time (RFC 6298): three tries fit.
PATIENCE_NS = 5_000_000_000


class Reassembly:
    """What all streams share: the caps on what is held, and the counts of what went missing.

    `out_of_order`: bytes held per direction; `memory`: bytes held by all of them together. Both hold after every segment.

    `gaps`: holes declared, of `bytes_missing` bytes in all; of those the receiver acknowledged `bytes_unseen`, so the network
    delivered them and the capture lacks them. `refilled`: holes that were filled so late that the bytes had been sent again:
    the network lost them. `reordered`: segments that came before their turn. `retransmitted`: segments of which nothing was new;
    `overlapped`: those of which a part was, or that cover what is held; `conflicting`: those that are known to differ from what
    came first. `after_close`: segments with bytes behind the FIN. `restarted`: connections that went on with other numbers,
    without a handshake seen. `forced`: holes declared because a cap was reached.
    """

    def __init__(self, out_of_order: cython.Py_ssize_t = 524288, memory: cython.Py_ssize_t = 32 * 1024 * 1024) -> None:
        self.out_of_order = out_of_order
        self.memory = memory
        self.held_bytes = 0
        self.gaps = 0
        self.bytes_missing = 0
        self.bytes_unseen = 0
        self.bytes_truncated = 0
        self.retransmitted = 0
        self.overlapped = 0
        self.conflicting = 0
        self.refilled = 0
        self.reordered = 0
        self.after_close = 0
        self.restarted = 0
        self.forced = 0
        self.cursor = Cursor(b"")


@cython.freelist(16)
@cython.no_gc
@cython.cclass
class Held:
    """A segment that waits, with its own copy of the payload. `answers`: it acknowledges bytes that had not come when it did."""

    def __init__(self) -> None:
        self.seq = 0
        self.ack = 0
        self.has_ack = False
        self.answers = False
        self.fin = False
        self.payload = b""
        self.wire_length = 0
        self.ts_ns = 0


@cython.no_gc
@cython.cclass
class Stream:
    """One direction. `next_seq` is -1 until it is known; `first_seq` is that of the first byte, -1 where no SYN was seen; `acked`
    is the highest that the peer acknowledged, or -1."""

    def __init__(self, direction: cython.int, reassembly: Reassembly) -> None:
        self.direction = direction
        self.peer: Stream | None = None
        self.reassembly = reassembly
        self.next_seq = -1
        self.first_seq = -1
        self.acked = -1
        self.closed = False
        self.held: list[Held] | None = None
        self.held_bytes = 0
        self.told_ns = 0

    def pair_with(self, peer: Stream) -> cython.int:
        """The other direction of the same connection; a stream works with one only."""
        self.peer = peer
        peer.peer = self
        return 0

    def begin(self, first_seq: cython.longlong) -> cython.int:
        """A SYN was seen before: `first_seq` is the sequence of the first byte, -1 where it was not."""
        self.first_seq = first_seq
        self.next_seq = first_seq
        return 0

    def on_syn(self, seg: Segment) -> cython.int:
        """Take a SYN without data: the first byte is the next one."""
        self.first_seq = Sequence.add(seg.seq, 1)
        self.next_seq = self.first_seq
        if seg.flags & ACK and self.peer.next_seq < 0:
            self.peer.next_seq = seg.ack
        return 0

    def is_handshake(self, seg: Segment) -> cython.bint:
        """Whether this SYN is the connection's own, once more or for the first time; otherwise the ports are used again."""
        first: cython.longlong = Sequence.add(seg.seq, 1)
        if self.next_seq < 0 or (seg.flags & ACK and seg.ack == self.peer.first_seq):
            return True  # whatever its own number: the first byte may have been guessed from an acknowledgement
        if self.first_seq >= 0:
            return self.first_seq == first
        # The first bytes can overtake it; those of another connection come as near once in 65 536 times.
        passed: cython.longlong = Sequence.diff(self.next_seq, first)
        return 0 <= passed <= 65536

    def push(self, seg: Segment, buf: bytes, consumer: Consumer) -> cython.int:
        """Take a segment that is no RST; the payload goes to `consumer` now or later."""
        peer: Stream = self.peer
        flags: cython.int = seg.flags
        seq: cython.longlong = seg.seq
        if flags & SYN:
            seq = Sequence.add(seq, 1)
            self.first_seq = seq
        if self.next_seq < 0:
            if seg.wire_length <= 1 and not flags & (SYN | FIN | PSH):
                return self._probe(seg)
            self.next_seq = seq
            if peer.first_seq >= 0 and not flags & SYN:
                consumer.gap(self.direction, 0, seg.ts_ns)  # the connection's start was seen, this side's was not
        ahead: cython.longlong = 0
        if flags & ACK:
            if peer.next_seq < 0:
                peer.next_seq = seg.ack  # joined late, or only one side is seen: what was acknowledged is past
                if self.first_seq >= 0 and Sequence.diff(seq, self.first_seq) > 0:
                    # From the start, but not the handshake's own acknowledgement: the other side may have begun to speak.
                    consumer.gap(peer.direction, 0, seg.ts_ns)
            ahead = Sequence.diff(seg.ack, peer.next_seq)
            if (ahead > OFF or ahead < -OFF) and not flags & SYN and self._restarts(seg, seq, ahead, consumer):
                ahead = 0
            if ahead > FAR or ahead < -FAR:
                ahead = 0  # believed it would swallow all that the peer still says
            elif peer.acked < 0 or Sequence.diff(seg.ack, peer.acked) > 0:
                peer.acked = seg.ack
        if seg.wire_length == 0 and not flags & FIN:
            if ahead > 0:
                self._hold(seg, buf, seq)  # an empty one: it only notes that bytes have passed unseen
            if self.held is not None or peer.held is not None:
                return self.settle(consumer, seg.ts_ns, False)
            return 0
        offset: cython.longlong = Sequence.diff(seq, self.next_seq)
        if offset < 0:
            if -offset >= seg.wire_length:
                if not (flags & FIN and -offset == seg.wire_length and not self.closed):
                    # A keep-alive probe repeats one old byte, or none (RFC 9293, 3.8.4): no retransmission.
                    if seg.wire_length > 1 or offset != -1:
                        self.reassembly.retransmitted += 1
                    return 0
            else:
                self.reassembly.overlapped += 1
        elif offset > 0 and self.held is None:
            self.reassembly.reordered += 1
        if offset > 0 or ahead > 0 or self.held is not None or peer.held is not None:
            self._hold(seg, buf, seq)
            return self.settle(consumer, seg.ts_ns, False)
        start: cython.Py_ssize_t = seg.start
        wire_length: cython.Py_ssize_t = seg.wire_length
        if offset < 0:
            start -= offset
            wire_length += offset
            if start > seg.end:
                start = seg.end
        self.told_ns = seg.ts_ns
        return self._deliver(buf, start, seg.end, wire_length, flags & FIN != 0, seg.ts_ns, consumer)

    def _probe(self, seg: Segment) -> cython.int:
        """Take an empty segment or a single byte that nothing is known before, and that nobody was to be given at once (PSH): it
        may ask whether the peer is there. Its byte is old (RFC 9293, 3.8.4) or the next one, into a shut window, and then comes
        again (3.8.6.1); so the first byte is the one that follows, wherever that stands."""
        if seg.flags & ACK and self.peer.next_seq < 0:
            self.peer.next_seq = seg.ack
        return 0

    def reset(self, seg: Segment) -> cython.int:
        """Take what a RST that is believed tells of both directions: where they had got to, seen or not."""
        if self.next_seq < 0:
            return 0
        if (seg.flags & ACK and self.peer.next_seq >= 0 and Sequence.diff(seg.ack, self.peer.next_seq) > 0) or (
            Sequence.diff(seg.seq, self.next_seq) > 0
        ):
            seg.start = 0
            seg.end = 0
            seg.wire_length = 0
            self._hold(seg, b"", seg.seq)
        return 0

    def _restarts(self, seg: Segment, seq: cython.longlong, ahead: cython.longlong, consumer: Consumer) -> cython.bint:
        """Whether both numbers are so far off that this is another connection on the same ports, whose handshake was not seen."""
        offset: cython.longlong = Sequence.diff(seq, self.next_seq)
        if -OFF <= offset <= OFF or (-FAR <= offset <= FAR and -FAR <= ahead <= FAR):
            return False
        self.reassembly.restarted += 1
        self.drop()
        self.peer.drop()
        self._start_again(seq)
        self.peer._start_again(seg.ack)
        consumer.gap(self.direction, 0, seg.ts_ns)
        consumer.gap(self.peer.direction, 0, seg.ts_ns)
        return True

    def _start_again(self, seq: cython.longlong) -> cython.int:
        self.next_seq = seq
        self.first_seq = -1
        self.acked = -1
        self.closed = False
        return 0

    def _deliver(
        self,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        wire_length: cython.Py_ssize_t,
        fin: cython.bint,
        ts_ns: cython.longlong,
        consumer: Consumer,
    ) -> cython.int:
        """Hand over the bytes at `next_seq`; what the capture cut off is a hole of known size."""
        missing: cython.Py_ssize_t = wire_length - (end - start)
        if self.closed:
            if wire_length:
                self.reassembly.after_close += 1
            return 0
        ts_ns = self._in_order(ts_ns)
        if end > start:
            consumer.feed(self.direction, buf, start, end, ts_ns)
        if missing > 0:
            self.reassembly.bytes_truncated += missing
            consumer.gap(self.direction, missing, ts_ns)
        if wire_length:
            self.next_seq = Sequence.add(self.next_seq, wire_length)
        if fin:
            self.closed = True
            self.next_seq = Sequence.add(self.next_seq, 1)
            consumer.close(self.direction, ts_ns)
        return 0

    def _in_order(self, ts_ns: cython.longlong) -> cython.longlong:
        """Of what waited: not before the bytes before it came, unless the clock was set back by more than anything waits."""
        if ts_ns < self.told_ns and self.told_ns - ts_ns < PATIENCE_NS:
            return self.told_ns
        self.told_ns = ts_ns
        return ts_ns

    def _hold(self, seg: Segment, buf: bytes, seq: cython.longlong) -> cython.int:
        held: Held = Held()
        c: Cursor = self.reassembly.cursor
        held.seq = seq
        held.ack = seg.ack
        held.has_ack = seg.flags & ACK != 0
        held.fin = seg.flags & FIN != 0
        held.wire_length = seg.wire_length
        held.ts_ns = seg.ts_ns
        held.answers = held.has_ack and Sequence.diff(seg.ack, self.peer.next_seq) > 0
        c.set(buf, seg.start, seg.end)
        held.payload = c.take(seg.start, seg.end)
        last: Held
        if self.held is None:
            self.held = []
        elif Sequence.diff(seq, self.next_seq) <= 0 and held.wire_length > 0:
            last = self.held[0]
            if Sequence.diff(last.seq, self.next_seq) > 0 and seg.ts_ns - last.ts_ns > GRACE_NS:
                self.reassembly.refilled += 1
        waiting: list[Held] = self.held
        # Most come in order: the place is looked for from the end. An empty one stands behind what begins where it does.
        empty: cython.bint = held.wire_length == 0
        i: cython.Py_ssize_t = len(waiting)
        while i > 0:
            last = waiting[i - 1]
            if Sequence.diff(seq, last.seq if empty else Sequence.add(last.seq, last.wire_length)) >= 0:
                break
            i -= 1
        if empty:
            if i > 0:
                last = waiting[i - 1]
                if last.seq == seq and last.wire_length == 0 and last.fin == held.fin and last.ack == held.ack:
                    return 0  # said already
            return self._insert(i, held)
        counted: cython.bint = False
        place: cython.Py_ssize_t = i
        while i < len(waiting):
            other: Held = waiting[i]
            behind: cython.longlong = Sequence.diff(Sequence.add(held.seq, held.wire_length), other.seq)
            if behind <= 0:
                break
            if other.wire_length == 0:
                i += 1
                if other.seq == held.seq:
                    place = i
                continue  # what it notes holds for any place inside
            if not counted:
                counted = True
                if other.seq == seq and other.wire_length >= held.wire_length:
                    self.reassembly.retransmitted += 1
                else:
                    self.reassembly.overlapped += 1
            if self._conflict(held, other):
                self.reassembly.conflicting += 1
            before: cython.longlong = Sequence.diff(other.seq, held.seq)
            if before > 0:
                self._insert(place, self._part(held, 0, before, False))
                i += 1
            other_end: cython.longlong = Sequence.add(other.seq, other.wire_length)
            after: cython.longlong = Sequence.diff(Sequence.add(held.seq, held.wire_length), other_end)
            if after <= 0:
                if after == 0 and held.fin:
                    other.fin = True
                return 0
            held = self._part(held, held.wire_length - after, held.wire_length, held.fin)
            i += 1
            place = i
        return self._insert(place, held)

    def _insert(self, i: cython.Py_ssize_t, held: Held) -> cython.int:
        self.held.insert(i, held)
        # 200 bytes stand for the object itself: empty segments must not grow for nothing.
        self.held_bytes += len(held.payload) + 200
        self.reassembly.held_bytes += len(held.payload) + 200
        return 0

    def _part(self, whole: Held, start: cython.Py_ssize_t, end: cython.Py_ssize_t, fin: cython.bint) -> Held:
        part: Held = Held()
        part.seq = Sequence.add(whole.seq, start)
        part.ack = whole.ack
        part.has_ack = whole.has_ack
        part.fin = fin
        part.payload = whole.payload[start:end]
        part.wire_length = end - start
        part.ts_ns = whole.ts_ns
        part.answers = whole.answers
        return part

    def _conflict(self, one: Held, other: Held) -> cython.bint:
        """Whether two segments that overlap have another content where both have one."""
        shift: cython.Py_ssize_t = Sequence.diff(other.seq, one.seq)
        first: cython.Py_ssize_t = shift if shift > 0 else 0
        last: cython.Py_ssize_t = len(one.payload)
        if shift + len(other.payload) < last:
            last = shift + len(other.payload)
        if last <= first:
            return False
        return one.payload[first:last] != other.payload[first - shift : last - shift]

    def settle(self, consumer: Consumer, now_ns: cython.longlong, all_of_it: cython.bint) -> cython.int:
        """Hand over what can be, of both directions in the order of their time; declare holes whose time has come.

        `all_of_it`: the connection ends, nothing more will come.
        """
        peer: Stream = self.peer
        while True:
            ready: Stream | None = self._ready()
            if ready is not None:
                ready._pop(consumer)
                continue
            if self.held is None and peer.held is None:
                return 0
            # The one that waits longest is the one whose hole is looked at.
            first: Stream = self
            if self.held is None:
                first = peer
            elif peer.held is not None:
                mine: Held = self.held[0]
                theirs: Held = peer.held[0]
                if theirs.ts_ns < mine.ts_ns:
                    first = peer
            oldest: Held = first.held[0]
            hole: Stream = first  # the direction that has the hole
            if Sequence.diff(oldest.seq, first.next_seq) <= 0 or first._comes_behind(oldest):
                hole = first.peer
            waited: cython.longlong = now_ns - oldest.ts_ns
            count: cython.Py_ssize_t = self._waiting() + peer._waiting()
            passed: cython.bint = hole.acked >= 0 and Sequence.diff(hole.acked, hole.next_seq) > 0
            if all_of_it or waited > PATIENCE_NS or (passed and (waited > GRACE_NS or count >= GRACE_SEGMENTS)):
                first._go_on(hole, consumer, now_ns)
            elif (
                self.held_bytes > self.reassembly.out_of_order
                or peer.held_bytes > self.reassembly.out_of_order
                or self.reassembly.held_bytes > self.reassembly.memory
            ):
                self.reassembly.forced += 1
                first._go_on(hole, consumer, now_ns)
            else:
                return 0

    def _waiting(self) -> cython.Py_ssize_t:
        """How many segments with bytes are held, up to GRACE_SEGMENTS; probes and repeated acknowledgements are none."""
        count: cython.Py_ssize_t = 0
        if self.held is not None:
            for entry in self.held:
                held: Held = entry
                if held.wire_length > 0 or held.fin:
                    count += 1
                    if count >= GRACE_SEGMENTS:
                        break
        return count

    def _go_on(self, hole: Stream, consumer: Consumer, now_ns: cython.longlong) -> cython.int:
        """Declare the hole that what is held here waits for.

        It may be none: what is held there is next, and waits for what is held here. Then it is a probe that says nothing, or both
        were sent again, with later acknowledgements, and the one that came first is first.
        """
        if hole is not self and hole.held is not None:
            theirs: Held = hole.held[0]
            if Sequence.diff(theirs.seq, hole.next_seq) <= 0:
                return self._pop(consumer) if theirs.wire_length > 0 or theirs.fin else hole._pop(consumer)
        return hole._declare(consumer, now_ns)

    def _comes_behind(self, oldest: Held) -> cython.bint:
        """Whether what is held here comes behind something that is held there, behind a hole, and that waits for nothing of here:
        the hole there is first, for the one here may have its end between the two."""
        peer: Stream = self.peer
        if peer.held is None or not oldest.has_ack or Sequence.diff(oldest.ack, peer.next_seq) <= 0:
            return False
        theirs: Held = peer.held[0]
        if Sequence.diff(theirs.seq, peer.next_seq) <= 0:
            return False
        return not theirs.has_ack or Sequence.diff(theirs.ack, self.next_seq) <= 0

    def _can_deliver(self) -> cython.bint:
        if self.held is None:
            return False
        first: Held = self.held[0]
        if Sequence.diff(first.seq, self.next_seq) > 0:
            return False
        return not first.has_ack or Sequence.diff(first.ack, self.peer.next_seq) <= 0

    def _ready(self) -> Stream | None:
        mine: cython.bint = self._can_deliver()
        theirs: cython.bint = self.peer._can_deliver()
        if mine and theirs:
            first: Held = self.held[0]
            other: Held = self.peer.held[0]
            return self if first.ts_ns <= other.ts_ns else self.peer
        if mine:
            return self
        if theirs:
            return self.peer
        return None

    def _pop(self, consumer: Consumer) -> cython.int:
        first: Held = self.held.pop(0)
        if not self.held:
            self.held = None
        n: cython.Py_ssize_t = len(first.payload)
        self.held_bytes -= n + 200
        self.reassembly.held_bytes -= n + 200
        start: cython.Py_ssize_t = 0
        wire_length: cython.Py_ssize_t = first.wire_length
        if wire_length == 0 and not first.fin:
            return 0
        offset: cython.longlong = Sequence.diff(first.seq, self.next_seq)
        if offset < 0:
            if -offset >= wire_length:
                if wire_length and not first.fin:
                    self.reassembly.retransmitted += 1
                start = n
                wire_length = 0
                if -offset > first.wire_length or not first.fin:
                    return 0
            else:
                start = -offset
                wire_length += offset
                if start > n:
                    start = n
        ts_ns: cython.longlong = first.ts_ns
        if first.answers and ts_ns < self.peer.told_ns and self.peer.told_ns - ts_ns < PATIENCE_NS:
            ts_ns = self.peer.told_ns  # an answer does not come before its question
        return self._deliver(first.payload, start, n, wire_length, first.fin, ts_ns, consumer)

    def _declare(self, consumer: Consumer, now_ns: cython.longlong) -> cython.int:
        """Bytes from `next_seq` to the first that is held, or to what the peer acknowledged, will not come."""
        until: cython.longlong = -1
        ts_ns: cython.longlong = now_ns
        if self.held is not None:
            first: Held = self.held[0]
            if Sequence.diff(first.seq, self.next_seq) > 0:
                until = first.seq
                ts_ns = first.ts_ns
        if self.peer.held is not None:
            waits: Held = self.peer.held[0]
            if waits.has_ack and Sequence.diff(waits.ack, self.next_seq) > 0:
                if until < 0 or Sequence.diff(waits.ack, until) < 0:
                    until = waits.ack
                    ts_ns = waits.ts_ns
        if until < 0:
            raise AssertionError("a hole without an end")
        missing: cython.longlong = Sequence.diff(until, self.next_seq)
        self.reassembly.gaps += 1
        self.reassembly.bytes_missing += missing
        if self.acked >= 0:
            seen: cython.longlong = Sequence.diff(self.acked, self.next_seq)
            if seen > 0:
                self.reassembly.bytes_unseen += seen if seen < missing else missing
        self.next_seq = until
        if not self.closed:
            consumer.gap(self.direction, missing, ts_ns if ts_ns > self.told_ns else self.told_ns)
        return 0

    def drop(self) -> cython.Py_ssize_t:
        """Forget what is held, as good as missing; returns how many bytes of memory that were."""
        dropped: cython.Py_ssize_t = self.held_bytes
        if self.held is not None:
            for entry in self.held:
                held: Held = entry
                self.reassembly.bytes_missing += held.wire_length
        self.reassembly.held_bytes -= dropped
        self.held_bytes = 0
        self.held = None
        return dropped
