"""Records that are produced one by one: run inside the namespaces by its row.

    kafka_load.py serve ADDRESS PORT                              answers each request
    kafka_load.py load ADDRESS PORT REQUESTS CONNECTIONS          each behind the answer of the one before

What is said is what kafka-python and a broker said in a vector, but for the correlation ids. `load` prints how many were answered.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from one_by_one import load, serve

VECTOR = Path(__file__).parent.parent / "vectors" / "kafka" / "kafka-python-produce-1.jsonl"
PRODUCE = b"\0\0"


def said() -> tuple[bytes, bytes]:
    """A request to produce, and its answer."""
    events = [json.loads(line) for line in VECTOR.read_text(encoding="utf-8").splitlines()[1:]]
    pieces = [(event["to"], event["text"].encode("latin-1") + event["text"][-1:].encode("latin-1") * event.get("times", 0))
              for event in events if "text" in event]  # fmt: skip
    asked = next(piece for to, piece in pieces if to == "server" and piece[4:6] == PRODUCE)
    answered = next(piece for to, piece in pieces if to == "client" and piece[4:8] == asked[8:12])
    return asked, answered


ASKED, ANSWERED = said()


def answer(_: socket.socket, asked: bytes) -> bytes:
    return b"".join(ANSWERED[:4] + asked[at + 8 : at + 12] + ANSWERED[8:] for at in range(0, len(asked), len(ASKED)))


def ask(number: int) -> bytes:
    return ASKED[:8] + number.to_bytes(4, "big") + ASKED[12:]


def main() -> None:
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        serve(address, int(port), answer)
    else:
        print(load(address, int(port), int(more[0]), int(more[1]), ask, len(ANSWERED)))


if __name__ == "__main__":
    main()
