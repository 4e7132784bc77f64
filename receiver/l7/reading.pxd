from receiver.l7.detect cimport Detector
from receiver.l7.matcher cimport Pairing
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Consumer, Protocol

cimport cython

cdef Py_ssize_t SPARE_MAX

@cython.final
cdef class Reading:
    cdef readonly Pairing pairing
    cdef readonly Detector detector
    cdef readonly bint detail
    cdef readonly Py_ssize_t head_max
    cdef readonly dict errors
    cdef readonly dict gaps
    cdef Protocol _last
    cdef long long _times
    cdef dict _before
    cdef readonly dict limits
    cdef readonly long long bytes_set_aside
    cdef readonly dict undetected
    cdef readonly dict preambles
    cdef readonly object trust
    cdef readonly object levels
    cdef Cursor cursor
    cdef list spare
    cdef set logged
    cdef public object on_end
    cdef int keep(self, Consumer conversation) except -1
    cdef int count(self, str protocol, str what) except -1
    cdef int detect(self, Protocol protocol) except -1
