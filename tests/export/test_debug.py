"""The debug exporter on the log: a line for each thing, and none that somebody else has written."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import DebugExporter as Settings
from receiver.export.debug import DebugExporter
from receiver.logs import LineFormatter
from receiver.telemetry.snapshot import Resource

FORGED = "a\n2025-01-31T12:00:00.250Z\tinfo\treceiver.service\tstopped: all is well\n    url.path = /other"

RESOURCE = Resource((("service.name", "shop\nx"),), "receiver", "1", "")


@pytest.fixture
def output() -> Iterator[StringIO]:
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(json_lines=False, tracebacks=False))
    logger = logging.getLogger("receiver.export.debug")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def spans(*attributes: tuple[str, str]) -> bytes:
    span = Span(name=FORGED, trace_id=bytes(16), span_id=bytes(8), kind=Span.SPAN_KIND_SERVER)
    for key, value in attributes:
        span.attributes.add(key=key).value.string_value = value
    return ScopeSpans(spans=[span]).SerializeToString()


def test_detailed_has_a_line_for_each_attribute_and_a_value_never_makes_one(output: StringIO) -> None:
    exporter = DebugExporter("debug", Settings(verbosity="detailed"), RESOURCE)
    exporter.start()
    exporter.export_spans(spans(("url.path", FORGED), ("http.request.method", "GET")), 1)
    lines = [line.split("\t") for line in output.getvalue().splitlines()]
    assert [line[1:3] for line in lines] == [["info", "receiver.export.debug"]] * 5
    said = [line[3] for line in lines]
    assert said[0] == "debug: resource service.name=shop\\nx"
    assert said[2].startswith("span ")
    assert said[3] == f"    url.path = {FORGED}".replace("\n", "\\n").replace("\t", "\\t")
    assert said[4] == "    http.request.method = GET"


def test_normal_has_a_line_for_each_span(output: StringIO) -> None:
    exporter = DebugExporter("debug", Settings(verbosity="normal"), RESOURCE)
    exporter.export_spans(spans(("url.path", FORGED)), 1)
    assert len(output.getvalue().splitlines()) == 2
