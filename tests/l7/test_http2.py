"""HTTP/2: vectors from real peers through the harness, then each rule of RFC 9113 and each attack by name."""

from __future__ import annotations

import random

import pytest

from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.http import HttpSettings
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.trust import Trust
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities
from receiver.wire.records import Protocol
from tests.l7.harness import TO_CLIENT, TO_SERVER, Pair, Run, Seen, Vector, feed_recorded, load_all
from tests.l7.streams import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GRPC_ROW,
    HEADERS,
    HTTP2_ROW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    ROWS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Talk,
    check_vector,
    frame,
    rows_with,
    run,
)

VECTORS = [vector for vector in load_all("http2") if "grpc" not in vector.name]
CANCEL = (8).to_bytes(4, "big")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def answered(seen: list[Seen]) -> list[tuple[str, str | None, object]]:
    return [(one.outcome, one["url.path"], one["status"]) for one in seen]


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector_breaks_no_rule(vector: Vector) -> None:
    running = run()
    feed_recorded(lambda: running, vector)
    assert running.reading.errors == {} and running.reading.limits == {} and running.reading.bytes_set_aside == 0


# --- streams ---


def test_interleaved_streams_keep_their_own_sizes() -> None:
    talk = Talk().request(1, path="/a").request(3, path="/b")
    talk.answer(1, "200", ends=False).answer(3, "404", ends=False)
    whole = frame(DATA, 0, 1, b"x" * 700) + frame(DATA, 0, 3, b"y" * 50) + frame(DATA, END_STREAM, 1, b"z" * 300)
    for i in range(0, len(whole), 97):  # no piece ends where a frame does
        talk.say(TO_CLIENT, whole[i : i + 97])
    talk.data(TO_CLIENT, 3, b"")
    seen = talk.end()
    assert answered(seen) == [("ok", "/a", 200), ("ok", "/b", 404)]
    assert [one["http.response.body.size"] for one in seen] == [1000, 50]
    heads = [sum(one.sizes[1:]) - size for one, size in zip(seen, (1000, 50), strict=True)]
    assert heads == [9 * 3 + len(b"\x88"), 9 * 3 + len(b"\x8d")]


def test_answer_before_the_requests_end_pairs_and_the_rest_changes_nothing() -> None:
    talk = Talk().request(1, method="POST", ends=False).answer(1, "413").data(TO_SERVER, 1, b"late" * 9)
    assert answered(talk.end()) == [("ok", "/", 413)]


def test_interim_answers_are_not_the_answer() -> None:
    talk = Talk().request(1).answer(1, "100", ends=False).answer(1, "103", ("link", "</a>"), ends=False)
    assert answered(talk.answer(1, "204").end()) == [("ok", "/", 204)]


def test_trailers_end_a_message_and_their_trace_context_is_none() -> None:
    talk = Talk().request(1, method="POST", ends=False).data(TO_SERVER, 1, b"abc", ends=False)
    talk.trailers(TO_SERVER, 1, ("traceparent", TRACEPARENT)).answer(1, "200", ("traceparent", TRACEPARENT), ends=False)
    seen = talk.trailers(TO_CLIENT, 1, ("traceparent", TRACEPARENT)).one()
    assert seen.request.trace_id is None and seen["http.request.body.size"] == 3 and seen["status"] == 200


def test_trace_context_of_a_request_is_read() -> None:
    talk = Talk().request(1, ("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2"))
    said = talk.answer(1, "200").one().request
    assert said.trace_id is not None and said.parent_id is not None
    assert (said.trace_id.hex(), said.parent_id.hex()) == tuple(TRACEPARENT.split("-")[1:3])
    assert (said.trace_flags, said.tracestate) == (1, b"a=1,b=2")


