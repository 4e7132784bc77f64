"""Checked reads of a window on `bytes`.

Room: wire. No read through this class can leave its window: a wrong offset raises IndexError, which the engine treats as our
bug. Each method checks its place once and reads through a pointer then: a compiled index would check it again for each byte.
Besides it only `writer.py` has pointers.

Modules that walk byte by byte (link, layer4, dns, hpack, redis, trace_context) index the buffer itself. That is checked by
the buffer's size alone, and there are other packets in it: so they compare the place with their window's end before, and a
comment says why where that does not stand beside it. `tests/test_neighbours.py` reads everything with foreign bytes around it.

Offsets are absolute positions in the buffer, from `pos` to `end`; integers are big-endian unless the name says `le`.
Integers of 32 bits and more are returned as Py_ssize_t, which has 64 bits on every machine that we run on (Cython 3.3 emits
an invalid C literal for `long long` with an exception value).
"""

import cython

COMPILED = bool(cython.compiled)
"""Whether this module is, and with it the packet path: they are built together."""

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memchr, memcmp

# Above 0x7FFFFFFF a literal would be a Python integer in compiled code.
HALF = 2147483648
WRAP = 4294967296


class Cursor:
    """A window on bytes; nothing outside it can be read."""

    def __init__(self, buf: bytes = b"") -> None:
        self.buf = buf
        self.pos = 0
        self.end = len(buf)
        self.ran = 0

    def set(self, buf: bytes, pos: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Move the window to `buf[pos:end]`."""
        if pos < 0 or end > len(buf) or pos > end:
            raise IndexError("window outside the buffer")
        self.buf = buf
        self.pos = pos
        self.end = end
        return 0

    def skip(self, n: cython.Py_ssize_t) -> cython.int:
        """Move the window's start forward by `n` bytes."""
        if n < 0 or n > self.end - self.pos:
            raise IndexError("skip outside the cursor")
        self.pos += n
        return 0

    def clamp(self, end: cython.Py_ssize_t) -> cython.int:
        """Move the window's end; it may grow again up to the buffer's end."""
        if end < self.pos or end > len(self.buf):
            raise IndexError("clamp outside the buffer")
        self.end = end
        return 0

    def u8(self, at: cython.Py_ssize_t) -> cython.int:
        if at < self.pos or at >= self.end:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.int = p[0]
            return value
        return self.buf[at]

    def u16(self, at: cython.Py_ssize_t) -> cython.int:
        if at < self.pos or at > self.end - 2:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.int = p[0] << 8 | p[1]
            return value
        return int.from_bytes(self.buf[at : at + 2], "big")

    def u24(self, at: cython.Py_ssize_t) -> cython.int:
        if at < self.pos or at > self.end - 3:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.int = p[0] << 16 | p[1] << 8 | p[2]
            return value
        return int.from_bytes(self.buf[at : at + 3], "big")

    def u32(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if at < self.pos or at > self.end - 4:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.Py_ssize_t = p[0]
            value = value << 24 | p[1] << 16 | p[2] << 8 | p[3]
            return value
        return int.from_bytes(self.buf[at : at + 4], "big")

    def i32(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        value: cython.longlong = self.u32(at)
        if value >= HALF:
            value -= WRAP
        return value

    def i64(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        high: cython.longlong = self.i32(at)
        low: cython.longlong = self.u32(at + 4)
        shifted: cython.longlong = high * WRAP
        return shifted + low

    def u16le(self, at: cython.Py_ssize_t) -> cython.int:
        if at < self.pos or at > self.end - 2:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.int = p[1] << 8 | p[0]
            return value
        return int.from_bytes(self.buf[at : at + 2], "little")

    def u24le(self, at: cython.Py_ssize_t) -> cython.int:
        if at < self.pos or at > self.end - 3:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.int = p[2] << 16 | p[1] << 8 | p[0]
            return value
        return int.from_bytes(self.buf[at : at + 3], "little")

    def u32le(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if at < self.pos or at > self.end - 4:
            raise IndexError("outside the cursor")
        if cython.compiled:
            p: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf)) + at
            value: cython.Py_ssize_t = p[3]
            value = value << 24 | p[2] << 16 | p[1] << 8 | p[0]
            return value
        return int.from_bytes(self.buf[at : at + 4], "little")

    def i64le(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        low: cython.longlong = self.u32le(at)
        high: cython.longlong = self.u32le(at + 4)
        if high >= HALF:
            high -= WRAP
        shifted: cython.longlong = high * WRAP
        return shifted + low

    def take(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """A copy of `[start:end)`; the slice syntax would go through a slice object, four times slower."""
        if start < self.pos or end > self.end or start > end:
            raise IndexError("outside the cursor")
        if cython.compiled:
            base = cython.cast(cython.p_char, self.buf)
            piece: bytes = PyBytes_FromStringAndSize(base + start, end - start)
            return piece
        return self.buf[start:end]

    def find(self, byte: cython.int, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where `byte` (0 to 255) first stands in `[start:end)`, or -1."""
        if start < self.pos or end > self.end or start > end:
            raise IndexError("outside the cursor")
        if cython.compiled:
            base = cython.cast(cython.p_char, self.buf)
            hit = cython.cast(cython.p_char, memchr(base + start, byte, end - start))
            if hit is cython.NULL:
                return -1
            at: cython.Py_ssize_t = hit - base
            return at
        return self.buf.find(byte, start, end)

    def span(self, table: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where in `[start:end)` the first byte stands that has not 0 in `table`, which has 256 places; `end` where none does."""
        if start < self.pos or end > self.end or start > end or len(table) != 256:
            raise IndexError("outside the cursor")
        i: cython.Py_ssize_t = start
        if cython.compiled:
            base = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf))
            places = cython.cast(cython.p_uchar, PyBytes_AS_STRING(table))
            while i < end and places[base[i]] == 0:
                i += 1
        else:
            while i < end and table[self.buf[i]] == 0:
                i += 1
        return i

    def copy_span(
        self, table: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, out: bytearray, to: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """`span`, and what it passes over is written to `out[to:]`, which must have room for all of `[start:end)`."""
        if start < self.pos or end > self.end or start > end or len(table) != 256 or to < 0 or end - start > len(out) - to:
            raise IndexError("outside the cursor")
        i: cython.Py_ssize_t = start
        if cython.compiled:
            base = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf))
            places = cython.cast(cython.p_uchar, PyBytes_AS_STRING(table))
            target = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(out)) + to - start
            while i < end and places[base[i]] == 0:
                target[i] = base[i]
                i += 1
        else:
            i = self.span(table, start, end)
            out[to : to + i - start] = self.buf[start:i]
        return i

    def run(self, kind: cython.int, at: cython.Py_ssize_t, longest: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the messages end that follow one another from `at`, each wholly in the window: a byte `kind`, then 32 bits that say
        how many bytes there are of it from there on, 4 to `longest`. `ran` is how many they are."""
        if at < self.pos or at > self.end:
            raise IndexError("outside the cursor")
        self.ran = 0
        stop: cython.Py_ssize_t = self.end - 5
        size: cython.Py_ssize_t
        if cython.compiled:
            base = cython.cast(cython.p_uchar, PyBytes_AS_STRING(self.buf))
            while at <= stop and base[at] == kind:
                size = base[at + 1]
                size = size << 24 | base[at + 2] << 16 | base[at + 3] << 8 | base[at + 4]
                if size < 4 or size > longest or size > self.end - at - 1:
                    break
                at += 1 + size
                self.ran += 1
            return at
        while at <= stop and self.buf[at] == kind:
            size = self.u32(at + 1)
            if size < 4 or size > longest or size > self.end - at - 1:
                break
            at += 1 + size
            self.ran += 1
        return at

    def starts(self, at: cython.Py_ssize_t, literal: bytes) -> cython.bint:
        """Whether the bytes at `at` are `literal`; false where the window ends first."""
        n: cython.Py_ssize_t = len(literal)
        if at < self.pos:
            raise IndexError("outside the cursor")
        if at > self.end - n:
            return False
        if cython.compiled:
            same: cython.bint = memcmp(cython.cast(cython.p_char, self.buf) + at, cython.cast(cython.p_char, literal), n) == 0
            return same
        return self.buf.startswith(literal, at)
