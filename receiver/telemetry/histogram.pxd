cimport cython

@cython.final
cdef class Buckets:
    cdef readonly tuple bounds
    cdef long long[::1] _bounds_ns
    cdef readonly int width
    cdef long long[::1] _counts
    cdef long long[::1] _sums
    cdef readonly Py_ssize_t rows
    cdef Py_ssize_t _room
    cdef readonly bint vmrange
    cdef list _ranges
    cpdef Py_ssize_t add_row(self) except -1
    cpdef int record(self, Py_ssize_t row, long long value_ns) except -1
    cdef int _record_range(self, Py_ssize_t row, long long value_ns) except -1
