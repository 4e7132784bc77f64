"""HTTP/1.0 and HTTP/1.1 (RFC 9112): heads are read, bodies are skipped by count.

Room: l7; follows the contract of `decoder.py`. `frame` reads a head line by line, as far as it has come, and keeps the
few facts that matter as offsets from the frame's first byte; so a head that arrives byte by byte is read once, and
nothing is made before it is complete. `parse` turns those facts into a message.

What a response says cannot be read without its request: the answer to HEAD has a length and no body, a 2xx to CONNECT
ends HTTP. Requests and final responses are therefore counted, and the few requests that matter so are kept with their
number; a GET costs nothing. When a hole has put the count in doubt, an answer's length is not believed (`_response`).

Deviations from RFC 9112, each because real programs do it: a bare LF ends a line (2.2 allows it); any empty lines
before a start line are skipped (2.2: at least one); a line folded with white space is one line (5.2); spaces in a
request target are kept; `Transfer-Encoding` is obeyed in HTTP/1.0 as well (6.1 calls it faulty); `identity` is no
coding; white space may follow a chunk's size.
"""

from __future__ import annotations

from collections.abc import Iterable

import cython

from receiver.l7.decoder import Decoder
from receiver.l7.origin import AUTHORITY_MAX, Origin, split_authority
from receiver.l7.trace_context import TraceContext
from receiver.wire.cursor import Cursor
from receiver.wire.records import Endpoints, Malformed, Message

if not cython.compiled:
    from receiver.wire.records import BEGINS, ENDS, FAULT_BOTH, FAULT_CLIENT, FAULT_NONE, TO_CLIENT, TO_SERVER, VANTAGE_SERVER

# RFC 9110, PATCH (RFC 5789) and QUERY; the most frequent first, for they are compared in this order.
KNOWN_METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY")
# Those and WebDAV's (RFC 4918, 3253, 5323), by which a request is recognised after a hole: any other word could be the
# rest of one. LOCK is not among them, for it is the rest of UNLOCK.
_RECOGNISED = tuple(
    name.encode() + b" "
    for name in (*KNOWN_METHODS, "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "REPORT", "SEARCH")
)
# Never kept, whatever the configuration asks for: they are secrets.
SECRET_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))

MORE = 0
NOT_OURS = -1

READ_HEAD = 0
READ_CHUNK = 1
TUNNEL = 2

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

LENGTH_UNKNOWN = -1
LENGTH_BAD = -2
# A petabyte. Whoever announces more is taken to mean it: no connection lives long enough to see the end of either.
LENGTH_LIMIT = 1_000_000_000_000_000

# The longest method in use is UPDATEREDIRECTREF, 17; what is longer than this is not HTTP.
METHOD_MAX = 64
HOST_MAX = AUTHORITY_MAX
# Extensions are rare and short; RFC 9112, 7.1.1 demands a limit.
CHUNK_LINE_MAX = 4096
# HEAD and CONNECT requests that wait for their answers; of more nobody knows which are still to be answered.
SPECIALS_MAX = 1024
# A request line that has not ended after so many bytes may begin a flow if all else of it is right (long URLs).
LONG_LINE = 64
# So long without a message, and everything answered, a client that overlaps its requests is taken to be at rest.
REST_NS = 1_000_000_000

# Values of `skip`, as `decoder.py` and `conversation.py` say.
SKIP_TO_END = -1
REST_UNKNOWN = -2

# 1: may stand in a method (tchar, RFC 9110, 5.6.2); 2: a letter. Others are 0.
_CLASSES = bytes(
    (1 if chr(i).isascii() and (chr(i).isalnum() or chr(i) in "!#$%&'*+-.^_`|~") else 0)
    | (2 if chr(i).isascii() and chr(i).isalpha() else 0)
    for i in range(256)
)
_STATUSES = list(range(1000))
_ERROR_TYPES = [str(i) for i in range(1000)]


