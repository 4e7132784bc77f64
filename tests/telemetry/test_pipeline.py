"""Whose child a span is, what a link says, and what is done beside an application that has spans of its own.

HTTP/1 in, spans out, read back with protobuf. Rules: docs/trace-context.md; numbers: opentelemetry/proto/trace/v1/trace.proto.
"""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver.config import Traces
from receiver.telemetry.sampling import Sampler
from tests.l7.harness import CLIENT_SIDE, SERVER_SIDE
from tests.telemetry.pod import Pod

T = "0af7651916cd43dd8448eb211c80319c"
P = "b7ad6b7169203331"
Q = "00f067aa0ba902b7"
# SpanFlags: SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK 0x100, SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK 0x200
LOCAL, REMOTE = 0x100, 0x300
SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL
EXPORT = "POST /v1/traces"
INBOUND_MAX = 4096  # as in pipeline.py, whose own is a C integer


def context(parent: str = P, flags: str = "01", trace: str = T) -> str:
    return f"traceparent: 00-{trace}-{parent}-{flags}\r\n"


def ids(span: Span) -> tuple[str, str, int]:
    return span.trace_id.hex(), span.parent_span_id.hex(), span.flags


def test_inbound_is_a_child_of_the_caller() -> None:
    (span,) = Pod().call(SERVER_SIDE, context() + "tracestate: a=1\r\n")
    assert ids(span) == (T, P, REMOTE | 1)
    assert (span.kind, span.trace_state, list(span.links)) == (SERVER, "a=1", [])
    assert span.span_id.hex() != P


def test_outbound_with_an_inbound_requests_context_is_a_child_of_its_span() -> None:
    pod = Pod()
    inbound = pod.begin(SERVER_SIDE, context())
    (outbound,) = pod.call(CLIENT_SIDE, context())
    span = pod.answer(inbound)
    assert ids(outbound) == (T, span.span_id.hex(), LOCAL | 1)
    assert outbound.kind == CLIENT


def test_outbound_with_another_context_is_a_child_of_what_it_names() -> None:
    pod = Pod()
    pod.begin(SERVER_SIDE, context())
    (outbound,) = pod.call(CLIENT_SIDE, context(Q))
    assert ids(outbound) == (T, Q, REMOTE | 1)


def test_without_a_context_a_span_is_a_root() -> None:
    (span,) = Pod().call(SERVER_SIDE)
    assert (span.parent_span_id, span.flags) == (b"", 3)  # sampled, and the id is random
    assert len(span.trace_id) == 16


def test_oldest_inbound_context_is_forgotten_beyond_the_limit() -> None:
    pod = Pod()
    kept = pod.begin(SERVER_SIDE, context(f"{1:016x}"))
    for number in range(2, INBOUND_MAX + 1):
        pod.begin(SERVER_SIDE, context(f"{number:016x}"))
    (outbound,) = pod.call(CLIENT_SIDE, context(f"{1:016x}"))
    assert outbound.parent_span_id == pod.answer(kept).span_id
    pod.begin(SERVER_SIDE, context(Q))
    (outbound,) = pod.call(CLIENT_SIDE, context(f"{1:016x}"))
    assert outbound.parent_span_id.hex() == f"{1:016x}"


# --- who decides about sampling ---


@pytest.mark.parametrize("headers", [context(flags="00"), f"b3: {T}-{P}-0\r\n", "b3: 0\r\n", "X-B3-Sampled: 0\r\n"])
def test_what_the_caller_does_not_sample_is_no_span(headers: str) -> None:
    """openzipkin/b3-propagation: a lone deny decision carries no ids, and is followed all the same."""
    pod = Pod(propagators=("tracecontext", "b3"))
    assert pod.call(SERVER_SIDE, headers) == []
    assert (pod.telemetry.not_sampled, pod.metrics.total()) == (1, 1)
    assert len(Pod(sampler=Sampler(respect_sampled=False), propagators=("tracecontext", "b3")).call(SERVER_SIDE, headers)) == 1


@pytest.mark.parametrize("headers", ["b3: 1\r\n", "b3: d\r\n", "X-B3-Flags: 1\r\n"])
def test_accept_without_ids_is_a_new_trace_that_is_sampled(headers: str) -> None:
    (span,) = Pod(sampler=Sampler("parentbased_always_off"), propagators=("b3",)).call(SERVER_SIDE, headers)
    assert (span.parent_span_id, span.flags) == (b"", 3)


def test_decision_that_the_caller_left_open_is_ours() -> None:
    headers = f"b3: {T}-{P}\r\n"
    (span,) = Pod(propagators=("b3",)).call(SERVER_SIDE, headers)
    assert ids(span) == (T, P, REMOTE | 1)
    assert Pod(sampler=Sampler("parentbased_always_off"), propagators=("b3",)).call(SERVER_SIDE, headers) == []


# --- traces.context: link ---

LINK = Traces(context="link")


def test_linked_caller_is_no_parent() -> None:
    (span,) = Pod(LINK).call(SERVER_SIDE, context() + "tracestate: a=1\r\n")
    assert (span.parent_span_id, span.flags, span.trace_state) == (b"", 3, "")
    assert len(span.trace_id) == 16 and span.trace_id.hex() != T
    (link,) = span.links
    assert (link.trace_id.hex(), link.span_id.hex(), link.flags, link.trace_state) == (T, P, REMOTE | 1, "a=1")


