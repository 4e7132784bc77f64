"""Expected values: protobuf reads back what was written (conftest.py), Remote Write 1.0 and 2.0 say what must be
there."""

import struct

import pytest

from receiver.remote_write.encode import MAX_LABELS, MAX_NAME_BYTES, MAX_ROWS, MAX_VALUE_BYTES, STALE, WriteRequests
from receiver.telemetry.snapshot import HistogramPoint, Metric, NumberPoint, Resource, Snapshot

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
RESOURCE = Resource(
    attributes=(
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("service.instance.id", "pod-1"),
        ("k8s.pod.name", "shop-1"),
        ("process.pid", 7),
    ),
    scope_name="pcap-receiver",
    scope_version="1.2.3",
    schema_url=SCHEMA,
)
COMMON = {
    "job": "eu/shop",
    "instance": "pod-1",
    "otel_scope_name": "pcap-receiver",
    "otel_scope_version": "1.2.3",
    "otel_scope_schema_url": SCHEMA,
}
MS = 1_790_000_000_123
NS = MS * 1_000_000 + 999
LIMIT = 3_670_016
GET = (("http.request.method", "GET"), ("http.response.status_code", 200))
PUT = (("http.request.method", "PUT"),)


def make(**settings):
    return WriteRequests(**({"max_size": LIMIT} | settings))


def counter(*points, name="requests", start_ns=0):
    return Metric(
        name,
        "{request}",
        "All",
        "sum",
        tuple(NumberPoint(attributes, start_ns, value) for attributes, value in points),
    )


def histogram(*points, name="d", bounds=(0.005, 1.0)):
    return Metric(name, "s", "How long", "histogram", tuple(points), bounds=bounds)


def snapshot(*metrics, ns=NS, resource=RESOURCE):
    return Snapshot(ns, resource, metrics)


def series(read, made):
    """Every time series of the requests: its labels as a dict, its one sample."""
    out = []
    for body, _ in made:
        for ts in read(body).timeseries:
            names = [label.name for label in ts.labels]
            assert names == sorted(set(names)), "labels are sorted and unique"
            assert all(label.name and label.value for label in ts.labels)
            (sample,) = ts.samples
            out.append(({label.name: label.value for label in ts.labels}, sample))
    return out


def by_name(found, name):
    return [(labels, sample) for labels, sample in found if labels["__name__"] == name]


def without(labels, *names):
    return {name: value for name, value in labels.items() if name not in names}


def test_counter_with_all_its_labels(read_v1):
    made, dropped = make().encode(snapshot(counter((GET, 7))))
    assert dropped == {}
    ((labels, sample),) = by_name(series(read_v1, made), "requests_total")
    assert labels == COMMON | {
        "__name__": "requests_total",
        "http_request_method": "GET",
        "http_response_status_code": "200",
    }
    assert (sample.value, sample.timestamp) == (7.0, MS)
    assert made[0][1] == 1


def test_target_info_has_the_rest_of_the_resource(read_v1):
    made, _ = make().encode(snapshot(counter((GET, 7))))
    ((labels, sample),) = by_name(series(read_v1, made), "target_info")
    assert labels == {
        "__name__": "target_info",
        "job": "eu/shop",
        "instance": "pod-1",
        "k8s_pod_name": "shop-1",
        "process_pid": "7",
    }
    assert (sample.value, sample.timestamp) == (1.0, MS)


def test_target_info_can_be_off(read_v1):
    made, _ = make(target_info=False).encode(snapshot(counter((GET, 7))))
    assert by_name(series(read_v1, made), "target_info") == []


def test_no_target_info_without_anything_to_say(read_v1):
    bare = Resource((("service.name", "shop"),), "s", "1", "")
    made, _ = make().encode(snapshot(counter((GET, 7)), resource=bare))
    ((labels, _),) = series(read_v1, made)
    assert labels["job"] == "shop"
    assert "instance" not in labels
    assert "otel_scope_schema_url" not in labels


