"""Records vectors: real servers and real clients, a relay between them that notes what passes.

    python tests/vectors/record.py [name ...]        all scenarios, or those whose names contain one of the words

Needs nginx, apache2, node, curl and wrk on the PATH; a scenario whose program is missing is left out, loudly. A vector
is a text file of JSON lines: where it came from; the events (`us` since the first one, the direction, the bytes as
latin-1 text, a last byte that is repeated `times` more); then what must be read out of it, by the client's own record
(curl's `--write-out`, the program's own notes) or, where the client is a socket that speaks as told, by the
specification.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LICENCE = "Apache-2.0"
READ_SIZE = 16384

Expected = list[dict[str, Any]]


class Recording:
    """What passed over one connection: (seconds, to the server?, bytes or None at the end)."""

    def __init__(self) -> None:
        self.events: list[tuple[float, bool, bytes | None]] = []
        self.done = threading.Event()


class Relay:
    """Listens on a free port of 127.0.0.1 and carries each connection to `target`."""

    def __init__(self, target: int, read_size: int = READ_SIZE) -> None:
        self.target = target
        self.read_size = read_size
        self.recordings: list[Recording] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                recording = Recording()
                self.recordings.append(recording)
                threading.Thread(target=self._carry, args=(client, recording), name="relayed", daemon=True).start()

    def _carry(self, client: socket.socket, recording: Recording) -> None:
        server = socket.create_connection(("127.0.0.1", self.target))
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        open_sides = {client: server, server: client}
        while open_sides:
            ready, _, _ = select.select(list(open_sides), [], [])
            for side in ready:
                try:
                    piece = side.recv(self.read_size)
                except ConnectionError:
                    piece = b""
                recording.events.append((time.time(), side is client, piece or None))
                other = server if side is client else client
                with contextlib.suppress(OSError):
                    if piece:
                        other.sendall(piece)
                    else:
                        other.shutdown(socket.SHUT_WR)
                if not piece:
                    del open_sides[side]
        client.close()
        server.close()
        recording.done.set()

    def only(self) -> Recording:
        assert len(self.recordings) == 1, f"{len(self.recordings)} connections"
        assert self.recordings[0].done.wait(5)
        return self.recordings[0]

    def close(self) -> None:
        self.listener.close()


def write(name: str, about: dict[str, str], recording: Recording, expected: Expected) -> None:
    path = FOLDER / about["folder"] / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    first = {"protocol": about["protocol"], "server": about["server"], "client": about["client"], "licence": LICENCE}
    lines: list[dict[str, Any]] = [first]
    start = recording.events[0][0]
    for seconds, to_server, piece in recording.events:
        event: dict[str, Any] = {"us": round((seconds - start) * 1e6), "to": "server" if to_server else "client"}
        if piece is not None:
            run = len(piece) - len(piece.rstrip(piece[-1:]))
            if run > 64:
                event["times"] = run - 1
                piece = piece[: len(piece) - run + 1]
            event["text"] = piece.decode("latin-1")
        lines.append(event)
    lines.extend({"expect": one} for one in expected)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{path.relative_to(FOLDER)}: {len(recording.events)} events, {len(expected)} roundtrips")


# --- servers ---


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")


@contextlib.contextmanager
def program(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def version(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().splitlines()[0]


NGINX = """
worker_processes 1;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:%(port)d;
    root %(root)s;
    add_header X-Id $http_x_id always;
    location /old { return 301 /small; }
    location /broken { return 500 "broken"; }
    location /none { return 204; }
  }
}
"""


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "small").write_text("small\n")
        (root / "large").write_text("x" * 40_000)
        port = free_port()
        (root / "nginx.conf").write_text(NGINX % {"port": port, "root": folder})
        command = ["nginx", "-p", folder, "-c", f"{folder}/nginx.conf", "-e", "stderr"]
        with program([*command, "-g", f"daemon off; pid {folder}/pid;"], port):
            yield port


APACHE = """
ServerRoot %(root)s
PidFile %(root)s/pid
Listen 127.0.0.1:%(port)d
ServerName apache.test
ErrorLog /dev/null
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule autoindex_module /usr/lib/apache2/modules/mod_autoindex.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
TypesConfig /dev/null
DocumentRoot %(root)s/htdocs
Header always set X-Id "expr=%%{HTTP:X-Id}"
<Directory %(root)s/htdocs>
  Options +Indexes
  Require all granted
