"""Attacks on HTTP/2 by name: each goes on for as long as it likes, and takes no more memory for it; what was dropped is counted.

CVE-2019-9511 to 9518 (floods of small frames), CVE-2016-6581 (HPACK bomb), CVE-2023-44487 (rapid reset), CVE-2024-27316 and others
(CONTINUATION flood).
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from tests.l7.harness import COMPILED, TO_CLIENT, TO_SERVER
from tests.l7.streams import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Talk,
    frame,
)

ROUNDS = 3000 if COMPILED else 300
GROWTH_MAX = 300_000 if COMPILED else 400_000  # bytes; what ROUNDS rounds send is ten times that and more
REQUEST = b"\x82\x84\x86"  # GET / http
OK = b"\x88"  # 200

Piece = tuple[int, bytes]
Attack = Callable[[int], Iterator[Piece]]


def settings_churn(n: int) -> Iterator[Piece]:
    """New settings all the time, and header blocks that follow them: the table from nothing to 4 KiB and back."""
    size = n * 613 % 4097
    yield TO_SERVER, frame(SETTINGS, 0, 0, b"\0\1" + size.to_bytes(4, "big") + b"\0\5\0\0\x40\0" * 9) + frame(SETTINGS, 1, 0)
    update = b"\x3f" + bytes(((size - 31) & 0x7F | 0x80, (size - 31) >> 7)) if size >= 31 else bytes((0x20 | size,))
    block = update + REQUEST + b"\x40\x03new" + bytes((20,)) + b"%020d" % n
    yield TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block)
    yield TO_CLIENT, frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") + frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, OK)


def rapid_reset(n: int) -> Iterator[Piece]:
    opened = frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, REQUEST)
    yield TO_SERVER, (opened + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08"))


def streams_without_end(n: int) -> Iterator[Piece]:
    """Requests that are never answered, on streams up to the last one there is, 2^31 - 1."""
    yield TO_SERVER, frame(HEADERS, END_HEADERS, 2**31 - 1 - 2 * n, REQUEST)


def data_of_nowhere(n: int) -> Iterator[Piece]:
    """On streams that nobody opened, the reserved bit set."""
    yield n & 1, frame(DATA, 0, 2**31 + (n * 7919 & 0x7FFF_FFFF | 1), b"x") + frame(RST_STREAM, 0, 2**32 - 1 - 2 * n, bytes(4))


def answers_to_nothing(n: int) -> Iterator[Piece]:
    yield TO_CLIENT, frame(HEADERS, END_HEADERS, 2 * n + 1, OK)


def one_byte_frames(n: int) -> Iterator[Piece]:
    if n == 0:
        yield TO_SERVER, frame(HEADERS, END_HEADERS, 1, REQUEST)
    yield TO_SERVER, (frame(DATA, 0, 1, b"x") + frame(DATA, 0, 1)) * 20


def one_byte_segments(n: int) -> Iterator[Piece]:
    whole = frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, REQUEST)
    for i in range(len(whole)):
        yield TO_SERVER, whole[i : i + 1]
    yield TO_CLIENT, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, OK)


def control_frames(n: int) -> Iterator[Piece]:
    """Ping flood, priority churn, window updates, frames that are not known."""
    some = frame(PING, 0, 0, n.to_bytes(8, "big")) + frame(PRIORITY, 0, 2 * n + 1, bytes(5))
    yield n & 1, (some + frame(WINDOW_UPDATE, 0, 2 * n + 1, bytes(4)) + frame(0xEE, 0xFF, n, b"z" * 500)) * 4


def continuation_flood(n: int) -> Iterator[Piece]:
    if n == 0:
        yield TO_SERVER, frame(HEADERS, END_STREAM, 1, REQUEST)
    yield TO_SERVER, frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 200)


def empty_continuations(n: int) -> Iterator[Piece]:
    if n == 0:
        yield TO_SERVER, frame(HEADERS, END_STREAM, 1, REQUEST)
    yield TO_SERVER, frame(CONTINUATION, 0, 1) * 100


def header_bomb(n: int) -> Iterator[Piece]:
    """One entry of 4 KB, then a thousand references to it: 2 bytes on the wire are 8 KB."""
    entry = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000 if n == 0 else b""
    yield TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, REQUEST + entry + b"\xbe" * 1000)
    yield TO_CLIENT, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, OK)


def table_churn(n: int) -> Iterator[Piece]:
    """Every block fills the table anew, with entries that nobody refers to."""
    entries = b"".join(b"\x40\x08" + b"%08d" % (n * 40 + i) + b"\x50" + b"v" * 80 for i in range(40))
    yield TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, REQUEST + entries)
    yield TO_CLIENT, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, OK)


def push_flood(n: int) -> Iterator[Piece]:
    if n == 0:
        yield TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 1, REQUEST)
    yield TO_CLIENT, frame(PUSH_PROMISE, END_HEADERS, 1, (2 * n + 2).to_bytes(4, "big") + REQUEST) * 10


def goaway_again(n: int) -> Iterator[Piece]:
    yield TO_SERVER, b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 2 * (9 * n + i) + 1, REQUEST) for i in range(9))
    yield TO_CLIENT, frame(GOAWAY, 0, 0, bytes(8) + b"debug" * 8)


def half_a_message(n: int) -> Iterator[Piece]:
    """gRPC messages that say that they are 4 GiB long, one on each stream, and their first bytes."""
    head = b"\x83\x84\x86\x0f\x10\x10application/grpc"
    yield TO_SERVER, frame(HEADERS, END_HEADERS, 2 * n + 1, head) + frame(DATA, 0, 2 * n + 1, b"\0\xff\xff\xff\xffx")
    yield TO_SERVER, frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08")


# What is counted, for the attacks that reach a limit; requests that are not kept are counted by the matcher.
ATTACKS: dict[Attack, str] = {
    settings_churn: "",
    rapid_reset: "",
    streams_without_end: "http2_streams",
    data_of_nowhere: "",
    answers_to_nothing: "unmatched",
    one_byte_frames: "",
    one_byte_segments: "",
    control_frames: "",
    continuation_flood: "http2_header_block",
    empty_continuations: "",
    header_bomb: "http2_header_list",
    table_churn: "",
    push_flood: "",
    goaway_again: "",
    half_a_message: "",
}


def feed(talk: Talk, attack: Attack, rounds: range) -> None:
    for n in rounds:
        for direction, payload in attack(n):
            talk.run.feed(direction, payload)
        talk.run.seen.clear()  # the test's own memory


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: str(attack.__name__))
def test_attack_takes_no_memory_and_is_counted(attack: Attack) -> None:
    talk = Talk()
    rounds = max(ROUNDS, 2200) if attack is streams_without_end else ROUNDS  # twice the limit of 1 024 and more
    feed(talk, attack, range(rounds // 2))  # tables are as large as they get
    tracemalloc.start()
    try:
        feed(talk, attack, range(rounds // 2, rounds))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < GROWTH_MAX
    assert talk.errors() == []
    limit = ATTACKS[attack]
    if attack in (continuation_flood, empty_continuations):
        talk.run.feed(TO_SERVER, frame(CONTINUATION, END_HEADERS, 1))
    if limit == "unmatched":
        assert talk.run.pairing.unmatched == ROUNDS
    else:
        assert bool(talk.run.reading.limits) == bool(limit)
        assert talk.run.reading.limits.keys() <= {limit}
    # Whoever else speaks on this connection is still understood.
    if attack not in (goaway_again, streams_without_end):
        talk.run.seen.clear()
        talk.run.feed(TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 2**31 - 1, b"\x82\x86\x04\x05/last"))
        talk.run.feed(TO_CLIENT, frame(HEADERS, END_HEADERS | END_STREAM, 2**31 - 1, OK))
        assert [(one["url.path"], one["status"]) for one in talk.run.seen] == [("/last", 200)]
