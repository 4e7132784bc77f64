from receiver.l7.trace_context cimport TraceContext
from receiver.wire.interned cimport Interned

cimport cython

cdef enum Sender:
    SENDER_CLIENT = 1
    SENDER_SERVER = 2

cdef enum Number:
    CONNECTION_SECURE = 0x000A0014
    CONNECTION_CLOSE = 0x000A0032
    CONNECTION_CLOSE_OK = 0x000A0033
    CHANNEL_OPEN = 0x0014000A
    CHANNEL_CLOSE = 0x00140028
    CHANNEL_CLOSE_OK = 0x00140029
    QUEUE_DECLARE = 0x0032000A
    QUEUE_DECLARE_OK = 0x0032000B
    QUEUE_DELETE_OK = 0x00320029
    BASIC_CONSUME = 0x003C0014
    BASIC_CONSUME_OK = 0x003C0015
    BASIC_PUBLISH = 0x003C0028
    BASIC_RETURN = 0x003C0032
    BASIC_DELIVER = 0x003C003C
    BASIC_GET = 0x003C0046
    BASIC_GET_OK = 0x003C0047
    BASIC_GET_EMPTY = 0x003C0048
    BASIC_ACK = 0x003C0050
    BASIC_REJECT = 0x003C005A
    BASIC_NACK = 0x003C0078
    CONFIRM_SELECT = 0x0055000A

cdef Py_ssize_t DESTINATIONS_MAX
cdef Py_ssize_t SPELLINGS_MAX
cdef Py_ssize_t CODES_MAX
cdef dict REPLIES

@cython.final
cdef class Method:
    cdef readonly str name
    cdef readonly int senders
    cdef public int answer
    cdef readonly int strings
    cdef readonly int no_wait
    cdef readonly bint ticket
    cdef readonly bint named

@cython.final
cdef class Destinations(Interned):
    cdef Interned texts
    cpdef str text(self, bytes name)

@cython.final
cdef class Vocabulary:
    cdef dict limits
    cdef object levels
    cdef bint server_side
    cdef TraceContext context
    cdef Destinations destinations
    cdef Interned codes
    cdef dict methods
    cdef str reply(self, int code)
