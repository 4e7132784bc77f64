"""The exporter against HTTP servers on loopback that answer as no well-behaved store would."""

import logging
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import snappy

from receiver.config import Duration, PrometheusRemoteWriteExporter, RetryOnFailure, SendingQueue, Size, Tls
from receiver.export.own import OwnSockets, packed
from receiver.remote_write.client import RemoteWriteExporter, compress, read_retry_after
from receiver.telemetry.snapshot import HistogramPoint, Metric, NumberPoint, Resource, Snapshot
from tests.export.counted import points_of
from tests.export.deaf import DeafWay
from tests.export.http_proxy import HttpProxy

RESOURCE = Resource((("service.name", "shop"), ("host.name", "h")), "pcap-receiver", "1.2.3", "")
FAST = RetryOnFailure(initial_interval=Duration(0.01), max_interval=Duration(0.05))
V2 = "io.prometheus.write.v2.Request"


class Store:
    def __init__(self, read):
        self.read = read
        self.requests = []  # (headers, message) in order of arrival
        self.answers = []  # (status, headers, body), or a function of the handler; then 204
        self.times = []

    @contextmanager
    def serve(self, port=0):
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                store.times.append(time.monotonic())
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = store.answers.pop(0) if store.answers else (204, {}, b"")
                if callable(answer):
                    return answer(self)
                status, headers, content = answer
                if 200 <= status < 300:
                    store.requests.append((dict(self.headers), store.read(snappy.decompress(body))))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return None

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 50

        server = Server(("127.0.0.1", port), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def values(self, name):
        found = []
        for _, message in self.requests:
            for ts in message.timeseries:
                if any(label.name == "__name__" and label.value == name for label in ts.labels):
                    found += [sample.value for sample in ts.samples if sample.value == sample.value]
        return found


@pytest.fixture
def store(read_v1):
    return Store(read_v1)


@contextmanager
def exporter(port, retry=FAST, **settings):
    settings = {"endpoint": f"http://127.0.0.1:{port}/api/v1/write", "retry_on_failure": retry} | settings
    it = RemoteWriteExporter("prometheus_remote_write/x", PrometheusRemoteWriteExporter(**settings), "1.2.3")
    it.start()
    try:
        yield it
    finally:
        it.shutdown(0)


def snapshot(value=1, points=1, time_s=1_790_000_000):
    made = tuple(NumberPoint((("k", str(i)),), 1, value) for i in range(points))
    return Snapshot(time_s * 10**9, RESOURCE, (Metric("requests", "{request}", "", "sum", made),))


def wait_for(condition, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)


def settled(out):
    return points_of(out).queued == 0


def conserved(stats):
    lost = sum(stats.enqueue_failed.values()) + sum(stats.send_failed.values())
    return stats.offered + stats.restored == stats.sent + stats.rejected + lost + stats.queued + stats.kept


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_request_of_version_1(store):
    with store.serve() as port, exporter(port, headers={"X-Scope-OrgID": "blue"}) as out:
        out.export_metrics(snapshot(7))
        wait_for(lambda: settled(out))
        assert points_of(out).sent == 1
    ((headers, _), *_) = store.requests
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["Content-Encoding"] == "snappy"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert headers["User-Agent"] == "pcap-receiver/1.2.3"
    assert headers["X-Scope-OrgID"] == "blue"
    assert store.values("requests_total") == [7.0]


def test_shutdown_ends_every_series(store):
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot(7))
        out.shutdown(10)
        assert len(store.requests) == 2
        samples = [ts.samples[0] for ts in store.requests[1][1].timeseries]
        assert [sample.SerializeToString()[1:9].hex() for sample in samples] == ["020000000000f07f"] * 2
        assert points_of(out).offered == points_of(out).sent == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 429])
def test_status_that_is_tried_again(store, status):
    store.answers = [(status, {}, b"busy")] * 2
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
        assert (points_of(out).sent, points_of(out).retries) == (1, 2)
    assert store.values("requests_total") == [1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 301, 307, 304])
def test_status_that_is_final(store, status):
    store.answers = [(status, {"Location": "/other"}, b"" if status == 304 else b"no")]
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot(points=3))
        wait_for(lambda: settled(out))
        assert points_of(out).send_failed == {str(status): 3}
        assert len(store.times) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept(store, status):
    store.answers = [(status, {"Retry-After": "1"}, b"")]
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
        assert store.times[1] - store.times[0] >= 1.0


