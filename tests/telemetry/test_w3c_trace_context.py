"""W3C's test harness for trace context, case by case and by its names, for somebody who only reads.

github.com/w3c/trace-context, test/test.py: the harness sends a request to a service and looks at the headers that the service
then calls it back with. Here the request goes by, over HTTP/1 and over HTTP/2, and the SERVER span is looked at instead: what
the harness calls inherited is the span's trace and parent, a newly generated trace id is a root, the tracestate is the span's. The
callbacks of the AdvancedTest are the calls of a service that passes the header on.

Of the harness not here, because it is about what is written:
- that the callback's parent-id differs from the caller's: no header is written; that a span's id does is in `inherited`;
- class AdvancedTest asks for another parent-id in each callback: the spans' ids are looked at instead;
- class TraceContext2Test: the randomness of new trace ids is the caller's affair; that the flag is carried is here.

Level 1 cases that Level 2 turned round are here as Level 2 has them (STRICT_LEVEL and SPEC_LEVEL of the harness):
- test_tracestate_duplicated_keys: Level 1 discards; Level 2 (3.3.1.1) lets the receiver keep either, or all;
- test_tracestate_key_illegal_vendor_format, test_tracestate_key_length_limit: Level 2 (3.3.1.3.1) has no vendor part, `@` may stand
  anywhere in a key but at its begin, and a key has up to 256 characters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hpack import Encoder
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver.telemetry.sampling import Sampler
from tests.l7.harness import CLIENT_SIDE, SERVER_SIDE, TO_CLIENT, TO_SERVER
from tests.l7.streams import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, PUSH_PROMISE, SETTINGS, frame
from tests.telemetry.pod import Pod

T = "12345678901234567890123456789012"
P = "1234567890123456"
VALID = ("traceparent", f"00-{T}-{P}-00")

Headers = Sequence[tuple[str, str]]
NONE: Headers = ()
Harness = Callable[..., Span]


def pod() -> Pod:
    """Spans of every request: the harness's tracestate cases have flags 00."""
    return Pod(sampler=Sampler("always_on"))


def over_http1(headers: Headers, trailers: Headers = NONE, answer: Headers = NONE) -> Span:
    """The span of a request with these headers; its body has trailers, as has the answer."""
    here = pod()
    chunked = "".join(f"{name}:{value}\r\n" for name, value in trailers)
    connection = here.begin(SERVER_SIDE, "Transfer-Encoding: chunked\r\n" + lines(headers), "POST /")
    here.feed(connection, TO_SERVER, f"1\r\nx\r\n0\r\n{chunked}\r\n".encode())
    here.feed(connection, TO_CLIENT, f"HTTP/1.1 200 OK\r\n{lines(answer)}Transfer-Encoding: chunked\r\n\r\n".encode())
    here.feed(connection, TO_CLIENT, f"0\r\n{chunked}\r\n".encode())
    (span,) = here.written()
    return span


def lines(headers: Headers) -> str:
    return "".join(f"{name}:{value}\r\n" for name, value in headers)


def over_http2(headers: Headers, trailers: Headers = NONE, answer: Headers = NONE, pushed: Headers = NONE) -> Span:
    """The same on stream 1; names in lower case, as RFC 9113, 8.2.1 wants them. `pushed`: a request that the server promises."""
    here = pod()
    asks, answers = Encoder(), Encoder()

    def block(coder: Encoder, *fields: tuple[str, str]) -> bytes:
        coded: bytes = coder.encode([(name.lower(), value) for name, value in fields])
        return coded

    request = block(asks, (":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a"), *headers)
    sent = PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, request) + frame(DATA, 0, 1, b"x")
    sent += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(asks, ("x-end", "1"), *trailers))
    got = frame(SETTINGS, 0, 0)
    if pushed:
        promise = block(answers, (":method", "GET"), (":scheme", "http"), (":path", "/style"), (":authority", "a"), *pushed)
        got += frame(PUSH_PROMISE, END_HEADERS, 1, (2).to_bytes(4, "big") + promise)
        got += frame(HEADERS, END_HEADERS | END_STREAM, 2, block(answers, (":status", "200"), *pushed))
    got += frame(HEADERS, END_HEADERS, 1, block(answers, (":status", "200"), *answer))
    got += frame(HEADERS, END_HEADERS | END_STREAM, 1, block(answers, ("x-end", "1"), *trailers))
    connection = here.connect(SERVER_SIDE)
    here.feed(connection, TO_SERVER, sent)
    here.feed(connection, TO_CLIENT, got)
    (span,) = here.written()
    return span


