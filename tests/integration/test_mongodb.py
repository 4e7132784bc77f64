"""MongoDB between real programs in a namespace: what pymongo publishes of its commands is what is read off the wire.

Needs root, FerretDB (./dev upstreams ferretdb-lab), tcpdump, and pymongo with its compressors. FerretDB compresses nothing: a relay
in front of it does so with the real libraries.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.captured import run_captured
from tests.integration.namespaces import Namespace
from tests.integration.servers import need, program

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

# Runs inside the namespace; prints of each client the local port of its connection, its account, and how long each command took.
WORKLOAD = r"""
import contextlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
import bson
from mongodb_account import SECRET, Account, Compressing, client, ferretdb
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import PyMongoError
told = []
def work(port, name, **settings):
    account = Account()
    c = client(port, account, **settings)
    carts = c.shop[f"carts_{name}"]
    for i in range(120):
        carts.insert_many([{"_id": i * 100 + n, "name": SECRET, "find": {"insert": n}} for n in range(i % 7 + 1)])
        list(carts.find({"_id": {"$gte": i * 50}}, batch_size=i % 9 + 2, limit=40))
        carts.update_many({"_id": i * 100}, {"$set": {"name": SECRET * (i % 50)}})
        carts.find_one({"_id": i}, comment=SECRET)
        with contextlib.suppress(PyMongoError):
            if i % 3 == 0:
                carts.insert_many([{"_id": i * 100}, {"_id": i * 100 + 99}, {"_id": i * 100}], ordered=False)
            else:
                c.shop.command("noSuchCommand", SECRET)
        if i % 10 == 0:
            c.admin.command("ping")
            inserts = [InsertOne({"_id": f"b{i}"}), InsertOne({"_id": f"c{i}"})]
            carts.bulk_write([*inserts, UpdateOne({"_id": 1}, {"$set": {"a": 1}}), DeleteOne({"_id": f"c{i}"})])
            cursor = carts.find({}, batch_size=2)
            next(cursor)
            cursor.close()
    if not settings:  # what is longer than its budget, compressed, is not all read
        carts.insert_one({"_id": "large", "note": "x" * 4_000_000})
        carts.find_one({"_id": "large"})
        carts.insert_many([{"_id": f"many{n}", "note": "y" * 900} for n in range(3000)])
        list(carts.find({}))
    carts.drop()
    pool = next(iter(c._topology._servers.values())).pool
    here = pool.conns[0].conn.sock.getsockname()[1]
    c.close()
    told.append([here, account.lines, account.took_us])
with ferretdb() as port:
    work(port, "plain")
    for compressor in ("snappy", "zlib", "zstd"):
        work(Compressing(port, compressor).port, compressor, compressors=compressor)
    threads = [threading.Thread(target=work, args=(port, f"thread{i}"), kwargs={"appname": "x"}) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(json.dumps(told))
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("ferretdb-lab", "tcpdump")
    for module in ("pymongo", "snappy", "backports.zstd"):
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"NOT RUN: {module} is missing (pip install '.[test]')")
    made = Namespace(f"pr-mongodb-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(program('ferretdb-lab')).parent}:{os.environ['PATH']}")
    printed, collector = run_captured(namespace, tmp_path, [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS)])
    told: list[tuple[int, list[dict[str, Any]], list[int]]] = json.loads(printed)
    assert len(told) == 8
    for port, account, took_us in told:
        assert len(account) > 600
        seen = collector.by_port[port]
        assert seen[0]["operation"] in ("ismaster", "hello") and {one.protocol for one in seen} == {"mongodb"}
        assert [{name: one[name] for name in wanted} for one, wanted in zip(seen[1:], account, strict=True)] == account
        assert "hunter2" not in repr(seen)
        # pymongo's clock starts before a command is sent and stops behind its answer.
        for one, longest_us in zip(seen[1:], took_us, strict=True):
            assert one.end_ns - one.times[0] <= longest_us * 1000 + 1_000_000
