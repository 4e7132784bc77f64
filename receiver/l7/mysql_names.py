"""MySQL's words: commands and what answers them, capabilities, and the tables that all connections share.

Room: l7. Sources: MySQL Source Code Documentation, "Client/Server Protocol" (my_command.h, mysql_com.h); MariaDB Knowledge Base,
"Client/Server Protocol".
"""

from __future__ import annotations

import cython

from receiver.l7.shared import Shared
from receiver.l7.sql import Room, Sql
from receiver.l7.trace_context import TraceContext
from receiver.wire.interned import Interned
from receiver.wire.records import Protocol

if not cython.compiled:
    from receiver.l7.sql import MARIADB, MYSQL

    # The compiled module has these as C enums, from the `.pxd`.
    # What a command is answered by.
    KIND_STATUS = 0  # OK, ERR or EOF
    KIND_QUERY = 1  # a result set, several, a request for a file, or a status
    KIND_EXECUTE = 2  # as KIND_QUERY, of a statement that was prepared
    KIND_PREPARE = 3  # a statement's number, and definitions
    KIND_FETCH = 4  # rows
    KIND_FIELDS = 5  # definitions
    KIND_TEXT = 6  # a line of text
    KIND_LOGIN = 7  # whatever the plugin wants, then a status
    KIND_STREAM = 8  # a status or what is left alone: binary logs, a copy of all data
    KIND_NOTHING = 9
    KIND_RESET = 10  # a status; what was prepared is forgotten
    # Capability flags.
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
    # MariaDB's extended flags are numbers of their own.
    MARIADB_CACHE_METADATA = 0x10
    # Status flags.
    STATUS_MORE_RESULTS = 0x8
    STATUS_CURSOR_EXISTS = 0x40
    STATUS_NO_BACKSLASH = 0x200
    STATUS_SESSION_CHANGED = 0x4000
    STATUS_ANSI_QUOTES = 0x8000

# By their number; the operation is the name without COM_.
COMMANDS = (
    "SLEEP QUIT INIT_DB QUERY FIELD_LIST CREATE_DB DROP_DB REFRESH SHUTDOWN STATISTICS PROCESS_INFO CONNECT PROCESS_KILL DEBUG "
    "PING TIME DELAYED_INSERT CHANGE_USER BINLOG_DUMP TABLE_DUMP CONNECT_OUT REGISTER_SLAVE STMT_PREPARE STMT_EXECUTE "
    "STMT_SEND_LONG_DATA STMT_CLOSE STMT_RESET SET_OPTION STMT_FETCH DAEMON BINLOG_DUMP_GTID RESET_CONNECTION CLONE "
    "SUBSCRIBE_GROUP_REPLICATION_STREAM"
)
COM_STMT_BULK_EXECUTE = 0xFA  # MariaDB
PARTICULAR = (
    (KIND_NOTHING, "QUIT STMT_SEND_LONG_DATA STMT_CLOSE"),
    (KIND_QUERY, "QUERY PROCESS_INFO"),
    (KIND_EXECUTE, "STMT_EXECUTE STMT_BULK_EXECUTE"),
    (KIND_PREPARE, "STMT_PREPARE"),
    (KIND_FETCH, "STMT_FETCH"),
    (KIND_FIELDS, "FIELD_LIST"),
    (KIND_TEXT, "STATISTICS"),
    (KIND_LOGIN, "CHANGE_USER"),
    (KIND_RESET, "RESET_CONNECTION"),
    (KIND_STREAM, "BINLOG_DUMP TABLE_DUMP BINLOG_DUMP_GTID CLONE SUBSCRIBE_GROUP_REPLICATION_STREAM"),
)
# How long a command is, with its number, where it has always the same length; what nobody sends any more is not looked for.
LENGTHS = {
    "QUIT": 1,
    "STATISTICS": 1,
    "PROCESS_INFO": 1,
    "DEBUG": 1,
    "PING": 1,
    "RESET_CONNECTION": 1,
    "REFRESH": 2,
    "SET_OPTION": 3,
    "PROCESS_KILL": 5,
    "STMT_CLOSE": 5,
    "STMT_RESET": 5,
    "STMT_FETCH": 9,
}
# The words that statements begin with (MySQL 9 and MariaDB 11, "SQL Statements").
VERBS = frozenset(
    (
        b"ALTER ANALYZE BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKSUM CLONE COMMIT CREATE DEALLOCATE DELETE DESC "
        b"DESCRIBE DO DROP EXECUTE EXPLAIN FLUSH FOR GET GRANT HANDLER HELP IMPORT INSERT INSTALL KILL LOAD LOCK "
        b"OPTIMIZE PREPARE PURGE RELEASE RENAME REPAIR REPLACE RESET RESIGNAL RESTART REVOKE ROLLBACK SAVEPOINT SELECT "
        b"SET SHOW SHUTDOWN SIGNAL START STOP TABLE TRUNCATE UNINSTALL UNLOCK UPDATE USE VALUES WITH XA"
    ).split()
)
VERB_MAX = 12

# Schemas' names that are told apart, and numbers of errors: MySQL 9 has some 5 000, of which an application meets a few.
SCHEMAS_MAX = 1024
CODES_MAX = 512
BATCHES_MAX = 256
# The name of the first roundtrip of a connection; no command has it.
LOGIN = "LOGIN"


class Vocabulary:
    """What all connections share. `mariadb` is the row of those whose server says that it is one."""

    def __init__(self, shared: Shared | None = None) -> None:
        if shared is None:
            shared = Shared()
        limits = shared.limits
        propagators = shared.settings.traces.propagators
        self.context: TraceContext | None = TraceContext(propagators) if propagators else None
        self.limits = limits
        self.sql = Sql(MYSQL, limits, self.context)
        self.sql_mariadb = Sql(MARIADB, limits, self.context)
        self.room = Room(limits)
        self.mariadb: Protocol | None = None
        self.schemas = Interned("mysql_schemas", SCHEMAS_MAX, limits, None)
        self.codes = Interned("mysql_codes", CODES_MAX, limits, "_OTHER")
        self.batches = Interned("mysql_batches", BATCHES_MAX, limits, "BATCH")
        names = [*COMMANDS.split(), *["_OTHER"] * 256][:256]
        names[COM_STMT_BULK_EXECUTE] = "STMT_BULK_EXECUTE"
        kinds = {name: kind for kind, several in PARTICULAR for name in several.split()}
        self.names: list[str] = names
        self.kinds = bytes(kinds.get(name, KIND_STATUS) for name in names)
        # 0: of any length, or none that is looked for.
        self.lengths = bytes(LENGTHS.get(name, 0) for name in names)

    def code(self, number: cython.int) -> str:
        """The number of an error as text, always the same object."""
        found: str | None = self.codes.by_name.get(number)
        if found is None:
            found = self.codes.add(number, str(number))
        return found

    def batch(self, summary: str) -> str:
        """What several statements are called that all have this summary."""
        found: str | None = self.batches.by_name.get(summary)
        if found is None:
            found = self.batches.add(summary, "BATCH " + summary)
        return found
