"""Records the vectors of PostgreSQL: a real server, real clients, and a socket that says what no client does.

    python tests/vectors/record_postgresql.py [name ...]        as record.py

Needs PostgreSQL's programs of Debian (postgresql-15: /usr/lib/postgresql/*/bin), psycopg 3 and asyncpg. Expected is the client's
own account: command tags, row counts and SQLSTATEs of psycopg and asyncpg, what psql and pgbench were told to do; of a socket, the
documentation of the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
from postgresql_account import Expected, Psycopg, aborted, failed, named, ok, result
from record import Relay, free_port, speak, wait_for, write

# What must never be found in anything that is told of these conversations.
SECRET = "hunter2-never-shown"
BIN = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def as_nobody(folder: str) -> dict[str, Any]:
    """PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for path in (Path(folder), *Path(folder).rglob("*")):
        shutil.chown(path, "nobody", "nogroup")
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


@contextlib.contextmanager
def server(*settings: str, auth: str = "trust", log: Path | None = None) -> Iterator[int]:
    with tempfile.TemporaryDirectory(prefix="record-") as folder:
        Path(folder, "password").write_text(SECRET)
        who = as_nobody(folder)
        initdb = [BIN / "initdb", "-D", f"{folder}/data", "-U", "lab", "-A", auth, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*initdb, f"--pwfile={folder}/password"], check=True, capture_output=True, cwd=folder, **who)
        port = free_port()
        argv = [BIN / "postgres", "-D", f"{folder}/data", "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
        argv += [word for each in ("fsync=off", *settings) for word in ("-c", each)]
        with Path(os.devnull if log is None else log).open("wb") as said:
            process = subprocess.Popen(argv, stdout=said, stderr=said, cwd=folder, **who)
        try:
            wait_for(port)
            subprocess.run([BIN / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "10"], check=False, capture_output=True)
            time.sleep(0.3)
            yield port
        finally:
            process.send_signal(2)
            process.wait(20)


def about(who: str) -> dict[str, str]:
    said = subprocess.run([BIN / "postgres", "--version"], capture_output=True, text=True, check=True).stdout.split()
    return {"folder": "postgresql", "protocol": "postgresql", "server": f"PostgreSQL {said[2]}", "client": who}


def at(port: int, **more: Any) -> dict[str, Any]:
    who = {"user": "lab", "dbname": "postgres", "password": SECRET}
    return {"host": "127.0.0.1", "port": port, "gssencmode": "disable", **who, **more}


def psycopg_name() -> str:
    return f"psycopg {psycopg.__version__}"


SCENARIOS: dict[str, Callable[[], None]] = {}


def scenario(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(function: Callable[[], None]) -> Callable[[], None]:
        SCENARIOS[name] = function
        return function

    return keep


TABLE = "CREATE TABLE shop (id int PRIMARY KEY, name text)"


# --- psycopg ---


@scenario("psycopg-simple")
def psycopg_simple() -> None:
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port), autocommit=True) as connection:
            one = Psycopg(connection, simple=True)
            one.run(TABLE)
            one.run("INSERT INTO shop VALUES (%s, %s), (2, 'b')", (1, SECRET))
            one.run("SELECT * FROM shop")
            one.run("SELECT * FROM shop WHERE name = %s", ("nothing",))
            one.run("UPDATE shop SET name = %s RETURNING id", (SECRET,))
            one.run("INSERT INTO shop VALUES (1, %s)", (SECRET,))
            one.run("SELECT * FROM nowhere")
            one.run("-- nothing but a comment")
            one.run("SELEC 1")
            one.run(f"DO $$ BEGIN RAISE NOTICE '{SECRET}'; END $$")
            one.run("LISTEN news")
            one.run(f"NOTIFY news, '{SECRET}'")
            one.run("SELECT repeat('x', 20000)")
            one.run("SET standard_conforming_strings = off")
        write("psycopg-simple", about(psycopg_name()), relay.only(), one.expected)


