"""The walk over fields meets what a server may send by fault or by malice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.wire.protobuf import fields, read_varint, signed, varint, zigzag


# Source of both tables: protobuf.dev, "Encoding": 150 is 96 01; sint32 -1 is 1, 1 is 2, -2 is 3.
def test_varint_of_the_specification():
    assert varint(150) == bytes.fromhex("9601")
    assert varint(-1) == bytes.fromhex("ffffffffffffffffff01")
    assert [zigzag(n) for n in (0, -1, 1, -2, 0x7FFFFFFF, -0x80000000)] == [
        varint(n) for n in (0, 1, 2, 3, 0xFFFFFFFE, 0xFFFFFFFF)
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_varint_is_read_back(number):
    encoded = varint(number)
    value, end = read_varint(encoded, 0)
    assert (signed(value), end) == (number, len(encoded))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80",
        b"\xff" * 11,
        b"\x0a",
        b"\x0a\x05abcd",
        b"\x09\x00",
        b"\x0d\x00\x00",
        b"\x0b",
        b"\x0f",
        b"\x0a\xff\xff\xff\xff\x0f",
    ],
)
def test_field_that_is_not_whole_is_an_error(content):
    with pytest.raises(ValueError):
        list(fields(content))


@given(st.binary(max_size=64))
def test_no_answer_raises_anything_else(content):
    try:
        for number, value in fields(content):
            assert number >= 0
            assert isinstance(value, int | bytes)
    except ValueError:
        pass
