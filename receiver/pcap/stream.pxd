from receiver.wire.records cimport Consumer, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT
from receiver.wire.records cimport FIN, SYN, RST, PSH, ACK
from receiver.wire.sequence cimport Sequence
from receiver.wire.cursor cimport Cursor

cimport cython

cdef long long FAR
cdef long long OFF
cdef long long GRACE_NS
cdef int GRACE_SEGMENTS
cdef long long PATIENCE_NS

@cython.final
cdef class Reassembly:
    cdef readonly Py_ssize_t out_of_order
    cdef readonly Py_ssize_t memory
    cdef readonly Py_ssize_t held_bytes
    cdef readonly long long gaps
    cdef readonly long long bytes_missing
    cdef readonly long long bytes_unseen
    cdef public long long bytes_truncated
    cdef readonly long long retransmitted
    cdef readonly long long overlapped
    cdef readonly long long conflicting
    cdef readonly long long refilled
    cdef readonly long long reordered
    cdef readonly long long after_close
    cdef readonly long long restarted
    cdef readonly long long forced
    cdef Cursor cursor

@cython.final
cdef class Held:
    cdef long long seq
    cdef long long ack
    cdef bint has_ack
    cdef bint answers
    cdef bint fin
    cdef bytes payload
    cdef Py_ssize_t wire_length
    cdef long long ts_ns

@cython.final
cdef class Stream:
    cdef public int direction
    cdef Stream peer
    cdef Reassembly reassembly
    cdef readonly long long next_seq
    cdef readonly long long first_seq
    cdef readonly long long acked
    cdef readonly bint closed
    cdef list held
    cdef readonly Py_ssize_t held_bytes
    cdef long long told_ns
    cpdef int pair_with(self, Stream peer) except -1
    cpdef int begin(self, long long first_seq) except -1
    cpdef int on_syn(self, Segment seg) except -1
    cpdef bint is_handshake(self, Segment seg) except -1
    cpdef int push(self, Segment seg, bytes buf, Consumer consumer) except -1
    cdef int _probe(self, Segment seg) except -1
    cpdef int reset(self, Segment seg) except -1
    cdef bint _restarts(self, Segment seg, long long seq, long long ahead, Consumer consumer) except -1
    cdef int _start_again(self, long long seq) except -1
    cdef int _hold(self, Segment seg, bytes buf, long long seq) except -1
    cdef int _insert(self, Py_ssize_t i, Held held) except -1
    cdef Held _part(self, Held whole, Py_ssize_t start, Py_ssize_t end, bint fin)
    cdef bint _conflict(self, Held one, Held other) except -1
    cdef int _deliver(self, bytes buf, Py_ssize_t start, Py_ssize_t end, Py_ssize_t wire_length, bint fin, long long ts_ns, Consumer consumer) except -1
    cdef long long _in_order(self, long long ts_ns)
    cpdef int settle(self, Consumer consumer, long long now_ns, bint all_of_it) except -1
    cdef Stream _ready(self)
    cdef Py_ssize_t _waiting(self) except -1
    cdef int _go_on(self, Stream hole, Consumer consumer, long long now_ns) except -1
    cdef bint _comes_behind(self, Held oldest) except -1
    cdef bint _can_deliver(self) except -1
    cdef int _pop(self, Consumer consumer) except -1
    cdef int _declare(self, Consumer consumer, long long now_ns) except -1
    cpdef Py_ssize_t drop(self) except -1
