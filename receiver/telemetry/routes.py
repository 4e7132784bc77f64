"""From a path with ids in it to one of a few routes.

Room: telemetry. Two sources: patterns that the user gave, and a heuristic that replaces what looks like an id by `{id}`,
for everybody who gave none; whoever is told a route is told which of them it is of (ADR 4). A path
is hostile text; a route is printable, at most 200 bytes, and there are at most `templates_max` of the guessed ones.

What a pattern may be is written in `receiver.route`. At each segment a literal is preferred to a placeholder, the
placeholder with more literal text to the one with less, and both to `*`; of two patterns with the same path the one
that names the method. The order in the configuration does not matter. Empty segments and path parameters (`;a=b`) are
left out of the comparison, and a slash at the end as well; percent-encoded literals are compared decoded.
"""

from collections.abc import Sequence

import cython

from receiver.route import PATH_MAX, SEGMENTS_MAX, RoutePattern, parse_route
from receiver.wire.cursor import Cursor

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

_SLASH = 0x2F
_SEMICOLON = 0x3B
_QUESTION = 0x3F
_HASH = 0x23
_PERCENT = 0x25

_CACHED_PATH_MAX = 256  # bytes: longer paths are looked at each time
_CACHE_MAX = 2048  # paths in each of two generations: 2 x 2048 x (256 + about 150) bytes = 1.6 MB at most
_SEGMENTS_MAX = 8  # of a guessed route; the rest of a deeper path is '*'
_WORD_MAX = 40  # longer words are ids
_TEXT_MAX = PATH_MAX
_DEPTH_MAX = SEGMENTS_MAX + 1  # segments of a path that are compared with patterns; no pattern has more

# What a byte is within a segment: 1 digit, 2 hexadecimal letter, 3 other letter, 4 separator that words may contain;
# 0 never stands in a literal of a guessed route ('%', '=', '@', '{', spaces, controls, everything beyond ASCII).
_KIND = bytes(
    1
    if 0x30 <= c <= 0x39
    else 2
    if chr(c) in "abcdefABCDEF"
    else 3
    if 0x41 <= c <= 0x5A or 0x61 <= c <= 0x7A
    else 4
    if chr(c) in "-_.~+,:"
    else 0
    for c in range(256)
)


class Route:
    """`configured`: the user gave it; otherwise it is a guess."""

    def __init__(self, text: str, configured: cython.bint) -> None:
        self.text = text
        self.configured = configured


class _Node:
    """What follows a prefix of segments: `here` are the routes that end with it, `below` those with `*` after it; by method."""

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = {}
        self.placeholders: list[_Placeholder] = []
        self.here: dict[str, Route] = {}
        self.below: dict[str, Route] = {}


class _Placeholder:
    def __init__(self, prefix: bytes, suffix: bytes, node: _Node) -> None:
        self.prefix = prefix
        self.suffix = suffix
        self.node = node


