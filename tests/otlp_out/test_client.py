"""The exporter against real gRPC servers on loopback; opentelemetry-proto reads what they got."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration as DurationMessage
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from receiver.config import Batch, Duration, OtlpGrpcExporter, RetryOnFailure, SendingQueue, Size, Tls
from receiver.export.own import OwnSockets, packed
from receiver.otlp_out.client import METRICS_METHOD, TRACES_METHOD, OtlpExporter
from receiver.telemetry.snapshot import Metric, NumberPoint, Resource, Snapshot
from receiver.wire.protobuf import message
from tests.export.counted import points_of, spans_of
from tests.export.deaf import DeafWay

RESOURCE = Resource((("service.name", "shop"),), "pcap-receiver", "1.2.3", "https://opentelemetry.io/schemas/1.44.0")
FAST = RetryOnFailure(initial_interval=Duration(0.01), max_interval=Duration(0.05))


def retry_info(seconds, nanos=0):
    """google.rpc.Status with details = 3, as the API's own library writes it; the two messages inside are
    protobuf's."""
    duration = DurationMessage(seconds=seconds, nanos=nanos).SerializeToString()
    other = Any(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\x0a\x01x")
    info = Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=message(1, duration))
    return b"\x08\x08\x12\x04slow" + message(3, other.SerializeToString()) + message(3, info.SerializeToString())


class Collector:
    """Both OTLP services; `answer(signal, request, context)` may set a status, sleep, or give a response."""

    def __init__(self):
        self.spans = []
        self.points = 0
        self.metadata = []
        self.calls = 0
        self.answer = lambda signal, request, context: None
        self.lock = threading.Lock()

    def service(self, handler_call_details):
        if handler_call_details.method == TRACES_METHOD:
            return grpc.unary_unary_rpc_method_handler(
                self.export_traces, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
            )
        if handler_call_details.method == METRICS_METHOD:
            return grpc.unary_unary_rpc_method_handler(
                self.export_metrics,
                ExportMetricsServiceRequest.FromString,
                ExportMetricsServiceResponse.SerializeToString,
            )
        return None

    def export_traces(self, request, context):
        with self.lock:
            self.calls += 1
            self.metadata.append(dict(context.invocation_metadata()))
        response = self.answer("traces", request, context)
        with self.lock:
            for resource_spans in request.resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    self.spans += [span.name for span in scope_spans.spans]
        return response or ExportTraceServiceResponse()

    def export_metrics(self, request, context):
        response = self.answer("metrics", request, context)
        with self.lock:
            for resource_metrics in request.resource_metrics:
                for scope_metrics in resource_metrics.scope_metrics:
                    self.points += sum(len(metric.sum.data_points) for metric in scope_metrics.metrics)
        return response or ExportMetricsServiceResponse()


@contextmanager
def serve(collector, port=0, credentials=None, options=()):
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0), *options])
    server.add_generic_rpc_handlers([collector])
    address = f"127.0.0.1:{port}"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    assert port
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@contextmanager
def exporter(port, retry=FAST, **settings):
    settings = {"endpoint": f"127.0.0.1:{port}", "tls": Tls(insecure=True), "retry_on_failure": retry} | settings
    it = OtlpExporter("otlp_grpc/x", OtlpGrpcExporter(**settings), RESOURCE, "1.2.3")
    it.start()
    try:
        yield it
    finally:
        it.shutdown(0)


def blob(*names):
    return b"".join(ScopeSpans(spans=[Span(name=name)]).SerializeToString() for name in names)


def snapshot(points=3):
    made = tuple(NumberPoint((("k", str(i)),), 1, i) for i in range(points))
    return Snapshot(2, RESOURCE, (Metric("requests", "{request}", "", "sum", made),))


def wait_for(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)


def conserved(stats):
    lost = sum(stats.enqueue_failed.values()) + sum(stats.send_failed.values())
    return stats.offered + stats.restored == stats.sent + stats.rejected + lost + stats.queued + stats.kept


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_spans_and_metrics_arrive():
    collector = Collector()
    with serve(collector) as port, exporter(port, headers={"X-Tenant": "blue"}) as out:
        out.export_spans(blob("a", "b"), 2)
        out.export_metrics(snapshot())
        out.shutdown(10)
        assert collector.spans == ["a", "b"]
        assert collector.points == 3
        assert spans_of(out).sent == 2
        assert points_of(out).sent == 3
        (metadata,) = collector.metadata
        assert metadata["x-tenant"] == "blue"
        assert metadata["user-agent"].startswith("pcap-receiver/1.2.3 OTel-OTLP-Exporter-Python/1.2.3 grpc-python/")


