"""Frames inside frames: a stream that is no connection is read however it is cut, with holes, and inflated within a budget."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from receiver.l7.inner import Inflater, Inner
from receiver.wire.cursor import Cursor
from receiver.wire.records import Malformed, Message
from tests.l7.harness import START_NS, TO_SERVER
from tests.l7.test_prefixed import Kafka, kafka

BUDGET = 4096


class Stream:
    """One stream, and the numbers of the messages that were read of it."""

    def __init__(self) -> None:
        self.inner, self.reader, self.cursor = Inner(), Kafka(), Cursor()
        self.read: list[str | None] = []
        self.limits: dict[str, int] = {}
        self.inflater = Inflater("kafka", "inflated", BUDGET, self.limits)

    def feed(self, piece: bytes) -> Stream:
        self.cursor.set(b"\x00" + piece + b"\x00", 1, 1 + len(piece))
        self.inner.feed(self.cursor)
        return self.go_on()

    def inflate(self, made: bytes, size: int | None = None) -> Stream:
        packed = zlib.compress(made)
        self.inflater.feed(self.inner, self.cursor, packed, len(made) if size is None else size)
        return self.go_on()

    def go_on(self) -> Stream:
        found = 1
        while found > 0:
            out = Message()
            found = self.inner.next(self.reader, TO_SERVER, self.cursor, START_NS, out)
            if found > 0:
                self.read.append(out.operation)
        assert found == 0
        return self

    def lose(self, missing: int) -> Stream:
        self.inner.lose(self.reader, TO_SERVER, missing)
        return self


def frames(*numbers: int, size: int = 30) -> bytes:
    return b"".join(kafka(TO_SERVER, number, b"\xfe" * size) for number in numbers)


def test_stream_cut_anywhere_says_the_same() -> None:
    whole = frames(1, 2, 3)
    for at in range(1, len(whole)):
        assert Stream().feed(whole[:at]).feed(whole[at:]).read == ["1", "2", "3"], at
    stream = Stream()
    for byte in whole:
        stream.feed(bytes((byte,)))
    assert stream.read == ["1", "2", "3"] and stream.inner.between()


def test_end_inside_a_frame_is_not_between_two() -> None:
    whole = frames(1)
    for at in range(1, len(whole)):
        assert not Stream().feed(whole[:at]).inner.between(), at


def test_what_nobody_wants_need_not_be_fed() -> None:
    whole = frames(1, size=1000) + frames(2)
    stream = Stream().feed(whole[:20])
    assert stream.inner.passed_over(500) == 500
    assert stream.inner.passed_over(5000) == len(frames(1, size=1000)) - 520
    assert stream.feed(frames(2)).read == ["1", "2"]


def test_hole_in_what_nobody_wants_does_no_harm() -> None:
    whole = frames(1, size=1000) + frames(2)
    assert Stream().feed(whole[:20]).lose(700).feed(whole[720:]).read == ["1", "2"]


@pytest.mark.parametrize("missing", [0, 1, 60])
def test_after_a_hole_the_next_frames_are_looked_for(missing: int) -> None:
    cut = frames(2)
    stream = Stream().feed(frames(1) + cut[:5]).lose(missing).feed(cut[9:] + frames(3, 4))
    assert stream.read == ["1", "3", "4"]


def test_where_no_frame_is_found_nothing_is_kept() -> None:
    stream = Stream().lose(0)
    for _ in range(100):
        stream.feed(b"\xfe" * 1000)
    assert stream.inner.between() and stream.feed(frames(1)).read == ["1"]


def test_bytes_that_are_no_frames_are_told() -> None:
    stream = Stream()
    stream.cursor.set(b"\xff" * 8, 0, 8)
    stream.inner.feed(stream.cursor)
    assert stream.inner.next(stream.reader, TO_SERVER, stream.cursor, START_NS, Message()) == -1


# --- inflated ---


def test_frames_go_on_from_one_inflated_piece_to_the_next() -> None:
    whole = frames(1, 2, 3)
    for at in range(1, len(whole)):
        assert Stream().inflate(whole[:at]).inflate(whole[at:], -1).read == ["1", "2", "3"], at


def test_piece_as_large_as_the_budget_is_read_whole() -> None:
    stream = Stream().inflate(frames(1, size=BUDGET - 8 - 38) + frames(2))
    assert stream.read == ["1", "2"] and stream.limits == {"inflated": 0}


def test_one_byte_more_is_counted_and_the_beginning_is_read() -> None:
    stream = Stream().inflate(frames(1, size=BUDGET - 7 - 38) + frames(2))
    assert stream.limits == {"inflated": 1} and stream.read == ["1", "2"]


def test_what_the_budget_leaves_out_is_a_hole() -> None:
    last = frames(2)
    stream = Stream().inflate(frames(1, size=BUDGET) + last)
    assert stream.read == ["1"] and stream.limits == {"inflated": 1}
    assert stream.feed(frames(3)).read == ["1", "3"]


def test_what_the_budget_leaves_out_and_nobody_wants_is_none() -> None:
    """A frame that goes on behind the piece: its rest is passed over, and the next one found where it begins."""
    whole = frames(1, size=3 * BUDGET)
    stream = Stream().inflate(whole[: 2 * BUDGET]).feed(whole[2 * BUDGET :] + frames(2))
    assert stream.limits == {"inflated": 1} and stream.read == ["1", "2"]


def test_size_that_nobody_says_makes_the_hole_one_of_unknown_size() -> None:
    whole = frames(1, size=3 * BUDGET)
    stream = Stream().inflate(whole[: 2 * BUDGET], -1).feed(whole[2 * BUDGET :]).feed(frames(2))
    assert stream.limits == {"inflated": 1} and stream.read == ["1", "2"]


def test_bomb_costs_no_more_than_the_budget() -> None:
    packed = zlib.compress(frames(1) + bytes(64 << 20))
    stream = Stream()
    tracemalloc.start()
    stream.inflater.feed(stream.inner, stream.cursor, packed, -1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20 and stream.limits == {"inflated": 1}


@pytest.mark.parametrize(
    ("packed", "size", "what"),
    [
        (b"no zlib", -1, "compressed data broken"),
        (zlib.compress(b"x" * 100)[:-5], -1, "compressed data cut short"),
        (zlib.compress(b"x" * 100), 99, "compressed data cut short"),
        (b"", 0, "compressed data cut short"),
    ],
)
def test_what_cannot_be_inflated_is_malformed(packed: bytes, size: int, what: str) -> None:
    stream = Stream()
    with pytest.raises(Malformed) as error:
        stream.inflater.feed(stream.inner, stream.cursor, packed, size)
    assert error.value.what == what
