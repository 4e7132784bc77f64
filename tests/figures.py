"""Reads captures and vectors by the whole receiver and gives every figure that it exports, by name.

Nothing is left to chance: time is the packets', ids come from a fixed sequence. So two readings must agree in every byte:
by compiled modules and by plain source (`test_figures.py`), with foreign bytes around the packets and without
(`test_neighbours.py`).
"""

from __future__ import annotations

import hashlib
import random
import struct
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from receiver.build import asked_for, guesses_apart, make_engine, make_routes
from receiver.config import Config
from receiver.l7 import registry
from receiver.otlp_out.encode import MetricRequests, SpanRequests
from receiver.pcap.capture import CaptureStats
from receiver.pcap.savefile import SavefileReader
from receiver.remote_write.encode import WriteRequests
from receiver.self_metrics import Accounts, exposition
from receiver.settings.loader import load
from receiver.telemetry.layer4 import Layer4Metrics
from receiver.telemetry.metrics import Metrics
from receiver.telemetry.pipeline import Telemetry
from receiver.telemetry.redact import Redactor
from receiver.telemetry.sampling import Sampler
from receiver.telemetry.snapshot import Resource, Snapshot
from receiver.telemetry.spans import Identities, Spans
from tests.damage.packets import ROOT, load_input
from tests.damage.packets import inputs as damaged_inputs
from tests.remote_write.messages import V1, V2

RESOURCE = Resource(
    attributes=(("service.name", "shop"), ("service.instance.id", "1")),
    scope_name="pcap-receiver",
    scope_version="1.2.3",
    schema_url="https://opentelemetry.io/schemas/1.44.0",
)
START_NS = 1_000_000_000
# They are of the process that reads, not of what it reads.
OWN = {"pcap_receiver.process.uptime", "pcap_receiver.process.cpu_seconds", "pcap_receiver.process.memory_rss"}
MAX_SIZE = 1 << 22

# Between them everything that may be asked for, each bucket scheme, and a cap of series that is reached.
_SETTINGS = {
    "explicit": """
receivers:
  pcap:
    files: [a]
    unwrap: true
    http: {headers: [x-id, content-type], routes: ["/a/{id}"], route_patterns: separate}
    dns: {lookup_duration: true}
    db: {server_side: true}
    messaging: {server_side: true}
    traces: {context: both_ends}
    layer4:
      labels: [server.address, client.address, network.peer.address, tls.client.server_name, pcap_receiver.tls.client.alpn]
exporters: {prometheus_remote_write: {endpoint: "http://127.0.0.1:1/"}}
service: {pipelines: {metrics: {receivers: [pcap], exporters: [prometheus_remote_write]}}}
""",
    "vmrange": """
receivers:
  pcap:
    files: [a]
    limits: {series_per_metric: 4, pending_requests: 8}
    flows: {max: 8}
    sampling: {default: 0.5}
exporters: {prometheus_remote_write: {endpoint: "http://127.0.0.1:1/", histograms: vmrange}}
service: {pipelines: {metrics: {receivers: [pcap], exporters: [prometheus_remote_write]}}}
""",
}
CONFIGURATIONS = tuple(_SETTINGS)


@cache
def configuration(name: str) -> Config:
    return load([f"yaml:{_SETTINGS[name]}"], environ={}).config


# --- what is read ---


class Packet(NamedTuple):
    """One packet as captured, at Unix time."""

    seconds: int
    micros: int
    link_type: int
    frame: bytes


def inputs() -> list[Path]:
    """All vectors, and all captures of the project and beside it."""
    folders = (ROOT / "tests" / "cases", ROOT.parent / "shared" / "cases")
    cases = [path for folder in folders for path in sorted(folder.glob("*.pcap*"))]
    return [*damaged_inputs(), *cases]


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@cache
def packets(path: Path) -> tuple[Packet, ...]:
    """What is in a capture, or what a vector's ends would have sent."""
    if path.suffix == ".jsonl":
        sent = load_input(path).packets
        return tuple(Packet(*divmod(one.ts_us, 1_000_000), one.link_type, one.frame()) for one in sent)
    found: list[Packet] = []
    for frames, meta, link_type, _interface in SavefileReader(lambda link_type: None).feed(path.read_bytes()):
        for seconds, micros, offset, size in struct.iter_unpack("=4I", meta):
            found.append(Packet(seconds, micros, link_type, frames[offset : offset + size]))
    return tuple(found)


