"""A real RabbitMQ, from the package of the system or of another root (`RABBITMQ_ROOT`): nothing of the system's own is touched."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(os.environ.get("RABBITMQ_ROOT", "/"))
SERVER = Path("usr/lib/rabbitmq/bin/rabbitmq-server")
# A password, a value of a header, a body: what must never be found in anything that is told.
SECRET = "hunter2-never-shown"
CONFIG = """
listeners.tcp.1 = 127.0.0.1:{port}
loopback_users = none
default_user = lab
default_pass = {secret}
heartbeat = 60
log.file = false
log.console = false
"""


def why_not(root: Path = ROOT) -> str | None:
    """What is missing, None when it can run."""
    if not (root / SERVER).exists():
        return f"RabbitMQ in {root} (apt install rabbitmq-server; docs/protocols/amqp.md)"
    if not (root / "usr/bin/epmd").exists():
        return f"epmd in {root} (apt install erlang-base)"
    return None


def version() -> str:
    """Of the package that is installed."""
    plugins = sorted((ROOT / SERVER).parents[1].glob("lib/rabbitmq_server-*"))
    return plugins[-1].name.rpartition("-")[2] if plugins else "unknown"


@contextlib.contextmanager
def broker(port: int, distribution: int, mapper: int) -> Iterator[None]:
    """A broker on `port` of the loopback, with a user `lab`; `distribution` and `mapper` are ports that Erlang wants for itself."""
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", dir=ROOT / "tmp") as made:
        home = Path(made)
        folder = f"/{home.relative_to(ROOT)}"  # as it is called in there
        (home / "rabbitmq.conf").write_text(CONFIG.format(port=port, secret=SECRET))
        (home / "plugins").write_text("[].\n")
        env = {
            **os.environ,
            "RABBITMQ_NODENAME": f"lab{port}@localhost",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(mapper),
            "HOME": folder,
        }
        there = [] if Path("/") == ROOT else ["chroot", str(ROOT)]
        commands = (["/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(mapper)], [f"/{SERVER}"])
        with (home / "said").open("w") as said:
            started = [
                subprocess.Popen([*there, *command], env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
                for command in commands
            ]
            try:
                wait_ready(port, started[1], home / "said")
                yield
            finally:
                for process in reversed(started):
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGTERM)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(20)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def wait_ready(port: int, server: subprocess.Popen[bytes], said: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended: {said.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as ask:
            ask.sendall(b"AMQP\0\0\x09\x01")
            if ask.recv(1) == b"\1":
                return
        time.sleep(0.1)
    raise RuntimeError(f"RabbitMQ does not answer: {said.read_text(errors='replace')[-2000:]}")