def test_repeated_traceparent_is_none() -> None:
    talk = Talk().request(1, ("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT))
    assert talk.answer(1, "200").one().request.trace_id is None


def test_pushed_stream_is_no_request_of_the_client() -> None:
    talk = Talk().request(1, path="/a")
    pushed = talk.block(TO_CLIENT, (":method", "GET"), (":path", "/pushed"), ("traceparent", TRACEPARENT), ("x-new", "entry"))
    talk.say(TO_CLIENT, frame(PUSH_PROMISE, END_HEADERS, 1, (2).to_bytes(4, "big") + pushed))
    talk.answer(2, "200", ("x-new", "entry"), ends=False).data(TO_CLIENT, 2, b"style")
    seen = talk.answer(1, "200", ("x-new", "entry")).one()
    assert answered([seen]) == [("ok", "/a", 200)] and seen.request.trace_id is None and talk.errors() == []
    assert talk.run.pairing.unmatched == 0


@pytest.mark.parametrize("stream", [1, 3, 77, 2**31 - 1])
def test_stream_ids_may_be_any(stream: int) -> None:
    assert answered(Talk().request(stream).answer(stream, "200").end()) == [("ok", "/", 200)]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "NO_ERROR"),
        (1, "PROTOCOL_ERROR"),
        (7, "REFUSED_STREAM"),
        (8, "CANCEL"),
        (13, "HTTP_1_1_REQUIRED"),
        (14, "_OTHER"),
        (2**32 - 1, "_OTHER"),
    ],
)
@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_reset_is_the_answer(code: int, name: str, direction: int) -> None:
    seen = Talk().request(1).say(direction, frame(RST_STREAM, 0, 1, code.to_bytes(4, "big"))).one()
    assert (seen.outcome, seen["error_type"], seen["status"]) == ("error", name, None)


def test_reset_during_the_answer_keeps_its_status() -> None:
    talk = Talk().request(1).answer(1, "200", ends=False).data(TO_CLIENT, 1, b"part", ends=False)
    seen = talk.say(TO_SERVER, frame(RST_STREAM, 0, 1, CANCEL)).one()
    assert (seen.outcome, seen["error_type"], seen["status"], seen["http.response.body.size"]) == ("error", "CANCEL", 200, 4)


def test_reset_after_a_whole_answer_changes_nothing() -> None:
    talk = Talk().request(1, method="POST", ends=False).answer(1, "200").say(TO_CLIENT, frame(RST_STREAM, 0, 1, bytes(4)))
    assert answered(talk.end()) == [("ok", "/", 200)]


def test_goaway_ends_the_streams_that_the_server_will_not_answer() -> None:
    talk = Talk()
    for stream in (1, 3, 5, 7):
        talk.request(stream, path=f"/{stream}")
    talk.say(TO_CLIENT, frame(GOAWAY, 0, 0, (3).to_bytes(4, "big") + (11).to_bytes(4, "big") + b"debug"))
    talk.request(9, path="/9")  # was on its way
    talk.answer(1, "200").answer(3, "200")
    seen = sorted(talk.end(), key=lambda one: one["url.path"])
    assert [(one["url.path"], one["status"], one["error_type"]) for one in seen] == [
        ("/1", 200, None),
        ("/3", 200, None),
        ("/5", None, "ENHANCE_YOUR_CALM"),
        ("/7", None, "ENHANCE_YOUR_CALM"),
        ("/9", None, "ENHANCE_YOUR_CALM"),
    ]


def test_goaway_without_an_error_refuses_what_lies_beyond() -> None:
    talk = Talk().request(1, path="/a").request(3, path="/b")
    talk.say(TO_CLIENT, frame(GOAWAY, 0, 0, (2**31 - 1).to_bytes(4, "big") + bytes(4)))  # a first warning ends nothing
    assert talk.run.seen == []
    talk.say(TO_CLIENT, frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))).answer(1, "200")
    assert [(one["url.path"], one["error_type"]) for one in talk.end()] == [("/b", "REFUSED_STREAM"), ("/a", None)]


def test_goaway_of_a_client_ends_nothing() -> None:
    talk = Talk().request(1).say(TO_SERVER, frame(GOAWAY, 0, 0, bytes(8))).answer(1, "200")
    assert answered(talk.end()) == [("ok", "/", 200)]


