cimport cython

cdef int _ON
cdef int _OFF
cdef int _RATIO

cdef long long _explicit_randomness(bytes tracestate) except -2

@cython.final
cdef class Sampler:
    cdef readonly str name
    cdef readonly double ratio
    cdef readonly long long threshold
    cdef bint _follows_parent
    cdef int _root
    cpdef bint should_export(self, bytes trace_id, bint has_parent, int flags, bytes tracestate=*) except -1
