"""HTTP/1 with bodies of 200 B, live, at two rates and full speed: CPU, loss, and what the watched program keeps."""

from __future__ import annotations

from tests.bench.load import FixedRate, Wrk
from tests.bench.measure import Bench, ObserverKind, ratios, remarks
from tests.bench.observers import ReceiverMetrics, ReceiverMetricsLayer4, ReceiverSpans, Tcpdump
from tests.bench.report import Bars

ORDER = 10
ROW = "HTTP/1 200 B, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, ReceiverMetrics, ReceiverMetricsLayer4, ReceiverSpans)


def bars(metrics: float, spans: float | None) -> dict[str, Bars]:
    return {ReceiverMetrics.name: Bars(0.8, 1.6, metrics), ReceiverSpans.name: Bars(2, 4, spans)}


def run(bench: Bench) -> None:
    for rate, held_to in ((5_000, bars(19.4, 35.3)), (20_000, bars(16.9, 30.7))):
        load = FixedRate(rate, bench.seconds_at(rate))
        bench.add_runs(ROW, bench.alternate(bench.chosen(OBSERVERS), load), load.label, held_to)

    wrk = Wrk(bench.seconds)
    runs = bench.alternate([None, *bench.chosen(OBSERVERS)], wrk)
    bench.add_runs(ROW, runs, wrk.label, bars(13.7, None))
    alone = [run.done.rate for run in runs.get("nobody", ())]
    bench.add(ROW, "nobody", "wrk at full speed", "requests/s", alone)
    packetd = {ReceiverMetrics.name: Bars(0.90, 0.80, 0.43, more_is_better=True)}
    for who, found in runs.items():
        if who != "nobody":
            kept = ratios([run.done.rate for run in found], alone)
            bench.add(
                ROW, who, "watched program keeps", "of its throughput", kept, packetd.get(who), remarks([*found, *runs["nobody"]])
            )
            losses = [run.lost_percent for run in found if run.lost_percent is not None]
            bench.add(ROW, who, "lost at full speed", "%", losses, Bars(0, 0), "wrk leaves up to 32 in flight")
