"""Many connections, live: loss with 1 000 busy ones, memory with 10 000 idle ones, and with as many half-open beside them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.lab import APP_ADDRESS, Lab
from tests.bench.load import Done, FixedRate
from tests.bench.measure import Bench, ObserverFailed, ObserverKind, Run
from tests.bench.observers import ReceiverBoth, ReceiverMetrics, Tcpdump
from tests.bench.report import Bars

ORDER = 30
ROW = "many connections, live"
BUSY: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics)
MEMORY: tuple[ObserverKind, ...] = (ReceiverBoth,)
IDLE_CONNECTIONS = 10_000
HALF_OPEN = 10_000
HALF_OPEN_PORT = 8081


def run(bench: Bench) -> None:
    busy = FixedRate(0, bench.seconds, "/10k", 1_000)
    for who, runs in bench.alternate(bench.chosen(BUSY), busy).items():
        bench.add(ROW, who, "1 000 with 10 KB", "us CPU a roundtrip", [run.us_per_roundtrip for run in runs])
        bars = Bars(0, 0, 18.5) if who == ReceiverMetrics.name else None
        # The client waits for its last answer, so its count is exact: one too many is as wrong as one too few.
        losses = [abs(run.lost_percent) for run in runs if run.lost_percent is not None]
        bench.add(ROW, who, "1 000 with 10 KB, roundtrips lost or invented", "%", losses, bars)
        bench.add(
            ROW,
            who,
            "1 000 with 10 KB, kernel dropped",
            "packets",
            [run.dropped for run in runs if run.dropped is not None],
        )

    for who, runs in bench.alternate(bench.chosen(MEMORY), FixedRate(20_000, bench.seconds)).items():
        add_memory(bench, who, "RSS at 20 000/s", runs, Bars(50, None, 49))
    for kind in bench.chosen(MEMORY):
        try:
            runs = [bench.quiet_run(f"{kind.name}, idle", partial(idle, bench, kind)) for _ in range(bench.repeats)]
        except ObserverFailed as error:
            bench.report.skipped.append(f"{kind.name}: {error}")
            continue
        add_memory(bench, kind.name, f"RSS with {IDLE_CONNECTIONS:,} idle".replace(",", " "), runs, Bars(60, None, 82))
        if not shutil.which("nft"):
            bench.report.skipped.append(f"{kind.name}, half-open: needs nft (nftables)")
            continue
        run = bench.quiet_run(f"{kind.name}, half-open", partial(idle, bench, kind, HALF_OPEN))
        both = f"RSS with {IDLE_CONNECTIONS:,} idle, {HALF_OPEN:,} half-open".replace(",", " ")
        add_memory(bench, kind.name, both, [run], Bars(60))


def add_memory(bench: Bench, who: str, what: str, runs: list[Run], bars: Bars, row: str = ROW) -> None:
    found = [run.memory for run in runs if run.memory]
    ring = max(each.ring for each in found) / 1024
    note = f"of which the kernel's ring {ring:.1f}" if ring else ""
    bench.add(row, who, what, "MiB", [each.rss / 1024 for each in found], bars, note)
    bench.add(row, who, f"{what}, RssAnon", "MiB", [each.anon / 1024 for each in found])


def idle(bench: Bench, kind: ObserverKind, half_open: int = 0) -> Run:
    """Memory while the connections are open, after each had one roundtrip; and `half_open` more, whose last ACK is lost."""
    if kind.exports:
        _ = bench.sinks
    observer = bench.start(kind)
    load = FixedRate(5_000, 0, connections=IDLE_CONNECTIONS)
    try:
        FixedRate(1_000, 0.1).run(bench.lab)
        observer.settle()
        before = observer.counted()
        argv = load.argv(bench.lab, total=IDLE_CONNECTIONS, hold=True)
        client = bench.lab.popen("client", argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            assert client.stdout and client.stderr
            line = client.stdout.readline()
            if not line:
                raise RuntimeError(client.stderr.read().strip())
            with ExitStack() as stack:
                if half_open:
                    stack.enter_context(half_opened(bench.lab, half_open))
                observer.settle()
                memory, after = observer.memory(), observer.counted()
        finally:
            bench.lab.stop(client)
    finally:
        observer.stop()
    counted = None if before is None or after is None else after - before
    return Run(kind.name, f"{IDLE_CONNECTIONS} idle", Done(**json.loads(line)), memory=memory, counted=counted)


@contextmanager
def half_opened(lab: Lab, count: int) -> Iterator[None]:
    """The server has answered, and waits for an ACK that the client's namespace drops."""
    many = [sys.executable, str(Path(__file__).parent.parent / "many.py")]
    rule = f"add rule ip half output tcp dport {HALF_OPEN_PORT} tcp flags & (syn | ack) == ack drop"
    lab.run("client", ["nft", f"add table ip half; add chain ip half output {{ type filter hook output priority 0; }}; {rule}"])
    for setting in ("net.core.somaxconn=30000", "net.ipv4.tcp_max_syn_backlog=30000", "net.ipv4.tcp_syncookies=0"):
        lab.run("app", ["sysctl", "-qw", setting])
    lab.run("client", ["sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 65000"])
    started: list[subprocess.Popen[str]] = []
    try:
        for role, kind in (("app", "accept"), ("client", "connect")):
            argv = [*many, kind, APP_ADDRESS, str(HALF_OPEN_PORT), *([str(count)] if role == "client" else [])]
            started.append(lab.popen(role, argv, stdout=subprocess.PIPE))
            said = started[-1].stdout
            if said is None or not said.readline():
                raise RuntimeError(f"{role}: no {count} half-open connections")
        yield
    finally:
        for one in reversed(started):
            lab.stop(one)
        lab.run("client", ["nft", "delete", "table", "ip", "half"])
