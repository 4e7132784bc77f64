from receiver.l7.mongodb_names cimport KIND_COLLECTION, KIND_GET_MORE, KIND_HELLO
from receiver.l7.mongodb_names cimport Command, Vocabulary
from receiver.wire.cursor cimport Cursor

cimport cython

cdef enum Opcode:
    OP_REPLY = 1
    OP_UPDATE = 2001
    OP_INSERT = 2002
    OP_QUERY = 2004
    OP_GET_MORE = 2005
    OP_DELETE = 2006
    OP_KILL_CURSORS = 2007
    OP_COMPRESSED = 2012
    OP_MSG = 2013

cdef Py_ssize_t HEAD
cdef int CHECKSUM
cdef int MORE_TO_COME
cdef int REPLY_FAILED
cdef int SECTION
cdef int SEQUENCE
cdef int BODY
cdef int CURSOR
cdef int BATCH
cdef int LIST
cdef int ERRORS
cdef int ERROR
cdef int COMMENT
cdef int TELEMETRY
cdef int OVER
cdef int ELEMENTS_MAX
cdef Py_ssize_t ELEMENT_NAME_MAX
cdef Py_ssize_t TEXT_MAX
cdef long long UNKNOWN
cdef long long HALF
cdef long long WRAP
cdef Py_ssize_t LENGTH
cdef Py_ssize_t NO_TYPE
cdef bytes _FIXED
cdef bytes _DB
cdef bytes _OK
cdef bytes _CODE
cdef bytes _CODE_NAME
cdef bytes _CURSOR
cdef bytes _FIRST_BATCH
cdef bytes _NEXT_BATCH
cdef bytes _WRITE_ERRORS
cdef bytes _CONCERN_ERROR
cdef bytes _N_ERRORS
cdef bytes _COLLECTION
cdef bytes _COMMENT
cdef bytes _TRACEPARENT
cdef bytes _TRACESTATE
cdef bytes _OTEL
cdef tuple _LISTS
cdef bytes _TOPOLOGY
cdef bytes _AWAIT
cdef bytes _MAX_TIME
cdef bytes _IN_TEXT

@cython.final
@cython.no_gc
cdef class Body:
    cdef Vocabulary words
    cdef bint open
    cdef bint request
    cdef bint broken
    cdef bint cut
    cdef bint nested
    cdef bint counting
    cdef Py_ssize_t at
    cdef Py_ssize_t whole
    cdef Py_ssize_t end
    cdef Py_ssize_t body_end
    cdef Py_ssize_t middle_end
    cdef Py_ssize_t inner_end
    cdef long long number
    cdef long long to
    cdef long long flags
    cdef int opcode
    cdef int where
    cdef int elements
    cdef Command command
    cdef str collection
    cdef str namespace
    cdef Py_ssize_t documents
    cdef Py_ssize_t rows
    cdef Py_ssize_t returned
    cdef int succeeded
    cdef bint failed
    cdef long long code
    cdef bytes code_name
    cdef int awaits
    cdef bytes traceparent
    cdef bytes tracestate
    cdef int close(self) except -1
    cdef int head(self, bint request, Cursor c) except -1
    cdef int begin(self, int opcode, Py_ssize_t whole) except -1
    cdef bint start(self, Cursor c, Py_ssize_t start) except -1
    cdef bint one_way(self) except -1
    cdef int _reply(self, Cursor c, Py_ssize_t at) except -1
    cdef int _query(self, Cursor c, Py_ssize_t base) except -1
    cdef int _break(self) except -1
    cdef int _document(self, Cursor c, Py_ssize_t at, Py_ssize_t room, int where) except -1
    cdef Py_ssize_t walk(self, Cursor c, Py_ssize_t start) except -1
    cdef Py_ssize_t _section(self, Cursor c, Py_ssize_t base, Py_ssize_t at, Py_ssize_t stop) except -2
    cdef Py_ssize_t _short(self, bint broken) except -2
    cdef Py_ssize_t _element(self, Cursor c, Py_ssize_t base, Py_ssize_t at, Py_ssize_t stop) except -2
    cdef Py_ssize_t _pass_pattern(self, Cursor c, Py_ssize_t at, Py_ssize_t stop) except -2
    cdef Py_ssize_t _leave(self, Py_ssize_t base, Py_ssize_t end) except -2
    cdef Py_ssize_t _enter(self, Py_ssize_t base, Py_ssize_t value, Py_ssize_t after, int where) except -2
    cdef Py_ssize_t _read(
        self, Cursor c, Py_ssize_t base, int kind, Py_ssize_t name, Py_ssize_t value, Py_ssize_t after, Py_ssize_t stop
    ) except -2
    cdef Py_ssize_t _of_command(
        self, Cursor c, Py_ssize_t base, int kind, Py_ssize_t name, Py_ssize_t n, Py_ssize_t value, Py_ssize_t after,
        Py_ssize_t stop
    ) except -2
    cdef Py_ssize_t _of_answer(
        self, Cursor c, Py_ssize_t base, int kind, Py_ssize_t name, Py_ssize_t n, Py_ssize_t value, Py_ssize_t after,
        Py_ssize_t stop
    ) except -2
    cdef str _name(self, Cursor c, Py_ssize_t value, Py_ssize_t after)
    cdef Py_ssize_t _number(self, Cursor c, int kind, Py_ssize_t value) except? -1
    cdef int _comment(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
