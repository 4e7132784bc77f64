from receiver.l7.amqp_names cimport BASIC_ACK, BASIC_CONSUME, BASIC_CONSUME_OK, BASIC_DELIVER, BASIC_GET, BASIC_GET_EMPTY, BASIC_GET_OK
from receiver.l7.amqp_names cimport BASIC_NACK, BASIC_PUBLISH, BASIC_REJECT, BASIC_RETURN, CHANNEL_CLOSE, CHANNEL_CLOSE_OK, CHANNEL_OPEN
from receiver.l7.amqp_names cimport CONFIRM_SELECT, CONNECTION_CLOSE, CONNECTION_CLOSE_OK, CONNECTION_SECURE, QUEUE_DECLARE
from receiver.l7.amqp_names cimport QUEUE_DECLARE_OK, QUEUE_DELETE_OK, SENDER_CLIENT, SENDER_SERVER
from receiver.l7.amqp_names cimport Method, Vocabulary
from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, SEVERAL, SKIP_TO_CLOSE, YES
from receiver.l7.decoder cimport Decoder
from receiver.l7.prefixed cimport Prefixed
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, ERROR_UNREAD, ROLE_REQUEST, ROLE_RESPONSE, TENTATIVE
from receiver.wire.records cimport TO_CLIENT, TO_SERVER, VANTAGE_SERVER
from receiver.wire.records cimport Message, Protocol

cimport cython

cdef enum Frame:
    METHOD = 1
    HEADER = 2
    BODY = 3
    HEARTBEAT = 8

cdef enum Confirms:
    PLAIN = 0
    OPEN_BEFORE = 1
    CONFIRMS = 2

cdef enum Key:
    CALL = 0
    PUBLISHED = 1
    DELIVERED = 2
    ONE_WAY = 3

cdef enum Noted:
    MANDATORY = 1

cdef Py_ssize_t HEAD
cdef int CONNECTION
cdef int EXCHANGE
cdef int FRAME_END
cdef long long UNKNOWN
cdef bytes GREETING
cdef Py_ssize_t FRAME_MAX
cdef Py_ssize_t PROVED_MAX
cdef Py_ssize_t WINDOW
cdef Py_ssize_t CHANNELS_MAX
cdef Py_ssize_t CONSUMERS_MAX
cdef Py_ssize_t WAITING_MAX
cdef long long TAGS_MAX
cdef long long REST_NS
cdef long long SILENT_PUBLISHED
cdef long long SILENT_PUBLISHED_NS
cdef long long SILENT_DELIVERED
cdef long long SILENT_DELIVERED_NS
cdef int _CORRELATION_ID
cdef int _MESSAGE_ID
cdef int _HEADERS
cdef int _BYTE_SIZED
cdef int _TIMESTAMP
cdef dict _SIZES

@cython.final
cdef class Consumer:
    cdef bytes queue
    cdef int settles
    cdef bytes spelling
    cdef str target

@cython.final
cdef class Content:
    cdef Py_ssize_t method
    cdef long long first_ns
    cdef Py_ssize_t size
    cdef Py_ssize_t left
    cdef long long key
    cdef long long tag
    cdef bytes routing_key
    cdef str target
    cdef Consumer consumer
    cdef bint redelivered
    cdef bint mandatory

@cython.final
cdef class Channel:
    cdef long long number
    cdef int confirms
    cdef long long calls
    cdef long long answered
    cdef long long published
    cdef long long low
    cdef long long known
    cdef long long ahead
    cdef bint doubted
    cdef long long lone
    cdef long long unheard
    cdef long long unsettled
    cdef long long spoke_ns
    cdef long long silent_ns
    cdef long long oldest
    cdef long long newest
    cdef long long delivered_ns
    cdef bint settles
    cdef bytes queue
    cdef dict consumers
    cdef Content sending
    cdef Content getting
    cdef list returned
    cdef set got
    cdef str failure

