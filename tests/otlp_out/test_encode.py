"""Expected values: opentelemetry-proto reads back what was written."""

import math

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from receiver.otlp_out.encode import MetricRequests, SpanRequests
from receiver.telemetry.otlp import any_value
from receiver.telemetry.snapshot import HistogramPoint, Metric, NumberPoint, Resource, Snapshot

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
RESOURCE = Resource(
    attributes=(
        ("service.name", "shop"),
        ("process.pid", 7),
        ("tags", ("a", "b")),
        ("ratio", 0.5),
        ("live", True),
        ("dead", False),
    ),
    scope_name="pcap-receiver",
    scope_version="1.2.3",
    schema_url=SCHEMA,
)
LIMIT = 3_670_016


def tagged(span: Span) -> bytes:
    from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

    return ScopeSpans(spans=[span]).SerializeToString()


def number_of(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(number_of(item) for item in value.array_value.values)
    return getattr(value, kind)


def pairs(attributes: list[KeyValue]) -> tuple[tuple[str, object], ...]:
    return tuple((a.key, number_of(a.value)) for a in attributes)


def read_metrics(requests: list[tuple[bytes, int]]) -> list[metrics_pb2.Metric]:
    out = []
    for payload, points in requests:
        request = ExportMetricsServiceRequest.FromString(payload)
        (resource_metrics,) = request.resource_metrics
        (scope_metrics,) = resource_metrics.scope_metrics
        assert pairs(resource_metrics.resource.attributes) == RESOURCE.attributes
        assert resource_metrics.schema_url == scope_metrics.schema_url == SCHEMA
        assert (scope_metrics.scope.name, scope_metrics.scope.version) == ("pcap-receiver", "1.2.3")
        counted = sum(len(getattr(m, m.WhichOneof("data")).data_points) for m in scope_metrics.metrics)
        assert counted == points
        out += scope_metrics.metrics
    return out


@pytest.mark.parametrize(
    "value",
    ["", "text", "žluťoučký", True, False, 0, 1, -1, 2**63 - 1, -(2**63), 0.0, -0.5, math.inf, (), ("a", ""), ("x",)],
)
def test_value_is_read_back_with_its_type(value):
    read = number_of(AnyValue.FromString(any_value(value)))
    assert read == value
    assert type(read) is type(value)


def test_value_of_over_64_bits_becomes_text():
    assert number_of(AnyValue.FromString(any_value(2**63))) == str(2**63)


def test_half_a_surrogate_pair_does_not_void_the_request():
    assert number_of(AnyValue.FromString(any_value("a\ud800b"))) == "a?b"


def test_nan_is_a_value():
    assert math.isnan(AnyValue.FromString(any_value(math.nan)).double_value)


def test_spans_arrive_inside_resource_and_scope():
    spans = [Span(name=f"GET {i}", span_id=bytes([i + 1] * 8)) for i in range(3)]
    ((payload, count),) = SpanRequests(RESOURCE, LIMIT).split(b"".join(map(tagged, spans)), 3)
    assert count == 3
    (resource_spans,) = ExportTraceServiceRequest.FromString(payload).resource_spans
    (scope_spans,) = resource_spans.scope_spans
    assert pairs(resource_spans.resource.attributes) == RESOURCE.attributes
    assert resource_spans.schema_url == scope_spans.schema_url == SCHEMA
    assert (scope_spans.scope.name, scope_spans.scope.version) == ("pcap-receiver", "1.2.3")
    assert list(scope_spans.spans) == spans


def test_resource_without_anything_is_legal():
    empty = Resource(attributes=(), scope_name="", scope_version="", schema_url="")
    ((payload, _),) = SpanRequests(empty, LIMIT).split(tagged(Span(name="x")), 1)
    assert ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0].name == "x"


@pytest.mark.parametrize("lent", [bytes, memoryview])
def test_blob_over_the_limit_is_split_between_spans(lent):
    spans = [Span(name="x" * (i * 97 % 3000)) for i in range(200)]
    requests = list(SpanRequests(RESOURCE, 16_384).split(lent(b"".join(map(tagged, spans))), 200))
    assert len(requests) > 1
    assert all(len(payload) <= 16_384 for payload, _ in requests)
    assert sum(count for _, count in requests) == 200
    read = []
    for payload, count in requests:
        found = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans
        assert len(found) == count
        read += found
    assert read == spans


