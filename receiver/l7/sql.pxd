from receiver.l7.sql_summary cimport SqlSummary
from receiver.l7.sql_text cimport SqlText
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned
from receiver.wire.records cimport Message

cimport cython

cdef enum Dialect:
    MYSQL = 0
    MARIADB = 1
    POSTGRESQL = 2

cdef Py_ssize_t SEEN_MAX
cdef Py_ssize_t PLACES
cdef unsigned long long _MIX
cdef Py_ssize_t STATEMENTS_MAX
cdef Py_ssize_t SUMMARIES_MAX
cdef Py_ssize_t PREPARED_MAX
cdef Py_ssize_t ALL_PREPARED_MAX

@cython.final
cdef class Statement:
    cdef readonly str operation
    cdef readonly str summary
    cdef readonly str text
    cdef readonly str procedure
    cpdef int fill(self, Message out, bint detail) except -1

cdef Statement NONE

cdef unsigned long long _hash(bytearray text, Py_ssize_t size) except? 0
cdef bint _same(bytearray text, bytes known, Py_ssize_t size) except -1
cdef bytes _decoded(bytes value)

@cython.final
cdef class Statements(Interned):
    cdef readonly Interned summaries
    cdef SqlSummary reader
    cpdef Statement of(self, bytearray text, Py_ssize_t size)

@cython.final
cdef class Room:
    cdef dict limits
    cdef Py_ssize_t left

@cython.final
cdef class Prepared:
    cdef Room room
    cdef dict by_name
    cpdef int put(self, object name, Statement statement) except -1
    cpdef Statement get(self, object name)
    cpdef int drop(self, object name) except -1
    cpdef int clear(self) except -1

@cython.final
cdef class Sql:
    cdef readonly int dialect
    cdef readonly TraceContext context
    cdef public bint ansi_quotes
    cdef public bint backslash
    cdef readonly Py_ssize_t next
    cdef readonly Statements known
    cdef SqlText reader
    cpdef Statement read(self, Cursor c, Py_ssize_t at, Py_ssize_t end, bint cut, Message out)
    cdef int _tell(self, Cursor c, Message out) except -1
    cdef bint _offer(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
