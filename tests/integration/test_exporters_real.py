"""The exporters against the real Collector, VictoriaMetrics and Prometheus, each found on the PATH or where the
project's script puts it; a test whose program is absent is skipped."""

import json
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import Duration, OtlpGrpcExporter, PrometheusRemoteWriteExporter, RetryOnFailure, SendingQueue, Tls
from receiver.otlp_out.client import OtlpExporter
from receiver.remote_write.client import RemoteWriteExporter
from receiver.telemetry.snapshot import HistogramPoint, Metric, NumberPoint, Resource, Snapshot
from tests.export.counted import points_of, spans_of
from tests.integration.servers import program

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
RESOURCE = Resource(
    (("service.name", "shop"), ("service.instance.id", "pod-1"), ("host.name", "h")), "pcap-receiver", "1.2.3", SCHEMA
)
FAST = RetryOnFailure(initial_interval=Duration(0.1), max_interval=Duration(0.5))
GET = (("http.request.method", "GET"), ("http.response.status_code", 200))
PUT = (("http.request.method", "PUT"),)
V2 = "io.prometheus.write.v2.Request"

COLLECTOR = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}}}
exporters: {{file/traces: {{path: "{out}/traces.jsonl"}}, file/metrics: {{path: "{out}/metrics.jsonl"}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file/traces]}}
    metrics: {{receivers: [otlp], exporters: [file/metrics]}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url, timeout_s=5.0):
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return answer.read().decode()


