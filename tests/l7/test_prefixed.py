"""Frames with a length in front, of every shape that a protocol in use has: each is read however it is cut, and found again.

The decoders here know the framing of their specifications, and of what is inside only a number, by which a question and its answer
are told. MySQL: [u24le length][u8 sequence], and 16 MB go on in the next packet. PostgreSQL: [u8 type][u32 length with itself], and
a first message without a type. MongoDB: [i32le length with itself][i32 request][i32 response to]. Kafka: [i32 length][...].
AMQP 0-9-1: [u8 type][u16 channel][u32 length] payload [u8 CE], and a header of eight bytes.
"""

from __future__ import annotations

import struct

import pytest

from receiver.l7.prefixed import Prefixed
from receiver.wire.cursor import Cursor
from receiver.wire.records import Message, Protocol
from tests.l7.harness import TO_CLIENT, TO_SERVER, Run, Vector, check_vector, exchange

NO, PERHAPS, YES = 0, 1, 2
ERROR_NONE = 1
TURNS = 6
# The upper half of each number: what a decoder may take for proof.
MARK = 0x5AFE


class Asks(Prefixed):
    """Tells the number that stands at `place` of a frame: of a question its operation, of an answer its status."""

    place = 0
    little = False
    keyed = False
    longest = 1 << 27

    def number(self, c: Cursor, at: int) -> int:
        return c.u32le(at + self.place) if self.little else c.u32(at + self.place)

    def marked(self, c: Cursor, at: int) -> int:
        if c.end - at < self.place + 4:
            return PERHAPS
        return YES if self.number(c, at) >> 16 == MARK else NO

    def wanted(self, direction: int, c: Cursor, size: int) -> int:
        return min(size, self.place + 4)

    def read(self, direction: int, c: Cursor, size: int, ts_ns: int, out: Message) -> int:
        number = self.number(c, c.pos) & 0xFFFF
        if self.keyed:
            out.key = number
        if direction == TO_SERVER:
            out.operation = str(number)
        else:
            out.status, out.error_side = number, ERROR_NONE
        return 1

    def bounded(self, size: int) -> int:
        return size if self.place + 4 <= size <= self.longest else -1


class MySql(Asks):
    place = 4
    little = True
    continues = False

    def size(self, direction: int, c: Cursor, at: int) -> int:
        if c.end - at < 4:
            return 0
        return 4 + c.u24le(at) if self.continues else self.bounded(4 + c.u24le(at))

    def wanted(self, direction: int, c: Cursor, size: int) -> int:
        return min(size, 4 if self.continues else 8)

    def read(self, direction: int, c: Cursor, size: int, ts_ns: int, out: Message) -> int:
        was, self.continues = self.continues, size == 4 + 0xFFFFFF
        return 0 if was else super().read(direction, c, size, ts_ns, out)

    def lost(self, direction: int, missing: int) -> int:
        self.continues = False
        return 0

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        if c.u8(at + 3) != (0 if direction == TO_SERVER else 1):
            return NO
        return self.marked(c, at)


class PostgreSql(Asks):
    place = 5

    def size(self, direction: int, c: Cursor, at: int) -> int:
        if c.u8(at) == 0:  # no type: the first message of all
            return 0 if c.end - at < 4 else self.bounded(c.u32(at))
        if not chr(c.u8(at)).isalpha():
            return -1
        return 0 if c.end - at < 5 else self.bounded(1 + c.u32(at + 1))

    def read(self, direction: int, c: Cursor, size: int, ts_ns: int, out: Message) -> int:
        return 0 if c.u8(c.pos) == 0 else super().read(direction, c, size, ts_ns, out)

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        if c.u8(at) == 0:
            return PERHAPS if c.end - at < 8 else YES if c.u32(at + 4) == 196608 else NO
        if chr(c.u8(at)) != ("Q" if direction == TO_SERVER else "C"):
            return NO
        return self.marked(c, at)


class MongoDb(Asks):
    place = 4
    little = True
    keyed = True

    def size(self, direction: int, c: Cursor, at: int) -> int:
        return 0 if c.end - at < 4 else self.bounded(c.u32le(at))

    def number(self, c: Cursor, at: int) -> int:
        return c.u32le(at + 4) or c.u32le(at + 8)

    def wanted(self, direction: int, c: Cursor, size: int) -> int:
        return min(size, 16)

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        if size < 16:
            return NO
        return PERHAPS if c.end - at < 16 else YES if c.u32le(at + 12) == 2013 else NO


