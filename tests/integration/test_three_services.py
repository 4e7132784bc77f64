"""Three services in a row, of which only the first knows what a trace is, and a receiver beside each:

    client --HTTP/1--> front --gRPC--> stock --HTTP/2--> depot          each with a link of its own to the Collector
                       instrumented    passes the header on             nginx

`front` begins a trace for each request, reports its own two spans, and sends a traceparent. `stock` is a gRPC server that only
copies the header to its call of `depot`, as a library without spans would. What is looked at is what a real Collector wrote: the
spans, and what its connectors made of them. Needs root, nginx, curl with HTTP/2, and the Collector.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.namespaces import Namespace, join
from tests.integration.servers import Collector, Nginx, Program, Receiver, Span, need, program, wait_for

REQUESTS = 5
SERVER, CLIENT = 2, 3  # Span.SpanKind
MEMBERS = ("front", "stock", "depot")
# Link n joins a neighbour (.2) with the next one (.3); link 1n joins a service (.2) with the Collector (.3).
NETWORK = "10.202"

FRONT = r"""
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

stock = grpc.insecure_channel(sys.argv[1])
collector = grpc.insecure_channel(sys.argv[2])
reserve = stock.unary_unary("/shop.v1.Stock/Reserve")
export = collector.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.add(key="service.name").value.string_value = "front"
        spans = group.scope_spans.add().spans
        trace, own, call = os.urandom(16), os.urandom(8), os.urandom(8)
        server = spans.add(trace_id=trace, span_id=own, name="GET /", kind=2, start_time_unix_nano=time.time_ns())
        client = spans.add(trace_id=trace, span_id=call, parent_span_id=own, name="shop.v1.Stock/Reserve", kind=3,
                           start_time_unix_nano=time.time_ns())
        answer = reserve(b"one", timeout=20, metadata=(("traceparent", f"00-{trace.hex()}-{call.hex()}-01"),))
        client.end_time_unix_nano = time.time_ns()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        server.end_time_unix_nano = time.time_ns()
        export(request.SerializeToString(), timeout=20)

    def log_message(self, *more):
        pass

server = ThreadingHTTPServer(("0.0.0.0", 8080), Front)
print("ready", flush=True)
server.serve_forever()
"""

STOCK = r"""
import subprocess, sys
from concurrent import futures
import grpc

def reserve(request, context):
    (header,) = [value for name, value in context.invocation_metadata() if name == "traceparent"]
    return subprocess.run([sys.argv[1], "-sSf", "--http2-prior-knowledge", "-H", f"traceparent: {header}", sys.argv[2]],
                          check=True, capture_output=True).stdout

