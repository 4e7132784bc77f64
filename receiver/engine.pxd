from receiver.l7.conversation cimport Conversation, Reading
from receiver.pcap.flow cimport Flow, FlowTable
from receiver.pcap.link cimport Link
from receiver.pcap.link cimport DECODED, ODD
from receiver.pcap.stream cimport Limits, Stream
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Consumer, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, OUTCOME_RESET, OUTCOME_CLOSED, OUTCOME_LOST
from receiver.wire.sequence cimport Sequence

cimport cython

cdef int FIN
cdef int SYN
cdef int RST
cdef int ACK
cdef long long SWEEP_NS

@cython.final
cdef class Engine:
    cdef readonly FlowTable table
    cdef readonly Reading reading
    cdef object odd_link
    cdef bint unwrap
    cdef Link link
    cdef Segment segment
    cdef Cursor meta
    cdef list waiting
    cdef readonly long long packets
    cdef readonly long long parsed
    cdef readonly long long bytes
    cdef long long[::1] skipped
    cdef readonly long long now_ns
    cdef long long swept_ns
    cdef int _segment(self, Segment seg, bytes buf) except -1
    cdef int _odd(self, bytes data, Py_ssize_t start, Py_ssize_t end, int link_type, long long ts_ns) except -1
    cdef int _reset(self, Flow flow, Stream stream, Segment seg) except -1
    cdef int _over(self, Flow flow, int outcome, long long now_ns) except -1
    cdef int _datagram(self, Flow flow, Stream stream, Segment seg, bytes buf) except -1
