"""PostgreSQL between real programs in namespaces: what is read off the wire is what the clients say they did, and the server's log.

Needs root, PostgreSQL (Debian package postgresql-15: server, psql and pgbench), tcpdump, psycopg 3 and asyncpg; the newest version
out of a root of its own, which docs/protocols/postgresql.md says how to make (`POSTGRESQL_ROOT`, /opt/sid if that is not set).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.captured import run_captured
from tests.integration.namespaces import APPLICATION, Namespace
from tests.integration.servers import Program, Site, need, wait_for
from tests.l7.harness import Seen

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
PORT = 5432
NEWEST = Path(os.environ.get("POSTGRESQL_ROOT", "/opt/sid"))
# Which ones a test is run with: the roots whose programs they are.
ROOTS = {"distribution": Path("/"), "newest": NEWEST}

# Runs inside the namespace; prints the local port and the account of each connection.
WORKLOAD = r"""
import asyncio, contextlib, json, sys, threading
sys.path.insert(0, sys.argv[1])
import asyncpg, psycopg
from postgresql_account import Psycopg, aborted, failed, named, ok, result
where = dict(max_protocol_version=sys.argv[2]) if psycopg.pq.version() >= 180000 else {}
where |= dict(host="127.0.0.1", port=5432, user="lab", dbname="postgres", sslmode="disable", gssencmode="disable")
told = []
def pipeline(libpq, bad):
    # By libpq itself: psycopg breaks a pipeline off when it notices the error.
    libpq.enter_pipeline_mode()
    for i in range(200):
        libpq.send_query_params(b"SELECT 1/$1::int, generate_series(1, $2::int)", [b"0" if i == bad else b"1", b"%d" % (i % 5)])
    libpq.pipeline_sync()
    expected = []
    while True:
        answer = libpq.get_result()
        if answer is None:
            continue
        status = psycopg.pq.ExecStatus(answer.status)
        if status == psycopg.pq.ExecStatus.PIPELINE_SYNC:
            break
        if status == psycopg.pq.ExecStatus.PIPELINE_ABORTED:
            expected.append(aborted())
        elif status == psycopg.pq.ExecStatus.FATAL_ERROR:
            expected.append(failed(answer.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode()))
        else:
            expected.append(ok("SELECT", answer.ntuples))
    libpq.exit_pipeline_mode()
    assert len(expected) == 200
    return expected