def test_calls_made_meanwhile_stay_in_the_trace_that_begins_here() -> None:
    pod = Pod(LINK)
    inbound = pod.begin(SERVER_SIDE, context())
    (outbound,) = pod.call(CLIENT_SIDE, context())
    span = pod.answer(inbound)
    assert ids(outbound) == (span.trace_id.hex(), span.span_id.hex(), LOCAL | 3)
    assert [link.span_id.hex() for link in span.links] == [P]
    assert list(outbound.links) == []


def test_linked_caller_does_not_decide_about_sampling() -> None:
    (span,) = Pod(LINK).call(SERVER_SIDE, context(flags="00"))
    assert span.links[0].flags == REMOTE
    assert Pod(LINK, Sampler("parentbased_always_off")).call(SERVER_SIDE, context()) == []


def test_without_a_context_there_is_nothing_to_link() -> None:
    (span,) = Pod(LINK).call(SERVER_SIDE)
    assert (span.parent_span_id, span.flags, list(span.links)) == (b"", 3, [])


# --- traces.when_instrumented ---


def instrumented(pod: Pod) -> None:
    """The application calls with a context that nobody brought it."""
    pod.begin(CLIENT_SIDE, context(Q))


def test_spans_beside_an_instrumented_application_are_emitted_unless_said_otherwise() -> None:
    pod = Pod()
    instrumented(pod)
    (span,) = pod.call(SERVER_SIDE, context())
    assert span.kind == SERVER


@pytest.mark.parametrize("evidence", [context(Q), context(Q, trace="f" * 32)])
def test_metrics_only_leaves_the_spans_to_the_application(evidence: str) -> None:
    pod = Pod(Traces(when_instrumented="metrics_only"))
    (before,) = pod.call(SERVER_SIDE, context())
    assert before.kind == SERVER
    assert pod.call(CLIENT_SIDE, evidence) == []
    assert pod.call(SERVER_SIDE, context()) == []
    assert pod.call(SERVER_SIDE) == []
    assert (pod.telemetry.instrumented, pod.telemetry.written, pod.metrics.total()) == (3, 1, 4)


def test_internal_spans_stay_where_they_are() -> None:
    pod = Pod(Traces(when_instrumented="internal"))
    instrumented(pod)
    (inbound,) = pod.call(SERVER_SIDE, context())
    assert inbound.kind == INTERNAL
    assert ids(inbound) == (T, P, REMOTE | 1)
    (outbound,) = pod.call(CLIENT_SIDE, context(Q))
    assert outbound.kind == INTERNAL
    assert ids(outbound) == (T, Q, REMOTE | 1)


@pytest.mark.parametrize("line", [EXPORT, "POST /opentelemetry.proto.collector.trace.v1.TraceService/Export"])
def test_application_that_exports_spans_is_instrumented(line: str) -> None:
    """It need not call anybody else, and what it passes on unchanged proves nothing against it."""
    pod = Pod(Traces(when_instrumented="internal"))
    pod.call(CLIENT_SIDE, "", line)
    pod.begin(SERVER_SIDE, context())
    pod.begin(CLIENT_SIDE, context())
    (span,) = pod.call(SERVER_SIDE)
    assert span.kind == INTERNAL


def test_spans_that_are_exported_to_us_say_nothing_of_us() -> None:
    pod = Pod(Traces(when_instrumented="internal"))
    pod.call(SERVER_SIDE, "", EXPORT)
    (span,) = pod.call(SERVER_SIDE)
    assert span.kind == SERVER


def test_application_that_passes_contexts_on_is_not_instrumented() -> None:
    pod = Pod(Traces(when_instrumented="metrics_only"))
    instrumented(pod)  # its inbound request came before we looked
    pod.begin(SERVER_SIDE, context())
    (outbound,) = pod.call(CLIENT_SIDE, context())
    assert outbound.kind == CLIENT
    (inbound,) = pod.call(SERVER_SIDE, context())
    assert inbound.kind == SERVER


# --- traces.context: both_ends ---

BOTH = Traces(context="both_ends")


def test_both_ends_agree_on_the_span_between_them() -> None:
    """A service that only passes the header on: what is behind it would be a child of what is before it."""
    middle, last = Pod(), Pod(BOTH)
    inbound = middle.begin(SERVER_SIDE, context())
    (call,) = middle.call(CLIENT_SIDE, context())
    (behind,) = last.call(SERVER_SIDE, context())
    assert ids(behind) == (T, call.span_id.hex(), REMOTE | 1)
    assert call.parent_span_id == middle.answer(inbound).span_id


def test_same_context_again_on_one_connection_is_another_span_at_both_ends() -> None:
    middle, last = Pod(), Pod(BOTH)
    calls, served = [], []
    for pod, vantage, spans in ((middle, CLIENT_SIDE, calls), (last, SERVER_SIDE, served)):
        connection = pod.begin(vantage, context())
        spans.append(pod.answer(connection))
        for parent in (Q, P, P):
            pod.ask(connection, context(parent))
            spans.append(pod.answer(connection))
    assert [span.parent_span_id for span in served] == [span.span_id for span in calls]
    assert len({span.span_id for span in calls}) == 4


def test_calls_made_meanwhile_are_children_of_our_span_beside_receivers_too() -> None:
    pod = Pod(BOTH)
    inbound = pod.begin(SERVER_SIDE, context())
    (outbound,) = pod.call(CLIENT_SIDE, context())
    assert outbound.parent_span_id == pod.answer(inbound).span_id
