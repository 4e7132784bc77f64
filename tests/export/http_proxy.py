"""An HTTP proxy of a few lines: CONNECT, and requests with a whole URL (RFC 9110, 9.3.6; RFC 9112, 3.2.2)."""

import base64
import socket
import threading
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class HttpProxy:
    """`heads` has the head of each request as it came, `peers` the ports that the connections came from. With `answer` it refuses
    everything with that."""

    def __init__(self, credentials="", answer=b""):
        self.heads = []
        self.peers = []
        self.credentials = credentials
        self.answer = answer

    @contextmanager
    def serve(self, tls=None):
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listener, tls), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _accept(self, listener, tls):
        with suppress(OSError):
            while True:
                one, peer = listener.accept()
                self.peers.append(peer[1])
                threading.Thread(target=self._serve, args=(one, tls), daemon=True).start()

    def _serve(self, inner, tls):
        with suppress(OSError), inner:
            if tls is not None:
                inner = tls.wrap_socket(inner, server_side=True)
            came = b""
            while b"\r\n\r\n" not in came:
                piece = inner.recv(65536)
                if not piece:
                    return
                came += piece
            head, _, rest = came.partition(b"\r\n\r\n")
            self.heads.append(head.decode())
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            wanted = f"Proxy-Authorization: Basic {base64.b64encode(self.credentials.encode()).decode()}"
            if self.answer or (self.credentials and wanted not in head.decode()):
                inner.sendall(self.answer or b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            with socket.create_connection((parts.hostname, parts.port)) as outer:
                if method == "CONNECT":
                    inner.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
                    outer.sendall(rest)
                else:
                    outer.sendall(came.replace(target.encode(), parts.path.encode(), 1))
                back = threading.Thread(target=_pump, args=(outer, inner), daemon=True)
                back.start()
                _pump(inner, outer)
                back.join()


def _pump(source, target):
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
