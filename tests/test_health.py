"""The pages over real sockets; curl's place is taken by http.client where a whole client is wanted."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from receiver import health
from receiver.config import ConfigError
from receiver.health import CONNECTIONS_MAX, REQUEST_BYTES_MAX, Page, PageServer, ask, health_page, metrics_page


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def _serving(last_turn_s: Callable[[], float | None] = time.monotonic) -> Iterator[PageServer]:
    pages = {"/": health_page(last_turn_s), "/metrics": metrics_page(lambda: "a 1\n"), "/bad": lambda: _raise()}
    server = PageServer(f"127.0.0.1:{_free_port()}", pages, key="extensions.health_check.endpoint", name="health")
    server.start()
    try:
        yield server
    finally:
        server.close()


def _raise() -> Page:
    raise RuntimeError("figures are not ready")


def _get(server: PageServer, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def _send(server: PageServer, request: bytes, *, end: bool = False) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(request)
        if end:
            peer.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    return answer


@pytest.mark.parametrize(("ago_s", "status"), [(0.0, 200), (4.9, 200), (5.1, 503), (1e6, 503), (None, 503)])
def test_well_when_the_loop_has_turned_within_five_seconds(
    ago_s: float | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = health_page(lambda: None if ago_s is None else 1e7 - ago_s)
    monkeypatch.setattr(time, "monotonic", lambda: 1e7)
    assert make().status == status


def test_health_over_http() -> None:
    with _serving() as server:
        response, body = _get(server, "/")
    assert response.status == 200
    assert response.getheader("Content-Type") == "application/json"
    assert json.loads(body)["status"] == "Server available"


def test_ill_over_http() -> None:
    with _serving(lambda: None) as server:
        response, body = _get(server, "/?from=probe")
    assert response.status == 503
    assert json.loads(body)["status"] == "Server not available"


def test_metrics_in_the_text_format() -> None:
    with _serving() as server:
        response, body = _get(server, "/metrics")
    assert response.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert body == b"a 1\n"


def test_body_larger_than_a_socket_s_buffer() -> None:
    text = "x" * 20_000_000
    server = PageServer(f"127.0.0.1:{_free_port()}", {"/": metrics_page(lambda: text)}, key="k", name="n")
    server.start()
    _, body = _get(server, "/")
    server.close()
    assert body == text.encode()


def test_head_has_the_length_and_no_body() -> None:
    with _serving() as server:
        response, body = _get(server, "/metrics", "HEAD")
    assert (response.status, response.getheader("Content-Length"), body) == (200, "4", b"")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/none", "GET", 404), ("/", "POST", 405), ("/bad", "GET", 500), ("*", "OPTIONS", 404)],
)
def test_what_is_not_served(path: str, method: str, status: int) -> None:
    with _serving() as server:
        assert _get(server, path, method)[0].status == status
        assert _get(server, "/")[0].status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\n\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_garbage_is_a_bad_request(request_: bytes) -> None:
    with _serving() as server:
        assert _send(server, request_).startswith(b"HTTP/1.1 400 ")
        assert _get(server, "/")[0].status == 200


def test_request_cut_off_is_a_bad_request() -> None:
    with _serving() as server:
        assert _send(server, b"GET / HTTP/1.1\r\nHost", end=True).startswith(b"HTTP/1.1 400 ")


def test_request_byte_by_byte() -> None:
    with _serving() as server, socket.create_connection(("127.0.0.1", server.port), timeout=5) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /metrics HTTP/1.0\n\n":
            peer.send(bytes([byte]))
        assert peer.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_one_byte_over_the_limit() -> None:
    start = b"GET / HTTP/1.1\r\nX: "
    with _serving() as server:
        fits = start + b"a" * (REQUEST_BYTES_MAX - len(start) - 4) + b"\r\n\r\n"
        assert len(fits) == REQUEST_BYTES_MAX
        assert _send(server, fits).startswith(b"HTTP/1.1 200 ")
        assert _send(server, start + b"a" * (REQUEST_BYTES_MAX + 1 - len(start))).startswith(b"HTTP/1.1 431 ")


def test_silent_peers_are_closed_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE_S", 0.05)
    with _serving() as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"GET / HT")
        assert peer.recv(1) == b""


def test_one_connection_over_the_limit_is_closed() -> None:
    with _serving() as server:
        peers = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(CONNECTIONS_MAX)]
        assert _send(server, b"") == b""
        peers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert peers[0].recv(12) == b"HTTP/1.1 200"
        for peer in peers:
            peer.close()


def test_port_that_is_taken_names_the_key() -> None:
    with _serving() as server:
        endpoint = f"127.0.0.1:{server.port}"
        with pytest.raises(ConfigError) as caught:
            PageServer(endpoint, {}, key="extensions.health_check.endpoint", name="health")
    assert str(caught.value) == f"extensions.health_check.endpoint: cannot listen on {endpoint}: the port is taken"


def test_endpoint_of_another_machine_names_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^k: cannot listen on 198\.51\.100\.1:1: "):
        PageServer("198.51.100.1:1", {}, key="k", name="n")


def test_without_a_host_on_every_address() -> None:
    server = PageServer(f":{_free_port()}", {"/": health_page(time.monotonic)}, key="k", name="n")
    server.start()
    assert ask(f"127.0.0.1:{server.port}")[0]
    if socket.has_dualstack_ipv6():
        assert ask(f"[::1]:{server.port}")[0]
    server.close()


def test_close_frees_the_port_also_before_the_start_and_twice() -> None:
    endpoint = f"localhost:{_free_port()}"
    for start in (False, True, False):
        server = PageServer(endpoint, {}, key="k", name="n")
        if start:
            server.start()
        server.close()
        server.close()


def test_ask_a_well_one() -> None:
    with _serving() as server:
        well, answer = ask(f"127.0.0.1:{server.port}")
    assert well
    assert json.loads(answer)["status"] == "Server available"


def test_ask_an_ill_one() -> None:
    with _serving(lambda: None) as server:
        well, answer = ask(f"127.0.0.1:{server.port}")
    assert not well
    assert json.loads(answer)["status"] == "Server not available"


def test_ask_nobody() -> None:
    endpoint = f"127.0.0.1:{_free_port()}"
    assert ask(endpoint) == (False, f"{endpoint}: Connection refused")


def test_ask_someone_who_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        assert ask(endpoint, 0.05) == (False, f"{endpoint}: timed out")
