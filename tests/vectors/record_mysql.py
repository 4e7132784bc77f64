"""Records the vectors of MySQL and MariaDB: real servers, real clients, and a socket that says what no client does.

    python tests/vectors/record_mysql.py [name ...]        as record.py

Needs mariadbd and mariadb on the PATH, PyMySQL, mysql-connector-python, and for its scenarios MySQL 9 in a root of its own
(`mysql_account.SID`). Expected is the client's own account (`mysql_account.py`); of the C library and of the command line client,
what the server's general log says of them.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
from mysql_account import AFFECTED, SECRET, SID, USER, Connector, Expected, PyMySql, line, logged, mariadb, mysql9
from record import Recording, Relay, version, write

SCENARIOS: dict[str, Callable[[], None]] = {}


def scenario(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        SCENARIOS[name] = function
        return function

    return keep


def about(server: str, client: str) -> dict[str, str]:
    said = version("mariadbd", "--version") if server == "MariaDB" else version("chroot", SID, "mysqld", "--version")
    number = said.split("Ver ")[1].split()[0].split("-")[0]
    return {"folder": "mysql", "protocol": server.lower(), "server": f"{server} {number}", "client": client}


def pymysql_version() -> str:
    return f"PyMySQL {pymysql.__version__}"


def connector_version(part: str) -> str:
    return f"mysql-connector-python {mysql.connector.__version__}, {part}"


def waited(relay: Relay) -> Recording:
    time.sleep(0.2)
    return relay.only()


# --- PyMySQL ---


def workload(c: PyMySql) -> None:
    """What an application does, and its mistakes."""
    with c.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE cart (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(99), note LONGTEXT)")
        cursor.execute("INSERT INTO cart (name) VALUES (%s), (%s), (%s)", (SECRET, "b", None))
        cursor.execute("SELECT id, name FROM cart ORDER BY id")
        cursor.execute("SELECT name, note FROM cart")  # rows that begin with FB, NULL
        cursor.execute("SELECT '', 1 UNION SELECT 'a', 2")  # rows that begin with 00
        cursor.execute("SELECT REPEAT('x', 300), REPEAT('y', 70000)")
        cursor.execute("SELECT * FROM cart WHERE id > 99")
        cursor.execute("UPDATE cart SET note = 'x' WHERE id < 3")
        for wrong in ("SELEC 1", "SELECT nothing FROM cart", "INSERT INTO cart (id) VALUES (1)", "SELECT * FROM missing"):
            with contextlib.suppress(pymysql.err.MySQLError):
                cursor.execute(wrong)


def orders(c: PyMySql) -> None:
    """What is asked of the connection."""
    c.begin()
    c.rollback()
    c.ping()
    c.select_db("mysql")
    c.query("SELECT COUNT(*) FROM user")
    c.query("USE shop")
    c.namespace = "shop"
    c.query("SELECT DATABASE()")
    with contextlib.suppress(pymysql.err.MySQLError):
        c.select_db("nowhere")
    with contextlib.suppress(pymysql.err.MySQLError):
        c.kill(999_999)


def with_pymysql(name: str, kind: str, port: int, does: Callable[[PyMySql], None]) -> None:
    relay = Relay(port)
    c = PyMySql(port=relay.port, password=SECRET, database="shop", autocommit=None)
    with_namespaces(c)
    does(c)
    c.close()
    write(name, about(kind, pymysql_version()), waited(relay), c.account)


@scenario("mariadb-pymysql")
def mariadb_pymysql() -> None:
    with mariadb() as port:
        with_pymysql("mariadb-pymysql", "MariaDB", port, workload)
        with_pymysql("mariadb-pymysql-orders", "MariaDB", port, orders)


@scenario("mysql-pymysql")
def mysql_pymysql() -> None:
    """The server's first login of this user: the whole exchange of caching_sha2_password, with its RSA key."""
    with mysql9() as port:
        restart_cache(port)
        with_pymysql("mysql-pymysql", "MySQL", port, workload)
        with_pymysql("mysql-pymysql-orders", "MySQL", port, orders)


def restart_cache(port: int) -> None:
    """The server forgets who has logged in."""
    c = pymysql.connect(host="127.0.0.1", port=port, user=USER, password=SECRET)
    c.query("FLUSH PRIVILEGES")
    c.close()


def with_namespaces(c: PyMySql) -> None:
    """`select_db` changes what the statements behind it belong to."""
    plain = c.select_db

    def select(database: str) -> None:
        plain(database)
        c.namespace = database

    c.select_db = select  # type: ignore[method-assign]  # of this one alone


@scenario("mysql-fast-login")
def mysql_fast_login() -> None:
    with mysql9() as port:
        relay = Relay(port)
        c = PyMySql(port=relay.port, password=SECRET)
        c.query("SELECT 1")
        c.close()
        write("mysql-fast-login", about("MySQL", pymysql_version()), waited(relay), c.account)


