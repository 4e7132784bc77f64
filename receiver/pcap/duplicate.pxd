from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Segment

cimport cython

cdef Py_ssize_t SLOTS
cdef Py_ssize_t WIDE_SLOTS
cdef int WAYS
cdef long long COPY_NS
cdef long long BLIND_NS
cdef unsigned long long FACTOR
cdef unsigned long long LOW_64
cdef int ORIGIN_BITS
cdef long long ORIGIN

@cython.final
cdef class Duplicates:
    cdef unsigned long long[::1] digests
    cdef long long[::1] times
    cdef int[::1] turns
    cdef int shift
    cdef int ways
    cdef bint several
    cdef Cursor cursor
    cdef bint seen(self, Segment seg, bytes buf, long long ends, int turn) except -1
    cdef Py_ssize_t _way(self, Py_ssize_t at, unsigned long long digest) except -1
    cdef Py_ssize_t _options(self, Segment seg, bytes buf) except -1
