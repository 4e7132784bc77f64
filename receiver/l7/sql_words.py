"""The words of SQL that a summary is made by.

Room: l7, beside `sql.py`. Only what begins a statement, and what names follow or end: no grammar. Words of MySQL 9, MariaDB 11 and
PostgreSQL 18; one that is missing here makes a statement NONE if it begins with it, and is a name anywhere else.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    # The compiled module has these as C enums, from the `.pxd`. Up to W_ALONE they begin a statement.
    W_NAME = 0
    W_SELECT = 1
    W_INSERT = 2
    W_UPDATE = 3
    W_DELETE = 4
    W_WITH = 5
    W_EXPLAIN = 6
    W_DEFINE = 7
    W_TARGETS = 8  # names follow, with commas between them
    W_TARGET = 9  # a name follows
    W_CALL = 10
    W_ON_TARGET = 11  # a name follows behind ON
    W_BODY = 12  # a statement follows
    W_ALONE = 13
    W_FROM = 16
    W_JOIN = 17
    W_INTO = 18
    W_USING = 19
    W_ON = 20
    W_REST = 21  # no more names of this clause
    W_AS = 22
    W_NOISE = 23  # may stand in front of a name
    W_DISTINCT = 24
    W_SET = 25
    # What is created, altered or dropped.
    W_QUERIED = 26  # a statement may follow
    W_OBJECT = 27
    W_OBJECT_ON = 28  # its table follows behind ON
    W_UNNAMED = 29  # whose name is not told, or which has none
    W_MATERIALIZED = 30
    W_MODE = 31  # may stand in front of a name, or be one

_WORDS = {
    W_SELECT: "SELECT",
    W_INSERT: "INSERT REPLACE MERGE",
    W_UPDATE: "UPDATE",
    W_DELETE: "DELETE",
    W_WITH: "WITH",
    W_EXPLAIN: "EXPLAIN",
    W_DEFINE: "CREATE ALTER DROP",
    W_TARGETS: "TRUNCATE VACUUM ANALYZE ANALYSE LOCK OPTIMIZE REPAIR CHECK CHECKSUM RENAME REINDEX REFRESH",
    W_TARGET: "USE SHOW DESCRIBE DESC HANDLER COPY CLUSTER",
    W_CALL: "CALL EXEC",
    W_ON_TARGET: "GRANT REVOKE COMMENT",
    W_BODY: "DECLARE PREPARE LOAD",
    W_ALONE: (
        "ABORT BACKUP BEGIN BINLOG CACHE CHANGE CHECKPOINT CLONE CLOSE COMMIT DEALLOCATE DISCARD DO END EXECUTE FETCH FLUSH "
        "GET HELP IMPORT INSTALL KILL LISTEN MOVE NOTIFY PURGE REASSIGN RELEASE RESET RESIGNAL RESTART REVERT ROLLBACK "
        "SAVEPOINT SECURITY SHUTDOWN SIGNAL START STOP UNINSTALL UNLISTEN UNLOCK VALUES XA"
    ),
    W_FROM: "FROM",
    W_JOIN: "JOIN STRAIGHT_JOIN",
    W_INTO: "INTO",
    W_USING: "USING",
    W_ON: "ON",
    W_REST: (
        "WHERE GROUP ORDER HAVING LIMIT OFFSET WINDOW RETURNING FOR UNION INTERSECT EXCEPT MINUS DUPLICATE CONFLICT CASCADE "
        "RESTRICT"
    ),
    W_AS: "AS",
    W_NOISE: (
        "ONLY LATERAL IGNORE LOW_PRIORITY DELAYED HIGH_PRIORITY QUICK IF NOT EXISTS CONCURRENTLY NO_WRITE_TO_BINLOG OUTFILE "
        "DUMPFILE"
    ),
    W_MODE: (
        "ALL EXTENDED FREEZE FULL GLOBAL IN LOCAL PERSIST PERSIST_ONLY RECURSIVE SESSION STRICT TEMP TEMPORARY UNLOGGED VERBOSE"
    ),
    W_DISTINCT: "DISTINCT",
    W_SET: "SET",
    W_QUERIED: "TABLE TABLES VIEW",
    W_OBJECT: (
        "ACCESS AGGREGATE CAST COLLATION COLUMN CONSTRAINT CONVERSION DATABASE DOMAIN EVENT EXTENSION FUNCTION LANGUAGE OPERATOR "
        "PACKAGE PROCEDURE PUBLICATION ROUTINE SCHEMA SEQUENCE SERVER STATISTICS SUBSCRIPTION TABLESPACE TYPE"
    ),
    W_OBJECT_ON: "INDEX TRIGGER POLICY RULE",
    W_UNNAMED: "USER ROLE SYSTEM TRANSACTION SAVEPOINT REPLICA SLAVE PREPARED INSTANCE WORK",
    W_MATERIALIZED: "MATERIALIZED",
}

# What a statement does, each one object: metrics are split by it.
OPERATIONS = {
    word.encode(): word for kind, words in _WORDS.items() for word in words.split() if kind <= W_ALONE or word in ("SET", "TABLE")
}


def _place(length: int, first: int, second: int, last: int) -> int:
    return (length * 7 + first * 31 + second * 17 + last * 5) & 1023


def _slots() -> bytes:
    """Places of [u8 kind][u8 length][22 bytes, each with the bit of small letters]; a word stands at its own, or behind it, where
    that was taken."""
    found = bytearray(24 * 1024)
    for kind, words in _WORDS.items():
        for word in (bytes(letter | 0x20 for letter in word) for word in words.encode().split()):
            at = 24 * _place(len(word), word[0], word[1], word[len(word) - 1])
            while found[at]:
                at = at + 24 if at + 24 < len(found) else 0
            found[at : at + 2 + len(word)] = bytes((kind, len(word))) + word
    return bytes(found)


_SLOTS = _slots()


class Words:
    """What the words are."""

    @staticmethod
    def kind(text: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """The kind of the word in `[at:end)`, which is in any case; W_NAME of any that is not one of these."""
        n: cython.Py_ssize_t = end - at
        if n < 2 or n > 22:
            return 0
        slots: bytes = _SLOTS
        # As `_place`.
        place: cython.Py_ssize_t = (n * 7 + (text[at] | 0x20) * 31 + (text[at + 1] | 0x20) * 17 + (text[end - 1] | 0x20) * 5) & 1023
        i: cython.Py_ssize_t
        slot: cython.Py_ssize_t
        found: cython.int
        while True:
            slot = 24 * place
            found = slots[slot]
            if found == 0:
                return 0
            if slots[slot + 1] == n:
                i = 0
                while i < n and (text[at + i] | 0x20) == slots[slot + 2 + i]:
                    i += 1
                if i == n:
                    return found
            place = (place + 1) & 1023

    @staticmethod
    def operation(word: bytes) -> str:
        """The word as all statements share it; empty where none begins with it."""
        return OPERATIONS.get(word.upper(), "")
