from receiver.l7.sql cimport MARIADB, MYSQL
from receiver.l7.sql cimport Room, Sql
from receiver.l7.trace_context cimport TraceContext
from receiver.wire.interned cimport Interned
from receiver.wire.records cimport Protocol

cimport cython

cdef enum Kind:
    KIND_STATUS = 0
    KIND_QUERY = 1
    KIND_EXECUTE = 2
    KIND_PREPARE = 3
    KIND_FETCH = 4
    KIND_FIELDS = 5
    KIND_TEXT = 6
    KIND_LOGIN = 7
    KIND_STREAM = 8
    KIND_NOTHING = 9
    KIND_RESET = 10

cdef enum Capability:
    CLIENT_MYSQL = 0x1
    CLIENT_CONNECT_WITH_DB = 0x8
    CLIENT_COMPRESS = 0x20
    CLIENT_PROTOCOL_41 = 0x200
    CLIENT_SSL = 0x800
    CLIENT_SECURE_CONNECTION = 0x8000
    CLIENT_PLUGIN_AUTH_LENENC = 0x200000
    CLIENT_SESSION_TRACK = 0x800000
    CLIENT_DEPRECATE_EOF = 0x1000000
    CLIENT_OPTIONAL_METADATA = 0x2000000
    CLIENT_ZSTD = 0x4000000
    CLIENT_QUERY_ATTRIBUTES = 0x8000000

cdef enum ExtendedCapability:
    MARIADB_CACHE_METADATA = 0x10

cdef enum Status:
    STATUS_MORE_RESULTS = 0x8
    STATUS_CURSOR_EXISTS = 0x40
    STATUS_NO_BACKSLASH = 0x200
    STATUS_SESSION_CHANGED = 0x4000
    STATUS_ANSI_QUOTES = 0x8000

cdef Py_ssize_t SCHEMAS_MAX
cdef Py_ssize_t CODES_MAX
cdef Py_ssize_t BATCHES_MAX

@cython.final
cdef class Vocabulary:
    cdef readonly TraceContext context
    cdef readonly dict limits
    cdef readonly Sql sql
    cdef readonly Sql sql_mariadb
    cdef readonly Room room
    cdef public Protocol mariadb
    cdef readonly Interned schemas
    cdef readonly Interned codes
    cdef readonly Interned batches
    cdef readonly list names
    cdef readonly bytes kinds
    cdef readonly bytes lengths
    cpdef str code(self, int number)
    cpdef str batch(self, str summary)
