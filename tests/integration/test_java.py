"""Java's clients between real programs in a namespace: Connector/J, pgjdbc and RabbitMQ's own; what they say is what is read.

Needs root, tcpdump, Java, MariaDB, PostgreSQL and RabbitMQ, and the clients' jars, which Maven brings once.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.captured import run_captured
from tests.integration.namespaces import Namespace
from tests.integration.servers import need
from tests.l7.harness import Seen
from tests.vectors import amqp_broker

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pcap-receiver-upstreams" / "java-clients"
JARS = {
    "com.mysql:mysql-connector-j": "9.7.0",
    "org.postgresql:postgresql": "42.7.13",
    "com.rabbitmq:amqp-client": "5.37.0",
}
ROWS = "db.response.returned_rows"

# Runs a server inside the namespace, and the client with each of the settings.
WORKLOAD = r"""
import contextlib, json, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
kind, lib, source = sys.argv[2:5]
@contextlib.contextmanager
def server():
    if kind == "amqp":
        from amqp_broker import SECRET, broker
        from record import free_port
        port = free_port()
        with broker(port, free_port(), free_port()):
            yield port, SECRET
    elif kind == "postgresql":
        from record_postgresql import SECRET, server
        with server() as port:
            yield port, SECRET
    else:
        import mysql_account
        with getattr(mysql_account, kind)() as port:
            yield port, mysql_account.SECRET
what = {"mariadb": "mysql", "mysql9": "mysql"}.get(kind, kind)
told = []
with server() as (port, secret):
    for settings in sys.argv[5:]:
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", lib + "/*", source, what, str(port), secret, settings]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout[-500:] + done.stderr[-3000:])
        told.append([json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")])
print(json.dumps(told))
"""


def jars() -> Path:
    """Where the clients' jars are; Maven brings them once."""
    lib = HOME / "lib"
    if not lib.is_dir():
        if shutil.which("mvn") is None:
            pytest.skip("NOT RUN: Maven is missing, which brings Java's clients (Debian package maven)")
        HOME.mkdir(parents=True, exist_ok=True)
        wanted = "".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
            for (group, artifact), version in ((name.split(":"), version) for name, version in JARS.items())
        )
        head = '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>lab</groupId>'
        (HOME / "pom.xml").write_text(
            f"{head}<artifactId>lab</artifactId><version>1</version><dependencies>{wanted}</dependencies></project>"
        )
        command = ["mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=lib.part"]
        subprocess.run(command, cwd=HOME, check=True, capture_output=True, timeout=300)
        (HOME / "lib.part").rename(lib)
    return lib


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("tcpdump")
    if shutil.which("java") is None:
        pytest.skip("NOT RUN: Java is missing (Debian package openjdk-17-jdk-headless)")
    made = Namespace(f"pr-java-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


def run(namespace: Namespace, folder: Path, kind: str, *settings: str) -> Iterator[tuple[list[list[Any]], list[Seen]]]:
    """Each run's account, and what was read of its connection."""
    command = [sys.executable, "-W", "ignore", "-c", WORKLOAD, os.fspath(VECTORS), kind, os.fspath(jars())]
    printed, collector = run_captured(namespace, folder, [*command, os.fspath(HERE / "JavaClients.java"), *settings])
    told = json.loads(printed)
    seen = sorted(collector.by_port.values(), key=lambda each: each[0].times[0] if each else 0)
    mark = "publish" if kind == "amqp" else "java_items"
    of_java = [each for each in seen if any(mark in str(one["operation"]) + str(one["summary"]) for one in each)]
    assert len(told) == len(of_java) == len(settings)
    assert "hunter2" not in repr(of_java)
    yield from zip(told, of_java, strict=True)


def check_database(account: list[list[Any]], seen: list[Seen]) -> None:
    """A statement has its roundtrip; one that is fetched piece by piece has several, whose rows add up."""
    read = [one for one in seen if "java_" in str(one["summary"])]
    fetched = None
    if account[-1][0].startswith("FETCHED"):
        fetched = account.pop()[2]
    plain, pieces = read[: len(account)], read[len(account) :]
    assert [[one["summary"], one["status"]] for one in plain] == [entry[:2] for entry in account]
    for one, (_, status, rows) in zip(plain, account, strict=True):
        assert one.outcome == ("ok" if status is None else "error")
        assert rows is None or one[ROWS] == rows
    if fetched is None:
        assert pieces == []
        return
    behind = seen[seen.index(pieces[0]) :]
    assert sum(one[ROWS] or 0 for one in behind) == fetched
    assert len([one for one in behind if one[ROWS] == 10]) > 3


@pytest.mark.parametrize("kind", ["mariadb", "mysql9"])
def test_connector_j(kind: str, namespace: Namespace, tmp_path: Path) -> None:
    if kind == "mysql9" and not Path(os.environ.get("MYSQL_ROOT", "/opt/sid"), "usr/sbin/mysqld").exists():
        pytest.skip("NOT RUN: MySQL 9 is missing (docs/protocols/mysql.md says how it is made)")
    if kind == "mariadb":
        need("mariadbd")
    settings = (
        "useServerPrepStmts=false",
        "useServerPrepStmts=true&cachePrepStmts=true",
        "rewriteBatchedStatements=true",
        "useServerPrepStmts=true&useCursorFetch=true",
    )
    for account, seen in run(namespace, tmp_path, kind, *settings):
        check_database(account, seen)


def test_pgjdbc(namespace: Namespace, tmp_path: Path) -> None:
    need("pgbench")
    settings = ("preferQueryMode=simple", "preferQueryMode=extended", "prepareThreshold=1")
    for account, seen in run(namespace, tmp_path, "postgresql", *settings):
        check_database(account, seen)


def test_rabbitmq_s_client(namespace: Namespace, tmp_path: Path) -> None:
    missing = amqp_broker.why_not()
    if missing is not None:
        pytest.skip(f"NOT RUN: {missing} is missing")
    for account, seen in run(namespace, tmp_path, "amqp", ""):
        read = [one for one in seen if one["operation"] in ("publish", "consume")]
        told = [[one["operation"], one["error_type"], None] for one in read]
        # Confirms and deliveries pass one another.
        assert sorted(told, key=str) == sorted(account, key=str)
        assert {one.outcome for one in read} == {"ok", "error"}
        assert [one["target"] for one in read] == ["java"] * 400
