from receiver.wire.records cimport Message
from receiver.wire.records cimport CERTAIN

cimport cython

@cython.final
cdef class Keyed:
    cdef int count
    cdef Message latest
    cdef dict several
    cdef Message find(self, long long key)
    cdef int add(self, Message request) except -1
    cdef int remove(self, Message request) except -1
    cdef list all(self)

@cython.no_gc
cdef class Asked:
    cdef Message head
    cdef Message tail
    cdef Keyed keyed
    cdef Message answered
    cdef bint doubted
    cdef long long last_ns
    cdef Message next(self)
    cdef Message by_key(self, long long key)
