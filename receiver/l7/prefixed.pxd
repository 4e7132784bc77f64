from receiver.l7.decoder cimport MORE, NO, NOT_OURS, PERHAPS, YES
from receiver.l7.decoder cimport Decoder
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Message

cimport cython

cdef Py_ssize_t WINDOW
cdef Py_ssize_t FRAMES_MAX
cdef Py_ssize_t SURE

@cython.no_gc
cdef class Prefixed(Decoder):
    cdef Py_ssize_t scan
    cdef Py_ssize_t frames
    cdef Py_ssize_t whole
    cpdef Py_ssize_t size(self, int direction, Cursor c, Py_ssize_t at) except -2
    cpdef Py_ssize_t wanted(self, int direction, Cursor c, Py_ssize_t size) except -2
    cpdef int read(self, int direction, Cursor c, Py_ssize_t size, long long ts_ns, Message out) except -1
    cpdef int proves(self, int direction, Cursor c, Py_ssize_t at, Py_ssize_t size, Py_ssize_t number) except -1
    cdef int _chain(self, int direction, Cursor c, Py_ssize_t at) except -1