def test_external_labels_yield_to_a_series_own(read_v1):
    external = {"cluster": "blue", "http.request.method": "never", "job": "never"}
    made, _ = make(external_labels=external).encode(snapshot(counter((GET, 7))))
    ((labels, _),) = by_name(series(read_v1, made), "requests_total")
    assert (labels["cluster"], labels["http_request_method"], labels["job"]) == ("blue", "GET", "eu/shop")
    ((info, _),) = by_name(series(read_v1, made), "target_info")
    assert info["cluster"] == "blue"


def test_attributes_do_not_change_job_or_scope(read_v1):
    attributes = (("job", "x"), ("instance", "y"), ("otel.scope.name", "z"))
    made, _ = make().encode(snapshot(counter((attributes, 7))))
    ((labels, _),) = by_name(series(read_v1, made), "requests_total")
    assert without(labels, "__name__") == COMMON


def test_labels_around_name_and_bucket_are_sorted(read_v1):
    attributes = (("Zone", "1"), ("zebra", "2"), ("_u", "3"), ("lf", "4"), ("ld", "5"), ("le", "never"))
    made, _ = make().encode(snapshot(histogram(HistogramPoint(attributes, 1, 1, 1.0, (1, 0, 0)))))
    found = by_name(series(read_v1, made), "d_seconds_bucket")
    assert [labels["le"] for labels, _ in found] == ["0.005", "1", "+Inf"]
    assert found[0][0]["Zone"] == "1"


def test_explicit_histogram_is_cumulative(read_v1):
    made, _ = make().encode(snapshot(histogram(HistogramPoint(GET, 1, 6, 4.5, (1, 2, 3)))))
    found = series(read_v1, made)
    assert [(labels["le"], sample.value) for labels, sample in by_name(found, "d_seconds_bucket")] == [
        ("0.005", 1.0),
        ("1", 3.0),
        ("+Inf", 6.0),
    ]
    assert [sample.value for _, sample in by_name(found, "d_seconds_sum")] == [4.5]
    assert [sample.value for _, sample in by_name(found, "d_seconds_count")] == [6.0]
    assert "le" not in by_name(found, "d_seconds_count")[0][0]
    assert {sample.timestamp for _, sample in found} == {MS}
    assert made[0][1] == 1  # one point, whatever it is made of


def test_vmrange_histogram_has_its_own_counts(read_v1):
    requests = make(histograms="vmrange")
    point = HistogramPoint(GET, 1, 6, 4.5, (1, 2, 3), ((0, 1), (162, 2), (487, 3)))
    made, _ = requests.encode(snapshot(histogram(point)))
    found = series(read_v1, made)
    assert [(labels["vmrange"], sample.value) for labels, sample in by_name(found, "d_seconds_bucket")] == [
        ("0...1.000e-09", 1.0),
        ("8.799e-01...1.000e+00", 2.0),
        ("1.000e+18...+Inf", 3.0),
    ]
    assert [sample.value for _, sample in by_name(found, "d_seconds_sum")] == [4.5]
    assert [sample.value for _, sample in by_name(found, "d_seconds_count")] == [6.0]
    later = HistogramPoint(GET, 1, 7, 5.5, (1, 3, 3), ((0, 1), (162, 2), (163, 1), (487, 3)))
    made, _ = requests.encode(snapshot(histogram(later), ns=NS + 10**9))
    assert len(by_name(series(read_v1, made), "d_seconds_bucket")) == 4


def test_vmrange_histogram_that_counted_nothing_is_not_sent(read_v1):
    requests = make(histograms="vmrange", target_info=False)
    made, dropped = requests.encode(snapshot(histogram(HistogramPoint(GET, 1, 0, 0.0, (0, 0, 0)))))
    assert made == [(b"", 1)]
    assert dropped == {}
    assert requests.end() == []


def test_second_snapshot_has_new_values_under_the_same_labels(read_v1):
    requests = make()
    first, _ = requests.encode(
        snapshot(counter((GET, 7), (PUT, 1)), histogram(HistogramPoint(GET, 1, 6, 4.5, (1, 2, 3))))
    )
    second, _ = requests.encode(
        snapshot(counter((GET, 9), (PUT, 2)), histogram(HistogramPoint(GET, 1, 7, 5.5, (1, 2, 4))), ns=NS + 15 * 10**9)
    )
    one, two = series(read_v1, first), series(read_v1, second)
    assert [labels for labels, _ in one] == [labels for labels, _ in two]
    assert [sample.value for _, sample in two] == [1.0, 9.0, 2.0, 1.0, 3.0, 7.0, 5.5, 7.0]
    assert {sample.timestamp for _, sample in two} == {MS + 15_000}


