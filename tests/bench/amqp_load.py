"""Messages of 200 bytes that are published and confirmed one by one: run inside the namespaces by its row.

    amqp_load.py serve ADDRESS PORT                              confirms each message
    amqp_load.py load ADDRESS PORT REQUESTS CONNECTIONS          each behind the confirm of the one before

What is said is made once, by pika, but for the numbers of the confirms. Each connection begins with two calls, which open a channel
and ask for confirms; they count among REQUESTS. `load` prints how many were answered.
"""

from __future__ import annotations

import selectors
import socket
import sys

import pika
from pika import frame, spec


def method(one: object) -> bytes:
    return bytes(frame.Method(1, one).marshal())


BODY = b"x" * 200
HELLO = b"AMQP\0\0\x09\x01" + method(spec.Channel.Open()) + method(spec.Confirm.Select())
WELCOME = method(spec.Channel.OpenOk()) + method(spec.Confirm.SelectOk())
PUBLISH = (
    method(spec.Basic.Publish(exchange="shop", routing_key="order.paid"))
    + frame.Header(1, len(BODY), pika.BasicProperties(content_type="application/json", delivery_mode=2)).marshal()
    + frame.Body(1, BODY).marshal()
)
ACK = method(spec.Basic.Ack(1))
TAG = ACK.index(b"\0\x3c\0\x50") + 4
CALLS = 2


def listening(address: str, port: int) -> None:
    chosen = selectors.DefaultSelector()
    listener = socket.create_server((address, port), backlog=64)
    chosen.register(listener, selectors.EVENT_READ)
    tags: dict[socket.socket, int] = {}
    while True:
        for key, _ in chosen.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chosen.register(sock, selectors.EVENT_READ)
                tags[sock] = 0
                continue
            asked = sock.recv(65536)
            if not asked:
                chosen.unregister(sock)
                del tags[sock]
                sock.close()
            elif asked == HELLO:
                sock.sendall(WELCOME)
            else:
                for _ in range(len(asked) // len(PUBLISH)):
                    tags[sock] += 1
                    sock.sendall(ACK[:TAG] + tags[sock].to_bytes(8, "big") + ACK[TAG + 8 :])


def load(address: str, port: int, requests: int, connections: int) -> int:
    chosen = selectors.DefaultSelector()
    for _ in range(connections):
        sock = socket.create_connection((address, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(HELLO)
        if sock.recv(65536) != WELCOME:
            raise RuntimeError("an answer of another size")
        chosen.register(sock, selectors.EVENT_READ)
    asked = answered = CALLS * connections
    for key in list(chosen.get_map().values()):
        asked += 1
        key.fileobj.sendall(PUBLISH)  # type: ignore[union-attr]  # a socket was registered
    while answered < requests:
        for key, _ in chosen.select():
            sock = key.fileobj  # type: ignore[assignment]  # as above
            if len(sock.recv(65536)) != len(ACK):
                raise RuntimeError("an answer of another size")
            answered += 1
            if asked < requests:
                asked += 1
                sock.sendall(PUBLISH)
    return answered


def main() -> None:
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        listening(address, int(port))
    else:
        print(load(address, int(port), int(more[0]), int(more[1])))


if __name__ == "__main__":
    main()
