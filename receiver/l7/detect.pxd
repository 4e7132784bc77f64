from receiver.l7.decoder cimport PERHAPS, YES
from receiver.l7.decoder cimport Decoder
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Connection, Protocol
from receiver.wire.records cimport TO_SERVER, TO_CLIENT

cimport cython

@cython.final
cdef class Candidate:
    cdef Protocol protocol
    cdef Decoder prototype

@cython.final
cdef class Detector:
    cdef list candidates
    cdef dict pinned
    cdef frozenset several
    cdef readonly bint enabled
    cdef bint swapped
    cdef bint undecided
    cdef Protocol hinted
    cdef bint expected
    cdef Py_ssize_t cut_off
    cdef Protocol named(self, str name)
    cdef bint at_home(self, Protocol protocol, int port) except -1
    cdef bint agree(self, Protocol protocol, bytes asked, bytes told) except -1
    cdef Protocol _pinned_to(self, int port, bint datagram)
    cdef Protocol choose(self, Connection connection, int direction, Cursor c, bint datagram)
