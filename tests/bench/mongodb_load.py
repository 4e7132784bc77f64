"""Finds of a document by its number: run inside the namespaces by its row.

    mongodb_load.py serve ADDRESS PORT                              answers each find with one document
    mongodb_load.py load ADDRESS PORT REQUESTS CONNECTIONS          each behind the answer of the one before

What is said is made once, but for the numbers of the messages: what pymongo 4.20 sends and FerretDB 1.24 answers. `load` prints
how many were answered.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys

import bson

SESSION = {"id": bson.Binary(bytes(16), 4)}
FIND = bson.encode({"find": "item", "filter": {"_id": 7}, "limit": 1, "singleBatch": True, "lsid": SESSION, "$db": "bench"})
FOUND = bson.encode(
    {"cursor": {"firstBatch": [{"_id": 7, "name": "item 7"}], "id": bson.Int64(0), "ns": "bench.item"}, "ok": 1.0}
)


def message(number: int, to: int, document: bytes) -> bytes:
    return struct.pack("<5iB", 21 + len(document), number, to, 2013, 0, 0) + document


def listening(address: str, port: int) -> None:
    chosen = selectors.DefaultSelector()
    listener = socket.create_server((address, port), backlog=64)
    chosen.register(listener, selectors.EVENT_READ)
    size = len(message(0, 0, FIND))
    head, tail = message(1, 0, FOUND)[:8], message(1, 0, FOUND)[12:]
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
            if not asked:
                chosen.unregister(sock)
                sock.close()
                continue
            sock.sendall(b"".join(head + asked[at + 4 : at + 8] + tail for at in range(0, len(asked), size)))


def load(address: str, port: int, requests: int, connections: int) -> int:
    chosen = selectors.DefaultSelector()
    size = len(message(0, 0, FOUND))
    head, tail = message(0, 0, FIND)[:4], message(0, 0, FIND)[8:]
    asked = answered = 0
    for _ in range(min(connections, requests)):
        sock = socket.create_connection((address, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        chosen.register(sock, selectors.EVENT_READ)
        asked += 1
        sock.sendall(head + asked.to_bytes(4, "little") + tail)
    while answered < requests:
        for key, _ in chosen.select():
            sock = key.fileobj  # type: ignore[assignment]  # a socket was registered
            if len(sock.recv(65536)) != size:
                raise RuntimeError("an answer of another size")
            answered += 1
            if asked < requests:
                asked += 1
                sock.sendall(head + asked.to_bytes(4, "little") + tail)
    return answered


def main() -> None:
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        listening(address, int(port))
    else:
        print(load(address, int(port), int(more[0]), int(more[1])))


if __name__ == "__main__":
    main()
