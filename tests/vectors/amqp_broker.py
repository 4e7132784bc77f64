"""A real RabbitMQ, from the system's package, as an ordinary user's process: nothing of the system's own is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = Path(os.environ.get("RABBITMQ_ROOT", "/")) / "usr/lib/rabbitmq/bin/rabbitmq-server"
# A password, a value of a header, a body: what must never be found in anything that is told.
SECRET = "hunter2-never-shown"
CONFIG = """
listeners.tcp.1 = {address}:{port}
loopback_users = none
default_user = lab
default_pass = {secret}
heartbeat = 60
log.file = false
log.console = false
"""


def why_not() -> str | None:
    """What is missing, None when it can run."""
    if not SERVER.exists():
        return "RabbitMQ (apt install rabbitmq-server)"
    if shutil.which("epmd") is None:
        return "epmd (apt install erlang-base)"
    return None


def version() -> str:
    """Of the package that is installed."""
    plugins = sorted(SERVER.parents[1].glob("lib/rabbitmq_server-*"))
    return plugins[-1].name.rpartition("-")[2] if plugins else "unknown"


@contextlib.contextmanager
def broker(port: int, distribution: int, mapper: int, address: str = "127.0.0.1", prefix: tuple[str, ...] = ()) -> Iterator[None]:
    """A broker on `port`, with a user `lab`; `distribution` and `mapper` are ports that Erlang wants for itself. `prefix` stands before
    its command (`ip netns exec NAME`)."""
    with tempfile.TemporaryDirectory(prefix="rabbitmq-") as folder:
        home = Path(folder)
        (home / "rabbitmq.conf").write_text(CONFIG.format(address=address, port=port, secret=SECRET))
        (home / "plugins").write_text("[].\n")
        env = {
            **os.environ,
            "RABBITMQ_NODENAME": f"lab{port}@localhost",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "ERL_EPMD_PORT": str(mapper),
            "HOME": folder,
        }
        said = (home / "said").open("w")
        quiet = {"env": env, "stdout": said, "stderr": subprocess.STDOUT, "start_new_session": True}
        names = subprocess.Popen([*prefix, "epmd", "-address", "127.0.0.1", "-port", str(mapper)], **quiet)  # type: ignore[call-overload]
        server = subprocess.Popen([*prefix, str(SERVER)], **quiet)  # type: ignore[call-overload]
        try:
            wait_ready(address, port, server, home / "said", prefix)
            yield
        finally:
            for process in (server, names):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            said.close()


ASK = "import socket,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])),2);s.sendall(b'AMQP\\0\\0\\x09\\x01');sys.exit(s.recv(1)!=b'\\1')"


def wait_ready(address: str, port: int, server: subprocess.Popen[bytes], said: Path, prefix: tuple[str, ...]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended: {said.read_text(errors='replace')[-2000:]}")
        if prefix:
            if subprocess.run([*prefix, "python3", "-c", ASK, address, str(port)], capture_output=True, check=False).returncode == 0:
                return
        else:
            with contextlib.suppress(OSError), socket.create_connection((address, port), 2) as ask:
                ask.sendall(b"AMQP\0\0\x09\x01")
                if ask.recv(1) == b"\1":
                    return
        time.sleep(0.1)
    raise RuntimeError(f"RabbitMQ does not answer: {said.read_text(errors='replace')[-2000:]}")
