"""MySQL and MariaDB between real programs in a namespace: what the clients say they did is what is read off the wire.

Needs root, MariaDB (Debian package mariadb-server-core), tcpdump, PyMySQL and mysql-connector-python; MySQL 9 out of a root of its
own, which docs/protocols/mysql.md says how to make (`MYSQL_ROOT`, /opt/sid if that is not set).
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
from tests.integration.servers import need

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
MYSQLD = Path(os.environ.get("MYSQL_ROOT", "/opt/sid"), "usr/sbin/mysqld")

# Runs inside the namespace; prints the local port and the account of each connection.
WORKLOAD = r"""
import contextlib, json, sys
sys.path.insert(0, sys.argv[1])
import mysql.connector, pymysql
from mysql_account import AFFECTED, ROWS, SECRET, USER, Connector, PyMySql, line, mariadb, mysql9
told = []
def with_pymysql(port):
    c = PyMySql(port=port, password=SECRET, database="shop", autocommit=True)
    here = c._sock.getsockname()[1]
    c.query("CREATE TABLE IF NOT EXISTS load_a (id INT PRIMARY KEY AUTO_INCREMENT, name LONGTEXT)")
    for i in range(300):
        with contextlib.suppress(pymysql.err.MySQLError):
            c.query("INSERT INTO load_a (name) VALUES " + ", ".join(f"('{SECRET} {n}')" for n in range(i % 7 + 1)))
            c.query(f"SELECT * FROM load_a WHERE id > {i} LIMIT {i % 50}")
            c.query(f"UPDATE load_a SET name = '' WHERE id = {i}")
            c.query("SELECT nothing" if i % 5 == 0 else "SELECT 1")
        if i % 10 == 0:
            c.ping()
    c.query("INSERT INTO load_a (name) VALUES ('" + "x" * 18_000_000 + "')")
    c.query("SELECT name FROM load_a ORDER BY id DESC LIMIT 1")
    c.query("SELECT a.id FROM load_a a JOIN load_a b LIMIT 200000")
    c.query("DROP TABLE load_a")
    c.close()
    told.append([here, c.account])
def with_connector(port, **settings):
    c = Connector(port=port, password=SECRET, database="shop", **settings)
    here = c._socket.sock.getsockname()[1]
    cursor = c.cursor(prepared=True)
    cursor.execute("CREATE TEMPORARY TABLE load_b (id INT PRIMARY KEY AUTO_INCREMENT, name LONGTEXT)")
    for i in range(200):
        cursor.execute("INSERT INTO load_b (name) VALUES (?)", (SECRET * (i % 40),))
        c.account[-1][AFFECTED] = cursor.rowcount
        cursor.execute("SELECT id, name FROM load_b WHERE id <= ?", (i,))
        cursor.fetchall()
        if i % 9 == 0:
            with contextlib.suppress(mysql.connector.Error):
                cursor.execute("SELECT nothing FROM load_b WHERE id = ?", (i,))
    cursor.close()
    c.cmd_ping()
    c.close()
    told.append([here, c.account])
servers = [mariadb("--max-allowed-packet=64M")]
if sys.argv[2] == "mysql":
    servers = [mysql9()]
for server in servers:
    with server as port:
        with_pymysql(port)
        with_connector(port)
        with_connector(port, compress=True)
print(json.dumps(told))
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    need("mariadbd", "mariadb-install-db", "tcpdump")
    for module in ("pymysql", "mysql.connector", "cryptography"):
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            pytest.skip(f"NOT RUN: {module} is missing (pip install '.[test]')")
    made = Namespace(f"pr-mysql-{os.getpid()}")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("server", ["mariadb", "mysql"])
def test_the_clients_record_is_what_is_read(namespace: Namespace, tmp_path: Path, server: str) -> None:
    if server == "mysql" and not MYSQLD.exists():
        pytest.skip(f"NOT RUN: {MYSQLD} is missing (debootstrap --include=mysql-server-core sid; docs/protocols/mysql.md)")
    printed, collector = run_captured(namespace, tmp_path, [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS), server])
    told: list[tuple[int, list[dict[str, Any]]]] = json.loads(printed)
    for port, account in told:
        assert len(account) > 800
        seen = collector.by_port[port]
        assert [{name: one[name] for name in wanted} for one, wanted in zip(seen, account, strict=True)] == account
        assert {one.protocol for one in seen} == {server}
        assert "hunter2" not in repr(seen)
