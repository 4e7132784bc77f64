"""Redis, live: GET one by one and in pipelines of 16, as fast as redis-benchmark and the server go."""

from __future__ import annotations

from tests.bench import servers
from tests.bench.load import RedisBenchmark
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import ReceiverMetrics, ReceiverMetricsLayer4, Tcpdump
from tests.bench.report import Bars

ORDER = 70
ROW = "Redis, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4)


def run(bench: Bench) -> None:
    with servers.redis(bench.lab):
        for command, pipeline, most, bars in (
            ("ping_mbulk", 1, 50_000, Bars(0.7, 1.4, 7.6)),
            ("get", 1, 50_000, Bars(0.7, 1.4, 7.6)),
            ("get", 16, 400_000, Bars(0.3, 0.6)),  # packetd reports one in 16
        ):
            load = RedisBenchmark(round(most * bench.seconds), pipeline, command)
            runs = bench.alternate(bench.chosen(OBSERVERS), load)
            bench.add_runs(ROW, runs, load.label, {ReceiverMetrics.name: bars})
            for who, found in runs.items():
                losses = [abs(run.lost_percent) for run in found if run.lost_percent is not None]
                bench.add(ROW, who, f"{load.label}, lost or invented", "%", losses, Bars(0, 0))
