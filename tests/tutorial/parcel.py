"""Parcel, which no program speaks: the example of docs/protocols/README.md.

    [u16 length of what follows][u8 kind] ...
    kind 1, ASK:   [u8 flags] name       answered in order; flag 1: for the number of parcels alone
    kind 2, TELL:  [u8 flags] name       not answered
    kind 3, REPLY: [u8 status] text, or the number of parcels as u32 where that was asked for
"""

from __future__ import annotations

import cython

from receiver.l7.prefixed import Prefixed
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Malformed, Message

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NO, NOT_OURS, PERHAPS, YES
    from receiver.wire.records import ERROR_BOTH, ERROR_NONE, TO_SERVER

ASK = 1
TELL = 2
REPLY = 3
COUNT = 1  # the flag, and what a request notes for its answer

# Length, kind, flags or status, and a name of 255 bytes.
HEAD_MAX = 259
NAMES_MAX = 64


class ParcelDecoder(Prefixed):
    def __init__(self, names: Interned | None = None) -> None:
        self.names = Interned("parcel_names", NAMES_MAX, None, "_OTHER") if names is None else names
        Prefixed.__init__(self)

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if c.end - at < 3:
            return MORE
        return 2 + c.u16(at) if c.u16(at) >= 2 and ASK <= c.u8(at + 2) <= REPLY else NOT_OURS

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return size if size < HEAD_MAX else HEAD_MAX

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        if (c.u8(at + 2) == REPLY) == (direction == TO_SERVER):
            return NO
        return PERHAPS if c.end - at < 4 else YES if c.u8(at + 3) <= 3 else NO

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        kind: cython.int = c.u8(c.pos + 2)
        said: cython.int = c.u8(c.pos + 3)
        if (kind == REPLY) == (direction == TO_SERVER):
            raise Malformed("parcel", "message of the other side", 2)
        if direction == TO_SERVER:
            out.operation = self.names.find(c, c.pos + 4, c.end) if c.end > c.pos + 4 else "_OTHER"
            out.expects_reply = kind == ASK
            out.note = said & COUNT
            return MESSAGE
        out.status = said
        out.error_side = ERROR_BOTH if said != 0 else ERROR_NONE
        asked: Message | None = self.asked.next()
        if self.detail and asked is not None and asked.note == COUNT and c.end - c.pos >= 8:
            out.add("db.response.returned_rows", c.u32(c.pos + 4))
        return MESSAGE