class RouteTable:
    """The routes of one service. `overflowed` counts paths that got the overflow route, `/**`."""

    def __init__(
        self, patterns: Sequence[str] = (), heuristic: cython.bint = True, templates_max: cython.Py_ssize_t = 100
    ) -> None:
        """Raises ValueError for a pattern that cannot be read."""
        self._heuristic = heuristic
        self._templates_max = templates_max
        self.overflowed = 0
        self.overflow = Route("/**", False)
        self._root = _Node()
        self._any_configured = len(patterns) > 0
        self._any_method = False
        self._method = ""
        for text in patterns:
            pattern = parse_route(text)
            self._any_method = self._any_method or pattern.method != ""
            _add(self._root, pattern)
        self._young: dict[bytes, Route | None] = {}
        self._old: dict[bytes, Route | None] = {}
        self._templates: dict[bytes, Route] = {}
        self._text = bytearray(_TEXT_MAX + _WORD_MAX + 8)
        self._c = Cursor()
        self._segments: list[bytes] = []

    def find(self, path: bytes, learn: cython.bint = True, method: str | None = None) -> Route | None:
        """The route of a path (a request target up to its '?') and a method; None where there is none.

        `learn` false: no new guess is made of it, only those known already are used. Say so for a path that the server
        did not know (404), so that whoever tries out paths does not use up the templates. `method` None: it is unknown.
        """
        key: bytes = path
        if self._any_method:
            self._method = "" if method is None else method
            key = self._method.encode() + path  # no method has a slash, and a path begins with one
        known: Route | None = self._young.get(key)
        if known is not None:
            return known
        return self._resolve(key, path, learn)

    def template(self, path: bytes, learn: cython.bint = True, method: str | None = None) -> str | None:
        """The text of `find`."""
        route: Route | None = self.find(path, learn, method)
        if route is None:
            return None
        return route.text

    def _resolve(self, key: bytes, path: bytes, learn: cython.bint) -> Route | None:
        route: Route | None = None
        if key in self._young:
            return None
        if key in self._old:
            route = self._old[key]
        else:
            end: cython.Py_ssize_t = 0
            size: cython.Py_ssize_t = len(path)
            while end < size and path[end] != _QUESTION and path[end] != _HASH:
                end += 1
            self._c.set(path, 0, end)
            if end > 0 and path[0] == _SLASH:
                if self._any_configured:
                    route = self._configured(path, end)
                if route is None and self._heuristic:
                    text: bytes = self._collapse(path, end)
                    route = self._templates.get(text)
                    if route is None:
                        if not learn or len(self._templates) >= self._templates_max:
                            # Not cached: the next one may be allowed to learn, and a scanner's paths are not worth it.
                            self.overflowed += 1
                            return self.overflow
                        route = Route(text.decode("ascii"), False)
                        self._templates[text] = route
        if len(path) <= _CACHED_PATH_MAX:
            # Two generations: what was asked for since the last turn survives, without a list of who was asked when.
            if len(self._young) >= _CACHE_MAX:
                self._old = self._young
                self._young = {}
            self._young[key] = route
        return route

    def _configured(self, path: bytes, end: cython.Py_ssize_t) -> Route | None:
        segments: list[bytes] = []
        at: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t
        last: cython.Py_ssize_t
        encoded: cython.bint
        while at < end and len(segments) < _DEPTH_MAX:
            at += 1  # the slash
            first = at
            encoded = False
            while at < end and path[at] != _SLASH and path[at] != _SEMICOLON:
                if path[at] == _PERCENT:
                    encoded = True
                at += 1
            last = at
            while at < end and path[at] != _SLASH:
                at += 1
            if last > first:
                piece: bytes = self._c.take(first, last)
                segments.append(_unquote(piece) if encoded else piece)
        self._segments = segments
        return self._descend(self._root, 0)

    def _descend(self, node: _Node, at: cython.Py_ssize_t) -> Route | None:
        # Never visits more nodes than there are patterns' segments, whatever the path: a pattern tree has no cycles.
        if at == len(self._segments):
            return _of_method(node.here, self._method)
        piece: bytes = self._segments[at]
        found: Route | None
        literal: _Node | None = node.literals.get(piece)
        if literal is not None:
            found = self._descend(literal, at + 1)
            if found is not None:
                return found
        placeholder: _Placeholder
        for placeholder in node.placeholders:
            if (
                len(piece) > len(placeholder.prefix) + len(placeholder.suffix)
                and piece.startswith(placeholder.prefix)
                and piece.endswith(placeholder.suffix)
            ):
                found = self._descend(placeholder.node, at + 1)
                if found is not None:
                    return found
        return _of_method(node.below, self._method)

    def _collapse(self, path: bytes, end: cython.Py_ssize_t) -> bytes:
        """The path with `{id}` for what looks like one; printable ASCII, at most _TEXT_MAX bytes."""
        text: bytearray = self._text
        n: cython.Py_ssize_t = 0
        at: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t
        last: cython.Py_ssize_t
        i: cython.Py_ssize_t
        segments: cython.Py_ssize_t = 0
        c: cython.int
        while at < end:
            at += 1  # the slash
            first = at
            while at < end and path[at] != _SLASH and path[at] != _SEMICOLON:
                at += 1
            last = at
            while at < end and path[at] != _SLASH:
                at += 1
            if last == first:
                continue
            segments += 1
            # Room for one more segment, and for '/*' after it.
            if segments > _SEGMENTS_MAX or n > _TEXT_MAX - _WORD_MAX - 3:
                text[n] = 0x2F
                text[n + 1] = 0x2A
                n += 2
                break
            text[n] = 0x2F
            n += 1
            if last - first > _WORD_MAX or _is_id(path, first, last):
                text[n] = 0x7B
                text[n + 1] = 0x69
                text[n + 2] = 0x64
                text[n + 3] = 0x7D
                n += 4
            else:
                for i in range(first, last):
                    c = path[i]
                    text[n] = c
                    n += 1
        if n == 0:
            return b"/"
        if cython.compiled:
            # text[n - 1] was written, with its bounds checked
            whole: bytes = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(text), n)
            return whole
        return bytes(text[:n])


