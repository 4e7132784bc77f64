from receiver.wire.cursor cimport Cursor

cimport cython

cdef enum Class:
    C_WORD = 0
    C_DIGIT = 1
    C_DOLLAR = 2
    C_HIGH = 3
    C_QUOTE = 4
    C_OPEN = 5
    C_CLOSE = 6
    C_COMMA = 7
    C_DOT = 8
    C_OTHER = 9
    C_SPACE = 10
    C_MARK = 11
    C_SEMICOLON = 12
    C_STOP = 13

cdef enum Token:
    T_NONE = 0
    T_WORD = 1
    T_LITERAL = 2
    T_OPEN = 3
    T_CLOSE = 4
    T_COMMA = 5
    T_OTHER = 6
    T_SIGN = 7
    T_DOT = 8

cdef enum Gap:
    G_NONE = 0
    G_OPENED = 1
    G_COMMA = 2

cdef enum Armed:
    A_NONE = 0
    A_IN = 1
    A_ARRAY = 2

cdef bytes _CLASSES
cdef bytes _NO_WORD
cdef bytes _IN_STRING
cdef Py_ssize_t TEXT_MAX
cdef Py_ssize_t ROOM

cdef int _copy(bytearray out, Py_ssize_t to, bytes buf, Py_ssize_t at, Py_ssize_t size) except -1
cdef bint _is(bytes buf, Py_ssize_t at, bytes word) except -1
cdef bint _is_constant(bytes buf, Py_ssize_t at, Py_ssize_t size) except -1
cdef Py_ssize_t _width(bytes buf, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _whole(bytes buf, Py_ssize_t start, Py_ssize_t at) except -1
cdef bint _again(bytearray text, Py_ssize_t one, Py_ssize_t other, Py_ssize_t size) except -1
cdef Py_ssize_t _dollar(bytes buf, Py_ssize_t at, Py_ssize_t end) except -2

@cython.final
cdef class SqlText:
    cdef bytearray text
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t next
    cdef bint inside
    cdef bint wanted
    cdef Py_ssize_t front_at
    cdef Py_ssize_t front_end
    cdef Py_ssize_t back_at
    cdef Py_ssize_t back_end
    cpdef Py_ssize_t read(
        self, Cursor window, Py_ssize_t at, Py_ssize_t end, bint cut, bint mysql, bint names, bint escapes
    ) except -1
    cdef Py_ssize_t _comment(self, bytes buf, Py_ssize_t at, Py_ssize_t end, bint mysql) except -2
    cdef Py_ssize_t _string(self, Cursor window, Py_ssize_t at, Py_ssize_t end, int quote, bint escapes) except -2
    cdef Py_ssize_t _name(self, Cursor window, Py_ssize_t at, Py_ssize_t end, int quote) except -2
