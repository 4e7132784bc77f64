"""Routes in spans and metrics: those that somebody configured, those that are guessed, and where either stands."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver.telemetry.routes import RouteTable
from tests.l7.harness import CLIENT_SIDE, SERVER_SIDE
from tests.telemetry.pod import Pod

ROUTE = {SERVER_SIDE: "http.route", CLIENT_SIDE: "url.template"}
SOURCE = "pcap_receiver.http.route.source"
APART = "pcap_receiver.http.route"


def call(vantage: int, path: str, apart: bool = False, heuristic: bool = True) -> tuple[Span, dict[str, Any], dict[str, Any]]:
    """The span of one request, its attributes, and those of the metric's only series."""
    pod = Pod()
    pod.metrics.set_routes(RouteTable(["/orders/{order}"], heuristic), apart)
    (span,) = pod.call(vantage, line=f"GET {path}")
    (metric,) = (metric for metric in pod.metrics.durations() if metric.points)
    (point,) = metric.points
    return span, {pair.key: pair.value.string_value for pair in span.attributes}, dict(point.attributes)


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_guessed_route_is_the_route_and_said_to_be_guessed(vantage: int) -> None:
    span, shown, labels = call(vantage, "/users/4711/carts?x=1")
    assert span.name == "GET /users/{id}/carts"
    for attributes in (shown, labels):
        assert (attributes[ROUTE[vantage]], attributes[SOURCE]) == ("/users/{id}/carts", "heuristic")
        assert APART not in attributes


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
@pytest.mark.parametrize("apart", [False, True])
def test_configured_route_is_vouched_for(vantage: int, apart: bool) -> None:
    span, shown, labels = call(vantage, "/orders/17", apart)
    assert span.name == "GET /orders/{order}"
    for attributes in (shown, labels):
        assert attributes[ROUTE[vantage]] == "/orders/{order}" and SOURCE not in attributes and APART not in attributes


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_guess_apart_splits_metrics_alone(vantage: int) -> None:
    span, shown, labels = call(vantage, "/users/4711", apart=True)
    assert span.name == "GET" and labels[APART] == "/users/{id}"
    assert not {ROUTE[vantage], SOURCE} & labels.keys() and not {ROUTE[vantage], SOURCE, APART} & shown.keys()


@pytest.mark.parametrize("vantage", [SERVER_SIDE, CLIENT_SIDE])
def test_without_a_guess_there_is_no_route(vantage: int) -> None:
    span, shown, labels = call(vantage, "/users/4711", heuristic=False)
    assert span.name == "GET"
    assert not {ROUTE[vantage], SOURCE, APART} & (shown.keys() | labels.keys())


def test_whether_guesses_stand_apart_may_change_and_counters_stay() -> None:
    pod = Pod()
    seen = []
    for apart in (False, True, False):
        pod.metrics.set_routes(RouteTable(), apart)
        (span,) = pod.call(SERVER_SIDE, line="GET /users/1")
        seen.append(span.name)
    assert seen == ["GET /users/{id}", "GET", "GET /users/{id}"]
    (metric,) = (metric for metric in pod.metrics.durations() if metric.points)
    counted = {dict(point.attributes).get("http.route"): point.count for point in metric.points}
    assert counted == {"/users/{id}": 2, None: 1}
