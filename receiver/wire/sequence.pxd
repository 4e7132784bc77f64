cimport cython

cdef long long WRAP
cdef long long HALF

@cython.final
cdef class Sequence:
    @staticmethod
    cdef long long diff(long long a, long long b) noexcept
    @staticmethod
    cdef long long add(long long a, long long n) noexcept