# RFC 9110, 10.2.3: delay-seconds or an HTTP-date.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after_forms(value, expected):
    assert read_retry_after(value, 1_000_000) == expected


def test_samples_of_a_series_stay_in_order_through_failures(store):
    store.answers = [(503, {}, b""), (204, {}, b""), (503, {}, b""), (503, {}, b"")]
    with store.serve() as port, exporter(port) as out:
        for n in range(5):
            out.export_metrics(snapshot(n, time_s=1_790_000_000 + n))
        wait_for(lambda: settled(out))
    assert store.values("requests_total") == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_connection_that_breaks_off_is_tried_again(store):
    def close(handler):
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    def half(handler):
        handler.wfile.write(b"HTTP/1.1 20")
        close(handler)

    def garbage(handler):
        handler.wfile.write(b"SSH-2.0-hello\r\n\r\n")
        close(handler)

    store.answers = [close, half, garbage]
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
        assert (points_of(out).sent, points_of(out).retries) == (1, 3)


def test_error_whose_body_breaks_off_is_still_its_status(store):
    def broken(handler):
        handler.wfile.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\nhalf")
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    store.answers = [broken]
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
        assert points_of(out).send_failed == {"400": 1}


def test_server_that_does_not_answer_is_a_timeout(store):
    release = threading.Event()
    store.answers = [lambda handler: release.wait(10)]
    with store.serve() as port, exporter(port, timeout=Duration(0.2)) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
        assert points_of(out).sent == 1
        release.set()


def test_kept_connection_that_the_server_closed_loses_nothing(store):
    with exporter(port := free_port()) as out:
        for n in range(3):
            with store.serve(port):
                out.export_metrics(snapshot(n, time_s=1_790_000_000 + n))
                wait_for(lambda: settled(out))
        assert points_of(out).sent == 3
    assert store.values("requests_total") == [0.0, 1.0, 2.0]


def test_store_killed_and_brought_back_is_accounted_for_exactly(store):
    port = free_port()
    queue = SendingQueue(queue_size=Size(20_000))
    attributes = [(("k", str(i)),) for i in range(10)]
    offered = 0

    def offer(out, n):
        nonlocal offered
        for _ in range(n):
            made = tuple(NumberPoint(a, 1, offered) for a in attributes)
            metric = Metric("requests", "{request}", "", "sum", made)
            out.export_metrics(Snapshot((1_790_000_000 + offered) * 10**9, RESOURCE, (metric,)))
            offered += 1

    with exporter(port, sending_queue=queue) as out:
        with store.serve(port):
            offer(out, 20)
            wait_for(lambda: points_of(out).sent >= 100)
        for _ in range(10):
            offer(out, 20)
            assert conserved(points_of(out))
        assert points_of(out).enqueue_failed["queue_full"] > 0
        with store.serve(port):
            wait_for(lambda: settled(out))
            offer(out, 20)
            out.shutdown(10)
        stats = points_of(out)
    assert conserved(stats)
    assert stats.offered == 10 * offered == 2400
    assert stats.send_failed == {}
    values = store.values("requests_total")
    assert len(set(values)) * 10 == stats.sent == 2400 - stats.enqueue_failed["queue_full"]
    assert values == sorted(values)
    assert values[-1] == offered - 1


def test_store_that_is_down_is_logged_once_without_secrets(caplog):
    caplog.set_level(logging.DEBUG, logger="receiver")
    port = free_port()
    with exporter(
        port,
        endpoint=f"http://user:hunter2@127.0.0.1:{port}/api/v1/write?token=hunter3",
        headers={"Authorization": "Bearer hunter4"},
    ) as out:
        for _ in range(5):
            out.export_metrics(snapshot())
        wait_for(lambda: points_of(out).retries >= 3)
        out.shutdown(0.1)
        assert points_of(out).send_failed == {"shutdown": 5}
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("receiver.")]
    trouble = f"connection_error (127.0.0.1:{port} refuses the connection: nobody listens there)"
    assert ours[0] == f"prometheus_remote_write/x metrics: {trouble}: will retry"
    assert len(ours) == 2  # and the shutdown
    assert "hunter" not in "".join(ours)


