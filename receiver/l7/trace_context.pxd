cimport cython

from receiver.wire.records cimport Message

cdef bytes _HEX
cdef bytes _STATE_CLASS
cdef bytes _TRACEPARENT
cdef bytes _TRACESTATE
cdef tuple _NAMES
cdef int _STATE_MEMBERS_MAX
cdef Py_ssize_t _STATE_KEPT_MAX
cdef Py_ssize_t _STATE_READ_MAX

cdef bint _same(bytes buf, Py_ssize_t at, bytes name) except -1
cdef bytes _unhex(bytes piece, Py_ssize_t width, bint any_case)
cdef bytes _read_state(bytes combined)
cdef bytes _rebuild_state(bytes combined)
cdef bytes _decimal_id(bytes value)

@cython.final
cdef class TraceContext:
    cdef readonly bint valid
    cdef readonly int flags
    cdef readonly int sampled
    cdef readonly bytes trace_id
    cdef readonly bytes parent_id
    cdef readonly bytes tracestate
    cdef unsigned int _lengths
    cdef unsigned int _slots
    cdef bint _w3c
    cdef bint _offered
    cdef int _parents
    cdef bint _found
    cdef int _read_flags
    cdef bytearray _ids
    cdef bytes _state
    cdef list _values
    cpdef int reset(self) except -1
    cpdef bint offer(self, bytes buf, Py_ssize_t name, Py_ssize_t name_end, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef bint offer_pair(self, bytes name, bytes value) except -1
    cpdef int read_traceparent(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef int read_tracestate(self, bytes buf, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef bint result(self) except -1
    cpdef int tell(self, Message out) except -1
    cdef bint _offer(
        self, bytes names, Py_ssize_t at, Py_ssize_t n, bytes buf, Py_ssize_t start, Py_ssize_t end
    ) except -1
    cdef bint _take(self, bytes trace_id, bytes parent_id, int sampled) except -1
    cdef bytes _value(self, int slot)
    cdef bint _from_others(self) except -1
    cdef bint _from_b3_single(self, bytes value) except -1
    cdef bint _from_b3_multi(self) except -1
    cdef bint _from_jaeger(self, bytes value) except -1
    cdef bint _from_datadog(self) except -1
    cdef bint _from_xray(self, bytes value) except -1
    cdef bint _from_grpc(self, bytes value) except -1
