from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Segment

cimport cython

cdef Py_ssize_t SLOTS
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
    cdef Cursor cursor
    cdef bint seen(self, Segment seg, bytes buf, long long ends, int turn) except -1
    cdef Py_ssize_t _options(self, Segment seg, bytes buf) except -1