@pytest.mark.parametrize("place", [0, 1, 2])
def test_span_too_large_alone_is_left_out_and_its_neighbours_stay(place):
    spans = [Span(name="a"), Span(name="b")]
    spans.insert(place, Span(name="x" * 20_000))
    requests = list(SpanRequests(RESOURCE, 16_384).split(b"".join(map(tagged, spans)), 3))
    assert sum(count for _, count in requests) == 2
    names = [
        s.name
        for p, _ in requests
        for s in ExportTraceServiceRequest.FromString(p).resource_spans[0].scope_spans[0].spans
    ]
    assert names == ["a", "b"]


def test_blob_that_is_no_row_of_spans_is_refused():
    with pytest.raises(ValueError, match="overruns"):
        list(SpanRequests(RESOURCE, 16_384).split(b"\x12\xff\xff\xff\x0f" + bytes(20_000), 1))


def counter(name="requests", points=(), monotonic=True):
    return Metric(
        name=name, unit="{request}", description="All of them", kind="sum", points=tuple(points), monotonic=monotonic
    )


def test_sum_is_cumulative_with_its_times():
    points = [
        NumberPoint(attributes=(("http.request.method", "GET"),), start_ns=5, value=7),
        NumberPoint(attributes=(), start_ns=6, value=2.5),
        NumberPoint(attributes=(("n", 1),), start_ns=6, value=-3),
        NumberPoint(attributes=(("n", 2),), start_ns=6, value=0),
    ]
    requests, dropped = MetricRequests(LIMIT).encode(
        Snapshot(1_000, RESOURCE, (counter(points=points, monotonic=False),))
    )
    (metric,) = read_metrics(requests)
    assert dropped == 0
    assert (metric.name, metric.unit, metric.description) == ("requests", "{request}", "All of them")
    assert metric.sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    assert metric.sum.is_monotonic is False
    read = metric.sum.data_points
    assert [p.start_time_unix_nano for p in read] == [5, 6, 6, 6]
    assert {p.time_unix_nano for p in read} == {1_000}
    assert [getattr(p, p.WhichOneof("value")) for p in read] == [7, 2.5, -3, 0]
    assert [p.WhichOneof("value") for p in read] == ["as_int", "as_double", "as_int", "as_int"]
    assert [pairs(p.attributes) for p in read] == [p.attributes for p in points]


def test_counter_is_monotonic():
    requests, _ = MetricRequests(LIMIT).encode(Snapshot(1, RESOURCE, (counter(points=[NumberPoint((), 1, 1)]),)))
    assert read_metrics(requests)[0].sum.is_monotonic is True


def test_gauge():
    gauge = Metric("flows", "{flow}", "", "gauge", (NumberPoint((), 0, 11),))
    (metric,) = read_metrics(MetricRequests(LIMIT).encode(Snapshot(9, RESOURCE, (gauge,)))[0])
    (point,) = metric.gauge.data_points
    assert (point.as_int, point.time_unix_nano, point.start_time_unix_nano) == (11, 9, 0)


def test_histogram():
    bounds = (0.005, 0.1, 1.0)
    points = (
        HistogramPoint((("m", "GET"),), 3, 10, 4.5, (1, 2, 3, 4)),
        HistogramPoint((("m", "PUT"),), 3, 0, 0.0, (0, 0, 0, 0)),
    )
    histogram = Metric("d", "s", "How long", "histogram", points, bounds=bounds)
    (metric,) = read_metrics(MetricRequests(LIMIT).encode(Snapshot(9, RESOURCE, (histogram,)))[0])
    assert metric.histogram.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    first, second = metric.histogram.data_points
    assert tuple(first.explicit_bounds) == bounds
    assert tuple(first.bucket_counts) == (1, 2, 3, 4)
    assert (first.count, first.sum, first.start_time_unix_nano, first.time_unix_nano) == (10, 4.5, 3, 9)
    assert second.HasField("sum")
    assert tuple(second.bucket_counts) == (0, 0, 0, 0)
    assert not first.HasField("min")
    assert pairs(first.attributes) == (("m", "GET"),)


