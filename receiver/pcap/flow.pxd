from receiver.pcap.stream cimport Limits, Stream
from receiver.wire.cursor cimport Cursor
from receiver.wire.names cimport Names
from receiver.wire.records cimport Connection, Consumer, Endpoints, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, VANTAGE_SERVER, VANTAGE_CLIENT, OUTCOME_LOST

cimport cython

cdef int SYN
cdef int ACK

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
    cdef long long first_ns
    cdef long long last_ns
    cdef long long queued_ns
    cdef Endpoints known

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
    cdef object young
    cdef object old
    cdef object done
    cdef set local
    cdef public set excluded
    cdef public Names names
    cdef set server_ports
    cdef readonly int vantage
    cdef Cursor cursor
    cdef Stream find(self, Segment seg)
    cdef Stream open_flow(self, Segment seg, bytes buf)
    cdef int _evict(self) except -1
    cdef int finish(self, Flow flow, long long now_ns) except -1
    cdef int remove(self, Flow flow) except -1
    cdef Endpoints describe(self, Flow flow)
