"""Kafka: requests and responses of every kind and version, read by the layouts of `kafka_names.py`; records are counted, not shown.

Room: l7; its frames are messages (`prefixed.py`). Sources: Apache Kafka, "Protocol Guide"; KIP-482 (flexible versions); "Message
Format" (records).

    request:  [i32 length][i16 api key][i16 version][i32 correlation id][string client id] tagged fields if flexible, body
    response: [i32 length][i32 correlation id] tagged fields if flexible, except of ApiVersions, body
    string: [i16 length, -1: null] bytes, or flexible [uvarint length + 1] bytes     array: [i32 count], or [uvarint count + 1]
    batch:  [i64 offset][i32 length][i32 epoch][u8 magic 2][u32 crc][i16 attributes] 34 bytes [i32 records] record ...
    record: [varint length][u8][varint][varint][varint key][varint value][varint headers] ([varint name][varint value]) ...

Response and request meet by the correlation id. A message is read in one walk through its layout; of one that is longer than a
window the walk is kept and goes on in the next, and records that lie beyond it are passed over by count.
"""

from __future__ import annotations

import re
import zlib
from functools import partial
from typing import Any

import cython

from receiver.l7.inflate import decompressors
from receiver.l7.kafka_names import APIS, ERRORS, PROGRAMS
from receiver.l7.levels import Positions
from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Endpoints, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, YES
    from receiver.wire.records import BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, TO_CLIENT, TO_SERVER, VANTAGE_SERVER

# Of a message so much is seen together; more is read window by window.
WINDOW = 16384
# A broker takes requests of 100 MB (socket.request.max.bytes); a length that is more than this proves nothing.
FRAME_MAX = 268435456
# [length][api key][version][correlation id][client id's length]
HEAD = 14
# Of a message that begins behind a hole and does not end in its segment so much is seen.
ALONE_MIN = 256
# A name of a topic has 249 bytes at most; of a longer string nothing is read.
NAME_MAX = 255
# Layouts are nested five deep at most.
DEPTH_MAX = 12
# A wait that a client asks for, from which on its request may outlast any timeout; and its answer is no news.
LONG_WAIT_MS = 10000
# A batch's head, from its offset to the number of its records; of the older formats up to the attributes.
BATCH_HEAD = 61
ENTRY_HEAD = 18
# Of one message so many records are looked at for their context, so many headers of each, and so many contexts become links.
RECORDS_READ = 64
HEADERS_READ = 32
LINKS_MAX = 32
# Of a compressed batch so much is inflated.
INFLATE_MAX = 65536

# Names of topics and of groups that are told apart (a series each at most), clients, ids of topics, kinds that no release has.
TOPICS_MAX = 4096
GROUPS_MAX = 1024
CLIENTS_MAX = 1024
IDS_MAX = 16384
KINDS_MAX = 64

# Kinds of requests, by their number.
PRODUCE = 0
FETCH = 1
SASL_HANDSHAKE = 17
API_VERSIONS = 18
SHARE_FETCH = 78
UNSUPPORTED_VERSION = 35

# Those that are called otherwise than by their own name, and what they are by the conventions (messaging.operation.type).
OPERATIONS = {
    "Produce": ("send", "send"),
    "Fetch": ("poll", "receive"),
    "ShareFetch": ("poll", "receive"),
    "OffsetCommit": ("commit", "settle"),
}
SETTLES = ("TxnOffsetCommit", "ShareAcknowledge")
# Whose answer waits for others: as long as a rebalance takes.
WAITING = ("JoinGroup", "SyncGroup")
# Who says that the client is of the group: as a member, or by what it has read for it.
MEMBERS = (
    "OffsetCommit",
    "JoinGroup",
    "SyncGroup",
    "Heartbeat",
    "ConsumerGroupHeartbeat",
    "ShareGroupHeartbeat",
    "ShareFetch",
    "StreamsGroupHeartbeat",
)

# Operations and marks of programs, as the table in `kafka_names.py` has them.
OP_END = 0
OP_FIXED = 1
OP_STRING = 2
OP_COMPACT_STRING = 3
OP_BYTES = 4
OP_COMPACT_BYTES = 5
OP_ARRAY = 6
OP_COMPACT_ARRAY = 7
OP_RUN = 8
OP_COMPACT_RUN = 9
OP_MAYBE = 10
OP_TAGS = 11
OP_NUMBER16 = 12
OP_NUMBER32 = 13
OP_NUMBER64 = 14
OP_UUID = 15
IS_TOPIC = 1
IS_GROUP = 2
IS_RECORDS = 3
IS_ERROR = 4
IS_ACKS = 5
IS_WAIT = 6
IS_REPLICA = 7
IS_EPOCH = 8
IS_THROTTLE = 9
IS_PARTITION = 10
IS_OFFSET = 11
IS_TOPIC_ID = 12
IS_NAMED_ID = 13
IS_TAGGED_REPLICA = 14
IS_POSITION = 15

# What became of a walk: it came to its end, wants more bytes from `at` on, wants nothing of the next `over`, or met what cannot be.
WALKED = 0
WAITS = 1
PASSES = 2
BROKEN = 3

_NO_ID = bytes(16)
_COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")


