"""Appends protobuf's building blocks to one growing buffer.

Room: wire. A nested message whose length is not known yet gets three bytes, filled in by `patch3`: a varint may be
written longer than it needs to be (protobuf encoding guide, "Base 128 Varints"; every parser takes up to ten bytes).
"""

import cython

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcpy


class Writer:
    def __init__(self, room: cython.Py_ssize_t = 4096) -> None:
        self._buf = bytearray(room)
        self._room = room
        self.size = 0

    def _grow(self, n: cython.Py_ssize_t) -> cython.int:
        room: cython.Py_ssize_t = self._room * 2
        if room < self.size + n:
            room = self.size + n
        self._buf.extend(bytes(room - self._room))
        self._room = room
        return 0

    def byte(self, value: cython.int) -> cython.int:
        if self.size >= self._room:
            self._grow(1)
        self._buf[self.size] = value
        self.size += 1
        return 0

    def put(self, piece: bytes) -> cython.int:
        n: cython.Py_ssize_t = len(piece)
        if n > self._room - self.size:
            self._grow(n)
        if cython.compiled:
            memcpy(PyByteArray_AS_STRING(self._buf) + self.size, cython.cast(cython.p_char, piece), n)
        else:
            self._buf[self.size : self.size + n] = piece
        self.size += n
        return 0

    def varint(self, value: cython.ulonglong) -> cython.int:
        if self._room - self.size < 10:
            self._grow(10)
        at: cython.Py_ssize_t = self.size
        while value >= 0x80:
            self._buf[at] = value & 0x7F | 0x80
            value >>= 7
            at += 1
        self._buf[at] = value
        self.size = at + 1
        return 0

    def fixed32(self, value: cython.ulonglong) -> cython.int:
        if self._room - self.size < 4:
            self._grow(4)
        i: cython.Py_ssize_t
        for i in range(4):
            self._buf[self.size + i] = value & 0xFF
            value >>= 8
        self.size += 4
        return 0

    def fixed64(self, value: cython.ulonglong) -> cython.int:
        if self._room - self.size < 8:
            self._grow(8)
        i: cython.Py_ssize_t
        for i in range(8):
            self._buf[self.size + i] = value & 0xFF
            value >>= 8
        self.size += 8
        return 0

    def patch3(self, at: cython.Py_ssize_t, value: cython.Py_ssize_t) -> cython.int:
        """Write `value` (below 2^21) as a varint of three bytes at `at`, which must be written already."""
        if at < 0 or at > self.size - 3 or value < 0 or value >= 0x20_0000:
            raise IndexError("outside the buffer")
        self._buf[at] = value & 0x7F | 0x80
        self._buf[at + 1] = value >> 7 & 0x7F | 0x80
        self._buf[at + 2] = value >> 14
        return 0

    def rewind(self, size: cython.Py_ssize_t) -> cython.int:
        """Forget all after the first `size` bytes."""
        if size < 0 or size > self.size:
            raise IndexError("outside the buffer")
        self.size = size
        return 0

    def take(self) -> bytes:
        """All that was written; the writer is empty afterwards and keeps its room."""
        n: cython.Py_ssize_t = self.size
        self.size = 0
        if cython.compiled:
            whole: bytes = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(self._buf), n)
            return whole
        return bytes(self._buf[:n])

    @staticmethod
    def varint_size(value: cython.ulonglong) -> cython.int:
        n: cython.int = 1
        while value >= 0x80:
            value >>= 7
            n += 1
        return n
