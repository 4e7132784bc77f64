"""AMQP 0-9-1 as RabbitMQ speaks it: what is published, confirmed, delivered and settled; bodies are passed over by count.

Room: l7; follows the contract of `decoder.py`. Sources: AMQP 0-9-1 specification; RabbitMQ, "Consumer Acknowledgements and
Publisher Confirms", "AMQP 0-9-1 Extensions".

    frame:   [u8 kind][u16 channel][u32 length] payload [u8 CE]
    method:  [u16 class][u16 method] arguments          kind 1
    header:  [u16 class][u16 0][u64 length of the body][u16 which properties] properties     kind 2, behind a method with content
    body:    bytes, as many frames as it takes          kind 3

What is paired, each on its channel:

- a method and the one that answers it, one after the other;
- what is published, where the channel has confirms, and the ack or nack with its number, or with a higher one and `multiple`.
  The broker counts from the client's `confirm.select`, which so must have been seen: otherwise the number is known again when
  one message alone is confirmed after a rest;
- what is delivered, which is a request of the broker, and the client's ack, nack or reject of its tag.

Whoever closes a channel or a connection ends what was under way on it.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.amqp_names import Method, Vocabulary
from receiver.l7.decoder import Decoder
from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Message, Protocol

if not cython.compiled:
    from receiver.l7.amqp_names import (
        BASIC_ACK,
        BASIC_CONSUME,
        BASIC_CONSUME_OK,
        BASIC_DELIVER,
        BASIC_GET,
        BASIC_GET_EMPTY,
        BASIC_GET_OK,
        BASIC_NACK,
        BASIC_PUBLISH,
        BASIC_REJECT,
        BASIC_RETURN,
        CHANNEL_CLOSE,
        CHANNEL_CLOSE_OK,
        CHANNEL_OPEN,
        CONFIRM_SELECT,
        CONNECTION_CLOSE,
        CONNECTION_CLOSE_OK,
        CONNECTION_SECURE,
        QUEUE_DECLARE,
        QUEUE_DECLARE_OK,
        QUEUE_DELETE_OK,
        SENDER_CLIENT,
        SENDER_SERVER,
    )
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, SEVERAL, SKIP_TO_CLOSE, YES
    from receiver.wire.records import (
        BEGINS,
        ENDS,
        ERROR_BOTH,
        ERROR_NONE,
        ERROR_UNREAD,
        ROLE_REQUEST,
        ROLE_RESPONSE,
        TENTATIVE,
        TO_CLIENT,
        TO_SERVER,
        VANTAGE_SERVER,
    )

    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8

    # What is known of confirms on a channel: there are none, it was open before, there are.
    PLAIN = 0
    OPEN_BEFORE = 1
    CONFIRMS = 2

    # Kinds of keys.
    CALL = 0
    PUBLISHED = 1
    DELIVERED = 2
    ONE_WAY = 3

    # Noted on a message that is published: it comes back when it finds no queue.
    MANDATORY = 1

HEAD = 7
CONNECTION = 10
EXCHANGE = 40
FRAME_END = 0xCE
# How far the broker's numbers are ahead: any number but this.
UNKNOWN = -(1 << 62)
GREETING = b"AMQP\x00\x00\x09\x01"
# What may be framed: brokers agree on 128 KiB unless told otherwise.
FRAME_MAX = 1 << 27
# And no frame that is longer is looked for.
PROVED_MAX = 1 << 20
# Of a method or a header so much is seen.
WINDOW = 16384
# A broker allows 2 047 channels unless told otherwise; consumers of a channel are few.
CHANNELS_MAX = 2048
CONSUMERS_MAX = 1024
# Of a channel: tags that came by `get` and wait for their acknowledgement; what came back and waits for its confirm.
WAITING_MAX = 1024
# Of what was delivered and waits, so many tags are looked through where many are acknowledged at once.
TAGS_MAX = 65536
# A channel that was silent for so long owes nothing: what is confirmed next is what was published last.
REST_NS = 1_000_000_000
# Of a channel that was open before the capture: so many messages, and so long, without a word for any of them, and nobody waits
# for one. A broker confirms soon; who consumes may take its time.
SILENT_PUBLISHED = 16
SILENT_PUBLISHED_NS = 5_000_000_000
SILENT_DELIVERED = 512
SILENT_DELIVERED_NS = 30_000_000_000

# Bits of a header's property flags, in the order of the properties; each is a short string but those named here.
_CORRELATION_ID = 10
_MESSAGE_ID = 7
_HEADERS = 13
_BYTE_SIZED = 1 << 12 | 1 << 11
_TIMESTAMP = 6
# Sizes of a table's values by their type (RabbitMQ's errata of the specification); others have a length of 32 bits in front.
_SIZES = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"sUu", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"lLdT", 8),
    ord("D"): 5,
    ord("V"): 0,
}


@cython.final
@cython.cclass
class Consumer:
    """`queue` as on the wire, None where it is not known; `settles`: 1 where it acknowledges what it gets, 0 where not, -1 where
    that is not known. `spelling` and `target`: where its last message came from."""

    def __init__(self, queue: bytes | None, settles: cython.int) -> None:
        self.queue = queue
        self.settles = settles
        self.spelling: bytes | None = None
        self.target: str | None = None


@cython.no_gc
@cython.cclass
class Content:
    """What a direction of a channel is under way with, until the body has come. `method`: which began it, 0 where nothing is;
    `left` bytes of the body are still to come, -1 before the header."""

    def __init__(self) -> None:
        self.method = 0
        self.first_ns = 0
        self.size = 0
        self.left = -1
        self.key = -1
        self.tag = 0
        self.routing_key: bytes | None = None
        self.target: str | None = None
        self.consumer: Consumer | None = None
        self.redelivered = False
        self.mandatory = False


@cython.cclass
class Channel:
    """One channel.

    `calls` were made and `answered` of them. Messages are numbered from 1 as they are `published`, and all before `low` are
    confirmed. The broker's number is higher by `ahead` (or that is UNKNOWN): of all, or where `doubted` of those to `known`. `lone`
    was published alone after a rest. `oldest` to `newest` are the tags of what was delivered and may wait. Of what was published up
    to `unheard`, and delivered up to `unsettled`, the word may have gone unseen. `failure`: why the broker closed it.
    """

    def __init__(self, number: cython.longlong, confirms: cython.int) -> None:
        self.number = number
        self.confirms = confirms
        self.calls = 0
        self.answered = 0
        self.published = 0
        self.low = 1
        self.known = 0
        self.ahead = 0 if confirms != OPEN_BEFORE else UNKNOWN
        self.doubted = confirms == OPEN_BEFORE
        self.lone = 0
        self.unheard = 0
        self.unsettled = 0
        self.spoke_ns = 0
        self.silent_ns = 0
        self.oldest = 0
        self.newest = 0
        self.delivered_ns = 0
        self.settles = confirms != OPEN_BEFORE
        self.queue: bytes = b""
        self.consumers: dict[bytes, Consumer] = {}
        self.sending = Content()
        self.getting = Content()
        self.returned: list[str | None] | None = None
        self.got: set[int] = set()
        self.failure: str | None = None


@cython.no_gc
@cython.cclass
class AmqpDecoder(Prefixed):
    def __init__(self, words: Vocabulary | None = None, delivers: Protocol | None = None) -> None:
        self.words = Vocabulary() if words is None else words
        self.delivers = delivers
        Prefixed.__init__(self)

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.channels: dict[int, Channel] = {}
        self.latest: Channel | None = None
        self.greeted = False
        self.ways = 0
        self.answers: list[int] = []
        self.answer_side = ERROR_UNREAD
        self.answer_error: str | None = None
        return 0

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        for each in self.channels.values():
            channel: Channel = each
            channel.settles = False
            if direction == TO_SERVER:
                channel.sending.method = 0
                channel.unsettled = channel.newest
                if channel.confirms == PLAIN and channel.number > 0:
                    channel.confirms = OPEN_BEFORE  # confirms may have been asked for in the hole
                    channel.ahead = UNKNOWN
                if not channel.doubted:
                    channel.doubted = True
                    channel.known = channel.published
                channel.lone = 0
            else:
                channel.getting.method = 0
                channel.unheard = channel.published
                channel.returned = None
                channel.answered = channel.calls  # whose answer comes next is not known
                channel.lone = 0
        return 0

    # --- frames, as prefixed.py asks ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        kind: cython.int = c.u8(at)
        if kind == 0x41:  # A
            return self._greeting(direction, c, at)
        if kind != METHOD and kind != BODY and kind != HEADER and kind != HEARTBEAT:
            return NOT_OURS
        if c.end - at < HEAD:
            return MORE
        size: cython.Py_ssize_t = c.u32(at + 3)
        if size > FRAME_MAX:
            return NOT_OURS
        if kind == HEARTBEAT:
            if size != 0 or c.u16(at + 1) != 0:
                return NOT_OURS
        elif size < (4 if kind == METHOD else 14 if kind == HEADER else 0):
            return NOT_OURS
        return HEAD + size + 1

    def _greeting(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A broker says which version it speaks when it does not speak the client's."""
        if self.greeted and direction == TO_SERVER:
            return NOT_OURS
        seen: cython.Py_ssize_t = c.end - at
        if seen < 8:
            return MORE if c.starts(at, GREETING[:seen]) else NOT_OURS
        return 8 if c.starts(at, GREETING) else NOT_OURS

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if c.u8(c.pos) == BODY:
            return HEAD
        return size if size < WINDOW else WINDOW

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        kind: cython.int = c.u8(at)
        if kind == 0x41:
            return YES if direction == TO_SERVER else PERHAPS
        if size > PROVED_MAX:
            return NO
        whole: cython.bint = at + size <= c.end
        if whole and c.u8(at + size - 1) != FRAME_END:
            return NO
        channel: cython.int = c.u16(at + 1)
        if kind == METHOD:
            if c.end - at < HEAD + 4:
                return PERHAPS
            method: Method | None = self.words.methods.get(c.u32(at + HEAD))
            if method is None or not method.senders & (SENDER_CLIENT if direction == TO_SERVER else SENDER_SERVER):
                return NO
            if (c.u16(at + HEAD) == 10) != (channel == 0):
                return NO
            return YES if whole else PERHAPS
        if kind == HEADER:
            if channel == 0 or (c.end - at >= HEAD + 4 and c.u32(at + HEAD) != 0x003C_0000):
                return NO
            return YES if whole else PERHAPS
        if kind == BODY and channel == 0:
            return NO
        return PERHAPS

    def read(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message) -> cython.int:
        kind: cython.int = c.u8(c.pos)
        if kind == 0x41:
            self.greeted = True
            return NOTHING
        if kind == HEARTBEAT:
            return NOTHING
        channel: Channel | None = self._channel(c.u16(c.pos + 1))
        if channel is None:
            return NOTHING
        if kind == METHOD:
            # Behind what was seen of it the frame's end may be; it is no argument.
            end: cython.Py_ssize_t = c.end if c.end < c.pos + size else c.end - 1
            number: cython.Py_ssize_t = c.u32(c.pos + HEAD)
            if number == BASIC_PUBLISH:
                return self._publish(channel, c, end, size, ts_ns)
            if number == BASIC_DELIVER:
                return self._deliver(channel, c, end, size, ts_ns)
            if number == BASIC_ACK or number == BASIC_NACK or number == BASIC_REJECT:
                return self._settled(direction, channel, number, c, end, ts_ns, out)
            return self._method(direction, channel, number, c, end, size, ts_ns, out)
        content: Content = channel.sending if direction == TO_SERVER else channel.getting
        if content.method == 0:
            return NOTHING  # its method was not seen
        if kind == HEADER:
            return self._header(direction, channel, content, c, c.end if c.end < c.pos + size else c.end - 1, ts_ns, out)
        return self._body(content, size - HEAD - 1, out)

    # --- channels and keys ---

    def _channel(self, number: cython.longlong) -> Channel | None:
        channel: Channel | None = self.latest
        if channel is not None and channel.number == number:
            return channel
        channel = self.channels.get(number)
        if channel is None:
            if len(self.channels) >= CHANNELS_MAX:
                self.limits["amqp_channels"] = self.limits.get("amqp_channels", 0) + 1
                return None
            channel = Channel(number, OPEN_BEFORE if number else PLAIN)
            self.channels[number] = channel
        self.latest = channel
        return channel

    def _key(self, kind: cython.longlong, channel: Channel, number: cython.longlong) -> cython.Py_ssize_t:
        return kind << 61 | channel.number << 45 | (number & 0x1FFF_FFFF_FFFF)

    def _way(self, channel: Channel) -> cython.Py_ssize_t:
        """A key of something that nobody answers."""
        self.ways += 1
        return self._key(ONE_WAY, channel, self.ways)

    def _string(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where a short string that begins at `at` ends; -1 when it does not fit."""
        if at >= end:
            return -1
        at += 1 + c.u8(at)
        return at if at <= end else -1

    # --- methods without content ---

    def _method(
        self,
        direction: cython.int,
        channel: Channel,
        number: cython.Py_ssize_t,
        c: Cursor,
        end: cython.Py_ssize_t,
        size: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        method: Method | None = self.words.methods.get(number)
        if method is None:
            self._count("unknown method")
            return NOTHING
        at: cython.Py_ssize_t = c.pos + HEAD + 4
        if number == CONNECTION_CLOSE or number == CHANNEL_CLOSE:
            return self._close(direction, channel, number, c, at, end, out)
        if direction == TO_SERVER:
            if number == CHANNEL_CLOSE_OK or number == CONNECTION_CLOSE_OK:
                return self._closed(channel, number, out)
            if method.answer == 0:
                return NOTHING
            return self._call(channel, number, method, c, at, end, out)
        if number == BASIC_RETURN:
            return self._return(channel, c, at, end, size, ts_ns, out)
        if method.answer != 0 or number == CONNECTION_SECURE:
            return NOTHING  # the broker asks: for a challenge to be met, to wait, not to consume any more
        return self._answer(channel, number, c, at, end, size, ts_ns, out)

    def _call(
        self,
        channel: Channel,
        number: cython.Py_ssize_t,
        method: Method,
        c: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        out: Message,
    ) -> cython.int:
        """A client's method that wants an answer, unless it says that it does not."""
        if number == CHANNEL_OPEN:
            self.channels[channel.number] = channel = Channel(channel.number, PLAIN)
            self.latest = channel
        if method.ticket:
            at += 2
        first: cython.Py_ssize_t = at
        second: cython.Py_ssize_t = at
        i: cython.int
        for i in range(method.strings):
            at = self._string(c, at, end)
            if at < 0:
                self._count("arguments cut short")
                return NOTHING
            if i == 0:
                second = at
        bits: cython.int = c.u8(at) if at < end and method.no_wait >= 0 else 0
        out.operation = method.name
        out.metric_only = number != BASIC_GET
        out.expects_reply = method.no_wait < 0 or bits >> method.no_wait & 1 == 0
        if method.named:
            name: bytes = c.take(first + 1, second)
            if len(name) == 0 and number != QUEUE_DECLARE and number >> 16 != EXCHANGE:
                name = channel.queue  # the one that was declared last
            if len(name) > 0:
                out.target = self.words.destinations.text(name)
            if number == QUEUE_DECLARE and len(name) > 0:
                channel.queue = name
            elif number == BASIC_CONSUME:
                consumer: Consumer = Consumer(name, 0 if bits & 2 else 1)
                if out.expects_reply:
                    out.kept = consumer
                else:
                    self._learn(channel, c.take(second + 1, at), consumer)
            elif number == BASIC_GET:
                out.namespace = "receive"
                out.kept = Consumer(name, 0 if at < end and c.u8(at) & 1 else 1)
        if number == CONFIRM_SELECT and channel.confirms != CONFIRMS:
            channel.confirms = CONFIRMS
            channel.ahead = -channel.published
            channel.low = channel.published + 1
            channel.doubted = False
        if not out.expects_reply:
            out.key = self._way(channel)
            return MESSAGE
        channel.calls += 1
        out.key = self._key(CALL, channel, channel.calls)
        out.note = method.answer
        return MESSAGE

    def _asked(self, channel: Channel, answer: cython.longlong) -> Message | None:
        """The call that this answers; those before it, whose answers were not seen, wait for nothing any more."""
        number: cython.longlong = channel.answered + 1
        while number <= channel.calls:
            call: Message | None = self.asked.by_key(self._key(CALL, channel, number))
            if call is not None and call.note == answer:
                channel.answered = number
                return call
            number += 1
        return None

    def _answer(
        self,
        channel: Channel,
        number: cython.Py_ssize_t,
        c: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        size: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        """A broker's method that answers a call."""
        call: Message | None = self._asked(channel, BASIC_GET_OK if number == BASIC_GET_EMPTY else number)
        if call is None:
            if number >> 16 == CONNECTION and number != CONNECTION_CLOSE_OK:
                return NOTHING  # how it begins; that the broker has no room for more, or has some again
            out.key = self._way(channel)  # nobody asked for it, as far as is known
            return MESSAGE
        if number == BASIC_GET_OK:
            return self._got(channel, call, c, at, end, size, ts_ns)
        out.key = call.key
        out.error_side = ERROR_NONE
        if number == BASIC_GET_EMPTY:
            out.metric_only = True
            self._level(call.target, 0, ts_ns)
        elif number == QUEUE_DECLARE_OK:
            stop: cython.Py_ssize_t = self._string(c, at, end)
            if stop > at + 1:
                channel.queue = c.take(at + 1, stop)
                if call.target is None:
                    call.target = self.words.destinations.text(channel.queue)
            if 0 < stop <= end - 4:
                self._level(call.target, c.u32(stop), ts_ns)
        elif number == QUEUE_DELETE_OK and call.target is not None:
            self.words.levels.no_queue(call.target)
        elif number == BASIC_CONSUME_OK and call.kept is not None:
            stop = self._string(c, at, end)
            if stop > at + 1:
                self._learn(channel, c.take(at + 1, stop), call.kept)
        elif number == CHANNEL_CLOSE_OK:
            self._drop(channel, ERROR_UNREAD, None)
            self.channels.pop(channel.number, None)
            self.latest = None
        elif number == CONNECTION_CLOSE_OK:
            for each in list(self.channels.values()):
                self._drop(each, ERROR_UNREAD, None)
        return SEVERAL if len(self.answers) > 0 else MESSAGE

    def _level(self, queue: str | None, messages: cython.Py_ssize_t, ts_ns: cython.longlong) -> cython.int:
        """The broker says how many messages are ready. A name that many queues share says nothing of one."""
        if queue is None or "*" in queue or queue == "_OTHER":
            return 0
        if self.vantage != VANTAGE_SERVER or self.words.server_side:
            self.words.levels.queue(queue, messages, ts_ns)
        return 0

    def _learn(self, channel: Channel, tag: bytes, consumer: Consumer) -> cython.int:
        if len(channel.consumers) >= CONSUMERS_MAX and tag not in channel.consumers:
            self.limits["amqp_consumers"] = self.limits.get("amqp_consumers", 0) + 1
            return 0
        channel.consumers[tag] = consumer
        return 0

    # --- what ends all that is under way ---

    def _close(
        self,
        direction: cython.int,
        channel: Channel,
        number: cython.Py_ssize_t,
        c: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        out: Message,
    ) -> cython.int:
        #  [u16 code][short text][u16 class][u16 method]: the text may have names and values, and is not told
        if end - at < 3:
            self._count("arguments cut short")
            return NOTHING
        code: cython.int = c.u16(at)
        if direction == TO_SERVER:
            out.operation = "connection.close" if number == CONNECTION_CLOSE else "channel.close"
            out.metric_only = True
            channel.calls += 1
            out.key = self._key(CALL, channel, channel.calls)
            out.note = number + 1
            return MESSAGE
        failure: str | None = None if code == 200 else self.words.reply(code)
        side: cython.int = ERROR_UNREAD if failure is None else ERROR_BOTH
        channel.failure = failure
        if number == CHANNEL_CLOSE:
            self._drop(channel, side, failure)
        else:
            for each in self.channels.values():
                self._drop(each, side, failure)
        self.answers.reverse()
        if failure is None:
            if len(self.answers) == 0:
                return NOTHING
            self._next(out)
        else:
            # That it was closed is told as well, and is complete with itself: often nothing else waits.
            out.role = ROLE_REQUEST
            out.key = self._way(channel)
            out.operation = "connection.close" if number == CONNECTION_CLOSE else "channel.close"
            self.answers.insert(0, out.key)
        return SEVERAL if len(self.answers) > 0 else MESSAGE

    def _drop(self, channel: Channel, side: cython.int, error: str | None) -> cython.int:
        """Whatever waits on this channel ends so."""
        self.answer_side = side
        self.answer_error = error
        number: cython.longlong = channel.answered + 1
        while number <= channel.calls:
            self._add(self._key(CALL, channel, number))
            number += 1
        channel.answered = channel.calls
        number = channel.low
        while number <= channel.published:
            self._leave(
                self._key(PUBLISHED, channel, number),
                number <= channel.unheard or (channel.doubted and number > channel.known),
            )
            number += 1
        channel.low = channel.published + 1
        number = channel.oldest
        while number <= channel.newest and number > 0:
            self._leave(self._key(DELIVERED, channel, number), number <= channel.unsettled)
            number += 1
        channel.oldest = channel.newest + 1
        channel.sending.method = 0
        channel.getting.method = 0
        return 0

    def _closed(self, channel: Channel, number: cython.Py_ssize_t, out: Message) -> cython.int:
        """The client knows that it is closed: what it sent meanwhile was thrown away."""
        if number == CHANNEL_CLOSE_OK:
            self._drop(channel, ERROR_UNREAD if channel.failure is None else ERROR_BOTH, channel.failure)
            self.channels.pop(channel.number, None)
            self.latest = None
        if len(self.answers) == 0:
            return NOTHING
        self._next(out)
        return SEVERAL if len(self.answers) > 0 else MESSAGE

    def _add(self, key: cython.longlong) -> cython.int:
        if self.asked.by_key(key) is not None:
            self.answers.append(key)
        return 0

    def _leave(self, key: cython.longlong, doubted: cython.bint) -> cython.int:
        """Whatever waits with this key ends as all does. `doubted`: its answer may have gone unseen, so that is not known."""
        request: Message | None = self.asked.by_key(key)
        if request is not None:
            if doubted or not request.expects_reply:
                request.state = TENTATIVE
                request.expects_reply = True
                request.may_block = False
            else:
                self.answers.append(key)
        return 0

    def _next(self, out: Message) -> cython.int:
        """The next of the answers that came at once."""
        out.key = self.answers.pop()
        request: Message | None = self.asked.by_key(out.key)
        if request is None:
            return 0
        if not request.expects_reply:
            # Nobody answers it, as is known now: it was complete when its last byte came.
            out.role = ROLE_REQUEST
            out.piece = ENDS
            out.last_ns = request.last_ns
            return 0
        out.role = ROLE_RESPONSE
        out.error_side = self.answer_side
        error: str | None = self.answer_error
        if request.error_type is not None:
            out.error_side = ERROR_BOTH
            error = request.error_type  # it came back
        if error is not None:
            out.error_type = error
            out.status = error
            request.metric_only = False  # what fails is worth a span
        return 0

    def more(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        if len(self.answers) == 0:
            return NOTHING
        out.size = 0
        self._next(out)
        return SEVERAL if len(self.answers) > 0 else MESSAGE

    # --- what is published ---

    def _publish(
        self, channel: Channel, c: Cursor, end: cython.Py_ssize_t, size: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        #  [u16 reserved][short exchange][short routing key][bits: mandatory immediate]
        content: Content = self._content(channel, TO_SERVER, BASIC_PUBLISH, size, ts_ns)
        at: cython.Py_ssize_t = self._named(content, None, c, c.pos + HEAD + 6, end)
        content.mandatory = at >= 0 and at < end and c.u8(at) & 1 != 0
        return NOTHING

    def _content(
        self, channel: Channel, direction: cython.int, method: cython.Py_ssize_t, size: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> Content:
        """What is under way from here on; one that has not ended never will."""
        content: Content = channel.sending if direction == TO_SERVER else channel.getting
        content.method = method
        content.first_ns = ts_ns
        content.size = size
        content.left = -1
        content.key = -1
        content.tag = 0
        content.routing_key = None
        content.target = None
        content.consumer = None
        content.redelivered = False
        content.mandatory = False
        return content

    def _named(
        self, content: Content, consumer: Consumer | None, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Exchange and routing key, which make the destination, with the queue of a consumer; returns where they end, -1 when they
        do not fit."""
        key: cython.Py_ssize_t = self._string(c, at, end)
        stop: cython.Py_ssize_t = -1 if key < 0 else self._string(c, key, end)
        if stop < 0:
            self._count("arguments cut short")
            return -1
        if consumer is None or consumer.queue is None:
            content.target = self.words.destinations.find(c, at, stop)
        elif consumer.spelling is not None and len(consumer.spelling) == stop - at and c.starts(at, consumer.spelling):
            content.target = consumer.target
        else:
            consumer.spelling = c.take(at, stop)
            consumer.target = self.words.destinations.named(consumer.spelling + consumer.queue)
            content.target = consumer.target
        if self.detail and stop > key + 1:
            content.routing_key = c.take(key + 1, stop)
        return stop

    def _header(
        self,
        direction: cython.int,
        channel: Channel,
        content: Content,
        c: Cursor,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        if content.left >= 0:
            return NOTHING  # there was one
        #  [u16 class][u16 0][u64 length of the body][u16 flags] properties
        left: cython.Py_ssize_t = c.u32(c.pos + HEAD + 8)
        if c.u32(c.pos + HEAD + 4) != 0:
            self._count("body too long")
            content.method = 0
            return NOTHING
        content.left = left
        if content.method == BASIC_RETURN:
            if left == 0:
                content.method = 0
            return NOTHING
        out.first_ns = content.first_ns
        out.size = content.size
        out.piece = BEGINS | ENDS if left == 0 else BEGINS
        context: TraceContext | None = self.words.context
        if context is not None:
            context.reset()
        self._properties(c, c.pos + HEAD + 12, end, context, out)
        if direction == TO_SERVER:
            self._tell_published(channel, content, context, ts_ns, out)
        elif content.method == BASIC_DELIVER:
            self._tell_delivered(channel, content, context, ts_ns, out)
        else:
            self._tell_got(content, context, out)
        content.key = out.key
        if self.detail:
            if content.routing_key is not None:
                out.add("messaging.rabbitmq.destination.routing_key", content.routing_key)
            if content.tag > 0:
                out.add("messaging.rabbitmq.message.delivery_tag", content.tag)
            if content.redelivered:
                out.add("pcap_receiver.amqp.redelivered", True)
        if left == 0:
            content.method = 0
        return SEVERAL if len(self.answers) > 0 else MESSAGE

    def _body(self, content: Content, size: cython.Py_ssize_t, out: Message) -> cython.int:
        if content.left < 0:
            return NOTHING  # the header was not seen
        content.left -= size
        over: cython.bint = content.left <= 0
        if content.left < 0:
            self._count("body longer than its length")
        if content.method == BASIC_RETURN:
            if over:
                content.method = 0
            return NOTHING
        out.role = ROLE_RESPONSE if content.method == BASIC_GET_OK else ROLE_REQUEST
        out.key = content.key
        out.piece = 0
        if over:
            content.method = 0
            request: Message | None = self.asked.by_key(content.key)
            # Where it is not known whether somebody answers, the end waits until it is.
            if request is None or request.expects_reply or content.key >> 61 == ONE_WAY or out.role == ROLE_RESPONSE:
                out.piece = ENDS
        return MESSAGE

    def _tell_published(
        self, channel: Channel, content: Content, context: TraceContext | None, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        out.operation = "publish"
        out.namespace = "send"
        out.target = content.target
        out.messages = 1
        if context is not None:
            context.tell(out)
        if channel.confirms == PLAIN and channel.failure is None:
            out.expects_reply = False
            out.key = self._way(channel)
            return 0
        rested: cython.bint = channel.spoke_ns > 0 and ts_ns - channel.spoke_ns > REST_NS
        channel.spoke_ns = ts_ns
        channel.published += 1
        channel.lone = channel.published if rested else 0
        if channel.confirms == OPEN_BEFORE:
            if channel.published == channel.low:
                channel.silent_ns = ts_ns
            elif channel.published - channel.low >= SILENT_PUBLISHED and ts_ns - channel.silent_ns > SILENT_PUBLISHED_NS:
                self._give_up_waiting(PUBLISHED, channel, channel.low, channel.published - 1)
                channel.confirms = PLAIN
                channel.low = channel.published + 1
                out.expects_reply = False
                out.key = self._way(channel)
                return 0
            # It may be answered or not: until that is known it stays open.
            out.expects_reply = False
            out.state = TENTATIVE
            out.piece = BEGINS
        elif channel.doubted:
            out.state = TENTATIVE
        out.key = self._key(PUBLISHED, channel, channel.published)
        if content.mandatory:
            out.note = MANDATORY
        return 0

    def _give_up_waiting(
        self, kind: cython.longlong, channel: Channel, number: cython.longlong, last: cython.longlong
    ) -> cython.int:
        """Nobody answers these: they are complete. The matcher's own count ends with them."""
        while number <= last and number > 0:
            request: Message | None = self.asked.by_key(self._key(kind, channel, number))
            if request is not None and not request.expects_reply:
                self.answers.append(request.key)
            number += 1
        return 0

    # --- what is delivered ---

    def _deliver(
        self, channel: Channel, c: Cursor, end: cython.Py_ssize_t, size: cython.Py_ssize_t, ts_ns: cython.longlong
    ) -> cython.int:
        #  [short consumer tag][u64 delivery tag][bit redelivered][short exchange][short routing key]
        content: Content = self._content(channel, TO_CLIENT, BASIC_DELIVER, size, ts_ns)
        at: cython.Py_ssize_t = c.pos + HEAD + 4
        stop: cython.Py_ssize_t = self._string(c, at, end)
        if stop < 0 or stop + 9 > end:
            self._count("arguments cut short")
            content.method = 0
            return NOTHING
        content.consumer = channel.consumers.get(c.take(at + 1, stop))
        content.tag = self._tag(c, stop)
        content.redelivered = c.u8(stop + 8) & 1 != 0
        self._named(content, content.consumer, c, stop + 9, end)
        return NOTHING

    def _tag(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A delivery tag, as far as keys reach: brokers count from 1."""
        if c.u32(at) > 0xFFF:
            return 0
        tag: cython.longlong = c.u32(at)
        return tag << 32 | c.u32(at + 4)

    def _tell_delivered(
        self, channel: Channel, content: Content, context: TraceContext | None, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        out.role = ROLE_REQUEST
        out.protocol = self.delivers
        out.operation = "consume"
        out.namespace = "process"
        out.target = content.target
        out.messages = 1
        if context is not None:
            context.tell(out)
            self._link(context, out)
        settles: cython.int = -1 if content.consumer is None else content.consumer.settles
        if settles < 0 and channel.settles:
            settles = 1
        if settles == 0 or content.tag == 0:
            out.expects_reply = False
            out.key = self._way(channel)
            return 0
        out.key = self._key(DELIVERED, channel, content.tag)
        out.may_block = True  # for as long as it is worked on
        if content.tag > channel.newest:
            if channel.oldest == 0 or channel.oldest > channel.newest:
                channel.oldest = content.tag
                channel.delivered_ns = ts_ns
            channel.newest = content.tag
            if channel.newest - channel.oldest > TAGS_MAX:
                channel.oldest = channel.newest - TAGS_MAX
        if settles < 0:
            out.expects_reply = False
            out.state = TENTATIVE
            out.piece = BEGINS
            if channel.newest - channel.oldest >= SILENT_DELIVERED and ts_ns - channel.delivered_ns > SILENT_DELIVERED_NS:
                self._give_up_waiting(DELIVERED, channel, channel.oldest, channel.newest - 1)
                channel.oldest = channel.newest
        return 0

    def _link(self, context: TraceContext, out: Message) -> cython.int:
        """Link to the context that a message carries."""
        if context.result() and len(context.parent_id) == 8:
            out.links = context.trace_id + context.parent_id + bytes((context.flags & 0xFF,))
        return 0

    def _got(
        self,
        channel: Channel,
        call: Message,
        c: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        size: cython.Py_ssize_t,
        ts_ns: cython.longlong,
    ) -> cython.int:
        #  [u64 delivery tag][bit redelivered][short exchange][short routing key][u32 messages left]
        content: Content = self._content(channel, TO_CLIENT, BASIC_GET_OK, size, ts_ns)
        content.key = call.key
        if at + 9 > end:
            self._count("arguments cut short")
            content.method = 0
            return NOTHING
        content.tag = self._tag(c, at)
        content.redelivered = c.u8(at + 8) & 1 != 0
        content.consumer = call.kept
        if content.consumer is not None and content.consumer.settles and len(channel.got) < WAITING_MAX:
            channel.got.add(content.tag)
        self._named(content, content.consumer, c, at + 9, end)
        at = self._string(c, at + 9, end)  # exchange, routing key, and how many are left
        if at >= 0:
            at = self._string(c, at, end)
        if 0 < at <= end - 4:
            self._level(call.target, c.u32(at), ts_ns)
        return NOTHING

    def _tell_got(self, content: Content, context: TraceContext | None, out: Message) -> cython.int:
        out.key = content.key
        out.target = content.target
        out.messages = 1
        out.error_side = ERROR_NONE
        if context is not None:
            self._link(context, out)
        return 0

    def _return(
        self,
        channel: Channel,
        c: Cursor,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        size: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        """A message that went nowhere comes back; its confirm, if there are any, follows."""
        #  [u16 code][short text][short exchange][short routing key]
        content: Content = self._content(channel, TO_CLIENT, BASIC_RETURN, size, ts_ns)
        stop: cython.Py_ssize_t = -1 if at + 3 > end else self._string(c, at + 2, end)
        if stop < 0 or self._named(content, None, c, stop, end) < 0:
            self._count("arguments cut short")
            content.method = 0
            return NOTHING
        if channel.confirms == CONFIRMS:
            if channel.returned is None:
                channel.returned = []
            if len(channel.returned) < 2 * WAITING_MAX:
                channel.returned.append(self.words.reply(c.u16(at)))
                channel.returned.append(content.target)
            else:
                channel.unheard = channel.published  # as good as not seen: which came back is not known
        if channel.confirms != PLAIN:
            return NOTHING
        out.role = ROLE_REQUEST
        out.key = self._way(channel)
        out.operation = "return"
        out.namespace = "send"
        out.target = content.target
        out.expects_reply = False
        out.metric_only = True
        return MESSAGE

    # --- confirms and acknowledgements ---

    def _settled(
        self,
        direction: cython.int,
        channel: Channel,
        number: cython.Py_ssize_t,
        c: Cursor,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        #  ack: [u64 tag][bit multiple]    nack: [u64 tag][bits: multiple requeue]    reject: [u64 tag][bit requeue]
        at: cython.Py_ssize_t = c.pos + HEAD + 4
        if at + 9 > end:
            self._count("arguments cut short")
            return NOTHING
        tag: cython.longlong = self._tag(c, at)
        multiple: cython.bint = number != BASIC_REJECT and c.u8(at + 8) & 1 != 0
        self.answer_side = ERROR_NONE if number == BASIC_ACK else ERROR_BOTH
        self.answer_error = None if number == BASIC_ACK else "nack" if number == BASIC_NACK else "reject"
        known: cython.bint = True
        if direction == TO_CLIENT:
            known = self._confirmed(channel, tag, multiple, ts_ns)
        else:
            self._acknowledged(channel, tag, multiple)
        if len(self.answers) > 0:
            self._next(out)
            return SEVERAL if len(self.answers) > 0 else MESSAGE
        if direction == TO_CLIENT and known:
            return NOTHING  # what it confirms was given up
        return self._tell_settled(direction, channel, number, tag, out)

    def _tell_settled(
        self, direction: cython.int, channel: Channel, number: cython.Py_ssize_t, tag: cython.longlong, out: Message
    ) -> cython.int:
        """The acknowledgement of what came by `get` is complete with itself; one of what was not seen answers nothing."""
        out.key = self._way(channel)
        if direction == TO_CLIENT or tag not in channel.got:
            out.role = ROLE_RESPONSE
            return MESSAGE
        channel.got.discard(tag)
        out.operation = "ack" if number == BASIC_ACK else "nack" if number == BASIC_NACK else "reject"
        out.namespace = "settle"
        out.expects_reply = False
        out.metric_only = True
        return MESSAGE

    def _confirmed(self, channel: Channel, tag: cython.longlong, multiple: cython.bint, ts_ns: cython.longlong) -> cython.bint:
        """The broker has taken what was published, or has not; False where it is not known which."""
        number: cython.longlong
        request: Message | None
        if channel.confirms == OPEN_BEFORE:
            channel.confirms = CONFIRMS
            channel.ahead = UNKNOWN
            number = channel.low
            while number <= channel.published:
                request = self.asked.by_key(self._key(PUBLISHED, channel, number))
                if request is not None:
                    request.expects_reply = True
                    request.state = TENTATIVE
                number += 1
        channel.spoke_ns = ts_ns
        last: cython.longlong = tag - channel.ahead
        number = last
        if multiple:
            number = channel.low
            if tag == 0:
                last = channel.published
        if channel.doubted and (channel.ahead == UNKNOWN or last > channel.known):
            if channel.lone == 0 or channel.lone != channel.published or tag < channel.lone:
                # Of those with a known number a later one that confirms all before it confirms all.
                last = channel.known if multiple and channel.ahead != UNKNOWN else number - 1
            else:
                channel.ahead = tag - channel.lone
                channel.doubted = False
                last = channel.lone
                if not multiple:
                    number = last
        elif last > channel.published or last < channel.low:
            return False
        channel.lone = 0
        if number > last:
            return False
        if multiple and number <= channel.unheard:
            number = channel.unheard + 1  # theirs may have gone unseen, and may have been another
        while number <= last:
            key: cython.longlong = self._key(PUBLISHED, channel, number)
            request = self.asked.by_key(key)
            # What had to arrive somewhere may have come back unseen.
            if request is not None and not (number <= channel.unheard and request.note == MANDATORY):
                self.answers.append(key)
            number += 1
        self.answers.reverse()
        while channel.low <= channel.published and not self._waits(PUBLISHED, channel, channel.low):
            channel.low += 1
        if multiple and channel.low <= last:
            channel.low = last + 1
        if channel.returned is not None:
            self._match_returned(channel)
        return True

    def _waits(self, kind: cython.longlong, channel: Channel, number: cython.longlong) -> cython.bint:
        return self.asked.by_key(self._key(kind, channel, number)) is not None

    def _match_returned(self, channel: Channel) -> cython.int:
        """Those of the confirmed messages that came back went nowhere: the broker returns a message before it confirms it."""
        returned: list[str | None] = channel.returned
        channel.returned = None
        for key in self.answers:
            request: Message | None = self.asked.by_key(key)
            i: cython.Py_ssize_t = 1
            while i < len(returned):
                if returned[i] is not None and request is not None and returned[i] is request.target:
                    request.error_type = returned[i - 1]
                    returned[i] = None
                    break
                i += 2
        return 0

    def _acknowledged(self, channel: Channel, tag: cython.longlong, multiple: cython.bint) -> cython.int:
        """The client is done with what was delivered."""
        channel.settles = True
        number: cython.longlong = tag
        last: cython.longlong = tag
        if multiple:
            number = channel.oldest if channel.oldest > channel.unsettled else channel.unsettled + 1
            if tag == 0 or tag > channel.newest:
                last = channel.newest
        while number <= last:
            key: cython.longlong = self._key(DELIVERED, channel, number)
            request: Message | None = self.asked.by_key(key)
            if request is not None:
                request.expects_reply = True
                self.answers.append(key)
            number += 1
        self.answers.reverse()
        if multiple and 0 < channel.oldest <= last:
            channel.oldest = last + 1
        while channel.oldest > 0 and channel.oldest <= channel.newest and not self._waits(DELIVERED, channel, channel.oldest):
            channel.oldest += 1
        return 0

    # --- properties ---

    def _properties(
        self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, context: TraceContext | None, out: Message
    ) -> cython.int:
        """What is told of a message's properties, as far as they can be seen."""
        flags: cython.int = c.u16(at)
        at += 2
        bit: cython.int = 15
        stop: cython.Py_ssize_t
        if flags & 1:
            return 0  # more flags: no property that is known
        while bit > 1:
            if flags >> bit & 1:
                if bit == _HEADERS:
                    if at + 4 > end:
                        return 0
                    stop = at + 4 + c.u32(at)
                    if context is not None:
                        self._headers(c, at + 4, stop if stop < end else end, context)
                elif 1 << bit & _BYTE_SIZED:
                    stop = at + 1
                elif bit == _TIMESTAMP:
                    stop = at + 8
                else:
                    if at >= end:
                        return 0
                    stop = at + 1 + c.u8(at)
                    if self.detail and stop <= end and stop > at + 1:
                        if bit == _MESSAGE_ID:
                            out.add("messaging.message.id", c.take(at + 1, stop))
                        elif bit == _CORRELATION_ID:
                            out.add("messaging.message.conversation_id", c.take(at + 1, stop))
                if stop > end:
                    return 0
                at = stop
            bit -= 1
        return 0

    def _headers(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, context: TraceContext) -> cython.int:
        #  [short name][u8 type] value
        while at < end:
            name: cython.Py_ssize_t = at + 1
            at = self._string(c, at, end)
            if at < 0 or at >= end:
                return 0
            name_end: cython.Py_ssize_t = at
            kind: cython.int = c.u8(at)
            at += 1
            if kind == 0x53 or kind == 0x78 or kind == 0x41 or kind == 0x46:  # S, x, A, F
                if at + 4 > end:
                    return 0
                start: cython.Py_ssize_t = at + 4
                at = start + c.u32(at)
                if at > end:
                    return 0
                if kind == 0x53 or kind == 0x78:
                    context.offer(c.buf, name, name_end, start, at)
                continue
            size: cython.int = _SIZES.get(kind, -1)
            if size < 0:
                return self._count("unknown type in a table")
            at += size
        return 0

    def _count(self, what: str) -> cython.int:
        key = ("amqp", what)
        self.errors[key] = self.errors.get(key, 0) + 1
        return 0


@cython.no_gc
@cython.cclass
class Amqp1Decoder(Decoder):
    """AMQP 1.0, which shares a name and the first four bytes with this one, and no more: it is recognised and passed over.

    It begins with `AMQP`, then 0, or 2 for TLS, or 3 for SASL, and the version 1, 0, 0 (OASIS AMQP 1.0, 2.2).
    """

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        return 1

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        self.skip = SKIP_TO_CLOSE
        return NOTHING

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        return True  # all of it is passed over

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        seen: cython.Py_ssize_t = c.end - c.pos
        if not c.starts(c.pos, b"AMQP"[: seen if seen < 4 else 4]):
            return NO
        if seen < 8:
            return PERHAPS
        kind: cython.int = c.u8(c.pos + 4)
        return YES if kind != 1 and kind < 4 and c.starts(c.pos + 5, b"\x01\x00\x00") else NO


def rows(shared: Shared) -> tuple[Protocol, ...]:
    """What is delivered and worked on has metrics of its own, and so a row."""
    words = Vocabulary(shared)
    delivers = Protocol("amqp_delivery", "rabbitmq_process", Decoder, client_only=True, probed=False)
    return (
        Protocol("amqp", "rabbitmq", partial(AmqpDecoder, words, delivers), ports=(5672,), client_only=True),
        delivers,
        Protocol("amqp1", "amqp1", Amqp1Decoder),
    )
