"""When a request has waited too long: a timeout after the last byte that was seen of it, be it read or passed over, and of what
stands before it; and it ended when its time was up, whenever that was noticed."""

from __future__ import annotations

from collections.abc import Iterator

import dns.message
import pytest

from receiver.l7.registry import PROTOCOLS
from receiver.wire.records import OUTCOMES
from tests.l7.harness import TO_CLIENT, TO_SERVER, Run, Seen
from tests.l7.streams import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, Talk, frame

SECOND = 1_000_000_000
LOST = OUTCOMES.index("lost")
HTTP_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def trickle(run: Run, direction: int, payload: bytes, seconds: int = 45) -> None:
    """A piece a second, each before the sweep of its second."""
    step = -(-len(payload) // seconds)
    for at in range(0, len(payload), step):
        run.feed(direction, payload[at : at + step], run.ts_ns + SECOND)
        run.conversation.expire(run.ts_ns + SECOND // 2)


def silence(run: Run, seconds: float) -> None:
    run.ts_ns += round(seconds * SECOND)
    run.conversation.expire(run.ts_ns)


def outcomes(seen: list[Seen]) -> list[tuple[str, object]]:
    return [(one.outcome, one["status"]) for one in seen]


def grpc_head(talk: Talk) -> bytes:
    fields = ((":method", "POST"), (":scheme", "http"), (":path", "/lab.Lab/Put"), ("content-type", "application/grpc"))
    return frame(HEADERS, END_HEADERS, 1, talk.block(TO_SERVER, *fields))


def http2_head(talk: Talk) -> bytes:
    fields = ((":method", "PUT"), (":scheme", "http"), (":path", "/"), (":authority", "a.test"))
    return frame(HEADERS, END_HEADERS, 1, talk.block(TO_SERVER, *fields))


def uploads() -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """A request's beginning, what is passed over of it, and the answer: of each protocol and framing."""
    body = b"x" * 4500
    put = b"PUT /a HTTP/1.1\r\nHost: a.test\r\n"
    yield "content-length", put + b"Content-Length: 4500\r\n\r\n", body, HTTP_OK
    yield "one chunk", put + b"Transfer-Encoding: chunked\r\n\r\n1194\r\n", body + b"\r\n0\r\n\r\n", HTTP_OK
    yield "a chunk's own head", put + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 90 + b"\r\nx\r\n0\r\n\r\n", HTTP_OK
    yield "trailers", put + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"a: b\r\n" * 15 + b"\r\n", HTTP_OK
    talk = Talk(opened=False)
    opening = PREFACE + frame(SETTINGS, 0, 0)
    answer = frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(TO_CLIENT, (":status", "200")))
    yield "http2, one frame", opening + http2_head(talk), frame(DATA, END_STREAM, 1, body), answer
    many = frame(DATA, 0, 1, body[:90]) * 50 + frame(DATA, END_STREAM, 1)
    talk = Talk(opened=False)
    yield "http2, many frames", opening + http2_head(talk), many, answer
    talk = Talk(opened=False)
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    fields = ((":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0"))
    trailers_only = frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, talk.block(TO_CLIENT, *fields))
    yield "grpc, one message", opening + grpc_head(talk), frame(DATA, END_STREAM, 1, message), trailers_only
    yield "redis", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4500\r\n", body + b"\r\n", b"+OK\r\n"
    asked = dns.message.make_query("a.test", "A", id=7)
    long = asked.to_wire() + b"\x00" * 30_000  # what follows a message inside its length is passed over
    reply = dns.message.make_response(asked).to_wire()
    yield "dns", len(long).to_bytes(2, "big") + long[:17_000], long[17_000:], len(reply).to_bytes(2, "big") + reply


UPLOADS = list(uploads())


@pytest.mark.parametrize(("head", "rest", "answer"), [each[1:] for each in UPLOADS], ids=[each[0] for each in UPLOADS])
def test_request_that_is_still_being_sent_does_not_time_out(head: bytes, rest: bytes, answer: bytes) -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, head)
    silence(run, 29)
    trickle(run, TO_SERVER, rest)
    silence(run, 29)
    run.feed(TO_CLIENT, answer)
    assert [one.outcome for one in run.end()] == ["ok"]
    assert run.pairing.unmatched == 0 and not run.reading.errors


