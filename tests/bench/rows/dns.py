"""DNS over UDP, live: every question from a new port, at a rate and as fast as the answers come."""

from __future__ import annotations

from tests.bench import servers
from tests.bench.load import DnsQueries
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import ReceiverMetrics, ReceiverMetricsLayer4, Tcpdump
from tests.bench.report import Bars

ORDER = 80
ROW = "DNS, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4)


def run(bench: Bench) -> None:
    with servers.dnsmasq(bench.lab):
        for rate, most in ((5_000, 0), (0, 60_000)):
            load = DnsQueries(round((rate or most) * bench.seconds_at(rate)), rate)
            runs = bench.alternate(bench.chosen(OBSERVERS), load)
            bench.add_runs(ROW, runs, load.label, {ReceiverMetrics.name: Bars(1, 2)})
            for who, found in runs.items():
                losses = [abs(run.lost_percent) for run in found if run.lost_percent is not None]
                bench.add(ROW, who, f"{load.label}, lost or invented", "%", losses, Bars(0, 0))
