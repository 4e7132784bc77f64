"""What is watched besides nginx: each a context that runs a server in the application's namespace and gives its port."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.lab import APP_ADDRESS, Lab, LabUnavailable

HERE = Path(__file__).parent
GRPC_METHOD = "bench.Echo/Echo"
PACKAGES = {
    "h2load": "nghttp2-client",
    "nghttpd": "nghttp2-server",
    "redis-server": "redis-server",
    "redis-benchmark": "redis-tools",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "dnsmasq": "dnsmasq-base",
    "pgbench": "postgresql-15",
    "psql": "postgresql-client-15",
}


def need(*programs: str) -> None:
    """Raises LabUnavailable with the packages of those that are not there."""
    missing = [f"{name} (Debian package {PACKAGES[name]})" for name in programs if not shutil.which(name)]
    if missing:
        raise LabUnavailable(f"missing: {', '.join(missing)}")


@contextlib.contextmanager
def running(lab: Lab, argv: list[str], port: int) -> Iterator[int]:
    log = lab.directory / f"{Path(argv[0]).name}-{port}.log"
    with log.open("w") as said:
        started = lab.popen("app", argv, stdout=said, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 20
        while not lab.inside("app", lambda: listens(port)):
            if started.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{argv[0]} does not listen: {log.read_text().strip()[-300:]}")
            time.sleep(0.05)
        yield port
    finally:
        lab.stop(started)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((APP_ADDRESS, port), 1).close()
        return True
    return False


@contextlib.contextmanager
def grpcio(lab: Lab) -> Iterator[int]:
    need("h2load")
    with running(lab, [sys.executable, str(HERE / "grpc_server.py"), APP_ADDRESS, "8090"], 8090) as port:
        yield port


@contextlib.contextmanager
def nghttpd(lab: Lab) -> Iterator[int]:
    """Files of /1k and /1m, and a gRPC method whose answer is always the same: as fast as a server gets."""
    need("h2load", "nghttpd")
    root = lab.directory / "htdocs"
    (root / GRPC_METHOD).parent.mkdir(exist_ok=True)
    (root / GRPC_METHOD).write_bytes(b"\0\0\0\0\x05hello")
    argv = ["nghttpd", "--no-tls", "-a", APP_ADDRESS, "-d", str(root), "--trailer", "grpc-status: 0", "-W", "24", "8091"]
    with running(lab, argv, 8091) as port:
        yield port


@contextlib.contextmanager
def frames(lab: Lab) -> Iterator[int]:
    """Any number of bytes in one DATA frame."""
    need("h2load")
    with running(lab, [sys.executable, str(HERE / "frame_server.py"), APP_ADDRESS, "8092"], 8092) as port:
        yield port


@contextlib.contextmanager
def redis(lab: Lab) -> Iterator[int]:
    need("redis-server", "redis-benchmark")
    argv = ["redis-server", "--port", "6379", "--bind", APP_ADDRESS, "--protected-mode", "no", "--save", "", "--appendonly", "no"]
    with running(lab, [*argv, "--dir", str(lab.directory)], 6379) as port:
        yield port


@contextlib.contextmanager
def mariadb(lab: Lab) -> Iterator[int]:
    """A table of ten rows, and a user without a password."""
    need("mariadbd", "mariadb-install-db")
    start = ["--no-defaults", f"--datadir={lab.directory}/mariadb", "--user=root"]
    install = ["mariadb-install-db", *start, "--skip-test-db", "--auth-root-authentication-method=normal"]
    subprocess.run(install, check=True, capture_output=True)
    rows = ", ".join(f"({number}, 'item {number}')" for number in range(10))
    (lab.directory / "init.sql").write_text(
        "CREATE USER 'bench'@'%';\nGRANT ALL ON *.* TO 'bench'@'%';\nCREATE DATABASE bench;\n"
        f"CREATE TABLE bench.item (id INT PRIMARY KEY, name TEXT);\nINSERT INTO bench.item VALUES {rows};\n"
    )
    address = ["--port=3306", f"--bind-address={APP_ADDRESS}", f"--socket={lab.directory}/mariadb.sock", "--skip-name-resolve"]
    with running(lab, ["mariadbd", *start, *address, f"--init-file={lab.directory}/init.sql"], 3306) as port:
        yield port


@contextlib.contextmanager
def mongodb(lab: Lab) -> Iterator[int]:
    """Answers finds."""
    with running(lab, [sys.executable, str(HERE / "mongodb_load.py"), "serve", APP_ADDRESS, "27017"], 27017) as port:
        yield port


@contextlib.contextmanager
def kafka(lab: Lab) -> Iterator[int]:
    """Answers what is produced."""
    with running(lab, [sys.executable, str(HERE / "kafka_load.py"), "serve", APP_ADDRESS, "9092"], 9092) as port:
        yield port


@contextlib.contextmanager
def amqp(lab: Lab) -> Iterator[int]:
    """Confirms what is published."""
    with running(lab, [sys.executable, str(HERE / "amqp_load.py"), "serve", APP_ADDRESS, "5672"], 5672) as port:
        yield port


@contextlib.contextmanager
def postgresql(lab: Lab) -> Iterator[int]:
    """As nobody, for it refuses root."""
    need("pgbench", "psql")
    programs = Path(shutil.which("pgbench") or "").resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        programs = installed[-1].parent
    as_nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        shutil.chown(folder, "nobody", "nogroup")
        initdb = [*as_nobody, str(programs / "initdb"), "-D", f"{folder}/data", "-U", "lab", "-A", "trust", "--no-sync"]
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, capture_output=True, cwd=folder)
        with Path(folder, "data", "pg_hba.conf").open("a") as rules:
            rules.write("host all all 0.0.0.0/0 trust\n")
        argv = [*as_nobody, str(programs / "postgres"), "-D", f"{folder}/data", "-p", "5432", "-k", folder, "-c", "fsync=off"]
        with running(lab, [*argv, "-c", f"listen_addresses={APP_ADDRESS}"], 5432) as port:
            yield port


@contextlib.contextmanager
def dnsmasq(lab: Lab) -> Iterator[int]:
    """Knows www.bench.test."""
    need("dnsmasq")
    argv = ["dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "-p", "53", f"--listen-address={APP_ADDRESS}"]
    argv += ["--bind-interfaces", "--user=root", "--pid-file=", "--cache-size=0", "--address=/www.bench.test/192.0.2.1"]
    with running(lab, argv, 53) as port:
        yield port
