from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, YES
from receiver.l7.inner cimport Inflater, Inner
from receiver.l7.mongodb_body cimport OP_COMPRESSED, OP_GET_MORE, OP_KILL_CURSORS, OP_MSG, OP_QUERY, OP_REPLY
from receiver.l7.mongodb_body cimport Body
from receiver.l7.mongodb_names cimport KIND_BULK, KIND_HELLO, KIND_LEGACY
from receiver.l7.mongodb_names cimport Command, Vocabulary
from receiver.l7.prefixed cimport Prefixed
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, TO_SERVER
from receiver.wire.records cimport Message, Protocol

cimport cython

cdef Py_ssize_t HEAD
cdef Py_ssize_t MESSAGE_MAX
cdef Py_ssize_t WHOLE_MAX
cdef Py_ssize_t START_SEEN
cdef Py_ssize_t STEP
cdef Py_ssize_t PACKED_HEAD
cdef Py_ssize_t PACKED_SEEN
cdef int NOOP
cdef int ZSTD
cdef Py_ssize_t MUST_BE_KNOWN
cdef int MORE_TO_COME
cdef int REPLY_FAILED
cdef int AWAITS_NEWS
cdef int AWAITS_ROWS
cdef long long NOBODY
cdef long long NO_CODE
cdef Py_ssize_t CODE_NAME_MAX
cdef bytes _WORD
cdef tuple _SEQUENCES

@cython.no_gc
@cython.final
cdef class MongodbDecoder(Prefixed):
    cdef Vocabulary words
    cdef Body asks
    cdef Body answers
    cdef Inner inner
    cdef Cursor stream
    cdef bint walked
    cdef bint begins
    cdef Py_ssize_t behind
    cdef long long follows
    cdef long long followed
    cdef bint news
    cdef Py_ssize_t rows
    cdef Py_ssize_t _walk(self, Body body, Cursor c, Py_ssize_t start, Py_ssize_t size) except -1
    cdef int _request(self, Body body, Message out) except -1
    cdef int _answer(self, Body body, Message out) except -1
    cdef int _outcome(self, Body body, long long kind, Message out) except -1
    cdef int _count(self, str what) except -1
    cdef int _unpack(self, Body body, Cursor c, Py_ssize_t size) except -1
    cdef Cursor _inflated(self, Cursor c, int compressor, Py_ssize_t inside, bint cut)
    cdef int _opcode(self, Cursor c, Py_ssize_t at) except -1
    cdef int _proves_sections(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _proves_document(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _proves_reply(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _proves_query(self, Cursor c, Py_ssize_t at, Py_ssize_t end, int opcode) except -1
