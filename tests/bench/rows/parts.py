"""By part, live at 20 000/s: capture, core, spans, export; each the difference of two observers."""

from __future__ import annotations

from tests.bench.load import FixedRate
from tests.bench.measure import Bench, ObserverKind
from tests.bench.observers import CaptureOnly, ReceiverMetrics, ReceiverSpans, ReceiverSpansBuilt

ORDER = 15
ROW = "by part, live at 20 000/s"
RATE = 20_000
STEPS: tuple[tuple[str, ObserverKind, ObserverKind | None], ...] = (
    ("capture", CaptureOnly, None),
    ("core: streams, decoding, metrics", ReceiverMetrics, CaptureOnly),
    ("spans", ReceiverSpansBuilt, ReceiverMetrics),
    ("export of spans", ReceiverSpans, ReceiverSpansBuilt),
)


def run(bench: Bench) -> None:
    runs = bench.alternate(bench.chosen([kind for _, kind, _ in STEPS]), FixedRate(RATE, bench.seconds))
    for what, kind, less in STEPS:
        if kind.name in runs and (less is None or less.name in runs):
            costs = [run.us_per_roundtrip for run in runs[kind.name]]
            base = [run.us_per_roundtrip for run in runs[less.name]] if less else [0.0] * len(costs)
            note = f"{kind.name} less {less.name}" if less else kind.name
            differences = [cost - other for cost, other in zip(costs, base, strict=False)]
            bench.add(ROW, "ours", what, "us CPU a roundtrip", differences, None, note)
