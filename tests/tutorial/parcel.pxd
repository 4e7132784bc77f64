from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOT_OURS, PERHAPS, YES
from receiver.l7.prefixed cimport Prefixed
from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned
from receiver.wire.records cimport ERROR_BOTH, ERROR_NONE, TO_SERVER, Message

cimport cython

cdef int ASK
cdef int TELL
cdef int REPLY
cdef int COUNT
cdef Py_ssize_t HEAD_MAX
cdef Py_ssize_t NAMES_MAX

@cython.final
cdef class ParcelDecoder(Prefixed):
    cdef Interned names