def test_connect_ends_with_its_headers() -> None:
    talk = Talk().request(1, method="CONNECT", scheme="", path="", authority="in.test:443", ends=False).answer(1, "200", ends=False)
    assert len(talk.run.seen) == 1
    seen = talk.data(TO_SERVER, 1, b"tunnelled").data(TO_CLIENT, 1, b"too").one()
    assert (seen["operation"], seen["server_address"], seen["server_port"]) == ("CONNECT", "in.test", 443)


# --- what requests say ---


def test_unknown_method_is_kept_as_it_was() -> None:
    seen = Talk().request(1, method="PURGE").answer(1, "200").one()
    assert (seen["operation"], seen["http.request.method_original"]) == ("_OTHER", "PURGE")


def test_scheme_and_authority() -> None:
    seen = Talk().request(1, scheme="https", authority="[2001:db8::1]").answer(1, "200").one()
    assert (seen["url.scheme"], seen["server_address"], seen["server_port"]) == ("https", "2001:db8::1", 443)


def test_host_stands_in_for_a_missing_authority() -> None:
    assert Talk().request(1, ("host", "b.test:81"), authority="").answer(1, "200").one()["server_port"] == 81


@pytest.mark.parametrize("trusted", [True, False])
def test_forwarded_headers_of_trusted_proxies_name_the_client(trusted: bool) -> None:
    proxies = Trust(["192.0.2.1", "10.0.0.1"] if trusted else ["10.0.0.1"])  # the harness's client is the first
    talk = Talk(Run(rows_with(HttpSettings(trust=proxies))))
    fields = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "198.51.100.7, 10.0.0.1"), ("x-forwarded-proto", "https")]
    seen = talk.request(1, *fields, ("x-forwarded-host", "w.test")).answer(1, "200").one()
    told = (seen["client.address"], seen["url.scheme"], seen["server_address"])
    assert told == (("198.51.100.7", "https", "w.test") if trusted else (None, None, "a.test"))


def test_wanted_header_is_kept_unless_its_sender_calls_it_secret() -> None:
    talk = Talk(Run(rows_with(HttpSettings(request_headers=("x-id",)))))
    plain = talk.block(TO_SERVER, (":method", "GET"), (":path", "/"), (":scheme", "http"), ("x-id", "1"), ("x-id", "2"))
    secret = talk.block(TO_SERVER, (":method", "GET"), (":path", "/"), (":scheme", "http")) + b"\x10\x04x-id\x01S"
    for stream, block in ((1, plain), (3, secret)):
        talk.say(TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, stream, block)).answer(stream, "200")
    assert [one["http.request.header.x-id"] for one in talk.end()] == [["1", "2"], None]


def test_metrics_alone_need_no_attributes() -> None:
    talk = Talk(run(detail=False)).request(1, ("traceparent", TRACEPARENT), ("user-agent", "x"), path="/a?b")
    talk.answer(1, "500", ends=False)
    seen = talk.data(TO_CLIENT, 1, b"12").one()
    assert seen.request.attributes == () and seen.response is not None and seen.response.attributes == ()
    assert (seen["operation"], seen["url.path"], seen["url.query"], seen["status"]) == ("GET", "/a", None, 500)
    assert seen.request.trace_id is None


# --- frames ---


def test_padding_and_priority_are_passed_over() -> None:
    talk = Talk()
    block = talk.block(TO_SERVER, (":method", "POST"), (":path", "/p"), (":scheme", "http"))
    padded = b"\x05" + b"\x80\x00\x00\x03\x10" + block + b"\xff" * 5
    talk.say(TO_SERVER, frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 1, padded))
    talk.say(TO_SERVER, frame(PRIORITY, 0, 1, bytes(5)) + frame(DATA, END_STREAM | PADDED, 1, b"\x03" + b"12345" + b"\0" * 3))
    seen = talk.answer(1, "200").one()
    assert (seen["url.path"], seen["http.request.body.size"]) == ("/p", 5)


