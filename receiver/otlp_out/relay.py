"""gRPC's connection through an HTTP proxy, by sockets of ours.

Room: otlp_out. gRPC can ask a proxy by itself, but tells nobody which sockets it does that with; the capture would take its
CONNECT for the application's. So gRPC connects to a socket in the kernel's own name space, which no capture sees, and what it
sends there is carried on:

    gRPC --unix-abstract--> Relay --CONNECT host:port--> proxy --> Collector

TLS, where there is any, is between gRPC and the Collector. Only this process may connect.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import secrets
import socket
import struct
import threading
import time
from urllib.parse import unquote, urlsplit

from receiver.export.outcome import clean
from receiver.export.own import OwnSockets

log = logging.getLogger(__name__)

PIECE_BYTES = 256 * 1024
MAX_HEAD_BYTES = 16 * 1024  # of a proxy's answer to CONNECT
_UCRED = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class Relay:
    """Carries connections to `host:port` through the proxy at `proxy_url`, for as long as it is open.

    `problem` says why the last one could not be made, "" when it could; it never has the proxy's password.
    """

    def __init__(self, name: str, proxy_url: str, host: str, port: int, timeout_s: float, own: OwnSockets) -> None:
        parts = urlsplit(proxy_url)
        self._name = name
        self._tls = parts.scheme == "https"
        self._proxy = (parts.hostname or "", parts.port or (443 if self._tls else 80))
        self._timeout_s = timeout_s
        self._own = own
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            head.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        self._request = "\r\n".join((*head, "", "")).encode()
        self.authority = authority
        self.problem = ""
        self._listener: socket.socket | None = None
        self.target = ""

    def start(self) -> None:
        """Listen; `target` is gRPC's from here on."""
        name = f"pcap-receiver-{secrets.token_hex(16)}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{name}")
        self._listener.listen()
        self.target = f"unix-abstract:{name}"
        threading.Thread(target=self._accept, args=(self._listener,), name=f"relay {self._name}", daemon=True).start()

    def close(self) -> None:
        """Take no more; what is open ends with gRPC's side of it."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits for it
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                inner, _ = listener.accept()
            except OSError:
                return
            peer = _UCRED.unpack(inner.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
            if peer[0] != os.getpid():
                inner.close()
                continue
            threading.Thread(target=self._carry, args=(inner,), name=f"relay {self._name}", daemon=True).start()

    def _carry(self, inner: socket.socket) -> None:
        try:
            outer, early = self._connect()
            self.problem = ""
        except (OSError, ValueError) as error:
            self.problem = f"the proxy {self._proxy[0]}:{self._proxy[1]} {_reason(error)}"
            inner.close()
            return
        try:
            inner.sendall(early)
        except OSError:
            inner.close()
            outer.close()
            return
        back = threading.Thread(target=_pump, args=(outer, inner), name=f"relay {self._name}", daemon=True)
        back.start()
        _pump(inner, outer)
        back.join()
        inner.close()
        outer.close()

    def _connect(self) -> tuple[socket.socket, bytes]:
        """A connection that the proxy made, and what came right behind its answer. Raises OSError; ValueError for an answer that
        is no consent."""
        until_s = time.monotonic() + self._timeout_s
        outer = self._own.connect(*self._proxy, self._timeout_s)
        try:
            if self._tls:
                import ssl

                outer = ssl.create_default_context().wrap_socket(outer, server_hostname=self._proxy[0])
            outer.sendall(self._request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                outer.settimeout(max(0.001, until_s - time.monotonic()))
                piece = outer.recv(4096)
                answer += piece
                if not piece or len(answer) > MAX_HEAD_BYTES:
                    raise ValueError("does not answer CONNECT as a proxy does")
            head, _, early = answer.partition(b"\r\n\r\n")
            version, _, status = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
            if not version.startswith("HTTP/1.") or not status.startswith("2"):
                raise ValueError(f"answers CONNECT {self.authority} with {clean(status, ())[:80] or 'nothing'}")
            outer.settimeout(None)
        except BaseException:
            outer.close()
            raise
        return outer, early


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer"
    if isinstance(error, socket.gaierror):
        return "cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "refuses the connection"
    if isinstance(error, ValueError):
        return str(error)
    return f"cannot be used: {clean(error.strerror or str(error), ()) if isinstance(error, OSError) else type(error).__name__}"


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry on what comes, until it ends. An end goes on as an end; an error ends both directions."""
    piece = bytearray(PIECE_BYTES)
    view = memoryview(piece)
    try:
        while count := source.recv_into(view):
            target.sendall(view[:count])
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