class Http1Settings:
    """What a user may set, bound to the decoder's factory with functools.partial.

    `methods`: the known ones (OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS), others are `_OTHER`. `request_headers`,
    `response_headers`: names
    of headers whose values become attributes. `propagators`: the formats of trace context to read, none if empty.
    Raises ValueError for a header that is a secret, or a propagator that nobody knows.
    """

    def __init__(
        self,
        methods: Iterable[str] = KNOWN_METHODS,
        request_headers: Iterable[str] = (),
        response_headers: Iterable[str] = (),
        propagators: Iterable[str] = ("tracecontext",),
    ) -> None:
        self.methods: tuple[str, ...] = tuple(methods)
        self.tokens: tuple[bytes, ...] = tuple(name.encode() + b" " for name in self.methods)
        wanted: dict[bytes, str] = {}
        for name in request_headers:
            wanted[name.lower().encode()] = "http.request.header." + name.lower()
        self.request_headers: dict[bytes, str] = wanted
        given: dict[bytes, str] = {}
        for name in response_headers:
            given[name.lower().encode()] = "http.response.header." + name.lower()
        self.response_headers: dict[bytes, str] = given
        for key in (*wanted, *given):
            if key.decode() in SECRET_HEADERS:
                raise ValueError(f"the header {key.decode()!r} is a secret and is never kept")
        formats: tuple[str, ...] = tuple(propagators)
        self.context: TraceContext | None = TraceContext(formats) if formats else None


_DEFAULT = Http1Settings()


class Lines:
    """One direction: what is being read, and what the lines read so far have said.

    All places count from the frame's first byte. `at` is where the next line begins, 0 before the start line has ended;
    no LF stands in `[at:searched)`.
    """

    def __init__(self) -> None:
        self.state = READ_HEAD
        self.first_chunk = True
        self.start_message()

    def start_message(self) -> cython.int:
        self.at = 0
        self.searched = 0
        self.method = -1
        self.kind = PLAIN
        self.minor = 1
        self.status = 0
        self.name_end = 0
        self.target = 0
        self.target_end = 0
        self.headers = 0
        self.host = 0
        self.host_end = 0
        self.length = LENGTH_UNKNOWN
        self.coding = CODING_NONE
        self.chunk = 0
        self.body = 0
        return 0


