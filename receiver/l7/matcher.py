"""Pairs requests with responses: once, for every protocol.

Room: l7. A decoder offers messages or pieces of them; out come roundtrips. Requests without a key pair in order, first in first
answered; others by their key. Every request that was offered leaves exactly once: paired, one-way, or unanswered with the
reason; every response is paired or counted as unmatched. `Pairing` counts, so that this can be checked at any moment. A pair whose
response has no `error_side`, because its decoder could not read a status, is neither `ok` nor `error`.

What a hole does to an order. After bytes of unknown meaning are gone (or before the first ones that were seen) it is not known
how many requests or responses they held, so the next answer need not belong to the next request. Pairs made then are
tentative: they are held until a request begins with everything before it answered, which shows that the order was right, or
until the connection ends or rests. An answer that nobody asked for shows that it was wrong: then all held pairs are given up.
A client that sends its next request while older ones wait, answer by answer, proves nothing that way: with one request lost,
each answer is taken for the next request's, for ever. Only a rest proves its order.
"""

from __future__ import annotations

import cython

from receiver.l7.asked import Asked, Keyed
from receiver.wire.records import UNREACHABLES, Endpoints, Message, Protocol, Roundtrip, Sink

if not cython.compiled:
    from receiver.wire.records import (
        BEGINS,
        CERTAIN,
        ENDS,
        ERROR_BOTH,
        ERROR_CLIENT,
        ERROR_UNREAD,
        GONE,
        OUTCOME_ERROR,
        OUTCOME_LOST,
        OUTCOME_OK,
        OUTCOME_ONE_WAY,
        OUTCOME_TIMEOUT,
        OUTCOME_UNKNOWN,
        OUTCOME_UNREACHABLE,
        ROLE_REQUEST,
        TENTATIVE,
        TO_SERVER,
        UNNOTED,
        VANTAGE_CLIENT,
    )

# A connection that never rests cannot prove its order; 64 pairs x 2 messages x about 300 bytes is 40 KB at most.
HELD_MAX = 64
# How much deeper a pipeline may be than `pending_max`: with 1 024 it is 16 384, as clients that load a store send without reading a
# reply. A chain that nobody takes apart is freed by recursion, for which 100 000 would be too many.
PIPELINE = 16
PIPELINE_MAX = 16384
# How many such pipelines wait at once. A request is 280 bytes, 450 with what its span says: 18 to 30 MB at most.
PIPELINES = 4
# So long without a message, and with nothing to be answered, a connection rests: an answer that is owed would have come.
REST_NS = 1_000_000_000


class Pairing:
    """What all matchers share: where roundtrips go, the limits, and the count of everything offered.

    Conservation: requests = paired + one_way + unanswered + repeated + open; responses = paired + unmatched (+ those begun and
    not ended).
    `pending_max` requests wait per connection; one more is refused, and counted in `refused` and `unanswered`. Pipelines that are
    answered in order may be deeper: `pipeline_max` of one connection wait, as long as of all connections together fewer than
    `queued_max` are `queued` so.
    """

    def __init__(self, sink: Sink, pending_max: cython.int = 1024, timeout_ns: cython.longlong = 30_000_000_000) -> None:
        self.sink = sink
        self.roundtrip = Roundtrip()
        self.pending_max = pending_max
        self.pipeline_max = min(PIPELINE * pending_max, PIPELINE_MAX)
        self.queued_max = PIPELINES * self.pipeline_max
        self.queued = 0
        self.timeout_ns = timeout_ns
        self.requests = 0
        self.responses = 0
        self.paired = 0
        self.one_way = 0
        self.unanswered = 0
        self.unmatched = 0
        self.refused = 0
        self.repeated = 0
        self.open = 0
        self.steps = 0
        self.shift_ns = 0
        self.before_ns = 0
        self.stepped_ns = 0

    def set_clock(
        self, steps: cython.Py_ssize_t, shift_ns: cython.longlong, before_ns: cython.longlong, stepped_ns: cython.longlong
    ) -> cython.int:
        """The packets' clock was set `steps` times, last when it was `stepped_ns` in the steady time of messages: since then it is
        ahead of that by `shift_ns`, before by `before_ns`."""
        self.steps = steps
        self.shift_ns = shift_ns
        self.before_ns = before_ns
        self.stepped_ns = stepped_ns
        return 0


