from receiver.pcap.hosts cimport Host, Hosts
from receiver.pcap.layer4 cimport FlowStats, Layer4
from receiver.pcap.layer4 cimport END_EVICTED, END_IDLE
from receiver.pcap.stream cimport Reassembly, Stream
from receiver.wire.names cimport Names
from receiver.wire.sequence cimport Sequence
from receiver.wire.records cimport Connection, Consumer, Endpoints, Protocol, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, VANTAGE_SERVER, VANTAGE_CLIENT, OUTCOME_LOST
from receiver.wire.records cimport SYN, ACK

cimport cython

cdef int STRANGER
cdef long long LINGER_NS
cdef long long ANSWERED_NS
cdef Py_ssize_t FORGET_STEPS
cdef Py_ssize_t ANSWERED_MAX
cdef int EVICT_STEPS
cdef long long HANDSHAKE_NS
cdef long long UDP_IDLE_NS
cdef int PORTS
cdef Py_ssize_t SLOTS_MIN

cdef class FlowTable
cdef class Queue

@cython.final
cdef class Flow(Connection):
    cdef Stream to_server
    cdef Stream to_client
    cdef Consumer consumer
    cdef FlowTable table
    cdef long long client_high
    cdef long long client_low
    cdef long long server_high
    cdef long long server_low
    cdef long long client_first
    cdef long long server_first
    cdef readonly long long serial
    cdef Flow chained
    cdef readonly bint is_tcp
    cdef readonly bint is_ip6
    cdef readonly bint from_start
    cdef readonly bint over
    cdef Py_ssize_t place
    cdef readonly bint ignored
    cdef bint opening
    cdef int turn_direction
    cdef int turn
    cdef FlowStats stats
    cdef Queue queue
    cdef Flow before
    cdef Flow after
    cdef long long last_ns
    cdef long long queued_ns
    cdef Endpoints known
    cdef int direction_of(self, Segment seg) except -1
    cdef bint _is_client(self, long long high, long long low, int port) except -1
    cdef bint _is_server(self, long long high, long long low, int port) except -1
    cdef Host client(self)
    cdef Host server(self)
    cdef int open_streams(self) except -1
    cdef Stream stream(self, int direction)
    cdef int on_syn(self, int direction, Segment seg) except -1
    cdef int on_bare_ack(self, int direction, Segment seg) except -1
    cdef bint is_handshake(self, int direction, Segment seg) except -1
    cdef long long reached(self, int direction)

@cython.final
cdef class Queue:
    cdef Flow first
    cdef Flow last
    cdef Py_ssize_t size
    cdef int add(self, Flow flow) except -1
    cdef int take(self, Flow flow) except -1

@cython.final
cdef class FlowTable:
    cdef list slots
    cdef Py_ssize_t mask
    cdef unsigned long long high_factor
    cdef unsigned long long low_factor
    cdef unsigned long long port_factor
    cdef unsigned long long end_factor
    cdef int direction
    cdef long long ends
    cdef readonly Reassembly reassembly
    cdef readonly dict reached
    cdef readonly Py_ssize_t flow_max
    cdef readonly long long idle_ns
    cdef readonly long long opened
    cdef readonly long long closed
    cdef readonly long long evicted
    cdef readonly long long expired
    cdef readonly Py_ssize_t open
    cdef public Layer4 layer4
    cdef Queue starting
    cdef Queue datagrams
    cdef Queue answered
    cdef Queue young
    cdef Queue old
    cdef Queue done
    cdef Hosts hosts
    cdef public bytearray watched
    cdef public object is_own
    cdef public long long shift_ns
    cdef public Names names
    cdef bytes server_ports
    cdef readonly int vantage
    cdef Flow find(self, Segment seg)
    cdef Flow open_flow(self, Segment seg, bytes buf)
    cdef unsigned long long _end(self, long long high, long long low, int port)
    cdef Py_ssize_t _place(self, Flow flow) except -1
    cdef int _chain(self, Flow flow) except -1
    cdef int _unchain(self, Flow flow) except -1
    cdef int _spread(self) except -1
    cdef bint _serves(self, int port) except -1
    cdef bint _is_watched(self, int port) except -1
    cdef bint _is_own(self, Flow flow, bytes payload) except -1
    cdef int _vantage(self, Host client, Host server) except -1
    cdef str _name(self, Host server, long long now_ns)
    cdef int on_roles_swapped(self, Flow flow) except -1
    cdef int _requeue(self, Flow flow) except -1
    cdef Flow _resting(self, Queue queue)
    cdef int _forget_answered(self, long long now_ns, Py_ssize_t steps) except -1
    cdef int _rest(self, Queue queue, long long now_ns, long long idle_ns) except -1
    cdef int _evict(self) except -1
    cdef int answer(self, Flow flow) except -1
    cdef int finish(self, Flow flow, long long now_ns) except -1
    cdef int remove(self, Flow flow) except -1
    cdef Endpoints describe(self, Flow flow)