class Kafka(Asks):
    place = 4
    keyed = True

    def size(self, direction: int, c: Cursor, at: int) -> int:
        return 0 if c.end - at < 4 else self.bounded(4 + c.u32(at))

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        return self.marked(c, at)


class Amqp(Asks):
    place = 7

    def size(self, direction: int, c: Cursor, at: int) -> int:
        if c.u8(at) == 0x41:
            return 8
        if not 1 <= c.u8(at) <= 8:
            return -1
        return 0 if c.end - at < 7 else self.bounded(8 + c.u32(at + 3))

    def read(self, direction: int, c: Cursor, size: int, ts_ns: int, out: Message) -> int:
        return 0 if c.u8(c.pos) == 0x41 else super().read(direction, c, size, ts_ns, out)

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        if c.u8(at) == 0x41:
            return YES if c.starts(at, b"AMQP\x00\x00\x09\x01") else PERHAPS if c.end - at < 8 else NO
        if c.end - at < size:
            return PERHAPS
        return YES if c.u8(at + size - 1) == 0xCE else NO


def marked(number: int) -> int:
    return MARK << 16 | number


def my_sql(direction: int, number: int, body: bytes) -> bytes:
    return (4 + len(body)).to_bytes(3, "little") + bytes((direction,)) + marked(number).to_bytes(4, "little") + body


def postgre_sql(direction: int, number: int, body: bytes) -> bytes:
    return (b"Q", b"C")[direction] + struct.pack(">II", 8 + len(body), marked(number)) + body


def mongo_db(direction: int, number: int, body: bytes) -> bytes:
    ids = (number, 0) if direction == TO_SERVER else (0, number)
    return struct.pack("<IIII", 16 + len(body), *ids, 2013) + body


def kafka(direction: int, number: int, body: bytes) -> bytes:
    return struct.pack(">II", 4 + len(body), marked(number)) + body


def amqp(direction: int, number: int, body: bytes) -> bytes:
    return struct.pack(">BHII", 1, 1, 4 + len(body), marked(number)) + body + b"\xce"


STARTUP = struct.pack(">II", 15, 196608) + b"user\x00a\x00"
SHAPES = {
    "mysql": (MySql, my_sql, b""),
    "postgresql": (PostgreSql, postgre_sql, STARTUP),
    "mongodb": (MongoDb, mongo_db, b""),
    "kafka": (Kafka, kafka, b""),
    "amqp": (Amqp, amqp, b"AMQP\x00\x00\x09\x01"),
}
shapes = pytest.mark.parametrize("name", SHAPES)


def row(name: str) -> Protocol:
    return Protocol(name, name, SHAPES[name][0])


def roundtrip(name: str, number: int, size: int = 30) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    frame = SHAPES[name][1]
    return (TO_SERVER, frame(TO_SERVER, number, b"\xfe" * size)), (TO_CLIENT, frame(TO_CLIENT, number, b"\xfe" * size))


def told(run: Run) -> list[tuple[str | None, object]]:
    assert not run.reading.errors
    return [(one["operation"], one["status"]) for one in run.end()]


@shapes
def test_shape_passes_the_harness(name: str) -> None:
    opening = SHAPES[name][2]
    turns = [turn for number in range(1, TURNS) for turn in roundtrip(name, number)]
    turns[0] = (TO_SERVER, opening + turns[0][1])
    expected = [{"operation": str(number), "status": number, "outcome": "ok"} for number in range(1, TURNS)]
    check_vector((row(name),), Vector(name, name, exchange(*turns), expected))


@shapes
def test_what_nobody_wants_is_passed_over_whatever_is_missing_of_it(name: str) -> None:
    (_, asked), (_, answer) = roundtrip(name, 7, 100_000)
    run = Run((row(name),))
    for direction, payload in roundtrip(name, 6):
        run.feed(direction, payload)
    run.feed(TO_SERVER, asked[:200]).gap(TO_SERVER, 50_000).feed(TO_SERVER, asked[50_200:])
    run.feed(TO_CLIENT, answer[:30]).gap(TO_CLIENT, len(answer) - 30)
    for direction, payload in roundtrip(name, 8):
        run.feed(direction, payload)
    assert told(run) == [("6", 6), ("7", 7), ("8", 8)]


