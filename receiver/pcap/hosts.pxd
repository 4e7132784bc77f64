from receiver.wire.interned cimport Interned
from receiver.wire.writer cimport Writer

cimport cython

cdef Py_ssize_t HOSTS_MAX
cdef Py_ssize_t SLOTS

@cython.final
cdef class Host:
    cdef readonly bytes packed
    cdef readonly str text
    cdef readonly bint local
    cdef readonly bint group
    cdef bint is_ip6
    cdef long long high
    cdef long long low

@cython.final
cdef class Hosts:
    cdef set local
    cdef list near
    cdef Interned known
    cdef Writer writer
    cdef Host find(self, bint is_ip6, long long high, long long low)
    cdef Host _look_up(self, bint is_ip6, long long high, long long low)
