"""One flow until its protocol is known: what came is kept, and given back to be read.

Room: l7. `detect.py` says what bytes could be, `preamble.py` reads what stands before a protocol. Here is what belongs to one flow:
what both sides have said so far, which of them were looked at how often, and when it is given up.
"""

from __future__ import annotations

import cython

from receiver.l7.detect import Detector
from receiver.l7.preamble import BROKEN, FIRST, NONE, UNDER_WAY, Preamble, may_begin
from receiver.l7.reading import Reading
from receiver.wire.cursor import Cursor
from receiver.wire.records import Connection, Endpoints, Protocol

if not cython.compiled:
    from receiver.wire.records import TO_CLIENT, TO_SERVER

    # Answers of `take`, C enums of the `.pxd` in the compiled module.
    WAITS = 0
    KNOWN = 1
    ANEW = 2
    GIVEN_UP = 3

# What detection may cost: bytes kept of each direction while they could still be something, however small the pieces in which they
# come, and how often a flow is looked at that is nothing: when it begins, and joined late when the direction turns.
DETECT_BYTES = 4096
DETECT_TRIES = 4
# One behind the other, before a connection's own protocol: a balancer before a proxy, twice.
PREAMBLES_MAX = 4
FIRST_BYTES: bytes = FIRST


@cython.no_gc
@cython.cclass
class Head:
    """What one direction said first. `hint`: what it could be, and is by the server's port; `tries`: how often it was nothing."""

    def __init__(self) -> None:
        self.said: bytes | None = None
        self.hint: Protocol | None = None
        self.tries = 0


