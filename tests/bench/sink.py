"""Takes OTLP over gRPC and remote write over HTTP and drops what it gets: run by `sinks`, not by hand.

    sink.py [otlp] [remote-write]      prints `ready` when it listens
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

SERVICES = ("trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService")


class RemoteWrite(BaseHTTPRequestHandler):
    """Every POST is stored nowhere: 204."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def serve_otlp() -> grpc.Server:
    """A Collector's answer to every export: an empty response, all accepted."""
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", 4 << 20)])
    export = grpc.unary_unary_rpc_method_handler(lambda request, context: b"")
    for service in SERVICES:
        name = f"opentelemetry.proto.collector.{service}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": export}),))
    server.add_insecure_port("0.0.0.0:4317")
    server.start()
    return server


def main() -> None:
    server = serve_otlp() if "otlp" in sys.argv else None
    if "remote-write" in sys.argv:
        store = ThreadingHTTPServer(("0.0.0.0", 8428), RemoteWrite)
        threading.Thread(target=store.serve_forever, name="remote-write", daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()
    del server


if __name__ == "__main__":
    main()