class Http1Decoder(Decoder):
    """One connection's HTTP/1."""

    def __init__(self, settings: Http1Settings | None = None) -> None:
        self.detail = True
        self.skip = 0
        self.vantage = VANTAGE_SERVER
        self.settings = _DEFAULT if settings is None else settings
        self.request = Lines()
        self.response = Lines()
        # How many began; a final response belongs to the request of the same number.
        self.requests = 0
        self.responses = 0
        # In doubt, requests below `certain` are still known to be the next in order.
        self.doubt = False
        self.certain = 0
        self.overlaps = False
        self.last_direction = TO_SERVER
        self.last_ns = 0
        self.connecting = False
        # HEAD and CONNECT: number, kind, number, kind, ...
        self.specials: list[int] | None = None
        self.host_bytes: bytes | None = None
        self.host_name: str | None = None
        self.host_port = 0
        self.host_default = 0

    # --- the contract of decoder.py ---

    def meet(self, endpoints: Endpoints) -> cython.int:
        self.requests = 0
        self.responses = 0
        self.certain = 0
        self.overlaps = False
        self.last_direction = TO_SERVER
        self.last_ns = 0
        return 0

    def rests(self) -> cython.bint:
        if self.request.state != READ_HEAD or self.response.state != READ_HEAD or self.doubt:
            return False
        return self.requests == self.responses and self.request.at == 0 and self.response.at == 0 and self.specials is None

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == READ_HEAD:
            if self.connecting and direction == TO_SERVER:
                return MORE  # whether this is HTTP is for the answer to CONNECT to say
            return self._read_head(lines, direction, c)
        if lines.state == READ_CHUNK:
            return self._read_chunk(lines, c)
        return 1

    def parse(self, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == READ_HEAD:
            if lines.at == 0:
                return 0  # an empty line before a start line
            if direction == TO_SERVER:
                return self._request(lines, c, ts_ns, out)
            return self._response(lines, c, ts_ns, out)
        if lines.state == READ_CHUNK:
            return self._chunk(lines, direction, out)
        self.skip = SKIP_TO_END
        return 0

    def on_gap(self, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state != TUNNEL:
            lines.state = READ_HEAD
            lines.start_message()
        if direction == TO_CLIENT:
            self._void()
        elif not self.doubt:
            self.doubt = True
            self.certain = self.requests
        return 0

    def sync(self, direction: cython.int, c: Cursor) -> cython.bint:
        lines: Lines = self.response if direction == TO_CLIENT else self.request
        if lines.state == TUNNEL:
            return True
        if self._starts(direction, c) != 2:
            return False
        return direction == TO_CLIENT or self._recognised(c, _skip_empty(c))

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
                if c.u8(base + 1) != 0x0A:
                    raise Malformed("http", "CR without LF", 0)
                return 2
            if direction == TO_CLIENT:
                at = self._read_status_line(lines, c)
            else:
                at = self._read_request_line(lines, c)
            if at <= 0:
                return at
            lines.at = at
            lines.searched = at
            lines.headers = at
        at = base + lines.at
        if at >= end:
            return MORE
        eol: cython.Py_ssize_t = base + lines.searched
        b = c.u8(at)
        while True:
            if b == 0x0A:
                return at + 1 - base
            if b == 0x0D:
                if at + 1 >= end:
                    break
                if c.u8(at + 1) == 0x0A:
                    return at + 2 - base
                raise Malformed("http", "CR without LF", at - base)
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
        """A first request line that breaks the grammar. A server answers it, with 400 as a rule (RFC 9112, 3), so there is a
        roundtrip, of an unknown method; no other line may be read so: after a good request nobody knows what it is.

        Only a line that says `HTTP/` or begins with a known method; anything else raises Malformed.
        """
        base: cython.Py_ssize_t = c.pos
        if self.requests > 0 or self.doubt or self.resumed:
            raise Malformed("http", what, 0)
        eol: cython.Py_ssize_t = c.find(0x0A, base, c.end)
        if eol < 0:
            if c.end - base >= BROKEN_LINE_MAX:
                raise Malformed("http", what, 0)
            return MORE
        line: bytes = c.take(base, eol)
        known: cython.bint = False
        method: cython.int = BROKEN
        for i, token in enumerate(self.settings.tokens):
            known = known or line.startswith(token[: len(token) - 1])
            if line.startswith(token):
                method = i
        if len(line) > BROKEN_LINE_MAX or not (known or b"HTTP/" in line):
            raise Malformed("http", what, 0)
        lines.method = method
        lines.minor = -1
        lines.kind = HEAD if line.startswith(b"HEAD ") else PLAIN
        lines.name_end = 0
        lines.target = 0
        lines.target_end = 0
        return eol + 1 - base

    def _read_status_line(self, lines: Lines, c: Cursor) -> cython.Py_ssize_t:
        #  HTTP/1.x SP 3DIGIT SP [ reason-phrase ] CRLF                                    RFC 9112, 4
        base: cython.Py_ssize_t = c.pos
        answer: cython.int = self._starts(TO_CLIENT, c)
        if answer == 0:
            raise Malformed("http", "no status line", 0)
        if answer == 1:
            return MORE
        eol: cython.Py_ssize_t = c.find(0x0A, base + lines.searched, c.end)
        if eol < 0:
            lines.searched = c.end - base
            return MORE
        lines.minor = c.u8(base + 7) - 0x30
        lines.status = (c.u8(base + 9) - 0x30) * 100 + (c.u8(base + 10) - 0x30) * 10 + c.u8(base + 11) - 0x30
        return eol + 1 - base

    def _read_header(self, lines: Lines, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Take what the field line `[at:end)` says of the message's length and server, if it does."""
        value: cython.Py_ssize_t
        b: cython.int = c.u8(at) | 0x20
        if b == 0x63:
            value = at + 15 if c.starts(at, b"Content-Length:") else _after_name(c, at, end, b"content-length")
            if value < 0:
                return 0
            length: cython.Py_ssize_t = _read_length(c, value, end)
            if length == LENGTH_BAD:
                raise Malformed("http", "content-length is no number", at - c.pos)
            if lines.length != LENGTH_UNKNOWN and lines.length != length:
                raise Malformed("http", "two content-lengths", at - c.pos)
            lines.length = length
        elif b == 0x74:
            value = _after_name(c, at, end, b"transfer-encoding")
            if value < 0:
                return 0
            coding: cython.int = _read_coding(c, value, end)
            if coding != CODING_NONE:
                if lines.coding == CODING_CHUNKED:
                    raise Malformed("http", "coding after chunked", at - c.pos)
                lines.coding = coding
        elif lines.host_end == 0:
            value = at + 5 if c.starts(at, b"Host:") else _after_name(c, at, end, b"host")
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
                    raise Malformed("http", "chunk longer than its size", 0)
                at += 1
            eol = c.find(0x0A, at if at > base + lines.searched else base + lines.searched, end)
            if (end if eol < 0 else eol) - at > CHUNK_LINE_MAX:
                raise Malformed("http", "chunk line too long", 0)
            if eol < 0:
                lines.searched = end - base
                return MORE
            lines.chunk = self._read_chunk_size(c, at, eol)
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

    def _read_chunk_size(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        size: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t = at
        digit: cython.int
        while at < end:
            digit = _hex_value(c.u8(at))
            if digit < 0:
                break
            size = size << 4 | digit
            if size > LENGTH_LIMIT:
                raise Malformed("http", "chunk size too large", at - c.pos)
            at += 1
        if at == first:
            raise Malformed("http", "no chunk size", at - c.pos)
        while at < end:
            b: cython.int = c.u8(at)
            if b == 0x3B or (b == 0x0D and at + 1 == end):
                break
            if b != 0x20 and b != 0x09:
                raise Malformed("http", "no chunk size", at - c.pos)
            at += 1
        return size

    # --- messages ---

    def _request(self, lines: Lines, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        if lines.coding == CODING_OTHER:
            # RFC 9112, 6.3: the length cannot be determined; a server answers 400 and closes.
            raise Malformed("http", "request body of unknown length", 0)
        # Everything answered: the count is right again, unless the client keeps several requests on their way, so that
        # there is always one that a lost request could have taken the place of.
        if self.requests == self.responses:
            if self.doubt and (not self.overlaps or ts_ns - self.last_ns >= REST_NS):
                self.doubt = False
        elif self.last_direction == TO_CLIENT:
            self.overlaps = True
        self.last_direction = TO_SERVER
        self.last_ns = ts_ns
        if lines.kind != PLAIN:
            self._remember(lines.kind)
        self.requests += 1
        settings: Http1Settings = self.settings
        if lines.method >= 0:
            out.operation = settings.methods[lines.method]
        else:
            out.operation = "_OTHER"
        if lines.minor >= 0:
            out.version = "1.0" if lines.minor == 0 else "1.1"
        self._server_of(lines, c, out)
        if lines.minor >= 0:
            self._target(lines, c, out)
        if self.detail:
            self._describe_request(lines, c, out)
        # RFC 9112, 6.3: Transfer-Encoding overrides Content-Length; neither means no body.
        if lines.coding == CODING_CHUNKED:
            out.piece = BEGINS
            lines.state = READ_CHUNK
            lines.first_chunk = True
        elif lines.length > 0:
            self.skip = lines.length
            if self.detail and lines.length < LENGTH_LIMIT:
                out.add("http.request.body.size", lines.length)
        lines.start_message()
        return 1

    def _response(self, lines: Lines, c: Cursor, ts_ns: cython.longlong, out: Message) -> cython.int:
        status: cython.int = lines.status
        if status < 200 and (status != 101 or self._upgrades(lines, c)):
            lines.start_message()
            return 0  # 100, 102, 103, or HTTP/2 from here: the final response is still to come
        kind: cython.int = PLAIN
        known: cython.bint = True
        if self.responses == self.requests:
            known = False
        else:
            if self.doubt and self.responses >= self.certain:
                known = False
            kind = self._recall()
            self.responses += 1
        self.last_direction = TO_CLIENT
        self.last_ns = ts_ns
        out.status = _STATUSES[status]
        out.fault = FAULT_NONE
        out.version = "1.0" if lines.minor == 0 else "1.1"
        if status >= 400:
            out.fault = FAULT_CLIENT if status < 500 else FAULT_BOTH
            out.error_type = _ERROR_TYPES[status]
        if self.detail and len(self.settings.response_headers) > 0:
            self._keep_headers(self.settings.response_headers, lines, c, out)
        # RFC 9112, 6.3, in its order.
        if status == 101 or (kind == CONNECT and status < 300):
            self._end_http()
        elif kind == HEAD or status == 204 or status == 304:
            pass
        elif not known and (lines.coding != CODING_NONE or lines.length != 0):
            # It may answer a HEAD that nobody saw. What follows is read again where a response begins; how many were
            # passed over until then is not known.
            self.skip = REST_UNKNOWN
            self._void()
        elif lines.coding == CODING_CHUNKED:
            out.piece = BEGINS
            lines.state = READ_CHUNK
            lines.first_chunk = True
        elif lines.coding == CODING_OTHER or lines.length == LENGTH_UNKNOWN:
            self.skip = SKIP_TO_END
        else:
            self.skip = lines.length
            if self.detail and lines.length < LENGTH_LIMIT:
                out.add("http.response.body.size", lines.length)
        lines.start_message()
        return 1

    def _chunk(self, lines: Lines, direction: cython.int, out: Message) -> cython.int:
        lines.at = 0
        lines.searched = 0
        if lines.chunk > 0:
            out.piece = 0
            lines.first_chunk = False
            lines.body += lines.chunk
            self.skip = lines.chunk
            return 1
        out.piece = ENDS
        if self.detail:
            if direction == TO_CLIENT:
                out.add("http.response.body.size", lines.body)
            else:
                out.add("http.request.body.size", lines.body)
        lines.state = READ_HEAD
        lines.start_message()
        return 1

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
        self.connecting = False
        return 0

    def _void(self) -> cython.int:
        """Nobody knows any more which requests are still to be answered."""
        self.responses = self.requests
        self.specials = None
        self.connecting = False
        self.doubt = True
        self.certain = self.requests
        return 0

    def _remember(self, kind: cython.int) -> cython.int:
        if self.specials is None:
            self.specials = []
        elif len(self.specials) >= 2 * SPECIALS_MAX:
            self._void()
            self.specials = []
        self.specials.append(self.requests)
        self.specials.append(kind)
        if kind == CONNECT:
            self.connecting = True
        return 0

    def _recall(self) -> cython.int:
        """What kind of request the next response answers."""
        specials = self.specials
        if specials is None:
            return PLAIN
        number: cython.longlong = specials[0]
        if number != self.responses:
            return PLAIN
        kind: cython.int = specials[1]
        del specials[0:2]
        if len(specials) == 0:
            self.specials = None
        if kind == CONNECT:
            self.connecting = False
        return kind

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
        settings: Http1Settings = self.settings
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
                elif self.vantage == VANTAGE_SERVER:
                    if b == 0x66 and n == 9 and _same(c, at, b"forwarded"):
                        if forwarded is None:
                            forwarded = _value(c, value, end)
                    elif b == 0x78 and n >= 15 and _same(c, at, b"x-forwarded-"):
                        if n == 15 and forwarded_for is None and _same(c, at, b"x-forwarded-for"):
                            forwarded_for = _value(c, value, end)
                        elif n == 16 and forwarded_host is None and _same(c, at, b"x-forwarded-host"):
                            forwarded_host = _value(c, value, end)
                        elif n == 17 and forwarded_proto is None and _same(c, at, b"x-forwarded-proto"):
                            forwarded_proto = _value(c, value, end)
            at = end + 1
        if (
            forwarded is not None
            or forwarded_for is not None
            or forwarded_host is not None
            or forwarded_proto is not None
        ):
            origin = Origin(forwarded, forwarded_for, forwarded_host, forwarded_proto)
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
        """2: a message begins at the cursor, 1: perhaps, 0: no."""
        at: cython.Py_ssize_t = _skip_empty(c)
        end: cython.Py_ssize_t = c.end
        b: cython.int
        if at == end:
            return 1
        if direction == TO_CLIENT:
            if not c.starts(at, b"HTTP/1."):
                n: cython.Py_ssize_t = end - at
                if n >= 7 or not b"HTTP/1.".startswith(c.take(at, end)):
                    return 0
                return 1
            i: cython.Py_ssize_t
            for i in range(7, 13):
                if at + i >= end:
                    return 1
                b = c.u8(at + i)
                if i == 8:
                    if b != 0x20:
                        return 0
                elif i == 12:
                    if b != 0x20 and b != 0x0D and b != 0x0A:
                        return 0
                elif b < 0x30 or b > 0x39 or (i == 9 and b == 0x30):
                    return 0
            return 2
        space: cython.Py_ssize_t = at
        while space < end:
            b = c.u8(space)
            if b == 0x20:
                break
            if _class(b) == 0 or space - at >= METHOD_MAX or (space == at and _class(b) & 2 == 0):
                return 0
            space += 1
        if space == end:
            return 1
        # A target begins with a slash, an asterisk or a scheme; after a known method whatever may be one.
        known: cython.bint = self._recognised(c, at)
        if not known and space + 1 < end:
            b = c.u8(space + 1)
            if b != 0x2F and b != 0x2A and (b | 0x20) != 0x68:
                return 0
        eol: cython.Py_ssize_t = c.find(0x0A, space, end)
        if eol >= 0:
            if c.u8(eol - 1) == 0x0D:
                eol -= 1
            if eol - 9 <= space + 1 or not c.starts(eol - 9, b" HTTP/1."):
                return 0
            return 2 if known or c.find(0x20, space + 1, eol - 9) < 0 else 0
        stop: cython.Py_ssize_t = end if end - at < LONG_LINE else at + LONG_LINE
        while space < stop:
            if c.u8(space) < 0x20 and (c.u8(space) != 0x0D or space + 1 < end):
                return 0
            space += 1
        return 2 if known and stop - at == LONG_LINE else 1

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


def _after_name(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, name: bytes) -> cython.Py_ssize_t:
    """Where the value begins if the field line `[at:end)` has this name, else -1.

    Raises Malformed for white space before the colon: not all servers see the same header then (RFC 9112, 5.1).
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
        raise Malformed("http", "space before a colon", colon - c.pos)
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
    """Where the field line at `at` ends, with what is folded into it: the place of its LF; `at` for the empty line."""
    b: cython.int = c.u8(at)
    if b == 0x0A or b == 0x0D:
        return at
    end: cython.Py_ssize_t = c.find(0x0A, at, c.end)
    while end + 1 < c.end and (c.u8(end + 1) == 0x20 or c.u8(end + 1) == 0x09):
        end = c.find(0x0A, end + 1, c.end)
    return end


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
    """What the last coding of the list `[at:end)` is: only `chunked` tells where the body ends."""
    at = _trim_start(c, at, end)
    end = _trim_end(c, at, end)
    last: cython.Py_ssize_t = at
    i: cython.Py_ssize_t
    for i in range(at, end):
        if c.u8(i) == 0x2C:
            last = i + 1
    last = _trim_start(c, last, end)
    if end - last == 7 and _same(c, last, b"chunked"):
        return CODING_CHUNKED
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
