"""What a MongoDB message says: its sections and documents, walked by their lengths.

Room: l7; for `mongodb.py`. Sources: bsonspec.org 1.1; MongoDB Manual, "MongoDB Wire Protocol"; mongodb/specifications, "OP_MSG".

    document: [i32le length]([u8 type][name NUL] value)...[0]        an array is one whose names are 0, 1, 2 ...
    OP_MSG:   [u32le flags] section...[u32le CRC-32C, if flags say so]
    section:  [0] document, the command or its answer   [1][i32le length][name NUL] document...   [3][i32le length] document
    OP_QUERY: [u32le flags][database.collection NUL][i32le skip][i32le limit] document
    OP_REPLY: [u32le flags][i64le cursor][i32le first][i32le how many] document...

The command is the first element of its document; whatever is inside of another element is passed over by its length, however deep
it is. Of an answer the elements are read that say how it went, and the documents of a batch are counted, which stand before that: a
long message is walked in pieces, and what nobody wants between them need not be seen.
"""

from __future__ import annotations

import cython

from receiver.l7.mongodb_names import Command, Vocabulary
from receiver.wire.cursor import Cursor

if not cython.compiled:
    from receiver.l7.mongodb_names import KIND_COLLECTION, KIND_GET_MORE, KIND_HELLO

    # The compiled module has these as C enums, from the `.pxd`.
    OP_REPLY = 1
    OP_UPDATE = 2001
    OP_INSERT = 2002
    OP_QUERY = 2004
    OP_GET_MORE = 2005
    OP_DELETE = 2006
    OP_KILL_CURSORS = 2007
    OP_COMPRESSED = 2012
    OP_MSG = 2013

HEAD = 16
CHECKSUM = 1
MORE_TO_COME = 2
# An answer of OP_REPLY: the cursor is gone, or the query failed.
REPLY_FAILED = 3

# Where in a message the walk is.
SECTION = 0  # a section begins
SEQUENCE = 1  # documents of a section of kind 1
BODY = 2  # elements of the command, or of its answer
CURSOR = 3  # those of `cursor`
BATCH = 4  # those of `firstBatch` or `nextBatch`: documents
LIST = 5  # those of `documents`, `updates`, `deletes`, `ops` where they stand in the command itself
ERRORS = 6  # those of `writeErrors`: documents
ERROR = 7  # those of the first of these, or of `writeConcernError`
COMMENT = 8  # those of `comment`, or of `otel` in a section of kind 3
TELEMETRY = 9  # those of a section of kind 3
OVER = 10

# Elements of one message that are looked at, before the rest is passed over; and how long the name of one can be that is passed
# over, or a text that is read.
ELEMENTS_MAX = 4096
ELEMENT_NAME_MAX = 1024
TEXT_MAX = 1024
# What follows is asked for in such steps where it does not suffice.
STEP = 256
# Numbers of errors have 32 bits.
UNKNOWN = -1099511627776
# Above 0x7FFFFFFF a literal would be a Python integer in compiled code.
HALF = 2147483648
WRAP = 4294967296

# How long the value of a type is; LENGTH: that stands in front of it (of a regular expression: it has to be looked for).
LENGTH = 254
NO_TYPE = 255
_SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
_FIXED = bytes(_SIZES.get(kind, LENGTH if kind in (2, 3, 4, 5, 11, 12, 13, 14, 15) else NO_TYPE) for kind in range(256))

_DB = b"$db\0"
_OK = b"ok\0"
_CODE = b"code\0"
_CODE_NAME = b"codeName\0"
_CURSOR = b"cursor\0"
_FIRST_BATCH = b"firstBatch\0"
_NEXT_BATCH = b"nextBatch\0"
_WRITE_ERRORS = b"writeErrors\0"
_CONCERN_ERROR = b"writeConcernError\0"
_N_ERRORS = b"nErrors\0"
_COLLECTION = b"collection\0"
_COMMENT = b"comment\0"
_TRACEPARENT = b"traceparent\0"
_TRACESTATE = b"tracestate\0"
_OTEL = b"otel\0"
_LISTS = (b"documents", b"updates", b"deletes", b"ops")
_TOPOLOGY = b"topologyVersion\0"
_AWAIT = b"maxAwaitTimeMS\0"
_MAX_TIME = b"maxTimeMS\0"
_IN_TEXT = b"traceparent"


