from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Segment

cimport cython

cdef Py_ssize_t SLOTS
cdef Py_ssize_t WORDS
cdef long long COPY_NS
cdef long long BLIND_NS

@cython.final
cdef class Duplicates:
    cdef long long[::1] slots
    cdef Cursor cursor
    cdef bint seen(self, Segment seg, bytes buf, long long ends, int turn) except -1
    cdef Py_ssize_t _options(self, Segment seg, bytes buf) except -1
