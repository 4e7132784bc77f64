"""Routes as they are written in `receivers.pcap.http.routes`: the one grammar, for the check and for the table of routes.

Room: config.

    route   = [METHOD " "] path      no method: all of them; GET is for HEAD as well, where no route of that path says HEAD
    path    = "/" | 1*("/" segment)
    segment = "*"                    the last one only: one segment or more
            | text | [text] "{" name "}" [text]      `users`, `{id}`, `v{version}`, `Users({id})`

The forms are OpenAPI's (a placeholder anywhere in a segment) and those of Go's ServeMux (a method in front).
"""

from __future__ import annotations

import re

import msgspec

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: what methods and header names are made of
PATH_MAX = 200  # bytes: a route is a label of metrics
SEGMENTS_MAX = 63

# Nothing of `?` and `#`: they end a path. A name that ends in dots is Go's for "the rest", which is `*` here.
_SEGMENT = re.compile(r"([^{}*?#]*)(?:\{([A-Za-z_]|[A-Za-z_][A-Za-z0-9_.-]*[A-Za-z0-9_-])\}([^{}*?#]*))?")


class Segment(msgspec.Struct, frozen=True):
    """`prefix` itself, or with a `suffix` whatever lies between the two."""

    prefix: str
    suffix: str | None = None


class RoutePattern(msgspec.Struct, frozen=True):
    """`method` is "" for all of them; `rest`: one segment or more may follow."""

    method: str
    path: str
    segments: tuple[Segment, ...]
    rest: bool


def parse_route(text: str) -> RoutePattern:
    """Raises ValueError that says what is wrong, without the text."""
    method, space, path = text.rpartition(" ")
    if space and not TOKEN.fullmatch(method):
        raise ValueError("what stands before the path is not one method")
    if not path.startswith("/"):
        raise ValueError("the path does not start with /")
    if not path.isprintable() or len(path.encode()) > PATH_MAX:
        raise ValueError(f"the path is not printable, or longer than {PATH_MAX} bytes")
    pieces = [piece for piece in path.split("/") if piece]
    if len(pieces) > SEGMENTS_MAX:
        raise ValueError(f"the path has more than {SEGMENTS_MAX} segments")
    rest = pieces[-1:] == ["*"]
    if rest:
        del pieces[-1]
    if "*" in pieces:
        raise ValueError("* takes the rest and stands last")
    segments, names = [], set()
    for piece in pieces:
        match = _SEGMENT.fullmatch(piece)
        if match is None:
            raise ValueError(f"segment {piece!r} is neither text nor {{name}}")
        prefix, name, suffix = match.groups()
        if name is not None and name in names:
            raise ValueError("a name stands twice")
        names.add(name)
        segments.append(Segment(prefix, suffix))
    return RoutePattern(method, path, tuple(segments), rest)