def test_header_block_in_one_byte_frames() -> None:
    talk = Talk()
    block = talk.block(TO_SERVER, (":method", "GET"), (":path", "/in/pieces"), (":scheme", "http"))
    frames = [frame(HEADERS, END_STREAM, 1, block[:1])]
    frames += [frame(CONTINUATION, 0, 1, block[i : i + 1]) for i in range(1, len(block))]
    begin = talk.run.ts_ns + 1_000_000
    for one in [*frames, frame(CONTINUATION, END_HEADERS, 1)]:
        talk.say(TO_SERVER, one)
    seen = talk.answer(1, "200").one()
    assert seen["url.path"] == "/in/pieces" and seen.times[0] == begin
    assert seen.sizes[0] == len(b"".join(frames)) + 9


def test_continuation_flood_is_bounded_and_counted() -> None:
    talk = Talk()
    talk.say(TO_SERVER, frame(HEADERS, END_STREAM, 1, b"\x82\x84\x86"))
    for _ in range(20):
        talk.say(TO_SERVER, frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 2000) * 16)
    talk.say(TO_SERVER, frame(CONTINUATION, END_HEADERS, 1)).answer(1, "431")
    talk.request(3, path="/next").answer(3, "200")
    assert [(one["operation"], one["url.path"], one["status"]) for one in talk.end()] == [(None, None, 431), ("GET", "/next", 200)]
    assert talk.run.reading.limits == {"http2_header_block": 1} and talk.errors() == []


@pytest.mark.parametrize(("size", "reached"), [(61_440, {}), (61_441, {"http2_header_block": 1})])
def test_header_block_of_the_limit_is_read_and_one_more_byte_is_passed_over(size: int, reached: dict[str, int]) -> None:
    head = b"\x82\x84\x86" + b"\x00\x01a\x7f"
    rest = size - len(head) - 3
    value = rest - 127
    block = head + bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14)) + b"v" * rest
    assert len(block) == size
    talk = Talk().say(TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).answer(1, "200").request(3).answer(3, "200")
    assert len(talk.end()) == 2 and talk.errors() == [] and talk.run.reading.limits == reached
    assert talk.run.seen[0]["url.path"] == (None if reached else "/")


def test_list_that_unpacks_to_more_than_its_limit_is_cut_and_counted() -> None:
    talk = Talk().request(1, ("x-large", "v" * 4000)).answer(1, "200")
    bomb = b"\x82\x84\x86" + b"\xbe" * 30_000  # the entry of 4 KB, thirty thousand times
    talk.say(TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 3, bomb)).answer(3, "200")
    seen = talk.end()
    assert answered(seen) == [("ok", "/", 200)] * 2 and talk.run.reading.limits == {"http2_header_list": 1}


def test_settings_pings_and_frames_of_the_future_say_nothing() -> None:
    talk = Talk().request(1)
    churn = frame(SETTINGS, 0, 0, b"\x00\x01\x00\x00\x10\x00" * 60) + frame(SETTINGS, 1, 0) + frame(PING, 0, 0, bytes(8))
    churn += frame(WINDOW_UPDATE, 0, 1, b"\0\0\1\0") + frame(0x10, 0, 0, b"\0\0\0\1u=1") + frame(0xFA, 0xFF, 3, b"grease" * 40)
    for _ in range(50):
        talk.say(TO_CLIENT, churn).say(TO_SERVER, churn)
    assert answered(talk.answer(1, "200").end()) == [("ok", "/", 200)]


def test_more_streams_than_are_kept_forget_the_oldest() -> None:
    talk = Talk(run(pending_max=2000))
    for number in range(1025):
        talk.request(2 * number + 1, path="/old" if number == 0 else "/")
    assert talk.run.reading.limits == {"http2_streams": 1}
    talk.answer(1, "200").answer(3, "201")
    assert [(one["url.path"], one["status"]) for one in talk.run.seen] == [("/old", 200), ("/", 201)]