def test_series_that_ended_is_marked_stale_once(read_v1, bits_of):
    requests = make(target_info=False)
    requests.encode(snapshot(counter((GET, 7), (PUT, 1)), histogram(HistogramPoint(PUT, 1, 1, 1.0, (1, 0, 0)))))
    made, _ = requests.encode(snapshot(counter((GET, 8)), ns=NS + 10**9))
    found = series(read_v1, made)
    stale = [(labels, sample) for labels, sample in found if bits_of(sample) == STALE]
    assert sorted((labels["__name__"], labels.get("le", "")) for labels, _ in stale) == [
        ("d_seconds_bucket", "+Inf"),
        ("d_seconds_bucket", "0.005"),
        ("d_seconds_bucket", "1"),
        ("d_seconds_count", ""),
        ("d_seconds_sum", ""),
        ("requests_total", ""),
    ]
    assert {labels["http_request_method"] for labels, _ in stale} == {"PUT"}
    assert {sample.timestamp for _, sample in stale} == {MS + 1000}
    assert [sample.value for labels, sample in found if bits_of(sample) != STALE] == [8.0]
    made, _ = requests.encode(snapshot(counter((GET, 9)), ns=NS + 2 * 10**9))
    assert len(series(read_v1, made)) == 1


def test_stale_marker_is_the_nan_of_the_specification(read_v1, bits_of):
    requests = make()
    requests.encode(snapshot(counter((GET, 7))))
    found = series(read_v1, requests.end())
    assert len(found) == 2
    for _, sample in found:
        assert struct.unpack("<Q", bits_of(sample))[0] == 0x7FF0000000000002  # "Stale markers"


def test_series_goes_on_when_its_tuple_is_replaced_by_an_equal_one(read_v1, bits_of):
    requests = make(target_info=False)
    requests.encode(snapshot(counter((GET, 7))))
    again = tuple(pair for pair in GET)
    assert again is not GET
    made, dropped = requests.encode(snapshot(counter((again, 8)), ns=NS + 10**9))
    ((_, sample),) = series(read_v1, made)
    assert sample.value == 8.0
    assert dropped == {}


def test_vmrange_series_goes_on_when_its_tuple_is_replaced(read_v1, bits_of):
    requests = make(histograms="vmrange", target_info=False)
    for n, attributes in enumerate([GET, tuple(pair for pair in GET)]):
        point = HistogramPoint(attributes, 1, 3, 4.5, (1, 2, 0), ((5, 1), (9, 2)))
        made, _ = requests.encode(snapshot(histogram(point), ns=NS + n * 10**9))
    assert [sample.value for _, sample in series(read_v1, made)] == [1.0, 2.0, 4.5, 3.0]


def test_series_that_comes_back_is_sent_again(read_v1):
    requests = make(target_info=False)
    for value, points in enumerate([(GET, PUT), (GET,), (GET, PUT)]):
        made, dropped = requests.encode(snapshot(counter(*((p, value) for p in points)), ns=NS + value * 10**9))
    assert dropped == {}
    assert [sample.value for _, sample in series(read_v1, made)] == [2.0, 2.0]


def test_end_marks_all_that_live_after_their_last_sample(read_v1, bits_of):
    requests = make()
    point = HistogramPoint(GET, 1, 6, 4.5, (1, 2, 3))
    sent, _ = requests.encode(snapshot(counter((GET, 7)), histogram(point)))
    ended = requests.end()
    assert [labels for labels, _ in series(read_v1, ended)] == [labels for labels, _ in series(read_v1, sent)]
    assert {(bits_of(sample), sample.timestamp) for _, sample in series(read_v1, ended)} == {(STALE, MS + 1)}
    assert all(points == 0 for _, points in ended)
    assert requests.end() == []


