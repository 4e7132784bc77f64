"""Snapshot and resource -> the bytes of OTLP requests (opentelemetry-proto 1.11).

Room: otlp_out. Knows no protocol. Requests are joined from parts that stay the same from snapshot to snapshot; only
times and values are packed anew. Field numbers stand in comments as `Message.field = number`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from receiver.telemetry.otlp import INT64, key_value
from receiver.telemetry.snapshot import (
    Attributes,
    HistogramPoint,
    Metric,
    NumberPoint,
    Resource,
    Snapshot,
)
from receiver.wire.protobuf import integer, message, opening, read_varint, text, varint

CUMULATIVE = 2  # AggregationTemporality

# Lengths of the five enclosing messages and their tags: 5 * (1 + 5) bytes at most, rounded up.
_ENVELOPE = 64

# [0x11 start fixed64][0x19 time fixed64][0x31 as_int sfixed64 | 0x21 as_double]    NumberDataPoint 2, 3, 6 | 4
_INT_POINT = struct.Struct("<BQBQBq")
_DOUBLE_POINT = struct.Struct("<BQBQBd")
# [0x11 start][0x19 time][0x21 count fixed64][0x29 sum double]                      HistogramDataPoint 2, 3, 4, 5
_HISTOGRAM_POINT = struct.Struct("<BQBQBQBd")


def encode_attributes(field: int, attributes: Attributes) -> bytes:
    """Repeated KeyValue {key = 1, value = 2} under `field`."""
    return b"".join(message(field, key_value(name, value)) for name, value in attributes)


def encode_resource(resource: Resource) -> bytes:
    """Resource: attributes = 1."""
    return encode_attributes(1, resource.attributes)


def encode_scope(resource: Resource) -> bytes:
    """InstrumentationScope: name = 1, version = 2."""
    return text(1, resource.scope_name) + text(2, resource.scope_version)


class SpanRequests:
    """Wraps blobs of spans, already tagged as `ScopeSpans.spans = 2`, into ExportTraceServiceRequests."""

    def __init__(self, resource: Resource, max_size: int) -> None:
        """`max_size` bounds each request, in bytes before compression."""
        # ResourceSpans and ScopeSpans: resource | scope = 1, schema_url = 3.
        self._resource = message(1, encode_resource(resource))
        self._scope = message(1, encode_scope(resource))
        self._schema = text(3, resource.schema_url)
        self._room = max_size - len(self._resource) - len(self._scope) - 2 * len(self._schema) - _ENVELOPE

    def wrap(self, blob: bytes | memoryview) -> bytes:
        schema = self._schema
        scope_spans = len(self._scope) + len(blob) + len(schema)
        scope_head = b"\x12" + varint(scope_spans)  # ResourceSpans.scope_spans = 2
        resource_spans = len(self._resource) + len(scope_head) + scope_spans + len(schema)
        head = b"\x0a" + varint(resource_spans)  # ExportTraceServiceRequest.resource_spans = 1
        return b"".join((head, self._resource, scope_head, self._scope, blob, schema, schema))

    def split(self, blob: bytes | memoryview, count: int) -> Iterator[tuple[bytes, int]]:
        """Requests with their numbers of spans. Spans that are too large alone are missing from the sum.

        Raises ValueError when the blob is not a row of `spans` fields.
        """
        if len(blob) <= self._room:
            yield self.wrap(blob), count
            return
        begin = at = spans = 0
        while at < len(blob):
            if blob[at] != 0x12:
                raise ValueError(f"not a span at {at}")
            length, content = read_varint(blob, at + 1)
            end = content + length
            if end > len(blob):
                raise ValueError(f"span overruns at {at}")
            if end - begin > self._room:
                if spans:
                    yield self.wrap(blob[begin:at]), spans
                begin, spans = at, 0
                if end - at > self._room:
                    begin = at = end
                    continue
            spans += 1
            at = end
        if spans:
            yield self.wrap(blob[begin:at]), spans


class _Cached:
    """What stays the same of one series: everything before the values, and the attributes behind them."""

    __slots__ = ("attributes", "head", "tail")

    def __init__(self, attributes: Attributes, head: bytes, tail: bytes) -> None:
        self.attributes = attributes  # holds the tuple alive, so that its id stays its own
        self.head = head
        self.tail = tail


class MetricRequests:
    """Turns snapshots into ExportMetricsServiceRequests of at most `max_size` bytes. Not thread-safe.

    Attributes are known again by identity, not by equality: `1`, `True` and `1.0` are equal and yet three values. The
    cache is made anew from the series of each snapshot, so it never holds more than one snapshot does.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._cache: dict[tuple[str, int], dict[int, _Cached]] = {}
        self._resource: Resource | None = None
        self._envelope = (b"", b"", b"")

    def encode(self, snapshot: Snapshot) -> tuple[list[tuple[bytes, int]], int]:
        """Requests with their numbers of points, and how many points are too large to be sent at all."""
        if snapshot.resource is not self._resource:
            self._resource = snapshot.resource
            # ResourceMetrics and ScopeMetrics: resource | scope = 1, schema_url = 3.
            self._envelope = (
                message(1, encode_resource(snapshot.resource)),
                message(1, encode_scope(snapshot.resource)),
                text(3, snapshot.resource.schema_url),
            )
        resource, scope, schema = self._envelope
        room = self._max_size - len(resource) - len(scope) - 2 * len(schema) - _ENVELOPE
        cache: dict[tuple[str, int], dict[int, _Cached]] = {}
        requests: list[tuple[bytes, int]] = []
        metrics: list[bytes] = []  # of the open request, in parts
        used = points = dropped = 0

        def close() -> None:
            nonlocal used, points
            if points:
                size = len(scope) + sum(map(len, metrics)) + len(schema)
                inner = opening(2, size)  # ResourceMetrics.scope_metrics = 2
                outer = opening(1, len(resource) + len(inner) + size + len(schema))
                requests.append((b"".join((outer, resource, inner, scope, *metrics, schema, schema)), points))
            metrics.clear()
            used = points = 0

        for metric in snapshot.metrics:
            head, field, flags = self._describe(metric)
            overhead = len(head) + len(flags) + 24  # tags and lengths of the metric, its kind and its flags
            kept: list[bytes] = []

            def close_metric(
                metric_head: bytes, metric_field: int, metric_flags: bytes, metric_points: list[bytes]
            ) -> None:
                if metric_points:
                    size = sum(map(len, metric_points)) + len(metric_flags)
                    kind = opening(metric_field, size)
                    metrics.append(opening(2, len(metric_head) + len(kind) + size))  # ScopeMetrics.metrics = 2
                    metrics.extend((metric_head, kind, *metric_points, metric_flags))
                    metric_points.clear()

            used += overhead
            for size, part in self._points(metric, snapshot.time_ns, cache):
                if size + overhead > room:
                    dropped += 1
                    continue
                if used + size > room:
                    close_metric(head, field, flags, kept)
                    close()
                    used = overhead
                kept.append(part)
                used += size
                points += 1
            close_metric(head, field, flags, kept)
        close()
        self._cache = cache
        return requests, dropped

    @staticmethod
    def _describe(metric: Metric) -> tuple[bytes, int, bytes]:
        """Metric: name = 1, description = 2, unit = 3; the field of its kind: gauge = 5, sum = 7, histogram = 9; what
        that kind says beside points: aggregation_temporality = 2, Sum.is_monotonic = 3."""
        head = text(1, metric.name) + text(2, metric.description) + text(3, metric.unit)
        if metric.kind == "gauge":
            return head, 5, b""
        if metric.kind == "sum":
            return head, 7, integer(2, CUMULATIVE) + integer(3, int(metric.monotonic))
        return head, 9, integer(2, CUMULATIVE)

    def _points(
        self, metric: Metric, time_ns: int, cache: dict[tuple[str, int], dict[int, _Cached]]
    ) -> Iterator[tuple[int, bytes]]:
        # The points' lengths are part of what is cached, and they depend on the number of bounds.
        key = (metric.kind, len(metric.bounds))
        old = self._cache.get(key, {})
        new = cache.setdefault(key, {})
        if metric.kind == "histogram":
            counts = struct.Struct(f"<{len(metric.bounds) + 1}Q")
            bounds = message(7, struct.pack(f"<{len(metric.bounds)}d", *metric.bounds)) if metric.bounds else b""
            between = b"\x32" + varint(counts.size)  # bucket_counts = 6, packed
            fixed = _HISTOGRAM_POINT.size + len(between) + counts.size + len(bounds)
            for point in metric.points:
                assert isinstance(point, HistogramPoint)
                cached = self._cached(point.attributes, 9, fixed, old, new)
                part = b"".join(
                    (
                        cached.head,
                        _HISTOGRAM_POINT.pack(0x11, point.start_ns, 0x19, time_ns, 0x21, point.count, 0x29, point.sum),
                        between,
                        counts.pack(*point.bucket_counts),
                        bounds,
                        cached.tail,
                    )
                )
                yield len(part), part
            return
        for point in metric.points:
            assert isinstance(point, NumberPoint)
            value = point.value
            cached = self._cached(point.attributes, 7, _INT_POINT.size, old, new)
            if isinstance(value, int) and value in INT64:
                packed = _INT_POINT.pack(0x11, point.start_ns, 0x19, time_ns, 0x31, value)
            else:
                packed = _DOUBLE_POINT.pack(0x11, point.start_ns, 0x19, time_ns, 0x21, value)
            part = cached.head + packed + cached.tail
            yield len(part), part

    @staticmethod
    def _cached(
        attributes: Attributes, field: int, fixed: int, old: dict[int, _Cached], new: dict[int, _Cached]
    ) -> _Cached:
        key = id(attributes)
        cached = new.get(key) or old.get(key)
        if cached is None or cached.attributes is not attributes:
            tail = encode_attributes(field, attributes)
            # Gauge, Sum and Histogram all have data_points = 1.
            cached = _Cached(attributes, b"\x0a" + varint(fixed + len(tail)), tail)
        new[key] = cached
        return cached
