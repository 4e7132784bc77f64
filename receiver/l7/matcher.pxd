from receiver.l7.asked cimport Asked, Keyed
from receiver.wire.records cimport Endpoints, Message, Protocol, Roundtrip, Sink
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, ERROR_UNREAD, ERROR_CLIENT, ERROR_BOTH, VANTAGE_CLIENT
from receiver.wire.records cimport OUTCOME_OK, OUTCOME_ERROR, OUTCOME_ONE_WAY, OUTCOME_TIMEOUT, OUTCOME_LOST, OUTCOME_UNREACHABLE
from receiver.wire.records cimport OUTCOME_UNKNOWN
from receiver.wire.records cimport CERTAIN, TENTATIVE, GONE, UNNOTED, ROLE_REQUEST

cimport cython

cdef int HELD_MAX
cdef long long REST_NS
cdef int PIPELINE
cdef int PIPELINE_MAX
cdef int PIPELINES

@cython.final
cdef class Pairing:
    cdef readonly Sink sink
    cdef readonly Roundtrip roundtrip
    cdef readonly int pending_max
    cdef readonly int pipeline_max
    cdef readonly Py_ssize_t queued_max
    cdef readonly Py_ssize_t queued
    cdef readonly long long timeout_ns
    cdef readonly long long requests
    cdef readonly long long responses
    cdef readonly long long paired
    cdef readonly long long one_way
    cdef readonly long long unanswered
    cdef readonly long long unmatched
    cdef readonly long long refused
    cdef readonly long long repeated
    cdef readonly long long open
    cdef readonly Py_ssize_t steps
    cdef long long shift_ns
    cdef long long before_ns
    cdef long long stepped_ns
    cpdef int set_clock(self, Py_ssize_t steps, long long shift_ns, long long before_ns, long long stepped_ns) except -1

@cython.final
cdef class Matcher(Asked):
    cdef Pairing pairing
    cdef Protocol protocol
    cdef Endpoints endpoints
    cdef readonly int pending
    cdef Message open_request
    cdef Message open_response
    cdef bint uncertain
    cdef list held
    cdef bint overlaps
    cdef bint several
    cdef bint lost_since
    cdef bint answering
    cdef long long heard_ns
    cdef bint is_idle(self) except -1
    cdef int begin(self, Endpoints endpoints, bint uncertain) except -1
    cdef int offer(self, Message piece) except -1
    cdef int _request(self, Message piece) except -1
    cdef int _response(self, Message piece) except -1
    cdef int _prove(self, long long ts_ns) except -1
    cdef int _by_key(self, Message piece) except -1
    cdef int _give_up(self, Message request, int outcome, long long ts_ns) except -1
    cdef Message hand_over(self, Protocol protocol)
    cdef int adopt(self, Message request) except -1
    cdef int _merge(self, Message whole, Message piece) except -1
    cdef int _abandon(self, long long ts_ns) except -1
    cdef int _refuse(self, Message piece) except -1
    cdef Message _pop(self)
    cdef int _complete(self, Message request, Message response) except -1
    cdef int _unanswered(self, Message request, Message response, int outcome, long long ts_ns) except -1
    cdef int _emit(self, Message request, Message response, int outcome, long long end_ns) except -1
    cdef int _emit_stepped(self, Roundtrip roundtrip) except -1
    cdef int _release(self) except -1
    cdef int _void(self) except -1
    cdef bint busy(self) except -1
    cdef int lost(self, int direction, long long ts_ns) except -1
    cdef int _drop_waiting(self, int outcome, long long ts_ns) except -1
    cdef bint passing(self, int direction, long long key, long long size, long long seen_ns) except -1
    cdef int expire(self, long long now_ns, long long heard_ns) except -1
    cdef int unreachable(self, int reason, long long ts_ns) except -1
    cdef int end(self, int outcome, long long ts_ns) except -1
