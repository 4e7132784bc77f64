from receiver.wire.cursor cimport Cursor

cimport cython

cdef enum Place:
    HEADER = 12
    NAME_MAX = 255
    CUT = -1
    BROKEN = -2

cdef enum Type:
    TYPE_A = 1
    TYPE_NS = 2
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_PTR = 12
    TYPE_MX = 15
    TYPE_TXT = 16
    TYPE_AAAA = 28
    TYPE_NIMLOC = 32
    TYPE_SRV = 33
    TYPE_OPT = 41
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_IXFR = 251
    TYPE_AXFR = 252

cdef Py_ssize_t ANSWERS_MAX
cdef Py_ssize_t TEXT_MAX
cdef dict _SVC_KEYS

cdef Py_ssize_t skip_name(Cursor c, Py_ssize_t base, Py_ssize_t at) except -3
cdef str read_name(Cursor c, Py_ssize_t base, Py_ssize_t at)
cdef str record_text(Cursor c, Py_ssize_t base, int kind, Py_ssize_t at, Py_ssize_t end)
cdef str _escaped(bytes piece, bint dots)
cdef str _service(Cursor c, Py_ssize_t base, Py_ssize_t at, Py_ssize_t end)
cdef str _strings(Cursor c, Py_ssize_t at, Py_ssize_t end)
