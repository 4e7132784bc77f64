"""Kafka, live: records produced one by one, as fast as a client and a server of this language go."""

from __future__ import annotations

from tests.bench import servers
from tests.bench.load import KafkaProduces
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import ReceiverMetrics, ReceiverMetricsLayer4, Tcpdump
from tests.bench.report import Bars

ORDER = 77
ROW = "Kafka, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4)


def run(bench: Bench) -> None:
    with servers.kafka(bench.lab):
        load = KafkaProduces(round(10_000 * bench.seconds))
        runs = bench.alternate(bench.chosen(OBSERVERS), load)
        bench.add_runs(ROW, runs, load.label, {ReceiverMetrics.name: Bars(2.0, 4.0)})
        for who, found in runs.items():
            losses = [abs(run.lost_percent) for run in found if run.lost_percent is not None]
            bench.add(ROW, who, f"{load.label}, lost or invented", "%", losses, Bars(0, 0))