@scenario("psycopg-several")
def psycopg_several() -> None:
    """Several statements in a query: each has its result, and an error ends the rest."""
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection, simple=True)
            one.run(f"{TABLE}; INSERT INTO shop VALUES (2, '{SECRET};'); SELECT ';'; -- ; \n ;")
            one.run("SELECT 1; SELECT generate_series(1, 5); DELETE FROM shop WHERE id = 2;")
            one.run("SELECT 1/0; SELECT 2; SELECT 3", skipped=2)
            one.run("SELECT 2; SELECT 1/0; SELECT 3", skipped=1)
            # What was done before the error psycopg does not tell, for it was undone.
            one.expected.insert(-2, ok("SELECT", 1))
            one.run("SELECT 1; SELECT * FROM", skipped=1)
            one.run(f"LISTEN news; NOTIFY news, '{SECRET}'")
            one.run("SELECT id INTO other FROM shop")
        write("psycopg-several", about(psycopg_name()), relay.only(), one.expected)


@scenario("psycopg-extended")
def psycopg_extended() -> None:
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection)
            one.run(TABLE)
            one.run("INSERT INTO shop VALUES (%s, %s)", (1, SECRET))
            one.run("SELECT name FROM shop WHERE id = %s", (1,))
            for number in range(3):
                one.run("SELECT generate_series(1, %s)", (number,), prepare=True)
                if number == 0:  # psycopg prepares it by a round of its own
                    one.expected.insert(-1, named("PREPARE"))
            one.run("INSERT INTO shop VALUES (%s, %s)", (1, SECRET))
            one.run("SELECT %s::int", (SECRET,))
            one.run("SELECT * FROM nowhere WHERE id = %s", (1,))
            one.run("UPDATE shop SET name = %s", (SECRET,))
        write("psycopg-extended", about(psycopg_name()), relay.only(), one.expected)


@scenario("psycopg-transaction")
def psycopg_transaction() -> None:
    """psycopg begins transactions by itself; a named cursor is DECLARE, FETCH and CLOSE."""
    with server() as port:
        relay = Relay(port)
        expected: Expected = [named("LOGIN")]
        with psycopg.connect(**at(relay.port, sslmode="disable")) as connection:
            with connection.cursor(name="many") as cursor:
                cursor.execute("SELECT generate_series(1, 25) AS n")
                cursor.itersize = 10
                assert len(list(cursor)) == 25
            # Declaring it, psycopg asks what its columns are.
            expected += [ok("BEGIN"), ok("DECLARE CURSOR"), named("DESCRIBE")]
            expected += [ok("FETCH", 10), ok("FETCH", 10), ok("FETCH", 5)]
            expected += [ok("CLOSE CURSOR"), ok("COMMIT")]
        write("psycopg-transaction", about(psycopg_name()), relay.only(), expected)


@scenario("psycopg-pipeline")
def psycopg_pipeline() -> None:
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection)
            one.run(TABLE)
            with connection.pipeline() as pipeline:
                cursors = [connection.execute("INSERT INTO shop VALUES (%s, %s)", (i, SECRET)) for i in range(3)]
                cursors.append(connection.execute("SELECT * FROM shop"))
                pipeline.sync()
                cursors.append(connection.execute("SELECT name FROM shop WHERE id = %s", (1,)))
            one.expected += [result(cursor) for cursor in cursors]
            for bad in (0, 1, 2):
                with contextlib.suppress(psycopg.Error), connection.pipeline() as pipeline:
                    for i in range(3):
                        if i == bad:
                            connection.execute("SELECT 1/%s::int", (0,))
                        else:
                            connection.execute("SELECT %s::int", (i,))
                one.expected += [ok("SELECT", 1) for _ in range(bad)] + [failed("22012")] + [aborted() for _ in range(2 - bad)]
            one.run("SELECT 7")
        write("psycopg-pipeline", about(psycopg_name()), relay.only(), one.expected)


@scenario("psycopg-copy")
def psycopg_copy() -> None:
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection)
            one.run(TABLE)
            with connection.cursor().copy("COPY shop FROM STDIN") as copy:
                for i in range(400):
                    copy.write_row((i, SECRET))
            one.expected.append(ok("COPY"))
            with connection.cursor().copy("COPY shop TO STDOUT") as copy:
                assert len(list(copy.rows())) == 400
            one.expected.append(ok("COPY"))
            with contextlib.suppress(psycopg.Error), connection.cursor().copy("COPY shop FROM STDIN") as copy:
                copy.write_row((1, SECRET))
            one.expected.append(failed("23505"))
            with contextlib.suppress(RuntimeError), connection.cursor().copy("COPY shop FROM STDIN") as copy:
                raise RuntimeError(SECRET)
            one.expected.append(failed("57014"))
            one.run("SELECT count(*) FROM shop")
        write("psycopg-copy", about(psycopg_name()), relay.only(), one.expected)


