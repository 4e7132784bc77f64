"""Records the vectors of MongoDB: FerretDB or mongo-java-server, pymongo, and a socket that says what no client does.

    python tests/vectors/record_mongodb.py [name ...]        as record.py

Needs ferretdb-lab (`./dev upstreams ferretdb-lab`), pymongo with its compressors, and for its scenarios Java with mongo-java-server
(`mongodb_account.JAVA_SERVER`) and pymongo 4.10. Expected is what pymongo's own command monitoring says (`mongodb_account.py`); the
first line of each connection is its hello.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import pymongo
from mongodb_account import SECRET, Account, Compressing, Expected, Heartbeats, client, ferretdb, java_server, line
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import OperationFailure, PyMongoError
from record import Recording, Relay, write

SCENARIOS: dict[str, Callable[[], None]] = {}
PARENT = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"


def scenario(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        SCENARIOS[name] = function
        return function

    return keep


def about(server: str, said: str = "") -> dict[str, str]:
    return {"folder": "mongodb", "protocol": "mongodb", "server": server, "client": f"pymongo {pymongo.version}{said}"}


def hello(name: str) -> dict[str, Any]:
    return line(name, None, "admin")


def pooled(relay: Relay, account: Account) -> tuple[Recording, Expected]:
    """The connection on which the commands went, and what they were."""
    time.sleep(0.3)
    busy = max(relay.recordings, key=lambda one: len(one.events))
    assert busy.done.wait(5)
    first = next(piece for _, _, piece in busy.events if piece)
    return busy, [hello("ismaster" if b"\x10ismaster\0" in first else "hello"), *account.lines]


def workload(c: Any) -> None:
    """What an application does, and its mistakes."""
    shop = c.shop
    carts = shop.carts
    carts.insert_one({"_id": 1, "name": SECRET, "find": {"insert": "users", "nested": [{"delete": 1}] * 3}})
    carts.insert_many([{"_id": 2 + i, "n": i, "note": "x" * 40} for i in range(7)])
    list(carts.find({"n": {"$gt": 1}}, batch_size=2))
    carts.find_one({"_id": 99})
    carts.update_many({"n": 1}, {"$set": {"name": SECRET}})
    carts.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})
    carts.count_documents({})
    list(carts.aggregate([{"$match": {"n": 2}}]))
    carts.delete_one({"_id": 2})
    carts.create_index("n")
    shop.list_collection_names()
    shop.command("ping")
    for wrong in (
        lambda: carts.insert_one({"_id": 1}),
        lambda: carts.insert_many([{"_id": 100}, {"_id": 1}, {"_id": 1}], ordered=False),
        lambda: shop.command("noSuchCommand"),
        lambda: list(carts.find({"$noSuchOperator": SECRET})),
        lambda: carts.update_one({"_id": 1}, {"$noSuchOperator": 1}),
    ):
        with contextlib.suppress(PyMongoError):
            wrong()
    carts.drop()


def with_pymongo(name: str, server: str, port: int, does: Callable[[Any], None], said: str = "", **settings: Any) -> None:
    relay = Relay(port)
    account = Account()
    c = client(relay.port, account, **settings)
    does(c)
    c.close()
    recording, expected = pooled(relay, account)
    write(name, about(server, said), recording, expected)


FERRETDB = "FerretDB 1.24.0"


@scenario("ferretdb-pymongo")
def ferretdb_pymongo() -> None:
    with ferretdb() as port:
        with_pymongo("ferretdb-pymongo", FERRETDB, port, workload)


@scenario("ferretdb-bulk")
def ferretdb_bulk() -> None:
    def bulk(c: Any) -> None:
        carts = c.shop.carts
        updates = [UpdateOne({"_id": 1}, {"$set": {"a": 1}})] * 2
        carts.bulk_write([InsertOne({"_id": i}) for i in range(3)] + updates + [DeleteOne({"_id": 2})])
        cursor = carts.find({}, batch_size=2)
        next(cursor)
        cursor.close()

    with ferretdb() as port:
        with_pymongo("ferretdb-bulk", FERRETDB, port, bulk)


@scenario("ferretdb-large")
def ferretdb_large() -> None:
    """Messages that are read in pieces, both ways."""

    def large(c: Any) -> None:
        carts = c.shop.carts
        carts.insert_many([{"_id": i, "note": "x" * 700} for i in range(24)])
        list(carts.find({}))

    with ferretdb() as port:
        with_pymongo("ferretdb-large", FERRETDB, port, large)


@scenario("ferretdb-comment")
def ferretdb_comment() -> None:
    """A trace context in `comment`, in each form."""

    def comments(c: Any) -> None:
        carts = c.shop.carts
        carts.insert_one({"_id": 1}, comment=PARENT)
        carts.find_one({"_id": 1}, comment=f"traceparent='{PARENT}'")
        carts.find_one({"_id": 1}, comment="nothing of the kind")

    with ferretdb() as port:
        with_pymongo("ferretdb-comment", FERRETDB, port, comments)


@scenario("ferretdb-login")
def ferretdb_login() -> None:
    """Somebody proves who they are, which pymongo publishes without a word of it; somebody else does so in an unknown way."""
    with ferretdb() as port:
        for name, mechanism, database in (("login", "PLAIN", "$external"), ("refused", "SCRAM-SHA-256", "admin")):
            relay = Relay(port)
            account = Account()
            c = client(relay.port, account, username="lab", password=SECRET, authMechanism=mechanism)
            start = line("saslStart", None, database)
            try:
                c.shop.command("ping")
            except OperationFailure as error:
                start.update(status=str(error.code), outcome="error")
            c.close()
            recording, expected = pooled(relay, account)
            expected[1:] = [start, *(one for one in account.lines if one["operation"] != "saslStart")]
            write(f"ferretdb-{name}", about(FERRETDB), recording, expected)


@scenario("ferretdb-compressed")
def ferretdb_compressed() -> None:
    for compressor in ("snappy", "zlib", "zstd"):
        with ferretdb() as port:
            relay = Compressing(port, compressor)
            server = f"{FERRETDB} behind a relay that compresses"
            with_pymongo(f"ferretdb-{compressor}", server, relay.port, workload, f", {compressor}", compressors=compressor)


@scenario("ferretdb-monitor")
def ferretdb_monitor() -> None:
    """The connection that watches the server: a hello as often as is asked for, each of which pymongo publishes."""
    with ferretdb() as port:
        relay = Relay(port)
        beats = Heartbeats()
        c = client(relay.port, None, heartbeatFrequencyMS=500, event_listeners=[beats])
        c.admin.command("ping")
        time.sleep(2.3)
        c.close()
        time.sleep(0.3)
        watched = next(one for one in relay.recordings if not any(b"ping" in (piece or b"") for _, _, piece in one.events))
        lines = [hello("hello") for _ in range(beats.count)]
        lines[0] = hello("ismaster")
        write("ferretdb-monitor", about(FERRETDB), watched, lines)


@scenario("java-pymongo")
def java_pymongo() -> None:
    with java_server() as port:
        with_pymongo("java-pymongo", "mongo-java-server 1.46.0", port, workload)


def main() -> None:
    words = sys.argv[1:] or [""]
    for name, function in SCENARIOS.items():
        if any(word in name for word in words):
            function()


if __name__ == "__main__":
    main()
