cimport cython

from receiver.wire.cursor cimport Cursor

cdef tuple _STATIC_NAMES
cdef tuple _STATIC_VALUES
cdef bytes _NEXT
cdef bytes _SYMBOL
cdef bytes _EMITS
cdef bytes _FAILS
cdef bytes _MAY_END
cdef Py_ssize_t _STATIC_COUNT
cdef Py_ssize_t _ENTRY_OVERHEAD
cdef Py_ssize_t _LEARNED_MAX
cdef long long _EPOCH
cdef Py_ssize_t _COMPACT_AT

cdef class HeaderSink:
    cdef int header(self, bytes name, bytes value, bint never_indexed) except -1
    cdef int hidden(self, long long entry, bytes value, bint never_indexed) except -1

@cython.final
cdef class HeaderList(HeaderSink):
    cdef readonly list fields

@cython.final
cdef class HpackDecoder:
    cdef readonly bint truncated
    cdef readonly bint complete
    cdef readonly Py_ssize_t table_size
    cdef readonly Py_ssize_t table_limit
    cdef readonly long long unknown
    cdef Py_ssize_t _list_max
    cdef Py_ssize_t _kept_max
    cdef bint _limit_certain
    cdef list _names
    cdef list _values
    cdef Py_ssize_t _oldest
    cdef Py_ssize_t _count
    cdef long long _inserted
    cdef long long _entry
    cdef dict _taken_from
    cdef dict _learned
    cdef Cursor _c
    cdef Py_ssize_t _begin
    cdef Py_ssize_t _at
    cdef bytearray _text
    cpdef Py_ssize_t decode(self, bytes block, Py_ssize_t start, Py_ssize_t end, HeaderSink sink) except -1
    cpdef int learn(self, long long entry, bytes name) except -1
    cpdef int reset_unknown(self) except -1
    cdef Py_ssize_t _decode(self, bytes block, Py_ssize_t start, Py_ssize_t end, HeaderSink sink) except -1
    cdef Py_ssize_t _integer(self, bytes block, Py_ssize_t end, int prefix) except -1
    cdef bytes _string(self, bytes block, Py_ssize_t end)
    cdef bytes _huffman(self, bytes block, Py_ssize_t start, Py_ssize_t end)
    cdef bytes _unseen(self, Py_ssize_t index)
    cdef int _insert(self, bytes name, bytes value) except -1
    cdef int _evict(self) except -1
    cdef int _shrink(self, Py_ssize_t room) except -1
    cdef int _resize(self, Py_ssize_t limit) except -1
    cdef int _forget(self) except -1