@scenario("psycopg-deferred")
def psycopg_deferred() -> None:
    """A constraint that is looked at when the transaction ends: in the extended protocol that is the Sync."""
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection)
            one.run(TABLE)
            one.run("CREATE TABLE item (shop int REFERENCES shop DEFERRABLE INITIALLY DEFERRED)")
            one.run("INSERT INTO item VALUES (%s)", (7,))
            # The statement was done, the error is that of the Sync: psycopg tells the error alone.
            one.expected[-1:] = [ok("INSERT"), {**failed("23503"), "operation": "SYNC"}]
            one.run("SELECT count(*) FROM item")
        write("psycopg-deferred", about(psycopg_name()), relay.only(), one.expected)


@scenario("cancel")
def cancel() -> None:
    with server() as port:
        relay = Relay(port)
        with psycopg.connect(**at(relay.port, sslmode="disable"), autocommit=True) as connection:
            one = Psycopg(connection)
            threading.Timer(0.3, connection.cancel_safe).start()  # `cancel` holds the lock that the relay needs
            one.run("SELECT pg_sleep(5)")
        assert one.expected[-1]["status"] == "57014"
        first, second = relay.recordings
        assert first.done.wait(5) and second.done.wait(5)
        write("psycopg-cancelled", about(psycopg_name()), first, one.expected)
        write("psycopg-cancel", about(psycopg_name()), second, [named("CANCEL", outcome="one_way")])


# --- logins ---


def login(name: str, port: int, expected: Expected, **more: Any) -> None:
    relay = Relay(port)
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(**at(relay.port, sslmode="disable", **more), autocommit=True).close()
    write(name, about(psycopg_name()), relay.only(), expected)


@scenario("login-scram")
def login_scram() -> None:
    with server(auth="scram-sha-256") as port:
        login("login-scram", port, [named("LOGIN")])
        login("login-wrong-password", port, [named("LOGIN", "28P01")], password=SECRET + "x")
        login("login-no-database", port, [named("LOGIN", "3D000")], dbname="nowhere")


@scenario("login-md5")
def login_md5() -> None:
    with server("password_encryption=md5", auth="md5") as port:
        login("login-md5", port, [named("LOGIN")])


@scenario("login-password")
def login_password() -> None:
    with server(auth="password") as port:
        login("login-password", port, [named("LOGIN")])


@scenario("login-too-many")
def login_too_many() -> None:
    with server("max_connections=4", "superuser_reserved_connections=0", "max_wal_senders=0") as port:
        kept = [psycopg.connect(**at(port)) for _ in range(4)]
        login("login-too-many", port, [named("LOGIN", "53300")])
        for connection in kept:
            connection.close()


# --- asyncpg ---


