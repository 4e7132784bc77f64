cimport cython

cdef enum Word:
    W_NAME = 0
    W_SELECT = 1
    W_INSERT = 2
    W_UPDATE = 3
    W_DELETE = 4
    W_WITH = 5
    W_EXPLAIN = 6
    W_DEFINE = 7
    W_TARGETS = 8
    W_TARGET = 9
    W_CALL = 10
    W_ON_TARGET = 11
    W_BODY = 12
    W_ALONE = 13
    W_FROM = 16
    W_JOIN = 17
    W_INTO = 18
    W_USING = 19
    W_ON = 20
    W_REST = 21
    W_AS = 22
    W_NOISE = 23
    W_DISTINCT = 24
    W_SET = 25
    W_QUERIED = 26
    W_OBJECT = 27
    W_OBJECT_ON = 28
    W_UNNAMED = 29
    W_MATERIALIZED = 30
    W_MODE = 31

cdef bytes _SLOTS
cdef dict OPERATIONS

@cython.final
cdef class Words:
    @staticmethod
    cdef int kind(bytes text, Py_ssize_t at, Py_ssize_t end) except -1
    @staticmethod
    cdef str operation(bytes word)
