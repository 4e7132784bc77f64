"""Messages of 200 bytes that are published and confirmed one by one: run inside the namespaces by its row.

    amqp_load.py serve ADDRESS PORT                              confirms each message
    amqp_load.py load ADDRESS PORT REQUESTS CONNECTIONS          each behind the confirm of the one before

What is said is made once, by pika, but for the numbers of the confirms. Each connection begins with two calls, which open a channel
and ask for confirms; they count among REQUESTS. `load` prints how many were answered.
"""

from __future__ import annotations

import socket
import sys

import pika
from one_by_one import load, serve
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


tags: dict[socket.socket, int] = {}


def answer(sock: socket.socket, asked: bytes) -> bytes:
    if asked == HELLO:
        tags[sock] = 0
        return WELCOME
    first = tags[sock] + 1
    tags[sock] += len(asked) // len(PUBLISH)
    return b"".join(ACK[:TAG] + tag.to_bytes(8, "big") + ACK[TAG + 8 :] for tag in range(first, tags[sock] + 1))


def begin(sock: socket.socket) -> None:
    sock.sendall(HELLO)
    if sock.recv(65536) != WELCOME:
        raise RuntimeError("an answer of another size")


def main() -> None:
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        serve(address, int(port), answer)
    else:
        requests, connections = int(more[0]), int(more[1])
        calls = CALLS * connections
        print(calls + load(address, int(port), requests - calls, connections, lambda _: PUBLISH, len(ACK), begin))


if __name__ == "__main__":
    main()