def test_header_value_echoed_by_the_server_is_not_logged(store, caplog):
    store.answers = [(401, {}, b"bad token hunter4\x1b[2J")]
    with store.serve() as port, exporter(port, headers={"Authorization": "Bearer hunter4"}) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
    assert "bad token [REDACTED] [2J" in caplog.text


def test_points_that_cannot_be_sent_are_counted(store):
    long = (("k", "x" * 5000),)
    metric = Metric("requests", "", "", "sum", (NumberPoint(long, 1, 1), NumberPoint((("k", "a"),), 1, 2)))
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(Snapshot(10**18, RESOURCE, (metric,)))
        wait_for(lambda: settled(out))
        stats = points_of(out)
        assert (stats.offered, stats.sent, stats.enqueue_failed) == (2, 1, {"label_limit": 1})
        assert conserved(stats)


def test_histogram_that_counted_nothing_needs_no_request(store):
    metric = Metric("d", "s", "", "histogram", (HistogramPoint((), 1, 0, 0.0, (0, 0)),), bounds=(1.0,))
    with store.serve() as port, exporter(port, histograms="vmrange", target_info=False) as out:
        out.export_metrics(Snapshot(10**18, RESOURCE, (metric,)))
        wait_for(lambda: settled(out))
        assert points_of(out).sent == 1
    assert store.requests == []


# Remote Write 2.0, "Required Written Response Headers": without them a 2xx is a 1.0 receiver that read an empty
# message.
def test_v2_success_without_written_headers_is_a_failure(read_v2):
    store = Store(read_v2)
    written = {"X-Prometheus-Remote-Write-Samples-Written": "1", "X-Prometheus-Remote-Write-Histograms-Written": "0"}
    store.answers = [(204, {}, b""), (204, written, b"")]
    with store.serve() as port, exporter(port, protobuf_message=V2) as out:
        out.export_metrics(snapshot(points=2))
        out.export_metrics(snapshot(points=3))
        wait_for(lambda: settled(out))
        stats = points_of(out)
        assert (stats.send_failed, stats.sent) == ({"not_written": 2}, 3)
        assert conserved(stats)
    headers, _ = store.requests[0]
    assert headers["Content-Type"] == f"application/x-protobuf;proto={V2}"
    assert headers["X-Prometheus-Remote-Write-Version"] == "2.0.0"


def test_neither_grpc_nor_protobuf_is_loaded():
    heavy = ("grpc", "google", "opentelemetry")
    code = f"import receiver.remote_write.client, sys; print([m for m in sys.modules if m.startswith({heavy})])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_connection_that_goes_silent_is_left_and_nothing_is_lost(store):
    with store.serve() as port:
        way = DeafWay(port)
        with way.serve() as way_port, exporter(way_port, timeout=Duration(0.3)) as out:
            out.export_metrics(snapshot(1))
            wait_for(lambda: settled(out))
            way.silence()
            for n in range(2, 12):
                out.export_metrics(snapshot(n))
            wait_for(lambda: settled(out))
            assert points_of(out).sent == 11
            assert points_of(out).send_failed == {}
        assert way.connections >= 2
    assert store.values("requests_total") == [float(n) for n in range(1, 12)]


def test_through_a_proxy_with_credentials_which_are_never_said(store, caplog):
    caplog.set_level(logging.DEBUG, logger="receiver")
    proxy = HttpProxy(credentials="user:hunt@er2")
    with store.serve() as port, proxy.serve() as proxy_port:
        with exporter(port, proxy_url=f"http://user:hunt%40er2@127.0.0.1:{proxy_port}") as out:
            out.export_metrics(snapshot(7))
            wait_for(lambda: settled(out))
            assert points_of(out).sent == 1
        with exporter(port, proxy_url=f"http://user:hunter3@127.0.0.1:{proxy_port}") as out:
            out.export_metrics(snapshot(8))
            wait_for(lambda: settled(out))
            assert points_of(out).send_failed == {"407": 1}
    assert proxy.heads[0].startswith(f"POST http://127.0.0.1:{port}/api/v1/write HTTP/1.1")
    assert store.values("requests_total") == [7.0]
    assert f"the proxy 127.0.0.1:{proxy_port} wants credentials: http://USER:PASSWORD@127.0.0.1:{proxy_port}" in caplog.text
    assert "hunt" not in caplog.text


