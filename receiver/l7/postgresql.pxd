from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOT_OURS, NOTHING, PERHAPS, SEVERAL, SKIP_UNKNOWN, SKIP_TO_CLOSE, YES
from receiver.l7.postgresql_names cimport Names
from receiver.l7.prefixed cimport Prefixed
from receiver.l7.sql cimport NONE, POSTGRESQL, Prepared, Room, Sql, Statement
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport Message
from receiver.wire.records cimport (
    BEGINS,
    CERTAIN,
    ENDS,
    ERROR_BOTH,
    ERROR_NONE,
    ROLE_REQUEST,
    TO_CLIENT,
    TO_SERVER,
    UNNOTED,
)

cimport cython

cdef int LOGIN
cdef int QUERY
cdef int EXECUTE
cdef int PARSE
cdef int BIND
cdef int DESCRIBE
cdef int FUNCTION
cdef int KIND_BITS
cdef int KIND_MASK
cdef int DOUBTFUL
cdef Py_ssize_t VERSION_3
cdef Py_ssize_t VERSION_3_LAST
cdef Py_ssize_t MINOR_MAX
cdef Py_ssize_t CANCEL_REQUEST
cdef Py_ssize_t SSL_REQUEST
cdef Py_ssize_t GSS_REQUEST
cdef Py_ssize_t STARTUP_MAX
cdef Py_ssize_t CLIENT_SHORT_MAX
cdef Py_ssize_t TOKEN_MAX
cdef Py_ssize_t SERVER_SHORT_MAX
cdef Py_ssize_t LONG_MAX
cdef Py_ssize_t CANCEL_MIN
cdef Py_ssize_t CANCEL_MAX
cdef Py_ssize_t NAME_MAX
cdef Py_ssize_t TEXT_MAX
cdef Py_ssize_t HEAD_MAX
cdef Py_ssize_t ERROR_MAX
cdef Py_ssize_t STATEMENTS_MAX
cdef Py_ssize_t PROOF_MAX
cdef Py_ssize_t COLUMNS_MAX
cdef bytes _CLIENT
cdef bytes _SERVER
cdef bytes _PART

@cython.final
cdef class Tables:
    cdef Sql sql
    cdef Room room
    cdef Names names

@cython.final
cdef class PostgresqlDecoder(Prefixed):
    cdef Tables tables
    cdef Sql sql
    cdef Names names
    cdef str database
    cdef bint left_alone
    cdef bint negotiating
    cdef bint started
    cdef bint backslash
    cdef bint has_parse
    cdef bint has_bind
    cdef int last_kind
    cdef long long since_ns
    cdef long long until_ns
    cdef bytes parsed
    cdef Statement text
    cdef Message carrier
    cdef list several
    cdef Prepared prepared
    cdef Prepared portals
    cdef Statement unnamed
    cdef Statement portal
    cdef long long batch
    cdef bint in_batch
    cdef long long torn
    cdef bint unproven
    cdef long long owed
    cdef long long asked_ns
    cdef bint simple
    cdef long long current
    cdef bint sure
    cdef bint failed
    cdef Py_ssize_t rows
    cdef Py_ssize_t skipped
    cdef bint aborted
    cdef Message late
    cdef int telling
    cdef Py_ssize_t tell_at
    cdef bint began
    cdef bint copied
    cdef Py_ssize_t rest
    cdef Py_ssize_t code_at
    cdef bint fatal
    cdef Py_ssize_t _copy(self, Cursor c) except -2
    cdef Py_ssize_t _answers(self, Cursor c) except -2
    cdef Py_ssize_t _awaited(self) except -1
    cdef Message _in_front(self)
    cdef int _parameter(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _first(self, Cursor c, Py_ssize_t size, Message out) except -1
    cdef int _request(self, Message out, int kind) except -1
    cdef int _sent(self, Message out, bint simple) except -1
    cdef int _query(self, Cursor c, Py_ssize_t size, Message out) except -1
    cdef int _hit(self, str name) except -1
    cdef int _context(self, Message carrier, Message out) except -1
    cdef int _part(self, int kind, long long first_ns, long long last_ns) except -1
    cdef int _abandon(self) except -1
    cdef int _unfinished(self, Message out) except -1
    cdef Py_ssize_t _name(self, Cursor c, Py_ssize_t at) except -2
    cdef int _parse(self, Cursor c, Py_ssize_t size, Message out) except -1
    cdef int _bind(self, Cursor c, Message out) except -1
    cdef int _put_portal(self, bytes name, Statement statement) except -1
    cdef int _execute(self, Cursor c, Message out) except -1
    cdef int _close(self, Cursor c) except -1
    cdef int _answer(self, Cursor c, Message out) except -1
    cdef int _begins(self, Message out) except -1
    cdef int _takes(self, Message request) except -1
    cdef int _give_up(self) except -1
    cdef int _complete(self, Cursor c, Py_ssize_t at, Message request, Message out) except -1
    cdef int _read_error(self, Cursor c, Py_ssize_t at) except -1
    cdef int _fail(self, Cursor c, Message request, Message out) except -1
    cdef int _forget(self, Message request) except -1
    cdef int _unasked(self, Cursor c, Py_ssize_t at, Message request, Message out) except -1
    cdef int _ready(self, Cursor c, Py_ssize_t at, Message out) except -1
    cdef int _more_answers(self, Message out) except -1
    cdef int _proves_client(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int _proves_text(self, Cursor c, Py_ssize_t at, Py_ssize_t end, bint last) except -1
    cdef int _proves_parse(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _proves_values(self, Cursor c, Py_ssize_t at, Py_ssize_t end, bint call) except -1
    cdef int _proves_server(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int _proves_row(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _proves_columns(self, Cursor c, Py_ssize_t at, Py_ssize_t end) except -1