def test_gzip_is_understood():
    collector = Collector()
    with serve(collector) as port, exporter(port, compression="gzip") as out:
        out.export_spans(blob("a" * 10_000), 1)
        out.shutdown(10)
        assert collector.spans == ["a" * 10_000]


# OTLP specification 1.11, "Failures": the table of statuses.
@pytest.mark.parametrize(
    "status", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"]
)
def test_retryable_status_is_tried_again(status):
    collector = Collector()

    def fail_twice(signal, request, context):
        if collector.calls <= 2:
            context.abort(grpc.StatusCode[status], "not now")

    collector.answer = fail_twice
    with serve(collector) as port, exporter(port) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
        assert collector.spans == ["a"]
        assert collector.calls == 3
        assert spans_of(out).retries == 2


@pytest.mark.parametrize(
    "status",
    [
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "FAILED_PRECONDITION",
        "UNIMPLEMENTED",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
    ],
)
def test_other_status_is_final_and_counted(status):
    collector = Collector()
    collector.answer = lambda signal, request, context: context.abort(grpc.StatusCode[status], "never")
    with serve(collector) as port, exporter(port) as out:
        out.export_spans(blob("a", "b"), 2)
        wait_for(lambda: spans_of(out).queued == 0)
        assert collector.calls == 1
        assert spans_of(out).send_failed == {status: 2}


def test_resource_exhausted_with_retry_info_waits_as_told():
    collector = Collector()
    seen = []

    def answer(signal, request, context):
        seen.append(time.monotonic())
        if len(seen) == 1:
            context.set_trailing_metadata((("grpc-status-details-bin", retry_info(0, 300_000_000)),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")

    collector.answer = answer
    with serve(collector) as port, exporter(port) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
        assert seen[1] - seen[0] >= 0.3


def test_details_that_are_garbage_do_not_break_the_retry():
    collector = Collector()

    def answer(signal, request, context):
        if collector.calls == 1:
            context.set_trailing_metadata((("grpc-status-details-bin", b"\x1a\xff\xff\xff garbage"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "slow down")

    collector.answer = answer
    with serve(collector) as port, exporter(port) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)


def test_partial_success_is_counted_and_not_tried_again(caplog):
    collector = Collector()

    def answer(signal, request, context):
        if signal == "traces":
            return ExportTraceServiceResponse(partial_success={"rejected_spans": 2, "error_message": "too old"})
        return ExportMetricsServiceResponse(partial_success={"rejected_data_points": 1, "error_message": "too new"})

    collector.answer = answer
    with serve(collector) as port, exporter(port) as out:
        out.export_spans(blob("a", "b", "c"), 3)
        out.export_metrics(snapshot(4))
        wait_for(lambda: spans_of(out).queued == 0 and points_of(out).queued == 0)
        assert (spans_of(out).sent, spans_of(out).rejected) == (1, 2)
        assert (points_of(out).sent, points_of(out).rejected) == (3, 1)
        assert collector.calls == 1
        assert "2 items rejected: too old" in caplog.text


def test_warning_without_rejects_is_logged_and_all_are_sent(caplog):
    collector = Collector()
    collector.answer = lambda *_: ExportTraceServiceResponse(
        partial_success={"error_message": "please use newer names"}
    )
    with serve(collector) as port, exporter(port) as out:
        for _ in range(3):
            out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 3)
        assert caplog.text.count("please use newer names") == 1


def test_server_that_does_not_answer_is_a_deadline():
    collector = Collector()
    release = threading.Event()

    def answer(signal, request, context):
        if collector.calls == 1:
            release.wait(10)

    collector.answer = answer
    with serve(collector) as port, exporter(port, timeout=Duration(0.2)) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
        assert spans_of(out).retries >= 1
        release.set()


def test_server_killed_under_load_and_brought_back_is_accounted_for_exactly():
    collector = Collector()
    port = free_port()
    sent_names = []

    def offer(out, first):
        for i in range(first, first + 50):
            sent_names.append(str(i))
            out.export_spans(blob(str(i)), 1)
            out.export_metrics(snapshot(2))
            time.sleep(0.001)

    # Room for 100 or so of the spans' requests: those offered while the server is away do not all fit.
    queue = SendingQueue(queue_size=Size(15_000))
    with exporter(port, sending_queue=queue) as out:
        with serve(collector, port):
            offer(out, 0)
            wait_for(lambda: spans_of(out).sent >= 25)
        for n in range(4):
            offer(out, 50 + 50 * n)
            assert conserved(spans_of(out))
        assert spans_of(out).queued > 0
        assert spans_of(out).enqueue_failed.get("queue_full", 0) > 0
        with serve(collector, port):
            wait_for(lambda: spans_of(out).queued == 0 and points_of(out).queued == 0)
            offer(out, 250)
            out.shutdown(10)
        spans, points = spans_of(out), points_of(out)
    assert conserved(spans)
    assert conserved(points)
    assert (spans.offered, points.offered) == (300, 600)
    assert spans.send_failed == {} == points.send_failed
    lost = spans.enqueue_failed["queue_full"]
    assert len(set(collector.spans)) == spans.sent == 300 - lost
    # In order; a request that was answered as the server died may be there twice.
    assert list(dict.fromkeys(collector.spans)) == [name for name in sent_names if name in set(collector.spans)]
    assert collector.points >= points.sent


def test_nobody_listening_is_logged_once_and_blocks_nobody(caplog):
    caplog.set_level(logging.INFO)
    with exporter(free_port(), headers={"authorization": "Bearer hunter2"}) as out:
        for _ in range(20):
            out.export_spans(blob("secret-span"), 1)
        wait_for(lambda: spans_of(out).retries >= 3)
        assert spans_of(out).queued == 20
        out.shutdown(0.1)
        assert spans_of(out).send_failed == {"shutdown": 20}
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("receiver.")]
    assert sum("UNAVAILABLE" in line for line in ours) == 1
    assert "hunter2" not in caplog.text
    assert "secret-span" not in caplog.text


def test_header_value_echoed_by_the_server_is_not_logged(caplog):
    collector = Collector()
    collector.answer = lambda s, r, context: context.abort(
        grpc.StatusCode.UNAUTHENTICATED, "bad token: Bearer hunter2\n"
    )
    with serve(collector) as port, exporter(port, headers={"authorization": "Bearer hunter2"}) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).queued == 0)
    assert "bad token: [REDACTED]" in caplog.text
    assert "hunter2" not in caplog.text


