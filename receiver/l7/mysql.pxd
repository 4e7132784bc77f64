from receiver.l7.decoder cimport MESSAGE, MORE, NO, NOTHING, PERHAPS, SEVERAL, SKIP_TO_CLOSE, YES
from receiver.l7.inner cimport Inflater, Inner
from receiver.l7.mysql_names cimport Vocabulary
from receiver.l7.mysql_names cimport (
    CLIENT_COMPRESS,
    CLIENT_CONNECT_WITH_DB,
    CLIENT_DEPRECATE_EOF,
    CLIENT_MYSQL,
    CLIENT_OPTIONAL_METADATA,
    CLIENT_PLUGIN_AUTH_LENENC,
    CLIENT_PROTOCOL_41,
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SECURE_CONNECTION,
    CLIENT_SSL,
    CLIENT_ZSTD,
    KIND_EXECUTE,
    KIND_FETCH,
    KIND_FIELDS,
    KIND_LOGIN,
    KIND_NOTHING,
    KIND_PREPARE,
    KIND_QUERY,
    KIND_RESET,
    KIND_STREAM,
    KIND_TEXT,
    MARIADB_CACHE_METADATA,
    STATUS_ANSI_QUOTES,
    STATUS_CURSOR_EXISTS,
    STATUS_MORE_RESULTS,
    STATUS_NO_BACKSLASH,
    STATUS_SESSION_CHANGED,
)
from receiver.l7.prefixed cimport Prefixed
from receiver.l7.sql cimport Prepared, Sql, Statement
from receiver.wire.cursor cimport Cursor
from receiver.wire.records cimport BEGINS, ENDS, ERROR_BOTH, ERROR_NONE, ERROR_UNREAD, ROLE_REQUEST, ROLE_RESPONSE
from receiver.wire.records cimport TO_CLIENT, TO_SERVER, Message, Protocol

cimport cython

cdef Py_ssize_t HEAD
cdef Py_ssize_t PACKET_MAX
cdef Py_ssize_t TEXT_SEEN
cdef Py_ssize_t ATTRIBUTES_SEEN
cdef Py_ssize_t SCHEMA_SEEN
cdef Py_ssize_t LOGIN_SEEN
cdef Py_ssize_t STATUS_SEEN
cdef int PROGRESS
cdef long long LATEST
cdef int COM_INIT_DB
cdef int COM_QUIT
cdef int COM_QUERY
cdef int COM_FIELD_LIST
cdef int COM_DROP_DB
cdef int COM_CHANGE_USER
cdef int COM_BINLOG_DUMP
cdef int COM_REGISTER_SLAVE
cdef int COM_STMT_PREPARE
cdef int COM_STMT_EXECUTE
cdef int COM_STMT_SEND_LONG_DATA
cdef int COM_STMT_CLOSE
cdef int COM_BINLOG_DUMP_GTID
cdef int COM_STMT_BULK_EXECUTE
cdef Py_ssize_t LOOK_MAX
cdef int STATEMENTS_MAX
cdef Py_ssize_t SHOWN_MAX
cdef Py_ssize_t PACKED_HEAD
cdef Py_ssize_t PACKED_SEEN
cdef Py_ssize_t INFLATE_MAX
cdef bytes ZLIB_LEVELS
cdef int START
cdef int LOGIN
cdef int COMMANDS
cdef int ALONE
cdef int FIRST
cdef int ANOTHER
cdef int COLUMNS
cdef int COLUMNS_END
cdef int DEFINITIONS_END
cdef int ROWS
cdef int FIELDS
cdef int FILE
cdef int PASSING
cdef dict _SIZES
cdef tuple TYPES_OF_TEXT
cdef frozenset DOUBLE_BYTES
cdef bytes _CONTROLS

