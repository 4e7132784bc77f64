"""Two small pages over HTTP: `health_check` for probes, and our own metrics for a scraper. And the client of the first.

Room: service. Knows sockets and pages, not what is measured. The standard library's http.server would add 7 MB of
resident memory (it brings http.client and email); these pages need a status, a type and a body.

One thread serves all connections, each with a deadline, and sleeps while there is none.
"""

from __future__ import annotations

import errno
import json
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from receiver.config import ConfigError, Fault, split_endpoint

logger = logging.getLogger(__name__)

ALIVE_S = 5.0
"""A capture loop that polls for at most 500 ms has missed 10 turns when it was silent for so long."""

REQUEST_BYTES_MAX = 8 * 1024  # a probe's head has 100 to 200 bytes, a browser's 1 KiB
CONNECTIONS_MAX = 32  # probes and scrapers are a handful; 32 x 8 KiB = 256 KiB at most
DEADLINE_S = 5.0  # for a whole request and its answer: kubelets give up after 1 s, Prometheus after 10

REFUSALS = {
    errno.EADDRINUSE: "the port is taken",
    errno.EACCES: "not permitted, a port below net.ipv4.ip_unprivileged_port_start (1024 as a rule) takes CAP_NET_BIND_SERVICE",
}
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Page(msgspec.Struct, frozen=True):
    """One answer."""

    status: int
    content_type: str
    body: bytes


PageMaker: TypeAlias = Callable[[], Page]


def health_page(last_turn_s: Callable[[], float | None]) -> PageMaker:
    """200 when the capture loop has turned within the last 5 s, else 503, with the Collector's JSON.

    `last_turn_s` tells when that was on `time.monotonic()`'s clock, None before the first turn. A backend that is down
    is not ill health of ours.
    """
    started_s = time.monotonic()
    up_since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def make() -> Page:
        now_s = time.monotonic()
        turn_s = last_turn_s()
        alive = turn_s is not None and now_s - turn_s <= ALIVE_S
        answer = {
            "status": "Server available" if alive else "Server not available",
            "upSince": up_since,
            "uptime": f"{now_s - started_s:.3f}s",
            "lastTurnAgo": None if turn_s is None else f"{now_s - turn_s:.3f}s",
        }
        return Page(200 if alive else 503, "application/json", json.dumps(answer).encode() + b"\n")

    return make


def metrics_page(text: Callable[[], str]) -> PageMaker:
    """What `text` returns, in Prometheus' text format, version 0.0.4."""
    return lambda: Page(200, "text/plain; version=0.0.4; charset=utf-8", text().encode())