@cython.no_gc
@cython.cclass
class Detection:
    """Of one flow. `from_start` and `datagrams` as `Conversation` has them.

    `waited`: direction, bytes and time of each piece since the begin or the last gap; None when nothing waits. `protocol` once it
    is KNOWN; `swapped`: client and server were the other way round, so that what `waited` has of one is the other's.
    """

    def __init__(self, reading: Reading, connection: Connection, from_start: cython.bint, datagrams: cython.bint) -> None:
        self.reading = reading
        self.connection = connection
        self.from_start = from_start
        self.datagrams = datagrams
        self.to_server = Head()
        self.to_client = Head()
        self.waited: list[tuple[int, bytes, int]] | None = None
        self.protocol: Protocol | None = None
        self.swapped = False
        self.last_direction = -1
        # Nothing was said yet; what stands before the protocol, while it is read; and how many such there may still be.
        self.fresh = not datagrams
        self.preamble: Preamble | None = None
        self.preambles_left = PREAMBLES_MAX

    def serve(self, connection: Connection | None) -> cython.int:
        """Detect the protocol of another flow of datagrams."""
        self.connection = connection
        self.from_start = False
        self.last_direction = -1
        self.to_server.hint = None
        self.to_server.tries = 0
        self.to_client.hint = None
        self.to_client.tries = 0
        return 0

    def passes(self, direction: cython.int) -> cython.bint:
        """Whether what comes of `direction` is not looked at, after GIVEN_UP."""
        return self.from_start or (direction == self.last_direction and not self.datagrams)

    def unfinished(self) -> cython.bint:
        """Whether something waits for more."""
        return self.waited is not None or self.preamble is not None

    def take(
        self,
        direction: cython.int,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        cut_off: cython.Py_ssize_t,
    ) -> cython.int:
        """What is known of the flow with the next bytes of `direction`. `cut_off`: how many the capture lacks at their end.

        WAITS for more. KNOWN: `protocol` is. ANEW: what waits begins behind a preamble, or there was none; it is to be taken once
        more. GIVEN_UP: nothing known; from here on `passes` tells what is worth taking.
        """
        self.last_direction = direction
        self.swapped = False
        if self.preamble is not None:
            return self._before(direction, buf, start, end, ts_ns)
        if self.fresh:
            self.fresh = False
            if FIRST_BYTES[buf[start]] and self._may_begin(direction, buf, start, end):
                return self._before(direction, buf, start, end, ts_ns)
        head: Head = self.to_client if direction == TO_CLIENT else self.to_server
        other: Head = self.to_server if direction == TO_CLIENT else self.to_client
        c: Cursor = self.reading.cursor
        detector: Detector = self.reading.detector
        # Most flows are known by their first bytes, which then need not be kept.
        first: cython.bint = self.waited is None
        if first:
            c.set(buf, start, end)
        else:
            self._wait(direction, head, buf, start, end, ts_ns)
            if self.datagrams:
                c.set(buf, start, end)  # each stands for itself
            else:
                c.set(head.said, 0, len(head.said))
        detector.cut_off = cut_off
        found: Protocol | None = detector.choose(self.connection, direction, c, self.datagrams)
        head.hint = detector.hinted
        if found is None and head.hint is not None and other.said is not None and other.hint is head.hint:
            if self._agree(direction, head.hint):
                found = head.hint  # both sides could be what the port says, and answer one another
        if found is not None:
            self.protocol = found
            self.swapped = detector.swapped
            if self.swapped:
                self.connection.swap_roles()
            return KNOWN
        if first:
            self._wait(direction, head, buf, start, end, ts_ns)
        if (
            direction == TO_SERVER
            and self.from_start
            and self.to_client.tries == 0
            and len(head.said) < DETECT_BYTES
            and not self.datagrams
        ):
            return WAITS  # a request that breaks every rule may still get an answer that tells the protocol
        if detector.undecided and len(head.said) < DETECT_BYTES:
            return WAITS
        head.tries += 1
        if detector.expected:
            self.from_start = False  # a port that is pinned is worth another look, whatever came first
        elif head.tries + other.tries >= DETECT_TRIES:
            self.from_start = True  # it had its chances: from now on nothing is looked at
        # What the other direction kept goes too: bytes are passed over from here on, and it must not be joined to later ones.
        self.drop()
        return GIVEN_UP

    def release(self) -> list[tuple[int, bytes, int]] | None:
        """What waited, to be read: nothing waits from here on."""
        waited: list[tuple[int, bytes, int]] | None = self.waited
        self.waited = None
        self.to_server.said = None
        self.to_client.said = None
        return waited

    def drop(self) -> cython.int:
        """What waited is not read."""
        reading: Reading = self.reading
        pieces: list[tuple[int, bytes, int]] | None = self.waited if self.preamble is None else self.preamble.waited
        if pieces is not None:
            for _, piece, _ in pieces:
                reading.bytes_set_aside += len(piece)
            self.preamble = None
            self.release()
        return 0

    def gap(self) -> cython.int:
        """Bytes are missing. What the other direction said belongs to them: it could only be paired with something else."""
        self.drop()
        self.from_start = False
        self.fresh = False
        return 0

    def _wait(
        self,
        direction: cython.int,
        head: Head,
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
        head.said = piece if head.said is None else head.said + piece
        return 0

    def _agree(self, direction: cython.int, hint: Protocol) -> cython.bint:
        """Whether what came last of `direction` can be a question and an answer with something that waits of the other one."""
        detector: Detector = self.reading.detector
        if not self.datagrams:
            return detector.agree(hint, self.to_server.said, self.to_client.said)
        latest: bytes = self.waited[len(self.waited) - 1][1]
        for came, piece, _ in self.waited:
            if came != direction:
                asked, told = (piece, latest) if direction == TO_CLIENT else (latest, piece)
                if detector.agree(hint, asked, told):
                    return True
        return False

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
        reading: Reading = self.reading
        preamble: Preamble = self.preamble
        verdict: cython.int = preamble.take(direction, buf[start:end], ts_ns)
        if verdict == UNDER_WAY:
            return WAITS
        if verdict == BROKEN:
            reading.count(preamble.kind, preamble.what)
            self.drop()
            self.from_start = True  # whoever listens there closes the connection, and nobody else knows what follows
            return GIVEN_UP
        self.preamble = None
        self.waited = preamble.waited
        if verdict != NONE:
            reading.preambles[preamble.kind] = reading.preambles.get(preamble.kind, 0) + 1
            self.preambles_left -= 1
            self.fresh = True
            self.from_start = True
            self.swapped = preamble.client == TO_CLIENT
            if self.swapped:
                self.connection.swap_roles()
            self.connection.roles_known = True
            endpoints: Endpoints = self.connection.endpoints()
            if preamble.address is not None and reading.trust.covers(endpoints.caller()):
                endpoints.announced_address = preamble.address
                endpoints.announced_port = preamble.port
        return ANEW
