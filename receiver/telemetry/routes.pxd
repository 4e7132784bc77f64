cimport cython

from receiver.wire.cursor cimport Cursor

cdef bytes _KIND
cdef int _SLASH
cdef int _SEMICOLON
cdef int _QUESTION
cdef int _HASH
cdef int _PERCENT
cdef Py_ssize_t _CACHED_PATH_MAX
cdef Py_ssize_t _CACHE_MAX
cdef Py_ssize_t _SEGMENTS_MAX
cdef Py_ssize_t _TEXT_MAX
cdef Py_ssize_t _WORD_MAX
cdef Py_ssize_t _DEPTH_MAX

@cython.final
cdef class Route:
    cdef readonly str text
    cdef readonly bint configured

@cython.final
cdef class _Node:
    cdef dict literals
    cdef list placeholders
    cdef dict here
    cdef dict below

@cython.final
cdef class _Placeholder:
    cdef bytes prefix
    cdef bytes suffix
    cdef _Node node

@cython.final
cdef class RouteTable:
    cdef public long long overflowed
    cdef readonly Route overflow
    cdef bint _heuristic
    cdef Py_ssize_t _templates_max
    cdef _Node _root
    cdef bint _any_configured
    cdef bint _any_method
    cdef str _method
    cdef dict _young
    cdef dict _old
    cdef dict _templates
    cdef bytearray _text
    cdef Cursor _c
    cdef list _segments
    cpdef Route find(self, bytes path, bint learn=*, str method=*)
    cpdef str template(self, bytes path, bint learn=*, str method=*)
    cdef Route _resolve(self, bytes key, bytes path, bint learn)
    cdef Route _configured(self, bytes path, Py_ssize_t end)
    cdef Route _descend(self, _Node node, Py_ssize_t at)
    cdef bytes _collapse(self, bytes path, Py_ssize_t end)

cdef bint _is_id(bytes path, Py_ssize_t start, Py_ssize_t end) except -1
cdef bytes _unquote(bytes piece)
