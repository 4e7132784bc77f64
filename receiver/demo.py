"""The demo: an application over HTTP and gRPC, its client, a backend, and the receiver between them, all in one process.

Room: cli. Nothing here is staged but the application: the service is the one that `run` starts, configured in code;
what is shown is what a real OTLP gRPC server and a real remote write server got from it. Where capturing is not
permitted, the same calls are written to a capture file, and the service reads that. Protocols for which that would take a server
that is installed nowhere are shown from conversations that were recorded.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import struct
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from receiver import __version__
from receiver.build import make_engine, make_source
from receiver.config import (
    Config,
    Duration,
    OtlpGrpcExporter,
    PcapReceiver,
    Pipeline,
    PrometheusRemoteWriteExporter,
    Receivers,
    Tls,
)
from receiver.config import Http as HttpSettings
from receiver.config import Service as ServiceSettings
from receiver.demo_recorded import RECORDED
from receiver.pcap.capture import CaptureDenied, CaptureError
from receiver.service import Service
from receiver.telemetry.redact import Redactor
from receiver.watch import BOLD, CYAN, DIM, GREEN, RED, LineFormat, Terminal, amount, duration, read_roundtrip, several
from receiver.wire.records import Roundtrip, Sink

EXIT_OK = 0
EXIT_DIFFERENT = 1

HOST = "127.0.0.1"
STOCK = "demo.shop.v1.Stock"
PASSWORD = "hunter2-never-leaves"
# A caller's context, the specification's own example (W3C Trace Context, 3.2): its span shall be the parent of ours.
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
DURATIONS = ("http_server_request_duration_seconds", "rpc_server_call_duration_seconds")
# The same in every series.
HIDDEN = ("__name__", "job", "instance", "url_scheme", "network_protocol_version", "rpc_system_name", "le")
HTTP_CALLS = 40
GRPC_EVERY = 4  # so many HTTP calls to a gRPC call
CALLS = HTTP_CALLS + HTTP_CALLS // GRPC_EVERY
PAUSE_S = 0.12  # so that a person can follow: 50 calls in six seconds
SETTLE_S = 3.0  # packets reach the capture 100 ms after they were sent; a loaded machine takes longer


def demo(pause_s: float = PAUSE_S) -> int:
    """Show it all; 0 when every call became a roundtrip, a span and a count, else 1. Ends by itself within 15 seconds.

    `pause_s` is what the client waits between two calls of a live demo.
    """
    # The environment's proxy is not meant for the parts of this process.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = HOST
    page = Page(Terminal(sys.stdout))
    with Application() as application, Backend() as backend:
        page.title(f"pcap-receiver {__version__}: a demo on loopback that needs no configuration")
        try:
            shown = _show(page, application, backend, pause_s)
        except OSError as error:
            print(f"pcap-receiver: the demo needs a loopback interface that is up: {error.strerror}", file=sys.stderr)
            return EXIT_DIFFERENT
        page.span(backend)
        page.metrics(backend)
        status = page.balance(shown, backend)
    _recorded(page)
    page.next(status)
    return status


def _show(page: Page, application: Application, backend: Backend, pause_s: float) -> Shown:
    try:
        return _live(page, application, backend, pause_s)
    except CaptureError as error:
        # A capability that is missing, or a policy: whatever forbids the capture, the rest can be shown.
        why = "CAP_NET_RAW is missing" if isinstance(error, CaptureDenied) else str(error)
        page.say(f"No live capture here ({why}): the same calls go into a capture file, and that is read.")
        return _from_file(page, application, backend)


class Shown(msgspec.Struct, frozen=True):
    """What each side counted."""

    client: Counter[str]
    roundtrips: int
    packets: int
    dropped: int


def _live(page: Page, application: Application, backend: Backend, pause_s: float) -> Shown:
    watched = Service(_config(backend, (application.port, application.grpc_port), None), page)
    watched.open()
    page.explain(application, backend, "captured on lo, without touching either side")
    capture = threading.Thread(target=watched.run, name="capture")
    capture.start()
    caller = Caller(application.port, application.grpc_port)
    try:
        caller.call_all(pause_s)
        until_s = time.monotonic() + SETTLE_S
        while watched.telemetry.metrics.total() < caller.made.total() and time.monotonic() < until_s:
            time.sleep(0.05)
    finally:
        watched.stop()
        capture.join()
    return _shown(watched, caller)


def _from_file(page: Page, application: Application, backend: Backend) -> Shown:
    with Relay(application.grpc_port) as relay:
        caller = Caller(application.port, relay.port)
        caller.call_all(0.0)
    with tempfile.TemporaryDirectory(prefix="pcap-receiver-demo-") as folder:
        path = Path(folder) / "calls.pcap"
        write_capture(path, sorted(caller.spoken + relay.spoken, key=lambda piece: piece.ts_ns))
        watched = Service(_config(backend, (application.port, relay.port), path), page)
        watched.open()
        page.explain(application, backend, f"read from {path.name}, {path.stat().st_size} bytes, written by the client")
        watched.run()
    return _shown(watched, caller)


def _recorded(page: Page) -> None:
    """Show what protocols look like for which nothing here is a server: conversations of real ones, out of a capture file."""
    spoken = recorded()
    page.head("The other protocols", "what real servers and clients said to each other, recorded")
    for server, client, *_ in RECORDED:
        page.remark(f"{server}, called by {client}")
    with tempfile.TemporaryDirectory(prefix="pcap-receiver-demo-") as folder:
        path = Path(folder) / "recorded.pcap"
        write_capture(path, spoken)
        config = Config(receivers=Receivers(pcap=PcapReceiver(files=(str(path),))))
        engine = make_engine(config, page, detail=True, local=())
        source = make_source(config)
        source.open()
        with contextlib.closing(source):
            source.run(engine.process_batch, lambda now_ns: None, lambda: False)
        engine.finish()


def recorded() -> list[Spoken]:
    """Those conversations, one after the other, as they were timed."""
    spoken: list[Spoken] = []
    began_ns = time.time_ns()
    for number, (_, _, port, events) in enumerate(RECORDED):
        client = 50_000 + number
        opens = ((0, True, b"", SYN), (0, False, b"", SYN | ACK))
        closes = ((events[-1][0], True, b"", FIN | ACK), (events[-1][0], False, b"", FIN | ACK))
        said = ((us, to_server, payload, PUSH | ACK) for us, to_server, payload in events)
        for us, to_server, payload, flags in (*opens, *said, *closes):
            spoken.append(Spoken(began_ns + us * 1000, client, port, to_server, payload, flags))
        began_ns += events[-1][0] * 1000
    return spoken


def _shown(watched: Service, caller: Caller) -> Shown:
    """The balance, after `run` has returned."""
    return Shown(
        client=caller.made,
        roundtrips=watched.telemetry.metrics.total(),
        packets=watched.engine.packets,
        dropped=watched.capture_stats().dropped_kernel,
    )


def _config(backend: Backend, ports: tuple[int, int], file: Path | None) -> Config:
    return Config(
        receivers=Receivers(
            pcap=PcapReceiver(
                interfaces=() if file else ("lo",),
                files=(str(file),) if file else (),
                # Whatever else this machine does on loopback is not the demo's.
                filter=" or ".join(f"tcp port {port}" for port in ports),
                http=HttpSettings(routes=("/orders/{id}",)),
            )
        ),
        exporters={
            "otlp_grpc": OtlpGrpcExporter(endpoint=f"{HOST}:{backend.otlp_port}", tls=Tls(insecure=True)),
            "prometheus_remote_write": PrometheusRemoteWriteExporter(
                endpoint=f"http://{HOST}:{backend.write_port}/api/v1/write", interval=Duration(2)
            ),
        },
        service=ServiceSettings(
            extensions=(),
            resource={"service.name": "demo-shop", "service.namespace": "demo", "service.instance.id": "demo-1"},
            pipelines={
                "traces": Pipeline(exporters=("otlp_grpc",)),
                "metrics": Pipeline(exporters=("prometheus_remote_write",)),
            },
            telemetry=msgspec.structs.replace(
                ServiceSettings().telemetry,
                metrics=msgspec.structs.replace(ServiceSettings().telemetry.metrics, endpoint=f"{HOST}:{free_port()}"),
            ),
        ),
    )


# -- the application and its client ----------------------------------------------------------------------------------


class Application:
    """A small shop on loopback: over HTTP/1.1 on `port`, its stock over gRPC on `grpc_port`. Both are listened on from the start,
    answers come inside the `with`."""

    def __init__(self) -> None:
        import grpc

        self._server = ThreadingHTTPServer((HOST, 0), _Shop)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._stock: Any = grpc.server(futures.ThreadPoolExecutor(2, thread_name_prefix="stock"))
        self._stock.add_generic_rpc_handlers((_Stock(),))
        self.grpc_port = int(self._stock.add_insecure_port(f"{HOST}:0"))

    def __enter__(self) -> Application:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="application", daemon=True).start()
        self._stock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._stock.stop(None).wait()


class _Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "demo-shop"
    sys_version = ""
    wbufsize = -1  # head and body in one segment, as a good server does

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/report":
            time.sleep(0.12)
            self._answer(200, {"orders": 1234, "took": "long"})
        elif path == "/checkout":
            self._answer(500, {"error": "the payment service does not answer"})
        elif path == "/orders":
            self._answer(200, {"orders": list(range(60))})
        elif path.startswith("/orders/"):
            self._answer(200, {"id": path.rpartition("/")[2], "state": "shipped"})
        elif path.startswith("/users/"):
            self._answer(200, {"name": "somebody"})
        else:
            self._answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(201, {"id": 17})

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """The terminal is the demo's."""


