"""What may be said of an SQL text: its summary and its shape, never its values.

Room: l7. One reader for all dialects; a decoder of a database gives it the text of a statement and gets a Statement, which it puts
into a Message with `fill`. `sql_text.py` takes the values out of the text, in one pass; what is left is looked up, and
`sql_summary.py` reads it only if nobody has seen it before. So the same statement with other values, or with a comment that is
another each time, is the same object, found by one look-up, and nothing that was not cleared of values is kept.
"""

from __future__ import annotations

import binascii
import contextlib
import zlib

import cython

from receiver.l7.sql_summary import SqlSummary
from receiver.l7.sql_text import SqlText
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Message

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcmp, memcpy
else:
    # The compiled module has these as C enums, from the `.pxd`.
    MYSQL = 0
    MARIADB = 1
    POSTGRESQL = 2

# Texts that a decoder must see of a statement; what is longer is read as far as this goes, and cut at a token.
SEEN_MAX = 4096
# Places of the statements that were read last, found without a look into the dictionary: as many as Interned has.
PLACES = 256
_MIX = 0x9E3779B97F4A7C15
# What is known of a dialect's texts: 1 024 x twice its text, of 300 bytes as a rule and 4 KiB at most.
STATEMENTS_MAX = 1024
# Summaries split metrics. One more is told as its operation alone.
SUMMARIES_MAX = 1024
# Prepared statements of one connection, and of all: 100 000 x about 100 bytes, for their texts are shared.
PREPARED_MAX = 1024
ALL_PREPARED_MAX = 100_000


class Statement:
    """What is known of a text: one object for all statements that differ in their values alone. Empty: not understood, or none.

    `operation` is the verb in capitals; `summary` the operations and their targets as they were written, the same object in all
    statements that it is the summary of.
    """

    def __init__(self, operation: str = "", summary: str = "", text: str = "", procedure: str = "") -> None:
        self.operation = operation
        self.summary = summary
        self.text = text
        self.procedure = procedure

    def fill(self, out: Message, detail: cython.bint) -> cython.int:
        """Put it into the message of a request; `detail`: what only spans need as well."""
        out.summary = self.summary or self.operation or None
        if detail and self.text:
            out.add("db.query.text", self.text)
        if detail and self.procedure:
            out.add("db.stored_procedure.name", self.procedure)
        return 0


NONE = Statement()


class Statements(Interned):
    """The statement of each text without values. What begins as no statement does is NONE, and not kept."""

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        Interned.__init__(self, "sql_statements", STATEMENTS_MAX, limits, NONE, forgets=True)
        self.summaries = Interned("sql_summaries", SUMMARIES_MAX, limits)
        self.reader = SqlSummary()

    def of(self, text: bytearray, size: cython.Py_ssize_t) -> Statement:
        """The statement of `text[:size]`. Its hash only chooses a place, and what stands there is compared: no two are confused."""
        place: cython.Py_ssize_t = _hash(text, size) & (PLACES - 1)
        if self.near_names is None or self.near is None:
            self.near_names, self.near = [None] * PLACES, [None] * PLACES
        known: bytes | None = self.near_names[place]
        if known is not None and _same(text, known, size):
            near: Statement = self.near[place]
            return near
        if cython.compiled:
            wire: bytes = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(text), size)
        else:
            wire = bytes(text[:size])
        found: Statement = self.named(wire)
        if found is not NONE:
            self.near_names[place] = wire
            self.near[place] = found
        return found

    def make(self, name: bytes) -> Statement | None:
        wire = self.reader.read(name)
        operation = self.reader.operation
        if operation == "":
            return None
        summary: str | None = None if wire == b"" else self.summaries.named(wire)
        # The text is UTF-8: what is none is not in it.
        return Statement(operation, summary or operation, name.decode("utf-8", "replace"), self.reader.procedure)


class Room:
    """How many prepared statements there may be, of one connection and of all; more are not kept, and counted in `limits`."""

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.limits: dict[str, int] = {} if limits is None else limits
        self.limits.setdefault("sql_prepared_statements", 0)
        self.limits.setdefault("sql_all_prepared_statements", 0)
        self.left = ALL_PREPARED_MAX


