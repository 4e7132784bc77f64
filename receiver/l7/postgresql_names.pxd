from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned

cimport cython

cdef Py_ssize_t DATABASES_MAX
cdef Py_ssize_t TAGS_MAX
cdef Py_ssize_t CODES_MAX
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t TAG_MAX
cdef bytes CAPITALS
cdef bytes DIGITS

@cython.final
cdef class Databases(Interned):
    pass

@cython.final
cdef class Tags(Interned):
    pass

@cython.final
cdef class Codes(Interned):
    pass

@cython.final
cdef class Names:
    cdef Interned databases
    cdef Interned tags
    cdef Interned codes
    cdef str database(self, Cursor c, Py_ssize_t at, Py_ssize_t end)
    cdef str tag(self, Cursor c, Py_ssize_t at, Py_ssize_t end)
    cdef str code(self, Cursor c, Py_ssize_t at, Py_ssize_t end)
