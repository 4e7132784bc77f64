from receiver.l7.decoder cimport MORE, NOT_OURS, NOTHING, MESSAGE, NO, PERHAPS, YES
from receiver.l7.dns_text cimport HEADER, NAME_MAX, ANSWERS_MAX, CUT, BROKEN
from receiver.l7.dns_text cimport TYPE_A, TYPE_SOA, TYPE_AAAA, TYPE_NIMLOC, TYPE_SRV, TYPE_OPT, TYPE_IXFR, TYPE_AXFR
from receiver.l7.dns_text cimport read_name, record_text, skip_name
from receiver.l7.prefixed cimport Prefixed
from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned
from receiver.wire.names cimport Names
from receiver.wire.records cimport Endpoints, Message
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, ERROR_NONE, ERROR_BOTH

cimport cython

cdef str PROTOCOL
cdef Py_ssize_t WINDOW
cdef int TRANSFERS_MAX
cdef unsigned long long FACTOR
cdef unsigned long long LOW_64
cdef unsigned long long LOW_47
cdef int FLAG_RESPONSE
cdef int FLAG_AUTHORITATIVE
cdef int FLAG_TRUNCATED
cdef int FLAG_AVAILABLE
cdef int FLAG_ZERO
cdef int OPCODE_BITS
cdef int OPCODE_QUERY
cdef int OPCODE_NOTIFY
cdef int OPCODE_UPDATE
cdef int OPCODE_DSO
cdef int RCODE_NOERROR
cdef int RCODE_NXDOMAIN
cdef int CLASS_IN
cdef int SECTION_QUERY
cdef int SECTION_ANSWER
cdef int SECTION_OTHER
cdef Py_ssize_t APART
cdef dict _TYPES
cdef dict _RCODES
cdef tuple _OPCODES
cdef dict _CLASSES

@cython.final
cdef class Question:
    cdef str text
    cdef bint host

@cython.final
cdef class Questions(Interned):
    pass

@cython.final
cdef class DnsSettings:
    cdef readonly Names names
    cdef readonly bint questions
    cdef Questions known
    cdef Interned types
    cdef Interned rcodes
    cdef str type_name(self, int kind)
    cdef str rcode_name(self, int rcode)

cdef DnsSettings _DEFAULT

@cython.final
cdef class Transfer:
    cdef long long key
    cdef Py_ssize_t serial
    cdef int kind
    cdef Py_ssize_t records
    cdef int boundaries
    cdef bint incremental
    cdef bint over

@cython.final
cdef class DnsDecoder(Prefixed):
    cdef readonly DnsSettings settings
    cdef readonly bint multicast
    cdef long long recent_0
    cdef long long recent_1
    cdef long long recent_2
    cdef long long recent_3
    cdef dict transfers
    cdef Py_ssize_t announced_query
    cdef Py_ssize_t announced_answer
    cdef unsigned long long digest
    cdef Py_ssize_t name_end
    cdef int kind
    cdef int klass
    cdef int extended
    cdef int edns_size
    cdef list texts
    cdef int _response(self, Cursor c, Py_ssize_t base, Py_ssize_t at, int flags, bint whole, long long ts_ns, Message out) except -1
    cdef Py_ssize_t _question(self, Cursor c, Py_ssize_t base, int opcode) except -2
    cdef Py_ssize_t _records(self, Cursor c, Py_ssize_t base, Py_ssize_t at, int count, int section, Question asked, Transfer transfer, long long ts_ns) except -3
    cdef int _soa(self, Cursor c, Py_ssize_t base, Py_ssize_t rdata, Py_ssize_t end, Transfer transfer) except -1
    cdef int _ended(self, int identity) except -1
    cdef int _describe(self, Message out, Question asked, int flags) except -1
    cdef Py_ssize_t _recall(self, int identity, Py_ssize_t otherwise) except -2
    cdef bint _opens(self, int direction, int flags, bint multicast) except -1
    cdef int _reads(self, int direction, Cursor c, Py_ssize_t base, Py_ssize_t size) except -1
    cdef int _fits(self, int direction, Cursor c, Py_ssize_t base, Py_ssize_t size) except -1
