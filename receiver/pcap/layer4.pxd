from receiver.pcap.layer4_rows cimport CounterRow, CounterTable
from receiver.pcap.layer4_rows cimport (
    AGAIN_FAST, AGAIN_IO, AGAIN_SYN, AGAIN_SYN_ACK, AGAIN_TIMEOUT, CLOSED_EVICTED, CLOSED_FIN, CLOSED_IDLE,
    CLOSED_RESET, DUPLICATE_ACKS, DURATION, ESTABLISHED, FAILED_EVICTED, FAILED_REFUSED, FAILED_RESET, FAILED_TIMEOUT,
    FAILED_UNREACHABLE, HANDSHAKE, IO, MSS, OPEN, OPENED, PACKETS, REORDERED, RTT, SPURIOUS, UNREACHABLE, VARIANCE,
    VOLUME, ZERO_WINDOWS, ZERO_WINDOW_NS,
)
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, VANTAGE_SERVER, VANTAGE_CLIENT
from receiver.wire.records cimport FIN, SYN, RST, ACK
from receiver.wire.sequence cimport Sequence

cimport cython

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

@cython.final
cdef class Holes:
    cdef long long[::1] places
    cdef Py_ssize_t following

@cython.final
cdef class TcpHalf:
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
cdef class FlowStats:
    cdef CounterRow row
    cdef CounterRow shared
    cdef TcpHalf to_server
    cdef TcpHalf to_client
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
    cdef readonly CounterTable table
    cdef bint named
    cdef list guesses
    cdef Cursor cursor
    cdef bint has_time
    cdef long long value
    cdef long long echo
    cdef int mss
    cdef bint sacks
    cdef bint doubled
    cdef FlowStats begin(self, bytes client, bytes server, int server_port, bint is_tcp, int vantage, str name, bint certain, long long ts_ns)
    cdef int swap(self, FlowStats stats, bytes client, bytes server, int server_port, int vantage, str name, long long ts_ns) except -1
    cdef int _settle(self, FlowStats stats) except -1
    cdef int end(self, FlowStats stats, int reason, int direction, long long ts_ns) except -1
    cdef int _stand(self, TcpHalf half, CounterRow row, int direction, long long ts_ns) except -1
    cdef int unreachable(self, FlowStats stats, int direction, long long seq) except -1
    cdef int datagram(self, FlowStats stats, int direction, Segment seg) except -1
    cdef int segment(self, FlowStats stats, int direction, Segment seg, bytes buf) except -1
    cdef int _options(self, Segment seg, bytes buf) except -1
    cdef int _handshake(self, FlowStats stats, int direction, Segment seg, bytes buf) except -1
    cdef int _advance(self, FlowStats stats, int direction, Segment seg) except -1
    cdef int _opens(self, FlowStats stats, long long ts_ns) except -1
    cdef int _acknowledge(self, CounterRow row, int direction, TcpHalf mine, TcpHalf theirs, Segment seg) except -1
    cdef int _suspect(self, TcpHalf half, long long ts_ns) except -1
    cdef int _sample(self, CounterRow row, int direction, TcpHalf half, long long value_ns) except -1
    cdef int _smooth(self, TcpHalf half, long long value_ns) except -1
    cdef int _passed_over(self, TcpHalf half, Segment seg) except -1
    cdef int _again(self, FlowStats stats, CounterRow row, int direction, TcpHalf mine, TcpHalf theirs, Segment seg, long long offset, long long end) except -1
    cdef int _fill(self, TcpHalf half, Segment seg, long long end, long long patience_ns) except -1000
    cdef int _split(self, Holes holes, Py_ssize_t at, long long low, long long high) except -1
    cdef int _fin(self, FlowStats stats, int direction, TcpHalf mine, TcpHalf theirs, long long ts_ns) except -1
    cdef int _answered(self, FlowStats stats, long long ts_ns) except -1
    cdef CounterRow _home(self, FlowStats stats, bint answered, long long ts_ns)
