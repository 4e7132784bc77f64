from receiver.l7.decoder cimport MORE, NOT_OURS, NOTHING, MESSAGE, SEVERAL, NO, PERHAPS, YES
from receiver.l7.decoder cimport Decoder
from receiver.l7.grpc cimport Grpc, Messages
from receiver.l7.hpack cimport HeaderSink, HpackDecoder
from receiver.l7.http cimport STATUSES, HttpSettings, tell_status
from receiver.l7.inner cimport Inner
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Endpoints, Message, Protocol
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, ERROR_UNREAD, ERROR_NONE, ERROR_CLIENT, ERROR_BOTH
from receiver.wire.records cimport VANTAGE_SERVER, VANTAGE_CLIENT, ROLE_RESPONSE

cimport cython

cdef bytes PREFACE
cdef int H2_DATA
cdef int H2_HEADERS
cdef int H2_PRIORITY
cdef int H2_RST_STREAM
cdef int H2_SETTINGS
cdef int H2_PUSH_PROMISE
cdef int H2_PING
cdef int H2_GOAWAY
cdef int H2_WINDOW_UPDATE
cdef int H2_CONTINUATION
cdef int H2_ALTSVC
cdef int H2_ORIGIN
cdef int H2_PRIORITY_UPDATE
cdef int END_STREAM
cdef int ACK
cdef int END_HEADERS
cdef int PADDED
cdef int PRIORITY
cdef tuple ERROR_NAMES
cdef Py_ssize_t NO_ERROR
cdef Py_ssize_t REFUSED_STREAM
cdef Py_ssize_t STREAM_MASK
cdef Py_ssize_t BLOCK_MAX
cdef Py_ssize_t SMALL_MAX
cdef Py_ssize_t STREAMS_MAX
cdef Py_ssize_t SCAN_MAX
cdef Py_ssize_t LIKELY_MAX
cdef int GRPC_NO
cdef int GRPC_YES
cdef int GRPC_PERHAPS
cdef int GRPC_LIKELY
cdef Py_ssize_t PROVED_MAX
cdef long long TIMEOUT_HIDDEN
cdef int NO_STATUS
cdef int EITHER
cdef int REQUEST
cdef int RESPONSE

cdef class Fields(HeaderSink)

@cython.final
cdef class Http2Settings:
    cdef readonly dict methods
    cdef readonly dict request_headers
    cdef readonly dict response_headers
    cdef readonly dict request_metadata
    cdef readonly dict response_metadata
    cdef readonly TraceContext context
    cdef readonly object trust
    cdef readonly bint trusting
    cdef Fields fields
    cdef Messages messages
    cdef readonly Protocol plain
    cdef readonly Grpc grpc
    cdef readonly dict limits

cdef Http2Settings _DEFAULT

@cython.final
cdef class Fields(HeaderSink):
    cdef bint detail
    cdef bint asks
    cdef dict wanted
    cdef TraceContext context
    cdef Py_ssize_t unknown
    cdef list entries
    cdef int candidates
    cdef long long candidate
    cdef bytes number
    cdef bint status_hidden
    cdef bint trailers
    cdef bint pseudo
    cdef int status
    cdef bytes method
    cdef bytes path
    cdef bytes authority
    cdef bytes content_type
    cdef bytes grpc_status
    cdef bytes grpc_timeout
    cdef bint secure
    cdef bytes user_agent
    cdef bytes forwarded
    cdef bytes forwarded_for
    cdef bytes forwarded_host
    cdef bytes forwarded_proto
    cdef dict kept
    cdef int _nothing_hidden(self) except -1
    cdef int start(self, int direction, bint detail, Http2Settings settings) except -1
    cdef int _pseudo(self, Py_ssize_t n, bytes name, bytes value) except -1
    cdef int _status(self, bytes value) except -1
    cdef int _more(self, Py_ssize_t n, bytes name, bytes value, bint never_indexed) except -1

@cython.final
@cython.no_gc
cdef class Body(Inner):
    cdef long long size
    cdef long long messages
    cdef bint whole
    cdef bint ended
    cdef bint framed(self) except -1
    cdef bint differs(self) except -1

@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Exchange:
    cdef long long key
    cdef int grpc
    cdef bint answered
    cdef bint doubted
    cdef bint tunnel
    cdef bint trailers
    cdef bint asked
    cdef int status
    cdef long long first_ns
    cdef long long timeout_ns
    cdef bytes path
    cdef str operation
    cdef tuple entries
    cdef Body sent
    cdef Body received

