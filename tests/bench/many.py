"""Connections that do nothing: `python many.py accept|connect ADDRESS PORT [COUNT]`, until it is ended.

Says `ready` once it listens, or has connected. 20 000 is all that some machines let a process have open.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys

PATIENCE_S = 20.0


def accept(address: str, port: int) -> None:
    """Take what comes, and keep it."""
    held = []
    with socket.create_server((address, port), backlog=20_000) as listener:
        print("ready", flush=True)
        while True:
            held.append(listener.accept()[0])


def connect(address: str, port: int, count: int) -> None:
    held = [socket.create_connection((address, port), timeout=PATIENCE_S) for _ in range(count)]
    print("ready", flush=True)
    while held:
        signal.pause()


def main() -> None:
    kind, address, *numbers = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if kind == "accept":
        accept(address, int(numbers[0]))
    else:
        connect(address, int(numbers[0]), int(numbers[1]))


if __name__ == "__main__":
    main()
