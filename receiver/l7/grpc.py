"""gRPC over HTTP/2: what the headers and the end of a stream mean. HTTP/2 itself is read in `http2.py`.

Room: l7; knows header values and error codes, and of the wire the head of a message.
Sources: grpc/grpc doc/PROTOCOL-HTTP2.md, doc/statuscodes.md, doc/http-grpc-status-mapping.md.

A method counts as known when a call of it ended with a grpc-status that is not UNIMPLEMENTED: only a server that has the method
sends one. What the server says it does not have is `_OTHER` (UNIMPLEMENTED, or HTTP's 404), unless it is known. A call that
failed in any other way has its name; of names that no server has ever confirmed only a few are told, so that whoever tries out
names makes no series.
"""

from __future__ import annotations

import cython

from receiver.l7.prefixed import Prefixed
from receiver.wire.cursor import Cursor
from receiver.wire.interned import Interned
from receiver.wire.records import Message, Protocol

if not cython.compiled:
    from receiver.l7.decoder import MESSAGE, MORE, NOT_OURS
    from receiver.wire.records import ERROR_BOTH, ERROR_CLIENT, ERROR_NONE

STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

NO_STATUS = -1
OK = 0
CANCELLED = 1
UNKNOWN = 2
DEADLINE_EXCEEDED = 4
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
UNAUTHENTICATED = 16

# What is an error of the server, by number (docs/rpc/grpc.md of the semantic conventions); for the client all but OK are.
_SERVER_FAULTS = bytes(
    name in ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS") for name in STATUSES
)

# An HTTP/2 error code as a status (PROTOCOL-HTTP2.md, "Errors"), from NO_ERROR to HTTP_1_1_REQUIRED.
_OF_RESET = bytes((13, 13, 13, 13, 13, 2, 13, 14, 1, 13, 13, 8, 7, 2))
_RESET_CANCEL = 8

# A service has some hundreds of methods; a server that takes every path must not fill the memory, nor a client that asks a server
# which never answers. Further ones are `_OTHER`, and counted.
METHODS_MAX = 4096
HEARD_MAX = 512
# The longest in use are around 150 bytes.
METHOD_MAX = 512

# How late a deadline's cancellation is seen before it, at most: the timeout is rounded up when it is written (grpc-core: to
# three digits), and the client's clock started before the packet left.
_DEADLINE_SLACK_NS = 5_000_000

# Of a message.
HEAD = 5

# 2^63 nanoseconds and a bit less.
_SECONDS_MAX = 9_000_000_000


