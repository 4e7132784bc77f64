from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, VANTAGE_SERVER, VANTAGE_CLIENT
from receiver.wire.records cimport FIN, SYN, RST, ACK
from receiver.wire.sequence cimport Sequence

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

cdef enum State:
    NEW = 0
    JOINED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    LIVE = 4
    FAILED = 5
    OVER = 6

cdef enum End:
    END_FIN = 0
    END_RESET = 1
    END_IDLE = 2
    END_EVICTED = 3

cdef long long LATE_NS
cdef long long RTO_MIN_NS
cdef Py_ssize_t HOLES_MAX
cdef Py_ssize_t HOLE_WORDS
cdef long long IDENTS_APART
cdef long long GUESS_NS
cdef Py_ssize_t GUESSES_MAX
cdef int EPHEMERAL
cdef Py_ssize_t UNANSWERED_SHARE

@cython.final
cdef class Peer:
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
cdef class Holes:
    cdef long long[::1] places
    cdef Py_ssize_t following

@cython.final
cdef class Half:
    cdef long long next
    cdef long long acked
    cdef long long zero_ns
    cdef long long probe_end
    cdef long long probe_ns
    cdef long long probe_value
    cdef long long smoothed_ns
    cdef long long variance_ns
    cdef long long recover
    cdef long long evidence_ns
    cdef int window
    cdef int repeated
    cdef bint doubt
    cdef bint ended
    cdef Holes holes

@cython.final
cdef class Tally:
    cdef Peer peer
    cdef Peer shared
    cdef Half to_server
    cdef Half to_client
    cdef bytes client
    cdef bytes server
    cdef str name
    cdef Endpoints endpoints
    cdef int server_port
    cdef int vantage
    cdef bint is_tcp
    cdef int state
    cdef int seen
    cdef bint from_start
    cdef bint counted
    cdef bint syn_again
    cdef bint syn_ack_again
    cdef int first_fin
    cdef long long first_ns
    cdef long long answer_ns
    cdef long long client_next
    cdef long long server_next
    cdef long long sent
    cdef long long received

@cython.final
cdef class Layer4:
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
    cdef readonly list peers
    cdef dict common
    cdef dict special
    cdef Peer latest
    cdef long long latest_word
    cdef object latest_server
    cdef Peer rest
    cdef Py_ssize_t unanswered
    cdef readonly long long overflowed
    cdef list guesses
    cdef Cursor cursor
    cdef bint has_time
    cdef long long value
    cdef long long echo
    cdef int mss
    cdef bint sacks
    cdef bint doubled
    cdef public long long shift_ns
    cdef Tally begin(self, bytes client, bytes server, int server_port, bint is_tcp, int vantage, str name, bint certain, long long ts_ns)
    cdef int swap(self, Tally tally, bytes client, bytes server, int server_port, int vantage, str name, long long ts_ns) except -1
    cdef int _settle(self, Tally tally) except -1
    cdef int _absorb(self, Peer peer, Peer own, bint mirrored) except -1
    cdef int end(self, Tally tally, int reason, int direction, long long ts_ns) except -1
    cdef int _stand(self, Half half, Peer peer, int direction, long long ts_ns) except -1
    cdef int unreachable(self, Tally tally, int direction, long long seq) except -1
    cdef int datagram(self, Tally tally, int direction, Segment seg) except -1
    cdef int segment(self, Tally tally, int direction, Segment seg, bytes buf) except -1
    cdef int _options(self, Segment seg, bytes buf) except -1
    cdef int _handshake(self, Tally tally, int direction, Segment seg, bytes buf) except -1
    cdef int _advance(self, Tally tally, int direction, Segment seg) except -1
    cdef int _opens(self, Tally tally, long long ts_ns) except -1
    cdef int _acknowledge(self, Peer peer, int direction, Half mine, Half theirs, Segment seg) except -1
    cdef int _suspect(self, Half half, long long ts_ns) except -1
    cdef int _sample(self, Peer peer, int direction, Half half, long long value_ns) except -1
    cdef int _smooth(self, Half half, long long value_ns) except -1
    cdef int _passed_over(self, Half half, Segment seg) except -1
    cdef int _again(self, Tally tally, Peer peer, int direction, Half mine, Half theirs, Segment seg, long long offset, long long end) except -1
    cdef int _fill(self, Half half, Segment seg, long long end, long long patience_ns) except -1000
    cdef int _split(self, Holes holes, Py_ssize_t at, long long low, long long high) except -1
    cdef int _fin(self, Tally tally, int direction, Half mine, Half theirs, long long ts_ns) except -1
    cpdef int record(self, Peer peer, Py_ssize_t number, long long value) except -1
    cdef int _record_range(self, Peer peer, Py_ssize_t number, long long value) except -1
    cdef Peer _make(self, long long start_ns)
    cdef int _answered(self, Tally tally, long long ts_ns) except -1
    cdef Peer _home(self, Tally tally, bint answered, long long ts_ns)
    cdef Peer _find(self, bytes client, bytes server, int server_port, bint is_tcp, int vantage, str name, Endpoints endpoints, bint answered, long long ts_ns)
    cdef int _kind(self, bytes address) except -1
