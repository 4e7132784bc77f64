"""DNS as text: names, and the data of records as zone files have them.

Room: l7. Read only where somebody wants it: names of addresses, and answers on spans.
"""

from __future__ import annotations

from socket import AF_INET6, inet_ntop

import cython

from receiver.wire.cursor import Cursor

if not cython.compiled:
    HEADER = 12
    NAME_MAX = 255  # RFC 1035, 2.3.4, with all length bytes

    # Places that are none: the window ends first; the bytes break a rule.
    CUT = -1
    BROKEN = -2

    # IANA "Domain Name System (DNS) Parameters", resource record types
    TYPE_A = 1
    TYPE_NS = 2
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_PTR = 12
    TYPE_MX = 15
    TYPE_TXT = 16
    TYPE_AAAA = 28
    TYPE_NIMLOC = 32
    TYPE_SRV = 33
    TYPE_OPT = 41
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_IXFR = 251
    TYPE_AXFR = 252

# Of a span; an answer of more is a set of addresses to choose from, or an attack.
ANSWERS_MAX = 64
TEXT_MAX = 255

# RFC 9460, 14.3.2
_SVC_KEYS = {0: "mandatory", 1: "alpn", 2: "no-default-alpn", 3: "port", 4: "ipv4hint", 5: "ech", 6: "ipv6hint", 7: "dohpath"}