def test_requests_stay_below_what_a_collector_takes():
    collector = Collector()
    names = [f"{i}-" + "x" * 50_000 for i in range(200)]  # 10 MB
    with serve(collector) as port, exporter(port) as out:  # the server's limit is gRPC's own: 4 MiB
        out.export_spans(blob(*names), 200)
        out.shutdown(20)
        assert spans_of(out).sent == 200
    assert collector.spans == names
    assert collector.calls == 3


def test_span_over_the_limit_is_counted_and_the_others_go():
    collector = Collector()
    small = SendingQueue(batch=Batch(max_size=Size(65_536)))
    with serve(collector) as port, exporter(port, sending_queue=small) as out:
        out.export_spans(blob("a", "x" * 70_000, "b"), 3)
        out.shutdown(10)
        assert spans_of(out).enqueue_failed == {"too_large": 1}
        assert conserved(spans_of(out))
    assert collector.spans == ["a", "b"]


def test_blob_that_is_broken_is_counted_as_ours(caplog):
    small = SendingQueue(batch=Batch(max_size=Size(65_536)))
    with exporter(free_port(), sending_queue=small) as out:
        out.export_spans(b"\x12\xff\xff\xff\x0f" + bytes(70_000), 4)
        assert spans_of(out).enqueue_failed == {"internal": 4}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-subj", "/CN=collector.test",
         "-addext", "subjectAltName=DNS:collector.test", "-addext", "basicConstraints=critical,CA:TRUE"],
        check=True, capture_output=True,
    )
    return directory


