from receiver.l7.decoder cimport MORE, ANSWERS_BEGUN, NOTHING, MESSAGE, NO, PERHAPS, YES, SKIP_TO_CLOSE, SKIP_LOST
from receiver.l7.decoder cimport Decoder
from receiver.l7.redis_names cimport Codes, Command, Vocabulary
from receiver.l7.redis_names cimport (
    KIND_BLOCKING,
    KIND_CONTAINER,
    KIND_DISCARD,
    KIND_EXEC,
    KIND_HELLO,
    KIND_IMMEDIATE,
    KIND_MULTI,
    KIND_PLAIN,
    KIND_PSYNC,
    KIND_REPLCONF,
    KIND_REPLY,
    KIND_RESET,
    KIND_SCRIPT,
    KIND_SECRET,
    KIND_SELECT,
    KIND_SUBSCRIBE,
    KIND_SYNC,
    KIND_UNSUBSCRIBE,
)
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Message
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, ERROR_NONE, ERROR_BOTH

cimport cython

cdef Py_ssize_t NIL
cdef Py_ssize_t CUT
cdef Py_ssize_t STREAMED
cdef Py_ssize_t BAD
cdef Py_ssize_t COUNT_MAX
cdef Py_ssize_t BULK_MAX
cdef Py_ssize_t DIGITS_MAX
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t LOOK_MAX
cdef Py_ssize_t INLINE_MAX
cdef Py_ssize_t LINE_MAX
cdef Py_ssize_t CODE_MAX
cdef Py_ssize_t LEVELS_MAX
cdef Py_ssize_t DATABASES_MAX
cdef int PROBE_ITEMS
cdef Py_ssize_t PROBE_LINE
cdef tuple TELLING_ERRORS
cdef bytes PROTOCOL_ERROR
cdef dict MESSAGES
cdef dict CONFIRMATIONS
cdef bytes _CLASSES
cdef list _DATABASES

@cython.final
cdef class RedisDecoder(Decoder):
    cdef Vocabulary words
    cdef bint replication
    cdef Py_ssize_t rest
    cdef bint told
    cdef int piece
    cdef Py_ssize_t after
    cdef Command command
    cdef Py_ssize_t arguments
    cdef Py_ssize_t arguments_left
    cdef bint untold
    cdef Command broken
    cdef bytes first_argument
    cdef bytes second_argument
    cdef bint inline_seen
    cdef bint arrays_seen
    cdef str database
    cdef str database_queued
    cdef bint in_multi
    cdef bint subscribes_in_multi
    cdef bint replies_off
    cdef bint skip_next
    cdef int subscriptions
    cdef bint resp3
    cdef bint inside
    cdef long long left
    cdef list levels
    cdef bint in_line
    cdef bint in_chunks
    cdef bint opened
    cdef int first
    cdef Py_ssize_t size
    cdef Py_ssize_t error_at
    cdef bint aside
    cdef bint confirms
    cdef Py_ssize_t claims
    cdef str confirming
    cdef Py_ssize_t confirmations_left
    cdef Py_ssize_t _read_command(self, Cursor c) except -2
    cdef Py_ssize_t _pass_arguments(self, Cursor c, Py_ssize_t at) except -1
    cdef bint _look(self, Cursor c, Py_ssize_t at, Py_ssize_t arguments, int looks) except -1
    cdef Py_ssize_t _read_inline(self, Cursor c) except -2
    cdef Py_ssize_t _count(self, Cursor c, Py_ssize_t at) except -9
    cdef Py_ssize_t _read_reply(self, Cursor c) except -2
    cdef Py_ssize_t _pass_values(self, Cursor c, Py_ssize_t at) except -1
    cdef int _open(self, int first, Py_ssize_t size, Py_ssize_t error_at) except -1
    cdef bint _recognise(self, Cursor c, bint push) except -1
    cdef Message _claimant(self, str name)
    cdef long long _awaited(self) noexcept
    cdef int _request(self, Message out) except -1
    cdef bint _act(self, Command command, Py_ssize_t arguments, bint expected, Message out) except -1
    cdef int _response(self, Cursor c, Message out) except -1
    cdef int _answered(self, Message asked, Message out) except -1
    cdef int _error(self, Cursor c, Message out) except -1
    cdef int _command_starts(self, Cursor c) except -1
    cdef int _name_starts(self, Cursor c, Py_ssize_t at) except -1
    cdef int _inline_starts(self, Cursor c) except -1
    cdef bint _reply_starts(self, Cursor c) except -1
    cdef int _probe_reply(self, Cursor c) except -1
    cdef int _element(self, Cursor c, Py_ssize_t at) except -1
    cdef int _line(self, Cursor c, Py_ssize_t at, int b) except -1

cdef bint _names_script(str command, bytes argument) except -1
cdef int _small(Cursor c, Py_ssize_t at, Py_ssize_t end) except -2
cdef bint _is_monitored(Cursor c, Py_ssize_t at) except -1
