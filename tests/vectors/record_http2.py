"""Records HTTP/2 and gRPC vectors, as `record.py` does those of HTTP/1: real peers, a relay between them.

    python tests/vectors/record_http2.py [name ...]

Needs nginx, nghttpd, nghttp, node, curl, go and java on the PATH, and grpcio, h2 and httpx in Python; what is missing leaves its
scenarios out, loudly. The Go programs are built once, from the modules that go finds. `expect` lines are the client's own record.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from record import (
    Expected,
    Recording,
    Relay,
    curl,
    curl_version,
    free_port,
    nginx_version,
    program,
    version,
    wait_for,
    write,
)

Scenario = Callable[[], None]
SCENARIOS: dict[str, tuple[tuple[str, ...], Scenario]] = {}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def scenario(name: str, *needs: str) -> Callable[[Scenario], Scenario]:
    def keep(function: Scenario) -> Scenario:
        SCENARIOS[name] = (needs, function)
        return function

    return keep


def about(server: str, client: str, **more: str) -> dict[str, str]:
    return {"folder": "http2", "protocol": "http2", "server": server, "client": client, **more}


def keep(name: str, facts: dict[str, str], recording: Recording, expected: Expected) -> None:
    write(name, facts, recording, expected)
    if facts.get("order") == "any":
        path = Path(__file__).parent / "http2" / f"{name}.jsonl"
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        path.write_text(json.dumps({**json.loads(first), "order": "any"}) + "\n" + rest, encoding="utf-8")


def told(operation: str | None, path: str | None, status: int | None, **more: Any) -> dict[str, Any]:
    outcome = "error" if status is not None and status >= 500 else "ok"
    one = {"protocol": "http2", "operation": operation, "url.path": path, "status": status, "outcome": outcome, **more}
    return {name.replace("__", "."): value for name, value in one.items()}


def called(method: str | None, status: str, **more: Any) -> dict[str, Any]:
    """A gRPC call by the client's record; the vector is read from the server's side."""
    faults = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
    one: dict[str, Any] = {
        "protocol": "grpc",
        "operation": method,
        "status": status,
        "error_type": None if status == "OK" else status,
        "outcome": "error" if status in faults else "ok",
    }
    counts = {"sent": "pcap_receiver.rpc.request.messages", "received": "pcap_receiver.rpc.response.messages"}
    for name, value in more.items():
        one[counts.get(name, name.replace("__", "."))] = value
    return one


# --- nginx, nghttpd, curl, nghttp, h2load ---

NGINX = """
worker_processes 1;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:%(port)d http2;
    root %(root)s;
    add_header X-Id $http_x_id always;
    location /old { return 301 /small; }
    location /broken { return 500 "broken"; }
    location /none { return 204; }
  }
}
"""


@contextlib.contextmanager
def documents() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "small").write_text("small\n")
        (root / "large").write_text("x" * 40_000)
        yield root


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    with documents() as root:
        port = free_port()
        (root / "nginx.conf").write_text(NGINX % {"port": port, "root": root})
        command = ["nginx", "-p", str(root), "-c", f"{root}/nginx.conf", "-e", "stderr"]
        with program([*command, "-g", f"daemon off; pid {root}/pid;"], port):
            yield port


@contextlib.contextmanager
def nghttpd(*more: str) -> Iterator[int]:
    with documents() as root:
        port = free_port()
        with program(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(root), *more, str(port)], port):
            yield port


def nghttp2_version(name: str) -> str:
    return version(name, "--version")


def by_curl(relay: Relay, *transfers: list[str]) -> Expected:
    return [{"protocol": "http2", **one} for one in curl(relay.port, *transfers)]


@scenario("nginx-curl", "nginx", "curl")
def nginx_curl() -> None:
    """One transfer: this curl fails when it uses a connection of prior knowledge again."""
    with nginx() as port:
        relay = Relay(port)
        expected = by_curl(relay, ["--http2-prior-knowledge", "-H", f"traceparent: {TRACEPARENT}", "/small?a=1&b=%20"])
        keep("nginx-curl", about(nginx_version(), curl_version()), relay.only(), expected)


@scenario("nginx-httpx", "nginx")
def nginx_httpx() -> None:
    import httpx

    with nginx() as port:
        relay = Relay(port)
        expected = []
        with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{relay.port}") as client:
            steps = [("GET", "/small"), ("GET", "/small?a=1&b=%20"), ("HEAD", "/large"), ("GET", "/missing"), ("GET", "/old")]
            steps += [("GET", "/broken"), ("GET", "/none"), ("DELETE", "/small"), ("GET", "/large"), ("GET", "/small")]
            for number, (method, path) in enumerate(steps):
                answer = client.request(method, path, headers={"x-id": str(number)})
                expected.append(told(method, path.partition("?")[0], answer.status_code))
                expected[-1]["http.request.header.x-id"] = [str(number)]
                if answer.content:
                    expected[-1]["http.response.body.size"] = len(answer.content)
        keep("nginx-httpx", about(nginx_version(), f"httpx {httpx.__version__}"), relay.only(), expected)


def nghttp_record(said: str, port: int) -> Expected:
    """nghttp -s: a table of what was asked for, in the order of the ends: `id responseEnd requestStart process code size path`."""
    expected: Expected = []
    for line in said.splitlines():
        words = line.split()
        if len(words) == 7 and words[0].isdigit() and words[4].isdigit():
            expected.append(told("GET", words[6].partition("?")[0], int(words[4]), server_port=port))
    return expected


@scenario("nghttpd-nghttp", "nghttpd", "nghttp")
def nghttpd_nghttp() -> None:
    """Streams with dependencies, padding on both sides and trailers; PRIORITY frames first."""
    with nghttpd("-b", "40", "--trailer", "x-sum: 7", "--no-content-length") as port:
        relay = Relay(port)
        paths = [f"http://127.0.0.1:{relay.port}/{name}" for name in ("small", "missing", "large", "small?b")]
        command = ["nghttp", "-ns", "--no-push", "-b", "23", "--trailer", "x-client: 1", *paths]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        facts = about(nghttp2_version("nghttpd"), nghttp2_version("nghttp"), order="any")
        keep("nghttpd-nghttp", facts, relay.only(), nghttp_record(said, relay.port))


@scenario("nghttpd-push", "nghttpd", "nghttp")
def nghttpd_push() -> None:
    """The pushed answer is none to the client; its header block counts all the same."""
    with nghttpd("-p/small=/large") as port:
        relay = Relay(port)
        command = ["nghttp", "-n", f"http://127.0.0.1:{relay.port}/small", f"http://127.0.0.1:{relay.port}/missing"]
        subprocess.run(command, capture_output=True, check=True)
        expected = [told("GET", "/small", 200), told("GET", "/missing", 404)]
        facts = about(nghttp2_version("nghttpd"), nghttp2_version("nghttp"), order="any")
        keep("nghttpd-push", facts, relay.only(), expected)


@scenario("nghttpd-h2load", "nghttpd", "h2load")
def nghttpd_h2load() -> None:
    with nghttpd() as port:
        relay = Relay(port)
        command = ["h2load", "-n30", "-c1", "-m10", f"http://127.0.0.1:{relay.port}/small"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "status codes: 30 2xx" in said
        expected = [told("GET", "/small", 200, http__response__body__size=6) for _ in range(30)]
        facts = about(nghttp2_version("nghttpd"), nghttp2_version("h2load"), order="any")
        keep("nghttpd-h2load", facts, relay.only(), expected)


# --- node: whatever the others do not say ---

NODE = """
const http2 = require('http2');
const server = http2.createServer({settings: {enableConnectProtocol: true}});
server.on('stream', (stream, headers) => {
  const path = (headers[':path'] || '').split('?')[0];
  const id = headers['x-id'] ? {'x-id': headers['x-id']} : {};
  stream.on('error', () => {});
  if (headers[':method'] === 'CONNECT') {
    stream.respond({':status': path === '/refused' ? 403 : 200});
    if (path === '/refused') stream.end(); else stream.pipe(stream);
    return;
  }
  if (path === '/hints') { stream.additionalHeaders({':status': 103, link: '</a.css>; rel=preload'}); }
  if (path === '/reset') { stream.close(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM); return; }
  if (path === '/half') { stream.respond({':status': 200, ...id}); stream.write('half');
    setTimeout(() => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR), 20); return; }
  if (path === '/wait') { return; }
  if (path === '/early') { stream.respond({':status': 413, ...id}, {endStream: true}); return; }
  if (path === '/trailers') {
    stream.respond({':status': 200, ...id}, {waitForTrailers: true});
    stream.on('wantTrailers', () => stream.sendTrailers({'x-sum': '7'}));
    stream.end('trailed'); return;
  }
  if (path === '/headers') { stream.respond({':status': 200, 'x-big': 'X'.repeat(17000), ...id}); stream.end('ok'); return; }
  let size = 0;
  stream.on('data', d => { size += d.length; });
  stream.on('end', () => {
    if (path === '/goaway') { stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, stream.id); setTimeout(() => {
      stream.respond({':status': 200, ...id}); stream.end('last'); }, 20); return; }
    stream.respond({':status': path === '/teapot' ? 418 : 200, ...id}); stream.end('got ' + size);
  });
});
server.listen(+process.argv[1], '127.0.0.1');
"""

NODE_CLIENT = """
const http2 = require('http2');
const client = http2.connect('http://127.0.0.1:' + process.argv[1], {settings: {enablePush: false}});
const steps = JSON.parse(process.argv[2]);
client.on('error', () => {});
const told = [];
const next = (i) => {
  if (i >= steps.length) { console.log(JSON.stringify(told)); client.close(); return; }
  const step = steps[i], one = {path: step.headers[':path'] || null, status: null, reset: null, size: 0, interim: 0};
  const stream = client.request(step.headers, {endStream: !step.body && !step.open});
  stream.on('headers', () => { one.interim += 1; });
  stream.on('response', h => { one.status = h[':status']; if (step.cancelAt === 'response') stream.close(8);
    if (step.open) { stream.write('ping'); } });
  stream.on('data', d => { one.size += d.length; if (step.open) stream.end(); });
  stream.on('error', () => {});
  stream.on('close', () => { one.reset = stream.rstCode; told.push(one); setTimeout(() => next(i + 1), 5); });
  if (step.body) { for (const piece of step.body) stream.write(piece);
    if (step.trailers) { stream.on('wantTrailers', () => stream.sendTrailers(step.trailers)); }
    stream.end(); }
  if (step.cancelAt === 'request') setTimeout(() => stream.close(8), 20);
};
client.on('remoteSettings', () => next(0));
"""


@contextlib.contextmanager
def node() -> Iterator[int]:
    port = free_port()
    with program(["node", "-e", NODE, str(port)], port):
        yield port


def by_node(port: int, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    command = ["node", "-e", NODE_CLIENT, str(port), json.dumps(steps)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    record: list[dict[str, Any]] = json.loads(said.stdout)
    return record


def ask(method: str, path: str | None, **more: Any) -> dict[str, Any]:
    headers = {":method": method, **({":path": path} if path else {}), **more.pop("headers", {})}
    return {"headers": headers, **more}


def node_version() -> str:
    return f"node {version('node', '-v')}"


@scenario("node-node", "node")
def node_node() -> None:
    with node() as port:
        relay = Relay(port)
        steps = [
            ask("GET", "/plain", headers={"x-id": "0", "traceparent": TRACEPARENT, "tracestate": "a=1"}),
            ask("GET", "/hints", headers={"x-id": "1"}),
            ask("PUT", "/plain?x=1", headers={"x-id": "2"}, body=["one", "two" * 100]),
            ask("GET", "/trailers", headers={"x-id": "3"}),
            ask("PURGE", "/plain", headers={"x-id": "4"}),
            ask("HEAD", "/plain", headers={"x-id": "5"}),
            ask("GET", "/teapot", headers={"x-id": "6"}),
            ask("POST", "/early", headers={"x-id": "7"}, body=["late"]),
        ]
        record = by_node(relay.port, steps)
        expected = []
        for number, (step, one) in enumerate(zip(steps, record, strict=True)):
            method = step["headers"][":method"]
            known = method if method != "PURGE" else "_OTHER"
            expected.append(told(known, one["path"].partition("?")[0], one["status"]))
            expected[-1]["http.request.header.x-id"] = [str(number)]
            if one["size"]:
                expected[-1]["http.response.body.size"] = one["size"]
        expected[2]["http.request.body.size"] = 303
        expected[4]["http.request.method_original"] = "PURGE"
        keep("node-node", about(node_version(), node_version()), relay.only(), expected)


@scenario("node-resets", "node")
def node_resets() -> None:
    with node() as port:
        relay = Relay(port)
        steps = [
            ask("GET", "/plain"),
            ask("GET", "/reset"),
            ask("GET", "/half"),
            ask("GET", "/wait", cancelAt="request"),
            ask("GET", "/half", cancelAt="response"),
            ask("GET", "/goaway"),
        ]
        record = by_node(relay.port, steps)
        names = {0: None, 2: "INTERNAL_ERROR", 8: "CANCEL", 11: "ENHANCE_YOUR_CALM"}
        expected = []
        for one in record:
            reset = names[one["reset"]]
            expected.append(told("GET", one["path"], one["status"], error_type=reset))
            expected[-1]["outcome"] = "error" if reset else "ok"
        keep("node-resets", about(node_version(), node_version()), relay.only(), expected)


@scenario("node-connect", "node")
def node_connect() -> None:
    """RFC 8441: a websocket's stream; its roundtrip ends with the headers."""
    with node() as port:
        relay = Relay(port)
        tunnel = {":protocol": "websocket", ":scheme": "http", ":authority": "chat.test"}
        steps = [
            ask("CONNECT", "/chat", headers=tunnel, open=True),
            ask("CONNECT", "/refused", headers=tunnel),
            ask("GET", "/plain"),
        ]
        record = by_node(relay.port, steps)
        expected = [told(step["headers"][":method"], one["path"], one["status"]) for step, one in zip(steps, record, strict=True)]
        expected[0]["server_address"] = "chat.test"
        keep("node-connect", about(node_version(), node_version()), relay.only(), expected)


