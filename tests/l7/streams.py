"""The harness for protocols whose messages are interleaved and whose fields may stay unknown (HTTP/2, gRPC).

The same feeds as in `harness.py`. What differs: a field that refers to a table entry lost in a hole, or older than the join, is
absent, so a roundtrip is true when all that it says is true; and order is asked of each stream, not of the connection. A pair is
told as `ok` only where the truth is `ok`, as `error` only where it is an error, of whatever protocol; all else is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from hpack import Encoder

from receiver.config import Http, PcapReceiver
from receiver.l7.http import HttpSettings
from receiver.l7.http2 import Http2Settings
from receiver.l7.registry import protocols
from receiver.l7.shared import Shared
from receiver.wire.records import Protocol
from tests.l7.harness import (
    CLIENT_SIDE,
    SERVER_SIDE,
    TO_CLIENT,
    TO_SERVER,
    Run,
    Said,
    Seen,
    Start,
    Vector,
    contents,
    damages,
    feed_bytewise,
    feed_every_split,
    feed_joined,
    feed_recorded,
    feed_released,
    feed_truncations,
    feed_whole,
    feed_with_gap,
    feed_with_trailing,
)

ROWS = protocols(Shared(PcapReceiver(http=Http(headers=("x-id",)))))
HTTP2_ROW = next(row for row in ROWS if row.name == "http2")
GRPC_ROW = next(row for row in ROWS if row.name == "grpc")
UNKNOWN = (None, "_OTHER")


def run(**more: Any) -> Run:
    return Run(ROWS, **more)


def check_vector(vector: Vector) -> None:
    truth = feed_recorded(run, vector)
    check_expected(vector, truth)
    # A deadline is told by time, and joined events have the first one's.
    whole = feed_whole(run, vector)
    if not any(seen["status"] == "DEADLINE_EXCEEDED" for seen in truth):
        assert contents(whole) == contents(truth)
    assert feed_bytewise(run, vector) == truth
    assert feed_released(run, vector) == (truth, []), "a connection keeps its reader (ADR 11)"
    for where, seen in feed_every_split(run, vector):
        assert seen == truth, where
    check_trailing(run, vector, truth)
    for where, before, after in feed_truncations(run, vector):
        assert before == truth[: len(before)], where
        check_true(after, truth, where)
    # A hole in the middle of a large body is like the next one.
    step = 1 + sum(len(event.payload or b"") for event in vector.events) // 8000
    for damage in islice(damages(vector), 0, None, step):
        check_true(feed_with_gap(run, vector, damage), truth, damage)
    for vantage in (SERVER_SIDE, CLIENT_SIDE):  # what is an error is more to a client
        truth = feed_recorded(partial(run, vantage=vantage), vector)
        for index in range(1, len(vector.events)):
            check_true(feed_joined(partial(run, from_start=False, vantage=vantage), vector, index), truth, index)


def check_expected(vector: Vector, truth: Sequence[Seen]) -> None:
    names = [list(wanted) for wanted in vector.expected]
    said = [{name: seen[name] for name in wanted} for seen, wanted in zip(truth, names, strict=False)]
    wanted = [dict(one) for one in vector.expected]
    if vector.about.get("order") == "any":
        assert in_order(said) == in_order(wanted)
    else:
        assert said == wanted[: len(said)]
    assert len(truth) == len(wanted), f"{len(truth)} roundtrips, {len(wanted)} expected"


def in_order(ones: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    return sorted([f"{name}={value!r}" for name, value in sorted(one.items())] for one in ones)


def check_trailing(start: Start, vector: Vector, truth: Sequence[Seen]) -> None:
    first = {d: next((e.payload for e in vector.events if e.direction == d and e.payload), b"") for d in (0, 1)}
    for direction in (TO_SERVER, TO_CLIENT):
        for tail in (first[direction][:1], first[direction][: len(first[direction]) // 2], b"\x00\x01\xfe\xff" * 4):
            assert feed_with_trailing(start, vector, tail, direction)[: len(truth)] == truth, (direction, tail)


def check_true(seen: Iterable[Seen], truth: Sequence[Seen], where: object) -> None:
    """Each roundtrip is one that was there, in all that it says; none is there twice."""
    left = list(truth)
    for one in seen:
        began = [whole for whole in left if whole.times[0] == one.times[0]]
        match = next((whole for whole in began if is_part(one, whole)), None)
        assert match is not None, (where, one, began)
        left.remove(match)


def is_part(one: Seen, whole: Seen) -> bool:
    if not agrees(one.request, whole.request):
        return False
    if one.paired and one.outcome not in (whole.outcome, "unknown"):
        return False
    told = (one.protocol, whole.protocol)
    if told == ("http2", "grpc"):
        return True  # a call of which nothing that could be read said that it is gRPC is told as the HTTP that it is as well
    if not one.paired:
        return told[0] == told[1] or told == ("http", "http2")  # before the upgrade was seen
    if told[0] != told[1]:
        return False
    if one.response is None or whole.response is None:
        return one.response is whole.response
    return agrees(one.response, whole.response)


def agrees(part: Said, whole: Said) -> bool:
    """Whether all that `part` says is so; what nobody could know it leaves out. Counts of what was lost are not asked for."""
    for name in ("operation", "namespace", "version", "status", "error_type", "server_address", "trace_id", "tracestate"):
        value = getattr(part, name)
        if name == "operation" and (value == "POST" or whole.operation == "_OTHER"):
            # The method of HTTP, where a gRPC call did not say what it is; the gRPC one, where the client's cancellation is lost
            # and the server's own end is seen.
            continue
        if value not in UNKNOWN and value != getattr(whole, name):
            return False
    return neutral(part) <= neutral(whole)


def neutral(said: Said) -> set[tuple[str, Any]]:
    """The attributes without counts; a header by its own name alone."""
    kept = [pair for pair in said.attributes if not pair[0].endswith((".size", ".messages"))]
    return {(name.rpartition(".")[2], value) for name, value in kept}


def rows_with(settings: HttpSettings) -> tuple[Protocol, ...]:
    """The rows of HTTP/2 and gRPC, read with these settings."""
    from receiver.l7.http2 import Http2Decoder

    http2 = Http2Settings(settings)
    plain = Protocol("http2", "http", partial(Http2Decoder, http2))
    grpc = Protocol("grpc", "grpc", partial(Http2Decoder, http2), probed=False)
    http2.name_rows(plain, grpc)
    return (ROWS[0], plain, grpc)


# --- frames by hand ---

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x8, 0x20


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Talk:
    """A connection spoken by hand; headers are coded by the hpack library, one encoder a side."""

    def __init__(self, on: Run | None = None, opened: bool = True) -> None:
        self.run = on if on is not None else run()
        self.coders = {TO_SERVER: Encoder(), TO_CLIENT: Encoder()}
        if opened:
            self.say(TO_SERVER, PREFACE + frame(SETTINGS, 0, 0))
            self.say(TO_CLIENT, frame(SETTINGS, 0, 0))

    def say(self, direction: int, payload: bytes) -> Talk:
        self.run.feed(direction, payload, self.run.ts_ns + 1_000_000)
        return self

    def block(self, direction: int, *fields: tuple[str, str]) -> bytes:
        coded: bytes = self.coders[direction].encode(list(fields))
        return coded

    def request(self, stream: int, *more: tuple[str, str], ends: bool = True, **pseudo: str) -> Talk:
        named = {"method": "GET", "scheme": "http", "path": "/", "authority": "a.test", **pseudo}
        fields = [(":" + name, value) for name, value in named.items() if value]
        block = self.block(TO_SERVER, *fields, *more)
        return self.say(TO_SERVER, frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block))

    def answer(self, stream: int, status: str, *more: tuple[str, str], ends: bool = True) -> Talk:
        block = self.block(TO_CLIENT, (":status", status), *more)
        return self.say(TO_CLIENT, frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block))

    def trailers(self, direction: int, stream: int, *fields: tuple[str, str]) -> Talk:
        return self.say(direction, frame(HEADERS, END_HEADERS | END_STREAM, stream, self.block(direction, *fields)))

    def data(self, direction: int, stream: int, payload: bytes, ends: bool = True) -> Talk:
        return self.say(direction, frame(DATA, END_STREAM if ends else 0, stream, payload))

    def call(self, stream: int, path: str = "/lab.Lab/Echo", *more: tuple[str, str], ends: bool = False) -> Talk:
        """A gRPC request's head."""
        grpc = (("content-type", "application/grpc"), ("te", "trailers"))
        return self.request(stream, *grpc, *more, ends=ends, method="POST", path=path)

    def end(self) -> list[Seen]:
        return self.run.end()

    def one(self) -> Seen:
        seen = self.end()
        assert len(seen) == 1, seen
        return seen[0]

    def errors(self) -> list[str]:
        return [what for _, what in self.run.reading.errors]
