from receiver.l7.decoder cimport Decoder
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Message
from receiver.wire.records cimport TO_SERVER, TO_CLIENT, BEGINS, ENDS, FAULT_BOTH, VANTAGE_SERVER

cimport cython

cdef Py_ssize_t MORE
cdef Py_ssize_t NIL
cdef Py_ssize_t CUT
cdef Py_ssize_t STREAMED
cdef Py_ssize_t BAD
cdef Py_ssize_t SKIP_TO_END
cdef Py_ssize_t COUNT_MAX
cdef Py_ssize_t BULK_MAX
cdef Py_ssize_t DIGITS_MAX
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t LOOK_MAX
cdef Py_ssize_t INLINE_MAX
cdef Py_ssize_t LINE_MAX
cdef Py_ssize_t CODE_MAX
cdef Py_ssize_t LEVELS_MAX
cdef Py_ssize_t WAITING_MAX
cdef Py_ssize_t NAMES_MAX
cdef Py_ssize_t CODES_MAX
cdef Py_ssize_t SHOWN_MAX
cdef Py_ssize_t DATABASES_MAX
cdef int PROBE_ITEMS
cdef Py_ssize_t PROBE_LINE
cdef Py_ssize_t NEAR
cdef int KIND_PLAIN
cdef int KIND_CONTAINER
cdef int KIND_SECRET
cdef int KIND_SELECT
cdef int KIND_REPLY
cdef int KIND_MULTI
cdef int KIND_EXEC
cdef int KIND_DISCARD
cdef int KIND_RESET
cdef int KIND_SUBSCRIBE
cdef int KIND_UNSUBSCRIBE
cdef int KIND_HELLO
cdef int KIND_PSYNC
cdef int KIND_SYNC
cdef int KIND_REPLCONF
cdef int KIND_BLOCKING
cdef int KIND_SCRIPT
cdef int KIND_IMMEDIATE
cdef dict MESSAGES
cdef dict CONFIRMATIONS
cdef frozenset _FIRST_CODES
cdef bytes _CLASSES
cdef list _DATABASES

@cython.final
cdef class Command:
    cdef readonly str operation
    cdef readonly str shown
    cdef readonly int kind
    cdef readonly int looks
    cdef list texts
    cdef dict inner
    cdef str text(self, Py_ssize_t arguments)

@cython.final
cdef class Vocabulary:
    cdef readonly dict by_name
    cdef readonly dict codes
    cdef readonly Command other
    cdef list near
    cdef list commands
    cdef readonly long long refused
    cdef readonly Py_ssize_t known
    cdef readonly frozenset built_in
    cdef Command find(self, Cursor c, Py_ssize_t at, Py_ssize_t size)
    cdef Command learn(self, bytes wire, Py_ssize_t place)
    cdef str code(self, bytes word)

cdef Vocabulary _VOCABULARY

@cython.final
cdef class Waiting:
    cdef long long number
    cdef int kind
    cdef str name
    cdef Py_ssize_t replies
    cdef str before

@cython.final
cdef class RedisDecoder(Decoder):
    cdef long long requests
    cdef long long responses
    cdef list waiting
    cdef bint replication
    cdef Py_ssize_t rest
    cdef bint told
    cdef int piece
    cdef Py_ssize_t after
    cdef Command command
    cdef Py_ssize_t arguments
    cdef Py_ssize_t arguments_left
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
    cdef Waiting _claimant(self, str name)
    cdef int _awaited(self) except -1
    cdef int _request(self, Message out) except -1
    cdef bint _act(self, Command command, Py_ssize_t arguments, bint expected, Message out) except -1
    cdef int _response(self, Cursor c, Message out) except -1
    cdef int _error(self, Cursor c, Message out) except -1
    cdef int _command_starts(self, Cursor c) except -1
    cdef int _name_starts(self, Cursor c, Py_ssize_t at) except -1
    cdef int _inline_starts(self, Cursor c) except -1
    cdef bint _reply_starts(self, Cursor c) except -1
    cdef int _probe_reply(self, Cursor c) except -1
    cdef int _element(self, Cursor c, Py_ssize_t at) except -1
    cdef int _line(self, Cursor c, Py_ssize_t at, int b) except -1

cdef bint _is_name(bytes name) except -1
cdef bint _is_code(bytes word) except -1
cdef int _small(Cursor c, Py_ssize_t at, Py_ssize_t end) except -2
cdef bint _is_monitored(Cursor c, Py_ssize_t at) except -1
