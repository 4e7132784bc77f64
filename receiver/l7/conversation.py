"""One connection as its decoder sees it: ordered bytes in, messages to the matcher.

Room: l7. Keeps what stands between bytes and frames, once for all protocols: the head of a frame cut in two (`partial`), the rest
of a frame that nobody wants (`skip`), what to do after a hole (`resync`), and what happens when a decoder gives up. Which protocol
it is, `detection.py` finds out first. Knows no packets: the stream below it hands over bytes in order, and says where some are
missing.
"""

from __future__ import annotations

import logging
import traceback

import cython

from receiver.l7.decoder import Decoder
from receiver.l7.detection import Detection
from receiver.l7.matcher import Matcher
from receiver.l7.reading import Reading
from receiver.wire.cursor import Cursor
from receiver.wire.records import Connection, Consumer, Endpoints, Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import ANSWERS_BEGUN, MORE, SEVERAL, SKIP_TO_CLOSE, SKIP_UNKNOWN
    from receiver.l7.detection import GIVEN_UP, KNOWN, WAITS
    from receiver.wire.records import BEGINS, ENDS, OUTCOME_LOST, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, new_message

log = logging.getLogger(__name__)

READING = 0
DETECTING = 1
SET_ASIDE = 2
STATES = ("reading", "detecting", "set aside")

# A flow that breaks the rules this often is not what it was taken for.
FAULTS_MAX = 16
# A frame cut in two is joined with so much of the segment in which it ends, and no more of one that is longer than JOINED_WHOLE.
JOINED = 512
JOINED_WHOLE = 4096


@cython.no_gc
@cython.cclass
class HalfStream:
    """One direction between two frames. `passed`: bytes skipped so far that no message's size holds yet. `seen_ns`: when the last
    bytes came; what ends in a hole was last seen then, however much later the hole is known."""

    def __init__(self) -> None:
        self.partial: bytes | None = None
        self.partial_ns = 0
        self.seen_ns = 0
        self.need = 0
        self.skip = 0
        self.passed = 0
        self.ending: Message | None = None
        self.resync = False