class Stock(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(reserve) if call.method == "/shop.v1.Stock/Reserve" else None

server = grpc.server(futures.ThreadPoolExecutor(2), (Stock(),))
server.add_insecure_port("0.0.0.0:8080")
server.start()
print("ready", flush=True)
server.wait_for_termination()
"""


# Health and metrics pages are asked for by the test, over loopback.
CONFIG = """
receivers: {pcap: {interfaces: [any], exclude: {ports: [13143, 8898]}}}
exporters: {otlp_grpc: {endpoint: "%s:4317", tls: {insecure: true}}}
service: {pipelines: {traces: {receivers: [pcap], exporters: [otlp_grpc]}}}
"""


class Depot(Nginx):
    """HTTP/2 by prior knowledge."""

    CONFIG = Nginx.CONFIG.replace("listen 8080;", "listen 8080 http2;")


class Row:
    """The namespaces, with their programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs: list[Program] = []
        self.spaces: dict[str, Namespace] = {}
        try:
            for name in ("client", *MEMBERS, "back"):
                self.spaces[name] = Namespace(f"pr{os.getpid()}-{name}")
            for number, (left, right) in enumerate(zip(("client", *MEMBERS), MEMBERS, strict=False), 1):
                join(self.spaces[left], "next", self.spaces[right], "prev")
                self.spaces[left].address("next", f"{NETWORK}.{number}.2")
                self.spaces[right].address("prev", f"{NETWORK}.{number}.3")
                join(self.spaces[right], "back", self.spaces["back"], right)
                self.spaces[right].address("back", f"{NETWORK}.1{number}.2")
                self.spaces["back"].address(right, f"{NETWORK}.1{number}.3")
        except BaseException:
            self.close()
            raise

    def start(self, one: Program, url: str = "", ready: str = "") -> None:
        self.programs.append(one)
        one.start()
        if url:
            one.wait_ready(url)
        else:
            wait_for(lambda: ready in one.output(), f"{one.folder.name}: {ready}")

    def receiver(self, name: str, *settings: str) -> Receiver:
        """The receiver beside a service, whose name it reports; `settings` are `--set` arguments."""
        folder = self.folder / f"receiver-{name}"
        receiver = Receiver(self.spaces[name], folder, *settings)
        receiver.env = {**receiver.env, "OTEL_SERVICE_NAME": name}
        (folder / "config.yaml").write_text(CONFIG % f"{NETWORK}.1{MEMBERS.index(name) + 1}.3")
        self.start(receiver, Receiver.HEALTH)
        return receiver

    def close(self) -> None:
        while self.programs:
            one = self.programs.pop()
            one.stop()
            print(f"--- {one.folder.name}\n{one.output()[-3000:]}")
        for space in self.spaces.values():
            space.close()



@pytest.fixture
def row(tmp_path: Path) -> Iterator[Row]:
    need()
    made = Row(tmp_path)
    try:
        yield made
    finally:
        made.close()


def edges(collector: Collector) -> dict[tuple[str, str], float]:
    """Client and server of each edge of the graph, with its requests as they were counted last."""
    return counted(collector, "traces_service_graph_request_total", "client", "server")


def calls(collector: Collector) -> dict[tuple[str, ...], float]:
    """Service, kind and name of the spans that span_metrics counted; it begins each with a point of 0."""
    return counted(collector, "traces.span.metrics.calls", "service.name", "span.kind", "span.name")


def counted(collector: Collector, metric: str, *labels: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(point["attributes"][label] for label in labels): float(point.get("asInt", point.get("asDouble", 0)))
        for point in collector.points(metric)
    }


def told(span: Span) -> tuple[str, int, str]:
    return span["resource"]["service.name"], span["kind"], span["name"]


# How a request looks from the first span to the last: who tells of it, the kind, the name.
FRONT_SERVER = ("front", SERVER, "GET /")  # its own
FRONT_CLIENT = ("front", CLIENT, "shop.v1.Stock/Reserve")  # its own
STOCK_SERVER = ("stock", SERVER, "shop.v1.Stock/Reserve")
STOCK_CLIENT = ("stock", CLIENT, "GET /item")
DEPOT_SERVER = ("depot", SERVER, "GET /item")


@pytest.mark.parametrize(
    ("depot_settings", "caller_of_depot"),
    [
        ([], FRONT_CLIENT),  # as its header says, which `stock` only passed on
        (["receivers.pcap.traces.context=both_ends"], STOCK_CLIENT),
    ],
    ids=["as the header says", "both ends"],
)
def test_one_trace_through_three_services(row: Row, depot_settings: list[str], caller_of_depot: tuple[str, int, str]) -> None:
    curl = program("curl")
    address = f"{NETWORK}.%d.3"
    collector = Collector(row.spaces["back"], row.folder / "otelcol", False, "collector-graph.yaml")
    row.start(collector, "http://127.0.0.1:13133/")
    (row.folder / "nginx").mkdir()
    row.start(Depot(row.spaces["depot"], row.folder / "nginx"))
    stock = [sys.executable, "-c", STOCK, curl, f"http://{address % 3}:8080/item"]
    row.start(Program(stock, row.spaces["stock"], row.folder / "stock"), ready="ready")
    front = [sys.executable, "-c", FRONT, f"{address % 2}:8080", f"{address % 11}:4317"]
    row.start(Program(front, row.spaces["front"], row.folder / "front"), ready="ready")
    row.receiver("front", "receivers.pcap.traces.when_instrumented=metrics_only")
    row.receiver("stock")
    row.receiver("depot", *depot_settings)

    for _ in range(REQUESTS):
        row.spaces["client"].run(curl, "-sSf", "-o", "/dev/null", f"http://{address % 1}:8080/")

    members = [FRONT_SERVER, FRONT_CLIENT, STOCK_SERVER, STOCK_CLIENT, DEPOT_SERVER]
    kinds = {SERVER: "SPAN_KIND_SERVER", CLIENT: "SPAN_KIND_CLIENT"}
    expected = {(service, kinds[kind], name): REQUESTS for service, kind, name in members}
    wait_for(lambda: calls(collector) == expected, "span_metrics")
    spans = collector.spans()
    assert Counter(told(span) for span in spans) == Counter(members * REQUESTS)
    traces = {span["traceId"] for span in spans}
    assert len(traces) == REQUESTS
    for trace in traces:
        by_id = {span["spanId"]: told(span) for span in spans if span["traceId"] == trace}
        parents = {told(span): by_id.get(span.get("parentSpanId", "")) for span in spans if span["traceId"] == trace}
        assert parents == {
            FRONT_SERVER: None,
            FRONT_CLIENT: FRONT_SERVER,
            STOCK_SERVER: FRONT_CLIENT,
            STOCK_CLIENT: STOCK_SERVER,
            DEPOT_SERVER: caller_of_depot,
        }
    if caller_of_depot == STOCK_CLIENT:
        # The graph pairs a CLIENT span with the SERVER span that is its child; here each has one.
        graph = {("front", "stock"): REQUESTS, ("stock", "depot"): REQUESTS}
        wait_for(lambda: edges(collector) == graph, "service_graph")
