"""Writer: what it wrote is read back by protobuf's own decoder, and its room grows as it must."""

from __future__ import annotations

import struct

import pytest
from google.protobuf.internal import decoder, encoder  # type: ignore[import-untyped]  # no stubs of what is internal
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver.wire.writer import Writer

LARGEST = (1 << 64) - 1


@given(st.integers(0, LARGEST))
def test_varint_is_protobufs(value: int) -> None:
    writer = Writer()
    writer.varint(value)
    wire = writer.take()
    assert wire == encoder._VarintBytes(value)
    assert decoder._DecodeVarint(wire, 0) == (value, len(wire))


@pytest.mark.parametrize("value", [0, 127, 128, 16383, 16384, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, LARGEST])
def test_varint_at_its_limits(value: int) -> None:
    writer = Writer(1)
    writer.varint(value)
    writer.fixed64(value)
    writer.fixed32(value & 0xFFFFFFFF)
    assert writer.take() == encoder._VarintBytes(value) + struct.pack("<QI", value, value & 0xFFFFFFFF)


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 8))
def test_room_grows(pieces: list[bytes], room: int) -> None:
    writer = Writer(room)
    for piece in pieces:
        writer.put(piece)
        writer.byte(0x2A)
    whole = b"".join(piece + b"*" for piece in pieces)
    assert writer.size == len(whole)
    assert writer.take() == whole
    assert (writer.size, writer.take()) == (0, b"")


@given(st.integers(0, (1 << 21) - 1))
def test_patched_length_is_read_as_any_varint(value: int) -> None:
    writer = Writer()
    writer.put(b"a---b")
    writer.patch3(1, value)
    wire = writer.take()
    assert decoder._DecodeVarint(wire, 1) == (value, 4)
    assert (wire[:1], wire[4:]) == (b"a", b"b")


@pytest.mark.parametrize(("at", "value"), [(-1, 1), (1, 1), (0, -1), (0, 1 << 21)])
def test_patch_outside_is_an_error(at: int, value: int) -> None:
    writer = Writer()
    writer.put(b"---")
    with pytest.raises(IndexError):
        writer.patch3(at, value)


def test_rewind_forgets_the_end() -> None:
    writer = Writer(2)
    writer.put(b"kept")
    writer.put(b"dropped")
    writer.rewind(4)
    writer.put(b"!")
    assert writer.take() == b"kept!"
    for wrong in (-1, 1):
        with pytest.raises(IndexError):
            writer.rewind(wrong)


KEY = b"\x0a\x03a.b"


@given(st.text(max_size=300), st.integers(1, 40))
def test_text_attribute_is_what_protobuf_reads(words: str, room: int) -> None:
    writer = Writer(room)
    wrote = writer.text(KEY, words.encode())
    assert wrote == words.isascii()
    span = Span.FromString(writer.take())
    assert [(each.key, each.value.string_value) for each in span.attributes] == ([("a.b", words)] if wrote else [])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 16_379, 16_380, 16_384])
def test_text_attribute_where_its_lengths_grow(size: int) -> None:
    writer = Writer(1)
    writer.text(KEY, b"x" * size)
    (attribute,) = Span.FromString(writer.take()).attributes
    assert attribute.value.string_value == "x" * size


@given(st.integers(0, (1 << 63) - 1), st.integers(1, 40))
def test_number_attribute_is_what_protobuf_reads(value: int, room: int) -> None:
    writer = Writer(room)
    writer.number(KEY, value)
    (attribute,) = Span.FromString(writer.take()).attributes
    assert (attribute.key, attribute.value.int_value) == ("a.b", value)


def test_what_is_lent_is_what_was_written() -> None:
    writer = Writer(4)
    for words in (b"first one", b"another", b""):
        writer.put(words)
        with writer.lend() as lent:
            assert (bytes(lent), writer.size) == (words, 0)


def test_what_is_lent_cannot_be_moved() -> None:
    writer = Writer(4)
    writer.put(b"abcd")
    with writer.lend() as lent:
        with pytest.raises(BufferError):
            writer.put(b"x" * 100)
        assert bytes(lent) == b"abcd"
    writer.put(b"x" * 100)
    assert writer.take() == b"x" * 100
