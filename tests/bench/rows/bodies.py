"""A body of 1 MB against one of 1 KB at the same rate, live: with offload, and in frames of the MTU."""

from __future__ import annotations

from tests.bench.load import FixedRate
from tests.bench.measure import Bench, ObserverKind, ratios, remarks
from tests.bench.observers import CaptureHeads, CaptureOnly, ReceiverMetrics, Tcpdump
from tests.bench.report import Bars

ORDER = 20
ROW = "1 MB body, live"
OBSERVERS: tuple[ObserverKind, ...] = (Tcpdump, CaptureOnly, CaptureHeads, ReceiverMetrics)
RATE = 200


def run(bench: Bench) -> None:
    for offload, name, bars in ((True, "offload", Bars(1.3, None, 4.8)), (False, "MTU frames", Bars(3, None, 14.7))):
        bench.lab.offload(offload)
        try:
            small = bench.alternate(bench.chosen(OBSERVERS), FixedRate(RATE, bench.seconds, "/1k"))
            large = bench.alternate(bench.chosen(OBSERVERS), FixedRate(RATE, bench.seconds, "/1m"))
        finally:
            bench.lab.offload(True)
        for who in large:
            held_to = bars if who == ReceiverMetrics.name else None
            costs = [[run.us_per_roundtrip for run in found[who]] for found in (large, small)]
            bench.add(ROW, who, f"1 KB at {RATE}/s, {name}", "us CPU a roundtrip", costs[1], None, remarks(small[who]))
            bench.add(ROW, who, f"1 MB at {RATE}/s, {name}", "us CPU a roundtrip", costs[0], None, remarks(large[who]))
            bench.add(ROW, who, f"1 MB against 1 KB, {name}", "times", ratios(*costs), held_to)
