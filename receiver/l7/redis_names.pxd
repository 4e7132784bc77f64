from receiver.wire.interned cimport Interned

cimport cython

cdef enum Kind:
    KIND_PLAIN = 0
    KIND_CONTAINER = 1
    KIND_SECRET = 2
    KIND_SELECT = 3
    KIND_REPLY = 4
    KIND_MULTI = 5
    KIND_EXEC = 6
    KIND_DISCARD = 7
    KIND_RESET = 8
    KIND_SUBSCRIBE = 9
    KIND_UNSUBSCRIBE = 10
    KIND_HELLO = 11
    KIND_PSYNC = 12
    KIND_SYNC = 13
    KIND_REPLCONF = 14
    KIND_BLOCKING = 15
    KIND_SCRIPT = 16
    KIND_IMMEDIATE = 17

cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t CODE_MAX
cdef Py_ssize_t NAMES_MAX
cdef Py_ssize_t CODES_MAX
cdef Py_ssize_t SHOWN_MAX
cdef bytes NAME_BYTES
cdef bytes CODE_BYTES

@cython.final
cdef class Command:
    cdef readonly str operation
    cdef readonly str shown
    cdef readonly int kind
    cdef readonly int looks
    cdef list texts
    cdef dict inner
    cdef str text(self, Py_ssize_t arguments)

@cython.final
cdef class Codes(Interned):
    @staticmethod
    cdef bint is_code(bytes word) except -1

@cython.final
cdef class Vocabulary(Interned):
    cdef readonly Codes codes
    cdef readonly frozenset built_in
    cdef readonly frozenset telling
    @staticmethod
    cdef bint is_name(bytes name) except -1