</Directory>
"""


@contextlib.contextmanager
def apache() -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "htdocs" / "listed").mkdir(parents=True)
        (root / "htdocs" / "small").write_text("small\n")
        for name in ("one", "two", "three"):
            (root / "htdocs" / "listed" / name).write_text(name)
        port = free_port()
        (root / "apache.conf").write_text(APACHE % {"port": port, "root": folder})
        with program(["apache2", "-X", "-f", f"{folder}/apache.conf"], port):
            yield port


# Answers by path; echoes X-Id so that a pair can be told from any other.
NODE = """
const http = require('http');
const server = http.createServer((req, res) => {
  if (req.headers['x-id']) res.setHeader('X-Id', req.headers['x-id']);
  const path = req.url.split('?')[0];
  if (path === '/early') { res.writeHead(413, {'Content-Length': 4}); res.end('much'); return; }
  if (path === '/hints') { res.writeEarlyHints({link: '</style.css>; rel=preload'}); }
  if (path === '/processing') { res.writeProcessing(); }
  if (path === '/trailers') {
    res.writeHead(200, {'Trailer': 'X-Sum', 'Content-Type': 'text/plain'});
    res.write('one'); setTimeout(() => { res.write('four'); res.addTrailers({'X-Sum': '7'}); res.end(); }, 5);
    req.resume(); return;
  }
  let size = 0;
  req.on('data', d => { size += d.length; });
  req.on('end', () => { res.end(req.method === 'HEAD' ? undefined : 'got ' + size); });
});
server.on('upgrade', (req, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n');
  socket.on('data', d => { socket.write(d); });
  socket.on('end', () => socket.end());
});
server.on('connect', (req, socket) => {
  if (req.url.startsWith('refused')) {
    socket.end('HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\n\\r\\n');
    return;
  }
  socket.write('HTTP/1.1 200 Connection Established\\r\\n\\r\\n');
  socket.on('data', d => { socket.write(d); });
  socket.on('end', () => socket.end());
});
server.listen(+process.argv[1], '127.0.0.1');
"""


@contextlib.contextmanager
def node() -> Iterator[int]:
    port = free_port()
    with program(["node", "-e", NODE, str(port)], port):
        yield port


class Plain(http.server.BaseHTTPRequestHandler):
    """Python's server: HTTP/1.0, and a body that only the close ends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("X-Id", self.headers.get("X-Id", ""))
        self.end_headers()
        self.wfile.write(b"until the close")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def python_server(handler: type[http.server.BaseHTTPRequestHandler] = Plain) -> Iterator[int]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


# --- clients ---


def curl(port: int, *transfers: list[str]) -> Expected:
    """One connection, several transfers: each is curl's arguments, the path last; expected is what curl wrote."""
    command = ["curl", "-s", "--max-time", "10"]
    for number, transfer in enumerate(transfers):
        if number:
            command.append("--next")
        command += ["-s", "-o", "/dev/null", "-w", "%{json}\\n", "-H", f"X-Id: {number}", *transfer[:-1]]
        command.append(f"http://127.0.0.1:{port}{transfer[-1]}")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    expected: Expected = []
    for number, line in enumerate(said.stdout.splitlines()):
        told = json.loads(line)
        status = told["response_code"]
        one = {
            "operation": told["method"],
            "status": status,
            "outcome": "error" if status >= 500 else "ok",
            "url.path": re.sub(r"[?].*", "", transfers[number][-1]),
            "server_port": port,
            "http.request.header.x-id": [str(number)],
        }
        if told["size_download"]:
            one["http.response.body.size"] = told["size_download"]
        if told["size_upload"]:
            one["http.request.body.size"] = told["size_upload"]
        expected.append(one)
    return expected


def speak(port: int, *lines: bytes | float, wait: float = 0.15) -> None:
    """A socket that sends each piece, waits as many seconds as are given, and reads until the server rests."""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for line in lines:
            if isinstance(line, float):
                time.sleep(line)
            else:
                peer.sendall(line)
        peer.settimeout(wait)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while peer.recv(65536):
                pass
        with contextlib.suppress(OSError):
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(2)
            while peer.recv(65536):
                pass