@cython.cclass
class Kind:
    """A kind of request. `programs` and `answers`: the layouts by version; `flexible` and `flexible_answer`: the first version
    whose header has tagged fields."""

    def __init__(
        self, name: str, highest: int, flexible: int, flexible_answer: int, programs: list[bytes], answers: list[bytes]
    ) -> None:
        self.operation, self.type = OPERATIONS.get(name, (snake(name), "settle" if name in SETTLES else None))
        self.spans = name in OPERATIONS
        self.waits = name in WAITING
        self.member = name in MEMBERS
        self.highest = highest
        self.flexible = flexible
        self.flexible_answer = flexible_answer
        self.programs = programs
        self.answers = answers


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Names(Interned):
    """Names of topics, groups and clients."""

    def make(self, name: bytes) -> Any:
        return None if len(name) > NAME_MAX else Interned.make(self, name)


@cython.cclass
class Tables:
    """What all connections share."""

    def __init__(self, shared: Shared | None = None) -> None:
        if shared is None:
            shared = Shared()
        limits = shared.limits
        propagators = shared.settings.traces.propagators
        self.context: TraceContext | None = TraceContext(propagators) if propagators else None
        self.limits = limits
        limits.setdefault("kafka_inflate", 0)
        self.topics = Names("kafka_topics", TOPICS_MAX, limits)
        self.groups = Names("kafka_groups", GROUPS_MAX, limits)
        self.clients = Names("kafka_clients", CLIENTS_MAX, limits)
        self.ids = Interned("kafka_topic_ids", IDS_MAX, limits, forgets=True)
        self.unknown = Interned("kafka_kinds", KINDS_MAX, limits, "_OTHER")
        self.kinds: list[Kind | None] = [None] * (APIS[len(APIS) - 1][0] + 1)
        for number, name, highest, flexible, flexible_answer, programs, answers in APIS:
            self.kinds[number] = Kind(
                name, highest, flexible, flexible_answer, [PROGRAMS[i] for i in programs], [PROGRAMS[i] for i in answers]
            )
        self.levels = shared.levels
        self.server_side = shared.settings.messaging.server_side
        self.versions_answer = bytes((OP_NUMBER16 | IS_ERROR << 4, OP_END))
        # By the code + 1; what may be tried again is less bad than what may not.
        self.errors: list[str | None] = [None] * (ERRORS[len(ERRORS) - 1][0] + 2)
        self.mild = bytearray(len(self.errors))
        for code, text, retry in ERRORS:
            self.errors[code + 1] = text
            self.mild[code + 1] = retry
        self.decompressors = decompressors() if shared.settings.kafka.record_headers else {}
        self.walk = Walk(self)
        self.joined = Cursor()

    def is_mild(self, code: cython.Py_ssize_t) -> cython.bint:
        return code >= -1 and code + 1 < len(self.mild) and self.mild[code + 1] != 0

    def error(self, code: cython.Py_ssize_t) -> str:
        text: str | None = self.errors[code + 1] if code >= -1 and code + 1 < len(self.errors) else None
        return "_OTHER" if text is None else text

    def unknown_kind(self, number: cython.int) -> str:
        """What a kind is called that no release has."""
        found: str | None = self.unknown.by_name.get(number)
        if found is None:
            found = self.unknown.add(number, f"api_{number}")
        return found


