"""Redis, RESP2 and RESP3: heads are read, values are skipped by count.

Room: l7; follows the contract of `decoder.py`. Source: redis.io, "Redis serialization protocol specification". What
is read of a command is its name, how many arguments it has, and for the few commands that change how the connection
is to be read one or two short arguments; of a reply its type, its length and an error's first word. `frame` takes as
many whole elements as are there, in one pass, and keeps in the decoder where it stands, so a message that comes in
many segments is offered in pieces and nothing of it is buffered but a header line cut in two.

Replies come in the order of the commands, except for what nobody asked for: pushes, messages of subscribed channels,
lines of MONITOR. The few commands whose reply has a meaning for the connection (`KIND_SUBSCRIBE` and others) have their kind in
their `note`. What is not known after a hole is told by content.

Deviations from the specification, each because real programs do it: a map or set may stand in a RESP2 connection; a
command may be an inline line, which a bare LF ends; `*0`, `*-1` and empty lines are commands that get no reply.
Definite aggregates need no stack, whatever their depth: their elements take their place in one count of what is
still to come.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.l7.decoder import Decoder
from receiver.l7.redis_names import Codes, Command, Vocabulary
from receiver.l7.shared import Shared
from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import ANSWERS_BEGUN, MESSAGE, MORE, NO, NOTHING, PERHAPS, SKIP_LOST, SKIP_TO_CLOSE, YES
    from receiver.l7.redis_names import (
        KIND_BLOCKING,
        KIND_CONTAINER,
        KIND_DISCARD,
        KIND_EXEC,
        KIND_HELLO,
        KIND_IMMEDIATE,
        KIND_MULTI,
        KIND_PLAIN,
        KIND_PSYNC,
        KIND_REPLCONF,
        KIND_REPLY,
        KIND_RESET,
        KIND_SCRIPT,
        KIND_SECRET,
        KIND_SELECT,
        KIND_SUBSCRIBE,
        KIND_SYNC,
        KIND_UNSUBSCRIBE,
    )
    from receiver.wire.records import BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, TO_CLIENT, TO_SERVER

# What a count can say besides its value.
NIL = -1
CUT = -2
STREAMED = -3
BAD = -4

# Redis takes INT_MAX elements and 512 MiB (proto-max-bulk-len can be raised).
COUNT_MAX = 2_147_483_647
BULK_MAX = 4_294_967_296
DIGITS_MAX = 10
# As in redis_names.py.
NAME_MAX = 64
CODE_MAX = 32
# Arguments are looked at only if they are this short: subcommands, an index, a script's digest.
LOOK_MAX = 64
# PROTO_INLINE_MAX_SIZE of Redis.
INLINE_MAX = 65536
# A line that has not ended after so many bytes is passed in pieces (MONITOR shows whole commands).
LINE_MAX = 1024
# Streamed aggregates inside one another; definite ones need no stack.
LEVELS_MAX = 32
# Indexes have no limit but the memory of the server; more than this says nothing to anybody.
DATABASES_MAX = 1024
# Items that detection and resynchronisation look at, and how long a line may be there.
PROBE_ITEMS = 8
PROBE_LINE = 512
# What no other protocol that says -ERR would say.
TELLING_ERRORS = (b"ERR unknown command", b"ERR wrong number of arg", b"ERR Protocol error")
# What the server says of a command that breaks the protocol's rules, before it closes (`setProtocolError` in Redis' networking.c).
PROTOCOL_ERROR = b"ERR Protocol error"

# The first element of what belongs to publish and subscribe, and how many elements it has.
MESSAGES = {b"message": 3, b"pmessage": 4, b"smessage": 3}
CONFIRMATIONS = {
    name.lower().encode(): name
    for name in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
}

# 1: may stand in a name; 2: a letter; 4: a digit; 8: begins a reply; 16: printable ASCII or space; 32: a capital
# letter.
_CLASSES = bytes(
    (1 if chr(i).isascii() and (chr(i).isalnum() or chr(i) in "._-") else 0)
    | (2 if chr(i).isascii() and chr(i).isalpha() else 0)
    | (4 if 0x30 <= i <= 0x39 else 0)
    | (8 if chr(i) in "+-:$*_#,(!=~%>|" else 0)
    | (16 if 0x20 <= i <= 0x7E else 0)
    | (32 if 0x41 <= i <= 0x5A else 0)
    for i in range(256)
)
_DATABASES = [str(i) for i in range(DATABASES_MAX)]


class RedisDecoder(Decoder):
    """One connection's RESP.

    `words` is shared by all connections. `subscriptions` is -1 while it is not known whether channels are subscribed.
    """

    def __init__(self, words: Vocabulary | None = None) -> None:
        self.words = words if words is not None else Vocabulary()
        Decoder.__init__(self)

    # --- the contract of decoder.py ---

    def reset(self) -> cython.int:
        Decoder.reset(self)
        self.replication = False
        # What the last frame was: bytes of it that follow, whether it is told of, BEGINS and ENDS.
        self.rest = 0
        self.told = False
        self.piece = 0
        self.after = 0
        # The command that is being read.
        self.command: Command = self.words.other
        self.arguments = 0
        self.arguments_left = 0
        # A command is being read of which nothing was told; and, where it broke a rule, what it was: the server's answer shows
        # whether it was one.
        self.untold = False
        self.broken: Command | None = None
        self.first_argument: bytes | None = None
        self.second_argument: bytes | None = None
        self.inline_seen = False
        self.arrays_seen = False
        # What the commands so far have done to the connection.
        self.database: str | None = _DATABASES[0]
        self.database_queued: str | None = None
        self.in_multi = False
        self.subscribes_in_multi = False
        self.replies_off = False
        self.skip_next = False
        self.subscriptions = 0
        self.resp3 = False
        # The reply that is being read: elements still to come, -1 in a streamed aggregate; those of the aggregates
        # around it.
        self.inside = False
        self.left = 0
        self.levels: list[int] = []
        self.in_line = False
        self.in_chunks = False
        self.opened = False
        self.first = 0
        self.size = 0
        self.error_at = -1
        self.aside = False  # a push: it answers no request
        self.confirms = False  # it confirms a subscription
        self.claims = 0  # confirmations that the command will get, of which this is the first
        self.confirming = ""  # the command that they confirm
        self.confirmations_left = 0  # that are still to come
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        if self.replication:
            return 1
        if direction == TO_SERVER:
            self.untold = self.arguments_left == 0
            n: cython.Py_ssize_t = self._read_command(c)
            self.untold = False
            return n
        return self._read_reply(c)

    def begun(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        if direction == TO_CLIENT or self.broken is None:
            return NOTHING
        out.operation = self.broken.operation
        self.broken = None
        self.skip = SKIP_LOST
        return MESSAGE

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        if self.replication and not self.told:
            self.skip = SKIP_TO_CLOSE
            return NOTHING
        self.skip = self.rest
        if not self.told:
            return NOTHING
        self.told = False
        out.piece = self.piece
        if direction == TO_SERVER:
            if self.piece & BEGINS:
                self._request(out)
        else:
            self._response(c, out)
        if self.replication:
            out.piece |= ENDS  # of what is replicated nothing is read, and the rest of this message is not told from it
        return MESSAGE

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        self.subscriptions = -1
        self.told = False
        if direction == TO_SERVER:
            if self.untold:
                self.untold = False
                self.broken = self.command if self.piece & BEGINS else self.words.other
            self.arguments_left = 0
            self.database = None
            self.database_queued = None
            self.skip_next = False
        else:
            # The matcher gives up all that waits: their replies, should they still come, are nobody's.
            self.inside = False
            self.in_line = False
            self.in_chunks = False
            self.levels.clear()
            self.confirmations_left = 0
            waits: Message | None = self.asked.head
            while waits is not None:
                if waits.note == KIND_SELECT or waits.note == KIND_EXEC or waits.note == KIND_RESET:
                    self.database = None  # whether it did what it asked for is not known
                waits = waits.next
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        if self.replication:
            return True
        if c.pos >= c.end:
            return False
        if direction == TO_CLIENT:
            self.subscriptions = -1
            return self._reply_starts(c)
        self.database = None  # joined late: which one was selected is not known
        if _CLASSES[c.u8(c.pos)] & 2:
            # Between arrays, a line with a command's name is a piece of some value.
            return (self.inline_seen or not self.arrays_seen) and self._inline_starts(c) == YES
        started: cython.int = self._command_starts(c)
        if started > 0:
            self.arrays_seen = True  # cut: what comes next is its name, and no command in a line
        return started > 1

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        if c.pos >= c.end:
            return PERHAPS
        if direction == TO_CLIENT:
            return self._probe_reply(c)
        if _CLASSES[c.u8(c.pos)] & 2:
            # PING of another protocol looks the same: the reply decides.
            return PERHAPS if self._inline_starts(c) != NO else NO
        started: cython.int = self._command_starts(c)
        # An array of values looks like a command with a strange name: the other side decides.
        return YES if started == 3 else PERHAPS if started > 0 else NO

    # --- frames: commands ---

    def _read_command(self, c: Cursor) -> cython.Py_ssize_t:
        #  *<n>\r\n  n x ( $<size>\r\n <bytes> \r\n )      RESP, "Sending commands to a Redis server"
        buf: bytes = c.buf
        base: cython.Py_ssize_t = c.pos
        end: cython.Py_ssize_t = c.end
        at: cython.Py_ssize_t = base
        size: cython.Py_ssize_t
        self.rest = 0
        self.piece = 0
        if self.arguments_left == 0:
            if c.u8(at) != 0x2A:
                return self._read_inline(c)
            n: cython.Py_ssize_t = self._count(c, at + 1)
            if n == CUT:
                return MORE
            if n > COUNT_MAX:
                raise Malformed("redis", "too many arguments", 0)
            at = self.after
            if n <= 0:
                if n == BAD or n == STREAMED:
                    raise Malformed("redis", "not a count", 1)
                self.told = False
                return at - base
            if at >= end:
                return MORE
            if buf[at] != 0x24:
                raise Malformed("redis", "not a command", at - base)
            size = self._count(c, at + 1)
            if size == CUT:
                return MORE
            if size < 0 or size > BULK_MAX:
                raise Malformed("redis", "not a command", at - base)
            self.first_argument = None
            self.second_argument = None
            if size == 0 or size > NAME_MAX:
                self.command = self.words.other
                self.arguments_left = n
            else:
                name: cython.Py_ssize_t = self.after
                at = name + size
                if end - at < 2:
                    return MORE
                if buf[at] != 0x0D or buf[at + 1] != 0x0A:
                    raise Malformed("redis", "no end of a string", at - base)
                at += 2
                command: Command = self.words.find(c, name, name + size)
                self.command = command
                self.piece = BEGINS
                if command.looks > 0 and n > 1:
                    if not self._look(c, at, n - 1, command.looks):
                        return MORE
                self.arguments_left = n - 1
            self.arguments = n - 1
            self.arrays_seen = True
            self.piece = BEGINS
        if self.arguments_left > 0:
            at = self._pass_arguments(c, at)
            if at == base:
                return MORE
        if self.arguments_left == 0:
            self.piece |= ENDS
        self.told = True
        return at - base

    def _pass_arguments(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The end of the last argument that is there, of which `rest` may still follow."""
        buf: bytes = c.buf
        end: cython.Py_ssize_t = c.end
        left: cython.Py_ssize_t = self.arguments_left
        while left > 0 and at < end:
            if buf[at] != 0x24:
                raise Malformed("redis", "not an argument", at - c.pos)
            size: cython.Py_ssize_t = self._count(c, at + 1)
            if size == CUT:
                break
            if size < 0 or size > BULK_MAX:
                raise Malformed("redis", "not an argument", at - c.pos)
            left -= 1
            stop: cython.Py_ssize_t = self.after + size
            if stop + 2 > end:
                self.rest = stop + 2 - end
                at = end
                break
            if buf[stop] != 0x0D or buf[stop + 1] != 0x0A:
                raise Malformed("redis", "no end of a string", stop - c.pos)
            at = stop + 2
        self.arguments_left = left
        return at

    def _look(self, c: Cursor, at: cython.Py_ssize_t, arguments: cython.Py_ssize_t, looks: cython.int) -> cython.bint:
        """Copy the first one or two arguments, if they are short; false when they are not all there yet."""
        i: cython.int
        for i in range(looks):
            if i >= arguments:
                break
            if at >= c.end:
                return False
            if c.u8(at) != 0x24:
                raise Malformed("redis", "not an argument", at - c.pos)
            size: cython.Py_ssize_t = self._count(c, at + 1)
            if size == CUT:
                return False
            if size < 0:
                raise Malformed("redis", "not an argument", at - c.pos)
            if size > LOOK_MAX:
                break
            at = self.after
            if c.end - at < size + 2:
                return False
            word: bytes = c.take(at, at + size)
            if i == 0:
                self.first_argument = word
            else:
                self.second_argument = word
            at += size + 2
        return True

    def _read_inline(self, c: Cursor) -> cython.Py_ssize_t:
        #  <word> *( SP <word> ) [CR] LF
        base: cython.Py_ssize_t = c.pos
        b: cython.int = c.u8(base)
        if _CLASSES[b] & 2 == 0 and b != 0x20 and b != 0x0D and b != 0x0A and b != 0x09 and b != 0x22 and b != 0x27:
            raise Malformed("redis", "not a command", 0)
        lf: cython.Py_ssize_t = c.find(0x0A, base, c.end)
        if lf < 0:
            if c.end - base >= INLINE_MAX:
                raise Malformed("redis", "too big an inline request", 0)
            return MORE
        words: list[bytes] = _split_inline(c.take(base, lf))
        self.told = False
        if len(words) > 0:
            name: bytes = words[0]
            if not Vocabulary.is_name(name):
                raise Malformed("redis", "not a command", 0)
            self.inline_seen = True
            self.command = self.words.named(name)
            self.arguments = len(words) - 1
            self.first_argument = words[1] if len(words) > 1 else None
            self.second_argument = words[2] if len(words) > 2 else None
            self.piece = BEGINS | ENDS
            self.told = True
        return lf + 1 - base

    def _count(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The number at `at` up to CRLF; NIL if it is negative, STREAMED for `?`, CUT when the window ends first,
        BAD for anything else. `after` is then where the next line begins."""
        buf: bytes = c.buf
        end: cython.Py_ssize_t = c.end
        if at >= end:
            return CUT
        value: cython.Py_ssize_t = 0
        b: cython.int = buf[at]
        if b < 0x30 or b > 0x39:
            if b == 0x3F:
                at += 1
                value = STREAMED
            elif b == 0x2D:
                at += 1
                value = NIL
            else:
                return BAD
        first: cython.Py_ssize_t = at
        while at < end:
            b = buf[at]
            if b < 0x30 or b > 0x39:
                break
            if at - first >= DIGITS_MAX:
                return BAD
            if value >= 0:
                value = value * 10 + (b - 0x30)
            at += 1
        if at < end and (b != 0x0D or (at == first) != (value == STREAMED)):
            return BAD
        if at + 1 >= end:
            return CUT
        if buf[at + 1] != 0x0A:
            return BAD
        self.after = at + 2
        return value

    # --- frames: replies ---

    def _read_reply(self, c: Cursor) -> cython.Py_ssize_t:
        base: cython.Py_ssize_t = c.pos
        self.rest = 0
        self.piece = 0
        self.error_at = -1
        starts: cython.bint = not self.inside
        if starts:
            b: cython.int = c.u8(base)
            self.aside = False
            self.confirms = False
            self.claims = 0
            if b == 0x3E or (b == 0x2A and not self.resp3 and (self.subscriptions != 0 or self._awaited() != KIND_PLAIN)):
                if not self._recognise(c, b == 0x3E):
                    return MORE
            elif b == 0x7C:
                self.aside = True  # an attribute says something of the reply behind it, or of a push
            elif b == 0x2B:
                self.aside = _is_monitored(c, base + 1)
            elif b == 0x2D:
                if self.broken is not None and self.asked.head is None and c.starts(base + 1, PROTOCOL_ERROR):
                    return ANSWERS_BEGUN
            elif b == 0x0A and self._awaited() == KIND_PSYNC:
                self.told = False  # a master keeps its replica waiting with newlines
                return 1
            self.left = 1
            self.opened = False
            self.first = 0
            self.size = NIL
        at: cython.Py_ssize_t = self._pass_values(c, base)
        if at == base:
            return MORE
        done: cython.bint = self.left == 0
        self.inside = not done
        self.told = not self.aside
        if self.aside:
            return at - base
        if self.confirms:
            # One SUBSCRIBE is answered by a confirmation for each of its channels.
            if self.claims > 0 and starts:
                self.confirmations_left = self.claims
                self.piece = BEGINS
            if done:
                self.confirmations_left -= 1
                if self.confirmations_left == 0:
                    self.piece |= ENDS
        else:
            self.confirmations_left = 0
            if starts:
                self.piece = BEGINS
            if done:
                self.piece |= ENDS
        return at - base

    def _pass_values(self, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take whole elements until the reply ends (`left` is 0) or the window does; the end of the last one, of which
        `rest` may still follow."""
        buf: bytes = c.buf
        end: cython.Py_ssize_t = c.end
        left: cython.longlong = self.left
        while True:
            step: cython.longlong = 1
            if self.in_line:
                lf: cython.Py_ssize_t = c.find(0x0A, at, end)
                if lf < 0:
                    at = end
                    break
                at = lf + 1
                self.in_line = False
            else:
                if at >= end:
                    break
                b: cython.int = buf[at]
                # The reply itself, not an element inside.
                top: cython.bint = left == 1 and not self.opened
                size: cython.Py_ssize_t
                stop: cython.Py_ssize_t
                if self.in_chunks:
                    #  ;<size>\r\n <bytes> \r\n, until ;0\r\n                             RESP3, "Streamed strings"
                    size = self._count(c, at + 1)
                    if size == CUT:
                        break
                    if b != 0x3B or size < 0 or size > BULK_MAX:
                        raise Malformed("redis", "not a chunk", at - c.pos)
                    at = self.after
                    if size > 0:
                        at += size + 2
                        if at > end:
                            self.rest = at - end
                            at = end
                            break
                        continue
                    self.in_chunks = False
                elif b == 0x24 or b == 0x3D or b == 0x21:
                    #  $<size>\r\n <bytes> \r\n; = verbatim, ! error                  RESP, "Bulk strings"
                    size = self._count(c, at + 1)
                    if size == CUT:
                        break
                    if size < 0:
                        if b != 0x24 or size == BAD:
                            raise Malformed("redis", "not a value", at - c.pos)
                        if top:
                            self._open(b, size, -1)
                        at = self.after
                        if size == STREAMED:
                            self.in_chunks = True
                            continue
                    else:
                        if size > BULK_MAX:
                            raise Malformed("redis", "not a value", at - c.pos)
                        stop = self.after + size + 2  # its last two bytes are behind `after`, that is inside the window
                        if stop > end:
                            if top and b == 0x21 and end - self.after <= CODE_MAX:
                                break  # its first word is wanted whole
                            self.rest = stop - end
                            stop = end
                        elif buf[stop - 2] != 0x0D or buf[stop - 1] != 0x0A:
                            raise Malformed("redis", "no end of a string", stop - 2 - c.pos)
                        if top:
                            self._open(b, size, self.after if b == 0x21 else -1)
                        at = stop
                elif b == 0x2A or b == 0x25 or b == 0x7E or b == 0x7C or b == 0x3E:
                    #  *<n>\r\n n x element; % and | have 2n                            RESP, "Arrays"
                    size = self._count(c, at + 1)
                    if size == CUT:
                        break
                    if size > COUNT_MAX or size == BAD or (size == NIL and b != 0x2A) or (b == 0x3E and not top):
                        raise Malformed("redis", "not a value", at - c.pos)
                    if top:
                        self._open(b, size, -1)
                    at = self.after
                    if size == STREAMED or (left < 0 and size > 0):
                        if len(self.levels) >= LEVELS_MAX:
                            raise Malformed("redis", "nested too deep", at - c.pos)
                        # What is left around it once it is over.
                        self.levels.append(-1 if left < 0 else left if b == 0x7C and not top else left - 1)
                        left = -1 if size == STREAMED else size
                        if b == 0x25 or b == 0x7C:
                            left *= 2
                        if left < 0:
                            left = -1
                        continue
                    if size > 0:
                        # Its elements stand in its place; an attribute's before the element that it belongs to.
                        if b == 0x25 or b == 0x7C:
                            size *= 2
                        left += size if b == 0x7C and not top else size - 1
                        if left > COUNT_MAX:
                            raise Malformed("redis", "too many values", at - c.pos)
                        continue
                    if b == 0x7C and not top:
                        continue
                elif b == 0x2E and left < 0:
                    #  .\r\n                                          RESP3, "Streamed aggregated
                    # data types"
                    if end - at < 3:
                        break
                    if not c.starts(at, b".\r\n"):
                        raise Malformed("redis", "not a value", at - c.pos)
                    at += 3
                    left = self.levels.pop()
                    step = 0
                elif _CLASSES[b] & 8:
                    #  +<text>\r\n and all other lines                                 RESP, "Simple strings"
                    stop = c.find(0x0A, at, end)
                    if stop < 0:
                        if end - at < LINE_MAX:
                            break
                        if top:
                            self._open(b, 0, at + 1 if b == 0x2D else -1)
                        self.in_line = True
                        at = end
                        break
                    # The type at `at` is no LF, so there is a byte on both sides: at <= stop - 1, and at + 1 <= stop.
                    if buf[stop - 1] != 0x0D:
                        raise Malformed("redis", "no end of a line", stop - c.pos)
                    if b == 0x3A:
                        if _CLASSES[buf[at + 1]] & 4 == 0 and buf[at + 1] != 0x2D and buf[at + 1] != 0x2B:
                            raise Malformed("redis", "not a number", at - c.pos)
                        if self.confirms and left == 1:
                            self.subscriptions = _small(c, at + 1, stop - 1)
                    if top:
                        self._open(b, 0, at + 1 if b == 0x2D else -1)
                    at = stop + 1
                else:
                    raise Malformed("redis", "not a value", at - c.pos)
            if left > 0:
                left -= step
            while left == 0 and len(self.levels) > 0:
                left = self.levels.pop()
            if left == 0 or self.rest > 0:
                break
        self.left = left
        return at

    def _open(self, first: cython.int, size: cython.Py_ssize_t, error_at: cython.Py_ssize_t) -> cython.int:
        """The reply itself begins: its type, its length, and where an error's code stands."""
        self.opened = True
        self.first = first
        self.size = size
        self.error_at = error_at
        return 0

    def _recognise(self, c: Cursor, push: cython.bint) -> cython.bint:
        """Tell messages of channels and confirmations from replies; false when the first element is not there yet.

        In RESP2 they are arrays like any other: a connection that has subscribed gets no others but PING's.
        """
        n: cython.Py_ssize_t = self._count(c, c.pos + 1)
        if n == CUT:
            return False
        self.aside = push
        if n < 2:
            return True
        at: cython.Py_ssize_t = self.after
        if at >= c.end:
            return False
        if c.u8(at) != 0x24:
            return True
        size: cython.Py_ssize_t = self._count(c, at + 1)
        if size == CUT:
            return False
        if size < 7 or size > 12:  # "message", "punsubscribe"
            return True
        at = self.after
        if c.end - at < size:
            return False
        word: bytes = c.take(at, at + size)
        elements = MESSAGES.get(word)
        if elements is not None:
            if self.subscriptions > 0 or (self.subscriptions < 0 and elements == n):
                self.aside = True
            return True
        name = CONFIRMATIONS.get(word)
        if name is not None and n == 3:
            if self.confirmations_left > 0 and name == self.confirming:
                self.confirms = True
                self.aside = False
                return True
            claimant: Message | None = self._claimant(name)
            if claimant is not None:
                self.confirms = True
                self.aside = False
                self.claims = claimant.kept
                self.confirming = name
            elif push or self.subscriptions != 0:
                self.confirms = True
                self.aside = True
        elif word == b"REPLCONF" and self.subscriptions < 0:
            # A replica's acknowledgement: joined late, and what the master sent was taken for commands.
            self.replication = True
            raise Malformed("redis", "replication joined late", 0)
        return True

    def _claimant(self, name: str) -> Message | None:
        """The command that a confirmation answers. Its name says so, in doubt as well."""
        first: Message | None = self.asked.head
        if first is not None and (first.note == KIND_SUBSCRIBE or first.note == KIND_UNSUBSCRIBE) and first.operation == name:
            return first
        return None

    def _awaited(self) -> cython.longlong:
        """The kind of the command whose reply comes next, if it is a particular one."""
        return KIND_PLAIN if self.asked.head is None else self.asked.head.note

    # --- messages ---

    def _request(self, out: Message) -> cython.int:
        command: Command = self.command
        self.broken = None
        arguments: cython.Py_ssize_t = self.arguments
        expected: cython.bint = not self.replies_off and not self.skip_next
        self.skip_next = False
        out.operation = command.operation
        if command.kind == KIND_CONTAINER:
            if self.first_argument is not None:
                inner: Command | None = command.inner.get(self.first_argument.upper())
                if inner is not None:
                    command = inner
                    arguments -= 1
        if command.kind > KIND_SECRET:
            expected = self._act(command, arguments, expected, out)
        out.namespace = self.database
        out.expects_reply = expected
        if self.detail:
            out.add("db.query.text", command.text(arguments))
        return 0

    def _act(self, command: Command, arguments: cython.Py_ssize_t, expected: cython.bint, out: Message) -> cython.bint:
        """What a particular command does to the connection; whether it is answered."""
        kind: cython.int = command.kind
        name: str = command.operation
        first: bytes | None = self.first_argument
        if kind == KIND_SCRIPT:
            if self.detail and first is not None and _names_script(name, first):
                out.add("db.stored_procedure.name", first)
            return expected
        if kind == KIND_MULTI:
            self.in_multi = True
            self.database_queued = None
            self.subscribes_in_multi = False
            return expected
        if kind == KIND_DISCARD:
            self.in_multi = False
            return expected
        if kind == KIND_EXEC:
            out.note = kind
            out.kept = self.database
            if self.in_multi:
                self.in_multi = False
                if self.database_queued is not None:
                    self.database = self.database_queued
                if self.subscribes_in_multi:
                    self.subscriptions = -1
            return expected
        if kind == KIND_RESET:
            # Replies are on again, but for the one that CLIENT REPLY SKIP took away.
            expected = expected or self.replies_off
            self.replies_off = False
            self.in_multi = False
            self.database = _DATABASES[0]
            out.note = kind
            return expected
        if kind == KIND_IMMEDIATE:
            return expected
        if self.in_multi:
            # Queued: it is answered at once, and done by EXEC.
            if kind == KIND_SELECT:
                self.database_queued = _database(first)
            elif kind == KIND_SUBSCRIBE:
                self.subscribes_in_multi = True
            return expected
        if kind == KIND_BLOCKING:
            out.may_block = True
        elif kind == KIND_SELECT:
            out.note = kind
            out.kept = self.database  # that is selected still if it fails
            self.database = _database(first)
        elif kind == KIND_HELLO or kind == KIND_PSYNC:
            out.note = kind
        elif kind == KIND_SUBSCRIBE or kind == KIND_UNSUBSCRIBE:
            expected = True  # confirmations come even with replies off
            out.note = kind
            out.kept = arguments if arguments > 0 else 1  # so many confirmations
        elif kind == KIND_REPLY:
            mode: bytes = self.second_argument.upper() if self.second_argument is not None else b""
            if mode == b"ON":
                self.replies_off = False
                expected = True
            elif mode == b"OFF":
                self.replies_off = True
                expected = False
            elif mode == b"SKIP":
                self.skip_next = not self.replies_off
                expected = False
        elif kind == KIND_SYNC:
            self.replication = True
            expected = False
        elif kind == KIND_REPLCONF:
            if first is not None and first.upper() == b"ACK":
                self.replication = True
                expected = False
        return expected

    def _response(self, c: Cursor, out: Message) -> cython.int:
        if self.error_at >= 0:
            self._error(c, out)
        elif self.piece & BEGINS and self.opened:
            out.error_side = ERROR_NONE  # its type is the status
        if self.piece & BEGINS:
            if self.asked.head is None:
                self.replies_off = False  # nobody asked: it was refused, or CLIENT REPLY ON was not seen
                return 0
            asked: Message | None = self.asked.next()
            if asked is not None and asked.note > 0:
                self._answered(asked, out)
        return 0

    def _answered(self, asked: Message, out: Message) -> cython.int:
        """What a command did that changes how the connection is to be read."""
        kind: cython.longlong = asked.note
        fails: cython.bint = self.first == 0x2D or self.first == 0x21
        if kind == KIND_SELECT:
            if fails:
                self.database = asked.kept
        elif kind == KIND_EXEC:
            if self.first == 0x2A and self.size >= 0:
                if self.detail and self.size != 1:
                    out.add("db.operation.batch.size", self.size)
            else:
                self.database = asked.kept
        elif fails:
            return 0
        elif kind == KIND_HELLO:
            self.resp3 = self.first == 0x25
        elif kind == KIND_RESET:
            self.subscriptions = 0
            self.resp3 = False
        elif kind == KIND_PSYNC:
            self.replication = True
        return 0

    def _error(self, c: Cursor, out: Message) -> cython.int:
        #  -<CODE> SP <text>\r\n, !<size>\r\n<CODE> SP <text>\r\n
        at: cython.Py_ssize_t = self.error_at
        stop: cython.Py_ssize_t = at
        while stop < c.end and stop - at <= CODE_MAX and c.u8(stop) > 0x20:
            stop += 1
        code: str | None = self.words.codes.named(c.take(at, stop))
        out.error_side = ERROR_BOTH
        out.status = code
        out.error_type = code if code is not None else "_OTHER"
        return 0

    # --- where a message could begin ---

    def _command_starts(self, c: Cursor) -> cython.int:
        """0: no command begins here, 1: perhaps, 2: by its form, 3: by its name as well."""
        at: cython.Py_ssize_t = c.pos
        if c.u8(at) != 0x2A:
            return 0
        n: cython.Py_ssize_t = self._count(c, at + 1)
        if n == CUT:
            return 1
        if n <= 0 or n > COUNT_MAX:
            return 0
        return self._name_starts(c, self.after)

    def _name_starts(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        if at >= c.end:
            return 1
        if c.u8(at) != 0x24:
            return 0
        size: cython.Py_ssize_t = self._count(c, at + 1)
        if size == CUT:
            return 1
        if size <= 0 or size > NAME_MAX:
            return 0
        at = self.after
        i: cython.Py_ssize_t
        for i in range(size):
            if at + i >= c.end:
                return 1
            if _CLASSES[c.u8(at + i)] & (2 if i == 0 else 1) == 0:
                return 0
        if c.end - at - size < 2:
            return 1
        if not c.starts(at + size, b"\r\n"):
            return 0
        name: bytes = c.take(at, at + size)
        if name in CONFIRMATIONS:
            return 2  # in small letters, as the server says it: the other side decides
        name = name.upper()
        return 3 if name in self.words.built_in or b"." in name else 2

    def _inline_starts(self, c: Cursor) -> cython.int:
        """Whether a line with a command stands here."""
        at: cython.Py_ssize_t = c.pos
        stop: cython.Py_ssize_t = at
        while stop < c.end and _CLASSES[c.u8(stop)] & 1:
            stop += 1
            if stop - at > NAME_MAX:
                return NO
        name: bytes = c.take(at, stop).upper()
        if stop == c.end:
            return PERHAPS if any(known.startswith(name) for known in self.words.built_in) else NO
        if name not in self.words.built_in:
            return NO
        lf: cython.Py_ssize_t = c.find(0x0A, at, c.end)
        end: cython.Py_ssize_t = c.end if lf < 0 else lf
        if end - at > PROBE_LINE or b" HTTP/" in c.take(at, end):
            return NO
        while stop < end:
            if _CLASSES[c.u8(stop)] & 16 == 0 and (c.u8(stop) != 0x0D or stop + 1 < end):
                return NO
            stop += 1
        if lf < 0:
            return PERHAPS
        # The name in an array stands on a line of its own as well, and an argument follows.
        return NO if lf + 1 < c.end and c.u8(lf + 1) == 0x24 else YES

    def _reply_starts(self, c: Cursor) -> cython.bint:
        """Whether a whole element stands here, and after it another or nothing."""
        if self._element(c, c.pos) < 2:
            return False
        return self.after >= c.end or _CLASSES[c.u8(self.after)] & 8 != 0

    def _probe_reply(self, c: Cursor) -> cython.int:
        """Other protocols say `+OK` and `-ERR` as well: weak elements are passed until one decides."""
        if self._command_starts(c) == 1:
            return PERHAPS  # cut in a name: it may be a command, with the roles the other way round
        at: cython.Py_ssize_t = c.pos
        item: cython.int
        for item in range(PROBE_ITEMS):  # noqa: B007 - declared, so that the loop is C's
            strength: cython.int = self._element(c, at)
            if strength == 0:
                return NO
            if strength == 3:
                return YES
            if strength == 1 or self.after >= c.end:
                return PERHAPS
            at = self.after
        return PERHAPS

    def _element(self, c: Cursor, at: cython.Py_ssize_t) -> cython.int:
        """0: no element of a reply, 1: cut, 2: one that others use as well, 3: Redis. `after` is where it ends; an
        aggregate's is where its elements begin."""
        b: cython.int = c.u8(at)
        n: cython.Py_ssize_t
        if b == 0x24 or b == 0x3D or b == 0x21:
            n = self._count(c, at + 1)
            if n == CUT:
                return 1
            if n < 0:
                return 3 if b == 0x24 and n == NIL else 2 if b == 0x24 and n == STREAMED else 0
            if n > BULK_MAX:
                return 0
            self.after += n + 2
            if self.after <= c.end and not c.starts(self.after - 2, b"\r\n"):
                return 0
            return 3
        if b == 0x2A or b == 0x25 or b == 0x7E or b == 0x7C or b == 0x3E:
            n = self._count(c, at + 1)
            if n == CUT:
                return 1
            if n <= 0:
                return 0 if n == BAD or (n == NIL and b != 0x2A) else 2 if n == STREAMED else 3
            if n > COUNT_MAX:
                return 0
            following: cython.Py_ssize_t = self.after
            if following >= c.end:
                return 1
            if _CLASSES[c.u8(following)] & 8 == 0:
                return 0
            # What looks like a command is the client's side, seen with the roles the other way round.
            if b == 0x2A and self._name_starts(c, following) == 3:
                self.after = c.end
                return 2
            self.after = following
            return 3
        if _CLASSES[b] & 8 == 0:
            return 0
        return self._line(c, at, b)

    def _line(self, c: Cursor, at: cython.Py_ssize_t, b: cython.int) -> cython.int:
        stop: cython.Py_ssize_t = c.end if c.end - at < PROBE_LINE else at + PROBE_LINE
        i: cython.Py_ssize_t = at + 1
        while i < stop and _CLASSES[c.u8(i)] & 16:
            i += 1
        if i == c.end:
            return 1
        if i + 1 == c.end and c.u8(i) == 0x0D:
            return 1
        if not c.starts(i, b"\r\n"):
            return 0
        self.after = i + 2
        text: bytes = c.take(at + 1, i)
        if b == 0x2B:
            return 3 if text in (b"PONG", b"QUEUED", b"RESET") or text.startswith((b"FULLRESYNC ", b"CONTINUE")) else 2
        if b == 0x2D:
            word: bytes = text.partition(b" ")[0]
            if not Codes.is_code(word):
                # A script may answer any text; a second dash begins lines of other things.
                return 2 if _CLASSES[c.u8(at + 1)] & 2 else 0
            return 3 if word in self.words.telling or text.startswith(TELLING_ERRORS) else 2
        if b == 0x3A:
            digits: bytes = text[1:] if text[:1] in (b"-", b"+") else text
            return 3 if digits.isdigit() else 0
        if b == 0x5F:
            return 2 if len(text) == 0 else 0
        if b == 0x23:
            return 2 if text in (b"t", b"f") else 0
        # A double or a big number.
        return 2 if text.strip(b"0123456789+-.einfa") == b"" and len(text) > 0 else 0


def _database(index: bytes | None) -> str | None:
    """The index as text, always the same object."""
    if index is None or not index.isdigit() or len(index) > 4:
        return None
    number = int(index)
    if number >= DATABASES_MAX:
        return None
    return _DATABASES[number]


def _names_script(command: str, argument: bytes) -> cython.bint:
    """Whether the argument is what the command takes: a digest (SHA-1, 40 hexadecimal digits), the name of a function."""
    if command.startswith("EVALSHA"):
        return len(argument) == 40 and len(argument.strip(b"0123456789abcdefABCDEF")) == 0
    return Vocabulary.is_name(argument)


def _small(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """The count in a confirmation; -1 for what can be none."""
    value: cython.int = 0
    if end - at > 8:
        return -1
    while at < end:
        b: cython.int = c.u8(at)
        if b < 0x30 or b > 0x39:
            return -1
        value = value * 10 + (b - 0x30)
        at += 1
    return value


def _is_monitored(c: Cursor, at: cython.Py_ssize_t) -> cython.bint:
    """Whether a line of MONITOR follows: 1339518083.107412 [0 127.0.0.1:60866] "keys" "*"."""
    first: cython.Py_ssize_t = at
    while at < c.end and _CLASSES[c.u8(at)] & 4:
        at += 1
    if at - first < 9 or c.end - at < 9 or c.u8(at) != 0x2E:
        return False
    i: cython.Py_ssize_t
    for i in range(1, 7):
        if _CLASSES[c.u8(at + i)] & 4 == 0:
            return False
    return c.starts(at + 7, b" [")


def _split_inline(line: bytes) -> list[bytes]:
    """The words of a line as Redis splits them: quotes hold words together (`sdssplitargs`). Of an unbalanced one,
    which Redis answers with an error, what there is."""
    words: list[bytes] = []
    word = bytearray()
    inside = False
    quote = 0
    escaped = False
    for b in line:
        if quote:
            if escaped:
                word.append(b)
                escaped = False
            elif b == 0x5C:
                escaped = True
            elif b == quote:
                quote = 0
            else:
                word.append(b)
        elif b in b" \t\r\n\x0b\x0c\x00":
            if inside:
                words.append(bytes(word))
                word.clear()
                inside = False
        else:
            inside = True
            if b == 0x22 or b == 0x27:
                quote = b
            else:
                word.append(b)
    if inside:
        words.append(bytes(word))
    return words


def rows(shared: Shared) -> tuple[Protocol, ...]:
    make = partial(RedisDecoder, Vocabulary(shared.limits))
    return (Protocol("redis", "redis", make, ports=(6379,), client_only=True),)