def told(operation: str, path: str | None, status: int | None, **more: Any) -> dict[str, Any]:
    outcome = "error" if status is not None and status >= 500 else "ok"
    one = {"operation": operation, "url.path": path, "status": status, "outcome": outcome, **more}
    return {name.replace("__", "."): value for name, value in one.items()}


# --- scenarios ---

Scenario = Callable[[], None]
SCENARIOS: dict[str, tuple[tuple[str, ...], Scenario]] = {}


def scenario(name: str, *needs: str) -> Callable[[Scenario], Scenario]:
    def keep(function: Scenario) -> Scenario:
        SCENARIOS[name] = (needs, function)
        return function

    return keep


def about(server: str, client: str) -> dict[str, str]:
    return {"folder": "http1", "protocol": "http", "server": server, "client": client}


def nginx_version() -> str:
    return version("nginx", "-v")


def curl_version() -> str:
    return " ".join(version("curl", "-V").split()[:2])


@scenario("nginx-curl", "nginx", "curl")
def nginx_curl() -> None:
    with nginx() as port:
        relay = Relay(port)
        expected = curl(
            relay.port,
            ["/small"],
            ["/small?a=1&b=%20"],
            ["-I", "/large"],
            ["/missing"],
            ["/old"],
            ["/broken"],
            ["/none"],
            ["-H", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "/small"],
            ["-X", "DELETE", "/small"],
            ["-d", "a=b", "/small"],
        )
        write("nginx-curl", about(nginx_version(), curl_version()), relay.only(), expected)


@scenario("nginx-large", "nginx", "curl")
def nginx_large() -> None:
    with nginx() as port:
        relay = Relay(port)
        expected = curl(relay.port, ["/large"], ["-r", "100-199", "/large"], ["/large"])
        write("nginx-large", about(nginx_version(), curl_version()), relay.only(), expected)


WRK = """
local number = 0
request = function()
  local batch = {}
  for i = 1, 8 do
    number = number + 1
    batch[i] = wrk.format("GET", "/small?n=" .. number, {["X-Id"] = tostring(number)})
  end
  return table.concat(batch)
end
"""


@scenario("nginx-wrk-pipelined", "nginx", "wrk")
def nginx_wrk() -> None:
    with nginx() as port, tempfile.TemporaryDirectory(prefix="record-") as folder:
        script = Path(folder, "pipeline.lua")
        script.write_text(WRK)
        relay = Relay(port)
        command = ["wrk", "-t1", "-c1", "-d1s", "-s", str(script), f"http://127.0.0.1:{relay.port}/"]
        subprocess.run(command, capture_output=True, check=True)
        # wrk sends a request of its own when it starts; the connection with the batches is the one that counts.
        whole = max(relay.recordings, key=lambda recording: len(recording.events))
        kept = Recording()
        batches = 0
        for event in whole.events:
            batches += event[1]
            if batches > 2:
                break
            kept.events.append(event)
        # wrk builds requests to see how long they are before it sends any: where its count stands says the first of
        # them.
        first = int(re.findall(rb"n=(\d+)", kept.events[0][2] or b"")[0])
        expected = [
            {**told("GET", "/small", 200), "url.query": f"n={n}", "http.response.header.x-id": [str(n)]}
            for n in range(first, first + 2 * 8)
        ]
        write(
            "nginx-wrk-pipelined",
            about(nginx_version(), version("wrk", "-v").split("Copyright")[0].strip()),
            kept,
            expected,
        )