def test_end_marks_vmranges(read_v1):
    requests = make(histograms="vmrange", target_info=False)
    requests.encode(snapshot(histogram(HistogramPoint(GET, 1, 3, 4.5, (1, 2, 0), ((5, 1), (9, 2))))))
    names = [labels["__name__"] for labels, _ in series(read_v1, requests.end())]
    assert sorted(names) == ["d_seconds_bucket", "d_seconds_bucket", "d_seconds_count", "d_seconds_sum"]


def test_new_resource_ends_the_old_series(read_v1, bits_of):
    requests = make()
    requests.encode(snapshot(counter((GET, 7))))
    moved = Resource((("service.name", "other"),), "pcap-receiver", "1.2.3", SCHEMA)
    made, _ = requests.encode(snapshot(counter((GET, 8)), ns=NS + 10**9, resource=moved))
    found = series(read_v1, made)
    assert [(labels["job"], bits_of(sample) == STALE) for labels, sample in found] == [
        ("eu/shop", True),
        ("eu/shop", True),
        ("other", False),
    ]


def test_new_bounds_end_the_buckets_that_are_no_more(read_v1, bits_of):
    requests = make(target_info=False)
    requests.encode(snapshot(histogram(HistogramPoint(GET, 1, 6, 4.5, (1, 2, 3)))))
    made, _ = requests.encode(snapshot(histogram(HistogramPoint(GET, 2, 1, 1.0, (1, 0)), bounds=(2.0,)), ns=NS + 10**9))
    found = by_name(series(read_v1, made), "d_seconds_bucket")
    assert [(labels["le"], bits_of(sample) == STALE) for labels, sample in found] == [
        ("2", False),
        ("+Inf", False),
        ("0.005", True),
        ("1", True),
    ]


def test_two_series_under_one_set_of_labels_are_one_and_the_other_is_counted(read_v1):
    requests = make(target_info=False)
    one, two = (("a.b", "1"),), (("a_b", "1"),)
    for n in range(3):
        made, dropped = requests.encode(snapshot(counter((one, 10), (two, 20), (GET, n)), ns=NS + n * 10**9))
        assert [sample.value for _, sample in series(read_v1, made)] == [10.0, float(n)]
        assert dropped == {"name_collision": 1}
    made, dropped = requests.encode(snapshot(counter((two, 21)), ns=NS + 9 * 10**9))
    assert dropped == {}
    assert 21.0 in [sample.value for _, sample in series(read_v1, made)]


