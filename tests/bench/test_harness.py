"""What the benchmarks believe without looking: their clock, their client's and their sink's counts, their verdicts."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.bench import process
from tests.bench.load import client_program
from tests.bench.observers import sum_of
from tests.bench.report import Bars, Figure
from tests.bench.sink import count_spans

BURN_IN_A_THREAD_THAT_ENDS = """
import threading, time
def burn():
    while time.thread_time() < 0.2: pass
thread = threading.Thread(target=burn); thread.start(); thread.join()
print('burnt', flush=True); input()
"""


def test_processor_time_keeps_that_of_ended_threads() -> None:
    argv = [sys.executable, "-c", BURN_IN_A_THREAD_THAT_ENDS]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdin
    child.stdout.readline()
    used_ns = process.cpu_ns(child.pid)
    child.stdin.close()
    _, _, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    total_ns = (usage.ru_utime + usage.ru_stime) * 1e9
    assert 200_000_000 <= used_ns <= total_ns + 1_000_000


def test_processor_time_of_nobody_is_an_error() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(ProcessLookupError):
        process.cpu_ns(child.pid)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(client_program(tmp_path_factory.mktemp("client")))


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The port of a server on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield str(server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def test_client_counts_what_the_server_answered(client: str) -> None:
    answered = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answered.append(self.path)
            self.send_response(200 if len(answered) % 10 else 503)
            self.send_header("Content-Length", "70000")
            self.end_headers()
            self.wfile.write(bytes(70_000))

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with serving(Server) as port:
        argv = [client, "127.0.0.1", port, "/x", "4", "1000", "100", "0", "0"]
        said = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert len(answered) == said["requests"] == said["responses"] == 100
    assert said["refused"] == 10
    assert said["bytes"] > 100 * 70_000
    assert said["elapsed_ns"] >= 99_000_000  # the last of 100 at 1 000/s is due 99 ms after the first


def test_client_at_full_speed_finishes_what_it_sent(client: str) -> None:
    answered = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answered.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with serving(Server) as port:
        argv = [client, "127.0.0.1", port, "/x", "8", "0", "0", "0.2", "0"]
        said = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert len(answered) == said["requests"] == said["responses"] > 8


def test_dns_client_asks_from_a_new_port_each_time_and_knows_its_answers(tmp_path: Path) -> None:
    client = str(client_program(tmp_path, "dns_client"))
    ports = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            for number in range(51):
                question, asked = server.recvfrom(4096)
                ports.append(asked)
                rcode = b"\x81\x80" if number < 50 else b"\x81\x83"
                server.sendto(question[:2] + rcode + question[4:6] + b"\0\1" + question[8:], asked)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        argv = [client, "127.0.0.1", str(server.getsockname()[1])]
        said = json.loads(subprocess.run([*argv, "50", "1000"], capture_output=True, text=True, check=True, timeout=30).stdout)
        assert (said["requests"], said["responses"], said["refused"]) == (50, 50, 0)
        assert said["elapsed_ns"] >= 49_000_000
        assert len(set(ports)) > 45  # the system gives a free one, now and then the same again
        assert subprocess.run([*argv, "1", "0"], capture_output=True, timeout=30).returncode == 1  # NXDOMAIN
        thread.join()


def test_client_fails_when_the_server_closes(client: str) -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # HTTP/1.0: one answer, then the end
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with serving(Server) as port:
        argv = [client, "127.0.0.1", port, "/x", "1", "100", "10", "0", "0"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "closed" in done.stderr


def test_sink_counts_spans_of_every_scope() -> None:
    request = ExportTraceServiceRequest()
    for spans in (3, 0, 5):
        scope = request.resource_spans.add().scope_spans.add()
        scope.scope.name = "x"
        scope.schema_url = "y"
        for _ in range(spans):
            scope.spans.add(name="GET", trace_id=bytes(16)).attributes.add(key="a").value.string_value = "b"
    assert count_spans(request.SerializeToString()) == 8


def test_counter_that_is_not_there_is_an_error_and_not_zero() -> None:
    text = 'x_total{a="1"} 3\nx_total{a="2",b="c d"} 4\nx_total_other 9\n'
    assert sum_of("x", text) == 7
    with pytest.raises(RuntimeError):
        sum_of("y", text)


@pytest.mark.parametrize(
    ("bars", "value", "verdict"),
    [
        (Bars(1, 2), 1.0, "aim"),
        (Bars(1, 2), 1.5, "limit"),
        (Bars(1, 2), 2.5, "OVER"),
        (Bars(1), 1.5, "OVER"),
        (Bars(0.9, 0.8, more_is_better=True), 0.95, "aim"),
        (Bars(0.9, 0.8, more_is_better=True), 0.85, "limit"),
        (Bars(0.9, 0.8, more_is_better=True), 0.5, "OVER"),
        (Bars(), 5.0, ""),
    ],
)
def test_verdict_is_by_the_median(bars: Bars, value: float, verdict: str) -> None:
    assert Figure("r", "w", "f", "u", [value, value, 100.0, -100.0, value], bars).verdict == verdict