def test_tls_with_own_authority_and_client_certificate(certificate):
    key, cert = (certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes()
    credentials = grpc.ssl_server_credentials([(key, cert)], root_certificates=cert, require_client_auth=True)
    collector = Collector()
    pem = str(certificate / "cert.pem")
    tls = Tls(ca_file=pem, cert_file=pem, key_file=str(certificate / "key.pem"), server_name_override="collector.test")
    with serve(collector, credentials=credentials) as port, exporter(port, tls=tls) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
    assert collector.spans == ["a"]


def test_unknown_authority_is_refused(certificate):
    key, cert = (certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes()
    collector = Collector()
    tls = Tls(server_name_override="collector.test")
    with (
        serve(collector, credentials=grpc.ssl_server_credentials([(key, cert)])) as port,
        exporter(port, tls=tls) as out,
    ):
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 1)
        assert collector.spans == []


def test_no_protobuf_library_is_loaded_on_the_way_out():
    code = (
        "import receiver.otlp_out.client, sys; print([m for m in sys.modules if m.startswith(('google', 'opentel'))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_connection_that_goes_silent_is_given_up_and_nothing_is_lost():
    collector = Collector()
    with serve(collector) as port:
        way = DeafWay(port)
        with way.serve() as way_port, exporter(way_port, timeout=Duration(0.3)) as out:
            out.export_spans(blob("before"), 1)
            wait_for(lambda: spans_of(out).sent == 1)
            way.silence()
            for n in range(10):
                out.export_spans(blob(str(n)), 1)
                out.export_metrics(snapshot())
            wait_for(lambda: spans_of(out).queued == 0 and points_of(out).queued == 0)
            assert spans_of(out).sent == 11
            assert points_of(out).sent == 30
            assert spans_of(out).send_failed == {} == points_of(out).send_failed
        assert collector.spans == ["before", *map(str, range(10))]
        assert collector.points == 30
        assert way.connections >= 2


def test_slow_answers_between_good_ones_keep_the_connection():
    collector = Collector()
    collector.answer = lambda signal, *_: time.sleep(0.6) if collector.calls % 2 else None
    with serve(collector) as port:
        way = DeafWay(port)
        with way.serve() as way_port, exporter(way_port, timeout=Duration(0.3)) as out:
            for n in range(3):
                out.export_spans(blob(str(n)), 1)
                wait_for(lambda n=n: spans_of(out).sent == n + 1)
            assert spans_of(out).retries >= 2
            assert way.connections == 1


# Real handshakes between gRPC's own client and server; what is to be set is named in the line.
@pytest.mark.parametrize(
    ("server_tls", "client", "said"),
    [
        (False, {"ca_file": "cert.pem"}, "does not speak TLS: set tls.insecure: true"),
        (True, {"insecure": True}, "closes the connection at once: where it speaks TLS set tls.insecure: false"),
        (True, {}, "its certificate is of no known authority: set tls.ca_file"),
        (True, {"ca_file": "cert.pem"}, "its certificate is for another name: set tls.server_name_override"),
        (None, {"insecure": True}, "refuses the connection: nobody listens there"),
    ],
)
def test_connection_that_cannot_be_made_is_one_line_that_says_what_to_set(certificate, caplog, server_tls, client, said):
    credentials = None
    if server_tls:
        key, cert = (certificate / "key.pem").read_bytes(), (certificate / "cert.pem").read_bytes()
        credentials = grpc.ssl_server_credentials([(key, cert)])
    tls = Tls(**{key: str(certificate / value) if key == "ca_file" else value for key, value in client.items()})
    with serve(Collector(), credentials=credentials) as port:
        if server_tls is None:
            port = free_port()
        with exporter(port, tls=tls) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).retries >= 5)
    lines = [r.getMessage() for r in caplog.records if "UNAVAILABLE" in r.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"otlp_grpc/x traces: UNAVAILABLE (127.0.0.1:{port} {said}")


