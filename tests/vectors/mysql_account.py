"""What clients of MySQL say that they did: each keeps its own account of commands, errors and rows.

A client's account has a line for each command that it sent, in their order, with what its own parser made of the answer.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
from mysql.connector.connection import MySQLConnection
from pymysql.constants import COMMAND

Expected = list[dict[str, Any]]
USER = "lab"
# The password, and what else must never be found in anything that is told.
SECRET = "hunter2-never-shown"
# Where MySQL 9 is, a root of its own (docs/protocols/mysql.md says how it is made).
SID = os.environ.get("MYSQL_ROOT", "/opt/sid")

ROWS = "db.response.returned_rows"
AFFECTED = "pcap_receiver.mysql.affected_rows"


def line(operation: str | None = None, status: str | None = None, outcome: str = "ok", **more: Any) -> dict[str, Any]:
    """A roundtrip; `operation` where it is a command's and not a statement's."""
    one: dict[str, Any] = {"status": status, "outcome": outcome if status is None else "error", **more}
    if operation is not None:
        one["operation"] = operation
    return one


class PyMySql(pymysql.connections.Connection):
    """PyMySQL with an account."""

    def __init__(self, **settings: Any) -> None:
        self.account: Expected = []
        self.namespace: str | None = None
        super().__init__(user=USER, host="127.0.0.1", **settings)

    def _told(self, **said: Any) -> None:
        self.account[-1].update(said)

    def _request_authentication(self) -> None:
        self.account.append(line("LOGIN", namespace=self.db.decode() if isinstance(self.db, bytes) else self.db))
        with self._failing():
            super()._request_authentication()
        self.namespace = self.account[-1]["namespace"]

    def _execute_command(self, command: int, sql: Any) -> None:
        name = next(name for name in dir(COMMAND) if getattr(COMMAND, name) == command).removeprefix("COM_")
        one = line(None if name == "QUERY" else name, namespace=self.namespace)
        if name == "QUIT":
            one = line(name, outcome="one_way")
        self.account.append(one)
        super()._execute_command(command, sql)

    def _read_query_result(self, unbuffered: bool = False) -> int:
        with self._failing():
            affected = super()._read_query_result(unbuffered)
        result, one = self._result, self.account[-1]
        if result.description is not None:
            one[ROWS] = one.get(ROWS, 0) + len(result.rows)
        else:
            one[AFFECTED] = one.get(AFFECTED, 0) + result.affected_rows
        return affected

    def _read_ok_packet(self) -> Any:
        with self._failing():
            return super()._read_ok_packet()

    def close(self) -> None:
        if not self._closed:
            self.account.append(line("QUIT", outcome="one_way"))
        super().close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except pymysql.err.MySQLError as error:
            self._told(status=str(error.args[0]), outcome="error")
            self.account[-1].pop(AFFECTED, None)
            raise


def answered(name: str | None, outcome: str = "ok") -> Callable[[Any], Any]:
    """A method that sends one command, and what it returned or raised."""

    def wrap(method: Any) -> Any:
        def called(self: Any, *arguments: Any, **named: Any) -> Any:
            one = line(name, outcome=outcome)
            self.account.append(one)
            try:
                return method(self, *arguments, **named)
            except mysql.connector.Error as error:
                one.update(status=str(error.errno), outcome="error")
                raise

        return called

    return wrap


class Connector(MySQLConnection):
    """mysql-connector-python, its pure part, with an account of its `cmd_` methods."""

    def __init__(self, **settings: Any) -> None:
        self.account: Expected = []
        super().__init__(host="127.0.0.1", user=USER, use_pure=True, **settings)

    _do_auth = answered("LOGIN")(MySQLConnection._do_auth)
    cmd_init_db = answered("INIT_DB")(MySQLConnection.cmd_init_db)
    cmd_ping = answered("PING")(MySQLConnection.cmd_ping)
    cmd_statistics = answered("STATISTICS")(MySQLConnection.cmd_statistics)
    cmd_debug = answered("DEBUG")(MySQLConnection.cmd_debug)
    cmd_change_user = answered("CHANGE_USER")(MySQLConnection.cmd_change_user)
    cmd_reset_connection = answered("RESET_CONNECTION")(MySQLConnection.cmd_reset_connection)
    cmd_stmt_close = answered("STMT_CLOSE", "one_way")(MySQLConnection.cmd_stmt_close)
    cmd_stmt_reset = answered("STMT_RESET")(MySQLConnection.cmd_stmt_reset)
    cmd_stmt_prepare = answered("STMT_PREPARE")(MySQLConnection.cmd_stmt_prepare)
    cmd_stmt_send_long_data = answered("STMT_SEND_LONG_DATA", "one_way")(MySQLConnection.cmd_stmt_send_long_data)
    cmd_quit = answered("QUIT", "one_way")(MySQLConnection.cmd_quit)
    cmd_query = answered(None)(MySQLConnection.cmd_query)
    cmd_stmt_execute = answered(None)(MySQLConnection.cmd_stmt_execute)

    def get_rows(self, *arguments: Any, **named: Any) -> Any:
        rows, eof = super().get_rows(*arguments, **named)
        self._count(rows)
        return rows, eof

    def _count(self, rows: Any) -> None:
        one = next(one for one in reversed(self.account) if one.get("outcome") != "one_way")
        one[ROWS] = one.get(ROWS, 0) + len(rows)


LOGGED = {
    "Connect": "LOGIN",
    "Query": None,
    "Execute": None,
    "Prepare": "STMT_PREPARE",
    "Close stmt": "STMT_CLOSE",
    "Reset stmt": "STMT_RESET",
    "Long Data": "STMT_SEND_LONG_DATA",
    "Fetch": "STMT_FETCH",
    "Init DB": "INIT_DB",
    "Field List": "FIELD_LIST",
    "Change user": "CHANGE_USER",
    "Reset Connection": "RESET_CONNECTION",
    "Statistics": "STATISTICS",
    "Ping": "PING",
    "Quit": "QUIT",
}


def logged(log: str) -> dict[int, Expected]:
    """What the server's general log says of each connection: its commands in their order. It knows of no outcome."""
    found: dict[int, Expected] = {}
    for text in log.splitlines():
        told = re.match(r"(?:\S+(?: [ \d:]+)?)?\s+(\d+) (" + "|".join(LOGGED) + r")(?:\t|$)", text)
        if told is not None:
            name = LOGGED[told[2]]
            ends = {"outcome": "one_way"} if name in ("QUIT", "STMT_CLOSE", "STMT_SEND_LONG_DATA") else {}
            found.setdefault(int(told[1]), []).append(line(name, **ends))
    return found


