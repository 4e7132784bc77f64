"""gRPC: calls of grpcio and grpc-go through the harness, then what a status, a timeout and an end mean."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.grpc import Grpc
from receiver.l7.http2 import Http2Settings
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import protocols
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Protocol
from tests.l7.harness import CLIENT_SIDE, SERVER_SIDE, TO_CLIENT, TO_SERVER, Pair, Run, Seen, Vector, feed_recorded, load_all
from tests.l7.streams import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GRPC_ROW,
    HEADERS,
    ROWS,
    RST_STREAM,
    Talk,
    check_vector,
    frame,
    run,
)

VECTORS = [vector for vector in load_all("http2") if "grpc" in vector.name]
SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
CODES = sorted(grpc.StatusCode, key=lambda code: code.value[0])
CANCEL = (8).to_bytes(4, "big")
SENT, RECEIVED = "pcap_receiver.rpc.request.messages", "pcap_receiver.rpc.response.messages"


def told(seen: Seen) -> tuple[str, str | None, str | None]:
    return seen.protocol, seen.response.operation if seen.response else seen.request.operation, seen["status"]


def message(size: int, compressed: int = 0) -> bytes:
    return bytes((compressed,)) + size.to_bytes(4, "big") + b"m" * size


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector(vector: Vector) -> None:
    check_vector(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vector_breaks_no_rule(vector: Vector) -> None:
    running = run()
    feed_recorded(lambda: running, vector)
    assert running.reading.errors == {} and running.reading.limits == {} and running.reading.bytes_set_aside == 0


# --- statuses ---


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_status_is_an_error_as_the_side_sees_it(code: grpc.StatusCode, vantage: int) -> None:
    name = f"lab.Lab/{code.name}"
    talk = Talk(run(vantage=vantage)).call(1, "/" + name, ends=True)
    talk.answer(1, "200", ("content-type", "application/grpc"), ends=False)
    seen = talk.trailers(TO_CLIENT, 1, ("grpc-status", str(code.value[0])), ("grpc-message", "no%20such")).one()
    failed = code.name in SERVER_FAULTS if vantage == SERVER_SIDE else code.name != "OK"
    assert seen["status"] == code.name
    assert (seen.outcome, seen["error_type"]) == ("error" if failed else "ok", None if code.name == "OK" else code.name)
    assert told(seen)[1] == ("_OTHER" if code.name == "UNIMPLEMENTED" else name)


@pytest.mark.parametrize("value", ["17", "-1", "x", "", "007", "99999999999"])
def test_status_that_is_none_is_unknown(value: str) -> None:
    talk = Talk().call(1, ends=True).answer(1, "200", ("grpc-status", value))
    assert talk.one()["status"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("http", "name"),
    # grpc/grpc doc/http-grpc-status-mapping.md
    [
        ("400", "INTERNAL"),
        ("401", "UNAUTHENTICATED"),
        ("403", "PERMISSION_DENIED"),
        ("404", "UNIMPLEMENTED"),
        ("429", "UNAVAILABLE"),
        ("502", "UNAVAILABLE"),
        ("503", "UNAVAILABLE"),
        ("504", "UNAVAILABLE"),
        ("500", "UNKNOWN"),
        ("200", "UNKNOWN"),
    ],
)
def test_answer_without_a_status_has_that_of_http(http: str, name: str) -> None:
    talk = Talk().call(1, "/lab.Lab/Proxied", ends=True).answer(1, http, ("content-type", "text/html"), ends=False)
    seen = talk.data(TO_CLIENT, 1, b"<p>").one()
    assert told(seen) == ("grpc", "_OTHER" if http == "404" else "lab.Lab/Proxied", name)


def test_status_counts_whatever_http_says() -> None:
    seen = Talk().call(1, ends=True).answer(1, "503", ("grpc-status", "5")).one()
    assert told(seen) == ("grpc", "lab.Lab/Echo", "NOT_FOUND")


@pytest.mark.parametrize(
    ("code", "name"),
    # grpc/grpc doc/PROTOCOL-HTTP2.md, "Errors"
    [
        (0, "INTERNAL"),
        (1, "INTERNAL"),
        (2, "INTERNAL"),
        (3, "INTERNAL"),
        (4, "INTERNAL"),
        (6, "INTERNAL"),
        (7, "UNAVAILABLE"),
        (8, "CANCELLED"),
        (9, "INTERNAL"),
        (10, "INTERNAL"),
        (11, "RESOURCE_EXHAUSTED"),
        (12, "PERMISSION_DENIED"),
        (5, "UNKNOWN"),
        (13, "UNKNOWN"),
        (99, "UNKNOWN"),
    ],
)
def test_reset_stands_for_a_status(code: int, name: str) -> None:
    seen = Talk().call(1, ends=True).say(TO_CLIENT, frame(RST_STREAM, 0, 1, code.to_bytes(4, "big"))).one()
    assert (seen.protocol, seen["operation"], seen["status"], seen["error_type"]) == ("grpc", "lab.Lab/Echo", name, name)


@pytest.mark.parametrize(
    ("after_ms", "name"), [(40, "CANCELLED"), (93, "CANCELLED"), (96, "DEADLINE_EXCEEDED"), (200, "DEADLINE_EXCEEDED")]
)
@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_cancel_at_the_deadline_is_the_deadline(after_ms: int, name: str, direction: int) -> None:
    talk = Talk().call(1, "/lab.Lab/Echo", ("grpc-timeout", "100m"), ends=True)
    talk.run.ts_ns += (after_ms - 1) * 1_000_000  # `say` adds the last one
    assert talk.say(direction, frame(RST_STREAM, 0, 1, CANCEL)).one()["status"] == name


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"1H", 3_600_000_000_000),
        (b"2M", 120_000_000_000),
        (b"3S", 3_000_000_000),
        (b"4m", 4_000_000),
        (b"5u", 5_000),
        (b"6n", 6),
        (b"0n", 0),
        (b"99999999M", 5_999_999_940_000_000_000),
        (b"99999999H", -1),
        (b"123456789S", -1),
        (b"S", -1),
        (b"", -1),
        (b"1", -1),
        (b"1s", -1),
        (b"-1S", -1),
    ],
)
def test_timeout(text: bytes, nanoseconds: int) -> None:
    assert Grpc(GRPC_ROW).timeout_ns(text) == nanoseconds


# --- what is gRPC ---


@pytest.mark.parametrize(
    ("content_type", "is_grpc"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc+json", True),
        (b"application/grpc; charset=utf-8", True),
        (b"application/grpc;v=1", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/grpcx", False),
        (b"application/connect+proto", False),
        (b"application/proto", False),
        (b"", False),
    ],
)
def test_content_type(content_type: bytes, is_grpc: bool) -> None:
    assert Grpc(GRPC_ROW).speaks(content_type) == is_grpc


def test_other_requests_of_the_connection_stay_http() -> None:
    talk = Talk().request(1, path="/health").call(3, ends=True)
    talk.answer(1, "200").answer(3, "200", ("grpc-status", "0"))
    assert [told(one) for one in talk.end()] == [("http2", None, 200), ("grpc", "lab.Lab/Echo", "OK")]


def late(*status: tuple[str, str], body: bytes = message(3)) -> Seen:
    """A call whose content-type is an entry that nobody saw; its path is sent anew."""
    before = Talk().call(1, ends=True)
    talk = Talk(run(from_start=False), opened=False)
    talk.coders = before.coders
    talk.call(3, "/lab.Lab/New").data(TO_SERVER, 3, body).answer(3, "200", ends=False)
    return talk.data(TO_CLIENT, 3, body, ends=False).trailers(TO_CLIENT, 3, *status).one()


def test_unseen_content_type_is_grpc_when_the_end_says_so() -> None:
    seen = late(("grpc-status", "0"))
    assert told(seen) == ("grpc", "lab.Lab/New", "OK")
    assert seen[SENT] == seen[RECEIVED] == 1 and seen["http.request.body.size"] is None


def test_unseen_content_type_is_not_called_grpc_where_bodies_are_no_messages() -> None:
    seen = late(("x-sum", "7"), body=b'{"x": 7}')
    assert (seen.protocol, seen["operation"], seen["status"], seen.outcome) == ("http2", "POST", 200, "ok")


def test_status_that_refers_to_an_unseen_entry_is_not_guessed() -> None:
    talk = Talk().call(1, ends=True).answer(1, "200", ("grpc-status", "0"))
    talk.run.gap(TO_CLIENT, 40)
    talk.call(3, ends=True).answer(3, "200", ("grpc-status", "0"))
    seen = talk.end()
    assert [told(one) for one in seen] == [("grpc", "lab.Lab/Echo", "OK"), ("grpc", "lab.Lab/Echo", None)]
    assert [one.outcome for one in seen] == ["ok", "unknown"]


# --- the method of a call that failed ---


@pytest.mark.parametrize("path", ["/lab.Lab/Echo", "/lab.Lab/NeverAnswered"])
def test_unanswered_call_has_its_method(path: str) -> None:
    seen = Talk().call(1, path, ends=True).one()
    assert (seen.protocol, seen.outcome, seen["operation"]) == ("grpc", "closed", path[1:])


@pytest.mark.parametrize("http", ["200", "404"])
def test_method_that_the_server_does_not_have_is_other_unless_it_is_known(http: str) -> None:
    fields = (("grpc-status", "12"),) if http == "200" else ()
    talk = Talk().call(1, f"/lab.Lab/Gone{http}", ends=True).answer(1, http, *fields)
    talk.call(3, f"/lab.Lab/Gone{http}", ends=True).answer(3, "200", ("grpc-status", "5"))
    talk.call(5, f"/lab.Lab/Gone{http}", ends=True).answer(5, http, *fields)
    seen = [told(one)[1:] for one in talk.end()]
    name = f"lab.Lab/Gone{http}"
    assert seen == [("_OTHER", "UNIMPLEMENTED"), (name, "NOT_FOUND"), (name, "UNIMPLEMENTED")]


def test_names_that_no_server_confirmed_are_few_and_counted() -> None:
    talk, settings = own_rows()
    for number in range(600):
        talk.call(2 * number + 1, f"/made.Up/M{number}", ends=True)
    seen = talk.end()
    told_of = [one["operation"] for one in seen]
    assert told_of[:512] == [f"made.Up/M{number}" for number in range(512)] and set(told_of[512:]) == {"_OTHER"}
    assert settings.limits["grpc_methods"] == 88
    assert settings.grpc is not None
    assert len(settings.grpc.heard.by_name) == 512 and not settings.grpc.methods.by_name


def test_names_that_the_server_does_not_have_take_no_room() -> None:
    talk, settings = own_rows()
    for number in range(600):
        talk.call(2 * number + 1, f"/made.Up/M{number}", ends=True).answer(2 * number + 1, "200", ("grpc-status", "12"))
    talk.call(1201, "/lab.Lab/Slow", ends=True)
    seen = talk.end()
    assert seen[-1]["operation"] == "lab.Lab/Slow" and settings.limits["grpc_methods"] == 0
    assert settings.grpc is not None and list(settings.grpc.heard.by_name) == [b"/lab.Lab/Slow"]


def test_method_is_the_same_object_each_time() -> None:
    talk = Talk()
    for stream in (1, 3):
        talk.call(stream, "/lab.Lab/Same", ends=True).answer(stream, "200", ("grpc-status", "0"))
    first, second = (told(one)[1] for one in talk.end())
    assert first == "lab.Lab/Same" and first is second


def own_rows() -> tuple[Talk, Http2Settings]:
    """A connection whose rows nobody else uses, by a port that is set to be gRPC."""
    grpc_row = next(row for row in protocols() if row.name == "grpc")
    settings: Http2Settings = grpc_row.decoder.args[0]
    talk = Talk(Run((grpc_row,)), opened=False)
    talk.run.reading = Reading(talk.run.pairing, Detector((), {0: grpc_row}, False))
    talk.run.conversation = Conversation(talk.run.reading, Pair(True), True)
    return Talk(talk.run), settings


def test_table_of_methods_is_bounded() -> None:
    talk, settings = own_rows()
    assert settings.grpc is not None
    for number in range(4097):
        stream = 2 * number + 1
        talk.call(stream, f"/lab.Lab/M{number}", ends=True).answer(stream, "200", ("grpc-status", "0"))
    seen = talk.end()
    assert [told(one)[1] for one in seen[-2:]] == ["lab.Lab/M4095", "_OTHER"] and len(settings.grpc.methods.by_name) == 4096
    assert settings.limits["grpc_methods"] == 1


@pytest.mark.parametrize("path", ["/" + "x" * 600, "/", "/bad\x00name"])
def test_name_that_is_no_method_is_other(path: str) -> None:
    seen = Talk().call(1, path, ends=True).answer(1, "200", ("grpc-status", "0")).one()
    assert told(seen) == ("grpc", "_OTHER", "OK")


# --- joined late ---

TYPE = ("content-type", "application/grpc")


def warm(vantage: int = SERVER_SIDE, rows: tuple[Protocol, ...] = ROWS, *statuses: str) -> Talk:
    """A channel on which calls were made before the capture began; what each side's table has, nobody saw."""
    before = Talk()
    for number, status in enumerate(statuses or ("0",)):
        answered(before.call(2 * number + 1).data(TO_SERVER, 2 * number + 1, message(3)), 2 * number + 1, status)
    running = Run(rows, from_start=False, vantage=vantage)
    if len(rows) == 1:
        running.reading = Reading(running.pairing, Detector((), {0: rows[0]}, False))
        running.conversation = Conversation(running.reading, running.connection, False)
    talk = Talk(running, opened=False)
    talk.coders = before.coders
    return talk


