from receiver.pcap.layer4 cimport Layer4, Tally
from receiver.pcap.layer4 cimport END_EVICTED, END_IDLE
from receiver.pcap.stream cimport Limits, Stream
from receiver.wire.cursor cimport Cursor
from receiver.wire.names cimport Names
from receiver.wire.records cimport Connection, Consumer, Endpoints, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, VANTAGE_SERVER, VANTAGE_CLIENT, OUTCOME_LOST

cimport cython

cdef int SYN
cdef int ACK
cdef long long LINGER_NS
cdef int EVICT_STEPS
cdef long long HANDSHAKE_NS
cdef long long UDP_IDLE_NS

cdef class FlowTable
cdef class Queue

@cython.final
cdef class Flow(Connection):
    cdef Stream to_server
    cdef Stream to_client
    cdef Consumer consumer
    cdef FlowTable table
    cdef bytes client_key
    cdef bytes server_key
    cdef readonly bint is_tcp
    cdef readonly bint from_start
    cdef readonly bint over
    cdef bint listed
    cdef readonly bint ignored
    cdef bint opening
    cdef int turn_direction
    cdef int turn
    cdef Tally tally
    cdef Queue queue
    cdef Flow before
    cdef Flow after
    cdef long long first_ns
    cdef long long last_ns
    cdef long long queued_ns
    cdef Endpoints known

@cython.final
cdef class Queue:
    cdef Flow first
    cdef Flow last
    cdef int add(self, Flow flow) except -1
    cdef int take(self, Flow flow) except -1

@cython.final
cdef class FlowTable:
    cdef dict tcp
    cdef dict udp
    cdef readonly Limits limits
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
    cdef set local
    cdef public set excluded
    cdef public Names names
    cdef set server_ports
    cdef readonly int vantage
    cdef Cursor cursor
    cdef dict texts
    cdef Stream find(self, Segment seg)
    cdef Stream open_flow(self, Segment seg, bytes buf)
    cdef int _vantage(self, bytes client, bytes server) except -1
    cdef int retell(self, Flow flow) except -1
    cdef int _requeue(self, Flow flow) except -1
    cdef Flow _resting(self, Queue queue)
    cdef int _rest(self, Queue queue, long long now_ns, long long idle_ns) except -1
    cdef int _evict(self) except -1
    cdef int answer(self, Flow flow) except -1
    cdef int finish(self, Flow flow, long long now_ns) except -1
    cdef int remove(self, Flow flow) except -1
    cdef Endpoints describe(self, Flow flow)
    cdef str _text(self, bytes address)
