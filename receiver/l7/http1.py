"""HTTP/1.0 and HTTP/1.1 (RFC 9112): heads are read, bodies are skipped by count.

Room: l7; follows the contract of `decoder.py`. `frame` reads a head line by line, as far as it has come, and keeps the
few facts that matter as offsets from the frame's first byte; so a head that arrives byte by byte is read once, and
nothing is made before it is complete. `parse` turns those facts into a message.

What a response says cannot be read without its request: the answer to HEAD has a length and no body, a 2xx to CONNECT
ends HTTP. Which of these a request is stands in its `note`. Where a hole has put in doubt which one is answered, an answer's
length is not believed (`_response`).

What breaks the rules is counted (`Lines.broken_rule`), and told as far as it could be read: a client gets the status of a faulty
response, and a server answers a faulty request, with 400 as a rule. Only where the message ends may be unknown then; what follows
is read again where a message begins. A response is framed as a client takes it, a faulty request may be refused: see `_request` and
`_response`. Bytes that belong to no message are Malformed.

Deviations from RFC 9112, each because real programs do it: a bare LF ends a line (2.2 allows it); any empty lines
before a start line are skipped (2.2: at least one); a line folded with white space is one line (5.2); spaces in a
request target are kept; `Transfer-Encoding` is obeyed in HTTP/1.0 as well (6.1 calls it faulty); `identity` is no
coding; white space may follow a chunk's size; a CR alone is skipped before a start line.
"""

from __future__ import annotations

from functools import partial

import cython

from receiver.config import KNOWN_METHODS
from receiver.l7.decoder import Decoder
from receiver.l7.http import HttpSettings, settings_of
from receiver.l7.origin import AUTHORITY_MAX, Origin, listed, split_authority
from receiver.l7.shared import Shared
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Malformed, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import ANSWERS_BEGUN, MESSAGE, MORE, NO, NOTHING, PERHAPS, SKIP_LOST, SKIP_TO_CLOSE, SKIP_UNKNOWN, YES
    from receiver.l7.http import tell_status
    from receiver.wire.records import (
        BEGINS,
        ENDS,
        TO_CLIENT,
        TO_SERVER,
        UNNOTED,
        VANTAGE_SERVER,
    )