@cython.final
@cython.no_gc
@cython.cclass
class Body:
    """One direction's message, as far as it was walked.

    `at` is how much of it was, `whole` how long it is; it is `open` while more of it is to come that has to be seen. `number` is
    its own number, `to` that of the request that it answers. `broken`: its documents are none; `cut`: a part of them was not seen.
    """

    def __init__(self, words: Vocabulary) -> None:
        self.words = words
        self.close()

    def close(self) -> cython.int:
        """Nothing is under way."""
        self.open = False
        self.at = 0
        self.whole = 0
        return 0

    def head(self, request: cython.bint, c: Cursor) -> cython.int:
        """A message's header stands in the window."""
        self.request = request
        self.number = c.u32le(c.pos + 4)
        self.to = c.u32le(c.pos + 8)
        self.begin(0, 0)
        return 0

    def begin(self, opcode: cython.int, whole: cython.Py_ssize_t) -> cython.int:
        """It is such a message, of so many bytes with its header."""
        self.opcode = opcode
        self.whole = whole
        self.end = whole
        self.flags = 0
        self.where = OVER
        self.open = True
        self.nested = False
        self.broken = False
        self.cut = False
        self.elements = 0
        self.command: Command | None = None
        self.collection: str | None = None
        self.namespace: str | None = None
        self.documents = -1
        self.counting = False
        self.rows = -1
        self.returned = -1
        self.succeeded = -1
        self.code = UNKNOWN
        self.failed = False
        self.code_name: bytes | None = None
        self.awaits = 0
        self.traceparent: bytes | None = None
        self.tracestate: bytes | None = None
        self.at = HEAD
        return 0

    def start(self, c: Cursor, start: cython.Py_ssize_t) -> cython.bint:
        """Read what stands before the documents, all of which is there; the window begins with byte `start` of the message. False:
        nobody knows what it is."""
        base: cython.Py_ssize_t = c.pos - start
        if self.opcode == OP_MSG:
            if self.whole < HEAD + 10:
                return self._break() == 0
            self.flags = c.u32le(base + HEAD)
            self.at = HEAD + 4
            if self.flags & CHECKSUM:
                self.end = self.whole - 4
            self.where = SECTION
        elif self.opcode == OP_REPLY:
            self._reply(c, base)
        elif self.opcode == OP_KILL_CURSORS:
            self.command = self.words.legacy[OP_KILL_CURSORS]
        elif self.opcode == OP_QUERY or self.opcode == OP_GET_MORE or self.opcode in self.words.legacy:
            self._query(c, base)
        else:
            return False
        return True

    def one_way(self) -> cython.bint:
        """Whether no answer comes."""
        if self.opcode == OP_MSG:
            return self.flags & MORE_TO_COME != 0
        return self.opcode in self.words.legacy

    def _reply(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        """OP_REPLY: the first of its documents is the answer, if it answers a command."""
        if self.whole < 36:
            return self._break()
        self.flags = c.u32le(at + 16)
        count: cython.Py_ssize_t = c.u32le(at + 32)
        self.returned = count if count < self.whole else -1
        if count > 0 and self.whole >= 41:
            self.at = 36
            self._document(c, at + 36, self.whole - 36, BODY)
        return 0

    def _query(self, c: Cursor, base: cython.Py_ssize_t) -> cython.int:
        """OP_QUERY and its like: [u32le flags, or 0][database.collection NUL] ..."""
        at: cython.Py_ssize_t = base + HEAD + 4
        stop: cython.Py_ssize_t = c.end if c.end - at <= ELEMENT_NAME_MAX else at + ELEMENT_NAME_MAX
        end: cython.Py_ssize_t = c.find(0, at, stop) if at < stop else -1
        dot: cython.Py_ssize_t = c.find(0x2E, at, end) if end >= 0 else -1
        if dot <= at or dot + 1 >= end:
            return self._break()
        self.namespace = self.words.databases.find(c, at, dot)
        if self.opcode == OP_QUERY and c.starts(dot + 1, b"$cmd\0"):
            if end + 9 + 4 <= c.end:
                self.at = end + 9 - base
                self._document(c, end + 9, self.whole - self.at, BODY)
                return 0
            return self._break()
        self.collection = self.words.collections.find(c, dot + 1, end)
        if self.opcode == OP_QUERY:
            self.command = self.words.query
        elif self.opcode == OP_GET_MORE:
            self.command = self.words.get_more
        else:
            self.command = self.words.legacy[self.opcode]
        return 0

    def _break(self) -> cython.int:
        """What is inside cannot be read; how long it is, is known all the same."""
        self.broken = True
        self.where = OVER
        return 0

    def _document(self, c: Cursor, at: cython.Py_ssize_t, room: cython.Py_ssize_t, where: cython.int) -> cython.int:
        """A document begins at `at`, of which four bytes are there; it has to end within `room`."""
        size: cython.Py_ssize_t = c.u32le(at)
        if size < 5 or size > room:
            return self._break()
        self.body_end = self.at + size
        self.at += 4
        self.where = where
        self.elements = 0
        return 0

    def walk(self, c: Cursor, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Walk on; the window begins with byte `start` of the message. Returns how many bytes of it are done with: 0 where more has
        to be there together. `at` may be beyond them: what is between nobody wants."""
        # Between places in the message and in the buffer.
        base: cython.Py_ssize_t = c.pos - start
        stop: cython.Py_ssize_t = c.end
        if stop - base > self.end:
            stop = base + self.end
        at: cython.Py_ssize_t = base + self.at
        n: cython.Py_ssize_t
        while self.where != OVER:
            if self.where >= BODY:
                n = self._element(c, base, at, stop)
            else:
                n = self._section(c, base, at, stop)
            if n < 0:
                break
            at = n
            if at >= c.end and at < base + self.end:
                break
        if self.where == OVER:
            at = base + self.whole
        self.at = at - base
        if at > c.end:
            at = c.end
        return at - c.pos

    def _section(
        self, c: Cursor, base: cython.Py_ssize_t, at: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Pass over one document of a sequence, or the beginning of a section; where the next thing is, -1: not to be seen yet."""
        end: cython.Py_ssize_t = base + self.end
        size: cython.Py_ssize_t
        if self.where == SEQUENCE:
            end = base + self.body_end
            if at >= end:
                self.where = SECTION
                return at
            if stop - at < 4:
                return self._short(end - at < 4)
            size = c.u32le(at)
            if size < 5 or size > end - at:
                return self._short(True)
            if self.counting:
                self.documents += 1
            return at + size
        if at >= end:
            self.where = OVER
            return at
        if stop - at < 5:
            return self._short(end - at < 6)
        kind: cython.int = c.u8(at)
        size = c.u32le(at + 1)
        if size < 5 or size > end - at - 1:
            return self._short(True)
        if kind == 0 or kind == 3:
            self.body_end = at + 1 + size - base
            self.elements = 0
            self.where = BODY if kind == 0 else TELEMETRY
            return at + 5
        if kind != 1:
            return at + 1 + size
        name_end: cython.Py_ssize_t = c.find(0, at + 5, stop)
        if name_end < 0:
            return self._short(stop >= end or stop - at > ELEMENT_NAME_MAX)
        if name_end >= at + 1 + size:
            return self._short(True)
        self.counting = self.documents < 0 and c.take(at + 5, name_end) in _LISTS
        if self.counting:
            self.documents = 0
        self.body_end = at + 1 + size - base
        self.where = SEQUENCE
        return name_end + 1

    def _short(self, broken: cython.bint) -> cython.Py_ssize_t:
        """Not to be seen yet, or not at all."""
        if broken:
            self._break()
        return -1

    def _element(
        self, c: Cursor, base: cython.Py_ssize_t, at: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Read one element, or pass over it; where the next thing is, -1: not to be seen yet."""
        end: cython.Py_ssize_t = base
        if self.where == BODY or self.where == TELEMETRY:
            end += self.body_end
        elif self.where == BATCH or (self.where == ERROR and self.nested):
            end += self.inner_end
        else:
            end += self.middle_end
        if at >= stop:
            return self._short(at >= end)
        kind: cython.int = c.u8(at)
        if kind == 0:
            if at + 1 != end:
                return self._short(True)
            return self._leave(base, end)
        # Behind the name stands at least the zero that ends the document.
        limit: cython.Py_ssize_t = at + ELEMENT_NAME_MAX
        if limit > stop:
            limit = stop
        name: cython.Py_ssize_t = at + 1
        if name >= limit:
            return self._short(stop >= end)
        value: cython.Py_ssize_t = c.find(0, name, limit)
        if value < 0:
            return self._short(stop >= end or limit < stop)
        value += 1
        size: cython.Py_ssize_t = _FIXED[kind]
        if size >= LENGTH:
            if size == NO_TYPE:
                return self._short(True)
            if kind == 11:
                value = self._pass_pattern(c, value, stop)
                if value < 0:
                    return self._short(stop >= end or stop - at > 2 * ELEMENT_NAME_MAX)
                size = 0
            else:
                if stop - value < 4:
                    return self._short(end - value < 4)
                size = c.u32le(value)
                if kind == 2 or kind == 13 or kind == 14:
                    if size == 0:
                        return self._short(True)  # its zero at least
                    size += 4
                elif kind == 5:
                    size += 5
                elif kind == 12:
                    size += 16
                elif size < 5:
                    return self._short(True)
        after: cython.Py_ssize_t = value + size
        if after >= end:
            return self._short(True)
        if self.where == BATCH or self.where == LIST:
            if self.where == BATCH:
                self.rows += 1
            else:
                self.documents += 1
            return after
        self.elements += 1
        if self.elements > ELEMENTS_MAX:
            self.words.limits["mongodb_elements"] += 1
            self.cut = True
            self.where = OVER
            return after
        value = self._read(c, base, kind, name, value, after, stop)
        if value < 0:
            self.elements -= 1  # it is looked at again
        return value

    def _pass_pattern(self, c: Cursor, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where a regular expression ends, two texts with a zero behind each; -1: not to be seen."""
        if at < stop:
            at = c.find(0, at, stop) + 1
            if 0 < at < stop:
                at = c.find(0, at, stop) + 1
                if at > 0:
                    return at
        return -1

    def _leave(self, base: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A document is over."""
        where: cython.int = self.where
        if where == BODY or where == TELEMETRY:
            self.where = SECTION if self.opcode == OP_MSG else OVER
        elif where == BATCH:
            self.where = CURSOR
        elif where == ERROR and self.nested:
            # Of several errors the first is told.
            self.where = BODY
            return base + self.middle_end
        elif where == COMMENT and self.nested:
            self.where = TELEMETRY
        else:
            self.where = BODY
        return end

    def _enter(
        self, base: cython.Py_ssize_t, value: cython.Py_ssize_t, after: cython.Py_ssize_t, where: cython.int
    ) -> cython.Py_ssize_t:
        """Read what is inside of a document that is an element's value."""
        self.middle_end = after - base
        self.where = where
        self.nested = False
        return value + 4

    def _read(
        self,
        c: Cursor,
        base: cython.Py_ssize_t,
        kind: cython.int,
        name: cython.Py_ssize_t,
        value: cython.Py_ssize_t,
        after: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """What an element says, if it is one of those that are read."""
        n: cython.Py_ssize_t = value - name  # with its zero
        where: cython.int = self.where
        if where == BODY:
            if self.request:
                return self._of_command(c, base, kind, name, n, value, after, stop)
            return self._of_answer(c, base, kind, name, n, value, after, stop)
        if where == CURSOR:
            if kind == 4 and ((n == 11 and c.starts(name, _FIRST_BATCH)) or (n == 10 and c.starts(name, _NEXT_BATCH))):
                self.inner_end = after - base
                self.where = BATCH
                if self.rows < 0:
                    self.rows = 0
                return value + 4
        elif where == ERRORS:
            if kind == 3:
                self.inner_end = after - base
                self.where = ERROR
                self.nested = True
                return value + 4
        elif where == ERROR:
            if n == 5 and c.starts(name, _CODE):
                if after > stop:
                    return -1
                if self.code == UNKNOWN:
                    self.code = self._number(c, kind, value)
        elif where == COMMENT:
            if kind == 2 and (n == 12 or n == 11) and self.words.context is not None and after - value <= TEXT_MAX:
                if after > stop:
                    return -1
                if n == 12 and c.starts(name, _TRACEPARENT):
                    self.traceparent = c.take(value + 4, after - 1)
                elif n == 11 and c.starts(name, _TRACESTATE):
                    self.tracestate = c.take(value + 4, after - 1)
        elif where == TELEMETRY:
            if kind == 3 and n == 5 and c.starts(name, _OTEL):
                value = self._enter(base, value, after, COMMENT)
                self.nested = True
                return value
        return after

    def _of_command(
        self,
        c: Cursor,
        base: cython.Py_ssize_t,
        kind: cython.int,
        name: cython.Py_ssize_t,
        n: cython.Py_ssize_t,
        value: cython.Py_ssize_t,
        after: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        command: Command
        if self.elements == 1:
            if n == 1:
                return self._short(True)
            command = self.words.commands.find(c, name, value - 1)
            if command.kind == KIND_COLLECTION and kind == 2:
                if after > stop and after - value <= TEXT_MAX:
                    return -1
                self.collection = self._name(c, value, after)
            self.command = command
            return after
        if n == 4:
            if kind == 2 and c.starts(name, _DB):
                if after > stop and after - value <= TEXT_MAX:
                    return -1
                if after <= stop and after - value > 5:
                    self.namespace = self.words.databases.find(c, value + 4, after - 1)
                return after
        elif n == 8 and (kind == 2 or kind == 3):
            if self.words.context is not None and c.starts(name, _COMMENT):
                if kind == 3:
                    return self._enter(base, value, after, COMMENT)
                if after - value <= TEXT_MAX:
                    if after > stop:
                        return -1
                    self._comment(c, value + 4, after - 1)
                return after
        elif n == 11 and kind == 2:
            command = self.command
            if command is not None and command.kind == KIND_GET_MORE and c.starts(name, _COLLECTION):
                if after > stop and after - value <= TEXT_MAX:
                    return -1
                self.collection = self._name(c, value, after)
                return after
        elif n == 16 or n == 15 or n == 10:
            command = self.command
            if command is not None and (command.kind == KIND_HELLO or command.kind == KIND_GET_MORE):
                if n == 16 and kind == 3 and command.kind == KIND_HELLO and c.starts(name, _TOPOLOGY):
                    self.awaits |= 1
                elif n == 15 and command.kind == KIND_HELLO and c.starts(name, _AWAIT):
                    self.awaits |= 2
                elif n == 10 and command.kind == KIND_GET_MORE and c.starts(name, _MAX_TIME):
                    self.awaits |= 4
                    return after
        if kind == 4 and self.documents < 0 and (n == 10 or n == 8 or n == 4) and c.take(name, value - 1) in _LISTS:
            self.documents = 0
            return self._enter(base, value, after, LIST)
        return after

    def _of_answer(
        self,
        c: Cursor,
        base: cython.Py_ssize_t,
        kind: cython.int,
        name: cython.Py_ssize_t,
        n: cython.Py_ssize_t,
        value: cython.Py_ssize_t,
        after: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        if n == 3:
            if c.starts(name, _OK):
                if after > stop:
                    return -1
                if kind == 8:
                    self.succeeded = c.u8(value)
                else:
                    number: cython.longlong = self._number(c, kind, value)
                    if number != UNKNOWN:
                        self.succeeded = 1 if number != 0 else 0
        elif n == 5:
            if c.starts(name, _CODE):
                if after > stop:
                    return -1
                self.code = self._number(c, kind, value)
        elif n == 7:
            if kind == 3 and c.starts(name, _CURSOR):
                return self._enter(base, value, after, CURSOR)
        elif n == 8:
            if c.starts(name, _N_ERRORS):
                if after > stop:
                    return -1
                if self._number(c, kind, value) > 0:
                    self.failed = True
        elif n == 9:
            if kind == 2 and c.starts(name, _CODE_NAME) and after - value <= TEXT_MAX:
                if after > stop:
                    return -1
                self.code_name = c.take(value + 4, after - 1)
        elif n == 12:
            if kind == 4 and after - value > 5 and c.starts(name, _WRITE_ERRORS):
                self.failed = True
                return self._enter(base, value, after, ERRORS)
        elif n == 18:
            if kind == 3 and c.starts(name, _CONCERN_ERROR):
                self.failed = True
                return self._enter(base, value, after, ERROR)
        return after

    def _name(self, c: Cursor, value: cython.Py_ssize_t, after: cython.Py_ssize_t) -> str | None:
        """The name of a collection, a text of a length that a name can have."""
        n: cython.Py_ssize_t = after - value - 5
        if n < 1 or n > 255 or after > c.end:
            return None
        found: str | None = self.words.collections.find(c, value + 4, after - 1)
        return found

    def _number(self, c: Cursor, kind: cython.int, value: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A number of any type."""
        if kind == 16:
            small: cython.longlong = c.u32le(value)
            if small >= HALF:
                small -= WRAP
            return small
        if kind == 18:
            large: cython.longlong = c.i64le(value)
            if large > UNKNOWN and large < -UNKNOWN:
                return large
            return UNKNOWN
        if kind == 1:
            # Whether it is zero is all that is asked of a fraction: no code is one.
            bits: cython.longlong = c.i64le(value)
            if bits == 0:
                return 0
            return 1
        return UNKNOWN

    def _comment(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """A text that is a traceparent, or has one behind that word: in JSON, or as in comments of SQL."""
        n: cython.Py_ssize_t = end - at
        text: bytes
        if n == 55:
            self.traceparent = c.take(at, end)
        elif n > 55:
            text = c.take(at, end)
            found: cython.Py_ssize_t = text.find(_IN_TEXT)
            if found < 0:
                return 0
            found += len(_IN_TEXT)
            # Whatever quotes it and stands between.
            while found < n and text[found] in b"\"':= ":
                found += 1
            if n - found >= 55 and (n - found == 55 or text[found + 55] in b"\"',; }&"):
                self.traceparent = text[found : found + 55]
        return 0
