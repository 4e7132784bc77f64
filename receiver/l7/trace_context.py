"""Who called: the trace context that a request's headers carry.

Room: l7; knows nothing of packets or of any protocol. A decoder offers every header of a request, in their order, and
asks for the result at the end of the head; one reader serves all requests, `reset()` stands between them.

    reset(); offer(...) for each header; result()  ->  valid, trace_id, parent_id, flags, sampled, tracestate
                                         tell(out) ->  the same, in the slots of a Message

W3C Trace Context, Level 2, is always the first to be believed:

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
                 ^2 ^3                               ^36              ^53          offsets; 55 characters in version 00

The other formats are read only when the configuration names them, and only when no better one was there:
W3C, b3 in one header, b3 in several, Jaeger, Datadog, X-Ray, grpc-trace-bin.
"""

import binascii
from collections.abc import Sequence

import cython

from receiver.wire.records import Message

if cython.compiled:
    from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

# The names of OTEL_PROPAGATORS (specification/configuration/sdk-environment-variables.md), and three that others use.
PROPAGATORS = ("tracecontext", "b3", "b3multi", "jaeger", "datadog", "xray", "grpc-trace-bin", "baggage", "none")

# Values of hexadecimal digits; 255 is not one. Lower case only, as W3C and B3 have it; for Jaeger it is folded first.
_HEX = bytes("0123456789abcdef".index(chr(i)) if chr(i) in "0123456789abcdef" else 255 for i in range(256))

_TRACEPARENT = b"traceparent"
_TRACESTATE = b"tracestate"

# The other formats' headers; the place in this tuple is the slot that keeps the first value.
_NAMES = (
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"uber-trace-id",
    b"x-datadog-trace-id",
    b"x-datadog-parent-id",
    b"x-datadog-sampling-priority",
    b"x-datadog-tags",
    b"x-amzn-trace-id",
    b"grpc-trace-bin",
)
_SLOTS_OF = {
    # The B3 propagator reads both forms, whatever it writes (context/api-propagators.md, "B3 Extract").
    "b3": (0, 1, 2, 3, 4),
    "b3multi": (0, 1, 2, 3, 4),
    "jaeger": (5,),
    "datadog": (6, 7, 8, 9),
    "xray": (10,),
    "grpc-trace-bin": (11,),
}

# tracestate (W3C, 3.3.1): 1 may begin a key, 2 may stand in a key, 4 may stand in a value.
_STATE_CLASS = bytes(
    (1 if chr(i) in "abcdefghijklmnopqrstuvwxyz0123456789" else 0)
    | (2 if chr(i) in "abcdefghijklmnopqrstuvwxyz0123456789_-*/@" else 0)
    | (4 if 0x20 <= i <= 0x7E and chr(i) not in ",=" else 0)
    for i in range(256)
)
_STATE_MEMBERS_MAX = 32
_STATE_KEPT_MAX = 512  # "SHOULD propagate at least 512 characters"; each span carries it, so not more either
_STATE_READ_MAX = 17 * 1024  # 32 members of 256 + 1 + 256 with their commas are 16 447; what is longer is dropped whole


