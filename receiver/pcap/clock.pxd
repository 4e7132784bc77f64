cimport cython

cdef long long STEP_NS
cdef long long STEP_LIVE_NS
cdef long long BOTH_NS
cdef int NEARER
cdef long long NEVER_NS
cdef long long AGES_NS

@cython.final
cdef class Clock:
    cdef object look
    cdef long long set_ns
    cdef long long live_ns
    cdef long long offset_ns
    cdef long long step_ns
    cdef readonly long long shift_ns
    cdef readonly long long before_ns
    cdef readonly long long stepped_ns
    cdef long long other_ns
    cdef long long used_ns
    cdef readonly long long ahead_max_ns
    cdef readonly long long behind_max_ns
    cdef bint timeless
    cdef readonly Py_ssize_t steps
    cdef long long latest_ns
    cpdef Py_ssize_t judge(self, long long own_ns, long long now_ns) except? -1
    cpdef int listen(self, long long now_ns) except -1
    cpdef Py_ssize_t latest(self, long long now_ns) except? -1
    cdef long long _alone(self) noexcept
    cdef int _step(self, long long shift_ns, long long now_ns) except -1
    cdef int _swap(self, long long now_ns) except -1
    cdef int _both(self, long long now_ns) except -1

cdef long long _size(long long ns) noexcept