def answered(talk: Talk, stream: int, *status: str) -> Talk:
    """`status`: grpc-status, and a grpc-message if there are two."""
    talk.answer(stream, "200", TYPE, ends=False).data(TO_CLIENT, stream, message(3), ends=False)
    return talk.trailers(TO_CLIENT, stream, *zip(("grpc-status", "grpc-message"), status, strict=False))


def called(talk: Talk, stream: int, *status: str) -> Talk:
    return answered(talk.call(stream).data(TO_SERVER, stream, message(3)), stream, *status)


def read(talk: Talk) -> list[tuple[str, str, str | None, str | None]]:
    return [(one.protocol, one.outcome, one["operation"], one["status"]) for one in talk.end()]


HIDDEN = ("grpc", "unknown", None, None)


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_joined_late_a_status_in_an_unseen_entry_is_never_ok(vantage: int) -> None:
    talk = warm(vantage, ROWS, "0", "13")
    for stream, status in ((5, "0"), (7, "13"), (9, "0")):
        called(talk, stream, status)
    assert read(talk) == [HIDDEN] * 3


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_joined_late_a_new_status_is_read_whose_name_is_in_an_unseen_entry(vantage: int) -> None:
    """The encoder finds grpc-status in its table and writes 13 behind its index, as Go's and Java's do."""
    seen = read(called(called(warm(vantage), 3, "13"), 5, "0"))
    assert seen == [("grpc", "error", None, "INTERNAL"), HIDDEN]


