from receiver.l7.sql_words cimport (
    W_ALONE,
    W_AS,
    W_BODY,
    W_CALL,
    W_DEFINE,
    W_DELETE,
    W_DISTINCT,
    W_EXPLAIN,
    W_FROM,
    W_INSERT,
    W_INTO,
    W_JOIN,
    W_MATERIALIZED,
    W_MODE,
    W_NAME,
    W_NOISE,
    W_OBJECT_ON,
    W_ON,
    W_ON_TARGET,
    W_QUERIED,
    W_REST,
    W_SELECT,
    W_SET,
    W_TARGET,
    W_TARGETS,
    W_UNNAMED,
    W_UPDATE,
    W_USING,
    W_WITH,
    Words,
)

cimport cython

cdef int S_NONE
cdef int S_COLUMNS
cdef int S_FROM
cdef int S_TARGETS
cdef int S_TARGET
cdef int S_NAMED
cdef int S_WRITTEN
cdef int S_INTO
cdef int S_CTE
cdef int S_CTE_AS
cdef int S_OBJECT
cdef Py_ssize_t SUMMARY_MAX
cdef Py_ssize_t DEPTH_MAX

cdef Py_ssize_t _name_end(bytes text, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _named(bytes text, Py_ssize_t at, Py_ssize_t end) except -1
cdef int _following(bytes text, Py_ssize_t at, Py_ssize_t end) except -1
cdef bint _in_word(int c) noexcept

@cython.final
cdef class SqlSummary:
    cdef readonly str operation
    cdef readonly str procedure
    cdef bytearray text
    cdef bytearray states
    cpdef bytes read(self, bytes text)
    cdef bint _add(self, bytes text, Py_ssize_t at, Py_ssize_t end) except -1
