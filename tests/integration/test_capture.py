"""Live capture in network namespaces of our own, beside tcpdump on the same interface. Needs root, ip and tcpdump."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REASON = "live capture needs root with CAP_NET_ADMIN, ip and tcpdump"


def _possible() -> bool:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("tcpdump"):
        return False
    name = f"pr-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=False)
    return True


pytestmark = pytest.mark.skipif(not _possible(), reason=REASON)

SERVER, CLIENT = "10.91.0.1", "10.91.0.2"

# Runs inside a namespace: opens, says so, captures until SIGTERM, then tells in JSON what it saw.
CAPTURE = """
import json, signal, struct, sys, time
from receiver import privileges
from receiver.pcap.bpf import FilterPlan, build_filter
from receiver.pcap.capture import CaptureError, CaptureLost
from receiver.pcap.live import LiveSource
import msgspec
wish = json.loads(sys.argv[1])
plan = msgspec.convert(wish["plan"], FilterPlan)
live = LiveSource(wish["interfaces"], lambda link: build_filter(plan, link), buffer_bytes=wish.get("buffer", 8 << 20))
stop, frames, ticks = [], [], []
signal.signal(signal.SIGTERM, lambda *_: (stop.append(time.monotonic()), live.wake()))
signal.signal(signal.SIGUSR1, lambda *_: None)
def on_batch(packets, meta, link, interface):
    for seconds, micros, offset, length in struct.iter_unpack("=4I", meta):
        frames.append((link, packets[offset:offset + length].hex()))
try:
    live.open()
    if wish.get("drop"):
        assert privileges.drop_capabilities()
    print("ready", *live.link_types(), flush=True)
    if wish.get("wait"):
        signal.sigwait([signal.SIGUSR1])
    live.run(on_batch, lambda now: ticks.append(time.monotonic()), lambda: bool(stop))
except CaptureError as error:
    print(type(error).__name__, error, flush=True)
    sys.exit(3)
ended = time.monotonic()
stats = live.stats()
live.close()
gaps = [b - a for a, b in zip(ticks, ticks[1:])]
print(json.dumps({"frames": frames, "received": stats.received, "dropped": stats.dropped_kernel,
                  "late": ended - stop[0], "gap": max(gaps, default=0)}), flush=True)
"""

# Two ends of one TCP connection, so many requests of 100 bytes and responses of 1000; both in one process.
SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
peer, _ = listener.accept()
while peer.recv(100, socket.MSG_WAITALL):
    peer.sendall(b"r" * 1000)
"""
CALL = """
import socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
for _ in range(int(sys.argv[3])):
    peer.sendall(b"q" * 100)
    peer.recv(1000, socket.MSG_WAITALL)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def inside(namespace: str, *command: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def line_of(program: subprocess.Popen[str]) -> str:
    assert program.stdout
    return program.stdout.readline().strip()


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth, `eth0` in each; offload off, so that frames are as on a wire."""
    server, client = f"pr-cap-s-{os.getpid()}", f"pr-cap-c-{os.getpid()}"
    try:
        for name in (server, client):
            ip("netns", "add", name)
            # IPv6 talks to itself when an interface comes up; exact counts need silence.
            for scope in ("all", "default"):
                off = ["sh", "-c", f"echo 1 > /proc/sys/net/ipv6/conf/{scope}/disable_ipv6"]
                subprocess.run(["ip", "netns", "exec", name, *off], check=True)
        ip("link", "add", "eth0", "netns", server, "type", "veth", "peer", "name", "eth0", "netns", client)
        for name, address in ((server, SERVER), (client, CLIENT)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", name, "link", "set", link, "up")
        yield server, client
    finally:
        for name in (server, client):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


class Capture:
    """Our source in a namespace."""

    def __init__(self, namespace: str, *interfaces: str, wrapper: tuple[str, ...] = (), **wish: Any) -> None:
        wish = {"interfaces": interfaces, "plan": wish.pop("plan", {}), **wish}
        self.program = inside(namespace, *wrapper, sys.executable, "-c", CAPTURE, json.dumps(wish))
        self.said = line_of(self.program)

    def end(self) -> dict[str, Any]:
        time.sleep(0.3)  # the kernel hands over a block that is not full after 100 ms
        self.program.send_signal(signal.SIGTERM)
        out, errors = self.program.communicate(timeout=20)
        assert self.program.returncode == 0, errors
        told: dict[str, Any] = json.loads(out)
        return told


@contextlib.contextmanager
def capture(namespace: str, *interfaces: str, **wish: Any) -> Iterator[Capture]:
    running = Capture(namespace, *interfaces, **wish)
    try:
        assert running.said.startswith("ready"), (running.said, running.program.communicate()[1])
        yield running
    finally:
        if running.program.poll() is None:
            running.program.kill()
        running.program.wait()


@contextlib.contextmanager
def tcpdump(namespace: str, interface: str, file: Path, expression: str) -> Iterator[None]:
    program = inside(namespace, "tcpdump", "-i", interface, "-U", "-w", str(file), "-Z", "root", expression)
    assert program.stderr
    assert "listening" in program.stderr.readline()
    yield
    time.sleep(1.2)  # its own block timeout is a second
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)