@cython.final
cdef class AmqpDecoder(Prefixed):
    cdef Vocabulary words
    cdef Protocol delivers
    cdef dict channels
    cdef Channel latest
    cdef bint greeted
    cdef long long ways
    cdef list answers
    cdef int answer_side
    cdef str answer_error
    cdef Py_ssize_t _greeting(self, int direction, Cursor c, Py_ssize_t at) except -2
    cdef Channel _channel(self, long long number)
    cdef Py_ssize_t _key(self, long long kind, Channel channel, long long number) except? -1
    cdef Py_ssize_t _way(self, Channel channel) except? -1
    cdef Py_ssize_t _string(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -2
    cdef int _method(self, int direction, Channel channel, Py_ssize_t number, Cursor c, Py_ssize_t end, Py_ssize_t size, long long ts_ns, Message out) except -1
    cdef int _call(self, Channel channel, Py_ssize_t number, Method method, Cursor c, Py_ssize_t at, Py_ssize_t end, Message out) except -1
    cdef Message _asked(self, Channel channel, long long answer)
    cdef int _answer(self, Channel channel, Py_ssize_t number, Cursor c, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size, long long ts_ns, Message out) except -1
    cdef int _level(self, str queue, Py_ssize_t messages, long long ts_ns) except -1
    cdef int _learn(self, Channel channel, bytes tag, Consumer consumer) except -1
    cdef int _close(self, int direction, Channel channel, Py_ssize_t number, Cursor c, Py_ssize_t at, Py_ssize_t end, Message out) except -1
    cdef int _drop(self, Channel channel, int side, str error) except -1
    cdef int _closed(self, Channel channel, Py_ssize_t number, Message out) except -1
    cdef int _add(self, long long key) except -1
    cdef int _leave(self, long long key, bint doubted) except -1
    cdef int _next(self, Message out) except -1
    cdef int _publish(self, Channel channel, Cursor c, Py_ssize_t end, Py_ssize_t size, long long ts_ns) except -1
    cdef Content _content(self, Channel channel, int direction, Py_ssize_t method, Py_ssize_t size, long long ts_ns)
    cdef Py_ssize_t _named(self, Content content, Consumer consumer, Cursor c, Py_ssize_t at, Py_ssize_t end) except -2
    cdef int _header(self, int direction, Channel channel, Content content, Cursor c, Py_ssize_t end, long long ts_ns, Message out) except -1
    cdef int _body(self, Content content, Py_ssize_t size, Message out) except -1
    cdef int _tell_published(self, Channel channel, Content content, TraceContext context, long long ts_ns, Message out) except -1
    cdef int _give_up_waiting(self, long long kind, Channel channel, long long number, long long last) except -1
    cdef int _deliver(self, Channel channel, Cursor c, Py_ssize_t end, Py_ssize_t size, long long ts_ns) except -1
    cdef Py_ssize_t _tag(self, Cursor c, Py_ssize_t at) except -1
    cdef int _tell_delivered(self, Channel channel, Content content, TraceContext context, long long ts_ns, Message out) except -1
    cdef int _link(self, TraceContext context, Message out) except -1
    cdef int _got(self, Channel channel, Message call, Cursor c, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size, long long ts_ns) except -1
    cdef int _tell_got(self, Content content, TraceContext context, Message out) except -1
    cdef int _return(self, Channel channel, Cursor c, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size, long long ts_ns, Message out) except -1
    cdef int _settled(self, int direction, Channel channel, Py_ssize_t number, Cursor c, Py_ssize_t end, long long ts_ns, Message out) except -1
    cdef int _tell_settled(self, int direction, Channel channel, Py_ssize_t number, long long tag, Message out) except -1
    cdef bint _confirmed(self, Channel channel, long long tag, bint multiple, long long ts_ns) except -1
    cdef bint _waits(self, long long kind, Channel channel, long long number) except -1
    cdef int _match_returned(self, Channel channel) except -1
    cdef int _acknowledged(self, Channel channel, long long tag, bint multiple) except -1
    cdef int _properties(self, Cursor c, Py_ssize_t at, Py_ssize_t end, TraceContext context, Message out) except -1
    cdef int _headers(self, Cursor c, Py_ssize_t at, Py_ssize_t end, TraceContext context) except -1
    cdef int _count(self, str what) except -1

@cython.final
cdef class Amqp1Decoder(Decoder):
    pass