def test_joined_late_a_name_that_was_learned_serves_blocks_in_which_it_is_not_alone() -> None:
    talk = called(called(warm(), 3, "0"), 5, "5", "7")
    talk.call(7).data(TO_SERVER, 7, message(3)).answer(7, "200", ("grpc-status", "13"), ("x-more", "7"))
    assert read(talk) == [HIDDEN, ("grpc", "ok", None, "NOT_FOUND"), ("grpc", "error", None, "INTERNAL")]


def test_joined_late_of_two_numbers_none_is_taken_for_the_status() -> None:
    before = Talk()
    before.call(1, ends=True).answer(1, "200", TYPE, ends=False).trailers(TO_CLIENT, 1, ("x-count", "9"), ("grpc-status", "0"))
    talk = Talk(run(from_start=False), opened=False)
    talk.coders = before.coders
    talk.call(3).data(TO_SERVER, 3, message(3)).answer(3, "200", TYPE, ends=False).data(TO_CLIENT, 3, message(3), ends=False)
    assert read(talk.trailers(TO_CLIENT, 3, ("x-count", "13"), ("grpc-status", "5"))) == [HIDDEN]


def test_joined_late_what_is_indexed_anew_is_known() -> None:
    """New entries push the old ones out of the encoder's table; from then on all is read."""
    talk = warm()
    for stream in (3, 5):
        called(talk, stream, "0")
    for number in range(120):
        talk.run.feed(TO_CLIENT, frame(HEADERS, END_HEADERS | END_STREAM, 2, talk.block(TO_CLIENT, ("x-fill", f"{number:08}"))))
        talk.run.feed(TO_SERVER, frame(HEADERS, END_HEADERS | END_STREAM, 2, talk.block(TO_SERVER, ("x-fill", f"{number:08}"))))
    for stream, status in ((7, "0"), (9, "13")):
        called(talk, stream, status)
    assert read(talk) == [HIDDEN] * 2 + [("grpc", "ok", "lab.Lab/Echo", "OK"), ("grpc", "error", "lab.Lab/Echo", "INTERNAL")]


