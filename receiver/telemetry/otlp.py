"""Attributes, and pieces of a Span, as OTLP has them: bytes that are made once and used many times.

Room: snapshot. Field numbers: opentelemetry/proto/trace/v1/trace.proto and common/v1/common.proto, release 1.11. Not on the packet
path: what is written for each span is in `spans.py`.
"""

from __future__ import annotations

from receiver.telemetry.snapshot import AttributeValue
from receiver.wire.protobuf import double, message, text, varint

INT64 = range(-(1 << 63), 1 << 63)


def any_value(value: AttributeValue) -> bytes:
    """AnyValue: string_value = 1, bool_value = 2, int_value = 3, double_value = 4, array_value = 5. An integer that has no room is
    its text."""
    if isinstance(value, str):
        return message(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):  # before int: a bool is one
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + varint(value) if value in INT64 else any_value(str(value))
    if isinstance(value, float):
        return double(4, value)
    return message(5, b"".join(message(1, any_value(item)) for item in value))  # ArrayValue.values = 1


def key(name: str) -> bytes:
    """KeyValue: key = 1."""
    return text(1, name)


def key_value(name: str, value: AttributeValue) -> bytes:
    """KeyValue: key = 1, value = 2."""
    return key(name) + message(2, any_value(value))


def span_attribute(name: str, value: AttributeValue) -> bytes:
    """Span.attributes = 9."""
    return message(9, key_value(name, value))


def span_name(name: str, kind: int) -> bytes:
    """Span: name = 5, kind = 6."""
    return message(5, name.encode("utf-8", "replace")) + bytes((0x30, kind))


def span_status(code: int) -> bytes:
    """Span.status = 15; code 2 is Error."""
    return message(15, bytes((0x18, code)))