@scenario("asyncpg")
def asyncpg_workload() -> None:
    async def work(port: int) -> Expected:
        expected: Expected = [named("LOGIN")]
        who = {"user": "lab", "database": "postgres", "password": SECRET}
        connection = await asyncpg.connect(host="127.0.0.1", port=port, ssl=False, **who)
        await connection.execute(TABLE)
        expected.append(ok("CREATE TABLE"))
        assert len(await connection.fetch("SELECT generate_series(1, $1::int)", 7)) == 7
        expected += [named("PREPARE"), ok("SELECT", 7)]
        assert len(await connection.fetch("SELECT generate_series(1, $1::int)", 3)) == 3
        expected.append(ok("SELECT", 3))  # it keeps what it has prepared
        await connection.executemany("INSERT INTO shop VALUES ($1, $2)", [(i, SECRET) for i in range(4)])
        expected += [named("PREPARE"), *(ok("INSERT") for _ in range(4))]
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.executemany("INSERT INTO shop VALUES ($1, $2)", [(9, SECRET), (1, SECRET), (10, SECRET)])
        expected += [ok("INSERT"), failed("23505"), aborted()]
        async with connection.transaction():
            expected.append(ok("BEGIN"))
            cursor = await connection.cursor("SELECT generate_series(1, 25)")
            expected += [named("PREPARE"), named("BIND")]
            for wanted in (10, 10, 5):
                assert len(await cursor.fetch(10)) == wanted
                expected.append(ok("SELECT", wanted))
            # Two that stop before the end have no tag.
            for one in expected[-3:-1]:
                del one["tag"]
        expected.append(ok("COMMIT"))
        with contextlib.suppress(asyncpg.PostgresError):
            await connection.fetch("SELECT * FROM nowhere")
        expected.append(named("PREPARE", "42P01"))
        await connection.close()
        return expected

    with server() as port:
        relay = Relay(port)
        expected = asyncio.run(work(relay.port))
        write("asyncpg", about(f"asyncpg {asyncpg.__version__}"), relay.only(), expected)


# --- psql, pgbench ---


