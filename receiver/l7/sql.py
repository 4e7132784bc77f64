"""What may be said of an SQL text: its summary and its shape, never its values.

Room: l7. One reader for all dialects; a decoder of a database gives it the text of a statement and gets a Statement, which it puts
into a Message with `fill`.
"""

from __future__ import annotations

import cython

from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Message

if not cython.compiled:
    # The compiled module has these as C enums, from the `.pxd`.
    MYSQL = 0
    MARIADB = 1
    POSTGRESQL = 2

# Texts that a decoder must see of a statement; what is longer is read as far as this goes, and cut at a token.
SEEN_MAX = 4096


class Statement:
    """What is known of a text: one object for all statements that differ in their values alone. Empty: not understood, or none."""

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


class Sql:
    """Reads statements of one dialect; all connections share it. `limits`: where the caps of its tables are counted.

    After `read`: `next` is where the statement behind its `;` begins, or the end of what is there. `ansi_quotes` (a double quote
    holds a name) and `backslash` (it escapes in plain strings) are of the connection and set before.
    """

    def __init__(
        self, dialect: cython.int, limits: dict[str, int] | None = None, context: TraceContext | None = None
    ) -> None:
        self.dialect = dialect
        self.context = context
        self.ansi_quotes = dialect == POSTGRESQL
        self.backslash = dialect != POSTGRESQL
        self.next = 0
        self.known = Interned("sql_statements", 1024, limits, NONE, forgets=True)

    def read(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, cut: cython.bint, out: Message | None) -> Statement:
        """The statement that begins at `at`; NONE where there is none. `cut`: its text goes on behind `end`, unseen. `out` is given
        the trace context in its comments (sqlcommenter), if there is one."""
        self.next = end
        return NONE


class Room:
    """How many prepared statements there may be, of one connection and of all; more are not kept, and counted in `limits`."""

    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.limits: dict[str, int] = {} if limits is None else limits
        self.left = 100_000


class Prepared:
    """Statements of one connection by the id or the name that they were prepared under. `room` is what all connections share."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.by_name: dict[object, Statement] = {}

    def put(self, name: object, statement: Statement) -> cython.int:
        self.by_name[name] = statement
        return 0

    def get(self, name: object) -> Statement | None:
        return self.by_name.get(name)

    def drop(self, name: object) -> cython.int:
        self.by_name.pop(name, None)
        return 0

    def clear(self) -> cython.int:
        """At the end of a connection, or where the server forgets them all."""
        self.by_name.clear()
        return 0