@cython.no_gc
@cython.cclass
class Matcher(Asked):
    """The requests of one connection that wait for an answer, and what becomes of them."""

    def __init__(self, pairing: Pairing, protocol: Protocol, endpoints: Endpoints, uncertain: cython.bint) -> None:
        Asked.__init__(self)
        self.pairing = pairing
        self.protocol = protocol
        self.endpoints = endpoints
        self.pending = 0
        self.open_request: Message | None = None
        self.open_response: Message | None = None
        self.uncertain = uncertain
        self.held: list[Message] | None = None
        self.overlaps = False  # a request came after an answer, while older requests still waited: this client pipelines
        self.several = False  # more than one request waited while the order was uncertain
        self.lost_since = False  # requests may have gone unseen since the last one that was seen
        self.answering = False
        self.heard_ns = 0

    def is_idle(self) -> cython.bint:
        """Whether nothing waits, and nothing is in doubt."""
        return not (self.uncertain or self.busy())

    def begin(self, endpoints: Endpoints | None, uncertain: cython.bint) -> cython.int:
        """Nothing waits here: go on for another connection."""
        self.endpoints = endpoints
        self.uncertain = uncertain
        self.doubted = False
        self.overlaps = False
        self.several = False
        self.answering = False
        self.last_ns = 0
        self.heard_ns = 0
        return 0

    def offer(self, piece: Message) -> cython.int:
        """Take a message, or a piece of one; the matcher keeps it."""
        if piece.key >= 0:
            return self._by_key(piece)
        if piece.role == ROLE_REQUEST:
            return self._request(piece)
        return self._response(piece)

    def _request(self, piece: Message) -> cython.int:
        if not piece.piece & BEGINS:
            if self.open_request is not None:
                self._merge(self.open_request, piece)
                if piece.piece & ENDS:
                    whole: Message = self.open_request
                    self.open_request = None
                    if not whole.expects_reply:
                        self.pairing.open -= 1
                        self.pairing.one_way += 1
                        self._emit(whole, None, OUTCOME_ONE_WAY, whole.last_ns)
            return 0
        self.pairing.requests += 1
        if piece.trace_id is not None:
            self.pairing.sink.begins(self.endpoints, piece)
        self._abandon(piece.first_ns)
        if self.answering and self.pending > 0:
            self.overlaps = True
        if self.uncertain:
            self._prove(piece.first_ns)
        if not piece.expects_reply:
            if piece.piece & ENDS:
                self.pairing.one_way += 1
                return self._emit(piece, None, OUTCOME_ONE_WAY, piece.last_ns)
            self.pairing.open += 1
            self.open_request = piece
            return 0
        self.lost_since = False
        if self.uncertain:
            piece.state = TENTATIVE
            self.several = self.overlaps or self.pending > 0
        self.answering = False
        self.last_ns = piece.last_ns
        if self.pending >= self.pairing.pending_max:
            if self.pending >= self.pairing.pipeline_max or self.pairing.queued >= self.pairing.queued_max:
                return self._refuse(piece)
        if self.tail is None:
            self.head = piece
        else:
            self.tail.next = piece
        self.tail = piece
        self.pending += 1
        self.pairing.queued += 1
        self.pairing.open += 1
        if not piece.piece & ENDS:
            self.open_request = piece
        return 0

    def _prove(self, ts_ns: cython.longlong) -> cython.int:
        """A request begins, of an order in doubt: where all before it is answered the order was right."""
        if self.pending > 0 or self.open_response is not None:
            return 0
        rested: cython.bint = self.last_ns > 0 and ts_ns - self.last_ns >= REST_NS
        if not rested and (self.overlaps or self.held is None):
            if not self.overlaps:
                self.doubted = False
            return 0
        again: cython.bint = self.lost_since and not rested
        if self.held is not None:
            self._release()
        self.uncertain = again
        self.doubted = False
        return 0

    def _abandon(self, ts_ns: cython.longlong) -> cython.int:
        """No more comes of a request that has begun. One that expects an answer waits for it all the same."""
        begun: Message = self.open_request
        if begun is not None:
            self.open_request = None
            begun.body = -1
            if not begun.expects_reply:
                return self._unanswered(begun, None, OUTCOME_LOST, ts_ns)
        return 0

    def _refuse(self, piece: Message) -> cython.int:
        """Give it up, and keep its place, so that its answer goes to nobody else; one object keeps all places in a row."""
        self.pairing.refused += 1
        last: Message = self.tail
        if last.state == GONE:
            last.repeats += 1
            if last.note != piece.note:
                last.note = UNNOTED
        else:
            place: Message = Message()
            place.note = piece.note
            place.last_ns = piece.last_ns
            place.state = GONE
            last.next = place
            self.tail = place
            self.pending += 1
            self.pairing.queued += 1
        self.pairing.open += 1
        return self._unanswered(piece, None, OUTCOME_LOST, piece.last_ns)

    def _response(self, piece: Message) -> cython.int:
        self.answering = True
        self.last_ns = piece.last_ns
        self.heard_ns = piece.last_ns
        if not piece.piece & BEGINS:
            if self.open_response is not None:
                self._merge(self.open_response, piece)
                if piece.piece & ENDS:
                    response: Message = self.open_response
                    request: Message = self.answered
                    self.open_response = None
                    self.answered = None
                    self._complete(request, response)
            return 0
        self.pairing.responses += 1
        if self.open_response is not None:
            # The decoder found a new response before the old one ended: the old one is as complete as it gets.
            older: Message = self.open_response
            its: Message = self.answered
            self.open_response = None
            self.answered = None
            older.body = -1
            self._complete(its, older)
        asked: Message = self._pop()
        if asked is None or asked.state == GONE:
            self.pairing.unmatched += 1
            if asked is None and self.held is not None:
                self._void()
            return 0
        if piece.piece & ENDS:
            return self._complete(asked, piece)
        self.open_response = piece
        self.answered = asked
        return 0

    def _pop(self) -> Message:
        first: Message = self.head
        if first is not None:
            if first.repeats > 0:
                first.repeats -= 1  # it keeps places of others
                return first
            self.head = first.next
            first.next = None
            if self.head is None:
                self.tail = None
            self.pending -= 1
            self.pairing.queued -= 1
        return first

    def _by_key(self, piece: Message) -> cython.int:
        if self.keyed is None:
            self.keyed = Keyed()
        request: Message | None = self.keyed.find(piece.key)  # a begun answer hangs at its `next`
        if piece.role == ROLE_REQUEST:
            if not piece.piece & BEGINS:
                if request is not None:
                    self._merge(request, piece)
                    if piece.piece & ENDS and not request.expects_reply:
                        self.keyed.remove(request)
                        self.pending = self.keyed.count
                        self.pairing.open -= 1
                        self.pairing.one_way += 1
                        return self._emit(request, None, OUTCOME_ONE_WAY, request.last_ns)
                return 0
            self.pairing.requests += 1
            if request is not None and self.protocol.repeats:
                self.pairing.repeated += 1
                request.repeats += 1
                request.last_ns = piece.last_ns
                request.size += piece.size
                return 0
            if piece.trace_id is not None:
                self.pairing.sink.begins(self.endpoints, piece)
            if not piece.expects_reply and piece.piece & ENDS:
                self.pairing.one_way += 1
                return self._emit(piece, None, OUTCOME_ONE_WAY, piece.last_ns)
            self.pairing.open += 1
            if request is not None:
                # The key is used again while its request waits: the older one can have no answer any more.
                self._give_up(request, OUTCOME_LOST, piece.first_ns)
            elif self.pending >= self.pairing.pending_max:
                self.pairing.refused += 1
                return self._unanswered(piece, None, OUTCOME_LOST, piece.last_ns)
            self.keyed.add(piece)
            self.pending = self.keyed.count
            return 0
        answer: Message | None = None
        if request is not None:
            answer = request.next
        if answer is None:
            if not piece.piece & BEGINS:
                return 0
            self.pairing.responses += 1
            if request is None:
                self.pairing.unmatched += 1
                return 0
            answer = piece
            if not piece.piece & ENDS:
                request.next = piece
        else:
            self._merge(answer, piece)
        if piece.piece & ENDS:
            self.keyed.remove(request)
            self.pending = self.keyed.count
            request.next = None
            request.state = CERTAIN
            self._complete(request, answer)
        return 0

    def _give_up(self, request: Message, outcome: cython.int, ts_ns: cython.longlong) -> cython.int:
        """Report a request with a key, and what there is of its answer, as `outcome`."""
        self.keyed.remove(request)
        self.pending = self.keyed.count
        answer: Message | None = request.next
        request.next = None
        if answer is not None:
            self.pairing.unmatched += 1
        if request.state == TENTATIVE:
            outcome = OUTCOME_LOST  # its answer, or its end, may have been among what was lost
        return self._unanswered(request, answer, outcome, ts_ns)

    def hand_over(self, protocol: Protocol) -> Message | None:
        """The connection goes on as another protocol. Returns the request whose answer comes there; those behind get none."""
        self.protocol = protocol
        if self.held is not None:
            self._release()
        first: Message | None = self._pop()
        waiting: Message = self._pop()
        while waiting is not None:
            if waiting.state != GONE:
                self._unanswered(waiting, None, OUTCOME_LOST, waiting.last_ns)
            waiting = self._pop()
        if first is not None and first.state == GONE:
            first = None
        return first

    def adopt(self, request: Message) -> cython.int:
        """Take back what `hand_over` returned; the new protocol's decoder has given it a key."""
        request.state = CERTAIN
        if request.key < 0:
            return self._unanswered(request, None, OUTCOME_LOST, request.last_ns)
        if self.keyed is None:
            self.keyed = Keyed()
        self.keyed.add(request)
        self.pending = self.keyed.count
        return 0

    def _merge(self, whole: Message, piece: Message) -> cython.int:
        whole.last_ns = piece.last_ns
        whole.size += piece.size
        if whole.body != -1:
            whole.body = -1 if piece.body < 0 else piece.body if whole.body < 0 else whole.body + piece.body
        if piece.protocol is not None:
            whole.protocol = piece.protocol
        if piece.operation is not None:
            whole.operation = piece.operation
        if piece.target is not None:
            whole.target = piece.target
        if piece.namespace is not None:
            whole.namespace = piece.namespace
        if piece.status is not None:
            whole.status = piece.status
        if piece.error_type is not None:
            whole.error_type = piece.error_type
        if piece.error_side != ERROR_UNREAD:
            whole.error_side = piece.error_side
        whole.messages += piece.messages
        if piece.metric_only:
            whole.metric_only = True
        if piece.links is not None:
            whole.links = piece.links if whole.links is None else whole.links + piece.links
        if piece.attributes is not None:
            if whole.attributes is None:
                whole.attributes = piece.attributes
            else:
                whole.attributes.extend(piece.attributes)
        return 0

    def _complete(self, request: Message, response: Message) -> cython.int:
        if self.open_request is request:
            self.open_request = None  # answered before it was all sent (413): what still comes of it changes nothing
        if request.state == TENTATIVE:
            if self.held is None:
                self.held = []
            if len(self.held) >= 2 * HELD_MAX:
                self._void()
                self.pairing.unmatched += 1
                return self._unanswered(request, None, OUTCOME_LOST, response.last_ns)
            self.held.append(request)
            self.held.append(response)
            return 0
        self.pairing.open -= 1
        self.pairing.paired += 1
        outcome: cython.int = OUTCOME_OK
        side: cython.int = response.error_side
        if side == ERROR_UNREAD:
            outcome = OUTCOME_UNKNOWN  # whatever the protocol: nothing is called a success whose status nobody read
        elif side == ERROR_BOTH or (side == ERROR_CLIENT and self.endpoints.vantage == VANTAGE_CLIENT):
            outcome = OUTCOME_ERROR
        return self._emit(request, response, outcome, response.last_ns)

    def _unanswered(
        self, request: Message, response: Message | None, outcome: cython.int, ts_ns: cython.longlong
    ) -> cython.int:
        self.pairing.open -= 1
        self.pairing.unanswered += 1
        return self._emit(request, response, outcome, ts_ns)

    def _emit(
        self, request: Message, response: Message | None, outcome: cython.int, end_ns: cython.longlong
    ) -> cython.int:
        roundtrip: Roundtrip = self.pairing.roundtrip
        protocol: Protocol = self.protocol
        if request.protocol is not None:
            protocol = request.protocol
        if response is not None:
            # What the answer tells of the request is known better than what the request told itself.
            if response.protocol is not None:
                if response.protocol is not protocol:
                    request.operation = None  # that is what the other row would call it
                protocol = response.protocol
            if response.operation is not None:
                request.operation = response.operation
            if response.target is not None:
                request.target = response.target
        roundtrip.protocol = protocol
        roundtrip.endpoints = self.endpoints
        roundtrip.request = request
        roundtrip.response = response
        roundtrip.outcome = outcome
        # Small steps of the clock, and rings of interfaces that are read in turn, may put the end before the beginning.
        roundtrip.end_ns = end_ns if end_ns > request.first_ns else request.first_ns
        if self.pairing.steps:
            return self._emit_stepped(roundtrip)
        return self.pairing.sink.roundtrip(roundtrip)

    def _emit_stepped(self, roundtrip: Roundtrip) -> cython.int:
        """Tell it at the time that the packets' clock had when it began; all else of it as much later as it was."""
        pairing: Pairing = self.pairing
        request: Message = roundtrip.request
        response: Message | None = roundtrip.response
        shift_ns: cython.longlong = pairing.shift_ns if request.first_ns >= pairing.stepped_ns else pairing.before_ns
        roundtrip.end_ns += shift_ns
        request.first_ns += shift_ns
        request.last_ns += shift_ns
        if response is not None:
            response.first_ns += shift_ns
            response.last_ns += shift_ns
        pairing.sink.roundtrip(roundtrip)
        request.first_ns -= shift_ns  # its place may still wait here
        request.last_ns -= shift_ns
        return 0

    def _release(self) -> cython.int:
        """The order has proved right: what was held is true, and what follows is certain."""
        held: list[Message] = self.held
        self.held = None
        self.lost_since = False
        self.uncertain = False
        self.doubted = False
        self.several = False
        i: cython.Py_ssize_t = 0
        while i < len(held):
            request: Message = held[i]
            request.state = CERTAIN
            self._complete(request, held[i + 1])
            i += 2
        return 0

    def _void(self) -> cython.int:
        """The order has proved wrong: nothing of what was held is known to belong together."""
        held: list[Message] = self.held
        self.held = None
        i: cython.Py_ssize_t = 0
        while i < len(held):
            request: Message = held[i]
            response: Message = held[i + 1]
            self.pairing.unmatched += 1
            self._unanswered(request, None, OUTCOME_LOST, response.last_ns)
            i += 2
        return 0

    def busy(self) -> cython.bint:
        """Whether `expire` has something to look at."""
        return (
            self.pending > 0 or self.held is not None or self.open_request is not None or self.open_response is not None
        )

    def lost(self, direction: cython.int, ts_ns: cython.longlong) -> cython.int:
        """Messages of `direction` may have gone unseen, an unknown number of them.

        Lost requests: those that wait now were there before and keep their place. Lost answers: nobody knows whose they were, so
        all that wait now are lost. By key, those whose answer had begun are lost; of the others nothing is in doubt, unless no
        answer comes: it may have been among what was lost, or, among lost requests, the word that none is wanted any more.
        """
        if self.keyed is not None:
            if direction == TO_SERVER:
                self._abandon(ts_ns)  # one without an answer has no key
                if self.protocol.repeats:
                    return 0
            for each in self.keyed.all():
                request: Message = each
                # What may have been lost is the end of its answer, or, where nobody answers it, its own.
                begun: cython.bint = request.next is not None if direction != request.direction else not request.expects_reply
                if begun:
                    self._give_up(request, OUTCOME_LOST, ts_ns)
                else:
                    request.state = TENTATIVE
            return 0
        self.uncertain = True
        self.doubted = True
        if direction == TO_SERVER:
            self._abandon(ts_ns)
            self.lost_since = True
            return 0
        if self.held is not None:
            self._void()  # an answer that nobody asked for, which would show that they were wrong, may be what is gone
        return self._drop_waiting(OUTCOME_LOST, ts_ns)

    def _drop_waiting(self, outcome: cython.int, ts_ns: cython.longlong) -> cython.int:
        """Give up every request that waits in order, and the answer that has begun."""
        if self.open_response is not None:
            partial: Message = self.open_response
            asked: Message = self.answered
            self.open_response = None
            self.answered = None
            self.pairing.unmatched += 1
            if outcome == OUTCOME_LOST:
                partial.body = -1
            self._unanswered(asked, partial, outcome, ts_ns)
        waiting: Message = self._pop()
        while waiting is not None:
            if waiting.state != GONE:
                self._unanswered(waiting, None, outcome, ts_ns)
            waiting = self._pop()
        return 0

    def passing(
        self, direction: cython.int, key: cython.longlong, size: cython.longlong, seen_ns: cython.longlong
    ) -> cython.bint:
        """`size` bytes more have come, the last at `seen_ns`, of a message that is under way; False where none is."""
        whole: Message | None = self.open_request if direction == TO_SERVER else self.open_response
        if key >= 0:
            whole = None if self.keyed is None else self.keyed.find(key)
            if whole is not None and direction != whole.direction:
                whole = whole.next
        if whole is None:
            return False
        whole.size += size
        if whole.body >= 0:
            whole.body += size
        if seen_ns > whole.last_ns:
            whole.last_ns = seen_ns
        return True

    def expire(self, now_ns: cython.longlong, heard_ns: cython.longlong) -> cython.int:
        """Give up what has waited for longer than the timeout, which began with its last byte; it ends when its time was up,
        however much later that is noticed.

        In order a request cannot be answered before those in front of it, so its time begins anew with each byte of their
        answers; `heard_ns` is when one came of an answer that nobody can read yet, 0 where there is none. The place of an expired
        request is kept: its answer may still come, and must not go to the next one. Nothing expires that may wait for ever, nor,
        in order, what waits behind it.
        """
        timeout_ns: cython.longlong = self.pairing.timeout_ns
        limit: cython.longlong = now_ns - timeout_ns
        if self.keyed is not None:
            if heard_ns > 0 and heard_ns >= limit:
                return 0  # whose it is will be known soon
            for request in self.keyed.all():
                waits: Message = request
                # An answer that has begun may take its time: a stream of events rests for hours.
                if waits.last_ns < limit and waits.next is None and waits.expects_reply and not waits.may_block:
                    self._give_up(waits, OUTCOME_TIMEOUT, waits.last_ns + timeout_ns)
            return 0
        if self.held is not None:
            newest: Message = self.held[len(self.held) - 1]
            if self.pending == 0 and newest.last_ns < limit:
                self._release()
                self.uncertain = True  # rest shows that nothing was left over, not that the next order is right
        if self.heard_ns > heard_ns:
            heard_ns = self.heard_ns
        if self.open_response is not None and self.open_response.last_ns > heard_ns:
            heard_ns = self.open_response.last_ns
        waiting: Message = self.head
        while waiting is not None and not waiting.may_block:
            since_ns: cython.longlong = waiting.last_ns if waiting.last_ns > heard_ns else heard_ns
            if since_ns >= limit:
                break
            if waiting.state != GONE:
                # In doubt its answer may have been taken for another's.
                doubtful: cython.bint = waiting.state == TENTATIVE and self.held is not None
                waiting.state = GONE
                self._unanswered(waiting, None, OUTCOME_LOST if doubtful else OUTCOME_TIMEOUT, since_ns + timeout_ns)
            waiting = waiting.next
        return 0

    def unreachable(self, reason: cython.int, ts_ns: cython.longlong) -> cython.int:
        """What was asked does not arrive: nothing that waits is answered. `reason`: a place in UNREACHABLES."""
        why: str = UNREACHABLES[reason]
        if self.keyed is not None:
            for each in self.keyed.all():
                request: Message = each
                request.error_type = why
                self._give_up(request, OUTCOME_UNREACHABLE, ts_ns)
            return 0
        waiting: Message = self.head
        while waiting is not None:
            waiting.error_type = why
            waiting = waiting.next
        return self._drop_waiting(OUTCOME_UNREACHABLE, ts_ns)

    def end(self, outcome: cython.int, ts_ns: cython.longlong) -> cython.int:
        """The connection is over, or nothing can be read on it any more: nothing stays behind."""
        if self.held is not None:
            # Of several requests at once the last answer may be owed, unless it had its time.
            if self.several and ts_ns - self.last_ns < REST_NS:
                self._void()
            else:
                self._release()
            # An answer may have been taken for another's: what has none now is not known to have got none.
            outcome = OUTCOME_LOST
        if self.keyed is not None:
            for request in self.keyed.all():
                self._give_up(request, outcome, ts_ns)
        else:
            self._drop_waiting(outcome, ts_ns)
        if self.open_request is not None:
            if not self.open_request.expects_reply:
                self._unanswered(self.open_request, None, outcome, ts_ns)
            self.open_request = None
        return 0