class _Stock:
    """The gRPC service, without generated code: a handler for each method, messages as bytes."""

    def service(self, call: Any) -> Any:
        """What grpc.GenericRpcHandler asks for: the handler of `call.method`, None for one that is not there."""
        import grpc

        name = str(call.method).rpartition("/")[2]
        if name == "Watch":
            return grpc.unary_stream_rpc_method_handler(lambda request, context: iter((b"12", b"11", b"10")))
        answer = {"Reserve": self._reserve, "Find": self._find, "Ship": self._ship}.get(name)
        return None if answer is None else grpc.unary_unary_rpc_method_handler(answer)

    def _reserve(self, request: bytes, context: Any) -> bytes:
        return b"reserved " + request

    def _find(self, request: bytes, context: Any) -> bytes:
        import grpc

        context.abort(grpc.StatusCode.NOT_FOUND, "no such item")
        raise AssertionError("abort raises")

    def _ship(self, request: bytes, context: Any) -> bytes:
        import grpc

        context.abort(grpc.StatusCode.UNAVAILABLE, "the courier does not answer")
        raise AssertionError("abort raises")


class Spoken(msgspec.Struct, frozen=True):
    """Bytes that a connection carried, or none at its begin and end."""

    ts_ns: int
    port: int
    server_port: int
    to_server: bool
    payload: bytes
    flags: int