@pytest.fixture(params=[over_http1, over_http2], ids=["http1", "http2"])
def harness(request: pytest.FixtureRequest) -> Harness:
    chosen: Harness = request.param
    return chosen


def inherited(span: Span) -> bool:
    """The trace and the parent of the request; else it must be a new trace without a parent."""
    assert span.span_id.hex() != P
    if span.trace_id.hex() == T:
        assert (span.parent_span_id.hex(), span.flags & 0x300) == (P, 0x300)
        return True
    assert (len(span.trace_id), span.parent_span_id, span.flags, span.trace_state) == (16, b"", 3, "")
    return False


def members(span: Span) -> list[str]:
    return str(span.trace_state).split(",") if span.trace_state else []


def traceparent(harness: Harness, value: str) -> bool:
    return inherited(harness([("traceparent", value)]))


def tracestate(harness: Harness, *values: str) -> list[str]:
    """The members that are kept, beside a valid traceparent."""
    span = harness([VALID, *(("tracestate", value) for value in values)])
    assert inherited(span)
    return members(span)


# --- class TraceContextTest ---


def test_both_traceparent_and_tracestate_missing(harness: Harness) -> None:
    assert not inherited(harness([]))


def test_traceparent_included_tracestate_missing(harness: Harness) -> None:
    assert traceparent(harness, f"00-{T}-{P}-01")


def test_traceparent_duplicated(harness: Harness) -> None:
    span = harness([("traceparent", f"00-{T[:-1]}1-{P}-01"), ("traceparent", f"00-{T}-{P}-01")])
    assert not inherited(span)
    assert span.trace_id.hex() != T[:-1] + "1"


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent"])
def test_traceparent_header_name(harness: Harness, name: str) -> None:
    assert not inherited(harness([(name, f"00-{T}-{P}-01")]))


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_traceparent_header_name_valid_casing(harness: Harness, name: str) -> None:
    assert inherited(harness([(name, f"00-{T}-{P}-01")]))


def test_traceparent_version_0x00(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P}-01.")
    assert not traceparent(harness, f"00-{T}-{P}-01-what-the-future-will-be-like")


def test_traceparent_version_0xcc(harness: Harness) -> None:
    assert traceparent(harness, f"cc-{T}-{P}-01")
    assert traceparent(harness, f"cc-{T}-{P}-01-what-the-future-will-be-like")
    assert not traceparent(harness, f"cc-{T}-{P}-01.what-the-future-will-be-like")


def test_traceparent_version_0xff(harness: Harness) -> None:
    assert not traceparent(harness, f"ff-{T}-{P}-01")


def test_traceparent_version_illegal_characters(harness: Harness) -> None:
    assert not traceparent(harness, f".0-{T}-{P}-01")
    assert not traceparent(harness, f"0.-{T}-{P}-01")


def test_traceparent_version_too_long(harness: Harness) -> None:
    assert not traceparent(harness, f"000-{T}-{P}-01")
    assert not traceparent(harness, f"0000-{T}-{P}-01")


def test_traceparent_version_too_short(harness: Harness) -> None:
    assert not traceparent(harness, f"0-{T}-{P}-01")