# --- servers ---


@contextmanager
def mariadb(*settings: str) -> Iterator[int]:
    """A MariaDB of its own, on a free port of the loopback."""
    from record import free_port, program

    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        port = free_port()
        start = ["--no-defaults", f"--datadir={folder}/data", "--user=root"]
        install = ["mariadb-install-db", *start, "--skip-test-db", "--auth-root-authentication-method=normal"]
        subprocess.run(install, check=True, capture_output=True)
        Path(folder, "init.sql").write_text(
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{SECRET}';\nGRANT ALL ON *.* TO '{USER}'@'%';\nCREATE DATABASE shop;\n"
        )
        address = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s.sock"]
        more = [f"--init-file={folder}/init.sql", "--local-infile=1", "--max-allowed-packet=64M", "--skip-name-resolve"]
        with program(["mariadbd", *start, *address, *more, "--innodb-buffer-pool-size=32M", *settings], port):
            _wait(port)
            yield port


@contextmanager
def mysql9(*settings: str) -> Iterator[int]:
    """MySQL 9 out of its own root."""
    from record import free_port, program

    port = free_port()
    with tempfile.TemporaryDirectory(prefix="record-", dir=f"{SID}/tmp") as folder:
        inside = "/" + str(Path(folder).relative_to(SID))
        start = ["chroot", SID, "mysqld", "--no-defaults", f"--datadir={inside}/d", "--user=root"]
        subprocess.run([*start, "--initialize-insecure"], check=True, capture_output=True)
        Path(folder, "init.sql").write_text(
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{SECRET}';\nGRANT ALL ON *.* TO '{USER}'@'%';\nCREATE DATABASE shop;\n"
        )
        address = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={inside}/s", "--mysqlx=OFF", "--tls-version="]
        small = ["--innodb-buffer-pool-size=32M", "--performance-schema=OFF", f"--init-file={inside}/init.sql", "--local-infile=1"]
        more = ["--secure-file-priv=NULL", "--max-allowed-packet=64M", "--skip-name-resolve", "--disable-log-bin"]
        with program([*start, *address, *small, *more, *settings], port):
            _wait(port)
            yield port


def _wait(port: int) -> None:
    for _ in range(200):
        with suppress(pymysql.err.MySQLError):
            pymysql.connect(host="127.0.0.1", port=port, user=USER, password=SECRET).close()
            return
        time.sleep(0.1)
    raise RuntimeError("the server takes no login")
