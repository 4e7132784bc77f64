"""When the service hands spans over: on a clock of the test's, with packets of the benchmarks' generator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from receiver.build import exporter_endpoints
from receiver.config import (
    Batch,
    Config,
    DebugExporter,
    Duration,
    OtlpGrpcExporter,
    PcapReceiver,
    Pipeline,
    PrometheusRemoteWriteExporter,
    Receivers,
    SendingQueue,
)
from receiver.config import Service as ServiceSettings
from receiver.export.debug import read_spans
from receiver.export.exporter import Exporter, Signals
from receiver.export.own import OwnSockets
from receiver.service import Service
from receiver.telemetry.snapshot import HistogramPoint, Snapshot
from tests.bench.generate import LINK_ETHERNET, Workload, batches, packets


class Fake:
    """An exporter that sends nothing, in the place of a real one."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name

    def start(self) -> None: ...

    def stop(self, deadline_s: float) -> None: ...

    def shutdown(self, deadline_s: float) -> None: ...

    def signals(self) -> Signals:
        return []

    def export_metrics(self, snapshot: Snapshot) -> None: ...


class Recorder(Fake):
    """It keeps what it got."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.batches: list[int] = []
        self.sizes: list[int] = []

    def export_spans(self, blob: bytes | memoryview, count: int) -> None:
        assert len(list(read_spans(bytes(blob)))) == count
        self.batches.append(count)
        self.sizes.append(len(blob))


class Broken(Fake):
    def export_spans(self, blob: bytes | memoryview, count: int) -> None:
        raise RuntimeError("no idea")


def make_service(batch: Batch, *fakes: Exporter, carried: str = "traces") -> Service:
    """Of a live capture that is not opened; `fakes` are in the place of its exporters."""
    settings = {
        "otlp_grpc": OtlpGrpcExporter(sending_queue=SendingQueue(batch=batch), interval=Duration(0)),
        "prometheus_remote_write": PrometheusRemoteWriteExporter(endpoint="http://127.0.0.1:9/w", interval=Duration(0)),
        "debug": DebugExporter(),
    }
    names = ("otlp_grpc", "debug" if carried == "traces" else "prometheus_remote_write")[: max(1, len(fakes))]
    config = Config(
        receivers=Receivers(pcap=PcapReceiver(interfaces=("lo",), local_addresses=("10.2.0.1",))),
        exporters={name: settings[name] for name in names},
        service=ServiceSettings(pipelines={carried: Pipeline(receivers=("pcap",), exporters=names)}),
    )
    service = Service(config)
    service.exporters.update(zip(names, fakes, strict=False))
    return service


@pytest.mark.parametrize("wait_s", [1.0, 5.0])
def test_spans_wait_as_long_as_a_batch_may_and_anew_after_a_full_one(wait_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    recorder = Recorder()
    service = make_service(Batch(flush_timeout=Duration(wait_s)), recorder)
    workload = Workload(connections=1, roundtrips_each=5000)
    frames = list(packets(workload))

    def see(some: slice) -> None:
        for joined, records in batches(frames[some]):
            service.engine.process_batch(joined, records, LINK_ETHERNET)

    service.tick(frames[0][0])
    see(slice(0, 5))
    now_s += wait_s - 0.1
    service.tick(frames[5][0])
    assert recorder.batches == []
    see(slice(5, None))
    full = sum(recorder.batches)
    assert 0 < full < workload.roundtrips
    now_s += wait_s - 0.1
    service.tick(frames[-1][0])
    assert sum(recorder.batches) == full
    now_s += 0.2
    service.tick(frames[-1][0])
    assert sum(recorder.batches) == workload.roundtrips


def test_full_batch_leaves_between_two_packets_of_one_batch() -> None:
    """Packets come by the hundred, and each may be a pipeline: all of them are more than a batch should hold."""
    recorder = Recorder()
    service = make_service(Batch(), recorder)
    workload = Workload(connections=4, roundtrips_each=2000)
    ((joined, records),) = batches(packets(workload), 20_000)
    service.engine.process_batch(joined, records, LINK_ETHERNET)
    assert len(recorder.sizes) > 2
    assert all(1_015_808 <= size < 1_048_576 for size in recorder.sizes)  # 1 MiB less 32 KiB; and no larger buffer was needed
    service.finish()
    assert sum(recorder.batches) == workload.roundtrips


def test_full_batches_leave_while_requests_are_given_up() -> None:
    """When nobody answers any more, and when the capture ends, all that wait are told of at once."""
    for end in ("tick", "finish"):
        recorder = Recorder()
        service = make_service(Batch(), recorder)
        workload = Workload(connections=6000, roundtrips_each=1)
        asked = [packet for packet in packets(workload) if b"HTTP/1.1 200" not in packet[1] and not packet[1][47] & 1]
        for joined, records in batches(asked):
            service.engine.process_batch(joined, records, LINK_ETHERNET)
        assert recorder.batches == []
        if end == "tick":
            service.engine.tick(asked[-1][0] + 60_000_000_000)
        else:
            service.engine.finish()
        assert len(recorder.sizes) > 1
        assert all(1_015_808 <= size < 1_048_576 for size in recorder.sizes)
        service.finish()
        assert sum(recorder.batches) == workload.roundtrips


def test_exporter_that_fails_is_nobody_elses_fault() -> None:
    recorder = Recorder()
    service = make_service(Batch(), Broken(), recorder)
    workload = Workload(connections=1, roundtrips_each=5000)
    for joined, records in batches(packets(workload)):
        service.engine.process_batch(joined, records, LINK_ETHERNET)
    service.finish()
    assert sum(recorder.batches) == workload.roundtrips
    assert service.engine.reading.errors == {}
    assert service.telemetry.errors == {"export_spans": len(recorder.batches)}
    told = {
        point.attributes: point.value
        for metric in service.snapshot().metrics
        for point in metric.points
        if metric.name == "pcap_receiver.telemetry.errors"
    }
    assert told == {(("stage", "export_spans"),): len(recorder.batches)}


def test_a_series_has_the_same_attributes_in_every_snapshot() -> None:
    """Exporters keep what they encoded of a series under the identity of its attributes."""
    service = make_service(Batch())
    for joined, records in batches(packets(Workload(connections=2, roundtrips_each=3))):
        service.engine.process_batch(joined, records, LINK_ETHERNET)
    first, second = (
        [(metric.name, point.attributes) for metric in service.snapshot().metrics for point in metric.points] for _ in range(2)
    )
    assert len(first) > 40
    assert first == second
    assert all(before[1] is after[1] for before, after in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("endpoint", "proxy", "known"),
    [
        ("10.0.0.7:4317", "", {("10.0.0.7", 4317)}),
        ("dns:///10.0.0.7:4317", "", {("10.0.0.7", 4317)}),
        ("ipv4:10.0.0.7:4317,10.0.0.8:4318", "", {("10.0.0.7", 4317), ("10.0.0.8", 4318)}),
        ("ipv6:[fd00::7]:4317", "", {("fd00::7", 4317)}),
        ("unix:///run/otel.sock", "", set()),
        # The application may use the proxy as well; and nothing of ours goes to the endpoint itself.
        ("10.0.0.7:4317", "http://10.0.0.9:3128", set()),
        ("nowhere.invalid:4317", "", set()),
    ],
)
def test_endpoints_whose_traffic_the_kernel_need_not_copy(endpoint: str, proxy: str, known: set[tuple[str, int]]) -> None:
    exporters = {
        "otlp_grpc": OtlpGrpcExporter(endpoint=endpoint, proxy_url=proxy),
        "prometheus_remote_write": PrometheusRemoteWriteExporter(endpoint="http://10.0.0.5/w", proxy_url=proxy),
    }
    pipelines = {"metrics": Pipeline(exporters=tuple(exporters))}
    config = Config(exporters=exporters, service=ServiceSettings(pipelines=pipelines))
    pages = {(address, port) for address in ("127.0.0.1", "::1") for port in (13143, 8898)}
    store = set() if proxy else {("10.0.0.5", 80)}
    assert exporter_endpoints(config, OwnSockets()) - pages == known | store


def test_what_is_recorded_is_not_taken_for_ours() -> None:
    """A file may hold the traffic of a Collector at the address where ours is."""
    exporter = OtlpGrpcExporter(endpoint="10.2.0.1:8080")
    config = Config(
        receivers=Receivers(pcap=PcapReceiver(interfaces=(), files=("x.pcap",))),
        exporters={"otlp_grpc": exporter},
        service=ServiceSettings(pipelines={"traces": Pipeline(exporters=("otlp_grpc",))}),
    )
    service = Service(config)
    assert service.engine.table.is_own is None
    assert not any(service.engine.table.watched)


# --- metrics, made beside the capture ---


class Told(Fake):
    """It can be held up."""

    def __init__(self) -> None:
        super().__init__("told")
        self.go_on = threading.Event()
        self.go_on.set()
        self.threads: list[str] = []
        self.snapshots: list[Snapshot] = []

    def export_metrics(self, snapshot: Snapshot) -> None:
        self.threads.append(threading.current_thread().name)
        assert self.go_on.wait(10.0)
        self.snapshots.append(snapshot)


class Unable(Told):
    def export_metrics(self, snapshot: Snapshot) -> None:
        raise RuntimeError("no idea")


def counted(snapshot: Snapshot) -> int:
    (metric,) = (metric for metric in snapshot.metrics if metric.name == "http.server.request.duration")
    return sum(point.count for point in metric.points if isinstance(point, HistogramPoint))


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.002)


def see(service: Service, roundtrips: int, seed: int) -> None:
    for joined, records in batches(packets(Workload(connections=1, roundtrips_each=roundtrips, seed=seed))):
        service.engine.process_batch(joined, records, LINK_ETHERNET)


def test_snapshot_is_of_the_moment_when_it_was_due_whoever_makes_it() -> None:
    service = make_service(Batch())
    see(service, 3, 1)
    later = service.snapshot_later()
    see(service, 4, 2)
    assert [counted(later()), counted(service.snapshot())] == [3, 7]


def test_metrics_are_made_beside_the_capture() -> None:
    told = Told()
    service = make_service(Batch(), Unable(), told, carried="metrics")
    service.tick(0)  # when the next one is due is counted from here on
    wait_for(lambda: len(told.snapshots) == 1)
    assert told.threads == ["metrics"]
    assert service.telemetry.errors == {"export_metrics": 1}
    service.finish()
    assert told.threads == ["metrics", threading.current_thread().name]


def test_next_snapshot_waits_for_the_one_before() -> None:
    told = Told()
    service = make_service(Batch(), told, carried="metrics")
    told.go_on.clear()
    see(service, 3, 1)
    service.tick(0)
    wait_for(lambda: len(told.threads) == 1)
    for _ in range(5):
        service.tick(0)
    assert len(told.threads) == 1
    told.go_on.set()
    wait_for(lambda: len(told.snapshots) == 1)
    see(service, 4, 2)
    wait_for(lambda: not any(thread.name == "metrics" for thread in threading.enumerate()))
    service.tick(0)
    service.finish()  # waits as well
    assert [counted(snapshot) for snapshot in told.snapshots] == [3, 7, 7]