class Prepared:
    """Statements of one connection by the id or the name that they were prepared under. `room` is what all connections share."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.by_name: dict[object, Statement] = {}

    def __del__(self) -> None:
        self.clear()

    def put(self, name: object, statement: Statement) -> cython.int:
        """Keep it, in the place of what had that name. Where there is no room for it the name is unknown."""
        if name not in self.by_name:
            if len(self.by_name) >= PREPARED_MAX:
                self.room.limits["sql_prepared_statements"] += 1
                return 0
            if self.room.left <= 0:
                self.room.limits["sql_all_prepared_statements"] += 1
                return 0
            self.room.left -= 1
        self.by_name[name] = statement
        return 0

    def get(self, name: object) -> Statement | None:
        return self.by_name.get(name)

    def drop(self, name: object) -> cython.int:
        if self.by_name.pop(name, None) is not None:
            self.room.left += 1
        return 0

    def clear(self) -> cython.int:
        """At the end of a connection, or where the server forgets them all."""
        self.room.left += len(self.by_name)
        self.by_name.clear()
        return 0


class Sql:
    """Reads statements of one dialect; all connections share it. `limits`: where the caps of its tables are counted.

    After `read`: `next` is where the statement behind its `;` begins, or the end of what is there. `ansi_quotes` (a double quote
    holds a name) and `backslash` (it escapes in plain strings) are of the connection and set before.
    """

    def __init__(self, dialect: cython.int, limits: dict[str, int] | None = None, context: TraceContext | None = None) -> None:
        self.dialect = dialect
        self.context = context
        self.ansi_quotes = dialect == POSTGRESQL
        self.backslash = dialect != POSTGRESQL
        self.next = 0
        self.known = Statements(limits)
        self.reader = SqlText()

    def read(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, cut: cython.bint, out: Message | None) -> Statement:
        """The statement that begins at `at`; NONE where there is none. `cut`: its text goes on behind `end`, unseen. `out` is given
        the trace context in its comments (sqlcommenter), if there is one.

        Of a statement longer than SEEN_MAX the rest is not looked at: what stands behind its `;` is not found.
        """
        if at < c.pos or at > end or end > c.end:
            raise IndexError("outside the cursor")
        reader: SqlText = self.reader
        reader.wanted = out is not None and self.context is not None
        size: cython.Py_ssize_t = reader.read(c, at, end, cut, self.dialect != POSTGRESQL, self.ansi_quotes, self.backslash)
        self.next = reader.next
        if size == 0:
            return NONE
        if out is not None and (reader.front_at >= 0 or reader.back_at >= 0):
            self._tell(c, out)
        return self.known.of(reader.text, size)

    def _tell(self, c: Cursor, out: Message) -> cython.int:
        """Read the comments in front of the statement and behind it, as if they were its headers."""
        reader: SqlText = self.reader
        self.context.reset()
        offered: cython.bint = False
        if reader.front_at >= 0:
            offered = self._offer(c, reader.front_at, reader.front_end)
        if reader.back_at >= 0 and self._offer(c, reader.back_at, reader.back_end):
            offered = True
        if offered:
            self.context.tell(out)
        return 0

    def _offer(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        # key='value',key='value'      google.github.io/sqlcommenter/spec: both URL-encoded, a quote in them with a backslash
        offered: cython.bint = False
        i: cython.Py_ssize_t = at
        first: cython.Py_ssize_t
        name_end: cython.Py_ssize_t
        byte: cython.int
        while i < end:
            first = i
            byte = c.u8(i)
            while byte == 0x2D or byte == 0x5F or 0x30 <= byte <= 0x39 or 0x61 <= (byte | 0x20) <= 0x7A:
                i += 1
                if i >= end:
                    return offered
                byte = c.u8(i)
            name_end = i
            i += 1
            if name_end == first or byte != 0x3D or i >= end or c.u8(i) != 0x27:
                continue
            i += 1
            first_of_value: cython.Py_ssize_t = i
            while i < end and c.u8(i) != 0x27:
                i += 2 if c.u8(i) == 0x5C else 1
            if i >= end:
                return offered
            if self.context.offer_pair(c.take(first, name_end), _decoded(c.take(first_of_value, i))):
                offered = True
            i += 1
        return offered


def _hash(text: bytearray, size: cython.Py_ssize_t) -> cython.ulonglong:
    """Of `text[:size]`, eight bytes at a time. Plain source has another one, which chooses another place and nothing else."""
    if cython.compiled:
        base = PyByteArray_AS_STRING(text)
        found: cython.ulonglong = size
        word: cython.ulonglong = 0
        i: cython.Py_ssize_t = 0
        while i + 8 <= size:
            memcpy(cython.address(word), base + i, 8)
            found = (found ^ word) * _MIX
            found ^= found >> 29
            i += 8
        word = 0
        memcpy(cython.address(word), base + i, size - i)
        found = (found ^ word) * _MIX
        return found >> 40
    return zlib.crc32(text[:size])


def _same(text: bytearray, known: bytes, size: cython.Py_ssize_t) -> cython.bint:
    if len(known) != size:
        return False
    if cython.compiled:
        same: cython.bint = memcmp(PyByteArray_AS_STRING(text), cython.cast(cython.p_char, known), size) == 0
        return same
    return text[:size] == known


def _decoded(value: bytes) -> bytes:
    """A value without its URL encoding, and without the backslashes before quotes; what is no encoding stays."""
    if b"%" not in value and b"\\" not in value:
        return value
    out = bytearray()
    n: cython.Py_ssize_t = len(value)
    i: cython.Py_ssize_t = 0
    while i < n:
        if value[i] == 0x5C and i + 1 < n:
            i += 1
        elif value[i] == 0x25 and i + 2 < n:
            with contextlib.suppress(ValueError):
                out += binascii.unhexlify(value[i + 1 : i + 3])
                i += 3
                continue
        out.append(value[i])
        i += 1
    return bytes(out)