def test_joined_late_a_table_that_was_emptied_hides_nothing() -> None:
    talk = called(warm(), 3, "0")
    for coder in talk.coders.values():
        coder.header_table_size = 0
        coder.header_table_size = 4096
    assert read(called(called(talk, 5, "0"), 7, "13"))[1:] == [
        ("grpc", "ok", "lab.Lab/Echo", "OK"),
        ("grpc", "error", "lab.Lab/Echo", "INTERNAL"),
    ]


def test_joined_late_an_answer_of_trailers_only_is_unknown() -> None:
    talk = Talk()
    talk.call(1).data(TO_SERVER, 1, message(3)).answer(1, "200", TYPE, ("grpc-status", "13"))
    late = Talk(run(from_start=False), opened=False)
    late.coders = talk.coders
    late.call(3).data(TO_SERVER, 3, message(3)).answer(3, "200", TYPE, ("grpc-status", "13"))
    (seen,) = late.end()
    assert (seen.outcome, seen["error_type"]) == ("unknown", None)


@pytest.mark.parametrize("code", [0, 2, 5, 7, 8, 11, 12, 99])
@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
@pytest.mark.parametrize("proved", [False, True])
def test_joined_late_a_reset_says_no_more_than_is_so(code: int, vantage: int, proved: bool) -> None:
    reset = frame(RST_STREAM, 0, 5, code.to_bytes(4, "big"))
    truth = Talk(run(vantage=vantage)).call(5).data(TO_SERVER, 5, message(3)).say(TO_SERVER, reset).one()
    talk = warm(vantage)
    if proved:
        called(talk, 3, "0")
    seen = talk.call(5).data(TO_SERVER, 5, message(3)).say(TO_SERVER, reset).end()[-1]
    assert seen.outcome in (truth.outcome, "unknown") and seen["status"] in (truth["status"], None)
    assert (seen.protocol == "grpc") == proved
    if vantage == CLIENT_SIDE:
        assert seen.outcome == "error"  # whatever it was


