"""What fails in telemetry is not blamed on the connection whose roundtrip it was, and takes nothing else along."""

from __future__ import annotations

import logging
import os

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from receiver.l7.conversation import Conversation
from receiver.l7.detect import Detector
from receiver.l7.matcher import Pairing
from receiver.l7.reading import Reading
from receiver.l7.registry import protocols
from receiver.telemetry.redact import Redactor
from receiver.telemetry.spans import Identities, Spans
from receiver.wire.records import Roundtrip, Sink
from tests.l7.harness import SERVER_SIDE, TO_CLIENT
from tests.telemetry.pod import ANSWER, Pod

SECRET = "what the traffic said"


class Source:
    """Ids enough for one root span at a time, or none."""

    broken = False

    def __call__(self, n: int) -> bytes:
        if self.broken:
            raise RuntimeError(SECRET)
        return os.urandom(24)  # a trace's and a span's


def call(pod: Pod, connection: Conversation) -> None:
    pod.ask(connection)
    pod.feed(connection, TO_CLIENT, ANSWER)


def test_fault_of_telemetry_is_not_blamed_on_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    pod = Pod(identities=Identities(source))
    connection = pod.connect(SERVER_SIDE)
    with caplog.at_level(logging.ERROR):
        for broken in (False, True, True, False):
            source.broken = broken
            call(pod, connection)
    assert pod.reading.errors == {}
    assert pod.telemetry.errors == {"roundtrip": 2}
    assert (pod.metrics.total(), pod.telemetry.written, len(pod.written())) == (4, 2, 2)
    (said,) = caplog.messages
    assert said.startswith("bug in telemetry (roundtrip): RuntimeError at ")
    assert SECRET not in caplog.text


def test_fault_when_a_request_begins_is_not_blamed_on_the_connection() -> None:
    source = Source()
    source.broken = True
    pod = Pod(identities=Identities(source))
    connection = pod.begin(SERVER_SIDE, f"traceparent: 00-{1:032x}-{1:016x}-01\r\n")
    source.broken = False
    assert pod.answer(connection).trace_id.hex() == f"{1:032x}"
    assert (pod.reading.errors, pod.telemetry.errors) == ({}, {"context": 1})


class Spoiler(Sink):
    """Telemetry, but with an attribute that is no AnyValue: its span breaks off in the middle."""

    def __init__(self, telemetry: Sink) -> None:
        self.telemetry = telemetry
        self.spoil = False

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        if self.spoil:
            roundtrip.request.attributes = ["x", object()]
        return self.telemetry.roundtrip(roundtrip)


def test_span_that_breaks_off_leaves_the_others_whole() -> None:
    pod = Pod()
    spoiler = Spoiler(pod.telemetry)
    pod.reading = Reading(Pairing(spoiler), Detector(protocols()), True)
    connection = pod.connect(SERVER_SIDE)
    for spoil in (False, True, False):
        spoiler.spoil = spoil
        call(pod, connection)
    lent, count = pod.spans.lend()
    spans = ScopeSpans.FromString(bytes(lent)).spans
    assert (len(spans), count, pod.telemetry.errors) == (2, 2, {"roundtrip": 1})
    assert {span.name for span in spans} == {"GET"}


# --- a batch that is full ---


def one_span_size() -> int:
    pod = Pod()
    pod.call(SERVER_SIDE)
    call(pod, pod.connect(SERVER_SIDE))
    with pod.spans.lend()[0] as lent:
        return len(lent)


@pytest.mark.parametrize(("spans", "full"), [(2, False), (3, True)])
def test_batch_is_full_with_so_many_bytes(spans: int, full: bool) -> None:
    pod = Pod(spans=Spans(Redactor(), batch_max=one_span_size() * 3))
    connection = pod.connect(SERVER_SIDE)
    for _ in range(spans):
        call(pod, connection)
    assert pod.spans.full == full
    assert len(pod.written()) == spans
    assert not pod.spans.full


@pytest.mark.parametrize(("asked", "crowded"), [(4, 0), (5, 1)])
def test_spans_beyond_what_one_packet_may_bring_are_counted(asked: int, crowded: int) -> None:
    size = one_span_size()
    pod = Pod(spans=Spans(Redactor(), batch_max=size, crowd_max=size * 4))
    connection = pod.connect(SERVER_SIDE)
    for _ in range(asked):
        call(pod, connection)
    assert (pod.spans.crowded, pod.telemetry.not_emitted) == (crowded, crowded)
    assert len(pod.written()) == 4
    assert pod.metrics.total() == asked
    call(pod, connection)
    assert len(pod.written()) == 1


def test_room_for_a_crowd_is_given_back() -> None:
    """A writer that has grown beyond 1 MiB begins anew."""
    pod = Pod()
    connection = pod.connect(SERVER_SIDE)
    before = pod.spans.writer
    while before.size <= 1 << 20:
        call(pod, connection)
    with pod.spans.lend()[0] as lent:
        assert len(lent) > 1 << 20
    assert pod.spans.writer is not before
    call(pod, connection)
    kept = pod.spans.writer
    assert len(pod.written()) == 1
    assert pod.spans.writer is kept


def test_nothing_of_a_crowd_is_lost_on_the_way_to_a_backend() -> None:
    """A batch may be larger than a request: 4 MiB is what a Collector takes (grpc.max_receive_message_length)."""
    from receiver.otlp_out.encode import SpanRequests
    from receiver.telemetry.snapshot import Resource

    pod = Pod()
    connection = pod.connect(SERVER_SIDE)
    while pod.spans.writer.size < 5 << 20:
        call(pod, connection)
    lent, count = pod.spans.lend()
    with lent:
        made = list(SpanRequests(Resource((), "s", "1", ""), 4 << 20).split(lent, count))
    assert len(made) == 2
    assert sum(spans for _, spans in made) == count
    assert all(len(body) <= 4 << 20 for body, _ in made)