@scenario("nginx-odd", "nginx")
def nginx_odd() -> None:
    """A socket says what no library would, and nginx takes it; expected by RFC 9112."""
    with nginx() as port:
        relay = Relay(port)
        piecemeal: list[bytes | float] = []
        for byte in b"GET /small HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\n\r\n":
            piecemeal += [bytes([byte]), 0.002]
        speak(
            relay.port,
            *piecemeal,
            0.05,
            b"GET /small HTTP/1.1\nHost: a.test:8080\nX-Id: 2\n\n",
            0.05,
            b"\r\nGET http://absolute.test:81/small?q HTTP/1.1\r\nHost: a.test\r\nX-Id: 3\r\n\r\n",
            0.05,
            b"GET /small HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\nX-Id: 4\r\n\r\n",
            0.05,
            b"PUT /small HTTP/1.1\r\nHost: a.test\r\nX-Id: 5\r\nContent-Length: 00010\r\n\r\n0123456789",
            0.05,
            b"GET /small HTTP/1.0\r\nConnection: keep-alive\r\nX-Id: 6\r\n\r\n",
            0.05,
            b"GET /small HTTP/1.1\r\nHost: a.test\r\nUpgrade-Insecure-Requests: 1\r\nX-Id: 7\r\n\r\n"
            b"HEAD /large HTTP/1.1\r\nHost: a.test\r\nX-Id: 8\r\n\r\n"
            b"GET /missing HTTP/1.1\r\nHost: a.test\r\nX-Id: 9\r\n\r\n",
            0.05,
            b"GET /small HTTP/1.1\r\nHost: a.test\r\nX-Id: 10\r\n"
            b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n\r\n",
        )
        expected = [
            told("GET", "/small", 200, server_address="a.test", server_port=80),
            told("GET", "/small", 200, server_address="a.test", server_port=8080),
            told("GET", "/small", 200, server_address="absolute.test", server_port=81, url__query="q"),
            told("GET", "/small", 200, server_address="2001:db8::1", server_port=8080),
            told("PUT", "/small", 405, http__request__body__size=10),
            told("GET", "/small", 200, server_address=None),
            told("GET", "/small", 200, http__response__body__size=6),
            told("HEAD", "/large", 200, http__response__body__size=None),
            told("GET", "/missing", 404, error_type="404"),
            told("GET", "/small", 200),
        ]
        # nginx compares the date exactly, unless told otherwise: the last one is a full answer, not 304.
        write("nginx-odd", about(nginx_version(), "a socket"), relay.only(), expected)


@scenario("nginx-unknown-method", "nginx")
def nginx_unknown_method() -> None:
    with nginx() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"FROB /small HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\n\r\n",
            0.05,
            b"get /small HTTP/1.1\r\nHost: a.test\r\nX-Id: 2\r\n\r\n",
        )
        # nginx takes a method of capital letters alone and closes after any other.
        expected = [
            told("_OTHER", "/small", 405, http__request__method_original="FROB"),
            told("_OTHER", "/small", 400, http__request__method_original="get"),
        ]
        write("nginx-unknown-method", about(nginx_version(), "a socket"), relay.only(), expected)


@scenario("apache-curl", "apache2", "curl")
def apache_curl() -> None:
    with apache() as port, tempfile.TemporaryDirectory(prefix="record-") as folder:
        upload = Path(folder, "upload")
        upload.write_text("y" * 3000)
        relay = Relay(port)
        expected = curl(
            relay.port,
            ["/small"],
            ["/listed/"],
            ["-X", "OPTIONS", "/"],
            ["/listed"],
            ["-H", "Expect: 100-continue", "--data-binary", f"@{upload}", "/small"],
            ["-H", "If-None-Match: *", "/small"],
            ["-I", "/listed/"],
            ["/missing?x=/y"],
        )
        server = version("apache2", "-v").removeprefix("Server version: ")
        write("apache-curl", about(server, curl_version()), relay.only(), expected)


@scenario("node-curl", "node", "curl")
def node_curl() -> None:
    with node() as port:
        relay = Relay(port)
        expected = curl(
            relay.port,
            ["/plain"],
            ["/trailers"],
            ["/hints"],
            ["-X", "QUERY", "-d", "select", "/plain"],
            ["-H", "Transfer-Encoding: chunked", "-d", "chunked by curl", "/plain"],
            ["-I", "/plain"],
            ["-X", "PATCH", "-H", "Transfer-Encoding: chunked", "-d", "more", "/trailers"],
        )
        # Of a chunked upload curl counts the framing as well; the bodies are those of the command line.
        expected[4]["http.request.body.size"] = len("chunked by curl")
        expected[6]["http.request.body.size"] = len("more")
        write("node-curl", about(f"node {version('node', '-v')}", curl_version()), relay.only(), expected)