def many(n):
    return tuple((f"l{i:02}", "v") for i in range(n))


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        (many(MAX_LABELS - 1 - len(COMMON)), True),
        (many(MAX_LABELS - len(COMMON)), False),
        ((("a", "x" * MAX_VALUE_BYTES),), True),
        ((("a", "x" * (MAX_VALUE_BYTES + 1)),), False),
        ((("a", "ž" * (MAX_VALUE_BYTES // 2 + 1)),), False),
        ((("n" * MAX_NAME_BYTES, "x"),), True),
        ((("n" * (MAX_NAME_BYTES + 1), "x"),), False),
    ],
    ids=["38 labels", "39 labels", "1024 bytes", "1025 bytes", "1026 bytes", "256 name", "257 name"],
)
def test_series_that_a_store_would_drop_silently_is_dropped_and_counted(read_v1, attributes, kept):
    requests = make(target_info=False)
    for n in range(2):
        made, dropped = requests.encode(snapshot(counter((attributes, 1), (GET, 2)), ns=NS + n))
        values = [sample.value for _, sample in series(read_v1, made)]
        assert (values, dropped) == (([1.0, 2.0], {}) if kept else ([2.0], {"label_limit": 1}))
    assert len(series(read_v1, requests.end())) == 1 + kept


def test_bucket_label_counts_against_the_limit(read_v1):
    attributes = many(MAX_LABELS - 1 - len(COMMON))
    _, dropped = make().encode(snapshot(histogram(HistogramPoint(attributes, 1, 1, 1.0, (1, 0, 0)))))
    assert dropped == {"label_limit": 1}


def test_target_info_leaves_out_what_is_too_much_but_not_job_and_instance(read_v1):
    attributes = tuple((f"a{i:03}", "v" * 2000) for i in range(60))
    rich = Resource((("service.name", "shop"), ("service.instance.id", "i"), *attributes), "s", "1", "")
    made, _ = make().encode(snapshot(counter((GET, 1)), resource=rich))
    ((labels, _),) = by_name(series(read_v1, made), "target_info")
    assert len(labels) == MAX_LABELS
    assert (labels["job"], labels["instance"]) == ("shop", "i")
    assert max(map(len, labels.values())) == MAX_VALUE_BYTES


def test_metric_without_a_legal_name_is_counted():
    made, dropped = make(target_info=False).encode(snapshot(Metric("ěšč", "", "", "gauge", (NumberPoint(GET, 0, 1),))))
    assert (made, dropped) == ([], {"no_name": 1})


def test_requests_stay_below_size_and_are_complete(read_v1):
    attributes = [(("k", f"{i:05}"),) for i in range(1000)]
    requests = make(max_size=20_000)
    made, dropped = requests.encode(snapshot(counter(*((a, i) for i, a in enumerate(attributes)))))
    assert dropped == {}
    assert len(made) > 5
    assert all(len(body) <= 20_000 for body, _ in made)
    assert sum(points for _, points in made) == 1000
    found = by_name(series(read_v1, made), "requests_total")
    assert [sample.value for _, sample in found] == list(range(1000))


def test_requests_stay_below_rows(read_v1):
    attributes = [(("k", f"{i:05}"),) for i in range(MAX_ROWS)]
    made, _ = make(max_size=10**9).encode(snapshot(counter(*((a, 1) for a in attributes))))
    assert [len(read_v1(body).timeseries) for body, _ in made] == [MAX_ROWS, 1]  # target_info is one


def test_point_too_large_alone_is_counted(read_v1):
    big = tuple((f"k{i}", "x" * 1000) for i in range(20))
    made, dropped = make(max_size=65_536, target_info=False).encode(
        snapshot(histogram(HistogramPoint(big, 1, 1, 1.0, (1, 0, 0))), counter((GET, 1)))
    )
    assert dropped == {"too_large": 1}
    assert len(series(read_v1, made)) == 1


@pytest.mark.parametrize("ms", [0, 1, 1_000, 2**35 - 1, 2**35, 2**42 - 1])
def test_any_time_is_read_back(read_v1, ms):
    made, _ = make().encode(snapshot(counter((GET, 1)), ns=ms * 1_000_000))
    assert {sample.timestamp for _, sample in series(read_v1, made)} == {ms}


def test_empty_snapshot_still_says_target_info(read_v1):
    made, _ = make().encode(snapshot())
    assert [labels["__name__"] for labels, _ in series(read_v1, made)] == ["target_info"]


# Version 2.0


def series2(read, made):
    out = []
    for body, _ in made:
        request = read(body)
        assert request.symbols[0] == ""
        assert len(set(request.symbols)) == len(request.symbols)
        for ts in request.timeseries:
            words = [request.symbols[i] for i in ts.labels_refs]
            labels = dict(zip(words[::2], words[1::2], strict=True))
            assert list(labels) == sorted(labels)
            about = (ts.metadata.type, request.symbols[ts.metadata.help_ref], request.symbols[ts.metadata.unit_ref])
            out.append((labels, about, ts))
    return out


def test_new_counter_begins_with_zero_when_it_began_to_count(read_v1):
    """Otherwise `increase` leaves out all that was counted before the first sample."""
    requests = make(target_info=False)
    made, dropped = requests.encode(snapshot(counter((GET, 7), start_ns=5_000_000)))
    assert [(sample.value, sample.timestamp) for _, sample in series(read_v1, made)] == [(0.0, 5), (7.0, MS)]
    assert sum(points for _, points in made) == 1 and not dropped
    made, _ = requests.encode(snapshot(counter((GET, 9), start_ns=5_000_000), ns=NS + 10**9))
    assert [sample.value for _, sample in series(read_v1, made)] == [9.0]


def test_new_histogram_begins_with_zero_in_every_series(read_v1):
    point = HistogramPoint(GET, 5_000_000, 6, 4.5, (1, 2, 3))
    made, _ = make(target_info=False).encode(snapshot(histogram(point)))
    zeros = [labels for labels, sample in series(read_v1, made) if (sample.value, sample.timestamp) == (0.0, 5)]
    assert len(zeros) == 5  # three buckets, sum and count


def test_v2_counter(read_v2):
    made, _ = make(version=2, target_info=False).encode(snapshot(counter((GET, 7), start_ns=5_000_000)))
    ((labels, about, ts),) = series2(read_v2, made)
    assert labels == COMMON | {
        "__name__": "requests_total",
        "http_request_method": "GET",
        "http_response_status_code": "200",
    }
    assert about == (1, "All", "")
    (sample,) = ts.samples
    assert (sample.value, sample.timestamp, sample.start_timestamp) == (7.0, MS, 5)


def test_v2_explicit_histogram_and_second_snapshot(read_v2):
    requests = make(version=2)
    for n in range(2):
        point = HistogramPoint(GET, 5_000_000, 6 + n, 4.5, (1, 2, 3 + n))
        made, _ = requests.encode(snapshot(histogram(point), counter((PUT, n)), ns=NS + n * 10**9))
        found = series2(read_v2, made)
        buckets = [(tags["le"], t.samples[0].value) for tags, _, t in found if tags["__name__"] == "d_seconds_bucket"]
        assert buckets == [("0.005", 1.0), ("1", 3.0), ("+Inf", 6.0 + n)]
        assert {about for labels, about, _ in found if labels["__name__"].startswith("d_")} == {
            (3, "How long", "seconds")
        }
        assert {about for labels, about, _ in found if labels["__name__"] == "target_info"} == {(6, "", "")}


def test_v2_native_histogram(read_v2, bits_of):
    requests = make(version=2, histograms="native", target_info=False)
    made, _ = requests.encode(snapshot(histogram(HistogramPoint(GET, 5_000_000, 6, 4.5, (1, 5, 0)))))
    ((labels, about, ts),) = series2(read_v2, made)
    assert labels["__name__"] == "d_seconds"
    assert "le" not in labels
    assert about == (3, "How long", "seconds")
    assert not ts.samples
    (native,) = ts.histograms
    assert (native.count_int, native.sum, native.schema) == (6, 4.5, -53)
    assert [(span.offset, span.length) for span in native.positive_spans] == [(0, 3)]
    assert list(native.positive_deltas) == [1, 4, -5]
    assert list(native.custom_values) == [0.005, 1.0]
    assert (native.timestamp, native.start_timestamp) == (MS, 5)
    ((_, _, ended),) = series2(read_v2, requests.end())
    assert bits_of(ended.samples[0]) == STALE


def test_v2_symbols_of_ended_series_are_forgotten(read_v2, bits_of):
    requests = make(version=2, target_info=False)
    last = None
    for n in range(60):
        attributes = [(("k", f"{n}-{i}"),) for i in range(200)]
        made, dropped = requests.encode(snapshot(counter((GET, n), *((a, 1) for a in attributes)), ns=NS + n * 10**9))
        assert dropped == {}
        found = series2(read_v2, made)
        live = [labels for labels, _, ts in found if bits_of(ts.samples[0]) != STALE]
        ended = {labels["k"] for labels, _, ts in found if bits_of(ts.samples[0]) == STALE}
        assert len(live) == 201
        assert ended == (set() if last is None else last)
        last = {labels["k"] for labels in live if "k" in labels}
    assert len(read_v2(made[0][0]).symbols) < 6000


def test_v2_requests_are_split_below_size(read_v2):
    attributes = [(("k", f"{i:05}"),) for i in range(1000)]
    made, _ = make(version=2, max_size=40_000).encode(snapshot(counter(*((a, i) for i, a in enumerate(attributes)))))
    assert len(made) > 1
    assert all(len(body) <= 40_000 for body, _ in made)
    values = [ts.samples[0].value for labels, _, ts in series2(read_v2, made) if labels["__name__"] == "requests_total"]
    assert values == list(range(1000))