@shapes
def test_after_a_hole_the_next_frames_are_found_inside_a_segment(name: str) -> None:
    """Three questions in a segment that begins in the middle of another; then all answers."""
    pairs = [roundtrip(name, number) for number in range(1, 6)]
    run = Run((row(name),))
    for direction, payload in pairs[0]:
        run.feed(direction, payload)
    cut = pairs[1][0][1]
    run.feed(TO_SERVER, cut[:3]).gap(TO_SERVER, 5)
    run.feed(TO_SERVER, cut[8:] + b"".join(asked for (_, asked), _ in pairs[2:]))
    run.feed(TO_CLIENT, b"".join(answer for _, (_, answer) in pairs[2:]))
    seen = told(run)
    assert [operation for operation, _ in seen] == ["1", "3", "4", "5"]
    if SHAPES[name][0].keyed:  # in order nobody knows how many answers are to come before
        assert [status for _, status in seen] == [1, 3, 4, 5]


@shapes
def test_after_a_hole_one_frame_inside_a_segment_is_no_proof(name: str) -> None:
    pairs = [roundtrip(name, number) for number in range(1, 4)]
    run = Run((row(name),))
    for direction, payload in pairs[0]:
        run.feed(direction, payload)
    cut, last = pairs[1][0][1], pairs[2][0][1]
    run.feed(TO_SERVER, cut[:3]).gap(TO_SERVER, 5).feed(TO_SERVER, cut[8:] + last)
    assert told(run) == [("1", 1)]


def test_mysql_packet_of_16_mb_goes_on_in_the_next_one() -> None:
    run = Run((row("mysql"),))
    run.feed(TO_SERVER, b"\xff\xff\xff\x00" + marked(5).to_bytes(4, "little"))
    for _ in range(0xFFFFFF - 4 >> 16):
        run.feed(TO_SERVER, bytes(65536))
    run.feed(TO_SERVER, bytes((0xFFFFFF - 4) & 0xFFFF) + b"\x03\x00\x00\x01" + b"end")
    run.feed(TO_CLIENT, my_sql(TO_CLIENT, 5, b""))
    assert told(run) == [("5", 5)]


@shapes
def test_length_that_cannot_be_is_an_error_and_the_next_frame_is_read(name: str) -> None:
    run = Run((row(name),))
    for direction, payload in roundtrip(name, 1):
        run.feed(direction, payload)
    broken = {"mysql": bytes(5), "postgresql": b"Q" + bytes(8), "amqp": b"\x01\x00\x01" + b"\xff" * 9}.get(name, bytes(5))
    run.feed(TO_SERVER, broken)
    assert run.reading.errors == {(name, "not this protocol"): 1}
    run.reading.errors.clear()
    for direction, payload in roundtrip(name, 2):
        run.feed(direction, payload)
    assert [one for one in told(run) if one[1] is not None] == [("1", 1), ("2", 2)]


@shapes
def test_others_are_refused(name: str) -> None:
    for other in SHAPES.keys() - {name}:
        run = Run((row(name),))
        for direction, payload in (roundtrip(other, 1)[0], roundtrip(other, 1)[1]):
            run.feed(direction, payload)
        assert run.reading.detected == {}, other
    for text in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)):
        assert Run((row(name),)).feed(TO_SERVER, text).reading.detected == {}


class Vague(Kafka):
    """No frame of it proves anything but that the next one may follow."""

    def proves(self, direction: int, c: Cursor, at: int, size: int, number: int) -> int:
        return PERHAPS


def test_three_frames_that_follow_one_another_are_proof() -> None:
    for count, detected in ((1, {}), (2, {}), (3, {"vague": 1})):
        run = Run((Protocol("vague", "vague", Vague),))
        run.feed(TO_SERVER, b"".join(kafka(TO_SERVER, number, b"\xfe" * 9) for number in range(count)))
        assert run.reading.detected == detected, count
    broken = kafka(TO_SERVER, 1, b"") * 3 + b"\x00\x00\x00\x00"
    assert Run((Protocol("vague", "vague", Vague),)).feed(TO_SERVER, broken).reading.detected == {}


class Grows(Kafka):
    """The fifth byte behind the number says how many more are wanted."""

    def wanted(self, direction: int, c: Cursor, size: int) -> int:
        return 9 if c.end - c.pos < 9 else min(size, 9 + c.u8(c.pos + 8))

    def read(self, direction: int, c: Cursor, size: int, ts_ns: int, out: Message) -> int:
        super().read(direction, c, size, ts_ns, out)
        out.target = c.take(c.pos + 9, c.end).decode()
        return 1


def test_decoder_that_has_seen_what_it_wanted_may_want_more() -> None:
    whole = kafka(TO_SERVER, 1, b"\x05names" + bytes(40))
    for at in range(1, len(whole)):
        run = Run((Protocol("grows", "grows", Grows),)).feed(TO_SERVER, whole[:at]).feed(TO_SERVER, whole[at:])
        assert [one.request.target for one in run.end()] == ["names"], at