def test_traceparent_trace_id_all_zero(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{'0' * 32}-{P}-01")


def test_traceparent_trace_id_illegal_characters(harness: Harness) -> None:
    assert not traceparent(harness, f"00-.{T[1:]}-{P}-01")
    assert not traceparent(harness, f"00-{T[:-1]}.-{P}-01")


def test_traceparent_trace_id_too_long(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}3-{P}-01")


def test_traceparent_trace_id_too_short(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T[:-1]}-{P}-01")


def test_traceparent_parent_id_all_zero(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{'0' * 16}-01")


def test_traceparent_parent_id_illegal_characters(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-.{P[1:]}-01")
    assert not traceparent(harness, f"00-{T}-{P[:-1]}.-01")


def test_traceparent_parent_id_too_long(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P}7-01")


def test_traceparent_parent_id_too_short(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P[:-1]}-01")


def test_traceparent_trace_flags_illegal_characters(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P}-.0")
    assert not traceparent(harness, f"00-{T}-{P}-0.")


def test_traceparent_trace_flags_too_long(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P}-001")


def test_traceparent_trace_flags_too_short(harness: Harness) -> None:
    assert not traceparent(harness, f"00-{T}-{P}-1")


@pytest.mark.parametrize(("before", "after"), [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")])
def test_traceparent_ows_handling(harness: Harness, before: str, after: str) -> None:
    assert traceparent(harness, f"{before}00-{T}-{P}-01{after}")


@pytest.mark.parametrize("value", ["foo=1", "foo=1,bar=2"])
def test_tracestate_included_traceparent_missing(harness: Harness, value: str) -> None:
    span = harness([("tracestate", value)])
    assert not inherited(span)
    assert members(span) == []


def test_tracestate_included_traceparent_included(harness: Harness) -> None:
    assert tracestate(harness, "foo=1,bar=2") == ["foo=1", "bar=2"]


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_tracestate_header_name(harness: Harness, name: str) -> None:
    assert members(harness([VALID, (name, "foo=1")])) == []


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_tracestate_header_name_valid_casing(harness: Harness, name: str) -> None:
    assert members(harness([VALID, (name, "foo=1")])) == ["foo=1"]


def test_tracestate_empty_header(harness: Harness) -> None:
    assert tracestate(harness, "") == []
    assert tracestate(harness, "foo=1", "") == ["foo=1"]
    assert tracestate(harness, "", "foo=1") == ["foo=1"]


def test_tracestate_multiple_headers_different_keys(harness: Harness) -> None:
    kept = tracestate(harness, "foo=1,bar=2", "rojo=1,congo=2", "baz=3")
    assert kept == ["foo=1", "bar=2", "rojo=1", "congo=2", "baz=3"]


@pytest.mark.parametrize("values", [["foo=1,foo=1"], ["foo=1,foo=2"], ["foo=1", "foo=1"], ["foo=1", "foo=2"]])
def test_tracestate_duplicated_keys(harness: Harness, values: list[str]) -> None:
    assert tracestate(harness, *values) == ",".join(values).split(",")


KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")


@pytest.mark.parametrize("key", [KEY, KEY + "@a-z0-9_-*/"])
def test_tracestate_all_allowed_characters(harness: Harness, key: str) -> None:
    assert tracestate(harness, f"{key}={VALUE}") == [f"{key}={VALUE}"]


@pytest.mark.parametrize("value", ["foo=1 \t , \t bar=2, \t baz=3", "foo=1\t \t,\t \tbar=2,\t \tbaz=3"])
def test_tracestate_ows_handling_between_members(harness: Harness, value: str) -> None:
    assert tracestate(harness, value) == ["foo=1", "bar=2", "baz=3"]


@pytest.mark.parametrize("value", [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"])
def test_tracestate_ows_handling(harness: Harness, value: str) -> None:
    assert tracestate(harness, value) == ["foo=1"]


@pytest.mark.parametrize("value", ["foo =1", "FOO=1", "foo.bar=1"])
def test_tracestate_key_illegal_characters(harness: Harness, value: str) -> None:
    assert tracestate(harness, value) == []


def test_tracestate_key_illegal_vendor_format(harness: Harness) -> None:
    assert tracestate(harness, "@foo=1,bar=2") == []
    for key in ("foo@", "foo@@bar", "foo@bar@baz"):  # illegal in Level 1
        assert tracestate(harness, f"{key}=1,bar=2") == [f"{key}=1", "bar=2"]


BARS = [
    ",".join(f"bar{i:02}={i:02}" for i in range(1, 11)),
    ",".join(f"bar{i:02}={i:02}" for i in range(11, 21)),
    ",".join(f"bar{i:02}={i:02}" for i in range(21, 31)),
]


def test_tracestate_member_count_limit(harness: Harness) -> None:
    assert len(tracestate(harness, *BARS, "bar31=31,bar32=32")) == 32
    assert tracestate(harness, *BARS, "bar31=31,bar32=32,bar33=33") == []


def test_tracestate_key_length_limit(harness: Harness) -> None:
    assert tracestate(harness, "foo=1", "z" * 256 + "=1") == ["foo=1", "z" * 256 + "=1"]
    assert tracestate(harness, "foo=1", "z" * 257 + "=1") == []
    assert tracestate(harness, "foo=1", "t" * 241 + "@" + "v" * 14 + "=1")[0] == "foo=1"
    for key in ("t" * 242 + "@v", "t@" + "v" * 15):  # illegal in Level 1
        assert tracestate(harness, "foo=1", f"{key}=1") == ["foo=1", f"{key}=1"]


@pytest.mark.parametrize("value", ["foo=bar=baz", "foo=,bar=3"])
def test_tracestate_value_illegal_characters(harness: Harness, value: str) -> None:
    assert tracestate(harness, value) == []


# --- class AdvancedTest ---


def callbacks(header: str) -> tuple[Span, list[Span]]:
    """The span of a request, and those of three calls that its service makes meanwhile with the same header."""
    here = pod()
    inbound = here.begin(SERVER_SIDE, header)
    calls = [span for _ in range(3) for span in here.call(CLIENT_SIDE, header)]
    return here.answer(inbound), calls


def test_multiple_requests_with_valid_traceparent() -> None:
    span, calls = callbacks(f"traceparent: 00-{T}-{P}-01\r\n")
    assert [call.trace_id.hex() for call in calls] == [T, T, T]
    assert {call.parent_span_id for call in calls} == {span.span_id}
    assert len({call.span_id for call in [span, *calls]}) == 4


def test_multiple_requests_without_traceparent() -> None:
    span, calls = callbacks("")
    assert len({call.span_id for call in [span, *calls]}) == 4


def test_multiple_requests_with_illegal_traceparent() -> None:
    span, calls = callbacks(f"traceparent: 00-{'0' * 32}-{P}-01\r\n")
    assert not [call for call in [span, *calls] if call.trace_id == bytes(16) or call.parent_span_id]
    assert len({call.span_id for call in [span, *calls]}) == 4


# --- class TraceContext2Test ---


@pytest.mark.parametrize("flags", [2, 3])
def test_propagates_random_flag(harness: Harness, flags: int) -> None:
    assert harness([("traceparent", f"00-{T}-{P}-{flags:02x}")]).flags & 0xFF == flags


# --- a context is of a request's head: anywhere else it is nothing, and what it repeats stands ---

OTHER = [("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("tracestate", "other=1")]
HERE = [("traceparent", f"00-{T}-{P}-01"), ("tracestate", "foo=1")]


@pytest.mark.parametrize("repeated", [HERE, OTHER], ids=["same", "other"])
def test_in_a_trailer_it_is_ignored(harness: Harness, repeated: Headers) -> None:
    assert not inherited(harness([], trailers=repeated))
    span = harness(HERE, trailers=repeated)
    assert inherited(span)
    assert members(span) == ["foo=1"]


@pytest.mark.parametrize("repeated", [HERE, OTHER], ids=["same", "other"])
def test_in_a_response_it_is_ignored(harness: Harness, repeated: Headers) -> None:
    assert not inherited(harness([], answer=repeated))
    span = harness(HERE, answer=repeated)
    assert inherited(span)
    assert members(span) == ["foo=1"]


@pytest.mark.parametrize("repeated", [HERE, OTHER], ids=["same", "other"])
def test_in_a_push_it_is_ignored(repeated: Headers) -> None:
    assert not inherited(over_http2([], pushed=repeated))
    span = over_http2(HERE, pushed=repeated)
    assert inherited(span)
    assert members(span) == ["foo=1"]
