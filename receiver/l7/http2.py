"""HTTP/2 (RFC 9113): frames, streams and their headers; bodies are skipped by count.

Room: l7; follows the contract of `decoder.py`. A stream is a request and its answer, paired by the stream's id. A header block is
one piece, however many CONTINUATION frames carry it; it is read by `hpack.py`, whose fields go to one `Fields`. What a stream
means as gRPC is for `grpc.py` to say.

Whether a stream is gRPC its content-type says. Where a table entry that nobody saw hides that, it is found out by what gRPC alone
does (`_settle`): messages with their lengths before them, trailers, grpc-status. Until then HTTP's own status is no verdict: 200
is what a failed call has as well. What stays open is told as it was read, without a verdict.

    +-----------------------------------------------+
    |                 Length (24)                   |
    +---------------+---------------+---------------+
    |   Type (8)    |   Flags (8)   |
    +-+-------------+---------------+-------------------------------+
    |R|                 Stream Identifier (31)                      |        9 bytes, RFC 9113, 4.1
    +=+=============================================================+

How a stream ends. END_STREAM of the server ends the answer. RST_STREAM of either side ends it as well, with the error code's name
(gRPC: the status that it stands for); the answer then is this end. A GOAWAY so ends every stream beyond the last one that the
server says it will answer.

Not checked: stream states, flow control and priorities, because nothing here depends on them; SETTINGS, because what they allow
shows in the frames and header blocks themselves.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.decoder import Decoder
from receiver.l7.grpc import Grpc, Messages
from receiver.l7.hpack import HeaderSink, HpackDecoder
from receiver.l7.http import HttpSettings, settings_of
from receiver.l7.inner import Inner
from receiver.l7.origin import Origin, listed, split_authority
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, SEVERAL, YES
    from receiver.l7.http import STATUSES, tell_status
    from receiver.wire.records import (
        BEGINS,
        ENDS,
        ERROR_BOTH,
        ERROR_NONE,
        ERROR_UNREAD,
        ROLE_RESPONSE,
        TO_CLIENT,
        TO_SERVER,
        VANTAGE_CLIENT,
        VANTAGE_SERVER,
    )

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

H2_DATA = 0
H2_HEADERS = 1
H2_PRIORITY = 2
H2_RST_STREAM = 3
H2_SETTINGS = 4
H2_PUSH_PROMISE = 5
H2_PING = 6
H2_GOAWAY = 7
H2_WINDOW_UPDATE = 8
H2_CONTINUATION = 9
H2_ALTSVC = 10
H2_ORIGIN = 12
H2_PRIORITY_UPDATE = 16

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20

# RFC 9113, 7
ERROR_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)
NO_ERROR = 0
REFUSED_STREAM = 7

STREAM_MASK = 0x7FFF_FFFF
# A header block, in however many frames: servers take 16 to 60 KiB. A longer one is passed over, and what it did to the table is
# unknown then. Less than the conversation's 64 KiB for a head.
BLOCK_MAX = 61_440
# Frames that are not skipped but taken whole, though little or nothing in them matters: most are shorter than that.
SMALL_MAX = 64
# Streams that are open at a time; servers allow 100 to 1 000. One more, and the oldest is forgotten: 1 024 x about 200 bytes.
STREAMS_MAX = 1024
# Where a frame could begin is looked for in so much of a segment.
SCAN_MAX = 4096
# Data frames beyond a megabyte are not in use (the default limit is 16 KiB); a header that says so is taken for none.
LIKELY_MAX = 1_048_576
# Of a frame whose end nobody sees only its nine bytes speak: they must say what most say. A client counts its streams up by two.
LONE_MAX = 16_384
STREAMS_AHEAD = 200
STREAMS_NEXT = 16
# Whether a stream is gRPC. Perhaps: a field of its request that nobody can read may be the content-type. Likely: besides, all else
# that was posted on this connection was gRPC; it is told as such, but for its status that is no proof.
GRPC_NO = 0
GRPC_YES = 1
GRPC_PERHAPS = 2
GRPC_LIKELY = 3
# Kinds of requests whose content-type is hidden, of one connection: one for each method.
PROVED_MAX = 256
# A grpc-timeout that may stand in a field nobody can read.
TIMEOUT_HIDDEN = -2

NO_STATUS = -1
# What the first field of a request or a response shows which of them it is.
EITHER = 0
REQUEST = 1
RESPONSE = 2



class Http2Settings:
    """What a user may set, bound to the decoder's factory with functools.partial.

    `http`: methods, headers to keep and propagators, as for HTTP/1. `plain` and `grpc` are the rows that roundtrips belong to;
    without them all belong to the connection's own, and nothing is gRPC.
    """

    def __init__(self, http: HttpSettings | None = None, limits: dict[str, int] | None = None) -> None:
        http = HttpSettings() if http is None else http
        self.methods: dict[bytes, str] = {name.encode(): name for name in http.methods}
        self.request_headers: dict[bytes, str] = http.request_headers
        self.response_headers: dict[bytes, str] = http.response_headers
        self.request_metadata = {name: "rpc.request.metadata." + name.decode() for name in http.request_headers}
        self.response_metadata = {name: "rpc.response.metadata." + name.decode() for name in http.response_headers}
        self.context: TraceContext | None = http.context
        self.trust = http.trust
        self.trusting = http.trusting
        self.fields = Fields()
        self.messages = Messages()
        self.plain: Protocol | None = None
        self.grpc: Grpc | None = None
        self.limits: dict[str, int] = {} if limits is None else limits

    def name_rows(self, plain: Protocol, grpc: Protocol) -> None:
        self.plain = plain
        self.grpc = Grpc(grpc, self.limits)


class Fields(HeaderSink):
    """What matters of one header block. `unknown` fields referred to table entries that nobody saw, `entries` are the numbers of
    those whose name is unknown; `pseudo`: it had a pseudo-header of a request, so it begins one. `candidates` of the unknown could
    be grpc-status, the last of them is entry `candidate` with `number`, if that is known. `status_hidden`: grpc-status is there, in
    an entry whose name is known and whose value is not."""

    def __init__(self) -> None:
        self._nothing_hidden()
        self.start(TO_CLIENT, False, None)

    def start(self, direction: cython.int, detail: cython.bint, settings: Http2Settings | None) -> cython.int:
        self.detail = detail
        if self.unknown > 0:
            self._nothing_hidden()
        self.trailers = False
        self.pseudo = False
        self.status = NO_STATUS
        self.method: bytes | None = None
        self.path: bytes | None = None
        self.authority: bytes | None = None
        self.content_type: bytes | None = None
        self.grpc_status: bytes | None = None
        self.grpc_timeout: bytes | None = None
        self.secure = False
        if detail and settings is not None:
            self.asks = direction == TO_SERVER
            self.wanted: dict[bytes, str] = settings.request_headers if self.asks else settings.response_headers
            self.context: TraceContext | None = settings.context
            self.user_agent: bytes | None = None
            self.forwarded: bytes | None = None
            self.forwarded_for: bytes | None = None
            self.forwarded_host: bytes | None = None
            self.forwarded_proto: bytes | None = None
            self.kept: dict[bytes, tuple[str, ...]] | None = None
            if self.context is not None and self.asks:
                self.context.reset()
        return 0

    def _nothing_hidden(self) -> cython.int:
        self.unknown = 0
        self.entries: list[int] | None = None
        self.candidates = 0
        self.candidate = 0
        self.number: bytes | None = None
        self.status_hidden = False
        return 0

    def header(self, name: bytes | None, value: bytes | None, never_indexed: cython.bint) -> cython.int:
        if name is None:
            return 0
        if value is None:
            self.unknown += 1
            if name == b"grpc-status":
                self.status_hidden = True
            return 0
        n: cython.Py_ssize_t = len(name)
        if n < 4:
            if n == 2 and name[0] == 0x74 and name[1] == 0x65:  # te
                self.trailers = value == b"trailers"
            return 0
        if name[0] == 0x3A:
            return self._pseudo(n, name, value)
        if n == 11:
            if name == b"grpc-status":
                self.grpc_status = value
                return 0
        elif n == 12:
            if name == b"content-type":
                self.content_type = value
                return 0
            if name == b"grpc-timeout":
                self.grpc_timeout = value
                return 0
        elif n == 4:
            if name == b"host" and self.authority is None:
                self.authority = value
        if self.detail:
            return self._more(n, name, value, never_indexed)
        return 0

    def hidden(self, entry: cython.longlong, value: bytes | None, never_indexed: cython.bint) -> cython.int:
        self.unknown += 1
        if self.entries is None:
            self.entries = []
        self.entries.append(entry)
        if value is None or value.isdigit():
            self.candidates += 1
            self.candidate = entry
            self.number = value
        return 0

    def _pseudo(self, n: cython.Py_ssize_t, name: bytes, value: bytes) -> cython.int:
        if n == 5:
            if name == b":path":
                self.path = value
                self.pseudo = True
        elif n == 7:
            if name == b":status":
                self._status(value)
            elif name == b":method":
                self.method = value
                self.pseudo = True
            elif name == b":scheme":
                self.secure = value == b"https"
                self.pseudo = True
        elif n == 10:
            if name == b":authority":
                self.authority = value
                self.pseudo = True
        return 0

    def _status(self, value: bytes) -> cython.int:
        number: cython.int = 0
        i: cython.Py_ssize_t
        if len(value) != 3:
            raise Malformed("http2", "status is no number", 0)
        for i in range(3):
            digit: cython.int = value[i]
            if digit < 0x30 or digit > 0x39:
                raise Malformed("http2", "status is no number", 0)
            number = number * 10 + digit - 0x30
        if number < 100:
            raise Malformed("http2", "status is no number", 0)
        self.status = number
        return 0

    def _more(self, n: cython.Py_ssize_t, name: bytes, value: bytes, never_indexed: cython.bint) -> cython.int:
        """What only spans need."""
        context: TraceContext | None = self.context
        if self.asks:
            if context is not None and context.offer_pair(name, value):
                return 0
            if n == 10:
                if name == b"user-agent":
                    self.user_agent = value
            elif n == 9:
                if name == b"forwarded":
                    self.forwarded = listed(self.forwarded, value)
            elif n >= 15 and name[0] == 0x78:
                if name == b"x-forwarded-for":
                    self.forwarded_for = listed(self.forwarded_for, value)
                elif name == b"x-forwarded-host":
                    self.forwarded_host = listed(self.forwarded_host, value)
                elif name == b"x-forwarded-proto":
                    self.forwarded_proto = listed(self.forwarded_proto, value)
        if len(self.wanted) > 0 and not never_indexed and name in self.wanted:
            # Never indexed: whoever sent it says that it is a secret (RFC 7541, 7.1.3).
            if self.kept is None:
                self.kept = {}
            text: str = value.decode("utf-8", "replace")
            self.kept[name] = (*self.kept.get(name, ()), text)
        return 0


class Body(Inner):
    """What one direction of a stream carried, for spans: so many bytes and, of a call, so many messages; -1: it has none."""

    def __init__(self) -> None:
        Inner.__init__(self)
        self.size = 0
        self.messages = 0
        self.whole = True
        self.ended = False

    def framed(self) -> cython.bint:
        """Whether it is messages with their lengths before them, to the last byte."""
        return self.whole and self.messages > 0 and self.between()

    def differs(self) -> cython.bint:
        """Whether it is something else, for certain."""
        if not self.whole:
            return False
        return self.messages < 0 or (self.ended and not self.between())


class Exchange:
    """One stream: its request, as far as the answer's reading depends on it, and how far the answer is.

    `doubted`: bytes of the server were lost while it waited, its answer's head may have been among them. `entries`: of a request
    whose content-type is hidden, which entries hide it; `trailers`: it has `te: trailers`; `asked`: it is all there. `operation`:
    what it is if it is no call after all, where it was told as one that is likely.
    """

    def __init__(self) -> None:
        self.status = NO_STATUS
        self.timeout_ns = -1
        if not cython.compiled:
            # Compiled, all else is 0 or None from the start.
            self.key = 0
            self.grpc = GRPC_NO
            self.answered = False
            self.doubted = False
            self.tunnel = False
            self.trailers = False
            self.asked = False
            self.first_ns = 0
            self.path: bytes | None = None
            self.operation: str | None = None
            self.entries: tuple[int, ...] | None = None
            self.sent: Body | None = None
            self.received: Body | None = None


class Side:
    """One direction: its header table, and the header block or gRPC message that is being read.

    `begun`: the connection's preface was seen, or frames were found in the middle. `block`: pieces of a header block that
    CONTINUATION frames go on with. `left` bytes of a DATA frame are still to be read for messages; `pad` follows them.
    """

    def __init__(self) -> None:
        self.begun = False
        self.hpack: HpackDecoder | None = None
        self.block: bytearray | None = None
        self.block_key = 0
        self.block_kind = 0
        self.block_flags = 0
        self.block_first_ns = 0
        self.block_size = 0
        self.left = 0
        self.pad = 0
        self.ends = False
        self.key = 0
        self.body: Body | None = None


_DEFAULT = Http2Settings()


class Http2Decoder(Decoder):
    """One connection's HTTP/2. `pinned`: its port is set to be gRPC.

    `proved`: the hidden entries of requests that were found to be gRPC; another with the same ones is gRPC as well, for its
    content-type is the same entry. `posted`: what requests with POST were, by what is certain: 1 gRPC, 2 others. `doubtful`:
    entries of a table were missed.
    """

    def __init__(self, settings: Http2Settings | None = None, pinned: cython.bint = False) -> None:
        self.pinned = pinned
        self.settings = _DEFAULT if settings is None else settings
        Decoder.__init__(self)

    # --- the contract of decoder.py ---

    def reset(self) -> cython.int:
        Decoder.reset(self)
        self.doubtful = False
        self.proved: set[tuple[int, ...]] | None = None
        self.posted = 0
        self.client = Side()
        self.server = Side()
        self.streams: dict[int, Exchange] = {}
        self.recent: Exchange | None = None
        # The frame that `frame` looked at last.
        self.length = 0
        self.kind = 0
        self.flags = 0
        self.key = 0
        self.highest = 0
        self.going_away = -1
        self.away_error = 0
        self.refused: list[Exchange] | None = None
        self.evidence = EITHER
        self.authority: bytes | None = None
        self.authority_default = 0
        self.host: str | None = None
        self.port = 0
        self.trusting = False
        return 0

    def begin(self, endpoints: Endpoints) -> cython.int:
        self.trusting = (
            self.settings.trusting and self.vantage == VANTAGE_SERVER and self.settings.trust.covers(endpoints.caller())
        )
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        side: Side = self.server if direction == TO_CLIENT else self.client
        n: cython.Py_ssize_t
        if side.left > 0:
            n = c.end - c.pos
            return n if n < side.left else side.left
        if not side.begun:
            n = self._opening(direction, c)
            if n != 0:
                return n
            side.begun = True
        at: cython.Py_ssize_t = c.pos
        if c.end - at < 9:
            return 9
        length: cython.Py_ssize_t = c.u24(at)
        kind: cython.int = c.u8(at + 3)
        flags: cython.int = c.u8(at + 4)
        self.length = length
        self.kind = kind
        self.flags = flags
        self.key = c.u32(at + 5) & STREAM_MASK
        if side.block is not None and kind != H2_CONTINUATION:
            raise Malformed("http2", "header block is not continued", 0)
        if kind == H2_DATA:
            return 10 if flags & PADDED and length > 0 else 9
        if kind == H2_HEADERS or kind == H2_CONTINUATION or kind == H2_PUSH_PROMISE:
            return 9 if length > BLOCK_MAX else 9 + length
        return 9 if length > SMALL_MAX else 9 + length

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        side: Side = self.server if direction == TO_CLIENT else self.client
        if side.left > 0:
            return self._messages(direction, side, c, ts_ns, out)
        if not side.begun:
            side.begun = True
            return NOTHING  # the preface
        kind: cython.int = self.kind
        if kind == H2_DATA:
            return self._data(direction, side, c, ts_ns, out)
        if kind == H2_HEADERS or kind == H2_CONTINUATION or kind == H2_PUSH_PROMISE:
            return self._fragment(direction, side, c, ts_ns, out)
        if self.length > SMALL_MAX:
            self.skip = self.length
        if kind == H2_RST_STREAM:
            if self.length != 4:
                raise Malformed("http2", "frame size", 0)
            return self._reset(direction, c.u32(c.pos + 9), ts_ns, out)
        if kind == H2_GOAWAY:
            return self._go_away(direction, c, ts_ns, out)
        if kind == H2_WINDOW_UPDATE:
            if self.length != 4:
                raise Malformed("http2", "frame size", 0)
        elif kind == H2_PING:
            if self.length != 8 or self.key != 0:
                raise Malformed("http2", "frame size", 0)
        elif kind == H2_SETTINGS:
            if self.length % 6 != 0 or self.key != 0:
                raise Malformed("http2", "frame size", 0)
        elif kind == H2_PRIORITY and self.length != 5:
            raise Malformed("http2", "frame size", 0)
        return NOTHING

    def more(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        """The next stream that a GOAWAY ended."""
        refused: list[Exchange] = self.refused
        exchange: Exchange = refused.pop()
        self._cut(exchange, self.away_error, ts_ns, out)
        if len(refused) > 0:
            return SEVERAL
        self.refused = None
        return MESSAGE

    def take_over(self, request: Message) -> cython.int:
        """RFC 7540, 3.2: the request that asked for the upgrade is stream 1, half closed by the client."""
        exchange: Exchange = Exchange()
        exchange.key = 1
        exchange.path = request.path
        exchange.first_ns = request.first_ns
        exchange.asked = True
        self.streams[1] = exchange
        request.key = 1
        return 0

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        side: Side = self.server if direction == TO_CLIENT else self.client
        side.block = None
        side.left = 0
        side.body = None
        self.doubtful = True
        if side.hpack is None:
            side.hpack = HpackDecoder(False)  # the hole may have held its first entries
        else:
            side.hpack.reset_unknown()
        self.refused = None
        for each in self.streams.values():
            exchange: Exchange = each
            if direction == TO_CLIENT:
                exchange.doubted = True
                if exchange.received is not None:
                    exchange.received.whole = False
            elif exchange.sent is not None:
                exchange.sent.whole = False
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        side: Side = self.server if direction == TO_CLIENT else self.client
        at: cython.Py_ssize_t = c.pos
        if not side.begun:
            if direction == TO_SERVER:
                if c.starts(at, PREFACE):
                    return True
            elif self.client.begun and self.client.hpack is None and self._is_settings(c):
                return True  # the client's first bytes were seen, so this is the server's first frame
        stop: cython.Py_ssize_t = c.end - 8
        if stop > at + SCAN_MAX:
            stop = at + SCAN_MAX
        while at < stop:
            # Where a segment begins, a frame often does; anywhere else more must speak for it.
            frames: cython.Py_ssize_t = self._frames_at(direction, c, at)
            several: cython.bint = frames >= 3 or (frames == 2 and self.evidence != EITHER)
            if several or (frames >= 1 and at == c.pos and self._alone(direction, c)):
                c.skip(at - c.pos)
                if not side.begun:
                    side.begun = True
                    side.hpack = HpackDecoder(False)
                    self.doubtful = True
                return True
            at += 1
        return False

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        at: cython.Py_ssize_t = c.pos
        n: cython.Py_ssize_t = c.end - at
        if direction == TO_SERVER:
            if c.starts(at, PREFACE):
                return YES
            if n < len(PREFACE) and PREFACE.startswith(c.take(at, c.end)):
                return PERHAPS
        if n < 9:
            return PERHAPS if n == 0 or self._begins_like(c) else NO
        if direction == TO_CLIENT and self._is_settings(c):
            return YES
        frames: cython.Py_ssize_t = self._frames_at(direction, c, at)
        if frames <= 0:
            return NO
        # A frame of a connection that was joined late. Headers tell which side it is; without them more must come.
        return YES if self.evidence != EITHER else PERHAPS

    # --- frames ---

    def _opening(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        """What begins a direction: bytes wanted of the client's preface, 0 where the server's frames begin, -1 not ours."""
        at: cython.Py_ssize_t = c.pos
        if direction == TO_SERVER:
            if c.starts(at, PREFACE):
                return 24
            return 24 if c.end - at < 24 and PREFACE.startswith(c.take(at, c.end)) else NOT_OURS
        if c.end - at < 9:
            return 9
        # RFC 9113, 3.4: SETTINGS come first. A server that takes nothing more may say GOAWAY at once.
        return MORE if self._is_settings(c) or c.u8(at + 3) == H2_GOAWAY else NOT_OURS

    def _data(
        self, direction: cython.int, side: Side, c: Cursor, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        key: cython.longlong = self.key
        payload: cython.Py_ssize_t = self.length
        pad: cython.Py_ssize_t = 0
        if key == 0:
            raise Malformed("http2", "data on stream 0", 0)
        if self.flags & PADDED:
            if payload == 0:
                raise Malformed("http2", "padding", 9)
            pad = c.u8(c.pos + 9)
            payload -= 1
            if pad > payload:
                raise Malformed("http2", "padding", 9)
            payload -= pad
        ends: cython.bint = self.flags & END_STREAM != 0
        out.key = key
        exchange: Exchange | None = self._find(key)
        if exchange is not None and (self.detail or self.doubtful or exchange.grpc >= GRPC_PERHAPS):
            body: Body | None = exchange.sent if direction == TO_SERVER else exchange.received
            if body is None:
                body = Body()
                if exchange.grpc == GRPC_NO:
                    body.messages = -1
                if direction == TO_SERVER:
                    exchange.sent = body
                else:
                    exchange.received = body
            body.size += payload
            if body.messages >= 0 and body.whole and payload > 0:
                side.left = payload
                side.pad = pad
                side.ends = ends
                side.key = key
                side.body = body
                return self._advance(direction, side, ts_ns, out)
        self.skip = payload + pad
        return self._data_end(direction, key, exchange, ends, ts_ns, out)

    def _messages(
        self, direction: cython.int, side: Side, c: Cursor, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        """What there is of a DATA frame, for its messages; frames cut them anywhere."""
        body: Body = side.body
        reader: Messages = self.settings.messages
        side.left -= c.end - c.pos
        body.feed(c)
        found: cython.int = body.next(reader, direction, c, ts_ns, out)
        while found > 0:
            body.messages += 1
            found = body.next(reader, direction, c, ts_ns, out)
        if found < 0:
            body.messages = -1
        out.key = side.key
        return self._advance(direction, side, ts_ns, out)

    def _advance(self, direction: cython.int, side: Side, ts_ns: cython.longlong, out: Message) -> cython.int:
        """Pass over what there is of the current message, to the next one or the end of the frame."""
        body: Body = side.body
        n: cython.Py_ssize_t = side.left
        if body.messages >= 0:
            n = body.passed_over(side.left)
        if n < side.left:
            self.skip = n
            side.left -= n
            out.piece = 0
            return MESSAGE
        self.skip = side.left + side.pad
        side.left = 0
        side.body = None
        return self._data_end(direction, side.key, self._find(side.key), side.ends, ts_ns, out)

    def _data_end(
        self,
        direction: cython.int,
        key: cython.longlong,
        exchange: Exchange | None,
        ends: cython.bint,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        if not ends:
            out.piece = 0
            return MESSAGE
        out.piece = ENDS
        if exchange is None:
            return MESSAGE
        if direction == TO_SERVER:
            self._request_ended(exchange, out)
            return MESSAGE
        if exchange.received is not None:
            exchange.received.ended = True
        if exchange.answered:
            return self._finish(exchange, None, False, out)
        self._forget(exchange)  # its head was lost: nobody knows what the answer was
        return MESSAGE

    def _fragment(
        self, direction: cython.int, side: Side, c: Cursor, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        """A frame with a header block or a piece of one."""
        kind: cython.int = self.kind
        flags: cython.int = self.flags
        at: cython.Py_ssize_t = c.pos + 9
        end: cython.Py_ssize_t = at + self.length
        pad: cython.Py_ssize_t = 0
        if self.key == 0:
            raise Malformed("http2", "headers on stream 0", 0)
        whole: cython.bint = self.length <= BLOCK_MAX
        if not whole:
            self.skip = self.length
        elif kind != H2_CONTINUATION:
            if flags & PADDED:
                if self.length < 1:
                    raise Malformed("http2", "padding", 9)
                pad = c.u8(at)
                at += 1
            if kind == H2_PUSH_PROMISE:
                at += 4
            elif flags & PRIORITY:
                at += 5
            if at + pad > end:
                raise Malformed("http2", "padding", 9)
            end -= pad
        if kind == H2_PUSH_PROMISE and direction == TO_SERVER:
            raise Malformed("http2", "push by a client", 0)
        if kind == H2_CONTINUATION:
            if side.block is None or side.block_key != self.key:
                raise Malformed("http2", "nothing to continue", 0)
        elif not flags & END_HEADERS:
            side.block = bytearray()
            side.block_key = self.key
            side.block_kind = kind
            side.block_flags = flags
            side.block_first_ns = out.first_ns
            side.block_size = 0
        elif whole:
            return self._headers(direction, side, kind, flags, c.buf, at, end, ts_ns, out)
        else:
            return self._headers(direction, side, kind, flags, None, 0, 0, ts_ns, out)
        if side.block_size >= 0:
            side.block_size += 9 + self.length
            if not whole or len(side.block) + end - at > BLOCK_MAX:
                side.block = bytearray()
                side.block_size = -1  # too long: the rest is only passed over
            else:
                side.block += c.take(at, end)
        if not flags & END_HEADERS:
            return NOTHING
        block: bytes | None = None
        if side.block_size >= 0:
            block = bytes(side.block)
            out.size = side.block_size - 9 - self.length
        out.first_ns = side.block_first_ns
        side.block = None
        at = 0 if block is None else len(block)
        return self._headers(direction, side, side.block_kind, side.block_flags, block, 0, at, ts_ns, out)

    def _headers(
        self,
        direction: cython.int,
        side: Side,
        kind: cython.int,
        flags: cython.int,
        block: bytes | None,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        ts_ns: cython.longlong,
        out: Message,
    ) -> cython.int:
        """A whole header block, or None for one that was too long."""
        settings: Http2Settings = self.settings
        fields: Fields = settings.fields
        if side.hpack is None:
            side.hpack = HpackDecoder()
        fields.start(direction, self.detail, settings)
        if block is None:
            self._reached("http2_header_block")
            side.hpack.reset_unknown()
            fields.unknown = 1
            fields.pseudo = direction == TO_SERVER
        else:
            side.hpack.decode(block, start, end, fields)
            if side.hpack.truncated:
                self._reached("http2_header_list")
                fields.unknown += 1
        # A pushed answer is no answer to the client (RFC 9113, 8.4); its stream has an even number.
        if kind == H2_PUSH_PROMISE or self.key & 1 == 0:
            return NOTHING
        out.key = self.key
        if direction == TO_SERVER:
            return self._request(fields, flags & END_STREAM != 0, out)
        return self._response(fields, flags & END_STREAM != 0, out)

    # --- streams ---

    def _find(self, key: cython.longlong) -> Exchange | None:
        recent: Exchange | None = self.recent
        if recent is not None and recent.key == key:
            return recent
        recent = self.streams.get(key)
        if recent is not None:
            self.recent = recent
        return recent

    def _forget(self, exchange: Exchange) -> cython.int:
        self.streams.pop(exchange.key, None)
        self.recent = None
        return 0

    def _request(self, fields: Fields, ends: cython.bint, out: Message) -> cython.int:
        exchange: Exchange | None
        if not fields.pseudo:
            # Trailers; of them nothing counts, a trace context in them is none (W3C: a request header).
            out.piece = ENDS if ends else 0
            if ends:
                exchange = self._find(out.key)
                if exchange is not None:
                    self._request_ended(exchange, out)
            return MESSAGE
        settings: Http2Settings = self.settings
        if len(self.streams) >= STREAMS_MAX:
            self._reached("http2_streams")
            oldest: Exchange = self.streams[next(iter(self.streams))]
            self._forget(oldest)
        if out.key > self.highest:
            self.highest = out.key
        exchange = Exchange()
        exchange.key = out.key
        exchange.path = fields.path
        exchange.asked = ends
        exchange.first_ns = out.first_ns
        self.streams[exchange.key] = exchange
        self.recent = exchange
        out.version = "2"
        out.piece = BEGINS | ENDS if ends else BEGINS
        if fields.authority is not None:
            self._server(fields.authority, 443 if fields.secure else 80, out)
        if settings.grpc is not None:
            if fields.content_type is not None:
                exchange.grpc = GRPC_YES if settings.grpc.speaks(fields.content_type) else GRPC_NO
            elif fields.unknown > 0 and (fields.method is None or fields.method == b"POST"):
                self._perhaps(exchange, fields)
            if exchange.grpc <= GRPC_YES:
                self._certain(exchange, fields.method)
            if fields.grpc_timeout is not None:
                exchange.timeout_ns = settings.grpc.timeout_ns(fields.grpc_timeout)
            elif fields.unknown > 0:
                exchange.timeout_ns = TIMEOUT_HIDDEN
        if exchange.grpc == GRPC_YES:
            out.path = fields.path
        else:
            out.protocol = settings.plain
            self._describe(exchange, fields, out)
        if exchange.grpc == GRPC_YES or exchange.grpc == GRPC_LIKELY:
            exchange.operation = out.operation
            settings.grpc.begins(fields.path, out)
        if self.detail:
            self._describe_more(exchange, fields, out)
        if 0 <= self.going_away < exchange.key:
            # It was on its way when the server said that it takes no more.
            self.refused = [exchange]
            return SEVERAL
        return MESSAGE

    def _certain(self, exchange: Exchange, method: bytes | None) -> cython.int:
        """It is known now whether a request is gRPC."""
        if exchange.grpc == GRPC_YES:
            self.posted |= 1
        elif method is not None and method == b"POST":
            self.posted |= 2
        return 0

    def _perhaps(self, exchange: Exchange, fields: Fields) -> cython.int:
        """A request whose content-type nobody can read."""
        exchange.trailers = fields.trailers
        if fields.entries is not None:
            exchange.entries = tuple(fields.entries)
        if self.pinned or (self.proved is not None and exchange.entries in self.proved):
            exchange.grpc = GRPC_YES
        elif self.posted == 1 and fields.method is not None:
            exchange.grpc = GRPC_LIKELY
        else:
            exchange.grpc = GRPC_PERHAPS
        return 0

    def _request_ended(self, exchange: Exchange, out: Message) -> cython.int:
        exchange.asked = True
        if exchange.sent is None:
            return 0
        exchange.sent.ended = True
        if self.detail and exchange.grpc == GRPC_NO and exchange.sent.whole:
            out.add("http.request.body.size", exchange.sent.size)
        return 0

    def _response(self, fields: Fields, ends: cython.bint, out: Message) -> cython.int:
        settings: Http2Settings = self.settings
        status: cython.int = fields.status
        if 100 <= status < 200:
            return NOTHING  # 100, 103: the answer is still to come
        exchange: Exchange | None = self._find(out.key)
        if exchange is None:
            # Nobody saw its request, or it is forgotten here and still waits in the matcher.
            exchange = Exchange()
            exchange.key = out.key
            exchange.grpc = GRPC_PERHAPS if self.doubtful or self.posted & 1 else GRPC_NO
            exchange.answered = status < 0 and fields.unknown == 0
            exchange.first_ns = out.first_ns
        if fields.content_type is not None and exchange.grpc >= GRPC_PERHAPS and settings.grpc is not None:
            self._answered_as(exchange, settings.grpc, fields.content_type)
        if not exchange.answered:
            if status < 0 and (fields.unknown == 0 or (ends and exchange.doubted)):
                # Trailers of an answer whose head was lost.
                out.piece = ENDS if ends else 0
                if ends:
                    self._forget(exchange)
                return MESSAGE
            exchange.answered = True
            out.piece = BEGINS
        else:
            out.piece = 0
        closing: cython.bint = exchange.status >= 0 or exchange.received is not None
        if status >= 0:
            exchange.status = status
            closing = False
            if exchange.grpc == GRPC_NO:
                tell_status(status, out)
        out.version = "2"
        if self.detail and fields.kept is not None:
            names = settings.response_metadata if exchange.grpc == GRPC_YES else settings.response_headers
            for name in fields.kept:
                out.add(names[name], fields.kept[name])
        if ends:
            out.piece |= ENDS
            if exchange.received is not None:
                exchange.received.ended = True
            return self._finish(exchange, fields, closing, out)
        if exchange.tunnel and 200 <= status < 300:
            # What follows is not HTTP any more; the roundtrip ends with the headers.
            out.piece |= ENDS
            return self._finish(exchange, None, False, out)
        return MESSAGE

    def _answered_as(self, exchange: Exchange, grpc: Grpc, content_type: bytes) -> cython.int:
        """The answer says what it is, whose request's content-type nobody could read."""
        if grpc.speaks(content_type):
            self._prove(exchange)
            return 0
        # gRPC-Web and Connect have messages of the same form. Any other answer to such may be a proxy's, to a call.
        web: cython.bint = content_type.startswith((b"application/grpc", b"application/connect"))
        if web or not self._may_be_call(exchange):
            self._refute(exchange)
        return 0

    def _may_be_call(self, exchange: Exchange) -> cython.bint:
        """By what came of the request's messages so far."""
        sent: Body | None = exchange.sent
        if sent is None:
            return not exchange.asked
        return not sent.differs() and (sent.messages > 0 or not exchange.asked)

    def _prove(self, exchange: Exchange) -> cython.int:
        exchange.grpc = GRPC_YES
        self.posted |= 1
        if exchange.entries is not None:
            if self.proved is None:
                self.proved = set()
            elif len(self.proved) >= PROVED_MAX:
                self._reached("grpc_hidden_types")
                self.proved.clear()
            self.proved.add(exchange.entries)
        return 0

    def _refute(self, exchange: Exchange) -> cython.int:
        exchange.grpc = GRPC_NO
        self.posted |= 2
        return 0

    def _settle(self, exchange: Exchange, fields: Fields | None, closing: cython.bint) -> cython.int:
        """Find out whether an exchange is gRPC whose content-type nobody could read; it is at its end. `closing`: by trailers."""
        if fields is not None and fields.grpc_status is not None:
            return self._prove(exchange)
        sent: Body | None = exchange.sent
        received: Body | None = exchange.received
        if (sent is not None and sent.differs()) or (received is not None and received.differs()):
            return self._refute(exchange)
        if closing:
            # Nobody else sends messages of that form and then trailers.
            if (sent is not None and sent.framed()) or (received is not None and received.framed()):
                return self._prove(exchange)
            if exchange.trailers and fields.unknown > 0:
                return self._prove(exchange)
        return 0

    def _finish(self, exchange: Exchange, fields: Fields | None, closing: cython.bint, out: Message) -> cython.int:
        """The answer is complete; `fields` are those of the header block that ended it, if one did; `closing`: trailers."""
        grpc: Grpc | None = self.settings.grpc
        self._forget(exchange)
        if grpc is not None and exchange.grpc >= GRPC_PERHAPS:
            self._settle(exchange, fields, closing)
            if exchange.grpc != GRPC_YES:
                self._open_end(exchange, fields, closing, grpc, out)
        if self.detail:
            self._count(exchange, out)
        if grpc is None or exchange.grpc != GRPC_YES:
            return MESSAGE
        said: bytes | None = None
        unknown: cython.bint = False
        if fields is not None:
            said = fields.grpc_status
            unknown = fields.unknown > 0
            if said is None and unknown:
                said = self._number(exchange, fields, closing)
        if said is not None:
            grpc.ends(exchange.path, grpc.code(said), True, out)
        elif unknown or exchange.status < 0:
            grpc.ends(exchange.path, NO_STATUS, False, out)
        else:
            grpc.ends(exchange.path, grpc.code_of_http(exchange.status), False, out)
        return MESSAGE

    def _number(self, exchange: Exchange, fields: Fields, closing: cython.bint) -> bytes | None:
        """The grpc-status of a call's trailers in which nobody can read that name, where only one field can be it.

        PROTOCOL-HTTP2.md: trailers have one, and it is a number. What is found so is known from then on: encoders that find the
        name in their table write a new status with its index.
        """
        if not closing or fields.status_hidden or fields.candidates != 1 or self.server.hpack.truncated:
            return None
        received: Body | None = exchange.received
        if received is None or not received.framed():
            return None  # it might be the answer of a proxy that knows nothing of calls
        if self.server.hpack.learn(fields.candidate, b"grpc-status"):
            self._reached("http2_hidden_names")
        return fields.number

    def _open_end(
        self, exchange: Exchange, fields: Fields | None, closing: cython.bint, grpc: Grpc, out: Message
    ) -> cython.int:
        """The answer to a request that is no call, or perhaps none. HTTP's status counts if it says the same of both."""
        status: cython.int = exchange.status
        if exchange.grpc == GRPC_NO and exchange.operation is not None:
            out.protocol = self.settings.plain
            out.operation = exchange.operation
        if exchange.grpc == GRPC_LIKELY:
            return grpc.ends(exchange.path, NO_STATUS, False, out)
        if status < 0:
            return 0
        tell_status(status, out)
        if exchange.grpc == GRPC_NO:
            return 0
        hidden: cython.bint = fields is not None and fields.unknown > 0
        certain: cython.bint = True
        if hidden and (closing or status == 200):
            certain = False  # one of these may be grpc-status
        elif self._may_be_call(exchange):
            # A call to a server that knows none, or something else with messages of that form.
            certain = not hidden and self._same(out.error_side, grpc.error_side(grpc.code_of_http(status)))
        if not certain:
            out.error_side = ERROR_UNREAD
            out.error_type = None
        return 0

    def _same(self, one: cython.int, other: cython.int) -> cython.bint:
        """Whether two faults are the same to the side that is ours."""
        if self.vantage == VANTAGE_CLIENT:
            return (one == ERROR_NONE) == (other == ERROR_NONE)
        return (one == ERROR_BOTH) == (other == ERROR_BOTH)

    def _reset(
        self, direction: cython.int, error: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        exchange: Exchange | None = self._find(self.key)
        if exchange is None:
            return NOTHING  # all is said already (RFC 9113, 8.1: NO_ERROR after a whole answer), or was never seen
        if error == NO_ERROR and exchange.doubted and direction == TO_CLIENT:
            self._forget(exchange)
            return NOTHING  # so a whole answer went before it, in a hole
        self._cut(exchange, error, ts_ns, out)
        return MESSAGE

    def _cut(self, exchange: Exchange, error: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message) -> cython.int:
        """A stream ends here, whoever ended it; that is its answer."""
        out.role = ROLE_RESPONSE
        out.key = exchange.key
        out.piece = ENDS if exchange.answered else BEGINS | ENDS
        out.version = "2"
        self._forget(exchange)
        if self.detail:
            self._count(exchange, out)
        grpc: Grpc | None = self.settings.grpc
        if grpc is not None and exchange.grpc != GRPC_NO:
            sent: Body | None = exchange.sent
            if exchange.grpc >= GRPC_PERHAPS and sent is not None and sent.differs():
                self._refute(exchange)
            else:
                return self._cut_call(exchange, grpc, error, ts_ns, out)
        self._reset_as_http(exchange, error, out)
        return 0

    def _reset_as_http(self, exchange: Exchange, error: cython.Py_ssize_t, out: Message) -> cython.int:
        if exchange.operation is not None:
            out.protocol = self.settings.plain
            out.operation = exchange.operation
        out.error_type = ERROR_NAMES[error] if error < len(ERROR_NAMES) else "_OTHER"
        out.error_side = ERROR_BOTH
        return 0

    def _cut_call(
        self, exchange: Exchange, grpc: Grpc, error: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        """A stream that is a call, or may be one, was reset."""
        code: cython.int = grpc.code_of_reset(error, ts_ns - exchange.first_ns, exchange.timeout_ns)
        error_side: cython.int = grpc.error_side(code)
        if exchange.grpc == GRPC_YES or exchange.grpc == GRPC_LIKELY:
            if exchange.timeout_ns != TIMEOUT_HIDDEN or not grpc.is_cancel(error):
                return grpc.ends(exchange.path, code, False, out)
            # Cancelled, or the time was up: an error to the client, and to the server only the latter.
            grpc.ends(exchange.path, NO_STATUS, False, out)
            out.error_side = ERROR_BOTH if self.vantage == VANTAGE_CLIENT else ERROR_UNREAD
            return 0
        self._reset_as_http(exchange, error, out)
        if exchange.status >= 0:
            out.status = STATUSES[exchange.status]
        if not self._same(error_side, ERROR_BOTH):
            out.error_side = ERROR_UNREAD
            out.error_type = None
        return 0

    def _go_away(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        #  [R + last stream (31)][error code (32)] debug data                                            RFC 9113, 6.8
        if self.length < 8 or self.key != 0:
            raise Malformed("http2", "frame size", 0)
        if direction == TO_SERVER or self.length > SMALL_MAX:
            # A client's speaks of pushed streams. Debug data as long as that: what it would end
            # is reported when the connection ends.
            return NOTHING
        last: cython.Py_ssize_t = c.u32(c.pos + 9) & STREAM_MASK
        error: cython.Py_ssize_t = c.u32(c.pos + 13)
        self.going_away = last
        # RFC 9113, 6.8: what lies beyond was not and will not be processed, as if the stream were refused.
        self.away_error = REFUSED_STREAM if error == NO_ERROR else error
        refused: list[Exchange] = []
        for each in self.streams.values():
            exchange: Exchange = each
            if exchange.key > last:
                refused.append(exchange)
        if len(refused) == 0:
            return NOTHING
        self.refused = refused
        self.more(direction, ts_ns, out)
        return MESSAGE if self.refused is None else SEVERAL

    # --- what a request says ---

    def _describe(self, exchange: Exchange, fields: Fields, out: Message) -> cython.int:
        method: bytes | None = fields.method
        if method is not None:
            out.operation = self.settings.methods.get(method)
            if out.operation is None:
                out.operation = "_OTHER"
                if self.detail:
                    out.add("http.request.method_original", method)
            exchange.tunnel = method == b"CONNECT"
        if fields.secure:
            out.namespace = "https"
        path: bytes | None = fields.path
        if path is None:
            return 0
        i: cython.Py_ssize_t
        for i in range(len(path)):
            if path[i] == 0x3F:
                out.path = path[:i]
                if self.detail:
                    out.query = path[i + 1 :]
                return 0
        out.path = path
        return 0

    def _server(self, authority: bytes, default_port: cython.int, out: Message) -> cython.int:
        """Take `host[:port]`; the text is made once per connection, as long as it stays the same."""
        if default_port != self.authority_default or authority != self.authority:
            self.authority = authority
            self.authority_default = default_port
            self.host, self.port = split_authority(authority, default_port)
        out.server_address = self.host
        out.server_port = self.port
        return 0

    def _describe_more(self, exchange: Exchange, fields: Fields, out: Message) -> cython.int:
        """What only spans need."""
        settings: Http2Settings = self.settings
        if exchange.grpc != GRPC_YES:
            if fields.user_agent is not None:
                out.add("user_agent.original", fields.user_agent)
            if self.trusting:
                if (
                    fields.forwarded is not None
                    or fields.forwarded_for is not None
                    or fields.forwarded_host is not None
                    or fields.forwarded_proto is not None
                ):
                    origin = Origin(
                        fields.forwarded,
                        fields.forwarded_for,
                        fields.forwarded_host,
                        fields.forwarded_proto,
                        settings.trust,
                    )
                    origin.tell(out)
        context: TraceContext | None = settings.context
        if context is not None:
            context.tell(out)
        if fields.kept is not None:
            names = settings.request_metadata if exchange.grpc == GRPC_YES else settings.request_headers
            for name in fields.kept:
                out.add(names[name], fields.kept[name])
        return 0

    def _count(self, exchange: Exchange, out: Message) -> cython.int:
        """Say what a stream carried; nothing of what a hole took a part of."""
        sent: Body | None = exchange.sent
        received: Body | None = exchange.received
        if exchange.grpc == GRPC_YES:
            if sent is not None and sent.whole and sent.messages >= 0:
                out.add("pcap_receiver.rpc.request.messages", sent.messages)
            if received is not None and received.whole and received.messages >= 0:
                out.add("pcap_receiver.rpc.response.messages", received.messages)
        elif exchange.grpc == GRPC_NO and received is not None and received.whole:
            out.add("http.response.body.size", received.size)
        return 0

    def _reached(self, limit: str) -> cython.int:
        self.limits[limit] = self.limits.get(limit, 0) + 1
        return 0

    # --- where frames could begin ---

    def _is_settings(self, c: Cursor) -> cython.bint:
        """Whether SETTINGS that are no acknowledgement stand at the cursor."""
        at: cython.Py_ssize_t = c.pos
        if c.end - at < 9 or c.u8(at + 3) != H2_SETTINGS or c.u8(at + 4) != 0:
            return False
        return self._size_of_frame(c, at) > 0

    def _begins_like(self, c: Cursor) -> cython.bint:
        """Whether fewer than nine bytes could begin a frame of at most 64 KiB."""
        at: cython.Py_ssize_t = c.pos
        if c.u8(at) != 0:
            return False
        return c.end - at < 4 or c.u8(at + 3) <= H2_CONTINUATION

    def _frames_at(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """How many frames follow one another from `at` to the window's end; -1 where something else stands.

        Sets `evidence` to what the headers among them are; those of the wrong direction are no frames.
        """
        frames: cython.Py_ssize_t = 0
        self.evidence = EITHER
        while c.end - at >= 9:
            size: cython.Py_ssize_t = self._size_of_frame(c, at)
            kind: cython.int = c.u8(at + 3)
            if size < 0 or (frames == 0 and kind == H2_CONTINUATION):
                return -1
            key: cython.Py_ssize_t = c.u32(at + 5) & STREAM_MASK
            if 0 < self.highest < key - STREAMS_AHEAD:
                return -1
            if direction == TO_SERVER and (kind == H2_DATA or kind == H2_HEADERS):
                if key & 1 == 0:
                    return -1  # streams of even numbers are the server's, for what it pushes
                exchange: Exchange | None = self._find(key)
                if exchange is not None and exchange.asked:
                    return -1  # the client has said all that it will
            if kind == H2_HEADERS:
                first: cython.Py_ssize_t = at + 9
                flags: cython.int = c.u8(at + 4)
                if flags & PADDED:
                    first += 1
                if flags & PRIORITY:
                    first += 5
                if first < c.end and first < at + size:
                    shown: cython.int = _shown_by(c.u8(first))
                    if shown == (REQUEST if direction == TO_CLIENT else RESPONSE):
                        return -1
                    if shown != EITHER:
                        self.evidence = shown
            frames += 1
            at += size
        return frames

    def _alone(self, direction: cython.int, c: Cursor) -> cython.bint:
        """Whether the one frame that begins the window is credible: it ends there, or what it says fits what is known."""
        at: cython.Py_ssize_t = c.pos
        length: cython.Py_ssize_t = c.u24(at)
        if c.end - at >= 9 + length:
            return True
        kind: cython.int = c.u8(at + 3)
        if kind == H2_DATA:
            return length <= LONE_MAX and ((self.highest == 0 and c.u32(at + 5) & 1 == 1) or c.u32(at + 5) in self.streams)
        if kind == H2_HEADERS:
            # Beyond the highest stream of a client there is its next one; a server answers on one that is known.
            key: cython.Py_ssize_t = c.u32(at + 5)
            fits: cython.bint = key in self.streams or self.evidence != EITHER
            if direction == TO_SERVER and 0 < self.highest < key <= self.highest + STREAMS_NEXT:
                fits = True
            return fits and length <= LONE_MAX and c.u8(at + 4) & END_HEADERS != 0
        return length <= SMALL_MAX

    def _size_of_frame(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The size of a frame that begins at `at` if its nine bytes are such as peers send, else -1."""
        length: cython.Py_ssize_t = c.u24(at)
        kind: cython.int = c.u8(at + 3)
        flags: cython.int = c.u8(at + 4)
        key: cython.Py_ssize_t = c.u32(at + 5)
        good: cython.bint = False
        if kind == H2_DATA:
            # An empty one that does not end the stream says nothing, and is what the end of a WINDOW_UPDATE looks like.
            good = key != 0 and flags & ~(END_STREAM | PADDED) == 0 and length <= LIKELY_MAX
            good = good and (length > 0 or flags & END_STREAM != 0)
        elif kind == H2_HEADERS:
            good = key != 0 and flags & ~(END_STREAM | END_HEADERS | PADDED | PRIORITY) == 0 and 0 < length <= BLOCK_MAX
        elif kind == H2_PRIORITY:
            good = key != 0 and flags == 0 and length == 5
        elif kind == H2_RST_STREAM:
            good = key != 0 and flags == 0 and length == 4
        elif kind == H2_SETTINGS:
            good = key == 0 and (length == 0 if flags == ACK else flags == 0 and length % 6 == 0 and length <= 384)
        elif kind == H2_PUSH_PROMISE:
            good = key != 0 and flags & ~(END_HEADERS | PADDED) == 0 and 4 < length <= BLOCK_MAX
        elif kind == H2_PING:
            good = key == 0 and flags & ~ACK == 0 and length == 8
        elif kind == H2_GOAWAY:
            good = key == 0 and flags == 0 and 8 <= length <= BLOCK_MAX
        elif kind == H2_WINDOW_UPDATE:
            good = flags == 0 and length == 4
        elif kind == H2_CONTINUATION:
            good = key != 0 and flags & ~END_HEADERS == 0 and length <= BLOCK_MAX
        elif kind == H2_ALTSVC or kind == H2_ORIGIN or kind == H2_PRIORITY_UPDATE:
            good = flags == 0 and length <= BLOCK_MAX
        if not good or key > STREAM_MASK:
            return -1
        return 9 + length


def _shown_by(byte: cython.int) -> cython.int:
    """Whose header block begins with this byte: pseudo-headers come first, and their names stand in the static table."""
    index: cython.int = byte & 0x7F
    if byte < 0x80:
        index = byte & 0x3F if byte & 0x40 else byte & 0x0F
        if byte & 0xE0 == 0x20 or index == 0:
            return EITHER  # a new table size, or a name in full
    if 1 <= index <= 7:
        return REQUEST
    return RESPONSE if 8 <= index <= 14 else EITHER


def rows(shared: Shared) -> tuple[Protocol, ...]:
    """gRPC is read as HTTP/2; it has a row of its own for its telemetry, and for a port to be pinned to."""
    settings = Http2Settings(settings_of(shared), shared.limits)
    plain = Protocol("http2", "http", partial(Http2Decoder, settings))
    grpc = Protocol("grpc", "grpc", partial(Http2Decoder, settings, True), ports=(50051,), probed=False)
    settings.name_rows(plain, grpc)
    return plain, grpc
