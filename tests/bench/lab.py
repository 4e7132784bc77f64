"""Three network namespaces: a client, an application with nginx and the observer beside it, and where exports go to.

Needs root, iproute2 and nginx. Everything started here ends with it, even when this process is killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

T = TypeVar("T")

CLIENT_ADDRESS, APP_ADDRESS = "10.210.1.1", "10.210.1.2"
APP_EXPORT_ADDRESS, SINK_ADDRESS = "10.210.2.2", "10.210.2.3"
PORT = 8080
CLONE_NEWNET = 0x40000000
FILES = {"/1k": 1_000, "/10k": 10_000, "/1m": 1_000_000}

NGINX = """
worker_processes 1;
worker_rlimit_nofile 19000;
daemon off;
user root;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{ worker_connections 18000; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;  # head and body in one segment
  open_file_cache max=16 inactive=1h;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2; fastcgi_temp_path {directory}/t3;
  uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
  server {{
    listen {address}:{port} backlog=4096;
    root {directory}/htdocs;
    location = /200 {{ default_type text/plain; return 200 "{body}"; }}
  }}
}}
"""


class Lab:
    """A context: made on entry, taken down on exit."""

    def __init__(self) -> None:
        missing = [name for name in ("ip", "nginx", "tcpdump", "wrk", "ethtool", "setpriv") if not shutil.which(name)]
        if os.geteuid() != 0:
            raise LabUnavailable("live rows need root")
        if missing:
            raise LabUnavailable(f"live rows need {', '.join(missing)}")
        self.directory = Path(tempfile.mkdtemp(prefix="pcapbench-"))
        self.names = {role: f"pcapbench-{os.getpid()}-{role}" for role in ("client", "app", "sink")}
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._take_down()

    def popen(
        self,
        role: str,
        argv: Sequence[str],
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program in the namespace of `role`; the process id is the program's own."""
        # ip and setpriv replace themselves by what they start.
        whole = ["ip", "netns", "exec", self.names[role], "setpriv", "--pdeathsig", "KILL", *argv]
        started = subprocess.Popen(whole, stdin=stdin, stdout=stdout, stderr=stderr, env=env, text=True)
        self._started.append(started)
        return started

    def run(self, role: str, argv: Sequence[str], timeout_s: float = 120.0) -> str:
        """Run a program to its end and return what it printed. Raises RuntimeError with its own words when it fails."""
        started = self.popen(role, argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = started.communicate(timeout=timeout_s)
        except BaseException:
            self.stop(started, force=True)
            raise
        self._started.remove(started)
        if started.returncode:
            raise RuntimeError(f"{argv[0]}: exit {started.returncode}: {err.strip()[-500:]}")
        return out

    def stop(self, started: subprocess.Popen[str], force: bool = False) -> int:
        """SIGTERM and wait, SIGKILL after 10 s; the exit code."""
        started.kill() if force else started.terminate()
        try:
            code = started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            code = started.wait()
        if started in self._started:
            self._started.remove(started)
        return code

    def inside(self, role: str, work: Callable[[], T]) -> T:
        """Run `work` on a thread of this process that is in the namespace of `role`."""
        answer: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                with Path(f"/run/netns/{self.names[role]}").open() as namespace:
                    if libc.setns(namespace.fileno(), CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                answer.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter, name=f"in-{role}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return answer[0]

    def get(self, role: str, url: str, timeout_s: float = 5.0) -> str:
        """The body of an HTTP answer, asked from the namespace of `role`. Raises OSError."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask() -> str:
            with opener.open(url, timeout=timeout_s) as answer:
                body: bytes = answer.read()
                return body.decode()

        return self.inside(role, ask)

    def await_answer(self, role: str, url: str, started: subprocess.Popen[str], patience_s: float = 20.0) -> None:
        """Wait until `url` answers 200. Raises RuntimeError when the program ends before, or at the end of patience."""
        end = time.monotonic() + patience_s
        while True:
            try:
                self.get(role, url, 1.0)
                return
            except OSError as error:
                if started.poll() is not None:
                    raise RuntimeError(f"ended with {started.returncode} before {url} answered") from error
                if time.monotonic() > end:
                    raise RuntimeError(f"{url} did not answer: {error}") from error
                time.sleep(0.05)

    def offload(self, on: bool) -> None:
        """Segments of up to 64 KB on the link between client and application, or frames of the MTU as on a wire."""
        for role in ("client", "app"):
            state = "on" if on else "off"
            self.run(role, ["ethtool", "-K", "eth0", "tso", state, "gso", state, "gro", state])

    def _build(self) -> None:
        for role, name in self.names.items():
            _ip("netns", "add", name)
            self.run(role, ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
            self.run(role, ["ip", "link", "set", "lo", "up"])
        self._join("client", CLIENT_ADDRESS, "app", APP_ADDRESS, "eth0", "eth0")
        self._join("app", APP_EXPORT_ADDRESS, "sink", SINK_ADDRESS, "eth1", "eth0")
        (self.directory / "htdocs").mkdir()
        for path, size in FILES.items():
            (self.directory / "htdocs" / path[1:]).write_bytes(b"0123456789abcde\n" * (size // 16) + b"." * (size % 16))
        configuration = NGINX.format(directory=self.directory, address=APP_ADDRESS, port=PORT, body="x" * 200)
        (self.directory / "nginx.conf").write_text(configuration)
        nginx = self.popen("app", ["nginx", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"), "-e", "stderr"])
        self.await_answer("client", f"http://{APP_ADDRESS}:{PORT}/200", nginx)

    def _join(self, left: str, left_address: str, right: str, right_address: str, left_name: str, right_name: str) -> None:
        ends = ("link", "add", left_name, "netns", self.names[left], "type", "veth", "peer", "name", right_name)
        _ip(*ends, "netns", self.names[right])
        for role, name, address in ((left, left_name, left_address), (right, right_name, right_address)):
            self.run(role, ["ip", "address", "add", f"{address}/24", "dev", name])
            self.run(role, ["ip", "link", "set", name, "up"])

    def _take_down(self) -> None:
        for started in reversed(self._started):
            started.terminate()
        for started in list(self._started):
            self.stop(started)
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


class LabUnavailable(Exception):
    """The live part cannot run here, and why."""


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
