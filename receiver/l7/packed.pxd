cimport cython

cdef Py_ssize_t ENDED
cdef Py_ssize_t BROKEN

@cython.final
cdef class Snappy:
    cdef readonly bint eof
    cdef Py_ssize_t at
    cdef Py_ssize_t length
    cpdef bytes decompress(self, bytes packed, Py_ssize_t most)
    cdef Py_ssize_t _varint(self, bytes packed) except -2
    cdef bytes _beginning(self, bytes packed, Py_ssize_t most)
    cdef Py_ssize_t _element(self, bytes packed) except -3
    cdef Py_ssize_t _number(self, bytes packed, Py_ssize_t at, int size) except -1