@cython.no_gc
@cython.cclass
class Conversation(Consumer):
    """The decoder's side of one flow.

    `from_start`: the first byte of both directions is the connection's first (SYN seen). `datagrams`: each feed is a whole
    datagram; what a frame leaves of it is dropped. A gap in datagrams is told before the one that it cuts off the end of.
    """

    def __init__(
        self, reading: Reading, connection: Connection, from_start: cython.bint, datagrams: cython.bint = False
    ) -> None:
        self.reading = reading
        self.connection = connection
        self.protocol: Protocol | None = None
        self.decoder: Decoder | None = None
        self.matcher: Matcher | None = None
        self.to_server = HalfStream()
        self.to_client = HalfStream()
        self.health = DETECTING
        self.faults = 0
        self.datagrams = datagrams
        self.cut_off = 0
        # None once the protocol is known; of datagrams it stays, for the next flow that is read here.
        self.detection: Detection | None = Detection(reading, connection, from_start, datagrams)
        self.unread = 0
        self.ended = False
        # The server of the flow that was read before. Of another flow to it the protocol is known, and not looked for again.
        self.server_address: str | None = None
        self.server_port = -1

    @property
    def state(self) -> str:
        """One of STATES."""
        return STATES[self.health]

    def release(self) -> cython.bint:
        if not self.datagrams or self.health != READING or self.faults or not self.matcher.is_idle():
            return False
        self.server_address = self.matcher.endpoints.server_address
        self.server_port = self.matcher.endpoints.server_port
        self.connection = None
        self.detection.serve(None)
        self.matcher.begin(None, False)
        self.health = DETECTING
        self.reading.keep(self)
        return True

    def serve(self, connection: Connection) -> cython.int:
        """Read the datagrams of another flow."""
        self.connection = connection
        self.detection.serve(connection)
        self.ended = False
        self.to_server.seen_ns = 0
        self.to_client.seen_ns = 0
        return 0

    def _again(self) -> cython.bint:
        """Whether the server is the one of the flow before."""
        if self.connection.server_port != self.server_port:
            return False
        return self.connection.endpoints().server_address is self.server_address

    def feed(
        self, direction: cython.int, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        if end <= start:
            return 0
        if self.health != READING:
            if self.health == SET_ASIDE and (self.faults or self.detection.passes(direction)):
                self.reading.bytes_set_aside += end - start
                return 0
            try:
                return self._detect(direction, buf, start, end, ts_ns)
            except Exception as bug:
                self._report(bug)
                self.reading.count("unknown", "internal")
                self._set_aside(ts_ns)
                return 0
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        beyond: cython.Py_ssize_t = 0
        try:
            if half.partial is not None and end - start > JOINED_WHOLE:
                # The end of a frame that was cut in two, and a little more; what follows is read where it lies, not copied.
                near: cython.Py_ssize_t = JOINED
                if half.need > len(half.partial):
                    near += half.need - len(half.partial)
                if near < end - start and not self.datagrams:
                    beyond = end - start - near
                    self._read(direction, half, buf, start, start + near, ts_ns)
                    beyond = 0
                    start += near
                    if half.partial is not None and len(half.partial) <= near:
                        start -= len(half.partial)
                        half.partial = None
            self._read(direction, half, buf, start, end, ts_ns)
        except Malformed as malformed:
            self.reading.bytes_set_aside += self.unread + beyond
            self._on_malformed(direction, malformed.what, ts_ns)
        except Exception as bug:
            self.reading.bytes_set_aside += self.unread + beyond
            self._report(bug)
            self._on_malformed(direction, "internal", ts_ns)
            self._set_aside(ts_ns)
        half.seen_ns = ts_ns
        self.cut_off = 0
        return 0

    def _read(
        self,
        direction: cython.int,
        half: HalfStream,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
    ) -> cython.int:
        decoder: Decoder = self.decoder
        decoder.cut_off = self.cut_off
        c: Cursor = self.reading.cursor
        first_ns: cython.longlong = ts_ns
        n: cython.Py_ssize_t
        # One that a frame without a message left as it was serves the next.
        piece: Message | None = None
        while start < end:
            if half.skip != 0:
                n = end - start
                if half.skip < 0:
                    half.passed += n
                    half.partial_ns = ts_ns
                    return 0
                if half.skip > n:
                    half.passed += n
                    half.skip -= n
                    return 0
                half.passed += half.skip
                start += half.skip
                half.skip = 0
                self._ended(half, ts_ns)
                continue
            if half.partial is not None:
                joined: bytes = half.partial + buf[start:end]
                buf = joined
                start = 0
                end = len(joined)
                first_ns = half.partial_ns
                half.partial = None
                self.unread = end
                if end < half.need:
                    return self._keep(direction, half, buf, start, end, first_ns, ts_ns, half.need)
            self.unread = end - start
            c.set(buf, start, end)
            if half.resync:
                decoder.at_home = self.reading.detector.at_home(self.protocol, self.connection.server_port)
                if not decoder.resync(direction, c):
                    return self._pass_over(direction, end - start, ts_ns)
                half.resync = False
                if c.pos > start:
                    self._pass_over(direction, c.pos - start, ts_ns)
                    start = c.pos
                    self.unread = end - start
            n = decoder.frame(direction, c)
            if n < 0:
                if n != ANSWERS_BEGUN:
                    raise Malformed(self.protocol.name, "not this protocol", 0)
                self._answer_begun(direction)
                continue
            if n == MORE or n > end - start:
                return self._keep(direction, half, buf, start, end, first_ns, ts_ns, n)
            c.clamp(start + n)
            if piece is None:
                piece = new_message(direction, first_ns, ts_ns)
            else:
                piece.first_ns = first_ns
                piece.last_ns = ts_ns
            filled: cython.int = decoder.parse(direction, c, ts_ns, piece)
            start += n
            first_ns = ts_ns
            rest: cython.Py_ssize_t = decoder.skip
            decoder.skip = 0
            if filled:
                # Only what has come counts, whatever was announced; and not what passed before the message began (a push).
                if piece.piece & BEGINS:
                    half.passed = 0
                piece.size += n + half.passed
                if piece.body >= 0:
                    piece.body += half.passed
                half.passed = 0
            if rest > 0:
                n = end - start
                if rest <= n:
                    n = rest
                half.passed += n
                start += n
                rest -= n
                half.skip = rest
                if filled and rest == 0:
                    piece.size += n
                    if piece.body >= 0:
                        piece.body += n
                    half.passed = 0
            if filled and direction == TO_CLIENT and self.to_server.passed > 0:
                self._passing(TO_SERVER, self.to_server)  # what has come of a request that may end with this answer
            if rest < 0:
                if rest != SKIP_TO_CLOSE:
                    self._break_off(direction, half, piece if filled else None, rest, ts_ns)
                    self.reading.bytes_set_aside += end - start
                    return 0
                half.skip = SKIP_TO_CLOSE
                half.partial_ns = ts_ns
            if filled:
                # Where messages are interleaved, the rest that is still to come must be counted to its own.
                if rest != 0 and (piece.piece & ENDS or (piece.key >= 0 and piece.piece == 0)):
                    self._offer(half, piece)
                else:
                    self.matcher.offer(piece)
                piece = None
                if filled == SEVERAL:
                    self._more(direction, ts_ns, ts_ns)
            if decoder.successor is not None:
                self._hand_over()
                decoder = self.decoder
        return 0

    def _keep(
        self,
        direction: cython.int,
        half: HalfStream,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        first_ns: cython.longlong,
        ts_ns: cython.longlong,
        need: cython.Py_ssize_t,
    ) -> cython.int:
        if self.datagrams:
            raise Malformed(self.protocol.name, "datagram cut short", end - start)
        if end - start > self.reading.head_max or need > self.reading.head_max:
            if not self._begun(direction, half, buf, start, end, first_ns, ts_ns):
                raise Malformed(self.protocol.name, "head too long", end - start)
            return self.reading.count(self.protocol.name, "head too long")
        half.partial = buf[start:end]
        half.partial_ns = first_ns
        half.need = need
        return 0

    def _answer_begun(self, direction: cython.int) -> cython.int:
        """What comes of `direction` answers what the other one has begun and not ended."""
        asking: cython.int = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
        other: HalfStream = self.to_server if direction == TO_CLIENT else self.to_client
        begun: bytes = other.partial if other.partial is not None else b""
        began_ns: cython.longlong = other.partial_ns if other.partial is not None else other.seen_ns
        if not self._begun(asking, other, begun, 0, len(begun), began_ns, other.seen_ns):
            self._lose(asking, 0, other.seen_ns)
        return 0

    def _begun(
        self,
        direction: cython.int,
        half: HalfStream,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        first_ns: cython.longlong,
        ts_ns: cython.longlong,
    ) -> cython.int:
        """Tell what is known of a frame whose end is not waited for, and look for the next; 0 when nothing is known."""
        piece: Message = new_message(direction, first_ns, ts_ns)
        c: Cursor = self.reading.cursor
        c.set(buf, start, end)
        filled: cython.int = self.decoder.begun(direction, c, ts_ns, piece)
        rest: cython.Py_ssize_t = self.decoder.skip
        self.decoder.skip = 0
        if filled:
            half.partial = None
            half.need = 0
            if not piece.piece & BEGINS:
                piece.size += half.passed
            half.passed = 0
            piece.size += end - start
            self._break_off(direction, half, piece, rest, ts_ns)
        return filled

    def _break_off(
        self, direction: cython.int, half: HalfStream, piece: Message | None, rest: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        """Where the message before ends cannot be told: go on where the next one begins."""
        half.resync = True
        if rest == SKIP_UNKNOWN:
            # Whose message this is, is as unknown as how many are passed over with its rest.
            self.matcher.lost(direction, ts_ns)
        if piece is not None:
            self.matcher.offer(piece)
        if rest != SKIP_UNKNOWN:
            self.matcher.lost(direction, ts_ns)
        return 0

    def _offer(self, half: HalfStream, piece: Message) -> cython.int:
        """Offer what begins now, and keep its end until the rest has passed."""
        ending: Message = Message()
        ending.direction = piece.direction
        ending.role = piece.role
        ending.key = piece.key
        ending.piece = ENDS
        ending.body = 0
        if piece.piece & BEGINS:
            piece.piece = BEGINS
            half.ending = ending
            return self.matcher.offer(piece)
        half.ending = piece
        return 0

    def _ended(self, half: HalfStream, ts_ns: cython.longlong) -> cython.int:
        piece: Message = half.ending
        if piece is not None:
            half.ending = None
            piece.last_ns = ts_ns
            piece.size += half.passed
            if piece.body >= 0:
                piece.body += half.passed
            half.passed = 0
            self.matcher.offer(piece)
        return 0

    def _detect(
        self, direction: cython.int, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        detection: Detection = self.detection
        protocol: Protocol | None = None
        swapped: cython.bint = False
        if direction == TO_SERVER and self.server_address is not None and self._again():
            detection.drop()  # answers to what nobody saw, that could have been something else
            protocol = self.protocol
        else:
            verdict: cython.int = detection.take(direction, buf, start, end, ts_ns, self.cut_off)
            if verdict == WAITS or verdict == GIVEN_UP:
                self.health = DETECTING if verdict == WAITS else SET_ASIDE
                self.cut_off = 0
                return 0
            if verdict == KNOWN:
                protocol = detection.protocol
            swapped = detection.swapped
        waited: list[tuple[int, bytes, int]] | None = detection.release()
        if protocol is not None:
            self._begin(protocol)
        other: cython.int
        if waited is None:
            other = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
            return self.feed(other if swapped else direction, buf, start, end, ts_ns)
        # As it came: in its order, each piece with its own time.
        cut_off: cython.Py_ssize_t = self.cut_off
        for i, (came, piece, piece_ns) in enumerate(waited, 1):
            self.cut_off = cut_off if i == len(waited) else 0
            direction = came
            other = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
            self.feed(other if swapped else direction, piece, 0, len(piece), piece_ns)
        return 0

    def _drop_waited(self) -> cython.int:
        """What waited to be read is not."""
        self._drop_partial(self.to_server)
        self._drop_partial(self.to_client)
        if self.detection is not None:
            self.detection.drop()
        return 0

    def _drop_partial(self, half: HalfStream) -> cython.int:
        if half.partial is not None:
            self.reading.bytes_set_aside += len(half.partial)
            half.partial = None
        return 0

    def _begin(self, protocol: Protocol) -> cython.int:
        connection: Connection = self.connection
        endpoints: Endpoints = connection.endpoints()
        uncertain: cython.bint = not self.detection.from_start and not self.datagrams
        if not self.datagrams:
            self.detection = None
        decoder: Decoder
        if self.matcher is not None and self.protocol is protocol:
            decoder = self.decoder  # it served another flow before
            decoder.reset()
            self.matcher.begin(endpoints, uncertain)
        else:
            self.protocol = protocol
            decoder = protocol.decoder()
            self.decoder = decoder
            self.matcher = Matcher(self.reading.pairing, protocol, endpoints, uncertain)
        if endpoints.neutral and protocol.client_only:
            endpoints.vantage = VANTAGE_CLIENT  # neither end is ours, or both are: told as its conventions know it
        self._introduce(decoder, endpoints)
        self.health = READING
        if connection.protocol is None:
            connection.protocol = protocol
            self.reading.detect(protocol)
        if uncertain:
            self.to_server.resync = True
            self.to_client.resync = True
        return 0

    def _introduce(self, decoder: Decoder, endpoints: Endpoints) -> cython.int:
        """Give a decoder what it needs of the connection."""
        decoder.asked = self.matcher
        decoder.detail = self.reading.detail
        decoder.vantage = endpoints.vantage
        decoder.limits = self.reading.limits
        decoder.errors = self.reading.errors
        decoder.datagrams = self.datagrams
        return decoder.begin(endpoints)

    def _more(self, direction: cython.int, first_ns: cython.longlong, ts_ns: cython.longlong) -> cython.int:
        """One frame said more than one message."""
        filled: cython.int = SEVERAL
        while filled == SEVERAL:
            piece: Message = new_message(direction, first_ns, ts_ns)
            filled = self.decoder.more(direction, ts_ns, piece)
            if filled:
                self.matcher.offer(piece)
        return 0

    def _hand_over(self) -> cython.int:
        """Both directions go on as another protocol; what waits for an answer gets it there."""
        name: str = self.decoder.successor
        self.decoder.successor = None
        protocol: Protocol | None = self.reading.detector.named(name)
        if protocol is None:
            return 0
        decoder: Decoder = protocol.decoder()
        self._introduce(decoder, self.matcher.endpoints)
        self.decoder = decoder
        self.protocol = protocol
        self.connection.protocol = protocol
        waiting: Message | None = self.matcher.hand_over(protocol)
        if waiting is not None:
            decoder.take_over(waiting)
            self.matcher.adopt(waiting)
        self.reading.detect(protocol)
        return 0

    def gap(self, direction: cython.int, missing: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        """`missing` bytes of `direction` never came (0: nobody knows how many)."""
        if self.datagrams:
            self.cut_off = missing
            return 0
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        if self.health != READING:
            if self.detection is not None:
                self.detection.gap()
            return 0
        gaps = self.reading.gaps
        gaps[self.protocol.name] = gaps.get(self.protocol.name, 0) + 1
        if half.skip < 0 and missing > 0:
            return 0
        if missing > 0 and half.skip >= missing:
            half.passed += missing
            half.skip -= missing
            if half.skip == 0:
                self._ended(half, half.seen_ns)
            return 0
        try:
            if half.skip > 0 and missing > 0:
                # Its last byte is in the hole, so it did end; what came after it in the hole is what is lost.
                half.passed += half.skip
                half.skip = 0
                self._ended(half, half.seen_ns)
            self._lose(direction, missing, ts_ns)
        except Exception as bug:
            self._report(bug)
            self._set_aside(ts_ns)
        return 0

    def _lose(self, direction: cython.int, missing: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        self._passing(direction, half)
        self._drop_partial(half)
        half.need = 0
        half.skip = 0
        half.passed = 0
        half.ending = None
        half.resync = True
        self.decoder.skip = 0
        self.decoder.lost(direction, missing)
        self.matcher.lost(direction, ts_ns)
        return 0

    def _pass_over(self, direction: cython.int, size: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        """Bytes in which no frame was found are as good as missing."""
        self.reading.bytes_set_aside += size
        self.decoder.lost(direction, 0)
        self.matcher.lost(direction, ts_ns)
        return 0

    def close(self, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """The sender of `direction` has sent all (FIN)."""
        if self.health != READING:
            return 0
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        try:
            if half.skip < 0:
                half.skip = 0
                if half.ending is not None:
                    self._ended(half, half.partial_ns)
                    return 0
            piece: Message = new_message(direction, ts_ns, ts_ns)
            if self.decoder.on_close(direction, ts_ns, piece):
                self.matcher.offer(piece)
        except Malformed as malformed:
            self._on_malformed(direction, malformed.what, ts_ns)
        except Exception as bug:
            self._report(bug)
            self._set_aside(ts_ns)
        return 0

    def end(self, outcome: cython.int, ts_ns: cython.longlong) -> cython.int:
        if self.matcher is not None and self.matcher.busy():
            self._passing(TO_SERVER, self.to_server)
            self._passing(TO_CLIENT, self.to_client)
            self.matcher.end(outcome, ts_ns)
        if not self.ended:
            self.ended = True
            self._account()
            if self.reading.on_end is not None and (self.connection.protocol is not None or self.detection.last_direction >= 0):
                self.reading.on_end(self.connection.protocol, self.health == READING, self.connection.endpoints())
        return 0

    def _account(self) -> cython.int:
        """The connection is over: count what waited for more, and whether it was known what it is."""
        reading: Reading = self.reading
        if self.health == READING:
            # A decoder that has begun with it still knows of it, so it stays where it is.
            if self.to_server.partial is not None:
                reading.bytes_set_aside += len(self.to_server.partial)
            if self.to_client.partial is not None:
                reading.bytes_set_aside += len(self.to_client.partial)
            return 0
        why: str = "undecided" if self.health == DETECTING else "unknown"
        if self.connection.protocol is None and (self.health == SET_ASIDE or self.detection.unfinished()):
            reading.undetected[why] = reading.undetected.get(why, 0) + 1
        return self._drop_waited()

    def unreachable(self, reason: cython.int, ts_ns: cython.longlong) -> cython.int:
        if self.health == READING:
            self.matcher.unreachable(reason, ts_ns)
        return 0

    def expire(self, now_ns: cython.longlong) -> cython.int:
        """1 while something waits here."""
        if self.matcher is None or not self.matcher.busy():
            return 0
        self._passing(TO_SERVER, self.to_server)
        self._passing(TO_CLIENT, self.to_client)
        self.matcher.expire(now_ns, self.to_client.seen_ns if self.to_client.partial is not None else 0)
        return 1

    def _passing(self, direction: cython.int, half: HalfStream) -> cython.int:
        """Tell the matcher what has come by now of a message whose rest is passed over: nobody else notices those bytes."""
        key: cython.longlong = -1
        if half.ending is not None:
            key = half.ending.key
        if self.matcher.passing(direction, key, half.passed, half.seen_ns):
            half.passed = 0
        return 0

    def _on_malformed(self, direction: cython.int, what: str, ts_ns: cython.longlong) -> cython.int:
        """Bytes that break the rules are as good as missing: what they hide is unknown."""
        self.reading.count(self.protocol.name, what)
        self.faults += 1
        if self.faults >= FAULTS_MAX:
            return self._set_aside(ts_ns)
        return self._lose(direction, 0, ts_ns)

    def _set_aside(self, ts_ns: cython.longlong) -> cython.int:
        self.health = SET_ASIDE
        self.faults += 1
        self._drop_waited()
        if self.matcher is not None:
            self.matcher.end(OUTCOME_LOST, ts_ns)
        return 0

    def _report(self, bug: Exception) -> None:
        """Log a bug of a decoder once per place, without a byte of the payload."""
        frames = traceback.extract_tb(bug.__traceback__)
        last = frames.pop()
        place = f"{last.filename}:{last.lineno}"
        if place not in self.reading.logged:
            self.reading.logged.add(place)
            log.error("decoder bug, the connection is set aside: %s at %s", type(bug).__name__, place)


def open_conversation(reading: Reading, connection: Connection, from_start: cython.bint, datagrams: cython.bint) -> Conversation:
    """Whoever reads the connection from here on. `from_start` and `datagrams` as there.

    Datagrams come from a new port each: what has read one is still in the processor's cache when the next one comes.
    """
    if datagrams and reading.spare:
        found: Conversation = reading.spare.pop()
        found.serve(connection)
        return found
    return Conversation(reading, connection, from_start, datagrams)