def skip_name(c: Cursor, base: cython.Py_ssize_t, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the name at `at` ends; CUT when the window ends first, BROKEN when a pointer leads forward, or it is no name. Follows
    no pointer."""
    buf: bytes = c.buf
    end: cython.Py_ssize_t = c.end
    start: cython.Py_ssize_t = at
    byte: cython.int
    low: cython.int
    while at < end:
        byte = buf[at]
        if byte == 0:
            return at + 1
        if byte >= 0xC0:
            if at + 2 > end:
                return CUT
            low = buf[at + 1]
            if (byte & 0x3F) << 8 | low >= start - base:
                return BROKEN
            return at + 2
        if byte > 63:
            return BROKEN
        at += byte + 1
        if at - start >= NAME_MAX:
            return BROKEN
    return CUT


def read_name(c: Cursor, base: cython.Py_ssize_t, at: cython.Py_ssize_t) -> str | None:
    """The name at `at` as text, lower case, without the last dot (the root is `.`); None when it is not one.

    Every pointer leads to a place before all that was read so far, so they end; the text is at most 255 bytes of labels.
    """
    labels: list[str] = []
    bound: cython.Py_ssize_t = at
    size: cython.Py_ssize_t = 1
    byte: cython.int
    target: cython.Py_ssize_t
    while True:
        if at >= c.end:
            return None
        byte = c.u8(at)
        if byte == 0:
            break
        if byte >= 0xC0:
            if at + 2 > c.end:
                return None
            target = base + ((byte & 0x3F) << 8 | c.u8(at + 1))
            if target >= bound or target < base + HEADER:
                return None
            at = target
            bound = target
            continue
        size += byte + 1
        if byte > 63 or size > NAME_MAX or at + 1 + byte > c.end:
            return None
        labels.append(_escaped(c.take(at + 1, at + 1 + byte).lower(), True))
        at += byte + 1
    return ".".join(labels) if labels else "."


def _escaped(piece: bytes, dots: cython.bint) -> str:
    """Text as zone files have it (RFC 1035, 5.1): a backslash before what would be taken for something else, \\DDD for what cannot
    be shown."""
    if piece.isalnum() or piece.replace(b"-", b"").replace(b"_", b"").isalnum():
        return piece.decode("ascii")
    special = b".\\" if dots else b'"\\'
    shown: list[str] = []
    for byte in piece:
        if byte in special:
            shown.append("\\" + chr(byte))
        elif 0x21 <= byte <= 0x7E or (byte == 0x20 and not dots):
            shown.append(chr(byte))
        else:
            shown.append(f"\\{byte:03d}")
    return "".join(shown)


def _strings(c: Cursor, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """The strings of a TXT record, each in quotes; None when their lengths do not fit."""
    shown: list[str] = []
    size: cython.Py_ssize_t = 0
    while at < end:
        length: cython.Py_ssize_t = c.u8(at)
        if at + 1 + length > end:
            return None
        if size <= TEXT_MAX:
            shown.append(f'"{_escaped(c.take(at + 1, at + 1 + length), False)}"')
        size += length + 3
        at += 1 + length
    return " ".join(shown) if shown else None


def _service(c: Cursor, base: cython.Py_ssize_t, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> str | None:
    """SVCB and HTTPS (RFC 9460, 2.1 and 2.2): [u16 priority][name, not compressed] and parameters [u16 key][u16 length][value]"""
    if end - at < 3:
        return None
    shown: list[str] = [str(c.u16(at))]
    place: cython.Py_ssize_t = skip_name(c, base, at + 2)
    name = read_name(c, base, at + 2)
    if name is None or place < 0 or place > end:
        return None
    shown.append(name)
    while place < end:
        if place + 4 > end:
            return None
        key: cython.int = c.u16(place)
        start: cython.Py_ssize_t = place + 4
        place = start + c.u16(place + 2)
        if place > end:
            return None
        if len(shown) > ANSWERS_MAX:
            continue
        label = _SVC_KEYS.get(key) or f"key{key}"
        value = _parameter(key, c.take(start, place))
        shown.append(label if value is None else f'{label}="{value}"')
    return " ".join(shown)


def _parameter(key: int, value: bytes) -> str | None:
    """The value of a parameter as text; None when it has none, is not one that is shown (ech), or does not fit its key."""
    if key == 1:
        names: list[str] = []
        while value:
            length = value[0]
            if length == 0 or length >= len(value):
                return None
            names.append(_escaped(value[1 : 1 + length], False).replace(",", "\\\\,"))
            value = value[1 + length :]
        return ",".join(names) or None
    if key == 0 and value and len(value) % 2 == 0:
        keys = [int.from_bytes(value[i : i + 2], "big") for i in range(0, len(value), 2)]
        return ",".join(_SVC_KEYS.get(one) or f"key{one}" for one in keys)
    if key == 3 and len(value) == 2:
        return str(int.from_bytes(value, "big"))
    if key == 4 and value and len(value) % 4 == 0:
        return ",".join(".".join(map(str, value[i : i + 4])) for i in range(0, len(value), 4))
    if key == 6 and value and len(value) % 16 == 0:
        return ",".join(inet_ntop(AF_INET6, value[i : i + 16]) for i in range(0, len(value), 16))
    if key == 7 and value:
        return _escaped(value, False)
    return None


def record_text(
    c: Cursor, base: cython.Py_ssize_t, kind: cython.int, at: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> str:
    """A record's data as text, as zone files have it, without the dot behind names; TYPEnnn for types not listed here, and
    for data that does not fit its type."""
    n: cython.Py_ssize_t = end - at
    text: str | None = None
    if kind == TYPE_A:
        if n == 4:
            text = f"{c.u8(at)}.{c.u8(at + 1)}.{c.u8(at + 2)}.{c.u8(at + 3)}"
    elif kind == TYPE_AAAA:
        if n == 16:
            text = inet_ntop(AF_INET6, c.take(at, end))
    elif kind == TYPE_CNAME or kind == TYPE_NS or kind == TYPE_PTR:
        if skip_name(c, base, at) == end:
            text = read_name(c, base, at)
    elif kind == TYPE_MX:
        if n > 2 and skip_name(c, base, at + 2) == end:
            name = read_name(c, base, at + 2)
            text = None if name is None else f"{c.u16(at)} {name}"
    elif kind == TYPE_SRV:
        if n > 6 and skip_name(c, base, at + 6) == end:
            name = read_name(c, base, at + 6)
            text = None if name is None else f"{c.u16(at)} {c.u16(at + 2)} {c.u16(at + 4)} {name}"
    elif kind == TYPE_SOA:
        second: cython.Py_ssize_t = skip_name(c, base, at)
        if second >= 0 and skip_name(c, base, second) == end - 20 and end - 20 >= second:
            primary = read_name(c, base, at)
            mailbox = read_name(c, base, second)
            if primary is not None and mailbox is not None:
                at = end - 20
                numbers = f"{c.u32(at)} {c.u32(at + 4)} {c.u32(at + 8)} {c.u32(at + 12)} {c.u32(at + 16)}"
                text = f"{primary} {mailbox} {numbers}"
    elif kind == TYPE_TXT:
        text = _strings(c, at, end)
    elif kind == TYPE_SVCB or kind == TYPE_HTTPS:
        text = _service(c, base, at, end)
    if text is None:
        text = f"TYPE{kind}"
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX]
