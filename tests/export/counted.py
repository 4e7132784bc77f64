"""What exporters have counted, for tests."""

from __future__ import annotations

from receiver.export.exporter import Exporter
from receiver.export.queue import QueueStats


def spans_of(exporter: Exporter) -> QueueStats:
    return _of(exporter, "spans")


def points_of(exporter: Exporter) -> QueueStats:
    return _of(exporter, "metric_points")


def _of(exporter: Exporter, items: str) -> QueueStats:
    (stats,) = (stats for _, name, stats in exporter.signals() if name == items)
    return stats