@scenario("mariadb-multi")
def mariadb_multi() -> None:
    """Several statements of one text, several results of one statement."""
    with mariadb() as port:
        relay = Relay(port)
        c = PyMySql(port=relay.port, password=SECRET, database="shop", client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
        with c.cursor() as cursor:

            def all_of(text: str) -> None:
                with contextlib.suppress(pymysql.err.MySQLError):
                    cursor.execute(text)
                    while cursor.nextset():
                        pass

            cursor.execute("DROP PROCEDURE IF EXISTS two")
            cursor.execute("CREATE PROCEDURE two() BEGIN SELECT 1 UNION SELECT 2; SELECT 3; END")
            all_of("SELECT 1; SELECT 2 UNION SELECT 3")
            all_of("SET @a = 1; SELECT @a; SET @b = 2")
            all_of("SELECT 1; SELEC 2; SELECT 3")
            all_of("CALL two()")
        c.close()
        write("mariadb-multi", about("MariaDB", pymysql_version()), waited(relay), c.account)


@scenario("mariadb-load-data")
def mariadb_load_data() -> None:
    with mariadb() as port, tempfile.NamedTemporaryFile("w", suffix=".csv") as data:
        data.write("".join(f"{i}\t{SECRET}\n" for i in range(500)))
        data.flush()
        relay = Relay(port)
        c = PyMySql(port=relay.port, password=SECRET, database="shop", local_infile=True, autocommit=None)
        c.query("CREATE TEMPORARY TABLE load_data (id INT, name TEXT)")
        c.query(f"LOAD DATA LOCAL INFILE '{data.name}' INTO TABLE load_data")
        with contextlib.suppress(pymysql.err.MySQLError, OSError):
            c.query("LOAD DATA LOCAL INFILE '/nowhere/at-all' INTO TABLE load_data")
        c.account[-1].update(line(**{AFFECTED: 0}))  # the client's own error: the server is sent an empty file, and takes it
        c.query("SELECT COUNT(*) FROM load_data")
        c.close()
        write("mariadb-load-data", about("MariaDB", pymysql_version()), waited(relay), c.account)


# --- logins that fail ---


@scenario("mariadb-refused")
def mariadb_refused() -> None:
    with mariadb() as port:
        relay = Relay(port)
        with contextlib.suppress(pymysql.err.MySQLError):
            PyMySql(port=relay.port, password="wrong " + SECRET)
        said = [line("LOGIN", "1045", **{"pcap_receiver.mysql.sqlstate": "28000"})]
        write("mariadb-refused", about("MariaDB", pymysql_version()), waited(relay), said)


@scenario("mysql-refused")
def mysql_refused() -> None:
    with mysql9() as port:
        relay = Relay(port)
        with contextlib.suppress(pymysql.err.MySQLError):
            PyMySql(port=relay.port, password=SECRET, database="nowhere")
        said = [line("LOGIN", "1049", namespace="nowhere")]
        write("mysql-refused", about("MySQL", pymysql_version()), waited(relay), said)


def crowded(name: str, server: Any, kind: str) -> None:
    """As many connections as it takes; MariaDB has ten at least, and one more for an administrator."""
    with server("--max-connections=1") as port, contextlib.ExitStack() as here:
        for _ in range(12):
            with contextlib.suppress(pymysql.err.MySQLError):
                here.enter_context(pymysql.connect(host="127.0.0.1", port=port, user=USER, password=SECRET))
        with contextlib.suppress(pymysql.err.MySQLError):
            here.enter_context(pymysql.connect(host="127.0.0.1", port=port, user="root"))
        relay = Relay(port)
        with contextlib.suppress(pymysql.err.MySQLError):
            PyMySql(port=relay.port, password=SECRET)
        # There was no greeting, so it is not known which of the two it is.
        write(name, about(kind, pymysql_version()), waited(relay), [line("LOGIN", "1040", protocol="mysql")])


@scenario("mariadb-crowded")
def mariadb_crowded() -> None:
    crowded("mariadb-crowded", mariadb, "MariaDB")


@scenario("mysql-crowded")
def mysql_crowded() -> None:
    crowded("mysql-crowded", mysql9, "MySQL")


# --- mysql-connector-python ---


def prepared(c: Connector) -> None:
    cursor = c.cursor(prepared=True)
    cursor.execute("CREATE TEMPORARY TABLE item (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT, data LONGBLOB)")
    for name in ("a", SECRET, ""):
        cursor.execute("INSERT INTO item (name) VALUES (?)", (name,))
        c.account[-1][AFFECTED] = cursor.rowcount
    cursor.execute("SELECT id, name FROM item WHERE id < ?", (3,))
    cursor.fetchall()
    cursor.execute("SELECT id, name FROM item WHERE id < ?", (99,))
    cursor.fetchall()
    with contextlib.suppress(mysql.connector.Error):
        cursor.execute("SELECT nothing FROM item WHERE id < ?", (1,))
    cursor.close()


def commands(c: Connector) -> None:
    c.cmd_ping()
    c.cmd_statistics()
    c.cmd_init_db("shop")
    c.cmd_query("SELECT 1, 2")
    c.get_rows()
    c.cmd_reset_connection()
    if not c._compress:  # with which the client refuses to
        c.cmd_change_user(username=USER, password=SECRET, database="mysql")
    c.cmd_query("SELECT DATABASE()")
    c.get_rows()
    with contextlib.suppress(mysql.connector.Error):
        c.cmd_query("SELECT")


def with_connector(name: str, server: Any, kind: str, **settings: Any) -> None:
    with server() as port:
        for more, does in (("prepared", prepared), ("commands", commands)):
            relay = Relay(port)
            c = Connector(port=relay.port, password=SECRET, database="shop", **settings)
            does(c)
            c.close()
            write(f"{name}-{more}", about(kind, connector_version("pure")), waited(relay), c.account)


@scenario("mariadb-connector")
def mariadb_connector() -> None:
    with_connector("mariadb-connector", mariadb, "MariaDB")


@scenario("mysql-connector")
def mysql_connector() -> None:
    with_connector("mysql-connector", mysql9, "MySQL")


@scenario("mysql-connector-compressed")
def mysql_connector_compressed() -> None:
    with_connector("mysql-connector-compressed", mysql9, "MySQL", compress=True)


@scenario("mariadb-connector-compressed")
def mariadb_connector_compressed() -> None:
    with_connector("mariadb-connector-compressed", mariadb, "MariaDB", compress=True)


# --- what the server's general log says of clients that keep no account ---


def last_logged(log: Path, wrong: dict[int, str]) -> Expected:
    """The connection that came last; `wrong`: which of its commands fail, and how."""
    said = logged(log.read_text(errors="replace"))
    expected = said[max(said)]
    for place, status in wrong.items():
        expected[place].update(status=status, outcome="error")
    return expected


@scenario("mariadb-cli")
def mariadb_cli() -> None:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        log = Path(folder, "general.log")
        with mariadb("--general-log=1", f"--general-log-file={log}") as port:
            relay = Relay(port)
            text = (
                "use mysql\nSELECT 1;\nSELECT nothing;\nuse shop\nCREATE TABLE a (n INT);\nINSERT INTO a VALUES (1), (2);\n"
                "SELECT * FROM a;\nDELETE FROM a;\nDROP TABLE a;\nstatus\n"
            )
            subprocess.run(
                ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{relay.port}", f"-u{USER}", f"-p{SECRET}", "--force", "-N", "shop"],
                input=text, text=True, capture_output=True, check=False,
            )
            recording = waited(relay)
        expected = last_logged(log, {})
        failing = next(i for i, one in enumerate(expected) if "operation" not in one and i > 3)
        expected[failing].update(status="1054", outcome="error")
        write("mariadb-cli", about("MariaDB", version("mariadb", "--version").split(",")[0]), recording, expected)


# In a process of its own: the library holds the interpreter while it waits for the server, and the relay would wait for it.
WITH_C = """
import sys, mysql.connector
port, user, secret = sys.argv[1:]
c = mysql.connector.connect(host="127.0.0.1", port=int(port), user=user, password=secret, database="shop", use_pure=False)
with c.cursor() as cursor:
    cursor.execute("SELECT 1 UNION SELECT 2")
    cursor.fetchall()
    cursor.execute("USE mysql")
    cursor.execute("SELECT COUNT(*) FROM user WHERE user = %s", (secret,))
    cursor.fetchall()
    try:
        cursor.execute("SELECT nothing")
    except mysql.connector.Error as error:
        assert error.errno == 1054
with c.cursor(prepared=True) as cursor:
    for name in (secret, "b"):
        cursor.execute("SELECT user FROM user WHERE user = ? OR user = ?", (name, 2.5))
        cursor.fetchall()
with c.cursor() as cursor:
    cursor.add_attribute("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    cursor.add_attribute("number", 7)
    cursor.execute("SELECT 3")
    cursor.fetchall()
c.close()
"""


@scenario("mysql-c-library")
def mysql_c_library() -> None:
    """Oracle's C library: a session that is tracked, a statement that is prepared, attributes of a query, rows without EOF."""
    log = Path(SID, "tmp", "general.log")
    log.unlink(missing_ok=True)
    with mysql9("--general-log=1", "--general-log-file=/tmp/general.log") as port:
        relay = Relay(port)
        subprocess.run([sys.executable, "-c", WITH_C, str(relay.port), USER, SECRET], check=True, timeout=20)
        recording = waited(relay)
        expected = last_logged(log, {})
        # The server notes no pings, with which each cursor begins; and that it prepares anew what it has other types for.
        again = [one.get("operation") for one in expected].index("STMT_PREPARE") + 2
        assert expected.pop(again)["operation"] == "STMT_PREPARE"
        texts = [place for place, one in enumerate(expected) if "operation" not in one]
        expected[texts[5]].update(status="1054", outcome="error")
        for place in (texts[-1], texts[5] + 1, texts[2]):
            expected.insert(place, line("PING"))
        for one in expected[-3:]:
            one["namespace"] = "mysql"
    write("mysql-c-library", about("MySQL", connector_version("C")), recording, expected)


def main(words: list[str]) -> None:
    for name, run in SCENARIOS.items():
        if not words or any(word in name for word in words):
            run()


if __name__ == "__main__":
    main(sys.argv[1:])