def test_one_byte_data_frames_cost_no_memory() -> None:
    talk = Talk().request(1, method="POST", ends=False)
    for _ in range(40):
        talk.say(TO_SERVER, frame(DATA, 0, 1, b"x") * 500)
    seen = talk.data(TO_SERVER, 1, b"").answer(1, "200").one()
    assert seen["http.request.body.size"] == 20_000 and seen.sizes[0] > 20_000 * 10


@pytest.mark.parametrize(
    ("direction", "wrong", "what"),
    [
        (TO_SERVER, frame(RST_STREAM, 0, 1, bytes(3)), "frame size"),
        (TO_SERVER, frame(WINDOW_UPDATE, 0, 0, bytes(5)), "frame size"),
        (TO_SERVER, frame(PING, 0, 0, bytes(7)), "frame size"),
        (TO_SERVER, frame(PRIORITY, 0, 3, bytes(4)), "frame size"),
        (TO_SERVER, frame(SETTINGS, 0, 0, bytes(7)), "frame size"),
        (TO_SERVER, frame(SETTINGS, 0, 1, bytes(6)), "frame size"),
        (TO_CLIENT, frame(GOAWAY, 0, 0, bytes(7)), "frame size"),
        (TO_SERVER, frame(DATA, 0, 0, b"x"), "data on stream 0"),
        (TO_SERVER, frame(DATA, PADDED, 1), "padding"),
        (TO_SERVER, frame(DATA, PADDED, 1, b"\x02x"), "padding"),
        (TO_SERVER, frame(HEADERS, END_HEADERS, 0, b"\x82"), "headers on stream 0"),
        (TO_SERVER, frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09\x82"), "padding"),
        (TO_SERVER, frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"\0\0"), "padding"),
        (TO_SERVER, frame(CONTINUATION, END_HEADERS, 1, b"\x82"), "nothing to continue"),
        (TO_SERVER, frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)), "header block is not continued"),
        (TO_SERVER, frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 3, b"\x82"), "nothing to continue"),
        (TO_SERVER, frame(PUSH_PROMISE, END_HEADERS, 1, bytes(5)), "push by a client"),
        (TO_CLIENT, frame(PUSH_PROMISE, END_HEADERS, 1, bytes(3)), "padding"),
        (TO_CLIENT, frame(HEADERS, END_HEADERS, 1, b"\x48\x0220"), "status is no number"),
        (TO_CLIENT, frame(HEADERS, END_HEADERS, 1, b"\x48\x03099"), "status is no number"),
        (TO_SERVER, frame(HEADERS, END_HEADERS, 1, b"\x80"), "hpack index 0"),
    ],
)
def test_what_breaks_a_rule_is_counted_and_the_connection_goes_on(direction: int, wrong: bytes, what: str) -> None:
    talk = Talk().say(direction, wrong)
    assert talk.errors() == [what]
    talk.request(101, path="/after").answer(101, "200")
    assert answered(talk.end())[-1] == ("ok", "/after", 200)


# --- where it begins ---


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # PostgreSQL, SSLRequest
        b"\x00\x00\x00\x1a\x00\x12\x00\x03\x00\x00\x00\x01\x00\x04test\x00\x00\x00\x00",  # Kafka, ApiVersions
        b"\x4a\x00\x00\x00\x0a8.0.33\x00",
        b"AMQP\x00\x00\x09\x01",
        bytes(64),
        b"\x00\x00\x04\x00\x00\x00\x00\x00\x00data",  # DATA on stream 0
        b"\xff" * 40,
    ],
)
def test_other_protocols_are_not_taken_for_it(first: bytes) -> None:
    only = Run((HTTP2_ROW, GRPC_ROW))
    only.feed(TO_SERVER, first).feed(TO_CLIENT, first)
    assert only.reading.detected == {}


