"""Finds of a document by its number: run inside the namespaces by its row.

    mongodb_load.py serve ADDRESS PORT                              answers each find with one document
    mongodb_load.py load ADDRESS PORT REQUESTS CONNECTIONS          each behind the answer of the one before

What is said is made once, but for the numbers of the messages: what pymongo 4.20 sends and FerretDB 1.24 answers. `load` prints
how many were answered.
"""

from __future__ import annotations

import socket
import struct
import sys

import bson
from one_by_one import load, serve

SESSION = {"id": bson.Binary(bytes(16), 4)}
FIND = bson.encode({"find": "item", "filter": {"_id": 7}, "limit": 1, "singleBatch": True, "lsid": SESSION, "$db": "bench"})
FOUND = bson.encode(
    {"cursor": {"firstBatch": [{"_id": 7, "name": "item 7"}], "id": bson.Int64(0), "ns": "bench.item"}, "ok": 1.0}
)


def message(number: int, to: int, document: bytes) -> bytes:
    return struct.pack("<5iB", 21 + len(document), number, to, 2013, 0, 0) + document


def answer(_: socket.socket, asked: bytes) -> bytes:
    size = len(message(0, 0, FIND))
    head, tail = message(1, 0, FOUND)[:8], message(1, 0, FOUND)[12:]
    return b"".join(head + asked[at + 4 : at + 8] + tail for at in range(0, len(asked), size))


def ask(number: int) -> bytes:
    return message(number, 0, FIND)


def main() -> None:
    what, address, port, *more = sys.argv[1:]
    if what == "serve":
        serve(address, int(port), answer)
    else:
        print(load(address, int(port), int(more[0]), int(more[1]), ask, len(message(0, 0, FOUND))))


if __name__ == "__main__":
    main()
