"""Statements on some connections, each behind the answer of the one before: run inside the namespace of the client by its row.

    mysql_load.py ADDRESS PORT USER KIND REQUESTS CONNECTIONS      KIND: query, execute

What is sent is made once; an answer is read to its last packet, which has a known length. Prints how many were answered.
"""

from __future__ import annotations

import selectors
import sys
from typing import Any

import pymysql

QUERY = b"\x03SELECT id, name FROM bench.item WHERE id = 7"
PREPARE = b"\x16SELECT id, name FROM bench.item WHERE id = ?"
EXECUTE = b"\x17%b\x00\x01\x00\x00\x00\x00\x01\x03\x00\x07\x00\x00\x00"


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def main() -> None:
    address, port, user, kind, requests, connections = sys.argv[1:]
    chosen = selectors.DefaultSelector()
    left = int(requests)
    answered = 0
    logged_in: list[Any] = []  # one that nobody keeps is closed
    for _ in range(int(connections)):
        logged_in.append(pymysql.connect(host=address, port=int(port), user=user, autocommit=None))
        sock: Any = logged_in[-1]._sock
        request = packet(QUERY)
        if kind == "execute":
            sock.sendall(packet(PREPARE))
            request = packet(EXECUTE % sock.recv(65536)[5:9])
        sock.sendall(request)
        size = len(sock.recv(65536))
        chosen.register(sock, selectors.EVENT_READ, [request, size, 0])
        sock.sendall(request)
        left -= 2
        answered += 1
    waiting = int(connections)
    while waiting:
        for key, _ in chosen.select():
            request, size, got = key.data
            sock = key.fileobj
            got += len(sock.recv(65536))
            key.data[2] = got
            if got < size:
                continue
            key.data[2] = 0
            answered += 1
            if left > 0:
                left -= 1
                sock.sendall(request)
            else:
                waiting -= 1
                chosen.unregister(sock)
    print(answered)


if __name__ == "__main__":
    main()
