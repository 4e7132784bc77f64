from receiver.wire.cursor cimport Cursor

cimport cython

cdef Py_ssize_t NEAR

cdef class Interned:
    cdef readonly str name
    cdef readonly Py_ssize_t cap
    cdef readonly object other
    cdef readonly dict by_name
    cdef dict limits
    cdef bint forgets
    cdef Py_ssize_t left
    cdef list near_names
    cdef list near
    cpdef object find(self, Cursor c, Py_ssize_t at, Py_ssize_t end)
    @cython.final
    cdef object find_hashed(self, Cursor c, Py_ssize_t at, Py_ssize_t end, unsigned long long digest)
    cpdef object named(self, bytes wire)
    cpdef object add(self, object name, object found)
    cpdef object drop(self, object name)
    cpdef bytes fold(self, bytes wire)
    cpdef object make(self, bytes name)