def test_server_that_speaks_first_is_recognised() -> None:
    talk = Talk(opened=False).say(TO_CLIENT, frame(SETTINGS, 0, 0, bytes((0, 3, 0, 0, 0, 100))))
    talk.say(TO_SERVER, PREFACE + frame(SETTINGS, 0, 0)).request(1).answer(1, "200")
    assert answered(talk.end()) == [("ok", "/", 200)] and talk.errors() == []


def test_http1_answer_to_the_preface_is_no_http2() -> None:
    talk = Talk(opened=False).say(TO_SERVER, PREFACE + frame(SETTINGS, 0, 0)).say(TO_CLIENT, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert talk.errors() == ["not this protocol"] and talk.end() == []


def pinned_to(row: Protocol) -> Run:
    """A connection to a port of this row, with detection off."""
    running = run()
    running.reading = Reading(running.pairing, Detector(ROWS, {running.connection.server_port: row}, False))
    running.conversation = Conversation(running.reading, running.connection, True)
    return running


@pytest.mark.parametrize("pinned", ["http", "grpc", "http2"])
def test_pinned_port_reads_it(pinned: str) -> None:
    row = next(row for row in ROWS if row.name == pinned)
    talk = Talk(pinned_to(row)).request(1).answer(1, "200")
    assert [(one.protocol, one["status"]) for one in talk.end()] == [("http2", 200)]


def test_port_pinned_to_http_reads_http1_as_well() -> None:
    running = pinned_to(ROWS[0])
    running.feed(TO_SERVER, b"GET / HTTP/1.1\r\n\r\n").feed(TO_CLIENT, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert [(one.protocol, one["status"]) for one in running.end()] == [("http", 204)]


def test_upgrade_to_something_else_is_no_http2() -> None:
    running = run().feed(TO_SERVER, b"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n")
    running.feed(TO_CLIENT, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    assert [(one.protocol, one["status"]) for one in running.end()] == [("http", 101)]


# --- joined late, and holes ---


def joined(talk: Talk) -> Talk:
    """The same connection, seen from here on."""
    late = Talk(run(from_start=False), opened=False)
    late.coders = talk.coders
    return late


def test_joined_late_what_older_entries_say_stays_unknown() -> None:
    before = Talk().request(1, ("x-id", "1"), path="/secret", method="PUT").answer(1, "418")
    talk = joined(before).request(3, ("x-id", "1"), path="/secret", method="PUT").answer(3, "418")
    talk.request(5, ("x-id", "2"), path="/new", authority="b.test").answer(5, "200")
    talk.request(7, path="/new", authority="b.test").answer(7, "200")
    seen = talk.end()
    assert [(one["operation"], one["url.path"], one["server_address"], one["status"]) for one in seen] == [
        (None, None, None, None),
        ("GET", "/new", "b.test", 200),
        ("GET", "/new", "b.test", 200),
    ]
    assert [one.outcome for one in seen] == ["unknown", "ok", "ok"] and talk.errors() == []


def test_joined_inside_a_body_finds_the_next_frame_inside_a_segment() -> None:
    before = Talk().request(1)
    talk = joined(before).request(3)
    frames = frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0") + frame(HEADERS, 5, 3, b"\x88") + frame(PING, 0, 0, bytes(8))
    talk.say(TO_CLIENT, b"end of a body" + frames)
    assert answered(talk.end()) == [("ok", "/", 200)]
    assert talk.run.reading.bytes_set_aside == 13


def test_hole_leaves_what_waits_in_doubt_and_not_timed_out() -> None:
    talk = Talk().request(1, path="/asked")
    talk.run.gap(TO_CLIENT, 50)
    talk.run.conversation.expire(talk.run.ts_ns + 31_000_000_000)
    assert answered(talk.run.seen) == [("lost", "/asked", None)]


def test_hole_takes_the_answers_that_had_begun() -> None:
    talk = Talk().request(1, path="/a").request(3, path="/b").answer(1, "200", ends=False)
    talk.run.gap(TO_CLIENT, 50)
    talk.data(TO_CLIENT, 1, b"end").answer(3, "200")
    assert answered(talk.end()) == [("lost", "/a", 200), ("ok", "/b", 200)]


def test_answer_that_lost_its_head_is_no_answer() -> None:
    talk = Talk().request(1)
    talk.run.gap(TO_CLIENT, 50)
    talk.data(TO_CLIENT, 1, b"the end of something")
    assert [(one.outcome, one["status"]) for one in talk.end()] == [("lost", None)]


def test_hole_inside_a_body_does_no_harm() -> None:
    talk = Talk().request(1).answer(1, "200", ends=False).say(TO_CLIENT, frame(DATA, END_STREAM, 1, b"x" * 1000)[:100])
    talk.run.gap(TO_CLIENT, 800)
    seen = talk.say(TO_CLIENT, b"x" * 109).answer(3, "200").end()
    assert answered(seen) == [("ok", "/", 200)] and seen[0]["http.response.body.size"] == 1000


def test_end_of_a_window_update_is_not_taken_for_a_frame() -> None:
    """Cut behind its type it looks like the head of an empty DATA frame on the stream that its increment is the number of."""
    talk = Talk().request(5, path="/first", method="POST")
    talk.run.gap(TO_SERVER, 50)
    block = talk.block(TO_SERVER, (":method", "GET"), (":scheme", "http"), (":path", "/second"), (":authority", "a.test"))
    rest = frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\5")[4:]
    talk.say(TO_SERVER, rest + frame(HEADERS, END_HEADERS, 43, block) + frame(DATA, END_STREAM, 43, b"x"))
    seen = talk.answer(5, "200").answer(43, "200").end()
    assert answered(seen) == [("ok", "/first", 200), ("ok", "/second", 200)]
    assert talk.run.reading.bytes_set_aside == len(rest) == 9


@pytest.mark.parametrize("upgraded", [False, True])
def test_client_that_has_said_all_says_no_more(upgraded: bool) -> None:
    """From its second byte on, this WINDOW_UPDATE looks like DATA of 1 032 bytes on stream 1, which is half closed."""
    if upgraded:
        running = run().feed(TO_SERVER, b"GET /first HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n")
        running.feed(TO_CLIENT, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        talk = Talk(running, opened=False)
    else:
        talk = Talk().request(1, path="/first")
    asked_ns = talk.run.ts_ns
    talk.run.gap(TO_SERVER, 52)
    talk.say(TO_SERVER, frame(WINDOW_UPDATE, 0, 0, b"\1\xff\0\1")[1:])
    talk.say(TO_CLIENT, frame(SETTINGS, 0, 0, b"")).answer(1, "200")
    (seen,) = talk.end()
    assert answered([seen]) == [("ok", "/first", 200)]
    assert seen.times[1] <= asked_ns and talk.run.reading.bytes_set_aside == 12


def test_stream_of_events_does_not_time_out_once_it_is_answered() -> None:
    talk = Talk().request(1, path="/events").request(3, path="/silent").answer(1, "200", ends=False)
    talk.run.conversation.expire(talk.run.ts_ns + 3_600_000_000_000)
    assert answered(talk.run.seen) == [("timeout", "/silent", None)]
    assert answered(talk.data(TO_CLIENT, 1, b"bye").end())[1:] == [("ok", "/events", 200)]


@pytest.mark.parametrize("seed", range(12))
def test_many_streams_under_loss_swap_nothing(seed: int) -> None:
    """Fifty streams at once, a third of the segments lost: each pair that is reported belongs together."""
    chance = random.Random(seed)
    talk = Talk(run(from_start=seed % 2 == 0), opened=False)
    segments: list[tuple[int, bytes]] = [(TO_SERVER, PREFACE + frame(SETTINGS, 0, 0)), (TO_CLIENT, frame(SETTINGS, 0, 0))]
    script: list[tuple[int, bytes]] = []
    for number in range(50):
        stream, status = 2 * number + 1, 200 + number
        fields = ((":method", "GET"), (":path", f"/{status}"), (":scheme", "http"), ("x-id", str(status)))
        script.append((TO_SERVER, frame(HEADERS, 5, stream, talk.block(TO_SERVER, *fields))))
    for number in chance.sample(range(50), 50):
        stream, status = 2 * number + 1, 200 + number
        head = talk.block(TO_CLIENT, (":status", str(status)), ("x-id", str(status)))
        script.append((TO_CLIENT, frame(HEADERS, 4, stream, head) + frame(DATA, 1, stream, b"b" * chance.randrange(300))))
    for direction, payload in segments + script:
        if chance.random() < 0.33:
            talk.run.gap(direction, len(payload) if chance.random() < 0.7 else 0)
        else:
            talk.say(direction, payload)
    for one in talk.end():
        if one.paired:
            marks = [*(one["http.request.header.x-id"] or ()), (one["url.path"] or "/")[1:], str(one["status"] or "")]
            assert len({mark for mark in marks if mark}) == 1 or not any(marks), one


# --- telemetry ---


def test_http2_counts_as_http_with_its_version() -> None:
    metrics = Metrics(ROWS)
    telemetry = Telemetry(metrics, None, Sampler(), Identities())
    talk = Talk(Run(ROWS, detail=False), opened=False)
    talk.run.reading = Reading(Pairing(telemetry), Detector(ROWS), False)
    talk.run.conversation = Conversation(talk.run.reading, Pair(True), True)
    Talk(talk.run).request(1).answer(1, "200")
    (metric,) = metrics.durations()
    assert metric.name == "http.server.request.duration"
    assert dict(metric.points[0].attributes)["network.protocol.version"] == "2"


def test_hole_before_the_first_header_block_leaves_its_entries_unknown() -> None:
    """The server's first answer is lost, and with it the entries that the second refers to."""
    talk = Talk().request(1, path="/a").request(3, path="/b")
    lost = talk.block(TO_CLIENT, (":status", "200"), ("x-id", "1"))
    talk.run.gap(TO_CLIENT, 9 + len(lost))
    talk.answer(3, "200", ("x-id", "1"))
    assert talk.errors() == []
    assert answered(talk.end()) == [("ok", "/b", 200), ("lost", "/a", None)]


def test_reset_without_an_error_behind_a_hole_says_that_a_whole_answer_was_in_it() -> None:
    talk = Talk().request(1, method="POST", ends=False)
    talk.run.gap(TO_CLIENT, 50)
    talk.say(TO_CLIENT, frame(RST_STREAM, 0, 1, bytes(4)))
    assert answered(talk.end()) == [("lost", "/", None)]


def test_cancellation_lost_in_a_hole_does_not_become_a_closed_connection() -> None:
    talk = Talk().request(1).answer(1, "200", ends=False)
    talk.run.gap(TO_SERVER, 13)
    assert answered(talk.end()) == [("lost", "/", 200)]


@pytest.mark.parametrize(
    "piece",
    [
        b"\x09\x01\x05\x00\x00\x00\x09\x82\x04\x84bq\xd1/\xbe",  # would be DATA of 590 085 bytes
        b"\x00\x08\x00\x01\x00\x00\x00\x03g" + b"ot 3000",  # HEADERS of 2048 bytes on stream 871, without END_HEADERS
        b"\x00\x00\x00\x00\x00\x06\x00\x00\x08\x06\x00\x00\x00\x00\x00\x02\x04\x10\x10",  # stream 100 663 304, then 393 216 bytes
    ],
    ids=["data", "headers", "stream"],
)
def test_piece_of_a_frame_is_no_head_of_another(piece: bytes) -> None:
    """What would be skipped for it holds answers."""
    talk = Talk().request(1, path="/a").answer(1, "200")
    for direction in (TO_CLIENT, TO_SERVER):
        talk.run.gap(direction, 2)
        talk.say(direction, piece)
    talk.request(3, path="/b").answer(3, "200")
    assert [(one.outcome, one["status"]) for one in talk.end()] == [("ok", 200), ("ok", 200)]
