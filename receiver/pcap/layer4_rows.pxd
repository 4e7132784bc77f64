from receiver.wire.records cimport Endpoints
from receiver.wire.records cimport VANTAGE_SERVER, VANTAGE_CLIENT

cimport cython

cdef enum Counter:
    IO = 0
    PACKETS = 2
    UNREACHABLE = 4
    OPENED = 5
    ESTABLISHED = 6
    FAILED_REFUSED = 7
    FAILED_TIMEOUT = 8
    FAILED_UNREACHABLE = 10
    FAILED_RESET = 12
    FAILED_EVICTED = 14
    CLOSED_FIN = 15
    CLOSED_RESET = 17
    CLOSED_IDLE = 19
    CLOSED_EVICTED = 20
    OPEN = 21
    AGAIN_FAST = 22
    AGAIN_TIMEOUT = 24
    AGAIN_SYN = 26
    AGAIN_SYN_ACK = 28
    AGAIN_IO = 30
    SPURIOUS = 32
    DUPLICATE_ACKS = 34
    REORDERED = 36
    ZERO_WINDOWS = 38
    ZERO_WINDOW_NS = 40
    COUNTED = 42

cdef enum Histogram:
    HANDSHAKE = 0
    RTT = 1
    VARIANCE = 3
    MSS = 5
    DURATION = 7
    VOLUME = 8
    RECORDED = 10

cdef enum Kind:
    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3
    MULTICAST = 4

cdef Py_ssize_t UNANSWERED_SHARE

@cython.final
cdef class CounterRow:
    cdef long long[::1] counts
    cdef long long[::1] buckets
    cdef long long[::1] sums
    cdef readonly long long start_ns
    cdef readonly int vantage
    cdef readonly int server_port
    cdef readonly bint ipv6
    cdef readonly bint is_tcp
    cdef readonly int kind
    cdef readonly bint overflow
    cdef bint answered
    cdef readonly str server_address
    cdef readonly str peer_address
    cdef readonly str client_address
    cdef readonly str server_name
    cdef readonly str alpn
    cdef list ranges
    cdef int count(self, int number, long long by) except -1

@cython.final
cdef class CounterTable:
    cdef bint by_server
    cdef bint by_client
    cdef bint by_peer
    cdef bint by_server_name
    cdef bint by_alpn
    cdef Py_ssize_t series_max
    cdef readonly bint vmrange
    cdef tuple range_bounds
    cdef tuple units
    cdef readonly list widths
    cdef long long[::1] limits
    cdef long long[::1] places
    cdef readonly list rows
    cdef dict common
    cdef dict special
    cdef CounterRow latest
    cdef long long latest_word
    cdef object latest_server
    cdef CounterRow overflow_row
    cdef Py_ssize_t unanswered
    cdef readonly long long overflowed
    cdef public long long shift_ns
    cpdef int record(self, CounterRow row, Py_ssize_t number, long long value) except -1
    cdef int _record_range(self, CounterRow row, Py_ssize_t number, long long value) except -1
    cdef CounterRow make(self, long long start_ns)
    cdef int answered(self, CounterRow row) except -1
    cdef int absorb(self, CounterRow row, CounterRow own, bint mirrored) except -1
    cdef CounterRow find(self, bytes client, bytes server, int server_port, bint is_tcp, int vantage, str name, Endpoints endpoints, bint answered, long long ts_ns)
    cdef int _kind(self, bytes address) except -1
