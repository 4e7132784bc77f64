"""Frames inside frames: what stands between bytes and frames of a stream that is no connection.

Room: l7. A connection's frames may carry another stream of frames, cut anywhere: gRPC's messages in DATA, MySQL's packets in
compressed ones, a batch that is inflated. `Inner` is to such a stream what a `HalfStream` is to a direction of a connection: the
beginning of a frame that is cut (`partial`), the rest of one that nobody wants (`skip`), and what to do after a hole (`resync`).
Frames are read by a `Decoder`; many streams may share one that keeps nothing from frame to frame.

    c.set(buf, start, end)              the next bytes of the stream, wherever they come from
    inner.feed(c)
    while inner.next(reader, direction, c, ts_ns, out) > 0:
        ...                             `out` is filled; one that came with more is the caller's `more`
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import cython

from receiver.l7.decoder import Decoder
from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed, Message


@cython.no_gc
@cython.cclass
class Inner:
    """One direction of a stream. `missing`: bytes behind those that are read that never come; -1: nobody knows how many."""

    def __init__(self) -> None:
        self.partial: bytes | None = None
        self.need = 0
        self.skip = 0
        self.missing = 0
        self.resync = False

    def feed(self, c: Cursor) -> cython.int:
        """The next bytes are in the window; it moves to another buffer where a frame began before them."""
        if self.partial is not None:
            joined: bytes = self.partial + c.take(c.pos, c.end)
            self.partial = None
            c.set(joined, 0, len(joined))
        return 0

    def next(
        self, reader: Decoder, direction: cython.int, c: Cursor, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        """Read on, up to a message: 1, `out` is filled by `reader`. 0: all of the window is read; -1: these are no such frames."""
        end: cython.Py_ssize_t = c.end
        n: cython.Py_ssize_t
        while c.pos < end:
            n = end - c.pos
            if self.skip != 0:
                c.skip(self.passed_over(n))
                continue
            if n < self.need:
                break
            if self.resync:
                if not reader.resync(direction, c):
                    c.skip(n)
                    break
                self.resync = False
            n = reader.frame(direction, c)
            if n < 0:
                return -1
            if n == 0 or n > end - c.pos:
                self.need = n
                break
            self.need = 0
            c.clamp(c.pos + n)
            filled: cython.int = reader.parse(direction, c, ts_ns, out)
            c.clamp(end)
            c.skip(n)
            self.skip = reader.skip
            reader.skip = 0
            if filled:
                return 1
        if c.pos < end:
            self.partial = c.take(c.pos, end)
            c.skip(end - c.pos)
        if self.missing != 0:
            n = self.missing
            self.missing = 0
            self.lose(reader, direction, n if n > 0 else 0)
        return 0

    def passed_over(self, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """How many of the next `size` bytes nobody wants: the caller need not have them."""
        if self.skip < 0:  # all that follow
            return size
        if self.skip < size:
            size = self.skip
        self.skip -= size
        return size

    def lose(self, reader: Decoder, direction: cython.int, missing: cython.Py_ssize_t) -> cython.int:
        """`missing` bytes of the stream never come (0: nobody knows how many); none of those that nobody wants is missed."""
        if self.skip < 0 or 0 < missing <= self.skip:
            self.passed_over(missing)
            return 0
        self.partial = None
        self.need = 0
        self.skip = 0
        self.resync = True
        return reader.lost(direction, missing)

    def between(self) -> cython.bint:
        """Whether the stream stands between two frames."""
        return self.partial is None and self.skip == 0


class Inflater:
    """Makes bytes of compressed ones: at most `budget` of a piece, for a few can stand for any number. `limits[name]` counts the
    pieces that have more; what was made of them is read, the rest is a hole. `make` makes an object like zlib's, for one piece."""

    def __init__(
        self,
        protocol: str,
        name: str,
        budget: cython.Py_ssize_t,
        limits: dict[str, int],
        make: Callable[[], Any] = zlib.decompressobj,
    ) -> None:
        self.protocol = protocol
        self.name = name
        self.budget = budget
        self.limits = limits
        self.limits.setdefault(name, 0)
        self.make = make

    def feed(
        self, inner: Inner, c: Cursor, packed: bytes, size: cython.Py_ssize_t, cut: cython.bint = False
    ) -> cython.int:
        """Feed a piece to `inner`, through `c`. `size`: how many bytes it is said to have, -1 where nobody says. `cut`: `packed` is
        only its beginning, and what the rest would make never comes.

        Raises Malformed for what cannot be inflated, or ends early, or has another size.
        """
        inflater = self.make()
        try:
            made: bytes = inflater.decompress(packed, self.budget + 1)
        except (zlib.error, ValueError, OSError, EOFError):
            raise Malformed(self.protocol, "compressed data broken", 0) from None
        n: cython.Py_ssize_t = len(made)
        if n > self.budget:
            self.limits[self.name] += 1
            n = self.budget
            inner.missing = size - n if size > n else -1
        elif cut:
            inner.missing = size - n if size > n else -1 if size < 0 else 0
        elif not inflater.eof or (size >= 0 and size != n):
            raise Malformed(self.protocol, "compressed data cut short", 0)
        c.set(made, 0, n)
        return inner.feed(c)