def until(condition, timeout_s=30.0):
    """The first answer of `condition` that is not empty; OSError counts as empty."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            answer = condition()
        except OSError:
            answer = None
        if answer:
            return answer
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


@contextmanager
def running(command, ready_url):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or get(ready_url) is not None)
        assert process.poll() is None, f"{command[0]} ended"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def collector(tmp_path, port):
    health = free_port()
    config = tmp_path / "collector.yaml"
    config.write_text(COLLECTOR.format(otlp=port, health=health, out=tmp_path))
    with running([program("otelcol"), "--config", str(config)], f"http://127.0.0.1:{health}/"):
        yield


@contextmanager
def victoria_metrics(tmp_path):
    port = free_port()
    command = [
        program("victoria-metrics"), f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={tmp_path}/vm",
        "-retentionPeriod=100y", "-search.latencyOffset=0s",
    ]
    with running(command, f"http://127.0.0.1:{port}/health"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def prometheus(tmp_path):
    port = free_port()
    (tmp_path / "p.yml").write_text("global: {}\n")
    command = [
        program("prometheus"), f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/prom",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
    ]
    with running(command, f"http://127.0.0.1:{port}/-/ready"):
        yield f"http://127.0.0.1:{port}"


def otlp(port, **settings):
    config = OtlpGrpcExporter(endpoint=f"127.0.0.1:{port}", tls=Tls(insecure=True), retry_on_failure=FAST, **settings)
    exporter = OtlpExporter("otlp_grpc/real", config, RESOURCE, "1.2.3")
    exporter.start()
    return exporter


def remote_write(url, **settings):
    config = PrometheusRemoteWriteExporter(endpoint=f"{url}/api/v1/write", retry_on_failure=FAST, **settings)
    exporter = RemoteWriteExporter("prometheus_remote_write/real", config, "1.2.3")
    exporter.start()
    return exporter


def spans(first, count):
    made = [
        Span(name=f"s{i}", trace_id=b"\x01" * 16, span_id=i.to_bytes(8, "big"))
        for i in range(first + 1, first + count + 1)
    ]
    return b"".join(ScopeSpans(spans=[span]).SerializeToString() for span in made)


def snapshot(time_s, requests, puts=None, duration=(1, 2, 3)):
    points = [NumberPoint(GET, (time_s - 5) * 10**9, requests)]
    if puts is not None:
        points.append(NumberPoint(PUT, (time_s - 5) * 10**9, puts))
    vmrange = ((162, duration[0]), (163, duration[1]), (487, duration[2]))
    histogram = HistogramPoint(GET, (time_s - 5) * 10**9, sum(duration), 4.5, duration, vmrange)
    return Snapshot(
        time_s * 10**9,
        RESOURCE,
        (
            Metric("real.requests", "{request}", "All", "sum", tuple(points)),
            Metric("real.duration", "s", "How long", "histogram", (histogram,), bounds=(0.5, 1.0)),
        ),
    )


def lines(path):
    """The whole ones: the Collector may be in the middle of the last."""
    written = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in written[: written.rfind("\n") + 1].splitlines()]


def span_names(tmp_path):
    return [
        span["name"]
        for line in lines(tmp_path / "traces.jsonl")
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def test_collector_gets_spans_and_metrics(tmp_path):
    port = free_port()
    now = int(time.time())
    with collector(tmp_path, port):
        exporter = otlp(port)
        exporter.export_spans(spans(0, 100), 100)
        exporter.export_metrics(snapshot(now, 7))
        exporter.shutdown(10)
        assert spans_of(exporter).sent == 100
        assert points_of(exporter).sent == 2
        assert len(until(lambda: len(names := span_names(tmp_path)) == 100 and names)) == 100
        (line,) = until(lambda: lines(tmp_path / "metrics.jsonl"))
    (resource,) = line["resourceMetrics"]
    assert {a["key"] for a in resource["resource"]["attributes"]} == {
        "service.name",
        "service.instance.id",
        "host.name",
    }
    (scope,) = resource["scopeMetrics"]
    assert scope["scope"] == {"name": "pcap-receiver", "version": "1.2.3"}
    assert scope["schemaUrl"] == SCHEMA
    total, duration = scope["metrics"]
    assert (total["sum"]["aggregationTemporality"], total["sum"]["isMonotonic"]) == (2, True)
    assert total["sum"]["dataPoints"][0]["asInt"] == "7"
    (point,) = duration["histogram"]["dataPoints"]
    assert (point["count"], point["sum"], point["bucketCounts"], point["explicitBounds"]) == (
        "6",
        4.5,
        ["1", "2", "3"],
        [0.5, 1],
    )


def test_largest_request_is_taken_by_a_collector(tmp_path):
    port = free_port()
    with collector(tmp_path, port):
        exporter = otlp(port)
        exporter.export_spans(spans(0, 300_000), 300_000)  # about 10 MB
        exporter.shutdown(30)
        stats = spans_of(exporter)
        assert (stats.sent, stats.send_failed, stats.enqueue_failed) == (300_000, {}, {})
        assert stats.requests_sent >= 3


def test_gzip_is_taken_by_a_collector(tmp_path):
    port = free_port()
    with collector(tmp_path, port):
        exporter = otlp(port, compression="gzip")
        exporter.export_spans(spans(0, 1000), 1000)
        exporter.shutdown(10)
        assert spans_of(exporter).sent == 1000


def test_collector_killed_under_load_and_brought_back(tmp_path):
    port = free_port()
    exporter = otlp(port)
    with collector(tmp_path, port):
        for n in range(20):
            exporter.export_spans(spans(n * 10, 10), 10)
        until(lambda: spans_of(exporter).sent == 200)
        until(lambda: len(span_names(tmp_path)) == 200)
    (tmp_path / "traces.jsonl").rename(tmp_path / "first.jsonl")
    for n in range(20, 40):
        exporter.export_spans(spans(n * 10, 10), 10)
        exporter.export_metrics(snapshot(1_790_000_000 + n, n))
    assert spans_of(exporter).queued == 200
    with collector(tmp_path, port):
        until(lambda: spans_of(exporter).queued == 0)
        exporter.shutdown(10)
        assert spans_of(exporter).sent == spans_of(exporter).offered == 400
        assert points_of(exporter).sent == points_of(exporter).offered == 40
        names = until(lambda: len(names := span_names(tmp_path)) >= 200 and names)
    assert names == [f"s{i}" for i in range(201, 401)]


def test_spool_carries_spans_over_a_restart(tmp_path):
    port = free_port()
    queue = SendingQueue(storage=str(tmp_path / "spool"))
    first = otlp(port, sending_queue=queue)
    first.export_spans(spans(0, 10), 10)
    first.shutdown(1)
    assert spans_of(first).kept == 10
    with collector(tmp_path, port):
        second = otlp(port, sending_queue=queue)
        until(lambda: spans_of(second).sent == 10)
        assert until(lambda: span_names(tmp_path)) == [f"s{i}" for i in range(1, 11)]
        second.shutdown(5)


def exported(url, name):
    """Every sample that VictoriaMetrics stores: labels, values (None for a stale marker), times in ms."""
    get(f"{url}/internal/force_flush")
    found = get(f"{url}/api/v1/export?" + urllib.parse.urlencode({"match[]": name, "reduce_mem_usage": "1"}))
    return [json.loads(line) for line in found.splitlines()]


def test_victoria_metrics_stores_counters_histograms_and_stale_markers(tmp_path):
    now = int(time.time())
    with victoria_metrics(tmp_path) as url:
        exporter = remote_write(url, external_labels={"cluster": "blue"})
        exporter.export_metrics(snapshot(now - 20, 7, puts=1))
        exporter.export_metrics(snapshot(now - 10, 9))
        exporter.shutdown(10)
        assert points_of(exporter).sent == 5
        found = until(lambda: len(series := exported(url, "real_requests_total")) == 2 and series)
        one, two = sorted(found, key=lambda series: series["metric"]["http_request_method"])
        assert one["metric"] == {
            "__name__": "real_requests_total",
            "http_request_method": "GET",
            "http_response_status_code": "200",
            "job": "shop",
            "instance": "pod-1",
            "cluster": "blue",
            "otel_scope_name": "pcap-receiver",
            "otel_scope_version": "1.2.3",
            "otel_scope_schema_url": SCHEMA,
        }
        assert one["values"] == [0, 7, 9, None]  # begins where it began to count
        assert one["timestamps"] == [(now - 25) * 1000, (now - 20) * 1000, (now - 10) * 1000, (now - 10) * 1000 + 1]
        assert two["values"] == [0, 1, None]
        assert two["timestamps"] == [(now - 25) * 1000, (now - 20) * 1000, (now - 10) * 1000]
        buckets = {s["metric"]["le"]: s["values"] for s in exported(url, "real_duration_seconds_bucket")}
        assert buckets == {"0.5": [0, 1, 1, None], "1": [0, 3, 3, None], "+Inf": [0, 6, 6, None]}
        (info,) = exported(url, "target_info")
        assert (info["metric"]["host_name"], info["values"]) == ("h", [1, 1, None])
        ignored = [line for line in get(f"{url}/metrics").splitlines() if line.startswith("vm_rows_ignored_total")]
        assert all(line.endswith(" 0") for line in ignored)


def test_victoria_metrics_reads_vmrange(tmp_path):
    now = int(time.time())
    with victoria_metrics(tmp_path) as url:
        exporter = remote_write(url, histograms="vmrange")
        exporter.export_metrics(snapshot(now - 2, 7))
        wait = until(lambda: points_of(exporter).sent == 2)
        assert wait
        found = until(lambda: exported(url, "real_duration_seconds_bucket"))
        assert {s["metric"]["vmrange"]: s["values"] for s in found} == {
            "8.799e-01...1.000e+00": [1],
            "1.000e+00...1.136e+00": [2],
            "1.000e+18...+Inf": [3],
        }
        query = urllib.parse.urlencode({"query": "histogram_quantile(0.5, real_duration_seconds_bucket)", "time": now})
        (answer,) = json.loads(get(f"{url}/api/v1/query?{query}"))["data"]["result"]
        assert 1.0 <= float(answer["value"][1]) <= 1.136
        exporter.shutdown(5)


def test_victoria_metrics_takes_ten_thousand_series(tmp_path):
    now = int(time.time())
    points = tuple(NumberPoint((("k", str(i)), *GET), 1, i) for i in range(10_000))
    with victoria_metrics(tmp_path) as url:
        exporter = remote_write(url)
        exporter.export_metrics(Snapshot(now * 10**9, RESOURCE, (Metric("many", "", "", "sum", points),)))
        until(lambda: points_of(exporter).sent == 10_000)
        assert until(lambda: len(series := exported(url, "many_total")) == 10_000 and series)
        exporter.shutdown(5)


def test_remote_write_2_to_victoria_metrics_is_not_taken_for_success(tmp_path):
    with victoria_metrics(tmp_path) as url:
        exporter = remote_write(url, protobuf_message=V2)
        exporter.export_metrics(snapshot(int(time.time()), 7))
        until(lambda: points_of(exporter).queued == 0)
        assert points_of(exporter).send_failed == {"not_written": 2}
        exporter.shutdown(5)


def ask(url, query, time_s):
    answer = json.loads(get(f"{url}/api/v1/query?" + urllib.parse.urlencode({"query": query, "time": time_s})))
    return [(result["metric"], result) for result in answer["data"]["result"]]


@pytest.mark.parametrize("message", ["prometheus.WriteRequest", V2])
def test_prometheus_stores_counters_and_classic_histograms(tmp_path, message):
    now = int(time.time())
    with prometheus(tmp_path) as url:
        exporter = remote_write(url, protobuf_message=message)
        exporter.export_metrics(snapshot(now - 10, 7, puts=1))
        exporter.export_metrics(snapshot(now - 5, 9))
        until(lambda: points_of(exporter).queued == 0)
        assert points_of(exporter).sent == 5
        ((labels, result),) = ask(url, "real_requests_total", now)
        assert (labels["http_request_method"], labels["job"], result["value"][1]) == ("GET", "shop", "9")
        assert len(ask(url, "real_requests_total", now - 6)) == 2
        buckets = {labels["le"]: result["value"][1] for labels, result in ask(url, "real_duration_seconds_bucket", now)}
        # Prometheus 3 writes the bounds of classic histograms as floats.
        assert {float(le): value for le, value in buckets.items()} == {0.5: "1", 1.0: "3", float("inf"): "6"}
        exporter.shutdown(5)
        assert ask(url, "real_requests_total", now) == []


def test_prometheus_stores_native_histograms(tmp_path):
    now = int(time.time())
    with prometheus(tmp_path) as url:
        exporter = remote_write(url, protobuf_message=V2, histograms="native")
        exporter.export_metrics(snapshot(now - 5, 7))
        until(lambda: points_of(exporter).queued == 0)
        assert points_of(exporter).sent == 2
        ((_, result),) = ask(url, "real_duration_seconds", now)
        native = result["histogram"][1]
        assert (native["count"], native["sum"]) == ("6", "4.5")
        assert [bucket[3] for bucket in native["buckets"]] == ["1", "2", "3"]
        assert [bucket[2] for bucket in native["buckets"]] == ["0.5", "1", "+Inf"]
        exporter.shutdown(5)
        assert ask(url, "real_duration_seconds", now) == []
