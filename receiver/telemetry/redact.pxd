cimport cython

from receiver.wire.cursor cimport Cursor
from receiver.wire.writer cimport Writer

cdef bytes _REDACTED
cdef bytes _USERINFO
cdef bytes _DIGITS
cdef bytes _CLASS

cdef int _SLASH
cdef int _HASH
cdef int _AT
cdef int _AND
cdef int _SEMICOLON
cdef int _EQUALS
cdef int _COLON

@cython.final
cdef class Redactor:
    cdef readonly long long redactions
    cdef readonly long long truncations
    cdef readonly Py_ssize_t limit
    cdef Writer _out
    cdef Cursor _c
    cpdef bytes path(self, bytes buf, Py_ssize_t start, Py_ssize_t end)
    cpdef bytes query(self, bytes buf, Py_ssize_t start, Py_ssize_t end)
    cdef bytes _take(self)
    cdef Py_ssize_t _plain(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _put(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _path(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _piece(self, bytes buf, Py_ssize_t start, Py_ssize_t end, bint authority) except -1
    cdef bint _has_value(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _query(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cdef int _item(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
