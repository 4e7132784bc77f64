cimport cython

cdef long long _KEEP_MIN_NS
cdef long long _KEEP_MAX_NS

@cython.final
cdef class Named:
    cdef str name
    cdef long long expires_ns

@cython.final
cdef class Names:
    cdef dict _learnt
    cdef dict _static
    cdef readonly Py_ssize_t size_max
    cdef readonly dict limits
    cpdef int learn(self, bytes address, str name, Py_ssize_t ttl_s, long long now_ns) except -1
    cpdef str name_of(self, bytes address, long long now_ns)
    cpdef Py_ssize_t size(self) except -1
