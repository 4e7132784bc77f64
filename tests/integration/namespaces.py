"""Network namespaces joined by veth pairs: real Ethernet frames between real network stacks, and no traffic outside.

    client eth0 ------------------- eth0 application eth1 ------ eth0 backend
    client eth0 --- router -------- eth0 application eth1 ------ eth0 backend     (routed: packets can be lost there)

The receiver runs in `application` beside the watched server; what it exports goes to `backend` over an interface of
that same namespace, as in a pod. Needs root.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

APPLICATION = "10.201.1.2"
APPLICATION_TO_BACKEND = "10.201.9.2"
BACKEND = "10.201.9.3"

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*argv: str, timeout_s: float = 300, check: bool = True, text_in: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end; what it wrote is in the error when it fails."""
    done = subprocess.run(argv, timeout=timeout_s, check=False, capture_output=True, text=True, input=text_in)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Namespace:
    """A network namespace with its loopback up."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        self.run("ip", "link", "set", "lo", "up")

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as it must be called to run in here; `ip` replaces itself, so the process id is the program's."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(
        self, *argv: str, timeout_s: float = 300, check: bool = True, text_in: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return run(*self.command(argv), timeout_s=timeout_s, check=check, text_in=text_in)

    def call(self, function: Callable[[], T]) -> T:
        """Call `function` in a thread that lives in here: the sockets it opens belong to this namespace."""
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
                try:
                    if _libc.setns(descriptor, _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"setns {self.name}")
                finally:
                    os.close(descriptor)
                results.append(function())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=work, name=f"in {self.name}")
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def address(self, interface: str, address: str) -> None:
        self.run("ip", "address", "add", f"{address}/24", "dev", interface)
        self.run("ip", "link", "set", interface, "up")

    def close(self) -> None:
        run("ip", "netns", "delete", self.name, check=False)


def join(left: Namespace, left_interface: str, right: Namespace, right_interface: str) -> None:
    """Join two namespaces by a veth pair."""
    run("ip", "link", "add", left_interface, "netns", left.name, "type", "veth", "peer", "name", right_interface,
        "netns", right.name)


class Lab:
    """The namespaces of the drawing above. `close()` removes them; stop the programs first."""

    def __init__(self, routed: bool = False) -> None:
        prefix = f"pr{os.getpid()}"
        self._open: list[Namespace] = []
        try:
            self.application = self._namespace(f"{prefix}-app")
            self.client = self._namespace(f"{prefix}-client")
            self.backend = self._namespace(f"{prefix}-back")
            join(self.application, "eth1", self.backend, "eth0")
            self.application.address("eth1", APPLICATION_TO_BACKEND)
            self.backend.address("eth0", BACKEND)
            if routed:
                self._route(prefix)
            else:
                self.client_address = "10.201.1.3"
                join(self.application, "eth0", self.client, "eth0")
                self.application.address("eth0", APPLICATION)
                self.client.address("eth0", self.client_address)
        except BaseException:
            self.close()
            raise

    def _namespace(self, name: str) -> Namespace:
        namespace = Namespace(name)
        self._open.append(namespace)
        return namespace

    def _route(self, prefix: str) -> None:
        self.client_address = "10.201.2.3"
        self.router = self._namespace(f"{prefix}-router")
        join(self.application, "eth0", self.router, "eth0")
        join(self.client, "eth0", self.router, "eth1")
        self.application.address("eth0", APPLICATION)
        self.client.address("eth0", self.client_address)
        self.router.address("eth0", "10.201.1.1")
        self.router.address("eth1", "10.201.2.1")
        self.application.run("ip", "route", "add", "default", "via", "10.201.1.1")
        self.client.run("ip", "route", "add", "default", "via", "10.201.2.1")
        # `ip netns exec` mounts the namespace's own /sys but leaves /proc: net under /proc/sys follows the process.
        self.router.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for namespace in (self.application, self.client, self.router):
            for interface in ("eth0", "eth1"):  # frames of at most the MTU, as on a wire; eth1 is not everywhere
                namespace.run("ethtool", "-K", interface, "tso", "off", "gso", "off", "gro", "off", check=False)

    def lose(self, percent: int, which: str = "meta l4proto tcp") -> None:
        """From now on the router loses that share of the packets, in both directions, by chance; or of those that
        `which` (in nft's language) is true of."""
        # A packet that is delayed passes twice; on its way out once. eth0 leads to the application, eth1 to the client.
        rules = (
            f"add rule ip lab forward oifname {interface} {which} numgen random mod 100 < {percent} counter drop"
            for interface in ("eth0", "eth1")
        )
        chain = "add table ip lab; add chain ip lab forward { type filter hook forward priority 0; }"
        self.router.run("nft", "; ".join((chain, *rules)))

    def lost(self, interface: str = "eth[01]") -> int:
        """How many packets the router has lost: of both directions, or those that would have left by `interface`."""
        listing = self.router.run("nft", "list", "table", "ip", "lab").stdout
        return sum(int(count) for count in re.findall(rf'oifname "{interface}".* counter packets (\d+)', listing))

    def close(self) -> None:
        while self._open:
            with suppress(subprocess.SubprocessError):
                self._open.pop().close()


def available() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        return False
    return subprocess.run(["unshare", "--net", "--mount", "true"], check=False, capture_output=True).returncode == 0
