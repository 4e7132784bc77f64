"""Appends protobuf's building blocks to one growing buffer.

Room: wire. A nested message whose length is not known yet gets three bytes, filled in by `patch3`: a varint may be
written longer than it needs to be (protobuf encoding guide, "Base 128 Varints"; every parser takes up to ten bytes).
"""

import cython

_LARGEST = (1 << 64) - 1

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
        if cython.compiled:
            cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf))[self.size] = value
        else:
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
        if cython.compiled:
            self.size = _varint(cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf)), self.size, value)
        else:
            self.size = _varint(self._buf, self.size, value)
        return 0

    def fixed32(self, value: cython.ulonglong) -> cython.int:
        if self._room - self.size < 4:
            self._grow(4)
        if cython.compiled:
            # Room is there: stores without a check, of which the C compiler makes one.
            to: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf)) + self.size
            to[0] = value & 0xFF
            to[1] = value >> 8 & 0xFF
            to[2] = value >> 16 & 0xFF
            to[3] = value >> 24 & 0xFF
        else:
            self._buf[self.size : self.size + 4] = (value & _LARGEST >> 32).to_bytes(4, "little")
        self.size += 4
        return 0

    def fixed64(self, value: cython.ulonglong) -> cython.int:
        if self._room - self.size < 8:
            self._grow(8)
        if cython.compiled:
            to: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf)) + self.size
            to[0] = value & 0xFF
            to[1] = value >> 8 & 0xFF
            to[2] = value >> 16 & 0xFF
            to[3] = value >> 24 & 0xFF
            to[4] = value >> 32 & 0xFF
            to[5] = value >> 40 & 0xFF
            to[6] = value >> 48 & 0xFF
            to[7] = value >> 56
        else:
            self._buf[self.size : self.size + 8] = (value & _LARGEST).to_bytes(8, "little")
        self.size += 8
        return 0

    def text(self, key: bytes, text: bytes) -> cython.bint:
        """A KeyValue of `key`, a field complete with its tag, and a string, as field 9; False, and nothing is written, when the
        text is not ASCII.

        [0x4A varint][key][0x12 varint][0x0A varint][text]    opentelemetry/proto/common/v1/common.proto, KeyValue and AnyValue
        """
        if not Writer._is_ascii(text):
            return False
        n: cython.Py_ssize_t = len(text)
        self._key_value(key, 1 + Writer.varint_size(n) + n)
        if cython.compiled:
            to: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf))
            to[self.size] = 0x0A
            at: cython.Py_ssize_t = _varint(to, self.size + 1, n)
            memcpy(to + at, cython.cast(cython.p_char, text), n)
            self.size = at + n
        else:
            self.byte(0x0A)
            self.varint(n)
            self.put(text)
        return True

    def number(self, key: bytes, value: cython.ulonglong) -> cython.int:
        """The same with an int64: `[0x18 varint]` instead of the string."""
        self._key_value(key, 1 + Writer.varint_size(value))
        self.byte(0x18)
        return self.varint(value)

    def _key_value(self, key: bytes, n: cython.Py_ssize_t) -> cython.int:
        """Everything of it before its value of `n` bytes, for which there is room afterwards."""
        k: cython.Py_ssize_t = len(key)
        whole: cython.Py_ssize_t = k + 1 + Writer.varint_size(n) + n
        if whole + 11 > self._room - self.size:
            self._grow(whole + 11)
        if cython.compiled:
            to: cython.p_uchar = cython.cast(cython.p_uchar, PyByteArray_AS_STRING(self._buf))
            to[self.size] = 0x4A
            at: cython.Py_ssize_t = _varint(to, self.size + 1, whole)
            memcpy(to + at, cython.cast(cython.p_char, key), k)
            at += k
            to[at] = 0x12
            self.size = _varint(to, at + 1, n)
        else:
            self.byte(0x4A)
            self.varint(whole)
            self.put(key)
            self.byte(0x12)
            self.varint(n)
        return 0

    @staticmethod
    def _is_ascii(text: bytes) -> cython.bint:
        if cython.compiled:
            n: cython.Py_ssize_t = len(text)
            i: cython.Py_ssize_t
            seen: cython.uchar = 0
            at: cython.p_uchar = cython.cast(cython.p_uchar, cython.cast(cython.p_char, text))
            for i in range(n):
                seen |= at[i]
            return seen < 0x80
        return text.isascii()

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

    def lend(self) -> memoryview:
        """All that was written, in place; the writer is empty afterwards. To be released before anything else is written, which
        would overwrite it."""
        n: cython.Py_ssize_t = self.size
        self.size = 0
        return memoryview(self._buf)[:n]

    @staticmethod
    def varint_size(value: cython.ulonglong) -> cython.int:
        n: cython.int = 1
        while value >= 0x80:
            value >>= 7
            n += 1
        return n


def _varint(to: cython.p_uchar, at: cython.Py_ssize_t, value: cython.ulonglong) -> cython.Py_ssize_t:
    """Write at `at`, where there is room for ten bytes; returns where it ends."""
    while value >= 0x80:
        to[at] = value & 0x7F | 0x80
        value >>= 7
        at += 1
    to[at] = value
    return at + 1
