"""MySQL and MariaDB, protocol 4.1: what is asked is read by its head, rows are skipped by count.

Room: l7; follows the contract of `decoder.py`. Sources: MySQL Source Code Documentation, "Client/Server Protocol"; MariaDB
Knowledge Base, "Client/Server Protocol".

    packet: [u24le length][u8 sequence] payload        one of 2^24-1 bytes goes on in the next, which may be empty
    the server speaks first: [u8 10][version NUL][u32 thread][8 salt][0][u16 flags][u8 charset][u16 status][u16 flags] ...
    the client's login: [u32 flags][u32 packet][u8 charset][19 zeros][u32 MariaDB's flags][user NUL][secret][database NUL] ...
    command: [u8 number] ...                           its sequence is 0, the first of its answer is 1
    OK [0 or FE][affected][last id][u16 status][u16 warnings] ...    ERR [FF][u16 number]['#'][5 SQLSTATE] text
    EOF [FE][u16 warnings][u16 status]               definitions and rows end with it, or rows alone with an OK that begins with FE

Answers come in the order of the commands, and hardly ever is more than one under way. What comes to the client is read in one pass
over as many packets as are there: an answer is a message in pieces, and of a row five bytes are looked at. A row never begins with
FE, unless it has 2^24-1 bytes or more.

Both sides agree on how they speak when the client logs in. Joined late that is not known: it is learnt from the first result
(whether definitions end with EOF), from the frames (whether they are compressed) and from the status of each answer.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cython

from receiver.l7.inner import Inflater, Inner
from receiver.l7.mysql_names import LOGIN as LOGIN_NAME
from receiver.l7.mysql_names import VERB_MAX, VERBS, Vocabulary
from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.l7.sql import Prepared, Sql, Statement
from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOTHING, PERHAPS, SEVERAL, SKIP_TO_CLOSE, YES
    from receiver.l7.mysql_names import (
        CLIENT_COMPRESS,
        CLIENT_CONNECT_WITH_DB,
        CLIENT_DEPRECATE_EOF,
        CLIENT_MYSQL,
        CLIENT_OPTIONAL_METADATA,
        CLIENT_PLUGIN_AUTH_LENENC,
        CLIENT_PROTOCOL_41,
        CLIENT_QUERY_ATTRIBUTES,
        CLIENT_SECURE_CONNECTION,
        CLIENT_SSL,
        CLIENT_ZSTD,
        KIND_EXECUTE,
        KIND_FETCH,
        KIND_FIELDS,
        KIND_LOGIN,
        KIND_NOTHING,
        KIND_PREPARE,
        KIND_QUERY,
        KIND_RESET,
        KIND_STREAM,
        KIND_TEXT,
        MARIADB_CACHE_METADATA,
        STATUS_ANSI_QUOTES,
        STATUS_CURSOR_EXISTS,
        STATUS_MORE_RESULTS,
        STATUS_NO_BACKSLASH,
        STATUS_SESSION_CHANGED,
    )
    from receiver.wire.records import (
        BEGINS,
        ENDS,
        ERROR_BOTH,
        ERROR_NONE,
        ERROR_UNREAD,
        ROLE_REQUEST,
        ROLE_RESPONSE,
        TO_CLIENT,
        TO_SERVER,
    )

# Length and sequence; a payload of PACKET_MAX bytes goes on in the next packet.
HEAD = 4
PACKET_MAX = 0xFFFFFF
# Of a text so much is read (SEEN_MAX of sql.py), and so much more may stand before it as attributes of the query.
TEXT_SEEN = 4096
ATTRIBUTES_SEEN = 4096
# The name of a schema has 64 characters of up to four bytes; a login's secrets and attributes of the connection are longer.
SCHEMA_SEEN = 260
LOGIN_SEEN = 4096
# Of a status, an error or a greeting: an error's text has up to 512 bytes, changes of the session some hundred.
STATUS_SEEN = 1024
# MariaDB reports progress as an error with this number.
PROGRESS = 0xFFFF
# MariaDB: the statement that was prepared last.
LATEST = 0xFFFFFFFF
COM_INIT_DB = 0x02
COM_QUIT = 0x01
COM_QUERY = 0x03
COM_FIELD_LIST = 0x04
COM_DROP_DB = 0x06
COM_CHANGE_USER = 0x11
COM_BINLOG_DUMP = 0x12
COM_REGISTER_SLAVE = 0x15
COM_STMT_PREPARE = 0x16
COM_STMT_EXECUTE = 0x17
COM_STMT_SEND_LONG_DATA = 0x18
COM_STMT_CLOSE = 0x19
COM_BINLOG_DUMP_GTID = 0x1E
COM_STMT_BULK_EXECUTE = 0xFA
# Of a text that begins with no known word so much is looked at.
LOOK_MAX = 64
# Statements of one text that are counted, and how long all that is shown of them may be.
STATEMENTS_MAX = 1024
SHOWN_MAX = 4096

# Compressed: [u24le length][u8 sequence][u24le length before, 0 if as it was]. So much of one is seen together, and so much of a
# piece is inflated; what is beyond is mostly the rest of a long row, of which nothing is wanted.
PACKED_HEAD = 7
PACKED_SEEN = 65536
INFLATE_MAX = 262144
# zlib's first two bytes, by its levels.
ZLIB_LEVELS = b"\x01\x5e\x9c\xda"

# What is known of the connection.
START = 0
LOGIN = 1
COMMANDS = 2
ALONE = 3  # of what follows nothing is read

# What the next packet to the client is.
FIRST = 0  # an answer's first, or what is none
ANOTHER = 1  # the first of another result of the same answer
COLUMNS = 2  # a definition, of which `left` are to come
COLUMNS_END = 3  # EOF behind them, or, where there is none, the first row
DEFINITIONS_END = 4  # the same of a prepared statement
ROWS = 5
FIELDS = 6
FILE = 7  # the status, once the client has sent a file
PASSING = 8  # of an answer whose request is not known

# How long the value of a type is (MYSQL_TYPE_...); -1: its length stands in front, of dates in one byte.
_SIZES = {0x01: 1, 0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 0, 0x08: 8, 0x09: 4, 0x0D: 2}
TYPES_OF_TEXT = (0x0F, 0xFD, 0xFE)
# A set of characters whose second byte may be a backslash: big5, sjis, gbk, cp932, gb18030 with their collations.
DOUBLE_BYTES = frozenset((1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250))


@cython.no_gc
@cython.cclass
class MysqlDecoder(Prefixed):
    """One connection's packets, and those inside compressed ones, which it reads as the reader of their `Inner`."""

    def __init__(self, words: Vocabulary | None = None) -> None:
        self.words: Vocabulary = Vocabulary() if words is None else words
        self.prepared = Prepared(self.words.room)
        Prefixed.__init__(self)

    # --- the contract of decoder.py ---

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.prepared.clear()
        self.phase = START
        # What both sides agreed on: the client's flags, -1 while unknown; whether definitions end with EOF, -1 likewise.
        self.flags = -1
        self.flags_offered = -1
        self.eofs = -1
        self.caches = -1
        self.row: Protocol | None = None
        self.sql: Sql = self.words.sql
        self.namespace: str | None = None
        # Whether a backslash escapes, which is not known before the first status; and a set of characters whose bytes deceive.
        self.backslash = True
        self.ansi_quotes = False
        self.escapes_known = False
        self.deceives = False
        self.latest: Statement | None = None
        # To the server: a login or a file is under way, the packet before goes on, the sequence of the last one.
        self.logging_in = False
        self.sending = False
        self.request_goes_on = False
        self.asked_sequence = 0
        # To the client.
        self.state = FIRST
        self.sequence = 0
        self.answer_goes_on = False
        self.kind = 0
        self.kept: Any = None
        self.left = 0
        self.left_behind = 0
        self.rows = -1
        self.affected = -1
        self.chained = 0
        self.after = 0
        # What `frame` found for `parse`.
        self.told = False
        self.piece = 0
        self.rest = 0
        self.error_side = 0
        self.status: str | None = None
        self.sqlstate: bytes | None = None
        self.refused = False
        # Compressed, and whether that is known; whether the packets inside are being read.
        self.packs = False
        self.packed = False
        self.framing_known = False
        self.framing_guessed = False
        self.inside = False
        self.to_server: Inner | None = None
        self.to_client: Inner | None = None
        self.stream: Cursor | None = None
        self.inflater: Inflater | None = None
        self.unfinished = False
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        if self.phase == ALONE:
            return 1
        if self.packed and not self.inside:
            return self._packed_frame(direction, c)
        if direction == TO_CLIENT:
            return self._read_answer(c)
        if not self.framing_known and self.phase == COMMANDS and not self._learn_framing(c):
            return MORE
        if self.packed and not self.inside:
            return self._packed_frame(direction, c)
        return Prefixed.frame(self, direction, c)

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        if self.phase == ALONE and not (direction == TO_CLIENT and self.told):
            self.skip = SKIP_TO_CLOSE
            return NOTHING
        if self.packed and not self.inside:
            return self._unpack(direction, c, ts_ns, out)
        if direction == TO_SERVER:
            return Prefixed.parse(self, direction, c, ts_ns, out)
        self.skip = self.rest
        if self.packs:
            self._begin_packed()  # from the next packet on
        if self.refused:
            # The server spoke first and last: what the client asked for by connecting is a request that has no bytes.
            out.role = ROLE_REQUEST
            out.operation = LOGIN_NAME
            out.protocol = self.row
            return SEVERAL
        return self._answer(out)

    def more(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        if self.refused:
            self.refused = False
            self.phase = ALONE
            out.role = ROLE_RESPONSE
            return self._answer(out)
        return self._next(direction, ts_ns, out)

    def on_close(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        if direction == TO_SERVER:
            self.prepared.clear()  # the client has said all
        return NOTHING

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        if self.packed and not self.inside:
            self.inside = True
            try:
                inner: Inner = self.to_server if direction == TO_SERVER else self.to_client
                inner.lose(self, direction, 0)
            finally:
                self.inside = False
            self.unfinished = False
            return 0
        if direction == TO_SERVER:
            self.sending = False
            self.request_goes_on = False
            self.namespace = None
            self.latest = None
            return 0
        if self.state != FIRST and self.kept is not None and self.kind != KIND_PREPARE:
            self.namespace = None
        waits: Message | None = self.asked.head
        while waits is not None:
            if waits.kept is not None and waits.note != KIND_PREPARE:
                self.namespace = None  # whether it is the one that was asked for is not known
            waits = waits.next
        if self.phase == LOGIN and self.flags >= 0:
            self._agreed()  # the end of the login may be among what is lost; if it failed nothing follows
            if self.packs:
                self._begin_packed()
        self.told = False
        self.state = FIRST
        self.answer_goes_on = False
        self.kept = None
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        if self.phase == ALONE:
            return True
        if c.end - c.pos < HEAD:
            return False
        if self.packed and not self.inside:
            return self._packed_begins(direction, c)
        if self.phase != COMMANDS and self._chain(direction, c, c.pos) == YES and self._opens(direction, c):
            return True
        if not self.framing_known and self._packed_begins(direction, c):
            self._begin_packed()
            self.phase = COMMANDS
            return True
        if direction == TO_CLIENT:
            # Nobody waits: it is the rest of something.
            if self.asked.head is None or self._chain(direction, c, c.pos) == NO:
                return False
            return c.u8(c.pos + 3) == 1 or (self.logging_in and c.u8(c.pos + 3) > 1)
        # A command that is whole, or one that can be nothing else.
        if self._chain(direction, c, c.pos) == NO or HEAD + c.u24le(c.pos) > c.end - c.pos:
            if not Prefixed.resync(self, direction, c):
                return False
        if self.phase == START:
            self.phase = COMMANDS
        return True

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        if c.end - c.pos < HEAD:
            return PERHAPS
        answer: cython.int = self._chain(direction, c, c.pos)
        if answer == NO and self._packed_begins(direction, c):
            return YES
        return answer

    # --- what prefixed.py asks ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return HEAD + c.u24le(at) if c.end - at >= HEAD else MORE

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if size == HEAD or self.request_goes_on or self.sending:
            return HEAD
        if c.u8(c.pos + 3) != 0:
            seen: cython.Py_ssize_t = HEAD if self.logging_in else HEAD + LOGIN_SEEN
        elif c.end - c.pos <= HEAD:
            seen = HEAD + 1
        else:
            number: cython.int = c.u8(c.pos + HEAD)
            if number == COM_QUERY:
                seen = HEAD + 1 + TEXT_SEEN + (ATTRIBUTES_SEEN if self._has_attributes(c, c.pos + HEAD + 1) else 0)
            elif number == COM_STMT_PREPARE:
                seen = HEAD + 1 + TEXT_SEEN
            elif number == COM_INIT_DB:
                seen = HEAD + 1 + SCHEMA_SEEN
            elif number == COM_CHANGE_USER:
                seen = HEAD + 1 + LOGIN_SEEN
            elif number == COM_STMT_EXECUTE or number == COM_STMT_CLOSE or number == COM_STMT_BULK_EXECUTE:
                seen = HEAD + 5
            else:
                seen = HEAD + 1
        return size if size < seen else seen

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        """A packet to the server."""
        length: cython.Py_ssize_t = size - HEAD
        sequence: cython.int = c.u8(c.pos + 3)
        if self.request_goes_on:
            self.asked_sequence = sequence
            self.request_goes_on = length == PACKET_MAX
            out.piece = 0 if self.request_goes_on else ENDS
            return MESSAGE
        if self.sending:
            self.sending = length != 0
            return NOTHING
        if sequence != 0:
            if self.logging_in:
                return NOTHING  # what a plugin says
            if self.phase == LOGIN and sequence > 1:
                return NOTHING  # of a login whose beginning was not seen
            if self.phase == COMMANDS or sequence > 1 or length < 4:
                raise Malformed("mysql", "packet out of sequence", 3)
            self.asked_sequence = sequence
            return self._login(c, length, out)
        if length == 0:
            raise Malformed("mysql", "empty command", 0)
        if self.framing_guessed and c.u8(c.pos + HEAD) == 0:
            # No client sends that command (COM_SLEEP): it is a compressed packet's head, and what came first stood in one.
            self.framing_known = False
            raise Malformed("mysql", "not a command", HEAD)
        self.asked_sequence = 0
        self.logging_in = False
        self.phase = COMMANDS
        self.request_goes_on = length == PACKET_MAX
        if self.request_goes_on:
            out.piece = BEGINS
        return self._command(c, length, out)

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        length: cython.Py_ssize_t = size - HEAD
        sequence: cython.int = c.u8(at + 3)
        if length == 0:
            return NO
        if direction == TO_SERVER:
            if sequence != 0:
                return self._proves_login(c, at + HEAD, length) if number == 0 and sequence == 1 else NO
            return self._proves_command(c, at + HEAD, length)
        if number > 0 and self.chained < 0:
            return PERHAPS  # behind a greeting the server says nothing
        follows: cython.int = (self.chained + 1) & 0xFF
        self.chained = sequence if number > 0 or sequence > 0 else -1
        if number > 0:
            return NO if sequence != follows else YES if c.starts(at + HEAD, b"\x03def") else PERHAPS
        if sequence <= 1:
            return self._proves_first(c, at + HEAD, length, sequence)
        return PERHAPS if at + size <= c.end else NO

    # --- the login ---

    def _opens(self, direction: cython.int, c: Cursor) -> cython.bint:
        """Whether this is how a connection begins: a greeting, or a login."""
        return c.u8(c.pos + 3) == (1 if direction == TO_SERVER else 0)

    def _greeting(self, c: Cursor, at: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
        """The server's first packet."""
        end: cython.Py_ssize_t = c.find(0, at + 1, stop)
        if c.u8(at) != 10 or end < 0:
            raise Malformed("mysql", "not a greeting", HEAD)
        self.phase = LOGIN
        self._named(c.take(at + 1, end))
        if stop - end < 19:
            return 0
        status: cython.int = c.u16le(end + 17)
        self.flags_offered = c.u16le(end + 14)
        if stop - end >= 21:
            high: cython.longlong = c.u16le(end + 19)
            self.flags_offered |= high << 16
        return self._learn(status)

    def _named(self, version: bytes) -> cython.int:
        """The server says what it is."""
        if b"mariadb" in version.lower():
            self.row = self.words.mariadb
            self.sql = self.words.sql_mariadb
        return 0

    def _login(self, c: Cursor, length: cython.Py_ssize_t, out: Message) -> cython.int:
        """The client's first packet."""
        at: cython.Py_ssize_t = c.pos + HEAD
        flags: cython.longlong = c.u32le(at)
        if flags & CLIENT_PROTOCOL_41 == 0:
            key = ("mysql", "protocol before 4.1")
            self.errors[key] = self.errors.get(key, 0) + 1
            return self._leave_alone()
        if self._proves_login(c, at, length) == NO:
            raise Malformed("mysql", "not a login", HEAD)
        self.phase = LOGIN
        if flags & CLIENT_SSL and length == 32:
            self._leave_alone()
            self.successor = "tls"
            return NOTHING
        self.flags = flags
        self.eofs = 0 if flags & CLIENT_DEPRECATE_EOF else 1
        self.caches = 0
        if flags & CLIENT_MYSQL == 0 and c.end - at >= 32:
            self.caches = 1 if c.u32le(at + 28) & MARIADB_CACHE_METADATA else 0
        self.deceives = c.u8(at + 8) in DOUBLE_BYTES
        out.operation = LOGIN_NAME
        self._user(c, at + 32, out)
        return MESSAGE

    def _user(self, c: Cursor, at: cython.Py_ssize_t, out: Message) -> cython.int:
        """Whoever it is and however they prove it, nothing of which is kept; what is told is the schema that they ask for."""
        self.logging_in = True
        out.protocol = self.row
        out.note = KIND_LOGIN
        out.kept = ""
        changes: cython.bint = c.u8(c.pos + HEAD) == COM_CHANGE_USER and self.asked_sequence == 0
        end: cython.Py_ssize_t = c.find(0, at, c.end) if at <= c.end else -1
        if end < 0:
            return 0
        at = end + 1
        if self.flags >= 0 and self.flags & CLIENT_PLUGIN_AUTH_LENENC and not changes:
            secret: cython.Py_ssize_t = self._number(c, at)
            at = self.after + secret if secret >= 0 else c.end
        elif self.flags < 0 or self.flags & CLIENT_SECURE_CONNECTION:
            at = at + 1 + c.u8(at) if at < c.end else c.end
        else:
            end = c.find(0, at, c.end)
            at = end + 1 if end >= 0 else c.end
        if at >= c.end or not (changes or self.flags & CLIENT_CONNECT_WITH_DB):
            return 0
        end = c.find(0, at, c.end)
        if end > at:
            out.namespace = self.words.schemas.find(c, at, end)
            if out.namespace is not None:
                out.kept = out.namespace
        return 0

    def _agreed(self) -> cython.int:
        """The login is over: both sides speak from now on as they said."""
        self.phase = COMMANDS
        self.logging_in = False
        if self.flags < 0:
            return 0
        self.framing_known = True
        flags: cython.longlong = self.flags
        if self.flags_offered >= 0:
            flags &= self.flags_offered
        if flags & CLIENT_COMPRESS:
            self.packs = True
        elif flags & CLIENT_ZSTD:
            key = ("mysql", "compressed with zstd")
            self.errors[key] = self.errors.get(key, 0) + 1
            self._leave_alone()
        return 0

    def _leave_alone(self) -> cython.int:
        self.phase = ALONE
        self.prepared.clear()
        self.skip = SKIP_TO_CLOSE
        return NOTHING

    # --- commands ---

    def _command(self, c: Cursor, length: cython.Py_ssize_t, out: Message) -> cython.int:
        at: cython.Py_ssize_t = c.pos + HEAD
        number: cython.int = c.u8(at)
        kind: cython.int = self.words.kinds[number]
        out.protocol = self.row
        out.namespace = self.namespace
        out.note = kind
        at += 1
        if kind == KIND_QUERY:
            if number == COM_QUERY:
                self._query(c, at, c.end - c.pos < HEAD + length, out)
        elif kind == KIND_EXECUTE:
            if c.end - at >= 4:
                self._execute(c, at, out)
        elif kind == KIND_PREPARE:
            self._prepare(c, at, c.end - c.pos < HEAD + length, out)
        elif kind == KIND_NOTHING:
            out.expects_reply = False
            if number == COM_STMT_CLOSE and c.end - at >= 4:
                self.prepared.drop(c.u32le(at))
        elif kind == KIND_LOGIN:
            self._user(c, at, out)
        elif kind == KIND_STREAM:
            out.may_block = True
        elif number == COM_INIT_DB:
            out.kept = self._schema(c, at, c.end)
        if out.summary is None:
            out.operation = self.words.names[number]
        return MESSAGE

    def _query(self, c: Cursor, at: cython.Py_ssize_t, cut: cython.bint, out: Message) -> cython.int:
        if self._has_attributes(c, at):
            at = self._pass_attributes(c, at, out)
            if at < 0:
                return 0  # where the text begins is not seen
        if at >= c.end:
            return 0
        if (c.u8(at) | 0x20) == 0x75 and c.end - at < SCHEMA_SEEN and not cut:
            out.kept = self._uses(c, at)
        first: Statement = self._statement(c, at, c.end, cut, out)
        if self.sql.next < c.end and not (cut or self.deceives):
            return self._several(c, first, out)
        first.fill(out, self.detail)
        return 0

    def _statement(
        self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, cut: cython.bint, out: Message | None
    ) -> Statement:
        sql: Sql = self.sql
        sql.ansi_quotes = self.ansi_quotes
        sql.backslash = self.backslash
        if self.deceives or not self.escapes_known:
            # What a backslash means is not known: a string with one has an unknown end.
            found: cython.Py_ssize_t = c.find(0x5C, at, end)
            if found >= 0:
                end = found
                cut = True
        return sql.read(c, at, end, cut, out)

    def _several(self, c: Cursor, first: Statement, out: Message) -> cython.int:
        """Several statements of one text are one roundtrip: they are asked at once, and answered at once."""
        same: cython.bint = True
        count: cython.int = 1
        text: str = first.text
        at: cython.Py_ssize_t = self.sql.next
        while at < c.end and count < STATEMENTS_MAX:
            following: Statement = self._statement(c, at, c.end, False, None)
            if self.sql.next <= at:
                break
            at = self.sql.next
            if len(following.operation) == 0 and len(following.summary) == 0:
                continue  # a comment, or nothing
            count += 1
            if following.summary != first.summary or following.operation != first.operation:
                same = False
            if len(text) + len(following.text) + 2 <= SHOWN_MAX:
                text = text + "; " + following.text
        if count == 1:
            first.fill(out, self.detail)
            return 0
        summary: str = first.summary if len(first.summary) > 0 else first.operation
        out.summary = self.words.batch(summary) if same and len(summary) > 0 else "BATCH"
        if self.detail:
            if len(text) > 0:
                out.add("db.query.text", text)
            out.add("db.operation.batch.size", count)
        return 0

    def _prepare(self, c: Cursor, at: cython.Py_ssize_t, cut: cython.bint, out: Message) -> cython.int:
        """The statement goes by its own name where it is executed; here it is prepared."""
        if at >= c.end:
            return 0
        statement: Statement = self._statement(c, at, c.end, cut, None)
        self.latest = statement
        out.kept = statement
        if self.detail and len(statement.text) > 0:
            out.add("db.query.text", statement.text)
        return 0

    def _execute(self, c: Cursor, at: cython.Py_ssize_t, out: Message) -> cython.int:
        number: cython.Py_ssize_t = c.u32le(at)
        statement: Statement | None = self.latest if number == LATEST else self.prepared.get(number)
        if statement is not None:
            statement.fill(out, self.detail)
        return 0

    def _schema(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str:
        """Its name, "" where that is not known."""
        if end <= at or end - at >= SCHEMA_SEEN:
            return ""
        name: str | None = self.words.schemas.find(c, at, end)
        return "" if name is None else name

    def _uses(self, c: Cursor, at: cython.Py_ssize_t) -> object:
        """The schema that the text `USE name` asks for; None of another text, "" where it is not known."""
        words: list[bytes] = c.take(at, c.end).split()
        if len(words) < 2 or words[0].upper() != b"USE":
            return None
        name: bytes = words[1].rstrip(b";")
        if len(name) > 2 and name.startswith(b"`") and name.endswith(b"`"):
            name = name.strip(b"`")
        if len(words) > 2 or len(name) == 0 or b"`" in name or b"/*" in name or b";" in name or b"#" in name or b"--" in name:
            return ""
        found: str | None = self.words.schemas.named(name)
        return "" if found is None else found

    # --- attributes of a query ---

    def _has_attributes(self, c: Cursor, at: cython.Py_ssize_t) -> cython.bint:
        if self.flags >= 0:
            return self.flags & CLIENT_QUERY_ATTRIBUTES != 0
        # Joined late: their number, and that of their sets, which is 1. No text begins so.
        return c.end - at >= 2 and c.u8(at) < 0x20 and c.u8(at + 1) == 1

    def _pass_attributes(self, c: Cursor, at: cython.Py_ssize_t, out: Message) -> cython.Py_ssize_t:
        """Where the text begins behind them, -1 where that cannot be seen. `traceparent` and its like join a trace."""
        #  [number][sets, 1]  number x NULL bit  [1]  number x ([u16le type][name])  values                    COM_QUERY
        count: cython.Py_ssize_t = self._number(c, at)
        if count < 0 or self._number(c, self.after) < 0:
            return -1
        at = self.after
        if count == 0:
            return at
        nulls: cython.Py_ssize_t = at
        at += (count + 7) >> 3
        if count > ATTRIBUTES_SEEN or at >= c.end or c.u8(at) != 1:
            return -1
        at += 1
        types: list[int] = []
        names: list[bytes] = []
        size: cython.Py_ssize_t
        i: cython.Py_ssize_t
        for i in range(count):  # noqa: B007 - declared, so that the loop is C's
            if c.end - at < 2:
                return -1
            types.append(c.u16le(at) & 0xFF)
            size = self._number(c, at + 2)
            if size < 0 or size > c.end - self.after:
                return -1
            names.append(c.take(self.after, self.after + size))
            at = self.after + size
        context = self.words.context
        if context is not None:
            context.reset()
        for i in range(count):
            if c.u8(nulls + (i >> 3)) >> (i & 7) & 1:
                continue
            kind: cython.int = types[i]
            if kind in _SIZES:
                size = _SIZES[kind]
            else:
                size = self._number(c, at)
                at = self.after
            if size < 0 or size > c.end - at:
                return -1
            if context is not None and kind in TYPES_OF_TEXT:
                context.offer_pair(names[i], c.take(at, at + size))
            at += size
        if context is not None:
            context.tell(out)
        return at

    def _number(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """A number whose first byte says how many it has; -1 where it is none or not all seen. `after` is where it ends."""
        self.after = c.end
        if at >= c.end:
            return -1
        first: cython.int = c.u8(at)
        if first < 0xFB:
            self.after = at + 1
            return first
        width: cython.int = 2 if first == 0xFC else 3 if first == 0xFD else 8 if first == 0xFE else -1
        if width < 0 or c.end - at <= width:
            return -1
        self.after = at + 1 + width
        if width == 2:
            return c.u16le(at + 1)
        if width == 3:
            return c.u24le(at + 1)
        value: cython.Py_ssize_t = c.i64le(at + 1)
        return value if value >= 0 else -1

    # --- answers ---

    def _read_answer(self, c: Cursor) -> cython.Py_ssize_t:
        """Takes as many packets as are there of one message, or one that is none."""
        # Each place is compared with the window's end before it is read.
        buf: bytes = c.buf
        base: cython.Py_ssize_t = c.pos
        end: cython.Py_ssize_t = c.end
        at: cython.Py_ssize_t = base
        need: cython.Py_ssize_t
        size: cython.Py_ssize_t
        first: cython.int
        self.rest = 0
        self.piece = 0
        self.told = False
        while True:
            if self.state == ROWS and not self.answer_goes_on:
                at = self._pass_rows(buf, at, end)
            if end - at < HEAD:
                need = HEAD
                break
            size = buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16
            sequence: cython.int = buf[at + 3]
            if self.answer_goes_on:
                self.answer_goes_on = size == PACKET_MAX
                self.told = self.state != PASSING
            else:
                need = HEAD if size == 0 else HEAD + 1
                if end - at < need:
                    break
                first = 0 if size == 0 else buf[at + HEAD]
                if self.state != FIRST and self.state < FILE and sequence != (self.sequence + 1) & 0xFF:
                    raise Malformed("mysql", "packet out of sequence", at - base + 3)
                if self.state == ROWS and (first < 0xFE or (first == 0xFE and size == PACKET_MAX)):
                    self.rows += 1
                    self.told = True
                elif self.state == COLUMNS and first != 0xFF:
                    self.left -= 1
                    self.told = True
                    if self.left == 0:
                        self._defined()
                else:
                    need = HEAD + (size if size < STATUS_SEEN else STATUS_SEEN)
                    if end - at < need:
                        break
                    if size == 0:
                        raise Malformed("mysql", "empty packet", at - base)
                    c.clamp(at + need)
                    self._packet(c, at + HEAD, size, sequence)
                    c.clamp(end)
                self.answer_goes_on = size == PACKET_MAX
            self.sequence = sequence
            at += HEAD + size
            if at > end:
                self.rest = at - end
                at = end
            if self.rest > 0 or self.piece & ENDS or not self.told:
                break
        return at - base if at > base else need

    def _pass_rows(self, buf: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the rows end that are all there and are nothing else; most of a large result are."""
        rows: cython.Py_ssize_t = 0
        sequence: cython.int = self.sequence
        while end - at > HEAD:  # a row's head and its first byte
            size: cython.Py_ssize_t = buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16
            following: cython.int = (sequence + 1) & 0xFF
            if size == 0 or size >= end - at - HEAD or buf[at + 3] != following or buf[at + HEAD] >= 0xFE:
                break
            sequence = following
            rows += 1
            at += HEAD + size
        if rows > 0:
            self.sequence = sequence
            self.rows += rows
            self.told = True
        return at

    def _packet(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, sequence: cython.int) -> cython.int:
        """One that is neither a row nor a definition, or the first of an answer; the window ends with it or what is wanted."""
        first: cython.int = c.u8(at)
        if self.state == PASSING:
            if sequence != 1 or self.asked.head is None:
                return 0
            self.state = FIRST
        if first == 0xFF and size >= 3 and c.end - at >= 3 and c.u16le(at + 1) == PROGRESS:
            self.asked_sequence = sequence  # how far the statement has come; the answer goes on counting
            return 0
        if self.state == FIRST:
            return self._first(c, at, size, sequence, first)
        self.told = True
        if first == 0xFF:
            return self._error(c, at, size)
        if self.state == ROWS or self.state == FIELDS:
            if first == 0xFE:
                self._status(c, at, size)
        elif self.state == COLUMNS_END:
            if first == 0xFE and size == 5:
                self.eofs = 1
                if c.u16le(at + 3) & STATUS_CURSOR_EXISTS:
                    self._status(c, at, size)  # the rows are fetched
                else:
                    self.state = ROWS
                return 0
            if self.eofs < 0:
                self.eofs = 0
            self.state = ROWS
            if first == 0xFE and size < PACKET_MAX:
                self._status(c, at, size)
            else:
                self.rows += 1
        elif self.state == DEFINITIONS_END:
            if first == 0xFE and size == 5:
                self.eofs = 1
                self._next_definitions()
            else:
                self.eofs = 0
                self._next_definitions()
                self.left -= 1
                if self.left == 0:
                    self._defined()
        else:
            self._result(c, at, size, first)
        return 0

    def _first(
        self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, sequence: cython.int, first: cython.int
    ) -> cython.int:
        """The first packet of an answer, or one that is no answer."""
        if self.phase == START and sequence == 0:
            if first != 0xFF:
                return self._greeting(c, at, c.end)
            # Too many connections, an address that may not connect.
            self.told = True
            self.refused = True
            self.piece = BEGINS
            return self._error(c, at, size)
        asked: Message | None = self.asked.next()
        if asked is None and sequence > 1 and self.asked.head is not None and self.asked.head.note == KIND_LOGIN:
            asked = self.asked.head  # whatever is in doubt, nothing else is answered so
        if asked is None or asked.note < 0:
            return self._stray(c, at, size, sequence, first)
        if sequence != (self.asked_sequence + 1) & 0xFF and sequence != 1 and asked.note != KIND_LOGIN and first != 0xFF:
            if self._ends_definitions(size, sequence, first):
                return 0
            raise Malformed("mysql", "packet out of sequence", 3)
        self.kind = asked.note
        self.kept = asked.kept
        self.rows = -1
        self.affected = -1
        self.told = True
        self.piece = BEGINS
        if first == 0xFF:
            return self._error(c, at, size)
        return self._result(c, at, size, first)

    def _stray(
        self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, sequence: cython.int, first: cython.int
    ) -> cython.int:
        """Nobody is known to wait for it."""
        if self.phase < COMMANDS:
            if first == 0 and size >= 7:
                self._agreed()  # the client's part of the login was not seen
            return 0
        if first != 0xFF and (sequence != 1 or self._ends_definitions(size, sequence, first)):
            return 0
        self.told = True
        self.piece = BEGINS
        if first == 0xFF:
            return self._error(c, at, size)
        self._end(ERROR_UNREAD)
        self.state = PASSING
        return 0

    def _ends_definitions(self, size: cython.Py_ssize_t, sequence: cython.int, first: cython.int) -> cython.bint:
        """Whether it is the EOF behind the last definition of a statement that was prepared when that was not yet expected."""
        if self.eofs >= 0 or first != 0xFE or size != 5 or sequence != (self.sequence + 1) & 0xFF:
            return False
        self.eofs = 1
        return True

    def _result(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, first: cython.int) -> cython.int:
        """The first packet of a result that is no error."""
        kind: cython.int = self.kind
        if kind == KIND_QUERY or kind == KIND_EXECUTE:
            if self._opens_rows(c, at, size, first):
                return 0
            if first == 0xFB:
                self.state = FILE
                self.sending = True
                return 0
        elif kind == KIND_PREPARE:
            if first == 0 and size >= 9 and c.end - at >= 9:
                return self._prepared(c, at, size)
        elif kind == KIND_FETCH:
            self.state = ROWS
            if self.rows < 0:
                self.rows = 0
            if first == 0xFE and size < PACKET_MAX:
                return self._status(c, at, size)
            self.rows += 1
            return 0
        elif kind == KIND_FIELDS:
            self.state = FIELDS
            return self._status(c, at, size) if first == 0xFE else 0
        elif kind == KIND_TEXT:
            return self._end(ERROR_NONE)
        elif kind == KIND_STREAM:
            self._end(ERROR_NONE)
            return self._leave_alone()
        elif kind == KIND_LOGIN and first != 0:
            self.told = False  # another plugin, or what it says
            self.piece = 0
            return 0
        if first != 0 and first != 0xFE:
            raise Malformed("mysql", "not an answer", HEAD)
        return self._status(c, at, size)

    def _opens_rows(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, first: cython.int) -> cython.bint:
        """Whether it is the number of columns."""
        follows: cython.bint = True
        if size > 10:
            return False
        if first <= 1 and size >= 2 and size <= 4 and self.flags >= 0 and self.flags & CLIENT_OPTIONAL_METADATA:
            follows = first == 1
            at += 1
            size -= 1
        count: cython.Py_ssize_t = self._number(c, at)
        if count <= 0 or size - (self.after - at) > 1:
            return False
        if size - (self.after - at) == 1:
            # MariaDB says whether definitions follow that the client has kept.
            if self.caches == 0 or c.u8(self.after) > 1:
                return False
            follows = c.u8(self.after) == 1
        if self.rows < 0:
            self.rows = 0
        self.left = count if follows else 0
        if self.left > 0:
            self.state = COLUMNS
        else:
            self._defined()
        return True

    def _prepared(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        #  [00][u32le number][u16le columns][u16le parameters][0][u16le warnings][u8 definitions follow]
        statement: Statement | None = self.kept
        if statement is not None:
            self.prepared.put(c.u32le(at + 1), statement)
        self.left = c.u16le(at + 7)
        self.left_behind = c.u16le(at + 5)
        if self.flags >= 0 and self.flags & CLIENT_OPTIONAL_METADATA and size > 12 and c.end - at > 12 and c.u8(at + 12) == 0:
            self.left = 0
            self.left_behind = 0
        if self.left > 0:
            self.state = COLUMNS
            return 0
        return self._next_definitions()

    def _next_definitions(self) -> cython.int:
        """Those of the columns behind those of the parameters."""
        if self.left_behind == 0:
            return self._end(ERROR_NONE)
        self.left = self.left_behind
        self.left_behind = 0
        self.state = COLUMNS
        return 0

    def _defined(self) -> cython.int:
        """The last definition was seen."""
        if self.kind != KIND_PREPARE:
            self.state = ROWS if self.eofs == 0 else COLUMNS_END
        elif self.eofs > 0 or (self.eofs < 0 and self.left_behind > 0):
            self.state = DEFINITIONS_END
        else:
            self._next_definitions()
        return 0

    def _status(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        """OK or EOF: the result is over, and the answer, unless more results follow."""
        status: cython.int = -1
        if c.u8(at) == 0xFE and size <= 5:
            if size == 5:
                status = c.u16le(at + 3)
        else:
            affected: cython.Py_ssize_t = self._number(c, at + 1)
            if affected >= 0 and self._number(c, self.after) >= 0 and c.end - self.after >= 2:
                status = c.u16le(self.after)
            else:
                raise Malformed("mysql", "status cut short", at - c.pos)
            if c.u8(at) == 0 and (self.kind == KIND_QUERY or self.kind == KIND_EXECUTE):
                self.affected = affected if self.affected < 0 else self.affected + affected
            if status & STATUS_SESSION_CHANGED:
                self._session(c, self.after + 4, c.end - at < size)
        self._learn(status)
        if status >= 0 and status & STATUS_MORE_RESULTS and (self.kind == KIND_QUERY or self.kind == KIND_EXECUTE):
            self.state = ANOTHER
            return 0
        return self._end(ERROR_NONE)

    def _learn(self, status: cython.int) -> cython.int:
        """What a status says of how texts are written."""
        if status >= 0:
            self.backslash = status & STATUS_NO_BACKSLASH == 0
            self.ansi_quotes = self.row is not None and status & STATUS_ANSI_QUOTES != 0
            self.escapes_known = True
        return 0

    def _session(self, c: Cursor, at: cython.Py_ssize_t, cut: cython.bint) -> cython.int:
        """What has changed of the session: the schema."""
        #  [info] [length of all]([u8 kind][length][what])...    kind 1: [length][schema]                       OK_Packet
        size: cython.Py_ssize_t = self._number(c, at)
        if size < 0 or size > c.end - self.after:
            return 0
        size = self._number(c, self.after + size)
        at = self.after
        stop: cython.Py_ssize_t = at + size
        if size < 0 or stop > c.end:
            stop = c.end
        while stop - at >= 2:
            kind: cython.int = c.u8(at)
            size = self._number(c, at + 1)
            if size < 0 or size > stop - self.after:
                break
            at = self.after + size
            if kind == 1:
                size = self._number(c, self.after)
                if size >= 0 and size <= at - self.after:
                    self.kept = self._schema(c, self.after, self.after + size)
        return 0

    def _end(self, error_side: cython.int) -> cython.int:
        """The answer is over."""
        self.piece |= ENDS
        self.state = FIRST
        self.error_side = error_side
        self.status = None
        self.sqlstate = None
        if error_side == ERROR_NONE:
            kept = self.kept
            if self.kind == KIND_LOGIN:
                if self.phase == COMMANDS:
                    self.prepared.clear()  # another user on the same connection
                self._agreed()
            elif self.kind == KIND_RESET:
                self.prepared.clear()
            if kept is not None and self.kind != KIND_PREPARE:
                self.namespace = kept if kept != "" else None
        self.kept = None
        return 0

    def _error(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        #  [FF][u16le number]['#'][5 SQLSTATE] text; before the login there may be no SQLSTATE
        if size < 3:
            raise Malformed("mysql", "error cut short", HEAD)
        number: cython.int = c.u16le(at + 1)
        self.logging_in = False
        self._end(ERROR_BOTH)
        self.status = self.words.code(number)
        if c.end - at >= 9 and c.u8(at + 3) == 0x23:
            self.sqlstate = c.take(at + 4, at + 9)
        return 0

    def _answer(self, out: Message) -> cython.int:
        if not self.told:
            return NOTHING
        self.told = False
        out.piece = self.piece
        if self.piece & ENDS == 0:
            return MESSAGE
        out.error_side = self.error_side
        if self.error_side == ERROR_BOTH:
            out.status = self.status
            out.error_type = self.status
            if self.detail and self.sqlstate is not None and self.sqlstate.isalnum():
                out.add("pcap_receiver.mysql.sqlstate", self.sqlstate)
        if self.detail:
            if self.rows >= 0:
                out.add("db.response.returned_rows", self.rows)
            if self.affected >= 0 and self.error_side == ERROR_NONE:
                out.add("pcap_receiver.mysql.affected_rows", self.affected)
        self.rows = -1
        self.affected = -1
        return MESSAGE

    # --- where a packet could begin ---

    def _proves_first(
        self, c: Cursor, at: cython.Py_ssize_t, length: cython.Py_ssize_t, sequence: cython.int
    ) -> cython.int:
        """The first packet to the client: a greeting, or the first of an answer."""
        seen: cython.Py_ssize_t = c.end - at
        if seen <= 0:
            return PERHAPS
        first: cython.int = c.u8(at)
        if first == 0xFF:
            if length < 9 or length > STATUS_SEEN:
                return NO
            if seen < 9:
                return PERHAPS
            if c.u16le(at + 1) < 1000:
                return NO
            if c.u8(at + 3) == 0x23:
                return YES if c.take(at + 4, at + 9).isalnum() else NO
            if not _is_shown(c.take(at + 3, at + (length if length < seen else seen))):
                return NO
            return YES if seen >= length else PERHAPS
        if sequence == 0:
            return self._proves_greeting(c, at, length) if first == 10 else NO
        if first == 0:
            return PERHAPS if length >= 7 and length <= STATUS_SEEN else NO
        if first == 0xFE:
            return PERHAPS if length <= STATUS_SEEN else NO
        if first == 0xFB:
            return PERHAPS if length > 1 and length <= STATUS_SEEN and _is_shown(c.take(at + 1, c.end)) else NO
        # The number of columns stands alone, or with one byte.
        if self._number(c, at) > 0 and length - (self.after - at) <= 1 and length <= 5:
            return PERHAPS
        return PERHAPS if self.phase == COMMANDS and seen >= length else NO

    def _proves_greeting(self, c: Cursor, at: cython.Py_ssize_t, length: cython.Py_ssize_t) -> cython.int:
        if length < 16 or length > STATUS_SEEN:
            return NO
        end: cython.Py_ssize_t = c.find(0, at + 1, c.end)
        if end < 0:
            return PERHAPS if c.end - at < length and _is_shown(c.take(at + 1, c.end)) else NO
        if end == at + 1 or end - at > length - 14 or not _is_shown(c.take(at + 1, end)):
            return NO
        # Behind the thread and half of the salt stands a zero.
        return PERHAPS if c.end - end < 14 else YES if c.u8(end + 13) == 0 else NO

    def _proves_login(self, c: Cursor, at: cython.Py_ssize_t, length: cython.Py_ssize_t) -> cython.int:
        if length < 32 or length > 65535:
            return NO
        if c.end - at < 28:
            return PERHAPS
        flags: cython.longlong = c.u32le(at)
        if flags & CLIENT_PROTOCOL_41 == 0:
            return NO
        return YES if c.take(at + 9, at + 28) == bytes(19) else NO

    def _proves_command(self, c: Cursor, at: cython.Py_ssize_t, length: cython.Py_ssize_t) -> cython.int:
        seen: cython.Py_ssize_t = c.end - at
        if seen <= 0:
            return PERHAPS
        number: cython.int = c.u8(at)
        if number == 0 or (number == COM_QUIT and at + 1 < c.end):
            return NO  # no client sends it (COM_SLEEP), and a compressed packet has a length there; behind QUIT comes nothing
        fixed: cython.Py_ssize_t = self.words.lengths[number]
        if fixed > 0:
            return PERHAPS if length == fixed else NO
        if number == COM_QUERY or number == COM_STMT_PREPARE:
            at += 1
            if number == COM_QUERY and c.end - at >= 2 and c.u8(at) < 0x20 and c.u8(at + 1) == 1:
                return PERHAPS if c.u8(at) > 0 else self._proves_text(c, at + 2)
            return self._proves_text(c, at)
        if number == COM_STMT_EXECUTE:
            if length < 10:
                return NO
            # [u32le statement][u8 flags][u32le 1]
            return PERHAPS if seen < 10 else YES if c.u8(at + 5) <= 15 and c.u32le(at + 6) == 1 else NO
        if number == COM_STMT_BULK_EXECUTE or number == COM_STMT_SEND_LONG_DATA:
            return PERHAPS if length >= 7 else NO
        if number == COM_INIT_DB or (number >= COM_FIELD_LIST and number <= COM_DROP_DB):
            if length < 2 or length > 2 * SCHEMA_SEEN:
                return NO
            stop: cython.Py_ssize_t = at + (length if length < seen else seen)
            if number == COM_FIELD_LIST:
                end: cython.Py_ssize_t = c.find(0, at + 1, stop)  # behind the table stands a pattern
                stop = end if end >= 0 else stop
            return PERHAPS if _is_shown(c.take(at + 1, stop)) else NO
        if number == COM_BINLOG_DUMP or number == COM_REGISTER_SLAVE or number == COM_BINLOG_DUMP_GTID:
            return PERHAPS if length >= 11 and length <= LOGIN_SEEN else NO
        if number == COM_CHANGE_USER:
            return PERHAPS if length >= 4 and length <= LOGIN_SEEN and self.phase == COMMANDS else NO
        return NO

    def _proves_text(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        """Whether a statement begins here."""
        while at < c.end and (c.u8(at) == 0x20 or (c.u8(at) >= 9 and c.u8(at) <= 13) or c.u8(at) == 0x28):
            at += 1
        stop: cython.Py_ssize_t = at
        while stop < c.end and stop - at <= VERB_MAX and ((c.u8(stop) | 0x20) >= 0x61 and (c.u8(stop) | 0x20) <= 0x7A):
            stop += 1
        if stop == c.end:
            return PERHAPS
        if stop > at and c.take(at, stop).upper() in VERBS:
            return YES
        # A comment, or a mistake.
        return PERHAPS if _is_shown(c.take(at, c.end if c.end - at < LOOK_MAX else at + LOOK_MAX)) else NO

    def _packed_begins(self, direction: cython.int, c: Cursor) -> cython.bint:
        """Whether a compressed packet begins here: what is inside is of zlib, or is a packet."""
        at: cython.Py_ssize_t = c.pos
        if c.end - at < PACKED_HEAD + HEAD + 1 or c.u8(at + 3) != (0 if direction == TO_SERVER else 1):
            return False
        size: cython.Py_ssize_t = c.u24le(at)
        whole: cython.Py_ssize_t = c.u24le(at + 4)
        at += PACKED_HEAD
        if whole > 0:
            return size > 8 and size < whole + 64 and c.u8(at) == 0x78 and c.u8(at + 1) in ZLIB_LEVELS
        inner: cython.Py_ssize_t = HEAD + c.u24le(at)
        if inner > size or c.u8(at + 3) != (0 if direction == TO_SERVER else 1) or inner == HEAD:
            return False
        if inner != size and (size > c.end - at or not self.packed):
            return False
        if direction == TO_SERVER:
            return self._proves_command(c, at + HEAD, inner - HEAD) != NO
        return self._proves_first(c, at + HEAD, inner - HEAD, 1) != NO

    # --- compressed packets ---

    def _learn_framing(self, c: Cursor) -> cython.bint:
        """Whether a command shows if packets are compressed, where the login was not seen."""
        seen: cython.Py_ssize_t = c.end - c.pos
        if self._packed_begins(TO_SERVER, c):
            self._begin_packed()
        elif seen >= PACKED_HEAD + HEAD + 1 or (seen > HEAD and seen == HEAD + c.u24le(c.pos) and c.u8(c.pos + HEAD) != 0):
            self.framing_known = True
            self.framing_guessed = True
        return self.framing_known

    def _begin_packed(self) -> cython.int:
        self.packs = False
        self.packed = True
        self.framing_known = True
        self.framing_guessed = False
        self.to_server = Inner()
        self.to_client = Inner()
        self.stream = Cursor()
        self.inflater = Inflater("mysql", "mysql_inflate", INFLATE_MAX, self.words.limits)
        return 0

    def _packed_frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        if c.end - c.pos < PACKED_HEAD:
            return PACKED_HEAD
        size: cython.Py_ssize_t = c.u24le(c.pos)
        whole: cython.Py_ssize_t = c.u24le(c.pos + 4)
        self.whole = PACKED_HEAD + size
        inner: Inner = self.to_server if direction == TO_SERVER else self.to_client
        if inner.skip >= (whole if whole > 0 else size):
            return PACKED_HEAD  # of all that nothing is wanted
        return self.whole if self.whole < PACKED_SEEN else PACKED_SEEN

    def _unpack(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        inner: Inner = self.to_server if direction == TO_SERVER else self.to_client
        stream: Cursor = self.stream
        rest: cython.Py_ssize_t = self.whole - (c.end - c.pos)
        size: cython.Py_ssize_t = self.whole - PACKED_HEAD
        whole: cython.Py_ssize_t = c.u24le(c.pos + 4)
        if rest > 0:
            self.skip = rest
        if inner.skip >= (whole if whole > 0 else size):
            inner.passed_over(whole if whole > 0 else size)
            return self._under_way(direction, out)
        if whole == 0:
            stream.set(c.buf, c.pos + PACKED_HEAD, c.end)
            inner.feed(stream)
            inner.missing = rest
        else:
            self.inflater.feed(inner, stream, c.take(c.pos + PACKED_HEAD, c.end), whole, rest > 0)
        filled: cython.int = self._next(direction, ts_ns, out)
        return self._under_way(direction, out) if filled == NOTHING else filled

    def _under_way(self, direction: cython.int, out: Message) -> cython.int:
        """More has come of a message that has begun."""
        if direction == TO_SERVER:
            if not self.unfinished:
                return NOTHING
            self.unfinished = self.to_server.skip > 0
            out.piece = 0 if self.unfinished else ENDS
            return MESSAGE
        if self.state == FIRST or self.state == PASSING:
            return NOTHING
        out.piece = 0
        return MESSAGE

    def _next(self, direction: cython.int, ts_ns: cython.longlong, out: Message) -> cython.int:
        """The next message inside, and whether there may be more."""
        inner: Inner = self.to_server if direction == TO_SERVER else self.to_client
        stream: Cursor = self.stream
        outer: cython.Py_ssize_t = self.skip
        answers: cython.bint = self.state != FIRST and self.state != PASSING
        whole: cython.Py_ssize_t = self.whole
        filled: cython.int
        self.skip = 0
        self.inside = True
        try:
            filled = inner.next(self, direction, stream, ts_ns, out)
        finally:
            self.inside = False
            self.skip = outer
            self.whole = whole
        if filled > 0:
            left: cython.Py_ssize_t = stream.end - stream.pos + inner.missing
            if direction == TO_SERVER and out.piece & ENDS and inner.skip > left:
                out.piece ^= ENDS
                self.unfinished = True
            return SEVERAL if left != 0 else MESSAGE
        if filled < 0 or (inner.resync and (direction == TO_SERVER or self.asked.head is not None)):
            raise Malformed("mysql", "compressed packets lost", 0)
        if inner.resync and answers:
            # Its end is among what was not inflated.
            out.piece = ENDS
            return MESSAGE
        return NOTHING


def _is_shown(text: bytes) -> cython.bint:
    """Whether it is text for people: no control characters."""
    return len(text.translate(None, _CONTROLS)) == len(text)


_CONTROLS = bytes(b for b in range(32) if b not in (9, 10, 13))


def rows(shared: Shared) -> tuple[Protocol, ...]:
    """MariaDB is read as MySQL; it has a row of its own for its telemetry, which its greeting chooses."""
    words = Vocabulary(shared)
    mysql = Protocol("mysql", "mysql", partial(MysqlDecoder, words), ports=(3306,), client_only=True)
    mariadb = Protocol("mariadb", "mariadb", partial(MysqlDecoder, words), client_only=True, probed=False)
    words.mariadb = mariadb
    return mysql, mariadb