# --- the receiver, without sockets, threads and clocks ---


class Figures(NamedTuple):
    """What the exporters would be given. Equal where every figure is."""

    snapshot: Snapshot
    spans: bytes
    count: int


class Receiver:
    """As `service.Service` puts it together."""

    def __init__(self, name: str) -> None:
        config = configuration(name)
        pcap = config.receivers.pcap
        self.name = name
        most, routes = pcap.limits.series_per_metric, make_routes(config)
        metrics = Metrics(registry.PROTOCOLS, most, name == "vmrange", asked_for(config), routes, guesses_apart(config))
        sampler = Sampler("parentbased_traceidratio", float(pcap.sampling.default))
        identities = Identities(random.Random(12).randbytes)
        self.telemetry = Telemetry(metrics, Spans(Redactor()), sampler, identities, traces=pcap.traces)
        self.engine = make_engine(config, self.telemetry, detail=True, local=())
        assert self.engine.layer4 is not None
        self.layer4 = Layer4Metrics(self.engine.layer4.table, pcap.limits.series_per_metric)
        self.accounts = Accounts(config, self.engine, self.telemetry, START_NS)

    def take(self, packet: Packet, before: bytes = b"", behind: bytes = b"", captured: int | None = None) -> None:
        """One packet, or its first `captured` bytes, in a batch where foreign bytes stand around it."""
        frame = packet.frame if captured is None else packet.frame[:captured]
        meta = struct.pack("=4I", packet.seconds, packet.micros, len(before), len(frame))
        self.engine.process_batch(before + frame + behind, meta, packet.link_type)

    def told(self) -> Figures:
        """At the end of the input."""
        self.engine.finish()
        return self.now()

    def now(self) -> Figures:
        metrics = self.telemetry.metrics.durations() + self.layer4.metrics()
        metrics += [each for each in self.accounts.metrics(CaptureStats()) if each.name not in OWN]
        blob, count = self.telemetry.spans.lend()
        with blob:
            spans = bytes(blob)
        return Figures(Snapshot(self.engine.now_ns, RESOURCE, tuple(metrics)), spans, count)


def read(name: str, what: Iterable[Packet]) -> Figures:
    receiver = Receiver(name)
    for packet in what:
        receiver.take(packet)
    return receiver.told()


# --- what leaves ---


def exported(figures: Figures) -> dict[str, list[bytes]]:
    """The bodies of all requests, by exporter."""
    snapshot = figures.snapshot
    spans = SpanRequests(RESOURCE, MAX_SIZE).split(figures.spans, figures.count) if figures.count else ()
    found = {
        "spans": [body for body, _ in spans],
        "otlp": [body for body, _ in MetricRequests(MAX_SIZE).encode(snapshot)[0]],
        "page": [exposition(metric for metric in snapshot.metrics if metric.kind != "histogram").encode()],
    }
    for version, histograms in ((1, "explicit"), (1, "vmrange"), (2, "explicit"), (2, "native")):
        requests = WriteRequests(max_size=MAX_SIZE, version=version, histograms=histograms)  # type: ignore[arg-type]  # its words
        found[f"write {version} {histograms}"] = [body for body, _ in requests.encode(snapshot)[0]]
    return found


def rows(figures: Figures) -> Iterator[str]:
    """Every point as it was told, and every figure of every request, read back by protobuf: `who name{attributes} = value`."""
    for metric in figures.snapshot.metrics:
        yield from (f"told {metric.name} {point!r}" for point in metric.points)
    for exporter, bodies in exported(figures).items():
        for body in bodies:
            if exporter == "page":
                yield from (f"page {line}" for line in body.decode().splitlines() if not line.startswith("#"))
            elif exporter == "spans":
                yield from _spans(body)
            elif exporter == "otlp":
                yield from _metrics(body)
            else:
                yield from (f"{exporter} {row}" for row in _written(body, exporter))