def test_histogram_without_bounds_has_one_bucket():
    histogram = Metric("d", "s", "", "histogram", (HistogramPoint((), 1, 2, 3.0, (2,)),))
    (metric,) = read_metrics(MetricRequests(LIMIT).encode(Snapshot(9, RESOURCE, (histogram,)))[0])
    assert tuple(metric.histogram.data_points[0].bucket_counts) == (2,)
    assert tuple(metric.histogram.data_points[0].explicit_bounds) == ()


def test_second_snapshot_has_new_values_and_not_the_series_that_ended():
    requests = MetricRequests(LIMIT)
    one, two = (("k", "one"),), (("k", "two"),)
    requests.encode(Snapshot(1, RESOURCE, (counter(points=[NumberPoint(one, 1, 1), NumberPoint(two, 1, 1)]),)))
    (metric,) = read_metrics(requests.encode(Snapshot(2, RESOURCE, (counter(points=[NumberPoint(two, 1, 5)]),)))[0])
    (point,) = metric.sum.data_points
    assert (pairs(point.attributes), point.as_int, point.time_unix_nano) == (two, 5, 2)


def test_equal_attributes_of_other_types_stay_apart():
    requests = MetricRequests(LIMIT)
    values = [(("k", 1),), (("k", True),), (("k", 1.0),)]
    (metric,) = read_metrics(
        requests.encode(Snapshot(1, RESOURCE, (counter(points=[NumberPoint(v, 1, 1) for v in values]),)))[0]
    )
    assert [p.attributes[0].value.WhichOneof("value") for p in metric.sum.data_points] == [
        "int_value",
        "bool_value",
        "double_value",
    ]


def test_one_attributes_object_in_metrics_of_every_kind():
    shared = (("k", "v"),)
    metrics = (
        counter(points=[NumberPoint(shared, 1, 1)]),
        Metric("g", "", "", "gauge", (NumberPoint(shared, 0, 2),)),
        Metric("h", "s", "", "histogram", (HistogramPoint(shared, 1, 1, 1.0, (1, 0)),), bounds=(1.0,)),
        Metric("h3", "s", "", "histogram", (HistogramPoint(shared, 1, 1, 1.0, (1, 0, 0)),), bounds=(1.0, 2.0)),
    )
    encoder = MetricRequests(LIMIT)
    for time_ns in (1, 2):
        read = read_metrics(encoder.encode(Snapshot(time_ns, RESOURCE, metrics))[0])
        for metric in read:
            (point,) = getattr(metric, metric.WhichOneof("data")).data_points
            assert pairs(point.attributes) == shared
            assert point.time_unix_nano == time_ns


def test_snapshot_over_the_limit_is_split_and_complete():
    metrics = tuple(
        counter(name=f"m{n}", points=[NumberPoint((("k", f"{n}-{i}"),), 1, i) for i in range(100)]) for n in range(30)
    )
    requests, dropped = MetricRequests(8192).encode(Snapshot(1, RESOURCE, metrics))
    assert dropped == 0
    assert len(requests) > 10
    assert all(len(payload) <= 8192 for payload, _ in requests)
    read = [(m.name, p.as_int) for m in read_metrics(requests) for p in m.sum.data_points]
    assert read == [(f"m{n}", i) for n in range(30) for i in range(100)]


def test_point_too_large_alone_is_counted_and_its_neighbours_stay():
    points = [
        NumberPoint((("k", "a"),), 1, 1),
        NumberPoint((("k", "x" * 9000),), 1, 2),
        NumberPoint((("k", "b"),), 1, 3),
    ]
    requests, dropped = MetricRequests(8192).encode(Snapshot(1, RESOURCE, (counter(points=points),)))
    assert dropped == 1
    assert [p.as_int for m in read_metrics(requests) for p in m.sum.data_points] == [1, 3]


def test_empty_snapshot_makes_no_request():
    assert MetricRequests(LIMIT).encode(Snapshot(1, RESOURCE, (counter(),))) == ([], 0)