# The known ones and WebDAV's (RFC 4918, 3253, 5323), by which a request is recognised after a hole: any other word could be the
# rest of one. LOCK is not among them, for it is the rest of UNLOCK.
_RECOGNISED = tuple(
    name.encode() + b" "
    for name in (*KNOWN_METHODS, "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "REPORT", "SEARCH")
)
READ_HEAD = 0
READ_CHUNK = 1
TUNNEL = 2
# The request's client waits for a word before it sends the body (RFC 9110, 10.1.1).
AWAIT = 3

# Instead of the number of a method: the line could not be read.
BROKEN = -2
# Longer than any request line that a person types wrongly.
BROKEN_LINE_MAX = 1024

PLAIN = 0
HEAD = 1
CONNECT = 2

CODING_NONE = 0
CODING_CHUNKED = 1
CODING_OTHER = 2
# Chunked, which the list names more than once.
CODING_TWICE = 3

LENGTH_UNKNOWN = -1
LENGTH_BAD = -2
# A petabyte. Whoever announces more is taken to mean it: no connection lives long enough to see the end of either.
LENGTH_LIMIT = 1_000_000_000_000_000

# The longest method in use is UPDATEREDIRECTREF, 17; what is longer than this is not HTTP.
METHOD_MAX = 64
HOST_MAX = AUTHORITY_MAX
# Extensions are rare and short; RFC 9112, 7.1.1 demands a limit.
CHUNK_LINE_MAX = 4096
# A request line that has not ended after so many bytes may begin a flow if all else of it is right (long URLs).
LONG_LINE = 64
# As long as a request line must be supported (RFC 9112, 3); what is longer, where a body is due, is the body.
REQUEST_LINE = 8000


# 1: may stand in a method (tchar, RFC 9110, 5.6.2); 2: a letter. Others are 0.
_CLASSES = bytes(
    (1 if chr(i).isascii() and (chr(i).isalnum() or chr(i) in "!#$%&'*+-.^_`|~") else 0)
    | (2 if chr(i).isascii() and chr(i).isalpha() else 0)
    for i in range(256)
)


_DEFAULT = HttpSettings()


class Lines:
    """One direction: what is being read, and what the lines read so far have said.

    All places count from the frame's first byte. `at` is where the next line begins, 0 before the start line has ended;
    no LF stands in `[at:searched)`. `broken_rule` is the first one; `unframed`: of a request, it leaves open where that
    ends. `cut`: the head's own end was not waited for. In AWAIT, `owed` bytes are the body that may come (-1: in chunks),
    `urged` says that it will.
    """

    def __init__(self) -> None:
        self.state = READ_HEAD
        self.first_chunk = True
        self.owed = 0
        self.urged = False
        self.method = -1
        self.kind = PLAIN
        self.minor = 1
        self.status = 0
        self.name_end = 0
        self.target = 0
        self.target_end = 0
        self.headers = 0
        self.host = 0
        self.chunk = 0
        self.start_message()

    def start_message(self) -> cython.int:
        """What a start line or a chunk's always says is as it was, until the next one says it."""
        self.at = 0
        self.searched = 0
        self.host_end = 0
        self.length = LENGTH_UNKNOWN
        self.coding = CODING_NONE
        self.expects = False
        self.broken_rule: str | None = None
        self.unframed = False
        self.cut = False
        return 0

    def break_rule(self, rule: str) -> cython.int:
        if self.broken_rule is None:
            self.broken_rule = rule
        return 0


class Http1Decoder(Decoder):
    """One connection's HTTP/1."""

    def __init__(self, settings: HttpSettings | None = None) -> None:
        self.settings = _DEFAULT if settings is None else settings
        Decoder.__init__(self)

    # --- the contract of decoder.py ---

    def reset(self) -> cython.int:
        Decoder.reset(self)
        self.request = Lines()
        self.response = Lines()
        self.host_bytes: bytes | None = None
        self.host_name: str | None = None
        self.host_port = 0
        self.host_default = 0
        self.trusting = False
        return 0

    def begin(self, endpoints: Endpoints) -> cython.int:
        self.trusting = (
            self.settings.trusting and self.vantage == VANTAGE_SERVER and self.settings.trust.covers(endpoints.caller())
        )
        return 0

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == READ_HEAD:
            if direction == TO_SERVER and self._connects():
                return MORE  # whether this is HTTP is for the answer to say
            return self._read_head(lines, direction, c)
        if lines.state == READ_CHUNK:
            return self._read_chunk(lines, c)
        if lines.state == AWAIT:
            return self._await_body(lines, c)
        return 1

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == READ_HEAD:
            if lines.at == 0:
                return NOTHING  # an empty line before a start line
            if direction == TO_SERVER:
                return self._request(lines, c, ts_ns, out)
            return self._response(lines, c, ts_ns, out)
        if lines.state == READ_CHUNK:
            return self._chunk(lines, direction, out)
        if lines.state == AWAIT:
            out.piece = ENDS
            out.body = 1
            self.skip = lines.owed - 1
            lines.state = READ_HEAD
            lines.start_message()
            return MESSAGE
        self.skip = SKIP_TO_CLOSE
        return NOTHING

    def begun(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        lines.cut = True
        if lines.state == READ_CHUNK:
            lines.broken_rule = "head too long"  # of the trailers
            self._chunk(lines, direction, out)
            return MESSAGE
        if lines.state == READ_HEAD and c.end > c.pos:
            if direction == TO_CLIENT:
                if lines.at > 0 and self._response(lines, c, ts_ns, out):
                    return MESSAGE
            elif lines.at > 0 or self._read_begun_line(lines, c):
                return self._request(lines, c, ts_ns, out)
        lines.start_message()
        return NOTHING

    def lost(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state != TUNNEL:
            lines.state = READ_HEAD
            lines.start_message()
        return 0

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == TUNNEL:
            return True
        verdict: cython.int = self._starts(direction, c)
        if direction == TO_CLIENT:
            # `H` alone may be all that a segment has: the rest of the line is waited for.
            return verdict == YES or (verdict == PERHAPS and c.end > _skip_empty(c))
        return verdict == YES and self._recognised(c, _skip_empty(c))

    def probe(self, direction: cython.int, c: Cursor) -> cython.int:
        return self._starts(direction, c)

    # --- frames ---

    def _read_head(self, lines: Lines, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        #  start-line CRLF *( field-line CRLF ) CRLF                                      RFC 9112, 2.1
        base: cython.Py_ssize_t = c.pos
        end: cython.Py_ssize_t = c.end
        at: cython.Py_ssize_t
        b: cython.int
        if lines.at == 0:
            b = c.u8(base)
            if b == 0x0A:
                return 1
            if b == 0x0D:
                if end - base < 2:
                    return MORE
                return 2 if c.u8(base + 1) == 0x0A else 1
            if direction == TO_CLIENT:
                at = self._read_status_line(lines, c)
            else:
                at = self._read_request_line(lines, c)
            if at <= 0:
                return at
            lines.at = at
            lines.searched = at
            lines.headers = at
            if lines.cut:
                return at
        at = base + lines.at
        if at >= end:
            return MORE
        eol: cython.Py_ssize_t = base + lines.searched
        b = c.u8(at)
        while True:
            if b == 0x0A:
                if direction == TO_CLIENT and self._answers_begun(lines):
                    return ANSWERS_BEGUN
                return at + 1 - base
            if b == 0x0D:
                if at + 1 >= end:
                    break
                if c.u8(at + 1) == 0x0A:
                    if direction == TO_CLIENT and self._answers_begun(lines):
                        return ANSWERS_BEGUN
                    return at + 2 - base
                lines.break_rule("CR without LF")
                lines.unframed = True  # of a request: some servers see an empty line here
            if eol < at:
                eol = at
            following: cython.int = 0x20
            # A line goes on in the next one if that begins with white space (obs-fold).
            while following == 0x20 or following == 0x09:
                n: cython.Py_ssize_t = c.find(0x0A, eol, end)
                if n < 0:
                    lines.at = at - base
                    lines.searched = end - base
                    return MORE
                eol = n
                if n + 1 >= end:
                    lines.at = at - base
                    lines.searched = n - base
                    return MORE
                following = c.u8(n + 1)
                eol = n + 1
            letter: cython.int = b | 0x20
            # Three names matter for the framing; a look at one more letter sends most others away.
            if letter == 0x63:  # Content-Length
                if eol - at > 15 and (c.u8(at + 8) | 0x20) == 0x6C:
                    self._read_header(lines, c, at, eol - 1)
            elif letter == 0x74:  # Transfer-Encoding
                if eol - at > 18 and (c.u8(at + 9) | 0x20) == 0x65:
                    self._read_header(lines, c, at, eol - 1)
            elif letter == 0x68 and direction == TO_SERVER:  # Host
                if eol - at > 5 and (c.u8(at + 3) | 0x20) == 0x74:
                    self._read_header(lines, c, at, eol - 1)
            elif letter == 0x65 and direction == TO_SERVER:  # Expect
                if eol - at > 7 and (c.u8(at + 5) | 0x20) == 0x74:
                    lines.expects = lines.expects or _after_name(lines, c, at, eol - 1, b"expect") > 0
            at = eol
            b = following
        lines.at = at - base
        lines.searched = at - base
        return MORE

    def _read_request_line(self, lines: Lines, c: Cursor) -> cython.Py_ssize_t:
        #  method SP request-target SP HTTP/1.x CRLF                                       RFC 9112, 3
        base: cython.Py_ssize_t = c.pos
        end: cython.Py_ssize_t = c.end
        tokens: tuple[bytes, ...] = self.settings.tokens
        space: cython.Py_ssize_t = 0
        i: cython.Py_ssize_t
        for i in range(len(tokens)):
            token: bytes = tokens[i]
            if c.starts(base, token):
                lines.method = i
                space = base + len(token) - 1
                break
        else:
            space = base
            while space < end and c.u8(space) != 0x20:
                if _class(c.u8(space)) == 0 or space - base >= METHOD_MAX:
                    return self._unreadable(lines, c, "no method")
                space += 1
            if space == end:
                return MORE
            if space == base:
                return self._unreadable(lines, c, "no method")
            lines.method = -1
        eol: cython.Py_ssize_t = c.find(0x0A, base + lines.searched, end)
        if eol < 0:
            lines.searched = end - base
            return MORE
        stop: cython.Py_ssize_t = eol
        if c.u8(stop - 1) == 0x0D:
            stop -= 1
        # " HTTP/1.1" are nine bytes, and at least one of the target stands before them.
        if stop - 9 <= space + 1 or not c.starts(stop - 9, b" HTTP/1."):
            return self._unreadable(lines, c, "no version")
        lines.minor = c.u8(stop - 1) - 0x30
        if lines.minor < 0 or lines.minor > 9:
            return self._unreadable(lines, c, "no version")
        lines.kind = PLAIN
        b: cython.int = c.u8(base)
        if b == 0x48:
            if space - base == 4 and c.starts(base, b"HEAD"):
                lines.kind = HEAD
        elif b == 0x43 and space - base == 7 and c.starts(base, b"CONNECT"):
            lines.kind = CONNECT
        lines.name_end = space - base
        lines.target = space + 1 - base
        lines.target_end = stop - 9 - base
        return eol + 1 - base

    def _unreadable(self, lines: Lines, c: Cursor, what: str) -> cython.Py_ssize_t:
        """A request line that breaks the grammar. A server answers it, with 400 as a rule (RFC 9112, 3), so there is a roundtrip,
        with what of method and target can be read.

        A line that begins with a known method and a target, or, unless bytes were missing before, says ` HTTP/`; the first one may
        also just begin with a known method. Anything else raises Malformed: after a good request nobody knows what it is.
        """
        base: cython.Py_ssize_t = c.pos
        asks: cython.bint = self._asks(c, base)
        eol: cython.Py_ssize_t = c.find(0x0A, base, c.end)
        if (c.end if eol < 0 else eol) - base > BROKEN_LINE_MAX and not asks:
            raise Malformed("http", what, 0)
        if eol < 0:
            return MORE
        if not asks:
            line: bytes = c.take(base, eol)
            known: cython.bint = not self.asked.doubted and b" HTTP/" in line
            if self.asked.last_ns == 0 and not self.asked.doubted:
                known = b"HTTP/" in line
                for token in self.settings.tokens:
                    known = known or line.startswith(token[: len(token) - 1])
            if not known:
                raise Malformed("http", what, 0)
        self._read_what_there_is(lines, c, eol)
        lines.break_rule(what)
        return eol + 1 - base

    def _asks(self, c: Cursor, at: cython.Py_ssize_t) -> cython.bint:
        """Whether a known method and the beginning of a target stand at `at`."""
        i: cython.Py_ssize_t
        for i in range(len(self.settings.tokens)):
            token: bytes = self.settings.tokens[i]
            if c.starts(at, token):
                at += len(token)
                if at >= c.end:
                    return False
                b: cython.int = c.u8(at)
                return b == 0x2F or b == 0x2A or (b | 0x20) == 0x68
        return False

    def _read_what_there_is(self, lines: Lines, c: Cursor, end: cython.Py_ssize_t) -> cython.int:
        """Of a request line `[c.pos:end)` that breaks the grammar or has not ended: a known method, and a target up to a space."""
        base: cython.Py_ssize_t = c.pos
        lines.method = BROKEN
        lines.minor = -1
        lines.kind = PLAIN
        lines.name_end = 0
        lines.target = 0
        lines.target_end = 0
        i: cython.Py_ssize_t
        for i in range(len(self.settings.tokens)):
            token: bytes = self.settings.tokens[i]
            if c.starts(base, token):
                lines.method = i
                lines.target = len(token)
        if c.starts(base, b"HEAD "):
            lines.kind = HEAD
        at: cython.Py_ssize_t = base + lines.target
        if lines.method == BROKEN:
            at = c.find(0x20, base, end) + 1
        if base < at < end and (c.u8(at) == 0x2F or c.u8(at) == 0x2A or lines.method >= 0):
            lines.target = at - base
            while at < end and c.u8(at) > 0x20:
                at += 1
            lines.target_end = at - base if at - base > lines.target else 0
        return 0

    def _read_begun_line(self, lines: Lines, c: Cursor) -> cython.bint:
        """The first line of a request, of which the end is not there; whether a request can be seen in it."""
        if not self._asks(c, c.pos):
            return False
        self._read_what_there_is(lines, c, c.end)
        lines.at = lines.headers = c.end - c.pos
        return True

    def _answers_begun(self, lines: Lines) -> cython.bint:
        """Whether this response answers a request that has begun and not ended (400, 408, 414, 431): none other waits for one."""
        if self.asked.head is not None or self.asked.doubted or lines.status < 200:
            return False
        return self.request.state == READ_HEAD and self.request.searched > 0

    def _read_status_line(self, lines: Lines, c: Cursor) -> cython.Py_ssize_t:
        #  HTTP/1.x SP 3DIGIT SP [ reason-phrase ] CRLF                                    RFC 9112, 4
        base: cython.Py_ssize_t = c.pos
        answer: cython.int = self._starts(TO_CLIENT, c)
        at: cython.Py_ssize_t = base + 9
        if answer == NO:
            at = self._odd_status(c)
            if at == 0:
                if self.asked.next() is None:
                    raise Malformed("http", "no status line", 0)
                # A request waits, and this is its answer, of HTTP/0.9 perhaps: that much is known, and nothing more.
                lines.break_rule("no status line")
                lines.cut = True
                lines.status = 0
                return 1
        if answer == PERHAPS or at < 0:
            return MORE
        eol: cython.Py_ssize_t = c.find(0x0A, base + lines.searched, c.end)
        if eol < 0:
            lines.searched = c.end - base
            return MORE
        lines.minor = c.u8(base + 7) - 0x30
        if answer == NO:
            lines.minor = -1
            lines.break_rule("no status line")
        lines.status = (c.u8(at) - 0x30) * 100 + (c.u8(at + 1) - 0x30) * 10 + c.u8(at + 2) - 0x30
        return eol + 1 - base

    def _odd_status(self, c: Cursor) -> cython.Py_ssize_t:
        """Where the three digits of a status stand in a line that is no status line of HTTP/1 and yet says one: `HTTP/2 200`,
        `HTTP/1.1  200`, `HTTP/1.1 200OK`. 0 for anything else, -1 when more could tell."""
        at: cython.Py_ssize_t = c.pos
        if not c.starts(at, b"HTTP/"):
            return 0
        at += 5
        i: cython.Py_ssize_t = 0
        b: cython.int
        while at < c.end and i < 8 and c.u8(at) != 0x20:  # a version, however it is written
            b = c.u8(at)
            if b != 0x2E and (b < 0x30 or b > 0x39):
                return 0
            at += 1
            i += 1
        if i == 0 or i == 8:
            return 0 if at < c.end else -1
        i = 0
        while at < c.end and i < 8 and c.u8(at) == 0x20:
            at += 1
            i += 1
        for i in range(3):
            if at + i >= c.end:
                return -1
            b = c.u8(at + i)
            if b < 0x30 or b > 0x39 or (i == 0 and b == 0x30):
                return 0
        if at + 3 >= c.end:
            return -1
        b = c.u8(at + 3)
        return 0 if 0x30 <= b <= 0x39 else at

    def _read_header(self, lines: Lines, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Take what the field line `[at:end)` says of the message's length and server, if it does."""
        value: cython.Py_ssize_t
        b: cython.int = c.u8(at) | 0x20
        if b == 0x63:
            value = at + 15 if c.starts(at, b"Content-Length:") else _after_name(lines, c, at, end, b"content-length")
            if value < 0:
                return 0
            length: cython.Py_ssize_t = _read_length(c, value, end)
            if length == LENGTH_BAD:
                lines.break_rule("content-length is no number")
            elif lines.length != LENGTH_UNKNOWN and lines.length != length:
                lines.break_rule("two content-lengths")
                length = LENGTH_BAD
            lines.length = length
        elif b == 0x74:
            value = _after_name(lines, c, at, end, b"transfer-encoding")
            if value < 0:
                return 0
            coding: cython.int = _read_coding(c, value, end)
            if coding != CODING_NONE:
                if lines.coding == CODING_CHUNKED or coding == CODING_TWICE:
                    # RFC 9112, 7.1: never more than once. What is said twice is done once, by whoever sends it.
                    lines.break_rule("coding after chunked")
                lines.coding = CODING_CHUNKED if coding == CODING_TWICE else coding
        elif lines.host_end == 0:
            value = at + 5 if c.starts(at, b"Host:") else _after_name(lines, c, at, end, b"host")
            if value < 0:
                return 0
            value = _trim_start(c, value, end)
            lines.host = value - c.pos
            lines.host_end = _trim_end(c, value, end) - c.pos
        return 0

    def _read_chunk(self, lines: Lines, c: Cursor) -> cython.Py_ssize_t:
        #  [CRLF of the last chunk] size [;extension] CRLF, data skipped; at the end 0 CRLF trailers CRLF  RFC 9112, 7.1
        base: cython.Py_ssize_t = c.pos
        end: cython.Py_ssize_t = c.end
        at: cython.Py_ssize_t = base
        eol: cython.Py_ssize_t
        b: cython.int
        if lines.at == 0:
            if not lines.first_chunk:
                b = c.u8(at)
                if b == 0x0D:
                    if end - at < 2:
                        return MORE
                    at += 1
                    b = c.u8(at)
                if b != 0x0A:
                    lines.broken_rule = "chunk longer than its size"
                    return 1
                at += 1
            eol = c.find(0x0A, at if at > base + lines.searched else base + lines.searched, end)
            if (end if eol < 0 else eol) - at > CHUNK_LINE_MAX:
                lines.broken_rule = "chunk line too long"
                return 1
            if eol < 0:
                lines.searched = end - base
                return MORE
            lines.chunk = self._read_chunk_size(lines, c, at, eol)
            if lines.chunk < 0:
                return 1
            if lines.chunk > 0:
                return eol + 1 - base
            lines.at = eol + 1 - base
            lines.searched = lines.at
        at = base + lines.at
        while at < end:
            b = c.u8(at)
            if b == 0x0A:
                return at + 1 - base
            if b == 0x0D and at + 1 < end and c.u8(at + 1) == 0x0A:
                return at + 2 - base
            eol = c.find(0x0A, at if at > base + lines.searched else base + lines.searched, end)
            if eol < 0:
                lines.searched = end - base
                break
            at = eol + 1
        lines.at = at - base
        return MORE

    def _read_chunk_size(
        self, lines: Lines, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """-1 for what is none."""
        size: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t = at
        digit: cython.int
        while at < end:
            digit = _hex_value(c.u8(at))
            if digit < 0:
                break
            size = size << 4 | digit
            if size > LENGTH_LIMIT:
                lines.broken_rule = "chunk size too large"
                return -1
            at += 1
        if at == first:
            lines.broken_rule = "no chunk size"
            return -1
        while at < end:
            b: cython.int = c.u8(at)
            if b == 0x3B or (b == 0x0D and at + 1 == end):
                break
            if b != 0x20 and b != 0x09:
                lines.broken_rule = "no chunk size"
                return -1
            at += 1
        return size

    # --- a body that may come ---

    def _await_body(self, lines: Lines, c: Cursor) -> cython.Py_ssize_t:
        """After `Expect` (RFC 9110, 10.1.1): what comes is the body, unless a final answer came in its place; then the client may
        keep the body, and go on with its next request. Only what comes tells."""
        if self.asked.head is None and not lines.urged:
            answer: cython.int = self._goes_on(c, lines.owed)
            if answer == PERHAPS:
                return MORE
            if answer == YES:
                lines.state = READ_HEAD
                return self._read_head(lines, TO_SERVER, c)
        if lines.owed >= 0:
            return 1
        lines.state = READ_CHUNK
        lines.first_chunk = True
        return self._read_chunk(lines, c)

    def _goes_on(self, c: Cursor, owed: cython.Py_ssize_t) -> cython.int:
        """Whether a request stands where a body of `owed` bytes may."""
        base: cython.Py_ssize_t = c.pos
        if not self._recognised(c, base):
            return PERHAPS if self._cut_short(c) else NO
        space: cython.Py_ssize_t = c.find(0x20, base, c.end)
        if space + 1 >= c.end:
            return PERHAPS
        b: cython.int = c.u8(space + 1)
        if b != 0x2F and b != 0x2A and (b | 0x20) != 0x68 and not c.starts(base, b"CONNECT"):
            return NO
        eol: cython.Py_ssize_t = c.find(0x0A, space, c.end)
        if eol < 0:
            return PERHAPS if c.end - base < REQUEST_LINE else NO
        if c.u8(eol - 1) == 0x0D:
            eol -= 1
        if eol - 9 <= space + 1 or not c.starts(eol - 9, b" HTTP/1."):
            return NO
        if owed == c.end - base:
            return NO  # all that is due and nothing else: a body that looks like a request
        if 0 < owed < c.end - base and self._recognised(c, base + owed):
            return NO
        return YES

    def _cut_short(self, c: Cursor) -> cython.bint:
        """Whether less than a method is there, and could become one that is known."""
        n: cython.Py_ssize_t = c.end - c.pos
        if n >= METHOD_MAX:
            return False
        word: bytes = c.take(c.pos, c.end)
        for token in self.settings.tokens + _RECOGNISED:  # noqa: SIM110 - any() would make a generator
            if token.startswith(word):
                return True
        return False

    # --- messages ---

    def _request(self, lines: Lines, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        out.note = lines.kind
        settings: HttpSettings = self.settings
        if lines.method >= 0:
            out.operation = settings.methods[lines.method]
        else:
            out.operation = "_OTHER"
        if lines.minor >= 0:
            out.version = "1.0" if lines.minor == 0 else "1.1"
        self._server_of(lines, c, out)
        if lines.target_end > 0:
            self._target(lines, c, out)
        if self.detail:
            self._describe_request(lines, c, out)
        # RFC 9112, 6.3: Transfer-Encoding overrides Content-Length; neither means no body. With any other fault a server may answer
        # 400 and close, or read on: what follows is known when a request is seen in it.
        chunked: cython.bint = lines.coding == CODING_CHUNKED
        if lines.coding == CODING_OTHER:
            lines.break_rule("request body of unknown length")
            lines.unframed = True
        elif lines.length == LENGTH_BAD and not chunked:
            lines.unframed = True
        if lines.broken_rule is not None:
            self._count_broken_rule(lines)
        if lines.unframed or lines.minor < 0 or lines.cut:
            self.skip = SKIP_LOST
        elif chunked or lines.length > 0:
            out.body = 0
            if lines.expects:
                out.body = -2
                out.piece = BEGINS
                lines.state = AWAIT
                lines.owed = -1 if chunked else lines.length
                lines.urged = False
            elif chunked:
                out.piece = BEGINS
                lines.state = READ_CHUNK
                lines.first_chunk = True
            else:
                self.skip = lines.length
        lines.start_message()
        return MESSAGE

    def _response(self, lines: Lines, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        status: cython.int = lines.status
        if 0 < status < 200 and (status != 101 or self._upgrades(lines, c)):
            if status == 100 and self.request.state == AWAIT and self.asked.head is self.asked.tail:
                self.request.urged = True
            lines.start_message()
            return NOTHING  # 100, 102, 103, or HTTP/2 from here: the final response is still to come
        kind: cython.longlong = PLAIN if self.asked.head is None else self.asked.head.note
        known: cython.bint = kind != UNNOTED and self.asked.next() is not None
        if status > 0:
            tell_status(status, out)
            if lines.minor >= 0:
                out.version = "1.0" if lines.minor == 0 else "1.1"
        if self.detail and status > 0 and len(self.settings.response_headers) > 0:
            self._keep_headers(self.settings.response_headers, lines, c, out)
        if lines.broken_rule is not None:
            self._count_broken_rule(lines)
        # RFC 9112, 6.3, in its order; Transfer-Encoding overrides a Content-Length, however wrong that is.
        if status == 101 or (kind == CONNECT and status < 300):
            self._end_http()
        elif lines.cut:
            self.skip = SKIP_LOST if known else SKIP_UNKNOWN
        elif kind == HEAD or status == 204 or status == 304:
            pass
        elif not known and (lines.coding != CODING_NONE or lines.length != 0):
            # It may answer a HEAD that nobody saw. What follows is read again where a response begins; how many were
            # passed over until then is not known.
            self.skip = SKIP_UNKNOWN
        elif lines.coding == CODING_NONE and lines.length == LENGTH_BAD:
            # RFC 9112, 6.3: an unrecoverable error, after which a client closes; some take one of the lengths, or read to the end.
            self.skip = SKIP_LOST
        elif lines.coding == CODING_CHUNKED:
            out.body = 0
            out.piece = BEGINS
            lines.state = READ_CHUNK
            lines.first_chunk = True
        elif lines.coding == CODING_OTHER or lines.length == LENGTH_UNKNOWN:
            out.body = 0
            self.skip = SKIP_TO_CLOSE
        else:
            out.body = 0
            self.skip = lines.length
        lines.start_message()
        return MESSAGE

    def _count_broken_rule(self, lines: Lines) -> cython.int:
        key = ("http", lines.broken_rule)
        self.errors[key] = self.errors.get(key, 0) + 1
        return 0

    def _chunk(self, lines: Lines, direction: cython.int, out: Message) -> cython.int:
        if lines.broken_rule is not None:
            # The body is broken; what its message said before that is known.
            self._count_broken_rule(lines)
            out.piece = ENDS
            self.skip = SKIP_LOST
        elif lines.chunk > 0:
            lines.at = 0
            lines.searched = 0
            out.piece = 0
            out.body = 0
            lines.first_chunk = False
            self.skip = lines.chunk
            return MESSAGE
        else:
            out.piece = ENDS
            out.body = 0
        lines.state = READ_HEAD
        lines.start_message()
        return MESSAGE

    def _upgrades(self, lines: Lines, c: Cursor) -> cython.bint:
        """Whether a 101 says `Upgrade: h2c` (RFC 7540, 3.2): its request is answered on stream 1 of the HTTP/2 that follows."""
        at: cython.Py_ssize_t = c.pos + lines.headers
        while True:
            end: cython.Py_ssize_t = _line_end(c, at)
            if end == at:
                return False
            colon: cython.Py_ssize_t = c.find(0x3A, at, end)
            if colon - at == 7 and _same(c, at, b"upgrade") and _value(c, colon + 1, end).lower() == b"h2c":
                self.successor = "http2"
                return True
            at = end + 1

    def _end_http(self) -> cython.int:
        """What follows is another protocol, or none."""
        self.request.state = TUNNEL
        self.response.state = TUNNEL
        return 0

    def _connects(self) -> cython.bint:
        """Whether the last request is a CONNECT that waits for its answer."""
        return self.asked.tail is not None and self.asked.tail.note == CONNECT

    # --- the server's name ---

    def _server_of(self, lines: Lines, c: Cursor, out: Message) -> cython.int:
        # The target's own authority counts more than Host (RFC 9112, 3.2.2).
        base: cython.Py_ssize_t = c.pos
        start: cython.Py_ssize_t = base + lines.target
        end: cython.Py_ssize_t = base + lines.target_end
        if lines.kind == CONNECT:
            return self._server(c, start, end, 80, out)
        if _class(c.u8(start)) & 2:
            authority: cython.Py_ssize_t = self._authority_at(c, start, end)
            if authority >= 0:
                scheme_end: cython.int = c.u8(authority - 4) | 0x20
                return self._server(
                    c, authority, self._path_at(c, authority, end), 443 if scheme_end == 0x73 else 80, out
                )
        if lines.host_end > 0:
            return self._server(c, base + lines.host, base + lines.host_end, 80, out)
        return 0

    def _authority_at(self, c: Cursor, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the authority of an absolute-form target begins, -1 if it has none."""
        colon: cython.Py_ssize_t = c.find(0x3A, start, end)
        if colon < 0 or colon + 3 > end or not c.starts(colon, b"://"):
            return -1
        at: cython.Py_ssize_t
        for at in range(start, colon):
            b: cython.int = c.u8(at)
            if b == 0x2F or b == 0x3F:
                return -1
        return colon + 3

    def _path_at(self, c: Cursor, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where an authority that begins at `start` ends."""
        at: cython.Py_ssize_t = start
        while at < end:
            b: cython.int = c.u8(at)
            if b == 0x2F or b == 0x3F or b == 0x23:
                break
            at += 1
        return at

    def _server(
        self, c: Cursor, start: cython.Py_ssize_t, end: cython.Py_ssize_t, default_port: cython.int, out: Message
    ) -> cython.int:
        """Take `host[:port]`; the text is made once per connection, as long as it stays the same."""
        if end <= start or end - start > HOST_MAX:
            return 0
        if (
            self.host_bytes is None
            or end - start != len(self.host_bytes)
            or default_port != self.host_default
            or not c.starts(start, self.host_bytes)
        ):
            text: bytes = c.take(start, end)
            self.host_bytes = text
            self.host_default = default_port
            self.host_name, self.host_port = split_authority(text, default_port)
        out.server_address = self.host_name
        out.server_port = self.host_port
        return 0

    # --- what only spans need ---

    def _target(self, lines: Lines, c: Cursor, out: Message) -> cython.int:
        if lines.kind == CONNECT:
            return 0
        start: cython.Py_ssize_t = c.pos + lines.target
        end: cython.Py_ssize_t = c.pos + lines.target_end
        if _class(c.u8(start)) & 2:
            authority: cython.Py_ssize_t = self._authority_at(c, start, end)
            if authority >= 0:
                start = self._path_at(c, authority, end)
        question: cython.Py_ssize_t = c.find(0x3F, start, end)
        stop: cython.Py_ssize_t = end if question < 0 else question
        path: bytes = c.take(start, stop) if stop > start else b"/"
        out.path = path
        if self.detail and question >= 0:
            out.query = c.take(question + 1, end)
        return 0

    def _describe_request(self, lines: Lines, c: Cursor, out: Message) -> cython.int:
        """Everything that is not in the first line, Host or the framing."""
        settings: HttpSettings = self.settings
        buf: bytes = c.buf
        context: TraceContext | None = settings.context
        if context is not None:
            context.reset()
        if lines.method == -1:
            out.add("http.request.method_original", c.take(c.pos, c.pos + lines.name_end))
        forwarded: bytes | None = None
        forwarded_for: bytes | None = None
        forwarded_host: bytes | None = None
        forwarded_proto: bytes | None = None
        at: cython.Py_ssize_t = c.pos + lines.headers
        while True:
            end: cython.Py_ssize_t = _line_end(c, at)
            if end == at:
                break
            colon: cython.Py_ssize_t = c.find(0x3A, at, end)
            if colon > at:
                n: cython.Py_ssize_t = colon - at
                value: cython.Py_ssize_t = colon + 1
                b: cython.int = c.u8(at) | 0x20
                if context is not None and context.offer(buf, at, colon, value, _trim_end(c, value, end)):
                    pass
                elif b == 0x75 and n == 10 and _same(c, at, b"user-agent"):
                    out.add("user_agent.original", _value(c, value, end))
                elif self.trusting:
                    if b == 0x66 and n == 9 and _same(c, at, b"forwarded"):
                        forwarded = listed(forwarded, _value(c, value, end))
                    elif b == 0x78 and n >= 15 and _same(c, at, b"x-forwarded-"):
                        if n == 15 and _same(c, at, b"x-forwarded-for"):
                            forwarded_for = listed(forwarded_for, _value(c, value, end))
                        elif n == 16 and _same(c, at, b"x-forwarded-host"):
                            forwarded_host = listed(forwarded_host, _value(c, value, end))
                        elif n == 17 and _same(c, at, b"x-forwarded-proto"):
                            forwarded_proto = listed(forwarded_proto, _value(c, value, end))
            at = end + 1
        if (
            forwarded is not None
            or forwarded_for is not None
            or forwarded_host is not None
            or forwarded_proto is not None
        ):
            origin = Origin(forwarded, forwarded_for, forwarded_host, forwarded_proto, settings.trust)
            origin.tell(out)
        if context is not None:
            context.tell(out)
        if len(settings.request_headers) > 0:
            self._keep_headers(settings.request_headers, lines, c, out)
        return 0

    def _keep_headers(self, wanted: dict[bytes, str], lines: Lines, c: Cursor, out: Message) -> cython.int:
        found: dict[str, tuple[str, ...]] = {}
        at: cython.Py_ssize_t = c.pos + lines.headers
        while True:
            end: cython.Py_ssize_t = _line_end(c, at)
            if end == at:
                break
            colon: cython.Py_ssize_t = c.find(0x3A, at, end)
            if colon > at:
                name = wanted.get(c.take(at, colon).lower())
                if name is not None:
                    text = _value(c, colon + 1, end).decode("utf-8", "replace")
                    found[name] = (*found.get(name, ()), text)
            at = end + 1
        for name, values in found.items():
            out.add(name, values)
        return 0

    # --- where a message could begin ---

    def _starts(self, direction: cython.int, c: Cursor) -> cython.int:
        """Whether a message begins at the cursor."""
        at: cython.Py_ssize_t = _skip_empty(c)
        end: cython.Py_ssize_t = c.end
        b: cython.int
        if at == end:
            return PERHAPS
        if direction == TO_CLIENT:
            if not c.starts(at, b"HTTP/1."):
                n: cython.Py_ssize_t = end - at
                if n >= 7 or not b"HTTP/1.".startswith(c.take(at, end)):
                    return NO
                return PERHAPS
            i: cython.Py_ssize_t
            for i in range(7, 13):
                if at + i >= end:
                    return PERHAPS
                b = c.u8(at + i)
                if i == 8:
                    if b != 0x20:
                        return NO
                elif i == 12:
                    if b != 0x20 and b != 0x0D and b != 0x0A:
                        return NO
                elif b < 0x30 or b > 0x39 or (i == 9 and b == 0x30):
                    return NO
            return YES
        space: cython.Py_ssize_t = at
        while space < end:
            b = c.u8(space)
            if b == 0x20:
                break
            if _class(b) == 0 or space - at >= METHOD_MAX or (space == at and _class(b) & 2 == 0):
                return NO
            space += 1
        if space == end:
            return PERHAPS
        # A target begins with a slash, an asterisk or a scheme; after a known method whatever may be one.
        known: cython.bint = self._recognised(c, at)
        if not known and space + 1 < end:
            b = c.u8(space + 1)
            if b != 0x2F and b != 0x2A and (b | 0x20) != 0x68:
                return NO
        eol: cython.Py_ssize_t = c.find(0x0A, space, end)
        if eol >= 0:
            if c.u8(eol - 1) == 0x0D:
                eol -= 1
            if eol - 9 <= space + 1 or not c.starts(eol - 9, b" HTTP/1."):
                return NO
            return YES if known or c.find(0x20, space + 1, eol - 9) < 0 else NO
        stop: cython.Py_ssize_t = end if end - at < LONG_LINE else at + LONG_LINE
        while space < stop:
            if c.u8(space) < 0x20 and (c.u8(space) != 0x0D or space + 1 < end):
                return NO
            space += 1
        return YES if known and stop - at == LONG_LINE else PERHAPS

    def _recognised(self, c: Cursor, at: cython.Py_ssize_t) -> cython.bint:
        """Whether a method that is known stands at `at`, and a target begins behind it."""
        i: cython.Py_ssize_t
        space: cython.Py_ssize_t = 0
        for i in range(len(self.settings.tokens)):
            token: bytes = self.settings.tokens[i]
            if c.starts(at, token):
                space = len(token)
        if space == 0:
            for i in range(len(_RECOGNISED)):
                token = _RECOGNISED[i]
                if c.starts(at, token):
                    space = len(token)
            if space == 0:
                return False
        if at + space >= c.end:
            return True
        b: cython.int = c.u8(at + space)
        return b == 0x2F or b == 0x2A or b == 0x5B or _class(b) != 0


def _class(byte: cython.int) -> cython.int:
    return _CLASSES[byte]


def _skip_empty(c: Cursor) -> cython.Py_ssize_t:
    """Where the first line begins that is not empty."""
    at: cython.Py_ssize_t = c.pos
    while at < c.end and (c.u8(at) == 0x0D or c.u8(at) == 0x0A):
        at += 1
    return at


def _same(c: Cursor, at: cython.Py_ssize_t, name: bytes) -> cython.bint:
    """Whether `name`, in lower case, stands at `at` in any case; the window holds that many bytes."""
    i: cython.Py_ssize_t
    for i in range(len(name)):
        b: cython.int = c.u8(at + i)
        if 0x41 <= b <= 0x5A:
            b |= 0x20
        if b != name[i]:
            return False
    return True


def _after_name(
    lines: Lines, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, name: bytes
) -> cython.Py_ssize_t:
    """Where the value begins if the field line `[at:end)` has this name, else -1.

    White space may stand before the colon. A server refuses such a request, for not all see the same header then; from a response
    it is taken away (RFC 9112, 5.1).
    """
    colon: cython.Py_ssize_t = at + len(name)
    if colon >= end:
        return -1
    b: cython.int = c.u8(colon)
    if b != 0x3A and b != 0x20 and b != 0x09:
        return -1
    if not _same(c, at, name):
        return -1
    if b != 0x3A:
        while colon < end and (c.u8(colon) == 0x20 or c.u8(colon) == 0x09):
            colon += 1
        if colon >= end or c.u8(colon) != 0x3A:
            return -1
        lines.break_rule("space before a colon")
        lines.unframed = True
    return colon + 1


def _blank(byte: cython.int) -> cython.bint:
    # CR and LF stand inside a value where its line was folded.
    return byte == 0x20 or byte == 0x09 or byte == 0x0D or byte == 0x0A


def _trim_start(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    while at < end and _blank(c.u8(at)):
        at += 1
    return at


def _trim_end(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    while end > at and _blank(c.u8(end - 1)):
        end -= 1
    return end


def _value(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
    """The value `[at:end)` without white space around it; a fold inside is one space (RFC 9112, 5.2)."""
    at = _trim_start(c, at, end)
    end = _trim_end(c, at, end)
    text: bytes = c.take(at, end)
    if c.find(0x0A, at, end) >= 0:
        text = b" ".join(text.split())
    return text


def _line_end(c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the field line at `at` ends, with what is folded into it: the place of its LF; `at` for the empty line, and for one
    whose end is not there."""
    if at >= c.end:
        return at
    b: cython.int = c.u8(at)
    if b == 0x0A or (b == 0x0D and (at + 1 >= c.end or c.u8(at + 1) == 0x0A)):
        return at
    end: cython.Py_ssize_t = c.find(0x0A, at, c.end)
    while end >= 0 and end + 1 < c.end and (c.u8(end + 1) == 0x20 or c.u8(end + 1) == 0x09):
        end = c.find(0x0A, end + 1, c.end)
    return at if end < 0 else end


def _read_length(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """The number in `[at:end)`, at most LENGTH_LIMIT; a list of equal numbers is one (RFC 9110, 8.6).

    LENGTH_BAD for anything else.
    """
    length: cython.Py_ssize_t = LENGTH_UNKNOWN
    at = _trim_start(c, at, end)
    end = _trim_end(c, at, end)
    while True:
        number: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t = at
        while at < end:
            digit: cython.int = c.u8(at) - 0x30
            if digit < 0 or digit > 9:
                break
            number = number * 10 + digit
            if number > LENGTH_LIMIT:
                number = LENGTH_LIMIT
            at += 1
        if at == first or (length != LENGTH_UNKNOWN and number != length):
            return LENGTH_BAD
        length = number
        at = _trim_start(c, at, end)
        if at == end:
            return length
        if c.u8(at) != 0x2C:
            return LENGTH_BAD
        at = _trim_start(c, at + 1, end)


def _read_coding(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """What the last coding of the list `[at:end)` is: only `chunked` tells where the body ends. Empty elements are none (RFC 9110,
    5.6.1)."""
    at = _trim_start(c, at, end)
    end = _trim_end(c, at, end)
    while end > at and c.u8(end - 1) == 0x2C:
        end = _trim_end(c, at, end - 1)
    last: cython.Py_ssize_t = at
    twice: cython.bint = False
    i: cython.Py_ssize_t
    for i in range(at, end):
        if c.u8(i) == 0x2C:
            last = _trim_start(c, last, i)
            if i - last >= 7 and _trim_end(c, last, i) - last == 7 and _same(c, last, b"chunked"):
                twice = True
            last = i + 1
    last = _trim_start(c, last, end)
    if end - last == 7 and _same(c, last, b"chunked"):
        return CODING_TWICE if twice else CODING_CHUNKED
    if last == at and (end == at or (end - last == 8 and _same(c, last, b"identity"))):
        return CODING_NONE
    return CODING_OTHER


def _hex_value(byte: cython.int) -> cython.int:
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    byte |= 0x20
    if 0x61 <= byte <= 0x66:
        return byte - 0x57
    return -1


def rows(shared: Shared) -> tuple[Protocol, ...]:
    make = partial(Http1Decoder, settings_of(shared))
    return (Protocol("http", "http", make, ports=(80, 8080, 8000, 8888, 3000)),)