@cython.final
cdef class Side:
    cdef bint begun
    cdef HpackDecoder hpack
    cdef bytearray block
    cdef long long block_key
    cdef int block_kind
    cdef int block_flags
    cdef long long block_first_ns
    cdef Py_ssize_t block_size
    cdef Py_ssize_t left
    cdef Py_ssize_t pad
    cdef bint ends
    cdef long long key
    cdef Body body

@cython.final
cdef class Http2Decoder(Decoder):
    cdef readonly Http2Settings settings
    cdef bint pinned
    cdef bint doubtful
    cdef set proved
    cdef int posted
    cdef Side client
    cdef Side server
    cdef dict streams
    cdef Exchange recent
    cdef Py_ssize_t length
    cdef int kind
    cdef int flags
    cdef long long key
    cdef long long highest
    cdef long long going_away
    cdef Py_ssize_t away_error
    cdef list refused
    cdef int evidence
    cdef bytes authority
    cdef int authority_default
    cdef str host
    cdef int port
    cdef bint trusting
    cdef Py_ssize_t _opening(self, int direction, Cursor c) except -2
    cdef int _data(self, int direction, Side side, Cursor c, long long ts_ns, Message out) except -1
    cdef int _messages(self, int direction, Side side, Cursor c, long long ts_ns, Message out) except -1
    cdef int _advance(self, int direction, Side side, long long ts_ns, Message out) except -1
    cdef int _data_end(
        self, int direction, long long key, Exchange exchange, bint ends, long long ts_ns, Message out
    ) except -1
    cdef int _fragment(self, int direction, Side side, Cursor c, long long ts_ns, Message out) except -1
    cdef int _headers(
        self,
        int direction,
        Side side,
        int kind,
        int flags,
        bytes block,
        Py_ssize_t start,
        Py_ssize_t end,
        long long ts_ns,
        Message out,
    ) except -1
    cdef Exchange _find(self, long long key)
    cdef int _forget(self, Exchange exchange) except -1
    cdef int _request(self, Fields fields, bint ends, Message out) except -1
    cdef int _certain(self, Exchange exchange, bytes method) except -1
    cdef int _perhaps(self, Exchange exchange, Fields fields) except -1
    cdef int _request_ended(self, Exchange exchange, Message out) except -1
    cdef int _response(self, Fields fields, bint ends, Message out) except -1
    cdef int _answered_as(self, Exchange exchange, Grpc grpc, bytes content_type) except -1
    cdef bint _may_be_call(self, Exchange exchange) except -1
    cdef int _prove(self, Exchange exchange) except -1
    cdef int _refute(self, Exchange exchange) except -1
    cdef int _settle(self, Exchange exchange, Fields fields, bint closing) except -1
    cdef int _finish(self, Exchange exchange, Fields fields, bint closing, Message out) except -1
    cdef bytes _number(self, Exchange exchange, Fields fields, bint closing)
    cdef int _open_end(self, Exchange exchange, Fields fields, bint closing, Grpc grpc, Message out) except -1
    cdef bint _same(self, int one, int other) except -1
    cdef int _reset(self, int direction, Py_ssize_t error, long long ts_ns, Message out) except -1
    cdef int _cut(self, Exchange exchange, Py_ssize_t error, long long ts_ns, Message out) except -1
    cdef int _reset_as_http(self, Exchange exchange, Py_ssize_t error, Message out) except -1
    cdef int _cut_call(self, Exchange exchange, Grpc grpc, Py_ssize_t error, long long ts_ns, Message out) except -1
    cdef int _go_away(self, int direction, Cursor c, long long ts_ns, Message out) except -1
    cdef int _describe(self, Exchange exchange, Fields fields, Message out) except -1
    cdef int _server(self, bytes authority, int default_port, Message out) except -1
    cdef int _describe_more(self, Exchange exchange, Fields fields, Message out) except -1
    cdef int _count(self, Exchange exchange, Message out) except -1
    cdef int _reached(self, str limit) except -1
    cdef bint _is_settings(self, Cursor c) except -1
    cdef bint _begins_like(self, Cursor c) except -1
    cdef Py_ssize_t _frames_at(self, int direction, Cursor c, Py_ssize_t at) except -2
    cdef bint _alone(self, int direction, Cursor c) except -1
    cdef Py_ssize_t _size_of_frame(self, Cursor c, Py_ssize_t at) except -2

cdef int _shown_by(int byte) noexcept
