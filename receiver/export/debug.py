"""The `debug` exporter: what is exported, on the log.

Room: export. `basic` counts, `normal` has a line for each span and series, `detailed` shows all of it. Spans are read back from
their own bytes, so what is shown is what a backend would get.
"""

from __future__ import annotations

import logging
from typing import Any

from receiver.config import DebugExporter as Settings
from receiver.export.exporter import Signals
from receiver.export.queue import QueueStats
from receiver.telemetry.snapshot import HistogramPoint, Resource, Snapshot

log = logging.getLogger(__name__)


class DebugExporter:
    def __init__(self, name: str, settings: Settings, resource: Resource) -> None:
        self.name = name
        self._verbosity = settings.verbosity
        self._resource = resource
        self._spans = 0
        self._points = 0

    def start(self) -> None:
        if self._verbosity == "detailed":
            log.info("%s: resource %s", self.name, " ".join(f"{key}={value}" for key, value in self._resource.attributes))

    def export_spans(self, blob: bytes | memoryview, count: int) -> None:
        self._spans += count
        log.info("%s: %d spans, %d bytes", self.name, count, len(blob))
        if self._verbosity == "basic":
            return
        for span in read_spans(bytes(blob)):
            for line in describe_span(span, full=self._verbosity == "detailed"):
                log.info("%s", line)

    def export_metrics(self, snapshot: Snapshot) -> None:
        points = sum(len(metric.points) for metric in snapshot.metrics)
        self._points += points
        log.info("%s: %d metrics, %d points", self.name, len(snapshot.metrics), points)
        if self._verbosity == "basic":
            return
        for line in describe_metrics(snapshot, full=self._verbosity == "detailed"):
            log.info("%s", line)

    def signals(self) -> Signals:
        spans = QueueStats(offered=self._spans, sent=self._spans)
        points = QueueStats(offered=self._points, sent=self._points)
        return [("traces", "spans", spans), ("metrics", "metric_points", points)]

    def stop(self, deadline_s: float) -> None:
        """There is nothing that could wait."""

    def shutdown(self, deadline_s: float) -> None:
        """There is nothing that could wait."""


def read_spans(blob: bytes) -> list[Any]:
    """The Span messages of a run of ScopeSpans fields."""
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

    return list(ScopeSpans.FromString(blob).spans)


def describe_span(span: Any, *, full: bool) -> list[str]:
    """One line for a span; with `full`, a line more for each attribute. Each is a record of the log: a line break in a value, which
    somebody may have sent, is told there from one of ours."""
    kinds = ("?", "internal", "server", "client", "producer", "consumer")
    took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    parent = span.parent_span_id.hex() or "none"
    line = (
        f"span {span.name!r} {kinds[span.kind]} {took:.3f} ms trace={span.trace_id.hex()} id={span.span_id.hex()}"
        f" parent={parent}" + (" error" if span.status.code == 2 else "")
    )
    if not full:
        return [line]
    pairs = [f"    {item.key} = {_plain(item.value)}" for item in span.attributes]
    if span.trace_state:
        pairs.append(f"    tracestate: {span.trace_state}")
    return [line, *pairs]


def describe_metrics(snapshot: Snapshot, *, full: bool) -> list[str]:
    """A line for each series."""
    lines = []
    for metric in snapshot.metrics:
        for point in metric.points:
            labels = ", ".join(f"{key}={value}" for key, value in point.attributes)
            if isinstance(point, HistogramPoint):
                text = f"count={point.count} sum={point.sum:.6f} {metric.unit}"
                if full:
                    text += f" buckets={list(point.bucket_counts)}"
            else:
                text = f"{point.value} {metric.unit}"
            lines.append(f"{metric.name}{{{labels}}} {text}")
    return lines


def _plain(value: Any) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else ""
