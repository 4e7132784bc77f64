"""Channels that are open and warm before the capture begins: what the client counted, and what is told.

    python -m tests.integration.joined_late --minutes 10 [--varied] [PAIR ...]

runs each pair of real programs for so long and prints one line of JSON each. Needs root, tcpdump, and the programs.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from receiver.l7.registry import protocols
from tests.integration.conservation import read_capture
from tests.integration.namespaces import Namespace
from tests.integration.servers import program, wait_for
from tests.l7.harness import Collector, Seen

HERE = Path(__file__).parent
PORT = 50051
EVERY = 33  # one call of so many fails: 3 %
PAIRS = {
    "grpcio to grpc-go": ("grpcio", "grpc-go"),
    "grpc-go to grpcio": ("grpc-go", "grpcio"),
    "grpcio to grpcio": ("grpcio", "grpcio"),
    "grpc-go to grpc-go": ("grpc-go", "grpc-go"),
    "node to node": ("node", "node"),
}
NEEDS = {"grpc-go": ("grpc-lab",), "node": ("node",), "grpcio": ()}


@dataclass(frozen=True)
class Phase:
    """So many calls in a row; `varied`: each with headers of its own, so that tables are renewed."""

    calls: int
    varied: bool


@dataclass(frozen=True)
class Account:
    """`counted` is the client's, phase by phase; `told` and `truth` are call by call: outcome and status."""

    counted: list[dict[str, int]]
    told: list[Seen]
    truth: list[tuple[str, object]]

    def false(self) -> list[str]:
        """What is told and is not so."""
        return [
            f"call {number}: {one.outcome} {one['status']}, it was {outcome} {status}"
            for number, (one, (outcome, status)) in enumerate(zip(self.told, self.truth, strict=True))
            if one.outcome not in (outcome, "unknown") or one["status"] not in (status, None)
        ]

    def outcomes(self, start: int = 0, stop: int | None = None) -> Counter[str]:
        return Counter(one.outcome for one in self.told[start:stop])

    def healed(self) -> int:
        """From this call on every status is known."""
        unknown = [number for number, one in enumerate(self.told) if one.outcome == "unknown"]
        return unknown[-1] + 1 if unknown else 0


def command(peer: str, what: str) -> list[str]:
    if peer == "grpc-go":
        return [program("grpc-lab"), what, f"127.0.0.1:{PORT}"]
    if peer == "node":
        return [program("node"), str(HERE / "h2_peer.js"), what, str(PORT)]
    return [sys.executable, str(HERE / "grpc_peer.py"), what, str(PORT)]


def truth(peer: str, number: int) -> tuple[str, object]:
    """What becomes of the client's call of that number, as its own program has it."""
    if peer == "node":
        status = 500 if number % EVERY == 0 else 503 if number % EVERY == 1 else 200
        return "error" if status >= 500 else "ok", status
    return ("error", "INTERNAL") if number % EVERY == 0 else ("ok", "OK")


class Client:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def call(self, phase: Phase, timeout_s: float = 900) -> dict[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{phase.calls} {EVERY} {int(phase.varied)}\n")
        self.process.stdin.flush()
        counts: dict[str, int] = json.loads(self.process.stdout.readline())
        return {name.upper(): count for name, count in counts.items()}


@contextmanager
def running(argv: list[str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, text=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def watch(namespace: Namespace, folder: Path, pair: str, warm: Phase, *phases: Phase, seconds: float = 0) -> Account:
    """Make calls as `warm` says, then begin to capture, then go on: the phases, again and again for so many seconds."""
    client_name, server_name = PAIRS[pair]
    capture = folder / "lo.pcap"
    dump = [program("tcpdump"), "-i", "lo", "-U", "-s", "0", "-B", "65536", "-w", str(capture), "tcp", "port", str(PORT)]
    pipe = subprocess.PIPE
    with (
        (folder / "log").open("wb") as log,
        running(namespace.command(command(server_name, "server")), stdout=log, stderr=log),
    ):
        wait_for(lambda: namespace.call(accepts), "the server")
        with running(namespace.command(command(client_name, "client")), stdin=pipe, stdout=pipe, stderr=log) as process:
            client = Client(process)
            client.call(warm)
            with running(namespace.command(dump), stdout=log, stderr=log):
                wait_for(lambda: capture.exists() and capture.stat().st_size >= 24, "tcpdump")
                time.sleep(1)
                counted = [client.call(phase) for phase in phases]
                until = time.monotonic() + seconds
                done = list(phases)
                while time.monotonic() < until:
                    for phase in phases:
                        counted.append(client.call(phase))
                        done.append(phase)
                time.sleep(1)
    sink = Collector()
    read_capture(capture, sink, protocols())
    numbers = range(warm.calls + 1, warm.calls + 1 + sum(phase.calls for phase in done))
    return Account(counted, sink.seen, [truth(client_name, number) for number in numbers])


def accepts() -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", PORT)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--varied", action="store_true", help="each call with headers of its own, which is what heals")
    parser.add_argument("pairs", nargs="*", default=list(PAIRS))
    options = parser.parse_args()
    for pair in options.pairs:
        namespace = Namespace(f"pr-late-{os.getpid()}")
        try:
            with tempfile.TemporaryDirectory() as folder:
                account = watch(
                    namespace, Path(folder), pair, Phase(300, False), Phase(1000, options.varied), seconds=60 * options.minutes
                )
            counted: Counter[str] = Counter()
            for one in account.counted:
                counted.update(one)
            told = account.outcomes()
            false = account.false()
            line = {"pair": pair, "counted": counted, "told": told, "healed at": account.healed(), "false": false[:5]}
            print(json.dumps(line), flush=True)
        finally:
            namespace.close()


if __name__ == "__main__":
    main()