def frames_of(file: Path) -> list[str]:
    content = file.read_bytes()
    at, found = 24, []
    while at < len(content):
        (length,) = struct.unpack_from("=I", content, at + 8)
        found.append(content[at + 16 : at + 16 + length].hex())
        at += 16 + length
    return found


def talk(server: str, client: str, address: str, port: int, count: int = 50) -> None:
    serving = inside(server, sys.executable, "-c", SERVE, address, str(port))
    try:
        assert line_of(serving) == "ready"
        calling = inside(client, sys.executable, "-c", CALL, address, str(port), str(count))
        _, errors = calling.communicate(timeout=30)
        assert calling.returncode == 0, errors
        serving.wait(timeout=10)
    finally:
        serving.kill()
        serving.communicate()


def of_port(frames: list[list[Any]], port: int) -> list[str]:
    """IPv4 TCP frames to or from a port, Ethernet or cooked."""
    found = []
    for link, text in frames:
        packet = bytes.fromhex(text)[14 if link == 1 else 16 :]
        if packet[0] == 0x45 and packet[9] == 6 and port in struct.unpack_from("!HH", packet, 20):
            found.append(text)
    return found


@pytest.mark.parametrize("interface", ["eth0", "lo"])
def test_the_same_frames_as_tcpdump(pair: tuple[str, str], tmp_path: Path, interface: str) -> None:
    server, client = pair
    file = tmp_path / "theirs.pcap"
    on_lo = interface == "lo"
    with capture(server, interface) as ours, tcpdump(server, interface, file, "tcp port 9000"):
        assert ours.said == "ready 1"
        talk(server, server if on_lo else client, "127.0.0.1" if on_lo else SERVER, 9000)
        told = ours.end()
    theirs = frames_of(file)
    assert len(theirs) >= 100
    assert of_port(told["frames"], 9000) == theirs
    assert told["dropped"] == 0
    assert told["received"] == len(told["frames"])


def test_any_gives_loopback_and_wire_each_packet_once(pair: tuple[str, str], tmp_path: Path) -> None:
    server, client = pair
    files = tmp_path / "lo.pcap", tmp_path / "eth0.pcap"
    with (
        capture(server, "any") as ours,
        tcpdump(server, "lo", files[0], "tcp port 9001"),
        tcpdump(server, "eth0", files[1], "tcp port 9002"),
    ):
        assert ours.said == "ready 113"
        talk(server, server, "127.0.0.1", 9001)
        talk(server, client, SERVER, 9002)
        told = ours.end()
    for port, file in ((9001, files[0]), (9002, files[1])):
        theirs = [text[28:] for text in frames_of(file)]
        assert [text[32:] for text in of_port(told["frames"], port)] == theirs
        assert len(theirs) >= 100
    # The kernel would count the loopback twice: its outgoing half is refused there.
    assert told["received"] == len(told["frames"])


def test_two_interfaces_at_once_without_capabilities_after_the_start(pair: tuple[str, str]) -> None:
    server, client = pair
    with capture(server, "lo", "eth0", drop=True) as ours:
        assert ours.said == "ready 1 1"
        talk(server, server, "127.0.0.1", 9001)
        talk(server, client, SERVER, 9002)
        told = ours.end()
    assert len(of_port(told["frames"], 9001)) >= 100
    assert len(of_port(told["frames"], 9002)) >= 100


def test_without_layer4_the_kernel_keeps_pure_acks(pair: tuple[str, str], tmp_path: Path) -> None:
    server, client = pair
    file = tmp_path / "all.pcap"
    with capture(server, "eth0", plan={"layer4": False}) as ours, tcpdump(server, "eth0", file, "tcp port 9000"):
        talk(server, client, SERVER, 9000)
        told = ours.end()
    telling = []
    for text in frames_of(file):
        packet = bytes.fromhex(text)[14:]
        (total,) = struct.unpack_from("!H", packet, 2)
        if total > 20 + (packet[32] >> 4) * 4 or packet[33] & 7:
            telling.append(text)
    assert of_port(told["frames"], 9000) == telling
    assert 100 <= len(telling) < len(frames_of(file))
    assert told["received"] == len(told["frames"])


