"""Cursor: every read against struct's, and no read outside the window."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.wire.cursor import Cursor

READS: list[tuple[str, int, Callable[[bytes], int]]] = [
    ("u8", 1, lambda b: b[0]),
    ("u16", 2, lambda b: int(struct.unpack(">H", b)[0])),
    ("u24", 3, lambda b: int.from_bytes(b, "big")),
    ("u32", 4, lambda b: int(struct.unpack(">I", b)[0])),
    ("i32", 4, lambda b: int(struct.unpack(">i", b)[0])),
    ("i64", 8, lambda b: int(struct.unpack(">q", b)[0])),
    ("u16le", 2, lambda b: int(struct.unpack("<H", b)[0])),
    ("u24le", 3, lambda b: int.from_bytes(b, "little")),
    ("u32le", 4, lambda b: int(struct.unpack("<I", b)[0])),
    ("i64le", 8, lambda b: int(struct.unpack("<q", b)[0])),
]
IDS = [name for name, _, _ in READS]


@pytest.mark.parametrize(("name", "size", "oracle"), READS, ids=IDS)
@given(st.binary(min_size=8, max_size=8))
def test_integers_are_those_of_struct(name: str, size: int, oracle: Callable[[bytes], int], wire: bytes) -> None:
    assert getattr(Cursor(b"\xee" + wire), name)(1) == oracle(wire[:size])


@pytest.mark.parametrize(("name", "size", "oracle"), READS, ids=IDS)
@pytest.mark.parametrize("fill", [0x00, 0x7F, 0x80, 0xFF])
def test_integers_at_their_limits(name: str, size: int, oracle: Callable[[bytes], int], fill: int) -> None:
    for tail in (0x00, 0x01, 0x7F, 0x80, 0xFF):
        for wire in (bytes([fill]) * 7 + bytes([tail]), bytes([tail]) + bytes([fill]) * 7):
            assert getattr(Cursor(wire), name)(0) == oracle(wire[:size])


@pytest.mark.parametrize(("name", "size", "oracle"), READS, ids=IDS)
def test_no_integer_outside_the_window(name: str, size: int, oracle: Callable[[bytes], int]) -> None:
    c = Cursor(b"")
    c.set(bytes(range(100, 130)), 5, 5 + size)
    assert getattr(c, name)(5) == oracle(bytes(range(105, 105 + size)))
    for at in (-1, 0, 4, 6, 5 + size, 1 << 40, -(1 << 40)):
        with pytest.raises(IndexError):
            getattr(c, name)(at)


@given(st.binary(max_size=20), st.integers(-3, 25), st.integers(-3, 25), st.integers(-3, 25), st.integers(-3, 25))
def test_pieces_are_slices_or_errors(buf: bytes, pos: int, end: int, first: int, last: int) -> None:
    c = Cursor(b"")
    if not 0 <= pos <= end <= len(buf):
        with pytest.raises(IndexError):
            c.set(buf, pos, end)
        return
    c.set(buf, pos, end)
    if not pos <= first <= last <= end:
        with pytest.raises(IndexError):
            c.take(first, last)
        with pytest.raises(IndexError):
            c.find(0x41, first, last)
        return
    assert c.take(first, last) == buf[first:last]
    for byte in (0x00, 0xFF, *buf[:3]):
        assert c.find(byte, first, last) == buf.find(bytes([byte]), first, last)


@given(st.binary(max_size=12), st.integers(0, 12), st.binary(max_size=4), st.integers(-2, 14))
def test_starts_is_that_of_bytes_inside_the_window(buf: bytes, end: int, literal: bytes, at: int) -> None:
    end = min(end, len(buf))
    c = Cursor(b"")
    c.set(buf, 0, end)
    if at < 0:
        with pytest.raises(IndexError):
            c.starts(at, literal)
    elif at <= end:
        assert c.starts(at, literal) == buf[:end].startswith(literal, at)
    else:
        assert not c.starts(at, literal)


LETTERS = bytes(0 if chr(byte).isalpha() and byte < 0x80 else 1 for byte in range(256))


@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 8))
def test_span_ends_where_the_table_says_or_the_window_ends(buf: bytes, start: int, end: int, to: int) -> None:
    end = min(end, len(buf))
    c, out = Cursor(b""), bytearray(48)
    c.set(buf, 0, end)
    if start > end:
        for call in (lambda: c.span(LETTERS, start, end), lambda: c.copy_span(LETTERS, start, end, out, to)):
            with pytest.raises(IndexError):
                call()
        return
    found = next((i for i in range(start, end) if LETTERS[buf[i]]), end)
    assert c.span(LETTERS, start, end) == c.copy_span(LETTERS, start, end, out, to) == found
    assert bytes(out) == bytes(to) + buf[start:found] + bytes(48 - to - (found - start))


def test_span_stays_in_the_window_and_in_what_it_writes_to() -> None:
    c = Cursor(b"")
    c.set(b"abcdef", 1, 5)
    for table, start, end in ((LETTERS, 0, 3), (LETTERS, 2, 6), (LETTERS[:255], 2, 3)):
        with pytest.raises(IndexError):
            c.span(table, start, end)
        with pytest.raises(IndexError):
            c.copy_span(table, start, end, bytearray(9), 0)
    for to in (-1, 1, 9):
        with pytest.raises(IndexError):
            c.copy_span(LETTERS, 1, 5, bytearray(4), to)
    assert c.copy_span(LETTERS, 1, 5, bytearray(4), 0) == 5


@given(st.lists(st.tuples(st.sampled_from(b"DC"), st.binary(max_size=9)), max_size=8), st.integers(0, 60), st.integers(3, 12))
def test_a_run_is_of_whole_messages_of_one_kind(messages: list[tuple[int, bytes]], cut: int, longest: int) -> None:
    buf = b"".join(bytes([kind]) + (4 + len(body)).to_bytes(4, "big") + body for kind, body in messages)
    end = max(0, len(buf) - cut)
    expected = count = 0
    for kind, body in messages:
        if kind != ord("D") or 4 + len(body) > longest or expected + 5 + len(body) > end:
            break
        expected += 5 + len(body)
        count += 1
    c = Cursor(buf + b"D\0\0\0\4" * 3)
    c.clamp(end)
    assert (c.run(ord("D"), 0, longest), c.ran) == (expected, count)


@pytest.mark.parametrize("said", [0, 3, 6, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_run_ends_where_a_length_lies(said: int) -> None:
    c = Cursor(b"D\0\0\0\4" + b"D" + said.to_bytes(4, "big"))
    assert (c.run(ord("D"), 0, 1 << 30), c.ran) == (5, 1)
    with pytest.raises(IndexError):
        c.run(ord("D"), 11, 1 << 30)


def test_skip_and_clamp_move_the_window() -> None:
    c = Cursor(b"0123456789")
    c.skip(3)
    c.clamp(5)
    assert (c.pos, c.end) == (3, 5)
    assert c.take(3, 5) == b"34"
    for wrong in (3, -1):
        with pytest.raises(IndexError):
            c.skip(wrong)
    for wrong in (2, 11):
        with pytest.raises(IndexError):
            c.clamp(wrong)
    c.clamp(10)
    c.skip(7)
    assert (c.pos, c.end) == (10, 10)
