cimport cython

cdef long long HALF
cdef long long WRAP

@cython.final
cdef class Cursor:
    cdef bytes buf
    cdef readonly Py_ssize_t pos
    cdef readonly Py_ssize_t end
    cdef readonly Py_ssize_t ran
    cpdef int set(self, bytes buf, Py_ssize_t pos, Py_ssize_t end) except -1
    cpdef int skip(self, Py_ssize_t n) except -1
    cpdef int clamp(self, Py_ssize_t end) except -1
    cpdef int u8(self, Py_ssize_t at) except -1
    cpdef int u16(self, Py_ssize_t at) except -1
    cpdef int u24(self, Py_ssize_t at) except -1
    cpdef Py_ssize_t u32(self, Py_ssize_t at) except -1
    cpdef Py_ssize_t i32(self, Py_ssize_t at) except? -1
    cpdef Py_ssize_t i64(self, Py_ssize_t at) except? -1
    cpdef int u16le(self, Py_ssize_t at) except -1
    cpdef int u24le(self, Py_ssize_t at) except -1
    cpdef Py_ssize_t u32le(self, Py_ssize_t at) except -1
    cpdef Py_ssize_t i64le(self, Py_ssize_t at) except? -1
    cpdef bytes take(self, Py_ssize_t start, Py_ssize_t end)
    cpdef Py_ssize_t find(self, int byte, Py_ssize_t start, Py_ssize_t end) except -2
    cpdef Py_ssize_t span(self, bytes table, Py_ssize_t start, Py_ssize_t end) except -1
    cpdef Py_ssize_t copy_span(self, bytes table, Py_ssize_t start, Py_ssize_t end, bytearray out, Py_ssize_t to) except -1
    cpdef Py_ssize_t run(self, int kind, Py_ssize_t at, Py_ssize_t longest) except -1
    cpdef bint starts(self, Py_ssize_t at, bytes literal) except -1
