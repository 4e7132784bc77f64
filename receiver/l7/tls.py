"""TLS (RFC 8446, 5246): recognised and named, never read further.

Room: l7; its frames are records (`prefixed.py`). A client's first message says in clear which server it wants (SNI, RFC 6066) and
what it would speak inside (ALPN, RFC 7301); both are kept on the flow's Endpoints, for telemetry that asks for them. All else is
passed over unread.

    record: [u8 type][u16 version][u16 length]    handshake inside: [u8 1, ClientHello][u24 length]      RFC 8446, 5.1 and 4
    hello: [u16 version][32 random][u8 n][session][u16 n][suites][u8 n][compressions][u16 n][extensions]              4.1.2
    extension: [u16 type][u16 length][data]
     0  server_name: [u16 length]([u8 0, host_name][u16 n][name])...     16 ALPN: [u16 length]([u8 n][protocol])...

Joined late there is no hello; the records that follow tell TLS all the same, and the names stay unknown. So they do where the hello
comes in several records, which no client does that wants an answer from every server.
"""

from __future__ import annotations

import cython

from receiver.l7.prefixed import Prefixed
from receiver.l7.shared import Shared
from receiver.wire.cursor import Cursor
from receiver.wire.names import is_host_name
from receiver.wire.records import Endpoints, Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MORE, NO, NOT_OURS, NOTHING, PERHAPS, SKIP_TO_CLOSE, YES
    from receiver.wire.records import TO_SERVER

# What a record proves, as `prefixed.py` says.

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23
CLIENT_HELLO = 1
SERVER_HELLO = 2

RECORD_HEAD = 5
# 2^14 of content and what encryption may add (RFC 5246, 6.2.3).
RECORD_MAX = 16384 + 2048
# With post-quantum key shares and a session ticket a hello is 2 KB; some resume with more. What is longer is not waited for.
HELLO_MAX = 16384
EXTENSION_SERVER_NAME = 0
EXTENSION_ALPN = 16
# A name in DNS is no longer; of the protocols `h2,http/1.1` is usual.
NAME_MAX = 255
PROTOCOLS_MAX = 64


@cython.no_gc
@cython.cclass
class TlsDecoder(Prefixed):
    def __init__(self) -> None:
        Prefixed.__init__(self, 0)

    def reset(self) -> cython.int:
        Prefixed.reset(self)
        self.endpoints: Endpoints | None = None
        return 0

    def begin(self, endpoints: Endpoints) -> cython.int:
        self.endpoints = endpoints
        return 0

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        seen: cython.Py_ssize_t = c.end - at
        kind: cython.int = c.u8(at)
        if kind < CHANGE_CIPHER_SPEC or kind > APPLICATION_DATA or (seen > 1 and c.u8(at + 1) != 3):
            return NOT_OURS
        if seen < RECORD_HEAD:
            return MORE
        size: cython.Py_ssize_t = c.u16(at + 3)
        return RECORD_HEAD + size if c.u8(at + 2) <= 4 and 0 < size <= RECORD_MAX else NOT_OURS

    def frame(self, direction: cython.int, c: Cursor) -> cython.Py_ssize_t:
        """Nothing is waited for but a client's first message."""
        if direction != TO_SERVER or c.u8(c.pos) != HANDSHAKE:
            return 1
        size: cython.Py_ssize_t = Prefixed.frame(self, direction, c)
        return 1 if size < 0 or size > HELLO_MAX else size

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return size

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        self.skip = SKIP_TO_CLOSE
        if c.end - c.pos > RECORD_HEAD and c.u8(c.pos + RECORD_HEAD) == CLIENT_HELLO:
            self._hello(c)
        return NOTHING

    def resync(self, direction: cython.int, c: Cursor) -> cython.bint:
        return True  # all that follows is passed over, wherever a record begins

    def proves(
        self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t, size: cython.Py_ssize_t, number: cython.Py_ssize_t
    ) -> cython.int:
        """What the first record says: a hello that fits into it, an alert in clear, or data of a plausible length."""
        if number > 0 or c.end - at < RECORD_HEAD + 1:
            return PERHAPS
        kind: cython.int = c.u8(at)
        first: cython.int = c.u8(at + RECORD_HEAD)
        size -= RECORD_HEAD
        if kind == HANDSHAKE:
            if first != (CLIENT_HELLO if direction == TO_SERVER else SERVER_HELLO) or size < 42:
                return NO
            if c.end - at < RECORD_HEAD + 6:
                return PERHAPS
            # Its length, below 64 KiB, and its own version.
            return YES if c.u8(at + 6) == 0 and c.u8(at + 9) == 3 and c.u8(at + 10) <= 4 else NO
        if kind == ALERT:
            return YES if size == 2 and (first == 1 or first == 2) and c.end - at <= RECORD_HEAD + 2 else NO
        # A byte of content and an authentication tag of 8 bytes at least. TLS 1.3 says 1.2 here as well (RFC 8446, 5.2); older ones
        # are told by their hello alone.
        return YES if kind == APPLICATION_DATA and size >= 9 and c.u8(at + 2) == 3 else NO

    def _hello(self, c: Cursor) -> cython.int:
        """Take the names out of a ClientHello, as far as its lengths fit; the window is its record."""
        at: cython.Py_ssize_t = c.pos + RECORD_HEAD + 4 + 2 + 32
        end: cython.Py_ssize_t = c.end
        kind: cython.int
        stop: cython.Py_ssize_t
        if at + 1 > end:
            return 0
        at += 1 + c.u8(at)
        if at + 2 > end:
            return 0
        at += 2 + c.u16(at)
        if at + 1 > end:
            return 0
        at += 1 + c.u8(at)
        at += 2  # the extensions' own length: the record's end is the bound
        while at + 4 <= end:
            kind = c.u16(at)
            stop = at + 4 + c.u16(at + 2)
            if stop > end:
                return 0
            if kind == EXTENSION_SERVER_NAME:
                self._server_name(c, at + 4, stop)
            elif kind == EXTENSION_ALPN:
                self._protocols(c, at + 4, stop)
            at = stop
        return 0

    def _server_name(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        if at + 5 > end or c.u8(at + 2) != 0:
            return 0
        stop: cython.Py_ssize_t = at + 5 + c.u16(at + 3)
        if stop > end or stop - at - 5 > NAME_MAX:
            return 0
        name: bytes = c.take(at + 5, stop).lower()
        if name.isascii() and is_host_name(name.decode("ascii")):
            self.endpoints.tls_server_name = name.decode("ascii")
        return 0

    def _protocols(self, c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """What the client offers, in its order; names of other bytes are there to try servers out (RFC 8701)."""
        offered: list[str] = []
        room: cython.Py_ssize_t = PROTOCOLS_MAX
        at += 2
        while at < end:
            stop: cython.Py_ssize_t = at + 1 + c.u8(at)
            if stop > end:
                return 0
            name: bytes = c.take(at + 1, stop)
            if name.isascii() and name.replace(b"/", b"").replace(b".", b"").replace(b"-", b"").isalnum():
                room -= len(name) + 1
                if room < 0:
                    break
                offered.append(name.decode("ascii"))
            at = stop
        if offered:
            self.endpoints.tls_protocols = ",".join(offered)
        return 0


def rows(shared: Shared) -> tuple[Protocol, ...]:
    return (Protocol("tls", "tls", TlsDecoder, ports=(443,)),)
