"""What every exporter is to the service.

Room: export. The service starts and ends them, hands over spans and snapshots, and reads their counters; it knows no more of them.
"""

from __future__ import annotations

from typing import Protocol

from receiver.export.queue import QueueStats
from receiver.telemetry.snapshot import Snapshot

Signals = list[tuple[str, str, QueueStats]]
"""(signal, what its items are called, counters) for each signal that an exporter carries."""


class Exporter(Protocol):
    """One named exporter. After `start`, nothing blocks and nothing is raised: a backend that is down is a counter.

    `export_metrics` is called by the thread that makes snapshots, and never beside `stop` or `shutdown`; all else by another.
    """

    name: str

    def start(self) -> None: ...

    def export_metrics(self, snapshot: Snapshot) -> None: ...

    def signals(self) -> Signals: ...

    def stop(self, deadline_s: float) -> None: ...

    def shutdown(self, deadline_s: float) -> None: ...


class SpanExporter(Exporter, Protocol):
    """One that takes spans too: `count` of them, each tagged as ScopeSpans.spans. The blob is only lent."""

    def export_spans(self, blob: bytes | memoryview, count: int) -> None: ...