@scenario("node-chunks", "node")
def node_chunks() -> None:
    with node() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"POST /plain HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            0.02,
            b"5;name=value;flag\r\nhel",
            0.02,
            b"lo\r\n00A\r\n0123456789\r\n",
            0.02,
            b"0\r\nX-Trailer: yes\r\nX-Other: no\r\n\r\n",
            0.05,
            b"POST /trailers HTTP/1.1\r\nHost: a.test\r\nX-Id: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\na\r\n0\r\n\r\n"
            b"GET /hints HTTP/1.1\r\nHost: a.test\r\nX-Id: 3\r\n\r\n",
        )
        expected = [
            told("POST", "/plain", 200, http__request__body__size=15),
            told("POST", "/trailers", 200, http__request__body__size=1, http__response__body__size=7),
            told("GET", "/hints", 200),
        ]
        write("node-chunks", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("node-continue", "node")
def node_continue() -> None:
    with node() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"PUT /processing HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            0.05,
            b"body",
        )
        expected = [told("PUT", "/processing", 200, http__request__body__size=4, http__response__body__size=5)]
        write("node-continue", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("node-early", "node")
def node_early() -> None:
    with node() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"POST /early HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\nContent-Length: 300\r\n\r\n" + b"z" * 100,
            0.05,
            b"z" * 200,
            0.05,
            b"GET /plain HTTP/1.1\r\nHost: a.test\r\nX-Id: 2\r\n\r\n",
        )
        expected = [told("POST", "/early", 413, http__response__body__size=4), told("GET", "/plain", 200)]
        write("node-early", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("node-websocket", "node")
def node_websocket() -> None:
    with node() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"GET /plain HTTP/1.1\r\nHost: a.test\r\nX-Id: 1\r\n\r\n",
            0.05,
            b"GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            0.05,
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
            0.05,
            b"\x81\x25GET /inside HTTP/1.1\r\nHost: a.test\r\n\r\n",
        )
        expected = [told("GET", "/plain", 200), told("GET", "/chat", 101)]
        write("node-websocket", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("node-connect", "node")
def node_connect() -> None:
    with node() as port:
        relay = Relay(port)
        speak(
            relay.port,
            b"CONNECT inside.test:443 HTTP/1.1\r\nHost: inside.test:443\r\n\r\n",
            0.05,
            b"\x16\x03\x01\x00\x05hello",
            0.05,
            b"\x17\x03\x03\x00\x25GET /inside HTTP/1.1\r\nHost: a.test\r\n\r\n",
        )
        expected = [told("CONNECT", None, 200, server_address="inside.test", server_port=443)]
        write("node-connect", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("node-connect-refused", "node")
def node_connect_refused() -> None:
    with node() as port:
        relay = Relay(port)
        speak(relay.port, b"CONNECT refused.test:443 HTTP/1.1\r\nHost: refused.test\r\n\r\n", 0.05)
        expected = [told("CONNECT", None, 403, server_address="refused.test", server_port=443)]
        write("node-connect-refused", about(f"node {version('node', '-v')}", "a socket"), relay.only(), expected)


@scenario("python-client")
def python_client() -> None:
    """Python's server ends each body with the connection; its client says how many bytes it got."""
    with python_server() as port:
        relay = Relay(port)
        client = http.client.HTTPConnection("127.0.0.1", relay.port)
        client.request(
            "GET", "/close?x", headers={"X-Id": "1", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-00"}
        )
        answer = client.getresponse()
        answer.read()
        expected = [
            told("GET", "/close", answer.status, version="1.0" if answer.version == 10 else "1.1", trace_flags=0)
        ]
        client.close()
        server = f"http.server of Python {sys.version.split()[0]}"
        write("python-client", about(server, "http.client"), relay.only(), expected)


def main() -> None:
    words = sys.argv[1:] or [""]
    for name, (needs, function) in SCENARIOS.items():
        if any(word in name for word in words):
            missing = [need for need in needs if shutil.which(need) is None]
            if missing:
                print(f"{name}: LEFT OUT, not on the PATH: {', '.join(missing)}")
            else:
                function()


if __name__ == "__main__":
    main()