@pytest.mark.parametrize(("head", "rest"), [each[1:3] for each in UPLOADS], ids=[each[0] for each in UPLOADS])
def test_request_that_stops_half_way_ends_a_timeout_after_its_last_byte(head: bytes, rest: bytes) -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, head)
    trickle(run, TO_SERVER, rest[: len(rest) // 2])
    last_ns = run.ts_ns
    silence(run, 29.9)
    assert run.seen == []
    silence(run, 86_400)
    (seen,) = run.seen
    assert seen.outcome == "timeout" and seen.end_ns == last_ns + 30 * SECOND
    assert seen.times[1] == last_ns
    run.end()


def test_size_of_what_was_broken_off_is_what_came() -> None:
    head = UPLOADS[0][1]
    for finish in (lambda run: run.end(LOST), lambda run: run.gap(TO_SERVER, 0).end(LOST)):
        run = Run(PROTOCOLS).feed(TO_SERVER, head)
        trickle(run, TO_SERVER, b"x" * 1000)
        (seen,) = finish(run)
        assert seen.sizes == (len(head) + 1000,)


DOWNLOADS = {
    "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 4500\r\n\r\n", b"x" * 4500),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1194\r\n", b"x" * 4500 + b"\r\n0\r\n\r\n"),
    "head": (b"", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 90 + b"\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_what_stands_behind_an_answer_that_comes_slowly_is_not_timed_out(kind: str) -> None:
    """Its server cannot answer it before (RFC 9112, 9.3.2)."""
    head, rest = DOWNLOADS[kind]
    get = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, get + get)
    if head:
        run.feed(TO_CLIENT, head)
    trickle(run, TO_CLIENT, rest)
    silence(run, 10)
    run.feed(TO_CLIENT, HTTP_OK)
    assert outcomes(run.end()) == [("ok", 200), ("ok", 200)]


def test_what_stands_behind_a_value_that_comes_slowly_is_not_timed_out() -> None:
    run = Run(PROTOCOLS).feed(TO_SERVER, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n" * 2).feed(TO_CLIENT, b"$4500\r\n")
    trickle(run, TO_CLIENT, b"x" * 4500 + b"\r\n")
    run.feed(TO_CLIENT, b"$-1\r\n")
    assert [one.outcome for one in run.end()] == ["ok", "ok"]


def test_answers_that_stop_leave_what_stands_behind_a_timeout() -> None:
    get = b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n"
    run = Run(PROTOCOLS).feed(TO_SERVER, get * 3)
    run.feed(TO_CLIENT, HTTP_OK + DOWNLOADS["content-length"][0])
    trickle(run, TO_CLIENT, b"x" * 100)
    last_ns = run.ts_ns
    silence(run, 1000)
    assert [(one.outcome, one.end_ns) for one in run.seen[1:]] == [("timeout", last_ns + 30 * SECOND)]
    run.end()


def test_another_stream_s_bytes_keep_nobody_waiting() -> None:
    """HTTP/2: what comes of one stream says nothing of the others."""
    talk = Talk()
    talk.request(1).request(3, ends=False)
    asked_ns = talk.run.ts_ns - 1_000_000
    talk.say(TO_SERVER, frame(DATA, 0, 3, b"x" * 4500)[:9])
    trickle(talk.run, TO_SERVER, b"x" * 4000)
    assert [(one.outcome, one.end_ns) for one in talk.run.seen] == [("timeout", asked_ns + 30 * SECOND)]
    talk.end()


def test_timeout_that_is_noticed_late_ended_when_its_time_was_up() -> None:
    for asked in (b"GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n", UPLOADS[4][1] + frame(DATA, END_STREAM, 1)):
        run = Run(PROTOCOLS).feed(TO_SERVER, asked)
        asked_ns = run.ts_ns
        silence(run, 86_400)
        assert [(one.outcome, one.end_ns - asked_ns) for one in run.seen] == [("timeout", 30 * SECOND)]
        run.end()