@scenario("node-continuation", "node")
def node_continuation() -> None:
    """Header blocks of more than one frame, in both directions."""
    with node() as port:
        relay = Relay(port)
        steps = [
            ask("GET", "/headers", headers={"x-id": "0"}),
            ask("GET", "/plain", headers={"x-large": "X" * 17_000, "x-id": "1"}),
            ask("GET", "/plain", headers={"x-id": "2"}),
        ]
        record = by_node(relay.port, steps)
        expected = [told("GET", one["path"], one["status"]) for one in record]
        for number, one in enumerate(expected):
            one["http.request.header.x-id"] = [str(number)]
        keep("node-continuation", about(node_version(), node_version()), relay.only(), expected)


@scenario("node-httpx", "node")
def node_httpx() -> None:
    import httpx

    with node() as port:
        relay = Relay(port)
        expected = []
        with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{relay.port}") as client:
            steps = (("GET", "/plain"), ("POST", "/plain"), ("GET", "/trailers"), ("GET", "/teapot"))
            for number, (method, path) in enumerate(steps):
                content = b"z" * 5000 if method == "POST" else None
                answer = client.request(method, path, content=content, headers={"x-id": str(number)})
                one = told(method, path, answer.status_code, http__response__body__size=len(answer.content))
                one["http.request.header.x-id"] = [str(number)]
                if content:
                    one["http.request.body.size"] = len(content)
                expected.append(one)
        keep("node-httpx", about(node_version(), f"httpx {httpx.__version__}"), relay.only(), expected)