def test_tagged_frames_are_found_by_port(pair: tuple[str, str]) -> None:
    server, client = pair
    script = """
import socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("eth0", 0))
for port in (9000, 9001):
    for tags in (b"", b"\\x81\\0\\0\\5", b"\\x88\\xa8\\0\\5\\x81\\0\\0\\6"):
        tcp = struct.pack("!HHIIBBHHH", 40000, port, 1, 1, 0x50, 0x18, 512, 0, 0) + b"x" * 40
        ip = struct.pack("!BBHHHBBH8s", 0x45, 0, 80, 1, 0, 64, 6, 0, b"\\x0a\\x5b\\0\\2\\x0a\\x5b\\0\\1")
        out.send(b"\\xff" * 6 + b"\\2\\0\\0\\0\\0\\2" + tags + b"\\x08\\0" + ip + tcp)
"""
    with capture(server, "eth0", plan={"tcp_ports": [[9000, 9000]], "udp_ports": []}) as ours:
        sender = inside(client, sys.executable, "-c", script)
        _, errors = sender.communicate(timeout=20)
        assert sender.returncode == 0, errors
        told = ours.end()
    tags = [bytes.fromhex(text)[12:-82].hex() for _, text in told["frames"] if text.endswith("78" * 40)]
    ports = {bytes.fromhex(text)[-58:-56] for _, text in told["frames"] if text.endswith("78" * 40)}
    assert [t for t in tags if t] == ["81000005", "88a8000581000006"]
    assert len(tags) == 3
    assert ports == {struct.pack("!H", 9000)}


def test_own_exporters_are_not_captured(pair: tuple[str, str]) -> None:
    server, client = pair
    with capture(server, "any", plan={"exclude_endpoints": [["127.0.0.1", 4317], [SERVER, 4318]]}) as ours:
        talk(server, server, "127.0.0.1", 4317)
        talk(server, client, SERVER, 4318)
        talk(server, client, SERVER, 9000)
        told = ours.end()
    assert of_port(told["frames"], 4317) == of_port(told["frames"], 4318) == []
    assert len(of_port(told["frames"], 9000)) >= 100


def test_what_does_not_fit_the_ring_is_counted(pair: tuple[str, str]) -> None:
    server, client = pair
    with capture(server, "eth0", buffer=1 << 18, wait=True) as ours:
        talk(server, client, SERVER, 9000, count=3000)
        ours.program.send_signal(signal.SIGUSR1)
        told = ours.end()
    assert told["dropped"] > 0
    assert told["received"] == len(told["frames"]) + told["dropped"]


def test_an_interface_that_vanishes_is_named(pair: tuple[str, str]) -> None:
    server, _ = pair
    with capture(server, "lo", "eth0") as ours:
        ip("-n", server, "link", "del", "eth0")
        out, _ = ours.program.communicate(timeout=20)
    assert out == "CaptureLost interface eth0 is gone\n"
    assert ours.program.returncode == 3


def test_an_interface_that_was_down_for_a_while_goes_on(pair: tuple[str, str]) -> None:
    server, client = pair
    with capture(server, "eth0") as ours:
        ip("-n", server, "link", "set", "eth0", "down")
        time.sleep(0.3)
        ip("-n", server, "link", "set", "eth0", "up")
        time.sleep(0.5)
        talk(server, client, SERVER, 9000)
        told = ours.end()
    assert len(of_port(told["frames"], 9000)) >= 100


def test_sigterm_on_an_idle_interface_and_ticks_without_traffic(pair: tuple[str, str]) -> None:
    server, _ = pair
    with capture(server, "lo") as ours:
        time.sleep(1)
        told = ours.end()
    assert told["frames"] == []
    print(f"ended {told['late'] * 1000:.1f} ms after SIGTERM, longest gap between ticks {told['gap'] * 1000:.1f} ms")
    assert told["gap"] > 0


def test_an_interface_that_is_down_or_not_there_is_refused_clearly(pair: tuple[str, str]) -> None:
    server, _ = pair
    ip("-n", server, "link", "set", "eth0", "down")
    assert Capture(server, "eth0").said == "NoSuchInterface interface eth0 is down: ip link set eth0 up"
    assert Capture(server, "eth7").said == "NoSuchInterface no such interface: eth7 (there are: lo, eth0, any)"


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_without_the_capability_one_line_says_how_to_give_it(pair: tuple[str, str]) -> None:
    server, _ = pair
    without = ("setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw")
    for interface in ("lo", "any"):
        said = Capture(server, interface, wrapper=without).said
        assert said.startswith(f"CaptureDenied {interface}: not permitted to capture: CAP_NET_RAW is missing")
        assert "NET_RAW]" in said


def test_packets_sent_before_the_loop_starts_are_kept(pair: tuple[str, str]) -> None:
    server, client = pair
    with capture(server, "eth0", wait=True) as ours:
        talk(server, client, SERVER, 9000)
        ours.program.send_signal(signal.SIGUSR1)
        told = ours.end()
    assert len(of_port(told["frames"], 9000)) >= 100


def test_a_first_packet_after_start(pair: tuple[str, str]) -> None:
    """Prints how long after its start the process captures; never fails for being slow."""
    server, _ = pair
    started = time.monotonic()
    with capture(server, "lo") as ours:
        ready = time.monotonic() - started
        told = ours.end()
    print(f"capturing {ready * 1000:.0f} ms after start")
    assert told["dropped"] == 0
