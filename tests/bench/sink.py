"""Takes OTLP over gRPC and remote write over HTTP, counts spans and drops the rest: run by `sinks`, not by hand.

    sink.py ADDRESS [otlp=PORT] [remote-write=PORT]

Prints `ready` when it listens, and the number of spans when its standard input ends.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

SERVICES = ("trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService")
# Export*ServiceRequest.resource_spans = 1, ResourceSpans.scope_spans = 2, ScopeSpans.spans = 2   opentelemetry/proto
TO_SPANS = (1, 2, 2)


class RemoteWrite(BaseHTTPRequestHandler):
    """Every POST is stored nowhere: 204."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class Otlp:
    """A Collector's answer to every export: an empty response, all accepted."""

    def __init__(self, address: str, port: int) -> None:
        self.spans = 0
        self._server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.max_receive_message_length", 4 << 20)])
        for service in SERVICES:
            take = self._take_spans if service.startswith("trace") else self._take
            handlers = {"Export": grpc.unary_unary_rpc_method_handler(take)}
            name = f"opentelemetry.proto.collector.{service}"
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        if not self._server.add_insecure_port(f"{address}:{port}"):
            raise OSError(f"port {port} is taken")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(1.0).wait()

    def _take_spans(self, request: bytes, context: object) -> bytes:
        self.spans += count_spans(request)
        return b""

    def _take(self, request: bytes, context: object) -> bytes:
        return b""


def count_spans(request: bytes) -> int:
    """Spans of an ExportTraceServiceRequest, without reading them."""
    windows = [(0, len(request))]
    for number in TO_SPANS:
        windows = [inner for start, end in windows for inner in _fields(request, start, end, number)]
    return len(windows)


def _fields(message: bytes, at: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Where the length-delimited fields of that number are. Raises ValueError at other wire types than those."""
    while at < end:
        tag, at = _varint(message, at)
        if tag & 7 != 2:
            raise ValueError(f"wire type {tag & 7}")
        size, at = _varint(message, at)
        if tag >> 3 == number:
            yield at, at + size
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def main() -> None:
    address = sys.argv[1]
    wanted = dict(word.split("=") for word in sys.argv[2:])
    otlp = Otlp(address, int(wanted["otlp"])) if "otlp" in wanted else None
    if "remote-write" in wanted:
        store = ThreadingHTTPServer((address, int(wanted["remote-write"])), RemoteWrite)
        threading.Thread(target=store.serve_forever, name="remote-write", daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    if otlp:
        otlp.stop()
        print(otlp.spans, flush=True)


if __name__ == "__main__":
    main()
