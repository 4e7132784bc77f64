"""Each bucket scheme against its definition, at any value, wherever something is counted in buckets, and as each exporter tells it.

The definitions are worked out here in whole numbers and decimals, and share nothing with the code but the conventions' bounds.
VictoriaMetrics' is that of VictoriaMetrics/metrics, histogram.go: `(log10(v) + 9) * 18`, cut to a whole number, one less where it
is one already and not the first; below 1e-9 (0 as well) and from 1e18 on there is a bucket each.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from receiver.otlp_out.encode import MetricRequests
from receiver.pcap.layer4 import Layer4
from receiver.pcap.layer4_rows import CounterTable
from receiver.remote_write.encode import WriteRequests
from receiver.telemetry import semconv
from receiver.telemetry.histogram import Buckets
from receiver.telemetry.layer4 import HISTOGRAMS, Layer4Metrics, histograms
from receiver.telemetry.snapshot import HistogramPoint, Metric, Resource, Snapshot
from receiver.telemetry.vmrange import BOUNDS, LABELS
from tests.pcap.packets import SYN, Line, Wire, engine
from tests.remote_write.messages import V1, V2

LARGEST = 2**63 - 1
NS = 10**9
FORMS = {shape.metric.bounds for shape in semconv.SHAPES if shape.metric is not None}


def edge_ns(k: int) -> int:
    """The largest whole number up to 10^(k/18): the last that belongs below the k-th edge, in units of 1e-9."""
    low, high = 0, 1 << (k // 5 + 2)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**18 <= 10**k else (low, middle)
    return low


def range_of(value: Fraction) -> int:
    """The bucket of a value by the definition: 0 below 1e-9, 487 from 1e18 on."""
    if value < Fraction(1, NS):
        return 0
    if value >= 10**18:
        return 487
    # (log10(v) + 9) * 18 <= k is v^18 <= 10^(k - 162).
    nano = value * NS
    low, high = 0, 486
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if nano**18 <= 10**middle else (middle + 1, high)
    return max(low, 1)


def label_of(index: int) -> str:
    def text(k: int) -> str:
        return f"{Decimal(10) ** (Decimal(k % 18) / 18):.3f}e{k // 18 - 9:+03d}"

    return f"{text(index - 1) if index else '0'}...{text(index) if index < 487 else '+Inf'}"


def explicit_of(value: Fraction, of: tuple[float, ...]) -> int:
    """Upper bounds are inclusive (OTLP data model, "Histogram"); a bound is the decimal that the conventions write."""
    return sum(value > Fraction(repr(bound)) for bound in of)


# Whole numbers of every length; the edges of both schemes and their neighbours; what C and doubles end at.
edges = st.integers(0, 340).map(edge_ns) | st.sampled_from(sorted({round(bound * NS) for form in FORMS for bound in form}))
values = (
    st.integers(0, LARGEST)
    | st.integers(0, 62).flatmap(lambda bits: st.integers(0, 1 << bits))
    | st.builds(lambda edge, by: min(LARGEST, max(0, edge + by)), edges, st.sampled_from((-1, 0, 1)))
    | st.sampled_from((0, 1, 2, 10**17, 10**18 - 1, 10**18, 10**18 + 1, 2**53, 2**53 + 1, LARGEST))
)


def is_near_an_edge(value: int, unit: int) -> bool:
    """Whether doubles, of 53 bits, cannot tell on which side of an edge it is. On a power of ten they can."""
    around = Fraction(value, unit << 51)
    exact = Fraction(value, unit)
    return value != 10 ** (len(str(value)) - 1) and range_of(exact - around) != range_of(exact + around)


# --- the table ---


@pytest.mark.parametrize(
    ("index", "expected"),
    [  # VictoriaMetrics/metrics, histogram_test.go; the first index here is the range below 1e-9
        (0, "0...1.000e-09"),
        (1, "1.000e-09...1.136e-09"),
        (162, "8.799e-01...1.000e+00"),
        (163, "1.000e+00...1.136e+00"),
        (198, "8.799e+01...1.000e+02"),
        (486, "8.799e+17...1.000e+18"),
        (487, "1.000e+18...+Inf"),
    ],
)
def test_texts_of_the_source(index: int, expected: str) -> None:
    assert LABELS[index] == expected
    assert label_of(index) == expected


def test_texts_are_the_products_of_the_source() -> None:
    """It multiplies its way up; and they are what the definition says."""
    value, factor, texts = 1e-9, 10 ** (1 / 18), ["0...1.000e-09"]
    for _ in range(27 * 18):
        texts.append(f"{value:.3e}...{value * factor:.3e}")
        value *= factor
    assert list(LABELS) == [*texts, "1.000e+18...+Inf"] == [label_of(index) for index in range(488)]


def test_bounds_are_apart_and_the_nearest_doubles() -> None:
    assert len(set(BOUNDS)) == len(BOUNDS) == len(LABELS) - 1 == 487
    assert list(BOUNDS) == sorted(BOUNDS)
    with localcontext() as context:
        context.prec = 40
        assert list(BOUNDS[1:-1]) == [float(Decimal(10) ** (Decimal(i) / 18 - 9)) for i in range(1, 486)]
    assert 0 < Decimal("1e-9") - Decimal(BOUNDS[0]) < Decimal("1e-24")
    assert 0 < Decimal("1e18") - Decimal(BOUNDS[486]) <= 128


# --- where it is counted ---


@given(values)
def test_durations_are_counted_by_definition(value: int) -> None:
    for form in FORMS:
        buckets = Buckets(form, True)
        buckets.add_row()
        buckets.record(0, value)
        assert buckets.counts_of(0).index(1) == explicit_of(Fraction(value, NS), form)
        assert sum(buckets.counts_of(0)) == 1
        assert buckets.sum_of(0) == pytest.approx(value / NS, rel=1e-15)
        ((index, count),) = buckets.ranges_of(0)
        assert count == 1
        assert index == range_of(Fraction(value, NS)) or is_near_an_edge(value, NS)


def test_every_edge_of_a_duration() -> None:
    """On the edge, one nanosecond below and above it, up to the largest number that there is."""
    tried = 0
    for k in range(343):
        edge = edge_ns(k)
        assert edge**18 <= 10**k < (edge + 1) ** 18
        for value in (edge - 1, edge, edge + 1):
            if value < 0 or value > LARGEST or is_near_an_edge(value, NS):
                continue
            tried += 1
            buckets = Buckets((), True)
            buckets.add_row()
            buckets.record(0, value)
            assert buckets.ranges_of(0) == ((range_of(Fraction(value, NS)), 1),), value
    assert tried > 750  # of 1 029


def layer4() -> tuple[CounterTable, Any]:
    """With one row of counters, as one connection makes it."""
    counting = Layer4(CounterTable(histograms(), (), 2000, BOUNDS))
    on = engine()
    on.table.layer4 = counting
    Line(Wire(type(on)(on.table, on.reading, None, False, counting))).c(flags=SYN)
    return counting.table, counting.table.everything()[0]


NUMBERS = [(each.name, int(each.unit)) for each in HISTOGRAMS]


@given(values, st.integers(0, len(NUMBERS) - 1))
def test_figures_of_connections_are_counted_by_definition(value: int, number: int) -> None:
    name, unit = NUMBERS[number]
    counting, row = layer4()
    counting.record(row, number, value)
    (point,) = shapes(counting)[name].points
    assert point.bucket_counts.index(1) == explicit_of(Fraction(value, unit), semconv.LAYER4[name].bounds)
    assert (point.count, sum(point.bucket_counts)) == (1, 1)
    assert point.sum == pytest.approx(value / unit, rel=1e-15)
    ((index, count),) = point.vmrange
    assert count == 1
    assert index == range_of(Fraction(value, unit)) or is_near_an_edge(value, unit)


def shapes(counting: Layer4) -> dict[str, Metric]:
    metrics = Layer4Metrics(counting).metrics()
    return {metric.name: metric for metric in metrics if metric.kind == "histogram"}


def test_what_is_negative_counts_as_nothing() -> None:
    buckets = Buckets((0.001,), True)
    buckets.add_row()
    buckets.record(0, -1)
    assert (buckets.counts_of(0), buckets.ranges_of(0), buckets.sum_of(0)) == ((1, 0), ((0, 1),), 0)
    counting, row = layer4()
    counting.record(row, 0, -1)
    ((point,),) = (metric.points for metric in shapes(counting).values())
    assert (point.bucket_counts[0], point.vmrange, point.sum) == (1, ((0, 1),), 0)


def test_copy_stays_as_it_was() -> None:
    buckets = Buckets((0.001,), True)
    first = buckets.add_row()
    buckets.record(first, 1_000_000)
    copy = buckets.copy()
    for _ in range(40):  # the table is made larger on the way
        buckets.record(buckets.add_row(), 2_000_000)
        buckets.record(first, 2_000_000)
    assert (copy.rows, copy.counts_of(0), copy.sum_of(0), len(copy.ranges_of(0))) == (1, (1, 0), 0.001, 1)
    assert (buckets.rows, buckets.counts_of(0), len(buckets.ranges_of(0))) == (41, (1, 40), 2)
    copy = buckets.copy()
    assert [(copy.counts_of(row), copy.sum_of(row)) for row in (0, 40)] == [((1, 40), 0.081), ((0, 1), 0.002)]


# --- as it is told ---


@given(values)
def test_every_exporter_tells_the_bucket_of_the_definition(value: int) -> None:
    form = semconv.SHAPES[0].metric
    assert form is not None
    buckets = Buckets(form.bounds, True)
    buckets.add_row()
    buckets.record(0, value)
    point = HistogramPoint((("a", "b"),), 1, 1, buckets.sum_of(0), buckets.counts_of(0), buckets.ranges_of(0))
    metric = Metric(name="d", unit="s", description="", kind="histogram", points=(point,), bounds=form.bounds)
    snapshot = Snapshot(2, Resource((), "s", "1", ""), (metric,))
    seconds = Fraction(value, NS)
    below = explicit_of(seconds, form.bounds)

    ((body, _),) = MetricRequests(1 << 20).encode(snapshot)[0]
    (read,) = ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points
    assert [bound for bound, count in zip([*read.explicit_bounds, None], read.bucket_counts, strict=True) if count] == [
        [*form.bounds, None][below]
    ]

    for version in (1, 2):  # cumulative
        found = written(snapshot, version, "explicit", "le")
        assert found == {bound: float(i >= below) for i, bound in enumerate([*form.bounds, float("inf")])}
    if not is_near_an_edge(value, NS):
        assert written(snapshot, 1, "vmrange", "vmrange") == {label_of(range_of(seconds)): 1.0}

    ((body, _),) = WriteRequests(max_size=1 << 20, version=2, histograms="native", target_info=False).encode(snapshot)[0]
    (histogram,) = V2["Request"].FromString(body).timeseries[0].histograms
    counts, now = [], 0
    for delta in histogram.positive_deltas:
        now += delta
        counts.append(now)
    assert (histogram.schema, counts.index(1), sum(counts)) == (-53, below, 1)
    assert tuple(histogram.custom_values) == form.bounds


def written(snapshot: Snapshot, version: Any, histograms: Any, label: str) -> dict[Any, float]:
    """Label -> value of the `_bucket` series."""
    ((body, _),) = WriteRequests(max_size=1 << 20, version=version, histograms=histograms, target_info=False).encode(snapshot)[0]
    found: dict[Any, float] = {}
    if version == 1:
        told = V1["WriteRequest"].FromString(body).timeseries
        each = [({one.name: one.value for one in series.labels}, series.samples[0].value) for series in told]
    else:
        request = V2["Request"].FromString(body)
        each = []
        for series in request.timeseries:
            words = [request.symbols[ref] for ref in series.labels_refs]
            each.append((dict(zip(words[::2], words[1::2], strict=True)), series.samples[0].value))
    for labels, value in each:
        if label in labels:
            found[float(labels[label]) if label == "le" else labels[label]] = value
    return found