def test_what_listens_there_is_no_collector(caplog):
    """HTTP/1 on the port: a Collector's 4318, say."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with exporter(server.server_port) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 2)
    server.shutdown()
    server.server_close()
    assert "answers, but does not speak gRPC: is that its port for OTLP over gRPC?" in caplog.text


def test_handshake_that_takes_longer_than_a_second_succeeds():
    collector = Collector()
    with serve(collector) as port:
        listener = socket.create_server(("127.0.0.1", 0))

        def slow():
            inner, _ = listener.accept()
            time.sleep(2)
            outer = socket.create_connection(("127.0.0.1", port))
            way = DeafWay(port)
            threading.Thread(target=way._pump, args=(inner, outer, 1), daemon=True).start()
            way._pump(outer, inner, 1)

        threading.Thread(target=slow, daemon=True).start()
        with exporter(listener.getsockname()[1], timeout=Duration(8)) as out:
            out.export_spans(blob("a"), 1)
            wait_for(lambda: spans_of(out).sent == 1)
            assert spans_of(out).retries == 0
        listener.close()
    assert collector.spans == ["a"]


@pytest.mark.parametrize("form", ["unix://{path}", "unix:{path}", "unix-abstract:{name}", "ipv4:127.0.0.1:{port}", "dns:///localhost:{port}"])
def test_targets_of_grpc_are_taken_as_they_are(form, tmp_path):
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([collector])
    names = {"path": str(tmp_path / "otel.sock"), "name": f"otel-{free_port()}", "port": str(free_port())}
    endpoint = form.format(**names)
    server.add_insecure_port(f"127.0.0.1:{names['port']}" if names["port"] in endpoint else endpoint)
    server.start()
    with exporter(0, endpoint=endpoint) as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
    server.stop(0).wait()
    assert collector.spans == ["a"]


def test_grpc_itself_writes_nothing():
    code = (
        "from receiver.config import OtlpGrpcExporter, RetryOnFailure, Duration\n"
        "from receiver.telemetry.snapshot import Resource\n"
        "from receiver.otlp_out.client import OtlpExporter\nfrom tests.export.counted import spans_of; import sys, time\n"
        "fast = RetryOnFailure(initial_interval=Duration(0.05), max_interval=Duration(0.1))\n"
        "config = OtlpGrpcExporter(endpoint=sys.argv[1], retry_on_failure=fast)\n"
        "out = OtlpExporter('otlp_grpc', config, Resource((), '', '', ''), '1')\n"
        "out.start(); out.export_spans(bytes((0x12, 0)), 1); time.sleep(1.5); assert spans_of(out).retries > 1\n"
    )
    with serve(Collector()) as port:
        command = [sys.executable, "-c", code, f"127.0.0.1:{port}"]
        environment = {key: value for key, value in os.environ.items() if key != "GRPC_VERBOSITY"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | {"PYTHONPATH": "."})
    assert [line for line in done.stderr.splitlines() if "does not speak TLS: set tls.insecure: true" not in line] == []


def test_name_with_addresses_of_both_families_of_which_one_answers(monkeypatch):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo",
        lambda host, *rest, **more: [*resolve("::1", *rest, **more), *resolve("127.0.0.1", *rest, **more)],
    )  # fmt: skip
    collector = Collector()
    with serve(collector) as port, exporter(0, endpoint=f"both.test:{port}") as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
        assert spans_of(out).retries == 0


def test_name_that_moves_is_followed_at_once_and_known_beforehand(monkeypatch):
    addresses = ["127.0.0.1"]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve(addresses[0], *rest, **more))
    monkeypatch.setattr("receiver.otlp_out.client.LOOK_UP_AGAIN_S", 0.0)
    collector, own = Collector(), OwnSockets()
    port = free_port()
    settings = OtlpGrpcExporter(endpoint=f"collector.test:{port}", tls=Tls(insecure=True), retry_on_failure=FAST)
    out = OtlpExporter("otlp_grpc/x", settings, RESOURCE, "1.2.3", own)
    out.start()
    with serve(collector, port):
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).sent == 1)
    addresses[0] = "127.0.0.2"
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([collector])
    server.add_insecure_port(f"127.0.0.2:{port}")
    server.start()
    out.export_spans(blob("b"), 1)
    wait_for(lambda: spans_of(out).sent == 2)
    assert collector.spans == ["a", "b"]
    for address in ("127.0.0.1", "127.0.0.2"):
        assert own.is_own(packed("127.0.0.1"), 40000, packed(address), port, True, time.time_ns())
    out.shutdown(1)
    server.stop(0).wait()


def test_name_that_cannot_be_resolved_is_said_and_asked_for_again(caplog, monkeypatch):
    collector = Collector()
    with serve(collector) as port, exporter(0, endpoint=f"collector.invalid:{port}") as out:
        out.export_spans(blob("a"), 1)
        wait_for(lambda: spans_of(out).retries >= 2)
        resolve = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
        wait_for(lambda: spans_of(out).sent == 1)
    assert f"UNAVAILABLE (collector.invalid:{port} its name cannot be resolved): will retry" in caplog.text
