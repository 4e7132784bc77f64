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
    cdef readonly bint enabled
    cdef bint swapped
    cdef bint undecided
    cdef Protocol hinted
    cdef Protocol choose(self, Connection connection, int direction, Cursor c, bint datagram)