class PageServer:
    """Serves `pages` by path on `endpoint` in a thread of its own, from `start()` to `close()`."""

    def __init__(self, endpoint: str, pages: Mapping[str, PageMaker], *, key: str, name: str) -> None:
        """Listen. `key` is the path of the endpoint's key, for the fault; `name` is the thread's.

        Raises ConfigError when the endpoint cannot be had.
        """
        self._pages = pages
        self._name = name
        self._failed: set[str] = set()
        self._connections: dict[socket.socket, _Connection] = {}
        self._listener = _listen(endpoint, key)
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakened = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakened, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        """Begin to answer; until then connections wait in the backlog."""
        self._thread.start()

    def close(self) -> None:
        """Stop, close every connection and wait for the thread. A second call does nothing."""
        self._waker.close()
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._close_all()

    def _serve(self) -> None:
        try:
            while self._turn():
                pass
        except Exception:  # a page's faults are caught before; what comes here ends this server, not the capture
            logger.exception("%s: the server ended", self._name)
        finally:
            self._close_all()

    def _turn(self) -> bool:
        """Wait for one round of events and answer them; False when `close()` was called."""
        waits = [connection.deadline_s for connection in self._connections.values()]
        timeout_s = max(0.0, min(waits) - time.monotonic()) if waits else None
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._wakened:
                return False
            if key.fileobj is self._listener:
                self._accept()
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._advance(key.fileobj)
        now_s = time.monotonic()
        for peer in [peer for peer, connection in self._connections.items() if connection.deadline_s <= now_s]:
            self._drop(peer)
        return True

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                time.sleep(0.1)  # the backlog stays readable: without a pause this would spin
            return
        if len(self._connections) >= CONNECTIONS_MAX:
            peer.close()
            return
        peer.setblocking(False)
        self._connections[peer] = _Connection(time.monotonic() + DEADLINE_S)
        self._selector.register(peer, selectors.EVENT_READ)

    def _advance(self, peer: socket.socket) -> None:
        """Read what has come, or go on writing; drop the connection at its end."""
        connection = self._connections[peer]
        try:
            if connection.answer is None:
                piece = peer.recv(REQUEST_BYTES_MAX + 1 - len(connection.request))
                connection.request += piece
                connection.answer = self._answer(bytes(connection.request), ended=not piece)
                if connection.answer is not None:
                    self._selector.modify(peer, selectors.EVENT_WRITE)
                return
            sent = peer.send(connection.answer)
            connection.answer = connection.answer[sent:]
            if not connection.answer:
                peer.shutdown(socket.SHUT_RDWR)
                self._drop(peer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the peer is gone
            self._drop(peer)

    def _drop(self, peer: socket.socket) -> None:
        del self._connections[peer]
        self._selector.unregister(peer)
        peer.close()

    def _close_all(self) -> None:
        for peer in list(self._connections):
            self._drop(peer)
        self._selector.close()
        for sock in (self._listener, self._wakened, self._waker):
            sock.close()

    def _answer(self, request: bytes, *, ended: bool) -> bytes | None:
        """The response to the request's head; None while that may still come."""
        if b"\r\n\r\n" not in request and b"\n\n" not in request:
            if len(request) > REQUEST_BYTES_MAX:
                return _response(_text_page(431), "GET")
            return _response(_text_page(400), "GET") if ended else None
        words = request.split(b"\n", 1)[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(_text_page(400), "GET")
        method, path = words[0], words[1].partition("?")[0]
        if path not in self._pages:
            return _response(_text_page(404), method)
        if method not in ("GET", "HEAD"):
            return _response(_text_page(405), method)
        try:
            return _response(self._pages[path](), method)
        except Exception as error:  # a page is made of live figures: its fault must not end the server
            if path not in self._failed:
                self._failed.add(path)
                logger.exception("%s: %s failed: %s", self._name, path, type(error).__name__)
            return _response(_text_page(500), method)


class _Connection:
    """One peer: what it has sent, or what is left to send it."""

    __slots__ = ("answer", "deadline_s", "request")

    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self.request = bytearray()
        self.answer: bytes | None = None


def ask(endpoint: str, timeout_s: float = 2.0) -> tuple[bool, str]:
    """Ask the process that serves `endpoint`: whether it is well, and its answer or why there is none."""
    host, port = split_endpoint(endpoint)
    host = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            until_s = time.monotonic() + timeout_s
            while len(answer) < 64 * 1024 and (left_s := until_s - time.monotonic()) > 0:
                peer.settimeout(left_s)
                piece = peer.recv(4096)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        return False, f"{endpoint}: {error.strerror or error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return False, f"{endpoint}: no answer in HTTP"
    return words[1] == b"200", body.decode(errors="replace").strip()


def _listen(endpoint: str, key: str) -> socket.socket:
    try:
        host, port = split_endpoint(endpoint)
        if not host:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            listener = socket.create_server(("", port), family=family, dualstack_ipv6=dual)
        else:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            # `localhost` is both; as Go does, IPv4 first
            family, _, _, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)
            listener = socket.create_server(address[:2], family=family)
    except ValueError as error:
        raise ConfigError((Fault(key, f"takes host:port, {error}"),)) from None
    except OSError as error:
        why = REFUSALS.get(error.errno or 0) or error.strerror or str(error)
        raise ConfigError((Fault(key, f"cannot listen on {endpoint}: {why}"),)) from None
    listener.setblocking(False)
    return listener


def _text_page(status: int) -> Page:
    return Page(status, "text/plain; charset=utf-8", f"{REASONS[status]}\n".encode())


def _response(page: Page, method: str) -> bytes:
    allow = "Allow: GET, HEAD\r\n" if page.status == 405 else ""
    head = (
        f"HTTP/1.1 {page.status} {REASONS[page.status]}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n{allow}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else page.body)