SYN, FIN, PUSH, ACK = 0x02, 0x01, 0x08, 0x10


class Caller:
    """The client, with its own count: `made` by status, `spoken` is all that went over its connections."""

    def __init__(self, port: int, grpc_port: int) -> None:
        self._port = port
        self._grpc_port = grpc_port
        self.made: Counter[str] = Counter()
        self.spoken: list[Spoken] = []

    def call_all(self, pause_s: float) -> None:
        """Make every call, over three connections for HTTP and one for gRPC, with so much time between two."""
        import grpc

        connections = [socket.create_connection((HOST, self._port), timeout=5) for _ in range(3)]
        for connection in connections:
            self._note(connection, True, b"", SYN)
            self._note(connection, False, b"", SYN | ACK)
        with grpc.insecure_channel(f"{HOST}:{self._grpc_port}", (("grpc.enable_http_proxy", 0),)) as channel:
            for number, request in enumerate(_requests()):
                self._call(connections[number % len(connections)], request)
                time.sleep(pause_s)
                if number % GRPC_EVERY == 0:
                    self._call_grpc(channel, number // GRPC_EVERY)
                    time.sleep(pause_s)
        for connection in connections:
            self._note(connection, True, b"", FIN | ACK)
            self._note(connection, False, b"", FIN | ACK)
            connection.close()

    def _call(self, connection: socket.socket, request: bytes) -> None:
        self._note(connection, True, request, PUSH | ACK)
        connection.sendall(request)
        answer = b""
        whole = math.inf
        while len(answer) < whole:
            piece = connection.recv(65536)
            if not piece:
                raise OSError("the demo's application hung up")
            self._note(connection, False, piece, PUSH | ACK)
            answer += piece
            head, blank, _ = answer.partition(b"\r\n\r\n")
            if blank:
                lengths = [
                    int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                ]
                whole = len(head) + 4 + lengths[0]
        self.made[answer.split(b" ", 2)[1].decode()] += 1

    def _call_grpc(self, channel: Any, number: int) -> None:
        import grpc

        method = ("Reserve", "Reserve", "Find", "Watch", "Ship")[number % 5]
        secret = (("authorization", f"Bearer {PASSWORD}"),)
        try:
            if method == "Watch":
                for _ in channel.unary_stream(f"/{STOCK}/{method}")(b"teapot", timeout=5):
                    pass
            else:
                channel.unary_unary(f"/{STOCK}/{method}")(b"teapot", timeout=5, metadata=secret)
            self.made["OK"] += 1
        except grpc.RpcError as error:
            self.made[error.code().name] += 1

    def _note(self, connection: socket.socket, to_server: bool, payload: bytes, flags: int) -> None:
        port = int(connection.getsockname()[1])
        self.spoken.append(Spoken(time.time_ns(), port, self._port, to_server, payload, flags))


class Relay:
    """Stands before the gRPC server and notes what goes through: `spoken`, complete after the `with`. Whoever calls with a library
    cannot say what bytes it sent."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.spoken: list[Spoken] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Relay:
        self._start("relay", self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, name=name, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, (_, port) = self._listener.accept()
            except OSError:
                return  # the end of the `with`
            server = socket.create_connection((HOST, self._to), timeout=5)
            server.settimeout(None)
            self._note(port, True, b"", SYN)
            self._note(port, False, b"", SYN | ACK)
            self._start("relay-to-server", partial(self._pass_on, client, server, port, True))
            self._start("relay-to-client", partial(self._pass_on, server, client, port, False))

    def _pass_on(self, source: socket.socket, target: socket.socket, port: int, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                self._note(port, to_server, piece, PUSH | ACK)
                target.sendall(piece)
        self._note(port, to_server, b"", FIN | ACK)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _note(self, port: int, to_server: bool, payload: bytes, flags: int) -> None:
        self.spoken.append(Spoken(time.time_ns(), port, self.port, to_server, payload, flags))


def _requests() -> Iterator[bytes]:
    """What the client asks over HTTP, HTTP_CALLS times."""
    body = b'{"item": "teapot", "count": 2}'
    for number in range(HTTP_CALLS):
        extra, content = "", b""
        kind = number % 10
        if kind in (0, 4, 7):
            line = f"GET /orders/{1000 + number * 37}"
        elif kind == 1:
            line = "GET /orders?page=2&limit=50"
        elif kind == 2:
            line = "POST /orders"
            extra, content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n", body
        elif kind == 3:
            line = f"GET /users/{number}f3a9c1e-5b7d-4e21-9c00-0123456789ab"
        elif kind == 5:
            line = "GET /report"
        elif kind == 6:
            line = f"GET /orders?user=ada&password={PASSWORD}"
            extra = f"Authorization: Bearer {PASSWORD}\r\nCookie: session={PASSWORD}\r\n"
        elif kind == 8:
            line = "GET /checkout" if number % 20 == 8 else "GET /teapot"
        else:
            line = f"GET /orders/{number}"
        if number == 10:
            extra += f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-01\r\n"
        yield f"{line} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: demo/1\r\n{extra}\r\n".encode() + content


def write_capture(path: Path, spoken: list[Spoken]) -> None:
    """Write what was spoken as a capture file: TCP over IPv4, link type 101 (raw IP), one packet for each piece.

    File: [u32 magic 0xa1b2c3d4][u16 2][u16 4][i32 0][u32 0][u32 snaplen][u32 link type], for each packet
    [u32 seconds][u32 microseconds][u32 captured][u32 length]   pcap-savefile(5)
    """
    place: dict[tuple[int, bool], int] = {}
    with path.open("wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        for piece in spoken:
            for at in range(0, max(1, len(piece.payload)), 32768):
                payload = piece.payload[at : at + 32768]
                ports = (piece.port, piece.server_port)
                seq = place.get((piece.port, piece.to_server), 1000)
                ack = place.get((piece.port, not piece.to_server), 0)
                source, destination = ports if piece.to_server else ports[::-1]
                tcp = struct.pack(">HHIIBBHHH", source, destination, seq, ack, 0x50, piece.flags, 65535, 0, 0)
                place[piece.port, piece.to_server] = seq + len(payload) + bool(piece.flags & (SYN | FIN))
                length = 20 + len(tcp) + len(payload)
                address = socket.inet_aton(HOST)
                packet = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 6, 0) + address * 2 + tcp + payload
                seconds, rest = divmod(piece.ts_ns, 1_000_000_000)
                file.write(struct.pack("=IIII", seconds, rest // 1000, len(packet), len(packet)) + packet)


# -- the backend: what a Collector and a metrics store would get -----------------------------------------------------


class Backend:
    """A real OTLP gRPC server for spans and a real remote write server, which keep what they get."""

    def __init__(self) -> None:
        import grpc

        self.spans: list[Any] = []  # of opentelemetry.proto.trace.v1.Span, in the order in which they came
        self.resource: Any = None
        self.series: dict[tuple[tuple[str, str], ...], float] = {}
        self.received = b""
        self.requests: Counter[str] = Counter()
        self._grpc: Any = grpc.server(futures.ThreadPoolExecutor(2, thread_name_prefix="backend"))
        methods = {"Export": grpc.unary_unary_rpc_method_handler(self._take_spans)}
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        self.otlp_port = int(self._grpc.add_insecure_port(f"{HOST}:0"))
        backend = self

        class Write(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                backend.take_series(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The terminal is the demo's."""

        self._http = ThreadingHTTPServer((HOST, 0), Write)
        self._http.daemon_threads = True
        self.write_port = int(self._http.server_address[1])

    def __enter__(self) -> Backend:
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, args=(0.05,), name="backend", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait()

    def _take_spans(self, body: bytes, _: object) -> bytes:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.requests["OTLP"] += 1
        self.received += body
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = resource_spans.resource
            for scope_spans in resource_spans.scope_spans:
                self.spans += scope_spans.spans
        return b""  # an ExportTraceServiceResponse with nothing in it: all taken

    def take_series(self, body: bytes) -> None:
        """A WriteRequest of remote write 1.0: snappy around TimeSeries (1), in each of them Labels (1), Samples (2)."""
        import snappy

        plain = bytes(snappy.decompress(body))
        self.requests["remote write"] += 1
        self.received += plain
        for series in _fields(plain, 1):
            labels = tuple(
                (bytes(_fields(label, 1)[0]).decode(), bytes((_fields(label, 2) or [b""])[0]).decode())
                for label in _fields(series, 1)
            )
            for sample in _fields(series, 2):
                # [0x09][f64 value][0x10][varint timestamp]; a zero is left out
                value = struct.unpack_from("<d", sample, 1)[0] if sample[:1] == b"\x09" else 0.0
                if not math.isnan(value):  # a stale marker: the series ends, its last value stands
                    self.series[labels] = value

    def labels_of(self, name: str) -> list[tuple[tuple[str, str], ...]]:
        """The labels of each series of a name, in order."""
        return sorted(labels for labels in self.series if ("__name__", name) in labels)

    def total(self, name: str, **labels: str) -> float:
        """The sum over the series of a name with these labels."""
        wanted = {("__name__", name), *labels.items()}
        return sum(value for key, value in self.series.items() if wanted <= set(key))


def _fields(message: bytes, wanted: int) -> list[bytes]:
    """The length-delimited fields of that number, in a message that has no others but varints and doubles."""
    found = []
    at = 0
    while at < len(message):
        key = message[at]
        at += 1
        if key & 7 == 1:
            at += 8
            continue
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if key & 7 == 2:
            if key >> 3 == wanted:
                found.append(message[at : at + number])
            at += number
    return found


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


# -- what is shown ---------------------------------------------------------------------------------------------------


class Page(Sink):
    """The demo's output, from top to bottom."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._lines = LineFormat(terminal)
        self._redactor = Redactor()

    @property
    def _width(self) -> int:
        return min(self._terminal.size()[0], 120) if self._terminal.live else 100

    def title(self, text: str) -> None:
        self._print(self._terminal.paint(text, BOLD))

    def head(self, text: str, more: str = "") -> None:
        """A heading with a rule to the right edge."""
        more = f"{more} " if more else ""
        rule = self._terminal.rule * max(2, self._width - len(text) - len(more) - 4)
        left = self._terminal.rule * 2
        self._print("", f"{left} {self._terminal.paint(text, BOLD)} {self._terminal.paint(more + rule, DIM)}")

    def say(self, text: str) -> None:
        self._print(*textwrap.wrap(text, self._width))

    def explain(self, application: Application, backend: Backend, how: str) -> None:
        self.say(
            f"A small shop answers on {HOST}:{application.port}, its stock over gRPC on port {application.grpc_port}, and a"
            f" client calls them {CALLS} times. What they say to each other is {how}. Spans go to an OTLP gRPC server"
            f" ({HOST}:{backend.otlp_port}), metrics to a Prometheus remote write server ({HOST}:{backend.write_port}); both"
            f" run here, and below is what they got."
        )
        self.head("Roundtrips", "as they are seen")

    def roundtrip(self, roundtrip: Roundtrip) -> int:
        """Called from inside the decoders: an output that is gone must not count as a fault of the flow."""
        with contextlib.suppress(OSError):
            self._print(self._lines.line(read_roundtrip(roundtrip, self._redactor)))
        return 0

    def span(self, backend: Backend) -> None:
        """The span of the call that carried a trace context, in full."""
        self.head("One span in full", "as the OTLP server got it")
        found = [span for span in backend.spans if span.trace_id.hex() == TRACE_ID]
        if not found:
            self.say("The span of the call with a traceparent did not arrive.")
            return
        span = found[0]
        kinds = ("unspecified", "internal", "server", "client", "producer", "consumer")
        pairs = [
            ("name", span.name),
            ("kind", kinds[span.kind]),
            ("trace id", f"{span.trace_id.hex()}  (the caller's)"),
            ("parent", f"{span.parent_span_id.hex()}  (the caller's span, by its traceparent)"),
            ("span id", span.span_id.hex()),
            ("flags", f"{span.flags:#05x}  (sampled; the parent is remote)"),
            ("duration", duration(span.end_time_unix_nano - span.start_time_unix_nano)),
        ]
        pairs += [(item.key, _plain(item.value)) for item in span.attributes]
        self._pairs(pairs)
        self._print(self._terminal.paint("resource", DIM))
        self._pairs([(item.key, _plain(item.value)) for item in backend.resource.attributes])

    def _pairs(self, pairs: list[tuple[str, str]]) -> None:
        room = max(len(key) for key, _ in pairs)
        for key, value in pairs:
            text, _, remark = value.partition("  ")
            line = f"  {self._terminal.paint(f'{key:<{room}}', CYAN)}  {text}"
            self._print(f"{line}  {self._terminal.paint(remark, DIM)}" if remark else line)

    def metrics(self, backend: Backend) -> None:
        """Request counts and mean durations by route, and a few of our own figures."""
        self.head("Metrics", "as the remote write server got them")
        for name in DURATIONS:
            self._print(f"  {self._terminal.paint(f'{name}_count', CYAN)}")
            for labels in backend.labels_of(f"{name}_count"):
                count = backend.series[labels]
                total = backend.total(f"{name}_sum", **{key: value for key, value in labels if key != "__name__"})
                self._series(labels, count, f"mean {duration(int(total / count * 1e9)) if count else '-'}")
        for own in ("pcap_receiver_roundtrips_total", "pcap_receiver_capture_packets_total"):
            self._print(f"  {self._terminal.paint(own, CYAN)}")
            for labels in backend.labels_of(own):
                self._series(labels, backend.series[labels], "")
        names = {dict(labels)["__name__"] for labels in backend.series}
        self._print(self._terminal.paint(f"  and more: {len(backend.series)} series of {len(names)} names in all", DIM))

    def _series(self, labels: tuple[tuple[str, str], ...], value: float, remark: str) -> None:
        """`{labels} value  remark`; what does not fit a line goes on below, broken between labels."""
        paint = self._terminal.paint
        pairs = [f'{key}="{text}"' for key, text in labels if key not in HIDDEN and not key.startswith("otel_scope_")]
        figure = f"{value:.0f}"
        tail = paint(figure, BOLD) + (f"  {paint(remark, DIM)}" if remark else "")
        room = self._width - len(figure) - len(remark) - 8
        *first, last = textwrap.wrap(
            f"{{{', '.join(pairs)}}}" if pairs else "(all)", room, break_long_words=False, break_on_hyphens=False
        )
        self._print(*(f"    {line}" for line in first), f"    {last} {tail}")

    def balance(self, shown: Shown, backend: Backend) -> int:
        """Whether every call is everywhere; returns the exit status."""
        self.head("The balance")
        made = shown.client.total()
        by_status = ", ".join(f"{count} x {status}" for status, count in sorted(shown.client.items()))
        counted = int(sum(backend.total(f"{name}_count") for name in DURATIONS))
        rows = [
            ("calls that the client made", made, by_status),
            ("roundtrips that were seen", shown.roundtrips, f"in {shown.packets} packets, {shown.dropped} dropped"),
            (
                "spans that the OTLP server got",
                len(backend.spans),
                f"in {several(backend.requests['OTLP'], 'request')}",
            ),
            (
                "requests in the metrics store",
                counted,
                f"in {several(backend.requests['remote write'], 'remote write')}",
            ),
        ]
        leaked = backend.received.count(PASSWORD.encode())
        rows.append(("passwords in what was exported", leaked, f"in {amount(len(backend.received))} bytes"))
        mark, cross = ("✓", "✗") if self._terminal.cut == "…" else ("ok", "!!")
        well = True
        for text, number, remark in rows:
            right = number == (0 if text.startswith("passwords") else made)
            well = well and right
            sign = self._terminal.paint(mark, GREEN) if right else self._terminal.paint(cross, RED)
            self._print(f"  {sign} {text:<32} {number:>4}  {self._terminal.paint(remark, DIM)}")
        return EXIT_OK if well else EXIT_DIFFERENT

    def remark(self, text: str) -> None:
        self._print(self._terminal.paint(f"  {text}", DIM))

    def next(self, status: int) -> None:
        """What to do after this."""
        self._print("")
        if status == EXIT_OK:
            self.say(
                "Next: `pcap-receiver watch -i any` where there is traffic, and the README for a Collector of your own."
            )
        else:
            self.say("The figures differ: something was lost on the way, and the receiver's own metrics say where.")

    def _print(self, *lines: str) -> None:
        self._terminal.write("\n".join(lines) + "\n")


def _plain(value: Any) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""
