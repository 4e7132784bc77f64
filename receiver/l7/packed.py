"""Compressed data that zlib does not read: snappy's blocks, and zstd where there is a library for it.

Room: l7. Each has the shape of `zlib.decompressobj`, for an `Inflater`: `decompress(packed, most)` makes at most so many bytes,
`eof` says whether that is all. What cannot be read raises ValueError. Source: google/snappy, "format_description.txt".

    block: [varint: how many bytes it makes] element...
    element: [u8 tag]; its two low bits: 0 a literal, 1 to 3 a copy of what was made before
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import cython
import snappy

# Where Python brings none of its own (3.14) one of these may be installed.
ZSTD_MODULES = ("compression.zstd", "backports.zstd", "pyzstd")
ENDED = -1
BROKEN = -2


class Snappy:
    """One block. The library reads whole ones; of what is cut, or makes too much, the beginning is made here."""

    def __init__(self) -> None:
        self.eof = False
        self.at = 0
        self.length = 0

    def decompress(self, packed: bytes, most: cython.Py_ssize_t) -> bytes:
        self.at = 0
        size: cython.Py_ssize_t = self._varint(packed)
        if size < 0:
            raise ValueError("no block of snappy")
        if size <= most:
            try:
                whole: bytes = snappy.uncompress(packed)
            except (snappy.UncompressError, ValueError):
                pass
            else:
                self.eof = True
                return whole
        return self._beginning(packed, size if size < most else most)

    def _varint(self, packed: bytes) -> cython.Py_ssize_t:
        value: cython.Py_ssize_t = 0
        shift: cython.int = 0
        while self.at < len(packed) and shift < 35:
            byte: cython.Py_ssize_t = packed[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        return -1

    def _beginning(self, packed: bytes, most: cython.Py_ssize_t) -> bytes:
        """What the elements make that are there, up to `most` bytes."""
        made: bytearray = bytearray(most)
        n: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t = len(packed)
        at: cython.Py_ssize_t = self.at
        while n < most and at < end:
            self.at = at
            offset: cython.Py_ssize_t = self._element(packed)
            if offset == ENDED:
                break
            length: cython.Py_ssize_t = self.length
            at = self.at
            if offset == 0:
                if length > end - at:
                    length = end - at
                if length > most - n:
                    length = most - n
                made[n : n + length] = packed[at : at + length]
                at += length
                n += length
                continue
            if offset == BROKEN or offset > n:
                raise ValueError("a copy of nothing")
            if length > most - n:
                length = most - n
            while length > 0:  # it may copy what it makes itself
                made[n] = made[n - offset]
                n += 1
                length -= 1
        return bytes(made[:n])

    def _element(self, packed: bytes) -> cython.Py_ssize_t:
        """Read an element's head: how far back it copies from, 0 of a literal, ENDED where it is cut; `length` is what it makes."""
        at: cython.Py_ssize_t = self.at
        left: cython.Py_ssize_t = len(packed) - at - 1
        tag: cython.int = packed[at]
        kind: cython.int = tag & 3
        offset: cython.Py_ssize_t = 0
        more: cython.int = 0
        if kind == 0:
            self.length = (tag >> 2) + 1
            if self.length > 60:
                more = tag >> 2
                more -= 59
                if left < more:
                    return ENDED
                self.length = 1 + self._number(packed, at + 1, more)
            self.at = at + 1 + more
            return 0
        more = 4 if kind == 3 else kind
        if left < more:
            return ENDED
        offset = self._number(packed, at + 1, more)
        self.length = (tag >> 2) + 1
        if kind == 1:
            self.length = (tag >> 2 & 7) + 4
            offset |= (tag >> 5) << 8
        self.at = at + 1 + more
        return offset if offset > 0 else BROKEN

    def _number(self, packed: bytes, at: cython.Py_ssize_t, size: cython.int) -> cython.Py_ssize_t:
        """Little-endian; all of its bytes are there."""
        value: cython.Py_ssize_t = 0
        while size > 0:
            size -= 1
            value = value << 8 | packed[at + size]
        return value


class Zstd:
    """One frame, by a library's decompressor."""

    def __init__(self, library: Any) -> None:
        self.error = library.ZstdError
        self.inflater = library.ZstdDecompressor()
        self.eof = False

    def decompress(self, packed: bytes, most: int) -> bytes:
        try:
            made: bytes = self.inflater.decompress(packed, most)
        except self.error:
            raise ValueError("no frame of zstd") from None
        self.eof = self.inflater.eof
        return made


def zstd() -> Callable[[], Any] | None:
    """What makes a `Zstd`; None where no library is there."""
    for name in ZSTD_MODULES:
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        return lambda: Zstd(library)
    return None
