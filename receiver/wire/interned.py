"""Names from the wire, of each one object, and no more of them than a cap allows.

Room: wire; for decoders and the flow table. Series are found by the identity of the words that split them, so a word has to be the
same object each time; and what peers make up must not grow without end. Where the cap is reached is counted and exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cython

from receiver.wire.cursor import Cursor

# Places of names as they stand on the wire, found without a look into the dictionary; a power of two.
NEAR = 256


class Interned:
    """The object of each name: those `known` from the start, and `cap` more.

    One name more is told as `other`, as is what is no name; or, where each must have its object, the table `forgets` all and begins
    anew. Either way it is counted in `limits[name]`, which is there from the start. Subclasses say in `make` what a name's object
    is, and in `fold` which spellings are the same name. `by_name` has what there is; to ask it makes nothing.
    """

    def __init__(
        self,
        name: str,
        cap: cython.Py_ssize_t,
        limits: dict[str, int] | None = None,
        other: Any = None,
        known: Mapping[Any, Any] | None = None,
        forgets: cython.bint = False,
    ) -> None:
        self.name = name
        self.cap = cap
        self.other = other
        self.by_name: dict[Any, Any] = dict(known or {})
        self.limits: dict[str, int] = {} if limits is None else limits
        self.limits.setdefault(name, 0)
        self.forgets = forgets
        self.left = cap
        self.near_names: list[bytes | None] | None = None
        self.near: list[Any] | None = None

    def find(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> Any:
        """The object of the name in `[at:end)`, which is not empty."""
        n: cython.Py_ssize_t = end - at
        buf: bytes = c.buf
        # The first, one of the middle and the last byte; that they are in the window is asked where the name is compared or taken.
        return self.find_hashed(c, at, end, buf[at] * 31 + buf[end - 1] * 7 + buf[at + (n >> 1)] + n * 17)

    def find_hashed(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t, digest: cython.ulonglong) -> Any:
        """`find`, for who has a hash of those bytes."""
        if self.near_names is None:
            self.near_names, self.near = [None] * NEAR, [None] * NEAR
        place: cython.Py_ssize_t = digest & (NEAR - 1)
        wire: bytes | None = self.near_names[place]
        if wire is not None and len(wire) == end - at and c.starts(at, wire):
            return self.near[place]
        wire = c.take(at, end)
        found = self.named(wire)
        if found is not self.other:
            self.near_names[place] = wire
            self.near[place] = found
        return found

    def named(self, wire: bytes) -> Any:
        """The object of a name as it stands on the wire."""
        name: bytes = self.fold(wire)
        found = self.by_name.get(name)
        if found is None:
            found = self.make(name)
            found = self.other if found is None else self.add(name, found)
        return found

    def add(self, name: Any, found: Any) -> Any:
        """Keep a new name, of whatever type, with its object; returns that, or `other` when there is no room for it."""
        if self.left == 0:
            self.limits[self.name] = self.limits.get(self.name, 0) + 1
            if not self.forgets:
                return self.other
            self.by_name.clear()
            if self.near_names is not None:
                self.near_names, self.near = [None] * NEAR, [None] * NEAR
            self.left = self.cap
        self.left -= 1
        self.by_name[name] = found
        return found

    def drop(self, name: Any) -> Any:
        """Forget a name that was learnt; returns its object, None where there was none."""
        found = self.by_name.pop(name, None)
        if found is not None:
            self.left += 1
        return found

    def fold(self, wire: bytes) -> bytes:
        """The bytes by which a name is known; here each spelling is a name of its own."""
        return wire

    def make(self, name: bytes) -> Any:
        """The object of a new name, None for what is none; here its text, if it can be shown."""
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            return None
        return text if text.isprintable() else None
