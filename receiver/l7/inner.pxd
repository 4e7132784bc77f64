from receiver.l7.decoder cimport Decoder
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Message

cimport cython

@cython.no_gc
cdef class Inner:
    cdef bytes partial
    cdef Py_ssize_t need
    cdef Py_ssize_t skip
    cdef Py_ssize_t missing
    cdef bint resync
    cpdef int feed(self, Cursor c) except -1
    cpdef int next(self, Decoder reader, int direction, Cursor c, long long ts_ns, Message out) except -2
    cpdef Py_ssize_t passed_over(self, Py_ssize_t size) except -1
    cpdef int lose(self, Decoder reader, int direction, Py_ssize_t missing) except -1
    cpdef bint between(self) except -1

@cython.final
cdef class Inflater:
    cdef readonly str protocol
    cdef readonly str name
    cdef readonly Py_ssize_t budget
    cdef dict limits
    cdef object make
    cpdef int feed(self, Inner inner, Cursor c, bytes packed, Py_ssize_t size, bint cut=*) except -1
