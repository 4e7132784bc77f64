"""PostgreSQL, live: pgbench in each of its modes at full speed, and results of 1 MB."""

from __future__ import annotations

from tests.bench import servers
from tests.bench.load import Pgbench
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import CaptureOnly, ReceiverMetrics, ReceiverMetricsLayer4, Tcpdump
from tests.bench.report import Bars

ORDER = 72
ROW = "PostgreSQL, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4)
LARGE: tuple[ObserverKind, ...] = (CaptureOnly, ReceiverMetrics)
MEGABYTE = "SELECT repeat('x', 100) FROM generate_series(1, 10000)"


def run(bench: Bench) -> None:
    with servers.postgresql(bench.lab):
        for mode in ("simple", "extended", "prepared"):
            load = Pgbench(round(10_000 * bench.seconds), mode)
            runs = bench.alternate(bench.chosen(OBSERVERS), load)
            bench.add_runs(ROW, runs, load.label, {ReceiverMetrics.name: Bars(1.5, 3)})
            for who, found in runs.items():
                losses = [abs(run.lost_percent) for run in found if run.lost_percent is not None]
                bench.add(ROW, who, f"{load.label}, lost or invented", "%", losses, Bars(0, 0))
        load = Pgbench(round(400 * bench.seconds), "simple", MEGABYTE)  # fewer measure the exports more than the rows
        bench.add_runs(ROW, bench.alternate(bench.chosen(LARGE), load), load.label, {})