def test_joined_late_a_cancellation_may_be_the_deadline() -> None:
    talk = Talk().call(1, "/lab.Lab/Echo", ("grpc-timeout", "100m"))
    talk.data(TO_SERVER, 1, message(3))
    late = Talk(run(from_start=False), opened=False)
    late.coders = answered(talk, 1, "0").coders
    answered(late.call(3, "/lab.Lab/Echo", ("grpc-timeout", "100m")).data(TO_SERVER, 3, message(3)), 3, "0")
    late.call(5, "/lab.Lab/Echo", ("grpc-timeout", "100m")).say(TO_SERVER, frame(RST_STREAM, 0, 5, CANCEL))
    assert read(late) == [HIDDEN] * 2


def test_joined_late_an_unanswered_call_is_grpc_once_one_like_it_was() -> None:
    talk = called(warm(), 3, "0").call(5)
    assert [(one.protocol, one.outcome) for one in talk.end()] == [("grpc", "unknown"), ("grpc", "closed")]


@pytest.mark.parametrize("ends", ["trailers", "trailers only", "reset", "nothing"])
def test_port_that_is_set_to_be_grpc_tells_it_from_the_first_call(ends: str) -> None:
    talk = warm(SERVER_SIDE, (GRPC_ROW,)).call(3, "/lab.Lab/Echo")
    if ends == "trailers":
        answered(talk.data(TO_SERVER, 3, message(3)), 3, "0")
    elif ends == "trailers only":
        talk.answer(3, "200", ("grpc-status", "0"))
    elif ends == "reset":
        talk.say(TO_CLIENT, frame(RST_STREAM, 0, 3, (7).to_bytes(4, "big")))
    (seen,) = talk.end()
    outcomes = {"reset": ("error", "UNAVAILABLE"), "nothing": ("closed", None)}
    assert (seen.protocol, seen["operation"]) == ("grpc", None)
    assert (seen.outcome, seen["status"]) == outcomes.get(ends, ("unknown", None))


