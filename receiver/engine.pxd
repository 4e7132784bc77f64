from receiver.l7.conversation cimport open_conversation
from receiver.l7.reading cimport Reading
from receiver.pcap.clock cimport Clock
from receiver.pcap.duplicate cimport Duplicates
from receiver.pcap.flow cimport Flow, FlowTable
from receiver.pcap.layer4 cimport Layer4
from receiver.pcap.layer4 cimport END_IDLE, END_RESET
from receiver.pcap.link cimport Link
from receiver.pcap.link cimport DECODED, DUPLICATE, FRAGMENT, NOT_TCP_UDP, ODD, UNREACHABLE
from receiver.pcap.stream cimport Reassembly, Stream
from receiver.telemetry.spans cimport Spans
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Consumer, Segment
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, OUTCOME_RESET, OUTCOME_CLOSED, OUTCOME_LOST
from receiver.wire.records cimport FIN, SYN, RST, ACK
from receiver.wire.sequence cimport Sequence

cimport cython

cdef long long SWEEP_NS
cdef int OPENINGS
cdef int INTERFACE_SHIFT

@cython.final
cdef class Engine:
    cdef readonly FlowTable table
    cdef readonly Reading reading
    cdef object odd_link
    cdef bint unwrap
    cdef bytes tunnel_ports
    cdef readonly Layer4 layer4
    cdef readonly Clock clock
    cdef long long listened
    cdef Link link
    cdef readonly object fragments
    cdef Duplicates duplicates
    cdef Segment segment
    cdef Cursor meta
    cdef list waiting
    cdef readonly long long packets
    cdef readonly long long parsed
    cdef readonly long long bytes
    cdef long long[::1] skipped
    cdef readonly long long now_ns
    cdef long long swept_ns
    cdef Spans spans
    cdef object on_full
    cdef int _flush(self) except -1
    cdef Py_ssize_t _leap(self, long long own_ns, long long ahead_ns) except? -1
    cdef int _set_clock(self) except -1
    cdef int _several(self) except -1
    cdef bint _is_tunnel(self, Segment seg) except -1
    cdef int _other(self, int verdict, bytes data, Py_ssize_t start, Py_ssize_t end, int link_type) except -1
    cdef int _give_up_fragments(self, long long now_ns, bint everything) except -1
    cdef int _unreachable(self, Segment seg) except -1
    cdef int _packet(self, Segment seg, bytes buf) except -1
    cdef int _segment(self, Flow flow, int direction, Segment seg, bytes buf) except -1
    cdef int _list(self, Flow flow) except -1
    cdef int _unlist(self, Flow flow) except -1
    cdef int _reset(self, Flow flow, int direction, Segment seg) except -1
    cdef int _over(self, Flow flow, int outcome, long long now_ns) except -1
    cdef int _datagram(self, Flow flow, int direction, Segment seg, bytes buf) except -1
