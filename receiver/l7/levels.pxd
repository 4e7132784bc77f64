cimport cython

cdef Py_ssize_t PARTITIONS_MAX

@cython.final
cdef class Positions:
    cdef object __weakref__
    cdef dict limits
    cdef public str group
    cdef readonly dict asked
    cdef readonly dict ends
    cdef public long long heard_ns
    cpdef int begin(self) except -1
    cpdef int ask(self, str topic, Py_ssize_t partition, Py_ssize_t offset) except -1
    cpdef int tell(self, str topic, Py_ssize_t partition, Py_ssize_t end) except -1
    cpdef int drop(self, str topic, Py_ssize_t partition) except -1
    cpdef int doubt(self) except -1
