"""PostgreSQL, protocol 3.0 to 3.2: statements and what became of each; rows and values are passed over by count.

Room: l7; its frames are messages (`prefixed.py`). Source: the PostgreSQL documentation, "Frontend/Backend Protocol".

    message: [u8 type][u32 length, with itself] ...      53.7
    first of a client, without a type: [u32 length][u32 code or version] ...

What is told: each statement of a simple query, each Execute, a login, a cancel request, a function call; and what a Sync or Flush
ends without an Execute: Parse (PREPARE), Bind (BIND), Describe (DESCRIBE). Answers come in order, one for each, but for those that
an error made the server skip: those are answered by the ReadyForQuery behind it, as aborted. What stands between two
ReadyForQuery is a batch; each request has the number of its own in its `note`, above the kind.

A request is offered when it is complete: an Execute with all that led to it, from the first byte of that on. What the answers hold
besides is passed in one go, however many rows there are.

After a hole an error cannot be put down to a statement of a batch of which a part may be missing (`torn`): all that waits is lost
then, for nobody knows which of them were skipped.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.postgresql_names import Names
from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.l7.sql import Prepared, Room, Sql, Statement
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import (
        MESSAGE,
        MORE,
        NO,
        NOT_OURS,
        NOTHING,
        PERHAPS,
        SEVERAL,
        SKIP_TO_CLOSE,
        SKIP_UNKNOWN,
        YES,
    )
    from receiver.l7.sql import NONE, POSTGRESQL
    from receiver.wire.records import (
        BEGINS,
        CERTAIN,
        ENDS,
        ERROR_BOTH,
        ERROR_NONE,
        ROLE_REQUEST,
        TO_CLIENT,
        TO_SERVER,
        UNNOTED,
    )

# What a request is, in the lower bits of its note; by it is known what ends its answer.
LOGIN = 1
QUERY = 2
EXECUTE = 3
PARSE = 4
BIND = 5
DESCRIBE = 6
FUNCTION = 7
KIND_BITS = 8
KIND_MASK = 127
# It was sent in a batch of which a part before it may be missing.
DOUBTFUL = 128

# Versions and codes of a client's first message.
VERSION_3 = 196608
VERSION_3_LAST = 262143
MINOR_MAX = 15
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_REQUEST = 80877104

# MAX_STARTUP_PACKET_LENGTH, PQ_SMALL_MESSAGE_LIMIT, PG_MAX_AUTH_TOKEN_LENGTH, what libpq takes of messages that are never long, and
# what a server can allocate at once.
STARTUP_MAX = 10000
CLIENT_SHORT_MAX = 10000
TOKEN_MAX = 65539
SERVER_SHORT_MAX = 30000
LONG_MAX = 0x3FFFFFFF
# A process number and a key: 4 bytes of it, up to 256 in 3.2.
CANCEL_MIN = 16
CANCEL_MAX = 268
# Names of statements and portals are cut by no rule; those that are longer are not kept.
NAME_MAX = 255
# So much is seen of a statement's text, and of a message whose first bytes say all.
TEXT_MAX = 4096
HEAD_MAX = 5 + 2 * (NAME_MAX + 1)
# Severity, code and message of an error; the rest of it is its position in the source.
ERROR_MAX = 2048
# Statements in one simple query: each is a request that waits.
STATEMENTS_MAX = 256
# How far a proof looks into a frame.
PROOF_MAX = 512
COLUMNS_MAX = 1664

# Types of each side: 1 short, 2 long, 3 a token; what is 0 is none.
_CLIENT = bytes(
    2 if chr(i) in "QPBFdf" else 3 if chr(i) == "p" else 1 if chr(i) in "EDCSHXc" else 0 for i in range(256)
)
_SERVER = bytes(2 if chr(i) in "TDdVENA" else 1 if chr(i) in "RKSZCtGHWc123nsIv" else 0 for i in range(256))
# What a message of the server is to an answer: 1 begins or continues one, 2 is no part of one, 3 ends one or may, 4 is read.
_PART = bytes(
    1 if chr(i) in "DdtGHcR" else 2 if chr(i) in "KNAv3" else 3 if chr(i) in "CIsEZVWT12n" else 4 if chr(i) == "S" else 0
    for i in range(256)
)


class Tables:
    """What all connections share. `sql` reads statements, `room` bounds the prepared ones, the others are names."""

    def __init__(self, limits: dict[str, int] | None = None, context: TraceContext | None = None) -> None:
        self.sql = Sql(POSTGRESQL, limits, context)
        self.room = Room(limits)
        self.names = Names(limits)


class PostgresqlDecoder(Prefixed):
    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = Tables() if tables is None else tables
        self.sql = self.tables.sql
        self.names = self.tables.names
        Prefixed.__init__(self)

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.database: str | None = None
        # Encrypted, or replication: nothing more is read.
        self.left_alone = False
        # The client asked for encryption, which one byte answers; it has logged in, or may have.
        self.negotiating = False
        self.started = False
        # In plain strings a backslash escapes.
        self.backslash = False
        # What came since the last Execute, Sync or Flush: the kinds of it, the last of them, when it began and ended, the statement
        # that it parsed, and its trace context.
        self.has_parse = False
        self.has_bind = False
        self.last_kind = 0
        self.since_ns = 0
        self.until_ns = 0
        self.parsed: bytes | None = None
        self.text: Statement = NONE
        self.carrier: Message | None = None
        self.several: list[Message] | None = None
        # Statements and portals by name, and those without one.
        self.prepared: Prepared | None = None
        self.portals: Prepared | None = None
        self.unnamed: Statement | None = None
        self.portal: Statement | None = None
        # The batch that is being sent; whether something of it was; one of which parts may be missing; how many batches wait for
        # their ReadyForQuery; when the last one was sent, and whether it was a simple query. `torn` is 0 while nobody knows whether
        # the first batch is seen from its beginning, -1 for none.
        self.batch = 1
        self.in_batch = False
        self.torn = 0
        self.unproven = False
        self.owed = 0
        self.asked_ns = 0
        self.simple = False
        # The batch that is being answered (-1: none yet), whether its requests are known to be those; an error ended it.
        self.current = -1
        self.sure = False
        self.failed = False
        self.rows = 0
        # Answers that are still to be told of the last frame: how many that were skipped, or one to a request of its own.
        self.skipped = 0
        self.aborted = False
        self.late: Message | None = None
        # What the last frame was: the message in it that says something, its place, whether an answer goes on, bytes that follow.
        self.telling = 0
        self.tell_at = 0
        self.began = False
        self.copied = False
        self.rest = 0
        # Of an error.
        self.code_at = -1
        self.fatal = False
        return 0

    # --- frames ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        b: cython.int = c.u8(at)
        seen: cython.Py_ssize_t = c.end - at
        n: cython.Py_ssize_t
        if b == 0 and direction == TO_SERVER and not self.started:
            if seen < 4:
                return MORE if seen < 2 or c.u8(at + 1) == 0 else NOT_OURS
            n = c.u32(at)
            if n < 8 or n > STARTUP_MAX or (seen > 4 and c.u8(at + 4) != 0 and c.u8(at + 4) != 4):
                return NOT_OURS
            return n
        kind: cython.int = _CLIENT[b] if direction == TO_SERVER else _SERVER[b]
        if kind == 0:
            return NOT_OURS
        if seen < 5:
            return MORE if seen < 2 or c.u8(at + 1) < 0x40 else NOT_OURS
        n = c.u32(at + 1)
        longest: cython.Py_ssize_t = LONG_MAX
        if kind == 3:
            longest = TOKEN_MAX
        elif kind == 1:
            longest = CLIENT_SHORT_MAX if direction == TO_SERVER else SERVER_SHORT_MAX
        return 1 + n if 4 <= n <= longest else NOT_OURS

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Of what a client sends."""
        b: cython.int = c.u8(c.pos)
        most: cython.Py_ssize_t = 5
        if b == 0x51:  # Q
            most = 5 + TEXT_MAX
        elif b == 0x50:  # P
            most = HEAD_MAX + TEXT_MAX
        elif b == 0x42 or b == 0x45 or b == 0x44 or b == 0x43:  # B E D C
            most = HEAD_MAX
        elif b == 0:
            most = STARTUP_MAX
        return size if size < most else most

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        if self.left_alone:
            return 1
        self.rest = 0
        if direction == TO_CLIENT:
            return self._answers(c)
        self.copied = c.u8(c.pos) == 0x64
        if self.copied:
            return self._copy(c)
        return Prefixed.frame(self, direction, c)

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        if self.left_alone:
            self.skip = SKIP_TO_CLOSE
            return NOTHING
        if direction == TO_CLIENT:
            self.skip = self.rest
            return self._answer(c, out)
        if self.copied:
            self.skip = self.rest
            return NOTHING
        return Prefixed.parse(self, direction, c, ts_ns, out)

    def _copy(self, c: Cursor) -> cython.Py_ssize_t:
        """Rows of COPY that a client sends, as many as are there."""
        at: cython.Py_ssize_t = c.run(0x64, c.pos, LONG_MAX)
        if c.end - at >= 5 and c.u8(at) == 0x64:
            n: cython.Py_ssize_t = c.u32(at + 1)
            if 4 <= n <= LONG_MAX:
                self.rest = 1 + n - (c.end - at)  # of the last one
                at = c.end
        if at == c.pos:
            return self.size(TO_SERVER, c, at)  # too little of it, or none
        return at - c.pos

    def _answers(self, c: Cursor) -> cython.Py_ssize_t:
        """What the server says, up to the first message that ends an answer, in one pass."""
        base: cython.Py_ssize_t = c.pos
        at: cython.Py_ssize_t = base
        end: cython.Py_ssize_t = c.end
        need: cython.Py_ssize_t = MORE
        self.telling = 0
        self.began = False
        if self.negotiating:
            self.telling = c.u8(at)
            # Alone, for nothing follows before the client has gone on.
            if end - at == 1 and (self.telling == 0x4E or self.telling == 0x53 or self.telling == 0x47):  # N S G
                return 1
            self.telling = 0
            self.negotiating = False
        kind: cython.Py_ssize_t = self._awaited()
        # What is no part of an answer and stands before one is passed alone.
        aside: cython.bint = self.asked.answered is None
        while at < end:
            b: cython.int = c.u8(at)
            part: cython.int = _PART[b]
            if end - at < 5:
                if at == base:
                    return self.size(TO_CLIENT, c, at)
                break
            n: cython.Py_ssize_t = 1 + c.u32(at + 1)
            if part == 0 or n < 5 or n > LONG_MAX or (n > SERVER_SHORT_MAX and _SERVER[b] == 1) or (b == 0x5A and n != 6):
                if at == base:
                    return NOT_OURS
                break
            if aside and part & 1 and not self.began and at > base:
                break
            if part == 1:
                self.began = True
                if b == 0x44:  # D: the others that follow at once
                    self.rows += 1
                    if at + n < end:
                        at = c.run(b, at + n, LONG_MAX - 1)
                        self.rows += c.ran
                        continue
            elif part == 3:
                if b == 0x54:  # T
                    ends: cython.bint = kind == DESCRIBE
                    self.began = True
                elif b == 0x31:  # 1
                    ends = kind == PARSE
                    self.began = True
                elif b == 0x32:  # 2
                    ends = kind == BIND
                    self.began = True
                elif b == 0x6E:  # n
                    ends = kind == DESCRIBE
                    self.began = True
                else:
                    ends = True
                    wanted: cython.Py_ssize_t = n if n < ERROR_MAX else ERROR_MAX
                    if b != 0x56 and end - at < wanted:  # V
                        need = at - base + wanted
                        break
                if ends:
                    self.telling = b
                    self.tell_at = at - base
            elif part == 4:
                if end - at < n:
                    need = at - base + n
                    break
                self._parameter(c, at, at + n)
            at += n
            if at > end:
                self.rest = at - end
                at = end
            if self.telling != 0:
                break
        return need if at == base else at - base

    def _awaited(self) -> cython.Py_ssize_t:
        """The kind of the request that is answered next, or now; 0 where nobody waits."""
        request: Message | None = self._in_front()
        return 0 if request is None else request.note & KIND_MASK

    def _in_front(self) -> Message | None:
        answered: Message | None = self.asked.answered
        return answered if answered is not None else self.asked.head

    def _parameter(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        #  S [u32 length] name NUL value NUL
        if c.starts(at + 5, b"standard_conforming_strings\x00"):
            self.backslash = c.starts(at + 33, b"off")
        return 0

    # --- what a client says ---

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        b: cython.int = c.u8(c.pos)
        self.started = self.started or b != 0
        if b == 0x51:  # Q
            return self._query(c, size, out)
        if b == 0x45:  # E
            return self._execute(c, out)
        if b == 0x42:  # B
            return self._bind(c, out)
        if b == 0x50:  # P
            return self._parse(c, size, out)
        if b == 0x53 or b == 0x48:  # S H
            told: cython.int = self._unfinished(out)
            if b == 0x53:
                self._sent(out, False)
            return told
        if b == 0x44:  # D
            self._part(DESCRIBE, out.first_ns, out.last_ns)
            return NOTHING
        if b == 0x43:  # C
            self._close(c)
            return NOTHING
        if b == 0x46:  # F
            out.operation = "FUNCTION CALL"
            self._request(out, FUNCTION)
            self._sent(out, False)
            return MESSAGE
        if b == 0:
            return self._first(c, size, out)
        return NOTHING

    def _first(self, c: Cursor, size: cython.Py_ssize_t, out: Message) -> cython.int:
        #  [u32 length][u32 version] (name NUL value NUL)* NUL
        code: cython.Py_ssize_t = c.u32(c.pos + 4)
        if code == SSL_REQUEST or code == GSS_REQUEST:
            self.negotiating = True
            return NOTHING
        if code == CANCEL_REQUEST:
            out.operation = "CANCEL"
            out.expects_reply = False
            return MESSAGE
        if code < VERSION_3 or code > VERSION_3_LAST:
            return NOTHING
        self.started = True
        at: cython.Py_ssize_t = c.pos + 8
        user: str | None = None
        while at < c.end and c.u8(at) != 0:
            stop: cython.Py_ssize_t = c.find(0, at, c.end)
            if stop < 0:
                break
            last: cython.Py_ssize_t = c.find(0, stop + 1, c.end)
            if last < 0:
                break
            if last > stop + 1:
                if stop - at == 8 and c.starts(at, b"database"):
                    self.database = self.names.database(c, stop + 1, last)
                elif stop - at == 4 and c.starts(at, b"user"):
                    user = self.names.database(c, stop + 1, last)
            at = last + 1
        if self.database is None:
            self.database = user
        out.operation = "LOGIN"
        out.namespace = self.database
        out.note = LOGIN
        return MESSAGE

    def _request(self, out: Message, kind: cython.int) -> cython.int:
        out.namespace = self.database
        out.note = self.batch << KIND_BITS | kind
        if self.torn == self.batch:
            out.note |= DOUBTFUL
        self.in_batch = True
        return 0

    def _sent(self, out: Message, simple: cython.bint) -> cython.int:
        """A batch is complete; a ReadyForQuery will end it."""
        self.batch += 1
        self.in_batch = False
        self.owed += 1
        self.asked_ns = out.first_ns
        self.simple = simple
        return 0

    def _query(self, c: Cursor, size: cython.Py_ssize_t, out: Message) -> cython.int:
        #  Q [u32 length] text NUL
        at: cython.Py_ssize_t = c.pos + 5
        end: cython.Py_ssize_t = c.end
        cut: cython.bint = end - c.pos < size
        if not cut:
            stop: cython.Py_ssize_t = c.find(0, at, end)
            if stop >= 0:
                end = stop
        if self.torn == self.batch:
            self.batch += 1  # whatever is missing of what stood before, a simple query is whole
        self._abandon()
        self.unnamed = None
        self.portal = None
        sql: Sql = self.sql
        sql.backslash = self.backslash
        statement: Statement = sql.read(c, at, end, cut, out)
        several: list[Message] | None = None
        while sql.next < end and sql.next > at:
            at = sql.next
            each: Message = Message()
            following: Statement = sql.read(c, at, end, cut, each)
            if following is NONE:
                continue
            if statement is NONE:
                statement = following  # nothing but a comment, or nothing at all, stood before
                self._context(each, out)
                continue
            if several is None:
                several = []
            elif len(several) + 1 >= STATEMENTS_MAX:
                self._hit("postgresql_statements")
                break
            following.fill(each, self.detail)
            several.append(each)
        statement.fill(out, self.detail)
        self._request(out, QUERY)
        if several is None:
            self._sent(out, True)
            return MESSAGE
        several.reverse()
        self.several = several
        return SEVERAL

    def _hit(self, name: str) -> cython.int:
        self.limits[name] = self.limits.get(name, 0) + 1
        return 0

    def _context(self, carrier: Message, out: Message) -> cython.int:
        out.trace_id = carrier.trace_id
        out.parent_id = carrier.parent_id
        out.trace_flags = carrier.trace_flags
        out.tracestate = carrier.tracestate
        return 0

    def more(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        if direction == TO_CLIENT:
            return self._more_answers(out)
        several: list[Message] = self.several
        each: Message = several.pop()
        self._context(each, out)
        out.summary = each.summary
        out.attributes = each.attributes
        self._request(out, QUERY)
        if several:
            return SEVERAL
        self.several = None
        self._sent(out, True)
        return MESSAGE

    def _part(self, kind: cython.int, first_ns: cython.longlong, last_ns: cython.longlong) -> cython.int:
        """Something that leads to an Execute, or is ended without one."""
        if self.last_kind == 0:
            self.since_ns = first_ns
        self.until_ns = last_ns
        self.last_kind = kind
        self.in_batch = True
        return 0

    def _abandon(self) -> cython.int:
        self.has_parse = False
        self.has_bind = False
        self.last_kind = 0
        self.since_ns = 0
        self.parsed = None
        self.text = NONE
        self.carrier = None
        return 0

    def _unfinished(self, out: Message) -> cython.int:
        """What was sent without an Execute is a request of its own, answered by what its last message is answered by."""
        if self.last_kind == 0:
            return NOTHING
        if self.torn == self.batch and not self.has_parse:
            self._abandon()  # what it began with may be missing
            return NOTHING
        if self.has_parse:
            out.operation = "PREPARE"
            self.text.fill(out, self.detail)
            out.summary = None  # it is not what was done
        elif self.has_bind:
            out.operation = "BIND"
        else:
            out.operation = "DESCRIBE"
        out.kept = self.parsed
        self._request(out, self.last_kind)
        out.first_ns = self.since_ns
        out.last_ns = self.until_ns
        if self.carrier is not None:
            self._context(self.carrier, out)
        self._abandon()
        return MESSAGE

    def _name(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where a name ends; -1 when it is too long, or cut."""
        stop: cython.Py_ssize_t = at + NAME_MAX + 1
        if stop > c.end:
            stop = c.end
        return c.find(0, at, stop) if at < stop else -1

    def _parse(self, c: Cursor, size: cython.Py_ssize_t, out: Message) -> cython.int:
        #  P [u32 length] statement NUL text NUL [u16 n][u32 type]*
        first_ns: cython.longlong = out.first_ns
        last_ns: cython.longlong = out.last_ns
        told: cython.int = self._unfinished(out)
        self._part(PARSE, first_ns, last_ns)
        self.has_parse = True
        at: cython.Py_ssize_t = c.pos + 5
        name: cython.Py_ssize_t = self._name(c, at)
        if name < 0:
            return told
        end: cython.Py_ssize_t = c.find(0, name + 1, c.end)
        cut: cython.bint = end < 0
        if cut:
            end = c.end
        sql: Sql = self.sql
        sql.backslash = self.backslash
        carrier: Message | None = None
        if sql.context is not None:
            carrier = Message()
        self.text = sql.read(c, name + 1, end, cut, carrier)
        if carrier is not None and (carrier.trace_id is not None or carrier.trace_flags >= 0):
            self.carrier = carrier
        if name == at:
            self.unnamed = self.text
            self.parsed = b""
        else:
            if self.prepared is None:
                self.prepared = Prepared(self.tables.room)
            self.parsed = c.take(at, name)
            self.prepared.put(self.parsed, self.text)
        return told

    def _bind(self, c: Cursor, out: Message) -> cython.int:
        #  B [u32 length] portal NUL statement NUL [u16 n][u16 format]* [u16 n]([i32 length] value)* [u16 n][u16 format]*
        told: cython.int = NOTHING
        first_ns: cython.longlong = out.first_ns
        last_ns: cython.longlong = out.last_ns
        at: cython.Py_ssize_t = c.pos + 5
        portal: cython.Py_ssize_t = self._name(c, at)
        stop: cython.Py_ssize_t = -1 if portal < 0 else self._name(c, portal + 1)
        statement: Statement | None = None
        named: bytes | None = None
        if stop == portal + 1 and portal >= 0:
            named = b""
            statement = self.unnamed
        elif stop >= 0:
            named = c.take(portal + 1, stop)
            if self.prepared is not None:
                statement = self.prepared.get(named)
        if self.has_bind or (self.has_parse and self.parsed != named):
            told = self._unfinished(out)
        self._part(BIND, first_ns, last_ns)
        self.has_bind = True
        if portal == at:
            self.portal = statement
        elif portal >= 0:
            self._put_portal(c.take(at, portal), statement)
        return told

    def _put_portal(self, name: bytes, statement: Statement | None) -> cython.int:
        if self.portals is None:
            if statement is None:
                return 0
            self.portals = Prepared(self.tables.room)
        if statement is None:
            return self.portals.drop(name)
        return self.portals.put(name, statement)

    def _execute(self, c: Cursor, out: Message) -> cython.int:
        #  E [u32 length] portal NUL [u32 rows]
        at: cython.Py_ssize_t = c.pos + 5
        stop: cython.Py_ssize_t = self._name(c, at)
        statement: Statement | None = None
        if stop == at:
            statement = self.portal
        elif stop > at and self.portals is not None:
            statement = self.portals.get(c.take(at, stop))
        if self.last_kind != 0:
            out.first_ns = self.since_ns
            out.kept = self.parsed
            if self.carrier is not None:
                self._context(self.carrier, out)
            self._abandon()
        if statement is not None:
            statement.fill(out, self.detail)
        self._request(out, EXECUTE)
        return MESSAGE

    def _close(self, c: Cursor) -> cython.int:
        #  C [u32 length][u8 S or P] name NUL
        at: cython.Py_ssize_t = c.pos + 6
        stop: cython.Py_ssize_t = -1 if at >= c.end else self._name(c, at)
        if stop < 0:
            return 0
        statement: cython.bint = c.u8(at - 1) == 0x53
        if stop == at:
            if statement:
                self.unnamed = None
            else:
                self.portal = None
            return 0
        kept: Prepared | None = self.prepared if statement else self.portals
        if kept is not None:
            kept.drop(c.take(at, stop))
        return 0

    # --- what a server says ---

    def _answer(self, c: Cursor, out: Message) -> cython.int:
        b: cython.int = self.telling
        if b == 0:
            return self._begins(out)
        at: cython.Py_ssize_t = c.pos + self.tell_at
        if self.negotiating:
            self.negotiating = False
            if b != 0x4E:
                self.left_alone = True
                if b == 0x53:
                    self.successor = "tls"
            return NOTHING
        if b == 0x5A:
            return self._ready(c, at, out)
        request: Message | None = self.asked.answered
        if b == 0x45:
            self._read_error(c, at + 5)
        begun: cython.bint = request is not None
        if begun:
            out.piece = ENDS
        else:
            request = self.asked.head
            if request is None or (self.current >= 0 and request.note >> KIND_BITS != self.current):
                return self._unasked(c, at, request, out)
        if request.note & DOUBTFUL and request.note >> KIND_BITS == self.torn:
            # It may be that of one that was not seen: an error shows nothing of that, nor does a first one that is not held.
            if b == 0x45 or (self.unproven and request.state == CERTAIN):
                return self._give_up()
            self.unproven = False
        if not begun:
            self._takes(request)
        if b == 0x45:
            self._fail(c, request, out)
        elif b == 0x43:
            self._complete(c, at, request, out)
        else:
            out.error_side = ERROR_NONE
            if b == 0x57:
                self.left_alone = True
                if request.state == CERTAIN and request.summary is None:
                    request.summary = "START_REPLICATION"
            elif b == 0x73 and self.detail:
                out.add("db.response.returned_rows", self.rows)
        self.rows = 0
        return MESSAGE

    def _begins(self, out: Message) -> cython.int:
        """An answer goes on in what is still to come: from here on its request waits no more."""
        if self.asked.answered is not None:
            out.piece = 0
            return MESSAGE
        request: Message | None = self.asked.head
        if not self.began or request is None:
            return NOTHING
        if self.current >= 0 and request.note >> KIND_BITS != self.current:
            return NOTHING
        self._takes(request)
        out.piece = BEGINS
        return MESSAGE

    def _takes(self, request: Message) -> cython.int:
        self.current = request.note >> KIND_BITS
        self.sure = request.state == CERTAIN
        return 0

    def _give_up(self) -> cython.int:
        """Nobody knows which requests are answered by what comes, nor which were by what came since the hole."""
        self.lost(TO_CLIENT, 0)
        self.failed = True  # until the batch is over
        self.skip = SKIP_UNKNOWN
        return MESSAGE

    def _complete(self, c: Cursor, at: cython.Py_ssize_t, request: Message, out: Message) -> cython.int:
        #  C [u32 length] words (SP number)* NUL
        start: cython.Py_ssize_t = at + 5
        end: cython.Py_ssize_t = c.find(0, start, c.end)
        if end < 0:
            end = c.end
        out.error_side = ERROR_NONE
        stop: cython.Py_ssize_t = start
        while stop < end and (c.u8(stop) < 0x30 or c.u8(stop) > 0x39):
            stop += 1
        while stop > start and c.u8(stop - 1) == 0x20:
            stop -= 1
        if stop == start:
            return 0
        if request.summary is None and request.state == CERTAIN:
            request.summary = self.names.tag(c, start, stop)
        b: cython.int = c.u8(start)
        if self.detail and (self.rows > 0 or (b == 0x53 and c.starts(start, b"SELECT")) or c.starts(start, b"FETCH")):
            out.add("db.response.returned_rows", self.rows)
        if b == 0x44 and self.prepared is not None:
            if c.starts(start, b"DISCARD ALL") or c.starts(start, b"DEALLOCATE ALL"):
                self.prepared.clear()
        return 0

    def _read_error(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        #  E [u32 length] ([u8 field] text NUL)* NUL
        self.code_at = -1
        self.fatal = False
        while at < c.end:
            field: cython.int = c.u8(at)
            stop: cython.Py_ssize_t = -1 if field == 0 else c.find(0, at, c.end)
            if stop < 0:
                break
            if field == 0x43:  # C
                if stop - at == 6:
                    self.code_at = at + 1
                break
            if field == 0x53 or field == 0x56:  # S V
                if c.starts(at + 1, b"FATAL") or c.starts(at + 1, b"PANIC"):
                    self.fatal = True
            at = stop + 1
        return 0

    def _fail(self, c: Cursor, request: Message | None, out: Message) -> cython.int:
        self.failed = True
        code: str | None = None
        if self.code_at >= 0:
            code = self.names.code(c, self.code_at, self.code_at + 5)
        out.status = code
        if code is not None and code.startswith(("00", "01")):
            out.error_side = ERROR_NONE
            return 0
        out.error_side = ERROR_BOTH
        out.error_type = code if code is not None else "_OTHER"
        if request is not None and code == "42P05":
            self._forget(request)  # there is one of that name already, with another text
        return 0

    def _forget(self, request: Message) -> cython.int:
        """The statement that it was to prepare is not what has that name."""
        name: bytes | None = request.kept
        if name is None:
            return 0
        if len(name) == 0:
            self.unnamed = None
        elif self.prepared is not None:
            self.prepared.drop(name)
        return 0

    def _unasked(self, c: Cursor, at: cython.Py_ssize_t, request: Message | None, out: Message) -> cython.int:
        """No request of this batch waits. It ends a statement of a simple query that was too long to be seen whole, or the
        transaction that ends with a batch; or the connection."""
        b: cython.int = self.telling
        rows: cython.Py_ssize_t = self.rows
        self.rows = 0
        if b == 0x45:
            self.failed = True
        if request is not None:
            key = ("postgresql", "answer to nothing")
            self.errors[key] = self.errors.get(key, 0) + 1
            return NOTHING
        if self.current < 0:
            return NOTHING if b == 0x45 and self.fatal else MESSAGE
        if not self.sure or self.asked.doubted or self.current != self.batch - 1 or self.rest > 0:
            return MESSAGE
        if b != 0x45 and not self.simple:
            return MESSAGE
        answer: Message = Message()
        out.role = ROLE_REQUEST
        out.size = c.pos - c.end  # what asked for it was counted to others
        out.first_ns = self.asked_ns
        out.last_ns = self.asked_ns
        out.namespace = self.database
        out.note = self.current << KIND_BITS | QUERY
        if not self.simple:
            out.operation = "SYNC"
        if b == 0x45:
            self._fail(c, None, answer)
        elif b == 0x43:
            self.rows = rows
            self._complete(c, at, out, answer)
            self.rows = 0
        else:
            answer.error_side = ERROR_NONE
        self.late = answer
        return SEVERAL

    def _ready(self, c: Cursor, at: cython.Py_ssize_t, out: Message) -> cython.int:
        #  Z [u32 length][u8 I, T or E]
        request: Message | None = self._in_front()
        failed: cython.bint = self.failed
        current: cython.longlong = self.current
        self.current = -1
        self.failed = False
        self.rows = 0
        if self.torn == 0:
            self.torn = -1
        if c.u8(at + 5) == 0x49 and current == self.batch - 1 and not self.in_batch:
            # No transaction: its portals are gone. Where the client went on meanwhile, some may be of the next one.
            self.portal = None
            if self.portals is not None:
                self.portals.clear()
        if request is not None and request.note & KIND_MASK == LOGIN:
            out.error_side = ERROR_NONE
            if self.asked.answered is not None:
                out.piece = ENDS
            return MESSAGE
        left: cython.Py_ssize_t = 0
        waits: Message | None = self.asked.head
        if current >= 0:
            while waits is not None and waits.note >> KIND_BITS == current:
                left += 1 + waits.repeats
                waits = waits.next
        if waits is not None and waits.note == UNNOTED:
            self._give_up()
            self.failed = False
            return MESSAGE
        waits = self.asked.head
        if waits is not None and waits.note >> KIND_BITS == self.torn and (left > 0 or waits.note & DOUBTFUL):
            self._give_up()
            self.failed = False
            return MESSAGE
        if self.owed > 0:
            self.owed -= 1
        elif self.torn == self.batch and (waits is None or left > 0):
            self.torn = -1  # the end of what the hole took a part of
            self.batch += 1
            self.in_batch = False
        if left == 0:
            return NOTHING
        self.skipped = left
        self.aborted = failed
        return self._more_answers(out)

    def _more_answers(self, out: Message) -> cython.int:
        late: Message | None = self.late
        if late is not None:
            self.late = None
            out.status = late.status
            out.error_side = late.error_side
            out.error_type = late.error_type
            out.attributes = late.attributes
            return MESSAGE
        self.skipped -= 1
        if self.aborted:
            out.error_side = ERROR_BOTH
            out.error_type = "aborted"
            request: Message | None = self.asked.head
            if request is not None:
                self._forget(request)
        return SEVERAL if self.skipped > 0 else MESSAGE

    # --- holes, and whose bytes these are ---

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        if direction == TO_SERVER:
            self._abandon()
            self.several = None
            self.unnamed = None
            self.portal = None
            if self.portals is not None:
                self.portals.clear()
            if self.prepared is not None:
                self.prepared.clear()
            self.torn = self.batch
            self.unproven = True
            self.negotiating = not self.started
            return 0
        # Whether what waits was prepared is not known; the matcher gives it up.
        request: Message | None = self._in_front()
        while request is not None:
            self._forget(request)
            request = request.next
        self.current = -1
        self.sure = False
        self.failed = False
        self.rows = 0
        self.negotiating = False
        if self.in_batch:
            self.torn = self.batch
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        if self.left_alone:
            return True
        if direction == TO_SERVER and self.torn == 0:
            self.torn = self.batch  # joined late, perhaps in the middle of one
        return Prefixed.resync(self, direction, c)

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        if direction == TO_SERVER and c.end - c.pos >= 8 and c.u8(c.pos) == 0:
            # A client's first message is proof enough, whatever follows it.
            size: cython.Py_ssize_t = self.size(direction, c, c.pos)
            return NO if size == NOT_OURS else self._proves_client(c, c.pos, size)
        return Prefixed.probe(self, direction, c)

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        if direction == TO_SERVER:
            return self._proves_client(c, at, size)
        return self._proves_server(c, at, size)

    def _proves_client(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        b: cython.int = c.u8(at)
        end: cython.Py_ssize_t = at + size
        whole: cython.bint = end <= c.end
        if b == 0:
            if c.end - at < 8:
                return PERHAPS
            code: cython.Py_ssize_t = c.u32(at + 4)
            if code == SSL_REQUEST or code == GSS_REQUEST:
                return YES if size == 8 else NO
            if code == CANCEL_REQUEST:
                return YES if CANCEL_MIN <= size <= CANCEL_MAX else NO
            # Minor versions to come are few; libpq says 9999 to see whether a server negotiates.
            if code < VERSION_3 or (code > VERSION_3 + MINOR_MAX and code != VERSION_3 + 9999) or size < 9:
                return NO
            if not whole:
                return PERHAPS
            return YES if c.u8(end - 1) == 0 and (size == 9 or c.u8(at + 8) >= 0x5F) else NO
        at += 5
        if b == 0x51:
            return self._proves_text(c, at, end, True)
        if b == 0x53 or b == 0x48 or b == 0x58 or b == 0x63:  # S H X c
            return PERHAPS if size == 5 and (b != 0x58 or end >= c.end) else NO  # behind Terminate comes nothing
        if b == 0x70 or b == 0x64 or b == 0x66:  # p d f
            return PERHAPS
        if b == 0x46:  # F
            return self._proves_values(c, at + 4, end, True) if whole else PERHAPS
        if b == 0x44 or b == 0x43:  # D C
            if size < 7:
                return NO
            if c.end <= at:
                return PERHAPS
            if c.u8(at) != 0x53 and c.u8(at) != 0x50:
                return NO
            return self._proves_text(c, at + 1, end, True)
        stop: cython.Py_ssize_t = self._name(c, at) if at < c.end else -1
        if stop < 0 or stop >= end:
            return PERHAPS if not whole else NO
        if b == 0x45:
            if end != stop + 5 or self._proves_text(c, at, stop + 1, True) == NO:
                return NO
            return PERHAPS if not whole else YES if c.u8(stop + 1) == 0 else NO
        if b == 0x50:
            if whole:
                return self._proves_parse(c, stop + 1, end)
            return self._proves_text(c, stop + 1, end, False)
        if not whole:
            return PERHAPS
        stop = self._name(c, stop + 1)
        return NO if stop < 0 else self._proves_values(c, stop + 1, end, False)

    def _proves_text(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, last: cython.bint) -> cython.int:
        """Whether these are words; `last`: they end with the frame."""
        stop: cython.Py_ssize_t = end if end < c.end else c.end
        if last and stop == end:
            if stop <= at or c.u8(stop - 1) != 0:
                return NO
            stop -= 1
        if stop > at + PROOF_MAX:
            stop = at + PROOF_MAX
        i: cython.Py_ssize_t = at
        while i < stop:
            b: cython.int = c.u8(i)
            if b < 0x20 and b != 0x09 and b != 0x0A and b != 0x0D:
                return NO
            i += 1
        return YES if i - at >= 4 or (last and end <= c.end) else PERHAPS

    def _proves_parse(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        stop: cython.Py_ssize_t = c.find(0, at, end)
        if stop < 0 or end - stop < 3 or end != stop + 3 + 4 * c.u16(stop + 1):
            return NO
        return YES

    def _proves_values(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, call: cython.bint) -> cython.int:
        """Whether it ends where its numbers say: formats, values, formats of what is returned (of a call: one)."""
        if end - at < 2:
            return NO
        at += 2 + 2 * c.u16(at)
        if end - at < 2:
            return NO
        values: cython.int = c.u16(at)
        at += 2
        while values > 0 and end - at >= 4:
            n: cython.Py_ssize_t = c.i32(at)
            if n < -1:
                return NO
            at += 4 + (n if n > 0 else 0)
            values -= 1
        if values > 0 or end - at < 2:
            return NO
        return YES if end == at + 2 + (0 if call else 2 * c.u16(at)) else NO

    def _proves_server(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        b: cython.int = c.u8(at)
        end: cython.Py_ssize_t = at + size
        whole: cython.bint = end <= c.end
        stop: cython.Py_ssize_t
        code: cython.Py_ssize_t
        at += 5
        if b == 0x5A:  # Z
            if size != 6:
                return NO
            if not whole:
                return PERHAPS
            code = c.u8(at)
            return YES if code == 0x49 or code == 0x54 or code == 0x45 else NO
        if b == 0x43:  # C
            if size < 7 or size > 80:
                return NO
            i: cython.Py_ssize_t = at
            while i < c.end and i < end - 1:
                code = c.u8(i)
                if not (0x41 <= code <= 0x5A or 0x30 <= code <= 0x39 or code == 0x20 or code == 0x5F):
                    return NO
                i += 1
            return PERHAPS if not whole else YES if c.u8(end - 1) == 0 and c.u8(at) >= 0x41 else NO
        if b == 0x44:  # D
            return self._proves_row(c, at, end)
        if b == 0x54:  # T
            return self._proves_columns(c, at, end)
        if b == 0x31 or b == 0x32 or b == 0x33 or b == 0x6E or b == 0x73 or b == 0x49 or b == 0x63:  # 1 2 3 n s I c
            return PERHAPS if size == 5 else NO
        if b == 0x45 or b == 0x4E:  # E N
            if c.end - at >= 2 and (c.u8(at) != 0x53 or c.u8(at + 1) < 0x41):
                return NO
            if not whole:
                return PERHAPS
            if c.u8(end - 1) != 0 or size < 10:
                return NO
            self._read_error(c, at)
            return YES if self.code_at >= 0 and self.code_at < end else NO
        if b == 0x53:  # S
            if not whole:
                return PERHAPS
            stop = self._name(c, at) if size > 7 else -1
            if stop <= at or stop >= end - 1 or c.u8(at) < 0x41:
                return NO
            return YES if c.find(0, stop + 1, end) == end - 1 else NO
        if b == 0x52:  # R
            if c.end - at < 4:
                return PERHAPS
            code = c.u32(at)
            return YES if code <= 12 and size >= 9 else NO
        if b == 0x4B:  # K
            return PERHAPS if 13 <= size <= 265 else NO
        if b == 0x47 or b == 0x48 or b == 0x57:  # G H W
            if c.end - at < 3:
                return PERHAPS
            return YES if c.u8(at) <= 1 and size == 8 + 2 * c.u16(at + 1) else NO
        if b == 0x74:  # t
            if c.end - at < 2:
                return PERHAPS
            return PERHAPS if size == 7 + 4 * c.u16(at) else NO
        return PERHAPS

    def _proves_row(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Whether the values fill it."""
        if c.end - at < 2:
            return PERHAPS
        values: cython.int = c.u16(at)
        at += 2
        if values > COLUMNS_MAX or end - at < 4 * values:
            return NO
        while values > 0 and at + 4 <= c.end:
            n: cython.Py_ssize_t = c.i32(at)
            if n < -1 or n > end - at - 4:
                return NO
            at += 4 + (n if n > 0 else 0)
            values -= 1
        if values > 0 or at > c.end:
            return PERHAPS if end > c.end else NO
        return PERHAPS if at == end else NO

    def _proves_columns(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Whether the descriptions of the columns fill it: name NUL [u32 table][u16][u32 type][i16 size][i32][u16 format]."""
        if c.end - at < 2:
            return PERHAPS
        columns: cython.int = c.u16(at)
        at += 2
        if columns > COLUMNS_MAX or end - at < 19 * columns:
            return NO
        if columns == 0:
            return PERHAPS if at == end else NO
        while columns > 0 and at < c.end:
            stop: cython.Py_ssize_t = self._name(c, at)
            if stop < 0 or c.end - stop < 19:
                return NO if end <= c.end or (stop < 0 and c.end - at > NAME_MAX) else PERHAPS
            if c.u16(stop + 17) > 1:
                return NO
            at = stop + 19
            columns -= 1
        if columns > 0:
            return PERHAPS if end > c.end else NO
        return YES if at == end else NO


def rows(shared: Shared) -> tuple[Protocol, ...]:
    formats = tuple(shared.settings.traces.propagators)
    tables = Tables(shared.limits, TraceContext(formats) if formats else None)
    return (Protocol("postgresql", "postgresql", partial(PostgresqlDecoder, tables), ports=(5432,), client_only=True),)