def psql(port: int, *arguments: str) -> str:
    argv = ["psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "lab", *arguments, "postgres"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "PGSSLMODE": "disable"}).stdout


@scenario("psql")
def with_psql() -> None:
    """psql prints the tag of each statement that returns no rows, and the rows of others."""
    with server() as port, tempfile.TemporaryDirectory(prefix="record-") as folder:
        relay = Relay(port)
        Path(folder, "large").write_text(SECRET * 100)
        script = f"""{TABLE};
INSERT INTO shop VALUES (1, '{SECRET}');
SELECT * FROM shop;
SELECT * FROM nowhere;
\\copy shop to {folder}/out
BEGIN;
\\lo_import {folder}/large
ROLLBACK;
DEALLOCATE ALL;
"""
        Path(folder, "script").write_text(script)
        printed = psql(relay.port, "-f", f"{folder}/script")
        tags = [line.rstrip("0123456789 ") for line in printed.splitlines()]
        assert tags == ["CREATE TABLE", "INSERT", "1|" + SECRET, "COPY", "BEGIN", "lo_import", "ROLLBACK", "DEALLOCATE ALL"], tags
        # libpq asks once for the numbers of its 13 functions of large objects, and calls four: create, open, write, close.
        imported = [ok("SELECT", 13), *(named("FUNCTION CALL") for _ in range(4))]
        statements = [ok("CREATE TABLE"), ok("INSERT"), ok("SELECT", 1), failed("42P01"), ok("COPY"), ok("BEGIN")]
        expected = [named("LOGIN"), *statements, *imported, ok("ROLLBACK"), ok("DEALLOCATE ALL")]
        write("psql", about("psql 15"), relay.only(), expected)


def pgbench(mode: str) -> None:
    """Three transactions of four statements each, by its own script."""
    script = """\\set n random(1, 100)
BEGIN;
SELECT generate_series(1, 3), :n;
UPDATE shop SET name = :n;
END;
"""
    with server() as port, tempfile.TemporaryDirectory(prefix="record-") as folder:
        psql(port, "-c", TABLE)
        relay = Relay(port)
        Path(folder, "script").write_text(script)
        argv = ["pgbench", "-n", "-M", mode, "-t", "3", "-f", f"{folder}/script", "-h", "127.0.0.1", "-p", str(relay.port)]
        environment = {**os.environ, "PGSSLMODE": "disable", "PGUSER": "lab"}
        said = subprocess.run([*argv, "postgres"], capture_output=True, text=True, check=True, env=environment)
        assert "number of transactions actually processed: 3/3" in said.stdout, said
        # It connects once to look before its clients do.
        recording = relay.recordings[-1]
        assert recording.done.wait(5)
        first = [ok("BEGIN"), ok("SELECT", 3), ok("UPDATE"), ok("COMMIT")]
        expected = [named("LOGIN"), *first, *first, *first]
        if mode == "prepared":
            prepared = [one for each in first for one in (named("PREPARE"), each)]  # each where it is needed first
            expected = [named("LOGIN"), *prepared, *first, *first]
        write(f"pgbench-{mode}", about("pgbench 15"), recording, expected)


@scenario("pgbench")
def with_pgbench() -> None:
    for mode in ("simple", "extended", "prepared"):
        pgbench(mode)


@scenario("replication")
def replication() -> None:
    """What follows START_REPLICATION is left alone; the server's log says what was asked before."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="record-"))
        port = stack.enter_context(server("log_replication_commands=on", log=Path(folder, "log")))
        relay = Relay(port)
        argv = [BIN / "pg_receivewal", "-h", "127.0.0.1", "-p", str(relay.port), "-U", "lab", "-D", folder, "--no-loop"]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        process.send_signal(2)
        process.wait(10)
        lines = Path(folder, "log").read_text().splitlines()
        asked = [line.partition("received replication command: ")[2].split()[0] for line in lines if "replication command" in line]
        recording = relay.recordings[-1]
        begun = next(i for i, (_, to_server, piece) in enumerate(recording.events) if to_server and b"START_REPL" in (piece or b""))
        del recording.events[begun + 2 :]
        expected = [named("LOGIN"), *(ok(tag, None if tag == "START_REPLICATION" else 1) for tag in asked)]
        write("replication", about("pg_receivewal 15"), recording, expected)


# --- a socket ---


def message(kind: bytes, *fields: bytes) -> bytes:
    body = b"".join(fields)
    return kind + struct.pack(">I", 4 + len(body)) + body


def startup(**parameters: str) -> bytes:
    body = b"".join(word.encode() + b"\x00" for pair in parameters.items() for word in pair) + b"\x00"
    return struct.pack(">II", 8 + len(body), 196608) + body


@scenario("socket-portals")
def socket_portals() -> None:
    """Fetches, Flush, portals with names, a Parse that fails, a statement that is there already; expected by the documentation."""
    with server() as port:
        relay = Relay(port)
        parse = message(b"P", b"s1\x00SELECT generate_series(1, 12)\x00", b"\x00\x00")
        bind = message(b"B", b"p1\x00s1\x00", bytes(6))
        sync, flush = message(b"S"), message(b"H")

        def execute(rows: int, portal: bytes = b"p1") -> bytes:
            return message(b"E", portal + b"\x00", struct.pack(">I", rows))

        speak(
            relay.port,
            startup(user="lab", database="postgres"),
            0.2,
            message(b"Q", b"BEGIN\x00"),
            0.1,
            parse + message(b"D", b"Ss1\x00") + flush,
            0.1,
            bind + message(b"D", b"Pp1\x00") + execute(5) + flush,
            0.1,
            execute(5) + flush,
            0.1,
            execute(0) + message(b"C", b"Pp1\x00") + sync,
            0.1,
            parse + sync,
            0.1,
            message(b"Q", b"ROLLBACK\x00"),
            0.1,
            message(b"B", b"\x00s1\x00", bytes(6)) + execute(0, b"") + sync,
            message(b"B", b"\x00s2\x00", bytes(6)) + execute(0, b"") + sync,
            0.1,
            message(b"C", b"Ss1\x00") + sync,
            0.1,
            message(b"P", b"\x00\x00", b"\x00\x00") + message(b"B", b"\x00\x00", bytes(6)) + execute(0, b"") + sync,
            0.1,
            message(b"F", struct.pack(">IHHH", 2026, 0, 0, 0)),  # pg_backend_pid()
            0.1,
            message(b"X"),
        )
        suspended = {"outcome": "ok", "status": None, "db.response.returned_rows": 5}
        expected = [
            named("LOGIN"),
            ok("BEGIN"),
            named("PREPARE"),
            suspended,
            suspended,
            ok("SELECT", 2),
            named("PREPARE", "42P05"),
            ok("ROLLBACK"),
            ok("SELECT", 12),
            failed("26000"),
            {"operation": None, "outcome": "ok", "status": None, "db.response.returned_rows": None},
            named("FUNCTION CALL"),
        ]
        write("socket-portals", about("a socket"), relay.only(), expected)


def main() -> None:
    words = sys.argv[1:] or [""]
    for name, function in SCENARIOS.items():
        if any(word in name for word in words):
            function()


if __name__ == "__main__":
    main()
