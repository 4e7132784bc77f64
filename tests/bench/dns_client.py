"""A DNS client that asks each question from a port of its own: run by `load`, not by hand.

    dns_client.py ADDRESS PORT REQUESTS RATE

RATE is questions a second, 0 as fast as the answers come, 16 at a time. Prints one line of JSON when the last answer is there.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

WINDOW = 16
PATIENCE_S = 2.0
# [id][recursion desired][1 question] www.bench.test A IN      RFC 1035, 4.1
QUESTION = b"\x01\0\0\x01\0\0\0\0\0\0\x03www\x05bench\x04test\0\0\x01\0\x01"


def main() -> None:
    address, port, requests, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, bytes]] = {}
    sent = answered = refused = size = 0
    start_ns = time.monotonic_ns()
    while answered < requests:
        now_ns = time.monotonic_ns()
        while sent < requests and len(waiting) < WINDOW and (not rate or now_ns - start_ns >= sent * 1_000_000_000 // rate):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.connect((address, port))
            identity = (sent & 0xFFFF).to_bytes(2, "big")
            one.send(identity + QUESTION)
            poll.register(one.fileno(), select.EPOLLIN)
            waiting[one.fileno()] = (one, identity)
            sent += 1
        pause_s = PATIENCE_S
        if rate and sent < requests and len(waiting) < WINDOW:
            pause_s = max(0.0, (start_ns + sent * 1_000_000_000 // rate - time.monotonic_ns()) / 1e9)
        ready = poll.poll(pause_s)
        if not ready and pause_s == PATIENCE_S:
            sys.exit(f"no answer to {len(waiting)} questions")
        for descriptor, _ in ready:
            one, identity = waiting.pop(descriptor)
            answer = one.recv(4096)
            one.close()  # takes it out of the poll as well
            answered += 1
            size += len(answer)
            refused += answer[:2] != identity or answer[3] & 0xF != 0 or answer[6:8] == b"\0\0"
    elapsed_ns = time.monotonic_ns() - start_ns
    print(json.dumps({"requests": sent, "responses": answered, "refused": refused, "bytes": size, "elapsed_ns": elapsed_ns}))
    if refused:
        sys.exit(f"{refused} answers are not to what was asked")


if __name__ == "__main__":
    main()
