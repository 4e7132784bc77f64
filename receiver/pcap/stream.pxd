from receiver.wire.records cimport Consumer, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT
from receiver.wire.sequence cimport Sequence
from receiver.wire.cursor cimport Cursor

cimport cython

cdef int FIN
cdef int SYN
cdef int RST
cdef int ACK

@cython.final
cdef class Limits:
    cdef readonly Py_ssize_t out_of_order
    cdef readonly Py_ssize_t memory
    cdef readonly Py_ssize_t held_bytes
    cdef readonly long long gaps
    cdef readonly long long bytes_missing
    cdef readonly long long bytes_truncated
    cdef readonly long long retransmitted
    cdef readonly long long reordered
    cdef readonly long long forced
    cdef Cursor cursor

@cython.final
cdef class Held:
    cdef long long seq
    cdef long long ack
    cdef bint has_ack
    cdef bint fin
    cdef bytes payload
    cdef Py_ssize_t wire_length
    cdef long long ts_ns

@cython.final
cdef class Stream:
    cdef public int direction
    cdef public object owner
    cdef Stream peer
    cdef Limits limits
    cdef readonly long long next_seq
    cdef readonly long long acked
    cdef bint closed
    cdef list held
    cdef Py_ssize_t held_bytes
    cdef public long long packets
    cdef readonly long long bytes
    cdef int greet(self, Segment seg) except -1
    cdef int push(self, Segment seg, bytes buf, Consumer consumer) except -1
    cdef int _hold(self, Segment seg, bytes buf, long long seq) except -1
    cdef int _deliver(self, bytes buf, Py_ssize_t start, Py_ssize_t end, Py_ssize_t wire_length, bint fin, long long ts_ns, Consumer consumer) except -1
    cdef int settle(self, Consumer consumer, long long now_ns, bint all_of_it) except -1
    cdef Stream _ready(self)
    cdef bint _can_deliver(self) except -1
    cdef int _pop(self, Consumer consumer) except -1
    cdef int _declare(self, Consumer consumer, long long now_ns) except -1
    cdef Py_ssize_t drop(self) except -1
