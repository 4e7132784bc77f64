"""Words that PostgreSQL says and that may be shown: names of databases, command tags, SQLSTATEs.

Room: l7; shared by all connections, each table bounded and counted.
"""

from __future__ import annotations

import cython

from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned

DATABASES_MAX = 512
# The server knows 194 (cmdtaglist.h of release 18); poolers and relatives have some of their own.
TAGS_MAX = 256
# 263 in errcodes.txt of release 18; functions raise any five letters and digits.
CODES_MAX = 512
NAME_MAX = 63
TAG_MAX = 64

CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = b"0123456789"


class Databases(Interned):
    """A name is no longer than NAMEDATALEN lets it be."""

    def make(self, name: bytes) -> str | None:
        if len(name) > NAME_MAX:
            return None
        found: str | None = Interned.make(self, name)
        return found


class Tags(Interned):
    """What a command did, in the server's words: `SELECT`, `CREATE TABLE`."""

    def make(self, name: bytes) -> str | None:
        if len(name) > TAG_MAX or name.strip(CAPITALS + b" _"):
            return None
        return name.decode("ascii")


class Codes(Interned):
    """SQLSTATEs: five capital letters and digits."""

    def make(self, name: bytes) -> str | None:
        return name.decode("ascii") if len(name) == 5 and not name.strip(CAPITALS + DIGITS) else None


class Names:
    def __init__(self, limits: dict[str, int] | None = None) -> None:
        self.databases: Interned = Databases("postgresql_databases", DATABASES_MAX, limits)
        self.tags: Interned = Tags("postgresql_tags", TAGS_MAX, limits)
        self.codes: Interned = Codes("postgresql_codes", CODES_MAX, limits)

    def database(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
        found: str | None = self.databases.find(c, at, end)
        return found

    def tag(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
        found: str | None = self.tags.find(c, at, end)
        return found

    def code(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
        found: str | None = self.codes.find(c, at, end)
        return found
