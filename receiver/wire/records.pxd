cimport cython

cdef enum Direction:
    TO_SERVER = 0
    TO_CLIENT = 1

cdef enum Flag:
    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10

cdef enum Role:
    ROLE_REQUEST = 0
    ROLE_RESPONSE = 1

cdef enum Vantage:
    VANTAGE_SERVER = 0
    VANTAGE_CLIENT = 1

cdef enum Piece:
    BEGINS = 1
    ENDS = 2

cdef enum Fault:
    ERROR_UNREAD = 0
    ERROR_NONE = 1
    ERROR_CLIENT = 2
    ERROR_BOTH = 3

cdef enum Outcome:
    OUTCOME_OK = 0
    OUTCOME_ERROR = 1
    OUTCOME_ONE_WAY = 2
    OUTCOME_TIMEOUT = 3
    OUTCOME_RESET = 4
    OUTCOME_CLOSED = 5
    OUTCOME_LOST = 6
    OUTCOME_UNREACHABLE = 7
    OUTCOME_UNKNOWN = 8

cdef enum MessageState:
    CERTAIN = 0
    TENTATIVE = 1
    GONE = 2

cdef enum Note:
    UNNOTED = -1

@cython.final
cdef class Segment:
    cdef public bint is_tcp
    cdef public bint is_ip6
    cdef public long long source_high
    cdef public long long source_low
    cdef public long long target_high
    cdef public long long target_low
    cdef public int source_port
    cdef public int target_port
    cdef public int flags
    cdef public long long seq
    cdef public long long ack
    cdef public Py_ssize_t start
    cdef public Py_ssize_t end
    cdef public Py_ssize_t wire_length
    cdef public long long ts_ns
    cdef public Py_ssize_t options
    cdef public int window
    cdef public int ident
    cdef public int check
    cdef public long long origin

@cython.final
cdef class Endpoints:
    cdef readonly str client_address
    cdef readonly int client_port
    cdef readonly str server_address
    cdef readonly str server_name
    cdef readonly int server_port
    cdef readonly str transport
    cdef public int vantage
    cdef readonly bint neutral
    cdef readonly bint group
    cdef public str tls_server_name
    cdef public str tls_protocols
    cdef public str announced_address
    cdef public int announced_port
    cdef public object encoded
    cdef str caller(self)

cdef class Protocol

@cython.final
cdef class Message:
    cdef public Protocol protocol
    cdef public int direction
    cdef public int role
    cdef public int piece
    cdef public long long key
    cdef public long long first_ns
    cdef public long long last_ns
    cdef public long long size
    cdef public long long body
    cdef public bint expects_reply
    cdef public bint may_block
    cdef public bint awaits
    cdef public bint metric_only
    cdef public long long messages
    cdef public bytes links
    cdef public int error_side
    cdef public str operation
    cdef public str target
    cdef public str namespace
    cdef public str summary
    cdef public str version
    cdef public object status
    cdef public str error_type
    cdef public bytes path
    cdef public bytes query
    cdef public str server_address
    cdef public int server_port
    cdef public bytes trace_id
    cdef public bytes parent_id
    cdef public int trace_flags
    cdef public bytes tracestate
    cdef public bytes span_id
    cdef public list attributes
    cdef public int state
    cdef public int repeats
    cdef public long long note
    cdef public object kept
    cdef public Message next
    cdef int _begin(self) except -1
    cdef int add(self, str name, object value) except -1

cdef Message new_message(int direction, long long first_ns, long long last_ns)

@cython.final
cdef class Protocol:
    cdef readonly str name
    cdef public int number
    cdef readonly str family
    cdef readonly str stability
    cdef readonly bint over_udp
    cdef readonly bint over_tcp
    cdef readonly bint client_only
    cdef readonly bint repeats
    cdef readonly bint probed
    cdef readonly tuple ports
    cdef readonly object decoder

@cython.final
cdef class Roundtrip:
    cdef public Protocol protocol
    cdef public Endpoints endpoints
    cdef public Message request
    cdef public Message response
    cdef public int outcome
    cdef public long long end_ns

cdef class Sink:
    cpdef int roundtrip(self, Roundtrip roundtrip) except -1
    cpdef int begins(self, Endpoints endpoints, Message request) except -1

@cython.no_gc
cdef class Connection:
    cdef public bint roles_known
    cdef public Protocol protocol
    cdef readonly int client_port
    cdef readonly int server_port
    cpdef int swap_roles(self) except -1
    cpdef Endpoints endpoints(self)

cdef class Consumer:
    cpdef int feed(self, int direction, bytes buf, Py_ssize_t start, Py_ssize_t end, long long ts_ns) except -1
    cpdef int gap(self, int direction, Py_ssize_t missing, long long ts_ns) except -1
    cpdef int close(self, int direction, long long ts_ns) except -1
    cpdef int end(self, int outcome, long long ts_ns) except -1
    cpdef int expire(self, long long now_ns) except -1
    cpdef int unreachable(self, int reason, long long ts_ns) except -1
    cpdef bint release(self) except -1
