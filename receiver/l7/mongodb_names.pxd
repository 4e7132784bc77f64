from receiver.l7.trace_context cimport TraceContext
from receiver.wire.interned cimport Interned

cimport cython

cdef enum Kind:
    KIND_OTHER = 0
    KIND_COLLECTION = 1
    KIND_GET_MORE = 2
    KIND_HELLO = 3
    KIND_BULK = 4
    KIND_LEGACY = 5

cdef Py_ssize_t COMMANDS_MAX
cdef Py_ssize_t COMMAND_NAME_MAX
cdef Py_ssize_t DATABASES_MAX
cdef Py_ssize_t COLLECTIONS_MAX
cdef Py_ssize_t CODES_MAX
cdef Py_ssize_t INFLATE_MAX

@cython.final
cdef class Command:
    cdef readonly str name
    cdef readonly int kind

cdef class Commands(Interned):
    pass

@cython.final
cdef class Vocabulary:
    cdef readonly TraceContext context
    cdef readonly dict limits
    cdef readonly Commands commands
    cdef readonly Interned databases
    cdef readonly Interned collections
    cdef readonly Interned codes
    cdef readonly Command query
    cdef readonly Command get_more
    cdef readonly dict legacy
    cdef readonly list inflaters
    cdef str code(self, long long number)
