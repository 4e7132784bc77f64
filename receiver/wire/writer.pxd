cimport cython

cdef Py_ssize_t _varint(unsigned char *to, Py_ssize_t at, unsigned long long value) noexcept

@cython.final
cdef class Writer:
    cdef bytearray _buf
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t size
    cdef int _grow(self, Py_ssize_t n) except -1
    cpdef int byte(self, int value) except -1
    cpdef int put(self, bytes piece) except -1
    cpdef int varint(self, unsigned long long value) except -1
    cpdef int fixed32(self, unsigned long long value) except -1
    cpdef int fixed64(self, unsigned long long value) except -1
    cpdef bint text(self, bytes key, bytes text) except -1
    cpdef int number(self, bytes key, unsigned long long value) except -1
    cdef int _key_value(self, bytes key, Py_ssize_t n) except -1
    @staticmethod
    cdef bint _is_ascii(bytes text) except -1
    cpdef int patch3(self, Py_ssize_t at, Py_ssize_t value) except -1
    cpdef bytes take(self)
    cpdef object lend(self)
    cpdef int rewind(self, Py_ssize_t size) except -1
    @staticmethod
    cdef int varint_size(unsigned long long value) noexcept