def _of_method(routes: dict[str, Route], method: str) -> Route | None:
    route = routes.get(method)
    if route is None and method == "HEAD":
        route = routes.get("GET")
    return routes.get("") if route is None else route


def _is_id(path: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether a segment is not a word: number, date, hash, UUID, token, address, or anything with odd bytes in it."""
    kinds: bytes = _KIND
    digits: cython.Py_ssize_t = 0
    letters: cython.Py_ssize_t = 0
    beyond_hex: cython.Py_ssize_t = 0
    separators: cython.Py_ssize_t = 0
    turns: cython.Py_ssize_t = 0  # from a letter to a digit or back
    folds: cython.Py_ssize_t = 0  # from upper to lower case or back, between two letters
    before: cython.int = 0
    last: cython.int = 0
    kind: cython.int
    c: cython.int
    at: cython.Py_ssize_t
    for at in range(start, end):
        c = path[at]
        kind = kinds[c]
        if kind == 0:
            return True
        if kind == 1:
            digits += 1
            if before == 2:
                turns += 1
            before = 1
        elif kind == 4:
            separators += 1
            before = 0
        else:
            letters += 1
            if kind == 3:
                beyond_hex += 1
            if before == 1:
                turns += 1
            elif before == 2 and (c ^ last) & 0x20 != 0:
                folds += 1
            before = 2
        last = c
    size: cython.Py_ssize_t = end - start
    if digits > 0:
        # 42, 2024-01-31, 10.0.0.1; three digits are an order's number, two may be a version: v12, oauth2, utf-16
        if letters == 0 or digits >= 3:
            return True
        # a hash: no word has eight hexadecimal digits, one of them a number
        if beyond_hex == 0 and size - separators >= 8:
            return True
        # a token: letters and digits change places too often, or it is too long for a word with a number
        return turns >= 4 or size - separators >= 20
    # letters only: a long hash without a number, or base64
    return (beyond_hex == 0 and letters >= 16) or (letters >= 12 and folds * 3 >= letters)


def _unquote(piece: bytes) -> bytes:
    """Percent-decoding; an escape that is not one stays as it is."""
    parts: list[bytes] = piece.split(b"%")
    out: bytes = parts[0]
    for part in parts[1:]:
        if len(part) >= 2 and not part[:2].strip(b"0123456789abcdefABCDEF"):
            out += bytes((int(part[:2], 16),)) + part[2:]
        else:
            out += b"%" + part
    return out


def _add(root: _Node, pattern: RoutePattern) -> None:
    node: _Node = root
    for segment in pattern.segments:
        prefix: bytes = _unquote(segment.prefix.encode())
        if segment.suffix is None:
            node = node.literals.setdefault(prefix, _Node())
        else:
            node = _placeholder(node, prefix, _unquote(segment.suffix.encode()))
    routes = node.below if pattern.rest else node.here
    routes[pattern.method] = Route(pattern.path, True)


def _placeholder(node: _Node, prefix: bytes, suffix: bytes) -> _Node:
    place = 0
    known: _Placeholder
    for known in node.placeholders:
        if known.prefix == prefix and known.suffix == suffix:
            return known.node
        if len(known.prefix) + len(known.suffix) >= len(prefix) + len(suffix):
            place += 1
    added = _Placeholder(prefix, suffix, _Node())
    node.placeholders.insert(place, added)
    return added.node