def work(simple, table):
    with psycopg.connect(**where, autocommit=True) as connection:
        port = int(connection.execute("SELECT inet_client_port()").fetchone()[0])
        if "max_protocol_version" in where:
            assert connection.pgconn.full_protocol_version == (30002 if sys.argv[2] == "latest" else 30000)
        one = Psycopg(connection, simple)
        one.expected.append(ok("SELECT", 1))
        one.run(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        for i in range(200):
            one.run(f"INSERT INTO {table} VALUES (%s, %s)", (i, "it's" * i), prepare=False)
            one.run(f"SELECT * FROM {table} WHERE id < %s", (i,), prepare=False)
        one.run("SELECT generate_series(1, 20000), repeat('x', 100)")
        for wrong in (f"INSERT INTO {table} VALUES (1, 'x')", "SELECT 1/0", "SELECT * FROM nowhere", "SELEC"):
            one.run(wrong)
        with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            for i in range(1000, 3000):
                copy.write_row((i, "row"))
        one.expected.append(ok("COPY"))
        with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
            assert len(list(copy.rows())) == 2200
        one.expected.append(ok("COPY"))
        if not simple:
            for bad in (None, 0, 7, 199) * 3:
                one.expected += pipeline(connection.pgconn, bad)
        one.run("SELECT 1; SELECT 2")
        told.append([port, one.expected])
async def asynchronous():
    who = dict(user="lab", database="postgres")
    connection = await asyncpg.connect(host="127.0.0.1", port=5432, ssl=False, statement_cache_size=0, **who)
    port = connection._transport.get_extra_info("sockname")[1]
    expected = [named("LOGIN")]
    statement = await connection.prepare("SELECT generate_series(1, $1::int)")
    expected.append(named("PREPARE"))
    for i in range(300):
        assert len(await statement.fetch(i)) == i
        expected.append(ok("SELECT", i))
    async with connection.transaction():
        expected.append(ok("BEGIN"))
        async for _ in statement.cursor(95, prefetch=10):
            pass
        fetched = [dict(ok("SELECT", 10)) for _ in range(9)]
        expected += [*fetched, ok("SELECT", 5)]
    expected.append(ok("COMMIT"))
    await connection.close()
    told.append([port, expected])
threads = [threading.Thread(target=work, args=one) for one in ((True, "a"), (False, "b"))]
for one in threads: one.start()
for one in threads: one.join()
asyncio.run(asynchronous())
assert len(told) == 3
print(json.dumps(told))
"""


def programs(root: Path = Path("/")) -> Path:
    """The folder of PostgreSQL's programs in `root`; skips the test where it is not there, or a client is not."""
    found = sorted(root.glob("usr/lib/postgresql/*/bin/initdb"))
    if not found:
        pytest.skip(f"NOT RUN: PostgreSQL is missing in {root} (Debian package postgresql; docs/protocols/postgresql.md)")
    for module in ("psycopg", "asyncpg"):
        pytest.importorskip(module, reason=f"NOT RUN: {module} is missing (pip install psycopg[binary] asyncpg)")
    return found[-1].parent


@contextmanager
def made_folder(root: Path) -> Iterator[Path]:
    """One in `root` that the server, which refuses to be root, can reach."""
    made = Path(tempfile.mkdtemp(prefix="pr-postgresql-", dir=root / "tmp"))
    shutil.chown(made, "nobody", "nogroup")
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def folder() -> Iterator[Path]:
    with made_folder(Path("/")) as made:
        yield made


def server(folder: Path, address: str, root: Path = Path("/"), *more: str) -> list[str]:
    """The command that starts it, with a database made in `folder` of `root`. `more` settings."""
    inside = Path("/", folder.relative_to(root))
    there = Path("/", programs(root).relative_to(root))
    as_nobody = ["chroot", "--userspec=nobody:nogroup", "--groups=", os.fspath(root)]
    initdb = [*as_nobody, os.fspath(there / "initdb"), "-D", f"{inside}/data", "-U", "lab", "-A", "trust", "--no-sync"]
    subprocess.run([*initdb, "-E", "UTF8", "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder)
    with (folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 0.0.0.0/0 trust\n")
    # Shared memory in files: a root of its own may have no /dev/shm.
    settings = [f"listen_addresses={address}", "fsync=off", "max_connections=50", "dynamic_shared_memory_type=mmap", *more]
    argv = [*as_nobody, os.fspath(there / "postgres"), "-D", f"{inside}/data", "-p", str(PORT), "-k", os.fspath(inside)]
    return argv + [word for each in settings for word in ("-c", each)]


def start(namespace: Namespace, folder: Path, *argv: str) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(argv[0]).name}.log").open("wb") as output:
        return subprocess.Popen(namespace.command(argv), stdout=output, stderr=output, cwd=folder)


def is_up(namespace: Namespace, folder: Path) -> bool:
    return namespace.run(os.fspath(programs() / "pg_isready"), "-h", os.fspath(folder), check=False).returncode == 0


def first_word(one: Seen) -> str | None:
    """Of the summary, as a tag begins."""
    return one["summary"].split()[0].upper() if one["summary"] else None


def agrees(read: Seen, expected: dict[str, Any]) -> bool:
    """Whether what is read says what the client did: its tag's first word, and all else that the account has."""
    if "tag" in expected and first_word(read) != (expected["tag"].split() or [None])[0]:
        # Two fetches of three have no tag, and are named by their statement.
        return False
    return all((read.outcome if name == "outcome" else read[name]) == value for name, value in expected.items() if name != "tag")


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_the_clients_record_is_what_is_read_and_what_the_server_logs(tmp_path: Path, root: Path) -> None:
    need("tcpdump")
    programs(root)
    with made_folder(root) as folder:
        check_record(folder, tmp_path, root)


def check_record(folder: Path, tmp_path: Path, root: Path) -> None:
    logs = ["logging_collector=on", "log_destination=jsonlog", "log_directory=../log", "log_filename=all"]
    argv = server(folder, "127.0.0.1", root, *logs, "log_min_duration_statement=0")
    namespace = Namespace(f"pr-postgresql-{os.getpid()}")
    try:
        postgres = start(namespace, folder, *argv)
        try:
            wait_for(lambda: is_up(namespace, folder), "postgres")
            # libpq looks through its socket; what is captured begins behind that.
            command = [sys.executable, "-c", WORKLOAD, os.fspath(VECTORS), "latest" if root == NEWEST else "3.0"]
            printed, collector = run_captured(namespace, tmp_path, command, f"port {PORT}")
        finally:
            postgres.terminate()
            postgres.wait(20)
    finally:
        namespace.close()
    told: list[tuple[int, list[dict[str, Any]]]] = json.loads(printed)
    assert collector.by_port.keys() == {port for port, _ in told}
    for port, account in told:
        read = collector.by_port[port]
        assert len(read) == len(account) > 300
        differ = [(mine, its) for mine, its in zip(read, account, strict=True) if not agrees(mine, its)]
        assert differ == []
    # The server says how long each statement took that it has done; several in one query are one to it.
    logged: Counter[int] = Counter()
    for line in (folder / "log" / "all.json").read_text().splitlines():
        entry = json.loads(line)
        if re.match(r"duration: \S+ ms  (statement|execute)", entry["message"]):
            logged[entry["remote_port"]] += 1
    for port, read in collector.by_port.items():
        succeeded = sum(one.outcome == "ok" and one["operation"] is None for one in read)
        several = 1 if any(first_word(one) == "CREATE" for one in read) else 0
        assert logged[port] == succeeded - several


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_at_full_speed_is_counted_one_by_one(site: Site, tmp_path: Path, folder: Path, mode: str) -> None:
    """Its transactions times its statements are our count, live."""
    program = Program(server(folder, "0.0.0.0"), site.application, folder)
    site.programs.append(program)
    program.start()
    wait_for(lambda: is_up(site.application, folder), "postgres")
    receiver = site.receiver("receivers.pcap.interfaces=[eth0]", "receivers.pcap.buffer_size=128MiB")
    script = tmp_path / "script"
    script.write_text("BEGIN;\nSELECT generate_series(1, 3);\nSELECT 2;\nEND;\n")
    clients, transactions, statements = 8, 2500, 4
    argv = ["pgbench", "-n", "-M", mode, "-f", os.fspath(script), "-c", str(clients), "-t", str(transactions), "-h", APPLICATION]
    said = site.client.run(*argv, "-U", "lab", "postgres", timeout_s=120).stdout
    assert f"number of transactions actually processed: {clients * transactions}/{clients * transactions}" in said

    def seen() -> int:
        return receiver.own("roundtrips_total", protocol="postgresql", outcome="ok")

    def at_rest() -> bool:
        before = seen()
        time.sleep(1.5)  # libpcap hands a block over up to its timeout late
        return before == seen() > 0

    wait_for(at_rest, "the count", timeout_s=60)
    # It logs in once more, to look, and prepares each statement once on each connection.
    prepared = clients * statements if mode == "prepared" else 0
    assert seen() == clients * transactions * statements + clients + 1 + prepared
    assert receiver.packets_dropped() == 0
    assert receiver.own("roundtrips_total", protocol="postgresql") == seen()
