"""One connection as its decoder sees it: ordered bytes in, messages to the matcher.

Room: l7. Keeps what stands between bytes and frames, once for all protocols: the head of a frame cut in two (`partial`), the rest
of a frame that nobody wants (`skip`), what to do after a hole (`resync`), which protocol it is (`detect.py`), and what happens
when a decoder gives up. Knows no packets: the stream below it hands over bytes in order, and says where some are missing.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import cython

from receiver.l7.decoder import Decoder
from receiver.l7.detect import Detector
from receiver.l7.matcher import Matcher, Pairing
from receiver.l7.preamble import BROKEN, FIRST, NONE, UNDER_WAY, Preamble, may_begin
from receiver.l7.trust import Trust
from receiver.wire.cursor import Cursor
from receiver.wire.records import Connection, Consumer, Endpoints, Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import ANSWERS_BEGUN, MORE, SEVERAL, SKIP_TO_CLOSE, SKIP_UNKNOWN
    from receiver.wire.records import BEGINS, ENDS, OUTCOME_LOST, TO_CLIENT, TO_SERVER, VANTAGE_CLIENT, new_message

log = logging.getLogger(__name__)

READING = 0
DETECTING = 1
SET_ASIDE = 2
STATES = ("reading", "detecting", "set aside")

# A flow that breaks the rules this often is not what it was taken for.
FAULTS_MAX = 16
# What detection may cost: bytes kept of each direction while they could still be something, however small the pieces in which they
# come, and how often a flow is looked at that is nothing: when it begins, and joined late when the direction turns.
DETECT_BYTES = 4096
DETECT_TRIES = 4
# One behind the other, before a connection's own protocol: a balancer before a proxy, twice.
PREAMBLES_MAX = 4
# A frame cut in two is joined with so much of the segment in which it ends, and no more of one that is longer than JOINED_WHOLE.
JOINED = 512
JOINED_WHOLE = 4096
# Readers of datagrams that wait for another flow: 4 MB, which were in use all at a time.
SPARE_MAX = 4096


class Reading:
    """What all conversations share: matching, detection, limits, whom to believe, the counts of what could not be read, and those
    of datagrams that wait for another flow.

    `bytes_set_aside`: of flows that are no known protocol, and what decoders did not get or could not read. `undetected`: flows
    that ended before their protocol was known, by why. `preambles`: what stood before connections' own protocols, by its kind.
    """

    def __init__(
        self,
        pairing: Pairing,
        detector: Detector,
        detail: cython.bint = True,
        head_max: cython.Py_ssize_t = 65536,
        trust: Trust | None = None,
    ) -> None:
        self.pairing = pairing
        self.detector = detector
        self.detail = detail
        self.head_max = head_max
        self.errors: dict[tuple[str, str], int] = {}
        self.gaps: dict[str, int] = {}
        # What was detected last, how often since it was something else, and all before that.
        self._last: Protocol | None = None
        self._times = 0
        self._before: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self.bytes_set_aside = 0
        self.undetected: dict[str, int] = {}
        self.preambles: dict[str, int] = {}
        self.trust = Trust() if trust is None else trust
        self.first = FIRST
        self.cursor = Cursor(b"")
        self.spare: list[Conversation] = []
        self.logged: set[str] = set()
        # Told of each connection on which something was said when it is over: the protocol, None where that stayed unknown, whether
        # it could be followed to its end, and its ends.
        self.on_end: Callable[[Protocol | None, bool, Endpoints], None] | None = None

    def open(self, connection: Connection, from_start: cython.bint, datagrams: cython.bint) -> Conversation:
        """Whoever reads the connection from here on. `from_start` as there.

        Datagrams come from a new port each: what has read one is still in the processor's cache when the next one comes.
        """
        if datagrams and self.spare:
            found: Conversation = self.spare.pop()
            found.serve(connection)
            return found
        return Conversation(self, connection, from_start, datagrams)

    def keep(self, conversation: Conversation) -> cython.int:
        """Nothing has to be remembered there: it waits for `open`."""
        if len(self.spare) < SPARE_MAX:
            self.spare.append(conversation)
        return 0

    def detect(self, protocol: Protocol) -> cython.int:
        """Count a flow whose protocol is known now."""
        if protocol is not self._last:
            self._before = self.detected
            self._last = protocol
            self._times = 0
        self._times += 1
        return 0

    @property
    def detected(self) -> dict[str, int]:
        """Flows by the name of their protocol."""
        last: Protocol | None = self._last
        if last is None:
            return {}
        return {**self._before, last.name: self._before.get(last.name, 0) + self._times}


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
        self.hint: Protocol | None = None
        self.ending: Message | None = None
        self.resync = False
        self.tries = 0

    def start(self) -> cython.int:
        """What is left is of the flow before."""
        self.seen_ns = 0
        self.hint = None
        self.tries = 0
        return 0


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
        self.from_start = from_start
        self.last_direction = -1
        self.waited: list[tuple[int, bytes, int]] | None = None
        # Nothing was said yet; what stands before the protocol, while it is read; and how many such there may still be.
        self.fresh = not datagrams
        self.preamble: Preamble | None = None
        self.preambles_left = PREAMBLES_MAX
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
        self.matcher.begin(None, False)
        self.health = DETECTING
        self.reading.keep(self)
        return True

    def serve(self, connection: Connection) -> cython.int:
        """Read the datagrams of another flow."""
        self.connection = connection
        self.from_start = False
        self.last_direction = -1
        self.ended = False
        self.to_server.start()
        self.to_client.start()
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
            if self.health == SET_ASIDE and (
                self.from_start or (direction == self.last_direction and not self.datagrams) or self.faults
            ):
                self.reading.bytes_set_aside += end - start
                return 0
            try:
                return self._detect(direction, buf, start, end, ts_ns)
            except Exception as bug:
                self._report(bug)
                self._count("unknown", "internal")
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
            key = (self.protocol.name, "head too long")
            self.reading.errors[key] = self.reading.errors.get(key, 0) + 1
            return 0
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
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        c: Cursor = self.reading.cursor
        detector: Detector = self.reading.detector
        self.last_direction = direction
        self.health = DETECTING
        if self.preamble is not None:
            return self._before(direction, buf, start, end, ts_ns)
        if self.fresh:
            self.fresh = False
            if self.reading.first[buf[start]] and self._may_begin(direction, buf, start, end):
                return self._before(direction, buf, start, end, ts_ns)
        if direction == TO_SERVER and self.server_address is not None and self._again():
            self._drop_waited()  # answers to what nobody saw, that could have been something else
            self._begin(self.protocol)
            return self.feed(direction, buf, start, end, ts_ns)
        # Most flows are known by their first bytes, which then need not be kept.
        first: cython.bint = self.waited is None
        if first:
            c.set(buf, start, end)
        else:
            self._wait(direction, half, buf, start, end, ts_ns)
            if self.datagrams:
                c.set(buf, start, end)  # each stands for itself
            else:
                c.set(half.partial, 0, len(half.partial))
        detector.cut_off = self.cut_off
        found: Protocol | None = detector.choose(self.connection, direction, c, self.datagrams)
        half.hint = detector.hinted
        other: HalfStream = self.to_server if direction == TO_CLIENT else self.to_client
        if found is None and half.hint is not None and other.partial is not None and other.hint is half.hint:
            if self._agree(direction, half.hint):
                found = half.hint  # both sides could be what the port says, and answer one another
        if found is not None:
            if detector.swapped:
                self._swap()
            self._begin(found)
            if first:
                if detector.swapped:
                    direction = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
                return self.feed(direction, buf, start, end, ts_ns)
            self._replay(detector.swapped)
            return 0
        if first:
            self._wait(direction, half, buf, start, end, ts_ns)
        self.cut_off = 0
        if (
            direction == TO_SERVER
            and self.from_start
            and self.to_client.tries == 0
            and len(half.partial) < DETECT_BYTES
            and not self.datagrams
        ):
            return 0  # a request that breaks every rule may still get an answer that tells the protocol
        if not detector.undecided or len(half.partial) >= DETECT_BYTES:
            # What the other direction kept goes too: bytes are passed over from here on, and it must not be joined to later ones.
            self._drop_waited()
            half.tries += 1
            self.health = SET_ASIDE
            if detector.expected:
                self.from_start = False  # a port that is pinned is worth another look, whatever came first
            elif half.tries + other.tries >= DETECT_TRIES:
                self.from_start = True  # it had its chances: from now on nothing is looked at
        return 0

    def _may_begin(
        self, direction: cython.int, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.bint:
        """Whether something may stand before the protocol; then `preamble` reads it."""
        if self.preambles_left == 0 or (direction == TO_CLIENT and self.connection.roles_known):
            return False
        if not may_begin(buf[start : min(end, start + 16)], self.from_start and direction == TO_SERVER):
            return False
        self.preamble = Preamble()
        return True

    def _before(
        self, direction: cython.int, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        """Read what stands before the protocol; what follows it is as good as the connection's first bytes."""
        preamble: Preamble = self.preamble
        verdict: cython.int = preamble.take(direction, buf[start:end], ts_ns)
        if verdict == UNDER_WAY:
            return 0
        if verdict == BROKEN:
            self._count(preamble.kind, preamble.what)
            self._drop_waited()
            self.health = SET_ASIDE
            self.from_start = True  # whoever listens there closes the connection, and nobody else knows what follows
            return 0
        self.preamble = None
        swapped: cython.bint = False
        if verdict != NONE:
            preambles = self.reading.preambles
            preambles[preamble.kind] = preambles.get(preamble.kind, 0) + 1
            self.preambles_left -= 1
            self.fresh = True
            self.from_start = True
            swapped = preamble.client == TO_CLIENT
            if swapped:
                self._swap()
            self.connection.roles_known = True
            endpoints: Endpoints = self.connection.endpoints()
            if preamble.address is not None and self.reading.trust.covers(endpoints.caller()):
                endpoints.announced_address = preamble.address
                endpoints.announced_port = preamble.port
        for came, piece, piece_ns in preamble.waited:
            direction = came
            if swapped:
                direction = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
            self.feed(direction, piece, 0, len(piece), piece_ns)
        return 0

    def _swap(self) -> cython.int:
        """Client and server are the other way round."""
        self.connection.swap_roles()
        server: HalfStream = self.to_server
        self.to_server = self.to_client
        self.to_client = server
        return 0

    def _drop_waited(self) -> cython.int:
        """What waited to be read is not."""
        self._drop_partial(self.to_server)
        self._drop_partial(self.to_client)
        if self.preamble is not None:
            for _, piece, _ in self.preamble.waited:
                self.reading.bytes_set_aside += len(piece)
            self.preamble = None
        self.waited = None
        return 0

    def _drop_partial(self, half: HalfStream) -> cython.int:
        if half.partial is not None:
            self.reading.bytes_set_aside += len(half.partial)
            half.partial = None
        return 0

    def _agree(self, direction: cython.int, hint: Protocol) -> cython.bint:
        """Whether what came last of `direction` can be a question and an answer with something that waits of the other one."""
        detector: Detector = self.reading.detector
        if not self.datagrams:
            return detector.agree(hint, self.to_server.partial, self.to_client.partial)
        latest: bytes = self.waited[len(self.waited) - 1][1]
        for came, piece, _ in self.waited:
            if came != direction:
                asked, told = (piece, latest) if direction == TO_CLIENT else (latest, piece)
                if detector.agree(hint, asked, told):
                    return True
        return False

    def _wait(
        self,
        direction: cython.int,
        half: HalfStream,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
    ) -> cython.int:
        """Keep what came until it is known what it is."""
        piece: bytes = buf[start:end]
        if self.waited is None:
            self.waited = []
        self.waited.append((direction, piece, ts_ns))
        half.partial = piece if half.partial is None else half.partial + piece
        return 0

    def _begin(self, protocol: Protocol) -> cython.int:
        connection: Connection = self.connection
        endpoints: Endpoints = connection.endpoints()
        uncertain: cython.bint = not self.from_start and not self.datagrams
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

    def _replay(self, swapped: cython.bint) -> cython.int:
        """Read what waited for the detection, as it came: in its order, each piece with its own time."""
        waited: list[tuple[int, bytes, int]] = self.waited
        self.waited = None
        self.to_server.partial = None
        self.to_client.partial = None
        for came, piece, ts_ns in waited:
            direction: cython.int = came
            if swapped:
                direction = TO_SERVER if direction == TO_CLIENT else TO_CLIENT
            self.feed(direction, piece, 0, len(piece), ts_ns)
        return 0

    def gap(self, direction: cython.int, missing: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        """`missing` bytes of `direction` never came (0: nobody knows how many)."""
        if self.datagrams:
            self.cut_off = missing
            return 0
        half: HalfStream = self.to_client if direction == TO_CLIENT else self.to_server
        if self.health != READING:
            # What the other direction kept belongs to what is missing: it could only be paired with something else.
            self._drop_waited()
            self.from_start = False
            self.fresh = False
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
            if self.reading.on_end is not None and (self.connection.protocol is not None or self.last_direction >= 0):
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
        if self.connection.protocol is None and (self.health == SET_ASIDE or self.waited is not None or self.preamble is not None):
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
        self._count(self.protocol.name, what)
        self.faults += 1
        if self.faults >= FAULTS_MAX:
            return self._set_aside(ts_ns)
        return self._lose(direction, 0, ts_ns)

    def _count(self, protocol: str, what: str) -> cython.int:
        key = (protocol, what)
        errors = self.reading.errors
        errors[key] = errors.get(key, 0) + 1
        return 0

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