class TraceContext:
    """Reads one request's trace context.

    After `result()`: `valid` says that there are ids. `trace_id` is 16 bytes, `parent_id` 8, or empty where the format
    names a trace without a parent (X-Ray, Datadog). `flags` has bit 0 sampled and bit 1 random, no other. `sampled`
    is 1 or 0 as the caller decided, -1 where it left the decision open; it may be 0 or 1 without ids (`b3: 0`).
    `tracestate` is one valid line of at most 512 bytes, or empty. Nothing that a header says raises.
    """

    def __init__(self, propagators: Sequence[str] = ("tracecontext",)) -> None:
        """Raises ValueError for a name that is not in PROPAGATORS."""
        self._ids = bytearray(24)
        self._w3c = False
        self._slots = 0
        self._lengths = 0
        for name in propagators:
            if name not in PROPAGATORS:
                raise ValueError(f"unknown propagator {name!r}; known are {', '.join(PROPAGATORS)}")
            if name == "tracecontext":
                self._w3c = True
                self._lengths |= 1 << len(_TRACEPARENT) | 1 << len(_TRACESTATE)
            for slot in _SLOTS_OF.get(name, ()):
                self._slots |= 1 << slot
                self._lengths |= 1 << len(_NAMES[slot])
        self._values: list[bytes | None] = [None] * len(_NAMES)
        self._offered = True
        self.reset()

    def reset(self) -> cython.int:
        """Forget the last request."""
        self.valid = False
        self.flags = 0
        self.sampled = -1
        self.trace_id = b""
        self.parent_id = b""
        self.tracestate = b""
        self._state = b""
        self._parents = 0
        self._found = False
        self._read_flags = 0
        if self._offered:
            slot: cython.Py_ssize_t
            for slot in range(len(self._values)):
                self._values[slot] = None
            self._offered = False
        return 0

    def offer(
        self,
        buf: bytes,
        name: cython.Py_ssize_t,
        name_end: cython.Py_ssize_t,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
    ) -> cython.bint:
        """Look at the header named `buf[name:name_end]`, in any case, with the value `buf[start:end]`.

        Both are parts of the caller's window, and nothing outside of them is read. True when it was one of those that are read.
        """
        return self._offer(buf, name, name_end - name, buf, start, end)

    def offer_pair(self, name: bytes, value: bytes) -> cython.bint:
        """The same for a header that is two objects, as HPACK gives it."""
        return self._offer(name, 0, len(name), value, 0, len(value))

    def read_traceparent(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Take `buf[start:end]` as a traceparent; a second one makes both invalid."""
        if start < 0 or end > len(buf):
            raise IndexError("value outside the buffer")
        self._parents += 1
        self._found = False
        if self._parents > 1:
            return 0
        while start < end and (buf[start] == 0x20 or buf[start] == 0x09):
            start += 1
        while end > start and (buf[end - 1] == 0x20 or buf[end - 1] == 0x09):
            end -= 1
        n: cython.Py_ssize_t = end - start
        if n < 55 or buf[start + 2] != 0x2D or buf[start + 35] != 0x2D or buf[start + 52] != 0x2D:
            return 0
        digits: bytes = _HEX
        high: cython.int = digits[buf[start]]
        low: cython.int = digits[buf[start + 1]]
        version: cython.int = high << 4 | low
        # A digit that is none makes the sum larger than 254, as does the forbidden version ff.
        if high > 15 or low > 15 or version > 254:
            return 0
        # Version 00 is exactly 55 characters; a later one may go on, after another dash (W3C, 3.2.4).
        if n > 55 and (version == 0 or buf[start + 55] != 0x2D):
            return 0
        ids: bytearray = self._ids
        wrong: cython.int = 0
        some: cython.int = 0
        at: cython.Py_ssize_t = start + 3
        i: cython.Py_ssize_t
        for i in range(16):
            high = digits[buf[at]]
            low = digits[buf[at + 1]]
            wrong |= high | low
            high = (high << 4 | low) & 0xFF
            some |= high
            ids[i] = high
            at += 2
        if some == 0:
            return 0
        some = 0
        at = start + 36
        for i in range(16, 24):
            high = digits[buf[at]]
            low = digits[buf[at + 1]]
            wrong |= high | low
            high = (high << 4 | low) & 0xFF
            some |= high
            ids[i] = high
            at += 2
        high = digits[buf[start + 53]]
        low = digits[buf[start + 54]]
        wrong |= high | low
        if some == 0 or wrong > 15:
            return 0
        # Of the flags of any version only those that Level 2 knows are used, all others are zeroed.
        self._read_flags = low & 3
        self._found = True
        return 0

    def read_tracestate(self, buf: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Take `buf[start:end]` as the next line of tracestate; it is checked only beside a valid traceparent."""
        if start < 0 or end > len(buf):
            raise IndexError("value outside the buffer")
        if end <= start:
            return 0
        if len(self._state) > _STATE_READ_MAX or end - start > _STATE_READ_MAX:
            self._state = b"," * (_STATE_READ_MAX + 1)
            return 0
        if start == 0 and end == len(buf):
            line = buf
        else:
            line = buf[start:end]
        if len(self._state) == 0:
            self._state = line
        else:
            self._state = self._state + b"," + line
        return 0

    def result(self) -> cython.bint:
        """Decide what the headers said; the same as `valid`."""
        if self._found:
            self.valid = True
            self.flags = self._read_flags
            self.sampled = self._read_flags & 1
            if cython.compiled:
                # 24 bytes since the constructor, written with bounds checks
                base = PyByteArray_AS_STRING(self._ids)
                self.trace_id = PyBytes_FromStringAndSize(base, 16)
                self.parent_id = PyBytes_FromStringAndSize(base + 16, 8)
            else:
                self.trace_id = bytes(self._ids[:16])
                self.parent_id = bytes(self._ids[16:])
            if len(self._state) > 0:
                self.tracestate = _read_state(self._state)
            return True
        if self._offered:
            return self._from_others()
        return False

    def tell(self, out: Message) -> cython.int:
        """Put the result into a request's slots: the ids where there are any, and the caller's decision where it made one."""
        if self.result():
            out.trace_id = self.trace_id
            if len(self.parent_id) > 0:
                out.parent_id = self.parent_id
            if len(self.tracestate) > 0:
                out.tracestate = self.tracestate
            if self.sampled >= 0:
                out.trace_flags = self.flags
        elif self.sampled >= 0:
            out.trace_flags = self.sampled
        return 0

    def _offer(
        self,
        names: bytes,
        at: cython.Py_ssize_t,
        n: cython.Py_ssize_t,
        buf: bytes,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
    ) -> cython.bint:
        # Most headers are not ours: two comparisons must be enough to say so.
        if n < 2 or n > 27 or (self._lengths >> n) & 1 == 0:
            return False
        if self._w3c and (names[at] | 0x20) == 0x74:
            if n == 11 and _same(names, at, _TRACEPARENT):
                self.read_traceparent(buf, start, end)
                return True
            if n == 10 and _same(names, at, _TRACESTATE):
                self.read_tracestate(buf, start, end)
                return True
        slot: cython.int
        if self._slots != 0:
            for slot in range(12):
                known: bytes = _NAMES[slot]
                if len(known) == n and (self._slots >> slot) & 1 and _same(names, at, known):
                    if start < 0 or end > len(buf):
                        raise IndexError("value outside the buffer")
                    if self._values[slot] is None:
                        self._values[slot] = buf[start:end].strip(b" \t")
                        self._offered = True
                    return True
        return False

    def _take(self, trace_id: bytes, parent_id: bytes, sampled: cython.int) -> cython.bint:
        """Ids of another format; none of them says whether the trace id is random."""
        self.sampled = sampled
        if len(trace_id) == 0:
            return False
        self.valid = True
        self.trace_id = trace_id
        self.parent_id = parent_id
        self.flags = 1 if sampled == 1 else 0
        return True

    def _value(self, slot: cython.int) -> bytes:
        value: bytes | None = self._values[slot]
        return b"" if value is None else value

    def _from_others(self) -> cython.bint:
        # The first format that gives ids, or a decision without ids, is the one that counts.
        if self._from_b3_single(self._value(0)) or self.sampled >= 0:
            return self.valid
        if self._from_b3_multi() or self.sampled >= 0:
            return self.valid
        if self._from_jaeger(self._value(5)):
            return self.valid
        if self._from_datadog() or self.sampled >= 0:
            return self.valid
        if self._from_xray(self._value(10)) or self.sampled >= 0:
            return self.valid
        return self._from_grpc(self._value(11))

    def _from_b3_single(self, value: bytes) -> cython.bint:
        # {32 or 16 hex}-{16 hex}[-{0, 1 or d}[-{16 hex}]], or the decision alone      openzipkin/b3-propagation
        if value == b"0":
            return self._take(b"", b"", 0)
        if value in (b"1", b"d"):
            return self._take(b"", b"", 1)
        parts: list[bytes] = value.split(b"-", 4)
        count: cython.Py_ssize_t = len(parts)
        if count < 2 or count > 4 or len(parts[0]) not in (16, 32) or len(parts[1]) != 16:
            return False
        trace_id = _unhex(parts[0], 16, False)
        parent_id = _unhex(parts[1], 8, False)
        if len(trace_id) == 0 or len(parent_id) == 0:
            return False
        sampled: cython.int = -1
        if count > 2:
            if parts[2] == b"0":
                sampled = 0
            elif parts[2] in (b"1", b"d"):
                sampled = 1
            else:
                return False
        if count == 4 and (len(parts[3]) != 16 or len(_unhex(parts[3], 8, False)) == 0):
            return False
        return self._take(trace_id, parent_id, sampled)

    def _from_b3_multi(self) -> cython.bint:
        sampled: cython.int = -1
        said = self._value(3)
        # X-B3-Flags: 1 is debug, which implies an accept decision
        if self._value(4) == b"1" or said in (b"1", b"true"):
            sampled = 1
        elif said in (b"0", b"false"):
            sampled = 0
        trace = self._value(1)
        span = self._value(2)
        if len(trace) in (16, 32) and len(span) == 16:
            trace_id = _unhex(trace, 16, False)
            parent_id = _unhex(span, 8, False)
            if len(trace_id) > 0 and len(parent_id) > 0:
                return self._take(trace_id, parent_id, sampled)
        return self._take(b"", b"", sampled)

    def _from_jaeger(self, value: bytes) -> cython.bint:
        # {trace}:{span}:{parent, deprecated}:{flags}; ids may come shortened, the colons percent-encoded
        if b"%" in value:
            value = value.replace(b"%3A", b":").replace(b"%3a", b":")
        parts: list[bytes] = value.split(b":", 4)
        if len(parts) != 4 or len(parts[3]) > 2:
            return False
        trace_id = _unhex(parts[0], 16, True)
        parent_id = _unhex(parts[1], 8, True)
        if len(trace_id) == 0 or len(parent_id) == 0:
            return False
        low: cython.int = 255
        c: cython.int
        for c in parts[3]:
            low = _HEX[c | 0x20 if 0x41 <= c <= 0x46 else c]
            if low > 15:
                return False
        if low > 15:
            return False
        # 1 sampled, 2 debug, which implies it
        sampled: cython.int = 1 if low & 3 != 0 else 0
        return self._take(trace_id, parent_id, sampled)

    def _from_datadog(self) -> cython.bint:
        sampled: cython.int = -1
        priority = self._value(8)
        if 0 < len(priority) <= 3:
            if priority.isdigit():
                sampled = 0 if priority.strip(b"0") == b"" else 1
            elif priority[0] == 0x2D and priority[1:].isdigit():
                sampled = 0
        low = _decimal_id(self._value(6))
        if len(low) == 0:
            return self._take(b"", b"", sampled)
        high: bytes = bytes(8)
        for tag in self._value(9).split(b","):
            if tag.startswith(b"_dd.p.tid=") and len(tag) == 26:
                read = _unhex(tag[10:], 8, False)
                if len(read) > 0:
                    high = read
                break
        return self._take(high + low, _decimal_id(self._value(7)), sampled)

    def _from_xray(self, value: bytes) -> cython.bint:
        # Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled={0, 1 or ?}, in any order, with other keys between
        sampled: cython.int = -1
        trace_id: bytes = b""
        parent_id: bytes = b""
        for part in value.split(b";"):
            part = part.strip(b" \t")
            if part.startswith(b"Root=1-") and len(part) == 40 and part[15] == 0x2D:
                trace_id = _unhex(part[7:15] + part[16:], 16, False)
            elif part.startswith(b"Parent=") and len(part) == 23:
                parent_id = _unhex(part[7:], 8, False)
            elif part == b"Sampled=1":
                sampled = 1
            elif part == b"Sampled=0":
                sampled = 0
        return self._take(trace_id, parent_id, sampled)

    def _from_grpc(self, value: bytes) -> cython.bint:
        # base64 of [00][00 16-byte trace id][01 8-byte span id][02 flags]   opencensus-specs, BinaryEncoding.md
        if len(value) == 0 or len(value) > 128:
            return False
        try:
            raw: bytes = binascii.a2b_base64(value + b"=" * ((4 - len(value) % 4) % 4))
        except binascii.Error:
            return False
        n: cython.Py_ssize_t = len(raw)
        if n < 18 or raw[0] != 0 or raw[1] != 0:
            return False
        trace_id: bytes = raw[2:18]
        parent_id: bytes = b""
        sampled: cython.int = -1
        if n >= 27 and raw[18] == 1:
            parent_id = raw[19:27]
            if n >= 29 and raw[27] == 2:
                sampled = raw[28] & 1
        if trace_id == bytes(16) or len(parent_id) == 0 or parent_id == bytes(8):
            return False
        return self._take(trace_id, parent_id, sampled)


def _same(buf: bytes, at: cython.Py_ssize_t, name: bytes) -> cython.bint:
    """Whether `name`, which is lower case, stands at `at` in any case. There are as many bytes: the caller has compared lengths."""
    i: cython.Py_ssize_t
    c: cython.int
    for i in range(len(name)):
        c = buf[at + i]
        if 0x41 <= c <= 0x5A:
            c |= 0x20
        if c != name[i]:
            return False
    return True


def _unhex(piece: bytes, width: cython.Py_ssize_t, any_case: cython.bint) -> bytes:
    """An id of `width` bytes from at most twice as many digits, padded on the left; empty when wrong or all zero."""
    n: cython.Py_ssize_t = len(piece)
    if n == 0 or n > 2 * width:
        return b""
    out = bytearray(width)
    digits: bytes = _HEX
    some: cython.int = 0
    c: cython.int
    place: cython.Py_ssize_t
    i: cython.Py_ssize_t
    for i in range(n):
        c = piece[n - 1 - i]
        if any_case and 0x41 <= c <= 0x46:
            c |= 0x20
        c = digits[c]
        if c > 15:
            return b""
        some |= c
        place = width - 1 - i // 2
        if i & 1:
            out[place] = out[place] | c << 4
        else:
            out[place] = c
    return bytes(out) if some != 0 else b""


def _decimal_id(value: bytes) -> bytes:
    """A Datadog id: a decimal number of 64 bits; empty when it is not one or zero."""
    if len(value) == 0 or len(value) > 20 or not value.isdigit():
        return b""
    number = int(value)
    if number == 0 or number >= 1 << 64:
        return b""
    return number.to_bytes(8, "big")


def _read_state(combined: bytes) -> bytes:
    """The combined tracestate lines as one line; empty when a member is not valid or there are too many.

    A failing member discards the whole list (W3C test suite, test_tracestate_*); a repeated key is kept as it is.
    """
    n: cython.Py_ssize_t = len(combined)
    if n > _STATE_READ_MAX:
        return b""
    classes: bytes = _STATE_CLASS
    members: cython.int = 0
    clean: cython.bint = n <= _STATE_KEPT_MAX
    at: cython.Py_ssize_t = 0
    first: cython.Py_ssize_t
    last: cython.Py_ssize_t
    i: cython.Py_ssize_t
    while at <= n:
        first = at
        while at < n and combined[at] != 0x2C:
            at += 1
        last = at
        at += 1
        while first < last and (combined[first] == 0x20 or combined[first] == 0x09):
            first += 1
            clean = False
        while last > first and (combined[last - 1] == 0x20 or combined[last - 1] == 0x09):
            last -= 1
            clean = False
        if first == last:
            clean = False
            continue
        members += 1
        if members > _STATE_MEMBERS_MAX or classes[combined[first]] & 1 == 0:
            return b""
        i = first + 1
        while i < last and classes[combined[i]] & 2 != 0:
            i += 1
        if i - first > 256 or i == last or combined[i] != 0x3D:
            return b""
        if last - i - 1 < 1 or last - i - 1 > 256:
            return b""
        i += 1
        while i < last:
            if classes[combined[i]] & 4 == 0:
                return b""
            i += 1
    if clean:
        return combined
    return _rebuild_state(combined)


def _rebuild_state(combined: bytes) -> bytes:
    """Valid members, trimmed, without empty ones, cut to the limit: first those over 128 bytes, then from the end."""
    members = [member for member in (piece.strip(b" \t") for piece in combined.split(b",")) if member]
    size = sum(len(member) + 1 for member in members) - 1
    for longer_than in (128, 0):
        place = len(members)
        while size > _STATE_KEPT_MAX and place > 0:
            place -= 1
            if len(members[place]) > longer_than:
                size -= len(members[place]) + 1
                del members[place]
    return b",".join(members)
