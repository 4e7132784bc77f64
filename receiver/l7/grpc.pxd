from receiver.l7.decoder cimport MORE, NOT_OURS, MESSAGE
from receiver.l7.prefixed cimport Prefixed
from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned
from receiver.wire.records cimport Message, Protocol
from receiver.wire.records cimport ERROR_BOTH, ERROR_CLIENT, ERROR_NONE

cimport cython

cdef tuple STATUSES
cdef int NO_STATUS
cdef int OK
cdef int CANCELLED
cdef int UNKNOWN
cdef int DEADLINE_EXCEEDED
cdef int PERMISSION_DENIED
cdef int RESOURCE_EXHAUSTED
cdef int UNIMPLEMENTED
cdef int INTERNAL
cdef int UNAVAILABLE
cdef int UNAUTHENTICATED
cdef bytes _SERVER_FAULTS
cdef bytes _OF_RESET
cdef Py_ssize_t _RESET_CANCEL
cdef Py_ssize_t METHODS_MAX
cdef Py_ssize_t HEARD_MAX
cdef Py_ssize_t METHOD_MAX
cdef long long _DEADLINE_SLACK_NS
cdef long long _SECONDS_MAX
cdef Py_ssize_t HEAD

@cython.final
cdef class Messages(Prefixed):
    pass

@cython.final
cdef class Methods(Interned):
    pass

@cython.final
cdef class Grpc:
    cdef readonly Protocol protocol
    cdef readonly Methods methods
    cdef readonly Methods heard
    cpdef bint speaks(self, bytes content_type) except -1
    cpdef int code(self, bytes value) except -1
    cpdef int code_of_http(self, int status) except -1
    cpdef int code_of_reset(self, Py_ssize_t error, long long elapsed_ns, long long timeout_ns) except -1
    cpdef Py_ssize_t timeout_ns(self, bytes value) except -2
    cdef bint is_cancel(self, Py_ssize_t error) except -1
    cdef int error_side(self, int code) except -1
    cdef int begins(self, bytes path, Message out) except -1
    cdef int ends(self, bytes path, int code, bint said, Message out) except -1
    cdef bytes last_path
    cdef str last_name
    cdef str _known(self, bytes path)
    cdef str _confirmed(self, bytes path, int code, bint said)
    cdef str method(self, bytes path)