def test_after_a_hole_a_connection_of_calls_goes_on_as_one() -> None:
    talk = called(Talk(), 1, "0")
    talk.run.gap(TO_SERVER, 40)
    talk.run.gap(TO_CLIENT, 40)
    talk.call(3).data(TO_SERVER, 3, message(3)).answer(3, "200", TYPE, ("grpc-status", "0"))
    talk.call(5)
    seen = read(talk)
    assert seen == [("grpc", "ok", "lab.Lab/Echo", "OK"), HIDDEN, ("grpc", "closed", None, None)]


@pytest.mark.parametrize(
    ("method", "body", "answer", "outcome"),
    [
        ("GET", b"", b"ok", "ok"),
        ("POST", b'{"a": 1}', b"ok", "ok"),
        ("POST", b"", b"ok", "ok"),
        ("POST", b"\0\0\0\0\x09tail", b"ok", "ok"),  # begins as a message does, and has not its length
        ("POST", message(3), b"ok", "ok"),  # the answer is no message
        ("POST", message(3), message(3), "unknown"),  # gRPC-Web, Connect, or a call that got no status
    ],
)
def test_joined_late_plain_requests_stay_what_they_are(method: str, body: bytes, answer: bytes, outcome: str) -> None:
    before = Talk().request(1, TYPE, ("x", "1"), method=method, path="/a").answer(1, "200", ("x", "1"))
    talk = Talk(run(from_start=False), opened=False)
    talk.coders = before.coders
    talk.request(3, TYPE, ("x", "1"), method=method, path="/a", ends=not body)
    if body:
        talk.data(TO_SERVER, 3, body)
    (seen,) = talk.answer(3, "200", ("x", "1"), ends=False).data(TO_CLIENT, 3, answer).end()
    assert (seen.protocol, seen["operation"], seen["status"], seen.outcome) == ("http2", method, 200, outcome)


@pytest.mark.parametrize(("status", "outcome"), [("500", "error"), ("404", "ok"), ("503", "unknown"), ("201", "unknown")])
def test_joined_late_a_status_of_http_is_known_where_the_static_table_has_it(status: str, outcome: str) -> None:
    before = Talk().request(1).answer(1, status)
    talk = Talk(run(from_start=False), opened=False)
    talk.coders = before.coders
    (seen,) = talk.request(3).answer(3, status).end()
    assert (seen.outcome, seen["status"]) == (outcome, int(status) if outcome != "unknown" else None)


# --- messages ---


@pytest.mark.parametrize("cut", range(1, 21))
def test_messages_are_counted_wherever_frames_cut_them(cut: int) -> None:
    body = message(0) + message(4) + message(1)
    talk = Talk().call(1).data(TO_SERVER, 1, body[:cut], ends=False).data(TO_SERVER, 1, body[cut:])
    talk.answer(1, "200", ends=False)
    for i in range(0, 20, 3):
        talk.data(TO_CLIENT, 1, body[i : i + 3], ends=False)
    seen = talk.trailers(TO_CLIENT, 1, ("grpc-status", "0")).one()
    assert (seen[SENT], seen[RECEIVED]) == (3, 3)


def test_padded_frames_count_the_same() -> None:
    padded = frame(DATA, 0x8 | END_STREAM, 1, b"\x07" + message(2) + message(3) + b"\x00\x00\x00\x00\x01\x00\x00")
    seen = Talk().call(1).say(TO_SERVER, padded).answer(1, "200", ("grpc-status", "0")).one()
    assert seen[SENT] == 2


def test_body_of_another_format_is_not_counted() -> None:
    seen = Talk().call(1).data(TO_SERVER, 1, b"{}" * 40).answer(1, "200", ("grpc-status", "3")).one()
    assert seen[SENT] is None and told(seen)[2] == "INVALID_ARGUMENT"


def test_messages_that_a_hole_took_are_not_counted() -> None:
    talk = Talk().call(1).data(TO_SERVER, 1, message(5), ends=False)
    talk.run.gap(TO_SERVER, 30)
    seen = talk.data(TO_SERVER, 1, message(5)).answer(1, "200", ("grpc-status", "0")).one()
    assert seen[SENT] is None and seen.outcome == "ok"


def test_empty_and_huge_messages_are_skipped_by_count() -> None:
    talk = Talk().call(1).say(TO_SERVER, frame(DATA, END_STREAM, 1, b"\0\xff\xff\xff\xff" + b"x" * 100))
    assert talk.answer(1, "200", ("grpc-status", "0")).one()[SENT] == 1