# --- gRPC ---


class Lab:
    """A service without generated code: bytes in, bytes out."""

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        import grpc

        self.server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_metadata_size", 65536), ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Lab", self.methods()),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def methods(self) -> dict[str, Any]:
        import grpc

        codes = {code.name: code for code in grpc.StatusCode}

        def echo(request: bytes, context: Any) -> bytes:
            return request

        def fail(request: bytes, context: Any) -> bytes:
            context.abort(codes[request.decode()], "as asked, with % and \u00e9")
            raise AssertionError

        def sleep(request: bytes, context: Any) -> bytes:
            time.sleep(float(request))
            return request

        def many(request: bytes, context: Any) -> Iterator[bytes]:
            for number in range(int(request)):
                yield b"m" * (number * 700)

        def gather(requests: Iterator[bytes], context: Any) -> bytes:
            return str(sum(len(one) for one in requests)).encode()

        def chat(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
            yield from requests

        def metadata(request: bytes, context: Any) -> bytes:
            context.set_trailing_metadata((("x-large", "t" * 16_000),))
            return request

        return {
            "Echo": grpc.unary_unary_rpc_method_handler(echo),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
            "Many": grpc.unary_stream_rpc_method_handler(many),
            "Gather": grpc.stream_unary_rpc_method_handler(gather),
            "Chat": grpc.stream_stream_rpc_method_handler(chat),
            "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
        }

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(0).wait()


def grpcio_version() -> str:
    import grpc

    return f"grpcio {grpc.__version__}"


class Caller:
    """Calls one after the other over one connection, and notes what grpcio says of each."""

    def __init__(self, port: int) -> None:
        import grpc

        self.grpc = grpc
        options = [("grpc.max_metadata_size", 65536), ("grpc.enable_retries", 0)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        self.record: Expected = []
        self.known: set[str] = set()

    def note(self, method: str, code: Any, **more: Any) -> None:
        # A method that the server does not have cannot be told from an invention, unless it answered for it before.
        if code.name != "UNIMPLEMENTED":
            self.known.add(method)
        known = method in self.known
        original = {} if known else {"url.path": "/" + method}
        self.record.append(called(method if known else "_OTHER", code.name, **original, **more))
        time.sleep(0.03)

    def unary(self, method: str, payload: bytes = b"hello", received: int = 1, **more: Any) -> None:
        call = self.channel.unary_unary("/" + method)
        try:
            _, done = call.with_call(payload, **more)
            code = done.code()
        except self.grpc.RpcError as error:
            code = error.code()
            received = 0
        counts = {"sent": 1, "received": received} if received else {"sent": 1}
        self.note(method, code, **counts)

    def close(self) -> None:
        self.channel.close()
        time.sleep(0.1)


@scenario("grpcio-unary")
def grpcio_unary() -> None:
    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        caller.unary("lab.Lab/Echo")
        caller.unary("lab.Lab/Echo", metadata=(("traceparent", TRACEPARENT), ("x-id", "7")))
        caller.record[-1]["rpc.request.metadata.x-id"] = ["7"]
        caller.unary("lab.Lab/Echo", b"", timeout=5)
        caller.unary("lab.Lab/Echo", b"z" * 30_000)
        caller.unary("lab.Lab/Missing")
        caller.unary("no.Service/Echo")
        caller.unary("lab.Lab/Metadata", metadata=(("x-large", "r" * 16_000),))
        caller.unary("lab.Lab/Echo")
        caller.close()
        keep("grpcio-unary", about(grpcio_version(), grpcio_version()), relay.only(), caller.record)


@scenario("grpcio-codes")
def grpcio_codes() -> None:
    import grpc

    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        for code in grpc.StatusCode:
            if code.name != "OK":
                caller.unary("lab.Lab/Fail", code.name.encode())
        caller.close()
        keep("grpcio-codes", about(grpcio_version(), grpcio_version()), relay.only(), caller.record)


@scenario("grpcio-errors")
def grpcio_errors() -> None:
    """The same statuses again and again: joined late, all of them stand in entries that nobody saw."""
    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        for _ in range(3):
            caller.unary("lab.Lab/Echo")
            caller.unary("lab.Lab/Fail", b"INTERNAL")
        caller.close()
        keep("grpcio-errors", about(grpcio_version(), grpcio_version()), relay.only(), caller.record)


@scenario("grpcio-streams")
def grpcio_streams() -> None:
    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        call = caller.channel.unary_stream("/lab.Lab/Many")(b"5")
        received = len(list(call))
        caller.note("lab.Lab/Many", call.code(), sent=1, received=received)
        _, done = caller.channel.stream_unary("/lab.Lab/Gather").with_call(iter([b"a", b"b" * 20_000, b"", b"c"]))
        caller.note("lab.Lab/Gather", done.code(), sent=4, received=1)
        call = caller.channel.stream_stream("/lab.Lab/Chat")(iter([b"x" * size for size in (0, 1, 100, 17_000)]))
        received = len(list(call))
        caller.note("lab.Lab/Chat", call.code(), sent=4, received=received)
        caller.close()
        keep("grpcio-streams", about(grpcio_version(), grpcio_version()), relay.only(), caller.record)


@scenario("grpcio-ends")
def grpcio_ends() -> None:
    """Deadlines, cancellations before and during the answer."""
    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        caller.unary("lab.Lab/Echo")
        caller.unary("lab.Lab/Sleep", b"0.4", timeout=0.15)
        call = caller.channel.unary_unary("/lab.Lab/Sleep").future(b"0.3", timeout=5)
        time.sleep(0.05)
        call.cancel()
        caller.note("lab.Lab/Sleep", call.code(), sent=1)
        feed = threading.Event()

        def requests() -> Iterator[bytes]:
            yield b"one"
            feed.wait(5)

        stream = caller.channel.stream_stream("/lab.Lab/Chat")(requests())
        next(stream)
        stream.cancel()
        caller.note("lab.Lab/Chat", stream.code(), sent=1, received=1)
        feed.set()
        caller.unary("lab.Lab/Echo")
        caller.close()
        keep("grpcio-ends", about(grpcio_version(), grpcio_version()), relay.only(), caller.record)


@scenario("grpcio-concurrent")
def grpcio_concurrent() -> None:
    with Lab() as lab:
        relay = Relay(lab.port)
        caller = Caller(relay.port)
        caller.unary("lab.Lab/Echo", b"0")
        calls = [caller.channel.unary_unary("/lab.Lab/Echo").future(b"%d" % number * 20) for number in range(20)]
        calls += [caller.channel.unary_unary("/lab.Lab/Fail").future(b"NOT_FOUND") for _ in range(5)]
        for number, call in enumerate(calls):
            code = call.code()
            caller.record.append(called("lab.Lab/Echo" if number < 20 else "lab.Lab/Fail", code.name, sent=1))
        caller.close()
        keep("grpcio-concurrent", about(grpcio_version(), grpcio_version(), order="any"), relay.only(), caller.record)


@scenario("nginx-grpcio", "nginx")
def nginx_grpcio() -> None:
    """A server that is no gRPC server: the status follows from HTTP's."""
    with nginx() as port:
        relay = Relay(port)
        caller = Caller(relay.port)
        caller.unary("lab.Lab/Missing")
        caller.record[-1].pop("pcap_receiver.rpc.request.messages")
        caller.close()
        keep("nginx-grpcio", about(nginx_version(), grpcio_version()), relay.only(), caller.record)


# --- Go ---

GO = r"""
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
	"crypto/tls"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }
func (raw) Name() string                       { return "proto" }

type told struct {
	Method   string `json:"method"`
	Code     string `json:"code"`
	Sent     int    `json:"sent"`
	Received int    `json:"received"`
}

func serve(srv any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	switch method {
	case "/lab.Lab/Missing":
		return status.Error(codes.Unimplemented, "no such method")
	case "/lab.Lab/Sleep":
		var in []byte
		stream.RecvMsg(&in)
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	case "/lab.Lab/Metadata":
		stream.SetTrailer(metadata.Pairs("x-large", strings.Repeat("t", 2000)))
	}
	for {
		var in []byte
		err := stream.RecvMsg(&in)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if method == "/lab.Lab/Fail" {
			var code codes.Code
			fmt.Sscan(string(in), &code)
			return status.Error(codes.Code(in[0]), "as asked")
		}
		if err := stream.SendMsg(&in); err != nil {
			return err
		}
	}
}

func call(conn *grpc.ClientConn, ctx context.Context, method string, cancelAfter int, messages ...string) told {
	one := told{Method: method}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, desc, "/"+method)
	if err == nil {
		for _, text := range messages {
			payload := []byte(text)
			if err = stream.SendMsg(&payload); err == nil {
				one.Sent++
			}
		}
		if cancelAfter == 0 {
			stream.CloseSend()
		}
		for {
			var out []byte
			if err = stream.RecvMsg(&out); err != nil {
				break
			}
			one.Received++
			if cancelAfter == one.Received {
				cancel()
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	one.Code = status.Code(err).String()
	time.Sleep(20 * time.Millisecond)
	return one
}

func grpcServer() {
	encoding.RegisterCodec(raw{})
	listener, _ := net.Listen("tcp", os.Args[2])
	server := grpc.NewServer(grpc.UnknownServiceHandler(serve), grpc.MaxHeaderListSize(65536))
	server.Serve(listener)
}

func grpcClient() {
	encoding.RegisterCodec(raw{})
	conn, _ := grpc.NewClient("passthrough:///"+os.Args[2], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithMaxHeaderListSize(65536), grpc.WithDisableRetry())
	background := context.Background()
	record := []told{
		call(conn, background, "lab.Lab/Echo", 0, "hello"),
		call(conn, metadata.AppendToOutgoingContext(background, "traceparent", os.Args[3]), "lab.Lab/Echo", 0, "hello"),
		call(conn, background, "lab.Lab/Chat", 0, "a", strings.Repeat("b", 17000), "", "c"),
		call(conn, background, "lab.Lab/Missing", 0, "x"),
		call(conn, background, "lab.Lab/Fail", 0, "\x05"),
		call(conn, background, "lab.Lab/Fail", 0, "\x0d"),
		call(conn, metadata.AppendToOutgoingContext(background, "x-large", strings.Repeat("r", 2000)), "lab.Lab/Metadata", 0, "m"),
		call(conn, background, "lab.Lab/Chat", 1, "one"),
	}
	limited, cancel := context.WithTimeout(background, 150*time.Millisecond)
	record = append(record, call(conn, limited, "lab.Lab/Sleep", 0, "s"))
	cancel()
	record = append(record, call(conn, background, "lab.Lab/Echo", 0, "last"))
	conn.Close()
	json.NewEncoder(os.Stdout).Encode(record)
}

func httpServer() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Id", r.Header.Get("X-Id"))
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
			return
		}
		if r.URL.Path == "/trailers" {
			w.Header().Set("Trailer", "X-Sum")
			fmt.Fprintf(w, "got %d", len(body))
			w.Header().Set("X-Sum", "7")
			return
		}
		fmt.Fprintf(w, "got %d", len(body))
	})
	http.ListenAndServe(os.Args[2], h2c.NewHandler(mux, &http2.Server{}))
}

func httpClient() {
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(
		ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return net.Dial(network, addr)
	}}
	client := &http.Client{Transport: transport}
	record := []map[string]any{}
	for i, step := range [][]string{{"GET", "/a", ""}, {"POST", "/b?q=1", strings.Repeat("p", 3000)}, {"GET", "/missing", ""},
		{"DELETE", "/trailers", ""}, {"GET", "/a", ""}} {
		request, _ := http.NewRequest(step[0], "http://"+os.Args[2]+step[1], strings.NewReader(step[2]))
		request.Header.Set("X-Id", fmt.Sprint(i))
		answer, err := client.Do(request)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(answer.Body)
		record = append(record, map[string]any{"method": step[0], "path": request.URL.Path,
			"status": answer.StatusCode, "size": len(body), "sent": len(step[2])})
	}
	transport.CloseIdleConnections()
	json.NewEncoder(os.Stdout).Encode(record)
}

func main() {
	map[string]func(){"grpc-server": grpcServer, "grpc-client": grpcClient,
		"http-server": httpServer, "http-client": httpClient}[os.Args[1]]()
}
"""

_BUILT: list[tuple[str, str]] = []


def go() -> tuple[str, str]:
    """The program and the versions of its modules."""
    if not _BUILT:
        folder = Path(tempfile.mkdtemp(prefix="record-go-"))
        (folder / "main.go").write_text(GO)
        (folder / "go.mod").write_text("module record\n\ngo 1.25\n")
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        for command in (["go", "mod", "tidy"], ["go", "build", "-o", "record", "."]):
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        listing = ["go", "list", "-m", "all"]
        modules = subprocess.run(listing, cwd=folder, env=environment, check=True, capture_output=True, text=True)
        found = dict(line.split() for line in modules.stdout.splitlines() if len(line.split()) == 2)
        _BUILT.append((str(folder / "record"), f"grpc-go {found['google.golang.org/grpc']}, x/net {found['golang.org/x/net']}"))
    return _BUILT[0]


def go_codes() -> dict[str, str]:
    import grpc

    return {code.name.replace("_", "").lower(): code.name for code in grpc.StatusCode} | {"canceled": "CANCELLED"}


def run_grpc_go(port: int) -> Expected:
    binary, _ = go()
    command = [binary, "grpc-client", f"127.0.0.1:{port}", TRACEPARENT]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    expected: Expected = []
    for one in json.loads(said.stdout):
        code = go_codes()[one["code"].lower()]
        known = code != "UNIMPLEMENTED"
        counts = {"sent": one["sent"]} | ({"received": one["received"]} if one["received"] else {})
        expected.append(called(one["method"] if known else "_OTHER", code, **counts))
    return expected


@scenario("grpc-go", "go")
def grpc_go() -> None:
    binary, modules = go()
    port = free_port()
    with program([binary, "grpc-server", f"127.0.0.1:{port}"], port):
        relay = Relay(port)
        keep("grpc-go", about(modules, modules), *reversed((run_grpc_go(relay.port), last(relay))))


def last(relay: Relay) -> Recording:
    time.sleep(0.2)
    return relay.only()


@scenario("go-http", "go")
def go_http() -> None:
    binary, modules = go()
    port = free_port()
    with program([binary, "http-server", f"127.0.0.1:{port}"], port):
        relay = Relay(port)
        command = [binary, "http-client", f"127.0.0.1:{relay.port}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        expected = []
        for number, one in enumerate(json.loads(said.stdout)):
            expected.append(told(one["method"], one["path"], one["status"]))
            expected[-1]["http.request.header.x-id"] = [str(number)]
            if one["size"]:
                expected[-1]["http.response.body.size"] = one["size"]
            if one["sent"]:
                expected[-1]["http.request.body.size"] = one["sent"]
        keep("go-http", about(modules, modules), relay.only(), expected)


@contextlib.contextmanager
def go_server() -> Iterator[tuple[int, str]]:
    binary, modules = go()
    port = free_port()
    with program([binary, "http-server", f"127.0.0.1:{port}"], port):
        yield port, modules


@scenario("go-curl-upgrade", "go", "curl")
def go_curl_upgrade() -> None:
    with go_server() as (port, modules):
        relay = Relay(port)
        expected = by_curl(relay, ["--http2", "/upgraded?x"])
        keep("go-curl-upgrade", about(modules, curl_version()), relay.only(), expected)


@scenario("go-nghttp-upgrade", "go", "nghttp")
def go_nghttp_upgrade() -> None:
    """Stream 1 is asked for by HTTP/1.1, the others by HTTP/2."""
    with go_server() as (port, modules):
        relay = Relay(port)
        paths = [f"http://127.0.0.1:{relay.port}/{name}" for name in ("small?first", "large", "missing")]
        said = subprocess.run(["nghttp", "-nsu", "--no-push", *paths], capture_output=True, text=True, check=True).stdout
        expected = nghttp_record(said, relay.port)
        keep("go-nghttp-upgrade", about(modules, nghttp2_version("nghttp"), order="any"), relay.only(), expected)


@scenario("grpc-go-grpcio", "go")
def grpc_go_grpcio() -> None:
    """grpcio's client at grpc-go's server."""
    binary, modules = go()
    port = free_port()
    with program([binary, "grpc-server", f"127.0.0.1:{port}"], port):
        wait_for(port)
        relay = Relay(port)
        caller = Caller(relay.port)
        caller.unary("lab.Lab/Echo")
        caller.unary("lab.Lab/Missing")
        caller.unary("lab.Lab/Fail", b"\x05")
        caller.unary("lab.Lab/Sleep", timeout=0.15)
        caller.unary("lab.Lab/Echo")
        caller.close()
        keep("grpc-go-grpcio", about(modules, grpcio_version()), relay.only(), caller.record)


@scenario("grpc-go-errors", "go")
def grpc_go_errors() -> None:
    """The same statuses again and again, then one more: grpc-go finds its name in the table, wherever that was seen."""
    binary, modules = go()
    port = free_port()
    with program([binary, "grpc-server", f"127.0.0.1:{port}"], port):
        wait_for(port)
        relay = Relay(port)
        caller = Caller(relay.port)
        for _ in range(3):
            caller.unary("lab.Lab/Echo")
            caller.unary("lab.Lab/Fail", b"\x0d")
        caller.unary("lab.Lab/Fail", b"\x0e")
        caller.close()
        keep("grpc-go-errors", about(modules, grpcio_version()), relay.only(), caller.record)


# --- the JDK's client, which begins every connection in the clear with an upgrade ---

JAVA = """
import java.net.URI;
import java.net.http.*;
import java.util.*;
import java.util.concurrent.*;

class Ask {
  static HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).build();
  static HttpRequest.Builder to(String target) {
    return HttpRequest.newBuilder(URI.create(target)).header("x-id", "7").header("traceparent", "%(traceparent)s");
  }
  static String told(HttpRequest request, HttpResponse<byte[]> answer) {
    return String.join(" ", request.method(), request.uri().getPath(), "" + answer.statusCode(), "" + answer.body().length,
        answer.version().name());
  }
  public static void main(String[] words) throws Exception {
    String base = words[0];
    List<HttpRequest> one = List.of(
      to(base + "/small?first").build(),
      to(base + "/missing").build(),
      to(base + "/large").method("HEAD", HttpRequest.BodyPublishers.noBody()).build(),
      to(base + "/small").POST(HttpRequest.BodyPublishers.ofString("x".repeat(20000))).build(),
      to(base + "/small").header("x-long", "y".repeat(1500)).build());
    for (HttpRequest request : one)
      System.out.println(told(request, client.send(request, HttpResponse.BodyHandlers.ofByteArray())));
    Map<HttpRequest, CompletableFuture<HttpResponse<byte[]>>> many = new LinkedHashMap<>();
    for (int i = 0; i < 8; i++) {
      HttpRequest request = to(base + (i %% 3 == 0 ? "/large" : "/small") + "?" + i).build();
      many.put(request, client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()));
    }
    for (var each : many.entrySet()) System.out.println(told(each.getKey(), each.getValue().get()));
    System.exit(0);
  }
}
"""


@scenario("go-java-upgrade", "go", "java")
def go_java_upgrade() -> None:
    """An upgrade, then requests one after the other, then eight at once. nghttpd drops the connection of this client's upgrade."""
    with go_server() as (port, modules), tempfile.TemporaryDirectory(prefix="record-") as folder:
        relay = Relay(port)
        source = Path(folder) / "Ask.java"
        source.write_text(JAVA % {"traceparent": TRACEPARENT})
        command = ["java", "-XX:TieredStopAtLevel=1", str(source), f"http://127.0.0.1:{relay.port}"]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        expected = []
        for line in said.splitlines():
            method, path, status, size, spoken = line.split()
            assert spoken == "HTTP_2"
            expected.append(told(method, path, int(status)))
            expected[-1]["http.request.header.x-id"] = ["7"]
            if method != "HEAD" and int(size):
                expected[-1]["http.response.body.size"] = int(size)
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.split('"')[1]
        facts = about(modules, f"java.net.http of OpenJDK {java}", order="any")
        keep("go-java-upgrade", facts, relay.only(), expected)


def main() -> None:
    words = sys.argv[1:] or [""]
    for name, (needs, function) in SCENARIOS.items():
        if any(word in name for word in words):
            missing = [need for need in needs if shutil.which(need) is None]
            if missing:
                print(f"{name}: LEFT OUT, not on the PATH: {', '.join(missing)}")
            else:
                function()
    for binary, _ in _BUILT:
        shutil.rmtree(Path(binary).parent)


if __name__ == "__main__":
    main()
