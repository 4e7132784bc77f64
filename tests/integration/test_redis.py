"""Redis between real programs in namespaces: what the clients say they did is what is read off the wire.

Needs root, redis-server, redis-cli, redis-benchmark (Debian packages redis-server, redis-tools), tcpdump, redis-py and hiredis.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.captured import run_captured
from tests.integration.namespaces import APPLICATION, Namespace
from tests.integration.servers import Program, Site, need, wait_for

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
PORT = 6379
SERVER = ["redis-server", "--port", str(PORT), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--appendonly", "no"]

# Runs inside the namespace, once for each way of reading replies; prints the local port and the account of each connection.
WORKLOAD = r"""
import contextlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
import redis
from redis._parsers import _HiredisParser, _RESP2Parser, _RESP3Parser
from redis_account import Account, client
told = []
def work(protocol, parser, database):
    account = Account()
    r = client(6379, account, protocol=protocol, parser_class=parser, db=database)
    connection = r.connection_pool.get_connection()
    port = connection._sock.getsockname()[1]
    r.connection_pool.release(connection)
    key = f"k{protocol}{parser.__name__}"
    for i in range(40):
        r.set(f"{key}:{i}", b"v\r\n" * i)
        assert r.get(f"{key}:{i}") == b"v\r\n" * i
    r.set(key, b"x" * 3_000_000)
    assert len(r.get(key)) == 3_000_000
    r.rpush(key + "l", *range(5000))
    assert len(r.lrange(key + "l", 0, -1)) == 5000
    for wrong in (lambda: r.lpush(key, 1), lambda: r.execute_command("NOSUCH.COMMAND", 1), lambda: r.evalsha("0" * 40, 0)):
        with contextlib.suppress(redis.ResponseError):
            wrong()
    with r.pipeline(transaction=False) as p:
        for i in range(5000):  # more than receivers.pcap.limits.pending_requests, before the first reply
            p.incr(key + "n")
            if i % 10 == 0:
                p.lpush(key, i)
        p.execute(raise_on_error=False)
    for _ in range(5):
        with r.pipeline(transaction=True) as p:
            p.incr(key + "n").get(key + "n").lpush(key, 1)
            p.execute(raise_on_error=False)
    r.blpop([key + "none"], timeout=0.2)
    r.execute_command("COMMAND DOCS")
    r.connection_pool.disconnect()
    told.append([port, account.expected()])
ways = ((2, _RESP2Parser, 0), (3, _RESP3Parser, 5), (3, _HiredisParser, 0), (2, _HiredisParser, 9))
threads = [threading.Thread(target=work, args=one) for one in ways]
for one in threads: one.start()
for one in threads: one.join()
assert len(told) == 4
print(json.dumps(told))
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("redis-server", "redis-cli", "redis-benchmark", "tcpdump")
    made = Namespace(f"pr-redis-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


def start(namespace: Namespace, folder: Path, *argv: str) -> subprocess.Popen[bytes]:
    with (folder / f"{argv[0]}.log").open("wb") as output:
        return subprocess.Popen(namespace.command(argv), stdout=output, stderr=output, cwd=folder)


def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path) -> None:
    server = start(namespace, tmp_path, *SERVER)
    try:
        wait_for(lambda: "PONG" in namespace.run("redis-cli", "ping", check=False).stdout, "redis-server")
        command = [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS)]
        printed, collector = run_captured(namespace, tmp_path, command, f"port {PORT}")
    finally:
        server.terminate()
        server.wait(20)
    told: list[tuple[int, list[dict[str, Any]]]] = json.loads(printed)
    assert collector.by_port.keys() == {port for port, _ in told}
    for port, account in told:
        assert len(account) > 5100
        read = collector.by_port[port]
        assert [{"operation": one["operation"], "status": one["status"], "outcome": one.outcome} for one in read] == account


def test_pipelines_at_full_speed_are_counted_one_by_one(site: Site, tmp_path: Path) -> None:
    """redis-benchmark -P 16: its count is ours, live."""
    need("redis-server", "redis-cli", "redis-benchmark", "tcpdump")
    folder = tmp_path / "redis"
    folder.mkdir()
    server = Program(SERVER, site.application, folder)
    site.programs.append(server)
    server.start()

    def calls() -> int:
        """Commands that the server has carried out, by its own count; INFO counts itself."""
        said = site.application.run("redis-cli", "info", "commandstats", check=False).stdout
        return sum(int(n) for name, n in re.findall(r"cmdstat_(\w+):calls=(\d+)", said) if name in ("set", "get"))

    wait_for(lambda: "PONG" in site.application.run("redis-cli", "ping", check=False).stdout, "redis-server")
    # A ring that holds the whole load: what is tested is the count, not whether a busy machine gives us a turn in time.
    receiver = site.receiver("receivers.pcap.interfaces=[eth0]", "receivers.pcap.buffer_size=128MiB")
    count = 100_000
    site.client.run(
        "redis-benchmark", "-h", APPLICATION, "-P", "16", "-c", "8", "-q", "-n", str(count), "-t", "set,get", timeout_s=120
    )

    def seen() -> int:
        return receiver.own("roundtrips_total", protocol="redis", outcome="ok")

    def at_rest() -> bool:
        before = seen()
        time.sleep(1.5)  # libpcap hands a block over up to its timeout late
        return before == seen() > 0

    wait_for(at_rest, "the count", timeout_s=60)
    assert calls() == 2 * count
    # redis-benchmark asks for two settings first, each by CONFIG GET.
    assert seen() == 2 * count + 2
    assert receiver.packets_dropped() == 0
    assert receiver.own("roundtrips_total", protocol="redis") == 2 * count + 2
