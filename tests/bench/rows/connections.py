"""Many connections, live: loss with 1 000 busy ones, memory with 10 000 idle ones."""

from __future__ import annotations

import json
import subprocess
from functools import partial

from tests.bench.load import Done, FixedRate
from tests.bench.measure import Bench, ObserverFailed, ObserverKind, Run
from tests.bench.observers import ReceiverBoth, ReceiverMetrics, Tcpdump
from tests.bench.report import Bars

ORDER = 30
ROW = "many connections, live"
BUSY: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics)
MEMORY: tuple[ObserverKind, ...] = (ReceiverBoth,)
IDLE_CONNECTIONS = 10_000


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


def add_memory(bench: Bench, who: str, what: str, runs: list[Run], bars: Bars, row: str = ROW) -> None:
    found = [run.memory for run in runs if run.memory]
    ring = max(each.ring for each in found) / 1024
    note = f"of which the kernel's ring {ring:.1f}" if ring else ""
    bench.add(row, who, what, "MiB", [each.rss / 1024 for each in found], bars, note)
    bench.add(row, who, f"{what}, RssAnon", "MiB", [each.anon / 1024 for each in found])


def idle(bench: Bench, kind: ObserverKind) -> Run:
    """Memory while the connections are open, after each had one roundtrip."""
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
            observer.settle()
            memory, after = observer.memory(), observer.counted()
        finally:
            bench.lab.stop(client)
    finally:
        observer.stop()
    counted = None if before is None or after is None else after - before
    return Run(kind.name, f"{IDLE_CONNECTIONS} idle", Done(**json.loads(line)), memory=memory, counted=counted)