# --- telemetry ---


def exported(vantage: int, *calls: tuple[str, str]) -> tuple[Metrics, list[Span]]:
    """What is told of calls (path, grpc-status)."""
    metrics = Metrics(ROWS)
    spans = Spans(Redactor())
    pairing = Pairing(Telemetry(metrics, spans, Sampler(), Identities()))
    talk = Talk(Run(ROWS), opened=False)
    talk.run.reading = Reading(pairing, Detector(ROWS))
    talk.run.conversation = Conversation(talk.run.reading, Pair(True, vantage), True)
    talk = Talk(talk.run)
    for number, (path, status) in enumerate(calls):
        stream = 2 * number + 1
        talk.call(stream, path, ("authorization", "Bearer s3cret-token"), ends=True)
        talk.answer(stream, "200", ("grpc-status", status), ("grpc-message", "s3cret%20reason"))
    lent, count = spans.lend()
    blob = bytes(lent)
    assert count == len(calls) and b"s3cret" not in blob
    return metrics, list(ScopeSpans.FromString(blob).spans)


def attributes(span: Span) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in span.attributes}


def test_server_span_and_metric() -> None:
    metrics, (span,) = exported(SERVER_SIDE, ("/lab.Lab/Echo", "5"))
    assert (span.name, span.kind, span.status.code) == ("lab.Lab/Echo", Span.SPAN_KIND_SERVER, 0)
    said = attributes(span)
    assert said["rpc.system.name"] == "grpc" and said["rpc.response.status_code"] == "NOT_FOUND"
    assert said["server.address"] == "a.test" and "client.address" not in said
    assert not [name for name in said if name.startswith(("http.", "url.", "error."))]
    (metric,) = metrics.durations()
    assert metric.name == "rpc.server.call.duration" and metric.unit == "s"
    assert dict(metric.points[0].attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "lab.Lab/Echo",
        "rpc.response.status_code": "NOT_FOUND",
    }


def test_client_span_and_metric() -> None:
    metrics, (span,) = exported(CLIENT_SIDE, ("/lab.Lab/Echo", "5"))
    assert (span.kind, span.status.code, attributes(span)["error.type"]) == (Span.SPAN_KIND_CLIENT, 2, "NOT_FOUND")
    (metric,) = metrics.durations()
    assert metric.name == "rpc.client.call.duration"
    labels = dict(metric.points[0].attributes)
    assert (labels["server.address"], labels["server.port"], labels["error.type"]) == ("a.test", 80, "NOT_FOUND")


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_unknown_is_told_without_a_status_and_without_an_error(vantage: int) -> None:
    metrics = Metrics(ROWS)
    spans = Spans(Redactor())
    talk = warm(vantage)
    talk.run.reading = Reading(Pairing(Telemetry(metrics, spans, Sampler(), Identities())), Detector(ROWS))
    talk.run.conversation = Conversation(talk.run.reading, Pair(False, vantage), False)
    called(talk, 3, "0")
    (span,) = ScopeSpans.FromString(bytes(spans.lend()[0])).spans
    said = attributes(span)
    assert (span.name, span.status.code, said["pcap_receiver.outcome"]) == ("grpc", 0, "unknown")
    assert not [name for name in said if name.startswith(("error.", "http.", "rpc.method", "rpc.response.status"))]
    (metric,) = metrics.durations()
    labels = dict(metric.points[0].attributes)
    assert metric.points[0].count == 1 and labels.pop("rpc.system.name") == "grpc"
    assert set(labels) <= {"server.address", "server.port"}
    (point,) = metrics.roundtrips(0).points
    assert (dict(point.attributes), point.value) == ({"outcome": "unknown", "protocol": "grpc"}, 1)


def test_method_that_nobody_knows_makes_no_series() -> None:
    metrics, spans = exported(SERVER_SIDE, *((f"/made.Up/M{number}", "12") for number in range(50)))
    assert {span.name for span in spans} == {"grpc"}
    assert attributes(spans[7])["rpc.method_original"] == "made.Up/M7" and attributes(spans[7])["rpc.method"] == "_OTHER"
    (metric,) = metrics.durations()
    assert len(metric.points) == 1 and metric.points[0].count == 50