def differences(one: Iterable[str], other: Iterable[str]) -> list[str]:
    """The rows that only one of two readings has: `-` the first, `+` the second."""
    mine, theirs = list(one), list(other)
    known, expected = set(mine), set(theirs)
    return [f"- {row}" for row in mine if row not in expected] + [f"+ {row}" for row in theirs if row not in known]


def _spans(body: bytes) -> Iterator[str]:
    number = 0
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                head = f"spans {number} {span.name}"
                number += 1
                for field, value in span.ListFields():
                    if field.name == "attributes":
                        yield from (f"{head} {one.key} = {_value(one.value)}" for one in value)
                    else:
                        yield f"{head} {field.name} = {' '.join(str(value).split())}"


def _metrics(body: bytes) -> Iterator[str]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                yield f"otlp {metric.name} unit, kind = {metric.unit}, {kind}"
                for point in getattr(metric, kind).data_points:
                    labels = ",".join(f"{one.key}={_value(one.value)}" for one in point.attributes)
                    for field, value in point.ListFields():
                        if field.name == "bucket_counts":
                            for bound, count in zip([*point.explicit_bounds, "inf"], value, strict=True):
                                yield f"otlp {metric.name}{{{labels}}} bucket to {bound} = {count}"
                        elif field.name not in ("attributes", "explicit_bounds"):
                            yield f"otlp {metric.name}{{{labels}}} {field.name} = {value}"


def _value(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return str([_value(one) for one in value.array_value.values])
    return repr(getattr(value, kind))


def _written(body: bytes, exporter: str) -> Iterator[str]:
    if exporter.startswith("write 1"):
        for series in V1["WriteRequest"].FromString(body).timeseries:
            labels = ",".join(f"{one.name}={one.value}" for one in series.labels)
            yield from (f"{{{labels}}} = {sample.value} at {sample.timestamp}" for sample in series.samples)
        return
    request = V2["Request"].FromString(body)
    for series in request.timeseries:
        refs = [request.symbols[ref] for ref in series.labels_refs]
        labels = ",".join(f"{name}={value}" for name, value in zip(refs[::2], refs[1::2], strict=True))
        for one in (*series.samples, *series.histograms):
            yield f"{{{labels}}} = {' '.join(str(one).split())}"


# --- a process of its own ---

EVERYTHING = "everything"


def digests() -> Iterator[str]:
    """A line for what each configuration sees of each input; and one for what leaves of all of it together: the encoders' work is
    made of series, which they see all once, and not of inputs."""
    for name in CONFIGURATIONS:
        for path in inputs():
            yield f"{_digest(repr(read(name, packets(path))))} {name} {path}"
        bodies = exported(read(name, _everything()))
        yield f"{_digest(repr(bodies))} {name} {EVERYTHING}"


def _everything() -> Iterator[Packet]:
    """All inputs one after the other, a minute apart."""
    at = 1_700_000_000
    for path in inputs():
        first = min((packet.seconds for packet in packets(path)), default=0)
        for packet in packets(path):
            yield packet._replace(seconds=at + packet.seconds - first)
        at += 60 + max((packet.seconds for packet in packets(path)), default=0) - first


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def main(arguments: list[str]) -> None:
    """`digests`, or `rows CONFIGURATION PATH`: every figure that it exports of one input."""
    import receiver.wire.cursor

    print("compiled" if str(receiver.wire.cursor.__file__).endswith(".so") else "plain")
    if arguments[0] == "digests":
        lines = digests()
    else:
        _, name, path = arguments
        lines = rows(read(name, _everything() if path == EVERYTHING else packets(Path(path))))
    for line in lines:
        print(line)


if __name__ == "__main__":
    main(sys.argv[1:])