def test_environment_is_not_asked(store, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot(7))
        wait_for(lambda: settled(out))
        assert points_of(out).sent == 1


def test_sockets_are_known_as_ours_without_a_look(store):
    own = OwnSockets()
    with store.serve() as port:
        config = PrometheusRemoteWriteExporter(endpoint=f"http://localhost:{port}/api/v1/write", retry_on_failure=FAST)
        out = RemoteWriteExporter("prometheus_remote_write/x", config, "1.2.3", own)
        out.start()
        out.export_metrics(snapshot(7))
        wait_for(lambda: settled(out))
        (local,) = own._opened
        here = packed("127.0.0.1")
        assert own.is_own(here, local, here, port, True, time.time_ns())
        assert not own.is_own(here, local ^ 1, here, port, True, time.time_ns())
        out.shutdown(0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", directory / "key.pem", "-out", directory / "cert.pem", "-subj", "/CN=vm.test",
         "-addext", "subjectAltName=DNS:vm.test", "-addext", "basicConstraints=critical,CA:TRUE"],
        check=True, capture_output=True,
    )  # fmt: skip
    return directory


@pytest.mark.parametrize(
    ("server_tls", "endpoint", "tls", "said"),
    [
        (False, "https://127.0.0.1:{port}/w", {}, "tls (127.0.0.1:{port} does not speak TLS: set an endpoint of http://)"),
        (True, "https://127.0.0.1:{port}/w", {},
         "tls (127.0.0.1:{port} its certificate is of no known authority: set tls.ca_file)"),
        (True, "https://127.0.0.1:{port}/w", {"ca_file": "cert.pem"},
         "tls (127.0.0.1:{port} its certificate is for another name than the endpoint's)"),
        (True, "http://127.0.0.1:{port}/w", {}, "connection_error (127.0.0.1:{port} closed the connection before it answered)"),
        (False, "http://nowhere.invalid/w", {}, "connection_error (nowhere.invalid: its name cannot be resolved)"),
    ],
)  # fmt: skip
def test_what_cannot_be_reached_is_one_line_that_says_what_to_set(certificate, caplog, server_tls, endpoint, tls, said):
    """Against OpenSSL itself, by Python's server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None
    if server_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    port = server.server_port
    settings = Tls(**{key: str(certificate / value) for key, value in tls.items()})
    with exporter(port, endpoint=endpoint.format(port=port), tls=settings) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: points_of(out).retries >= 3)
    server.shutdown()
    server.server_close()
    lines = [r.getMessage() for r in caplog.records if "will retry" in r.getMessage()]
    assert lines == [f"prometheus_remote_write/x metrics: {said.format(port=port)}: will retry"]


def test_plain_request_to_a_port_with_tls_of_a_go_program(store, caplog):
    store.answers = [(400, {}, b"Client sent an HTTP request to an HTTPS server.\n")]  # net/http's words
    with store.serve() as port, exporter(port) as out:
        out.export_metrics(snapshot())
        wait_for(lambda: settled(out))
    assert f"400 (127.0.0.1:{port} speaks TLS: set an endpoint of https://)" in caplog.text


def test_connection_is_kept_from_one_export_to_the_next(store):
    store.answers = [(204, {}, b""), (200, {}, b"fine"), (503, {}, b"not now")]
    with store.serve() as port:
        way = DeafWay(port)
        with way.serve() as way_port, exporter(way_port) as out:
            for n in range(5):
                out.export_metrics(snapshot(n))
                wait_for(lambda: settled(out))
            assert points_of(out).sent == 5
            assert way.connections == 1


def test_body_compressed_in_pieces_is_what_snappy_makes_of_it_whole() -> None:
    """python-snappy, which holds up every thread meanwhile, is the judge."""
    rng = random.Random(3)
    for size in (1, 127, 128, 65_535, 65_536, 65_537, 131_073, 700_001):
        text = b"".join(b"http_server_request_duration_seconds_bucket%d" % rng.randrange(500) for _ in range(size // 40 + 1))
        for body in (text[:size], rng.randbytes(size)):
            assert compress(body) == snappy.compress(body)
            assert snappy.decompress(compress(body)) == body
