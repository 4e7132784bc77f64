from receiver.telemetry.histogram cimport Buckets
from receiver.telemetry.routes cimport Route, RouteTable
from receiver.wire.records cimport Endpoints, Message, Protocol, Roundtrip
from receiver.wire.records cimport OUTCOME_ERROR, OUTCOME_ONE_WAY, OUTCOME_LOST, OUTCOME_UNREACHABLE, OUTCOME_UNKNOWN

cimport cython

cdef str GUESSED
cdef Py_ssize_t NEAR
cdef Py_ssize_t OUTCOME_COUNT
cdef object NOT_FOUND

@cython.final
cdef class Form:
    cdef readonly object shape
    cdef object whole
    cdef readonly Buckets buckets
    cdef readonly bint by_server
    cdef readonly int default_port
    cdef readonly bint url_full
    cdef readonly bint client_address
    cdef readonly bint peer
    cdef readonly bint emitted
    cdef readonly bint measured
    cdef readonly bint client
    cdef readonly bint routed
    cdef readonly str path_original
    cdef readonly dict series
    cdef readonly dict owners
    cdef Series overflow
    cdef readonly bint counts
    cdef readonly dict beyond

@cython.final
cdef class Series:
    cdef readonly Form form
    cdef str operation
    cdef str target
    cdef str namespace
    cdef str summary
    cdef str version
    cdef object status
    cdef str error_type
    cdef str server_address
    cdef int server_port
    cdef readonly Py_ssize_t row
    cdef readonly bytes span
    cdef readonly tuple attributes
    cdef readonly long long start_ns
    cdef Series owner
    cdef readonly long long messages

@cython.final
cdef class Metrics:
    cdef list forms
    cdef readonly RouteTable routes
    cdef readonly bint apart
    cdef list near
    cdef Py_ssize_t series_max
    cdef bint vmrange
    cdef readonly long long overflowed
    cdef long long[::1] outcomes
    cdef list protocols
    cdef dict _told
    cdef list _messages(self)
    cdef Series observe(self, Roundtrip roundtrip)
    cdef Series _find(self, Form form, str operation, str target, str namespace, str summary, str version, object status, str error_type, str server_address, int server_port, long long ts_ns)
    cdef Series _make(self, Form form, str operation, str target, str namespace, str summary, str version, object status, str error_type, str server_address, int server_port, long long ts_ns)
