from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Segment

cimport cython

cdef int DLT_NULL
cdef int DLT_EN10MB
cdef int DLT_RAW
cdef int DLT_LOOP
cdef int DLT_LINUX_SLL
cdef int DLT_LINUX_SLL2
cdef int DLT_IPV4
cdef int DLT_IPV6

cdef bytes CODES4
cdef bytes CODES6

cdef enum Verdict:
    DECODED = 0
    NOT_IP = 1
    NOT_TCP_UDP = 2
    FRAGMENT = 3
    TRUNCATED = 4
    ODD = 5
    DUPLICATE = 6
    MALFORMED = 7
    UNREACHABLE = 8

@cython.final
cdef class Link:
    cdef Cursor cursor
    cdef long long origin
    cdef readonly Py_ssize_t ip_at
    cdef readonly Py_ssize_t fragment_at
    cdef int decode(self, bytes buf, Py_ssize_t start, Py_ssize_t end, int link_type, Segment seg) except -1
    cdef int _ip(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Segment seg) except -1
    cdef int _ip4(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Segment seg) except -1
    cdef int _ip6(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Segment seg) except -1
    cdef int _error4(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Segment seg) except -1
    cdef int _error6(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Segment seg) except -1
    cdef int _addresses4(self, bytes buf, Py_ssize_t at, Segment seg) except -1
    cdef int _addresses6(self, bytes buf, Py_ssize_t at, Segment seg) except -1
    cdef int _embedded(self, bytes buf, Py_ssize_t at, int protocol, Py_ssize_t end, Segment seg) except -1
    cdef int _transport(self, bytes buf, Py_ssize_t at, Py_ssize_t end, Py_ssize_t stop, bint unsized, int protocol, Segment seg) except -1
