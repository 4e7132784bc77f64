from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, YES
from receiver.l7.levels cimport Positions
from receiver.l7.prefixed cimport Prefixed
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.interned cimport Interned
from receiver.wire.records cimport BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, TO_CLIENT, TO_SERVER, VANTAGE_SERVER, Endpoints, Message

cimport cython

cdef Py_ssize_t WINDOW
cdef Py_ssize_t FRAME_MAX
cdef Py_ssize_t HEAD
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t ALONE_MIN
cdef int UNSUPPORTED_VERSION
cdef Py_ssize_t DEPTH_MAX
cdef Py_ssize_t LONG_WAIT_MS
cdef Py_ssize_t BATCH_HEAD
cdef Py_ssize_t ENTRY_HEAD
cdef Py_ssize_t RECORDS_READ
cdef Py_ssize_t HEADERS_READ
cdef Py_ssize_t LINKS_MAX
cdef Py_ssize_t INFLATE_MAX
cdef Py_ssize_t TOPICS_MAX
cdef Py_ssize_t GROUPS_MAX
cdef Py_ssize_t CLIENTS_MAX
cdef Py_ssize_t IDS_MAX
cdef Py_ssize_t KINDS_MAX
cdef int PRODUCE
cdef int FETCH
cdef int SASL_HANDSHAKE
cdef int API_VERSIONS
cdef int SHARE_FETCH
cdef int OP_END
cdef int OP_FIXED
cdef int OP_STRING
cdef int OP_COMPACT_STRING
cdef int OP_BYTES
cdef int OP_COMPACT_BYTES
cdef int OP_ARRAY
cdef int OP_COMPACT_ARRAY
cdef int OP_RUN
cdef int OP_COMPACT_RUN
cdef int OP_MAYBE
cdef int OP_TAGS
cdef int OP_NUMBER16
cdef int OP_NUMBER32
cdef int OP_NUMBER64
cdef int OP_UUID
cdef int IS_TOPIC
cdef int IS_GROUP
cdef int IS_RECORDS
cdef int IS_ERROR
cdef int IS_ACKS
cdef int IS_WAIT
cdef int IS_REPLICA
cdef int IS_EPOCH
cdef int IS_THROTTLE
cdef int IS_PARTITION
cdef int IS_OFFSET
cdef int IS_TOPIC_ID
cdef int IS_NAMED_ID
cdef int IS_TAGGED_REPLICA
cdef int IS_POSITION
cdef int WALKED
cdef int WAITS
cdef int PASSES
cdef int BROKEN
cdef bytes _NO_ID
cdef tuple _COMPRESSIONS

@cython.final
cdef class Kind:
    cdef str operation
    cdef str type
    cdef bint spans
    cdef bint waits
    cdef bint member
    cdef int highest
    cdef int flexible
    cdef int flexible_answer
    cdef list programs
    cdef list answers

cdef class Walk

@cython.final
cdef class Tables:
    cdef readonly TraceContext context
    cdef readonly dict limits
    cdef readonly Interned topics
    cdef readonly Interned groups
    cdef readonly Interned clients
    cdef readonly Interned ids
    cdef readonly Interned unknown
    cdef list kinds
    cdef object levels
    cdef bint server_side
    cdef bytes versions_answer
    cdef list errors
    cdef bytearray mild
    cdef dict decompressors
    cdef Walk walk
    cdef Cursor joined
    cdef bint is_mild(self, Py_ssize_t code) except -1
    cdef str error(self, Py_ssize_t code)
    cdef str unknown_kind(self, int number)

@cython.no_gc
@cython.final
cdef class Walk:
    cdef Tables tables
    cdef TraceContext context
    cdef Interned topics
    cdef Interned groups
    cdef list stack
    cdef bint detail
    cdef bint dry
    cdef bytes program
    cdef Py_ssize_t p
    cdef Py_ssize_t body
    cdef Py_ssize_t left
    cdef Py_ssize_t depth
    cdef Py_ssize_t at
    cdef Py_ssize_t over
    cdef Py_ssize_t number
    cdef Py_ssize_t rest
    cdef bytes tail
    cdef long long key
    cdef long long note
    cdef Py_ssize_t blob
    cdef str current
    cdef str topic
    cdef int topics_seen
    cdef str group
    cdef int groups_seen
    cdef Py_ssize_t error
    cdef Py_ssize_t acks
    cdef Py_ssize_t wait
    cdef Py_ssize_t replica
    cdef Py_ssize_t epoch
    cdef Py_ssize_t throttle
    cdef Py_ssize_t partitions
    cdef Py_ssize_t partition
    cdef Py_ssize_t offset
    cdef Positions positions
    cdef bint answers
    cdef bint has_records
    cdef str moved
    cdef int moved_seen
    cdef Py_ssize_t messages
    cdef bint uncounted
    cdef int compression
    cdef Py_ssize_t records_read
    cdef bytes trace
    cdef bytes tracestate
    cdef int sampled
    cdef bint joined
    cdef list links
    cdef int begin(self, bytes program) except -1
    cdef int run(self, Cursor c, Py_ssize_t stop) except -1
    cdef int _uvarint(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _tags(self, Cursor c, Py_ssize_t at, Py_ssize_t end, int mark) except -1
    cdef int _name(self, int mark, str name) except -1
    cdef int _id(self, int mark, bytes ident) except -1
    cdef int _number(self, int mark, Py_ssize_t value) except -1
    cdef int _position(self, str topic, Py_ssize_t offset) except -1
    cdef int _drop_positions(self, Cursor c, Py_ssize_t at, Py_ssize_t size, Py_ssize_t end) except -1
    cdef int _worse(self, Py_ssize_t code) except -1
    cdef int _records(self, Cursor c, Py_ssize_t stop) except -1
    cdef int _batch(self, Cursor c, Py_ssize_t at, Py_ssize_t size, Py_ssize_t end) except -1
    cdef int _inflate(self, Cursor c, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count) except -1
    cdef int _contexts(self, Cursor c, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count) except -1
    cdef int _headers(self, Cursor c, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t count) except -1
    cdef bint _varint(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1

@cython.no_gc
@cython.final
cdef class KafkaDecoder(Prefixed):
    cdef Tables tables
    cdef Walk asking
    cdef Walk answering
    cdef str caller
    cdef str client
    cdef Positions positions
    cdef str session
    cdef str group
    cdef bint raw
    cdef bint flexible_head
    cdef bint _fits(self, Message request, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef bytes _answers(self, Message request)
    cdef int _proves_request(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef bint _lies(self, Walk walk, Cursor c, Py_ssize_t stop, bint tagged) except -1
    cdef int _request(self, Cursor c, Py_ssize_t size, Message out) except -1
    cdef Py_ssize_t _head(self, Walk walk, Kind kind, int version, Cursor c, Py_ssize_t size, Message out) except -2
    cdef int _asked(self, Walk walk, int number, Message out) except -1
    cdef Positions _consumer(self)
    cdef str _group(self)
    cdef int _join(self, Walk walk, Message out) except -1
    cdef int _told(self, Walk walk, Message out) except -1
    cdef int _response(self, Cursor c, Py_ssize_t size, Message out) except -1
    cdef int _answered(self, Walk walk, int number, Message out) except -1
    cdef int _walk(self, int direction, Walk walk, Cursor c, Py_ssize_t rest, Message out) except -1
    cdef int _goes_on(self, int direction, Walk walk, Py_ssize_t passed, Py_ssize_t rest, Message out) except -1
    cdef int _count_malformed(self, str what) except -1
