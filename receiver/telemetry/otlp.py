"""Pieces of an OTLP Span as bytes, made once and used many times.

Room: telemetry. Field numbers: opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto, release 1.11. Not on the
packet path: what is written for each span is in `spans.py`.
"""

from __future__ import annotations

from receiver.telemetry.snapshot import AttributeValue


def varint(value: int) -> bytes:
    """An unsigned base-128 varint; negative int64 as protobuf has them, in ten bytes."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, payload: bytes) -> bytes:
    """A length-delimited field; `tag` is its number shifted by three, with wire type 2."""
    return bytes((tag,)) + varint(len(payload)) + payload


def key(name: str) -> bytes:
    """The `key` field of a KeyValue."""
    return field(0x0A, name.encode())


def any_value(value: AttributeValue) -> bytes:
    """The content of an AnyValue."""
    if isinstance(value, bool):
        return bytes((0x10, value))
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        import struct

        return b"\x21" + struct.pack("<d", value)
    if isinstance(value, tuple):
        return field(0x2A, b"".join(field(0x0A, any_value(item)) for item in value))
    return field(0x0A, value.encode("utf-8", "replace"))


def key_value(name: str, value: AttributeValue) -> bytes:
    """The content of a KeyValue."""
    return key(name) + field(0x12, any_value(value))


def span_attribute(name: str, value: AttributeValue) -> bytes:
    """Field 9 of a Span."""
    return field(0x4A, key_value(name, value))


def span_name(name: str, kind: int) -> bytes:
    """Fields 5 and 6 of a Span."""
    return field(0x2A, name.encode("utf-8", "replace")) + bytes((0x30, kind))


def span_status(code: int) -> bytes:
    """Field 15 of a Span; code 2 is Error."""
    return field(0x7A, bytes((0x18, code)))
