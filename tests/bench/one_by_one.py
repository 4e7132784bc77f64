"""A server and a client of many connections, each with one question under way: what the programs that put load on share."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable


def serve(address: str, port: int, answer: Callable[[socket.socket, bytes], bytes]) -> None:
    """Answer whatever comes, for ever. Questions are small: each comes whole, or several do at once."""
    chosen = selectors.DefaultSelector()
    listener = socket.create_server((address, port), backlog=64)
    chosen.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in chosen.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chosen.register(sock, selectors.EVENT_READ)
                continue
            asked = sock.recv(65536)
            if asked:
                sock.sendall(answer(sock, asked))
            else:
                chosen.unregister(sock)
                sock.close()


def load(
    address: str,
    port: int,
    requests: int,
    connections: int,
    ask: Callable[[int], bytes],
    size: int,
    begin: Callable[[socket.socket], None] = lambda sock: None,
) -> int:
    """Ask so many questions, the first being number 1, each behind the answer of the one before on its connection; `begin` is what
    connections begin with. Returns how many were answered. Raises RuntimeError where an answer does not have `size` bytes."""
    chosen = selectors.DefaultSelector()
    asked = answered = 0
    for _ in range(min(connections, requests)):
        sock = socket.create_connection((address, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin(sock)
        chosen.register(sock, selectors.EVENT_READ)
        asked += 1
        sock.sendall(ask(asked))
    while answered < requests:
        for key, _ in chosen.select():
            sock = key.fileobj  # type: ignore[assignment]  # a socket was registered
            if len(sock.recv(65536)) != size:
                raise RuntimeError("an answer of another size")
            answered += 1
            if asked < requests:
                asked += 1
                sock.sendall(ask(asked))
    return answered
