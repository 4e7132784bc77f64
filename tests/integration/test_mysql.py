"""MySQL and MariaDB between real programs in a namespace: what the clients say they did is what is read off the wire.

Needs root, MariaDB (Debian package mariadb-server-core), tcpdump, PyMySQL, mysql-connector-python and, beside a Python of the
distribution, mysqlclient (python3-mysqldb); MySQL 9 out of a root of its own, which docs/protocols/mysql.md says how to make
(`MYSQL_ROOT`, /opt/sid if that is not set).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
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

# The client of the distribution's Python, over MariaDB's C library: its account, and which of its commands are the library's own.
MYSQLCLIENT = r"""
import json, sys, MySQLdb, MySQLdb.cursors
from MySQLdb.constants import CLIENT
port, user, secret, ROWS, AFFECTED = int(sys.argv[1]), *sys.argv[2:]
where = dict(host="127.0.0.1", port=port, user=user)
def plain(**more):
    return {"status": None, "outcome": "ok", **more}
try:
    MySQLdb.connect(passwd="wrong", **where)
    assert False
except MySQLdb.Error as error:
    refused = error.args[0]
c = MySQLdb.connect(passwd=secret, db="shop", client_flag=CLIENT.MULTI_STATEMENTS, charset="utf8mb4", **where)
# What `connect` sends by itself: its login, and that nothing is committed by itself.
account = [plain(operation="LOGIN"), plain()]
def run(text, values=None, cursor=None):
    one = plain()
    account.append(one)
    cursor = cursor or c.cursor()
    try:
        count = cursor.execute(text, values)
        while True:
            if cursor.description is not None:
                one[ROWS] = one.get(ROWS, 0) + len(cursor.fetchall())
            else:
                one[AFFECTED] = one.get(AFFECTED, 0) + count
            if cursor.nextset() is None:
                break
            count = cursor.rowcount
    except MySQLdb.Error as error:
        one.update(status=str(error.args[0]), outcome="error")
        one.pop(AFFECTED, None)
run("CREATE TABLE load_c (id INT PRIMARY KEY AUTO_INCREMENT, name LONGTEXT)")
for i in range(300):
    run("INSERT INTO load_c (name) VALUES (%s), (%s)", (secret, "it's" * i))
    run("SELECT * FROM load_c WHERE id <= %s", (i,), c.cursor(MySQLdb.cursors.SSCursor) if i % 2 else None)
    if i % 7 == 0:
        run("SELECT nothing")
        run("INSERT INTO load_c VALUES (1, 'twice')")
        run("SELECT 1; UPDATE load_c SET name = '' WHERE id = 3; SELECT 2")
        c.ping()
        account.append(plain(operation="PING"))
        c.commit()
        account.append(plain())
run("SELECT repeat('x', 18000000)")
run("CREATE PROCEDURE twice_c() BEGIN SELECT 1; SELECT 2, 3; END")
run("CALL twice_c()")
run("DROP TABLE load_c; DROP PROCEDURE twice_c")
c.select_db("shop")
account.append(plain(operation="INIT_DB"))
c.close()
account.append({"status": None, "outcome": "one_way", "operation": "QUIT"})
print(json.dumps([refused, account]))
"""
# Runs in the namespace; the server's general log is the second witness.
WITH_MYSQLCLIENT = r"""
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mysql_account import AFFECTED, ROWS, SECRET, USER, logged, mariadb
log = Path(sys.argv[3], "general.log")
with mariadb("--general-log=1", f"--general-log-file={log}", "--max-allowed-packet=64M") as port:
    client = ["/usr/bin/python3", "-c", sys.argv[2], str(port), USER, SECRET, ROWS, AFFECTED]
    said = subprocess.run(client, check=True, stdout=subprocess.PIPE).stdout
    print(json.dumps([*json.loads(said), list(logged(log.read_text()).values())]))
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


def test_mysqlclients_record_is_what_is_read_and_what_the_server_logs(namespace: Namespace, tmp_path: Path) -> None:
    if subprocess.run(["/usr/bin/python3", "-c", "import MySQLdb"], check=False, capture_output=True).returncode:
        pytest.skip("NOT RUN: mysqlclient is missing (Debian package python3-mysqldb)")
    command = [sys.executable, "-c", WITH_MYSQLCLIENT, os.fspath(VECTORS), MYSQLCLIENT, os.fspath(tmp_path)]
    printed, collector = run_captured(namespace, tmp_path, command)
    refused, account, logged = json.loads(printed)
    assert len(account) > 800
    (seen,) = [seen for seen in collector.by_port.values() if len(seen) > 100]
    assert [{name: one[name] for name in wanted} for one, wanted in zip(seen, account, strict=True)] == account
    (log,) = [log for log in logged if len(log) > 100]  # it has no pings
    assert [one["operation"] for one in seen if one["operation"] != "PING"] == [one.get("operation") for one in log]
    logins = [(one["operation"], one["status"]) for others in collector.by_port.values() for one in others if len(others) == 1]
    assert ("LOGIN", str(refused)) in logins
    assert "hunter2" not in repr(collector.by_port)