class Grpc:
    """Interprets; one for all connections. `protocol` is the row that its roundtrips belong to.

    Names by path: `methods` that a server answered for, `heard` others, which wait for that. What the server says it does not have
    leaves `heard` again.
    """

    def __init__(self, protocol: Protocol, limits: dict[str, int] | None = None) -> None:
        self.protocol = protocol
        self.methods = Methods("grpc_methods", METHODS_MAX, limits, "_OTHER")
        self.heard = Methods("grpc_methods", HEARD_MAX, limits, "_OTHER")
        self.last_path: bytes | None = None
        self.last_name: str | None = None

    def speaks(self, content_type: bytes) -> cython.bint:
        """Whether it is `application/grpc`, with `+proto` or `;` after it. gRPC-Web is another protocol."""
        if not content_type.startswith(b"application/grpc"):
            return False
        if len(content_type) == 16:
            return True
        byte: cython.int = content_type[16]
        return byte == 0x2B or byte == 0x3B or byte == 0x20

    def code(self, value: bytes) -> cython.int:
        """The number of a grpc-status; what is none is UNKNOWN."""
        n: cython.Py_ssize_t = len(value)
        if n < 1 or n > 2:
            return UNKNOWN
        number: cython.int = 0
        i: cython.Py_ssize_t
        for i in range(n):
            digit: cython.int = value[i]
            digit -= 0x30
            if digit < 0 or digit > 9:
                return UNKNOWN
            number = number * 10 + digit
        if number > UNAUTHENTICATED:
            return UNKNOWN
        return number

    def code_of_http(self, status: cython.int) -> cython.int:
        """For an answer that ends without a grpc-status."""
        if status == 400:
            return INTERNAL
        if status == 401:
            return UNAUTHENTICATED
        if status == 403:
            return PERMISSION_DENIED
        if status == 404:
            return UNIMPLEMENTED
        if status == 429 or 502 <= status <= 504:
            return UNAVAILABLE
        return UNKNOWN

    def code_of_reset(self, error: cython.Py_ssize_t, elapsed_ns: cython.longlong, timeout_ns: cython.longlong) -> cython.int:
        """For a stream that was reset. CANCEL is DEADLINE_EXCEEDED when the call's time was up (-1: it had no limit)."""
        if error >= len(_OF_RESET):
            return UNKNOWN
        if error == _RESET_CANCEL and timeout_ns >= 0:
            if elapsed_ns < 0:  # clocks step back; and a negative number is not divided the same way in C
                elapsed_ns = 0
            if elapsed_ns + elapsed_ns // 64 + _DEADLINE_SLACK_NS >= timeout_ns:
                return DEADLINE_EXCEEDED
        return _OF_RESET[error]

    def timeout_ns(self, value: bytes) -> cython.Py_ssize_t:
        """A grpc-timeout: at most eight digits and a unit. -1 for what is none."""
        n: cython.Py_ssize_t = len(value)
        if n < 2 or n > 9:
            return -1
        amount: cython.longlong = 0
        i: cython.Py_ssize_t
        for i in range(n - 1):
            digit: cython.int = value[i]
            digit -= 0x30
            if digit < 0 or digit > 9:
                return -1
            amount = amount * 10 + digit
        unit: cython.int = value[n - 1]
        if unit == 0x6D:
            return amount * 1_000_000
        if unit == 0x53:
            return amount * 1_000_000_000
        if unit == 0x75:
            return amount * 1_000
        if unit == 0x6E:
            return amount
        if unit == 0x4D:
            amount = amount * 60
        elif unit == 0x48:
            amount = amount * 3600
        else:
            return -1
        # 99 999 999 hours are 11 000 years, more than 63 bits of nanoseconds: no limit.
        return -1 if amount > _SECONDS_MAX else amount * 1_000_000_000

    def is_cancel(self, error: cython.Py_ssize_t) -> cython.bint:
        return error == _RESET_CANCEL

    def error_side(self, code: cython.int) -> cython.int:
        if code == OK:
            return ERROR_NONE
        return ERROR_BOTH if _SERVER_FAULTS[code] != 0 else ERROR_CLIENT

    def begins(self, path: bytes | None, out: Message) -> cython.int:
        """A request. Without a path, which nobody could read, it has no method."""
        out.protocol = self.protocol
        out.operation = None if path is None else self.method(path)
        return 0

    def ends(
        self, path: bytes | None, code: cython.int, said: cython.bint, out: Message
    ) -> cython.int:
        """The end of an answer. `said`: the status came as grpc-status, not by what else went wrong. NO_STATUS: not known."""
        out.protocol = self.protocol
        if path is not None:
            out.operation = self._confirmed(path, code, said)
        if code < 0:
            return 0
        out.status = STATUSES[code]
        if code == OK:
            out.error_side = ERROR_NONE
            return 0
        out.error_side = self.error_side(code)
        out.error_type = STATUSES[code]
        return 0

    def _confirmed(self, path: bytes, code: cython.int, said: cython.bint) -> str:
        """The method's name, after what the server said of it."""
        known: str | None = self._known(path)
        if known is not None:
            return known
        if code == UNIMPLEMENTED:
            self.heard.drop(path)
            return "_OTHER"
        if not said:
            known = self.heard.named(path)
            return known
        known = self.heard.drop(path)
        known = self.methods.named(path) if known is None else self.methods.add(path, known)
        return known

    def method(self, path: bytes) -> str:
        """`/package.Service/Method` without its first slash, the same object each time."""
        known: str | None = self._known(path)
        if known is None:
            known = self.heard.named(path)
        return known

    def _known(self, path: bytes) -> str | None:
        """The name of a method that some server has; mostly the path is the very entry of a table that it was the last time."""
        if path is self.last_path:
            return self.last_name
        name: str | None = self.methods.by_name.get(path)
        if name is not None:
            self.last_path = path
            self.last_name = name
        return name


class Methods(Interned):
    """Names of methods by their paths."""

    def make(self, name: bytes) -> str | None:
        if len(name) > METHOD_MAX:
            return None
        text: str = name.decode("utf-8", "replace")
        if text.startswith("/"):
            text = text[1:]
        return text if text.isprintable() and len(text) > 0 else None


class Messages(Prefixed):
    """[u8 compressed][u32 length] message, again and again (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"); known by its head."""

    def size(self, direction: cython.int, c: Cursor, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if c.u8(at) > 1:
            return NOT_OURS
        return HEAD + c.u32(at + 1) if c.end - at >= HEAD else MORE

    def wanted(self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return HEAD

    def read(
        self, direction: cython.int, c: Cursor, size: cython.Py_ssize_t, ts_ns: cython.longlong, out: Message
    ) -> cython.int:
        return MESSAGE
