"""What must not leave in a URL: userinfo and query values.

Room: telemetry; on the packet path, linear in the text. Whatever comes in, what goes out is printable ASCII of at most
`limit` bytes: every other byte is percent-encoded, so the text is valid UTF-8 and nothing is lost that may be shown.

    https://user:password@host/a;jsessionid=1?token=1&page=2   ->
    https://REDACTED:REDACTED@host/a;jsessionid=REDACTED?token=REDACTED&page=REDACTED

The semantic conventions ask for the userinfo and the values of seven parameters (docs/http/http-spans.md, `url.full`,
`url.query`); here every value goes, because a secret's name cannot be known.
"""

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.writer import Writer

_REDACTED = b"REDACTED"
_USERINFO = b"REDACTED:REDACTED@"
_DIGITS = b"0123456789ABCDEF"

# 1: printable; 2: printable, and nothing that could begin or end what is redacted outside a query.
_CLASS = bytes((0x20 < c < 0x7F) + 2 * (0x20 < c < 0x7F and c not in b"@;?#") for c in range(256))

_SLASH = 0x2F
_HASH = 0x23
_AT = 0x40
_AND = 0x26
_SEMICOLON = 0x3B
_EQUALS = 0x3D
_COLON = 0x3A

# A longer name is no name: it may be a token that ends in '=' (base64 padding), or a value without a name.
KEY_MAX = 64
BARE_KEY_MAX = 16  # of a name with nothing after its '='


class Redactor:
    """Rewrites paths and queries; `redactions` counts the values replaced, `truncations` the texts cut."""

    def __init__(self, limit: cython.Py_ssize_t = 2048) -> None:
        """`limit`: bytes of a result. Raises ValueError for one below 64."""
        if limit < 64:
            raise ValueError("the limit must be at least 64 bytes")
        self.limit = limit
        self.redactions = 0
        self.truncations = 0
        self._out = Writer(limit + 64)
        self._c = Cursor()

    def path(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """`buf[start:end]`, the part of a target in any of its forms before '?', for `url.path`."""
        if start < 0 or end > len(buf) or start > end:
            raise IndexError("text outside the buffer")
        if self._plain(buf, start, end) == end and end - start <= self.limit:
            if end - start == len(buf):
                return buf
            return self._c.take(start, end)
        at: cython.Py_ssize_t = start
        while at < end and buf[at] != _HASH:
            at += 1
        self._path(buf, start, at)
        if at < end:
            # A fragment is never sent by a client that keeps to the rules; what is there instead may be anything.
            self._out.byte(_HASH)
            if at + 1 < end:
                self._out.put(_REDACTED)
                self.redactions += 1
        return self._take()

    def query(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """`buf[start:end]`, the part of a target after '?', for `url.query`."""
        if start < 0 or end > len(buf) or start > end:
            raise IndexError("text outside the buffer")
        self._c.set(buf, start, end)
        self._query(buf, start, end)
        return self._take()

    def _plain(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the text, if it is a URL without a query, first needs a closer look."""
        self._c.set(buf, start, end)
        classes: bytes = _CLASS
        at: cython.Py_ssize_t = start
        while at < end and classes[buf[at]] > 1:
            at += 1
        return at

    def _take(self) -> bytes:
        if self._out.size > self.limit:
            self._out.rewind(self.limit)
            self.truncations += 1
        return self._out.take()

    def _put(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Append text as printable ASCII; what comes after the limit is not looked at."""
        classes: bytes = _CLASS
        at: cython.Py_ssize_t = start
        first: cython.Py_ssize_t
        c: cython.int
        while at < end and self._out.size <= self.limit:
            first = at
            while at < end and classes[buf[at]] > 0:
                at += 1
            if at > first:
                self._out.put(self._c.take(first, at if at - first <= self.limit else first + self.limit + 1))
            else:
                c = buf[at]
                self._out.byte(0x25)
                self._out.byte(_DIGITS[c >> 4])
                self._out.byte(_DIGITS[c & 15])
                at += 1
        return 0

    def _path(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Text without a query, piece by piece between slashes."""
        at: cython.Py_ssize_t = start
        first: cython.Py_ssize_t
        authority: cython.bint = True  # it may begin with one: CONNECT
        while at <= end and self._out.size <= self.limit:
            first = at
            while at < end and buf[at] != _SLASH:
                at += 1
            self._piece(buf, first, at, authority)
            if at == end:
                return 0
            self._out.byte(_SLASH)
            # An authority follows an empty piece: '//host', 'http://host', also further back: '/proxy/http://host'.
            authority = first == at and first > start
            at += 1
        return 0

    def _piece(
        self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, authority: cython.bint
    ) -> cython.int:
        """One piece of a path: perhaps userinfo, then text, then perhaps parameters behind ';'."""
        at: cython.Py_ssize_t
        from_: cython.Py_ssize_t = start
        named: cython.bint = False
        c: cython.int
        for at in range(start, end):
            c = buf[at]
            if c == _COLON:
                authority = True  # 'user:password@', even where the slashes before it are percent-encoded
            elif c == _AT and authority:
                from_ = at + 1
        if from_ > start:
            self._out.put(_USERINFO)
            self.redactions += 1
        at = from_
        while at < end:
            from_ = at
            while at < end and buf[at] != _SEMICOLON:
                at += 1
            if named and self._has_value(buf, from_, at):
                self._item(buf, from_, at)
            else:
                self._put(buf, from_, at)
            if at < end:
                self._out.byte(_SEMICOLON)
                named = True
                at += 1
        return 0

    def _has_value(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        at: cython.Py_ssize_t = start
        while at < end and buf[at] != _EQUALS:
            at += 1
        return at < end

    def _query(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Items between '&'."""
        at: cython.Py_ssize_t = start
        first: cython.Py_ssize_t
        while at < end:
            if self._out.size > self.limit:
                return 0
            first = at
            while at < end and buf[at] != _AND:
                at += 1
            self._item(buf, first, at)
            if at < end:
                self._out.byte(buf[at])
                at += 1
        return 0

    def _item(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """`name=value`, or a lone word, which may as well be a value."""
        if start == end:
            return 0
        equals: cython.Py_ssize_t = start
        while equals < end and buf[equals] != _EQUALS:
            equals += 1
        padding: cython.Py_ssize_t = equals
        while padding < end and buf[padding] == _EQUALS:
            padding += 1
        size: cython.Py_ssize_t = equals - start
        # 'dG9rZW4=' and 'dG9rZW4==' are values without a name.
        if equals == end or size > KEY_MAX or (padding == end and (size > BARE_KEY_MAX or end - equals > 1)):
            self._out.put(_REDACTED)
            self.redactions += 1
            return 0
        self._put(buf, start, equals)
        self._out.byte(_EQUALS)
        if equals + 1 < end:
            self._out.put(_REDACTED)
            self.redactions += 1
        return 0