@cython.no_gc
@cython.cclass
class Walk:
    """One way through the layout of a message, and what was found on it. `run` goes as far as the bytes in the window allow."""

    def __init__(self, tables: Tables) -> None:
        self.tables: Tables = tables
        self.context: TraceContext | None = tables.context
        self.topics: Interned = tables.topics
        self.groups: Interned = tables.groups
        self.stack: list[int] = [0] * (2 * DEPTH_MAX)
        self.detail = True
        self.dry = False  # only to see whether it can be walked
        self.begin(b"\0")

    def begin(self, program: bytes) -> cython.int:
        self.program = program
        self.p = 0
        self.body = 0
        self.left = 0
        self.depth = 0
        self.at = 0
        self.over = 0
        self.number = 0
        # Of a walk that is kept: bytes that are still to be seen, those that were seen and not read; whose message it is.
        self.rest = 0
        self.tail: bytes | None = None
        self.key = -1
        self.note = 0
        # Bytes of records that are to come.
        self.blob = 0
        # What was found.
        self.current: str | None = None
        self.topic: str | None = None
        self.topics_seen = 0
        self.group: str | None = None
        self.groups_seen = 0
        self.error = 0
        self.acks = -1
        self.wait = 0
        self.replica = -1
        self.epoch = -1
        self.throttle = 0
        self.partitions = 0
        self.partition = 0
        self.offset = -1
        # Where to put the offsets that a fetch asks for, and the ends that its answer tells.
        self.positions: Positions | None = None
        self.answers = False
        self.has_records = False
        self.moved: str | None = None
        self.moved_seen = 0
        self.messages = 0
        self.uncounted = False
        self.compression = 0
        self.records_read = 0
        self.trace: bytes | None = None
        self.joined = False
        self.tracestate = b""
        self.sampled = -1
        self.links: list[bytes] | None = None
        return 0

    def run(self, c: Cursor, stop: cython.Py_ssize_t) -> cython.int:
        """Go on from `at`; the message ends at `stop`, which may lie beyond the window."""
        program: bytes = self.program
        end: cython.Py_ssize_t = c.end if c.end < stop else stop
        at: cython.Py_ssize_t = self.at
        p: cython.Py_ssize_t = self.p
        op: cython.int
        kind: cython.int
        n: cython.Py_ssize_t
        state: cython.int
        if self.blob > 0:
            state = self._records(c, stop)
            if state != WALKED:
                return state
            at = self.at
        while True:
            op = program[p]
            kind = op & 15
            if kind == OP_END:
                if op == 0:
                    self.at = at
                    self.p = p
                    return WALKED
                self.left -= 1
                if self.left > 0:
                    p = self.body
                else:
                    self.depth -= 2
                    self.body = self.stack[self.depth]
                    self.left = self.stack[self.depth + 1]
                    p += 1
                continue
            self.at = at
            self.p = p
            if kind == OP_FIXED:
                n = program[p + 1]
                p += 2
            elif kind == OP_STRING or kind == OP_COMPACT_STRING or kind == OP_BYTES or kind == OP_COMPACT_BYTES:
                if kind == OP_STRING:
                    if end - at < 2:
                        return WAITS if end < stop else BROKEN
                    n = c.u16(at)
                    at += 2
                    if n >= 0x8000:
                        if n != 0xFFFF:
                            return BROKEN
                        n = -1
                elif kind == OP_BYTES:
                    if end - at < 4:
                        return WAITS if end < stop else BROKEN
                    n = c.i32(at)
                    at += 4
                    if n < -1:
                        return BROKEN
                else:
                    state = self._uvarint(c, at, end)
                    if state != WALKED:
                        return WAITS if state == WAITS and end < stop else BROKEN
                    at = self.at
                    n = self.number - 1
                if n > stop - at:
                    return BROKEN
                op >>= 4
                if op == IS_RECORDS:
                    p += 1
                    if n > 0:
                        self.has_records = True
                        if self.moved_seen == 0:
                            self.moved = self.current
                            self.moved_seen = 1
                        elif self.moved is not self.current:
                            self.moved_seen = 2
                        self.blob = n
                        self.at = at
                        self.p = p
                        state = self._records(c, stop)
                        if state != WALKED:
                            return state
                        at = self.at
                    continue
                if op != 0:
                    if n > NAME_MAX:
                        self._name(op, None)
                    elif n > end - at:
                        # `at` and `p` of this operation are kept: it is done again when all of the name has come.
                        self.at = at - (2 if kind == OP_STRING else 1 if n < 127 else 2)
                        return WAITS
                    elif n > 0 and not self.dry:
                        self._name(op, (self.groups if op == IS_GROUP else self.topics).find(c, at, at + n))
                if n < 0:
                    n = 0
                p += 1
            elif kind == OP_ARRAY or kind == OP_COMPACT_ARRAY or kind == OP_RUN or kind == OP_COMPACT_RUN:
                if kind == OP_ARRAY or kind == OP_RUN:
                    if end - at < 4:
                        return WAITS if end < stop else BROKEN
                    n = c.i32(at)
                    at += 4
                else:
                    state = self._uvarint(c, at, end)
                    if state != WALKED:
                        return WAITS if state == WAITS and end < stop else BROKEN
                    at = self.at
                    n = self.number - 1
                if n > stop - at:
                    return BROKEN  # each element has a byte at least
                if kind == OP_ARRAY or kind == OP_COMPACT_ARRAY:
                    if n > 0:
                        if self.depth >= 2 * DEPTH_MAX:
                            return BROKEN
                        self.stack[self.depth] = self.body
                        self.stack[self.depth + 1] = self.left
                        self.depth += 2
                        self.left = n
                        self.body = p + 3
                        p += 3
                    else:
                        p += 3 + (program[p + 1] << 8 | program[p + 2])
                    continue
                n = n * program[p + 1] if n > 0 else 0
                if op >> 4 == IS_POSITION and self.positions is not None:
                    self._drop_positions(c, at, n, end)
                p += 2
            elif kind == OP_MAYBE:
                if end == at:
                    return WAITS if end < stop else BROKEN
                p += 3 if c.u8(at) < 0x80 else 3 + (program[p + 1] << 8 | program[p + 2])
                n = 1
            elif kind == OP_TAGS:
                if at < end and c.u8(at) == 0:
                    at += 1
                    p += 1
                    continue
                state = self._tags(c, at, end, op >> 4)
                if state != WALKED:
                    # Tagged fields are small: they are looked at again when more of them has come.
                    self.at = at
                    return WAITS if state == WAITS and end < stop and end - at < WINDOW else BROKEN
                at = self.at
                p += 1
                continue
            else:
                n = 2 if kind == OP_NUMBER16 else 4 if kind == OP_NUMBER32 else 8 if kind == OP_NUMBER64 else 16
                if end - at < n:
                    return WAITS if end < stop else BROKEN
                op >>= 4
                if kind == OP_UUID:
                    self._id(op, c.take(at, at + 16))
                elif kind == OP_NUMBER16:
                    self._number(op, c.u16(at))
                elif kind == OP_NUMBER32:
                    self._number(op, c.i32(at))
                else:
                    self._number(op, c.i64(at))
                p += 1
            if n > end - at:
                if n > stop - at:
                    return BROKEN
                # All of it lies in the window or beyond; none of it is read.
                self.over = n - (end - at)
                self.at = end
                self.p = p
                return PASSES
            at += n

    def _uvarint(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """`number` is the one at `at`, and `at` is behind it; one of more than five bytes is BROKEN."""
        shift: cython.int = 0
        value: cython.Py_ssize_t = 0
        byte: cython.Py_ssize_t
        while shift < 35:
            if at >= end:
                return WAITS
            byte = c.u8(at)
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.number = value
                self.at = at
                return WALKED
            shift += 7
        return BROKEN

    def _tags(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, mark: cython.int) -> cython.int:
        """Tagged fields: [uvarint count] ([uvarint tag][uvarint length] bytes) ..."""
        state: cython.int = self._uvarint(c, at, end)
        if state != WALKED:
            return state
        count: cython.Py_ssize_t = self.number
        while count > 0:
            state = self._uvarint(c, self.at, end)
            if state != WALKED:
                return state
            tag: cython.Py_ssize_t = self.number
            state = self._uvarint(c, self.at, end)
            if state != WALKED:
                return state
            if self.number > end - self.at:
                return WAITS
            if mark == IS_TAGGED_REPLICA and tag == 1 and self.number >= 4:
                self.replica = c.i32(self.at)
            self.at += self.number
            count -= 1
        return WALKED

    def _name(self, mark: cython.int, name: str | None) -> cython.int:
        if mark == IS_TOPIC:
            self.current = name
            if self.topics_seen == 0:
                self.topic = name
                self.topics_seen = 1
            elif name is not self.topic or name is None:
                self.topics_seen = 2
        elif mark == IS_GROUP:
            if self.groups_seen == 0:
                self.group = name
                self.groups_seen = 1
            elif name is not self.group:
                self.groups_seen = 2
                self.group = None
        elif mark == IS_POSITION:
            self.current = name  # of which partitions are no longer fetched
        return 0

    def _id(self, mark: cython.int, ident: bytes) -> cython.int:
        ids: Interned = self.tables.ids
        if self.dry or ident == _NO_ID:
            return 0
        if mark == IS_TOPIC_ID:
            return self._name(IS_TOPIC, ids.by_name.get(ident))
        if mark == IS_POSITION:
            return self._name(IS_POSITION, ids.by_name.get(ident))
        if mark == IS_NAMED_ID and self.current is not None and ids.by_name.get(ident) is not self.current:
            ids.drop(ident)
            ids.add(ident, self.current)
        return 0

    def _number(self, mark: cython.int, value: cython.Py_ssize_t) -> cython.int:
        if mark == IS_ERROR:
            if value != 0:
                self._worse(value)
        elif mark == IS_PARTITION:
            self.partitions += 1
            self.partition = value
        elif mark == IS_OFFSET:
            self.offset = value
        elif mark == IS_POSITION:
            if self.positions is not None and self.current is not None:
                self._position(self.current, value)
        elif mark == IS_ACKS:
            self.acks = value
        elif mark == IS_WAIT:
            self.wait = value
        elif mark == IS_REPLICA:
            self.replica = value
        elif mark == IS_EPOCH:
            self.epoch = value
        elif mark == IS_THROTTLE:
            self.throttle = value
        return 0

    def _position(self, topic: str, offset: cython.Py_ssize_t) -> cython.int:
        if self.answers:
            return self.positions.tell(topic, self.partition, offset)
        if self.epoch <= 0 and self.partitions == 1:
            self.positions.begin()  # all that is wanted is said from here on
        return self.positions.ask(topic, self.partition, offset)

    def _drop_positions(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """[i32 partition] of the current topic, which the client fetches no longer."""
        if size > end - at or self.current is None:
            return self.positions.begin()  # which ones cannot be told
        while size >= 4:
            self.positions.drop(self.current, c.i32(at))
            at += 4
            size -= 4
        return 0

    def _worse(self, code: cython.Py_ssize_t) -> cython.int:
        """Keep the worst error: one that cannot be tried again before one that can, else the first."""
        if code >= 0x8000:
            code -= 0x10000
        if self.error == 0 or (self.tables.is_mild(self.error) and not self.tables.is_mild(code)):
            self.error = code
        return 0

    # --- records ---

    def _records(self, c: Cursor, stop: cython.Py_ssize_t) -> cython.int:
        """Batch after batch, of `blob` bytes from `at` on."""
        end: cython.Py_ssize_t = c.end if c.end < stop else stop
        while self.blob > 0:
            at: cython.Py_ssize_t = self.at
            n: cython.Py_ssize_t = self.blob
            if n >= ENTRY_HEAD:
                if end - at < ENTRY_HEAD:
                    return WAITS
                size: cython.Py_ssize_t = c.i32(at + 8) + 12
                magic: cython.int = c.u8(at + 16)
                if size < ENTRY_HEAD or magic > 2:
                    self.uncounted = True  # nothing that is known; what follows cannot be found
                elif size <= n:
                    if magic < 2:
                        if c.u8(at + 17) & 7:
                            self.uncounted = True  # a batch of the older formats, inside of which they are
                        self.messages += 1
                    elif size < BATCH_HEAD:
                        self.uncounted = True
                    elif end - at < BATCH_HEAD:
                        return WAITS
                    else:
                        self._batch(c, at, size, end)
                    n = size
                # One that is longer than the rest was cut by the broker; the client asks for it again.
            self.blob -= n
            if n > end - at:
                self.over = n - (end - at)
                self.at = end
                return PASSES
            self.at = at + n
        return WALKED

    def _batch(
        self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.int:
        attributes: cython.int = c.u16(at + 21)
        count: cython.Py_ssize_t = c.i32(at + 57)
        if attributes & 0x20:
            return 0  # markers of transactions
        if count < 0 or (count > size and not attributes & 7):
            self.uncounted = True
            return 0
        self.messages += count
        if self.messages == 1 and self.offset < 0:
            self.offset = c.i64(at)
        if self.dry or self.context is None or not self.detail or self.records_read >= RECORDS_READ:
            return 0
        if attributes & 7:
            self.compression = attributes & 7
            if self.tables.decompressors and size <= end - at:
                return self._inflate(c, at + BATCH_HEAD, at + size, count)
            return 0
        return self._contexts(c, at + BATCH_HEAD, at + size if at + size < end else end, count)

    def _inflate(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.int:
        make = self.tables.decompressors.get(self.compression)
        if make is None:
            return 0
        try:
            made: bytes = make(c.take(at, end), INFLATE_MAX + 1)
        except (zlib.error, ValueError, OSError, EOFError, RuntimeError):
            return 0  # who sent it will hear of it
        if len(made) > INFLATE_MAX:
            self.tables.limits["kafka_inflate"] += 1
        inside = Cursor(made)
        return self._contexts(inside, 0, inside.end, count)

    def _contexts(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.int:
        """Look into the headers of records for who made them; as far as they are there."""
        while count > 0 and self.records_read < RECORDS_READ:
            count -= 1
            self.records_read += 1
            if not self._varint(c, at, end):
                return 0
            stop: cython.Py_ssize_t = self.at + self.number
            if self.number < 6 or stop > end:
                return 0
            at = self.at + 1
            i: cython.int
            # Its time and its place, key and value.
            for i in range(4):
                if not self._varint(c, at, stop):
                    return 0
                at = self.at
                if i >= 2 and self.number > 0:
                    if self.number > stop - at:
                        return 0
                    at += self.number
            if not self._varint(c, at, stop):
                return 0
            if self.number > 0:
                self._headers(c, self.at, stop, self.number)
            at = stop
        return 0

    def _headers(self, c: Cursor, at: cython.Py_ssize_t, stop: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.int:
        context: TraceContext = self.context
        context.reset()
        found: cython.bint = False
        if count > HEADERS_READ:
            count = HEADERS_READ
        while count > 0:
            count -= 1
            if not self._varint(c, at, stop):
                break
            name: cython.Py_ssize_t = self.at
            name_end: cython.Py_ssize_t = name + self.number
            if self.number < 0 or name_end > stop or not self._varint(c, name_end, stop):
                break
            value: cython.Py_ssize_t = self.at
            at = value if self.number < 0 else value + self.number
            if at > stop:
                break
            if context.offer(c.buf, name, name_end, value, at):
                found = True
        if found and context.result() and len(context.parent_id) == 8:
            flags = bytes((context.flags & 0xFF,))
            one: bytes = context.trace_id + context.parent_id + flags
            if self.trace is None:
                self.trace = one
                self.tracestate = context.tracestate
                self.sampled = context.sampled
            else:
                if self.links is None:
                    self.links = []
                if len(self.links) < LINKS_MAX and one != self.trace and one not in self.links:
                    self.links.append(one)
        return 0

    def _varint(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """`number` is the one at `at`, zigzag, and `at` is behind it; False where it does not end."""
        shift: cython.int = 0
        value: cython.ulonglong = 0
        byte: cython.ulonglong
        while shift < 63 and at < end:
            byte = c.u8(at)
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                half: cython.longlong = value >> 1
                self.number = -half - 1 if value & 1 else half
                self.at = at
                return True
            shift += 7
        return False


@cython.no_gc
@cython.cclass
class KafkaDecoder(Prefixed):
    """One connection's requests and responses. `asking` and `answering` are messages that go on in the next window."""

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables: Tables = Tables() if tables is None else tables
        Prefixed.__init__(self)

    # --- the contract of decoder.py ---

    def begin(self, endpoints: Endpoints) -> cython.int:
        self.caller = endpoints.caller()
        return 0

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.caller = ""
        self.client: str | None = None
        self.positions: Positions | None = None
        self.asking: Walk | None = None
        self.answering: Walk | None = None
        # What the last full fetch asked for, "" for several topics; the group that the client said it is a member of.
        self.session: str | None = None
        self.group: str | None = None
        # Tokens of SASL follow, without the heads of requests.
        self.raw = False
        self.flexible_head = False
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        walk: Walk | None = self.asking if direction == TO_SERVER else self.answering
        if walk is not None:
            return walk.rest if walk.rest < WINDOW else WINDOW
        return Prefixed.frame(self, direction, c)

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        walk: Walk | None = self.asking if direction == TO_SERVER else self.answering
        if walk is None:
            return Prefixed.parse(self, direction, c, ts_ns, out)
        rest: cython.Py_ssize_t = walk.rest - (c.end - c.pos)
        if direction == TO_SERVER:
            self.asking = None
        else:
            self.answering = None
        out.key = walk.key
        out.piece = ENDS
        if walk.tail is None:
            walk.at = c.pos
            return self._walk(direction, walk, c, rest, out)
        whole: bytes = walk.tail + c.take(c.pos, c.end)
        walk.tail = None
        walk.at = 0
        window: Cursor = self.tables.joined
        window.set(whole, 0, len(whole))
        return self._walk(direction, walk, window, rest, out)

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        positions: Positions | None = self.positions
        if direction == TO_SERVER:
            self.asking = None
            self.session = None
            if positions is not None:
                positions.begin()
        else:
            self.answering = None
            if positions is not None:
                positions.doubt()
        return 0

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        if c.pos < c.end and c.u8(c.pos) != 0:
            return NO  # no length is as large
        answer: cython.int = self._chain(direction, c, c.pos)
        # An answer alone is a number and a length.
        return PERHAPS if answer == YES and direction == TO_CLIENT else answer

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        if direction == TO_CLIENT and (self.asked.keyed is None or self.asked.keyed.count == 0):
            return False
        if not Prefixed.resync(self, direction, c):
            return False
        # Numbers in the middle of a message may look like a head. What follows a true one fills its segment, or ends in it.
        return c.end - c.pos >= ALONE_MIN or self.size(direction, c, c.pos) <= c.end - c.pos

    def agree(self, asked: bytes, told: bytes) -> cython.bint:
        return len(asked) >= 12 and len(told) >= 8 and asked[8:12] == told[4:8]

    # --- what prefixed.py asks ---

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if c.end - at < 4:
            return MORE
        n: cython.Py_ssize_t = c.i32(at)
        if n < (0 if self.raw else 8 if direction == TO_SERVER else 4):
            return NOT_OURS
        return n + 4

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return size if size < WINDOW else WINDOW

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        if direction == TO_SERVER:
            return self._request(c, size, out)
        return self._response(c, size, out)

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        if size > FRAME_MAX:
            return NO
        if direction == TO_SERVER:
            return self._proves_request(c, at, size)
        if c.end - at < 8:
            return PERHAPS
        if self.asked.keyed is None:
            return PERHAPS if c.u8(at + 4) < 0x80 else NO
        request: Message | None = self.asked.by_key(c.u32(at + 4))
        return NO if request is None or c.u8(at) != 0 or not self._fits(request, c, at, size) else YES

    def _fits(self, request: Message, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
        """Whether an answer to this request can begin here: as much as there is of it is laid out so."""
        walk: Walk = self.tables.walk
        program: bytes | None = self._answers(request)
        if program is None:
            return True
        walk.begin(program)
        walk.at = at + 8
        if not self._lies(walk, c, at + size, self.flexible_head):
            # Its version was not known, so that of the answer is 0.
            return request.note >> 16 == API_VERSIONS and walk.error == UNSUPPORTED_VERSION
        if request.note >> 16 == API_VERSIONS:
            return size < WINDOW and (walk.error == 0 or walk.error == UNSUPPORTED_VERSION)
        return walk.error < len(self.tables.errors) and walk.error >= -1

    def _answers(self, request: Message) -> bytes | None:
        """The layout of an answer to this request, None where no release laid it out; `flexible_head`: whether its head is."""
        number: cython.Py_ssize_t = request.note >> 16
        version: cython.Py_ssize_t = request.note & 0xFFFF
        kind: Kind | None = self.tables.kinds[number] if number < len(self.tables.kinds) else None
        self.flexible_head = False
        if kind is None:
            return None
        self.flexible_head = version >= kind.flexible_answer and number != API_VERSIONS
        if version < len(kind.answers):
            return kind.answers[version]
        return self.tables.versions_answer if number == API_VERSIONS else None

    def _proves_request(self, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.int:
        """Whether a request begins here: a kind and a version that there are, and the name of a client."""
        seen: cython.Py_ssize_t = c.end - at
        if seen < 6:
            return PERHAPS
        number: cython.int = c.u16(at + 4)
        kind: Kind | None = self.tables.kinds[number] if number < len(self.tables.kinds) else None
        if kind is None:
            return NO
        if seen < 8:
            return PERHAPS
        version: cython.int = c.u16(at + 6)
        if version > kind.highest + 2:
            return NO
        if seen < HEAD:
            return NO if seen > 8 and c.u8(at + 8) >= 0x80 else PERHAPS
        if c.u8(at + 8) >= 0x80 or size < HEAD:
            return NO
        length: cython.Py_ssize_t = c.u16(at + 12)
        at += HEAD
        named: cython.bint = length != 0xFFFF and length != 0
        if not named:
            length = 0
        if length > NAME_MAX or HEAD + length > size:
            return NO
        i: cython.Py_ssize_t = at
        stop: cython.Py_ssize_t = at + length if at + length < c.end else c.end
        while i < stop:
            if c.u8(i) < 0x20 or c.u8(i) == 0x7F:
                return NO
            i += 1
        if at + length > c.end:
            return PERHAPS
        # An answer may look like the head of a request: [length][id as kind and version][count as id][name as client].
        walk: Walk = self.tables.walk
        walk.begin(kind.programs[version] if version < len(kind.programs) else b"")
        walk.at = i
        if not self._lies(walk, c, at - HEAD + size, version >= kind.flexible):
            return NO
        return YES if named or (self.at_home and size < WINDOW) else PERHAPS

    def _lies(self, walk: Walk, c: Cursor, stop: cython.Py_ssize_t, tagged: cython.bint) -> cython.bint:
        """Whether a message that ends at `stop` is laid out as the walk would have it, as far as it can be seen."""
        walk.dry = True
        state: cython.int = WALKED
        if tagged:
            state = walk._tags(c, walk.at, c.end if c.end < stop else stop, 0)
        if state == WALKED:
            if len(walk.program) > 0:
                state = walk.run(c, stop)
            else:
                walk.at = stop  # a version that nobody has laid out yet
        walk.dry = False
        if stop <= c.end:
            return state == WALKED and walk.at == stop
        return state != BROKEN

    # --- requests ---

    def _request(self, c: Cursor, size: cython.Py_ssize_t, out: Message) -> cython.int:
        tables: Tables = self.tables
        if self.raw:
            if size < HEAD or self._proves_request(c, c.pos, size) != YES:
                return NOTHING  # a token, which is a password
            self.raw = False
        number: cython.int = c.u16(c.pos + 4)
        version: cython.int = c.u16(c.pos + 6)
        out.key = c.u32(c.pos + 8)
        note: cython.longlong = number
        note = note << 16 | version
        out.note = note
        kind: Kind | None = tables.kinds[number] if number < len(tables.kinds) else None
        if kind is None:
            out.operation = tables.unknown_kind(number)
            out.metric_only = True
            self._count_malformed("unknown kind")
            return MESSAGE
        out.operation = kind.operation
        out.namespace = kind.type
        out.metric_only = not kind.spans
        out.may_block = kind.waits
        rest: cython.Py_ssize_t = size - (c.end - c.pos)
        walk: Walk = tables.walk if rest == 0 else Walk(tables)
        program: bytes = b"\0"
        if version < len(kind.programs):
            program = kind.programs[version]
        else:
            self._count_malformed("unknown version")
        walk.begin(program)
        walk.detail = self.detail
        walk.key = out.key
        walk.note = note
        if number == FETCH:
            walk.positions = self._consumer()
        walk.at = self._head(walk, kind, version, c, size, out)
        if walk.at < 0:
            self._count_malformed("head")
            return MESSAGE
        return self._walk(TO_SERVER, walk, c, rest, out)

    def _head(
        self, walk: Walk, kind: Kind, version: cython.int, c: Cursor, size: cython.Py_ssize_t, out: Message
    ) -> cython.Py_ssize_t:
        """Read what stands in front of a request's body; where that begins, -1 if it cannot be told."""
        at: cython.Py_ssize_t = c.pos + 12
        if version == 0 and kind.operation == "controlled_shutdown":
            return at
        if c.end - at < 2:
            return -1
        length: cython.Py_ssize_t = c.u16(at)
        at += 2
        if length != 0xFFFF:
            if length > c.end - at:
                return -1
            if length > 0 and (kind.spans or kind.member):
                client: str | None = self.tables.clients.find(c, at, at + length)
                self.client = client
                if client is not None and self.detail and kind.spans:
                    out.add("messaging.client.id", client)
            at += length
        if version >= kind.flexible:
            if walk._tags(c, at, c.end, 0) != WALKED:
                return -1
            at = walk.at
        return at

    def _asked(self, walk: Walk, number: cython.int, out: Message) -> cython.int:
        """All of a request's layout was walked."""
        kind: Kind = self.tables.kinds[number]
        if kind.member and walk.group is not None:
            self.group = walk.group
            if self.client is not None:
                self.tables.levels.join(self.caller, self.client, walk.group)
        if not kind.spans:
            return 0
        target: str | None = walk.topic if walk.topics_seen < 2 else ""
        if number == FETCH or number == SHARE_FETCH:
            if walk.replica >= 0:
                self.positions = None
                # A broker that copies is no consumer.
                out.operation = "replica_fetch"
                out.namespace = ""
                out.metric_only = True
                return 0
            if walk.epoch <= 0:
                self.session = target
            elif walk.topics_seen > 0 and self.session is not None and target is not self.session:
                self.session = ""
            out.target = self.session
            out.summary = walk.group if walk.group is not None else self._group()
            if self.positions is not None:
                self.positions.group = out.summary
                if walk.epoch <= 0 and walk.partitions == 0:
                    self.positions.begin()
            if walk.wait >= LONG_WAIT_MS:
                out.may_block = True
            return 0
        out.target = target
        out.summary = walk.group
        if number == PRODUCE and not walk.uncounted:
            out.messages = walk.messages
        if walk.trace is not None:
            self._join(walk, out)
            if walk.links is not None:
                out.links = b"".join(walk.links) if walk.joined else walk.trace + b"".join(walk.links)
            elif not walk.joined:
                out.links = walk.trace
        return self._told(walk, out)

    def _consumer(self) -> Positions | None:
        """Where this connection's offsets are kept; None beside a broker, unless its side is asked for."""
        if self.positions is None and (self.vantage != VANTAGE_SERVER or self.tables.server_side):
            self.positions = self.tables.levels.positions()
        return self.positions

    def _group(self) -> str | None:
        """The group whose member the connection's client is, as far as it said so, here or on another connection."""
        if self.group is None and self.client is not None:
            return self.tables.levels.group(self.caller, self.client)
        return self.group

    def _join(self, walk: Walk, out: Message) -> cython.int:
        """The context of the first record is the parent, where it is known when the request begins."""
        if out.piece & BEGINS and walk.trace is not None:
            walk.joined = True
            out.trace_id = walk.trace[:16]
            out.parent_id = walk.trace[16:24]
            out.trace_flags = walk.trace[24] if walk.sampled >= 0 else -1
            if len(walk.tracestate) > 0:
                out.tracestate = walk.tracestate
        return 0

    def _told(self, walk: Walk, out: Message) -> cython.int:
        """What only spans say of records."""
        if not self.detail:
            return 0
        if walk.partitions == 1:
            out.add("messaging.destination.partition.id", str(walk.partition))
        if walk.messages > 1 and not walk.uncounted:
            out.add("messaging.batch.message_count", walk.messages)
        if walk.compression > 0:
            out.add("pcap_receiver.kafka.compression", _COMPRESSIONS[walk.compression] if walk.compression <= 4 else "_OTHER")
        return 0

    # --- responses ---

    def _response(self, c: Cursor, size: cython.Py_ssize_t, out: Message) -> cython.int:
        if self.raw and (size < 8 or self.asked.by_key(c.u32(c.pos + 4)) is None):
            return NOTHING  # a token
        out.key = c.u32(c.pos + 4)
        request: Message | None = self.asked.by_key(out.key)
        if request is None:
            return MESSAGE
        program: bytes | None = self._answers(request)
        if program is None:
            return MESSAGE
        rest: cython.Py_ssize_t = size - (c.end - c.pos)
        walk: Walk = self.tables.walk if rest == 0 else Walk(self.tables)
        if request.note >> 16 == API_VERSIONS:
            # A broker that does not know the version answers with version 0; the error is the first in all of them.
            program = self.tables.versions_answer
        walk.begin(program)
        walk.detail = self.detail
        walk.key = out.key
        walk.note = request.note
        walk.answers = True
        if request.note >> 16 == FETCH:
            walk.positions = self.positions
        walk.at = c.pos + 8
        if self.flexible_head:
            if walk._tags(c, walk.at, c.end, 0) != WALKED:
                self._count_malformed("head")
                return MESSAGE
        return self._walk(TO_CLIENT, walk, c, rest, out)

    def _answered(self, walk: Walk, number: cython.int, out: Message) -> cython.int:
        """All of a response's layout was walked."""
        kind: Kind = self.tables.kinds[number]
        request: Message | None = self.asked.by_key(walk.key)
        if walk.error != 0:
            out.error_side = ERROR_BOTH
            out.error_type = self.tables.error(walk.error)
            out.status = out.error_type
        else:
            out.error_side = ERROR_NONE
            if number == SASL_HANDSHAKE and walk.note & 0xFFFF == 0:
                self.raw = True
        if not kind.spans or request is None or request.metric_only:
            return 0
        if number == FETCH or number == SHARE_FETCH:
            if self.positions is not None:
                self.positions.heard_ns = out.last_ns
            if not walk.has_records:
                out.metric_only = walk.error == 0
                request.awaits = walk.error == 0  # there was nothing for as long as it was willing to wait
            else:
                out.target = walk.moved if walk.moved_seen < 2 else ""
                if not walk.uncounted:
                    out.messages = walk.messages
                if walk.trace is not None:
                    out.links = walk.trace if walk.links is None else walk.trace + b"".join(walk.links)
                self._told(walk, out)
        if self.detail:
            messages: cython.longlong = walk.messages if number != PRODUCE else request.messages
            if walk.offset >= 0 and messages == 1 and walk.partitions == 1:
                out.add("messaging.kafka.offset", walk.offset)
            if walk.throttle > 0:
                out.add("pcap_receiver.kafka.throttle_time_ms", walk.throttle)
        return 0

    # --- both ---

    def _walk(self, direction: cython.int, walk: Walk, c: Cursor, rest: cython.Py_ssize_t, out: Message) -> cython.int:
        """Go on through the window's bytes; `rest` more come of the message, which is told as far as it is known."""
        state: cython.int = walk.run(c, c.end + rest)
        number: cython.int = walk.note >> 16
        if state == PASSES:
            if rest > walk.over:
                return self._goes_on(direction, walk, walk.over, rest - walk.over, out)
            # It ends where what is passed over does: nothing may be wanted behind that.
            walk.at = c.end
            state = walk.run(c, c.end)
        elif state == WAITS and rest > 0:
            if walk.at < c.end:
                walk.tail = c.take(walk.at, c.end)
            return self._goes_on(direction, walk, 0, rest, out)
        self.skip = rest
        walk.positions = None  # of a connection that may end
        if direction == TO_SERVER and number == PRODUCE and walk.acks == 0:
            out.expects_reply = False
            out.key = -1
        if state != WALKED:
            self._count_malformed("layout")
            return MESSAGE
        if direction == TO_SERVER:
            self._asked(walk, number, out)
        else:
            self._answered(walk, number, out)
        return MESSAGE

    def _goes_on(
        self, direction: cython.int, walk: Walk, passed: cython.Py_ssize_t, rest: cython.Py_ssize_t, out: Message
    ) -> cython.int:
        """The message goes on in the next window, behind what is passed over."""
        self.skip = passed
        walk.rest = rest
        out.piece &= BEGINS
        if direction == TO_SERVER:
            self.asking = walk
            if walk.acks == 0 and walk.note >> 16 == PRODUCE:
                out.expects_reply = False
                out.key = -1
                walk.key = -1
            self._join(walk, out)
        else:
            self.answering = walk
        return MESSAGE

    def _count_malformed(self, what: str) -> cython.int:
        """Count what breaks the rules; the next frame begins where this one says."""
        key = ("kafka", what)
        self.errors[key] = self.errors.get(key, 0) + 1
        return 0


def rows(shared: Shared) -> tuple[Protocol, ...]:
    return (Protocol("kafka", "kafka", partial(KafkaDecoder, Tables(shared)), ports=(9092,), client_only=True),)
