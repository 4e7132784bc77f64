"""The little of protobuf that is needed beside the packet path: fields to write once, and a walk over fields to read.

Room: wire. Requests are bytes joined from parts made once, and answers are a few fields, so no protobuf library is in memory. What
is written for each span goes through `writer.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

WIRE_VARINT = 0
WIRE_FIXED64 = 1
WIRE_LENGTH = 2
WIRE_FIXED32 = 5

_U64 = (1 << 64) - 1
_DOUBLE = struct.Struct("<d")
_SMALL = [bytes((number,)) for number in range(0x80)]


def varint(number: int) -> bytes:
    """Base-128 varint of a number below 2^64; a negative one as its two's complement (int32, int64, bool, enum)."""
    if 0 <= number < 0x80:
        return _SMALL[number]
    number &= _U64
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    """sint32 and sint64."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def tag(field: int, wire: int) -> bytes:
    return varint(field << 3 | wire)


def message(field: int, content: bytes) -> bytes:
    """A length-delimited field: message, string, bytes, packed numbers."""
    return opening(field, len(content)) + content


def opening(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of such a field: for a message of many parts that is joined once."""
    return tag(field, WIRE_LENGTH) + varint(size)


def text(field: int, value: str) -> bytes:
    """A string field; nothing for the empty string, its default. Half a surrogate pair becomes `?`: one must not void a
    request."""
    if not value:
        return b""
    return message(field, value.encode("utf-8", "replace"))


def integer(field: int, value: int) -> bytes:
    """A varint field; nothing for 0, its default."""
    if not value:
        return b""
    return tag(field, WIRE_VARINT) + varint(value)


def double(field: int, value: float) -> bytes:
    """Always written, 0 too: in a oneof that is a value."""
    return tag(field, WIRE_FIXED64) + _DOUBLE.pack(value)


def read_varint(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends. Raises ValueError when it does not end, or runs over 64 bits."""
    number = shift = 0
    while at < len(content) and shift < 70:
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _U64, at
        shift += 7
    raise ValueError("varint")


def fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: int for varints, bytes for all else. Raises ValueError at the first that is not
    whole."""
    at = 0
    while at < len(content):
        key, at = read_varint(content, at)
        number, wire = key >> 3, key & 7
        if wire == WIRE_VARINT:
            value, at = read_varint(content, at)
            yield number, value
            continue
        if wire == WIRE_LENGTH:
            length, at = read_varint(content, at)
        elif wire == WIRE_FIXED64:
            length = 8
        elif wire == WIRE_FIXED32:
            length = 4
        else:
            raise ValueError("wire type")
        if at + length > len(content):
            raise ValueError("length")
        yield number, content[at : at + length]
        at += length


def signed(number: int) -> int:
    """What a varint means in an int32 or int64 field."""
    return number - (1 << 64) if number >> 63 else number
