"""MongoDB: commands and their answers, read by their heads; documents are passed over by count.

Room: l7; follows the contract of `decoder.py`. Sources: MongoDB Manual, "MongoDB Wire Protocol"; mongodb/specifications, "OP_MSG",
"Compression", "Server Discovery and Monitoring".

    message:       [i32le length][i32le number][i32le number of the request][i32le opcode] ...
    OP_COMPRESSED: [i32le opcode][i32le length without header][u8 compressor] what stands behind the header, compressed

An answer names its request, and answers come in any order. A request may want none (`moreToCome`: w:0), and one may get many: with
`exhaustAllowed` the server sends on and on, and each answer names the one before. To a client that watches the topology these are
news, of a cursor they are one answer.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.inner import Inflater, Inner
from receiver.l7.mongodb_body import Body
from receiver.l7.mongodb_names import Command, Vocabulary
from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, YES
    from receiver.l7.mongodb_body import OP_COMPRESSED, OP_GET_MORE, OP_KILL_CURSORS, OP_MSG, OP_QUERY, OP_REPLY
    from receiver.l7.mongodb_names import KIND_BULK, KIND_HELLO, KIND_LEGACY
    from receiver.wire.records import BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, TO_SERVER

HEAD = 16
# maxMessageSizeBytes of every server.
MESSAGE_MAX = 48_000_000
# A message of so many bytes is read when all of it is there, a longer one in pieces; so much of its beginning is seen together.
WHOLE_MAX = 16384
START_SEEN = 2048
# What is asked for where the beginning of an element does not suffice.
STEP = 256
# So much of a compressed message is seen together, and so much is made of it.
PACKED_HEAD = 25
PACKED_SEEN = 65536
NOOP = 0
ZSTD = 3
# OP_MSG's flags: those that have to be known, and have no meaning; more answers come.
MUST_BE_KNOWN = 0xFFFC
MORE_TO_COME = 2
REPLY_FAILED = 3
# What a hello asks for that waits for news; and a getMore that may wait.
AWAITS_NEWS = 3
AWAITS_ROWS = 4
NOBODY = -1
NO_CODE = -1099511627776
CODE_NAME_MAX = 64
# What stands in the names of commands and of what answers them.
_WORD = bytes(1 if chr(i) in "$_" or (i < 128 and chr(i).isalnum()) else 0 for i in range(256))
_SEQUENCES = (b"documents", b"updates", b"deletes", b"ops", b"nsInfo")


@cython.no_gc
@cython.cclass
class MongodbDecoder(Prefixed):
    """One connection's messages. A message that is long is walked as it comes (`Body`), in pieces."""

    def __init__(self, words: Vocabulary | None = None) -> None:
        self.words: Vocabulary = Vocabulary() if words is None else words
        self.asks = Body(self.words)
        self.answers = Body(self.words)
        self.inner: Inner | None = None
        self.stream: Cursor | None = None
        Prefixed.__init__(self)

    # --- the contract of decoder.py ---

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.asks.close()
        self.answers.close()
        # What `frame` walked for `parse`: whether it did, whether the message begins with it, and how much behind it nobody wants.
        self.walked = False
        self.begins = False
        self.behind = 0
        # Answers without a request of their own: the number that the next one names, the key of what they answer, and whether they
        # are news of the topology; the rows so far.
        self.follows = NOBODY
        self.followed = NOBODY
        self.news = False
        self.rows = 0
        return 0

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        self.walked = False
        if direction == TO_SERVER:
            self.asks.close()
        else:
            self.answers.close()
            self.follows = NOBODY
        return 0

    # --- frames, as prefixed.py asks ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        body: Body = self.asks if direction == TO_SERVER else self.answers
        if body.open:
            return body.whole - body.at
        seen: cython.Py_ssize_t = c.end - at
        if seen < 4:
            return MORE
        size: cython.Py_ssize_t = c.u32le(at)
        if size < HEAD or size > MESSAGE_MAX:
            return NOT_OURS
        return MORE if seen < HEAD else size

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        body: Body = self.asks if direction == TO_SERVER else self.answers
        if body.open:
            return self._walk(body, c, body.at, size)
        opcode: cython.int = self._opcode(c, c.pos)
        if opcode == OP_COMPRESSED:
            return size if size < PACKED_SEEN else PACKED_SEEN
        if size <= WHOLE_MAX:
            return size
        if c.end - c.pos < START_SEEN:
            return START_SEEN
        body.head(direction == TO_SERVER, c)
        body.begin(opcode, size)
        if not body.start(c, 0):
            body.close()
            raise Malformed("mongodb", "unknown opcode", 12)
        self.begins = True
        return self._walk(body, c, 0, size)

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        body: Body = self.asks if direction == TO_SERVER else self.answers
        piece: cython.int = BEGINS | ENDS
        if self.walked:
            self.skip = self.behind
            self.walked = False
            if not self.begins:
                piece ^= BEGINS
            self.begins = False
            if body.at < body.whole:
                piece ^= ENDS
        else:
            body.head(direction == TO_SERVER, c)
            opcode: cython.int = self._opcode(c, c.pos)
            if opcode == OP_COMPRESSED:
                self._unpack(body, c, size)
            else:
                body.begin(opcode, size)
                if not body.start(c, 0):
                    body.close()
                    self._count("unknown opcode")
                    return NOTHING
                body.walk(c, 0)
        if piece & ENDS:
            body.open = False
            if body.broken:
                self._count("document broken")
        out.piece = piece
        return self._request(body, out) if direction == TO_SERVER else self._answer(body, out)

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        opcode: cython.int = self._opcode(c, at)
        answered: cython.Py_ssize_t = c.u32le(at + 8)
        if (direction == TO_SERVER) != (answered == 0):
            return NO
        end: cython.Py_ssize_t = at + size
        if opcode == OP_COMPRESSED:
            if size <= PACKED_HEAD:
                return NO
            if c.end - at < PACKED_HEAD:
                return PERHAPS
            opcode = self._opcode(c, at + 4)
            if opcode != OP_MSG and opcode != (OP_QUERY if direction == TO_SERVER else OP_REPLY):
                return NO
            whole: cython.Py_ssize_t = c.u32le(at + 20)
            return YES if whole >= 10 and whole <= MESSAGE_MAX and c.u8(at + 24) <= ZSTD else NO
        if opcode == OP_MSG:
            return self._proves_sections(c, at + HEAD, end)
        if opcode == OP_REPLY:
            return NO if direction == TO_SERVER else self._proves_reply(c, at + HEAD, end)
        if direction != TO_SERVER or not (opcode == OP_QUERY or opcode == OP_GET_MORE or opcode in self.words.legacy):
            return NO
        if opcode == OP_KILL_CURSORS:
            # [0][i32le n] n times [i64le cursor]
            if c.end - at < HEAD + 8:
                return PERHAPS
            return PERHAPS if size - HEAD - 8 == 8 * c.u32le(at + HEAD + 4) else NO
        return self._proves_query(c, at + HEAD, end, opcode)

    # --- what a message says ---

    def _walk(
        self, body: Body, c: Cursor, start: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Walk what is there of a long message; the answer of `frame`."""
        seen: cython.Py_ssize_t = c.end - c.pos
        done: cython.Py_ssize_t = body.walk(c, start)
        if done == 0:
            return seen + STEP if seen + STEP < size else size
        self.walked = True
        self.behind = body.at - start - done
        return done

    def _request(self, body: Body, out: Message) -> cython.int:
        out.key = body.number
        out.expects_reply = not body.one_way()
        command: Command | None = body.command
        if command is not None:
            out.operation = command.name
            out.target = body.collection
            out.namespace = body.namespace
            out.note = command.kind
            if body.awaits == AWAITS_NEWS:
                out.may_block = True
                out.awaits = True
                if self.detail:
                    out.add("pcap_receiver.mongodb.awaited", True)
            elif body.awaits == AWAITS_ROWS:
                out.may_block = True
        if body.traceparent is not None:
            context: TraceContext = self.words.context
            context.reset()
            if context.offer_pair(b"traceparent", body.traceparent):
                if body.tracestate is not None:
                    context.offer_pair(b"tracestate", body.tracestate)
                context.tell(out)
            body.traceparent = None
        if self.detail and out.piece & ENDS and body.documents >= 0 and body.documents != 1 and not (body.cut or body.broken):
            out.add("db.operation.batch.size", body.documents)
        return MESSAGE

    def _answer(self, body: Body, out: Message) -> cython.int:
        more: cython.bint = body.opcode == OP_MSG and body.flags & MORE_TO_COME != 0
        goes_on: cython.bint = body.to == self.follows
        ends: cython.bint = out.piece & ENDS != 0
        out.key = body.to
        if goes_on:
            if ends:
                self.follows = body.number if more else NOBODY
            if self.news:
                return NOTHING
            out.key = self.followed
            out.piece &= ENDS
        if not ends:
            return MESSAGE
        asked: Message | None = self.asked.by_key(out.key)
        kind: cython.longlong = KIND_HELLO
        if asked is not None:
            kind = asked.note
        if more:
            if not goes_on:
                self.follows = body.number
                self.followed = out.key
                self.news = kind == KIND_HELLO
                self.rows = 0
            if not self.news:
                if body.rows > 0:
                    self.rows += body.rows
                out.piece ^= ENDS
                return MESSAGE
        elif goes_on and body.rows >= 0:
            body.rows += self.rows
        return self._outcome(body, kind, out)

    def _outcome(self, body: Body, kind: cython.longlong, out: Message) -> cython.int:
        """How the command went."""
        rows: cython.Py_ssize_t = body.rows
        failed: cython.bint = body.failed or body.succeeded == 0
        good: cython.bint = body.succeeded > 0
        if body.opcode == OP_REPLY and kind == KIND_LEGACY:
            rows = body.returned
            failed = body.flags & REPLY_FAILED != 0
            good = not failed
        if failed:
            out.error_side = ERROR_BOTH
            if body.code != NO_CODE:
                out.status = self.words.code(body.code)
                out.error_type = out.status
            name: bytes | None = body.code_name
            if self.detail and name is not None and len(name) <= CODE_NAME_MAX and name.isalnum():
                out.add("pcap_receiver.mongodb.code_name", name)
        elif good and not (body.broken or body.cut):
            out.error_side = ERROR_NONE
        if self.detail and rows >= 0 and kind != KIND_BULK and not (failed or body.broken or body.cut):
            out.add("db.response.returned_rows", rows)
        return MESSAGE

    def _count(self, what: str) -> cython.int:
        key = ("mongodb", what)
        self.errors[key] = self.errors.get(key, 0) + 1
        return 0

    # --- compressed ---

    def _unpack(self, body: Body, c: Cursor, size: cython.Py_ssize_t) -> cython.int:
        """Read what is inside of a compressed message, as far as it can be."""
        seen: cython.Py_ssize_t = c.end - c.pos
        body.cut = True
        body.broken = False
        if size <= PACKED_HEAD or seen <= PACKED_HEAD:
            return self._count("compressed data cut short")
        opcode: cython.int = self._opcode(c, c.pos + 4)
        inside: cython.Py_ssize_t = c.u32le(c.pos + 20)
        compressor: cython.int = c.u8(c.pos + 24)
        if inside < 10 or inside > MESSAGE_MAX or compressor > ZSTD:
            return self._count("compressor unknown" if compressor > ZSTD else "compressed data broken")
        body.begin(opcode, HEAD + inside)
        body.cut = True
        stream: Cursor = self._inflated(c, compressor, inside, size > seen)
        if stream is None:
            return 0
        if stream.end - stream.pos < (inside if inside < START_SEEN else START_SEEN):
            return 0  # too little to begin with
        if not body.start(stream, HEAD):
            return self._count("unknown opcode")
        body.walk(stream, HEAD)
        body.cut = body.at < body.whole
        return 0

    def _inflated(self, c: Cursor, compressor: cython.int, inside: cython.Py_ssize_t, cut: cython.bint) -> Cursor | None:
        """What is inside, from its beginning; None where nothing can be made of it."""
        if self.stream is None:
            self.stream = Cursor()
            self.inner = Inner()
        stream: Cursor = self.stream
        at: cython.Py_ssize_t = c.pos + PACKED_HEAD
        if compressor == NOOP:
            stream.set(c.buf, at, c.end)
            return stream
        inflater: Inflater = self.words.inflaters[compressor]
        if inflater is None:
            self._count("compressed with zstd")
            return None
        try:
            inflater.feed(self.inner, stream, c.take(at, c.end), inside, cut)
        except Malformed as malformed:
            self._count(malformed.what)
            return None
        finally:
            self.inner.missing = 0
        return stream

    # --- where a message could begin ---

    def _opcode(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        opcode: cython.Py_ssize_t = c.u32le(at + 12)
        if opcode > 0xFFFF:
            return 0
        return opcode

    def _proves_sections(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        if end - at < 10:
            return NO
        if c.end - at < 4:
            return PERHAPS
        flags: cython.Py_ssize_t = c.u32le(at)
        if flags & MUST_BE_KNOWN:
            return NO
        if c.end - at < 9:
            return PERHAPS
        kind: cython.int = c.u8(at + 4)
        size: cython.Py_ssize_t = c.u32le(at + 5)
        if kind > 3 or size < 5 or size > end - at - 5:
            return NO
        if kind == 1:
            name_end: cython.Py_ssize_t = c.find(0, at + 9, c.end if c.end - at < 32 else at + 32)
            if name_end < 0:
                return NO if c.end - at >= 32 else PERHAPS
            return YES if c.take(at + 9, name_end) in _SEQUENCES else NO
        if kind == 0:
            return self._proves_document(c, at + 5, at + 5 + size)
        return PERHAPS

    def _proves_document(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Whether a document begins here, with an element whose name is a word."""
        if end - at < 5 or c.end - at < 4:
            return NO if end - at < 5 else PERHAPS
        size: cython.Py_ssize_t = c.u32le(at)
        if size == 5:
            return PERHAPS
        if size > end - at or size < 8:
            return NO
        if c.end - at < 7:
            return PERHAPS
        kind: cython.int = c.u8(at + 4)
        if kind == 0 or (kind > 19 and kind != 127 and kind != 255):
            return NO
        i: cython.Py_ssize_t = at + 5
        stop: cython.Py_ssize_t = i + 65
        byte: cython.int
        while i < c.end and i < stop:
            byte = c.u8(i)
            if byte == 0:
                return YES if i > at + 5 else NO
            if _WORD[byte] == 0:
                return NO
            i += 1
        return NO if i >= stop else PERHAPS

    def _proves_reply(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        #  [u32le flags][i64le cursor][i32le first][i32le how many] document...
        if end - at < 20:
            return NO
        if c.end - at < 20:
            return PERHAPS
        if c.u32le(at) > 15:
            return NO
        if c.u32le(at + 16) == 0:
            return PERHAPS if end - at == 20 else NO
        return self._proves_document(c, at + 20, end)

    def _proves_query(
        self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, opcode: cython.int
    ) -> cython.int:
        #  [u32le flags][database.collection NUL] ...
        if end - at < 12:
            return NO
        if c.end - at < 5:
            return PERHAPS
        if c.u32le(at) > 255:
            return NO
        stop: cython.Py_ssize_t = c.end if c.end - at < 260 else at + 260
        name_end: cython.Py_ssize_t = c.find(0, at + 4, stop)
        if name_end < 0:
            return NO if stop < c.end else PERHAPS
        dot: cython.Py_ssize_t = c.find(0x2E, at + 4, name_end)
        if dot <= at + 4 or dot + 1 >= name_end:
            return NO
        for byte in c.take(at + 4, dot):
            if byte < 0x21 or byte > 0x7E:
                return NO
        if opcode != OP_QUERY:
            return PERHAPS
        return self._proves_document(c, name_end + 9, end) if name_end + 9 <= end - 5 else NO


def rows(shared: Shared) -> tuple[Protocol, ...]:
    words = Vocabulary(shared)
    return (Protocol("mongodb", "mongodb", partial(MongodbDecoder, words), ports=(27017,), client_only=True),)