@cython.no_gc
@cython.final
cdef class MysqlDecoder(Prefixed):
    cdef Vocabulary words
    cdef Prepared prepared
    cdef int phase
    cdef long long flags
    cdef long long flags_offered
    cdef int eofs
    cdef int caches
    cdef Protocol row
    cdef Sql sql
    cdef str namespace
    cdef bint backslash
    cdef bint ansi_quotes
    cdef bint escapes_known
    cdef bint deceives
    cdef Statement latest
    cdef bint logging_in
    cdef bint sending
    cdef bint request_goes_on
    cdef int asked_sequence
    cdef int state
    cdef int sequence
    cdef bint answer_goes_on
    cdef int kind
    cdef object kept
    cdef Py_ssize_t left
    cdef Py_ssize_t left_behind
    cdef Py_ssize_t rows
    cdef Py_ssize_t affected
    cdef int chained
    cdef Py_ssize_t after
    cdef bint told
    cdef int piece
    cdef Py_ssize_t rest
    cdef int error_side
    cdef str status
    cdef bytes sqlstate
    cdef bint refused
    cdef bint packs
    cdef bint packed
    cdef bint framing_known
    cdef bint framing_guessed
    cdef bint inside
    cdef Inner to_server
    cdef Inner to_client
    cdef Cursor stream
    cdef Inflater inflater
    cdef bint unfinished
    cdef bint _opens(self, int direction, Cursor c) except -1
    cdef int _greeting(self, Cursor c, Py_ssize_t at, Py_ssize_t stop) except -1
    cdef int _named(self, bytes version) except -1
    cdef int _login(self, Cursor c, Py_ssize_t length, Message out) except -1
    cdef int _user(self, Cursor c, Py_ssize_t at, Message out) except -1
    cdef int _agreed(self) except -1
    cdef int _leave_alone(self) except -1
    cdef int _command(self, Cursor c, Py_ssize_t length, Message out) except -1
    cdef int _query(self, Cursor c, Py_ssize_t at, bint cut, Message out) except -1
    cdef Statement _statement(self, Cursor c, Py_ssize_t at, Py_ssize_t end, bint cut, Message out)
    cdef int _several(self, Cursor c, Statement first, Message out) except -1
    cdef int _prepare(self, Cursor c, Py_ssize_t at, bint cut, Message out) except -1
    cdef int _execute(self, Cursor c, Py_ssize_t at, Message out) except -1
    cdef str _schema(self, Cursor c, Py_ssize_t at, Py_ssize_t end)
    cdef object _uses(self, Cursor c, Py_ssize_t at)
    cdef bint _has_attributes(self, Cursor c, Py_ssize_t at) except -1
    cdef Py_ssize_t _pass_attributes(self, Cursor c, Py_ssize_t at, Message out) except -2
    cdef Py_ssize_t _number(self, Cursor c, Py_ssize_t at) except -2
    cdef Py_ssize_t _read_answer(self, Cursor c) except -2
    cdef Py_ssize_t _pass_rows(self, bytes buf, Py_ssize_t at, Py_ssize_t end) except -1
    cdef int _packet(self, Cursor c, Py_ssize_t at, Py_ssize_t size, int sequence) except -1
    cdef int _first(self, Cursor c, Py_ssize_t at, Py_ssize_t size, int sequence, int first) except -1
    cdef int _stray(self, Cursor c, Py_ssize_t at, Py_ssize_t size, int sequence, int first) except -1
    cdef bint _ends_definitions(self, Py_ssize_t size, int sequence, int first) except -1
    cdef int _result(self, Cursor c, Py_ssize_t at, Py_ssize_t size, int first) except -1
    cdef bint _opens_rows(self, Cursor c, Py_ssize_t at, Py_ssize_t size, int first) except -1
    cdef int _prepared(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int _next_definitions(self) except -1
    cdef int _defined(self) except -1
    cdef int _status(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int _learn(self, int status) except -1
    cdef int _session(self, Cursor c, Py_ssize_t at, bint cut) except -1
    cdef int _end(self, int error_side) except -1
    cdef int _error(self, Cursor c, Py_ssize_t at, Py_ssize_t size) except -1
    cdef int _answer(self, Message out) except -1
    cdef int _proves_first(self, Cursor c, Py_ssize_t at, Py_ssize_t length, int sequence) except -1
    cdef int _proves_greeting(self, Cursor c, Py_ssize_t at, Py_ssize_t length) except -1
    cdef int _proves_login(self, Cursor c, Py_ssize_t at, Py_ssize_t length) except -1
    cdef int _proves_command(self, Cursor c, Py_ssize_t at, Py_ssize_t length) except -1
    cdef int _proves_text(self, Cursor c, Py_ssize_t at) except -1
    cdef bint _packed_begins(self, int direction, Cursor c) except -1
    cdef bint _learn_framing(self, Cursor c) except -1
    cdef int _begin_packed(self) except -1
    cdef Py_ssize_t _packed_frame(self, int direction, Cursor c) except -2
    cdef int _unpack(self, int direction, Cursor c, long long ts_ns, Message out) except -1
    cdef int _under_way(self, int direction, Message out) except -1
    cdef int _next(self, int direction, long long ts_ns, Message out) except -1

cdef bint _is_shown(bytes text) except -1
