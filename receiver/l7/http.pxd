from receiver.l7.trace_context cimport TraceContext
from receiver.wire.records cimport Message
from receiver.wire.records cimport ERROR_NONE, ERROR_CLIENT, ERROR_BOTH

cimport cython

cdef list STATUSES
cdef list _ERROR_TYPES

@cython.final
cdef class HttpSettings:
    cdef readonly tuple methods
    cdef readonly tuple tokens
    cdef readonly dict request_headers
    cdef readonly dict response_headers
    cdef readonly TraceContext context
    cdef readonly object trust
    cdef readonly bint trusting

cdef int tell_status(int status, Message out) except -1
